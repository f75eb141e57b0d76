/* SPDX-License-Identifier: MIT
 *
 * Unix sockets: making, connecting, closing. unix_priv.h has the rules.
 */
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix/unix_priv.h"
#include "net/unix/up.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "sched/timer.h"

#define SO_PEERCRED 17
#define SO_PEERGROUPS 59
#define FIONREAD 0x541B
#define SIOCOUTQ 0x5411

static const struct socket_ops unix_ops;
static struct slab_cache *unix_cache;

static void unix_init(void)
{
    unix_cache = slab_cache_create("unix_sock", sizeof(struct unix_sock), 0);
}
INIT_HOOK(unix_init, INIT_CORE);

static struct unix_sock *unix_alloc(void)
{
    return slab_zalloc(unix_cache);
}

static void unix_free(struct unix_sock *u)
{
    slab_free(unix_cache, u);
}

static const struct unix_family unix_names = {
    .lookup = unix_lookup,
    .alloc = unix_alloc,
    .unname = unix_unname,
    .free = unix_free,
};

void unix_setup(struct unix_sock *u, struct net_ns *ns, int family, int type,
                const struct socket_ops *ops, const struct unix_family *names)
{
    u->family = names;
    refcount_init(&u->ref, 1);
    spinlock_init(&u->lock, RANK_NET, 5, "unix_sock");
    mutex_init(&u->reading, RANK_LINUX, 2, "unix_sock->reading");
    list_init(&u->queue);
    list_init(&u->carriers);
    waitq_init(&u->room);
    list_init(&u->accepts);
    list_init(&u->accept_node);
    socket_init(&u->sock, ops, ns, family, type); /* the last: it comes into the list of all */
}

struct socket *unix_create(struct net_ns *ns, int type)
{
    struct unix_sock *u;

    if (type == SOCK_RAW)
        type = SOCK_DGRAM; /* as Linux, for old programs */
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return ERR_PTR(-ESOCKTNOSUPPORT);
    u = unix_alloc();
    if (!u)
        return ERR_PTR(-ENOMEM);
    unix_setup(u, ns, AF_UNIX, type, &unix_ops, &unix_names);
    return &u->sock;
}

