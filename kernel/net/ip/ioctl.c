/* SPDX-License-Identifier: MIT
 *
 * The interface ioctls of netdevice(7) and the routes of rtentry. What is not here, and more than
 * one address of a device, is rtnetlink's.
 */
#include "arch/x86/uaccess.h"
#include "net/core/device.h"
#include "net/core/sock.h"
#include "net/ip/addr.h"
#include "mm/slab.h"
#include "net/ip/fib.h"

enum {
    SIOCADDRT = 0x890b,
    SIOCDELRT = 0x890c,
    SIOCGIFNAME = 0x8910,
    SIOCGIFCONF = 0x8912,
    SIOCGIFFLAGS = 0x8913,
    SIOCSIFFLAGS = 0x8914,
    SIOCGIFADDR = 0x8915,
    SIOCSIFADDR = 0x8916,
    SIOCGIFBRDADDR = 0x8919,
    SIOCSIFBRDADDR = 0x891a,
    SIOCGIFNETMASK = 0x891b,
    SIOCSIFNETMASK = 0x891c,
    SIOCGIFMETRIC = 0x891d,
    SIOCGIFMTU = 0x8921,
    SIOCSIFMTU = 0x8922,
    SIOCSIFHWADDR = 0x8924,
    SIOCGIFHWADDR = 0x8927,
    SIOCGIFINDEX = 0x8933,
    SIOCGIFTXQLEN = 0x8942,
    SIOCGIFMAP = 0x8970,
};
enum {
    IFF_UP = 1,
    IFF_BROADCAST = 2,
    IFF_LOOPBACK = 8,
    IFF_RUNNING = 0x40,
    IFF_PROMISC = 0x100,
    IFF_ALLMULTI = 0x200,
    IFF_MULTICAST = 0x1000,
};
enum { RTF_GATEWAY = 2, RTF_HOST = 4, RTF_REJECT = 0x200 };

struct ifreq_in { /* sockaddr_in */
    u16 family;
    u8 port[2];
    u32 addr; /* as it lies on the wire */
};
struct ifreq_user {
    char name[NETDEV_NAME];
    union {
        u8 bytes[24];
        u16 flags;
        s32 number;
        struct ifreq_in in;
        struct {
            u16 family;
            u8 addr[NETDEV_ADDR];
        } link;
    };
};
struct rtentry_user {
    u64 pad1;
    struct ifreq_in dst;
    u64 dst_rest;
    struct ifreq_in gateway;
    u64 gateway_rest;
    struct ifreq_in mask;
    u64 mask_rest;
    u16 flags, pad2;
    u32 pad3;
    u64 pad4[2];
    u16 metric, pad5[3];
    u64 dev, mtu, window;
    u16 irtt, pad6[3];
};
static_assert(sizeof(struct rtentry_user) == 120, "struct rtentry");

static u32 ioctl_mask(u8 prefix)
{
    return prefix ? ~0U << (32 - prefix) : 0;
}

static void ioctl_put_addr(struct ifreq_user *r, u32 v4)
{
    memset(r->bytes, 0, sizeof(r->bytes));
    r->in.family = AF_INET;
    r->in.addr = ip_swap32(v4);
}

static u16 ioctl_flags(const struct netdev *dev)
{
    u32 flags = READ_ONCE(dev->flags);
    u16 out = flags & NETDEV_LOOPBACK ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST;

    if (flags & NETDEV_UP)
        out |= IFF_UP | (flags & NETDEV_CARRIER ? IFF_RUNNING : 0);
    return out;
}

/* Interfaces that have an address: the space they need (buf 0), or as many as fit. */
static s64 ioctl_conf(struct net_ns *ns, u64 arg)
{
    struct netdev *dev;
    u32 v4, at = 0, last = 0;
    int err = 0;
    u8 prefix;
    struct {
        s32 len, pad;
        u64 buf;
    } c;

    if (copy_in(&c, (const void __user *)arg, sizeof(c)))
        return -EFAULT;
    while ((dev = net_device_next(ns, last)) && !err) {
        struct ifreq_user r = {0};

        last = dev->index;
        if (ip_addr_get(dev, &v4, &prefix) && (!c.buf || (s64)at + (s64)sizeof(r) <= (s64)c.len)) {
            memcpy(r.name, dev->name, sizeof(r.name));
            ioctl_put_addr(&r, v4);
            err = c.buf ? copy_out((void __user *)(c.buf + at), &r, sizeof(r)) : 0;
            at += sizeof(r);
        }
        netdev_put(dev);
    }
    if (dev)
        netdev_put(dev);
    c.len = (s32)at;
    return err ? err : copy_out((void __user *)arg, &c, sizeof(c));
}

