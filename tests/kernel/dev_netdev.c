/* SPDX-License-Identifier: MIT
 *
 * Network devices: a made-up one that can do nothing by itself gets all done before; who is told of
 * groups and flags; and, where the machine has a card, segments over it, which its other end looks
 * at (tests/system/test_net_wire.py).
 */
#include "dev/device.h"
#include "dev/netdev.h"
#include "dev/netdev_buffer.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/tap.h"

#define ETHERNET 14
#define IPV4 20
#define IPV6 40
#define TCP 20
#define UDP 8
#define SEGMENT 1400U
#define PORT_FROM 7777

struct dull {
    struct netdev dev;
    struct netdev_queue queue;
    struct list_node sent;
    u32 nr_sent, filters;
    u32 space; /* packets that it takes */
};

static struct dull *dull_of(struct netdev *dev)
{
    return container_of(dev, struct dull, dev);
}

static int dull_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    struct dull *d = dull_of(q->dev);

    if (!d->space)
        return -EBUSY;
    d->space--;
    d->nr_sent++;
    list_add_tail(&d->sent, &p->node);
    return 0;
}

static void dull_filter(struct netdev *dev)
{
    dull_of(dev)->filters++;
}

static void dull_destroy(struct netdev *dev)
{
    kfree(dull_of(dev));
}

static const struct netdev_ops dull_ops = {
    .transmit = dull_transmit, .set_filter = dull_filter, .destroy = dull_destroy};

static struct dull *dull_make(u32 space)
{
    struct dull *d = kzalloc(sizeof(*d));

    if (!d)
        return NULL;
    netdev_init(&d->dev, &dull_ops, &d->queue, 1);
    list_init(&d->sent);
    d->space = space;
    d->dev.type = 1;
    d->dev.header = ETHERNET;
    d->dev.mtu = d->dev.max_mtu = 1500;
    d->dev.flags = NETDEV_UP; /* it is in no namespace */
    return d;
}

static void dull_end(struct dull *d)
{
    struct packet *p;

    while ((p = list_first(&d->sent, struct packet, node))) {
        list_del(&p->node);
        packet_free(p);
    }
    netdev_down(&d->dev);
    netdev_put(&d->dev);
}

static void put16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

/* To the wire's other end (52:54:00:99:00:01, 10.0.0.1, fe80::1), `size` bytes a segment. */
static void headers_make(struct netdev *dev, u8 *at, u8 gso, u32 payload)
{
    static const u8 to[NETDEV_ADDR] = {0x52, 0x54, 0x00, 0x99, 0x00, 0x01};
    bool v6 = gso == PACKET_GSO_TCP6, udp = gso == PACKET_GSO_UDP_L4;
    u32 own = udp ? UDP : TCP, length = own + payload;
    u8 *ip = at + ETHERNET, *l4 = ip + (v6 ? IPV6 : IPV4), protocol = udp ? 17 : 6;
    u8 words[4] = {0, protocol, (u8)(length >> 8), (u8)length};
    u64 sum = checksum_add(0, words, sizeof(words));
    u16 folded;

    memcpy(at, to, NETDEV_ADDR);
    memcpy(at + 6, dev->addr, NETDEV_ADDR);
    put16(at + 12, v6 ? 0x86dd : 0x0800);
    ip[0] = v6 ? 0x60 : 0x45;
    if (v6) {
        put16(ip + 4, length);
        ip[6] = protocol;
        ip[7] = 64;
        ip[8] = ip[24] = 0xfe;
        ip[9] = ip[25] = 0x80;
        ip[23] = 2;
        ip[39] = 1;
        sum = checksum_add(sum, ip + 8, 32);
    } else {
        put16(ip + 2, IPV4 + length);
        ip[8] = 64;
        ip[9] = protocol;
        ip[12] = ip[16] = 10;
        ip[15] = 2;
        ip[19] = 1;
        folded = checksum_of(ip, IPV4);
        memcpy(ip + 10, &folded, sizeof(folded));
        sum = checksum_add(sum, ip + 12, 8);
    }
    put16(l4, PORT_FROM);
    put16(l4 + 2, 5000 + gso);
    if (udp)
        put16(l4 + 4, length);
    else
        l4[12] = TCP / 4 << 4;
    if (!udp)
        l4[13] = 0x18 | 0x01; /* ACK PSH FIN */
    folded = checksum_fold(sum);
    memcpy(l4 + (udp ? 6 : 16), &folded, sizeof(folded));
}

