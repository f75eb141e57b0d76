/* SPDX-License-Identifier: MIT
 *
 * TPACKET_V3: packets of any length lie one behind the other in blocks, and a block goes to the
 * program when it is full or some time after its first packet. So a ring of few megabytes takes
 * many packets, whatever the longest may be.
 *
 * A block begins with its head (struct tpacket_block_desc), the program's own bytes, and the first
 * packet; each packet says how far the next one is. A packet, of 64 KiB at most, is copied under
 * the socket's lock: a block is given away with all its packets whole.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/worker.h"
#include "net/packet/ring_priv.h"
#include "vm/object.h"

#define BLOCK_ALIGN(n) (((n) + 7U) & ~7U)
#define BLOCK_HEAD 48U   /* bytes */
#define BLOCK_STATUS 8U  /* where its status lies */
#define PACKET_LEAST 64U /* bytes of a packet that a block takes */
#define RETIRE_MS 8U
#define RETIRE_MOST_MS 60000U
#define RETIRE_SLACK (1 * NSEC_PER_MSEC)

/* What stands in a block's head from BLOCK_STATUS on. */
struct block_head {
    u32 status, count, first, len;
    u64 seq;
    u32 began[2], ends[2];
};
static_assert(sizeof(struct block_head) == BLOCK_HEAD - BLOCK_STATUS, "linux/if_packet.h");
struct tpacket3 {
    u32 next, sec, nsec, snaplen, len, status;
    u16 mac, net;
    u32 hash, vlan;
    u16 vlan_type, unused;
    u8 pad[8];
};
static_assert(sizeof(struct tpacket3) == 48, "linux/if_packet.h");

static u64 block_place(const struct packet_ring *r, u32 block)
{
    return (u64)block * r->block_size;
}

u32 *ring_block_status(const struct packet_ring *r, u32 block)
{
    return ring_at(r, block_place(r, block) + BLOCK_STATUS);
}

/* The block goes to the program. */
static void block_close_locked(struct packet_sock *ps, struct packet_ring *r, u32 why)
    REQUIRES(ps->sock.lock)
{
    struct ring_blocks *b = &r->blocks;
    u64 place = block_place(r, r->head);
    struct block_head h = {.count = b->count, .first = b->first, .len = b->at, .seq = b->seq};
    const u32 head[2] = {1, BLOCK_HEAD}; /* version; where the program's own bytes lie */

    ASSERT_HELD(&ps->sock.lock);
    memcpy(h.began, b->began, sizeof(h.began));
    memcpy(h.ends, b->ends, sizeof(h.ends));
    ring_write(r, place, head, sizeof(head));
    ring_write(r, place + BLOCK_STATUS + 4, (const u8 *)&h + 4, sizeof(h) - 4);
    __atomic_store_n(ring_block_status(r, r->head), TP_STATUS_USER | why, __ATOMIC_RELEASE);
    b->open = false;
    r->head = r->head + 1 == b->nr ? 0 : r->head + 1;
}

/* The next block, if the program has given it back. */
static bool block_open_locked(struct packet_sock *ps, struct packet_ring *r, u64 now)
    REQUIRES(ps->sock.lock)
{
    struct ring_blocks *b = &r->blocks;

    ASSERT_HELD(&ps->sock.lock);
    if (__atomic_load_n(ring_block_status(r, r->head), __ATOMIC_ACQUIRE) != TP_STATUS_KERNEL)
        return false;
    b->open = true;
    b->at = b->first;
    b->count = 0;
    b->seq++;
    b->opened = now;
    if (!b->closed)
        timer_start_within(&b->timer, now + b->retire, RETIRE_SLACK);
    return true;
}

static void blocks_fire(struct timer *t)
{
    net_worker_queue(&container_of(t, struct ring_blocks, timer)->work);
}

/* What lies in a block for long enough is given away. */
static void blocks_work(struct work *w)
{
    struct ring_blocks *b = container_of(w, struct ring_blocks, work);
    struct packet_ring *r = container_of(b, struct packet_ring, blocks);
    struct packet_sock *ps = b->ps;
    bool full = false;

    spin_lock(&ps->sock.lock);
    if (b->open && time_ns() >= b->opened + b->retire) {
        block_close_locked(ps, r, TP_STATUS_BLK_TMO);
        full = true;
    } else if (b->open && !b->closed) {
        timer_start_within(&b->timer, b->opened + b->retire, RETIRE_SLACK);
    }
    spin_unlock(&ps->sock.lock);
    if (full)
        socket_wake(&ps->sock, POLLIN | POLLRDNORM);
}

