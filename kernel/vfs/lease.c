/* SPDX-License-Identifier: MIT
 *
 * Leases (fcntl(2), F_SETLEASE): the holder of an open file gets a signal before another
 * opens it in a way that conflicts, and has time to write back what it keeps. A read lease is
 * broken by an open for writing, a write lease by any open. The opener waits until the holder lets
 * go, or until the break has lasted for lease_break_seconds; then the lease is taken away.
 *
 * An opener counts itself (inode->writers, readers) and then looks at the leases; the taker of a
 * lease lists it and then looks at the counts: one of the two sees the other.
 *
 * No signal is sent under inode_locks.lock: a signal to a group takes its time.
 */
#include "lib/errno.h"
#include "mm/slab.h"
#include "obj/cred.h"
#include "obj/poll.h"
#include "sched/timer.h"
#include "vfs/pseudo_priv.h"
#include "vfs/up.h"
#include "vfs/vfs_priv.h"

#define LEASES_MAX 128 /* on one inode, -ENOLCK beyond: an open that breaks them walks them */
#define POLL_MSG 3     /* si_code */

u32 lease_break_seconds = 45;

/* All under inode_locks.lock. */
struct lease {
    struct list_node node;
    struct file *file; /* the holder, which takes it off before it goes */
    s32 fd;            /* by which it was taken, for the signal */
    u8 type;           /* F_RDLCK or F_WRLCK */
    u8 target;         /* what a break makes of it; the type: none is under way */
    bool untold;       /* of the break under way */
    u64 deadline;      /* ns of time_ns(): the end of the break; U64_MAX: none */
};

static struct lease *lease_find_locked(struct inode_locks *l, const struct file *f)
    REQUIRES(l->lock)
{
    struct lease *lease;

    ASSERT_HELD(&l->lock);
    list_for_each (lease, &l->leases, node) {
        if (lease->file == f)
            return lease;
    }
    return NULL;
}

static void lease_delete_locked(struct inode_locks *l, struct lease *lease) REQUIRES(l->lock)
{
    ASSERT_HELD(&l->lock);
    list_del(&lease->node);
    kfree(lease);
    l->nr_leases--;
    lock_changed_locked(l);
}

static void lease_change_locked(struct inode_locks *l, struct lease *lease, u8 type)
    REQUIRES(l->lock)
{
    ASSERT_HELD(&l->lock);
    if (type == F_UNLCK) {
        lease_delete_locked(l, lease);
        return;
    }
    lease->type = lease->target = type;
    lease->untold = false;
    lock_changed_locked(l);
}

/* A lease whose time is over has what the break left. */
static void lease_expire_locked(struct inode_locks *l, u64 now) REQUIRES(l->lock)
{
    struct lease *lease, *next;

    ASSERT_HELD(&l->lock);
    list_for_each_safe (lease, next, &l->leases, node) {
        if (lease->target != lease->type && now >= lease->deadline)
            lease_change_locked(l, lease, lease->target);
    }
}

/* An open is counted, the lease's own among them, that it does not go with. */
static bool lease_opened_otherwise(const struct file *f, u8 type)
{
    s32 own_write = f->counts_writer, own_read = f->counts_reader;

    if (type == F_RDLCK)
        return atomic_read(&f->inode->writers) > 0;
    return atomic_read(&f->inode->writers) != own_write ||
           atomic_read(&f->inode->readers) != own_read;
}

/* May f have such a lease beside those that others have? */
static bool lease_goes_with_others_locked(struct inode_locks *l, const struct file *f, u8 type)
    REQUIRES(l->lock)
{
    struct lease *lease;

    ASSERT_HELD(&l->lock);
    list_for_each (lease, &l->leases, node) {
        if (lease->file != f &&
            (type == F_WRLCK || lease->type == F_WRLCK || lease->target == F_UNLCK))
            return false;
    }
    return true;
}

/* `fresh` is listed, or the lease there is changed. 0, -EAGAIN, -ENOLCK. */
static int lease_take_locked(struct inode_locks *l, struct file *f, u8 type, struct lease **fresh)
    REQUIRES(l->lock)
{
    struct lease *lease;
    u8 former = F_UNLCK;

    ASSERT_HELD(&l->lock);
    lease_expire_locked(l, time_ns());
    if (!lease_goes_with_others_locked(l, f, type))
        return -EAGAIN;
    lease = lease_find_locked(l, f);
    if (lease) {
        former = lease->type;
    } else if (l->nr_leases >= LEASES_MAX) {
        return -ENOLCK;
    } else {
        lease = *fresh;
        *fresh = NULL;
        list_add_tail(&l->leases, &lease->node);
        l->nr_leases++;
    }
    smp_mb(); /* see the head of the file */
    if (lease_opened_otherwise(f, type)) {
        if (former == F_UNLCK)
            lease_delete_locked(l, lease);
        return -EAGAIN;
    }
    lease_change_locked(l, lease, type);
    return 0;
}

