/* SPDX-License-Identifier: MIT
 *
 * A file system for tests of the page cache, inode cache and flusher: its store is memory, and does
 * what the test says: fails, stands still, is done in another order. One directory of files named
 * by the test; nothing of it is in the table of types, it is mounted by test_store_open.
 */
#pragma once

#include "sched/mutex.h"
#include "vfs/cached_inode.h"
#include "vfs/vfs.h"

#define STORE_FILES 16
#define STORE_PAGES 512 /* of a file */
#define STORE_NAME 15

/* What is on the store. */
struct store_file {
    bool there;
    char name[STORE_NAME + 1];
    u64 size;
    void *pages[STORE_PAGES]; /* NULL: zero */
};

struct test_store;
/* A page on its way, in or out. */
struct store_io {
    struct list_node node;
    struct page *page;
    struct store_file *file;
    bool write;
};

/* l lock · t the test's own thread */
struct test_store {
    struct super super;
    struct path root;                     /* t  a mount of its own, and its root */
    struct store_file files[STORE_FILES]; /* l; by number less 2 */
    struct spinlock lock;
    struct list_node held;        /* l  inputs and outputs that wait for store_finish */
    u64 nr_held;                  /* l */
    bool hold_writes, hold_reads; /* t */
    bool hold_inodes;             /* a  read_inode waits */
    u32 fail_writes, fail_reads;  /* a  so many of the next pages fail with -EIO */
    bool refuse_place;            /* a  place_run says -EAGAIN */
    bool refuse_write;            /* a  write_run gives its pages back */
    int refuse_writable;          /* a  what make_writable says */
    void (*on_write)(struct test_store *s, struct mem_object *obj, struct page *page);
    atomic_t read_runs, write_runs, pages_read, pages_written; /* a */
    atomic_t inodes_filled, inodes_written, inodes_evicted, syncs;
    bool *destroyed; /* t  told when it is */
    struct waitq changed;
};

/* A mounted one, with nothing on it. NULL: no memory. */
struct test_store *test_store_open(void) __must_check;
/* Unmounts it, and frees what was on the store. */
void test_store_close(struct test_store *s);
/* Unmounts it, and mounts what is on the store anew. */
int test_store_again(struct test_store *s) __must_check;
struct file *store_open_file(struct test_store *s, const char *name, unsigned o_flags) __must_check;
/* Ends up to n of what is held, the oldest or the youngest first; how many. err 0 or what they end
 * with. */
u64 store_finish(struct test_store *s, u64 n, bool youngest, int err);
/* Waits, for ten seconds at most, until so many are held. */
bool store_wait_held(struct test_store *s, u64 n) __must_check;
/* The number of the file, as the store has it; 0: none. */
u64 store_number(struct test_store *s, const char *name);
/* Byte `at` of what is on the store. */
u8 store_byte(struct test_store *s, const char *name, u64 at);