static int ioctl_get_addr(struct netdev *dev, unsigned cmd, struct ifreq_user *r)
{
    u32 v4;
    u8 prefix;

    if (!ip_addr_get(dev, &v4, &prefix))
        return -EADDRNOTAVAIL;
    if (cmd == SIOCGIFNETMASK)
        v4 = ioctl_mask(prefix);
    else if (cmd == SIOCGIFBRDADDR)
        v4 = dev->flags & NETDEV_LOOPBACK || prefix > 30 ? 0 : v4 | ~ioctl_mask(prefix);
    ioctl_put_addr(r, v4);
    return 0;
}

/* As Linux: an address without a mask has that of its class. */
static u8 ioctl_class(u32 v4)
{
    return v4 >> 31 == 0 ? 8 : v4 >> 30 == 2 ? 16 : v4 >> 29 == 6 ? 24 : 32;
}

static int ioctl_set_addr(struct netdev *dev, unsigned cmd, const struct ifreq_user *r)
{
    u32 given = ip_swap32(r->in.addr), v4 = 0;
    u8 prefix = 0;
    bool has = ip_addr_get(dev, &v4, &prefix);

    if (r->in.family != AF_INET)
        return -EINVAL;
    if (cmd == SIOCSIFADDR) {
        if (given &&
            (!ipv4_source_ok(given) != !!(dev->flags & NETDEV_LOOPBACK) || given >> 28 >= 14))
            return -EINVAL;
        return ip_addr_set(dev, given, ioctl_class(given));
    }
    if (!has)
        return -EADDRNOTAVAIL;
    if (cmd == SIOCSIFBRDADDR) /* it is what address and mask make it */
        return given == (v4 | ~ioctl_mask(prefix)) ? 0 : -EOPNOTSUPP;
    prefix = given ? (u8)(32 - __builtin_ctz(given)) : 0;
    return given == ioctl_mask(prefix) ? ip_addr_set(dev, v4, prefix) : -EINVAL;
}

static int ioctl_get(struct netdev *dev, unsigned cmd, struct ifreq_user *r)
{
    memset(r->bytes, 0, sizeof(r->bytes));
    switch (cmd) {
    case SIOCGIFFLAGS:
        r->flags = ioctl_flags(dev);
        return 0;
    case SIOCGIFMETRIC:
    case SIOCGIFMAP:
        return 0;
    case SIOCGIFTXQLEN:
        r->number = NETDEV_BACKLOG;
        return 0;
    case SIOCGIFMTU:
        r->number = (s32)READ_ONCE(dev->mtu);
        return 0;
    case SIOCGIFHWADDR:
        r->link.family = dev->type;
        memcpy(r->link.addr, dev->addr, NETDEV_ADDR);
        return 0;
    case SIOCGIFINDEX:
        r->number = (s32)dev->index;
        return 0;
    default:
        return -ENOTTY;
    }
}

static int ioctl_set_flags(struct netdev *dev, u16 flags)
{
    if (flags & (IFF_PROMISC | IFF_ALLMULTI))
        return -EOPNOTSUPP;
    if (flags & IFF_UP)
        return net_device_up(dev);
    net_device_down(dev);
    return 0;
}

