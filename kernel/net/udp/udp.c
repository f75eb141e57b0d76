/* SPDX-License-Identifier: MIT
 *
 * UDP sockets: making, connecting, receiving, closing. udp.h has the rules.
 */
#include "net/udp/udp.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/option.h"

static const struct inet_proto udp_proto;
static struct slab_cache *udp_cache;
static u32 udp_ns_offset, udp_lite_ns_offset;

static void udp_init(void)
{
    udp_cache = slab_cache_create("udp_sock", sizeof(struct udp_sock), 0);
}
INIT_HOOK(udp_init, INIT_CORE);

static int udp_ns_setup(struct net_ns *ns, void *part)
{
    struct udp_ns *un = part;

    socket_list_init(&un->list);
    port_table_init(&un->ports);
    return 0;
}

static void udp_ns_teardown(struct net_ns *ns, void *part)
{
    struct udp_ns *un = part;

    port_table_fini(&un->ports);
}
NET_PART("40", udp) = {sizeof(struct udp_ns), &udp_ns_offset, udp_ns_setup, udp_ns_teardown};

NET_PART("40", udp_lite) = {sizeof(struct udp_ns), &udp_lite_ns_offset, udp_ns_setup,
                            udp_ns_teardown};

struct udp_ns *udp_ns_of(struct net_ns *ns, bool lite)
{
    return net_part(ns, unlikely(lite) ? udp_lite_ns_offset : udp_ns_offset);
}

static struct port_table *udp_ports(struct net_ns *ns)
{
    return &udp_ns_of(ns, false)->ports;
}

struct socket *udp_make(struct net_ns *ns, int family, const struct inet_proto *proto, bool lite)
{
    struct udp_sock *u = slab_zalloc(udp_cache);

    if (!u)
        return ERR_PTR(-ENOMEM);
    u->lite = lite;
    inet_setup(&u->inet, proto, ns, &udp_ns_of(ns, lite)->list, family);
    return &u->inet.sock;
}

static struct socket *udp_create(struct net_ns *ns, int family)
{
    return udp_make(ns, family, &udp_proto, false);
}

static void udp_destroy(struct socket *s)
{
    ip_path_put(&udp_of(s)->path);
    inet_fini(inet_of(s));
    slab_free(udp_cache, udp_of(s));
}

/* A port that was chosen for the connection goes with it. */
static int udp_disconnect(struct udp_sock *u)
{
    struct ip_end none = {0};

    if (!READ_ONCE(u->inet.local.port))
        return 0;
    udp_path_drop(u);
    if (u->inet.auto_port) {
        port_end(&u->inet);
        return 0;
    }
    return port_connect(&u->inet, &none.addr, &none);
}

int udp_kill(struct udp_sock *u)
{
    WRITE_ONCE(u->inet.sock.error, ECONNABORTED);
    socket_wake(&u->inet.sock, POLLERR);
    return udp_disconnect(u);
}

static int udp_connect(struct socket *s, const struct sock_addr *sa, u32 len,
                       const struct walk_ctx *ctx, bool nonblock)
{
    struct udp_sock *u = udp_of(s);
    struct ip_addr any = inet_any(&u->inet);
    struct ip_end to, local;
    struct inet_way way;
    int err;

    if (len >= sizeof(sa->family) && sa->family == AF_UNSPEC)
        return udp_disconnect(u);
    err = udp_addr_in(u, sa, len, &to);
    if (!err && sa->family == AF_INET && s->family == AF_INET6 && u->inet.v6only)
        err = -EAFNOSUPPORT;
    if (!err && to.port && ip_is_v4(&to.addr) && ip_v4(&to.addr) == ~0U && !s->broadcast)
        err = -EACCES;
    local = inet_local(&u->inet);
    if (!err)
        err = inet_route(&u->inet, &local, &to, NULL, &way);
    if (err)
        return err;
    inet_way_put(&way);
    err = inet_autobind(&u->inet, &any);
    if (!err)
        err = port_connect(&u->inet, &way.source, &to);
    udp_path_drop(u);
    return err;
}

static int udp_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m,
                        unsigned flags, bool *last)
{
    const struct udp_msg *um = (const struct udp_msg *)msg;

    inet_addr_out(inet_of(s), &um->from, &m->addr, &m->addr_len);
    if (unlikely(um->segment)) {
        s32 segment = um->segment;

        socket_note(m, IPPROTO_UDP, UDP_GRO, &segment, sizeof(segment));
    }
    if (READ_ONCE(inet_of(s)->opt)) /* else nothing was asked for */
        inet_notes(inet_of(s), m, &um->heard, READ_ONCE(inet_of(s)->local.port));
    return 0;
}

static int udp_shutdown(struct socket *s, int how)
{
    /* udp(7): only a connected one; it is done all the same, which Linux does, too. */
    if (!inet_has_peer(inet_of(s)))
        return -ENOTCONN;
    sock_set_shut(s, (u32)how + 1); /* SHUT_RD, SHUT_WR, SHUT_RDWR are our bits less one */
    return 0;
}

static void udp_release(struct socket *s)
{
    port_end(inet_of(s));
    udp_drop_pending(udp_of(s));
    udp_path_drop(udp_of(s));
    inet_datagram_end(s);
}

static const struct inet_option udp_options[] = {
    {IPPROTO_UDP, UDP_CORK, INET_FLAG, 0, 1, 0},
    {IPPROTO_UDP, UDP_NO_CHECK6_TX, INET_FLAG, 0, 1, 0},
    {IPPROTO_UDP, UDP_NO_CHECK6_RX, INET_FLAG, 0, 1, 0},
    {IPPROTO_UDP, UDP_SEGMENT, INET_RANGE, 0, 65535, 0},
    {IPPROTO_UDP, UDP_GRO, INET_FLAG, 0, 1, 0},
};

static int udp_control(struct socket_message *m, s32 type, const void *data, u64 n)
{
    if (type != UDP_SEGMENT || n != sizeof(m->header.segment))
        return -EINVAL;
    memcpy(&m->header.segment, data, n);
    return 0;
}

int udp_option_changed(struct inet_sock *s, const struct inet_option *o, s32 v)
{
    return o->level == IPPROTO_UDP && o->name == UDP_CORK && !v ? udp_flush(udp_of(&s->sock)) : 0;
}

const struct socket_ops udp_ops = {
    .bind = inet_bind,
    .connect = udp_connect,
    .name = inet_name,
    .send = udp_send,
    .recv = inet_datagram_recv,
    .recv_error = inet_recv_error,
    .control = inet_control,
    .shutdown = udp_shutdown,
    .poll = inet_datagram_poll,
    .set_option = inet_set_option,
    .get_option = inet_get_option,
    .ioctl = inet_datagram_ioctl,
    .release = udp_release,
    .destroy = udp_destroy,
    .ignores_oob = true,
    .refuses = SOCK_SHUT_RD,
    .msg_give = udp_msg_give,
};

static const struct inet_proto udp_proto = {
    .ops = &udp_ops,
    .type = SOCK_DGRAM,
    .protocol = IPPROTO_UDP,
    .options = udp_options,
    .nr_options = ARRAY_SIZE(udp_options),
    .changed = udp_option_changed,
    .control = udp_control,
    .ports = udp_ports,
};

SOCKET_PROTO(udp) = {.type = SOCK_DGRAM, .protocol = IPPROTO_UDP, .create = udp_create};
