/* SPDX-License-Identifier: MIT
 *
 * The master side of a pty and the slave's driver: see pty.h. Both share the slave's lock.
 */
#include "tty/pty.h"
#include "arch/x86/uaccess.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fdtable.h"
#include "proc/proc.h"

#define TIOCPKT 0x5420
#define TIOCGPTN 0x80045430U
#define TIOCSPTLCK 0x40045431U
#define TIOCGPKT 0x80045438U
#define TIOCGPTLCK 0x80045439U
#define TIOCGPTPEER 0x5441
#define TIOCSIG 0x40045436U
#define TIOCOUTQ 0x5411
#define FIONREAD_ 0x541B
#define TIOCPKT_FLUSHREAD 1
#define TIOCPKT_FLUSHWRITE 2
#define TIOCPKT_STOP 4
#define TIOCPKT_START 8
#define CHUNK 256

static struct pty *pty_of(struct tty *t)
{
    return container_of(t, struct pty, slave);
}

static size_t pty_space(struct tty *t)
{
    struct pty *p = pty_of(t);

    return p->master_closed ? PTY_OUTPUT_SIZE : PTY_OUTPUT_SIZE - (p->head - p->tail);
}

static void pty_wake_master(struct pty *p)
{
    waitq_wake(&p->master_wait, POLLIN | POLLRDNORM, ~0U);
}

/* The slave's output, or an echo, which may come in thousands of pieces: then the reader is woken
 * once, by pty_echoed. REQUIRES(lock) */
static void pty_slave_write(struct tty *t, const char *buf, size_t n)
{
    struct pty *p = pty_of(t);

    ASSERT_HELD(&t->lock);
    if (p->master_closed)
        return;
    for (size_t i = 0; i < n; i++)
        p->out[p->head++ % PTY_OUTPUT_SIZE] = buf[i];
    if (!t->typing)
        pty_wake_master(p);
}

static void pty_echoed(struct tty *t)
{
    pty_wake_master(pty_of(t));
}

static void pty_event(struct pty *p, u8 status)
{
    if (!p->packet)
        return;
    p->status |= status;
    waitq_wake(&p->master_wait, POLLIN | POLLPRI, ~0U);
}

static void pty_flushed(struct tty *t, bool input, bool output)
{
    struct pty *p = pty_of(t);

    if (output)
        p->tail = p->head;
    pty_event(p, (input ? TIOCPKT_FLUSHREAD : 0) | (output ? TIOCPKT_FLUSHWRITE : 0));
}

static void pty_flow(struct tty *t, bool stopped)
{
    struct pty *p = pty_of(t);

    p->status &= (u8) ~(TIOCPKT_STOP | TIOCPKT_START);
    pty_event(p, stopped ? TIOCPKT_STOP : TIOCPKT_START);
}

static void pty_slave_closed(struct tty *t)
{
    waitq_wake(&pty_of(t)->master_wait, POLLHUP, ~0U);
}

static void pty_destroy(struct tty *t)
{
    kfree(pty_of(t));
}

static const struct tty_ops pty_slave_ops = {
    .write = pty_slave_write,
    .space = pty_space,
    .flushed = pty_flushed,
    .flow = pty_flow,
    .echoed = pty_echoed,
    .closed = pty_slave_closed,
    .destroy = pty_destroy,
};

int pty_open_slave(struct pty *p, struct file *f, bool noctty)
{
    u64 flags;

    spin_lock_irqsave(&p->slave.lock, &flags);
    int err = p->master_closed || p->locked ? -EIO : 0;
    spin_unlock_irqrestore(&p->slave.lock, flags);
    if (!err)
        err = tty_open(&p->slave, f, noctty);
    if (err)
        return err;
    DELAYPOINT(pty_open_slave);
    spin_lock_irqsave(&p->slave.lock, &flags);
    p->slave_seen = true;
    bool late = p->master_closed;
    spin_unlock_irqrestore(&p->slave.lock, flags);
    if (late) /* its hang-up may have been before this open */
        tty_hangup(&p->slave);
    return 0;
}

