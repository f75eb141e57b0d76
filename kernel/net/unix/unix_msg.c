/* SPDX-License-Identifier: MIT
 *
 * What messages of unix sockets carry beside their bytes: files, credentials, the sender's name;
 * and who may send to whom. core/queue.h has the rest.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix/unix_priv.h"
#include "net/core/up.h"
#include "obj/pid.h"
#include "vm/iov.h"

void unix_msg_free(struct sock_msg *msg)
{
    struct unix_msg *um = unix_msg_of(msg);

    for (u32 i = 0; i < um->nr_files; i++, cond_yield())
        file_put(um->files[i]);
    kfree(um->files);
    if (um->pid)
        pid_put(um->pid);
    unix_addr_put(um->from);
}

/* The sender's credentials, if either end wants them, or `to` may yet: it is not accepted yet. */
static void unix_msg_cred(struct unix_msg *msg, const struct unix_sock *u,
                          const struct unix_sock *to, const struct socket_message *m)
{
    const struct cred *cred = current_cred();

    if (!m->has_cred && !u->sock.passcred && !to->sock.passcred && READ_ONCE(to->sock.file))
        return;
    msg->pid = m->has_cred && m->pid ? m->pid : up_current_pid();
    if (msg->pid)
        pid_get(msg->pid);
    msg->uid = m->has_cred ? m->uid : cred->uid;
    msg->gid = m->has_cred ? m->gid : cred->gid;
}

static int unix_msg_files(struct unix_msg *msg, const struct socket_message *m)
{
    if (!m->nr_files)
        return 0;
    if (m->nr_files > SCM_MAX_FD)
        return -EINVAL;
    msg->files = kmemdup(m->files, m->nr_files * sizeof(*m->files));
    if (!msg->files)
        return -ENOMEM;
    msg->nr_files = m->nr_files;
    for (u32 i = 0; i < m->nr_files; i++)
        file_get(msg->files[i]);
    return 0;
}

struct sock_msg *unix_msg_make(struct socket *s, struct socket *to, struct socket_message *m, u64 n,
                               int *err)
{
    struct sock_msg *msg =
        sock_msg_create(offsetof(struct unix_msg, data), m->data, n, socket_stamps(to), err);
    struct unix_msg *um = unix_msg_of(msg);

    if (!msg)
        return NULL;
    list_init(&um->carrier);
    um->pid = NULL;
    um->from = NULL;
    um->nr_files = 0;
    um->files = NULL;
    *err = unix_msg_files(um, m);
    if (*err) {
        sock_msg_free(s, msg);
        return NULL;
    }
    unix_msg_cred(um, unix_of(s), unix_of(to), m);
    return msg;
}

static int unix_may_queue_locked(const struct unix_sock *from, const struct unix_sock *to)
    REQUIRES(to->sock.lock)
{
    bool dgram = to->sock.type == SOCK_DGRAM;

    ASSERT_HELD(&to->sock.lock);
    if (dgram && to->sock.peer && to->sock.peer != &from->sock)
        return -EPERM;
    if (to->sock.dead)
        return dgram ? -ECONNREFUSED : -EPIPE;
    if (sock_refuses(&to->sock))
        return -EPIPE;
    return to->sock.queued >= to->sock.rcvbuf ? -EAGAIN : 0;
}

int unix_queue(struct unix_sock *from, struct unix_sock *to, struct unix_msg *msg)
{
    bool wake = false;
    int err;

    spin_lock(&to->sock.lock);
    err = unix_may_queue_locked(from, to);
    if (!err) {
        wake = sock_queue_add_locked(&to->sock, &msg->msg);
        if (unlikely(msg->nr_files) && unix_flight_needed(msg))
            list_add_tail(&to->carriers, &msg->carrier);
    }
    spin_unlock(&to->sock.lock);
    if (wake)
        sock_queue_wake(&to->sock);
    return err;
}

int unix_msg_queue(struct socket *s, struct socket *to, struct sock_msg *msg)
{
    struct unix_msg *um = unix_msg_of(msg);

    if (unlikely(um->nr_files) && unix_flight_needed(um))
        return unix_flight_queue(unix_of(s), unix_of(to), um);
    return unix_queue(unix_of(s), unix_of(to), um);
}

static ssize_t unix_send_packet(struct unix_sock *u, struct unix_sock *to, struct socket_message *m,
                                unsigned flags)
{
    u64 n = m->data->count;
    struct sock_msg *msg;
    int err;

    if (n > u->sock.sndbuf)
        return -EMSGSIZE;
    err = socket_take_error(&u->sock);
    if (err)
        return err;
    if (READ_ONCE(u->sock.shut) & SOCK_SHUT_WR)
        return -EPIPE;
    msg = unix_msg_make(&u->sock, &to->sock, m, n, &err);
    if (!msg)
        return err;
    if (u->addr) {
        refcount_get(&u->addr->ref);
        unix_msg_of(msg)->from = u->addr;
    }
    err = sock_queue_wait(&u->sock, &to->sock, msg, flags);
    return err ? err : (ssize_t)n;
}

void unix_take_all_locked(struct unix_sock *u, struct list_node *out)
{
    ASSERT_HELD(&u->sock.lock);
    sock_queue_take_all_locked(&u->sock, out);
    list_init(&u->carriers);
}

