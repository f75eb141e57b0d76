/* SPDX-License-Identifier: MIT
 *
 * The page fault.
 *
 * One attempt never sleeps: it finds the area, checks rights, and installs what can be had at once.
 * What must be waited for (a page to be read in, memory to be reclaimed, the stack to grow) is
 * named in struct fault, done without a lock (fault_wait.c), and the fault is tried again from the
 * start: nothing need be revalidated because nothing was kept but a reference to the page that was
 * read.
 *
 * Anonymous memory is tried without as->lock, so that the threads of a process fault side by side.
 * What the attempt found of the area and of the tables counts only as long as no writer has come:
 * f->seq, the areas' number when it began, is compared with as->areas_seq under pt_lock before
 * anything is installed. A writer raises areas_seq before it changes an area or frees a table, and
 * what it takes away it takes out of the tables under pt_lock after that (munmap, mprotect, mremap
 * and fork alike). So either it comes later than we, and finds what we have installed, or we come
 * later, and see its number: then the attempt is made again under as->lock.
 *
 * All else is tried with as->lock held for reading, when no writer comes and f->seq holds anyway.
 *
 * While f->seq holds, tables only come, never go, so a slot once found stays; its entry changes
 * under pt_lock alone.
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
COUNTER(faults_locked);
COUNTER(faults_huge);
COUNTER(faults_cow);

static void fault_init(void)
{
    zero_page = page_alloc(0, PA_ZERO);
    if (!zero_page)
        panic("no memory for the zero page");
}
INIT_HOOK(fault_init, INIT_CORE);

static inline bool fault_allowed(const struct fault *f)
{
    if (f->kind & FAULT_WRITE)
        return (f->prot & PT_WRITE) || ((f->kind & FAULT_FORCE) && !(f->flags & AREA_SHARED));
    if (f->kind & FAULT_EXEC)
        return f->prot & PT_EXEC;
    return (f->prot & (PT_READ | PT_WRITE | PT_EXEC)) || (f->kind & FAULT_FORCE);
}

/* No writer has come since f->seq was read. */
static bool fault_holds(const struct fault *f)
{
    return aspace_areas_are(f->as, f->seq);
}

/* The same before something is installed. */
static bool fault_holds_locked(const struct aspace *as, const struct fault *f) REQUIRES(as->pt_lock)
{
    ASSERT_HELD(&as->pt_lock);
    return likely(READ_ONCE(as->areas_seq) == f->seq);
}

