/* SPDX-License-Identifier: MIT
 *
 * From requests to commands and back. A queue has requests that wait, in the order they came, and
 * `depth` commands. While there is a free command one is made of the first request: all of it, with
 * those behind it that adjoin, or as much of it as the device's limits allow; such a request stays
 * at the head of those that wait until commands were made for all of it.
 *
 * block_queue_unlock is where everything happens that a change may lead to: commands are started,
 * the driver kicks its device, and `done` of what has finished is called behind the lock.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/percpu.h"
#include "dev/block_priv.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/page.h"
#include "mm/slab.h"

COUNTER(block_requests);
COUNTER(block_commands);
static void block_command_done_traced(struct block_command *cmd, int error);
TRACE_POINT(block_done, block_command_done, "op %lu at %lu: %ld");

/* ---- memory, piece by piece ---- */

static bool block_cursor_settle(struct block_cursor *c)
{
    while (c->request && c->segment == c->request->nr_segments) {
        c->request = c->request->next;
        c->segment = 0;
    }
    return c->request && c->left > 0;
}

static u64 block_segment_addr(const struct block_segment *s)
{
    return page_hpa(s->page).v + s->offset;
}

/* How much of `want` bytes from addr on may be one piece. */
static u64 block_piece_len(const struct block_limits *limits, u64 addr, u64 want)
{
    u64 len = MIN(want, limits->max_piece);

    if (limits->boundary)
        len = MIN(len, limits->boundary - (addr & (limits->boundary - 1)));
    return len;
}

static void block_cursor_move(struct block_cursor *c, u64 n)
{
    c->into += (u32)n;
    c->left -= n;
    if (c->into == c->request->segments[c->segment].len) {
        c->segment++;
        c->into = 0;
    }
}

/* A piece ends where the request does: so the pieces of merged requests are the sum of each one's.
 */
bool block_cursor_next(struct block_cursor *c, const struct block_limits *limits,
                       struct block_piece *out)
{
    const struct block_segment *s;
    u64 addr, len;

    if (!block_cursor_settle(c))
        return false;
    s = &c->request->segments[c->segment];
    addr = block_segment_addr(s) + c->into;
    len = block_piece_len(limits, addr, MIN(c->left, s->len - c->into));
    block_cursor_move(c, len);
    while (c->left && c->into == 0 && c->segment < c->request->nr_segments) {
        u64 more;

        s = &c->request->segments[c->segment];
        if (block_segment_addr(s) != addr + len)
            break;
        more = block_piece_len(limits, addr, len + MIN(c->left, s->len)) - len;
        if (more == 0)
            break;
        block_cursor_move(c, more);
        len += more;
    }
    *out = (struct block_piece){HPA(addr), (u32)len};
    return true;
}

void block_cursor_init(struct block_cursor *c, const struct block_command *cmd)
{
    bool data = cmd->op == BLOCK_READ || cmd->op == BLOCK_WRITE;

    *c = (struct block_cursor){cmd->first, cmd->segment, cmd->into,
                               data ? cmd->sectors << SECTOR_SHIFT : 0};
}

/* ---- making commands ---- */

static u64 block_request_bytes(const struct block_request *r)
{
    return r->op == BLOCK_FLUSH ? 0 : r->sectors << SECTOR_SHIFT;
}

/* Moves *c over at most `bytes` of its request and `pieces` pieces: how many bytes, *pieces how
 * many there were. */
static u64 block_measure(struct block_cursor *c, const struct block_limits *limits, u64 bytes,
                         u32 *pieces)
{
    u32 max = *pieces, n = 0;
    u64 sum = 0;
    struct block_piece piece;

    c->left = bytes;
    while (n < max && block_cursor_next(c, limits, &piece)) {
        sum += piece.len;
        n++;
    }
    *pieces = n;
    return sum;
}

/* How much of the first request's data one command takes: whole blocks. */
static u64 block_take_data(struct block_command *cmd, struct block_request *r,
                           const struct block_limits *limits)
{
    struct block_cursor c = {.request = r, .segment = r->segment, .into = r->into};
    u64 bytes = MIN(block_request_bytes(r) - r->begun, (u64)limits->max_sectors << SECTOR_SHIFT);
    u64 taken;

    cmd->pieces = limits->max_pieces;
    taken = block_measure(&c, limits, bytes, &cmd->pieces);
    if (taken % limits->logical_size) {
        c = (struct block_cursor){.request = r, .segment = r->segment, .into = r->into};
        cmd->pieces = limits->max_pieces;
        taken = block_measure(&c, limits, taken - taken % limits->logical_size, &cmd->pieces);
    }
    r->segment = c.segment;
    r->into = c.into;
    return taken;
}

