/* SPDX-License-Identifier: MIT
 *
 * mmap, munmap, mprotect and brk. Each decides under as->lock held for writing, cuts leaves and
 * areas at the edges of the range first (the only step that can fail), then acts.
 */
#include "lib/log.h"
#include "sched/thread.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

#define LOW_START (1UL << 30)
#define LOW_END (2UL << 30)

int aspace_range(u64 addr, u64 len, u64 *end)
{
    u64 whole, stop;

    if (addr & (PAGE_SIZE - 1) || add_overflows(len, PAGE_SIZE - 1, &whole) ||
        add_overflows(addr, whole & PAGE_MASK, &stop))
        return -EINVAL;
    if (stop > USER_MAX)
        return -ENOMEM;
    *end = stop;
    return 0;
}

/* Takes [start, end) away: entries, areas, tables. No area crosses the edges. */
static void map_clear(struct aspace *as, u64 start, u64 end)
{
    struct area *a = area_find(as, start), *next, *prev;
    u64 floor, ceiling;
    bool any = false;

    for (; a && a->start < end; a = next) {
        next = area_next(a);
        zap_range(as, a->start, a->end, true);
        area_remove(as, a);
        any = true;
        if (next && next->start < end)
            vm_pause();
    }
    if (!any)
        return;
    /* Tables that no neighbour shares. */
    area_around(as, start, &prev, &next);
    floor = align_down_huge(start);
    ceiling = ALIGN_UP(end, HUGE_SIZE);
    if (prev && prev->end > floor)
        floor += HUGE_SIZE;
    if (next && next->start < ceiling)
        ceiling -= HUGE_SIZE;
    zap_tables(as, floor, ceiling);
}

/* Cuts leaves and areas at the edges. Leaves first, in case a later step fails: a leaf that reached
 * beyond its area could not be taken away with it. */
int map_cut(struct aspace *as, u64 start, u64 end)
{
    int err = zap_split_at(as, start);

    if (!err)
        err = zap_split_at(as, end);
    return err ? err : area_split_range(as, start, end);
}

int map_unmap_locked(struct aspace *as, u64 start, u64 end)
{
    struct area *a = area_find(as, start);
    int err;

    ASSERT_HELD_WRITE(&as->lock);
    if (!a || a->start >= end)
        return 0;
    err = map_cut(as, start, end);
    if (err)
        return err;
    map_clear(as, start, end);
    return 0;
}

int aspace_unmap(struct aspace *as, u64 addr, u64 len)
{
    u64 end;
    int err;

    if (!len || aspace_range(addr, len, &end))
        return -EINVAL;
    aspace_write_lock(as);
    err = map_unmap_locked(as, addr, end);
    aspace_write_unlock(as);
    return err;
}

/* Where the mapping goes: *addr. */
static int map_place(struct aspace *as, const struct map_request *req, u64 len, u64 *addr)
{
    u64 want = req->addr & PAGE_MASK, align = PAGE_SIZE, end;
    struct area *a;

    if (req->fixed || req->fixed_noreplace) {
        if (aspace_range(req->addr, len, &end))
            return req->addr & (PAGE_SIZE - 1) ? -EINVAL : -ENOMEM;
        if (req->addr < USER_MIN)
            return -EPERM;
        a = area_find(as, req->addr);
        if (req->fixed_noreplace && a && a->start < end)
            return -EEXIST;
        *addr = req->addr;
        return 0;
    }
    if (want >= USER_MIN && !aspace_range(want, len, &end) && (!req->low || end <= LOW_END)) {
        a = area_find(as, want);
        if (!a || a->start >= end) {
            *addr = want;
            return 0;
        }
    }
    if (req->low) {
        *addr = area_find_gap_in(as, len, LOW_START, LOW_END);
        return *addr ? 0 : -ENOMEM;
    }
    if (!req->object && len >= HUGE_SIZE)
        align = HUGE_SIZE;
    *addr = area_find_gap(as, len, align);
    return *addr ? 0 : -ENOMEM;
}

static struct area *map_area(const struct map_request *req, u64 addr, u64 len)
{
    struct area *a = area_alloc();

