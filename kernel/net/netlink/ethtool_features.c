/* SPDX-License-Identifier: MIT
 *
 * ethtool: what a device does by itself, by Linux's names. What can be switched is
 * NETDEV_SWITCHES as far as the device can it; the rest is told and stays as it is.
 */
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/netlink/ethtool.h"

#define ALWAYS (1U << 31) /* the stack does it, whatever the device can */
#define NEVER 0           /* nothing here does it: it is told as off, since programs ask for it */

/* A name's place here is its bit in a program's words. */
static const struct ethtool_feature {
    const char *name;
    u32 bit;
} ethtool_features[] = {
    {"tx-scatter-gather", NETDEV_FRAGS},
    {"tx-checksum-ip-generic", NETDEV_CSUM},
    {"tx-generic-segmentation", ALWAYS},
    {"tx-tcp-segmentation", NETDEV_TSO4},
    {"tx-tcp-ecn-segmentation", NETDEV_TSO_ECN},
    {"tx-tcp6-segmentation", NETDEV_TSO6},
    {"tx-udp-segmentation", NETDEV_USO},
    {"rx-checksum", NETDEV_RX_SUMS},
    {"rx-gro", NETDEV_JOIN},
    {"rx-gro-hw", NETDEV_LRO},
    {"tx-checksum-ipv4", NEVER},
    {"tx-checksum-ipv6", NEVER},
    {"tx-checksum-fcoe-crc", NEVER},
    {"tx-checksum-sctp", NEVER},
    {"tx-scatter-gather-fraglist", NEVER},
    {"tx-tcp-mangleid-segmentation", NEVER},
    {"tx-vlan-hw-insert", NEVER},
    {"rx-vlan-hw-parse", NEVER},
    {"rx-vlan-filter", NEVER},
    {"vlan-challenged", NEVER},
    {"rx-lro", NEVER},
    {"rx-ntuple-filter", NEVER},
    {"rx-hashing", NEVER},
    {"tx-nocache-copy", NEVER},
    {"loopback", NEVER},
    {"rx-fcs", NEVER},
    {"rx-all", NEVER},
};
static_assert(ARRAY_SIZE(ethtool_features) <= 32, "one word");

struct ethtool_wish {
    u32 valid, requested;
};
/* What a change says of itself. */
enum { WISH_UNSUPPORTED = 1 << 0, WISH_NOT_GRANTED = 1 << 1 };

u32 ethtool_features_count(void)
{
    return ARRAY_SIZE(ethtool_features);
}

void ethtool_feature_name(u32 i, char out[ETHTOOL_NAME])
{
    strlcpy(out, ethtool_features[i].name, ETHTOOL_NAME);
}

/* The device's bits as a program numbers them. */
static u32 ethtool_bits(u32 features)
{
    u32 bits = 0;

    for (u32 i = 0; i < ARRAY_SIZE(ethtool_features); i++)
        if ((features | ALWAYS) & ethtool_features[i].bit)
            bits |= 1U << i;
    return bits;
}

static u32 ethtool_from_bits(u32 bits)
{
    u32 features = 0;

    for (u32 i = 0; i < ARRAY_SIZE(ethtool_features); i++)
        if (bits & 1U << i)
            features |= ethtool_features[i].bit;
    return features;
}

static u32 ethtool_can(const struct netdev *dev)
{
    return READ_ONCE(dev->can) & NETDEV_SWITCHES;
}

void ethtool_features_of(const struct netdev *dev, struct ethtool_word *out)
{
    u32 always = ethtool_bits(0), can = READ_ONCE(dev->can);

    *out = (struct ethtool_word){
        .available = ethtool_bits(can & NETDEV_SWITCHES) & ~always,
        .requested = ethtool_bits(can & ~READ_ONCE(dev->off)),
        .active = ethtool_bits(READ_ONCE(dev->features)),
    };
}

s64 ethtool_get_features(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_word w;
    u32 head[2], space;

    ethtool_features_of(dev, &w);
    if (copy_in(head, (const void __user *)at, sizeof(head)))
        return -EFAULT;
    space = head[1];
    head[1] = 1;
    if (copy_out((void __user *)at, head, sizeof(head)))
        return -EFAULT;
    return space ? copy_out((void __user *)(at + sizeof(head)), &w, sizeof(w)) : 0;
}

static int ethtool_switch(struct netdev *dev, u32 on, u32 off)
{
    u32 before = READ_ONCE(dev->features);
    int err = on ? netdev_features_switch(dev, on, true) : 0;

    if (!err && off)
        err = netdev_features_switch(dev, off, false);
    if (READ_ONCE(dev->features) != before)
        ethtool_features_tell(dev);
    return err;
}

s64 ethtool_set_features(struct netdev *dev, u32 cmd, u64 at)
{
    u32 head[2], which, want, can = ethtool_can(dev);
    struct ethtool_wish w;
    s64 told = 0;
    int err;

    if (copy_in(head, (const void __user *)at, sizeof(head)))
        return -EFAULT;
    if (head[1] != 1)
        return -EINVAL;
    if (copy_in(&w, (const void __user *)(at + sizeof(head)), sizeof(w)))
        return -EFAULT;
    if (w.valid >> ARRAY_SIZE(ethtool_features))
        return -EINVAL;
    which = ethtool_from_bits(w.valid);
    want = ethtool_from_bits(w.requested);
    if (w.valid & ~(ethtool_bits(can) & ~ethtool_bits(0)))
        told |= WISH_UNSUPPORTED;
    which &= can;
    err = ethtool_switch(dev, which & want, which & ~want);
    if ((READ_ONCE(dev->features) ^ want) & which)
        told |= WISH_NOT_GRANTED;
    return err ? err : told;
}

/* ---- the older commands ---- */

static u32 ethtool_flag_of(u32 cmd)
{
    switch (cmd) {
    case ETHTOOL_GRXCSUM:
    case ETHTOOL_SRXCSUM:
        return NETDEV_RX_SUMS;
    case ETHTOOL_GTXCSUM:
    case ETHTOOL_STXCSUM:
        return NETDEV_CSUM;
    case ETHTOOL_GSG:
    case ETHTOOL_SSG:
        return NETDEV_FRAGS;
    case ETHTOOL_GTSO:
    case ETHTOOL_STSO:
        return NETDEV_TSO4 | NETDEV_TSO6 | NETDEV_TSO_ECN;
    case ETHTOOL_GGSO:
    case ETHTOOL_SGSO:
        return ALWAYS;
    case ETHTOOL_GGRO:
    case ETHTOOL_SGRO:
        return NETDEV_JOIN;
    default: /* ETHTOOL_GFLAGS: LRO, hardware's VLAN tags and filters: there are none */
        return 0;
    }
}

s64 ethtool_get_flag(struct netdev *dev, u32 cmd, u64 at)
{
    u32 v[2] = {cmd, ((READ_ONCE(dev->features) | ALWAYS) & ethtool_flag_of(cmd)) != 0};

    return copy_out((void __user *)at, v, sizeof(v));
}

s64 ethtool_set_flag(struct netdev *dev, u32 cmd, u64 at)
{
    u32 v[2], which = ethtool_flag_of(cmd) & ethtool_can(dev);

    if (copy_in(v, (const void __user *)at, sizeof(v)))
        return -EFAULT;
    if (!which)
        return -EOPNOTSUPP;
    return ethtool_switch(dev, v[1] ? which : 0, v[1] ? 0 : which);
}