static u64 block_take(struct block_command *cmd, struct block_request *r,
                      const struct block_limits *limits)
{
    u64 left = block_request_bytes(r) - r->begun;

    cmd->pieces = 0;
    switch (cmd->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        return block_take_data(cmd, r, limits);
    case BLOCK_DISCARD:
        return MIN(left, (u64)limits->max_discard << SECTOR_SHIFT);
    case BLOCK_ZERO:
        return MIN(left, (u64)limits->max_zero << SECTOR_SHIFT);
    default:
        return 0;
    }
}

static void block_waiting_pop(struct block_queue *q) REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    q->waiting = q->waiting->next;
    if (!q->waiting)
        q->waiting_end = &q->waiting;
}

/* Adds whole requests that wait next and go on where the command ends. */
static void block_merge(struct block_queue *q, struct block_command *cmd,
                        const struct block_limits *limits) REQUIRES(q->lock)
{
    struct block_request *r;

    ASSERT_HELD(&q->lock);
    while ((r = q->waiting) && r->op == cmd->op && r->flags == cmd->first->flags &&
           r->at == cmd->sector + cmd->sectors && r->begun == 0 &&
           cmd->sectors + r->sectors <= limits->max_sectors) {
        struct block_cursor c = {.request = r};
        u32 pieces = limits->max_pieces - cmd->pieces;

        if (block_measure(&c, limits, block_request_bytes(r), &pieces) != block_request_bytes(r))
            return;
        r->begun = block_request_bytes(r);
        r->parts = 1;
        cmd->pieces += pieces;
        cmd->sectors += r->sectors;
        cmd->nr_requests++;
        q->figures.merged[MIN(r->op, (u8)BLOCK_WRITE)]++;
        block_waiting_pop(q);
    }
}

/* A command of what waits first; there is a free one. */
static struct block_command *block_command_make(struct block_queue *q) REQUIRES(q->lock)
{
    const struct block_limits *limits = &q->disk->dev.limits;
    struct block_command *cmd = q->free;
    struct block_request *r = q->waiting;
    bool whole;

    ASSERT_HELD(&q->lock);
    q->free = cmd->free;
    cmd->op = r->op;
    cmd->fua = (r->flags & BLOCK_FUA) && limits->fua;
    cmd->first = r;
    cmd->nr_requests = 1;
    cmd->segment = r->segment;
    cmd->into = r->into;
    cmd->sector = r->at + (r->begun >> SECTOR_SHIFT);
    whole = r->begun == 0;
    cmd->sectors = block_take(cmd, r, limits) >> SECTOR_SHIFT;
    r->begun += cmd->sectors << SECTOR_SHIFT;
    r->parts++;
    if (r->begun < block_request_bytes(r))
        return cmd;
    block_waiting_pop(q);
    if (whole && (cmd->op == BLOCK_READ || cmd->op == BLOCK_WRITE))
        block_merge(q, cmd, limits);
    return cmd;
}

/* ---- starting ---- */

static void block_late_arm(struct block_disk *disk)
{
    if (!disk->time_out || READ_ONCE(disk->late_armed) ||
        __atomic_exchange_n(&disk->late_armed, true, __ATOMIC_SEQ_CST))
        return;
    timer_start_within(&disk->late_timer, time_ns() + disk->time_out, disk->time_out / 10);
}

/* False: the driver has no space, or is to be left alone. */
static bool block_start_one(struct block_queue *q) REQUIRES(q->lock)
{
    struct block_command *cmd = q->stalled;
    int err = -EIO;

    ASSERT_HELD(&q->lock);
    if (cmd)
        q->stalled = NULL;
    else if (q->waiting && q->free)
        cmd = block_command_make(q);
    else
        return false;
    if (cmd->sectors || cmd->op == BLOCK_FLUSH) { /* else no piece fits the device's limits */
        cmd->started = time_ns();
        err = q->disk->ops->start(q, cmd);
        if (err == -EAGAIN && q->under_way) {
            q->stalled = cmd;
            return false;
        }
    }
    if (q->under_way++ == 0)
        q->busy_since = cmd->started;
    COUNT(block_commands);
    if (err)
        block_command_done(cmd, err == -EAGAIN ? -EIO : err);
    else
        q->kick = true;
    return true;
}

