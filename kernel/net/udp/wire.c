/* SPDX-License-Identifier: MIT
 *
 * Datagrams to other hosts: the caller's bytes go into packets once, the checksum is left to the
 * device, and what is under way is bounded by sndbuf (core/sending.h).
 */
#include "lib/log.h"
#include "lib/wire.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/sending.h"
#include "net/ip/option.h"
#include "net/udp/udp.h"
#include "vm/iov.h"

bool udp_path_get(struct udp_sock *u, const struct ip_addr *to, struct inet_way *way)
{
    struct socket *s = &u->inet.sock;
    bool good;

    spin_lock(&s->lock);
    good = u->path.dev && ip_equal(&u->path_to, to) && ip_path_is_valid(s->ns, &u->path) &&
           u->path_device == s->bound_device && u->path_mark == s->mark;
    if (good) {
        way->path = u->path;
        netdev_get(way->path.dev);
        way->source = way->path.source;
        way->device = way->path.dev->index;
    }
    spin_unlock(&s->lock);
    return good;
}

void udp_path_keep(struct udp_sock *u, const struct ip_end *to, const struct inet_way *way)
{
    struct socket *s = &u->inet.sock;
    struct ip_path old = {0};

    spin_lock(&s->lock);
    if (!s->dead && u->inet.peer.port == to->port && ip_equal(&u->inet.peer.addr, &to->addr) &&
        !(READ_ONCE(way->path.dev->flags) & NETDEV_GONE)) { /* else nothing would drop it */
        old = u->path;
        u->path = way->path;
        u->path_to = to->addr;
        netdev_get(u->path.dev);
        u->path_device = s->bound_device;
        u->path_mark = s->mark;
    }
    spin_unlock(&s->lock);
    ip_path_put(&old);
}

void udp_path_drop(struct udp_sock *u)
{
    struct ip_path old;

    spin_lock(&u->inet.sock.lock);
    old = u->path;
    u->path = (struct ip_path){0};
    spin_unlock(&u->inet.sock.lock);
    ip_path_put(&old);
}

/* Under the list's lock. The device is kept by those who take it away. */
static void udp_path_forget(struct socket *s, u32 device)
{
    if (READ_ONCE(udp_of(s)->path.dev))
        udp_path_drop(udp_of(s));
}

static int udp_device_event(struct netdev *dev, enum net_device_event event)
{
    if (event != NET_DEVICE_GONE)
        return 0;
    socket_list_each(&udp_ns_of(dev->ns, false)->list, udp_path_forget, dev->index);
    socket_list_each(&udp_ns_of(dev->ns, true)->list, udp_path_forget, dev->index);
    return 0;
}
NET_DEVICE_HOOK(udp) = {udp_device_event};

/* One datagram with the next n bytes of data; NULL with *err. */
static struct packet *udp_packet(struct udp_sock *u, struct iov_iter *data, u32 n,
                                 const struct udp_way *w, int *err)
{
    struct packet *p = sock_packet_alloc();
    u8 *at = p ? packet_append(p, UDP_HEADER) : NULL;

    *err = -ENOBUFS;
    if (!at)
        return NULL;
    wire_put_u16(at, READ_ONCE(u->inet.local.port));
    wire_put_u16(at + 2, w->to.port);
    wire_put_u16(at + 4, (u16)(UDP_HEADER + n));
    wire_put_u16(at + 6, 0);
    *err = sock_packet_fill(p, data, n);
    if (!*err)
        *err = sock_send_count(&u->inet.sock, p);
    if (*err) {
        packet_free(p);
        return NULL;
    }
    p->mark = (u32)u->inet.sock.mark;
    p->priority = (u32)u->inet.sock.priority;
    return p;
}

/* With IP_RECVERR the queue of errors has what the path takes. */
static void udp_too_long(struct udp_sock *u, const struct udp_way *w)
{
    const struct ip_error e = {.err = EMSGSIZE, .origin = 1, .mtu = w->way.path.mtu};

    if (inet_wants_errors(&u->inet, ip_is_v4(&w->to.addr)))
        inet_error(&u->inet, &e, &w->to, NULL, 0);
}

static bool udp_sums(const struct udp_sock *u, bool v4)
{
    return v4 ? !READ_ONCE(u->inet.sock.no_check)
              : !inet_option_on(&u->inet, IPPROTO_UDP, UDP_NO_CHECK6_TX);
}

static int udp_emit(struct udp_sock *u, struct iov_iter *data, u32 n, const struct udp_way *w)
{
    bool v4 = ip_is_v4(&w->to.addr);
    struct ip_info info;
    struct packet *p;
    int err;

    p = udp_packet(u, data, n, w, &err);
    if (!p)
        return err;
    inet_info(&u->inet, &w->way, &w->to.addr, &w->header, p->len, &info);
    if (unlikely(u->lite))
        udp_lite_sum(u, p, &info);
    else if (udp_sums(u, v4))
        ip_sum_later(p, &info, 6);
    err = ip_output(u->inet.sock.ns, p, &w->way.path, &info);
    if (err == -EMSGSIZE)
        udp_too_long(u, w);
    /* udp(7): what a queue on the way drops is told to who asked for it. */
    if (err == -ENOBUFS && !inet_wants_errors(&u->inet, v4))
        err = 0;
    return err;
}

int udp_transmit(struct udp_sock *u, struct iov_iter *data, const struct udp_way *w, unsigned flags)
{
    u64 each = w->header.segment ? w->header.segment : MAX(data->count, (u64)1);
    u32 headers = UDP_HEADER + (ip_is_v4(&w->to.addr) ? 20 : 40);
    int err = 0;

    if (w->header.segment && headers + each > w->way.path.mtu)
        return -EINVAL;
    do {
        err = sock_send_wait(&u->inet.sock, flags);
        if (!err)
            err = udp_emit(u, data, (u32)MIN(data->count, each), w);
        cond_yield();
    } while (data->count && !err);
    return err;
}
