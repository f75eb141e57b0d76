/* SPDX-License-Identifier: MIT
 *
 * madvise, msync, mincore, mlock's flag. Advice is per area; what throws pages away is done at
 * once.
 */
#include "lib/log.h"
#include "sync/rcu.h"
#include "sched/thread.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

/* Values of Linux's madvise(2). */
enum {
    MADV_NORMAL = 0,
    MADV_RANDOM = 1,
    MADV_SEQUENTIAL = 2,
    MADV_WILLNEED = 3,
    MADV_DONTNEED = 4,
    MADV_FREE = 8,
    MADV_REMOVE = 9,
    MADV_DONTFORK = 10,
    MADV_DOFORK = 11,
    MADV_MERGEABLE = 12,
    MADV_UNMERGEABLE = 13,
    MADV_HUGEPAGE = 14,
    MADV_NOHUGEPAGE = 15,
    MADV_DONTDUMP = 16,
    MADV_DODUMP = 17,
    MADV_WIPEONFORK = 18,
    MADV_KEEPONFORK = 19,
    MADV_COLD = 20,
    MADV_PAGEOUT = 21,
    MADV_POPULATE_READ = 22,
    MADV_POPULATE_WRITE = 23,
    MADV_DONTNEED_LOCKED = 24,
};

#define MS_ASYNC 1
#define MS_INVALIDATE 2
#define MS_SYNC 4

/* Flags that an advice sets and clears. */
static const struct advise_flags {
    u32 set, clear;
    bool valid, anon_only;
} advise_flags[] = {
    [MADV_DONTFORK] = {.set = AREA_NOFORK, .valid = true},
    [MADV_DOFORK] = {.clear = AREA_NOFORK, .valid = true},
    [MADV_HUGEPAGE] = {.set = AREA_HUGE, .clear = AREA_NOHUGE, .valid = true},
    [MADV_NOHUGEPAGE] = {.set = AREA_NOHUGE, .clear = AREA_HUGE, .valid = true},
    [MADV_WIPEONFORK] = {.set = AREA_WIPEFORK, .valid = true, .anon_only = true},
    [MADV_KEEPONFORK] = {.clear = AREA_WIPEFORK, .valid = true},
};

/* -ENOMEM where [start, end) has a hole. */
static int advise_covered(struct aspace *as, u64 start, u64 end)
{
    u64 at = start;

    for (struct area *a = area_find(as, start); at < end; a = area_next(a)) {
        if (!a || a->start > at)
            return -ENOMEM;
        at = a->end;
        if (at < end)
            vm_pause();
    }
    return 0;
}

static int advise_set_flags(struct aspace *as, u64 start, u64 end, const struct advise_flags *fl)
{
    int err;

    aspace_write_lock(as);
    err = map_cut(as, start, end);
    for (struct area *a = area_find(as, start); !err && a && a->start < end; a = area_next(a)) {
        if (fl->anon_only && (a->object || (a->flags & AREA_SHARED))) {
            err = -EINVAL;
            break;
        }
        a->flags = (a->flags & ~fl->clear) | fl->set;
        a = area_merge(as, a);
        vm_pause();
    }
    if (!err)
        err = advise_covered(as, start, end);
    aspace_write_unlock(as);
    return err;
}

/* Private pages are gone, the next touch finds zeroes or the file's contents. Faults go on beside
 * us and may bring a 2 MiB leaf, so it is split as it is met. */
static int advise_drop(struct aspace *as, u64 start, u64 end, int advice)
{
    u32 refused = AREA_DEVICE | (advice == MADV_DONTNEED_LOCKED ? 0 : AREA_LOCKED);
    int err = 0;

    rwlock_read_lock(&as->lock);
    for (struct area *a = area_find(as, start); !err && a && a->start < end; a = area_next(a)) {
        if (a->flags & refused || (advice == MADV_FREE && a->object))
            err = -EINVAL;
        else
            err = zap_range_cut(as, MAX(start, a->start), MIN(end, a->end), true);
        vm_pause();
    }
    if (!err)
        err = advise_covered(as, start, end);
    rwlock_read_unlock(&as->lock);
    return err;
}