static int ioctl_set(struct netdev *dev, unsigned cmd, const struct ifreq_user *r)
{
    if (!cred_capable(current_cred(), dev->ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    switch (cmd) {
    case SIOCSIFFLAGS:
        return ioctl_set_flags(dev, r->flags);
    case SIOCSIFMTU:
        return r->number < 0 ? -EINVAL : net_device_set_mtu(dev, (u32)r->number);
    case SIOCSIFHWADDR:
        return r->link.family == dev->type ? net_device_set_address(dev, r->link.addr) : -EINVAL;
    default:
        return ioctl_set_addr(dev, cmd, r);
    }
}

/* A route of rtentry. A mask that is not given is a host's, or of all for the wildcard. */
static int ioctl_route_view(struct net_ns *ns, const struct rtentry_user *r,
                            struct ip_route_view *v)
{
    u32 to = ip_swap32(r->dst.addr), mask = ip_swap32(r->mask.addr);
    char name[NETDEV_NAME] = {0};
    struct netdev *dev;
    s64 n;

    *v = (struct ip_route_view){.family = AF_INET,
                                .type = ROUTE_UNICAST,
                                .scope = r->flags & RTF_GATEWAY ? SCOPE_UNIVERSE : SCOPE_LINK,
                                .protocol = ROUTE_BY_BOOT,
                                .to = ip_from_v4(to),
                                .priority = r->metric ? r->metric - 1U : 0,
                                .mtu = (u32)r->mtu,
                                .window = (u32)r->window,
                                .nr_hops = 1};
    v->prefix = r->flags & RTF_HOST || !mask ? 0 : (u8)(32 - __builtin_ctz(mask));
    if (r->flags & RTF_HOST)
        v->prefix = 32;
    if (!(r->flags & RTF_HOST) && (ioctl_mask(v->prefix) != mask || (to & ~mask)))
        return -EINVAL;
    if (r->flags & RTF_REJECT) {
        v->type = ROUTE_UNREACHABLE;
        v->nr_hops = 0;
    }
    if (r->flags & RTF_GATEWAY)
        v->hops[0].gateway = ip_from_v4(ip_swap32(r->gateway.addr));
    if (!r->dev)
        return 0;
    n = copy_string_in(name, (const char __user *)r->dev, sizeof(name) - 1);
    dev = n < 0 ? NULL : net_device_by_name(ns, name);
    if (!dev)
        return n < 0 ? -EFAULT : -ENODEV;
    v->hops[0].device = dev->index;
    netdev_put(dev);
    return 0;
}

static s64 ioctl_route(struct net_ns *ns, unsigned cmd, u64 arg)
{
    struct ip_route_view *v;
    struct rtentry_user r;
    int err;

    if (copy_in(&r, (const void __user *)arg, sizeof(r)))
        return -EFAULT;
    if (!cred_capable(current_cred(), ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    v = kmalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    err = ioctl_route_view(ns, &r, v);
    if (!err && cmd == SIOCADDRT)
        err = ip_route_add(ns, v, IP_CREATE | IP_EXCL);
    if (!err && cmd == SIOCDELRT) {
        v->scope = SCOPE_NOWHERE;
        v->protocol = 0;
        v->nr_hops = v->hops[0].device || (r.flags & RTF_GATEWAY);
        err = ip_route_remove(ns, v);
    }
    kfree(v);
    return err;
}

static bool ioctl_is_addr(unsigned cmd)
{
    return cmd >= SIOCGIFADDR && cmd <= SIOCSIFNETMASK;
}

static bool ioctl_is_set(unsigned cmd)
{
    return cmd == SIOCSIFFLAGS || cmd == SIOCSIFADDR || cmd == SIOCSIFNETMASK ||
           cmd == SIOCSIFBRDADDR || cmd == SIOCSIFMTU || cmd == SIOCSIFHWADDR;
}

static s64 ioctl_device(struct net_ns *ns, unsigned cmd, struct ifreq_user *r, u64 arg)
{
    struct netdev *dev = cmd == SIOCGIFNAME ? net_device_by_index(ns, (u32)r->number)
                                            : net_device_by_name(ns, r->name);
    int err = 0;

    if (!dev)
        return -ENODEV;
    if (ioctl_is_set(cmd))
        err = ioctl_set(dev, cmd, r);
    else if (cmd == SIOCGIFNAME)
        memcpy(r->name, dev->name, sizeof(r->name));
    else if (ioctl_is_addr(cmd))
        err = ioctl_get_addr(dev, cmd, r);
    else
        err = ioctl_get(dev, cmd, r);
    netdev_put(dev);
    if (err || ioctl_is_set(cmd))
        return err;
    return copy_out((void __user *)arg, r, sizeof(*r));
}

/* What concerns addresses is for sockets of IPv4 alone. */
static s64 ioctl_devices(struct socket *s, unsigned cmd, u64 arg)
{
    struct ifreq_user r;

    if (cmd == SIOCADDRT || cmd == SIOCDELRT)
        return s->family == AF_INET ? ioctl_route(s->ns, cmd, arg) : -ENOTTY;
    if (cmd < SIOCGIFNAME || cmd > 0x89ff || (ioctl_is_addr(cmd) && s->family != AF_INET))
        return -ENOTTY;
    if (cmd == SIOCGIFCONF)
        return ioctl_conf(s->ns, arg);
    if (copy_in(&r, (const void __user *)arg, sizeof(r)))
        return -EFAULT;
    r.name[sizeof(r.name) - 1] = 0;
    return ioctl_device(s->ns, cmd, &r, arg);
}

SOCKET_IOCTL(devices) = {ioctl_devices};
