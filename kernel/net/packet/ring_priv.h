/* SPDX-License-Identifier: MIT
 *
 * A packet socket's ring, between ring.c (its life; slots) and ring_blocks.c (TPACKET_V3).
 */
#pragma once

#include "net/packet/packet_sock.h"
#include "sched/timer.h"
#include "sched/work.h"

#define RING_MOST (64UL << 20) /* bytes */
#define TPACKET_ALIGN(n) (((n) + 15U) & ~15U)
enum { TPACKET_V1, TPACKET_V2, TPACKET_V3 };
enum { TP_STATUS_KERNEL = 0, TP_STATUS_USER = 1, TP_STATUS_LOSING = 4, TP_STATUS_BLK_TMO = 1 << 5 };

/* V1 and V2 have the first four words alone. */
struct tpacket_req3 {
    u32 block_size, nr_blocks, frame_size, nr_frames;
    u32 retire_ms, priv_size, features;
};
#define TPACKET_REQ 16U
#define TPACKET_REQ3 28U

/* The block that is being filled. I immutable · l the socket's lock */
struct ring_blocks {
    struct packet_sock *ps; /* I  the ring's */
    u32 nr, first;          /* I  blocks; where a block's first packet lies */
    u64 retire;             /* I  ns after which a block is given to the program as it is */
    bool open, closed;      /* l  one is being filled; no timer is started any more */
    u32 at, last, count;    /* l  in it: where the next packet goes, where the last one lies */
    u64 opened, seq;        /* l */
    u32 began[2];           /* l  seconds and ns of its first packet */
    u32 ends[2];            /* l  of its last */
    struct timer timer;
    struct work work;
};

/* I immutable · l the socket's lock */
struct packet_ring {
    struct mem_object *object; /* I  a reference */
    u32 nr_frames, frame_size; /* I */
    u32 block_size, in_block;  /* I  bytes, slots of a block */
    u32 version, reserve;      /* I */
    u32 head;                  /* l  the slot to be filled next; of V3 the block */
    bool losing;               /* l  a packet was lost since the last one */
    u64 *busy;                 /* l  a bit for each slot that is being filled; not of V3 */
    struct ring_blocks blocks; /*    of V3 */
    u64 nr_pages;              /* I */
    struct page *pages[];      /* I  references */
};

/* ring.c */
void *ring_at(const struct packet_ring *r, u64 at);
void ring_write(const struct packet_ring *r, u64 at, const void *from, u32 n);

/* ring_blocks.c. put is as packet_ring_put. begin: -EINVAL: no packet fits into a block, whose size
 * is judged (RING_MOST). end: none puts any more; may sleep. */
int ring_blocks_begin(struct packet_ring *r, struct packet_sock *ps,
                      const struct tpacket_req3 *q) __must_check;
void ring_blocks_end(struct packet_ring *r);
u32 *ring_block_status(const struct packet_ring *r, u32 block);
bool ring_blocks_put(struct packet_ring *r, const struct packet *p, u32 skip, u32 keep,
                     const struct packet_msg *about);