/* What MADV_REMOVE punches a hole into: references to what lies behind the area at start. */
struct advise_hole {
    struct mem_object *object;
    struct file *file;
    u64 offset, stop;
};

static int advise_find_hole(struct aspace *as, u64 start, u64 end, struct advise_hole *hole)
{
    struct area *a = area_find(as, start);

    if (!a || a->start > start)
        return -ENOMEM;
    if (a->flags & (AREA_LOCKED | AREA_DEVICE) || !a->object || a->object->ops->frame)
        return -EINVAL;
    if (!(a->flags & AREA_SHARED) || !(a->prot & PT_WRITE))
        return -EACCES;
    *hole =
        (struct advise_hole){a->object, a->file, start - a->start + a->offset, MIN(end, a->end)};
    mem_object_get(hole->object);
    if (hole->file)
        up_file_get(hole->file);
    return 0;
}

/* A file decides itself, by its seals for one; memory without a name just loses its pages. */
static int advise_punch(const struct advise_hole *hole, u64 len)
{
    u64 from = hole->offset >> PAGE_SHIFT;

    if (hole->file)
        return up_file_punch(hole->file, hole->offset, len);
    mem_object_truncate(hole->object, from, from + (len >> PAGE_SHIFT));
    return 0;
}

/* Punches a hole into a shared object: one area at a time, without the lock. */
static int advise_remove(struct aspace *as, u64 start, u64 end)
{
    struct advise_hole hole;
    int err = 0;

    for (; start < end && !err; start = hole.stop) {
        rwlock_read_lock(&as->lock);
        err = advise_find_hole(as, start, end, &hole);
        rwlock_read_unlock(&as->lock);
        if (err)
            break;
        err = advise_punch(&hole, hole.stop - start);
        if (hole.file)
            up_file_put(hole.file);
        mem_object_put(hole.object);
        vm_pause();
    }
    return err;
}

/* 0 with the end of the area at va; -ENOMEM: none; -EINVAL: it does not allow kind. */
static int advise_may_fault(struct aspace *as, u64 va, unsigned kind, u64 *end)
{
    struct area *a;
    int err = 0;

    rwlock_read_lock(&as->lock);
    a = area_find(as, va);
    if (!a || a->start > va)
        err = -ENOMEM;
    else if (a->flags & AREA_DEVICE || !(a->prot & (kind == FAULT_WRITE ? PT_WRITE : PT_READ)))
        err = -EINVAL;
    else
        *end = a->end;
    rwlock_read_unlock(&as->lock);
    return err;
}

static int advise_populate(struct aspace *as, u64 start, u64 end, unsigned kind)
{
    u64 stop;
    int err = 0;

    for (; start < end && !err; start = stop) {
        err = advise_may_fault(as, start, kind, &stop);
        if (!err)
            err = aspace_populate(as, start, MIN(stop, end), kind);
    }
    return err == -EIO ? -EFAULT : err == -EFAULT ? -ENOMEM : err;
}

static bool advise_known(int advice)
{
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_DONTNEED_LOCKED:
        return true;
    default:
        return advice >= 0 && (unsigned)advice < ARRAY_SIZE(advise_flags) &&
               advise_flags[advice].valid;
    }
}

int aspace_advise(struct aspace *as, u64 addr, u64 len, int advice)
{
    u64 end;
    int err = advise_known(advice) ? aspace_range(addr, len, &end) : -EINVAL;

    if (err || addr == end)
        return err;
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
        return advise_drop(as, addr, end, advice);
    case MADV_REMOVE:
        return advise_remove(as, addr, end);
    case MADV_POPULATE_READ:
        return advise_populate(as, addr, end, FAULT_READ);
    case MADV_POPULATE_WRITE:
        return advise_populate(as, addr, end, FAULT_WRITE);
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
        /* Hints that the kernel is free not to follow; there are no core dumps. */
        rwlock_read_lock(&as->lock);
        err = advise_covered(as, addr, end);
        rwlock_read_unlock(&as->lock);
        return err;
    default:
        return advise_set_flags(as, addr, end, &advise_flags[advice]);
    }
}

