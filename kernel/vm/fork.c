/* SPDX-License-Identifier: MIT
 *
 * fork's copy of an address space. Areas are copied; entries only where a fault could not bring
 * them back: private anonymous pages, and private file areas in which a page was copied. Those
 * entries lose their write right on both sides.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"
#include "vm/up.h"
#include "vm/vm_priv.h"

/* One counted or special leaf: the child's entry. Sets *lowered when the parent lost a right. */
static u64 fork_leaf(u64 *slot, struct aspace *to, unsigned pages, bool *lowered)
{
    u64 entry = *slot;
    struct page *head;

    if (entry & PTE_SPECIAL)
        return entry;
    if (entry & PTE_W) {
        __atomic_fetch_and(slot, ~PTE_W, __ATOMIC_RELAXED);
        entry &= ~PTE_W;
        *lowered = true;
    }
    head = pte_head(entry);
    page_get(head);
    atomic_inc(&head->share);
    if (page_is_anon(head))
        to->rss_anon += pages;
    else
        to->rss_file += pages;
    return entry & ~PTE_D;
}

static int fork_copy_table(struct aspace *to, u64 *table, u64 va, u64 end, bool *lowered)
{
    u64 *src = &table[pte_slot(va, 0)], *dst;

    /* Nothing in this table's part of the area: no table for the child. */
    for (; va < end && !*src; va += PAGE_SIZE)
        src++;
    if (va == end)
        return 0;
    dst = pgtable_entry(&to->pt, va, 0);
    if (!dst)
        return -ENOMEM;
    for (; va < end; va += PAGE_SIZE, src++, dst++)
        if (*src)
            *dst = fork_leaf(src, to, 1, lowered);
    return 0;
}

static int fork_copy_huge(struct aspace *to, u64 *src, u64 va, bool *lowered)
{
    u64 *dst = pgtable_entry(&to->pt, va, 1);

    if (!dst)
        return -ENOMEM;
    *dst = fork_leaf(src, to, PTRS, lowered);
    return 0;
}

static int fork_copy_stretch_locked(struct aspace *to, struct aspace *from, u64 start, u64 end)
    REQUIRES(from->pt_lock)
{
    bool lowered = false;
    u64 *slot;
    int err = 0;

    ASSERT_HELD(&from->pt_lock);
    zap_translations_locked(from, start, end, true);
    for (u64 va = start, next; !err && (slot = pte_next1(&from->pt, &va, end)); va = next) {
        next = MIN(end, align_down_huge(va) + SPAN1);
        if (pte_huge(*slot))
            err = fork_copy_huge(to, slot, va, &lowered);
        else
            err = fork_copy_table(to, pte_table(*slot), va, next, &lowered);
    }
    if (lowered)
        to->seq = 1; /* a note for aspace_clone: the parent's TLBs want a flush */
    return err;
}

static int fork_copy_range(struct aspace *to, struct aspace *from, struct area *a)
{
    u64 stop;
    int err = 0;

    for (u64 va = a->start; !err && va < a->end; va = stop) {
        /* A truncation finds the child's area already, and takes pages of it away beside us. */
        spin_lock_pair(&from->pt_lock, &to->pt_lock);
        stop = pte_stretch(&from->pt, va, a->end);
        err = fork_copy_stretch_locked(to, from, va, stop);
        spin_unlock_pair(&from->pt_lock, &to->pt_lock);
        if (stop < a->end)
            vm_pause();
    }
    return err;
}

static int fork_copy_area(struct aspace *to, struct aspace *from, struct area *a)
{
    struct area *b;

    if (a->flags & AREA_NOFORK)
        return 0;
    b = area_alloc();
    if (!b)
        return -ENOMEM;
    b->start = a->start;
    b->end = a->end;
    b->flags = a->flags & ~(u32)AREA_LOCKED;
    b->prot = a->prot;
    b->max_prot = a->max_prot;
    b->object = a->object;
    b->offset = a->offset;
    b->file = a->file;
    b->aspace = to;
    area_attach(b);
    area_insert(to, b);
    if ((a->flags & (AREA_SHARED | AREA_WIPEFORK)) || (a->object && !(a->flags & AREA_COWED)))
        return 0;
    return fork_copy_range(to, from, a);
}

static void fork_copy_marks(struct aspace *to, const struct aspace *from)
{
    to->code_start = from->code_start;
    to->code_end = from->code_end;
    to->data_start = from->data_start;
    to->data_end = from->data_end;
    to->brk_start = from->brk_start;
    to->brk = from->brk;
    to->stack_start = from->stack_start;
    to->arg_start = from->arg_start;
    to->arg_end = from->arg_end;
    to->env_start = from->env_start;
    to->env_end = from->env_end;
    to->mmap_base = from->mmap_base;
    to->vdso = from->vdso;
    to->exe = from->exe;
    if (to->exe)
        up_file_get(to->exe);
    memcpy(to->auxv, from->auxv, sizeof(to->auxv));
}

int aspace_clone(struct aspace *from, struct account *account, struct aspace **out)
{
    struct aspace *to = aspace_create(account);
    struct rb_node *n;
    int err = 0;

    if (!to)
        return -ENOMEM;
    aspace_write_lock(from);
    area_changes_begin(to);
    fork_copy_marks(to, from);
    rb_for_each (n, &from->areas) {
        err = fork_copy_area(to, from, rb_entry(n, struct area, node));
        if (!err && vm_killed())
            err = -EINTR;
        if (err)
            break;
        vm_pause();
    }
    if (to->seq) {
        spin_lock(&from->pt_lock);
        tlb_flush(from, 0, USER_MAX);
        spin_unlock(&from->pt_lock);
    }
    area_changes_end(to);
    aspace_write_unlock(from);
    if (err) {
        aspace_put(to);
        return err;
    }
    *out = to;
    return 0;
}
