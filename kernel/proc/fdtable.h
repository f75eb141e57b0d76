/* SPDX-License-Identifier: MIT
 *
 * Descriptor tables. Tasks are a table's users; an inspector of another's table only refers to it,
 * and keeps no file of it open. While a table has one user (an unthreaded process looking at its
 * own) a file is borrowed without touching its count: no other task can close it during the call.
 *
 * Lock order: table->lock (leaf) guards all else; the only user may read without it.
 */
#pragma once

#include "lib/types.h"
#include "obj/file.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

#define FD_TABLE_MAX (1U << 20) /* most descriptors of any process */
#define FD_CHUNK 64

struct fd_chunk {
    u64 open, cloexec; /* a bit per number: taken, though perhaps without a file yet */
    struct file *files[FD_CHUNK];
};

struct fd_wide; /* private */
struct fd_table {
    refcount_t users; /* tasks; together they hold one of ref */
    refcount_t ref;
    struct spinlock lock;
    u32 hint;             /* lock: no free number below */
    struct fd_wide *wide; /* lock: the numbers from FD_CHUNK on; NULL: none */
    struct fd_chunk first;
};

/* A file held for the time of a call; put is set when the count was taken. */
struct fd_hold {
    struct file *file;
    bool put;
};

struct fd_table *fd_table_create(void) __must_check;
/* A copy for fork; descriptors from `below` on are left out (close_range with UNSHARE). NULL:
 * memory. */
struct fd_table *fd_table_copy(struct fd_table *from, u32 below) __must_check;
/* Users: the last one to leave closes all; may sleep. */
void fd_table_join(struct fd_table *t);
void fd_table_leave(struct fd_table *t);
/* Acquires: what users did before they left is seen. */
static inline bool fd_table_is_own(const struct fd_table *t)
{
    return __atomic_load_n(&t->users.v, __ATOMIC_ACQUIRE) == 1;
}
/* A copy of current's table if it shares that with others, else *own is NULL. 0, -ENOMEM. */
int fd_table_copy_shared(struct fd_table **own) __must_check;
void fd_table_change(struct fd_table *own); /* becomes current's; consumed */
/* Both: current gets a table of its own if it shares one. 0, -ENOMEM. */
int fd_table_unshare(void);
/* References of those who inspect: the memory stays. */
void fd_table_get(struct fd_table *t);
void fd_table_put(struct fd_table *t);

/* The file behind current's fd, or NULL (bad descriptor; O_PATH ones only through _raw). */
struct fd_hold fd_hold(int fd);
struct fd_hold fd_hold_raw(int fd);
static inline void fd_release(struct fd_hold h)
{
    if (h.put)
        file_put(h.file);
}
/* A counted reference, O_PATH files included, from any table; NULL: none. */
struct file *fd_table_file(struct fd_table *t, u32 fd);
/* Does current's fd name f (still)? */
bool fd_names(int fd, const struct file *f);
/* For code that keeps the file: current's fd, not O_PATH. */
struct file *fd_file(int fd);

/* The lowest free number >= from below limit, taken but empty: -EMFILE, -ENOMEM. */
int fd_alloc(u32 from, bool cloexec);
void fd_cancel(int fd);                  /* gives a number from fd_alloc back */
void fd_install(int fd, struct file *f); /* takes f */
/* fd_alloc and fd_install in one; takes f in every case. */
int fd_publish(struct file *f, bool cloexec);

int fd_close(int fd);
int fd_dup_to(int fd, int to, bool cloexec); /* dup2/dup3, fd != to */
int fd_get_cloexec(int fd);
int fd_set_cloexec(int fd, bool on);
int fd_close_range(u32 first, u32 last, bool cloexec_only);
void fd_close_on_exec(void);
/* The next descriptor >= from of a table, for /proc; -1: none. */
int fd_table_next(struct fd_table *t, u32 from);
bool fd_table_cloexec(struct fd_table *t, u32 fd);
