/* SPDX-License-Identifier: MIT
 *
 * The interface ioctls of netdevice(7) that change what net/core keeps of a device: busybox's `ip`
 * renames by one.
 */
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "net/core/device.h"
#include "net/core/sock.h"

enum { SIOCSIFNAME = 0x8923, SIOCSIFTXQLEN = 0x8943, SIOCGMIIPHY = 0x8947, SIOCSMIIREG = 0x8949 };

/* mii-tool's: registers of a link's chip, which no device shows here. */
static bool ioctl_is_mii(unsigned cmd)
{
    return cmd >= SIOCGMIIPHY && cmd <= SIOCSMIIREG;
}

struct ifreq_change {
    char name[NETDEV_NAME];
    union {
        char to[24];
        s32 number;
    };
};

static s64 ioctl_change_do(struct netdev *dev, unsigned cmd, struct ifreq_change *r)
{
    if (cmd == SIOCSIFNAME) {
        r->to[NETDEV_NAME - 1] = 0;
        return net_device_rename(dev, r->to);
    }
    if (ioctl_is_mii(cmd))
        return -EOPNOTSUPP;
    if (r->number < 0)
        return -EINVAL;
    WRITE_ONCE(dev->tx_queue_len, MIN((u32)r->number, NETDEV_BACKLOG_MOST));
    return 0;
}

static s64 ioctl_change(struct socket *s, unsigned cmd, u64 arg)
{
    struct ifreq_change r;
    struct netdev *dev;
    s64 err;

    if (cmd != SIOCSIFNAME && cmd != SIOCSIFTXQLEN && !ioctl_is_mii(cmd))
        return -ENOTTY;
    if (copy_in(&r, (const void __user *)arg, sizeof(r)))
        return -EFAULT;
    if (!cred_capable(current_cred(), s->ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    r.name[NETDEV_NAME - 1] = 0;
    dev = net_device_by_name(s->ns, r.name);
    if (!dev)
        return -ENODEV;
    err = ioctl_change_do(dev, cmd, &r);
    netdev_put(dev);
    return err;
}
SOCKET_IOCTL(netlink) = {ioctl_change};