/* A packet of so many bytes of payload, in pages, of which byte i is i * 13 + i / 256. */
static struct packet *packet_make(struct netdev *dev, u8 gso, u32 payload)
{
    u32 l4 = ETHERNET + (gso == PACKET_GSO_TCP6 ? IPV6 : IPV4);
    u32 header = l4 + (gso == PACKET_GSO_UDP_L4 ? UDP : TCP);
    struct packet *p = packet_alloc();
    u8 *at = p ? packet_append(p, header) : NULL;

    if (!at) {
        packet_free(p);
        return NULL;
    }
    memset(at, 0, header);
    headers_make(dev, at, gso, payload);
    p->flags = PACKET_CSUM_PARTIAL;
    p->csum_start = (u16)l4;
    p->csum_offset = gso == PACKET_GSO_UDP_L4 ? 6 : 16;
    p->gso = gso;
    p->gso_size = SEGMENT;
    p->gso_header = (u16)header;
    for (u32 done = 0; done < payload;) {
        struct page *page = page_alloc(0, 0);
        u32 n = MIN(payload - done, (u32)PAGE_SIZE);

        if (!page || packet_add_page(p, page, 0, n)) {
            if (page)
                page_put(page);
            packet_free(p);
            return NULL;
        }
        for (u32 i = 0; i < n; i++)
            ((u8 *)page_virt(page))[i] = (u8)((done + i) * 13 + (done + i) / 256);
        done += n;
    }
    return p;
}

/* A program's word of where a sum goes (tun) may come to lie before the packet. */
SELFTEST(netdev_sum_that_is_not_in_the_packet_never_reaches_a_driver)
{
    struct dull *d = dull_make(1000);
    struct packet *p;

    CHECK(d);
    d->dev.features = NETDEV_CSUM;
    for (u16 at = 2; at <= 18; at += 16) {
        p = packet_make(&d->dev, 0, 0);
        CHECK(p);
        p->gso_size = 0;
        p->csum_start = at;
        packet_pull(p, 4); /* as a tag goes */
        CHECK(netdev_transmit(&d->dev, p) == (at < 4 ? -EINVAL : 0));
    }
    CHECK(d->nr_sent == 1);
    dull_end(d);
}

SELFTEST(netdev_cuts_and_sums_for_a_device_that_cannot)
{
    struct dull *d = dull_make(1000);
    struct packet *p;
    u32 at = 0;
    bool right = true;

    CHECK(d);
    CHECK(netdev_transmit(&d->dev, packet_make(&d->dev, PACKET_GSO_TCP4, 60000)) == 0);
    CHECK(d->nr_sent == (60000 + SEGMENT - 1) / SEGMENT);
    list_for_each (p, &d->sent, node) {
        u32 n = MIN(60000 - at, SEGMENT), l4 = ETHERNET + IPV4;
        u8 *ip = packet_data(p) + ETHERNET, bytes[SEGMENT];
        u8 words[4] = {0, 6, (u8)((TCP + n) >> 8), (u8)(TCP + n)};
        u64 sum = checksum_add(checksum_add(0, words, 4), ip + 12, 8);

        right = right && p->len == l4 + TCP + n && p->nr_frags <= 1 && !p->gso &&
                !(p->flags & PACKET_CSUM_PARTIAL) && checksum_of(ip, IPV4) == 0 &&
                checksum_fold(packet_sum(p, l4, TCP + n, sum)) == 0xffff;
        packet_copy(p, l4 + TCP, MIN(n, p->len - l4 - TCP), bytes);
        for (u32 i = 0; i < n; i++)
            right = right && bytes[i] == (u8)((at + i) * 13 + (at + i) / 256);
        at += n;
    }
    CHECK(right && at == 60000);
    dull_end(d);
}

static struct {
    u32 nr, len, network;
} tapped;

static void tapped_see(struct net_tap *t, const struct packet *p, bool sent, u32 *budget)
{
    tapped.nr += sent;
    tapped.len = p->len;
    tapped.network = p->network - p->start;
}

