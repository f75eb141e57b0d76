/* SPDX-License-Identifier: MIT
 *
 * KVM_IRQFD: a signalled eventfd is an interrupt, without a trip to the VMM.
 *
 * An irqfd's waiter is called under the eventfd's queue lock, which lies above the irqchip's: it
 * takes the count and drives the line, there and then. Where others wait for the same eventfd, and
 * may have to be told that it can be written to again, a job does so. Each entry holds a reference
 * of its eventfd until it is taken off or the VM ends.
 *
 * Irqfds that want to know the end of their level hang on the resampler of their GSI. When a guest
 * ends it, under chip->lock and with interrupts off, the line falls and a job is queued: signalling
 * as many eventfds as a VMM likes is done there.
 *
 * Lock order: vm->lock (changes), eventfd_lock (all lists), then what eventfd_signal takes. The
 * table of resamplers belongs to chip->lock.
 */
#include "arch/x86/uaccess.h"
#include "hv/irq/irqchip_priv.h"
#include "hv/up.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "obj/poll.h"
#include "sched/work.h"

COUNTER(hv_irqfd_jobs);

struct irqfd {
    struct list_node node;     /* eventfd_lock */
    struct list_node resample; /* eventfd_lock */
    struct irq_resampler *resampler;
    struct vm *vm;
    struct file *file;
    struct file *ended; /* NULL: edges */
    u32 gsi;
    struct waiter waiter;
    struct work work;
};

struct irq_resampler {
    struct irq_watch watch; /* chip->lock */
    struct vm *vm;
    struct list_node irqfds; /* eventfd_lock */
    struct work work;
};

void vm_irqfds_init(struct vm *vm)
{
    spinlock_init(&vm->eventfd_lock, RANK_HV, 1, "eventfds");
    list_init(&vm->irqfds);
}

/* A descriptor's eventfd, with a reference. */
int hv_eventfd_of(int fd, struct file **out)
{
    struct file *f = up_fd_file(fd);

    if (!f)
        return -EBADF;
    if (!eventfd_waitq(f)) {
        file_put(f);
        return -EINVAL;
    }
    *out = f;
    return 0;
}

/* ------------------------------------------------------------- irqfd */

/* An edge, or a level until its end. irq-safe. */
static void irqfd_drive(struct irqfd *i)
{
    struct irqchip *chip = i->vm->irqchip;
    u64 flags;

    spin_lock_irqsave(&chip->lock, &flags);
    if (i->ended) {
        irqchip_set_pin_locked(chip, IRQ_SOURCE_RESAMPLE, i->gsi, true);
    } else {
        irqchip_set_pin_locked(chip, IRQ_SOURCE_IRQFD, i->gsi, true);
        irqchip_set_pin_locked(chip, IRQ_SOURCE_IRQFD, i->gsi, false);
    }
    spin_unlock_irqrestore(&chip->lock, flags);
}

static void irqfd_run(struct work *w)
{
    struct irqfd *i = container_of(w, struct irqfd, work);
    u64 n;

    COUNT(hv_irqfd_jobs);
    if (eventfd_consume(i->file, &n) == 0)
        irqfd_drive(i);
}

static int irqfd_wake(struct waiter *w, u32 events)
{
    struct irqfd *i = container_of(w, struct irqfd, waiter);
    u64 n;
    int err;

    if (events && !(events & POLLIN))
        return 0;
    err = eventfd_consume_alone(i->file, &n);
    if (!err)
        irqfd_drive(i);
    else if (err == -EBUSY)
        work_queue(workq_system, &i->work);
    return 0;
}

/* ------------------------------------------------------------- the end of a level */

/* Signalling as many eventfds as a VMM likes is a job's. */
static void resampler_ended(struct irq_watch *w)
{
    struct irq_resampler *r = container_of(w, struct irq_resampler, watch);

    ASSERT_HELD(&r->vm->irqchip->lock);
    work_queue(workq_system, &r->work);
}

/* One eventfd of those that hang on it, and moves it to the end of the list; with a reference. */
static struct file *resampler_next(struct irq_resampler *r)
{
    struct file *f = NULL;
    struct irqfd *i;

    spin_lock(&r->vm->eventfd_lock);
    i = list_first(&r->irqfds, struct irqfd, resample);
    if (i) {
        list_del(&i->resample);
        list_add_tail(&r->irqfds, &i->resample);
        f = i->ended;
        file_get(f);
    }
    spin_unlock(&r->vm->eventfd_lock);
    return f;
}

/* Each eventfd by itself, without the lock: each may have many watchers. As many turns as there are
 * irqfds at the start reach all of them, though some come, go, or move in the list meanwhile. */
static void resampler_run(struct work *w)
{
    struct irq_resampler *r = container_of(w, struct irq_resampler, work);
    unsigned turns;

    spin_lock(&r->vm->eventfd_lock);
    turns = list_len(&r->irqfds);
    spin_unlock(&r->vm->eventfd_lock);
    while (turns--) {
        struct file *f = resampler_next(r);

        if (!f)
            return;
        eventfd_signal(f, 1);
        file_put(f);
        cond_yield();
    }
}

/* vm->lock held, as for all changes. */
static struct irq_resampler *resampler_get(struct vm *vm, u32 gsi) REQUIRES(vm->lock)
{
    struct irq_resampler *r = kzalloc(sizeof(*r));
    struct irq_watch *other;
    u64 flags;

