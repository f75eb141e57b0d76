/* SPDX-License-Identifier: MIT
 *
 * The receiving queue: sending into it, receiving from it. core/queue.h has the rules.
 */
#include "net/core/queue.h"
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/urgent.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vm/iov.h"

#define FIONREAD 0x541B
#define SIOCOUTQ 0x5411

#define SO_TIMESTAMP 29
#define SO_TIMESTAMPNS 35
#define SO_TIMESTAMPING 37
#define SO_RXQ_OVFL 40
#define SOCK_CHUNK 16384U /* most bytes of a stream in one message */

struct sock_msg *sock_msg_create(u32 head, struct iov_iter *from, u64 n, bool stamp, int *err)
{
    struct sock_msg *msg = kmalloc(head + n);

    *err = -ENOMEM;
    if (!msg)
        return NULL;
    msg->len = (u32)n;
    msg->off = 0;
    msg->head = head;
    msg->overhead = SOCK_MSG_COST;
    msg->packet = msg->urgent = false;
    msg->time = 0;
    if (iov_copy_from(from, sock_msg_data(msg), n) != n) {
        *err = -EFAULT;
        kfree(msg);
        return NULL;
    }
    if (unlikely(stamp))
        msg->time = time_ns() + time_wall_offset();
    *err = 0;
    return msg;
}

static void sock_bytes_free(struct socket *s, struct sock_msg *msg)
{
    if (s->ops->msg_free)
        s->ops->msg_free(msg);
    kfree(msg);
}

void sock_msg_free(struct socket *s, struct sock_msg *msg)
{
    if (likely(!msg->packet))
        sock_bytes_free(s, msg);
    else
        packet_free(sock_msg_packet(msg));
}

void sock_packet_settle(struct socket *to, struct packet *p, u32 head)
{
    struct sock_msg *msg = sock_packet_msg(p);
    u32 len = p->len - head;

    ASSERT(head <= p->len);
    packet_arrived(p);
    msg->len = len;
    msg->off = 0;
    msg->head = head;
    msg->overhead = p->charged > len ? p->charged - len : 0;
    msg->packet = true;
    msg->time = 0;
    if (socket_stamps(to))
        msg->time = (p->time ? p->time : time_ns()) + time_wall_offset();
}

int sock_packet_begin(struct socket *to, struct packet *p, u32 head)
{
    int err = packet_charge(p, to->account);

    if (!err)
        sock_packet_settle(to, p, head);
    return err;
}

/* n bytes of a packet, all or none: into a reader's memory. */
static bool sock_packet_put(struct sock_msg *msg, u32 off, struct iov_iter *to, u64 n)
{
    const struct packet *p = sock_msg_packet(msg);
    struct iov_iter start = *to;

    off += msg->head;
    while (n) {
        u32 len;
        const u8 *at = packet_stretch(p, off, (u32)n, &len);

        if (!iov_put_whole(to, at, len)) {
            *to = start;
            return false;
        }
        off += len;
        n -= len;
    }
    return true;
}

/* n bytes of msg from off on, all or none. */
static inline bool sock_msg_put(struct sock_msg *msg, u32 off, struct iov_iter *to, u64 n)
{
    if (unlikely(msg->packet))
        return sock_packet_put(msg, off, to, n);
    return iov_put_whole(to, sock_msg_data(msg) + off, n);
}