/* What is cut is seen as it was sent. */
SELFTEST(netdev_taps_see_a_packet_that_is_cut_once_and_whole)
{
    struct net_tap tap = {.ns = net_ns_init, .device = 0x7000, .packet = tapped_see};
    struct dull *d = dull_make(100);

    CHECK(d);
    memset(&tapped, 0, sizeof(tapped));
    d->dev.ns = net_ns_init; /* though it is not in its list */
    d->dev.index = tap.device;
    d->dev.taps = 1;
    CHECK(net_tap_add(&tap) == 0);
    CHECK(netdev_transmit(&d->dev, packet_make(&d->dev, PACKET_GSO_TCP4, 20 * SEGMENT)) == 0);
    net_tap_remove(&tap);
    CHECK(d->nr_sent == 20 && tapped.nr == 1 && tapped.network == ETHERNET);
    CHECK(tapped.len == ETHERNET + IPV4 + TCP + 20 * SEGMENT);
    dull_end(d);
}

SELFTEST(netdev_keeps_segments_that_have_no_space_and_says_which_are_lost)
{
    struct dull *d = dull_make(3);

    CHECK(d);
    d->dev.tx_queue_len = 5;
    CHECK(netdev_transmit(&d->dev, packet_make(&d->dev, PACKET_GSO_TCP4, 20 * SEGMENT)) ==
          -ENOBUFS);
    CHECK(d->nr_sent == 3 && d->queue.nr_backlog == 5 && d->queue.tx_dropped == 12);
    d->space = 100;
    netdev_wake(&d->queue);
    CHECK(d->nr_sent == 8 && d->queue.nr_backlog == 0);
    dull_end(d);
}

static u32 dull_select(struct netdev *dev, const struct packet *p)
{
    return p->mark;
}

static const struct netdev_ops dull_pair_ops = {.transmit = dull_transmit, .select = dull_select};

SELFTEST(netdev_queues_together_keep_what_one_may)
{
    static struct netdev_queue queues[2];
    struct dull *d = dull_make(0);
    struct packet *p;

    CHECK(d);
    netdev_init(&d->dev, &dull_pair_ops, queues, 2);
    d->dev.max_mtu = d->dev.mtu = 1500;
    d->dev.header = ETHERNET;
    d->dev.flags = NETDEV_UP;
    d->dev.tx_queue_len = 3;
    for (u32 i = 0; i < 6; i++) {
        p = packet_alloc();
        CHECK(p && packet_append(p, 60));
        p->mark = i % 2;
        CHECK(netdev_transmit(&d->dev, p) == (i < 3 ? 0 : -ENOBUFS));
    }
    CHECK(queues[0].nr_backlog == 2 && queues[1].nr_backlog == 1);
    netdev_down(&d->dev);
    CHECK(queues[0].tx_dropped == 3 && queues[1].tx_dropped == 3 && !queues[0].nr_backlog);
    kfree(d);
}

SELFTEST(netdev_refuses_what_is_not_as_it_says)
{
    struct dull *d = dull_make(10);
    struct packet *p;

    CHECK(d);
    p = packet_make(&d->dev, PACKET_GSO_TCP4, 5000);
    CHECK(p);
    p->gso = PACKET_GSO_TCP6;
    CHECK(netdev_transmit(&d->dev, p) == -EINVAL);
    p = packet_make(&d->dev, PACKET_GSO_TCP4, 5000);
    CHECK(p);
    p->flags = 0;
    CHECK(netdev_transmit(&d->dev, p) == -EINVAL);
    p = packet_make(&d->dev, PACKET_GSO_TCP4, 5000);
    CHECK(p);
    p->gso = 0;
    CHECK(netdev_transmit(&d->dev, p) == -EMSGSIZE);
    CHECK(d->nr_sent == 0);
    dull_end(d);
}