/* The level-1 slot, as pte_lookup1: an upper entry is followed if no table can have gone. */
static inline u64 *fault_lookup1(const struct fault *f)
{
    const struct aspace *as = f->as;
    u64 addr = f->addr, seq = f->seq, e = READ_ONCE(pte_root(&as->pt)[pte_slot(addr, 3)]);

    if (!(e & PTE_P) || !aspace_areas_are(as, seq))
        return NULL;
    e = READ_ONCE(pte_table(e)[pte_slot(addr, 2)]);
    if (!(e & PTE_P) || !aspace_areas_are(as, seq))
        return NULL;
    return &pte_table(e)[pte_slot(addr, 1)];
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

/* The level-0 slot where level 1 has entry1, which is no leaf; its table is made if need be. NULL:
 * no memory, or what was there is no more. */
static u64 *fault_slot(struct fault *f, u64 entry1)
{
    struct aspace *as = f->as;
    u64 *slot = NULL;

    if (likely(entry1 & PTE_P))
        return &pte_table(entry1)[pte_slot(f->addr, 0)];
    spin_lock(&as->pt_lock);
    if (fault_holds_locked(as, f))
        slot = pgtable_entry(&as->pt, f->addr, 0);
    spin_unlock(&as->pt_lock);
    return slot;
}

/* Why there is none. */
static int fault_no_slot(struct fault *f)
{
    u64 *slot1 = fault_lookup1(f), entry1 = slot1 ? READ_ONCE(*slot1) : 0;

    return pte_huge(entry1) || !fault_holds(f) ? FAULT_AGAIN : fault_no_table(f);
}

bool fault_install(struct fault *f, u64 *slot, u64 old, u64 entry, int anon, int file)
{
    struct aspace *as = f->as;

    DELAYPOINT(fault_install);
    spin_lock(&as->pt_lock);
    if (unlikely(!fault_holds_locked(as, f) || *slot != old)) {
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

static int fault_install_lost(struct page *page)
{
    atomic_set(&page->share, 0);
    page_put(page);
    return FAULT_AGAIN;
}

/* Installs a fresh private page with the area's rights, in place of `old`. */
static int fault_install_anon(struct fault *f, u64 *slot, u64 old, struct page *page, int file)
{
    bool had = !(old & PTE_SPECIAL) && !file;

    atomic_set(&page->share, 1);
    if (fault_install(f, slot, old, pte_make(page, f->prot) | PTE_D, had ? 0 : 1, file))
        return 0;
    return fault_install_lost(page);
}

int fault_install_new(struct fault *f, u64 *slot, struct page *page)
{
    u64 entry = pte_make(page, f->prot) | PTE_D;
    struct aspace *as = f->as;
    bool fits;

    atomic_set(&page->share, 1);
    DELAYPOINT(fault_install);
    spin_lock(&as->pt_lock);
    fits = fault_holds_locked(as, f) && !*slot;
    if (likely(fits)) {
        WRITE_ONCE(*slot, entry);
        as->rss_anon++;
    }
    spin_unlock(&as->pt_lock);
    return likely(fits) ? 0 : fault_install_lost(page);
}

static int fault_anon(struct fault *f, u64 *slot)
{
    struct page *page;

    if (!fault_writes(f)) {
        u64 entry = page_hpa(zero_page).v | pte_rights(pte_prot_unwritten(f->prot)) | PTE_A;

        return fault_install(f, slot, 0, entry | PTE_SPECIAL, 0, 0) ? 0 : FAULT_AGAIN;
    }
    page = charge_anon_alloc(f->as, PA_ZERO, &f->failed);
    if (unlikely(!page))
        return FAULT_RELIEVE;
    return fault_install_new(f, slot, page);
}

#define HUGE_CLEAR_STEP 128 /* pages that are cleared without a pause */

/* 0: a folio is in place; FAULT_AGAIN: look once more; -1: use small pages. */
static int fault_huge_new(struct fault *f)
{
    struct aspace *as = f->as;
    u64 base = align_down_huge(f->addr), *slot = NULL;
    struct page *page;
    bool holds;

    if (!fault_writes(f) || (f->flags & (AREA_NOHUGE | AREA_GROWSDOWN)) || !(f->prot & PT_WRITE) ||
        (!(f->flags & AREA_HUGE) && f->end - f->start < HUGE_AREA_MIN) || base < f->start ||
        base + HUGE_SIZE > f->end)
        return -1;
    page = charge_page_alloc(as->account, HUGE_ORDER, 0, &f->failed);
    if (!page)
        return -1;
    for (unsigned i = 0; i < PTRS; i += HUGE_CLEAR_STEP) {
        page_clear_part(page, i, HUGE_CLEAR_STEP);
        vm_pause();
    }
    COUNT(faults_huge);
    spin_lock(&as->pt_lock);
    holds = fault_holds_locked(as, f);
    if (holds)
        slot = pgtable_entry(&as->pt, base, 1);
    if (!slot || *slot) {
        spin_unlock(&as->pt_lock);
        page_put(page);
        return slot || !holds ? FAULT_AGAIN : -1;
    }
    atomic_set(&page->share, 1);
    WRITE_ONCE(*slot, pte_make(page, f->prot) | PTE_PS | PTE_D);
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
    if (!fault_holds_locked(as, f) || !pte_huge(entry)) {
        /* it went meanwhile */
    } else if (!fault_writes(f) || (entry & PTE_W)) {
        err = 0;
        invlpg(f->addr);
    } else if (!(entry & PTE_SPECIAL) && atomic_read(&pte_page(entry)->share) == 1 &&
               (f->prot & PT_WRITE)) {
        WRITE_ONCE(*slot1, entry | PTE_W | PTE_D);
        invlpg(f->addr);
        err = 0;
    } else if (zap_split_huge_locked(as, slot1, f->addr)) {
        err = fault_no_table(f);
    }
    spin_unlock(&as->pt_lock);
    return err;
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
    if (f->area)
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

    DELAYPOINT(fault_install);
    spin_lock(&as->pt_lock);
    if (!fault_holds_locked(as, f) || *slot != entry) {
        spin_unlock(&as->pt_lock);
        return FAULT_AGAIN;
    }
    if (!(entry & PTE_SPECIAL)) {
        head = pte_head(entry);
        /* Ours alone: other tables can gain it only by a fork of this aspace. */
        if (page_is_anon(head) && atomic_read(&head->share) == 1) {
            entry = (entry & ~PTE_RIGHTS) | pte_rights(f->prot) | PTE_A | PTE_D;
            WRITE_ONCE(*slot, entry);
            spin_unlock(&as->pt_lock);
            invlpg(f->addr);
            return 0;
        }
        page_get(head);
    }
    spin_unlock(&as->pt_lock);
    if (!(f->flags & AREA_SHARED))
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
    u64 rights = pte_rights(pte_prot_unwritten(f->prot)) | (entry & PTE_W);

    if (rights != (entry & PTE_RIGHTS))
        fault_install(f, slot, entry, (entry & ~PTE_RIGHTS) | rights | PTE_A, 0, 0);
    invlpg(f->addr);
    return 0;
}

/* In an area that allows it. */
static int fault_try(struct fault *f)
{
    u64 *slot1 = fault_lookup1(f), *slot, entry = slot1 ? READ_ONCE(*slot1) : 0;

    if (!fault_holds(f))
        return FAULT_AGAIN;
    if (pte_huge(entry))
        return fault_huge(f, slot1);
    if (!entry && !f->area) {
        int err = fault_huge_new(f);

        if (err >= 0)
            return err;
    }
    slot = fault_slot(f, entry);
    if (!slot)
        return fault_no_slot(f);
    entry = READ_ONCE(*slot);
    if (!entry)
        return f->area ? fault_file(f, slot) : fault_anon(f, slot);
    if (fault_writes(f) && !(entry & PTE_W))
        return fault_write(f, slot, entry);
    return fault_refresh(f, slot, entry);
}

static void fault_note_area(struct fault *f, const struct area *a)
{
    f->start = READ_ONCE(a->start);
    f->end = READ_ONCE(a->end);
    f->flags = READ_ONCE(a->flags);
    f->prot = READ_ONCE(a->prot);
}

/* Looks for the area without as->lock, of the current thread's own memory: else the address space,
 * and with it the account, might end during the attempt. What it finds counts while f->seq holds;
 * NULL: look again. */
static struct area *fault_find_unlocked(struct fault *f)
{
    const struct area *a;

    f->seq = aspace_areas_seq(f->as);
    if (unlikely(f->seq & 1 || f->as != current_thread()->aspace))
        return NULL;
    a = area_find_unlocked(f->as, f->addr, f->seq);
    if (unlikely(!a))
        return NULL;
    fault_note_area(f, a);
    f->area = READ_ONCE(a->object) ? (struct area *)a : NULL;
    return fault_holds(f) ? (struct area *)a : NULL;
}

/* Of what fault_find_unlocked may have found: whether an attempt needs no lock. */
static inline bool fault_needs_lock(const struct fault *f, const struct area *a)
{
    return !a || f->area || !fault_allowed(f);
}

/* a: what was found without the lock, or NULL. 0, or what the fault comes to. */
static inline int fault_find_locked(struct fault *f, struct area *a) REQUIRES_SHARED(f->as->lock)
{
    ASSERT_HELD(&f->as->lock);
    COUNT(faults_locked);
    if (!a || !fault_holds(f)) {
        f->seq = aspace_areas_seq(f->as);
        DEBUG_ASSERT(!(f->seq & 1));
        a = area_find(f->as, f->addr);
        if (!a)
            return -EFAULT;
        fault_note_area(f, a);
        f->area = a->object ? a : NULL;
    }
    if (f->addr < f->start)
        return f->flags & AREA_GROWSDOWN ? FAULT_GROW : -EFAULT;
    return fault_allowed(f) ? 0 : -EFAULT;
}

static int fault_attempt(struct fault *f) NO_THREAD_SAFETY /* with the lock or without */
{
    struct area *a = fault_find_unlocked(f);
    bool locked = fault_needs_lock(f, a);
    int err = 0;

    if (FAILPOINT_APART(aspace_fault))
        return FAULT_AGAIN;
    for (;; locked = true) {
        if (locked) {
            rwlock_read_lock(&f->as->lock);
            err = fault_find_locked(f, a);
        }
        if (likely(!err))
            err = fault_try(f);
        if (locked)
            rwlock_read_unlock(&f->as->lock);
        if (locked || likely(err != FAULT_AGAIN))
            return err;
        err = 0;
    }
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
        err = fault_attempt(&f);
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
