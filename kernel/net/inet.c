/* SPDX-License-Identifier: MIT
 *
 * IPv4 on the loopback of a net namespace: streams and datagrams between its own sockets. There is
 * no other interface yet, so an address that is not the loopback's is unreachable. The bytes go the
 * way of unix sockets; what is here are the names: ports, in two tables per namespace, under
 * unix_lock.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix_priv.h"
#include "obj/cred.h"
#include "vm/iov.h"

#define IPPROTO_IP 0
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define PORT_FIRST 32768U
#define PORT_LAST 60999U
#define UDP_MAX 65507U

struct inet_addr { /* sockaddr_in, over sock_addr */
    u16 family;
    u8 port[2], addr[4], zero[8];
};
static_assert(sizeof(struct inet_addr) == 16, "sockaddr_in");

static const struct socket_ops inet_ops;
static const u8 inet_loopback[4] = {127, 0, 0, 1}, inet_any[4];

static struct inet_addr *inet_of(const struct unix_sock *u)
{
    return (struct inet_addr *)(void *)&u->addr->sun;
}
static u32 inet_port(const struct inet_addr *a)
{
    return (u32)a->port[0] << 8 | a->port[1];
}
static bool inet_is_any(const struct inet_addr *a)
{
    return !memcmp(a->addr, inet_any, 4);
}

static int inet_addr_in(const struct sock_addr *sa, u32 len, struct inet_addr *out)
{
    if (len < sizeof(*out))
        return -EINVAL;
    memcpy(out, sa, sizeof(*out));
    return out->family == AF_INET ? 0 : -EAFNOSUPPORT;
}

static struct list_node *inet_bucket(struct net_ns *ns, int type, u32 port)
{
    return &(type == SOCK_STREAM ? ns->tcp_ports : ns->udp_ports)[port % INET_HASH];
}

/* Who holds the port at that address; wildcards match. */
static struct unix_sock *inet_find_locked(struct net_ns *ns, int type, const struct inet_addr *a)
{
    struct unix_sock *u;

    list_for_each (u, inet_bucket(ns, type, inet_port(a)), name_node) {
        const struct inet_addr *b = inet_of(u);

        if (inet_port(b) == inet_port(a) &&
            (inet_is_any(a) || inet_is_any(b) || !memcmp(a->addr, b->addr, 4)))
            return u;
    }
    return NULL;
}

/* A free port of the ephemeral range into *a; false: none. */
static bool inet_pick_locked(struct net_ns *ns, int type, struct inet_addr *a)
{
    for (u32 tries = 0; tries <= PORT_LAST - PORT_FIRST; tries++) {
        u32 port = ns->next_port++;

        if (ns->next_port > PORT_LAST)
            ns->next_port = PORT_FIRST;
        a->port[0] = (u8)(port >> 8);
        a->port[1] = (u8)port;
        if (!inet_find_locked(ns, type, a))
            return true;
    }
    return false;
}

static int inet_bind_locked(struct unix_sock *u, struct unix_addr *name)
{
    struct inet_addr *a = (struct inet_addr *)(void *)&name->sun;
    struct net_ns *ns = u->sock.ns;

    if (u->addr)
        return -EINVAL;
    if (!inet_port(a) ? !inet_pick_locked(ns, u->sock.type, a)
                      : inet_find_locked(ns, u->sock.type, a) != NULL)
        return -EADDRINUSE;
    u->addr = name;
    list_add(inet_bucket(ns, u->sock.type, inet_port(a)), &u->name_node);
    return 0;
}

static int inet_bind_to(struct unix_sock *u, const struct inet_addr *a)
{
    struct unix_addr *name = kzalloc(sizeof(*name));
    int err;

    if (!name)
        return -ENOMEM;
    refcount_init(&name->ref, 1);
    name->len = sizeof(*a);
    memcpy(&name->sun, a, sizeof(*a));
    spin_lock(&u->sock.ns->unix_lock);
    err = inet_bind_locked(u, name);
    spin_unlock(&u->sock.ns->unix_lock);
    if (err)
        unix_addr_put(name);
    return err;
}