SELFTEST(netdev_tells_its_driver_of_groups_and_flags_once)
{
    struct dull *d = dull_make(0);
    u8 group[NETDEV_ADDR] = {0x01, 0x00, 0x5e, 0, 0, 1};

    CHECK(d);
    CHECK(netdev_group_join(&d->dev, group) == 0 && netdev_group_join(&d->dev, group) == 0);
    CHECK(d->filters == 1 && d->dev.nr_groups == 1);
    netdev_group_leave(&d->dev, group);
    CHECK(d->filters == 1);
    for (u32 i = 0; i < NETDEV_MULTICAST + 1; i++) {
        group[5] = (u8)(i + 2);
        CHECK(netdev_group_join(&d->dev, group) == 0);
    }
    CHECK(d->dev.nr_groups == NETDEV_MULTICAST && d->dev.more_groups == 2);
    CHECK(netdev_wants_groups(&d->dev) && !netdev_wants_all(&d->dev));
    group[5] = 1;
    netdev_group_leave(&d->dev, group);
    CHECK(d->dev.nr_groups == NETDEV_MULTICAST - 1);
    for (u32 i = 0; i < NETDEV_MULTICAST + 1; i++) {
        group[5] = (u8)(i + 2);
        netdev_group_leave(&d->dev, group);
    }
    CHECK(d->dev.nr_groups == 0 && !netdev_wants_groups(&d->dev));
    d->filters = 0;
    CHECK(netdev_hold_flag(&d->dev, NETDEV_PROMISC) == 0);
    CHECK(netdev_hold_flag(&d->dev, NETDEV_PROMISC) == 0);
    netdev_release_flag(&d->dev, NETDEV_PROMISC);
    CHECK((d->dev.flags & NETDEV_PROMISC) && d->filters == 1 && netdev_wants_all(&d->dev));
    netdev_release_flag(&d->dev, NETDEV_PROMISC);
    CHECK(!(d->dev.flags & NETDEV_PROMISC) && d->filters == 2);
    CHECK(netdev_group_join(&d->dev, (const u8 *)"\x02\0\0\0\0\1") == -EINVAL);
    dull_end(d);
}

/* ---- joining ---- */

#define JOIN_TYPE 0xfff0 /* of links: a device that only these tests have */

static LIST_HEAD(joined); /* what came up, of one test at a time */

static void joined_receive(struct packet *p)
{
    list_add_tail(&joined, &p->node);
}
NET_LINK(joined) = {JOIN_TYPE, joined_receive, NULL};

static void list_drop(struct list_node *list)
{
    struct packet *p;

    while ((p = list_first(list, struct packet, node))) {
        list_del(&p->node);
        packet_free(p);
    }
}

/* Each of what `from` has sent comes to `to`, all in one round; every swap-th behind the next one.
 */
static u32 dull_forward(struct dull *from, struct dull *to, u32 swap)
{
    struct packet *p, *kept = NULL;
    u32 n = 0;

    while ((p = list_first(&from->sent, struct packet, node))) {
        list_del(&p->node);
        if (swap && ++n % swap == 0 && !kept) {
            kept = p;
            continue;
        }
        netdev_receive(&to->queue, p);
        if (kept)
            netdev_receive(&to->queue, kept);
        kept = NULL;
    }
    if (kept)
        netdev_receive(&to->queue, kept);
    netdev_receive_done(&to->queue);
    for (n = 0, p = NULL; !list_empty(&joined); n++) {
        p = list_first(&joined, struct packet, node);
        list_del(&p->node);
        (void)netdev_transmit(&from->dev, p);
    }
    return n;
}

/* Whether d has sent the whole of packet_make in order. */
static bool dull_sent_whole(struct dull *d, u32 payload)
{
    static u8 bytes[SEGMENT];
    struct packet *p;
    u32 at = 0, header = ETHERNET + IPV4 + TCP;

    list_for_each (p, &d->sent, node) {
        const u8 *sequence = packet_data(p) + ETHERNET + IPV4 + 4;
        u32 n = p->len - header;

        if (p->len <= header || n > SEGMENT ||
            ((u32)sequence[0] << 24 | (u32)sequence[1] << 16 | (u32)sequence[2] << 8 |
             sequence[3]) != at)
            return false;
        packet_copy(p, header, n, bytes);
        for (u32 i = 0; i < n; i++)
            if (bytes[i] != (u8)((at + i) * 13 + (at + i) / 256))
                return false;
        at += n;
    }
    return at == payload;
}

SELFTEST(netdev_joins_segments_and_cuts_them_again_as_they_were)
{
    struct dull *from = dull_make(1000), *to = dull_make(0);
    u32 packets, segments;
    struct packet *p;

    CHECK(from && to);
    to->dev.type = JOIN_TYPE;
    to->dev.features = NETDEV_JOIN;
    to->dev.ns = net_ns_init; /* though it is not in its list */
    p = packet_make(&from->dev, PACKET_GSO_TCP4, 60000);
    CHECK(p);
    packet_data(p)[ETHERNET + 6] = 0x40; /* not to be fragmented */
    CHECK(netdev_transmit(&from->dev, p) == 0);
    segments = from->nr_sent;
    packets = dull_forward(from, to, 0);
    CHECK(packets > 0 && packets < segments / 5);
    CHECK(from->nr_sent == 2 * segments && dull_sent_whole(from, 60000));
    packets = dull_forward(from, to, 7); /* what comes in another order is not joined */
    CHECK(packets > 10 && packets < segments);
    list_drop(&from->sent);
    dull_end(from);
    dull_end(to);
}

