/* SPDX-License-Identifier: MIT
 *
 * A connection's send buffer: the bytes from the first that is not acknowledged to the last that
 * was written, as stretches of pages in the order of their sequence numbers. Payload is copied
 * once, from the program (or not at all: a file's page is taken as it is); segments refer to the
 * pages, so what is resent is not copied again, and a page lives until its last segment has left
 * the device.
 *
 * Bytes are staged first, without the socket's lock, since a program's memory may have to be
 * faulted in; what is staged is appended under the lock. A page's free end is used by the next
 * write: `spare`.
 *
 * Lock: the socket's, over all but tcp_stage_*. Nothing here sleeps but the copy into a stage.
 */
#pragma once

#include "dev/packet.h"
#include "lib/list.h"
#include "lib/types.h"

struct iov_iter;

/* A stretch; whoever has the list has a reference to the page. */
struct tcp_chunk {
    struct list_node node;
    struct page *page; /* head of its block */
    u32 offset, len;
    u32 seq;  /* of its first byte; set when it is appended */
    u32 cost; /* bytes of memory that it keeps, as the buffer's size counts them */
};

/* Space at the end of a page that no stretch has: its owner alone writes there. */
struct tcp_spare {
    struct page *page; /* a reference; NULL: none */
    u32 offset, size;  /* of the block: [offset, size) is free */
};

struct tcp_stage {
    struct list_node chunks;
    u32 bytes;
    struct tcp_spare spare; /* what is left, to be given back */
};

struct tcp_buffer {
    struct list_node chunks;
    u32 first, end; /* sequence numbers: of the first byte, behind the last */
    u32 cost;
    u32 nr; /* of stretches */
    struct tcp_chunk
        *last_read; /* the stretch that was read last: new bytes lie behind it; or NULL */
    struct tcp_spare spare;
};

/* A buffer takes no more bytes while it has so many stretches: what one ACK may free. */
#define TCP_CHUNKS_MOST 16384U

void tcp_buffer_init(struct tcp_buffer *b, u32 seq);
/* Its stretches go to `done`, for tcp_chunks_free. */
void tcp_buffer_fini(struct tcp_buffer *b, struct list_node *done);
/* Without the lock; yields. */
void tcp_chunks_free(struct list_node *chunks);
static inline u32 tcp_buffer_bytes(const struct tcp_buffer *b)
{
    return b->end - b->first;
}

/* An empty stage with the buffer's spare space. */
void tcp_stage_init(struct tcp_stage *g, struct tcp_buffer *b);
/* Copies n bytes out of the iterator. How many were copied: fewer after a fault or without memory,
 * *err then -EFAULT or -ENOMEM; they are staged all the same. Without the lock; may sleep. */
u32 tcp_stage_copy(struct tcp_stage *g, struct iov_iter *from, u32 n, int *err);
/* n bytes of a page as they are; takes a reference of its own. -ENOMEM. */
int tcp_stage_page(struct tcp_stage *g, struct page *page, u32 offset, u32 n) __must_check;
/* Drops what was not appended. Without the lock. */
void tcp_stage_fini(struct tcp_stage *g);

/* All that is staged becomes the end of the buffer, and the spare space is given back. */
void tcp_buffer_append(struct tcp_buffer *b, struct tcp_stage *g);
/* The bytes before seq are acknowledged: their stretches go to `done`, for tcp_chunks_free. */
void tcp_buffer_acked(struct tcp_buffer *b, u32 seq, struct list_node *done);
/* Puts the n bytes from seq, which are in the buffer, behind p's header: into its linear bytes if
 * they are few. -EMSGSIZE: they lie in more stretches than a packet has: *n is what fits, nothing
 * is put. */
int tcp_buffer_put(struct tcp_buffer *b, u32 seq, u32 *n, struct packet *p) __must_check;
