/* SPDX-License-Identifier: MIT
 *
 * Unix sockets: making, connecting, closing. unix_priv.h has the rules.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix/unix_priv.h"
#include "net/core/up.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "sched/timer.h"

#define SO_PEERCRED 17

static const struct socket_ops unix_ops;
static void unix_release(struct socket *s);
static struct slab_cache *unix_cache;
u32 unix_ns_offset;

static void unix_init(void)
{
    unix_cache = slab_cache_create("unix_sock", sizeof(struct unix_sock), 0);
}
INIT_HOOK(unix_init, INIT_CORE);

static int unix_ns_setup(struct net_ns *ns, void *part)
{
    struct unix_ns *un = part;

    socket_list_init(&un->list);
    spinlock_init(&un->lock, RANK_NET, 10, "unix names");
    un->names = RB_ROOT;
    return 0;
}
NET_PART("50", unix_sockets) = {sizeof(struct unix_ns), &unix_ns_offset, unix_ns_setup, NULL};

/* type: one that there is. NULL: no memory. */
static struct unix_sock *unix_alloc(struct net_ns *ns, int type)
{
    struct unix_ns *un = net_part(ns, unix_ns_offset);
    struct unix_sock *u = slab_zalloc(unix_cache);

    if (!u)
        return NULL;
    list_init(&u->carriers);
    accept_queue_init(&u->accept);
    socket_init(&u->sock, &unix_ops, ns, &un->list, AF_UNIX, type);
    return u;
}

static struct socket *unix_create(struct net_ns *ns, int type, int protocol)
{
    struct unix_sock *u;

    if (protocol != 0 && protocol != AF_UNIX) /* PF_UNIX is taken for a protocol, too */
        return ERR_PTR(-EPROTONOSUPPORT);
    if (type == SOCK_RAW)
        type = SOCK_DGRAM; /* as Linux, for old programs */
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return ERR_PTR(-ESOCKTNOSUPPORT);
    u = unix_alloc(ns, type);
    return u ? &u->sock : ERR_PTR(-ENOMEM);
}

static void unix_destroy(struct socket *s)
{
    struct unix_sock *u = unix_of(s);

    socket_fini(s); /* out of the namespace's list: no reader of it finds u any more */
    if (u->peer_pid)
        pid_put(u->peer_pid);
    if (u->peer_cred)
        cred_put(u->peer_cred);
    unix_addr_put(u->addr);
    slab_free(unix_cache, u);
}

/* Remembers the current process as u's peer, once. */
static void unix_peer_is_current(struct unix_sock *u)
{
    if (u->peer_cred)
        return;
    u->peer_pid = up_current_pid();
    if (u->peer_pid)
        pid_get(u->peer_pid);
    u->peer_cred = current_cred();
    cred_get(u->peer_cred);
}

static int unix_pair(struct socket *a, struct socket *b)
{
    socket_get(a);
    socket_get(b);
    a->peer = b;
    b->peer = a;
    unix_peer_is_current(unix_of(a));
    unix_peer_is_current(unix_of(b));
    return 0;
}

static int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_of(s);
    int err = 0;

    if (s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (!u->addr)
        return -EINVAL;
    spin_lock(&s->lock);
    if (s->peer || s->dead) {
        err = -EINVAL;
    } else {
        unix_peer_is_current(u); /* what those who connect will see, from the first on */
        accept_listen_locked(s, &u->accept, backlog);
    }
    spin_unlock(&s->lock);
    if (!err && accept_has_space(s, &u->accept)) /* more may wait than before */
        waitq_wake_one(&s->senders_wait);
    return err;
}

/* The server's end of a new connection from u to listener l. */
static struct unix_sock *unix_server_end(struct unix_sock *u, struct unix_sock *l)
{
    struct unix_sock *conn = unix_alloc(l->sock.ns, l->sock.type);

    if (!conn)
        return NULL;
    conn->sock.passcred = l->sock.passcred;
    conn->sock.passsec = l->sock.passsec;
    refcount_get(&l->addr->ref);
    conn->addr = l->addr;
    conn->unoffered = true;
    unix_peer_is_current(conn);
    unix_get(u);
    conn->sock.peer = &u->sock;
    return conn;
}

/* Of a socket's peer, as it was at connect: references. */
struct unix_who {
    struct pid *pid;
    const struct cred *cred;
};

static void unix_who_put(struct unix_who who)
{
    if (who.pid)
        pid_put(who.pid);
    if (who.cred)
        cred_put(who.cred);
}

/* The peer that a client of l will see. Under l's lock: a socket whose listen fails may connect
 * itself meanwhile. */
static struct unix_who unix_who_get(struct unix_sock *l)
{
    struct unix_who who;

    spin_lock(&l->sock.lock);
    who = (struct unix_who){l->peer_pid, l->peer_cred};
    if (who.pid)
        pid_get(who.pid);
    if (who.cred)
        cred_get(who.cred);
    spin_unlock(&l->sock.lock);
    return who;
}

