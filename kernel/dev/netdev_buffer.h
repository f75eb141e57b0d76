/* SPDX-License-Identifier: MIT
 *
 * What a network device receives into: pages or halves of them, which become fragments of packets.
 * A pool
 * remembers the pages that it gave out and gives those again that have no other reference
 * any more, so that a stream of frames that are soon consumed allocates and clears nothing.
 *
 * The device is not trusted with lengths: a page is zeroed before a device gets it first, and only
 * that pool's device writes to it afterwards, so that what it says it wrote and did not is zeros or
 * older frames of its own.
 *
 * Rules. A pool belongs to one receive queue; its calls are made under the lock of that queue's
 * receiver (dev/netdev.h: the queue's thread). A buffer that has memory is mapped for the device.
 */
#pragma once

#include "dev/dma.h"
#include "dev/packet.h"

#define NETDEV_BUFFER 2048U /* bytes of a half */
#define NETDEV_SPARE 64     /* pages that a pool remembers beside those in the ring */

struct netdev_buffer {
    struct page *page; /* a reference; NULL: it has no memory */
    u32 offset;
    dma_addr_t addr;
};

struct netdev_pool {
    struct device *dma; /* for which it maps */
    u32 size;           /* bytes of a buffer: NETDEV_BUFFER or PAGE_SIZE */
    struct page *half;  /* its second half is free; a reference */
    struct page **kept; /* a reference each, the oldest at `first` */
    u32 most, first, nr;
};

/* For a ring of so many buffers. -ENOMEM: netdev_pool_end may be called all the same. May sleep. */
int netdev_pool_init(struct netdev_pool *pool, struct device *dma, u32 size,
                     u32 buffers) __must_check;
/* Gives b, which has none, memory. False: there is none. Context: never sleeps, as all below. */
bool netdev_buffer_fill(struct netdev_pool *pool, struct netdev_buffer *b) __must_check;
/* The device has written n bytes at `at` in b, and b is not in its ring: they become the end of p;
 * whole: they are the whole frame, which is copied where it is small. b has memory afterwards, as
 * before. False: no memory for another buffer, or p is too long. */
bool netdev_buffer_receive(struct netdev_pool *pool, struct netdev_buffer *b, struct packet *p,
                           u32 at, u32 n, bool whole) __must_check;
/* The device touches b no more. */
void netdev_buffer_free(struct netdev_pool *pool, struct netdev_buffer *b);
/* After all its buffers; of a zeroed one nothing. */
void netdev_pool_end(struct netdev_pool *pool);