/* Something to read, or the end. */
static bool pty_master_ready(struct pty *p)
{
    u64 flags;

    spin_lock_irqsave(&p->slave.lock, &flags);
    bool ready =
        p->head != p->tail || (p->packet && p->status) || (p->slave_seen && !p->slave.opens);
    spin_unlock_irqrestore(&p->slave.lock, flags);
    return ready;
}

/* A packet's first byte, or -1: no packet mode. */
static int pty_take_status(struct pty *p)
{
    int status = -1;
    u64 flags;

    spin_lock_irqsave(&p->slave.lock, &flags);
    if (p->packet) {
        status = p->status;
        p->status = 0;
    }
    spin_unlock_irqrestore(&p->slave.lock, flags);
    return status;
}

static ssize_t pty_master_take(struct pty *p, struct iov_iter *to)
{
    char chunk[CHUNK];
    ssize_t total = 0;
    u64 flags;

    while (to->count && total < PTY_OUTPUT_SIZE) { /* more may come for ever */
        size_t n = 0;
        spin_lock_irqsave(&p->slave.lock, &flags);
        while (n < MIN(to->count, sizeof(chunk)) && p->tail != p->head)
            chunk[n++] = p->out[p->tail++ % PTY_OUTPUT_SIZE];
        spin_unlock_irqrestore(&p->slave.lock, flags);
        if (!n)
            break;
        if (iov_copy_to(to, chunk, n) != n)
            return total ? total : -EFAULT;
        total += (ssize_t)n;
    }
    if (total)
        waitq_wake(&p->slave.write_wait, POLLOUT | POLLWRNORM, ~0U);
    return total;
}

/* 0: another reader or a flush was faster. */
static ssize_t pty_master_read_now(struct pty *p, struct iov_iter *to)
{
    int status = pty_take_status(p);
    u8 head = 0;

    if (status > 0) {
        head = (u8)status;
        return iov_copy_to(to, &head, 1) == 1 ? 1 : -EFAULT;
    }
    if (READ_ONCE(p->head) == READ_ONCE(p->tail))
        return p->slave_seen && !READ_ONCE(p->slave.opens) ? -EIO : 0;
    if (status == 0 && iov_copy_to(to, &head, 1) != 1)
        return -EFAULT;
    ssize_t n = pty_master_take(p, to);
    return n < 0 ? n : n + (status == 0);
}

static ssize_t pty_master_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct pty *p = f->priv;
    ssize_t n = 0;

    while (to->count && !n) {
        if (pty_master_ready(p)) {
            DELAYPOINT(pty_master_read);
            n = pty_master_read_now(p, to);
            continue;
        }
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int err = wait_event_interruptible(&p->master_wait, pty_master_ready(p));
        if (err)
            return err;
    }
    return n;
}

static bool pty_slave_takes(struct pty *p)
{
    u64 flags;

    spin_lock_irqsave(&p->slave.lock, &flags);
    bool yes = p->slave.termios.lflag & ICANON || ldisc_space_locked(&p->slave);
    spin_unlock_irqrestore(&p->slave.lock, flags);
    return yes;
}

/* Types all of it, sleeping where the line is full: bytes, or -errno when none. */
static ssize_t pty_master_type(struct file *f, const u8 *buf, size_t n)
{
    struct pty *p = f->priv;
    size_t done = 0;
    int err;

    while ((done += ldisc_type(&p->slave, buf + done, n - done)) < n) {
        err = f->flags & O_NONBLOCK
                  ? -EAGAIN
                  : wait_event_interruptible(&p->slave.write_wait, pty_slave_takes(p));
        if (err)
            return done ? (ssize_t)done : err;
    }
    return (ssize_t)done;
}

static ssize_t pty_master_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    ssize_t total = 0, r = 0;
    u8 chunk[CHUNK];
    size_t n;

    while (from->count) {
        n = iov_copy_from(from, chunk, MIN(from->count, sizeof(chunk)));
        r = n ? pty_master_type(f, chunk, n) : -EFAULT;
        if (r > 0)
            total += r;
        if (r < (ssize_t)n || thread_sleep_interrupted(current_thread(), SLEEP_INTERRUPTIBLE))
            break;
    }
    return total ? total : r;
}

