/* SPDX-License-Identifier: MIT
 *
 * ethtool: sets of names and how long they are, and the counters of a device that hardware is
 * behind: those of each queue, then what the hardware counts by itself.
 */
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/netlink/ethtool.h"

struct ethtool_counter {
    const char *name; /* of a queue: with its number */
    u32 offset;
};
static const struct ethtool_counter queue_counters[] = {
    {"rx_queue_%u_packets", offsetof(struct netdev_queue, rx_packets)},
    {"rx_queue_%u_bytes", offsetof(struct netdev_queue, rx_bytes)},
    {"rx_queue_%u_drops", offsetof(struct netdev_queue, rx_dropped)},
    {"rx_queue_%u_errors", offsetof(struct netdev_queue, rx_errors)},
    {"tx_queue_%u_packets", offsetof(struct netdev_queue, tx_packets)},
    {"tx_queue_%u_bytes", offsetof(struct netdev_queue, tx_bytes)},
    {"tx_queue_%u_drops", offsetof(struct netdev_queue, tx_dropped)},
    {"tx_queue_%u_errors", offsetof(struct netdev_queue, tx_errors)},
};
static const struct ethtool_counter device_counters[] = {
    {"rx_crc_errors", offsetof(struct netdev_stats, rx_crc)},
    {"rx_length_errors", offsetof(struct netdev_stats, rx_length)},
    {"rx_missed_errors", offsetof(struct netdev_stats, rx_missed)},
    {"collisions", offsetof(struct netdev_stats, collisions)},
};
#define QUEUE_COUNTERS ((u32)ARRAY_SIZE(queue_counters))

u32 ethtool_count(const struct netdev *dev, u32 set)
{
    if (set == ETHTOOL_SET_FEATURES)
        return ethtool_features_count();
    if (set != ETHTOOL_SET_STATS || !dev->parent)
        return 0;
    return dev->nr_queues * QUEUE_COUNTERS + (u32)ARRAY_SIZE(device_counters);
}

static u64 ethtool_counter(const void *at, const struct ethtool_counter *c)
{
    return READ_ONCE(*(const u64 *)(const void *)((const u8 *)at + c->offset));
}

static void ethtool_stats_fill(struct netdev *dev, u64 *out)
{
    struct netdev_stats s;

    for (u32 q = 0; q < dev->nr_queues; q++)
        for (u32 i = 0; i < QUEUE_COUNTERS; i++)
            *out++ = ethtool_counter(&dev->queues[q], &queue_counters[i]);
    netdev_stats(dev, &s);
    for (u32 i = 0; i < ARRAY_SIZE(device_counters); i++)
        *out++ = ethtool_counter(&s, &device_counters[i]);
}

s64 ethtool_get_stats(struct netdev *dev, u32 cmd, u64 at)
{
    u32 n = ethtool_count(dev, ETHTOOL_SET_STATS), head[2] = {cmd, n};
    u64 *stats = n ? kcalloc(n, sizeof(*stats)) : NULL;
    s64 err = -EFAULT;

    if (!stats)
        return n ? -ENOMEM : -EOPNOTSUPP;
    ethtool_stats_fill(dev, stats);
    if (!copy_out((void __user *)at, head, sizeof(head)))
        err = copy_out((void __user *)(at + sizeof(head)), stats, n * sizeof(*stats));
    kfree(stats);
    return err;
}

static void ethtool_stat_name(const struct netdev *dev, u32 i, char out[ETHTOOL_NAME])
{
    u32 of_queues = dev->nr_queues * QUEUE_COUNTERS;

    if (i < of_queues)
        snprintf(out, ETHTOOL_NAME, queue_counters[i % QUEUE_COUNTERS].name, i / QUEUE_COUNTERS);
    else
        strlcpy(out, device_counters[i - of_queues].name, ETHTOOL_NAME);
}

s64 ethtool_get_names(struct netdev *dev, u32 cmd, u64 at)
{
    u32 head[3];
    s64 err = 0;

    if (copy_in(head, (const void __user *)at, sizeof(head)))
        return -EFAULT;
    head[2] = ethtool_count(dev, head[1]);
    if (!head[2])
        return -EOPNOTSUPP;
    if (copy_out((void __user *)at, head, sizeof(head)))
        return -EFAULT;
    at += sizeof(head);
    for (u32 i = 0; i < head[2] && !err; i++, at += ETHTOOL_NAME) {
        char name[ETHTOOL_NAME] = {0};

        if (head[1] == ETHTOOL_SET_FEATURES)
            ethtool_feature_name(i, name);
        else
            ethtool_stat_name(dev, i, name);
        err = copy_out((void __user *)at, name, sizeof(name));
    }
    return err;
}

/* For each bit of a mask that is a set's, how many names that has; others' bits are taken away. */
s64 ethtool_get_counts(struct netdev *dev, u32 cmd, u64 at)
{
    struct {
        u32 cmd, unused;
        u64 mask;
    } q;
    u32 counts[ETHTOOL_SETS], n = 0;
    u64 known = 0;

    if (copy_in(&q, (const void __user *)at, sizeof(q)))
        return -EFAULT;
    for (u32 set = 0; set < ETHTOOL_SETS; set++) {
        if (!(q.mask >> set & 1) || !ethtool_count(dev, set))
            continue;
        counts[n++] = ethtool_count(dev, set);
        known |= 1ULL << set;
    }
    q.mask = known;
    if (copy_out((void __user *)at, &q, sizeof(q)))
        return -EFAULT;
    return copy_out((void __user *)(at + sizeof(q)), counts, n * sizeof(counts[0]));
}
