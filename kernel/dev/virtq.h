/* SPDX-License-Identifier: MIT
 *
 * A split virtqueue as its driver sees it (virtio 1.2, 2.7): the pure core. It knows no lock, no
 * clock, no transport and no memory but what it is given, and builds on the host as it is.
 *
 * The device is not trusted. All that the driver must know of a request lives in private memory
 * (the shadow); of what the device writes only the used ring is read, each word once, and checked:
 * an index that runs ahead, an identifier of no request, more bytes written than the request has
 * space for mark the queue broken. A broken queue returns no request any more and takes none; its
 * owner resets the device and then gets the tokens back by virtq_detach.
 *
 * A request is a list of pieces: first those that the device reads, then those that it writes. It
 * takes one descriptor for each piece; or one in all, where the queue has tables for indirect
 * descriptors and the pieces fit in one (2.7.5.3).
 *
 * Nothing is seen by the device before virtq_publish, which tells whether the device wants to be
 * notified. An interrupt is asked for each time by virtq_arm: a queue is read until it is empty,
 * armed, and read again if arming says so. With VIRTIO_F_EVENT_IDX both ways go by the event
 * indices (2.7.7.2, 2.7.10), else by the flags.
 *
 * Not here: the packed ring, VIRTIO_F_IN_ORDER, legacy (big-endian) rings.
 *
 * Everything is called with the owner's lock of the queue held. Nothing sleeps; every call ends
 * after as many steps as the request has pieces.
 */
#pragma once

#include "lib/types.h"

#define VIRTQ_NUM_MAX 32768

/* What the device reads and writes; the ring's memory begins with num of these. */
struct virtq_desc {
    u64 addr;
    u32 len;
    u16 flags;
    u16 next;
};

/* One piece of a request, by the address that the device uses. len is at least 1. */
struct virtq_piece {
    u64 addr;
    u32 len;
};

/* What is remembered of a descriptor. A request is named by its first one. */
struct virtq_slot {
    void *token; /* of the request that begins here, else NULL */
    u32 space;   /* bytes that the device may write */
    u16 count;   /* descriptors in the request */
    u16 next;    /* of the request, or of the free list */
};

struct virtq {
    u32 num;                   /* entries, a power of two */
    bool event_idx;            /* VIRTIO_F_EVENT_IDX is agreed upon */
    bool broken;               /* the device broke the rules; for good */
    struct virtq_desc *desc;   /* device memory: descriptors, */
    volatile u16 *avail;       /* flags, index, ring[num], used_event, */
    volatile u16 *used;        /* flags, index, {u32 id, len}[num], avail_event */
    struct virtq_slot *slots;  /* private */
    struct virtq_desc *tables; /* device memory: num tables of table_len entries, or NULL */
    u64 tables_addr;           /* of the tables, for the device */
    u32 table_len;
    u32 nr_free;     /* descriptors */
    u32 nr_requests; /* added, not taken back */
    u16 free_head;   /* meaningful while nr_free > 0 */
    u16 added;       /* available index as it will be published */
    u16 published;   /* as the device sees it */
    u16 taken;       /* used index up to which requests came back */
    u32 detached;    /* virtq_detach has looked at so many slots */
    const char *why; /* broken: what the device did, for the log */
};

/* How a ring's memory is laid out: offsets of its parts, and its size. */
struct virtq_layout {
    size_t avail, used, size;
};
/* num: a power of two, at most VIRTQ_NUM_MAX. Memory for it must be aligned to 16 bytes. */
struct virtq_layout virtq_layout(u32 num);
/* Bytes of private memory, and of memory for indirect tables of len entries each. */
static inline size_t virtq_shadow_size(u32 num)
{
    return num * sizeof(struct virtq_slot);
}
static inline size_t virtq_tables_size(u32 num, u32 len)
{
    return (size_t)num * len * sizeof(struct virtq_desc);
}

/* An empty queue over zeroed memory: ring as virtq_layout has it, shadow. The queue borrows both as
 * long as it is used. */
void virtq_init(struct virtq *q, u32 num, bool event_idx, void *ring, void *shadow);
/* Gives it tables for indirect descriptors (VIRTIO_F_INDIRECT_DESC is agreed upon): memory of
 * virtq_tables_size(num, len) bytes that the device finds at addr. Before the first virtq_add. */
void virtq_set_tables(struct virtq *q, void *tables, u64 addr, u32 len);

/* Adds a request of `out` pieces that the device reads and then `in` that it writes, in all at
 * least one and together less than 4 GiB. token is not NULL and comes back once. The pieces' array
 * is not kept. 0; -ENOSPC: no space now (the request may fit later); -EMSGSIZE: it never will;
 * -EIO: broken. */
int virtq_add(struct virtq *q, const struct virtq_piece *pieces, u32 out, u32 in,
              void *token) __must_check;
/* Shows the device what was added since; true: it must be notified. */
bool virtq_publish(struct virtq *q) __must_check;

/* A request that the device has finished: its token and how many bytes the device wrote; NULL: none
 * now, or the queue is broken. *written is 0 for a request without space. */
void *virtq_take(struct virtq *q, u32 *written);
/* Whether virtq_take would look at something: a hint, good without the lock. */
bool virtq_has_used(const struct virtq *q);
/* Asks for an interrupt once `after` more requests are finished (1: the next; no more than are in
 * the queue; without event indices always the next). False: that many are finished already: the
 * caller reads the queue again. */
bool virtq_arm(struct virtq *q, u16 after) __must_check;
/* The device need not interrupt; it may all the same. */
void virtq_disarm(struct virtq *q);

/* The device cannot reach the queue any more (it was reset): the token of some request that has not
 * come back, NULL when there is none. */
void *virtq_detach(struct virtq *q);
/* Pieces of one request: how many fit in an empty queue, and how many fit now. */
u32 virtq_pieces_max(const struct virtq *q);
static inline bool virtq_fits(const struct virtq *q, u32 pieces)
{
    return q->nr_free >= (pieces > 1 && pieces <= q->table_len ? 1 : pieces);
}
