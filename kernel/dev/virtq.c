/* SPDX-License-Identifier: MIT
 *
 * The split virtqueue. A request's descriptors are chained twice: in the ring for the device, and
 * in the shadow, by which they are freed; the ring's own words are only ever written.
 */
#include "dev/virtq.h"

#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/log.h"

#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

/* Words of the two rings, in u16. */
#define AVAIL_FLAGS 0
#define AVAIL_INDEX 1
#define AVAIL_RING 2
#define USED_FLAGS 0
#define USED_INDEX 1
#define USED_RING 2
#define USED_WORDS 4 /* of an element: u32 id, u32 len */

struct virtq_layout virtq_layout(u32 num)
{
    struct virtq_layout l;

    l.avail = num * sizeof(struct virtq_desc);
    /* The parts that the two sides write lie in different cache lines. */
    l.used = ALIGN_UP(l.avail + 2UL * (AVAIL_RING + num + 1), 64UL);
    l.size = l.used + 2UL * (USED_RING + USED_WORDS * num + 1);
    return l;
}

void virtq_init(struct virtq *q, u32 num, bool event_idx, void *ring, void *shadow)
{
    struct virtq_layout l = virtq_layout(num);

    ASSERT(num > 0 && num <= VIRTQ_NUM_MAX && (num & (num - 1)) == 0);
    *q = (struct virtq){.num = num, .event_idx = event_idx, .nr_free = num, .slots = shadow};
    q->desc = ring;
    q->avail = (volatile u16 *)((char *)ring + l.avail);
    q->used = (volatile u16 *)((char *)ring + l.used);
    for (u32 i = 0; i < num; i++)
        q->slots[i] = (struct virtq_slot){.next = (u16)(i + 1)};
}

void virtq_set_tables(struct virtq *q, void *tables, u64 addr, u32 len)
{
    ASSERT(q->nr_requests == 0 && len > 0);
    q->tables = tables;
    q->tables_addr = addr;
    q->table_len = len;
}

u32 virtq_pieces_max(const struct virtq *q)
{
    return MAX(q->num, q->table_len);
}

static void virtq_break(struct virtq *q, const char *why)
{
    q->broken = true;
    q->why = why;
}

/* ---- adding ---- */

static u16 virtq_flags(u32 i, u32 out, u32 all)
{
    return (u16)((i < out ? 0 : DESC_WRITE) | (i + 1 < all ? DESC_NEXT : 0));
}

static void virtq_fill_table(struct virtq *q, u16 head, const struct virtq_piece *pieces, u32 out,
                             u32 all)
{
    struct virtq_desc *table = q->tables + (size_t)head * q->table_len;

    for (u32 i = 0; i < all; i++)
        table[i] = (struct virtq_desc){pieces[i].addr, pieces[i].len, virtq_flags(i, out, all),
                                       (u16)(i + 1)};
    q->desc[head] = (struct virtq_desc){q->tables_addr + (u64)head * q->table_len * sizeof(*table),
                                        all * (u32)sizeof(*table), DESC_INDIRECT, 0};
}

/* The descriptor behind the last one, which becomes the first free. */
static u16 virtq_fill_chain(struct virtq *q, u16 head, const struct virtq_piece *pieces, u32 out,
                            u32 all)
{
    u16 at = head;

    for (u32 i = 0; i < all; i++) {
        q->desc[at] = (struct virtq_desc){pieces[i].addr, pieces[i].len, virtq_flags(i, out, all),
                                          q->slots[at].next};
        at = q->slots[at].next;
    }
    return at;
}

static u32 virtq_space(const struct virtq_piece *pieces, u32 out, u32 all)
{
    u32 space = 0;

    for (u32 i = out; i < all; i++)
        space += pieces[i].len;
    return space;
}

/* The request that begins with head is filled in. */
static void virtq_put(struct virtq *q, u16 head, u32 descs, u32 space, void *token)
{
    struct virtq_slot *slot = &q->slots[head];

    slot->token = token;
    slot->space = space;
    slot->count = (u16)descs;
    q->nr_free -= descs;
    q->nr_requests++;
    q->avail[AVAIL_RING + (q->added++ & (q->num - 1))] = head;
}

/* Most requests of a network device. */
static int virtq_add_one(struct virtq *q, const struct virtq_piece *piece, bool in, void *token)
{
    u16 head = q->free_head, next;

    if (!q->nr_free)
        return -ENOSPC;
    next = q->slots[head].next;
    q->desc[head] = (struct virtq_desc){piece->addr, piece->len, in ? DESC_WRITE : 0, next};
    q->free_head = next;
    virtq_put(q, head, 1, in ? piece->len : 0, token);
    return 0;
}