static void block_start_all(struct block_queue *q) REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    if (READ_ONCE(q->disk->stopped))
        return;
    while (block_start_one(q))
        ;
    if (!q->kick)
        return;
    q->kick = false;
    block_late_arm(q->disk);
    if (q->disk->ops->kick)
        q->disk->ops->kick(q);
}

/* ---- finishing ---- */

static void block_finish(struct block_queue *q, struct block_request *r) REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    r->next = NULL;
    *q->finished_end = r;
    q->finished_end = &r->next;
}

/* A part of r is over. After an error no more commands are made of it. */
static void block_part_done(struct block_queue *q, struct block_request *r, int error)
    REQUIRES(q->lock)
{
    ASSERT_HELD(&q->lock);
    r->parts--;
    if (error && !r->error)
        r->error = error;
    if (r->error && r->begun < block_request_bytes(r)) {
        DEBUG_ASSERT(q->waiting == r);
        block_waiting_pop(q);
        r->begun = block_request_bytes(r);
    }
    if (r->parts == 0 && r->begun == block_request_bytes(r))
        block_finish(q, r);
}

static void block_count(struct block_queue *q, const struct block_command *cmd, u64 now)
    REQUIRES(q->lock)
{
    static const u8 column[BLOCK_OPS] = {[BLOCK_READ] = 0,
                                         [BLOCK_WRITE] = 1,
                                         [BLOCK_DISCARD] = 2,
                                         [BLOCK_ZERO] = 2,
                                         [BLOCK_FLUSH] = 3};
    u8 k = column[cmd->op];

    ASSERT_HELD(&q->lock);
    q->figures.done[k] += cmd->nr_requests;
    q->figures.sectors[k] += cmd->sectors;
    q->figures.ns[k] += now - cmd->started;
}

static void block_command_done_traced(struct block_command *cmd, int error)
{
    TRACE(block_done, cmd->op, cmd->sector, (s64)error);
    block_command_done(cmd, error);
}

void block_command_done(struct block_command *cmd, int error)
{
    struct block_queue *q = cmd->queue;
    struct block_request *r = cmd->first, *next;
    u64 now = time_ns();

    ASSERT_HELD(&q->lock);
    DEBUG_ASSERT(q->under_way);
    if (FAILPOINT(block_done))
        error = error ?: -EIO;
    block_count(q, cmd, now);
    for (u32 n = cmd->nr_requests; n; n--, r = next) {
        next = r->next;
        block_part_done(q, r, error);
    }
    cmd->started = 0;
    cmd->first = NULL;
    cmd->free = q->free;
    q->free = cmd;
    if (--q->under_way == 0)
        q->figures.busy_ns += now - q->busy_since;
}

/* `done` of what is in the list; then they count no more. */
static void block_call_done(struct block_disk *disk, struct block_request *r)
{
    struct block_request *next;
    s32 n = 0;

    for (; r; r = next, n++) {
        next = r->next;
        block_request_over(disk, r);
    }
    if (n && atomic_sub(&disk->requests, n) == 0 && READ_ONCE(disk->stopped))
        waitq_wake_all(&disk->idle);
}

void block_queue_lock(struct block_queue *q)
{
    spin_lock(&q->lock);
}

void block_queue_unlock(struct block_queue *q)
{
    struct block_request *finished;

    block_start_all(q);
    finished = q->finished;
    q->finished = NULL;
    q->finished_end = &q->finished;
    spin_unlock(&q->lock);
    if (finished)
        block_call_done(q->disk, finished);
}

/* ---- coming in ---- */

static unsigned block_queue_of_cpu(const struct block_disk *disk)
{
    return cpu_id() * disk->nr_queues / MAX(acpi_cpu_count(), disk->nr_queues);
}

unsigned block_queue_cpu(const struct block_queue *q)
{
    unsigned cpus = acpi_cpu_count(), queues = q->disk->nr_queues;

    return queues >= cpus ? q->index % cpus : DIV_ROUND_UP(q->index * cpus, queues);
}

