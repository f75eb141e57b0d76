/* SPDX-License-Identifier: MIT
 *
 * Making packets of a caller's bytes, and counting what is under way. sending.h has the rules.
 */
#include "net/core/sending.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "vm/iov.h"

/* a atomic · l lock */
struct sock_flight {
    struct packet_sender sender; /* first */
    refcount_t ref;              /* a  the socket's, and one of each packet */
    atomic_t cost;               /* a */
    struct spinlock lock;        /* a leaf: packets are freed under any other but wait queues' */
    struct socket *s;            /* l  NULL: it is closed */
};

static void flight_put(struct sock_flight *f)
{
    if (refcount_put(&f->ref))
        kfree(f);
}

static void flight_gone(struct packet_sender *sender, u32 n)
{
    struct sock_flight *f = (struct sock_flight *)sender;
    u32 left = (u32)atomic_sub(&f->cost, (s32)n);

    spin_lock(&f->lock);
    if (f->s && left <= READ_ONCE(f->s->sndbuf) / 2 && left + n > READ_ONCE(f->s->sndbuf) / 2)
        socket_wake(f->s, POLLOUT | POLLWRNORM);
    spin_unlock(&f->lock);
    flight_put(f);
}

/* The socket's, made with the first packet. NULL: no memory. */
static struct sock_flight *flight_of(struct socket *s)
{
    struct sock_flight *f = load_acquire(&s->flight), *none = NULL;

    if (likely(f))
        return f;
    f = kzalloc(sizeof(*f));
    if (!f)
        return NULL;
    f->sender.gone = flight_gone;
    refcount_init(&f->ref, 1);
    spinlock_init(&f->lock, RANK_VM, 0, "socket's flight");
    f->s = s;
    if (!__atomic_compare_exchange_n(&s->flight, &none, f, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        kfree(f);
        f = none;
    }
    return f;
}

u32 sock_in_flight(const struct socket *s)
{
    const struct sock_flight *f = load_acquire(&s->flight);

    return f ? (u32)atomic_read(&f->cost) : 0;
}

bool sock_send_space(const struct socket *s)
{
    return sock_in_flight(s) <= READ_ONCE(s->sndbuf) / 2;
}

static bool flight_may_send(const struct socket *s)
{
    return sock_in_flight(s) < READ_ONCE(s->sndbuf) || READ_ONCE(s->dead) ||
           (READ_ONCE(s->shut) & SOCK_SHUT_WR);
}

int sock_send_wait(struct socket *s, unsigned flags)
{
    int err;

    if (likely(flight_may_send(s)))
        return 0;
    if (flags & MSG_DONTWAIT)
        return -EAGAIN;
    err = wait_event_deadline(&s->wait, flight_may_send(s), SLEEP_INTERRUPTIBLE,
                              socket_deadline(s->send_timeout, s->send_timeout ? time_ns() : 0));
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

int sock_send_count(struct socket *s, struct packet *p)
{
    struct sock_flight *f = flight_of(s);

    if (!f)
        return -ENOBUFS;
    p->sent = packet_cost(p);
    refcount_get(&f->ref);
    atomic_add(&f->cost, (s32)p->sent);
    p->sender = &f->sender;
    return 0;
}

void sock_flight_end(struct socket *s)
{
    struct sock_flight *f = s->flight;

    if (!f)
        return;
    spin_lock(&f->lock);
    f->s = NULL;
    spin_unlock(&f->lock);
    flight_put(f);
}

struct packet *sock_packet_alloc(void)
{
    struct packet *p = packet_alloc();

    if (p)
        p->start = PACKET_HEAD - SOCK_PACKET_LINEAR;
    return p;
}

static int packet_fill_page(struct packet *p, struct iov_iter *data, u32 n)
{
    struct page *page = FAILPOINT(sock_packet_page) ? NULL : page_alloc(0, PA_CHARGE);
    int err;

    if (!page)
        return -ENOMEM;
    err = iov_copy_from(data, page_virt(page), n) == n ? packet_add_page(p, page, 0, n) : -EFAULT;
    if (err)
        page_put(page);
    return err;
}

int sock_packet_fill(struct packet *p, struct iov_iter *data, u64 n)
{
    int err = 0;

    if (n <= PACKET_HEAD - (u32)p->start - p->linear) {
        u8 *at = packet_append(p, (u32)n);

        return iov_copy_from(data, at, n) == n ? 0 : -EFAULT;
    }
    while (n && !err) {
        u32 k = (u32)MIN(n, (u64)PAGE_SIZE);

        err = packet_fill_page(p, data, k);
        n -= k;
    }
    return err;
}
