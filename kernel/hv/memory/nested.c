/* SPDX-License-Identifier: MIT
 *
 * The nested tables: a translation of the VMM's address space. What is unmapped, made
 * copy-on-write or discarded there leaves them by vm_zap, which returns only when no vCPU can use
 * the old entries any more.
 *
 * They have a lock of their own, so that vCPUs' faults wait neither for the VMM's nor, but for the
 * moment of installing, for each other. Against a zap, which raises the aspace's seq and then takes
 * nested_lock, an installer takes nested_lock and then compares seq with that of its page: it comes
 * later and sees the new one, or earlier, and the zap finds what it has installed. Its reference
 * keeps the page until then.
 *
 * A slot that is being emptied, in parts, is `busy`, and faults there wait for its end: so no entry
 * outlives its slot.
 *
 * Tables are charged to the account of the vCPU that made them, and freed when they become empty,
 * after the flush: a CPU may still walk them.
 */
#include "hv/memory/memory_priv.h"
#include "lib/err.h"
#include "sched/thread.h"

#define TABLES_AT_ONCE 512 /* that pgtable_destroy frees in one go */
#define ZAP_SLOTS 64       /* from which a zap takes something in one go */
#define SLOT_ALIASES_MAX                                                    \
    32 /* slots, of all VMs of an aspace, that have some of the same memory \
        */

COUNTER(hv_nested_faults);
COUNTER(hv_exec_splits);

/* nested_lock held. After it no vCPU holds a stale entry: those in the guest are kicked out and
 * waited for; the request makes each flush before it enters again. */
static void vm_flush_locked(struct vm *vm, u64 indices) REQUIRES(vm->nested_lock)
{
    ASSERT_HELD(&vm->nested_lock);
    lockdep_may_wait_cpus(code_here());
    vm->flushes++;
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *v = load_acquire(&vm->vcpus[i]);

        if (v && (indices >> READ_ONCE(v->vp_index) & 1))
            vcpu_request_running(v, VCPU_REQ_TLB);
    }
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        struct vcpu *v = load_acquire(&vm->vcpus[i]);

        if (v && !(indices >> READ_ONCE(v->vp_index) & 1))
            continue;
        /* Pairs with the store of mode and the load of requests in vcpu_enter. */
        while (v && __atomic_load_n(&v->mode, __ATOMIC_SEQ_CST) == VCPU_IN_GUEST &&
               (__atomic_load_n(&v->requests, __ATOMIC_SEQ_CST) & VCPU_REQ_TLB))
            cpu_relax();
    }
}

void vm_flush_indices(struct vm *vm, u64 indices)
{
    spin_lock(&vm->nested_lock);
    vm_flush_locked(vm, indices);
    spin_unlock(&vm->nested_lock);
}

/* A large leaf of which only a part goes is dropped as a whole: the rest faults again. */
static bool vm_drop_large_at(struct vm *vm, u64 gpa) REQUIRES(vm->nested_lock)
{
    unsigned level;
    u64 *e = pgtable_lookup(&vm->npt, gpa, &level);

    ASSERT_HELD(&vm->nested_lock);
    if (!e || !level || !(gpa & (pgtable_span(level) - 1)))
        return false;
    WRITE_ONCE(*e, 0);
    return true;
}

static void vm_count_leaf(void *arg, u64 va, u64 entry, unsigned level)
{
    (*(u64 *)arg)++;
}

bool vm_unmap_gfns_locked(struct vm *vm, u64 gfn, u64 pages)
{
    u64 start = gfn << PAGE_SHIFT, n = pages << PAGE_SHIFT, leaves = 0;
    bool first = vm_drop_large_at(vm, start), last = vm_drop_large_at(vm, start + n);

    ASSERT_HELD(&vm->nested_lock);
    if (n && pgtable_unmap(&vm->npt, start, n, vm_count_leaf, &leaves))
        ASSERT(!"a large leaf lies across the end of what is unmapped");
    return first || last || leaves;
}

void vm_flush_and_reap_locked(struct vm *vm)
{
    ASSERT_HELD(&vm->nested_lock);
    vm_flush_locked(vm, VM_EVERY_VCPU);
    pgtable_reap(&vm->npt);
}

struct vm_zap {
    struct vm *vm;
    u64 start, end; /* of the VMM's memory */
    bool gone;
};

static void vm_zap_slot(void *arg, struct slot_range *r)
{
    struct vm_zap *z = arg;
    u64 low = MAX(z->start, r->hva), high = MIN(z->end, slot_range_end(r));

    ASSERT_HELD(&z->vm->nested_lock);
    z->gone |= vm_unmap_gfns_locked(z->vm, r->gfn + ((low - r->hva) >> PAGE_SHIFT),
                                    DIV_ROUND_UP(high - low, PAGE_SIZE));
}

