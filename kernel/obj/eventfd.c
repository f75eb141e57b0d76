/* SPDX-License-Identifier: MIT
 *
 * eventfd: a counter with a queue. The kernel's own side (irqfd, ioeventfd) may signal from an
 * interrupt, so the lock is an irq-safe leaf.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/cred.h"
#include "obj/file.h"
#include "obj/obj_priv.h"
#include "obj/poll.h"

#define EFD_SEMAPHORE 1
#define EVENTFD_MAX (U64_MAX - 1)
/* Of RANK_SCHED. What waits for an eventfd may do more than set bits: a VM's interrupt controllers
 * (order 100) and the counter are below its queue. */
#define EVENTFD_ORDER_QUEUE 110
#define EVENTFD_ORDER_COUNT 90

struct eventfd {
    struct spinlock lock; /* RANK_SCHED: taken in interrupts */
    u64 count;            /* lock */
    bool semaphore;       /* I */
    struct waitq wait;
};

static const struct file_ops eventfd_ops;

/* The count, or one of it; 0: nothing there. Writers are to be told. */
static u64 eventfd_take_untold(struct eventfd *e)
{
    u64 flags, n;

    spin_lock_irqsave(&e->lock, &flags);
    n = e->semaphore ? e->count != 0 : e->count;
    WRITE_ONCE(e->count, e->count - n);
    spin_unlock_irqrestore(&e->lock, flags);
    return n;
}

static u64 eventfd_take(struct eventfd *e)
{
    u64 n = eventfd_take_untold(e);

    if (n)
        obj_wake(&e->wait, POLLOUT | POLLWRNORM, ~0U);
    return n;
}

static bool eventfd_add(struct eventfd *e, u64 n)
{
    u64 flags;
    bool fits;

    spin_lock_irqsave(&e->lock, &flags);
    fits = n <= EVENTFD_MAX - e->count;
    if (fits)
        WRITE_ONCE(e->count, e->count + n);
    spin_unlock_irqrestore(&e->lock, flags);
    if (fits && n)
        obj_wake(&e->wait, POLLIN | POLLRDNORM, 1);
    return fits;
}

/* Readers are woken one by one: one that leaves something, or does not come to take it, wakes the
 * next. Writers, who wait in the same queue, are few, and all woken. */
static int eventfd_wait(struct eventfd *e)
{
    int err = wait_event_exclusive(&e->wait, READ_ONCE(e->count), 0);

    if (err && READ_ONCE(e->count))
        obj_wake(&e->wait, POLLIN | POLLRDNORM, 1);
    return err;
}

static ssize_t eventfd_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct eventfd *e = f->priv;
    bool slept = false;
    u64 n;
    int err;

    if (to->count < sizeof(n))
        return -EINVAL;
    while (!(n = eventfd_take(e))) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        err = eventfd_wait(e);
        if (err)
            return err;
        slept = true;
    }
    if (slept && READ_ONCE(e->count))
        obj_wake(&e->wait, POLLIN | POLLRDNORM, 1);
    return iov_copy_to(to, &n, sizeof(n)) == sizeof(n) ? (ssize_t)sizeof(n) : -EFAULT;
}

static ssize_t eventfd_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct eventfd *e = f->priv;
    u64 n;
    int err;

    if (from->count < sizeof(n))
        return -EINVAL;
    if (iov_copy_from(from, &n, sizeof(n)) != sizeof(n))
        return -EFAULT;
    if (n == U64_MAX)
        return -EINVAL;
    while (!eventfd_add(e, n)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        err = wait_event_interruptible(&e->wait, n <= EVENTFD_MAX - READ_ONCE(e->count));
        if (err)
            return err;
    }
    return sizeof(n);
}

static u32 eventfd_poll(struct file *f, struct poll_table *pt)
{
    struct eventfd *e = f->priv;
    u64 n;

    poll_wait(pt, &e->wait);
    n = READ_ONCE(e->count);
    return (n ? POLLIN | POLLRDNORM : 0) | (n < EVENTFD_MAX ? POLLOUT | POLLWRNORM : 0);
}

static void eventfd_release(struct file *f)
{
    kfree(f->priv);
}

static int eventfd_set_flags(struct file *f, unsigned flags)
{
    return 0; /* O_NONBLOCK is read at each call */
}

static const struct file_ops eventfd_ops = {
    .name = "[eventfd]",
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .release = eventfd_release,
    .set_flags = eventfd_set_flags,
};

struct file *eventfd_create(u64 count, unsigned flags)
{
    struct eventfd *e;
    struct file *f;

    if (flags & ~(unsigned)(EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC))
        return ERR_PTR(-EINVAL);
    e = kzalloc(sizeof(*e));
    if (!e)
        return ERR_PTR(-ENOMEM);
    spinlock_init(&e->lock, RANK_SCHED, EVENTFD_ORDER_COUNT, "eventfd");
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE;
    waitq_init_order(&e->wait, EVENTFD_ORDER_QUEUE);
    f = file_create(&eventfd_ops, O_RDWR | (flags & O_NONBLOCK), e);
    if (!f) {
        kfree(e);
        return ERR_PTR(-ENFILE);
    }
    return f;
}

int eventfd_signal(struct file *f, u64 n)
{
    if (f->ops != &eventfd_ops)
        return -EINVAL;
    return eventfd_add(f->priv, n) ? 0 : -EAGAIN;
}

int eventfd_consume(struct file *f, u64 *out)
{
    if (f->ops != &eventfd_ops)
        return -EINVAL;
    *out = eventfd_take(f->priv);
    return *out ? 0 : -EAGAIN;
}

int eventfd_consume_alone(struct file *f, u64 *out)
{
    struct eventfd *e = f->priv;
    const struct list_node *waiters = &e->wait.waiters;

    ASSERT_HELD(&e->wait.lock);
    if (waiters->next->next != waiters)
        return -EBUSY;
    *out = eventfd_take_untold(e);
    return *out ? 0 : -EAGAIN;
}

struct waitq *eventfd_waitq(struct file *f)
{
    struct eventfd *e = f->priv;

    return f->ops == &eventfd_ops ? &e->wait : NULL;
}
