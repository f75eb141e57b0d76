/* SPDX-License-Identifier: MIT
 *
 * The virtio network driver against a device that lies: lengths, counts of buffers, segmentation
 * and checksum words, a control queue that does not answer, pairs of queues that are not there.
 */
#include "dev/netdev.h"
#include "drivers/net/virtio_net.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "net/core/device.h"
#include "sched/timer.h"
#include "tests/kernel/fake_virtio.h"

#define GUEST_CSUM (1ULL << 1)
#define GUEST_TSO4 (1ULL << 7)
#define MRG_RXBUF (1ULL << 15)
#define CTRL_VQ (1ULL << 17)
#define CTRL_RX (1ULL << 18)
#define MQ (1ULL << 22)
#define CONFIG_PAIRS 8
#define RX 0
#define TX 1
#define CONTROL 2
#define HEADER 12
#define DIRTY_PAGES 256

struct head {
    u8 flags, gso;
    u16 header, size, start, offset, buffers;
};

/* The card that the device became, as a reference, or NULL. */
static struct netdev *card_of(struct fake *f)
{
    struct netdev *dev;
    u32 last = 0;

    while ((dev = net_device_next(net_ns_init, last))) {
        if (dev->parent == &f->vdev.dev)
            return dev;
        last = dev->index;
        netdev_put(dev);
    }
    return NULL;
}

static struct netdev *card_up(struct fake *f)
{
    struct netdev *dev = fake_start(f) ? card_of(f) : NULL;

    if (!dev || !net_device_up(dev))
        return dev;
    netdev_put(dev);
    return NULL;
}

/* One buffer with a header and so many bytes behind it comes back, of which the device says that it
 * wrote `written`; `tell`: it interrupts. False: there is no buffer. */
static bool card_give(struct fake *f, const struct head *h, u32 written, bool tell)
{
    struct virtq_desc d;
    u16 id;

    if (!fake_waiting(f, RX))
        return false;
    id = fake_next(f, RX);
    if (fake_pieces(f, RX, id, &d, 1) != 1)
        return false;
    if (h)
        memcpy(hpa_virt(HPA(d.addr)), h, sizeof(*h));
    fake_return(f, RX, id, written);
    if (tell)
        fake_interrupt(f, 1);
    return true;
}

/* Frames that came, and that were dropped: as soon as they are that many in all. */
static bool card_had(struct netdev *dev, u64 came, u64 dropped)
{
    struct netdev_stats s;
    u64 end = time_ns() + 60 * NSEC_PER_SEC;

    do {
        netdev_stats(dev, &s);
        if (s.rx_packets + s.rx_dropped >= came + dropped)
            break;
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    } while (time_ns() < end);
    return s.rx_packets == came && s.rx_dropped == dropped;
}

static bool card_breaks(struct fake *f)
{
    u64 end = time_ns() + 60 * NSEC_PER_SEC;

    while (!READ_ONCE(f->vdev.why) && time_ns() < end)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return f->vdev.why;
}

/* The next pages that are allocated held something. */
static bool memory_is_dirtied(void)
{
    static struct page *pages[DIRTY_PAGES];
    u32 n = 0;

    while (n < DIRTY_PAGES && (pages[n] = page_alloc(0, 0)))
        memset(page_virt(pages[n++]), 0xa5, PAGE_SIZE);
    for (u32 i = 0; i < n; i++)
        page_put(pages[i]);
    return n == DIRTY_PAGES;
}

static bool card_has_zeros(struct fake *f)
{
    struct virtq_desc d;

    while (fake_waiting(f, RX)) {
        const u8 *at;

        if (fake_pieces(f, RX, fake_next(f, RX), &d, 1) != 1)
            return false;
        at = hpa_virt(HPA(d.addr));
        for (u32 i = 0; i < d.len; i++)
            if (at[i])
                return false;
    }
    return true;
}

FAKE_TEST(virtio_network_device_is_given_no_old_memory, VIRTIO_NET)
{
    struct netdev *dev;
    bool zeros;

    EXPECT(memory_is_dirtied());
    dev = card_up(f);
    EXPECT(dev);
    netdev_put(dev);
    EXPECT(fake_waiting(f, RX) == f->queue_max);
    zeros = card_has_zeros(f);
    EXPECT(zeros);
    return NULL;
}