void block_queue_add(struct block_disk *disk, struct block_request *first)
{
    struct block_queue *q = &disk->queues[block_queue_of_cpu(disk)];
    struct block_request *last = first;
    s32 n = 1;

    for (; last->next; last = last->next)
        n++;
    COUNT_ADD(block_requests, (u64)n);
    atomic_add(&disk->requests, n);
    spin_lock(&q->lock);
    /* Stopped is set, then each queue locked: what comes behind that sees it here. */
    if (unlikely(READ_ONCE(disk->stopped))) {
        spin_unlock(&q->lock);
        for (struct block_request *r = first; r; r = r->next)
            r->error = -EIO;
        block_call_done(disk, first);
        return;
    }
    *q->waiting_end = first;
    q->waiting_end = &last->next;
    block_queue_unlock(q);
}

void block_queue_stop(struct block_queue *q)
{
    spin_lock(&q->lock);
    if (q->stalled) {
        struct block_command *cmd = q->stalled;

        q->stalled = NULL;
        q->under_way++;
        block_command_done(cmd, -EIO);
    }
    while (q->waiting) {
        struct block_request *r = q->waiting;

        block_waiting_pop(q);
        r->error = -EIO;
        r->begun = block_request_bytes(r);
        if (r->parts == 0)
            block_finish(q, r);
    }
    block_queue_unlock(q);
}

/* ---- what takes long ---- */

void block_late_fire(struct timer *t)
{
    work_queue(workq_system, &container_of(t, struct block_disk, late_timer)->late_work);
}

/* Some command from *tag on that is late, or NULL; *age: for how long it has been under way. */
static struct block_command *block_late_next(struct block_queue *q, u32 *tag, u64 now, u64 *age)
{
    struct block_command *found = NULL;
    u64 time_out = q->disk->time_out;

    spin_lock(&q->lock);
    for (; *tag < q->disk->depth && !found; ++*tag) {
        struct block_command *cmd = &q->commands[*tag];

        *age = now - cmd->started;
        if (cmd->started && cmd != q->stalled && (s64)*age >= (s64)time_out)
            found = cmd;
    }
    spin_unlock(&q->lock);
    return found;
}

void block_late_run(struct work *w)
{
    struct block_disk *disk = container_of(w, struct block_disk, late_work);
    u64 now = time_ns();
    bool busy = false;

    __atomic_store_n(&disk->late_armed, false, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < disk->nr_queues; i++) {
        struct block_queue *q = &disk->queues[i];
        struct block_command *cmd;
        u32 tag = 0;
        u64 age;

        while (!READ_ONCE(disk->stopped) && (cmd = block_late_next(q, &tag, now, &age))) {
            log_limited(LOG_WARN, "%s: no answer to a command for %lu s", disk->dev.name,
                        (u64)(age / NSEC_PER_SEC));
            if (disk->ops->late && disk->ops->late(q, cmd) == BLOCK_LATE_LOST)
                return;
        }
        busy |= READ_ONCE(q->under_way) != 0;
    }
    if (busy && !READ_ONCE(disk->stopped))
        block_late_arm(disk);
}

/* ---- making and freeing ---- */

void block_queue_init(struct block_queue *q, struct block_disk *disk, u32 index)
{
    spinlock_init(&q->lock, RANK_DEV, BLOCK_QUEUE_ORDER, "block queue");
    q->disk = disk;
    q->index = index;
    q->waiting_end = &q->waiting;
    q->finished_end = &q->finished;
}

int block_queue_alloc(struct block_queue *q)
{
    u32 depth = q->disk->depth, size = ALIGN_UP(q->disk->command_size, 16U);
    char *priv;

    q->commands = kcalloc(depth, sizeof(*q->commands) + size);
    if (!q->commands)
        return -ENOMEM;
    priv = (char *)(q->commands + depth);
    for (u32 i = depth; i-- > 0;) {
        struct block_command *cmd = &q->commands[i];

        cmd->tag = (u16)i;
        cmd->queue = q;
        cmd->priv = priv + (size_t)i * size;
        cmd->free = q->free;
        q->free = cmd;
    }
    return 0;
}

void block_queue_free(struct block_queue *q)
{
    kfree(q->commands);
}