static int inet_bind(struct socket *s, const struct sock_addr *sa, u32 len,
                     const struct walk_ctx *ctx)
{
    struct inet_addr a;
    int err = inet_addr_in(sa, len, &a);

    if (err)
        return err;
    if (!inet_is_any(&a) && a.addr[0] != 127)
        return -EADDRNOTAVAIL;
    if (inet_port(&a) && inet_port(&a) < 1024 &&
        !cred_capable(current_cred(), s->ns->user_ns, CAP_NET_BIND_SERVICE))
        return -EACCES;
    memset(a.zero, 0, sizeof(a.zero));
    return inet_bind_to(unix_of(s), &a);
}

/* A socket that sends has a name. */
static int inet_autobind(struct unix_sock *u, const u8 *addr)
{
    struct inet_addr a = {.family = AF_INET};
    int err;

    if (READ_ONCE(u->addr))
        return 0;
    memcpy(a.addr, addr, 4);
    err = inet_bind_to(u, &a);
    return err == -EINVAL ? 0 : err; /* another thread named it */
}

static int inet_lookup(struct net_ns *ns, const struct sock_addr *sa, u32 len, int type,
                       const struct walk_ctx *ctx, struct unix_sock **out)
{
    struct unix_sock *u;
    struct inet_addr a;
    int err = inet_addr_in(sa, len, &a);

    if (err)
        return err;
    if ((!inet_is_any(&a) && a.addr[0] != 127) || !READ_ONCE(ns->loopback_up))
        return -ENETUNREACH;
    if (inet_is_any(&a))
        memcpy(a.addr, inet_loopback, 4);
    spin_lock(&ns->unix_lock);
    u = inet_find_locked(ns, type, &a);
    if (u)
        unix_get(u);
    spin_unlock(&ns->unix_lock);
    *out = u;
    return u ? 0 : -ECONNREFUSED;
}

static void inet_unname(struct unix_sock *u)
{
    spin_lock(&u->sock.ns->unix_lock);
    list_del(&u->name_node);
    spin_unlock(&u->sock.ns->unix_lock);
}

static const struct unix_family inet_names = {.lookup = inet_lookup, .unname = inet_unname};

static int inet_listen(struct socket *s, int backlog)
{
    int err = inet_autobind(unix_of(s), inet_any);

    return err ? err : unix_listen(s, backlog);
}

static int inet_connect(struct socket *s, const struct sock_addr *sa, u32 len,
                        const struct walk_ctx *ctx, bool nonblock)
{
    int err = inet_autobind(unix_of(s), inet_loopback);

    if (!err)
        err = unix_connect(s, sa, len, ctx, nonblock);
    if (s->type != SOCK_STREAM || !nonblock || (err && err != -ECONNREFUSED))
        return err;
    /* tcp(7): who does not wait hears the answer by poll and SO_ERROR, were it there already. */
    if (err)
        WRITE_ONCE(s->error, -err);
    waitq_wake(&s->wait, POLLIN | POLLOUT | POLLERR, ~0U);
    return -EINPROGRESS;
}

/* An address as others see it: no wildcard where a connection says which. */
static void inet_show(struct sock_addr *sa, bool connected)
{
    struct inet_addr *a = (struct inet_addr *)(void *)sa;

    if (connected && inet_is_any(a))
        memcpy(a->addr, inet_loopback, 4);
}

static int inet_name(struct socket *s, bool peer, struct sock_addr *out, u32 *len)
{
    struct inet_addr none = {.family = AF_INET};
    int err = unix_name(s, peer, out, len);

    if (err)
        return err;
    if (*len < sizeof(none)) {
        memcpy(out, &none, sizeof(none));
        *len = sizeof(none);
    }
    inet_show(out, peer || READ_ONCE(unix_of(s)->peer));
    return 0;
}

