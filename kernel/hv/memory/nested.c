/* SPDX-License-Identifier: MIT
 *
 * Guest memory: slots, the nested tables, dirty logs. The nested tables are a translation of the
 * VMM's address space: whatever is unmapped, made copy-on-write or discarded there leaves them by
 * vm_zap, which returns only when no vCPU can use the old entries any more.
 *
 * A slot is changed under vm->lock and the aspace's pt_lock; a fault reads it under pt_lock when it
 * installs, so that an entry never outlives its slot. Long ranges are done in parts, between which
 * pt_lock is free: a slot that is being emptied is `busy`, and faults there wait for its end.
 *
 * Tables are charged to the domain of the vCPU that made them, and freed when they become empty,
 * after the flush: a CPU may still walk them.
 */
#include "hv/memory/memory.h"

#include "arch/x86/uaccess.h"

#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

#define GFN_MAX (1UL << (48 - PAGE_SHIFT)) /* what four levels of nested tables reach */
#define SLOT_PAGES_MAX (1UL << 31)
#define PART_PAGES (1UL << 15) /* of a slot, under one hold of pt_lock */
#define SLOTS_IN_ALL_MAX 4096  /* of all VMs of an address space */
#define SLOT_ALIASES_MAX 32    /* slots, of all VMs here, that have some of the same memory */
#define DIRTY_PART 64          /* words of a log, likewise */
#define TABLES_AT_ONCE 512     /* that pgtable_destroy frees in one go */

COUNTER(hv_nested_faults);
COUNTER(hv_exec_splits);

static struct memslot *vm_slot_of(struct vm *vm, u64 gfn)
{
    for (unsigned i = 0; i < vm->slots_end; i++)
        if (gfn - vm->slots[i].gfn < vm->slots[i].pages)
            return &vm->slots[i];
    return NULL;
}

/* pt_lock held; the slot has a log. */
static void slot_mark_dirty(const struct memslot *s, gpa_t gpa)
{
    u64 page = (gpa.v >> PAGE_SHIFT) - s->gfn;

    s->dirty[page / 64] |= 1UL << (page % 64);
}

/* Where a page lies in the VMM, without pt_lock: what is read there is the VMM's memory, and a slot
 * that has just gone had it a moment ago. False: no slot. */
static bool vm_peek_slot(struct vm *vm, gpa_t gpa, u64 *hva, u32 *flags)
{
    bool found;
    u32 seq;

    do {
        const struct memslot *s;

        seq = seqcount_read_begin(&vm->slot_seq);
        s = vm_slot_of(vm, gpa.v >> PAGE_SHIFT);
        found = s;
        if (s) {
            *hva = s->hva + (gpa.v - (s->gfn << PAGE_SHIFT));
            *flags = s->flags;
        }
    } while (seqcount_read_retry(&vm->slot_seq, seq));
    return found;
}

/* pt_lock held. After it no vCPU holds a stale entry: those in the guest are kicked out and waited
 * for; the request makes each flush before it enters again. */
static void vm_flush_locked(struct vm *vm, u64 indices)
{
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
    spin_lock(&vm->aspace->pt_lock);
    vm_flush_locked(vm, indices);
    spin_unlock(&vm->aspace->pt_lock);
}

/* A large leaf of which only a part goes is dropped as a whole: the rest faults again. */
static bool vm_drop_large_at(struct vm *vm, u64 gpa)
{
    unsigned level;
    u64 *e = pgtable_lookup(&vm->npt, gpa, &level);

    if (!e || !level || !(gpa & (pgtable_span(level) - 1)))
        return false;
    WRITE_ONCE(*e, 0);
    return true;
}

static void vm_count_leaf(void *arg, u64 va, u64 entry, unsigned level)
{
    (*(u64 *)arg)++;
}

/* True: entries went, and the caller has to flush, then pgtable_reap. */
static bool vm_unmap_gfns_locked(struct vm *vm, u64 gfn, u64 pages)
{
    u64 start = gfn << PAGE_SHIFT, n = pages << PAGE_SHIFT, leaves = 0;
    bool first = vm_drop_large_at(vm, start), last = vm_drop_large_at(vm, start + n);

    if (n && pgtable_unmap(&vm->npt, start, n, vm_count_leaf, &leaves))
        ASSERT(!"a large leaf lies across the end of what is unmapped");
    return first || last || leaves;
}

static void vm_flush_and_reap_locked(struct vm *vm)
{
    vm_flush_locked(vm, VM_EVERY_VCPU);
    pgtable_reap(&vm->npt);
}

