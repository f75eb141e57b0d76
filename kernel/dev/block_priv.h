/* SPDX-License-Identifier: MIT
 *
 * What the files of block devices share: block.c (devices, names, claims), block_queue.c (requests
 * to commands and back), block_flush.c (durability), block_submit.c (users' calls), block_file.c
 * (special files).
 *
 * Lock order: a disk's scan_lock, block_claim_lock (both sleeping); block_list_lock; a disk's
 * flusher.lock; a queue's lock, under which the driver is called. The last three are spinlocks that
 * no interrupt takes.
 */
#pragma once

#include "dev/block_driver.h"
#include "sched/mutex.h"
#include "sched/timer.h"
#include "sched/work.h"

#define BLOCK_PARTITIONS 15 /* minors of a disk behind its own */
#define BLOCK_DEPTH_MAX 1024

/* Lock orders within RANK_DEV. */
#define BLOCK_SCAN_ORDER 21
#define BLOCK_CLAIM_ORDER 20
#define BLOCK_LIST_ORDER 12
#define BLOCK_FLUSH_ORDER 11
#define BLOCK_QUEUE_ORDER 10

/* Where a request is: before its data, in it, behind it. */
enum block_phase { BLOCK_PHASE_PRE, BLOCK_PHASE_DATA, BLOCK_PHASE_POST };

/* Flushes of a disk: one is under way for `served`; what came since waits for the next one.
 * f lock */
struct block_flusher {
    struct spinlock lock;
    struct block_request request;                 /* f  the one that goes to the device */
    bool busy;                                    /* f */
    struct block_request *served, **served_end;   /* f */
    struct block_request *waiting, **waiting_end; /* f */
};

/* I immutable after create · a atomic · c block_claim_lock */
struct block_disk {
    struct block_device dev;            /* the whole */
    const char *family;                 /* I */
    const char *stem;                   /* I */
    const struct block_ops *ops;        /* I */
    struct device *parent;              /* block_list_lock  NULL after the removal */
    void *driver;                       /* I */
    u32 nr_queues, depth, command_size; /* I */
    u64 time_out;                       /* I  ns */
    struct block_queue *queues;         /* I */
    bool unscanned;                     /* I  its partition table is not looked at */
    bool read_only;                     /* I  the device itself */
    char serial[32];                    /* a  bytes change once */
    bool stopped;                       /* a  no command starts any more */
    atomic_t requests;                  /* a  submitted, `done` not returned yet */
    struct waitq idle;                  /*    requests is 0 */
    struct block_flusher flusher;
    struct timer late_timer;
    struct work late_work;
    bool late_armed;                              /* a */
    struct workq *worker;                         /* I  its own: what is done there may wait */
    struct work scan_work;                        /* block_scan.c */
    struct work resize_work;                      /* the same */
    u64 wanted;                                   /* a  sectors: what resize_work makes of it */
    struct mutex scan_lock;                       /* one looks for partitions at a time */
    struct block_device *parts[BLOCK_PARTITIONS]; /* c  by number less 1 */
};

/* block.c */
extern struct mutex block_claim_lock;

void block_resize_run(struct work *w);

/* block_queue.c */
void block_queue_init(struct block_queue *q, struct block_disk *disk, u32 index);
int block_queue_alloc(struct block_queue *q) __must_check;
void block_queue_free(struct block_queue *q);
/* A chain of requests, ended by NULL, whose `at` and cursors are set: to the queue of this CPU. */
void block_queue_add(struct block_disk *disk, struct block_request *first);
/* Fails what waits. */
void block_queue_stop(struct block_queue *q);
void block_late_fire(struct timer *t);
void block_late_run(struct work *w);

/* block_flush.c */
void block_flush_init(struct block_disk *disk);
/* A checked request begins: true: its data is next, the caller puts it in a queue. */
bool block_flush_first(struct block_disk *disk, struct block_request *r) __must_check;
/* Its commands are through, r->error tells how: a flush follows, or `done`. */
void block_request_over(struct block_disk *disk, struct block_request *r);

/* block_scan.c: looks for partitions soon / at once. */
void block_scan_init(struct block_disk *disk);
void block_scan_soon(struct block_disk *disk);
void block_resize_soon(struct block_disk *disk);
/* Waits for both. */
void block_scan_end(struct block_disk *disk);
/* All partitions go and are looked for anew: -EBUSY: one is in use; -EIO, -ENOMEM. */
int block_rescan(struct block_disk *disk) __must_check;
