/* SPDX-License-Identifier: MIT
 *
 * Advisory locks: flock(2), and the record locks of fcntl(2). An flock belongs to the open file; a
 * record lock to its owner, which is a descriptor table (F_SETLK) or an open file (F_OFD_SETLK).
 * Both kinds live in lists of the inode, made at the first lock and freed with it, beside its
 * leases (lease.c); they do not see each other.
 *
 * An inode may have tens of thousands, and each call walks them: so their lock is one that sleeps,
 * and the walks let others run.
 *
 * Lock order: inode_locks.lock, then record_waits_lock. Nothing is allocated under them.
 */
#include "lib/err.h"
#include "lib/list.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "vfs/vfs_priv.h"

enum { F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7 };
enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };

#define RECORD_END_MAX S64_MAX
#define DEADLOCK_STEPS 16
/* Of each kind on one inode, -ENOLCK beyond: every call walks them all. */
#define LOCKS_MAX 32768

/* All under inode_locks.lock. */
struct file_lock {
    struct list_node node;
    void *owner;
    s64 start, end; /* record locks: both inclusive */
    bool exclusive;
    s32 pid; /* record locks: as F_GETLK tells it */
};

/* A record lock's owner that sleeps until `blocker` lets go: the graph in which cycles are
 * deadlocks. */
struct record_wait {
    struct rb_node node; /* record_waits_lock */
    void *owner, *blocker;
};
static struct spinlock record_waits_lock = SPINLOCK_INIT(RANK_VFS, 0, "record waits");
static struct rb_root record_waits; /* record_waits_lock: by owner */

struct inode_locks *lock_of_inode(struct inode *i)
{
    struct inode_locks *l = lock_of_inode_made(i), *fresh;
    void *none = NULL;

