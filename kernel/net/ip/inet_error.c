/* SPDX-License-Identifier: MIT
 *
 * Errors that came back for what a socket has sent: the pending error of its next call, and
 * IP_RECVERR's queue (ip(7)), which recvmsg(2) reads with MSG_ERRQUEUE; when datagrams were sent
 * (SO_TIMESTAMPING) is told there, too. The queue is bounded by
 * rcvbuf together with the messages, and charged to the socket's account.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/queue.h"
#include "net/ip/inet.h"
#include "net/ip/ip.h"
#include "net/ip/option.h"
#include "sched/timer.h"
#include "vm/iov.h"

#define INET_ERROR_COST 256U /* of one, beside its bytes */
#define SO_EE_ORIGIN_LOCAL 1
#define SO_EE_ORIGIN_STAMP 4 /* no error: when a datagram was sent */

/* struct sock_extended_err (linux/errqueue.h), and behind it the offender's address */
struct inet_extended {
    u32 err;
    u8 origin, type, code, pad;
    u32 info, data;
    u8 offender[28];
};
static_assert(sizeof(struct inet_extended) == 44, "sock_extended_err and sockaddr_in6");
#define INET_EXTENDED 16 /* bytes before the address */

struct inet_error_msg {
    struct list_node node; /* the socket's lock */
    struct ip_error error;
    struct ip_end to;
    u64 time; /* a stamp's, ns of the wall clock */
    u32 number, len;
    u8 data[];
};

/* The next call of the socket reports it. */
static bool inet_error_pends(const struct ip_error *e)
{
    return e->origin != SO_EE_ORIGIN_LOCAL && e->origin != SO_EE_ORIGIN_STAMP;
}

bool inet_wants_errors(const struct inet_sock *s, bool v4)
{
    return v4 ? inet_option_on(s, IPPROTO_IP, IP_RECVERR)
              : inet_option_on(s, IPPROTO_IPV6, IPV6_RECVERR);
}

/* Charged to the socket's account, whichever thread this is. */
static struct inet_error_msg *inet_error_alloc(struct inet_sock *s, u32 n)
{
    struct account *former = account_swap(s->sock.account);
    struct inet_error_msg *msg = kmalloc(sizeof(struct inet_error_msg) + n);

    account_swap(former);
    return msg;
}

/* Takes msg. */
static void inet_error_add(struct inet_sock *s, struct inet_error_msg *msg)
{
    u32 n = msg->len;
    bool fits;

    spin_lock(&s->sock.lock);
    fits = !s->sock.dead && s->sock.queued + s->error_bytes < s->sock.rcvbuf;
    if (fits) {
        list_add_tail(&s->errors, &msg->node);
        s->error_bytes += n + INET_ERROR_COST;
    }
    spin_unlock(&s->sock.lock);
    if (!fits)
        kfree(msg);
}

static void inet_error_queue(struct inet_sock *s, const struct ip_error *e, const struct ip_end *to,
                             const void *data, u32 n)
{
    struct inet_error_msg *msg = inet_error_alloc(s, n);

    if (!msg)
        return;
    *msg = (struct inet_error_msg){.error = *e, .to = *to, .len = n};
    if (n)
        memcpy(msg->data, data, n);
    inet_error_add(s, msg);
}

void inet_stamp_sent(struct inet_sock *s, const struct ip_end *to)
{
    struct inet_error_msg *msg = inet_error_alloc(s, 0);

    if (!msg)
        return;
    *msg = (struct inet_error_msg){.error = {.err = ENOMSG, .origin = SO_EE_ORIGIN_STAMP},
                                   .to = *to,
                                   .time = time_ns() + time_wall_offset()};
    if (READ_ONCE(s->sock.stamping) & SOCKET_STAMP_NUMBER)
        msg->number = __atomic_fetch_add(&s->sock.stamped, 1, __ATOMIC_RELAXED);
    inet_error_add(s, msg);
    socket_wake(&s->sock, POLLERR);
}

void inet_error(struct inet_sock *s, const struct ip_error *e, const struct ip_end *to,
                const void *data, u32 n)
{
    bool told = inet_wants_errors(s, ip_is_v4(&to->addr));

    if (!told && !(e->hard && inet_has_peer(s)))
        return;
    if (told)
        inet_error_queue(s, e, to, data, n);
    if (e->origin != SO_EE_ORIGIN_LOCAL) /* else the call itself has said so */
        WRITE_ONCE(s->sock.error, e->err);
    socket_wake(&s->sock, POLLERR);
}

/* The oldest; the pending error is the next one's then. */
static struct inet_error_msg *inet_error_take(struct inet_sock *s)
{
    struct inet_error_msg *msg, *next;

    spin_lock(&s->sock.lock);
    msg = list_first(&s->errors, struct inet_error_msg, node);
    if (msg) {
        list_del(&msg->node);
        s->error_bytes -= msg->len + INET_ERROR_COST;
        next = list_first(&s->errors, struct inet_error_msg, node);
        if (next && inet_error_pends(&next->error))
            WRITE_ONCE(s->sock.error, next->error.err);
        else if (inet_error_pends(&msg->error))
            WRITE_ONCE(s->sock.error, 0);
    }
    spin_unlock(&s->sock.lock);
    return msg;
}

void inet_drop_errors(struct inet_sock *s)
{
    struct inet_error_msg *msg;

    while ((msg = inet_error_take(s))) {
        kfree(msg);
        cond_yield();
    }
}

static void inet_error_note(const struct inet_sock *s, const struct inet_error_msg *msg,
                            struct socket_message *m)
{
    const struct ip_error *e = &msg->error;
    bool four = s->sock.family == AF_INET;
    struct inet_extended x = {.err = (u32)e->err,
                              .origin = e->origin,
                              .type = e->type,
                              .code = e->code,
                              .info = e->mtu,
                              .data = msg->number};
    u32 len = four ? 16 : 28;

    sock_give_stamp(&s->sock, msg->time, m);
    if (inet_error_pends(e)) {
        const struct ip_end offender = {.addr = e->reporter};
        struct sock_addr sa;

        inet_addr_write(s->sock.family, &offender, &sa);
        memcpy(x.offender, &sa, len);
    }
    socket_note(m, four ? IPPROTO_IP : IPPROTO_IPV6, four ? IP_RECVERR : IPV6_RECVERR, &x,
                INET_EXTENDED + len);
}

ssize_t inet_recv_error(struct socket *sock, struct socket_message *m)
{
    struct inet_sock *s = inet_of(sock);
    struct inet_error_msg *msg = inet_error_take(s);
    u64 n;

    m->addr_len = 0;
    if (!msg)
        return -EAGAIN;
    n = MIN((u64)msg->len, m->data->count);
    if (iov_copy_to(m->data, msg->data, n) != n) {
        kfree(msg);
        return -EFAULT;
    }
    inet_addr_out(s, &msg->to, &m->addr, &m->addr_len);
    inet_error_note(s, msg, m);
    m->flags |= MSG_ERRQUEUE | (n < msg->len ? MSG_TRUNC : 0);
    kfree(msg);
    return (ssize_t)n;
}