static const char *card_lies(struct fake *f, struct netdev *dev)
{
    static const struct head lies[] = {
        {.gso = PACKET_GSO_TCP4, .size = 1400, .flags = 1}, /* not agreed upon */
        {.gso = 0x7f, .size = 1400, .flags = 1},            /* no such kind */
        {.gso = PACKET_GSO_ECN, .size = 1, .flags = 1},     /* of nothing */
        {.flags = 1, .start = 0xffff, .offset = 0xffff},    /* a sum outside of it */
        {.flags = 1, .start = 58, .offset = 1},             /* half outside */
    };
    u64 dropped = 0;

    for (u32 i = 0; i < ARRAY_SIZE(lies); i++) {
        EXPECT(card_give(f, &lies[i], HEADER + 60, true));
        EXPECT(card_had(dev, 0, ++dropped));
    }
    for (u32 n = 0; n < HEADER + 14; n++) /* no header; no frame */
        EXPECT(card_give(f, NULL, n, false));
    fake_interrupt(f, 1);
    EXPECT(card_had(dev, 0, dropped + HEADER + 14));
    EXPECT(card_give(f, &(struct head){.flags = 1, .start = 34, .offset = 16}, HEADER + 60, true));
    EXPECT(card_had(dev, 1, dropped + HEADER + 14));
    EXPECT(!f->vdev.why);
    return NULL;
}

FAKE_TEST(virtio_net_drops_frames_that_are_not_as_their_words_say, VIRTIO_NET)
{
    struct netdev *dev;
    const char *wrong;

    f->features |= GUEST_CSUM;
    f->queue_max = 64;
    dev = card_up(f);
    EXPECT(dev);
    wrong = card_lies(f, dev);
    netdev_put(dev);
    return wrong;
}

static const char *card_joins(struct fake *f, struct netdev *dev)
{
    struct head h = {.gso = PACKET_GSO_TCP4, .size = 1400, .flags = 1, .start = 34, .offset = 16};

    h.buffers = 3;
    EXPECT(card_give(f, &h, PAGE_SIZE, false) && card_give(f, NULL, PAGE_SIZE, false));
    EXPECT(card_give(f, NULL, 10, true));
    EXPECT(card_had(dev, 1, 0));
    EXPECT(dev->queues[0].rx_bytes == 2 * PAGE_SIZE + 10 - HEADER);
    h.size = 0;
    EXPECT(card_give(f, &h, PAGE_SIZE, false) && card_give(f, NULL, PAGE_SIZE, false));
    EXPECT(card_give(f, NULL, 10, true));
    EXPECT(card_had(dev, 1, 1));
    h.size = 1400;
    h.buffers = 40; /* more than a packet is long */
    for (u32 i = 0; i < 40; i++)
        EXPECT(card_give(f, i ? NULL : &h, PAGE_SIZE, i == 39));
    EXPECT(card_had(dev, 1, 2));
    EXPECT(!f->vdev.why);
    h.buffers = 2; /* of which one comes */
    EXPECT(card_give(f, &h, PAGE_SIZE, true));
    EXPECT(card_breaks(f));
    return NULL;
}

FAKE_TEST(virtio_net_takes_joined_segments_and_no_more_buffers_than_it_is_given, VIRTIO_NET)
{
    struct netdev *dev;
    const char *wrong;

    f->features |= GUEST_CSUM | GUEST_TSO4 | MRG_RXBUF;
    f->queue_max = 64;
    dev = card_up(f);
    EXPECT(dev);
    wrong = card_joins(f, dev);
    netdev_put(dev);
    return wrong;
}

FAKE_TEST(virtio_net_gives_a_device_up_that_counts_more_buffers_than_there_are, VIRTIO_NET)
{
    struct netdev *dev;
    bool broke;

    f->features |= MRG_RXBUF;
    dev = card_up(f);
    EXPECT(dev);
    broke = card_give(f, &(struct head){.buffers = 0xffff}, HEADER + 60, true) && card_breaks(f);
    netdev_put(dev);
    EXPECT(broke);
    return NULL;
}

FAKE_TEST(virtio_net_waits_a_second_for_a_control_queue_that_is_silent, VIRTIO_NET)
{
    struct netdev *dev;
    u64 begun = time_ns();
    bool broke;

    f->features |= CTRL_VQ | CTRL_RX;
    dev = card_up(f);
    EXPECT(dev);
    broke = card_breaks(f);
    netdev_put(dev);
    EXPECT(broke && time_ns() - begun < 60 * NSEC_PER_SEC);
    return NULL;
}

/* A frame that says when it is freed. */
static u32 card_freed;

static void card_frame_gone(struct packet_sender *sender, u32 n)
{
    __atomic_fetch_add(&card_freed, n, __ATOMIC_SEQ_CST);
}
static struct packet_sender card_sender = {card_frame_gone};

static int card_send(struct netdev *dev)
{
    struct packet *p = packet_alloc();

    if (!p)
        return -ENOMEM;
    memset(packet_append(p, 60), 0, 60);
    p->sender = &card_sender;
    p->sent = 1;
    return netdev_transmit(dev, p);
}

static bool card_has_no_carrier(struct netdev *dev)
{
    u64 end = time_ns() + 60 * NSEC_PER_SEC;

    while ((READ_ONCE(dev->flags) & NETDEV_CARRIER) && time_ns() < end)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    return !(READ_ONCE(dev->flags) & NETDEV_CARRIER);
}

