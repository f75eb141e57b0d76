/* SPDX-License-Identifier: MIT
 *
 * mremap: shrink, grow in place, or move the entries to a new place. 2 MiB leaves are split before
 * a move; the pages themselves never move.
 */
#include "lib/log.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#define MREMAP_DONTUNMAP 4

/* Tables for what lies in [va, end), moved by shift (which wraps): at most two for each of its own.
 */
static int remap_tables_locked(struct aspace *as, u64 va, u64 end, u64 shift) REQUIRES(as->pt_lock)
{
    u64 next;

    ASSERT_HELD(&as->pt_lock);
    for (; pte_next1(&as->pt, &va, end); va = next) {
        next = MIN(end, align_down_huge(va) + SPAN1);
        if (!pgtable_entry(&as->pt, va + shift, 0) ||
            !pgtable_entry(&as->pt, next - PAGE_SIZE + shift, 0))
            return -ENOMEM;
    }
    return 0;
}

static int remap_entries_locked(struct aspace *as, u64 start, u64 end, u64 shift)
    REQUIRES(as->pt_lock)
{
    u64 *slot, *src, *dst;

    ASSERT_HELD(&as->pt_lock);
    zap_translations_locked(as, start, end, false);
    for (u64 va = start, next; (slot = pte_next1(&as->pt, &va, end)); va = next) {
        next = MIN(end, align_down_huge(va) + SPAN1);
        src = &pte_table(*slot)[pte_slot(va, 0)];
        for (u64 at = va; at < next; at += PAGE_SIZE, src++) {
            if (!*src)
                continue;
            dst = pte_lookup1(&as->pt, at + shift);
            pte_table(*dst)[pte_slot(at + shift, 0)] =
                __atomic_exchange_n(src, 0, __ATOMIC_RELAXED);
        }
    }
    tlb_flush(as, start, end);
    return 0;
}

/* A stretch at a time; as->lock keeps faults out meanwhile. */
static int remap_walk(struct aspace *as, u64 start, u64 end, u64 shift,
                      int (*step)(struct aspace *as, u64 start, u64 end, u64 shift))
{
    u64 stop;
    int err = 0;

    for (; !err && start < end; start = stop) {
        spin_lock(&as->pt_lock);
        stop = pte_stretch(&as->pt, start, end);
        err = step(as, start, stop, shift);
        spin_unlock(&as->pt_lock);
        if (stop < end)
            vm_pause();
    }
    return err;
}

/* Moves the entries of [old, old + len) to `to`: tables first, so that the move cannot fail. */
static int remap_entries(struct aspace *as, u64 old, u64 to, u64 len)
{
    int err = zap_split_all(as, old, old + len);

    if (!err)
        err = remap_walk(as, old, old + len, to - old, remap_tables_locked);
    return err ? err : remap_walk(as, old, old + len, to - old, remap_entries_locked);
}

/* What is to go from the old place is cut out first, so that nothing fails once entries moved. */
static int remap_move(struct aspace *as, u64 old, u64 old_len, u64 new_len, u64 to, bool keep)
    REQUIRES(as->lock)
{
    int err = keep ? 0 : map_cut(as, old, old + old_len);
    struct area *a = area_find(as, old), *b = err ? NULL : area_alloc();

    ASSERT_HELD_WRITE(&as->lock);
    if (!b)
        return -ENOMEM;
    b->start = to;
    b->end = to + new_len;
    b->flags = a->flags;
    b->prot = a->prot;
    b->max_prot = a->max_prot;
    b->object = a->object;
    b->offset = a->object ? a->offset + (old - a->start) : 0;
    b->file = a->file;
    b->aspace = as;
    area_attach(b);
    area_insert(as, b);
    err = remap_entries(as, old, to, MIN(old_len, new_len));
    if (err) {
        int undone = map_unmap_locked(as, to, to + new_len); /* the area, and tables made for it */

        ASSERT(!undone);
        return err;
    }
    err = keep ? 0 : map_unmap_locked(as, old, old + old_len);
    area_merge(as, b); /* now: it may lie beside what has gone */
    return err;
}

