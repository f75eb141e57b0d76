/* SPDX-License-Identifier: MIT
 *
 * The receiving queue of a socket: messages that a sender of this host built in private, and
 * packets that came for it. rcvbuf bounds it, overhead included. Streams take bytes across
 * messages, all others one message at a time. What a message carries beside its bytes, when it may
 * be queued, and what the end of a connection means is the family's: socket_ops.msg_*.
 *
 * A received packet is a message: its struct sock_msg lies in packet->control, so that to queue it
 * takes no memory, and its bytes are the packet's from some offset on, linear or in fragments. It
 * is charged to the receiver's account before it is queued (sock_packet_begin), and is uncharged
 * with its last byte.
 *
 * A reader takes bytes from the first message while only it can (s->reading). Others wait for that
 * lock, so copies under it fault nothing in: missing memory is touched between two holds of it.
 * Those who wait to send to a datagram socket wait in its `senders_wait`, and are woken one by one.
 *
 * Context: all may sleep, but for *_locked, which are under s->lock, and sock_packet_begin and
 * sock_queue_offer, which run where packets come in.
 */
#pragma once

#include "dev/packet.h"
#include "net/core/sock.h"

#define SOCK_MSG_COST 128U /* of a message, beside its bytes */

/* A family embeds it first; `head` says where the bytes begin: behind the message, or in its
 * packet, counted from packet_data(). */
struct sock_msg {
    struct list_node node; /* the receiver's lock */
    u32 len, off;          /* off: bytes of a stream read already (reader) */
    u32 lost;              /* datagrams that found no space before it */
    u32 head;
    u32 overhead; /* what it costs beside its bytes */
    bool packet;  /* it lies in a packet's control */
    bool urgent;  /* the last byte is (urgent.h) */
    u64 time;     /* when it was sent, ns of the wall clock; 0: not asked for */
};
static_assert(sizeof(struct sock_msg) <= PACKET_CONTROL, "a message in a packet");

static inline u8 *sock_msg_data(struct sock_msg *msg)
{
    return (u8 *)msg + msg->head;
}

/* head bytes, of which struct sock_msg is filled in, and n bytes from `from`. NULL: *err is -ENOMEM
 * or -EFAULT. stamp: with the time. */
struct sock_msg *sock_msg_create(u32 head, struct iov_iter *from, u64 n, bool stamp,
                                 int *err) __must_check;
void sock_msg_free(struct socket *s, struct sock_msg *msg);

/* The message that a packet is, and the packet. */
static inline struct sock_msg *sock_packet_msg(struct packet *p)
{
    return (struct sock_msg *)(void *)p->control;
}
static inline struct packet *sock_msg_packet(struct sock_msg *msg)
{
    return container_of((u64(*)[PACKET_CONTROL / 8])(void *)msg, struct packet, control);
}
/* Makes p a message for `to` of all bytes from head on, head <= p->len; fills in struct sock_msg
 * alone. p is charged to to's account from here on, so no byte is added to it any more; bytes at
 * its end may be cut off first. 0; -ENOMEM: p is as it was. */
int sock_packet_begin(struct socket *to, struct packet *p, u32 head) __must_check;
/* The same of a packet that is charged to to's account already. */
void sock_packet_settle(struct socket *to, struct packet *p, u32 head);

/* Each call to receive takes one message. */
static inline bool sock_is_datagram(const struct socket *s)
{
    return s->type == SOCK_DGRAM || s->type == SOCK_RAW;
}
static inline bool sock_refuses(const struct socket *s)
{
    return (READ_ONCE(s->shut) & s->ops->refuses) == s->ops->refuses;
}
/* A sender to s need not wait: there is space, or its call fails. */
static inline bool sock_has_space(const struct socket *s)
{
    return READ_ONCE(s->queued) < READ_ONCE(s->rcvbuf) || READ_ONCE(s->dead) || sock_refuses(s);
}
/* Puts msg at the end of to's queue. True: call sock_queue_wake once the lock is dropped. */
static inline bool sock_queue_add_locked(struct socket *to, struct sock_msg *msg) REQUIRES(to->lock)
{
    bool was_empty = list_empty(&to->queue);

    ASSERT_HELD(&to->lock);
    list_add_tail(&to->queue, &msg->node);
    to->queued += msg->len + msg->overhead;
    to->unread += msg->len;
    msg->lost = to->lost;
    return was_empty || !list_empty(&to->wait.waiters);
}
static inline void sock_queue_wake(struct socket *to)
{
    socket_wake(to, POLLIN | POLLRDNORM);
}
/* Queues a datagram, or counts and frees it where it finds no space, or nothing is received any
 * more. Takes msg. True: it is queued. */