/* Sets who u's peer is and returns who it was: a listener that failed knew itself already. */
static struct unix_who unix_set_who_locked(struct unix_sock *u, struct unix_who who)
    REQUIRES(u->sock.lock)
{
    struct unix_who old = {u->peer_pid, u->peer_cred};

    ASSERT_HELD(&u->sock.lock);
    u->peer_pid = who.pid;
    u->peer_cred = who.cred;
    return old;
}

/* u becomes connected with conn, unless another thread was faster. */
static int unix_client_end(struct unix_sock *u, struct unix_sock *conn, struct unix_sock *l)
{
    struct unix_who who = unix_who_get(l);
    int err = 0;

    spin_lock(&u->sock.lock);
    if (u->sock.peer || u->sock.listening) {
        err = u->sock.peer ? -EISCONN : -EINVAL;
    } else {
        unix_get(conn);
        u->sock.peer = &conn->sock;
        who = unix_set_who_locked(u, who);
    }
    spin_unlock(&u->sock.lock);
    unix_who_put(who);
    return err;
}

/* Under its lock: the list of all sockets may show conn just now. */
static void unix_lose_client(struct unix_sock *conn, struct unix_sock *u)
{
    spin_lock(&conn->sock.lock);
    conn->sock.peer = NULL;
    spin_unlock(&conn->sock.lock);
    unix_put(u);
}

/* Takes the end of a connection that never came to be apart. */
static void unix_undo(struct unix_sock *u, struct unix_sock *conn)
{
    struct unix_who who = {NULL, NULL};
    bool was_peer;

    spin_lock(&u->sock.lock);
    was_peer = u->sock.peer == &conn->sock;
    if (was_peer) {
        u->sock.peer = NULL;
        who = unix_set_who_locked(u, who);
    }
    spin_unlock(&u->sock.lock);
    if (was_peer)
        unix_put(conn);
    unix_who_put(who);
    unix_lose_client(conn, u);
    unix_release(&conn->sock); /* with what another thread has sent meanwhile */
    socket_wake(&u->sock, 0);  /* and one that waits to send more: conn is dead */
}

static int unix_connect_stream(struct unix_sock *u, struct unix_sock *l, bool nonblock)
{
    struct unix_sock *conn;
    u64 deadline = socket_deadline(u->sock.send_timeout, u->sock.send_timeout ? time_ns() : 0);
    int err;

    if (!READ_ONCE(l->sock.listening))
        return -ECONNREFUSED;
    conn = unix_server_end(u, l);
    if (!conn)
        return -ENOMEM;
    err = unix_client_end(u, conn, l);
    if (err) {
        unix_lose_client(conn, u);
        unix_put(conn);
        return err;
    }
    unix_get(conn); /* once offered it may be accepted and closed */
    err = accept_offer(&l->sock, &l->accept, &conn->sock, nonblock, deadline);
    if (err)
        unix_undo(u, conn);
    else
        store_release(&conn->unoffered,
                      false); /* it is in the queue: pairs with unix_flight_queue */
    unix_put(conn);
    return err;
}

/* A datagram socket's peer is where it sends by default, and the only one it receives from. `to`
 * NULL: none. What the former one sent is lost. -EPERM: `to` receives from another. */
static int unix_connect_dgram(struct unix_sock *u, struct unix_sock *to)
{
    struct socket *old = NULL;
    struct list_node lost;
    bool heard = true;

    list_init(&lost);
    if (to) {
        spin_lock(&to->sock.lock);
        heard = !to->sock.peer || to->sock.peer == &u->sock;
        spin_unlock(&to->sock.lock);
        if (!heard)
            return -EPERM;
        unix_get(to);
    }
    mutex_lock(&u->sock.reading);
    spin_lock(&u->sock.lock);
    old = u->sock.peer;
    u->sock.peer = to ? &to->sock : NULL;
    if (old && old != u->sock.peer)
        unix_take_all_locked(u, &lost);
    spin_unlock(&u->sock.lock);
    mutex_unlock(&u->sock.reading);
    if (!list_empty(&lost))
        unix_lost(u, unix_of(old), &lost);
    if (old)
        socket_put(old);
    return 0;
}

static int unix_connect(struct socket *s, const struct sock_addr *addr, u32 len,
                        const struct walk_ctx *ctx, bool nonblock)
{
    struct unix_sock *u = unix_of(s), *to;
    int err;

    if (s->type == SOCK_DGRAM && len >= sizeof(addr->family) && addr->family == AF_UNSPEC)
        return unix_connect_dgram(u, NULL);
    if (s->type != SOCK_DGRAM && READ_ONCE(s->peer))
        return -EISCONN;
    err = unix_lookup(u, addr, len, ctx, &to);
    if (err)
        return err;
    err = s->type == SOCK_DGRAM ? unix_connect_dgram(u, to) : unix_connect_stream(u, to, nonblock);
    unix_put(to);
    return err;
}

