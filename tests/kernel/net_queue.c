/* SPDX-License-Identifier: MIT
 *
 * Packets in the receiving queue of a socket: read in parts, peeked at, cut off, charged.
 */
#include "dev/packet.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/queue.h"
#include "net/core/sending.h"
#include "vm/iov.h"

#define QUEUE_HEAD 20 /* bytes before the payload */
#define QUEUE_BYTES 280

static struct socket_list queue_list;
static u32 queue_consumed;

static void queue_destroy(struct socket *s)
{
    socket_fini(s);
    kfree(s);
}

static void queue_note_consumed(struct socket *s, u32 n)
{
    queue_consumed += n;
}

static const struct socket_ops queue_ops = {.recv = sock_recv,
                                            .destroy = queue_destroy,
                                            .refuses = SOCK_SHUT_RD,
                                            .packet_consumed = queue_note_consumed};

static struct socket *queue_socket(int type)
{
    struct socket *s = kzalloc(sizeof(*s));

    if (!s)
        return NULL;
    socket_list_init(&queue_list);
    socket_init(s, &queue_ops, net_ns_init, &queue_list, AF_INET, type);
    queue_consumed = 0;
    return s;
}

/* A header, then QUEUE_BYTES bytes whose values count up: 30 linear, the rest in two pages. */
static struct packet *queue_packet(u8 first)
{
    static const u32 len[2] = {100, 150};
    struct packet *p = packet_alloc();
    u8 *at = p ? packet_append(p, QUEUE_HEAD + 30) : NULL;

    if (!at)
        return NULL;
    for (unsigned i = 0; i < 30; i++)
        at[QUEUE_HEAD + i] = first++;
    for (unsigned i = 0; i < 2; i++) {
        struct page *page = page_alloc(0, 0);

        if (!page || packet_add_page(p, page, 5, len[i])) {
            packet_free(p);
            return NULL;
        }
        for (u32 k = 0; k < len[i]; k++)
            ((u8 *)page_virt(page))[5 + k] = first++;
    }
    return p;
}

static bool queue_put(struct socket *s, u8 first)
{
    struct packet *p = queue_packet(first);

    if (!p || sock_packet_begin(s, p, QUEUE_HEAD)) {
        packet_free(p);
        return false;
    }
    return sock_queue_offer(s, sock_packet_msg(p));
}

/* n bytes are asked for; how many came, all of them counting up from `first`, or -1. */
static ssize_t queue_read(struct socket *s, u32 n, unsigned flags, u8 first)
{
    static u8 buf[1024];
    struct socket_message m;
    struct iov_iter it;
    ssize_t got;

    iov_init_kernel(&it, buf, n);
    socket_message_init(&m, &it);
    got = sock_recv(s, &m, flags | MSG_DONTWAIT);
    for (ssize_t i = 0; i < MIN(got, (ssize_t)n); i++)
        if (buf[i] != (u8)(first + i))
            return -1;
    return got;
}

static bool queue_close(struct socket *s)
{
    bool empty = !s->queued && !s->unread && list_empty(&s->queue);
    struct list_node rest;

    list_init(&rest);
    spin_lock(&s->lock);
    s->dead = true;
    sock_queue_take_all_locked(s, &rest);
    spin_unlock(&s->lock);
    sock_queue_free(s, &rest);
    socket_put(s);
    return empty;
}

SELFTEST(net_queue_stream_takes_packets_in_any_parts)
{
    struct socket *s = queue_socket(SOCK_STREAM);
    bool put, whole, parts;

    CHECK(s);
    put = queue_put(s, 0) && queue_put(s, (u8)QUEUE_BYTES) && s->unread == 2 * QUEUE_BYTES;
    whole = queue_read(s, 600, MSG_PEEK, 0) == 2 * QUEUE_BYTES && !queue_consumed;
    parts = queue_read(s, 25, 0, 0) == 25 && queue_read(s, 10, 0, 25) == 10 &&
            queue_read(s, 100, MSG_PEEK, 35) == 100 && queue_read(s, 300, 0, 35) == 300 &&
            queue_consumed == 335 && queue_read(s, 600, 0, (u8)335) == 2 * QUEUE_BYTES - 335 &&
            queue_consumed == 2 * QUEUE_BYTES && queue_read(s, 1, 0, 0) == -EAGAIN;
    CHECK(queue_close(s) && put && whole && parts);
}

