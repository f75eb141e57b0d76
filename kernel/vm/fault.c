/* SPDX-License-Identifier: MIT
 *
 * The page fault.
 *
 * One attempt (fault_try) runs under as->lock held for reading and never sleeps: it finds the area,
 * checks rights, and installs what can be had at once. What must be waited for (a page to be read
 * in, memory to be reclaimed, the stack to grow) is named in struct fault, done without the lock
 * (fault_wait.c), and the fault is tried again from the start: nothing need be revalidated because
 * nothing was kept but a reference to the page that was read.
 *
 * Under as->lock for reading tables only come, never go, so a slot once found stays; its entry
 * changes under pt_lock alone.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/thread.h"
#include "vm/fault_priv.h"
#include "vm/up.h"

#define TABLE_ATTEMPTS 8
/* Areas from this size on get 2 MiB folios unasked; smaller ones are often stacks and arenas that
 * touch a few pages. */
#define HUGE_AREA_MIN (32UL << 20)

static struct page *zero_page;
COUNTER(faults);
COUNTER(faults_huge);
COUNTER(faults_cow);

static void fault_init(void)
{
    zero_page = page_alloc(0, PA_ZERO);
    if (!zero_page)
        panic("no memory for the zero page");
}
INIT_HOOK(fault_init, INIT_CORE);

static bool fault_writes(const struct fault *f)
{
    return f->kind & FAULT_WRITE;
}

static bool fault_allowed(const struct area *a, unsigned kind)
{
    if (kind & FAULT_WRITE)
        return (a->prot & PT_WRITE) || ((kind & FAULT_FORCE) && !(a->flags & AREA_SHARED));
    if (kind & FAULT_EXEC)
        return a->prot & PT_EXEC;
    return (a->prot & (PT_READ | PT_WRITE | PT_EXEC)) || (kind & FAULT_FORCE);
}

/* No memory for a page table: the group that is full pays, if one is, and no other. That its charge
 * failed and it is below its limit again means to try once more; not for ever, where RAM is out. */
static int fault_no_table(struct fault *f)
{
    f->failed = account_refuses(account_current());
    if (f->failed || pages_short() || f->tables_failed++ >= TABLE_ATTEMPTS)
        return FAULT_RELIEVE;
    return FAULT_AGAIN;
}

/* The level-0 slot, its table made if need be. NULL: no memory, or a 2 MiB leaf is there. */
static u64 *fault_slot(struct fault *f, u64 *slot1)
{
    u64 e = slot1 ? READ_ONCE(*slot1) : 0, *slot;

    if (likely((e & (PTE_P | PTE_PS)) == PTE_P))
        return &pte_table(e)[pte_slot(f->addr, 0)];
    spin_lock(&f->as->pt_lock);
    slot = pgtable_entry(&f->as->pt, f->addr, 0);
    spin_unlock(&f->as->pt_lock);
    return slot;
}

/* Puts entry where `old` stands; false when it no longer does. The page's share and reference go
 * into the table on success. */
static bool fault_install(struct fault *f, u64 *slot, u64 old, u64 entry, int anon, int file)
{
    struct aspace *as = f->as;

    spin_lock(&as->pt_lock);
    if (unlikely(*slot != old)) {
        spin_unlock(&as->pt_lock);
        return false;
    }
    if (old) {
        zap_translations_locked(as, f->addr, f->addr + PAGE_SIZE, false);
        /* Nothing in between: where the page changes, one thread would write the new one while
         * another still reads the old. */
        WRITE_ONCE(*slot, 0);
        tlb_flush(as, f->addr, f->addr + PAGE_SIZE);
        WRITE_ONCE(*slot, entry);
    } else {
        WRITE_ONCE(*slot, entry);
    }
    as->rss_anon += (u64)(s64)anon;
    as->rss_file += (u64)(s64)file;
    spin_unlock(&as->pt_lock);
    return true;
}

