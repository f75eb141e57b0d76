/* SPDX-License-Identifier: MIT
 *
 * timerfd: a kernel timer that counts expirations. The timer's callback does no more than note that
 * the deadline passed and wake; how many periods went by is computed by the reader. A periodic
 * timer without a reader is armed once, not for ever: an idle host executes nothing.
 *
 * Timers for a time of the wall clock are in a list: when that is set they are armed anew, and
 * those with TFD_TIMER_CANCEL_ON_SET tell it. Lock order: tf->lock, then timerfd_walls_lock.
 */
#include "obj/timerfd.h"
#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "obj/obj_priv.h"
#include "obj/poll.h"
#include "sched/timer.h"

struct timerfd {
    struct mutex lock; /* setters and readers */
    struct timer timer;
    u64 next;                   /* lock  ns of time_ns() of the next expiration; 0: disarmed */
    u64 interval;               /* lock */
    u64 wall_offset;            /* lock  of the wall clock, when `next` was computed */
    bool expired;               /* a  the callback ran for `next` */
    bool realtime;              /* I */
    bool cancel_on_set;         /* lock */
    bool cancelled;             /* a  the wall clock was set, and no reader told yet */
    struct list_node wall_node; /* timerfd_walls_lock */
    u64 wall_round;             /* timerfd_walls_lock  the last setting of the clock it has seen */
    struct file *file;          /* I  its own */
    struct waitq wait;
};

static const struct file_ops timerfd_ops;
static LIST_HEAD(timerfd_walls);
static struct spinlock timerfd_walls_lock;
static u64 timerfd_walls_round; /* timerfd_walls_lock */

static void timerfd_init(void)
{
    spinlock_init(&timerfd_walls_lock, RANK_OBJ, 30, "timerfd wall clock");
}
INIT_HOOK(timerfd_init, INIT_CORE);

static void timerfd_list(struct timerfd *tf, bool wall)
{
    spin_lock(&timerfd_walls_lock);
    list_del(&tf->wall_node);
    tf->wall_round = timerfd_walls_round;
    if (wall)
        list_add_tail(&timerfd_walls, &tf->wall_node);
    spin_unlock(&timerfd_walls_lock);
}

static void timerfd_fire(struct timer *t)
{
    struct timerfd *tf = container_of(t, struct timerfd, timer);

    WRITE_ONCE(tf->expired, true);
    obj_wake(&tf->wait, POLLIN | POLLRDNORM, 1); /* one reader takes it */
}

/* Expirations since the last call; arms the next period. */
static u64 timerfd_take_locked(struct timerfd *tf) REQUIRES(tf->lock)
{
    u64 now = time_ns(), n = 1;

    ASSERT_HELD(&tf->lock);
    if (!tf->next || now < tf->next)
        return 0;
    WRITE_ONCE(tf->expired, false);
    if (!tf->interval) {
        tf->next = 0;
        timer_cancel(&tf->timer);
        return 1;
    }
    n += (now - tf->next) / tf->interval;
    tf->next += n * tf->interval;
    timer_start(&tf->timer, tf->next);
    return n;
}

static bool timerfd_take_cancelled(struct timerfd *tf)
{
    return tf->cancelled && __atomic_exchange_n(&tf->cancelled, false, __ATOMIC_RELAXED);
}

static bool timerfd_readable(const struct timerfd *tf)
{
    return READ_ONCE(tf->expired) || READ_ONCE(tf->cancelled);
}

static ssize_t timerfd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct timerfd *tf = f->priv;
    bool cancelled;
    u64 n;
    int err;

    if (to->count < sizeof(n))
        return -EINVAL;
    for (;;) {
        mutex_lock(&tf->lock);
        n = timerfd_take_locked(tf);
        cancelled = timerfd_take_cancelled(tf);
        mutex_unlock(&tf->lock);
        if (cancelled)
            return -ECANCELED;
        if (n)
            break;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        err = wait_event_exclusive(&tf->wait, timerfd_readable(tf), 0);
        if (err && timerfd_readable(tf)) /* for another */
            obj_wake(&tf->wait, POLLIN | POLLRDNORM, 1);
        if (err)
            return err;
    }
    return iov_copy_to(to, &n, sizeof(n)) == sizeof(n) ? (ssize_t)sizeof(n) : -EFAULT;
}

static u32 timerfd_poll(struct file *f, struct poll_table *pt)
{
    struct timerfd *tf = f->priv;
    u64 next;

    poll_wait(pt, &tf->wait);
    next = READ_ONCE(tf->next);
    return timerfd_readable(tf) || (next && time_ns() >= next) ? POLLIN | POLLRDNORM : 0;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *tf = f->priv;

    timerfd_list(tf, false);
    timer_cancel(&tf->timer);
    kfree(tf);
}

static int timerfd_set_flags(struct file *f, unsigned flags)
{
    return 0;
}

static const struct file_ops timerfd_ops = {
    .name = "[timerfd]",
    .read = timerfd_read,
    .poll = timerfd_poll,
    .release = timerfd_release,
    .set_flags = timerfd_set_flags,
};

struct file *timerfd_create(int clock, unsigned flags)
{
    struct timerfd *tf;
    struct file *f;

