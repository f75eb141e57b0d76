/* SPDX-License-Identifier: MIT
 *
 * ethtool's ioctl (SIOCETHTOOL): its commands, who may give them, and what a device is. ethtool(8)
 * asks by generic netlink (ethtool_genl.c) first, and comes this way for what that refuses.
 *
 * What a device has not is EOPNOTSUPP; so is all that would have to be set at hardware.
 */
#include "net/netlink/ethtool.h"
#include "arch/x86/uaccess.h"
#include "dev/device.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/release.h"
#include "lib/string.h"
#include "net/core/sock.h"
#include "net/netlink/rtnl_link.h"

enum { SIOCETHTOOL = 0x8946 };

/* struct ethtool_drvinfo. */
struct ethtool_driver {
    u32 cmd;
    char driver[32], version[32], firmware[32], bus[32], rom[32], unused[12];
    u32 nr_flags, nr_stats, test_len, eeprom_len, registers_len;
};
static_assert(sizeof(struct ethtool_driver) == 196, "linux/ethtool.h");
struct ethtool_rings {
    u32 cmd, rx_most, mini_most, jumbo_most, tx_most, rx, mini, jumbo, tx;
};
struct ethtool_channels {
    u32 cmd, rx_most, tx_most, other_most, combined_most, rx, tx, other, combined;
};
struct ethtool_times {
    u32 cmd, how;
    s32 clock;
    u32 tx_types, tx_unused[3], rx_filters, rx_unused[3];
};

/* Of a virtio device the place is that of what carries it. */
static const struct device *ethtool_place(const struct device *dev)
{
    return dev->parent && dev->bus && !strcmp(dev->bus->name, "virtio") ? dev->parent : dev;
}

/* Under the namespace's config: a device that has not begun to go does not end, nor does what it is
 * of. */
static s64 ethtool_driver_of(struct netdev *dev, struct ethtool_driver *d)
{
    const struct rtnl_kind *k = rtnl_kind_of(dev);
    const struct driver *driver = dev->parent ? READ_ONCE(dev->parent->driver) : NULL;

    if (READ_ONCE(dev->flags) & NETDEV_GONE)
        return -ENODEV;
    if (!driver && !k)
        return -EOPNOTSUPP;
    strlcpy(d->driver, driver ? driver->name : k->name, sizeof(d->driver));
    if (driver)
        strlcpy(d->bus, ethtool_place(dev->parent)->name, sizeof(d->bus));
    return 0;
}

static s64 ethtool_get_driver(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_driver d = {.cmd = cmd, .version = UTS_RELEASE};
    s64 err;

    net_config_lock(dev->ns);
    err = ethtool_driver_of(dev, &d);
    net_config_unlock(dev->ns);
    d.nr_stats = ethtool_count(dev, ETHTOOL_SET_STATS);
    return err ? err : copy_out((void __user *)at, &d, sizeof(d));
}

static s64 ethtool_get_rings(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_rings r = {cmd, dev->rx_ring, 0, 0, dev->tx_ring, dev->rx_ring, 0,
                              0,   dev->tx_ring};

    return dev->rx_ring ? copy_out((void __user *)at, &r, sizeof(r)) : -EOPNOTSUPP;
}

static s64 ethtool_get_channels(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_channels c = {
        .cmd = cmd, .combined_most = dev->nr_queues, .combined = dev->nr_queues};

    return dev->rx_ring ? copy_out((void __user *)at, &c, sizeof(c)) : -EOPNOTSUPP;
}

static s64 ethtool_get_times(struct netdev *dev, u32 cmd, u64 at)
{
    struct ethtool_times t = {.cmd = cmd, .how = ETHTOOL_STAMPS_BY_SOFTWARE, .clock = -1};

    return copy_out((void __user *)at, &t, sizeof(t));
}

/* The address that hardware came with; of others it is zeroes. */
static s64 ethtool_get_address(struct netdev *dev, u32 cmd, u64 at)
{
    struct {
        u32 cmd, size;
        u8 addr[NETDEV_ADDR];
    } a;

    if (copy_in(&a, (const void __user *)at, 8))
        return -EFAULT;
    if (a.size < NETDEV_ADDR)
        return -EINVAL;
    a.size = NETDEV_ADDR;
    memset(a.addr, 0, sizeof(a.addr));
    if (dev->parent)
        memcpy(a.addr, dev->own_addr, sizeof(a.addr));
    return copy_out((void __user *)at, &a, 8 + sizeof(a.addr));
}