static void lock_area(struct aspace *as, struct area *a, bool lock)
{
    u64 n = (a->end - a->start) >> PAGE_SHIFT;

    if (!(a->flags & AREA_LOCKED) == lock)
        as->locked_pages += lock ? n : -n;
    a->flags = (a->flags & ~(u32)AREA_LOCKED) | (lock ? AREA_LOCKED : 0);
}

/* Every area after `at` that may be touched, in turn; false: there is none. */
static bool lock_next(struct aspace *as, u64 at, u64 *start, u64 *end)
{
    struct area *a;

    rwlock_read_lock(&as->lock);
    for (a = area_find(as, at); a && !a->prot; a = area_next(a))
        vm_pause();
    if (a) {
        *start = MAX(at, a->start);
        *end = a->end;
    }
    rwlock_read_unlock(&as->lock);
    return a != NULL;
}

/* Written to where it may be: what is locked is not to fault again. Area by area, as each decides.
 */
static int lock_populate(struct aspace *as, u64 start, u64 end)
{
    int err = aspace_populate(as, start, end, FAULT_WRITE);

    return err == -EFAULT ? aspace_populate(as, start, end, FAULT_READ) : err;
}

/* Whether so many pages may be locked in all. 0, -EPERM, -ENOMEM. */
static int lock_allowed(u64 pages)
{
    u64 limit = up_memory_limit(MEMORY_LOCKED);

    return !limit ? -EPERM : limit != U64_MAX && pages > limit >> PAGE_SHIFT ? -ENOMEM : 0;
}

int aspace_lock_all(struct aspace *as, bool lock, bool future)
{
    u64 start, end = 0;
    int err;

    aspace_write_lock(as);
    err = lock || future ? lock_allowed(lock ? as->total_pages : 0) : 0;
    if (!err)
        WRITE_ONCE(as->lock_future, future);
    for (struct area *a = err ? NULL : area_find(as, 0); a; a = area_next(a)) {
        if (lock || !future)
            lock_area(as, a, lock);
        a = area_merge(as, a);
        vm_pause();
    }
    aspace_write_unlock(as);
    while (!err && lock && lock_next(as, end, &start, &end))
        if (lock_populate(as, start, end) == -EINTR)
            break;
    return err;
}

static u64 lock_pages_in(struct aspace *as, u64 start, u64 end)
{
    u64 n = 0;

    for (struct area *a = area_find(as, start); a && a->start < end; a = area_next(a)) {
        if (a->flags & AREA_LOCKED)
            n += MIN(end, a->end) - MAX(start, a->start);
        vm_pause();
    }
    return n >> PAGE_SHIFT;
}

static int lock_range_locked(struct aspace *as, u64 start, u64 end, bool lock) REQUIRES(as->lock)
{
    u64 have = as->locked_pages - lock_pages_in(as, start, end);
    int err = lock ? lock_allowed(have + ((end - start) >> PAGE_SHIFT)) : 0;

    ASSERT_HELD_WRITE(&as->lock);
    if (!err)
        err = advise_covered(as, start, end);
    if (!err)
        err = map_cut(as, start, end);
    for (struct area *a = area_find(as, start); !err && a && a->start < end; a = area_next(a)) {
        lock_area(as, a, lock);
        a = area_merge(as, a);
        vm_pause();
    }
    return err;
}

