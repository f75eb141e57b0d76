/* SPDX-License-Identifier: MIT
 *
 * Packet sockets: making, binding, closing. packet_sock.h has the rules.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/packet/packet_sock.h"
#include "arch/x86/uaccess.h"
#include "vfs/pseudo.h"

#define FIONREAD 0x541B
#define SIOCOUTQ 0x5411

static const struct socket_ops packet_ops;
static void packet_release(struct socket *s);
static struct slab_cache *packet_sock_cache;
static u32 packet_ns_offset;

static void packet_sock_init(void)
{
    packet_sock_cache = slab_cache_create("packet_sock", sizeof(struct packet_sock), 0);
}
INIT_HOOK(packet_sock_init, INIT_CORE);

static int packet_ns_setup(struct net_ns *ns, void *part)
{
    socket_list_init(&((struct packet_ns *)part)->list);
    return 0;
}
NET_PART("60", packet) = {sizeof(struct packet_ns), &packet_ns_offset, packet_ns_setup, NULL};

struct packet_ns *packet_ns_of(struct net_ns *ns)
{
    return net_part(ns, packet_ns_offset);
}

/* What it hears from here on. -ENOBUFS: too many see that device, or all: it hears nothing. */
static int packet_listen(struct packet_sock *ps, u16 protocol, u32 device) REQUIRES(ps->config)
{
    int err = 0;

    ASSERT_HELD(&ps->config);
    if (ps->tapping)
        net_tap_remove(&ps->tap);
    WRITE_ONCE(ps->protocol, protocol);
    WRITE_ONCE(ps->device, device);
    ps->tap.device = device;
    if (protocol)
        err = net_tap_add(&ps->tap);
    ps->tapping = protocol && !err;
    return err;
}

static struct socket *packet_create(struct net_ns *ns, int type, int protocol)
{
    struct packet_sock *ps;
    int err;

    if (!cred_capable(current_cred(), ns->user_ns, CAP_NET_RAW))
        return ERR_PTR(-EPERM);
    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return ERR_PTR(-ESOCKTNOSUPPORT);
    ps = slab_zalloc(packet_sock_cache);
    if (!ps)
        return ERR_PTR(-ENOBUFS);
    mutex_init(&ps->config, RANK_DRIVER, 26, "packet socket");
    list_init(&ps->tap.node);
    ps->tap.ns = ns;
    ps->tap.packet = packet_tapped;
    ps->sock.protocol = (u8)protocol;
    socket_init(&ps->sock, &packet_ops, ns, &packet_ns_of(ns)->list, AF_PACKET, type);
    mutex_lock(&ps->config);
    err = packet_listen(ps, __builtin_bswap16((u16)protocol), 0);
    mutex_unlock(&ps->config);
    if (!err)
        return &ps->sock;
    packet_release(&ps->sock);
    return ERR_PTR(err);
}

static int packet_bind(struct socket *s, const struct sock_addr *sa, u32 len,
                       const struct walk_ctx *ctx, u32 mode)
{
    struct packet_sock *ps = packet_of(s);
    struct netdev *dev = NULL;
    struct sockaddr_ll a;
    u16 protocol;
    int err;

    if (len < sizeof(a))
        return -EINVAL;
    memcpy(&a, sa, sizeof(a));
    if (a.family != AF_PACKET)
        return -EINVAL;
    if (a.index) {
        dev = a.index > 0 ? net_device_by_index(s->ns, (u32)a.index) : NULL;
        if (!dev)
            return -ENODEV;
    }
    protocol = __builtin_bswap16(a.protocol);
    mutex_lock(&ps->config);
    err = packet_listen(ps, protocol ? protocol : ps->protocol, (u32)a.index);
    mutex_unlock(&ps->config);
    if (!err && dev && !(READ_ONCE(dev->flags) & NETDEV_UP)) {
        WRITE_ONCE(s->error, ENETDOWN);
        socket_wake(s, POLLERR);
    }
    if (dev)
        netdev_put(dev);
    return err;
}