/* Installs a fresh private page with the area's rights. */
static int fault_install_anon(struct fault *f, u64 *slot, u64 old, struct page *page, int file)
{
    bool had = old && !(old & PTE_SPECIAL) && !file;

    atomic_set(&page->share, 1);
    if (fault_install(f, slot, old, pte_make(page, f->area->prot) | PTE_D, had ? 0 : 1, file))
        return 0;
    atomic_set(&page->share, 0);
    page_put(page);
    return FAULT_AGAIN;
}

static int fault_anon(struct fault *f, u64 *slot)
{
    struct page *page;

    if (!fault_writes(f)) {
        u64 entry = page_hpa(zero_page).v | pte_rights(pte_prot_unwritten(f->area->prot)) | PTE_A;

        fault_install(f, slot, 0, entry | PTE_SPECIAL, 0, 0);
        return 0;
    }
    page = charge_anon_alloc(f->as, PA_ZERO, &f->failed);
    if (unlikely(!page))
        return FAULT_RELIEVE;
    return fault_install_anon(f, slot, 0, page, 0);
}

#define HUGE_CLEAR_STEP 128 /* pages that are cleared without a pause */

/* 0: a folio is in place; FAULT_AGAIN: look once more; -1: use small pages. */
static int fault_huge_new(struct fault *f)
{
    struct aspace *as = f->as;
    struct area *a = f->area;
    u64 base = align_down_huge(f->addr), *slot;
    struct account *failed;
    struct page *page;

    if (!fault_writes(f) || (a->flags & (AREA_NOHUGE | AREA_GROWSDOWN)) || !(a->prot & PT_WRITE) ||
        (!(a->flags & AREA_HUGE) && a->end - a->start < HUGE_AREA_MIN) || base < a->start ||
        base + HUGE_SIZE > a->end)
        return -1;
    page = charge_page_alloc(as->account, HUGE_ORDER, 0, &failed);
    if (!page)
        return -1;
    for (unsigned i = 0; i < PTRS; i += HUGE_CLEAR_STEP) {
        page_clear_part(page, i, HUGE_CLEAR_STEP);
        vm_pause();
    }
    COUNT(faults_huge);
    spin_lock(&as->pt_lock);
    slot = pgtable_entry(&as->pt, base, 1);
    if (!slot || *slot) {
        spin_unlock(&as->pt_lock);
        page_put(page);
        return slot ? FAULT_AGAIN : -1;
    }
    atomic_set(&page->share, 1);
    WRITE_ONCE(*slot, pte_make(page, a->prot) | PTE_PS | PTE_D);
    as->rss_anon += PTRS;
    spin_unlock(&as->pt_lock);
    return 0;
}

/* A fault on a 2 MiB leaf: it is ours alone, or it is split and the 4 KiB part copied. */
static int fault_huge(struct fault *f, u64 *slot1)
{
    struct aspace *as = f->as;
    int err = FAULT_AGAIN;
    u64 entry;

    spin_lock(&as->pt_lock);
    entry = *slot1;
    if (!pte_huge(entry)) {
        /* it went meanwhile */
    } else if (!fault_writes(f) || (entry & PTE_W)) {
        err = 0;
        invlpg(f->addr);
    } else if (!(entry & PTE_SPECIAL) && atomic_read(&pte_page(entry)->share) == 1 &&
               (f->area->prot & PT_WRITE)) {
        WRITE_ONCE(*slot1, entry | PTE_W | PTE_D);
        invlpg(f->addr);
        err = 0;
    } else if (zap_split_huge_locked(as, slot1, f->addr)) {
        err = fault_no_table(f);
    }
    spin_unlock(&as->pt_lock);
    return err;
}

static u64 fault_index(const struct area *a, u64 addr)
{
    return (addr - a->start + a->offset) >> PAGE_SHIFT;
}

static bool fault_beyond(const struct mem_object *obj, u64 index)
{
    return index >= DIV_ROUND_UP(READ_ONCE(obj->size), PAGE_SIZE);
}

static int fault_read_in(struct fault *f, struct mem_object *obj, u64 index)
{
    mem_object_get(obj);
    f->object = obj;
    f->index = index;
    return FAULT_READ_IN;
}