int virtq_add(struct virtq *q, const struct virtq_piece *pieces, u32 out, u32 in, void *token)
{
    u32 all = out + in, descs;
    u16 head = q->free_head;

    ASSERT(token && all > 0);
    if (q->broken)
        return -EIO;
    if (all == 1)
        return virtq_add_one(q, pieces, in, token);
    if (all > virtq_pieces_max(q))
        return -EMSGSIZE;
    descs = all <= q->table_len ? 1 : all;
    if (descs > q->nr_free)
        return descs > q->num ? -EMSGSIZE : -ENOSPC;
    if (descs == all) {
        q->free_head = virtq_fill_chain(q, head, pieces, out, all);
    } else {
        virtq_fill_table(q, head, pieces, out, all);
        q->free_head = q->slots[head].next;
    }
    virtq_put(q, head, descs, virtq_space(pieces, out, all), token);
    return 0;
}

bool virtq_publish(struct virtq *q)
{
    u16 old = q->published, event;

    if (q->added == old || q->broken)
        return false;
    q->published = q->added;
    /* Descriptors and ring before the index: pairs with the device's barrier behind its read of
     * the index (virtio 1.2, 2.7.13.3.1). */
    store_release((u16 *)&q->avail[AVAIL_INDEX], q->added);
    /* The index before the look at what the device asked for: pairs with the device's barrier
     * between asking and its last look at the index (2.7.13.4.1). */
    smp_mb();
    if (!q->event_idx)
        return !(READ_ONCE(q->used[USED_FLAGS]) & USED_NO_NOTIFY);
    event = READ_ONCE(q->used[USED_RING + USED_WORDS * q->num]);
    /* The index passed the event: modulo 2^16, as 2.7.10.1 has it. */
    return (u16)(q->added - event - 1) < (u16)(q->added - old);
}

/* ---- taking back ---- */

static void virtq_free(struct virtq *q, u16 head)
{
    struct virtq_slot *slot = &q->slots[head];
    u16 last = head;

    for (u32 i = 1; i < slot->count; i++)
        last = q->slots[last].next;
    q->slots[last].next = q->free_head;
    q->free_head = head;
    q->nr_free += slot->count;
    q->nr_requests--;
    slot->token = NULL;
}

bool virtq_has_used(const struct virtq *q)
{
    return READ_ONCE(q->used[USED_INDEX]) != READ_ONCE(q->taken) && !READ_ONCE(q->broken);
}

void *virtq_take(struct virtq *q, u32 *written)
{
    const volatile u32 *element;
    u32 id, len;
    void *token;
    u16 ready;

    /* The index before the element and the buffers: pairs with the device's barrier before it
     * moves the index (2.7.14). */
    ready = (u16)(load_acquire((u16 *)&q->used[USED_INDEX]) - q->taken);
    if (ready == 0 || q->broken)
        return NULL;
    element = (const volatile u32 *)&q->used[USED_RING + USED_WORDS * (q->taken & (q->num - 1))];
    id = element[0];
    len = element[1];
    if (ready > q->nr_requests)
        virtq_break(q, "its used index runs ahead");
    else if (id >= q->num || !q->slots[id].token)
        virtq_break(q, "it returned what it does not have");
    else if (q->slots[id].space && len > q->slots[id].space)
        virtq_break(q, "it says that it wrote more than there is space for");
    if (q->broken)
        return NULL;
    q->taken++;
    token = q->slots[id].token;
    *written = q->slots[id].space ? len : 0;
    virtq_free(q, (u16)id);
    return token;
}

bool virtq_arm(struct virtq *q, u16 after)
{
    u16 event = (u16)(q->taken + after - 1);

    if (q->event_idx)
        q->avail[AVAIL_RING + q->num] = event;
    else
        q->avail[AVAIL_FLAGS] = 0;
    /* Asking before the last look: pairs with the device's barrier between moving the used index
     * and its look at what was asked for (2.7.7.2). */
    smp_mb();
    return q->broken ||
           (u16)(READ_ONCE(q->used[USED_INDEX]) - q->taken) < (q->event_idx ? after : 1);
}

void virtq_disarm(struct virtq *q)
{
    if (q->event_idx)
        q->avail[AVAIL_RING + q->num] = (u16)(q->taken - 1); /* as far away as can be */
    else
        q->avail[AVAIL_FLAGS] = AVAIL_NO_INTERRUPT;
}

void *virtq_detach(struct virtq *q)
{
    q->broken = true; /* so that no slot fills behind us */
    for (; q->detached < q->num && q->nr_requests; q->detached++) {
        void *token = q->slots[q->detached].token;

        if (!token)
            continue;
        virtq_free(q, (u16)q->detached);
        return token;
    }
    return NULL;
}