/* Of each area in turn, so that one that may not be written to does not keep the others out. */
static int lock_populate_areas(struct aspace *as, u64 start, u64 end)
{
    u64 from, to;
    int err;

    for (; start < end; start = to) {
        if (!lock_next(as, start, &from, &to) || from > start)
            return -ENOMEM; /* an area without any right, or gone meanwhile */
        to = MIN(to, end);
        err = lock_populate(as, start, to);
        if (err)
            return err == -EINTR ? err : -ENOMEM;
    }
    return 0;
}

int aspace_lock_range(struct aspace *as, u64 addr, u64 len, bool lock)
{
    u64 start = addr & PAGE_MASK, end;
    int err;

    if (add_overflows(len, addr - start, &len))
        return -EINVAL;
    err = lock ? lock_allowed(0) : 0;
    if (!err)
        err = aspace_range(start, len, &end);
    if (err || !len)
        return err;
    aspace_write_lock(as);
    err = lock_range_locked(as, start, end, lock);
    aspace_write_unlock(as);
    return err || !lock ? err : lock_populate_areas(as, start, end);
}

/* One area of a range: where it ends in *stop. *file: whose contents are to be brought to its
 * store, a reference, or NULL. */
static int sync_look(struct aspace *as, u64 addr, u64 end, int flags, u64 *stop, struct file **file)
{
    struct area *a = area_find(as, addr);

    *file = NULL;
    *stop = a ? MIN(end, MAX(a->start, addr)) : end;
    if (!a || a->start > addr)
        return -ENOMEM;
    *stop = MIN(end, a->end);
    if ((flags & MS_INVALIDATE) && (a->flags & AREA_LOCKED))
        return -EBUSY;
    if ((flags & MS_SYNC) && a->file && a->object && (a->flags & AREA_SHARED)) {
        *file = a->file;
        up_file_get(a->file);
    }
    return 0;
}

/* MS_ASYNC has nothing to do: what is dirty is written soon anyhow. What lies behind a hole is
 * written nevertheless. */
int aspace_sync(struct aspace *as, u64 addr, u64 len, int flags)
{
    int err = 0, holes = 0;
    u64 end;

    if ((addr & (PAGE_SIZE - 1)) || (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (aspace_range(addr, len, &end))
        return -ENOMEM;
    while (addr < end && !err) {
        struct file *file;
        u64 stop;

        rwlock_read_lock(&as->lock);
        err = sync_look(as, addr, end, flags, &stop, &file);
        rwlock_read_unlock(&as->lock);
        if (err == -ENOMEM) {
            holes = err;
            err = 0;
        }
        if (file) {
            err = up_file_sync(file);
            up_file_put(file);
        }
        addr = stop;
        vm_pause();
    }
    return err ? err : holes;
}

/* Is the page at va in memory: mapped, or in the object's cache. */
static bool advise_resident(struct aspace *as, const struct area *a, u64 va)
{
    u64 *slot = pte_lookup1(&as->pt, va);
    u64 e = slot ? READ_ONCE(*slot) : 0;

    if (pte_huge(e) || ((e & PTE_P) && READ_ONCE(pte_table(e)[pte_slot(va, 0)])))
        return true;
    return a->object &&
           xa_load(&a->object->pages, (va - a->start + a->offset) >> PAGE_SHIFT) != NULL;
}

int aspace_mincore(struct aspace *as, u64 addr, u64 len, u8 *out)
{
    struct area *a = NULL;
    u64 end;
    int err = addr & (PAGE_SIZE - 1) ? -EINVAL : 0;

    if (!err && aspace_range(addr, len, &end))
        err = -ENOMEM;
    if (err)
        return err;
    rwlock_read_lock(&as->lock);
    rcu_read_lock();
    for (u64 va = addr; va < end; va += PAGE_SIZE) {
        if (!a || va >= a->end)
            a = area_find(as, va);
        if (!a || a->start > va) {
            err = -ENOMEM;
            break;
        }
        *out++ = advise_resident(as, a, va);
    }
    rcu_read_unlock();
    rwlock_read_unlock(&as->lock);
    return err;
}
