/* SPDX-License-Identifier: MIT
 *
 * Sending and receiving on unix sockets. A message is built in private and queued at the receiver;
 * a reader takes bytes from the first message while only it can (u->reading). Others wait for that
 * lock, a sender among them, so copies under it fault nothing in: missing memory is touched between
 * two holds of it.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix/unix_priv.h"
#include "net/unix/up.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "sched/thread.h"
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
    list_init(&msg->carrier);
    msg->len = (u32)n;
    *err = iov_copy_from(m->data, msg->data, n) == n ? 0 : -EFAULT;
    if (!*err)
        *err = unix_msg_files(msg, m);
    if (*err) {
        unix_msg_free(msg);
        return NULL;
    }
    unix_msg_cred(msg, u, to, m);
    if (unlikely(to->sock.timestamp))
        msg->time = time_ns() + time_wall_offset();
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

static u32 unix_msg_cost(const struct unix_msg *msg)
{
    return msg->len + UNIX_MSG_COST;
}

static int unix_may_queue_locked(const struct unix_sock *from, const struct unix_sock *to)
{
    bool dgram = to->sock.type == SOCK_DGRAM;

    if (dgram && to->peer && to->peer != from)
        return -EPERM;
    if (to->dead)
        return dgram ? -ECONNREFUSED : -EPIPE;
    if (unix_refuses(to))
        return -EPIPE;
    return to->queued >= to->sock.rcvbuf ? -EAGAIN : 0;
}

int unix_queue(struct unix_sock *from, struct unix_sock *to, struct unix_msg *msg)
{
    bool was_empty;
    int err;

    spin_lock(&to->lock);
    err = unix_may_queue_locked(from, to);
    was_empty = list_empty(&to->queue);
    if (!err) {
        list_add_tail(&to->queue, &msg->node);
        to->queued += unix_msg_cost(msg);
        msg->lost = to->lost;
        if (unlikely(msg->nr_files) && unix_flight_needed(msg))
            list_add_tail(&to->carriers, &msg->carrier);
    }
    spin_unlock(&to->lock);
    if (!err && (was_empty || !list_empty(&to->sock.wait.waiters)))
        socket_wake(&to->sock, POLLIN | POLLRDNORM);
    return err;
}

static bool unix_room(const struct unix_sock *to)
{
    return READ_ONCE(to->queued) < to->sock.rcvbuf || READ_ONCE(to->dead) || unix_refuses(to);
}

/* Many may wait to send to one datagram socket: each is woken alone, and wakes the next. A stream
 * has one peer, whose reader wakes the peer's own queue. */
static int unix_wait_room(struct unix_sock *u, struct unix_sock *to, u64 deadline)
{
    int err;

    if (u->sock.type != SOCK_DGRAM)
        return wait_event_deadline(&u->sock.wait, unix_room(to), SLEEP_INTERRUPTIBLE, deadline);
    err = wait_event_exclusive(&to->room, unix_room(to), deadline);
    if (err && unix_room(to))
        waitq_wake_one(&to->room);
    return err;
}