/* A shared mapping may be writable at once where dirty pages are not tracked. */
static bool fault_untracked(const struct area *a)
{
    return !mem_object_tracked(a->object);
}

static unsigned fault_file_prot(const struct area *a)
{
    bool writable = (a->flags & AREA_SHARED) && fault_untracked(a);

    return writable ? a->prot : pte_prot_unwritten(a->prot);
}

/* Maps the cached neighbours of f->addr too. Both locks held. */
static unsigned fault_around(struct fault *f, u64 *slot, unsigned prot)
{
    struct area *a = f->area;
    u64 window = AROUND_PAGES << PAGE_SHIFT, start = ALIGN_DOWN(f->addr, window);
    u64 end = MIN(start + window, a->end);
    unsigned n = 0;

    start = MAX(start, a->start);
    slot -= (f->addr - start) >> PAGE_SHIFT;
    for (u64 va = start; va < end; va += PAGE_SIZE, slot++) {
        u64 index = fault_index(a, va);
        struct page *page;

        if (*slot)
            continue;
        page = xa_load(&a->object->pages, index);
        if (!page || !page_flag_test(page, PG_UPTODATE) || fault_beyond(a->object, index))
            continue;
        page_get(page);
        atomic_inc(&page->share);
        WRITE_ONCE(*slot, pte_make(page, prot) & ~(va == f->addr ? 0 : PTE_A));
        n++;
    }
    return n;
}

static int fault_file_map(struct fault *f, u64 *slot)
{
    struct mem_object *obj = f->area->object;
    u64 index = fault_index(f->area, f->addr);
    struct page *page;

    spin_lock(&obj->lock);
    page = xa_load(&obj->pages, index);
    if (!page || !page_flag_test(page, PG_UPTODATE)) {
        spin_unlock(&obj->lock);
        return fault_read_in(f, obj, index);
    }
    if (!(page->flags & PG_REFERENCED))
        page_flag_set(page, PG_REFERENCED);
    spin_lock(&f->as->pt_lock);
    f->as->rss_file += fault_around(f, slot, fault_file_prot(f->area));
    spin_unlock(&f->as->pt_lock);
    spin_unlock(&obj->lock);
    /* A tracked shared page is mapped read-only first, and made writable by the next round. */
    return fault_writes(f) && !fault_untracked(f->area) ? FAULT_AGAIN : 0;
}

static int fault_file_copy(struct fault *f, u64 *slot)
{
    struct mem_object *obj = f->area->object;
    u64 index = fault_index(f->area, f->addr);
    struct page *from = mem_object_peek(obj, index), *page;
    int err;

    if (!from)
        return fault_read_in(f, obj, index);
    if (!page_flag_test(from, PG_UPTODATE)) {
        page_put(from);
        return fault_read_in(f, obj, index);
    }
    page = charge_anon_alloc(f->as, 0, &f->failed);
    if (!page) {
        page_put(from);
        return FAULT_RELIEVE;
    }
    COUNT(faults_cow);
    memcpy(page_virt(page), page_virt(from), PAGE_SIZE);
    page_put(from);
    __atomic_fetch_or(&f->area->flags, AREA_COWED, __ATOMIC_RELAXED);
    err = fault_install_anon(f, slot, 0, page, 0);
    /* pt_lock orders this: truncation lowers size and then zaps, we install and then look. */
    if (!err && unlikely(fault_beyond(obj, index))) {
        zap_range(f->as, f->addr, f->addr + PAGE_SIZE, true);
        err = -EIO;
    }
    return err;
}

static int fault_device(struct fault *f, u64 *slot)
{
    struct mem_object *obj = f->area->object;
    unsigned prot = f->area->prot, caching = 0;
    hpa_t pa;
    int err = obj->ops->frame(obj, fault_index(f->area, f->addr), &pa, &caching);

    if (err)
        return err;
    if (!(f->area->flags & AREA_SHARED))
        prot = pte_prot_unwritten(prot);
    fault_install(f, slot, 0, pt_native.leaf(pa, prot | PT_USER | caching, 0) | PTE_SPECIAL, 0, 0);
    return fault_writes(f) && !(prot & PT_WRITE) ? FAULT_AGAIN : 0;
}