/* It has the status; who has found that out takes all back, sends no more and does not come up. */
static const char *card_is_given_up(struct fake *f, struct netdev *dev, u8 status)
{
    card_freed = 0;
    EXPECT((dev->flags & NETDEV_CARRIER) && !card_send(dev) && fake_waiting(f, TX));
    f->status |= status;
    fake_interrupt(f, 0);
    EXPECT(card_has_no_carrier(dev) && f->vdev.why && fake_wait(&card_freed, 1));
    EXPECT(card_send(dev) == -EIO && card_freed == 2);
    net_device_down(dev);
    EXPECT(net_device_up(dev) == -EIO);
    return NULL;
}

FAKE_TEST(virtio_net_that_needs_a_reset_is_an_error_and_has_no_carrier, VIRTIO_NET)
{
    struct netdev *dev = card_up(f);
    const char *wrong;

    EXPECT(dev);
    wrong = card_is_given_up(f, dev, STATUS_NEEDS_RESET);
    netdev_put(dev);
    return wrong;
}

FAKE_TEST(virtio_net_that_reads_as_ones_is_an_error_and_has_no_carrier, VIRTIO_NET)
{
    struct netdev *dev = card_up(f);
    const char *wrong;

    EXPECT(dev);
    wrong = card_is_given_up(f, dev, 0xff);
    netdev_put(dev);
    return wrong;
}

/* While it is there, it may keep what it was given; and it tells when it goes on. */
static const char *card_is_silent(struct fake *f, struct netdev *dev)
{
    card_freed = 0;
    EXPECT(!card_send(dev));
    EXPECT(fake_wait(&f->asked, READ_ONCE(f->asked) + 1)); /* whether it is well */
    EXPECT(!card_freed && !f->vdev.why && (dev->flags & NETDEV_CARRIER));
    while (fake_waiting(f, TX)) /* there may be some of the kernel's own */
        fake_return(f, TX, fake_next(f, TX), 0);
    fake_interrupt(f, 2);
    EXPECT(fake_wait(&card_freed, 1));
    EXPECT(!card_send(dev));
    f->status = 0xff; /* it has gone, and nothing tells */
    EXPECT(card_has_no_carrier(dev) && fake_wait(&card_freed, 2));
    return NULL;
}

FAKE_TEST(virtio_net_that_is_silent_is_asked_whether_it_is_there, VIRTIO_NET)
{
    struct netdev *dev = card_up(f);
    const char *wrong = NULL;

    EXPECT(dev);
    if (fail_point_arm("netdev_watch_soon", 1)) /* in the debug build */
        wrong = card_is_silent(f, dev);
    (void)fail_point_arm("netdev_watch_soon", 0);
    netdev_put(dev);
    return wrong;
}

/* When it is looked at next, once it was silent for long and has gone on. */
static const char *card_is_looked_at_soon(struct fake *f, struct netdev *dev)
{
    struct vnet_pair *pair = dev->queues[0].driver;
    u64 next;

    card_freed = 0;
    spin_lock(&pair->q->lock);
    timer_cancel_nowait(&pair->tx.reap.timer);
    pair->tx.reap.ns = NETDEV_STUCK_NS; /* as after a silence */
    spin_unlock(&pair->q->lock);
    EXPECT(!card_send(dev));
    while (fake_waiting(f, TX))
        fake_return(f, TX, fake_next(f, TX), 0);
    EXPECT(!card_send(dev) && card_freed == 1); /* which takes it back, without an interrupt */
    spin_lock(&pair->q->lock);
    next = timer_deadline(&pair->tx.reap.timer);
    spin_unlock(&pair->q->lock);
    EXPECT(next < time_ns() + NSEC_PER_SEC);
    return NULL;
}

FAKE_TEST(virtio_net_that_goes_on_is_as_fast_as_before, VIRTIO_NET)
{
    struct netdev *dev = card_up(f);
    const char *wrong;

    EXPECT(dev && dev->nr_queues == 1);
    wrong = card_is_looked_at_soon(f, dev);
    netdev_put(dev);
    return wrong;
}

FAKE_TEST(virtio_net_believes_no_number_of_pairs, VIRTIO_NET)
{
    struct netdev *dev;

    f->features |= CTRL_VQ | MQ;
    f->config[CONFIG_PAIRS] = f->config[CONFIG_PAIRS + 1] = 0xff; /* not allowed: one */
    dev = card_up(f);
    EXPECT(dev && dev->nr_queues == 1);
    netdev_put(dev);
    return NULL;
}

FAKE_TEST(virtio_net_is_refused_where_queues_that_were_named_are_not_there, VIRTIO_NET)
{
    f->features |= CTRL_VQ | MQ;
    f->config[CONFIG_PAIRS + 1] = 0x7f;
    EXPECT(!fake_start(f) || !card_of(f));
    return NULL;
}