SELFTEST(net_queue_datagram_is_taken_whole)
{
    struct socket *s = queue_socket(SOCK_DGRAM);
    bool put, got;

    CHECK(s);
    put = queue_put(s, 7) && queue_put(s, 9) && sock_unread(s) == QUEUE_BYTES;
    got = queue_read(s, 40, MSG_PEEK | MSG_TRUNC, 7) == QUEUE_BYTES &&
          queue_read(s, 40, 0, 7) == 40 && queue_read(s, 600, 0, 9) == QUEUE_BYTES;
    CHECK(queue_close(s) && put && got);
}

SELFTEST(net_queue_counts_what_a_packet_keeps_and_loses_what_finds_no_space)
{
    struct socket *s = queue_socket(SOCK_DGRAM);
    u32 each = (u32)(sizeof(struct packet) + 2 * PAGE_SIZE);
    bool ok;

    CHECK(s);
    s->rcvbuf = 2 * each;
    ok = queue_put(s, 0) && queue_put(s, 0) && s->queued == 2 * each && !queue_put(s, 0) &&
         s->lost == 1;
    ok = ok && queue_read(s, 600, 0, 0) == QUEUE_BYTES && s->queued == each && queue_put(s, 0);
    CHECK(!queue_close(s) && ok); /* closed with two in it: they are freed */
}

SELFTEST(net_queue_packets_are_charged_to_the_receiver)
{
    struct account *a = kzalloc(sizeof(*a)), *former;
    struct socket *s;
    bool ok;

    CHECK(a);
    account_init(a, NULL, NULL);
    s = queue_socket(SOCK_DGRAM);
    if (!s) {
        kfree(a);
        CHECK(s);
    }
    former = s->account;
    s->account = a;
    ok = queue_put(s, 0) && (u64)atomic_read(&a->used) * PAGE_SIZE >= s->queued;
    a->limit = 0;
    for (unsigned i = 0; ok && i < 2 * ACCOUNT_SLACK && queue_put(s, 0); i++)
        s->rcvbuf = s->queued + 1;
    ok = ok && s->lost == 0 && !queue_put(s, 0); /* the account refused */
    s->account = former;
    CHECK(!queue_close(s) && ok);
    ok = atomic_read(&a->used) << PAGE_SHIFT == atomic_read(&a->stock); /* none is in use */
    kfree(a);
    CHECK(ok);
}

SELFTEST(net_sending_is_bounded_until_packets_are_gone_also_after_their_socket)
{
    struct socket *s = queue_socket(SOCK_DGRAM);
    struct packet *p[2] = {queue_packet(0), queue_packet(0)};
    bool ok = s && p[0] && p[1], full, half;
    u32 each = ok ? packet_cost(p[0]) : 0;

    if (ok) {
        s->sndbuf = 2 * each;
        ok = !sock_send_wait(s, MSG_DONTWAIT) && sock_send_space(s) && !sock_send_count(s, p[0]) &&
             !sock_send_wait(s, MSG_DONTWAIT) && !sock_send_count(s, p[1]);
        full = sock_send_wait(s, MSG_DONTWAIT) == -EAGAIN && !sock_send_space(s) &&
               sock_in_flight(s) == 2 * each;
        packet_free(p[0]);
        p[0] = NULL;
        half = !sock_send_wait(s, MSG_DONTWAIT) && sock_send_space(s) && sock_in_flight(s) == each;
        ok = ok && full && half && queue_close(s);
    }
    packet_free(p[0]);
    packet_free(p[1]); /* its socket is gone */
    CHECK(ok);
}