    if (l)
        return l;
    fresh = kzalloc(sizeof(*fresh));
    if (!fresh)
        return NULL;
    mutex_init(&fresh->lock, RANK_VFS, 3, "file locks");
    list_init(&fresh->flocks);
    list_init(&fresh->records);
    list_init(&fresh->leases);
    waitq_init(&fresh->waiters);
    if (__atomic_compare_exchange_n(&i->locks, &none, fresh, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    kfree(fresh);
    return none;
}

static struct inode_locks *lock_of_file(struct file *f)
{
    struct inode *i = file_inode(f);

    return i ? lock_of_inode(i) : NULL;
}

/* The inode goes: no file refers to it, so no lock is left. */
void lock_inode_free(struct inode *i)
{
    kfree(i->locks);
}

void lock_changed_locked(struct inode_locks *l)
{
    ASSERT_HELD(&l->lock);
    l->changes++;
    waitq_wake_all(&l->waiters);
}

static int lock_wait(struct inode_locks *l, u32 seen)
{
    return wait_event_interruptible(&l->waiters, READ_ONCE(l->changes) != seen);
}

/* To be called for each step of a walk. */
static void lock_walk_pause(u32 *steps)
{
    if (++*steps % 256 == 0)
        cond_yield();
}

/* count: nr_flocks or nr_records. */
static void lock_delete(struct file_lock *fl, u32 *count)
{
    list_del(&fl->node);
    kfree(fl);
    --*count;
}

/* ------------------------------------------------------------- flock */

static struct file_lock *flock_find_locked(struct inode_locks *l, const void *owner)
    REQUIRES(l->lock)
{
    struct file_lock *fl;
    u32 steps = 0;

    ASSERT_HELD(&l->lock);
    list_for_each (fl, &l->flocks, node) {
        if (fl->owner == owner)
            return fl;
        lock_walk_pause(&steps);
    }
    return NULL;
}

static bool flock_blocked_locked(struct inode_locks *l, bool exclusive) REQUIRES(l->lock)
{
    struct file_lock *fl;
    u32 steps = 0;

    ASSERT_HELD(&l->lock);
    list_for_each (fl, &l->flocks, node) {
        if (exclusive || fl->exclusive)
            return true;
        lock_walk_pause(&steps);
    }
    return false;
}

static void flock_drop(struct inode_locks *l, const void *owner)
{
    struct file_lock *fl;

    mutex_lock(&l->lock);
    fl = flock_find_locked(l, owner);
    if (fl) {
        lock_delete(fl, &l->nr_flocks);
        lock_changed_locked(l);
    }
    mutex_unlock(&l->lock);
}

/* Consumes fresh when it returns 0; 1: blocked, wait for *seen to pass. */
static int flock_try(struct inode_locks *l, struct file_lock *fresh, u32 *seen)
{
    struct file_lock *mine;
    int ret = 0;

    mutex_lock(&l->lock);
    mine = flock_find_locked(l, fresh->owner);
    if (mine && mine->exclusive == fresh->exclusive) {
        kfree(fresh);
    } else {
        /* Changing the kind is not atomic: the old lock goes first. */
        if (mine) {
            lock_delete(mine, &l->nr_flocks);
            lock_changed_locked(l);
        }
        if (l->nr_flocks >= LOCKS_MAX) {
            ret = -ENOLCK;
        } else if (flock_blocked_locked(l, fresh->exclusive)) {
            *seen = l->changes;
            ret = 1;
        } else {
            list_add_tail(&l->flocks, &fresh->node);
            l->nr_flocks++;
        }
    }
    mutex_unlock(&l->lock);
    return ret;
}

int file_flock(struct file *f, int op)
{
    int kind = op & ~LOCK_NB, err;
    struct inode_locks *l;
    struct file_lock *fresh;
    u32 seen;

    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
        return -EINVAL;
    if (f->flags & O_PATH)
        return -EBADF;
    l = lock_of_file(f);
    if (!l)
        return -ENOLCK;
    if (kind == LOCK_UN) {
        flock_drop(l, f);
        return 0;
    }
    fresh = kzalloc(sizeof(*fresh));
    if (!fresh)
        return -ENOLCK;
    fresh->owner = f;
    fresh->exclusive = kind == LOCK_EX;
    while ((err = flock_try(l, fresh, &seen)) > 0) {
        err = op & LOCK_NB ? -EAGAIN : lock_wait(l, seen);
        if (err)
            break;
    }
    if (err)
        kfree(fresh);
    return err;
}

/* ------------------------------------------------------------- record locks */

static bool record_overlaps(const struct file_lock *a, const struct file_lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

static bool record_touches(const struct file_lock *a, const struct file_lock *b)
{
    return (a->end == RECORD_END_MAX || b->start <= a->end + 1) &&
           (b->end == RECORD_END_MAX || a->start <= b->end + 1);
}

static struct file_lock *record_conflict_locked(struct inode_locks *l, const struct file_lock *want)
    REQUIRES(l->lock)
{
    struct file_lock *fl;
    u32 steps = 0;

    ASSERT_HELD(&l->lock);
    list_for_each (fl, &l->records, node) {
        if (fl->owner != want->owner && (fl->exclusive || want->exclusive) &&
            record_overlaps(fl, want))
            return fl;
        lock_walk_pause(&steps);
    }
    return NULL;
}

/* An owner's locks lie together and by range: F_GETLK tells of its first one in the way. */
static void record_insert_locked(struct inode_locks *l, struct file_lock *fl) REQUIRES(l->lock)
{
    struct list_node *before = &l->records;
    struct file_lock *other;
    u32 steps = 0;

    ASSERT_HELD(&l->lock);
    list_for_each (other, &l->records, node) {
        lock_walk_pause(&steps);
        if (other->owner != fl->owner)
            continue;
        before = &other->node;
        if (other->start > fl->start)
            break;
        before = other->node.next;
    }
    list_add_tail(before, &fl->node);
    l->nr_records++;
}

/* Takes want's range out of `fl`. What is left behind a hole goes to *spare, which is consumed. */
static void record_cut_locked(struct inode_locks *l, struct file_lock *fl,
                              const struct file_lock *want, struct file_lock **spare)
    REQUIRES(l->lock)
{
    ASSERT_HELD(&l->lock);
    if (fl->start < want->start && fl->end > want->end) {
        struct file_lock *tail = *spare;

        *spare = NULL;
        *tail = *fl;
        tail->start = want->end + 1;
        record_insert_locked(l, tail);
        fl->end = want->start - 1;
    } else if (fl->start < want->start) {
        fl->end = want->start - 1;
    } else if (fl->end > want->end) {
        fl->start = want->end + 1;
    } else {
        lock_delete(fl, &l->nr_records);
    }
}

/* No lock conflicts: the owner's locks become what they are plus (or, unlock, minus) want, which
 * is put into the list and consumed unless it is an unlock. Only one of the owner's locks can need
 * the spare: they do not overlap each other. */
static void record_apply_locked(struct inode_locks *l, struct file_lock *want, bool unlock,
                                struct file_lock **spare) REQUIRES(l->lock)
{
    struct file_lock *fl, *next;
    u32 steps = 0;

    ASSERT_HELD(&l->lock);
    if (!unlock)
        record_insert_locked(l, want);
    list_for_each_safe (fl, next, &l->records, node) {
        lock_walk_pause(&steps);
        if (fl == want || fl->owner != want->owner)
            continue;
        if (!unlock && fl->exclusive == want->exclusive && record_touches(fl, want)) {
            want->start = MIN(want->start, fl->start);
            want->end = MAX(want->end, fl->end);
            lock_delete(fl, &l->nr_records);
        } else if (record_overlaps(fl, want)) {
            record_cut_locked(l, fl, want, spare);
        }
    }
    lock_changed_locked(l);
}

/* Whether the unlock leaves two locks of one. */
static bool record_splits_locked(struct inode_locks *l, const struct file_lock *want)
    REQUIRES(l->lock)
{
    struct file_lock *fl;
    u32 steps = 0;

    ASSERT_HELD(&l->lock);
    list_for_each (fl, &l->records, node) {
        if (fl->owner == want->owner && fl->start < want->start && fl->end > want->end)
            return true;
        lock_walk_pause(&steps);
    }
    return false;
}

static bool record_wait_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct record_wait, node)->owner <
           rb_entry(b, struct record_wait, node)->owner;
}

/* The owner that this owner waits for, or NULL. */
static void *record_blocker_locked(const void *owner) REQUIRES(record_waits_lock)
{
    ASSERT_HELD(&record_waits_lock);
    for (struct rb_node *n = record_waits.node; n;) {
        struct record_wait *w = rb_entry(n, struct record_wait, node);

        if (w->owner == owner)
            return w->blocker;
        n = owner < w->owner ? n->left : n->right;
    }
    return NULL;
}

/* Would owner, waiting for blocker, close a circle? If not, its wait is written down. */
static int record_wait_begin(struct record_wait *w)
{
    void *at = w->blocker;

    spin_lock(&record_waits_lock);
    for (unsigned i = 0; i < DEADLOCK_STEPS && at; i++) {
        if (at == w->owner) {
            spin_unlock(&record_waits_lock);
            return -EDEADLK;
        }
        at = record_blocker_locked(at);
    }
    rb_insert(&record_waits, &w->node, record_wait_less);
    spin_unlock(&record_waits_lock);
    return 0;
}

static void record_wait_end(struct record_wait *w)
{
    spin_lock(&record_waits_lock);
    rb_erase(&record_waits, &w->node);
    spin_unlock(&record_waits_lock);
}

/* 0: done; 1: blocked by *blocker; -ENOLCK. */
static int record_try(struct inode_locks *l, struct file_lock *want, bool unlock,
                      struct file_lock **spare, void **blocker, u32 *seen)
{
    struct file_lock *other;
    bool full = false;