int sock_await_space(struct socket *to, u64 deadline)
{
    int err = wait_event_exclusive(&to->senders_wait, sock_has_space(to), deadline);

    if (err && sock_has_space(to))
        waitq_wake_one(&to->senders_wait);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* Many may wait to send to one datagram socket: each is woken alone, and wakes the next. A stream
 * has one peer, whose reader wakes the peer's own queue. */
static int sock_wait_space(struct socket *s, struct socket *to, u64 deadline)
{
    if (s->type == SOCK_DGRAM)
        return sock_await_space(to, deadline);
    return wait_event_deadline(&s->wait, sock_has_space(to), SLEEP_INTERRUPTIBLE, deadline);
}

/* There was no space: waits for it. */
static int sock_queue_slow(struct socket *s, struct socket *to, struct sock_msg *msg)
{
    u64 deadline = socket_deadline(s->send_timeout, s->send_timeout ? time_ns() : 0);
    int err;

    do {
        err = sock_wait_space(s, to, deadline);
    } while (!err && (err = s->ops->msg_queue(s, to, msg)) == -EAGAIN);
    if (s->type == SOCK_DGRAM && sock_has_space(to))
        waitq_wake_one(&to->senders_wait);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

int sock_queue_wait(struct socket *s, struct socket *to, struct sock_msg *msg, unsigned flags)
{
    int err = s->ops->msg_queue(s, to, msg);

    if (unlikely(err == -EAGAIN) && !(flags & MSG_DONTWAIT))
        err = sock_queue_slow(s, to, msg);
    if (err)
        sock_msg_free(s, msg);
    return err;
}

ssize_t sock_send_stream(struct socket *s, struct socket *to, struct socket_message *m,
                         unsigned flags)
{
    u64 left = m->data->count, done = 0;
    int err = 0;

    if (READ_ONCE(s->shut) & SOCK_SHUT_WR)
        return -EPIPE;
    while (left) {
        u64 n = MIN(left, SOCK_CHUNK);
        struct sock_msg *msg;

        if (!sock_has_space(to) && (flags & MSG_DONTWAIT)) {
            err = -EAGAIN; /* before the bytes leave the iterator */
            break;
        }
        msg = s->ops->msg_make(s, to, m, n, &err);
        if (!msg)
            break;
        err = sock_queue_wait(s, to, msg, flags);
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

void sock_queue_take_all_locked(struct socket *s, struct list_node *out)
{
    ASSERT_HELD(&s->lock);
    list_splice_tail(out, &s->queue);
    s->queued = s->unread = 0;
    s->urgent.there = false;
}

void sock_queue_free(struct socket *s, struct list_node *messages)
{
    struct sock_msg *msg, *next;

    list_for_each_safe (msg, next, messages, node) {
        list_del(&msg->node);
        sock_msg_free(s, msg);
        cond_yield();
    }
}

static bool sock_readable(const struct socket *s)
{
    return !list_empty(&s->queue) || (READ_ONCE(s->shut) & SOCK_SHUT_RD) || s->error;
}

/* There is more than an urgent byte that is not read in the stream. */
static bool sock_has_more(struct socket *s)
{
    bool more;

    spin_lock(&s->lock);
    more = sock_urgent_more_locked(s);
    spin_unlock(&s->lock);
    return more;
}

/* The same, or there will be no more. */
static bool sock_has_more_or_ends(struct socket *s)
{
    return sock_has_more(s) || (READ_ONCE(s->shut) & SOCK_SHUT_RD) || s->error;
}

/* One call to receive. */
struct sock_read {
    struct socket_message *m;
    unsigned flags;
    u64 deadline;
    u64 done;    /* bytes of a stream taken */
    u32 seen;    /* by a peek */
    u64 missing; /* bytes of the caller's memory that are not there: the call goes on from there */
    bool slept;
};

/* Without s->reading: until there may be something. */
static int sock_wait_message(struct socket *s, struct sock_read *r) REQUIRES(s->reading)
{
    int err;

    ASSERT_HELD(&s->reading);
    mutex_unlock(&s->reading);
    err = wait_event_exclusive(&s->wait, sock_readable(s), r->deadline);
    if (err && sock_readable(s))
        sock_queue_wake(s);
    r->slept = true;
    mutex_lock(&s->reading);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* The first message, which stays queued; s->reading held. NULL with *err: 0 at the end. */
static struct sock_msg *sock_first(struct socket *s, struct sock_read *r, unsigned flags, int *err)
    REQUIRES(s->reading)
{
    struct sock_msg *msg;
    bool end;

    ASSERT_HELD(&s->reading);
    *err = 0;
    for (;;) {
        /* Packets tell an error at once, a stream after its bytes. */
        if (s->type != SOCK_STREAM && (*err = socket_take_error(s)))
            return NULL;
        /* All at one moment: what was sent before the end, or an error, is in the queue by then. A
         * reset after the peer's close (-EPIPE) is for writers: reads are at their end. */
        spin_lock(&s->lock);
        msg = list_first(&s->queue, struct sock_msg, node);
        end = s->shut & SOCK_SHUT_RD;
        if (!msg && READ_ONCE(s->error) != EPIPE)
            *err = socket_take_error(s);
        spin_unlock(&s->lock);
        DELAYPOINT(sock_first);
        if (msg || *err)
            return msg;
        if (end && !((flags & MSG_DONTWAIT) && sock_is_datagram(s)))
            return NULL;
        *err = flags & MSG_DONTWAIT ? -EAGAIN : sock_wait_message(s, r);
        if (*err)
            return NULL;
    }
}

/* n bytes of the first message are done with; the last ones take it away: true. */
static __always_inline bool sock_take(struct socket *s, struct sock_msg *msg, u32 n)
{
    struct socket *peer = NULL;
    bool gone = msg->off + n == msg->len;
    bool was_full;

    spin_lock(&s->lock);
    was_full = s->queued >= s->rcvbuf;
    msg->off += n;
    s->queued -= n + (gone ? msg->overhead : 0);
    s->unread -= n;
    if (unlikely(s->urgent.there))
        sock_urgent_passed_locked(s, n);
    if (gone)
        list_del(&msg->node);
    if (was_full && s->queued < s->rcvbuf && s->peer) {
        peer = s->peer;
        socket_get(peer);
    }
    spin_unlock(&s->lock);
    if (was_full && sock_is_datagram(s))
        waitq_wake_one(&s->senders_wait);
    if (peer) {
        socket_wake(peer, POLLOUT | POLLWRNORM);
        socket_put(peer);
    }
    return gone;
}

static __noinline void sock_consume_packet(struct socket *s, struct sock_msg *msg, u32 n)
{
    if (sock_take(s, msg, n))
        packet_free(sock_msg_packet(msg));
    if (s->ops->packet_consumed)
        s->ops->packet_consumed(s, n);
}

static void sock_consume(struct socket *s, struct sock_msg *msg, u32 n)
{
    if (unlikely(msg->packet))
        sock_consume_packet(s, msg, n);
    else if (sock_take(s, msg, n))
        sock_bytes_free(s, msg);
}

/* The message after msg, for a peek that goes on. */
static struct sock_msg *sock_after(struct socket *s, struct sock_msg *msg)
{
    struct sock_msg *next = NULL;

    spin_lock(&s->lock);
    if (msg->node.next != &s->queue)
        next = list_entry(msg->node.next, struct sock_msg, node);
    spin_unlock(&s->lock);
    return next;
}

/* What follows the last byte taken, or for a peek the last message seen. */
static struct sock_msg *sock_next(struct socket *s, struct sock_read *r, struct sock_msg *seen,
                                  int *err) REQUIRES(s->reading)
{
    u64 enough = MIN((u64)s->low_water, r->done + r->m->data->count);
    bool patient = !r->done || (r->flags & MSG_WAITALL) || r->done < enough;

    ASSERT_HELD(&s->reading);
    if (seen && (r->flags & MSG_PEEK))
        return sock_after(s, seen);
    if (!patient && !READ_ONCE(s->queued))
        return NULL; /* an error waits for the next call */
    return sock_first(s, r, patient ? r->flags : r->flags | MSG_DONTWAIT, err);
}

/* A peek has come to the end of the queue, and has seen only an urgent byte, which it does not
 * give. Waits until there is more. 0: the peek begins anew, or, with *end, there will be nothing.
 */
static int sock_peek_wait(struct socket *s, struct sock_read *r, bool *end) REQUIRES(s->reading)
{
    bool more;
    int err = 0;

    ASSERT_HELD(&s->reading);
    spin_lock(&s->lock);
    more = sock_urgent_more_locked(s);
    *end = !more && (s->shut & SOCK_SHUT_RD);
    if (!more && READ_ONCE(s->error) != EPIPE)
        err = socket_take_error(s);
    spin_unlock(&s->lock);
    if (err || *end || more)
        return err;
    if (r->flags & MSG_DONTWAIT)
        return -EAGAIN;
    mutex_unlock(&s->reading);
    err = wait_event_exclusive(&s->wait, sock_has_more_or_ends(s), r->deadline);
    r->slept = true;
    mutex_lock(&s->reading);
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

static int sock_give(struct socket *s, struct sock_msg *msg, struct sock_read *r, bool *last)
{
    return s->ops->msg_give ? s->ops->msg_give(s, msg, r->m, r->flags, last) : 0;
}

/* At the urgent byte, which is not read in the stream: it is passed. A peek only looks behind it.
 */
static void sock_skip_urgent(struct socket *s, struct sock_read *r, struct sock_msg *msg, u32 *off)
{
    if (r->flags & MSG_PEEK) {
        r->seen++;
        ++*off;
    } else {
        sock_consume(s, msg, 1);
    }
}

static int sock_recv_stream(struct socket *s, struct sock_read *r) REQUIRES(s->reading)
{
    struct socket_message *m = r->m;
    struct sock_msg *msg = NULL;
    bool last = false;
    int err = 0;

    ASSERT_HELD(&s->reading);
    while (m->data->count && !last && !err) {
        bool skip = false;
        u32 off;
        u64 n;

        if (unlikely(READ_ONCE(s->urgent.there)) && r->done && sock_urgent_is_at(s, r->seen))
            break; /* a read ends at the mark */
        msg = sock_next(s, r, msg, &err);
        if (unlikely(!msg && !err && r->seen && !r->done)) {
            err = sock_peek_wait(s, r, &last);
            r->seen = 0;
            continue;
        }
        if (!msg || (r->done && s->ops->msg_joins && !s->ops->msg_joins(s, msg, m)))
            break;
        off = msg->off;
        n = MIN(m->data->count, (u64)(msg->len - off));
        if (unlikely(READ_ONCE(s->urgent.there)))
            n = sock_urgent_limit(s, r->seen, (u32)n, &skip);
        if (unlikely(skip)) {
            sock_skip_urgent(s, r, msg, &off);
            cond_yield();
            if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
                break;
            if (!(r->flags & MSG_PEEK) || off == msg->len)
                continue;
            n = MIN(m->data->count, (u64)(msg->len - off));
        }
        if (!sock_msg_put(msg, off, m->data, n)) {
            r->missing = n;
            break;
        }
        err = sock_give(s, msg, r, &last);
        r->done += n;
        if (r->flags & MSG_PEEK)
            r->seen += (u32)n;
        else
            sock_consume(s, msg, (u32)n);
        cond_yield(); /* while the other end sends, this one never waits */
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            break;
    }
    return err;
}

void sock_give_stamp(const struct socket *s, u64 time, struct socket_message *m)
{
    s64 t[6] = {(s64)(time / NSEC_PER_SEC),
                (s64)(time % NSEC_PER_SEC)}; /* the rest is hardware's */

    if (time && (READ_ONCE(s->stamping) & SOCKET_STAMP_TELL))
        socket_note(m, SOL_SOCKET, SO_TIMESTAMPING, t, sizeof(t));
}

/* What SO_TIMESTAMP, SO_TIMESTAMPING and SO_RXQ_OVFL ask for. */
static void sock_give_notes(const struct socket *s, const struct sock_msg *msg,
                            struct socket_message *m)
{
    bool ns = s->timestamp == SOCKET_TIME_NS;
    u64 time;
    s64 t[2];

    if (unlikely(READ_ONCE(s->stamping) & SOCKET_STAMP_CAME))
        sock_give_stamp(s, msg->time, m);
    if (s->timestamp) {
        time = msg->time ? msg->time : time_ns() + time_wall_offset();
        t[0] = (s64)(time / NSEC_PER_SEC);
        t[1] = (s64)(time % NSEC_PER_SEC / (ns ? 1 : NSEC_PER_USEC));
        socket_note(m, SOL_SOCKET, ns ? SO_TIMESTAMPNS : SO_TIMESTAMP, t, sizeof(t));
    }
    if (s->count_lost && msg->lost)
        socket_note(m, SOL_SOCKET, SO_RXQ_OVFL, &msg->lost, sizeof(msg->lost));
}

static int sock_recv_packet(struct socket *s, struct sock_read *r) REQUIRES(s->reading)
{
    struct socket_message *m = r->m;
    struct sock_msg *msg;
    bool last;
    int err;
    u64 n;

    ASSERT_HELD(&s->reading);
    msg = sock_first(s, r, r->flags, &err);
    if (!msg)
        return err;
    n = MIN(m->data->count, (u64)msg->len);
    if (n && !sock_msg_put(msg, 0, m->data, n)) {
        r->missing = n;
        return 0;
    }
    if (n < msg->len)
        m->flags |= MSG_TRUNC;
    sock_give_notes(s, msg, m);
    err = sock_give(s, msg, r, &last);
    r->done = r->flags & MSG_TRUNC ? msg->len : n;
    if (!(r->flags & MSG_PEEK))
        sock_consume(s, msg, msg->len);
    return err;
}

/* Between two tries. A peek begins anew: what it saw may have gone meanwhile. */
static int sock_recv_fault(struct sock_read *r, const struct iov_iter *start)
{
    int err = iov_fault_in(r->m->data, r->missing, true);

    r->missing = 0;
    if (err || !(r->flags & MSG_PEEK))
        return err;
    *r->m->data = *start;
    r->done = r->seen = 0;
    socket_message_drop(r->m);
    r->m->has_cred = false;
    if (r->m->notes)
        r->m->notes->nr = 0;
    return 0;
}

ssize_t sock_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    struct iov_iter start = *m->data;
    struct sock_read r = {.m = m, .flags = flags};
    int err;

    r.deadline = socket_deadline(s->recv_timeout, s->recv_timeout ? time_ns() : 0);
    do {
        mutex_lock(&s->reading);
        err = s->type == SOCK_STREAM ? sock_recv_stream(s, &r) : sock_recv_packet(s, &r);
        mutex_unlock(&s->reading);
    } while (unlikely(r.missing) && !(err = sock_recv_fault(&r, &start)));
    if (r.slept && sock_readable(s)) /* the wake was for other readers, too */
        sock_queue_wake(s);
    if (s->type == SOCK_STREAM)
        return r.done ? (ssize_t)r.done : err;
    return err ? err : (ssize_t)r.done;
}

u32 sock_unread_locked(const struct socket *s)
{
    const struct sock_msg *msg = list_first(&s->queue, struct sock_msg, node);

    ASSERT_HELD(&s->lock);
    return !sock_is_datagram(s) ? s->unread : msg ? msg->len : 0;
}

u32 sock_unread(struct socket *s)
{
    u32 n;

    spin_lock(&s->lock);
    n = sock_unread_locked(s);
    spin_unlock(&s->lock);
    return n;
}

s64 sock_queue_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    struct socket *peer;
    u32 n = 0;

    if (cmd != FIONREAD && cmd != SIOCOUTQ)
        return -ENOTTY;
    if (s->listening)
        return -EINVAL;
    if (cmd == FIONREAD) {
        n = s->type == SOCK_STREAM ? sock_urgent_unread(s) : sock_unread(s);
    } else if ((peer = socket_peer(s))) {
        n = READ_ONCE(peer->queued);
        socket_put(peer);
    }
    return copy_out((void __user *)arg, &n, sizeof(n));
}

void sock_resized(struct socket *s)
{
    struct socket *peer = socket_peer(s);

    waitq_wake_one(&s->senders_wait); /* each that waits is woken by the one before */
    if (!peer)
        return;
    socket_wake(peer, POLLOUT | POLLWRNORM);
    socket_put(peer);
}

void sock_set_shut(struct socket *s, u32 bits)
{
    spin_lock(&s->lock);
    WRITE_ONCE(s->shut, s->shut | bits);
    spin_unlock(&s->lock);
    socket_wake(s, 0);
    waitq_wake_all(&s->senders_wait);
}

void sock_reset(struct socket *s, int err)
{
    WRITE_ONCE(s->error, err);
    sock_set_shut(s, SOCK_SHUT_BOTH);
}
