/* SPDX-License-Identifier: MIT
 *
 * Block devices as their users see them: file systems, the page cache, block special files. Drivers
 * fill the other half, dev/block_driver.h.
 *
 * A user submits a block_request: an operation on a run of sectors, with a vector of pages. It is
 * the user's memory and nothing is allocated on its way: what is submitted gets done, also when
 * memory is short. The request is dev's from block_submit until `done` is called, once; then it may
 * be submitted again. dev merges what adjoins, splits what is too large for the device, and puts
 * off what the device has no space for; drivers see commands only.
 *
 * Units: sectors of 512 bytes, regardless of the device's own block size. A request begins and ends
 * at a multiple of the logical block size and inside the device, else it is done with -EINVAL.
 *
 * Order: none, also between requests that overlap; a user waits for the first before it submits the
 * second. What is done is seen by every later read. What is done is durable (survives a loss of
 * power) only by way of
 *   BLOCK_FLUSH      when it is done, all that was done before its submission is durable
 *   BLOCK_PREFLUSH   on a write: the same, before the write begins
 *   BLOCK_FUA        on a write: durable itself when it is done
 * which hold on every device: where it has no volatile cache they cost nothing, where it lacks FUA
 * the write is followed by a flush. Flushes that wait at one time are served by one.
 *
 * Errors, in request->error: -EIO, the device could not, does not answer, failed or went away (what
 * a failed write left on the medium is not known); -EINVAL, see above; -EROFS, a change to a
 * read-only device; -EOPNOTSUPP, the device has no such operation (discard; zeroing is written out
 * by block_zero where it lacks). A request that the device does not answer is waited for as long as
 * its driver says; neither dev nor the submitter can end it.
 *
 * A device that goes away: what is in flight is done with -EIO once the device cannot touch its
 * memory any more, what comes later with -EIO at once; the struct stays while it is referenced.
 *
 * Context: block_submit and plugs from threads, without spinlocks (mutexes are fine), never
 * sleeping. `done` is called without locks in the thread of the device's interrupt, or in the
 * submitter's own before block_submit returns; it must not sleep nor take long; it may submit.
 */
#pragma once

#include "dev/chrdev.h"
#include "lib/list.h"
#include "lib/types.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

struct account;
struct block_device;
struct block_request;
struct dev_node;
struct device;
struct mem_object;
struct page;

#define SECTOR_SHIFT 9
#define SECTOR_SIZE 512UL

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,   /* no sectors, no pages */
    BLOCK_DISCARD, /* no pages; what is read there afterwards is undefined */
    BLOCK_ZERO,    /* no pages; zeros are read there afterwards */
    BLOCK_OPS
};
enum block_flag { BLOCK_FUA = 1, BLOCK_PREFLUSH = 2 };

/* A physically contiguous stretch: `len` bytes, `offset` bytes behind the start of page (which may
 * lie in a larger block of pages). Both are multiples of 512. */
struct block_segment {
    struct page *page;
    u32 offset, len;
};

/* I the submitter's, unchanged until done · d dev's until done */
struct block_request {
    u8 op;                                /* I  enum block_op */
    u8 flags;                             /* I  enum block_flag */
    u32 nr_segments;                      /* I */
    const struct block_segment *segments; /* I  together as long as the sectors; borrowed */
    u64 sector, sectors;                  /* I */
    struct account *account; /* I  whose I/O it is: the account of the thread that dirtied the
                                pages; NULL: the system's. It outlives the request: pages of the
                                request are charged to it, or its thread waits */
    void (*done)(struct block_request *r); /* I */
    void *owner;                           /* I  the submitter's own */
    s32 error;                             /*    at `done`: 0 or -errno */

    struct block_device *dev; /* d  as submitted: a partition, or the whole */
    struct block_request *next;
    u64 at;      /* d  sector on the whole device */
    u64 begun;   /* d  bytes that commands were made for */
    u32 segment; /* d  where the next command begins */
    u32 into;    /* d  bytes into it */
    u32 parts;   /* d  commands under way */
    u8 phase;    /* d  enum block_phase, block_flush.c */
};