    if (!a)
        return NULL;
    a->start = addr;
    a->end = addr + len;
    a->flags = req->flags;
    a->prot = req->prot;
    a->max_prot = req->max_prot;
    a->object = req->object;
    a->offset = req->object ? req->offset : 0;
    a->file = req->file;
    return a;
}

/* The new area may simply be more of the one below. */
static bool map_extend(struct aspace *as, const struct map_request *req, u64 addr, u64 len)
{
    struct area *next, *prev;

    if (req->object || req->file)
        return false;
    area_around(as, addr, &prev, &next);
    if (!prev || prev->end != addr || prev->object || prev->file || prev->flags != req->flags ||
        prev->prot != req->prot || prev->max_prot != req->max_prot)
        return false;
    area_resize(as, prev, prev->start, addr + len);
    area_merge(as, prev);
    return true;
}

static int map_locked(struct aspace *as, const struct map_request *req, u64 len, u64 *out)
    REQUIRES(as->lock)
{
    u64 addr, given_up = 0;
    struct area *a;
    int err = as->nr_areas > AREAS_MAX ? -ENOMEM : map_place(as, req, len, &addr);

    ASSERT_HELD_WRITE(&as->lock);
    if (err)
        return err;
    if (req->fixed)
        given_up = area_covered(as, addr, addr + len);
    err = area_may_add(as, len - given_up, req->flags, req->prot);
    if (!err && given_up)
        err = map_unmap_locked(as, addr, addr + len);
    if (err)
        return err;
    *out = addr;
    if (map_extend(as, req, addr, len))
        return 0;
    a = map_area(req, addr, len);
    if (!a)
        return -ENOMEM;
    a->aspace = as;
    area_attach(a);
    area_insert(as, a);
    if (!req->tail) /* else one area for each object, which can be taken back without a cut */
        area_merge(as, a);
    return 0;
}

/* Puts the request's second object over the end of [addr, addr + len), which is mapped; what is
 * there goes when that cannot be. */
static int map_tail_locked(struct aspace *as, const struct map_request *req, u64 addr, u64 len)
    REQUIRES(as->lock)
{
    struct map_request tail = *req;
    int err, undone;

    ASSERT_HELD_WRITE(&as->lock);
    tail.addr = addr + req->tail_at;
    tail.fixed = true;
    tail.fixed_noreplace = false; /* what it replaces is the request's own */
    tail.object = req->tail;
    tail.offset = 0;
    err = map_locked(as, &tail, len - req->tail_at, &tail.addr);
    if (err) {
        undone = map_unmap_locked(as, addr, addr + len);
        ASSERT(!undone); /* it is one area, or its head: none is cut */
    }
    return err;
}

int aspace_populate(struct aspace *as, u64 start, u64 end, unsigned kind)
{
    for (u64 va = start; va < end; va += PAGE_SIZE) {
        int err = aspace_fault(as, va, kind);

        if (err)
            return err;
        if (vm_killed())
            return -EINTR;
        /* What its tables take is beyond the limit, and user mode far away. */
        if (READ_ONCE(current_thread()->work) & WORK_MEMORY)
            memory_relieve();
        vm_pause();
    }
    return 0;
}

/* mmap(2): populating is best effort. */
static void map_populate(struct aspace *as, u64 addr, u64 len, const struct map_request *req)
{
    (void)aspace_populate(as, addr, addr + len, req->prot & PT_WRITE ? FAULT_WRITE : FAULT_READ);
}

int aspace_map(struct aspace *as, const struct map_request *req, u64 *out)
{
    struct map_request locked;
    u64 len, end;
    int err;

    if (!req->len || req->len > USER_MAX)
        return req->len ? -ENOMEM : -EINVAL;
    len = PAGE_ALIGN(req->len);
    if ((req->flags & ~(u32)AREA_REQUEST_FLAGS) || (req->offset & (PAGE_SIZE - 1)))
        return -EINVAL;
    /* So that an offset never wraps, however the area grows later. */
    if (req->object && (add_overflows(req->offset, len, &end) || end > S64_MAX))
        return -EOVERFLOW;
    if (req->object && req->flags & AREA_GROWSDOWN)
        return -EINVAL;
    if (req->prot & ~req->max_prot)
        return -EACCES;
    if ((req->flags & AREA_SHARED) && !req->object)
        return -EINVAL; /* the caller brings mem_object_create_shared's */
    if (READ_ONCE(as->lock_future)) {
        locked = *req;
        locked.flags |= AREA_LOCKED;
        req = &locked;
    }
    aspace_write_lock(as);
    err = map_locked(as, req, len, out);
    if (!err && req->tail)
        err = map_tail_locked(as, req, *out, len);
    aspace_write_unlock(as);
    if (!err && (req->populate || (req->flags & AREA_LOCKED)) && req->prot)
        map_populate(as, *out, len, req);
    return err;
}

