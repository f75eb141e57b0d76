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
    }
    return 0;
}

static int advise_set_flags(struct aspace *as, u64 start, u64 end, const struct advise_flags *fl)
{
    int err;

    rwlock_write_lock(&as->lock);
    err = map_cut(as, start, end);
    for (struct area *a = area_find(as, start); !err && a && a->start < end; a = area_next(a)) {
        if (fl->anon_only && (a->object || (a->flags & AREA_SHARED))) {
            err = -EINVAL;
            break;
        }
        a->flags = (a->flags & ~fl->clear) | fl->set;
        a = area_merge(as, a);
    }
    if (!err)
        err = advise_covered(as, start, end);
    aspace_write_unlock(as);
    return err;
}

/* Private pages are gone, the next touch finds zeroes or the file's contents. */
static int advise_drop(struct aspace *as, u64 start, u64 end)
{
    int err;

    rwlock_read_lock(&as->lock);
    err = zap_split_at(as, start);
    if (!err)
        err = zap_split_at(as, end);
    for (struct area *a = area_find(as, start); !err && a && a->start < end; a = area_next(a)) {
        if (a->flags & (AREA_LOCKED | AREA_DEVICE))
            err = -EINVAL;
        else
            zap_range(as, MAX(start, a->start), MIN(end, a->end), true);
    }
    if (!err)
        err = advise_covered(as, start, end);
    rwlock_read_unlock(&as->lock);
    return err;
}

/* Punches a hole into a shared object: one area at a time, without the lock. */
static int advise_remove(struct aspace *as, u64 start, u64 end)
{
    while (start < end) {
        struct mem_object *obj = NULL;
        struct area *a;
        u64 from = 0, stop = end;

        rwlock_read_lock(&as->lock);
        a = area_find(as, start);
        if (a && a->start <= start && a->object && (a->flags & AREA_SHARED) &&
            (a->max_prot & PT_WRITE) && !a->object->ops->read_page && !a->object->ops->frame) {
            obj = a->object;
            mem_object_get(obj);
            stop = MIN(end, a->end);
            from = (start - a->start + a->offset) >> PAGE_SHIFT;
        }
        rwlock_read_unlock(&as->lock);
        if (!obj)
            return -EINVAL;
        mem_object_truncate(obj, from, from + ((stop - start) >> PAGE_SHIFT));
        mem_object_put(obj);
        start = stop;
    }
    return 0;
}

static int advise_populate(struct aspace *as, u64 start, u64 end, unsigned kind)
{
    int err = 0;

    for (u64 va = start; va < end && !err; va += PAGE_SIZE) {
        err = aspace_fault(as, va, kind);
        cond_yield();
    }
    return err == -EIO ? -EFAULT : err == -EFAULT ? -ENOMEM : err;
}

int aspace_advise(struct aspace *as, u64 addr, u64 len, int advice)
{
    u64 end;
    int err;

    if ((addr & (PAGE_SIZE - 1)) || len > USER_MAX || addr > USER_MAX - PAGE_ALIGN(len))
        return -EINVAL;
    end = addr + PAGE_ALIGN(len);
    if (addr == end)
        return 0;
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
        return advise_drop(as, addr, end);
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
        if (advice < 0 || (unsigned)advice >= ARRAY_SIZE(advise_flags) ||
            !advise_flags[advice].valid)
            return -EINVAL;
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
    for (a = area_find(as, at); a && !a->prot; a = area_next(a)) {
    }
    if (a) {
        *start = MAX(at, a->start);
        *end = a->end;
    }
    rwlock_read_unlock(&as->lock);
    return a != NULL;
}

void aspace_lock_all(struct aspace *as, bool lock, bool future)
{
    u64 start, end = 0;

    rwlock_write_lock(&as->lock);
    WRITE_ONCE(as->lock_future, future);
    for (struct area *a = area_find(as, 0); a; a = area_next(a)) {
        if (lock || !future)
            lock_area(as, a, lock);
        a = area_merge(as, a);
    }
    aspace_write_unlock(as);
    while (lock && lock_next(as, end, &start, &end)) {
        for (u64 va = start; va < end; va += PAGE_SIZE) {
            if (aspace_fault(as, va, FAULT_WRITE) && aspace_fault(as, va, FAULT_READ))
                break;
            cond_yield();
        }
    }
}

int aspace_lock_range(struct aspace *as, u64 addr, u64 len, bool lock)
{
    u64 end;
    int err;

    if (len > USER_MAX || addr > USER_MAX - PAGE_SIZE - len)
        return -ENOMEM;
    end = PAGE_ALIGN(addr + len);
    addr &= PAGE_MASK;
    rwlock_write_lock(&as->lock);
    err = advise_covered(as, addr, end);
    if (!err)
        err = map_cut(as, addr, end);
    for (struct area *a = area_find(as, addr); !err && a && a->start < end; a = area_next(a)) {
        lock_area(as, a, lock);
        a = area_merge(as, a);
    }
    aspace_write_unlock(as);
    if (err || !lock)
        return err;
    for (u64 va = addr; va < end; va += PAGE_SIZE) {
        if (aspace_fault(as, va, FAULT_WRITE) && aspace_fault(as, va, FAULT_READ))
            return -ENOMEM;
        cond_yield();
    }
    return 0;
}

int aspace_sync(struct aspace *as, u64 addr, u64 len, int flags)
{
    u64 end;
    int err = 0;

    if ((addr & (PAGE_SIZE - 1)) || (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (len > USER_MAX || addr > USER_MAX - PAGE_ALIGN(len))
        return -ENOMEM;
    end = addr + PAGE_ALIGN(len);
    while (addr < end && !err) {
        struct mem_object *obj = NULL;
        struct area *a;
        u64 from = 0, stop = end;

        rwlock_read_lock(&as->lock);
        a = area_find(as, addr);
        if (!a || a->start > addr) {
            err = -ENOMEM;
        } else {
            stop = MIN(end, a->end);
            if ((flags & MS_SYNC) && a->object && (a->flags & AREA_SHARED)) {
                obj = a->object;
                mem_object_get(obj);
                from = (addr - a->start + a->offset) >> PAGE_SHIFT;
            }
        }
        rwlock_read_unlock(&as->lock);
        if (obj) {
            err = mem_object_sync(obj, from, from + ((stop - addr) >> PAGE_SHIFT));
            mem_object_put(obj);
        }
        addr = stop;
    }
    return err;
}

/* Is the page at va in memory: mapped, or in the object's cache. */
static bool advise_resident(struct aspace *as, const struct area *a, u64 va)
{
    u64 *slot = pte_lookup1(&as->pt, va);
    u64 e = slot ? *slot : 0;

    if (pte_huge(e) || ((e & PTE_P) && pte_table(e)[pte_slot(va, 0)]))
        return true;
    return a->object &&
           xa_load(&a->object->pages, (va - a->start + a->offset) >> PAGE_SHIFT) != NULL;
}

int aspace_mincore(struct aspace *as, u64 addr, u64 len, u8 *out)
{
    struct area *a = NULL;
    int err = 0;

    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    if (len > USER_MAX || addr > USER_MAX - PAGE_ALIGN(len))
        return -ENOMEM;
    rwlock_read_lock(&as->lock);
    rcu_read_lock();
    for (u64 va = addr; va < addr + len; va += PAGE_SIZE) {
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