    if ((clock != 0 && clock != 1 && clock != 7 && clock != 8 && clock != 9) ||
        (flags & ~(unsigned)(O_NONBLOCK | O_CLOEXEC)))
        return ERR_PTR(-EINVAL);
    tf = kzalloc(sizeof(*tf));
    if (!tf)
        return ERR_PTR(-ENOMEM);
    mutex_init(&tf->lock, RANK_OBJ, 40, "timerfd");
    timer_init_bulk(&tf->timer, timerfd_fire);
    waitq_init(&tf->wait);
    list_init(&tf->wall_node);
    tf->realtime = clock == 0 || clock == 8;
    f = file_create(&timerfd_ops, O_RDWR | (flags & O_NONBLOCK), tf);
    if (!f) {
        kfree(tf);
        return ERR_PTR(-ENFILE);
    }
    tf->file = f;
    return f;
}

static void timerfd_get_locked(struct timerfd *tf, struct timerfd_spec *out) REQUIRES(tf->lock)
{
    u64 now = time_ns();

    ASSERT_HELD(&tf->lock);
    out->interval = tf->interval;
    out->value = 0;
    if (!tf->next)
        return;
    if (tf->next > now)
        out->value = tf->next - now;
    else if (tf->interval)
        out->value = tf->interval - (now - tf->next) % tf->interval;
}

/* Absolute times of the wall clock become ns since boot; what has passed fires at once. */
static u64 timerfd_deadline(const struct timerfd *tf, unsigned flags, u64 value)
{
    u64 offset = tf->realtime ? time_wall_offset() : 0, sum;

    if (!(flags & TFD_TIMER_ABSTIME))
        return add_overflows(time_ns(), value, &sum) ? U64_MAX - 1 : sum;
    return value > offset ? value - offset : 1;
}

int timerfd_set(struct file *f, unsigned flags, const struct timerfd_spec *spec,
                struct timerfd_spec *old)
{
    struct timerfd *tf = f->priv;
    bool wall, cancelled;

    if (f->ops != &timerfd_ops || (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)))
        return -EINVAL;
    mutex_lock(&tf->lock);
    if (old)
        timerfd_get_locked(tf, old);
    timer_cancel(&tf->timer);
    WRITE_ONCE(tf->expired, false);
    wall = tf->realtime && (flags & TFD_TIMER_ABSTIME);
    tf->cancel_on_set = wall && (flags & TFD_TIMER_CANCEL_ON_SET);
    /* In the list first: what is computed from an old offset then is computed anew. */
    timerfd_list(tf, wall && (spec->value || tf->cancel_on_set));
    tf->wall_offset = time_wall_offset();
    tf->interval = spec->interval;
    WRITE_ONCE(tf->next, spec->value ? timerfd_deadline(tf, flags, spec->value) : 0);
    if (tf->next)
        timer_start(&tf->timer, tf->next);
    cancelled = timerfd_take_cancelled(tf) && tf->cancel_on_set;
    mutex_unlock(&tf->lock);
    return cancelled ? -ECANCELED : 0;
}

/* The next that has not heard of this round, with a reference to its file. */
static struct timerfd *timerfd_next_wall(u64 round)
{
    struct timerfd *tf, *found = NULL;

    spin_lock(&timerfd_walls_lock);
    while (!found && (tf = list_first(&timerfd_walls, struct timerfd, wall_node)) &&
           tf->wall_round < round) {
        tf->wall_round = round;
        list_del(&tf->wall_node);
        list_add_tail(&timerfd_walls, &tf->wall_node);
        if (file_get_unless_zero(tf->file)) /* else it ends, and waits for our lock */
            found = tf;
    }
    spin_unlock(&timerfd_walls_lock);
    return found;
}

/* REQUIRES(tf->lock). Its absolute time is so much sooner or later than it was. */
static void timerfd_move_locked(struct timerfd *tf) REQUIRES(tf->lock)
{
    u64 was = tf->wall_offset, now = time_wall_offset();
    s64 later = (s64)(was - now);

    ASSERT_HELD(&tf->lock);
    if (was == now)
        return;
    tf->wall_offset = now;
    if (tf->next) {
        timer_cancel(&tf->timer);
        WRITE_ONCE(tf->next, later < 0 && tf->next <= (u64)-later ? 1 : tf->next + (u64)later);
        WRITE_ONCE(tf->expired, tf->next <= time_ns());
        timer_start(&tf->timer, tf->next);
    }
    if (tf->cancel_on_set)
        WRITE_ONCE(tf->cancelled, true);
}

void timerfd_wall_set(void)
{
    struct timerfd *tf;
    u64 round;

    spin_lock(&timerfd_walls_lock);
    round = ++timerfd_walls_round;
    spin_unlock(&timerfd_walls_lock);
    while ((tf = timerfd_next_wall(round))) {
        struct file *f = tf->file;

        mutex_lock(&tf->lock);
        timerfd_move_locked(tf);
        mutex_unlock(&tf->lock);
        obj_wake(&tf->wait, POLLIN | POLLRDNORM, ~0U);
        file_put(f);
        cond_yield();
    }
}

int timerfd_get(struct file *f, struct timerfd_spec *out)
{
    struct timerfd *tf = f->priv;

    if (f->ops != &timerfd_ops)
        return -EINVAL;
    mutex_lock(&tf->lock);
    timerfd_get_locked(tf, out);
    mutex_unlock(&tf->lock);
    return 0;
}