/* 0 when [start, end) is covered without a hole and may have prot. */
static int map_check_protect(struct aspace *as, u64 start, u64 end, u8 prot)
{
    u64 at = start, data = 0;

    for (struct area *a = area_find(as, start); at < end; a = area_next(a)) {
        if (!a || a->start > at)
            return -ENOMEM;
        if (prot & ~a->max_prot)
            return -EACCES;
        if (area_is_data(a->flags, prot) && !area_is_data(a->flags, a->prot))
            data += MIN(a->end, end) - at;
        at = a->end;
        if (at < end)
            vm_pause();
    }
    return !data || area_may_add_data(as, data) ? 0 : -ENOMEM;
}

static int map_protect_locked(struct aspace *as, u64 start, u64 end, u8 prot) REQUIRES(as->lock)
{
    int err = map_check_protect(as, start, end, prot);

    ASSERT_HELD_WRITE(&as->lock);
    if (!err)
        err = map_cut(as, start, end);
    if (!err && !prot)
        err = zap_split_all(as, start, end);
    if (err)
        return err;
    for (struct area *a = area_find(as, start); a && a->start < end; a = area_next(a)) {
        if (a->prot != prot) {
            area_set_prot(as, a, prot);
            protect_range(as, a->start, a->end, a);
        }
        a = area_merge(as, a);
        vm_pause();
    }
    return 0;
}

/* *start becomes the beginning of the first area at or above it, which must be a stack that begins
 * below end. 0, -ENOMEM: there is none; -EINVAL: it is no stack. */
static int map_find_stack(struct aspace *as, u64 *start, u64 end)
{
    const struct area *a = area_find(as, *start);

    if (!a || a->start >= end)
        return -ENOMEM;
    if (!(a->flags & AREA_GROWSDOWN))
        return -EINVAL;
    *start = a->start;
    return 0;
}

static int map_protect(struct aspace *as, u64 addr, u64 len, u8 prot, bool stack)
{
    u64 end;
    int err = 0;

    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    if (!len)
        return 0;
    if (aspace_range(addr, len, &end))
        return -ENOMEM;
    aspace_write_lock(as);
    if (stack)
        err = map_find_stack(as, &addr, end);
    if (!err)
        err = map_protect_locked(as, addr, end, prot);
    aspace_write_unlock(as);
    return err;
}

int aspace_protect(struct aspace *as, u64 addr, u64 len, u8 prot)
{
    return map_protect(as, addr, len, prot, false);
}

int aspace_protect_stack(struct aspace *as, u64 addr, u64 len, u8 prot)
{
    return map_protect(as, addr, len, prot, true);
}

int aspace_brk(struct aspace *as, u64 brk, u64 limit, u64 *out)
{
    struct map_request req = {
        .prot = PT_READ | PT_WRITE,
        .max_prot = PT_READ | PT_WRITE | PT_EXEC,
        .fixed_noreplace = true,
    };
    u64 old, new, at = 0;
    int err = 0;

    if (READ_ONCE(as->lock_future))
        req.flags = AREA_LOCKED;
    aspace_write_lock(as);
    old = PAGE_ALIGN(as->brk);
    new = PAGE_ALIGN(brk);
    if (brk < as->brk_start || brk >= USER_MAX || brk - as->brk_start > limit) {
        err = -ENOMEM; /* brk(2) then answers the old break */
    } else if (new < old) {
        err = map_unmap_locked(as, new, old);
    } else if (new > old) {
        req.addr = old;
        req.len = new - old;
        err = map_locked(as, &req, new - old, &at);
    }
    if (!err)
        as->brk = brk;
    *out = as->brk;
    aspace_write_unlock(as);
    if (!err && at && req.flags & AREA_LOCKED)
        map_populate(as, at, new - old, &req);
    return err;
}