void unix_lost(struct unix_sock *u, struct unix_sock *sender, struct list_node *lost)
{
    bool hears;

    sock_queue_free(&u->sock, lost);
    waitq_wake_one(&u->sock.senders_wait);
    spin_lock(&sender->sock.lock);
    hears = !sender->sock.dead && sender->sock.peer == &u->sock;
    spin_unlock(&sender->sock.lock);
    if (!hears)
        return;
    WRITE_ONCE(sender->sock.error, ECONNRESET);
    socket_wake(&sender->sock, POLLERR);
}

/* The peer of a datagram socket turned out to be dead: u is disconnected, and what the peer sent is
 * lost, as on Linux. */
static void unix_part(struct unix_sock *u, struct socket *peer)
{
    struct list_node lost;
    bool parted;

    list_init(&lost);
    mutex_lock(&u->sock.reading); /* a reader may have the first message in hand */
    spin_lock(&u->sock.lock);
    parted = u->sock.peer == peer;
    if (parted) {
        u->sock.peer = NULL;
        unix_take_all_locked(u, &lost);
    }
    spin_unlock(&u->sock.lock);
    mutex_unlock(&u->sock.reading);
    if (!parted)
        return;
    unix_lost(u, unix_of(peer), &lost);
    socket_put(peer);
}

/* Whom a message goes to, with a reference. */
static int unix_target(struct unix_sock *u, const struct socket_message *m,
                       const struct walk_ctx *ctx, struct unix_sock **to)
{
    struct socket *peer;

    if (m->addr_len && u->sock.type == SOCK_DGRAM)
        return unix_lookup(u, &m->addr, m->addr_len, ctx, to);
    peer = socket_peer(&u->sock);
    if (!peer)
        return -ENOTCONN;
    if (m->addr_len && u->sock.type == SOCK_STREAM) { /* a seqpacket socket ignores it */
        socket_put(peer);
        return -EISCONN;
    }
    *to = unix_of(peer);
    return 0;
}

ssize_t unix_send(struct socket *s, struct socket_message *m, unsigned flags,
                  const struct walk_ctx *ctx)
{
    struct unix_sock *u = unix_of(s), *to;
    ssize_t n = unix_target(u, m, ctx, &to);

    if (n)
        return n;
    n = s->type == SOCK_STREAM ? sock_send_stream(s, &to->sock, m, flags)
                               : unix_send_packet(u, to, m, flags);
    if (n == -ECONNREFUSED && s->type == SOCK_DGRAM && !m->addr_len)
        unix_part(u, &to->sock);
    unix_put(to);
    return n;
}

/* Those who look for sockets in flight see them under u->sock.lock. */
static int unix_give_files(struct unix_sock *u, struct unix_msg *msg, struct socket_message *m,
                           bool peek)
{
    if (!msg->nr_files || m->nr_files)
        return 0;
    if (!peek) {
        spin_lock(&u->sock.lock);
        m->files = msg->files;
        m->nr_files = msg->nr_files;
        msg->files = NULL;
        msg->nr_files = 0;
        list_del(&msg->carrier);
        spin_unlock(&u->sock.lock);
        return 0;
    }
    m->files = kmemdup(msg->files, msg->nr_files * sizeof(*msg->files));
    if (!m->files)
        return -ENOMEM;
    m->nr_files = msg->nr_files;
    for (u32 i = 0; i < m->nr_files; i++)
        file_get(m->files[i]);
    return 0;
}

static void unix_give_cred(const struct unix_sock *u, struct unix_msg *msg,
                           struct socket_message *m)
{
    if (!u->sock.passcred || m->has_cred)
        return;
    m->has_cred = true;
    m->uid = msg->pid ? msg->uid : 65534;
    m->gid = msg->pid ? msg->gid : 65534;
    m->pid = msg->pid;
    if (m->pid)
        pid_get(m->pid);
}

/* Bytes that are read together are one sender's: unix(7), SO_PASSCRED. */
bool unix_msg_joins(struct socket *s, const struct sock_msg *msg, const struct socket_message *m)
{
    const struct unix_msg *um = (const struct unix_msg *)msg;

    return !s->passcred ||
           (um->pid == m->pid && (!um->pid || (um->uid == m->uid && um->gid == m->gid)));
}

int unix_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m, unsigned flags,
                  bool *last)
{
    struct unix_sock *u = unix_of(s);
    struct unix_msg *um = unix_msg_of(msg);
    int err;

    *last = um->nr_files;
    if (s->type == SOCK_STREAM && !um->nr_files && !s->passcred)
        return 0;
    if (s->type != SOCK_STREAM && um->from) {
        m->addr_len = um->from->len;
        memcpy(&m->addr, &um->from->sun, um->from->len);
    }
    err = unix_give_files(u, um, m, flags & MSG_PEEK);
    unix_give_cred(u, um, m);
    return err;
}

ssize_t unix_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    if (s->listening)
        return -EINVAL;
    if (s->type != SOCK_DGRAM && !READ_ONCE(s->peer) && !READ_ONCE(s->shut))
        return s->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
    m->addr_len = 0;
    return sock_recv(s, m, flags);
}