/* What a device asks for; sizes in bytes. The driver sets it before the device is registered. */
struct block_limits {
    u32 logical_size;          /* power of two, 512 up to PAGE_SIZE */
    u32 physical_size;         /* what it writes without reading; at least logical_size */
    u32 io_min, io_opt;        /* hints, 0: none */
    u32 max_sectors;           /* of a read or write command */
    u32 max_pieces;            /* of memory, in one command; at least 1 */
    u32 max_piece;             /* length of one; a multiple of logical_size */
    u64 boundary;              /* a piece does not cross multiples of it; 0: any. A power of two */
    u32 max_discard, max_zero; /* sectors of one command; 0: it cannot */
    u32 discard_granularity;
    bool write_cache; /* volatile: a flush does something */
    bool fua;         /* the driver takes commands with `fua` */
    bool rotational;
};

struct block_figures { /* of read, write, discard, flush */
    u64 done[4], merged[4], sectors[4], ns[4];
    u64 in_flight, busy_ns;
};

/* I immutable once registered · a atomic · c block_claim_lock */
struct block_device {
    char name[32];              /* I  "vda", "vda1" */
    u32 major, minor;           /* I */
    struct block_device *whole; /* I  of a partition: a reference; else itself */
    u64 start;                  /* I  sector of whole */
    u64 sectors;                /* a  capacity; a driver may change it */
    bool read_only;             /* a  the device's own, or BLKROSET's */
    bool gone;                  /* a  removed */
    struct block_limits limits; /* I  partitions have the whole's */
    refcount_t ref;             /* a */
    void *holder;               /* c  block_claim; NULL: none */
    u32 held_parts;             /* c  of a whole device: partitions that are held */
    u32 openers;                /* c  files */
    struct mem_object *cache;   /* c  while there are openers */
    bool closing;               /* c  the last one's cache is being written out */
    struct list_node node;      /*    block_list_lock  all devices */
    u64 order;                  /* I  in the list */
    struct dev_node *name_node; /* I  its name in /dev; or NULL */
    struct block_disk *disk;    /* I  dev's part of the whole: queues and flushes */
};

/* By number: a reference, or NULL. */
struct block_device *block_find(u32 major, u32 minor) __must_check;
void block_get(struct block_device *dev);
/* Context: may sleep. */
void block_put(struct block_device *dev);
/* All, in the order of their coming, each while it is referenced; false from fn ends it. May
 * sleep. */
void block_for_each(bool (*fn)(struct block_device *dev, void *arg), void *arg);
/* The device that its disk is a function of: a reference, or NULL when that has been removed. */
struct device *block_parent(struct block_device *dev);
/* As /proc/devices names its major. */
const char *block_family(const struct block_device *dev);
void block_figures(struct block_device *dev, struct block_figures *out);

/* For one user alone (a mounted file system, O_EXCL): 0; -EBUSY: another has it, or the whole that
 * it is part of, or a part of it; -ENXIO: gone. The same holder may claim once only. */
int block_claim(struct block_device *dev, void *holder) __must_check;
void block_release(struct block_device *dev, void *holder);

void block_submit(struct block_device *dev, struct block_request *r);
/* Submits and waits: r->error. It sets r->done and r->owner. Context: sleeps, for no signal. */
int block_submit_wait(struct block_device *dev, struct block_request *r) __must_check;
/* Makes zeros of the sectors: by BLOCK_ZERO, or by writing them. 0 or an error of a request,
 * -ENOMEM, -EINTR (a kill). Context: sleeps. */
int block_zero(struct block_device *dev, u64 sector, u64 sectors) __must_check;

/* Opens the block special file of that number as f, for f's access mode: 0; -ENXIO: no such device;
 * -EBUSY: `exclusive`, and another claims it; -ENOMEM; -EINTR: a kill. f->ops and f->priv are set.
 * Context: may sleep. */
struct file;
int block_open_file(struct file *f, u32 major, u32 minor, bool exclusive) __must_check;
/* sync(2): begins to write, and (wait) waits for, all that block special files have dirty. Context:
 * sleeps. */
void block_sync_all(bool wait);

/* Holds requests back so that they are merged: on a submitter's stack, between start and finish.
 * Those of one device are sorted by sector. What is plugged is not waited for before the finish. */
#define BLOCK_PLUG_MAX 64
struct block_plug {
    struct block_request *first, *last;
    u32 count;
};
static inline void block_plug_start(struct block_plug *plug)
{
    *plug = (struct block_plug){NULL, NULL, 0};
}
/* Submits now all that was plugged when there are BLOCK_PLUG_MAX. */
void block_plug_add(struct block_plug *plug, struct block_device *dev, struct block_request *r);
void block_plug_finish(struct block_plug *plug);
