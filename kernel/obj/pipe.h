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

/* A FIFO's pipe, kept by its inode while anyone has it open; reference 1. NULL: no memory. */
struct pipe *pipe_alloc(void) __must_check;
void pipe_get(struct pipe *p);
bool pipe_get_unless_gone(struct pipe *p) __must_check;
void pipe_put(struct pipe *p);
bool pipe_unshared(struct pipe *p); /* the caller's is the only reference */
/* Opens an end by f->flags' access mode: sets f->ops and f->priv (takes a reference of p), waits
 * (if it is named) for the other end as fifo(7) says. 0, -ENXIO, -ERESTARTSYS. Context: may sleep.
 */
int pipe_open(struct pipe *p, struct file *f, bool named) __must_check;
