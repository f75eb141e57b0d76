/* SPDX-License-Identifier: MIT
 *
 * A packet socket's ring, which its program maps: slots of one size in blocks of pages, in the
 * formats TPACKET_V1 and V2 (linux/if_packet.h). A slot whose first word is TP_STATUS_KERNEL is
 * free; the kernel fills it and sets TP_STATUS_USER, the program gives it back. A slot that one
 * processor fills is busy, for others may have come round to it meanwhile. TPACKET_V3, whose blocks
 * are what is given back and forth, is ring_blocks.c's.
 *
 * The pages are a shared object's, all there from the start, and stay mapped and kept by the ring
 * until the socket is closed. The program may write anything anywhere at any time: the kernel reads
 * nothing from them but that word, once.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/packet/ring_priv.h"
#include "sched/timer.h"
#include "vm/aspace.h"
#include "vm/object.h"

struct tpacket2 {
    u32 status, len, snaplen;
    u16 mac, net;
    u32 sec, nsec;
    u16 vlan, vlan_type;
    u8 pad[4];
};
struct tpacket1 {
    u64 status;
    u32 len, snaplen;
    u16 mac, net;
    u32 sec, usec, pad;
};
static_assert(TPACKET_V3 == PACKET_RING_BLOCKS, "packet_sock.h");
static_assert(sizeof(struct tpacket2) == 32 && sizeof(struct tpacket1) == 32, "linux/if_packet.h");

u32 packet_ring_header(u32 version)
{
    return version <= TPACKET_V3 ? packet_ring_head(version) + (u32)sizeof(struct sockaddr_ll) : 0;
}

static u64 ring_place(const struct packet_ring *r, u32 slot)
{
    return (u64)(slot / r->in_block) * r->block_size + (u64)(slot % r->in_block) * r->frame_size;
}

void *ring_at(const struct packet_ring *r, u64 at)
{
    return (u8 *)page_virt(r->pages[at >> PAGE_SHIFT]) + (at & (PAGE_SIZE - 1));
}

void ring_write(const struct packet_ring *r, u64 at, const void *from, u32 n)
{
    while (n) {
        u32 k = MIN(n, (u32)(PAGE_SIZE - (at & (PAGE_SIZE - 1))));

        memcpy(ring_at(r, at), from, k);
        from = (const u8 *)from + k;
        at += k;
        n -= k;
    }
}

/* Slots are aligned, so a status lies in one page. */
static u32 *ring_status(const struct packet_ring *r, u32 slot)
{
    if (r->version == TPACKET_V3)
        return ring_block_status(r, slot);
    return ring_at(r, ring_place(r, slot));
}

static void ring_free(struct packet_ring *r)
{
    for (u64 i = 0; i < r->nr_pages; i++, cond_yield())
        if (r->pages[i])
            page_put(r->pages[i]);
    if (r->object)
        mem_object_put(r->object);
    kfree(r->busy);
    kfree(r);
}

static int ring_judge(u32 version, u32 reserve, const struct tpacket_req3 *q)
{
    u32 in_block;

    if (!q->block_size || q->block_size % PAGE_SIZE || !q->frame_size || q->frame_size % 16)
        return -EINVAL;
    if (q->frame_size < TPACKET_ALIGN(packet_ring_header(version)) + reserve + 16)
        return -EINVAL;
    in_block = q->block_size / q->frame_size;
    if (!in_block || (u64)in_block * q->nr_blocks != q->nr_frames)
        return -EINVAL;
    return (u64)q->block_size * q->nr_blocks > RING_MOST ? -ENOMEM : 0;
}

static int ring_fill(struct packet_ring *r, u64 bytes)
{
    int err = 0;

    r->object = mem_object_create_shared(bytes);
    if (!r->object)
        return -ENOMEM;
    for (u64 i = 0; i < r->nr_pages && !err; i++, cond_yield())
        err = mem_object_page(r->object, i, true, &r->pages[i]);
    return err;
}

