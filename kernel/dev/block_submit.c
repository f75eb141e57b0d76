/* SPDX-License-Identifier: MIT
 *
 * What users of block devices call: submission with its checks, plugs, waiting, zeroing.
 */
#include "dev/block_priv.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/page.h"
#include "sched/mutex.h"
#include "sched/thread.h"

#define ZERO_SEGMENTS 16

/* The sum of its segments is the submitter's own affair: a wrong one is a bug of ours. */
static __maybe_unused bool block_segments_sound(const struct block_request *r)
{
    u64 sum = 0;

    if (r->op != BLOCK_READ && r->op != BLOCK_WRITE)
        return r->nr_segments == 0;
    for (u32 i = 0; i < r->nr_segments; i++) {
        if ((r->segments[i].offset | r->segments[i].len) % SECTOR_SIZE || !r->segments[i].len)
            return false;
        sum += r->segments[i].len;
    }
    return sum == r->sectors << SECTOR_SHIFT;
}

static int block_check(const struct block_device *dev, const struct block_request *r)
{
    const struct block_limits *limits = &dev->limits;
    u64 size = READ_ONCE(dev->sectors);

    if (READ_ONCE(dev->gone) || FAILPOINT(block_submit))
        return -EIO;
    if (r->op == BLOCK_FLUSH)
        return 0;
    if (r->sector > size || r->sectors > size - r->sector ||
        ((r->sector | r->sectors) << SECTOR_SHIFT) & (limits->logical_size - 1))
        return -EINVAL;
    if (r->op != BLOCK_READ && READ_ONCE(dev->read_only))
        return -EROFS;
    if ((r->op == BLOCK_DISCARD && !limits->max_discard) ||
        (r->op == BLOCK_ZERO && !limits->max_zero))
        return -EOPNOTSUPP;
    return 0;
}

/* True: the request is ready for a queue; else it is done, or waits for a flush. */
static bool block_prepare(struct block_device *dev, struct block_request *r)
{
    DEBUG_ASSERT(block_segments_sound(r));
    r->dev = dev;
    r->next = NULL;
    r->at = dev->start + r->sector;
    r->begun = 0;
    r->segment = r->into = r->parts = 0;
    r->error = block_check(dev, r);
    if (likely(!r->error))
        return block_flush_first(dev->disk, r);
    r->done(r);
    return false;
}

static void block_submit_traced(struct block_device *dev, struct block_request *r);
TRACE_POINT(block_submit, block_submit, "op %lu at %lu, %lu sectors");

static void block_submit_traced(struct block_device *dev, struct block_request *r)
{
    TRACE(block_submit, r->op, r->sector, r->sectors);
    block_submit(dev, r);
}

void block_submit(struct block_device *dev, struct block_request *r)
{
    if (block_prepare(dev, r))
        block_queue_add(dev->disk, r);
}

/* ---- plugs ---- */

static bool block_before(const struct block_request *a, const struct block_request *b)
{
    if (a->dev->disk != b->dev->disk)
        return a->dev->disk < b->dev->disk;
    return a->at < b->at;
}

void block_plug_add(struct block_plug *plug, struct block_device *dev, struct block_request *r)
{
    struct block_request **at = &plug->first;

    if (!block_prepare(dev, r))
        return;
    if (plug->last && !block_before(r, plug->last))
        at = &plug->last->next; /* most come in order */
    while (*at && !block_before(r, *at))
        at = &(*at)->next;
    r->next = *at;
    *at = r;
    if (!r->next)
        plug->last = r;
    if (++plug->count == BLOCK_PLUG_MAX)
        block_plug_finish(plug);
}

void block_plug_finish(struct block_plug *plug)
{
    struct block_request *first = plug->first, *last, *next;

    block_plug_start(plug);
    for (; first; first = next) {
        for (last = first; last->next && last->next->dev->disk == first->dev->disk;)
            last = last->next;
        next = last->next;
        last->next = NULL;
        block_queue_add(first->dev->disk, first);
    }
}

/* ---- waiting ---- */

static void block_wait_done(struct block_request *r)
{
    completion_signal(r->owner);
}

int block_submit_wait(struct block_device *dev, struct block_request *r)
{
    struct completion done;

    completion_init(&done);
    r->owner = &done;
    r->done = block_wait_done;
    block_submit(dev, r);
    completion_wait(&done);
    return r->error;
}

/* ---- zeros ---- */

static int block_zero_written(struct block_device *dev, u64 sector, u64 sectors)
{
    struct block_segment segments[ZERO_SEGMENTS];
    struct page *zero = page_alloc(0, PA_ZERO | PA_CHARGE);
    int err = 0;

    if (!zero)
        return -ENOMEM;
    while (sectors && !err) {
        u64 n = MIN(sectors, ZERO_SEGMENTS * PAGE_SIZE / SECTOR_SIZE), left = n << SECTOR_SHIFT;
        struct block_request r = {.op = BLOCK_WRITE,
                                  .segments = segments,
                                  .sector = sector,
                                  .sectors = n,
                                  .account = account_current()};

        for (; left; left -= segments[r.nr_segments++].len)
            segments[r.nr_segments] = (struct block_segment){zero, 0, (u32)MIN(left, PAGE_SIZE)};
        err = block_submit_wait(dev, &r);
        sector += n;
        sectors -= n;
        if (!err && thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            err = -EINTR;
    }
    page_put(zero);
    return err;
}

int block_zero(struct block_device *dev, u64 sector, u64 sectors)
{
    struct block_request r = {
        .op = BLOCK_ZERO, .sector = sector, .sectors = sectors, .account = account_current()};
    int err = block_submit_wait(dev, &r);

    return err == -EOPNOTSUPP ? block_zero_written(dev, sector, sectors) : err;
}
