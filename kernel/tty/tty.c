/* SPDX-License-Identifier: MIT
 *
 * Terminals as files: open, read, write, poll, hang-up. A file remembers the generation it was
 * opened in; after a hang-up it reads end-of-file and writes EIO.
 */
#include "tty/tty.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc.h"
#include "proc/up.h"
#include "sched/timer.h"

#define TTY_CHUNK 256

struct tty_file {
    struct tty *tty;
    u32 generation;
    bool survives; /* opened as the console: a hang-up passes it by */
};

static const struct termios tty_default_termios = {
    .iflag = ICRNL | IXON,
    .oflag = OPOST | ONLCR,
    .cflag = B38400 | CS8 | CREAD | HUPCL,
    .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .cc = {[VINTR] = 3,
           [VQUIT] = 28,
           [VERASE] = 127,
           [VKILL] = 21,
           [VEOF] = 4,
           [VMIN] = 1,
           [VSTART] = 17,
           [VSTOP] = 19,
           [VSUSP] = 26,
           [VREPRINT] = 18,
           [VDISCARD] = 15,
           [VWERASE] = 23,
           [VLNEXT] = 22},
};

void tty_init(struct tty *t, const struct tty_ops *ops, u64 rdev)
{
    t->ops = ops;
    refcount_init(&t->ref, 1);
    t->rdev = rdev;
    spinlock_init(&t->lock, RANK_TTY, 2, "tty");
    /* Over copies: a write stays in one piece; other writers to the terminal wait. */
    mutex_init(&t->write_lock, RANK_OPS, ORDER_TTY_WRITE | LOCK_OVER_COPY, "tty write");
    waitq_init(&t->read_wait);
    waitq_init(&t->write_wait);
    t->termios = tty_default_termios;
}

void tty_get(struct tty *t)
{
    refcount_get(&t->ref);
}

void tty_put(struct tty *t)
{
    if (refcount_put(&t->ref) && t->ops->destroy)
        t->ops->destroy(t);
}

void up_tty_get(struct tty *t)
{
    tty_get(t);
}

void up_tty_put(struct tty *t)
{
    tty_put(t);
}

static bool tty_file_dead(const struct tty_file *tf)
{
    return !tf->survives && READ_ONCE(tf->tty->generation) != tf->generation;
}

/* What a read is to wait for, from VMIN and VTIME (termios(3), "Canonical and noncanonical mode").
 */
struct tty_read_plan {
    bool canon;
    u32 min;
    u64 tenths;
};

static struct tty_read_plan tty_read_plan(struct tty *t, size_t n)
{
    struct tty_read_plan plan;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    plan.canon = t->termios.lflag & ICANON;
    plan.min = (u32)MIN((size_t)t->termios.cc[VMIN], n);
    plan.tenths = t->termios.cc[VTIME];
    spin_unlock_irqrestore(&t->lock, flags);
    return plan;
}

/* Moves what is there: bytes, or -EFAULT. *done: the read is complete. */
static ssize_t tty_read_some(struct tty *t, struct iov_iter *to, bool *done)
{
    u8 chunk[TTY_CHUNK];
    ssize_t total = 0;
    u64 flags;

    while (to->count && !*done && total < TTY_INPUT_SIZE) { /* more may come for ever */
        spin_lock_irqsave(&t->lock, &flags);
        size_t got = ldisc_take_locked(t, chunk, MIN(to->count, sizeof(chunk)), done);
        spin_unlock_irqrestore(&t->lock, flags);
        if (got && iov_copy_to(to, chunk, got) != got)
            return -EFAULT;
        total += (ssize_t)got;
        if (!got)
            break;
    }
    if (total || *done)
        waitq_wake(&t->write_wait, POLLOUT | POLLWRNORM, ~0U);
    return total;
}

static bool tty_readable(struct tty *t)
{
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    bool yes = ldisc_readable_locked(t);
    spin_unlock_irqrestore(&t->lock, flags);
    return yes;
}

static int tty_read_sleep(struct tty_file *tf, u64 deadline)
{
    return wait_event_deadline(&tf->tty->read_wait, tty_readable(tf->tty) || tty_file_dead(tf),
                               SLEEP_INTERRUPTIBLE, deadline);
}