    ASSERT_HELD(&vm->lock);
    if (!r)
        return NULL;
    r->vm = vm;
    r->watch.gsi = gsi;
    r->watch.ended = resampler_ended;
    list_init(&r->irqfds);
    work_init(&r->work, resampler_run);
    spin_lock_irqsave(&vm->irqchip->lock, &flags);
    other = irq_watch_find_locked(vm->irqchip, gsi);
    if (!other)
        irq_watch_add_locked(vm->irqchip, &r->watch);
    spin_unlock_irqrestore(&vm->irqchip->lock, flags);
    if (!other)
        return r;
    kfree(r);
    return container_of(other, struct irq_resampler, watch);
}

static void resampler_add(struct irq_resampler *r, struct irqfd *i)
{
    spin_lock(&r->vm->eventfd_lock);
    i->resampler = r;
    list_add_tail(&r->irqfds, &i->resample);
    spin_unlock(&r->vm->eventfd_lock);
}

/* The last one takes the resampler with it. May sleep. */
static void resampler_remove(struct irqfd *i)
{
    struct irq_resampler *r = i->resampler;
    struct irqchip *chip = i->vm->irqchip;
    bool last;
    u64 flags;

    spin_lock(&r->vm->eventfd_lock);
    list_del(&i->resample);
    last = list_empty(&r->irqfds);
    spin_unlock(&r->vm->eventfd_lock);
    if (!last)
        return;
    spin_lock_irqsave(&chip->lock, &flags);
    irq_watch_remove_locked(chip, &r->watch);
    spin_unlock_irqrestore(&chip->lock, flags);
    work_flush(workq_system, &r->work);
    kfree(r);
}

/* ------------------------------------------------------------- life of an irqfd */

/* Off all lists already; may sleep. */
static void irqfd_free(struct irqfd *i)
{
    waitq_remove(eventfd_waitq(i->file), &i->waiter);
    work_flush(workq_system, &i->work);
    if (i->ended) {
        resampler_remove(i);
        file_put(i->ended);
    }
    file_put(i->file);
    kfree(i);
}

static int irqfd_publish(struct irqfd *i)
{
    struct vm *vm = i->vm;
    struct irqfd *other;
    int err = 0;

    spin_lock(&vm->eventfd_lock);
    list_for_each (other, &vm->irqfds, node)
        if (other->file == i->file)
            err = -EBUSY;
    if (!err && list_len(&vm->irqfds) >= VM_EVENTFDS_MAX)
        err = -ENOSPC;
    if (!err)
        list_add_tail(&vm->irqfds, &i->node);
    spin_unlock(&vm->eventfd_lock);
    return err;
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *arg) REQUIRES(vm->lock)
{
    struct irqfd *i = kzalloc(sizeof(*i));
    struct irq_resampler *resampler;
    int err;

    ASSERT_HELD(&vm->lock);
    if (!i)
        return -ENOMEM;
    *i = (struct irqfd){.vm = vm, .gsi = arg->gsi, .waiter.wake = irqfd_wake};
    work_init(&i->work, irqfd_run);
    err = hv_eventfd_of((int)arg->fd, &i->file);
    if (err)
        goto free;
    if (arg->flags & KVM_IRQFD_FLAG_RESAMPLE) {
        err = hv_eventfd_of((int)arg->resamplefd, &i->ended);
        if (err)
            goto put;
    }
    resampler = i->ended ? resampler_get(vm, i->gsi) : NULL;
    err = i->ended && !resampler ? -ENOMEM : irqfd_publish(i);
    if (resampler)
        resampler_add(resampler, i);
    if (err)
        goto put_ended;
    waitq_add(eventfd_waitq(i->file), &i->waiter);
    if (file_poll(i->file, NULL) & POLLIN)
        work_queue(workq_system, &i->work);
    return 0;
put_ended:
    if (resampler)
        resampler_remove(i);
    if (i->ended)
        file_put(i->ended);
put:
    file_put(i->file);
free:
    kfree(i);
    return err;
}

static struct irqfd *irqfd_take(struct vm *vm, const struct file *f, u32 gsi)
{
    struct irqfd *i, *found = NULL;

    spin_lock(&vm->eventfd_lock);
    list_for_each (i, &vm->irqfds, node)
        if (i->file == f && i->gsi == gsi)
            found = i;
    if (found)
        list_del(&found->node);
    spin_unlock(&vm->eventfd_lock);
    return found;
}

static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *arg) REQUIRES(vm->lock)
{
    struct irqfd *i;
    struct file *f;
    int err = hv_eventfd_of((int)arg->fd, &f);

    ASSERT_HELD(&vm->lock);
    if (err)
        return err;
    i = irqfd_take(vm, f, arg->gsi);
    file_put(f);
    if (i)
        irqfd_free(i);
    return 0;
}

int vm_irqfd_ioctl(struct vm *vm, u64 arg)
{
    struct kvm_irqfd r;
    int err;

    if (copy_in(&r, (const void __user *)arg, sizeof(r)))
        return -EFAULT;
    if ((r.flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) || r.gsi >= IRQ_ROUTES_MAX)
        return -EINVAL;
    if (!load_acquire(&vm->irqchip))
        return -EINVAL;
    mutex_lock(&vm->lock);
    err = r.flags & KVM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(vm, &r) : irqfd_assign(vm, &r);
    mutex_unlock(&vm->lock);
    return err;
}

void vm_irqfds_destroy(struct vm *vm)
{
    while (!list_empty(&vm->irqfds)) {
        struct irqfd *i = container_of(vm->irqfds.next, struct irqfd, node);

        list_del(&i->node);
        irqfd_free(i);
        cond_yield();
    }
}