/* For this version and reserve of the socket's, which ring_install looks at again. */
static int ring_make(struct packet_sock *ps, u32 version, u32 reserve, const struct tpacket_req3 *q,
                     struct packet_ring **out)
{
    u64 bytes = (u64)q->block_size * q->nr_blocks, pages = bytes >> PAGE_SHIFT;
    struct packet_ring *r = kzalloc(sizeof(*r) + pages * sizeof(r->pages[0]));
    int err = 0;

    if (!r)
        return -ENOMEM;
    r->nr_pages = pages;
    r->nr_frames = q->nr_frames;
    r->frame_size = q->frame_size;
    r->block_size = q->block_size;
    r->in_block = q->block_size / q->frame_size;
    r->version = version;
    r->reserve = reserve;
    if (r->version == TPACKET_V3)
        err = ring_blocks_begin(r, ps, q);
    else
        r->busy = kzalloc(((u64)q->nr_frames + 63) / 64 * sizeof(r->busy[0]));
    if (!err && r->version != TPACKET_V3 && !r->busy)
        err = -ENOMEM;
    if (!err)
        err = ring_fill(r, bytes);
    if (err) {
        ring_free(r);
        return err;
    }
    *out = r;
    return 0;
}

/* Made without a lock, for its pages are; then installed, unless what it was made for has changed.
 */
static int ring_install(struct packet_sock *ps, struct packet_ring *r)
{
    int err = -EBUSY;

    mutex_lock(&ps->config);
    if (!ps->ring && r->version == ps->version && r->reserve == ps->reserve) {
        rcu_assign(ps->ring, r);
        err = 0;
    }
    mutex_unlock(&ps->config);
    return err;
}

int packet_ring_set(struct packet_sock *ps, const void *val, u32 n)
{
    struct packet_ring *r;
    struct tpacket_req3 q = {0};
    u32 version = READ_ONCE(ps->version), reserve = READ_ONCE(ps->reserve);
    u32 size = version == TPACKET_V3 ? TPACKET_REQ3 : TPACKET_REQ;
    int err;

    if (n < size)
        return -EINVAL;
    memcpy(&q, val, size);
    if (!q.nr_blocks) {
        if (q.nr_frames)
            return -EINVAL;
        packet_ring_free(ps);
        return 0;
    }
    err = READ_ONCE(ps->ring) ? -EBUSY : ring_judge(version, reserve, &q);
    if (!err)
        err = ring_make(ps, version, reserve, &q, &r);
    if (err)
        return err;
    err = ring_install(ps, r);
    if (err)
        ring_free(r);
    return err;
}

void packet_ring_free(struct packet_sock *ps)
{
    struct packet_ring *r;

    mutex_lock(&ps->config);
    r = ps->ring;
    rcu_assign(ps->ring, NULL);
    mutex_unlock(&ps->config);
    if (!r)
        return;
    rcu_synchronize(); /* none fills it, nor looks at it any more */
    if (r->version == TPACKET_V3)
        ring_blocks_end(r);
    ring_free(r);
}

/* ---- a packet ---- */

static bool ring_is_free(const struct packet_ring *r, u32 slot)
{
    return !(r->busy[slot / 64] >> slot % 64 & 1) &&
           __atomic_load_n(ring_status(r, slot), __ATOMIC_ACQUIRE) == TP_STATUS_KERNEL;
}

/* The slot has its status, or had it and the program has given it back already. */
static void ring_filled(struct packet_ring *r, struct packet_sock *ps, u32 slot)
{
    spin_lock(&ps->sock.lock);
    r->busy[slot / 64] &= ~(1ULL << slot % 64);
    spin_unlock(&ps->sock.lock);
}

