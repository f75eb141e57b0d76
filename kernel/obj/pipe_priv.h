/* SPDX-License-Identifier: MIT
 *
 * A pipe's inside, shared by what reads and writes it (pipe.c) and what moves its contents on
 * (pipe_splice.c).
 */
#pragma once

#include "mm/page.h"
#include "obj/file.h"
#include "obj/pipe.h"
#include "sched/mutex.h"
#include "sync/refcount.h"

struct pipe_buf {
    struct page *page;
    u32 off, len;
    bool packet; /* O_DIRECT: one read takes one write */
};

/* l lock · a atomic */
struct pipe {
    struct mutex lock;
    refcount_t ref;                 /* a */
    struct waitq readers_wait;      /*    wants bytes, or a writer */
    struct waitq writers_wait;      /*    wants space, or a reader */
    struct pipe_buf *ring;          /* l  slots of them */
    u32 slots;                      /* l  a power of two */
    u32 head, tail;                 /* l  written, read; their difference is in use */
    u32 reserved;                   /* l  free slots that are promised by pipe_reserve_begin */
    bool viewed;                    /* l  a pipe_view is out: others find nothing to read */
    u32 readers, writers;           /* l  open ends */
    u32 reader_opens, writer_opens; /* l  ever: fifo(7)'s waits end though the end closed again */
    struct page *spare;             /* l  the page of the buffer emptied last */
    u64 ino;
    struct inode *inode; /* a  vfs: once asked for; a reference */
};

extern const struct file_ops pipe_ops;

static inline struct pipe_buf *pipe_buf(struct pipe *p, u32 i)
{
    return &p->ring[i & (p->slots - 1)];
}
/* Nothing that one may take now. */
static inline bool pipe_empty(const struct pipe *p)
{
    return READ_ONCE(p->head) == READ_ONCE(p->tail) || READ_ONCE(p->viewed);
}
/* Something, or the end. */
static inline bool pipe_readable(const struct pipe *p)
{
    return !READ_ONCE(p->viewed) &&
           (READ_ONCE(p->head) != READ_ONCE(p->tail) || !READ_ONCE(p->writers));
}
static inline bool pipe_full(const struct pipe *p)
{
    return READ_ONCE(p->head) - READ_ONCE(p->tail) + READ_ONCE(p->reserved) >= READ_ONCE(p->slots);
}

/* REQUIRES(p->lock). The buffer at the tail is empty. */
void pipe_drop_buf(struct pipe *p, struct pipe_buf *b);
/* Until pipe_readable; until there is space, or no reader. 0 or -ERESTARTSYS. */
int pipe_wait_bytes(struct pipe *p);
int pipe_wait_space(struct pipe *p);