/* The aspace's pt_lock is held, and its seq is a new one. Guests are only disturbed where they have
 * had something of what goes. */
static void vm_zap(struct translation *t, u64 start, u64 end)
{
    struct vm *vm = container_of(t, struct vm, xlate);
    struct vm_zap z = {vm, start, end, false};

    ASSERT_HELD(&vm->aspace->pt_lock);
    spin_lock(&vm->nested_lock);
    slot_table_each(&vm->slots->table, start, end, vm_zap_slot, &z);
    if (z.gone)
        vm_flush_and_reap_locked(vm);
    spin_unlock(&vm->nested_lock);
}

/* Few slots at a time, however many there are for a little memory. */
static u64 vm_zap_stretch(struct translation *t, u64 start, u64 end)
{
    struct vm *vm = container_of(t, struct vm, xlate);

    rcu_read_lock();
    while (end - start > PAGE_SIZE && vm_count_aliases(vm, start, end, ZAP_SLOTS + 1) > ZAP_SLOTS)
        end = start + ALIGN_UP((end - start) / 2, PAGE_SIZE);
    rcu_read_unlock();
    return end;
}

void vm_empty_slot(struct vm *vm, struct memslot *s)
{
    u64 gfn = s->at.gfn, left = s->at.pages;

    ASSERT_HELD_OR(!refcount_read(&vm->ref), &vm->lock);
    while (left) {
        u64 n = MIN(left, VM_PART_PAGES - (gfn & (VM_PART_PAGES - 1)));

        spin_lock(&vm->nested_lock);
        s->busy = true;
        if (vm_unmap_gfns_locked(vm, gfn, n))
            vm_flush_and_reap_locked(vm);
        spin_unlock(&vm->nested_lock);
        gfn += n;
        left -= n;
        cond_yield();
    }
}

int vm_memory_init(struct vm *vm)
{
    int err = pgtable_init(&vm->npt, hv_ops->tables);

    if (err)
        return err;
    spinlock_init(&vm->nested_lock, RANK_VM, RANK_ORDER_TRANSLATION, "nested");
    vm_slots_init(vm);
    vm->xlate.zap = vm_zap;
    vm->xlate.stretch = vm_zap_stretch;
    list_init(&vm->xlate.node);
    err = aspace_attach(vm->aspace, &vm->xlate);
    if (err)
        pgtable_destroy(&vm->npt);
    return err;
}

void vm_memory_destroy(struct vm *vm)
{
    const struct slot_table *t = &vm->slots->table;

    aspace_detach(vm->aspace, &vm->xlate);
    for (u32 i = 0; i < t->nr && vm->npt.tables > TABLES_AT_ONCE; i++)
        vm_empty_slot(vm, container_of(t->by_gfn[i], struct memslot, at));
    vm_slots_destroy(vm);
    pgtable_destroy(&vm->npt);
}

/* What is taken from the VMM's memory is taken from each slot of its VMs that has it, in one go
 * under pt_lock. */
bool vm_may_alias(struct vm *vm, u64 start, u64 end)
{
    struct aspace *as = vm->aspace;
    struct translation *t;
    u32 aliases = 0;

    spin_lock(&as->pt_lock);
    rcu_read_lock();
    list_for_each (t, &as->translations, node)
        if (t->zap == vm_zap)
            aliases += vm_count_aliases(container_of(t, struct vm, xlate), start, end,
                                        SLOT_ALIASES_MAX - aliases);
    rcu_read_unlock();
    spin_unlock(&as->pt_lock);
    return aliases < SLOT_ALIASES_MAX;
}

/* ------------------------------------------------------------- faults */

static bool vm_table_at(struct vm *vm, u64 gpa)
{
    unsigned level;

    pgtable_lookup(&vm->npt, gpa, &level);
    return level == 0;
}

/* Makes way for a small entry. False: there is no large one. */
static bool vm_drop_leaf_over(struct vm *vm, u64 gpa) REQUIRES(vm->nested_lock)
{
    unsigned level;
    u64 *e = pgtable_lookup(&vm->npt, gpa, &level);

    ASSERT_HELD(&vm->nested_lock);
    if (!e || !level)
        return false;
    WRITE_ONCE(*e, 0);
    vm_flush_locked(vm, VM_EVERY_VCPU);
    return true;
}

/* A small one takes the place of a large one in one go: were the guest to fault again in between,
 * the reads of its page walk could bring the large one back before each fetch. NULL: no memory. */
static u64 *vm_make_entry(struct vm *vm, u64 gpa, bool large) REQUIRES(vm->nested_lock)
{
    u64 at = gpa & ~((large ? HUGE_SIZE : PAGE_SIZE) - 1), *e;

    ASSERT_HELD(&vm->nested_lock);
    if (FAILPOINT(nested_table))
        return NULL;
    e = pgtable_entry(&vm->npt, at, large);
    return e || large || !vm_drop_leaf_over(vm, gpa) ? e : pgtable_entry(&vm->npt, at, false);
}