/* The next slot, which is the caller's to fill; -1: none is free. */
static s64 ring_take(struct packet_ring *r, struct packet_sock *ps, bool *losing)
{
    s64 slot = -1;

    spin_lock(&ps->sock.lock);
    if (ring_is_free(r, r->head)) {
        slot = r->head;
        r->busy[slot / 64] |= 1ULL << slot % 64;
        r->head = r->head + 1 == r->nr_frames ? 0 : r->head + 1;
        *losing = r->losing;
        r->losing = false;
    } else {
        r->losing = true;
    }
    spin_unlock(&ps->sock.lock);
    return slot;
}

static void ring_put_head(struct packet_ring *r, u64 at, const struct tpacket2 *h)
{
    struct tpacket1 old = {0, h->len, h->snaplen, h->mac, h->net, h->sec, h->nsec / 1000, 0};

    /* all but the status, which is set when the rest is there */
    if (r->version == TPACKET_V2)
        ring_write(r, at + 4, (const u8 *)h + 4, sizeof(*h) - 4);
    else
        ring_write(r, at + 8, (const u8 *)&old + 8, sizeof(old) - 8);
}

bool packet_ring_put(struct packet_ring *r, struct packet_sock *ps, const struct packet *p,
                     u32 skip, u32 keep, const struct packet_msg *about)
{
    u32 mac, link = about->network - skip;
    u64 at, now = time_ns() + time_wall_offset();
    bool losing = false;
    struct tpacket2 h;
    s64 slot;

    if (r->version == TPACKET_V3)
        return ring_blocks_put(r, p, skip, keep, about);
    slot = ring_take(r, ps, &losing);
    if (slot < 0)
        return false;
    at = ring_place(r, (u32)slot);
    /* the network header is aligned, and behind the address */
    mac = TPACKET_ALIGN(packet_ring_header(r->version) + MAX(link, 16U)) + r->reserve - link;
    keep = MIN(keep, r->frame_size > mac ? r->frame_size - mac : 0);
    h = (struct tpacket2){.len = about->whole,
                          .snaplen = keep,
                          .mac = (u16)mac,
                          .net = (u16)(mac + link),
                          .sec = (u32)(now / NSEC_PER_SEC),
                          .nsec = (u32)(now % NSEC_PER_SEC),
                          .vlan = about->vlan,
                          .vlan_type = about->vlan ? 0x8100 : 0};
    ring_put_head(r, at, &h);
    ring_write(r, at + sizeof(h), &about->from, sizeof(about->from));
    for (u32 done = 0; done < keep;) {
        u32 len;
        const u8 *bytes = packet_stretch(p, skip + done, keep - done, &len);

        ring_write(r, at + mac + done, bytes, len);
        done += len;
    }
    __atomic_store_n(ring_status(r, (u32)slot), about->status | (losing ? TP_STATUS_LOSING : 0),
                     __ATOMIC_RELEASE);
    ring_filled(r, ps, (u32)slot);
    socket_wake(&ps->sock, POLLIN | POLLRDNORM);
    return true;
}

/* The slot, or block, that was filled last has not been given back. */
bool packet_ring_readable(struct packet_sock *ps)
{
    const struct packet_ring *r;
    bool readable = false;
    u32 head, slots;

    rcu_read_lock();
    r = rcu_dereference(ps->ring);
    if (r) {
        head = READ_ONCE(r->head);
        slots = r->version == TPACKET_V3 ? r->blocks.nr : r->nr_frames;
        readable = READ_ONCE(*ring_status(r, (head ? head : slots) - 1)) != TP_STATUS_KERNEL;
    }
    rcu_read_unlock();
    return readable;
}

int packet_ring_map(struct socket *s, struct map_request *req)
{
    struct packet_sock *ps = packet_of(s);
    int err = -EINVAL;

    mutex_lock(&ps->config);
    if (ps->ring && (req->flags & AREA_SHARED) && !req->offset &&
        req->len == ps->ring->nr_pages << PAGE_SHIFT) {
        mem_object_get(ps->ring->object);
        req->object = ps->ring->object;
        err = 0;
    }
    mutex_unlock(&ps->config);
    return err;
}
