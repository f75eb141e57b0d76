/* SPDX-License-Identifier: MIT
 *
 * The memory devices of mem(4), null(4), random(4): null, zero, full, random, urandom; and kmsg,
 * the log as records. They hold no state but kmsg's place in the log.
 */
#include "arch/x86/percpu.h"
#include "debug/debug.h"
#include "dev/chrdev.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "lib/up.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vm/aspace.h"

#define MEM_MAJOR 1
#define MEM_CHUNK 65536UL /* bytes between two looks at the scheduler */

static bool mem_interrupted(void)
{
    return thread_sleep_interrupted(current_thread(), SLEEP_INTERRUPTIBLE);
}

static loff_t mem_seek(struct file *f, loff_t off, int whence)
{
    f->pos = 0;
    return 0;
}

/* ------------------------------------------------------------- null, zero, full */

static ssize_t mem_read_null(struct file *f, struct iov_iter *to, loff_t *pos)
{
    return 0;
}

static ssize_t mem_write_null(struct file *f, struct iov_iter *from, loff_t *pos)
{
    u64 n = from->count;

    iov_advance(from, n);
    return (ssize_t)n;
}

static ssize_t mem_read_zero(struct file *f, struct iov_iter *to, loff_t *pos)
{
    u64 done = 0;

    while (to->count > 0) {
        u64 want = MIN(to->count, MEM_CHUNK), got = iov_zero(to, want);

        done += got;
        if (got < want)
            return done ? (ssize_t)done : -EFAULT;
        if (mem_interrupted())
            return (ssize_t)done;
        cond_yield();
    }
    return (ssize_t)done;
}

static ssize_t mem_write_full(struct file *f, struct iov_iter *from, loff_t *pos)
{
    return -ENOSPC;
}

/* A private mapping of /dev/zero is anonymous memory; a shared one an object of its own. */
static int mem_mmap_zero(struct file *f, struct map_request *req)
{
    if (!(req->flags & AREA_SHARED)) {
        req->object = NULL;
        return 0;
    }
    req->object = mem_object_create_shared(req->len);
    req->offset = 0;
    return req->object ? 0 : -ENOMEM;
}

static const struct file_ops mem_null_ops = {
    .name = "null", .read = mem_read_null, .write = mem_write_null, .seek = mem_seek};
static const struct file_ops mem_zero_ops = {.name = "zero",
                                             .read = mem_read_zero,
                                             .write = mem_write_null,
                                             .seek = mem_seek,
                                             .mmap = mem_mmap_zero};
static const struct file_ops mem_full_ops = {
    .name = "full", .read = mem_read_zero, .write = mem_write_full, .seek = mem_seek};
CHRDEV(null) = {"null", MEM_MAJOR, 3, 0666, &mem_null_ops, NULL, 0, false};
CHRDEV(zero) = {"zero", MEM_MAJOR, 5, 0666, &mem_zero_ops, NULL, 0, false};
CHRDEV(full) = {"full", MEM_MAJOR, 7, 0666, &mem_full_ops, NULL, 0, false};

/* ------------------------------------------------------------- random, urandom */

static ssize_t mem_read_urandom(struct file *f, struct iov_iter *to, loff_t *pos)
{
    u8 block[256];
    u64 done = 0;

    while (to->count > 0) {
        u64 want = MIN(to->count, sizeof(block)), got;

        random_bytes(block, want);
        got = iov_copy_to(to, block, want);
        done += got;
        if (got < want || mem_interrupted())
            break;
        cond_yield();
    }
    memzero(block, sizeof(block));
    return done || !to->count ? (ssize_t)done : -EFAULT;
}

/* A machine without a random number instruction: when exactly a timer wakes us differs in its low
 * bits; one bit is credited for each. */
static int mem_gather_entropy(void)
{
    while (!random_ready()) {
        u64 cycles = up_cycles();
        int err = sleep_until(time_ns() + 100 * NSEC_PER_USEC, SLEEP_INTERRUPTIBLE);

        if (err == -EINTR)
            return -ERESTARTSYS;
        cycles ^= up_cycles() << 20;
        random_mix(&cycles, sizeof(cycles));
        random_credit(1);
    }
    return 0;
}

static ssize_t mem_read_random(struct file *f, struct iov_iter *to, loff_t *pos)
{
    int err = 0;

    if (!random_ready())
        err = f->flags & O_NONBLOCK ? -EAGAIN : mem_gather_entropy();
    return err ? err : mem_read_urandom(f, to, pos);
}

