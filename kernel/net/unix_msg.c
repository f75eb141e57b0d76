/* SPDX-License-Identifier: MIT
 *
 * Sending and receiving on unix sockets. A message is built in private and queued at the receiver;
 * a reader takes bytes from the first message while only it can (u->reading), so user memory is
 * touched under no spinlock.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix_priv.h"
#include "net/up.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "sched/timer.h"
#include "vm/iov.h"

#define UNIX_CHUNK 16384U /* most bytes of a stream in one message */

void unix_msg_free(struct unix_msg *msg)
{
    for (u32 i = 0; i < msg->nr_files; i++)
        file_put(msg->files[i]);
    kfree(msg->files);
    if (msg->pid)
        pid_put(msg->pid);
    unix_addr_put(msg->from);
    kfree(msg);
}

/* Who sends, if either end wants to know. */
static void unix_msg_cred(struct unix_msg *msg, const struct unix_sock *u,
                          const struct unix_sock *to, const struct socket_message *m)
{
    const struct cred *cred = current_cred();

    if (!m->has_cred && !u->sock.passcred && !to->sock.passcred)
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

struct unix_msg *unix_msg_create(struct unix_sock *u, struct unix_sock *to,
                                 struct socket_message *m, u64 n, int *err)
{
    struct unix_msg *msg = kmalloc(sizeof(*msg) + n);

    *err = -ENOMEM;
    if (!msg)
        return NULL;
    memset(msg, 0, sizeof(*msg));
    msg->len = (u32)n;
    *err = iov_copy_from(m->data, msg->data, n) == n ? 0 : -EFAULT;
    if (!*err)
        *err = unix_msg_files(msg, m);
    if (*err) {
        unix_msg_free(msg);
        return NULL;
    }
    unix_msg_cred(msg, u, to, m);
    return msg;
}

/* A reference to whom u is connected with, or NULL. */
static struct unix_sock *unix_peer(struct unix_sock *u)
{
    struct unix_sock *peer;

    spin_lock(&u->lock);
    peer = u->peer;
    if (peer)
        unix_get(peer);
    spin_unlock(&u->lock);
    return peer;
}

/* Queues msg at `to`. 0, -EAGAIN (full), -EPIPE (reads no more), -ECONNREFUSED (gone). */
int unix_queue(struct unix_sock *to, struct unix_msg *msg)
{
    bool was_empty;
    int err = 0;

    spin_lock(&to->lock);
    if (to->dead)
        err = to->sock.type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    else if (to->shut & UNIX_SHUT_RD)
        err = -EPIPE;
    else if (to->queued >= to->sock.rcvbuf)
        err = -EAGAIN;
    was_empty = list_empty(&to->queue);
    if (!err) {
        list_add_tail(&to->queue, &msg->node);
        to->queued += msg->len + (to->sock.type == SOCK_STREAM ? 0 : 64);
    }
    spin_unlock(&to->lock);
    if (!err && (was_empty || !list_empty(&to->sock.wait.waiters)))
        socket_wake(&to->sock, POLLIN | POLLRDNORM);
    return err;
}

static bool unix_room(const struct unix_sock *to)
{
    return READ_ONCE(to->queued) < to->sock.rcvbuf || READ_ONCE(to->dead) ||
           (READ_ONCE(to->shut) & UNIX_SHUT_RD);
}

/* Queues msg, waiting for room. A stream's reader wakes its peer's queue; a datagram's its own,
 * since many may be waiting for it. Frees msg on error. */
static int unix_queue_wait(struct unix_sock *u, struct unix_sock *to, struct unix_msg *msg,
                           unsigned flags)
{
    struct waitq *q = u->sock.type == SOCK_DGRAM ? &to->sock.wait : &u->sock.wait;
    int (*queue)(struct unix_sock *, struct unix_msg *) =
        unlikely(unix_flight_needed(msg)) ? unix_flight_queue : unix_queue;
    u64 deadline = socket_deadline(u->sock.send_timeout, u->sock.send_timeout ? time_ns() : 0);
    int err;

    while ((err = queue(to, msg)) == -EAGAIN && !(flags & MSG_DONTWAIT)) {
        err = wait_event_deadline(q, unix_room(to), SLEEP_INTERRUPTIBLE, deadline);
        if (err)
            break;
    }
    if (err)
        unix_msg_free(msg);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

static ssize_t unix_send_stream(struct unix_sock *u, struct unix_sock *to, struct socket_message *m,
                                unsigned flags)
{
    u64 left = m->data->count, done = 0;
    int err = 0;

    if (READ_ONCE(u->shut) & UNIX_SHUT_WR)
        return -EPIPE;
    while (left) {
        u64 n = MIN(left, UNIX_CHUNK);
        struct unix_msg *msg;

        if (!unix_room(to) && (flags & MSG_DONTWAIT)) {
            err = -EAGAIN; /* before the bytes leave the iterator */
            break;
        }
        msg = unix_msg_create(u, to, m, n, &err);
        if (!msg)
            break;
        err = unix_queue_wait(u, to, msg, flags);
        if (err)
            break;
        m->nr_files = 0; /* they go with the first bytes */
        done += n;
        left -= n;
    }
    return done ? (ssize_t)done : err;
}

static ssize_t unix_send_packet(struct unix_sock *u, struct unix_sock *to, struct socket_message *m,
                                unsigned flags)
{
    u64 n = m->data->count;
    struct unix_msg *msg;
    int err;

    if (n > u->sock.sndbuf)
        return -EMSGSIZE;
    err = socket_take_error(&u->sock);
    if (err)
        return err;
    if (READ_ONCE(u->shut) & UNIX_SHUT_WR)
        return -EPIPE;
    msg = unix_msg_create(u, to, m, n, &err);
    if (!msg)
        return err;
    if (u->addr) {
        refcount_get(&u->addr->ref);
        msg->from = u->addr;
    }
    err = unix_queue_wait(u, to, msg, flags);
    return err ? err : (ssize_t)n;
}

/* The peer of a datagram socket turned out to be dead: the tie is cut, and what it sent is lost, as
 * on Linux. */
static void unix_part(struct unix_sock *u, struct unix_sock *peer)
{
    struct unix_msg *msg, *next;
    struct list_node lost;
    bool parted;

    list_init(&lost);
    mutex_lock(&u->reading); /* a reader may have the first message in hand */
    spin_lock(&u->lock);
    parted = u->peer == peer;
    if (parted) {
        u->peer = NULL;
        list_splice_tail(&lost, &u->queue);
        u->queued = 0;
    }
    spin_unlock(&u->lock);
    mutex_unlock(&u->reading);
    if (!parted)
        return;
    unix_put(peer);
    socket_wake(&u->sock, POLLOUT | POLLWRNORM);
    list_for_each_safe (msg, next, &lost, node)
        unix_msg_free(msg);
}

ssize_t unix_send(struct socket *s, struct socket_message *m, unsigned flags,
                  const struct walk_ctx *ctx)
{
    struct unix_sock *u = unix_of(s), *to;
    ssize_t n;
    int err;

    if (m->addr_len && s->type == SOCK_DGRAM) {
        err = u->family->lookup(s->ns, &m->addr, m->addr_len, SOCK_DGRAM, ctx, &to);
        if (err)
            return err;
    } else {
        to = unix_peer(u);
        if (!to)
            return -ENOTCONN;
        if (m->addr_len) {
            unix_put(to);
            return -EISCONN;
        }
    }
    n = s->type == SOCK_STREAM ? unix_send_stream(u, to, m, flags)
                               : unix_send_packet(u, to, m, flags);
    if (n == -ECONNREFUSED && s->type == SOCK_DGRAM && !m->addr_len)
        unix_part(u, to);
    unix_put(to);
    return n;
}

static bool unix_readable(const struct unix_sock *u)
{
    return !list_empty(&u->queue) || (READ_ONCE(u->shut) & UNIX_SHUT_RD) || u->sock.error;
}

/* The first message, which stays queued; u->reading held. NULL with *err: 0 at the end. */
static struct unix_msg *unix_first(struct unix_sock *u, unsigned flags, u64 deadline, int *err)
{
    struct unix_msg *msg;
    bool end;

    *err = 0;
    for (;;) {
        /* Packets tell an error at once, a stream after its bytes. */
        if (u->sock.type != SOCK_STREAM && (*err = socket_take_error(&u->sock)))
            return NULL;
        spin_lock(&u->lock);
        msg = list_first(&u->queue, struct unix_msg, node);
        spin_unlock(&u->lock);
        if (msg || (*err = socket_take_error(&u->sock)))
            return msg;
        end = READ_ONCE(u->shut) & UNIX_SHUT_RD;
        if (end && !((flags & MSG_DONTWAIT) && u->sock.type == SOCK_DGRAM))
            return NULL;
        if (flags & MSG_DONTWAIT) {
            *err = -EAGAIN;
            return NULL;
        }
        mutex_unlock(&u->reading);
        *err = wait_event_deadline(&u->sock.wait, unix_readable(u), SLEEP_INTERRUPTIBLE, deadline);
        mutex_lock(&u->reading);
        if (*err) {
            *err = *err == -ETIMEDOUT ? -EAGAIN : *err;
            return NULL;
        }
    }
}

static int unix_give_files(struct unix_msg *msg, struct socket_message *m, bool peek)
{
    if (!msg->nr_files || m->nr_files)
        return 0;
    if (!peek) {
        m->files = msg->files;
        m->nr_files = msg->nr_files;
        msg->files = NULL;
        msg->nr_files = 0;
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

/* n bytes of a stream's first message (or the whole message) are done with. */
static void unix_consume(struct unix_sock *u, struct unix_msg *msg, u32 n, bool all)
{
    struct unix_sock *peer = NULL;
    bool gone = all || msg->off + n == msg->len;
    bool was_full;

    spin_lock(&u->lock);
    was_full = u->queued >= u->sock.rcvbuf;
    msg->off += n;
    u->queued -= all ? msg->len + 64 : n;
    if (gone)
        list_del(&msg->node);
    if (was_full && u->queued < u->sock.rcvbuf && u->peer) {
        peer = u->peer;
        unix_get(peer);
    }
    spin_unlock(&u->lock);
    if (was_full && u->sock.type == SOCK_DGRAM)
        socket_wake(&u->sock, POLLOUT | POLLWRNORM);
    if (peer) {
        socket_wake(&peer->sock, POLLOUT | POLLWRNORM);
        unix_put(peer);
    }
    if (gone)
        unix_msg_free(msg);
}

/* The message after msg, for a peek that goes on. */
static struct unix_msg *unix_after(struct unix_sock *u, struct unix_msg *msg)
{
    struct unix_msg *next = NULL;

    spin_lock(&u->lock);
    if (msg->node.next != &u->queue)
        next = list_entry(msg->node.next, struct unix_msg, node);
    spin_unlock(&u->lock);
    return next;
}

static ssize_t unix_recv_stream(struct unix_sock *u, struct socket_message *m, unsigned flags,
                                u64 deadline)
{
    bool peek = flags & MSG_PEEK, files;
    struct unix_msg *msg = NULL;
    ssize_t done = 0;
    int err = 0;

    while (m->data->count) {
        unsigned f = done && !(flags & MSG_WAITALL) ? flags | MSG_DONTWAIT : flags;
        u64 n, got;

        if (done && !(flags & MSG_WAITALL) && !peek && !READ_ONCE(u->queued))
            break; /* an error waits for the next call */
        msg = peek && msg ? unix_after(u, msg) : unix_first(u, f, deadline, &err);
        if (!msg || (done && u->sock.passcred && msg->pid != m->pid))
            break;
        n = MIN(m->data->count, (u64)(msg->len - msg->off));
        got = iov_copy_to(m->data, msg->data + msg->off, n);
        if (!got) {
            err = -EFAULT;
            break;
        }
        files = msg->nr_files;
        err = unix_give_files(msg, m, peek);
        unix_give_cred(u, msg, m);
        done += (ssize_t)got;
        if (!peek)
            unix_consume(u, msg, (u32)got, false);
        if (err || files || got < n)
            break;
    }
    return done ? done : err;
}

static ssize_t unix_recv_packet(struct unix_sock *u, struct socket_message *m, unsigned flags,
                                u64 deadline)
{
    struct unix_msg *msg;
    u64 n, got;
    ssize_t len;
    int err;

    msg = unix_first(u, flags, deadline, &err);
    if (!msg)
        return err;
    n = MIN(m->data->count, (u64)msg->len);
    got = iov_copy_to(m->data, msg->data, n);
    if (got < n)
        return -EFAULT;
    if (n < msg->len)
        m->flags |= MSG_TRUNC;
    m->addr_len = msg->from ? msg->from->len : 0;
    if (msg->from)
        memcpy(&m->addr, &msg->from->sun, msg->from->len);
    err = unix_give_files(msg, m, flags & MSG_PEEK);
    unix_give_cred(u, msg, m);
    len = flags & MSG_TRUNC ? (ssize_t)msg->len : (ssize_t)n;
    if (!(flags & MSG_PEEK))
        unix_consume(u, msg, 0, true);
    return err ? err : len;
}

ssize_t unix_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    struct unix_sock *u = unix_of(s);
    u64 deadline = socket_deadline(s->recv_timeout, s->recv_timeout ? time_ns() : 0);
    ssize_t n;

    if (s->listening)
        return -EINVAL;
    if (s->type != SOCK_DGRAM && !READ_ONCE(u->peer) && !READ_ONCE(u->shut))
        return s->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
    mutex_lock(&u->reading);
    n = s->type == SOCK_STREAM ? unix_recv_stream(u, m, flags, deadline)
                               : unix_recv_packet(u, m, flags, deadline);
    mutex_unlock(&u->reading);
    return n;
}