static u32 pty_master_poll(struct file *f, struct poll_table *pt)
{
    struct pty *p = f->priv;
    u32 ready = 0;

    poll_wait(pt, &p->master_wait);
    poll_wait(pt, &p->slave.write_wait);
    if (p->slave_seen && !READ_ONCE(p->slave.opens))
        ready |= POLLHUP;
    if (READ_ONCE(p->head) != READ_ONCE(p->tail)) /* after that, as in pipe_poll */
        ready |= POLLIN | POLLRDNORM;
    if (p->packet && p->status)
        ready |= POLLIN | POLLPRI | POLLRDNORM;
    if (pty_slave_takes(p))
        ready |= POLLOUT | POLLWRNORM;
    return ready;
}

static s64 pty_set_flag(struct pty *p, bool *flag, u64 arg)
{
    s32 on;
    u64 flags;

    if (copy_in(&on, (const void __user *)arg, sizeof(on)))
        return -EFAULT;
    spin_lock_irqsave(&p->slave.lock, &flags);
    *flag = on;
    p->status = 0;
    spin_unlock_irqrestore(&p->slave.lock, flags);
    return 0;
}

static s64 pty_get_number(u64 arg, u32 n)
{
    return copy_out((void __user *)arg, &n, sizeof(n));
}

static s64 pty_open_peer(struct pty *p, unsigned o_flags)
{
    struct file *f;

    int err = devpts_open_peer(p, o_flags & ~(unsigned)O_CLOEXEC, &f);
    return err ? err : fd_publish(f, o_flags & O_CLOEXEC);
}

static s64 pty_signal(struct pty *p, u64 sig)
{
    u64 flags;

    if (sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP)
        return -EINVAL;
    spin_lock_irqsave(&p->slave.lock, &flags);
    tty_signal_pgrp_locked(&p->slave, (int)sig);
    spin_unlock_irqrestore(&p->slave.lock, flags);
    return 0;
}

static s64 pty_master_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct pty *p = f->priv;

    switch (cmd) {
    case TIOCGPTN:
        return pty_get_number(arg, p->index);
    case TIOCSPTLCK:
        return pty_set_flag(p, &p->locked, arg);
    case TIOCGPTLCK:
        return pty_get_number(arg, p->locked);
    case TIOCPKT:
        return pty_set_flag(p, &p->packet, arg);
    case TIOCGPKT:
        return pty_get_number(arg, p->packet);
    case TIOCGPTPEER:
        return pty_open_peer(p, (unsigned)arg);
    case TIOCSIG:
        return pty_signal(p, arg);
    case FIONREAD_:
        return pty_get_number(arg, p->head - p->tail);
    case TIOCOUTQ:
        return pty_get_number(arg, 0);
    }
    s64 r = tty_mode_ioctl(&p->slave, cmd, arg);
    return r == -ENOTTY ? tty_job_ioctl(&p->slave, f, cmd, arg) : r;
}

static void pty_master_release(struct file *f)
{
    struct pty *p = f->priv;
    u64 flags;

    spin_lock_irqsave(&p->slave.lock, &flags);
    p->master_closed = true;
    p->tail = p->head;
    spin_unlock_irqrestore(&p->slave.lock, flags);
    devpts_remove(p->instance, p);
    tty_hangup(&p->slave);
    path_put(&p->dir);
    tty_put(&p->slave);
}

static const struct file_ops pty_master_ops = {
    .name = "ptmx",
    .read = pty_master_read,
    .write = pty_master_write,
    .poll = pty_master_poll,
    .ioctl = pty_master_ioctl,
    .release = pty_master_release,
};

int pty_open_master(struct file *f, struct pts_instance *instance, const struct path *dir)
{
    struct pty *p = kzalloc(sizeof(*p));

    if (!p)
        return -ENOMEM;
    tty_init(&p->slave, &pty_slave_ops, 0);
    p->slave.termios.cflag &= ~(u32)HUPCL; /* no modem to hang up */
    p->slave.is_pty = true;
    waitq_init(&p->master_wait);
    p->locked = true;
    p->instance = instance;
    p->dir = *dir;
    int err = devpts_add(instance, p);
    if (err) {
        tty_put(&p->slave); /* its node may just be being opened */
        return err;
    }
    path_get(&p->dir);
    f->priv = p;
    f->ops = &pty_master_ops;
    return 0;
}