/* True when the area can grow to its new end where it is. */
static bool remap_grow(struct aspace *as, struct area *a, u64 old, u64 len)
{
    struct area *next = area_next(a);
    u64 end;

    if (aspace_range(old, len, &end) || (next && next->start < end))
        return false;
    area_resize(as, a, a->start, end);
    area_merge(as, a);
    return true;
}

/* What the mapping adds, by the limits. A move needs areas for its pieces too. */
static int remap_may_add(const struct aspace *as, const struct area *a, u64 old_len, u64 new_len,
                         unsigned flags)
{
    u64 more = flags & MREMAP_DONTUNMAP ? new_len : new_len > old_len ? new_len - old_len : 0;

    if (as->nr_areas >= AREAS_MAX - 3)
        return -ENOMEM;
    return more ? area_may_add(as, more, a->flags, a->prot) : 0;
}

static int remap_locked(struct aspace *as, u64 old, u64 old_len, u64 new_len, unsigned flags,
                        u64 new_addr, u64 *out) REQUIRES(as->lock)
{
    struct area *a = area_find(as, old);
    bool stays = !(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && old_len;
    u64 to = new_addr, end;
    int err;

    ASSERT_HELD_WRITE(&as->lock);
    if (!a || a->start > old)
        return -EFAULT;
    *out = old;
    /* Giving up the end asks for no single area. */
    if (stays && new_len <= old_len)
        return new_len < old_len ? map_unmap_locked(as, old + new_len, old + old_len) : 0;
    if (!old_len) {
        if (!(a->flags & AREA_SHARED) || !(flags & MREMAP_MAYMOVE))
            return -EINVAL;
    } else if (old_len > a->end - old) {
        return -EFAULT;
    }
    if (a->object && (add_overflows(a->offset + (old - a->start), new_len, &end) || end > S64_MAX))
        return -EINVAL;
    err = remap_may_add(as, a, old_len, new_len, flags);
    if (err)
        return err;
    if (stays && old + old_len == a->end && remap_grow(as, a, old, new_len))
        return 0;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    if (flags & MREMAP_FIXED) {
        err = map_unmap_locked(as, to, to + new_len);
        a = area_find(as, old);
        if (!err && (!a || a->start > old))
            err = -EFAULT;
        if (!err && new_len < old_len) {
            err = map_unmap_locked(as, old + new_len, old + old_len);
            old_len = new_len;
            a = area_find(as, old);
        }
        if (err)
            return err;
    } else {
        to = area_find_gap(as, new_len, !a->object && new_len >= HUGE_SIZE ? HUGE_SIZE : PAGE_SIZE);
        if (!to)
            return -ENOMEM;
    }
    *out = to;
    return remap_move(as, old, old_len, new_len, to, !old_len || (flags & MREMAP_DONTUNMAP));
}

/* How memory at va is to be populated because it is locked; 0: it is not. */
static unsigned remap_locked_kind(struct aspace *as, u64 va)
{
    const struct area *a = area_find(as, va);

    if (!a || !(a->flags & AREA_LOCKED) || !a->prot)
        return 0;
    return a->prot & PT_WRITE ? FAULT_WRITE : FAULT_READ;
}

int aspace_remap(struct aspace *as, u64 old, u64 old_len, u64 new_len, unsigned flags, u64 new_addr,
                 u64 *out)
{
    unsigned kind = 0;
    u64 end;
    int err;

    if (flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if (!new_len || new_len > USER_MAX || aspace_range(old, old_len, &end))
        return -EINVAL;
    old_len = end - old;
    new_len = PAGE_ALIGN(new_len);
    if ((flags & MREMAP_DONTUNMAP) && old_len != new_len)
        return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if (new_addr < USER_MIN || aspace_range(new_addr, new_len, &end))
            return -EINVAL;
        if (new_addr < old + old_len && old < end)
            return -EINVAL;
    }
    aspace_write_lock(as);
    err = remap_locked(as, old, old_len, new_len, flags, new_addr, out);
    if (!err && new_len > old_len)
        kind = remap_locked_kind(as, *out);
    aspace_write_unlock(as);
    if (kind) /* best effort, as mmap(2)'s */
        (void)aspace_populate(as, *out + old_len, *out + new_len, kind);
    return err;
}
