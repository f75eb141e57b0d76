/* SPDX-License-Identifier: MIT
 *
 * Putting fragments together. The datagram is a copy: fragments of a card are pages that are mostly
 * empty.
 */
#include "net/ip/reassembly.h"
#include "dev/netdev.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/fragment.h"
#include "net/ip/icmp.h"
#include "net/ip/ipv4.h"
#include "net/ip/ipv6.h"
#include "sched/timer.h"
#include "net/ip/ip_priv.h"

#define DATAGRAM_MOST 65535U
#define DATAGRAM_LINEAR 64 /* bytes of the transport's header and more */

COUNTER(net_fragments_dropped);
COUNTER(net_fragments_spoilt);
COUNTER(net_fragments_late);
COUNTER(net_fragments_joined);
COUNTER(net_fragments_evicted);

struct datagram {
    struct list_node node;
    struct ip_addr from, to;
    u32 id;
    u8 protocol;
    u8 header; /* bytes that all its fragments have before their payload: the family's */
    bool told; /* its sender may be told: the first fragment is there */
    u64 until;
    u32 bytes; /* that its packets keep alive */
    struct ip_info info;
    struct fragments fragments;
    struct packet *packets[FRAGMENT_PIECES];
};

void reassembly_init(struct reassembly *r, struct account *account)
{
    r->account = account;
    spinlock_init(&r->lock, RANK_NET, 6, "fragments");
    list_init(&r->datagrams);
}

static void datagram_free(struct datagram *d)
{
    for (u32 i = 0; i < d->fragments.nr; i++)
        packet_free(d->packets[i]);
    kfree(d);
}

static void datagrams_free(struct list_node *list)
{
    struct datagram *d;

    while ((d = list_first(list, struct datagram, node))) {
        list_del(&d->node);
        datagram_free(d);
    }
}

static void datagram_unlink(struct reassembly *r, struct datagram *d)
{
    ASSERT_HELD(&r->lock);
    list_del(&d->node);
    r->nr--;
    r->bytes -= d->bytes;
}

static bool datagram_is(const struct datagram *d, const struct ip_info *h, u32 id, u32 header)
{
    return d->id == id && d->header == header &&
           (d->protocol == h->protocol || !ip_is_v4(&h->to)) && ip_equal(&d->from, &h->from) &&
           ip_equal(&d->to, &h->to);
}

/* The datagram of the fragment, or NULL. */
static struct datagram *reassembly_find(struct reassembly *r, const struct ip_info *h, u32 id,
                                        u32 header)
{
    struct datagram *d;

    ASSERT_HELD(&r->lock);
    list_for_each (d, &r->datagrams, node)
        if (datagram_is(d, h, id, header))
            return d;
    return NULL;
}

/* What the bounds leave no space for: a fragment of `cost` bytes of `from`'s datagram d (NULL: a
 * new one). *goes: the oldest other one that has to go for it, or NULL: there is none. */
static bool reassembly_exceeds(struct reassembly *r, const struct ip_addr *from,
                               const struct datagram *d, u32 cost, struct datagram **goes)
{
    struct datagram *x, *oldest = NULL, *own = NULL;
    u64 bytes = cost;
    u32 each = d ? 0 : 1;

    ASSERT_HELD(&r->lock);
    list_for_each (x, &r->datagrams, node) {
        if (x != d && !oldest)
            oldest = x;
        if (!ip_equal(&x->from, from))
            continue;
        if (x != d && !own)
            own = x;
        each++;
        bytes += x->bytes;
    }
    *goes = own;
    if (each > REASSEMBLY_EACH || bytes > REASSEMBLY_SHARE)
        return true;
    *goes = oldest;
    return r->nr + !d > REASSEMBLY_MOST || r->bytes + cost > REASSEMBLY_BYTES;
}

/* Others go until it fits. False: it does not. */
static bool reassembly_make_room(struct reassembly *r, const struct ip_addr *from,
                                 const struct datagram *d, u32 cost, struct list_node *gone)
{
    struct datagram *goes;

    while (reassembly_exceeds(r, from, d, cost, &goes)) {
        if (!goes)
            return false;
        datagram_unlink(r, goes);
        list_add_tail(gone, &goes->node);
        COUNT(net_fragments_evicted);
    }
    return true;
}

static struct datagram *datagram_make(struct reassembly *r, const struct ip_info *h, u32 id,
                                      u32 header)
{
    struct datagram *d = kzalloc(sizeof(*d));

    ASSERT_HELD(&r->lock);
    if (!d)
        return NULL;
    d->from = h->from;
    d->to = h->to;
    d->id = id;
    d->protocol = h->protocol;
    d->header = (u8)header;
    d->until = time_ns() + REASSEMBLY_TIME;
    list_add_tail(&r->datagrams, &d->node);
    r->nr++;
    return d;
}

/* Keeps p: true. */
static bool datagram_add(struct reassembly *r, struct datagram *d, struct packet *p, u32 offset,
                         bool more, enum fragment_verdict *verdict)
{
    u32 at;

    ASSERT_HELD(&r->lock);
    if (!p->account && packet_charge(p, r->account))
        return false;
    *verdict = fragments_add(&d->fragments, offset, p->len, more, DATAGRAM_MOST - d->header, &at);
    if (*verdict != FRAGMENT_KEEP && *verdict != FRAGMENT_WHOLE)
        return false;
    memmove(&d->packets[at + 1], &d->packets[at],
            (d->fragments.nr - 1 - at) * sizeof(d->packets[0]));
    d->packets[at] = p;
    d->bytes += packet_cost(p);
    r->bytes += packet_cost(p);
    d->told |= !offset;
    return true;
}

