/* SPDX-License-Identifier: MIT
 *
 * ethtool: the counters of a device that hardware is behind: those of each queue, then what the
 * hardware counts by itself.
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

u32 ethtool_stats_count(const struct netdev *dev)
{
    return dev->parent ? dev->nr_queues * QUEUE_COUNTERS + (u32)ARRAY_SIZE(device_counters) : 0;
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
    u32 n = ethtool_stats_count(dev), head[2] = {cmd, n};
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

void ethtool_stat_name(const struct netdev *dev, u32 i, char out[ETHTOOL_NAME])
{
    u32 of_queues = dev->nr_queues * QUEUE_COUNTERS;

    if (i < of_queues)
        snprintf(out, ETHTOOL_NAME, queue_counters[i % QUEUE_COUNTERS].name, i / QUEUE_COUNTERS);
    else
        strlcpy(out, device_counters[i - of_queues].name, ETHTOOL_NAME);
}