static int packet_name(struct socket *s, bool peer, struct sock_addr *out, u32 *len)
{
    struct packet_sock *ps = packet_of(s);
    struct sockaddr_ll a = {.family = AF_PACKET,
                            .protocol = __builtin_bswap16(READ_ONCE(ps->protocol)),
                            .index = (s32)READ_ONCE(ps->device)};
    struct netdev *dev = NULL;

    if (peer)
        return -EOPNOTSUPP;
    if (a.index)
        dev = net_device_by_index(s->ns, (u32)a.index);
    if (dev) {
        a.hatype = dev->type;
        a.halen = NETDEV_ADDR;
        memcpy(a.addr, dev->addr, NETDEV_ADDR);
        netdev_put(dev);
    }
    memcpy(out, &a, sizeof(a));
    *len =
        dev ? offsetof(struct sockaddr_ll, addr) + NETDEV_ADDR : offsetof(struct sockaddr_ll, addr);
    return 0;
}

static u32 packet_poll(struct socket *s, struct poll_table *pt)
{
    u32 mask = POLLOUT | POLLWRNORM;

    poll_wait(pt, &s->wait);
    if (READ_ONCE(s->queued) || packet_ring_readable(packet_of(s)))
        mask |= POLLIN | POLLRDNORM;
    if (READ_ONCE(s->error))
        mask |= POLLERR;
    return mask;
}

static s64 packet_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    u32 n = 0;

    if (cmd != FIONREAD && cmd != SIOCOUTQ)
        return -ENOTTY;
    if (cmd == FIONREAD)
        n = sock_unread(s);
    return copy_out((void __user *)arg, &n, sizeof(n));
}

static void packet_release(struct socket *s)
{
    struct packet_sock *ps = packet_of(s);
    struct list_node lost;

    list_init(&lost);
    mutex_lock(&ps->config);
    (void)packet_listen(ps, 0, 0);
    packet_leave_all(ps);
    mutex_unlock(&ps->config);
    packet_ring_free(ps);
    spin_lock(&s->lock);
    WRITE_ONCE(s->dead, true);
    sock_queue_take_all_locked(s, &lost);
    spin_unlock(&s->lock);
    sock_queue_free(s, &lost);
    socket_put(s);
}

static void packet_destroy(struct socket *s)
{
    socket_fini(s);
    slab_free(packet_sock_cache, packet_of(s));
}

/* A device that goes, or goes down, is no longer listened to: the program is told. */
static void packet_device_gone(struct socket *s, u32 device)
{
    if (READ_ONCE(packet_of(s)->device) != device)
        return;
    WRITE_ONCE(s->error, ENETDOWN);
    socket_wake(s, POLLERR);
}

static int packet_device_event(struct netdev *dev, enum net_device_event event)
{
    if (event == NET_DEVICE_DOWN || event == NET_DEVICE_GONE)
        socket_list_each(&packet_ns_of(dev->ns)->list, packet_device_gone, dev->index);
    return 0;
}
NET_DEVICE_HOOK(packet) = {packet_device_event};

static const struct socket_ops packet_ops = {
    .bind = packet_bind,
    .name = packet_name,
    .send = packet_send,
    .recv = packet_recv,
    .poll = packet_poll,
    .set_option = packet_set_option,
    .get_option = packet_get_option,
    .ioctl = packet_ioctl,
    .mmap = packet_ring_map,
    .release = packet_release,
    .destroy = packet_destroy,
    .refuses = SOCK_SHUT_RD,
    .msg_give = packet_msg_give,
};

SOCKET_FAMILY(packet) = {.family = AF_PACKET, .create = packet_create};

static void packet_show(struct seq *out, struct socket *s, unsigned line)
{
    const struct packet_sock *ps = packet_of(s);

    seq_printf(out, "%016lx %-6d %-4d %04x   %-5d %1d %-6u %-6u %-6lu\n", 0UL, 2, s->type,
               READ_ONCE(ps->protocol), READ_ONCE(ps->device), READ_ONCE(ps->protocol) != 0,
               READ_ONCE(s->queued), user_ns_uid(current_cred()->user_ns, s->uid), s->ino);
}

static int packet_show_all(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
    socket_list_show(&packet_ns_of(ns)->list, out, packet_show);
    return 0;
}
NET_FILE(packet) = {"packet", packet_show_all};
