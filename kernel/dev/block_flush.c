/* SPDX-License-Identifier: MIT
 *
 * Durability on a device with a volatile write cache. A request goes through up to three phases: a
 * flush before its data (BLOCK_PREFLUSH, and what BLOCK_FLUSH is), its data, and where the device
 * lacks FUA a flush behind it. A disk has one flush under way: it serves all who waited when it was
 * sent; those who come while it is under way wait for the next one, since what they rely on may
 * have been done after it began.
 */
#include "dev/block_priv.h"
#include "lib/log.h"
#include "mm/account.h"

#define SERVED_AT_ONCE 64 /* before it yields */

static void block_flush_done(struct block_request *flush);

void block_flush_init(struct block_disk *disk)
{
    struct block_flusher *f = &disk->flusher;

    spinlock_init(&f->lock, RANK_DEV, BLOCK_FLUSH_ORDER, "block flush");
    f->served_end = &f->served;
    f->waiting_end = &f->waiting;
    f->request.op = BLOCK_FLUSH;
    f->request.done = block_flush_done;
    f->request.dev = &disk->dev;
}

/* What waits is served by the next one. True: the caller sends it. */
static bool block_flush_next_locked(struct block_flusher *f) REQUIRES(f->lock)
{
    ASSERT_HELD(&f->lock);
    if (f->busy || !f->waiting)
        return false;
    f->busy = true;
    f->served = f->waiting;
    f->served_end = f->waiting_end;
    f->waiting = NULL;
    f->waiting_end = &f->waiting;
    return true;
}

static void block_flush_send(struct block_disk *disk)
{
    struct block_request *r = &disk->flusher.request;

    r->next = NULL;
    r->error = 0;
    r->begun = 0;
    r->phase = BLOCK_PHASE_DATA;
    block_queue_add(disk, r);
}

static void block_flush_join(struct block_disk *disk, struct block_request *r)
{
    struct block_flusher *f = &disk->flusher;
    bool send;

    r->next = NULL;
    spin_lock(&f->lock);
    *f->waiting_end = r;
    f->waiting_end = &r->next;
    send = block_flush_next_locked(f);
    spin_unlock(&f->lock);
    if (send)
        block_flush_send(disk);
}

static void block_request_end(struct block_request *r)
{
    if (!r->error && (r->op == BLOCK_READ || r->op == BLOCK_WRITE))
        account_io(r->account, r->op == BLOCK_WRITE, r->sectors << SECTOR_SHIFT);
    r->done(r);
}

bool block_flush_first(struct block_disk *disk, struct block_request *r)
{
    bool cache = disk->dev.limits.write_cache;

    if (cache && (r->op == BLOCK_FLUSH || (r->flags & BLOCK_PREFLUSH))) {
        r->phase = BLOCK_PHASE_PRE;
        block_flush_join(disk, r);
        return false;
    }
    r->phase = BLOCK_PHASE_DATA;
    if (r->op != BLOCK_FLUSH && r->sectors)
        return true;
    block_request_end(r);
    return false;
}

/* The flush that r waited for is over. */
static void block_flush_served(struct block_disk *disk, struct block_request *r, int error)
{
    bool data = r->phase == BLOCK_PHASE_PRE && r->op != BLOCK_FLUSH && r->sectors && !error;

    if (error)
        r->error = error;
    if (!data) {
        block_request_end(r);
        return;
    }
    r->phase = BLOCK_PHASE_DATA;
    r->next = NULL;
    block_queue_add(disk, r);
}

static void block_flush_done(struct block_request *flush)
{
    struct block_disk *disk = container_of(flush, struct block_disk, flusher.request);
    struct block_flusher *f = &disk->flusher;
    struct block_request *r, *next;
    int error = flush->error;
    bool send;

    spin_lock(&f->lock);
    r = f->served;
    f->served = NULL;
    f->busy = false;
    send = block_flush_next_locked(f);
    spin_unlock(&f->lock);
    if (send)
        block_flush_send(disk);
    for (unsigned n = 1; r; r = next, n++) {
        next = r->next;
        block_flush_served(disk, r, error);
        if (n % SERVED_AT_ONCE == 0)
            cond_yield();
    }
}

void block_request_over(struct block_disk *disk, struct block_request *r)
{
    const struct block_limits *limits = &disk->dev.limits;

    if (r->phase == BLOCK_PHASE_DATA && !r->error && r->op == BLOCK_WRITE &&
        (r->flags & BLOCK_FUA) && limits->write_cache && !limits->fua) {
        r->phase = BLOCK_PHASE_POST;
        block_flush_join(disk, r);
        return;
    }
    block_request_end(r);
}