static s64 ethtool_none(struct netdev *dev, u32 cmd, u64 at)
{
    return -EOPNOTSUPP;
}

/* ---- commands ---- */

/* All that is not here is EOPNOTSUPP to who may change a device, EPERM to others. */
static const struct ethtool_row {
    u32 cmd;
    bool sets; /* takes CAP_NET_ADMIN */
    s64 (*fn)(struct netdev *dev, u32 cmd, u64 at);
} ethtool_rows[] = {
    {ETHTOOL_GSET, false, ethtool_get_old_settings},
    {ETHTOOL_GDRVINFO, false, ethtool_get_driver},
    {ETHTOOL_GMSGLVL, false, ethtool_none},
    {ETHTOOL_GLINK, false, ethtool_get_link},
    {ETHTOOL_GCOALESCE, false, ethtool_none},
    {ETHTOOL_GRINGPARAM, false, ethtool_get_rings},
    {ETHTOOL_GPAUSEPARAM, false, ethtool_none},
    {ETHTOOL_GRXCSUM, false, ethtool_get_flag},
    {ETHTOOL_SRXCSUM, true, ethtool_set_flag},
    {ETHTOOL_GTXCSUM, false, ethtool_get_flag},
    {ETHTOOL_STXCSUM, true, ethtool_set_flag},
    {ETHTOOL_GSG, false, ethtool_get_flag},
    {ETHTOOL_SSG, true, ethtool_set_flag},
    {ETHTOOL_GSTRINGS, false, ethtool_get_names},
    {ETHTOOL_GSTATS, false, ethtool_get_stats},
    {ETHTOOL_GTSO, false, ethtool_get_flag},
    {ETHTOOL_STSO, true, ethtool_set_flag},
    {ETHTOOL_GPERMADDR, false, ethtool_get_address},
    {ETHTOOL_GUFO, false, ethtool_none},
    {ETHTOOL_GGSO, false, ethtool_get_flag},
    {ETHTOOL_SGSO, true, ethtool_set_flag},
    {ETHTOOL_GFLAGS, false, ethtool_get_flag},
    {ETHTOOL_GPFLAGS, false, ethtool_none},
    {ETHTOOL_GRXFH, false, ethtool_none},
    {ETHTOOL_GGRO, false, ethtool_get_flag},
    {ETHTOOL_SGRO, true, ethtool_set_flag},
    {ETHTOOL_GRXRINGS, false, ethtool_none},
    {ETHTOOL_GSSET_INFO, false, ethtool_get_counts},
    {ETHTOOL_GFEATURES, false, ethtool_get_features},
    {ETHTOOL_SFEATURES, true, ethtool_set_features},
    {ETHTOOL_GCHANNELS, false, ethtool_get_channels},
    {ETHTOOL_GET_TS_INFO, false, ethtool_get_times},
    {ETHTOOL_GEEE, false, ethtool_none},
    {ETHTOOL_GLINKSETTINGS, false, ethtool_get_settings},
    {ETHTOOL_GFECPARAM, false, ethtool_none},
};

static const struct ethtool_row *ethtool_row(u32 cmd)
{
    for (u32 i = 0; i < ARRAY_SIZE(ethtool_rows); i++)
        if (ethtool_rows[i].cmd == cmd)
            return &ethtool_rows[i];
    return NULL;
}

static s64 ethtool_do(struct netdev *dev, u32 cmd, u64 at)
{
    const struct ethtool_row *row = ethtool_row(cmd);

    if ((!row || row->sets) && !cred_capable(current_cred(), dev->ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    if (READ_ONCE(dev->flags) & NETDEV_GONE)
        return -ENODEV;
    return row ? row->fn(dev, cmd, at) : -EOPNOTSUPP;
}

static s64 ethtool_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    struct {
        char name[NETDEV_NAME];
        u64 at, unused[2];
    } r;
    struct netdev *dev;
    u32 what;
    s64 err;

    if (cmd != SIOCETHTOOL)
        return -ENOTTY;
    if (copy_in(&r, (const void __user *)arg, sizeof(r)) ||
        copy_in(&what, (const void __user *)r.at, sizeof(what)))
        return -EFAULT;
    r.name[NETDEV_NAME - 1] = 0;
    dev = net_device_by_name(s->ns, r.name);
    if (!dev)
        return -ENODEV;
    err = ethtool_do(dev, what, r.at);
    netdev_put(dev);
    return err;
}
SOCKET_IOCTL(ethtool) = {ethtool_ioctl};
