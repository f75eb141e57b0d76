/* SPDX-License-Identifier: MIT
 *
 * Packet sockets: sending. SOCK_RAW's bytes begin with the link header, SOCK_DGRAM gets one for the
 * address that is named.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/device.h"
#include "net/core/sending.h"
#include "net/link/ethernet.h"
#include "net/packet/packet_sock.h"
#include "vm/iov.h"

static int packet_to(struct packet_sock *ps, const struct socket_message *m, struct sockaddr_ll *a)
{
    memset(a, 0, sizeof(*a));
    a->index = (s32)READ_ONCE(ps->device);
    a->protocol = __builtin_bswap16(READ_ONCE(ps->protocol));
    if (!m->addr_len)
        return ps->sock.type == SOCK_RAW || a->index ? 0 : -ENOTCONN;
    if (m->addr_len < offsetof(struct sockaddr_ll, addr))
        return -EINVAL;
    memcpy(a, &m->addr, MIN(m->addr_len, (u32)sizeof(*a)));
    if (a->family != AF_PACKET || (u32)a->halen + offsetof(struct sockaddr_ll, addr) > m->addr_len)
        return -EINVAL;
    return 0;
}

/* Whether the frame says where its network header is, and what that is. */
static int packet_head(struct packet *p, struct netdev *dev, const struct sockaddr_ll *a, bool raw)
{
    const struct net_link *l = net_link_of(dev);
    struct ethernet e;
    const u8 *frame;
    u32 n;

    p->protocol = __builtin_bswap16(a->protocol);
    if (!raw) {
        p->network = p->start;
        if (!l || (dev->header && a->halen < NETDEV_ADDR))
            return dev->header ? -EINVAL : 0;
        return l->header(p, dev, p->protocol, a->addr);
    }
    n = MIN(p->len, (u32)ETHERNET_HEADER + VLAN_TAG);
    frame = dev->header ? packet_need(p, n) : NULL;
    if (dev->header && (!frame || p->len < dev->header))
        return -EINVAL;
    p->link = p->start;
    if (frame && !ethernet_parse(frame, n, &e)) {
        p->protocol = e.type;
        p->network = (u16)(p->start + e.header);
    }
    return 0;
}

/* The bytes of a call as a packet. */
static int packet_make(struct packet_sock *ps, struct socket_message *m, struct netdev *dev,
                       const struct sockaddr_ll *a, struct packet **out)
{
    bool raw = ps->sock.type == SOCK_RAW;
    u64 n = m->data->count;
    struct packet *p;
    int err;

    if (n > READ_ONCE(dev->mtu) + (raw ? (u32)dev->header + VLAN_TAG : 0))
        return -EMSGSIZE;
    p = sock_packet_alloc();
    if (!p)
        return -ENOBUFS;
    err = sock_packet_fill(p, m->data, n);
    if (!err)
        err = packet_head(p, dev, a, raw);
    if (!err)
        err = sock_send_count(&ps->sock, p);
    if (err) {
        packet_free(p);
        return err;
    }
    p->dev = dev;
    p->priority = (u32)ps->sock.priority;
    p->mark = (u32)ps->sock.mark;
    *out = p;
    return 0;
}

ssize_t packet_send(struct socket *s, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx)
{
    struct packet_sock *ps = packet_of(s);
    u64 n = m->data->count;
    struct sockaddr_ll a;
    struct netdev *dev;
    struct packet *p;
    int err = packet_to(ps, m, &a);

    if (err)
        return err;
    dev = a.index > 0 ? net_device_by_index(s->ns, (u32)a.index) : NULL;
    if (!dev)
        return -ENXIO;
    err = READ_ONCE(dev->flags) & NETDEV_UP ? sock_send_wait(s, flags) : -ENETDOWN;
    if (!err)
        err = packet_make(ps, m, dev, &a, &p);
    if (!err)
        err = netdev_transmit(dev, p);
    netdev_put(dev);
    return err ? err : (ssize_t)n;
}
