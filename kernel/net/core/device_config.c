/* SPDX-License-Identifier: MIT
 *
 * What programs change of a device, under its namespace's config, and how they see it.
 */
#include "dev/up.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/device.h"
#include "net/core/event.h"

enum {
    IFF_UP = 1,
    IFF_BROADCAST = 2,
    IFF_LOOPBACK = 8,
    IFF_POINTOPOINT = 0x10,
    IFF_RUNNING = 0x40,
    IFF_NOARP = 0x80,
    IFF_PROMISC = 0x100,
    IFF_ALLMULTI = 0x200,
    IFF_MULTICAST = 0x1000,
    IFF_LOWER_UP = 0x10000,
};

static u32 device_kind_flags(const struct netdev *dev)
{
    if (READ_ONCE(dev->flags) & NETDEV_LOOPBACK)
        return IFF_LOOPBACK;
    return dev->type == ARPHRD_ETHER ? IFF_BROADCAST | IFF_MULTICAST
                                     : IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
}

u32 net_device_flags(const struct netdev *dev)
{
    u32 flags = READ_ONCE(dev->flags), out = device_kind_flags(dev);

    if (flags & NETDEV_UP)
        out |= IFF_UP | (flags & NETDEV_CARRIER ? IFF_RUNNING | IFF_LOWER_UP : 0);
    if (READ_ONCE(dev->asked_promisc))
        out |= IFF_PROMISC;
    if (READ_ONCE(dev->asked_allmulti))
        out |= IFF_ALLMULTI;
    return out;
}

u8 net_device_state(const struct netdev *dev)
{
    u32 flags = READ_ONCE(dev->flags);

    if (flags & NETDEV_LOOPBACK)
        return IF_OPER_UNKNOWN; /* as ever: it has no link that could tell */
    if (!(flags & NETDEV_UP))
        return IF_OPER_DOWN;
    if (flags & NETDEV_CARRIER)
        return IF_OPER_UP;
    return dev->depth ? IF_OPER_LOWERLAYERDOWN : IF_OPER_DOWN;
}

void net_device_told(struct netdev *dev)
{
    net_config_lock(dev->ns);
    if (!(READ_ONCE(dev->flags) & NETDEV_GONE))
        net_event(dev->ns, NET_EVENT_LINK, dev, 0);
    net_config_unlock(dev->ns);
}

/* The flags' own wish for all frames, or all groups': NETDEV_PROMISC, NETDEV_ALLMULTI. */
static void net_device_ask(struct netdev *dev, u32 flag, bool on)
{
    bool *asked = flag == NETDEV_PROMISC ? &dev->asked_promisc : &dev->asked_allmulti;

    net_config_lock(dev->ns);
    if (*asked != on && !(READ_ONCE(dev->flags) & NETDEV_GONE)) {
        if (on && netdev_hold_flag(dev, flag))
            on = false;
        else if (!on)
            netdev_release_flag(dev, flag);
        WRITE_ONCE(*asked, on);
        net_event(dev->ns, NET_EVENT_LINK, dev, 0);
    }
    net_config_unlock(dev->ns);
}

int net_device_set_flags(struct netdev *dev, u32 want, u32 change)
{
    u32 now = net_device_flags(dev), flags = (now & ~change) | (want & change);
    int err = 0;

    if ((flags ^ now) & IFF_PROMISC)
        net_device_ask(dev, NETDEV_PROMISC, flags & IFF_PROMISC);
    if ((flags ^ now) & IFF_ALLMULTI)
        net_device_ask(dev, NETDEV_ALLMULTI, flags & IFF_ALLMULTI);
    if ((flags & ~now) & IFF_UP)
        err = net_device_up(dev);
    else if ((now & ~flags) & IFF_UP)
        net_device_down(dev);
    return err;
}

bool net_device_altname_ok(const char *name)
{
    if (!name[0] || !strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    if (!strcmp(name, "all") || !strcmp(name, "default")) /* directories of sysctls have these */
        return false;
    for (u32 i = 0; name[i]; i++)
        if (i == NET_ALTNAME - 1 || (u8)name[i] <= ' ' || name[i] == '/' || name[i] == ':')
            return false;
    return true;
}

bool net_device_name_ok(const char *name)
{
    return strnlen(name, NETDEV_NAME) < NETDEV_NAME && net_device_altname_ok(name);
}

int net_device_rename(struct netdev *dev, const char *name)
{
    struct net_rename renamed;
    int err = 0;

    if (!net_device_name_ok(name) || strchr(name, '%'))
        return -EINVAL;
    net_config_lock(dev->ns);
    if (READ_ONCE(dev->flags) & NETDEV_UP)
        err = -EBUSY;
    if (READ_ONCE(dev->flags) & NETDEV_GONE)
        err = -ENODEV;
    renamed = (struct net_rename){.dev = dev};
    net_device_name(dev, renamed.from);
    if (!err)
        err = net_device_set_name(dev, name);
    if (!err) {
        WRITE_ONCE(dev->name_is, NETDEV_NAME_CHANGED);
        net_event(dev->ns, NET_EVENT_LINK, dev, 0);
        net_event(dev->ns, NET_EVENT_RENAMED, &renamed, 0);
    }
    net_config_unlock(dev->ns);
    return err;
}

int net_device_set_mtu(struct netdev *dev, u32 mtu)
{
    int err;

    net_config_lock(dev->ns);
    err = netdev_set_mtu(dev, mtu);
    if (!err)
        net_device_changed(dev);
    net_config_unlock(dev->ns);
    return err;
}

int net_device_set_address(struct netdev *dev, const u8 *addr)
{
    int err;

    net_config_lock(dev->ns);
    err = netdev_set_address(dev, addr);
    if (!err) {
        WRITE_ONCE(dev->addr_is, NETDEV_ADDR_SET);
        net_device_changed(dev);
    }
    net_config_unlock(dev->ns);
    return err;
}