    mutex_lock(&l->lock);
    other = unlock ? NULL : record_conflict_locked(l, want);
    if (other) {
        *blocker = other->owner;
        *seen = l->changes;
    } else if (l->nr_records >= LOCKS_MAX && (!unlock || record_splits_locked(l, want))) {
        full = true;
    } else {
        record_apply_locked(l, want, unlock, spare);
    }
    mutex_unlock(&l->lock);
    return full ? -ENOLCK : other ? 1 : 0;
}

static int record_set(struct inode_locks *l, struct file_lock *want, bool unlock, bool wait,
                      bool check_deadlock, struct file_lock **spare)
{
    struct record_wait w = {.owner = want->owner};
    u32 seen;
    int err;

    while ((err = record_try(l, want, unlock, spare, &w.blocker, &seen)) > 0) {
        if (!wait)
            return -EAGAIN;
        if (check_deadlock) {
            err = record_wait_begin(&w);
            if (err)
                return err;
        }
        err = lock_wait(l, seen);
        if (check_deadlock)
            record_wait_end(&w);
        if (err)
            return err;
    }
    return 0;
}

static int record_get(struct inode_locks *l, const struct file_lock *want, struct flock_k *fl)
{
    struct file_lock *other;

    mutex_lock(&l->lock);
    other = record_conflict_locked(l, want);
    if (!other) {
        fl->type = F_UNLCK;
    } else {
        *fl = (struct flock_k){.type = other->exclusive ? F_WRLCK : F_RDLCK,
                               .start = other->start,
                               .len =
                                   other->end == RECORD_END_MAX ? 0 : other->end - other->start + 1,
                               .pid = other->pid};
    }
    mutex_unlock(&l->lock);
    return 0;
}

/* fcntl_locking(2): whence and a length that may be negative become an inclusive range. */
static int record_range(struct file *f, const struct flock_k *fl, s64 *start, s64 *end)
{
    s64 base = 0;

    if (fl->whence == 1)
        base = f->pos;
    else if (fl->whence == 2)
        base = (s64)file_size(f);
    else if (fl->whence != 0)
        return -EINVAL;
    if (add_overflows(base, fl->start, start))
        return -EOVERFLOW;
    if (*start < 0)
        return -EINVAL;
    *end = RECORD_END_MAX;
    if (fl->len > 0 && add_overflows(*start, fl->len - 1, end))
        return -EOVERFLOW;
    if (fl->len < 0) {
        *end = *start - 1;
        if (add_overflows(*start, fl->len, start) || *start < 0)
            return -EINVAL;
    }
    return 0;
}

static int record_check(struct file *f, int cmd, const struct flock_k *fl)
{
    if (cmd != F_GETLK && cmd != F_SETLK && cmd != F_SETLKW)
        return -EINVAL;
    if (f->flags & O_PATH)
        return -EBADF;
    if (fl->type == F_UNLCK)
        return cmd == F_GETLK ? -EINVAL : 0;
    return fl->type == F_RDLCK || fl->type == F_WRLCK ? 0 : -EINVAL;
}

/* A read lock needs a file open for reading, a write lock one open for writing. */
static int record_check_mode(struct file *f, int cmd, const struct flock_k *fl)
{
    bool may = cmd == F_GETLK || fl->type == F_UNLCK ||
               (fl->type == F_RDLCK ? file_readable(f) : file_writable(f));

    return may ? 0 : -EBADF;
}

/* cmd: F_GETLK, F_SETLK, F_SETLKW, also for open-file locks, whose owner is f itself. fl->pid: what
 * F_GETLK of others shall see. Setting leaves the range in fl as counted from the file's start. */
int file_lock(struct file *f, void *owner, int cmd, struct flock_k *fl)
{
    struct file_lock *want, *spare, range = {.owner = owner};
    bool unlock = fl->type == F_UNLCK;
    struct inode_locks *l;
    int err = record_check(f, cmd, fl);

    if (!err)
        err = record_range(f, fl, &range.start, &range.end);
    if (!err)
        err = record_check_mode(f, cmd, fl);
    if (err)
        return err;
    range.exclusive = fl->type == F_WRLCK;
    range.pid = fl->pid;
    l = lock_of_file(f);
    if (!l)
        return -ENOLCK;
    if (cmd == F_GETLK)
        return record_get(l, &range, fl);
    fl->whence = 0;
    fl->start = range.start;
    fl->len = range.end == RECORD_END_MAX ? 0 : range.end - range.start + 1;
    want = kmemdup(&range, sizeof(range));
    spare = kzalloc(sizeof(*spare));
    err =
        want && spare ? record_set(l, want, unlock, cmd == F_SETLKW, owner != f, &spare) : -ENOLCK;
    if (err || unlock)
        kfree(want);
    kfree(spare);
    return err;
}

static void record_drop_all(struct inode_locks *l, const void *owner)
{
    struct file_lock *fl, *next;
    bool any = false;
    u32 steps = 0;

    mutex_lock(&l->lock);
    list_for_each_safe (fl, next, &l->records, node) {
        lock_walk_pause(&steps);
        if (fl->owner != owner)
            continue;
        lock_delete(fl, &l->nr_records);
        any = true;
    }
    if (any)
        lock_changed_locked(l);
    mutex_unlock(&l->lock);
}

/* A descriptor of the table `owner` was closed: its record locks on the file go, through whichever
 * descriptor they were taken. owner NULL: the open file itself goes. */
void file_lock_release(struct file *f, void *owner)
{
    struct inode *i = file_inode_made(f);
    struct inode_locks *l = i ? lock_of_inode_made(i) : NULL;

    if (!l)
        return;
    if (owner) {
        record_drop_all(l, owner);
        return;
    }
    flock_drop(l, f);
    record_drop_all(l, f);
    lease_release(l, f);
}