static ssize_t tty_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    struct tty_read_plan plan = tty_read_plan(t, to->count);
    ssize_t total = 0;
    bool done = false;
    u64 deadline = 0;

    if (!to->count)
        return 0;
    if (!plan.canon && plan.tenths && !plan.min)
        deadline = time_ns() + plan.tenths * 100 * NSEC_PER_MSEC;
    for (;;) {
        if (tty_file_dead(tf))
            return total;
        int err = tty_check_change(t, SIGTTIN);
        if (err)
            return total ? total : err;
        ssize_t got = tty_read_some(t, to, &done);
        if (got < 0)
            return total ? total : got;
        total += got;
        if (done || !to->count || (plan.canon ? total > 0 : total >= (ssize_t)plan.min && total))
            return total;
        if (!plan.canon && !plan.min && !plan.tenths)
            return total;
        if (f->flags & O_NONBLOCK)
            return total ? total : -EAGAIN;
        if (!plan.canon && plan.tenths && total)
            deadline = time_ns() + plan.tenths * 100 * NSEC_PER_MSEC;
        err = tty_read_sleep(tf, deadline);
        if (err)
            return total || err == -ETIMEDOUT ? total : err;
    }
}

static bool tty_writable(struct tty_file *tf)
{
    struct tty *t = tf->tty;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    bool yes = !t->stopped && (!t->ops->space || t->ops->space(t) >= 8);
    spin_unlock_irqrestore(&t->lock, flags);
    return yes || tty_file_dead(tf);
}

/* Sends as much of src as fits: bytes of src. */
static size_t tty_write_some(struct tty *t, const char *src, size_t n)
{
    char out[TTY_CHUNK * 2];
    size_t used = 0, len, cap = sizeof(out);
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    if (t->stopped) {
        spin_unlock_irqrestore(&t->lock, flags);
        return 0;
    }
    if (t->ops->space) {
        cap = MIN(cap, t->ops->space(t));
        len = ldisc_output_locked(t, src, n, out, cap, &used);
        if (len)
            t->ops->write(t, out, len);
        spin_unlock_irqrestore(&t->lock, flags);
        return used;
    }
    len = ldisc_output_locked(t, src, n, out, cap, &used);
    spin_unlock_irqrestore(&t->lock, flags);
    if (len)
        t->ops->write(t, out, len);
    return used;
}

/* All of the chunk, sleeping where the line is stopped or full: bytes, or -errno when none. */
static ssize_t tty_write_chunk(struct file *f, const char *buf, size_t n)
{
    struct tty_file *tf = f->priv;
    size_t done = 0;

    while (done < n) {
        if (tty_file_dead(tf))
            return done ? (ssize_t)done : -EIO;
        size_t used = tty_write_some(tf->tty, buf + done, n - done);
        done += used;
        if (used)
            continue;
        if (f->flags & O_NONBLOCK)
            return done ? (ssize_t)done : -EAGAIN;
        int err = wait_event_interruptible(&tf->tty->write_wait, tty_writable(tf));
        if (err)
            return done ? (ssize_t)done : err;
    }
    return (ssize_t)done;
}

/* Writers take turns; behind one that waits for a stopped line, too. */
static int tty_write_begin(struct file *f, struct tty *t)
    TRY_ACQUIRES(0, t->write_lock) NO_THREAD_SAFETY /* tries, then waits */
{
    if (mutex_trylock(&t->write_lock))
        return 0;
    if (f->flags & O_NONBLOCK)
        return -EAGAIN;
    return mutex_lock_interruptible(&t->write_lock) ? -ERESTARTSYS : 0;
}