static int fault_file(struct fault *f, u64 *slot)
{
    if (fault_beyond(f->area->object, fault_index(f->area, f->addr)))
        return -EIO;
    if (f->area->object->ops->frame)
        return fault_device(f, slot);
    if (fault_writes(f) && !(f->area->flags & AREA_SHARED))
        return fault_file_copy(f, slot);
    return fault_file_map(f, slot);
}

/* A write to a shared page that is mapped read-only so that we are notified of it. The object is
 * asked without as->lock, the page stays locked till the right is given: write-back, which takes
 * pages and rights away under that lock, does not come in between. Takes the reference to page. */
static int fault_write_shared(struct fault *f, u64 *slot, u64 entry, struct page *page)
{
    struct mem_object *obj = f->area->object;

    if (page != f->granted) {
        mem_object_get(obj);
        f->object = obj;
        f->page = page;
        return FAULT_MAKE_WRITABLE;
    }
    /* Writable first, dirty after: see mem_object_dirty. */
    if (fault_install(f, slot, entry, entry | PTE_W | PTE_D, 0, 0))
        mem_object_dirty(obj, page);
    page_put(page);
    return 0;
}

/* head: a reference to the page that is copied; NULL: it is the zero page, or a device's frame. */
static int fault_copy(struct fault *f, u64 *slot, u64 entry, struct page *head)
{
    bool zero = !head && pte_page(entry) == zero_page, file = head && !page_is_anon(head);
    struct page *page;
    int err;

    if (!head && !zero && !pte_frame_is_ram(entry))
        return -EFAULT;
    page = charge_anon_alloc(f->as, zero ? PA_ZERO : 0, &f->failed);
    if (!page) {
        if (head)
            page_put(head);
        return FAULT_RELIEVE;
    }
    COUNT(faults_cow);
    if (!zero)
        memcpy(page_virt(page), hpa_virt(HPA(entry & PTE_PA)), PAGE_SIZE);
    if (f->area->object)
        __atomic_fetch_or(&f->area->flags, AREA_COWED, __ATOMIC_RELAXED);
    err = fault_install_anon(f, slot, entry, page, file ? -1 : 0);
    if (head) {
        if (!err) { /* the table's hold on the old page */
            atomic_dec(&head->share);
            page_put(head);
        }
        page_put(head);
    }
    return err;
}

/* A write to an entry without PTE_W in an area that may be written. */
static int fault_write(struct fault *f, u64 *slot, u64 entry)
{
    struct aspace *as = f->as;
    struct page *head = NULL;

    spin_lock(&as->pt_lock);
    if (*slot != entry) {
        spin_unlock(&as->pt_lock);
        return FAULT_AGAIN;
    }
    if (!(entry & PTE_SPECIAL)) {
        head = pte_head(entry);
        /* Ours alone: other tables can gain it only by a fork of this aspace. */
        if (page_is_anon(head) && atomic_read(&head->share) == 1) {
            entry = (entry & ~PTE_RIGHTS) | pte_rights(f->area->prot) | PTE_A | PTE_D;
            WRITE_ONCE(*slot, entry);
            spin_unlock(&as->pt_lock);
            invlpg(f->addr);
            return 0;
        }
        page_get(head);
    }
    spin_unlock(&as->pt_lock);
    if (!(f->area->flags & AREA_SHARED))
        return fault_copy(f, slot, entry, head);
    if (!head) { /* a device's frame, writable since */
        fault_install(f, slot, entry, entry | PTE_W, 0, 0);
        return 0;
    }
    return fault_write_shared(f, slot, entry, head);
}

/* The entry grants less than the area, or the TLB was stale. */
static int fault_refresh(struct fault *f, u64 *slot, u64 entry)
{
    u64 rights = pte_rights(pte_prot_unwritten(f->area->prot)) | (entry & PTE_W);

    if (rights != (entry & PTE_RIGHTS))
        fault_install(f, slot, entry, (entry & ~PTE_RIGHTS) | rights | PTE_A, 0, 0);
    invlpg(f->addr);
    return 0;
}

