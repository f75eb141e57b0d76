/* SPDX-License-Identifier: MIT
 *
 * Pipes and FIFOs.
 */
#pragma once

#include "lib/types.h"

/* The most that F_SETPIPE_SZ grants without privilege, as Linux's pipe-max-size. */
#define PIPE_BYTES_MAX (1U << 20)

struct file;
struct pipe;

/* pipe2: flags are O_NONBLOCK, O_DIRECT. 0, -ENFILE, -ENOMEM. */
int pipe_create(unsigned flags, struct file **reader, struct file **writer) __must_check;
/* F_GETPIPE_SZ, F_SETPIPE_SZ in bytes: the size, or -EBADF (no pipe), -EPERM, -EBUSY, -ENOMEM. */
int pipe_get_size(struct file *f);
int pipe_set_size(struct file *f, u64 size, bool privileged);

/* A FIFO's pipe, kept by its inode while it is open; reference 1. NULL: no memory. */
struct pipe *pipe_alloc(void) __must_check;
bool pipe_get_unless_gone(struct pipe *p) __must_check;
void pipe_put(struct pipe *p);
bool pipe_unshared(struct pipe *p); /* the caller's is the only reference */
/* Opens an end by f->flags' access mode: sets f->ops and f->priv (takes a reference of p), waits
 * (if it is named) for the other end as fifo(7) says. 0, -ENXIO, -ERESTARTSYS. Context: may sleep.
 */
int pipe_open(struct pipe *p, struct file *f, bool named) __must_check;

/* --- for splice(2), tee(2), vmsplice(2): f is a pipe. Context: may sleep --- */
bool pipe_is(const struct file *f);
#define PIPE_PARTS 16UL
/* Up to max bytes from the reading end, which no other reader takes until the view ends; then the
 * first `taken` of them are gone. No parts: the end of the file. 0, -EAGAIN, -ERESTARTSYS. */
struct pipe_view {
    struct pipe *pipe;
    unsigned n;
    struct pipe_part {
        char *data;
        u32 len;
    } part[PIPE_PARTS];
};
int pipe_view_begin(struct file *f, u64 max, bool nonblock, struct pipe_view *v) __must_check;
void pipe_view_end(struct pipe_view *v, u64 taken);
/* Pages of one's own, and space for them at the writing end: for `bytes`, or as many as there is
 * space for. They are filled one behind the other; at the end the first `bytes` are the pipe's. 0,
 * -EAGAIN, -EPIPE (SIGPIPE was sent), -ENOMEM, -ERESTARTSYS. */
struct pipe_reservation {
    struct pipe *pipe;
    unsigned n;
    struct page *page[PIPE_PARTS];
};
/* Until there is space at the writing end, or no reader; none is set aside. 0, -ERESTARTSYS. */
int pipe_space_wait(struct file *f) __must_check;
int pipe_reserve_begin(struct file *f, u64 bytes, bool nonblock,
                       struct pipe_reservation *r) __must_check;
void pipe_reserve_end(struct pipe_reservation *r, u64 bytes);