/* Queues msg, waiting for room. Frees msg on error. */
static int unix_queue_wait(struct unix_sock *u, struct unix_sock *to, struct unix_msg *msg,
                           unsigned flags)
{
    int (*queue)(struct unix_sock *, struct unix_sock *, struct unix_msg *) =
        unlikely(unix_flight_needed(msg)) ? unix_flight_queue : unix_queue;
    u64 deadline = socket_deadline(u->sock.send_timeout, u->sock.send_timeout ? time_ns() : 0);
    bool slept = false;
    int err;

    while ((err = queue(u, to, msg)) == -EAGAIN && !(flags & MSG_DONTWAIT)) {
        err = unix_wait_room(u, to, deadline);
        if (err)
            break;
        slept = true;
    }
    if (slept && u->sock.type == SOCK_DGRAM && unix_room(to))
        waitq_wake_one(&to->room);
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
        cond_yield(); /* while the other end reads, this one never waits */
        if (left && thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
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

void unix_take_all_locked(struct unix_sock *u, struct list_node *out)
{
    list_splice_tail(out, &u->queue);
    list_init(&u->carriers);
    u->queued = 0;
}

void unix_lost(struct unix_sock *u, struct unix_sock *sender, struct list_node *lost)
{
    struct unix_msg *msg, *next;
    bool hears;

    list_for_each_safe (msg, next, lost, node) {
        list_del(&msg->node);
        unix_msg_free(msg);
        cond_yield();
    }
    waitq_wake_one(&u->room);
    spin_lock(&sender->lock);
    hears = !sender->dead && sender->peer == u;
    spin_unlock(&sender->lock);
    if (!hears)
        return;
    WRITE_ONCE(sender->sock.error, ECONNRESET);
    socket_wake(&sender->sock, POLLERR);
}

/* The peer of a datagram socket turned out to be dead: u is connected no longer, and what the peer
 * sent is lost, as on Linux. */
static void unix_part(struct unix_sock *u, struct unix_sock *peer)
{
    struct list_node lost;
    bool parted;

    list_init(&lost);
    mutex_lock(&u->reading); /* a reader may have the first message in hand */
    spin_lock(&u->lock);
    parted = u->peer == peer;
    if (parted) {
        u->peer = NULL;
        unix_take_all_locked(u, &lost);
    }
    spin_unlock(&u->lock);
    mutex_unlock(&u->reading);
    if (!parted)
        return;
    unix_lost(u, peer, &lost);
    unix_put(peer);
}

ssize_t unix_send(struct socket *s, struct socket_message *m, unsigned flags,
                  const struct walk_ctx *ctx)
{
    struct unix_sock *u = unix_of(s), *to;
    ssize_t n;
    int err;

    if (m->addr_len && s->type == SOCK_DGRAM) {
        err = u->family->lookup(u, &m->addr, m->addr_len, ctx, &to);
        if (err)
            return err;
    } else {
        to = unix_peer(u);
        if (!to)
            return -ENOTCONN;
        if (m->addr_len && s->type == SOCK_STREAM) { /* a seqpacket socket ignores it */
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

/* One call to receive. */
struct unix_read {
    struct socket_message *m;
    unsigned flags;
    u64 deadline;
    u64 done;    /* bytes of a stream taken */
    u64 missing; /* bytes of the caller's memory that are not there: the call goes on from there */
    bool slept;
};

/* Without u->reading: until there may be something. */
static int unix_wait_message(struct unix_sock *u, struct unix_read *r)
{
    int err;

    mutex_unlock(&u->reading);
    err = wait_event_exclusive(&u->sock.wait, unix_readable(u), r->deadline);
    if (err && unix_readable(u))
        socket_wake(&u->sock, POLLIN | POLLRDNORM);
    r->slept = true;
    mutex_lock(&u->reading);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* The first message, which stays queued; u->reading held. NULL with *err: 0 at the end. */
static struct unix_msg *unix_first(struct unix_sock *u, struct unix_read *r, unsigned flags,
                                   int *err)
{
    struct unix_msg *msg;
    bool end;

    *err = 0;
    for (;;) {
        /* Packets tell an error at once, a stream after its bytes. */
        if (u->sock.type != SOCK_STREAM && (*err = socket_take_error(&u->sock)))
            return NULL;
        /* All at one moment: what was sent before the end, or an error, is in the queue by then. A
         * reset after the peer's close (-EPIPE) is for writers: reads are at their end. */
        spin_lock(&u->lock);
        msg = list_first(&u->queue, struct unix_msg, node);
        end = u->shut & UNIX_SHUT_RD;
        if (!msg && READ_ONCE(u->sock.error) != EPIPE)
            *err = socket_take_error(&u->sock);
        spin_unlock(&u->lock);
        DELAYPOINT(unix_first);
        if (msg || *err)
            return msg;
        if (end && !((flags & MSG_DONTWAIT) && u->sock.type == SOCK_DGRAM))
            return NULL;
        *err = flags & MSG_DONTWAIT ? -EAGAIN : unix_wait_message(u, r);
        if (*err)
            return NULL;
    }
}

/* Those who look for sockets in flight see them under u->lock. */
static int unix_give_files(struct unix_sock *u, struct unix_msg *msg, struct socket_message *m,
                           bool peek)
{
    if (!msg->nr_files || m->nr_files)
        return 0;
    if (!peek) {
        spin_lock(&u->lock);
        m->files = msg->files;
        m->nr_files = msg->nr_files;
        msg->files = NULL;
        msg->nr_files = 0;
        list_del(&msg->carrier);
        spin_unlock(&u->lock);
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

/* What else a datagram's receiver may ask for. */
static void unix_give_notes(const struct unix_sock *u, const struct unix_msg *msg,
                            struct socket_message *m)
{
    m->destination = msg->to_ip;
    m->lost = msg->lost;
    m->has_lost = u->sock.count_lost && msg->lost;
    if (!u->sock.timestamp)
        return;
    m->time = msg->time ? msg->time : time_ns() + time_wall_offset();
    m->time_ns = u->sock.timestamp == SOCKET_TIME_NS;
}

/* n bytes of the first message are done with; the last ones take it away. */
static void unix_consume(struct unix_sock *u, struct unix_msg *msg, u32 n)
{
    struct unix_sock *peer = NULL;
    bool gone = msg->off + n == msg->len;
    bool was_full;

    spin_lock(&u->lock);
    was_full = u->queued >= u->sock.rcvbuf;
    msg->off += n;
    u->queued -= n + (gone ? UNIX_MSG_COST : 0);
    if (gone) {
        list_del(&msg->node);
        list_del(&msg->carrier);
    }
    if (was_full && u->queued < u->sock.rcvbuf && u->peer) {
        peer = u->peer;
        unix_get(peer);
    }
    spin_unlock(&u->lock);
    if (was_full && u->sock.type == SOCK_DGRAM)
        waitq_wake_one(&u->room);
    if (peer) {
        socket_wake(&peer->sock, POLLOUT | POLLWRNORM);
        unix_put(peer);
    }
    if (gone)
        unix_msg_free(msg);
}

void unix_resized(struct socket *s)
{
    struct unix_sock *u = unix_of(s), *peer = unix_peer(u);

    waitq_wake_one(&u->room); /* each that waits is woken by the one before */
    if (!peer)
        return;
    socket_wake(&peer->sock, POLLOUT | POLLWRNORM);
    unix_put(peer);
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

/* What follows the last byte taken, or for a peek the last message seen. */
static struct unix_msg *unix_next(struct unix_sock *u, struct unix_read *r, struct unix_msg *seen,
                                  int *err)
{
    u64 enough = MIN((u64)u->sock.low_water, r->done + r->m->data->count);
    bool patient = !r->done || (r->flags & MSG_WAITALL) || r->done < enough;

    if (seen && (r->flags & MSG_PEEK))
        return unix_after(u, seen);
    if (!patient && !READ_ONCE(u->queued))
        return NULL; /* an error waits for the next call */
    return unix_first(u, r, patient ? r->flags : r->flags | MSG_DONTWAIT, err);
}

/* Bytes that come together are told as one sender's: unix(7), SO_PASSCRED. */
static bool unix_same_sender(const struct unix_msg *msg, const struct socket_message *m)
{
    return msg->pid == m->pid && (!msg->pid || (msg->uid == m->uid && msg->gid == m->gid));
}

static int unix_recv_stream(struct unix_sock *u, struct unix_read *r)
{
    bool peek = r->flags & MSG_PEEK, files = false;
    struct socket_message *m = r->m;
    struct unix_msg *msg = NULL;
    int err = 0;

    while (m->data->count && !files && !err) {
        u64 n;

        msg = unix_next(u, r, msg, &err);
        if (!msg || (r->done && u->sock.passcred && !unix_same_sender(msg, m)))
            break;
        n = MIN(m->data->count, (u64)(msg->len - msg->off));
        if (!iov_put_whole(m->data, msg->data + msg->off, n)) {
            r->missing = n;
            break;
        }
        files = msg->nr_files;
        err = unix_give_files(u, msg, m, peek);
        unix_give_cred(u, msg, m);
        r->done += n;
        if (!peek)
            unix_consume(u, msg, (u32)n);
        cond_yield(); /* while the other end sends, this one never waits */
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    return err;
}

static int unix_recv_packet(struct unix_sock *u, struct unix_read *r)
{
    struct socket_message *m = r->m;
    struct unix_msg *msg;
    int err;
    u64 n;

    msg = unix_first(u, r, r->flags, &err);
    if (!msg)
        return err;
    n = MIN(m->data->count, (u64)msg->len);
    if (n && !iov_put_whole(m->data, msg->data, n)) {
        r->missing = n;
        return 0;
    }
    if (n < msg->len)
        m->flags |= MSG_TRUNC;
    m->addr_len = msg->from ? msg->from->len : 0;
    if (msg->from)
        memcpy(&m->addr, &msg->from->sun, msg->from->len);
    err = unix_give_files(u, msg, m, r->flags & MSG_PEEK);
    unix_give_cred(u, msg, m);
    unix_give_notes(u, msg, m);
    r->done = r->flags & MSG_TRUNC ? msg->len : n;
    if (!(r->flags & MSG_PEEK))
        unix_consume(u, msg, msg->len);
    return err;
}

/* Between two tries. A peek begins anew: what it saw may have gone meanwhile. */
static int unix_recv_fault(struct unix_read *r, const struct iov_iter *start)
{
    int err = iov_fault_in(r->m->data, r->missing, true);

    r->missing = 0;
    if (err || !(r->flags & MSG_PEEK))
        return err;
    *r->m->data = *start;
    r->done = 0;
    socket_message_drop(r->m);
    r->m->has_cred = false;
    return 0;
}

ssize_t unix_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    struct unix_sock *u = unix_of(s);
    struct iov_iter start = *m->data;
    struct unix_read r = {.m = m, .flags = flags};
    int err;

    if (s->listening)
        return -EINVAL;
    if (s->type != SOCK_DGRAM && !READ_ONCE(u->peer) && !READ_ONCE(u->shut))
        return s->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
    r.deadline = socket_deadline(s->recv_timeout, s->recv_timeout ? time_ns() : 0);
    do {
        mutex_lock(&u->reading);
        err = s->type == SOCK_STREAM ? unix_recv_stream(u, &r) : unix_recv_packet(u, &r);
        mutex_unlock(&u->reading);
    } while (unlikely(r.missing) && !(err = unix_recv_fault(&r, &start)));
    if (r.slept && unix_readable(u)) /* the wake was for other readers, too */
        socket_wake(s, POLLIN | POLLRDNORM);
    if (s->type == SOCK_STREAM)
        return r.done ? (ssize_t)r.done : err;
    return err ? err : (ssize_t)r.done;
}
