/* SPDX-License-Identifier: MIT
 *
 * Between the files of vfs: the flusher of a super. The contract is cached_inode.h's.
 */
#pragma once

#include "lib/errseq.h"
#include "sched/mutex.h"
#include "sched/work.h"
#include "vfs/cached_inode.h"

#define FLUSH_AGE (30 * NSEC_PER_SEC)  /* dirty for so long, an inode is written */
#define FLUSH_EVERY (5 * NSEC_PER_SEC) /* between two looks for such */

/* l lock · t turn · a atomic · I immutable */
struct flusher {
    struct super *super;      /* I */
    struct mutex turn;        /*    over taking inodes off the lists and beginning to write them */
    struct spinlock lock;     /*    RANK_VM, below objects */
    struct list_node dirty;   /* l  by time */
    struct list_node later;   /* l  of those some could not be written in the last round */
    struct list_node writing; /* l  clean, but for outputs under way; the oldest first */
    u64 nr_writing;           /* l */
    struct list_node node;    /*    flushers_lock */
    struct work start;        /*    makes the thread */
    struct waitq wake;
    struct waitq written; /*    write_inode has returned */
    bool running, stop;   /* l */
    bool wanted;          /* a */
    struct completion ended;
    struct errseq error; /* a  of write-back, of all of the super */
};

struct flusher *flusher_create(struct super *s) __must_check;
/* What was dirty at the call is written, and on the store as far as the file system has a say: its
 * own `sync` comes last. 0 or that one's error, or write_inode's. Context: may sleep. */
int flusher_sync(struct flusher *f) __must_check;
/* Nothing is dirty any more; ends the thread. */
void flusher_destroy(struct flusher *f);
/* An inode without a name is in no use: its pages need not be written. True when the flusher's
 * reference was dropped. */
bool flusher_forget(struct cached_inode *ci);
/* inode_cache.c */
void cached_inode_put(struct inode *i);