static int fault_try(struct fault *f)
{
    struct area *a = area_find(f->as, f->addr);
    u64 *slot1, *slot, entry;

    if (!a)
        return -EFAULT;
    f->area = a;
    if (f->addr < a->start)
        return a->flags & AREA_GROWSDOWN ? FAULT_GROW : -EFAULT;
    if (!fault_allowed(a, f->kind))
        return -EFAULT;
    slot1 = pte_lookup1(&f->as->pt, f->addr);
    entry = slot1 ? READ_ONCE(*slot1) : 0;
    if (pte_huge(entry))
        return fault_huge(f, slot1);
    if (!entry && !a->object) {
        int err = fault_huge_new(f);

        if (err >= 0)
            return err;
    }
    slot = fault_slot(f, slot1);
    if (!slot) {
        slot1 = pte_lookup1(&f->as->pt, f->addr);
        return slot1 && pte_huge(READ_ONCE(*slot1)) ? FAULT_AGAIN : fault_no_table(f);
    }
    entry = READ_ONCE(*slot);
    if (!entry)
        return a->object ? fault_file(f, slot) : fault_anon(f, slot);
    if (fault_writes(f) && !(entry & PTE_W))
        return fault_write(f, slot, entry);
    return fault_refresh(f, slot, entry);
}

int aspace_fault(struct aspace *as, u64 addr, unsigned kind)
{
    struct page *pin = NULL;
    struct fault f;
    int err;

    if (unlikely(addr >= USER_MAX))
        return -EFAULT;
    COUNT(faults);
    f.as = as; /* what an attempt sets before it is looked at needs no beginning */
    f.addr = addr & PAGE_MASK;
    f.kind = kind;
    f.tables_failed = 0;
    f.granted = NULL;
    do {
        rwlock_read_lock(&as->lock);
        err = FAILPOINT_APART(aspace_fault) ? FAULT_AGAIN : fault_try(&f);
        rwlock_read_unlock(&as->lock);
        if (unlikely(err > 0)) {
            fault_release(&f);
            err = fault_wait(&f, err, &pin) ?: vm_try_again() ?: FAULT_AGAIN;
        }
    } while (unlikely(err > 0));
    if (unlikely(pin || f.granted)) {
        fault_release(&f);
        if (pin)
            page_put(pin);
    }
    return err;
}

/* The page may be taken away again before the copy reads it, each time: then others run, and a kill
 * ends it. A first fault is no such case: a killed thread still wakes those that wait for its
 * locks.
 */
static bool fault_copy_goes_on(struct thread *t, u64 addr)
{
    bool again = t->copy_fault == addr;

    t->copy_fault = addr;
    vm_pause();
    return !again || !vm_killed();
}

bool up_page_fault(struct trap_frame *frame, u64 addr, u64 error)
{
    struct thread *t = current_thread();
    unsigned kind = error & PF_WRITE ? FAULT_WRITE : error & PF_FETCH ? FAULT_EXEC : FAULT_READ;
    int err = -EFAULT;

    if (!trap_from_user(frame)) {
        /* Only a user copy may come here: with AC set where there is SMAP, and able to sleep. */
        if (addr >= USER_MAX || !t || !t->aspace || t->nofault || (error & PF_FETCH) ||
            !(frame->rflags & RFLAGS_IF) ||
            ((read_cr4() & CR4_SMAP) && !(frame->rflags & RFLAGS_AC)))
            return false;
        err = FAILPOINT_APART(copy_fault) ? 0 : aspace_fault(t->aspace, addr, kind);
        return !err && fault_copy_goes_on(t, addr);
    }
    kind |= FAULT_USER;
    t->min_faults++;
    /* What the CPU itself reads for user mode, a descriptor, no page of the program's satisfies. */
    if (likely(t->aspace && (error & (PF_RESERVED | PF_USER)) == PF_USER))
        err = aspace_fault(t->aspace, addr, kind);
    if (unlikely(err && err != -EINTR))
        up_fault_signal(frame, addr, err, kind);
    return true;
}
