/* SPDX-License-Identifier: MIT
 *
 * ethtool: sets of names, and the ioctl's commands for them.
 */
#include "net/netlink/ethtool_sets.h"
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/netlink/ethtool.h"

/* Of the modes as many as a word has bits: hardware here has no others. */
static const char *const link_modes[] = {
    "10baseT/Half",
    "10baseT/Full",
    "100baseT/Half",
    "100baseT/Full",
    "1000baseT/Half",
    "1000baseT/Full",
    "Autoneg",
    "TP",
    "AUI",
    "MII",
    "FIBRE",
    "BNC",
    "10000baseT/Full",
    "Pause",
    "Asym_Pause",
    "2500baseX/Full",
    "Backplane",
    "1000baseKX/Full",
    "10000baseKX4/Full",
    "10000baseKR/Full",
    "10000baseR_FEC",
    "20000baseMLD2/Full",
    "20000baseKR2/Full",
    "40000baseKR4/Full",
    "40000baseCR4/Full",
    "40000baseSR4/Full",
    "40000baseLR4/Full",
    "56000baseKR4/Full",
    "56000baseCR4/Full",
    "56000baseSR4/Full",
    "56000baseLR4/Full",
    "25000baseCR/Full",
};
static const char *const messages[] = {"drv",     "probe",     "link",    "timer",     "ifdown",
                                       "ifup",    "rx_err",    "tx_err",  "tx_queued", "intr",
                                       "tx_done", "rx_status", "pktdata", "hw",        "wol"};
static const char *const wakes[] = {"phy", "ucast", "mcast",       "bcast",
                                    "arp", "magic", "magicsecure", "filter"};
static const char *const stamps[] = {
    "hardware-transmit",     "software-transmit",     "hardware-receive",   "software-receive",
    "software-system-clock", "hardware-legacy-clock", "hardware-raw-clock", "option-id",
    "sched-transmit",        "ack-transmit",          "option-cmsg",        "option-tsonly",
    "option-stats",          "option-pktinfo",        "option-tx-swhw",     "bind-phc"};
static const char *const stamps_sent[] = {"off", "on", "onestep-sync", "onestep-p2p"};
static const char *const stamps_heard[] = {"none",           "all",           "some",
                                           "ptpv1-l4-event", "ptpv1-l4-sync", "ptpv1-l4-delay-req",
                                           "ptpv2-l4-event", "ptpv2-l4-sync", "ptpv2-l4-delay-req",
                                           "ptpv2-l2-event", "ptpv2-l2-sync", "ptpv2-l2-delay-req",
                                           "ptpv2-event",    "ptpv2-sync",    "ptpv2-delay-req",
                                           "ntp-all"};

static const struct {
    const char *const *names;
    u32 nr;
} sets[ETHTOOL_SETS] = {
    [ETHTOOL_SET_LINK_MODES] = {link_modes, ARRAY_SIZE(link_modes)},
    [ETHTOOL_SET_MESSAGES] = {messages, ARRAY_SIZE(messages)},
    [ETHTOOL_SET_WAKES] = {wakes, ARRAY_SIZE(wakes)},
    [ETHTOOL_SET_STAMPS] = {stamps, ARRAY_SIZE(stamps)},
    [ETHTOOL_SET_STAMPS_SENT] = {stamps_sent, ARRAY_SIZE(stamps_sent)},
    [ETHTOOL_SET_STAMPS_HEARD] = {stamps_heard, ARRAY_SIZE(stamps_heard)},
};

u32 ethtool_count(const struct netdev *dev, u32 set)
{
    if (set == ETHTOOL_SET_FEATURES)
        return ethtool_features_count();
    if (set == ETHTOOL_SET_STATS)
        return dev ? ethtool_stats_count(dev) : 0;
    return set < ETHTOOL_SETS ? sets[set].nr : 0;
}

void ethtool_name(const struct netdev *dev, u32 set, u32 i, char out[ETHTOOL_NAME])
{
    ASSERT(i < ethtool_count(dev, set));
    memset(out, 0, ETHTOOL_NAME);
    if (set == ETHTOOL_SET_FEATURES)
        ethtool_feature_name(i, out);
    else if (set == ETHTOOL_SET_STATS)
        ethtool_stat_name(dev, i, out);
    else
        strlcpy(out, sets[set].names[i], ETHTOOL_NAME);
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
        char name[ETHTOOL_NAME];

        ethtool_name(dev, head[1], i, name);
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
