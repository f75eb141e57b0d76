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

/* Makes the tables of the new place, so that the move cannot fail. */
static int remap_tables(struct aspace *as, u64 to, u64 len)
{
    for (u64 va = align_down_huge(to); va < to + len; va += SPAN1)
        if (!pgtable_entry(&as->pt, va, 0))
            return -ENOMEM;
    return 0;
}

/* Moves the entries of [old, old + len) to `to`. */
static int remap_entries(struct aspace *as, u64 old, u64 to, u64 len)
{
    u64 *slot, *src, *dst;
    int err = zap_split_all(as, old, old + len);

    if (err)
        return err;
    spin_lock(&as->pt_lock);
    err = remap_tables(as, to, len);
    if (!err)
        zap_translations_locked(as, old, old + len, false);
    for (u64 va = old, next; !err && (slot = pte_next1(&as->pt, &va, old + len)); va = next) {
        next = MIN(old + len, align_down_huge(va) + SPAN1);
        src = &pte_table(*slot)[pte_slot(va, 0)];
        for (u64 at = va; at < next; at += PAGE_SIZE, src++) {
            if (!*src)
                continue;
            dst = pte_lookup1(&as->pt, to + (at - old));
            pte_table(*dst)[pte_slot(to + (at - old), 0)] =
                __atomic_exchange_n(src, 0, __ATOMIC_RELAXED);
        }
    }
    if (!err)
        tlb_flush(as, old, old + len);
    spin_unlock(&as->pt_lock);
    return err;
}

static int remap_move(struct aspace *as, struct area *a, u64 old, u64 old_len, u64 new_len, u64 to,
                      bool keep)
{
    struct area *b = area_alloc();
    int err;

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
        area_remove(as, b);
        return err;
    }
    area_merge(as, b);
    return keep ? 0 : map_unmap_locked(as, old, old + old_len);
}

/* True when the area can grow to its new end where it is. */
static bool remap_grow(struct aspace *as, struct area *a, u64 end)
{
    struct area *next = area_next(a);

    if (end > USER_MAX || (next && next->start < end))
        return false;
    area_resize(as, a, a->start, end);
    area_merge(as, a);
    return true;
}

static int remap_locked(struct aspace *as, u64 old, u64 old_len, u64 new_len, unsigned flags,
                        u64 new_addr, u64 *out)
{
    struct area *a = area_find(as, old);
    bool stays = !(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && old_len;
    u64 to = new_addr;
    int err;

    if (!a || a->start > old)
        return -EFAULT;
    *out = old;
    /* Giving up the end asks for no single area. */
    if (stays && new_len <= old_len)
        return new_len < old_len ? map_unmap_locked(as, old + new_len, old + old_len) : 0;
    if (!old_len) {
        if (!(a->flags & AREA_SHARED) || !(flags & MREMAP_MAYMOVE))
            return -EINVAL;
    } else if (old + old_len > a->end) {
        return -EFAULT;
    }
    if (stays && old + old_len == a->end && remap_grow(as, a, old + new_len))
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
    return remap_move(as, a, old, old_len, new_len, to, !old_len || (flags & MREMAP_DONTUNMAP));
}

int aspace_remap(struct aspace *as, u64 old, u64 old_len, u64 new_len, unsigned flags, u64 new_addr,
                 u64 *out)
{
    int err;

    if (flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if ((old & (PAGE_SIZE - 1)) || !new_len || new_len > USER_MAX || old_len > USER_MAX ||
        old >= USER_MAX)
        return -EINVAL;
    old_len = PAGE_ALIGN(old_len);
    new_len = PAGE_ALIGN(new_len);
    if ((flags & MREMAP_DONTUNMAP) && old_len != new_len)
        return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if ((new_addr & (PAGE_SIZE - 1)) || new_addr < USER_MIN || new_addr > USER_MAX - new_len)
            return -EINVAL;
        if (new_addr < old + old_len && old < new_addr + new_len)
            return -EINVAL;
    }
    rwlock_write_lock(&as->lock);
    err = remap_locked(as, old, old_len, new_len, flags, new_addr, out);
    aspace_write_unlock(as);
    return err;
}