static ssize_t inet_send(struct socket *s, struct socket_message *m, unsigned flags,
                         const struct walk_ctx *ctx)
{
    u64 n = m->data->count;
    ssize_t got;
    int err;

    if (m->nr_files)
        return -EINVAL;
    if (s->type == SOCK_STREAM) {
        m->addr_len = 0; /* as Linux: a connected stream ignores it */
        got = unix_send(s, m, flags, ctx);
        return got == -ENOTCONN ? -EPIPE : got;
    }
    if (n > UDP_MAX)
        return -EMSGSIZE;
    err = inet_autobind(unix_of(s), inet_any);
    if (err)
        return err;
    if (!m->addr_len && !READ_ONCE(unix_of(s)->peer))
        return -EDESTADDRREQ;
    got = unix_send(s, m, flags, ctx);
    /* A datagram to nobody is lost; only a connected sender hears of it. */
    return got == -ECONNREFUSED && m->addr_len ? (ssize_t)n : got;
}

static ssize_t inet_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    ssize_t n;

    if (s->type == SOCK_STREAM && !s->listening && !READ_ONCE(unix_of(s)->peer) &&
        !READ_ONCE(unix_of(s)->shut))
        return -ENOTCONN;
    n = unix_recv(s, m, flags);
    if (n >= 0 && m->addr_len)
        inet_show(&m->addr, true);
    return n;
}

/* Options whose promise loopback keeps by itself: nothing is delayed, nobody vanishes silently. */
static bool inet_option_known(int level, int name)
{
    enum { TCP_NODELAY = 1, TCP_KEEPIDLE = 4, TCP_KEEPINTVL, TCP_KEEPCNT };
    enum { TCP_QUICKACK = 12, TCP_USER_TIMEOUT = 18, IP_TOS = 1, IP_TTL = 2, IP_MTU_DISCOVER = 10 };

    if (level == IPPROTO_TCP)
        return name == TCP_NODELAY || (name >= TCP_KEEPIDLE && name <= TCP_KEEPCNT) ||
               name == TCP_QUICKACK || name == TCP_USER_TIMEOUT;
    return level == IPPROTO_IP && (name == IP_TOS || name == IP_TTL || name == IP_MTU_DISCOVER);
}

static int inet_set_option(struct socket *s, int level, int name, const void *val, u32 n)
{
    if (!inet_option_known(level, name))
        return -ENOPROTOOPT;
    return n < sizeof(int) ? -EINVAL : 0;
}

static int inet_get_option(struct socket *s, int level, int name, void *val, u32 *n)
{
    int v = level == IPPROTO_TCP ? 1 : name == 2 ? 64 : 0;

    if (!inet_option_known(level, name))
        return -ENOPROTOOPT;
    *n = MIN(*n, (u32)sizeof(v));
    memcpy(val, &v, *n);
    return 0;
}

static u32 inet_poll(struct socket *s, struct poll_table *pt)
{
    u32 mask = unix_poll(s, pt);

    return mask & POLLERR ? mask | POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP : mask;
}

static const struct socket_ops inet_ops = {
    .bind = inet_bind,
    .listen = inet_listen,
    .connect = inet_connect,
    .accept = unix_accept,
    .name = inet_name,
    .send = inet_send,
    .recv = inet_recv,
    .shutdown = unix_shutdown,
    .poll = inet_poll,
    .set_option = inet_set_option,
    .get_option = inet_get_option,
    .ioctl = inet_ioctl,
    .release = unix_release,
};

struct socket *inet_create(struct net_ns *ns, int type, int protocol)
{
    int want = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    struct unix_sock *u;

    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return ERR_PTR(-ESOCKTNOSUPPORT);
    if (protocol && protocol != want)
        return ERR_PTR(-EPROTONOSUPPORT);
    u = unix_alloc(ns, AF_INET, type, &inet_ops, &inet_names);
    if (!u)
        return ERR_PTR(-ENOMEM);
    u->sock.protocol = (u8)want;
    return &u->sock;
}