void unix_put(struct unix_sock *u)
{
    if (!refcount_put(&u->ref))
        return;
    socket_fini(&u->sock); /* out of the namespace's list: nobody looks at it any more */
    if (u->peer_pid)
        pid_put(u->peer_pid);
    if (u->peer_cred)
        cred_put(u->peer_cred);
    unix_addr_put(u->addr);
    u->family->free(u);
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

int unix_pair(struct socket *sa, struct socket *sb)
{
    struct unix_sock *a = unix_of(sa), *b = unix_of(sb);

    unix_get(a);
    unix_get(b);
    a->peer = b;
    b->peer = a;
    unix_peer_is_current(a);
    unix_peer_is_current(b);
    return 0;
}

static bool unix_accepts(const struct unix_sock *l)
{
    return READ_ONCE(l->nr_accepts) < READ_ONCE(l->backlog) || READ_ONCE(l->dead) ||
           (READ_ONCE(l->shut) & UNIX_SHUT_RD);
}

int unix_listen(struct socket *s, int backlog)
{
    struct unix_sock *u = unix_of(s);
    int err = 0;

    if (s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (!u->addr)
        return -EINVAL;
    spin_lock(&u->lock);
    if (u->peer || u->dead) {
        err = -EINVAL;
    } else {
        unix_peer_is_current(u); /* what those who connect will see, from the first on */
        /* As Linux: one more than asked for fits. */
        u->backlog =
            backlog < 0 || backlog > UNIX_BACKLOG_MAX ? UNIX_BACKLOG_MAX : (u32)backlog + 1;
        WRITE_ONCE(s->listening, true);
    }
    spin_unlock(&u->lock);
    if (!err && unix_accepts(u)) /* more may wait than before */
        waitq_wake_one(&u->room);
    return err;
}

/* Puts conn in the listener's queue: the queue takes conn's first reference. */
int unix_offer(struct unix_sock *l, struct unix_sock *conn)
{
    int err = 0;

    spin_lock(&l->lock);
    if (l->dead || !l->sock.listening || (l->shut & UNIX_SHUT_RD)) {
        err = -ECONNREFUSED;
    } else if (l->nr_accepts >= l->backlog) {
        err = -EAGAIN;
    } else {
        list_add_tail(&l->accepts, &conn->accept_node);
        l->nr_accepts++;
        store_release(&conn->unoffered, false); /* the last: pairs with unix_flight_queue */
    }
    spin_unlock(&l->lock);
    if (!err)
        socket_wake(&l->sock, POLLIN | POLLRDNORM);
    return err;
}

/* The server's end of a new connection from u to listener l, which was found as addr. */
static struct unix_sock *unix_server_end(struct unix_sock *u, struct unix_sock *l,
                                         const struct sock_addr *addr)
{
    struct unix_sock *conn = l->family->alloc();

    if (!conn)
        return NULL;
    conn->unoffered = true;
    unix_setup(conn, l->sock.ns, l->sock.family, l->sock.type, l->sock.ops, l->family);
    conn->sock.passcred = l->sock.passcred;
    conn->sock.passsec = l->sock.passsec;
    if (l->family->server_end)
        l->family->server_end(conn, l, addr);
    if (!conn->addr) {
        refcount_get(&l->addr->ref);
        conn->addr = l->addr;
    }
    unix_peer_is_current(conn);
    unix_get(u);
    conn->peer = u;
    return conn;
}

/* Who a socket's peer is: references. */
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

/* Whom those who connect to l will see. Under its lock: one whose listen fails may connect itself.
 */
static struct unix_who unix_who_get(struct unix_sock *l)
{
    struct unix_who who;

    spin_lock(&l->lock);
    who = (struct unix_who){l->peer_pid, l->peer_cred};
    if (who.pid)
        pid_get(who.pid);
    if (who.cred)
        cred_get(who.cred);
    spin_unlock(&l->lock);
    return who;
}

/* Sets who u's peer is and returns who it was: a listener that failed knew itself already. */
static struct unix_who unix_set_who_locked(struct unix_sock *u, struct unix_who who)
{
    struct unix_who old = {u->peer_pid, u->peer_cred};

    u->peer_pid = who.pid;
    u->peer_cred = who.cred;
    return old;
}

/* u becomes connected with conn, unless another thread was faster. */
static int unix_client_end(struct unix_sock *u, struct unix_sock *conn, struct unix_sock *l)
{
    struct unix_who who = unix_who_get(l);
    int err = 0;

    spin_lock(&u->lock);
    if (u->peer || u->sock.listening) {
        err = u->peer ? -EISCONN : -EINVAL;
    } else {
        unix_get(conn);
        u->peer = conn;
        who = unix_set_who_locked(u, who);
    }
    spin_unlock(&u->lock);
    unix_who_put(who);
    return err;
}

/* Under its lock: the list of all sockets may show conn just now. */
static void unix_lose_client(struct unix_sock *conn, struct unix_sock *u)
{
    spin_lock(&conn->lock);
    conn->peer = NULL;
    spin_unlock(&conn->lock);
    unix_put(u);
}

/* Takes the end of a connection that never came to be apart. */
static void unix_undo(struct unix_sock *u, struct unix_sock *conn)
{
    struct unix_who who = {NULL, NULL};
    bool was_peer;

    spin_lock(&u->lock);
    was_peer = u->peer == conn;
    if (was_peer) {
        u->peer = NULL;
        who = unix_set_who_locked(u, who);
    }
    spin_unlock(&u->lock);
    if (was_peer)
        unix_put(conn);
    unix_who_put(who);
    unix_lose_client(conn, u);
    unix_release(&conn->sock); /* with what another thread has sent meanwhile */
    socket_wake(&u->sock, 0);  /* and one that waits to send more: conn is dead */
}

static int unix_connect_stream(struct unix_sock *u, struct unix_sock *l,
                               const struct sock_addr *addr, bool nonblock)
{
    struct unix_sock *conn;
    u64 deadline = socket_deadline(u->sock.send_timeout, u->sock.send_timeout ? time_ns() : 0);
    int err;

    if (!READ_ONCE(l->sock.listening))
        return -ECONNREFUSED;
    conn = unix_server_end(u, l, addr);
    if (!conn)
        return -ENOMEM;
    err = unix_client_end(u, conn, l);
    if (err) {
        unix_lose_client(conn, u);
        unix_put(conn);
        return err;
    }
    while ((err = unix_offer(l, conn)) == -EAGAIN && !nonblock) {
        err = wait_event_exclusive(&l->room, unix_accepts(l), deadline);
        if (err)
            break;
    }
    if (unix_accepts(l)) /* each that waits is woken by the one before */
        waitq_wake_one(&l->room);
    if (err)
        unix_undo(u, conn);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* A datagram socket's peer is where it sends by default, and the only one it hears. `to` NULL:
 * none. What the former one sent is lost. -EPERM: `to` hears another. */
static int unix_connect_dgram(struct unix_sock *u, struct unix_sock *to)
{
    struct unix_sock *old = NULL;
    struct list_node lost;
    bool heard = true;

    list_init(&lost);
    if (to) {
        spin_lock(&to->lock);
        heard = !to->peer || to->peer == u;
        spin_unlock(&to->lock);
        if (!heard)
            return -EPERM;
        unix_get(to);
    }
    mutex_lock(&u->reading);
    spin_lock(&u->lock);
    old = u->peer;
    u->peer = to;
    if (old && old != to)
        unix_take_all_locked(u, &lost);
    spin_unlock(&u->lock);
    mutex_unlock(&u->reading);
    if (!list_empty(&lost))
        unix_lost(u, old, &lost);
    if (old)
        unix_put(old);
    return 0;
}

int unix_connect(struct socket *s, const struct sock_addr *addr, u32 len,
                 const struct walk_ctx *ctx, bool nonblock)
{
    struct unix_sock *u = unix_of(s), *to;
    int err;

    if (s->type == SOCK_DGRAM && len >= sizeof(addr->family) && addr->family == AF_UNSPEC) {
        return unix_connect_dgram(u, NULL);
    }
    if (s->type != SOCK_DGRAM && READ_ONCE(u->peer))
        return -EISCONN;
    err = u->family->lookup(u, addr, len, ctx, &to);
    if (err)
        return err;
    if (s->type == SOCK_DGRAM)
        err = unix_connect_dgram(u, to);
    else
        err = unix_connect_stream(u, to, addr, nonblock);
    unix_put(to);
    return err;
}

static struct unix_sock *unix_take_accept(struct unix_sock *l)
{
    struct unix_sock *conn;

    spin_lock(&l->lock);
    conn = list_first(&l->accepts, struct unix_sock, accept_node);
    if (conn) {
        list_del(&conn->accept_node);
        l->nr_accepts--;
    }
    spin_unlock(&l->lock);
    return conn;
}

int unix_accept(struct socket *s, bool nonblock, struct socket **out)
{
    struct unix_sock *l = unix_of(s), *conn;
    u64 deadline = socket_deadline(s->recv_timeout, s->recv_timeout ? time_ns() : 0);
    bool slept = false;
    int err;

    if (s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (!READ_ONCE(s->listening))
        return -EINVAL;
    while (!(conn = unix_take_accept(l))) {
        if (READ_ONCE(l->shut) & UNIX_SHUT_RD)
            return -EINVAL;
        if (nonblock)
            return -EAGAIN;
        err = wait_event_exclusive(
            &s->wait, READ_ONCE(l->nr_accepts) || (READ_ONCE(l->shut) & UNIX_SHUT_RD), deadline);
        if (err && READ_ONCE(l->nr_accepts)) /* for another */
            socket_wake(s, POLLIN | POLLRDNORM);
        if (err)
            return err == -ETIMEDOUT ? -EAGAIN : err;
        slept = true;
    }
    if (slept && READ_ONCE(l->nr_accepts))
        socket_wake(s, POLLIN | POLLRDNORM);
    waitq_wake_one(&l->room);
    *out = &conn->sock;
    return 0;
}

static void unix_set_shut(struct unix_sock *u, u32 bits)
{
    spin_lock(&u->lock);
    WRITE_ONCE(u->shut, u->shut | bits);
    spin_unlock(&u->lock);
    socket_wake(&u->sock, 0);
    waitq_wake_all(&u->room);
}

void unix_reset(struct unix_sock *u, int err)
{
    WRITE_ONCE(u->sock.error, err);
    unix_set_shut(u, UNIX_SHUT_RD | UNIX_SHUT_WR);
}

int unix_shutdown(struct socket *s, int how)
{
    struct unix_sock *u = unix_of(s), *peer = NULL;
    u32 bits = (u32)how + 1; /* SHUT_RD, SHUT_WR, SHUT_RDWR are our bits less one */

    spin_lock(&u->lock);
    peer = u->peer;
    if (peer)
        unix_get(peer);
    spin_unlock(&u->lock);
    if (!peer && s->type != SOCK_DGRAM && !s->listening)
        return -ENOTCONN;
    unix_set_shut(u, bits);
    if (peer && s->type != SOCK_DGRAM)
        unix_set_shut(peer, (bits & UNIX_SHUT_RD && !unix_resets(u) ? UNIX_SHUT_WR : 0) |
                                (bits & UNIX_SHUT_WR ? UNIX_SHUT_RD : 0));
    if (peer)
        unix_put(peer);
    return 0;
}

u32 unix_poll(struct socket *s, struct poll_table *pt)
{
    struct unix_sock *u = unix_of(s), *peer;
    u32 shut, mask = 0;
    bool room = true;

    poll_wait(pt, &s->wait);
    if (READ_ONCE(s->listening))
        return READ_ONCE(u->nr_accepts) ? POLLIN | POLLRDNORM : 0;
    spin_lock(&u->lock);
    shut = u->shut;
    peer = u->peer;
    if (s->type != SOCK_DGRAM) /* a datagram's room is found out by sending */
        room = peer && (READ_ONCE(peer->queued) < peer->sock.rcvbuf || unix_refuses(peer));
    if (!list_empty(&u->queue) || (shut & UNIX_SHUT_RD))
        mask |= POLLIN | POLLRDNORM;
    spin_unlock(&u->lock);
    if (s->error)
        mask |= POLLERR;
    if (s->type != SOCK_DGRAM && !peer && !shut)
        return mask | POLLOUT | POLLWRNORM | POLLHUP;
    if (shut & UNIX_SHUT_RD)
        mask |= POLLRDHUP;
    if ((shut & (UNIX_SHUT_RD | UNIX_SHUT_WR)) == (UNIX_SHUT_RD | UNIX_SHUT_WR))
        mask |= POLLHUP;
    if (room || (shut & UNIX_SHUT_WR))
        mask |= POLLOUT | POLLWRNORM;
    return mask;
}

u32 unix_unread_locked(const struct unix_sock *u)
{
    const struct unix_msg *msg;
    u32 n = 0;

    list_for_each (msg, &u->queue, node)
        n += msg->len - msg->off;
    return n;
}

s64 unix_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    struct unix_sock *u = unix_of(s);
    struct unix_msg *msg;
    u32 n = 0;

    if (cmd != FIONREAD && cmd != SIOCOUTQ)
        return net_dev_ioctl(s, cmd, arg);
    if (s->listening)
        return -EINVAL;
    spin_lock(&u->lock);
    if (cmd == SIOCOUTQ) {
        n = u->peer ? READ_ONCE(u->peer->queued) : 0;
    } else if (s->type == SOCK_DGRAM) {
        msg = list_first(&u->queue, struct unix_msg, node);
        n = msg ? msg->len : 0;
    } else {
        n = unix_unread_locked(u);
    }
    spin_unlock(&u->lock);
    return copy_out((void __user *)arg, &n, sizeof(n));
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
    spin_lock(&u->lock); /* a connection that fails takes them away again */
    c = u->peer_cred;
    if (c && !s->listening) {
        cred.pid = u->peer_pid ? (s32)pid_nr(u->peer_pid, up_current_pid_ns()) : 0;
        cred.uid = user_ns_uid(ns, c->euid);
        cred.gid = user_ns_gid(ns, c->egid);
    }
    spin_unlock(&u->lock);
    *n = MIN(*n, (u32)sizeof(cred));
    memcpy(val, &cred, *n);
    return 0;
}

/* The other end of a connection is gone: reads end, and writes fail, now or after the first one.
 * SO_LINGER with no time is a reset. Whose reads had ended before is told EPIPE by a reset. */
static void unix_tell_peer(struct unix_sock *u, struct unix_sock *peer, bool unread, bool ended)
{
    bool resets = unix_resets(u);

    if (u->sock.type != SOCK_DGRAM) {
        if (unread || (resets && u->sock.linger.on && !u->sock.linger.seconds))
            unix_reset(peer, resets && ended ? EPIPE : ECONNRESET);
        else
            unix_set_shut(peer, resets ? UNIX_SHUT_RD : UNIX_SHUT_RD | UNIX_SHUT_WR);
    }
    unix_put(peer);
}

void unix_release(struct socket *s)
{
    struct unix_sock *u = unix_of(s), *peer, *conn;
    struct unix_msg *msg, *next;
    struct list_node lost;
    bool unread, ended;

    list_init(&lost);
    u->family->unname(u);
    spin_lock(&u->lock);
    ended = u->shut & UNIX_SHUT_WR;
    u->dead = true;
    WRITE_ONCE(u->shut, UNIX_SHUT_RD | UNIX_SHUT_WR);
    WRITE_ONCE(s->listening, false);
    peer = u->peer;
    u->peer = NULL;
    unread = unix_unread_locked(u) > 0; /* bytes: an empty packet is not missed */
    unix_take_all_locked(u, &lost);     /* dead: nothing is queued any more, nor looked for */
    spin_unlock(&u->lock);
    socket_wake(s, 0);
    waitq_wake_all(&u->room);
    if (peer)
        unix_tell_peer(u, peer, unread, ended);
    while ((conn = unix_take_accept(u))) {
        unix_release(&conn->sock);
        cond_yield();
    }
    list_for_each_safe (msg, next, &lost, node) {
        list_del(&msg->node);
        unix_msg_free(msg);
        cond_yield();
    }
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
    .ioctl = unix_ioctl,
    .resized = unix_resized,
    .release = unix_release,
};