static int unix_accept(struct socket *s, bool nonblock, struct socket **out)
{
    if (s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (!READ_ONCE(s->listening))
        return -EINVAL;
    return accept_wait(s, &unix_of(s)->accept, nonblock, out);
}

static int unix_shutdown(struct socket *s, int how)
{
    struct socket *peer = socket_peer(s);
    u32 bits = (u32)how + 1; /* SHUT_RD, SHUT_WR, SHUT_RDWR are our bits less one */

    if (!peer && s->type != SOCK_DGRAM && !s->listening)
        return -ENOTCONN;
    sock_set_shut(s, bits);
    if (peer && s->type != SOCK_DGRAM)
        sock_set_shut(peer, (bits & SOCK_SHUT_RD ? SOCK_SHUT_WR : 0) |
                                (bits & SOCK_SHUT_WR ? SOCK_SHUT_RD : 0));
    if (peer)
        socket_put(peer);
    return 0;
}

static u32 unix_poll(struct socket *s, struct poll_table *pt)
{
    u32 shut, mask = 0;
    struct socket *peer;
    bool space = true;

    poll_wait(pt, &s->wait);
    if (READ_ONCE(s->listening))
        return READ_ONCE(unix_of(s)->accept.nr) ? POLLIN | POLLRDNORM : 0;
    spin_lock(&s->lock);
    shut = s->shut;
    peer = s->peer;
    if (s->type != SOCK_DGRAM) /* a datagram's space is found out by sending */
        space = peer && sock_has_space(peer);
    if (!list_empty(&s->queue) || (shut & SOCK_SHUT_RD))
        mask |= POLLIN | POLLRDNORM;
    spin_unlock(&s->lock);
    if (s->error)
        mask |= POLLERR;
    return mask | sock_poll_ends(shut, s->type != SOCK_DGRAM && !peer, space);
}

static int unix_get_option(struct socket *s, int level, int name, void *val, u32 *n)
{
    struct unix_sock *u = unix_of(s);
    const struct cred *c;
    struct user_ns *ns = current_cred()->user_ns;
    struct {
        s32 pid;
        u32 uid, gid;
    } cred = {0, U32_MAX, U32_MAX};

    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (name != SO_PEERCRED)
        return -ENOPROTOOPT;
    spin_lock(&u->sock.lock); /* a connection that fails takes them away again */
    c = u->peer_cred;
    if (c && !s->listening) {
        cred.pid = u->peer_pid ? (s32)pid_nr(u->peer_pid, up_current_pid_ns()) : 0;
        cred.uid = user_ns_uid(ns, c->euid);
        cred.gid = user_ns_gid(ns, c->egid);
    }
    spin_unlock(&u->sock.lock);
    return socket_option_put(val, n, &cred, sizeof(cred));
}

/* The other end of a connection is gone: reads end, and writes fail. */
static void unix_tell_peer(struct unix_sock *u, struct socket *peer, bool unread)
{
    if (u->sock.type != SOCK_DGRAM && unread)
        sock_reset(peer, ECONNRESET);
    else if (u->sock.type != SOCK_DGRAM)
        sock_set_shut(peer, SOCK_SHUT_BOTH);
    socket_put(peer);
}

static void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_of(s);
    struct socket *peer, *conn;
    struct list_node lost;
    bool unread;

    list_init(&lost);
    unix_unname(u);
    spin_lock(&s->lock);
    WRITE_ONCE(s->dead, true);
    WRITE_ONCE(s->shut, SOCK_SHUT_BOTH);
    WRITE_ONCE(s->listening, false);
    peer = s->peer;
    s->peer = NULL;
    unread = sock_unread_locked(s) > 0; /* bytes: an empty packet is not missed */
    ASSERT_HELD(&u->sock.lock);         /* the same lock, as the callee names it */
    unix_take_all_locked(u, &lost);     /* dead: nothing is queued any more, nor looked for */
    spin_unlock(&s->lock);
    socket_wake(s, 0);
    waitq_wake_all(&s->senders_wait);
    if (peer)
        unix_tell_peer(u, peer, unread);
    while ((conn = accept_take(s, &u->accept))) {
        unix_release(conn);
        cond_yield();
    }
    sock_queue_free(s, &lost);
    unix_put(u);
}

static const struct socket_ops unix_ops = {
    .bind = unix_bind,
    .listen = unix_listen,
    .connect = unix_connect,
    .accept = unix_accept,
    .name = unix_name,
    .send = unix_send,
    .recv = unix_recv,
    .shutdown = unix_shutdown,
    .poll = unix_poll,
    .get_option = unix_get_option,
    .ioctl = sock_queue_ioctl,
    .release = unix_release,
    .destroy = unix_destroy,
    .refuses = SOCK_SHUT_RD,
    .msg_make = unix_msg_make,
    .msg_queue = unix_msg_queue,
    .msg_give = unix_msg_give,
    .msg_joins = unix_msg_joins,
    .msg_free = unix_msg_free,
};

SOCKET_FAMILY(unix_sockets) = {.family = AF_UNIX, .create = unix_create, .pair = unix_pair};