/* 2 MiB where the slot, both addresses, the log, and what is there already, allow it. */
static bool vm_leaf_is_large(struct vm *vm, const struct memslot *s, gpa_t gpa,
                             const struct fault_result *r, unsigned access)
{
    u64 base = gpa.v & ~(HUGE_SIZE - 1), slot_start = s->at.gfn << PAGE_SHIFT;
    u64 hva = s->at.hva + (gpa.v - slot_start);

    if (r->level != 1 || s->dirty || (hva & (HUGE_SIZE - 1)) != (gpa.v & (HUGE_SIZE - 1)) ||
        base < slot_start || base + HUGE_SIZE > slot_start + (s->at.pages << PAGE_SHIFT) ||
        vm_table_at(vm, base))
        return false;
    if (!hv_small_code || access != FAULT_EXEC)
        return true;
    COUNT(hv_exec_splits);
    return false;
}

/* nested_lock held, sequence checked. */
static int vm_install_locked(struct vm *vm, const struct memslot *s, gpa_t gpa,
                             const struct fault_result *r, unsigned access)
    REQUIRES(vm->nested_lock)
{
    u64 hva = s->at.hva + (gpa.v - (s->at.gfn << PAGE_SHIFT)), pa = r->pa.v;
    unsigned prot = r->prot | PT_EXEC | PT_USER;
    bool large = vm_leaf_is_large(vm, s, gpa, r, access);
    u64 *e;

    ASSERT_HELD(&vm->nested_lock);
    if ((s->flags & KVM_MEM_READONLY) || (s->dirty && !(access & FAULT_WRITE)))
        prot &= ~(unsigned)PT_WRITE;
    if (large && hv_small_code)
        prot &= ~(unsigned)PT_EXEC;
    if (!large && r->level == 1)
        pa += hva & (HUGE_SIZE - 1) & PAGE_MASK;
    e = vm_make_entry(vm, gpa.v, large);
    if (!e)
        return -ENOMEM;
    WRITE_ONCE(*e, hv_ops->tables->leaf(HPA(pa), prot, large));
    if (s->dirty && (access & FAULT_WRITE))
        slot_mark_dirty(s, gpa);
    return 0;
}

/* What a fault has found of its slot. */
struct fault_slot {
    const struct memslot *slot; /* alive while generation is the set's */
    u32 generation;
    u64 hva; /* of the address */
};

/* 0, VM_NO_SLOT, VM_READ_ONLY, -EAGAIN. */
static int vm_fault_slot(struct vm *vm, gpa_t gpa, unsigned access, struct fault_slot *out)
{
    const struct slot_set *set;
    const struct memslot *s;
    int err = 0;

    rcu_read_lock();
    set = rcu_dereference(vm->slots);
    s = vm_slot_of(set, gpa.v >> PAGE_SHIFT);
    if (!s) {
        err = VM_NO_SLOT;
    } else if (READ_ONCE(s->busy)) {
        err = -EAGAIN;
    } else if ((access & FAULT_WRITE) && (s->flags & KVM_MEM_READONLY)) {
        err = VM_READ_ONLY;
    } else {
        out->slot = s;
        out->generation = set->generation;
        out->hva = s->at.hva + (gpa.v - (s->at.gfn << PAGE_SHIFT));
    }
    rcu_read_unlock();
    return err;
}

/* 0; -EAGAIN: the page that r names, or the slots, may have changed meanwhile. */
static int vm_fault_install(struct vm *vm, const struct fault_slot *found, gpa_t gpa,
                            const struct fault_result *r, unsigned access)
{
    int err = -EAGAIN;

    spin_lock(&vm->nested_lock);
    if (vm->slots->generation == found->generation && !found->slot->busy &&
        READ_ONCE(vm->aspace->seq) == r->seq)
        err = vm_install_locked(vm, found->slot, gpa, r, access);
    spin_unlock(&vm->nested_lock);
    return err;
}

/* Tried once: other threads may change the address space in between, each time, for as long as they
 * like, and it is the guest that faults again, after what its thread has to do. */
int vm_fault(struct vm *vm, gpa_t gpa, unsigned access)
{
    struct fault_slot slot;
    struct fault_result r;
    int err;

    COUNT(hv_nested_faults);
    err = vm_fault_slot(vm, gpa, access, &slot);
    if (err)
        return err;
    err = aspace_resolve(vm->aspace, slot.hva, access & FAULT_WRITE ? FAULT_WRITE : FAULT_READ, &r);
    if (err)
        return err;
    err = vm_fault_install(vm, &slot, gpa, &r, access);
    if (r.page)
        page_put(page_head(r.page));
    if (err == -ENOMEM) /* for a table */
        return memory_relieve_kernel() ?: -EAGAIN;
    return err;
}