/* What a user writes is stirred in and credited nothing. */
static ssize_t mem_write_random(struct file *f, struct iov_iter *from, loff_t *pos)
{
    u8 block[256];
    u64 done = 0;

    while (from->count > 0) {
        u64 want = MIN(from->count, sizeof(block)), got = iov_copy_from(from, block, want);

        random_mix(block, got);
        done += got;
        if (got < want || mem_interrupted())
            break;
        cond_yield();
    }
    return done || !from->count ? (ssize_t)done : -EFAULT;
}

static const struct file_ops mem_random_ops = {
    .name = "random", .read = mem_read_random, .write = mem_write_random, .seek = mem_seek};
static const struct file_ops mem_urandom_ops = {
    .name = "urandom", .read = mem_read_urandom, .write = mem_write_random, .seek = mem_seek};
CHRDEV(random) = {"random", MEM_MAJOR, 8, 0666, &mem_random_ops, NULL, 0, false};
CHRDEV(urandom) = {"urandom", MEM_MAJOR, 9, 0666, &mem_urandom_ops, NULL, 0, false};

/* ------------------------------------------------------------- kmsg */

#define KMSG_POLL_NS (200 * NSEC_PER_MSEC)

/* One per open file: priv. */
struct kmsg_reader {
    u64 seq; /* of the next record to read */
};

static int kmsg_open(struct file *f, u32 minor)
{
    struct kmsg_reader *r = kzalloc(sizeof(*r));

    f->priv = r;
    return r ? 0 : -ENOMEM;
}

static void kmsg_release(struct file *f)
{
    kfree(f->priv);
}

/* The log is written from any context, so it wakes no thread: a blocked reader looks again at
 * intervals.
 */
static int kmsg_next(struct file *f, struct log_record *rec)
{
    struct kmsg_reader *r = f->priv;

    while (!log_read(&r->seq, rec)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (sleep_until(time_ns() + KMSG_POLL_NS, SLEEP_INTERRUPTIBLE) == -EINTR)
            return -ERESTARTSYS;
    }
    return 0;
}

/* "priority,sequence,microseconds,-;text\n": one record per read. */
static ssize_t kmsg_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    static const u8 priority[] = {[LOG_ERR] = 3, [LOG_WARN] = 4, [LOG_INFO] = 6, [LOG_DEBUG] = 7};
    struct log_record rec;
    char line[LOG_LINE_MAX + 64];
    int n, err = kmsg_next(f, &rec);

    if (err)
        return err;
    n = scnprintf(line, sizeof(line), "%u,%lu,%lu,-;%s\n", priority[rec.level], rec.seq,
                  rec.ns / 1000, rec.text);
    if ((u64)n > to->count)
        return -EINVAL;
    return iov_copy_to(to, line, (u64)n) == (u64)n ? n : -EFAULT;
}

static enum log_level kmsg_level(unsigned priority)
{
    switch (priority & 7) {
    case 0 ... 3:
        return LOG_ERR;
    case 4:
        return LOG_WARN;
    case 7:
        return LOG_DEBUG;
    default:
        return LOG_INFO;
    }
}

/* "<priority>text": a prefix is optional; what does not fit a record is cut. */
static ssize_t kmsg_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    char line[LOG_LINE_MAX], *text = line, *end;
    u64 total = from->count, n = MIN(total, sizeof(line) - 1), priority = 6;

    if (iov_copy_from(from, line, n) != n)
        return -EFAULT;
    iov_advance(from, total - n);
    line[n] = '\0';
    if (line[0] == '<' && (end = strchr(line, '>'))) {
        *end = '\0';
        if (parse_u64(line + 1, 10, &priority) == 0)
            text = end + 1;
        else
            *end = '>';
    }
    for (char *c = text; *c; c++)
        if ((u8)*c < ' ' && *c != '\t')
            *c = c[1] ? ' ' : '\0';
    log_write(kmsg_level((unsigned)priority), "%s", text);
    return (ssize_t)total;
}

static loff_t kmsg_seek(struct file *f, loff_t off, int whence)
{
    struct kmsg_reader *r = f->priv;

    if (off != 0)
        return -ESPIPE;
    if (whence == 0) /* SEEK_SET */
        r->seq = 0;
    else if (whence == 2) /* SEEK_END */
        r->seq = log_end();
    else
        return -EINVAL;
    return 0;
}

static u32 kmsg_poll(struct file *f, struct poll_table *pt)
{
    struct kmsg_reader *r = f->priv;

    return POLLOUT | POLLWRNORM | (r->seq < log_end() ? POLLIN | POLLRDNORM : 0);
}

static const struct file_ops kmsg_ops = {.name = "kmsg",
                                         .read = kmsg_read,
                                         .write = kmsg_write,
                                         .seek = kmsg_seek,
                                         .poll = kmsg_poll,
                                         .release = kmsg_release};
CHRDEV(kmsg) = {"kmsg", MEM_MAJOR, 11, 0600, &kmsg_ops, kmsg_open, 0, false};
