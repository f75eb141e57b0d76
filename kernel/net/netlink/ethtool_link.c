/* SPDX-License-Identifier: MIT
 *
 * ethtool: a device's link. Nothing of it can be set: what negotiates does so by itself.
 */
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/netlink/ethtool.h"

#define WORDS 4 /* of 32 bits that a set of modes has */
#define SPEED_UNKNOWN (~0U)
enum { DUPLEX_HALF = 0, DUPLEX_FULL = 1, DUPLEX_UNKNOWN = 0xff };
enum { PORT_TWISTED = 0, PORT_OTHER = 0xff };
enum { MODE_NEGOTIATES = 1 << 6, MODE_TWISTED = 1 << 7 };

/* struct ethtool_link_settings, with its three sets of modes. */
struct ethtool_settings {
    u32 cmd, speed;
    u8 duplex, port, phy, negotiates, mdio, mdix, mdix_control;
    s8 nr_words;
    u8 transceiver, unused1[3];
    u32 unused2[7];
    u32 supported[WORDS], advertised[WORDS], peer[WORDS];
};
static_assert(offsetof(struct ethtool_settings, supported) == 48, "linux/ethtool.h");

/* struct ethtool_cmd. */
struct ethtool_old_settings {
    u32 cmd, supported, advertised;
    u16 speed;
    u8 duplex, port, phy, transceiver, negotiates, mdio;
    u32 tx_packets, rx_packets;
    u16 speed_high;
    u8 mdix, mdix_control;
    u32 peer, unused[2];
};
static_assert(sizeof(struct ethtool_old_settings) == 44, "linux/ethtool.h");

bool ethtool_link_is_up(const struct netdev *dev)
{
    u32 flags = READ_ONCE(dev->flags);

    return (flags & NETDEV_UP) && (flags & NETDEV_CARRIER);
}

s64 ethtool_get_link(struct netdev *dev, u32 cmd, u64 at)
{
    u32 v[2] = {cmd, ethtool_link_is_up(dev)};

    return copy_out((void __user *)at, v, sizeof(v));
}

static u32 ethtool_modes(const struct netdev_link *l)
{
    return l->twisted ? l->modes | MODE_NEGOTIATES | MODE_TWISTED : 0;
}

static u8 ethtool_duplex(const struct netdev_link *l)
{
    return l->duplex == NETDEV_FULL   ? DUPLEX_FULL
           : l->duplex == NETDEV_HALF ? DUPLEX_HALF
                                      : DUPLEX_UNKNOWN;
}

int ethtool_link_of(struct netdev *dev, struct ethtool_link *out)
{
    struct netdev_link l;

    if (!dev->parent)
        return -EOPNOTSUPP;
    netdev_link(dev, &l);
    *out = (struct ethtool_link){.speed = l.speed ? l.speed : SPEED_UNKNOWN,
                                 .modes = ethtool_modes(&l),
                                 .duplex = ethtool_duplex(&l),
                                 .port = l.twisted ? PORT_TWISTED : PORT_OTHER,
                                 .negotiates = l.twisted};
    return 0;
}

/* A program that does not know how long a set of modes is is told, and nothing else. */
s64 ethtool_get_settings(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_settings s;
    struct ethtool_link l;

    if (ethtool_link_of(dev, &l))
        return -EOPNOTSUPP;
    if (copy_in(&s, (const void __user *)at, offsetof(struct ethtool_settings, supported)))
        return -EFAULT;
    if (s.nr_words != WORDS) {
        memset(&s, 0, sizeof(s));
        s.cmd = cmd;
        s.nr_words = -WORDS;
        return copy_out((void __user *)at, &s, offsetof(struct ethtool_settings, supported));
    }
    memset(&s, 0, sizeof(s));
    s.cmd = cmd;
    s.nr_words = WORDS;
    s.speed = l.speed;
    s.duplex = l.duplex;
    s.port = l.port;
    s.negotiates = l.negotiates;
    s.supported[0] = s.advertised[0] = l.modes;
    return copy_out((void __user *)at, &s, sizeof(s));
}

s64 ethtool_get_old_settings(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_old_settings s = {.cmd = cmd};
    struct ethtool_link l;

    if (ethtool_link_of(dev, &l))
        return -EOPNOTSUPP;
    s.speed = (u16)l.speed;
    s.speed_high = (u16)(l.speed >> 16);
    s.duplex = l.duplex;
    s.port = l.port;
    s.negotiates = l.negotiates;
    s.supported = s.advertised = l.modes;
    return copy_out((void __user *)at, &s, sizeof(s));
}