/* The bytes from `offset` of all that follow each other, n of them. */
static void datagram_read(const struct datagram *d, u32 offset, u32 n, u8 *out)
{
    for (u32 i = 0; n; i++) {
        u32 from = d->fragments.piece[i].from, to = d->fragments.piece[i].to, k;

        if (to <= offset)
            continue;
        k = MIN(n, to - offset);
        packet_copy(d->packets[i], offset - from, k, out);
        out += k;
        offset += k;
        n -= k;
    }
}

static bool datagram_fill(const struct datagram *d, struct packet *q)
{
    u32 at = MIN(d->fragments.end, (u32)DATAGRAM_LINEAR);
    u8 *linear = packet_append(q, at);

    if (!linear)
        return false;
    datagram_read(d, 0, at, linear);
    while (at < d->fragments.end) {
        u32 n = MIN(d->fragments.end - at, (u32)PAGE_SIZE);
        struct page *page = page_alloc(0, 0);

        if (!page)
            return false;
        datagram_read(d, at, n, page_virt(page));
        if (packet_add_page(q, page, 0, n)) {
            page_put(page);
            return false;
        }
        at += n;
    }
    return true;
}

/* One packet with the first fragment's header before all. */
static struct packet *datagram_join(const struct datagram *d, struct netdev *dev)
{
    const struct packet *first = d->packets[0];
    struct packet *q = packet_alloc();
    u8 *at = q ? packet_append(q, d->header) : NULL;

    if (!at) {
        packet_free(q);
        return NULL;
    }
    memcpy(at, first->head + first->network, d->header);
    if (d->header == IPV6_HEADER) /* RFC 8200 4.5: the first fragment alone says what follows */
        at[6] = d->info.protocol;
    q->network = q->start;
    q->dev = dev;
    q->kind = first->kind;
    q->time = first->time;
    q->protocol = first->protocol;
    if (datagram_fill(d, q) && !packet_charge(q, ip_ns_of(dev->ns)->account)) {
        COUNT(net_fragments_joined);
        NET_COUNT_IP(dev->ns, MIB_REASM_OKS, !ip_is_v4(&d->to));
        return q;
    }
    packet_free(q);
    return NULL;
}

struct packet *reassembly_add(struct reassembly *r, struct packet *p, const struct ip_info *h,
                              u32 id, u32 offset, bool more, u32 header, u64 *due)
{
    struct datagram *d, *done = NULL;
    enum fragment_verdict verdict = FRAGMENT_DROP;
    struct packet *whole = NULL;
    struct netdev *dev =
        p->dev; /* once it is down its fragments are forgotten: none comes behind */
    struct list_node gone;
    bool kept = false, room;

    *due = time_ns() + REASSEMBLY_TIME;
    list_init(&gone);
    spin_lock(&r->lock);
    d = reassembly_find(r, h, id, header);
    room = reassembly_make_room(r, &h->from, d, packet_cost(p), &gone);
    if (!d && room)
        d = datagram_make(r, h, id, header);
    if (d && room && (READ_ONCE(dev->flags) & NETDEV_UP))
        kept = datagram_add(r, d, p, offset, more, &verdict);
    if (kept && !offset)
        d->info = *h;
    if (d && (verdict == FRAGMENT_WHOLE || verdict == FRAGMENT_SPOILT || !d->fragments.nr)) {
        datagram_unlink(r, d);
        done = d;
    }
    spin_unlock(&r->lock);
    if (!kept) {
        COUNT(net_fragments_dropped);
        NET_COUNT_IP(dev->ns, MIB_REASM_FAILS, !ip_is_v4(&h->to));
        packet_free(p);
    }
    datagrams_free(&gone);
    if (verdict == FRAGMENT_WHOLE)
        whole = datagram_join(done, dev);
    else if (verdict == FRAGMENT_SPOILT)
        COUNT(net_fragments_spoilt);
    if (done)
        datagram_free(done);
    return whole;
}

/* RFC 792, RFC 4443 3.3: about the first fragment, if that has come. */
static void datagram_late(struct datagram *d)
{
    struct packet *p = d->packets[0];

    COUNT(net_fragments_late);
    if (p) {
        NET_COUNT_IP(p->dev->ns, MIB_REASM_TIMEOUT, !ip_is_v4(&d->to));
        NET_COUNT_IP(p->dev->ns, MIB_REASM_FAILS, !ip_is_v4(&d->to));
    }
    if (d->told)
        icmp_error_send(p, &d->info, ip_is_v4(&d->to) ? ICMP_TIME : ICMP6_TIME, 1, 0);
    datagram_free(d);
}

static struct datagram *reassembly_late(struct reassembly *r, u64 now, u64 *next)
{
    struct datagram *d;

    spin_lock(&r->lock);
    d = list_first(&r->datagrams, struct datagram, node);
    *next = d ? d->until : 0;
    if (d && d->until <= now)
        datagram_unlink(r, d);
    else
        d = NULL;
    spin_unlock(&r->lock);
    return d;
}

u64 reassembly_time(struct reassembly *r, u64 now)
{
    struct datagram *d;
    u64 next;

    while ((d = reassembly_late(r, now, &next)))
        datagram_late(d);
    return next;
}

void reassembly_forget(struct reassembly *r, const struct netdev *dev)
{
    struct datagram *d, *next;
    struct list_node gone;

    list_init(&gone);
    spin_lock(&r->lock);
    list_for_each_safe (d, next, &r->datagrams, node) {
        if (dev && (!d->fragments.nr || d->packets[0]->dev != dev))
            continue;
        datagram_unlink(r, d);
        list_add_tail(&gone, &d->node);
    }
    spin_unlock(&r->lock);
    datagrams_free(&gone);
}