/* Two segments of each of 20 flows, more than there are places, come to `to`; wrong: a byte of each
 * is. How many packets go up; 0: no memory. */
static u32 dull_flows(struct dull *from, struct dull *to, bool wrong)
{
    struct packet *p;
    u32 n = 0;

    for (u32 flow = 0; flow < 20; flow++) {
        p = packet_make(&from->dev, PACKET_GSO_TCP4, 2 * SEGMENT);
        if (!p)
            return 0;
        packet_data(p)[ETHERNET + 6] = 0x40;
        packet_data(p)[ETHERNET + IPV4] = (u8)flow;  /* of the port */
        packet_data(p)[ETHERNET + IPV4 + 13] = 0x18; /* no FIN */
        if (netdev_transmit(&from->dev, p))
            return 0;
    }
    while ((p = list_first(&from->sent, struct packet, node))) {
        list_del(&p->node);
        if (wrong)
            packet_data(p)[ETHERNET + IPV4 + 17] ^= 1;
        netdev_receive(&to->queue, p);
    }
    netdev_receive_done(&to->queue);
    list_for_each (p, &joined, node)
        n++;
    list_drop(&joined);
    return n;
}

SELFTEST(netdev_joins_many_flows_and_nothing_whose_sum_is_wrong)
{
    struct dull *from = dull_make(1000), *to = dull_make(0);
    u32 right, wrong;

    CHECK(from && to);
    to->dev.type = JOIN_TYPE;
    to->dev.features = NETDEV_JOIN;
    to->dev.ns = net_ns_init; /* though it is not in its list */
    right = dull_flows(from, to, false);
    wrong = dull_flows(from, to, true);
    dull_end(from);
    dull_end(to);
    CHECK(right == 20);
    CHECK(wrong == 40);
}

/* One large packet of each kind, from eth0 if it is there and up. */
SELFTEST(netdev_wire_carries_segments)
{
    static const u8 kinds[] = {PACKET_GSO_TCP4, PACKET_GSO_TCP6, PACKET_GSO_UDP_L4};
    struct netdev *dev = net_device_by_name(net_ns_init, "eth0");
    int err = 0;

    if (!dev)
        return;
    for (u32 i = 0; i < ARRAY_SIZE(kinds) && (dev->flags & NETDEV_UP) && !err; i++) {
        struct packet *p = packet_make(dev, kinds[i], 41234);

        err = p ? netdev_transmit(dev, p) : -ENOMEM;
    }
    netdev_put(dev);
    CHECK(!err);
}

/* Frames as they come, each consumed before the ring has gone round: after the first round each
 * buffer is one that was there before, which the mark shows that a frame left. */
SELFTEST(netdev_receive_buffers_are_used_again)
{
    enum { RING = 256, ROUNDS = 4 };
    struct netdev_buffer *ring = kcalloc(RING, sizeof(*ring));
    struct device device = {.dma_mask = U64_MAX};
    struct netdev_pool pool;
    u32 fresh = 0;

    CHECK(ring && !netdev_pool_init(&pool, &device, PAGE_SIZE, RING));
    for (u32 i = 0; i < RING; i++)
        CHECK(netdev_buffer_fill(&pool, &ring[i]));
    for (u32 i = 0; i < ROUNDS * RING; i++) {
        struct netdev_buffer *b = &ring[i % RING];
        u32 *mark = page_virt(b->page);
        struct packet *p = packet_alloc();

        fresh += i >= RING + NETDEV_SPARE && *mark != 0xbeef;
        *mark = 0xbeef;
        CHECK(p && netdev_buffer_receive(&pool, b, p, 0, 1000, true));
        packet_free(p);
    }
    for (u32 i = 0; i < RING; i++)
        netdev_buffer_free(&pool, &ring[i]);
    netdev_pool_end(&pool);
    kfree(ring);
    CHECK(!fresh);
}