static inline bool sock_queue_offer(struct socket *to, struct sock_msg *msg)
{
    bool wake = false, fits;

    spin_lock(&to->lock);
    fits = !to->dead && !sock_refuses(to) && to->queued < to->rcvbuf;
    if (fits)
        wake = sock_queue_add_locked(to, msg);
    else
        __atomic_fetch_add(&to->lost, 1, __ATOMIC_RELAXED);
    spin_unlock(&to->lock);
    if (wake)
        sock_queue_wake(to);
    if (!fits)
        sock_msg_free(to, msg);
    return fits;
}
/* What poll(2) says of a socket's ends, by SOCK_SHUT_* and whether it may write now. unconnected:
 * of a kind that needs a peer, and without one. */
static inline u32 sock_poll_ends(u32 shut, bool unconnected, bool space)
{
    u32 mask = space || (shut & SOCK_SHUT_WR) ? POLLOUT | POLLWRNORM : 0;

    if (unconnected && !shut)
        return POLLOUT | POLLWRNORM | POLLHUP;
    if (shut & SOCK_SHUT_RD)
        mask |= POLLRDHUP;
    if ((shut & SOCK_SHUT_BOTH) == SOCK_SHUT_BOTH)
        mask |= POLLHUP;
    return mask;
}
/* Waits until there is space for a datagram to `to`. Senders are woken one at a time: one that has
 * sent and sees more space wakes the next of senders_wait. deadline: in ns; 0: none. 0, -EAGAIN
 * (the deadline has passed), -ERESTARTSYS. */
int sock_await_space(struct socket *to, u64 deadline) __must_check;
/* Queues msg at `to`, waiting for space as flags and send_timeout say. Takes msg, on errors too.
 * 0, -EAGAIN, -ERESTARTSYS, or what ops->msg_queue says. */
int sock_queue_wait(struct socket *s, struct socket *to, struct sock_msg *msg, unsigned flags);
/* Bytes or -errno, as write(2) of a stream. */
ssize_t sock_send_stream(struct socket *s, struct socket *to, struct socket_message *m,
                         unsigned flags);
/* Moves all messages into out, a list. Under s->reading as well, unless s is dead. */
void sock_queue_take_all_locked(struct socket *s, struct list_node *out) REQUIRES(s->lock);
void sock_queue_free(struct socket *s, struct list_node *messages);

/* Tells a receiver of a stamp, in ns of the wall clock, if it wants to know. */
void sock_give_stamp(const struct socket *s, u64 time, struct socket_message *m);
/* recv(2) of a connected stream, or of one message. */
ssize_t sock_recv(struct socket *s, struct socket_message *m, unsigned flags);
/* Bytes to read of a stream, of the next message of others. */
u32 sock_unread_locked(const struct socket *s) REQUIRES(s->lock);
u32 sock_unread(struct socket *s);
/* FIONREAD and SIOCOUTQ of a socket whose bytes lie in its peer's queue until they are read: 0;
 * -ENOTTY: another command; -EINVAL: it listens; -EFAULT. */
s64 sock_queue_ioctl(struct socket *s, unsigned cmd, u64 arg);

/* rcvbuf has changed: threads that wait for space may go on. */
void sock_resized(struct socket *s);
/* Sets SOCK_SHUT_* bits and wakes all. */
void sock_set_shut(struct socket *s, u32 bits);
/* Both directions are at their end, and err is reported. */
void sock_reset(struct socket *s, int err);