static ssize_t tty_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    char chunk[TTY_CHUNK];
    ssize_t total = 0, r = 0;

    if (tty_file_dead(tf))
        return -EIO;
    if (t->termios.lflag & TOSTOP) {
        int err = tty_check_change(t, SIGTTOU);
        if (err)
            return err;
    }
    int err = tty_write_begin(f, t);
    if (err)
        return err;
    while (from->count) {
        size_t want = MIN(from->count, sizeof(chunk));
        size_t n = iov_copy_from(from, chunk, want);
        r = n ? tty_write_chunk(f, chunk, n) : -EFAULT;
        if (r > 0)
            total += r;
        if (r < (ssize_t)want || thread_sleep_interrupted(current_thread(), SLEEP_INTERRUPTIBLE))
            break;
        cond_yield();
    }
    mutex_unlock(&t->write_lock);
    return total ? total : r;
}

static u32 tty_poll(struct file *f, struct poll_table *pt)
{
    struct tty_file *tf = f->priv;
    u32 ready = 0;

    poll_wait(pt, &tf->tty->read_wait);
    poll_wait(pt, &tf->tty->write_wait);
    if (tty_file_dead(tf))
        return POLLIN | POLLRDNORM | POLLHUP | POLLERR;
    if (tty_readable(tf->tty))
        ready |= POLLIN | POLLRDNORM;
    if (tty_writable(tf))
        ready |= POLLOUT | POLLWRNORM;
    return ready;
}

static s64 tty_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    return tty_file_dead(f->priv) ? -EIO : tty_ioctl(f, cmd, arg);
}

static void tty_release(struct file *f)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    bool last = tf->generation == t->generation && --t->opens == 0;
    if (last)
        t->exclusive = false;
    spin_unlock_irqrestore(&t->lock, flags);
    if (last && t->ops->closed)
        t->ops->closed(t);
    tty_put(t);
    kfree(tf);
}

static int tty_set_flags(struct file *f, unsigned flags)
{
    return 0;
}

static const struct file_ops tty_file_ops = {
    .name = "tty",
    .read = tty_read,
    .write = tty_write,
    .poll = tty_poll,
    .ioctl = tty_file_ioctl,
    .release = tty_release,
    .set_flags = tty_set_flags,
};

struct tty *tty_of_file(struct file *f)
{
    return f->ops == &tty_file_ops ? ((struct tty_file *)f->priv)->tty : NULL;
}

int tty_open(struct tty *t, struct file *f, bool noctty)
{
    struct tty_file *tf = kmalloc(sizeof(*tf));
    int err = 0;
    u64 flags;

    if (!tf)
        return -ENOMEM;
    spin_lock_irqsave(&t->lock, &flags);
    if (t->exclusive && !capable(CAP_SYS_ADMIN))
        err = -EBUSY;
    else
        t->opens++;
    *tf = (struct tty_file){t, t->generation, false};
    spin_unlock_irqrestore(&t->lock, flags);
    if (err) {
        kfree(tf);
        return err;
    }
    tty_get(t);
    f->priv = tf;
    f->ops = &tty_file_ops;
    if (!noctty && file_readable(f))
        (void)tty_become_controlling(t, false);
    return 0;
}

void tty_survive_hangup(struct file *f)
{
    ((struct tty_file *)f->priv)->survives = true;
}

void tty_hangup(struct tty *t)
{
    struct pid *session = NULL, *pgrp = NULL;
    u64 flags;

    spin_lock_irqsave(&t->lock, &flags);
    t->generation++;
    t->opens = 0;
    ldisc_set_flow_locked(t, false);
    t->tail = t->canon = t->head;
    t->termios = tty_default_termios;
    t->held = (struct termios){0};
    if (t->session) {
        session = t->session;
        pid_get(session);
    }
    if (t->pgrp) {
        pgrp = t->pgrp;
        pid_get(pgrp);
    }
    spin_unlock_irqrestore(&t->lock, flags);
    waitq_wake(&t->read_wait, POLLIN | POLLHUP, ~0U);
    waitq_wake(&t->write_wait, POLLOUT | POLLHUP, ~0U);
    if (session) {
        struct process *leader = process_of_pid(session);
        if (leader) {
            signal_send_process(leader, SIGHUP, NULL);
            signal_send_process(leader, SIGCONT, NULL);
            process_put(leader);
        }
        pid_put(session);
    }
    if (pgrp) {
        (void)signal_send_group(pgrp, SIGHUP, SIGCONT);
        pid_put(pgrp);
    }
    tty_release_session(t);
}
