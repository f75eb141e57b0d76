/* SPDX-License-Identifier: MIT
 *
 * The interface ioctls of netdevice(7), for the one interface there is: lo.
 */
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/sock.h"
#include "net/ip/ip_priv.h"
#include "obj/cred.h"

enum {
    SIOCGIFNAME = 0x8910,
    SIOCGIFCONF = 0x8912,
    SIOCGIFFLAGS = 0x8913,
    SIOCSIFFLAGS = 0x8914,
    SIOCGIFADDR = 0x8915,
    SIOCSIFADDR = 0x8916,
    SIOCGIFDSTADDR = 0x8917,
    SIOCGIFBRDADDR = 0x8919,
    SIOCGIFNETMASK = 0x891b,
    SIOCGIFMETRIC = 0x891d,
    SIOCGIFMTU = 0x8921,
    SIOCGIFHWADDR = 0x8927,
    SIOCGIFINDEX = 0x8933,
    SIOCGIFTXQLEN = 0x8942,
    SIOCETHTOOL = 0x8946,
    SIOCGIFMAP = 0x8970,
};
#define IFF_UP 1
#define IFF_LOOPBACK 8
#define IFF_RUNNING 0x40
#define ARPHRD_LOOPBACK 772

struct ifreq_user {
    char name[16];
    union {
        u8 bytes[24];
        u16 flags;
        s32 number;
        struct {
            u16 family;
            u8 port[2], addr[4];
        } in;
    };
};

/* Interfaces that have an address: the room they need, or as many as fit. */
static s64 inet_ioctl_conf(struct net_ns *ns, u64 arg)
{
    struct ifreq_user r = {.name = "lo"};
    bool up = READ_ONCE(ip_ns_of(ns)->lo_up);
    struct {
        s32 len, pad;
        u64 buf;
    } c;

    if (copy_in(&c, (const void __user *)arg, sizeof(c)))
        return -EFAULT;
    r.in.family = AF_INET;
    r.in.addr[0] = 127;
    r.in.addr[3] = 1;
    if (!up || (c.buf && c.len < (s32)sizeof(r)))
        c.len = 0;
    else if (c.buf && copy_out((void __user *)c.buf, &r, sizeof(r)))
        return -EFAULT;
    else
        c.len = sizeof(r);
    return copy_out((void __user *)arg, &c, sizeof(c));
}

/* What concerns addresses: not for unix sockets. */
static int inet_ioctl_addr(struct net_ns *ns, unsigned cmd, struct ifreq_user *r)
{
    bool one = cmd == SIOCGIFADDR || cmd == SIOCGIFDSTADDR;

    if (!READ_ONCE(ip_ns_of(ns)->lo_up))
        return -EADDRNOTAVAIL; /* it comes and goes with the interface */
    memset(r->bytes, 0, sizeof(r->bytes));
    r->in.family = AF_INET;
    r->in.addr[0] = one ? 127 : cmd == SIOCGIFNETMASK ? 255 : 0;
    r->in.addr[3] = one;
    return 0;
}

static int inet_ioctl_get(struct net_ns *ns, unsigned cmd, struct ifreq_user *r)
{
    switch (cmd) {
    case SIOCGIFFLAGS:
        r->flags = IFF_LOOPBACK | (ip_ns_of(ns)->lo_up ? IFF_UP | IFF_RUNNING : 0);
        return 0;
    case SIOCGIFMETRIC:
        r->number = 0;
        return 0;
    case SIOCGIFTXQLEN:
        r->number = 1000;
        return 0;
    case SIOCGIFMAP:
        memset(r->bytes, 0, sizeof(r->bytes));
        return 0;
    case SIOCETHTOOL:
        return -EOPNOTSUPP;
    case SIOCGIFMTU:
        r->number = 65536;
        return 0;
    case SIOCGIFHWADDR:
        memset(r->bytes, 0, sizeof(r->bytes));
        r->flags = ARPHRD_LOOPBACK;
        return 0;
    case SIOCGIFINDEX:
        r->number = 1;
        return 0;
    default:
        return -ENOTTY;
    }
}

static bool inet_ioctl_is_addr(unsigned cmd)
{
    return cmd == SIOCGIFADDR || cmd == SIOCSIFADDR || cmd == SIOCGIFDSTADDR ||
           cmd == SIOCGIFBRDADDR || cmd == SIOCGIFNETMASK;
}

static s64 inet_ioctl_set(struct net_ns *ns, unsigned cmd, const struct ifreq_user *r)
{
    if (!cred_capable(current_cred(), ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    if (cmd == SIOCSIFADDR) /* the loopback's address is given */
        return r->in.addr[0] == 127 ? 0 : -EINVAL;
    WRITE_ONCE(ip_ns_of(ns)->lo_up, r->flags & IFF_UP);
    return 0;
}

static s64 net_dev_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    struct ifreq_user r;
    int err;

    if (cmd < SIOCGIFNAME || cmd > 0x89ff || (inet_ioctl_is_addr(cmd) && s->family != AF_INET))
        return -ENOTTY;
    if (cmd == SIOCGIFCONF)
        return inet_ioctl_conf(s->ns, arg);
    if (copy_in(&r, (const void __user *)arg, sizeof(r)))
        return -EFAULT;
    if (cmd == SIOCGIFNAME) {
        if (r.number != 1)
            return -ENODEV;
        memcpy(r.name, "lo", 3);
        return copy_out((void __user *)arg, &r, sizeof(r));
    }
    if (strncmp(r.name, "lo", sizeof(r.name)))
        return -ENODEV;
    if (cmd == SIOCSIFFLAGS || cmd == SIOCSIFADDR)
        return inet_ioctl_set(s->ns, cmd, &r);
    err =
        inet_ioctl_is_addr(cmd) ? inet_ioctl_addr(s->ns, cmd, &r) : inet_ioctl_get(s->ns, cmd, &r);
    return err ? err : copy_out((void __user *)arg, &r, sizeof(r));
}

SOCKET_IOCTL(devices) = {net_dev_ioctl};