/* Guests are only disturbed where they have had something of what goes. */
static void vm_zap(struct translation *t, u64 start, u64 end)
{
    struct vm *vm = container_of(t, struct vm, xlate);
    bool gone = false;

    for (unsigned i = 0; i < vm->slots_end; i++) {
        struct memslot *s = &vm->slots[i];
        u64 lo = MAX(start, s->hva), hi = MIN(end, s->hva + (s->pages << PAGE_SHIFT));

        if (s->pages && lo < hi)
            gone |= vm_unmap_gfns_locked(vm, s->gfn + ((lo - s->hva) >> PAGE_SHIFT),
                                         DIV_ROUND_UP(hi - lo, PAGE_SIZE));
    }
    if (gone)
        vm_flush_and_reap_locked(vm);
}

/* Takes all of a slot out of the tables, which write-protects it for a dirty log too, and leaves it
 * busy. vm->lock held, or the VM is at its end. */
static void vm_empty_slot(struct vm *vm, struct memslot *s)
{
    u64 gfn = s->gfn, left = s->pages;

    while (left) {
        u64 n = MIN(left, PART_PAGES - (gfn & (PART_PAGES - 1)));

        spin_lock(&vm->aspace->pt_lock);
        s->busy = true;
        if (vm_unmap_gfns_locked(vm, gfn, n))
            vm_flush_and_reap_locked(vm);
        spin_unlock(&vm->aspace->pt_lock);
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
    vm->xlate.zap = vm_zap;
    list_init(&vm->xlate.node);
    err = aspace_attach(vm->aspace, &vm->xlate);
    if (err)
        pgtable_destroy(&vm->npt);
    return err;
}

void vm_memory_destroy(struct vm *vm)
{
    aspace_detach(vm->aspace, &vm->xlate);
    for (unsigned i = 0; i < vm->slots_end; i++) {
        if (vm->npt.tables > TABLES_AT_ONCE)
            vm_empty_slot(vm, &vm->slots[i]);
        kfree(vm->slots[i].dirty);
    }
    pgtable_destroy(&vm->npt);
}

/* ------------------------------------------------------------- slots */

static int slot_check(const struct vm *vm, const struct kvm_userspace_memory_region *r)
{
    if ((r->slot >> 16) != 0 || (r->slot & 0xffff) >= VM_SLOTS_MAX)
        return -EINVAL;
    if (r->flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
        return -EINVAL;
    if ((r->guest_phys_addr | r->memory_size | r->userspace_addr) & ~PAGE_MASK)
        return -EINVAL;
    if (r->memory_size >> PAGE_SHIFT > SLOT_PAGES_MAX ||
        r->guest_phys_addr + r->memory_size < r->guest_phys_addr ||
        (r->guest_phys_addr + r->memory_size) >> PAGE_SHIFT > GFN_MAX)
        return -EINVAL;
    if (r->userspace_addr >= USER_MAX || r->memory_size > USER_MAX - r->userspace_addr)
        return -EINVAL;
    if (r->memory_size == 0)
        return vm->slots[r->slot].pages ? 0 : -EINVAL;
    for (unsigned i = 0; i < vm->slots_end; i++) {
        const struct memslot *s = &vm->slots[i];

        if (i != r->slot && s->pages && r->guest_phys_addr >> PAGE_SHIFT < s->gfn + s->pages &&
            s->gfn < (r->guest_phys_addr + r->memory_size) >> PAGE_SHIFT)
            return -EEXIST;
    }
    return 0;
}

/* A slot that exists may move or change its flags, not its size, its place in user memory or
 * whether it is read-only (KVM_SET_USER_MEMORY_REGION). */
static int slot_check_change(const struct memslot *old, const struct memslot *new)
{
    if (!old->pages || !new->pages)
        return 0;
    if (old->pages != new->pages || old->hva != new->hva ||
        ((old->flags ^ new->flags) & KVM_MEM_READONLY))
        return -EINVAL;
    return 0;
}

static u32 vm_count_aliases(const struct vm *vm, const struct memslot *new)
{
    u64 end = new->hva + (new->pages << PAGE_SHIFT);
    u32 n = 0;

    for (u32 i = 0; i < vm->slots_end; i++) {
        const struct memslot *s = &vm->slots[i];

        n += s->pages && s->hva < end && new->hva < s->hva + (s->pages << PAGE_SHIFT);
    }
    return n;
}

/* What is taken from the VMM's memory is looked for in all slots of its VMs, and taken from each
 * that has it, under pt_lock. */
static int slot_check_walks(struct vm *vm, const struct memslot *old, const struct memslot *new)
{
    struct aspace *as = vm->aspace;
    struct translation *t;
    u32 aliases = 0, slots = MAX(vm->slots_end, (u32)(old - vm->slots) + 1);

    if (!new->pages || old->pages) /* it keeps its place in the VMM */
        return 0;
    spin_lock(&as->pt_lock);
    list_for_each (t, &as->translations, node) {
        struct vm *other = container_of(t, struct vm, xlate);

        if (t->zap != vm_zap)
            continue;
        aliases += vm_count_aliases(other, new);
        slots += other == vm ? 0 : other->slots_end;
    }
    spin_unlock(&as->pt_lock);
    return aliases < SLOT_ALIASES_MAX && slots <= SLOTS_IN_ALL_MAX ? 0 : -ENOSPC;
}

int vm_set_slot(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
    struct memslot new = {
        .gfn = r->guest_phys_addr >> PAGE_SHIFT,
        .pages = r->memory_size >> PAGE_SHIFT,
        .hva = r->userspace_addr,
        .flags = r->flags,
    };
    struct memslot *s, old;
    int err = slot_check(vm, r);

    if (err)
        return err;
    s = &vm->slots[r->slot];
    err = slot_check_change(s, &new);
    if (!err)
        err = slot_check_walks(vm, s, &new);
    if (err)
        return err;
    if (new.pages && (new.flags &KVM_MEM_LOG_DIRTY_PAGES)) {
        new.dirty =
            s->dirty &&new.gfn == s->gfn ? s->dirty : kcalloc(DIV_ROUND_UP(new.pages, 64), 8);
        if (!new.dirty)
            return -ENOMEM;
    }
    vm_empty_slot(vm, s);
    spin_lock(&vm->aspace->pt_lock);
    old = *s;
    seqcount_write_begin(&vm->slot_seq);
    *s = new;
    vm->slots_end = MAX(vm->slots_end, r->slot + 1);
    while (vm->slots_end && !vm->slots[vm->slots_end - 1].pages)
        vm->slots_end--;
    seqcount_write_end(&vm->slot_seq);
    spin_unlock(&vm->aspace->pt_lock);
    if (old.dirty != new.dirty)
        kfree(old.dirty);
    return 0;
}

/* n words of the log from `at` on, cleared as they are taken; pages that were dirty fault again. */
static void vm_take_dirty(struct vm *vm, struct memslot *s, u64 at, u64 n, u64 *out)
{
    bool gone = false;

    spin_lock(&vm->aspace->pt_lock);
    for (u64 i = 0; i < n; i++) {
        u64 page = (at + i) * 64;

        out[i] = s->dirty[at + i];
        s->dirty[at + i] = 0;
        if (out[i])
            gone |= vm_unmap_gfns_locked(vm, s->gfn + page, MIN(64UL, s->pages - page));
    }
    if (gone)
        vm_flush_and_reap_locked(vm);
    spin_unlock(&vm->aspace->pt_lock);
}

/* The dirty bits so far. vm->lock held, so the slot stays. */
int vm_get_dirty_log(struct vm *vm, const struct kvm_dirty_log *log)
{
    u64 words, part[DIRTY_PART], to = (u64)log->dirty_bitmap;
    struct memslot *s;

    if (log->slot >= VM_SLOTS_MAX)
        return -EINVAL;
    s = &vm->slots[log->slot];
    if (!s->dirty)
        return -ENOENT;
    words = DIV_ROUND_UP(s->pages, 64);
    for (u64 i = 0; i < words; i += DIRTY_PART) {
        u64 n = MIN(words - i, (u64)DIRTY_PART);

        vm_take_dirty(vm, s, i, n, part);
        if (copy_out((void __user *)(to + i * 8), part, n * 8))
            return -EFAULT;
        cond_yield();
    }
    return 0;
}

/* ------------------------------------------------------------- faults */

static bool vm_table_at(struct vm *vm, u64 gpa)
{
    unsigned level;

    pgtable_lookup(&vm->npt, gpa, &level);
    return level == 0;
}

/* Makes way for a small entry. False: there is no large one. */
static bool vm_drop_leaf_over(struct vm *vm, u64 gpa)
{
    unsigned level;
    u64 *e = pgtable_lookup(&vm->npt, gpa, &level);

    if (!e || !level)
        return false;
    WRITE_ONCE(*e, 0);
    vm_flush_locked(vm, VM_EVERY_VCPU);
    return true;
}

/* A small one takes the place of a large one in one go: were the guest to fault again in between,
 * the reads of its page walk could bring the large one back before each fetch. NULL: no memory. */
static u64 *vm_make_entry(struct vm *vm, u64 gpa, bool large)
{
    u64 at = gpa & ~((large ? HUGE_SIZE : PAGE_SIZE) - 1), *e;

    if (FAILPOINT(nested_table))
        return NULL;
    e = pgtable_entry(&vm->npt, at, large);
    return e || large || !vm_drop_leaf_over(vm, gpa) ? e : pgtable_entry(&vm->npt, at, false);
}

/* 2 MiB where the slot, both addresses, the log, and what is there already, allow it. */
static bool vm_leaf_is_large(struct vm *vm, const struct memslot *s, gpa_t gpa,
                             const struct fault_result *r, unsigned access)
{
    u64 base = gpa.v & ~(HUGE_SIZE - 1), slot_start = s->gfn << PAGE_SHIFT;
    u64 hva = s->hva + (gpa.v - slot_start);

    if (r->level != 1 || s->dirty || (hva & (HUGE_SIZE - 1)) != (gpa.v & (HUGE_SIZE - 1)) ||
        base < slot_start || base + HUGE_SIZE > slot_start + (s->pages << PAGE_SHIFT) ||
        vm_table_at(vm, base))
        return false;
    if (!hv_small_code || access != FAULT_EXEC)
        return true;
    COUNT(hv_exec_splits);
    return false;
}

/* pt_lock held, sequence checked. */
static int vm_install_locked(struct vm *vm, const struct memslot *s, gpa_t gpa,
                             const struct fault_result *r, unsigned access)
{
    u64 hva = s->hva + (gpa.v - (s->gfn << PAGE_SHIFT)), pa = r->pa.v;
    unsigned prot = r->prot | PT_EXEC | PT_USER;
    bool large = vm_leaf_is_large(vm, s, gpa, r, access);
    u64 *e;

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

/* The slot that has gpa, as it is now. 0, VM_NO_SLOT, VM_READ_ONLY, -EAGAIN. */
static int vm_fault_slot(struct vm *vm, gpa_t gpa, unsigned access, struct memslot *out)
{
    const struct memslot *s;

    spin_lock(&vm->aspace->pt_lock);
    s = vm_slot_of(vm, gpa.v >> PAGE_SHIFT);
    if (s)
        *out = *s;
    spin_unlock(&vm->aspace->pt_lock);
    if (!s)
        return VM_NO_SLOT;
    if (out->busy)
        return -EAGAIN;
    return (access & FAULT_WRITE) && (out->flags & KVM_MEM_READONLY) ? VM_READ_ONLY : 0;
}

/* What r is may not be so any more, nor the slot be where it was: -EAGAIN. */
static int vm_fault_install(struct vm *vm, const struct memslot *was, gpa_t gpa,
                            const struct fault_result *r, unsigned access)
{
    const struct memslot *s;
    int err = -EAGAIN;

    spin_lock(&vm->aspace->pt_lock);
    s = vm_slot_of(vm, gpa.v >> PAGE_SHIFT);
    if (s && !s->busy && s->hva == was->hva && s->gfn == was->gfn && s->flags == was->flags &&
        vm->aspace->seq == r->seq)
        err = vm_install_locked(vm, s, gpa, r, access);
    spin_unlock(&vm->aspace->pt_lock);
    return err;
}

/* Tried once: other threads may change the address space in between, each time, for as long as they
 * like, and it is the guest that faults again, after what its thread has to do. */
int vm_fault(struct vm *vm, gpa_t gpa, unsigned access)
{
    struct memslot slot;
    struct fault_result r;
    u64 hva;
    u32 flags;
    int err;

    COUNT(hv_nested_faults);
    if (!vm_peek_slot(vm, gpa, &hva, &flags))
        return VM_NO_SLOT;
    err = vm_fault_slot(vm, gpa, access, &slot);
    if (err)
        return err;
    err = aspace_resolve(vm->aspace, slot.hva + (gpa.v - (slot.gfn << PAGE_SHIFT)),
                         access & FAULT_WRITE ? FAULT_WRITE : FAULT_READ, &r);
    if (err)
        return err;
    err = vm_fault_install(vm, &slot, gpa, &r, access);
    if (r.page)
        page_put(page_head(r.page));
    if (err == -ENOMEM) /* for a table */
        return memory_relieve_kernel() ?: -EAGAIN;
    return err;
}

/* ------------------------------------------------------------- copies */

/* After a write through the VMM's mapping, never before it: a log that is read in between, and with
 * it the page, would not have it again. */
static void vm_note_write(struct vm *vm, gpa_t gpa)
{
    struct memslot *s;
    u64 hva;
    u32 flags;

    smp_mb(); /* pairs with pt_lock, where a VMM turns the log on before it reads the page */
    if (likely(!vm_peek_slot(vm, gpa, &hva, &flags) || !(flags & KVM_MEM_LOG_DIRTY_PAGES)))
        return;
    spin_lock(&vm->aspace->pt_lock);
    s = vm_slot_of(vm, gpa.v >> PAGE_SHIFT);
    if (s && s->dirty)
        slot_mark_dirty(s, gpa);
    spin_unlock(&vm->aspace->pt_lock);
}

/* Where a page of guest memory lies, to be read or written. */
static bool vm_hva(struct vm *vm, gpa_t gpa, bool write, u64 *hva)
{
    u32 flags;

    return vm_peek_slot(vm, gpa, hva, &flags) && !(write && (flags & KVM_MEM_READONLY));
}

bool vm_has_memory(struct vm *vm, gpa_t gpa, bool write)
{
    u64 hva;

    return vm_hva(vm, gpa, write, &hva);
}

/* A page at a time, since a dirty log counts pages. */
static int guest_copy(struct vm *vm, gpa_t gpa, void *buf, u64 n, bool write)
{
    u8 *p = buf;

    while (n) {
        u64 hva, chunk = MIN(n, PAGE_SIZE - (gpa.v & (PAGE_SIZE - 1)));
        ssize_t done;

        if (!vm_hva(vm, gpa, write, &hva))
            return -EFAULT;
        if (write)
            DELAYPOINT(guest_write);
        if (aspace_current() == vm->aspace)
            done = write ? (user_copy_out((void __user *)hva, p, chunk) ? -1 : (ssize_t)chunk)
                         : (user_copy_in(p, (const void __user *)hva, chunk) ? -1 : (ssize_t)chunk);
        else
            done = write ? aspace_write(vm->aspace, hva, p, chunk, false)
                         : aspace_read(vm->aspace, hva, p, chunk, false);
        if (write)
            vm_note_write(vm, gpa);
        if (done != (ssize_t)chunk)
            return -EFAULT;
        gpa.v += chunk;
        p += chunk;
        n -= chunk;
    }
    return 0;
}

/* Mostly a few bytes, of an instruction or a page-table entry, by a vCPU's own thread. */
int guest_read(struct vm *vm, gpa_t gpa, void *dst, u64 n)
{
    u64 hva;
    u32 flags;

    if (n > PAGE_SIZE - (gpa.v & (PAGE_SIZE - 1)) || aspace_current() != vm->aspace)
        return guest_copy(vm, gpa, dst, n, false);
    if (!vm_peek_slot(vm, gpa, &hva, &flags))
        return -EFAULT;
    return user_copy_in(dst, (const void __user *)hva, n) ? -EFAULT : 0;
}

bool guest_hva(struct vm *vm, gpa_t gpa, u64 *hva)
{
    u32 flags;

    return vm_peek_slot(vm, gpa, hva, &flags);
}

int guest_load(struct vm *vm, gpa_t gpa, u32 size, u64 *out)
{
    u64 hva;
    u32 flags, low;
    int err;

    *out = 0;
    if (aspace_current() != vm->aspace || !vm_peek_slot(vm, gpa, &hva, &flags))
        return guest_copy(vm, gpa, out, size, false);
    if (size == 8)
        return user_load64(out, (const u64 __user *)hva);
    err = user_load32(&low, (const u32 __user *)hva);
    *out = err ? 0 : low;
    return err;
}

int guest_write(struct vm *vm, gpa_t gpa, const void *src, u64 n)
{
    return guest_copy(vm, gpa, (void *)src, n, true);
}

int guest_cas(struct vm *vm, gpa_t gpa, void *old, u64 new, u32 len)
{
    u64 hva;

    if (len > PAGE_SIZE - (gpa.v & (PAGE_SIZE - 1)) || aspace_current() != vm->aspace ||
        !vm_hva(vm, gpa, true, &hva) || user_cas((void __user *)hva, old, new, len))
        return -EFAULT;
    vm_note_write(vm, gpa);
    return 0;
}