static int lease_drop(struct inode_locks *l, const struct file *f)
{
    struct lease *lease;

    mutex_lock(&l->lock);
    lease = lease_find_locked(l, f);
    if (lease)
        lease_delete_locked(l, lease);
    mutex_unlock(&l->lock);
    return lease ? 0 : -EAGAIN;
}

/* Files that the kernel makes up have none: they are the system's, regardless of the owner they
 * show. */
int file_lease_set(struct file *f, s32 fd, s32 type)
{
    struct inode *i = f->inode;
    struct inode_locks *l;
    struct lease *fresh;
    int err;

    if (type < F_RDLCK || type > F_UNLCK || !i || !S_ISREG(i->mode) || pseudo_is(i))
        return -EINVAL;
    if (current_cred()->fsuid != i->uid && !capable(CAP_LEASE))
        return -EACCES;
    l = lock_of_inode(i);
    fresh = kzalloc(sizeof(*fresh));
    err = l && fresh ? 0 : -ENOMEM;
    if (!err && type == F_UNLCK) {
        err = lease_drop(l, f);
    } else if (!err) {
        fresh->file = f;
        fresh->fd = fd;
        fresh->type = fresh->target = (u8)type;
        mutex_lock(&l->lock);
        err = lease_take_locked(l, f, (u8)type, &fresh);
        mutex_unlock(&l->lock);
    }
    kfree(fresh);
    return err;
}

int file_lease_get(struct file *f)
{
    struct inode_locks *l = f->inode ? lock_of_inode_made(f->inode) : NULL;
    struct lease *lease;
    int type = F_UNLCK;

    if (!l)
        return F_UNLCK;
    mutex_lock(&l->lock);
    lease_expire_locked(l, time_ns());
    lease = lease_find_locked(l, f);
    if (lease)
        type = lease->target;
    mutex_unlock(&l->lock);
    return type;
}

void lease_release(struct inode_locks *l, const struct file *f)
{
    if (READ_ONCE(l->nr_leases))
        (void)lease_drop(l, f);
}

/* A break begins, or asks for more than the one under way. */
static void lease_lower_locked(struct inode_locks *l, struct lease *lease, bool writes, u64 now)
    REQUIRES(l->lock)
{
    u64 seconds = READ_ONCE(lease_break_seconds);
    u8 target = writes ? F_UNLCK : F_RDLCK;

    ASSERT_HELD(&l->lock);
    if (lease->target != lease->type && (lease->target == F_UNLCK || lease->target == target))
        return;
    lease->target = target;
    lease->deadline = seconds ? now + seconds * NSEC_PER_SEC : U64_MAX;
    lease->untold = true;
}

/* Until when the open is to wait at most; 0: nothing is in its way. *untold: some holder does not
 * know yet. */
static u64 lease_break_locked(struct inode_locks *l, bool writes, bool *untold) REQUIRES(l->lock)
{
    u64 now = time_ns(), until = 0;
    struct lease *lease;

    ASSERT_HELD(&l->lock);
    lease_expire_locked(l, now);
    list_for_each (lease, &l->leases, node) {
        if (!writes && lease->type != F_WRLCK)
            continue;
        lease_lower_locked(l, lease, writes, now);
        *untold |= lease->untold;
        until = until ? MIN(until, lease->deadline) : lease->deadline;
    }
    return until;
}

/* One holder that is to get its signal: its file with a reference, and *fd; NULL: all have been. */
static struct file *lease_next_untold(struct inode_locks *l, s32 *fd)
{
    struct file *f = NULL;
    struct lease *lease;

    mutex_lock(&l->lock);
    list_for_each (lease, &l->leases, node) {
        if (!lease->untold)
            continue;
        lease->untold = false;
        *fd = lease->fd;
        if (file_get_unless_zero(lease->file)) { /* else it is about to let go */
            f = lease->file;
            break;
        }
    }
    mutex_unlock(&l->lock);
    return f;
}

static void lease_tell(struct inode_locks *l)
{
    struct file *f;
    s32 fd;

    while ((f = lease_next_untold(l, &fd)) != NULL) {
        up_file_signal(f, fd, POLL_MSG, POLLIN | POLLRDNORM | POLLMSG);
        file_put(f);
    }
}

int lease_break(struct inode *i, bool writes, bool nonblock)
{
    struct inode_locks *l = lock_of_inode_made(i);
    int err = 0;

    if (!READ_ONCE(l->nr_leases)) /* see the head of the file */
        return 0;
    while (!err || err == -ETIMEDOUT) {
        bool untold = false;
        u64 until;
        u32 seen;

        mutex_lock(&l->lock);
        until = lease_break_locked(l, writes, &untold);
        seen = l->changes;
        mutex_unlock(&l->lock);
        if (!until)
            return 0;
        if (untold)
            lease_tell(l);
        if (nonblock)
            return -EAGAIN;
        err = wait_event_deadline(&l->waiters, READ_ONCE(l->changes) != seen, SLEEP_INTERRUPTIBLE,
                                  until == U64_MAX ? 0 : until);
    }
    return err;
}