int ring_blocks_begin(struct packet_ring *r, struct packet_sock *ps, const struct tpacket_req3 *q)
{
    struct ring_blocks *b = &r->blocks;
    u32 ms = q->retire_ms ? MIN(q->retire_ms, RETIRE_MOST_MS) : RETIRE_MS;

    if (q->priv_size > q->block_size ||
        BLOCK_HEAD + BLOCK_ALIGN(q->priv_size) + packet_ring_header(TPACKET_V3) + PACKET_LEAST >
            q->block_size)
        return -EINVAL;
    b->ps = ps;
    b->nr = q->nr_blocks;
    b->first = BLOCK_HEAD + BLOCK_ALIGN(q->priv_size);
    b->retire = ms * NSEC_PER_MSEC;
    timer_init(&b->timer, blocks_fire);
    work_init(&b->work, blocks_work);
    return 0;
}

void ring_blocks_end(struct packet_ring *r)
{
    struct ring_blocks *b = &r->blocks;
    struct packet_sock *ps = b->ps;

    spin_lock(&ps->sock.lock);
    b->closed = true;
    spin_unlock(&ps->sock.lock);
    timer_cancel(&b->timer); /* it is not started again */
    net_worker_flush(&b->work);
}

/* ---- a packet ---- */

static void block_copy(struct packet_ring *r, u64 at, const struct packet *p, u32 skip, u32 keep)
{
    for (u32 done = 0; done < keep;) {
        u32 len;
        const u8 *bytes = packet_stretch(p, skip + done, keep - done, &len);

        ring_write(r, at + done, bytes, len);
        done += len;
    }
}

/* Space for n bytes in a block, *full: another one was given away for it. */
static bool block_space_locked(struct packet_sock *ps, struct packet_ring *r, u32 n, u64 now,
                               bool *full) REQUIRES(ps->sock.lock)
{
    struct ring_blocks *b = &r->blocks;

    ASSERT_HELD(&ps->sock.lock);
    if (b->open && n > r->block_size - b->at) {
        block_close_locked(ps, r, 0);
        *full = true;
    }
    if (b->open || block_open_locked(ps, r, now))
        return true;
    r->losing = true;
    return false;
}

/* h's packet, of n bytes with what is before it, goes behind the last one. */
static void block_put_locked(struct packet_sock *ps, struct packet_ring *r, struct tpacket3 *h,
                             u32 n, const struct packet *p, u32 skip,
                             const struct packet_msg *about) REQUIRES(ps->sock.lock)
{
    struct ring_blocks *b = &r->blocks;
    u64 at = block_place(r, r->head) + b->at;
    u32 far = b->at - b->last;

    ASSERT_HELD(&ps->sock.lock);
    if (b->count)
        ring_write(r, block_place(r, r->head) + b->last, &far, sizeof(far));
    else
        memcpy(b->began, &h->sec, sizeof(b->began));
    memcpy(b->ends, &h->sec, sizeof(b->ends));
    h->status |= r->losing ? TP_STATUS_LOSING : 0;
    r->losing = false;
    ring_write(r, at, h, sizeof(*h));
    ring_write(r, at + sizeof(*h), &about->from, sizeof(about->from));
    block_copy(r, at + h->mac, p, skip, h->snaplen);
    b->last = b->at;
    b->at += n;
    b->count++;
}

bool ring_blocks_put(struct packet_ring *r, const struct packet *p, u32 skip, u32 keep,
                     const struct packet_msg *about)
{
    struct packet_sock *ps = r->blocks.ps;
    u32 link = about->network - skip, most = r->block_size - r->blocks.first;
    u32 mac = TPACKET_ALIGN(packet_ring_header(TPACKET_V3) + MAX(link, 16U)) + r->reserve - link;
    u64 now = time_ns(), wall = now + time_wall_offset();
    struct tpacket3 h = {.sec = (u32)(wall / NSEC_PER_SEC),
                         .nsec = (u32)(wall % NSEC_PER_SEC),
                         .snaplen = MIN(keep, most > mac ? most - mac : 0),
                         .len = about->whole,
                         .status = about->status,
                         .mac = (u16)mac,
                         .net = (u16)(mac + link),
                         .hash = p->hash,
                         .vlan = about->vlan,
                         .vlan_type = about->vlan ? 0x8100 : 0};
    u32 n = BLOCK_ALIGN(mac + h.snaplen);
    bool full = false, fits;

    spin_lock(&ps->sock.lock);
    fits = n <= most && block_space_locked(ps, r, n, now, &full);
    if (fits)
        block_put_locked(ps, r, &h, n, p, skip, about);
    spin_unlock(&ps->sock.lock);
    if (full)
        socket_wake(&ps->sock, POLLIN | POLLRDNORM);
    return fits;
}
