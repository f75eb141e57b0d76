/* SPDX-License-Identifier: MIT
 *
 * Memory slots (KVM_SET_USER_MEMORY_REGION) and their dirty logs. The set of them is immutable and
 * found by RCU: a change, under vm->lock, builds the next set, empties the slot that goes, and
 * publishes under nested_lock, under which entries are installed and zapped. A slot and its log
 * live until no reader is left.
 */
#include "arch/x86/uaccess.h"
#include "hv/memory/memory_priv.h"
#include "lib/err.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define GFN_MAX (1UL << (48 - PAGE_SHIFT)) /* what four levels of nested tables reach */
#define SLOT_PAGES_MAX (1UL << 31)
#define DIRTY_PART 64          /* words of a log, under one hold of nested_lock */
#define LOG_PIECE (64UL << 10) /* bytes of a log that are cleared without a yield */

static struct slot_set slots_none; /* of each new VM */

void vm_slots_init(struct vm *vm)
{
    vm->slots = &slots_none;
}

static void slot_free(struct memslot *s)
{
    if (!s->log_kept)
        kfree(s->dirty);
    kfree(s);
}

static void slot_free_rcu(struct rcu_head *head)
{
    slot_free(container_of(head, struct memslot, rcu));
}

static void slot_set_free_rcu(struct rcu_head *head)
{
    kfree(container_of(head, struct slot_set, rcu));
}

void vm_slots_destroy(struct vm *vm)
{
    const struct slot_table *t = &vm->slots->table;

    for (u32 i = 0; i < t->nr; i++)
        slot_free(container_of(t->by_gfn[i], struct memslot, at));
    if (vm->slots != &slots_none)
        kfree(vm->slots);
}

u32 vm_count_aliases(const struct vm *vm, u64 start, u64 end, u32 most)
{
    return slot_table_count(&rcu_dereference(vm->slots)->table, start, end, most);
}

/* ------------------------------------------------------------- deciding */

/* vm->lock held. NULL: it is free. */
static struct memslot *vm_slot_by_id(const struct vm *vm, u32 id) REQUIRES(vm->lock)
{
    const struct slot_table *t = &vm->slots->table;

    ASSERT_HELD(&vm->lock);
    for (u32 i = 0; i < t->nr; i++) {
        struct memslot *s = container_of(t->by_gfn[i], struct memslot, at);

        if (s->id == id)
            return s;
    }
    return NULL;
}

static int slot_check_values(const struct kvm_userspace_memory_region *r)
{
    u64 gfn = r->guest_phys_addr >> PAGE_SHIFT, pages = r->memory_size >> PAGE_SHIFT;

    if (r->slot >= VM_SLOTS_MAX || (r->flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)))
        return -EINVAL;
    if ((r->guest_phys_addr | r->memory_size | r->userspace_addr) & ~PAGE_MASK)
        return -EINVAL;
    if (pages > SLOT_PAGES_MAX || gfn + pages > GFN_MAX)
        return -EINVAL;
    if (r->userspace_addr >= USER_MAX || r->memory_size > USER_MAX - r->userspace_addr)
        return -EINVAL;
    return 0;
}

/* A slot that exists may move or change its flags, not its size, its place in user memory or
 * whether it is read-only. */
static bool slot_may_become(const struct memslot *old, const struct kvm_userspace_memory_region *r)
{
    return old->at.pages == r->memory_size >> PAGE_SHIFT && old->at.hva == r->userspace_addr &&
           !((old->flags ^ r->flags) & KVM_MEM_READONLY);
}

static int slot_check(struct vm *vm, const struct kvm_userspace_memory_region *r,
                      const struct memslot *old)
{
    u64 start = r->userspace_addr, pages = r->memory_size >> PAGE_SHIFT;

    if (!pages)
        return old ? 0 : -EINVAL;
    if (old && !slot_may_become(old, r))
        return -EINVAL;
    if (slot_table_has(&vm->slots->table, r->guest_phys_addr >> PAGE_SHIFT, pages,
                       old ? &old->at : NULL))
        return -EEXIST;
    return old || vm_may_alias(vm, start, start + r->memory_size) ? 0 : -ENOSPC;
}

/* An empty log; yields. NULL: no memory. */
static u64 *slot_log_make(u64 pages)
{
    size_t size = DIV_ROUND_UP(pages, 64) * sizeof(u64);
    char *log = kmalloc(size);

    for (size_t at = 0; log && at < size; at += LOG_PIECE) {
        memset(log + at, 0, MIN(size - at, LOG_PIECE));
        cond_yield();
    }
    return (u64 *)log;
}

/* A log goes on where the slot stays where it is. NULL: no memory. */
static struct memslot *slot_make(const struct kvm_userspace_memory_region *r,
                                 const struct memslot *old)
{
    struct memslot *s = kzalloc(sizeof(*s));

    if (!s)
        return NULL;
    s->at = (struct slot_range){
        .gfn = r->guest_phys_addr >> PAGE_SHIFT,
        .pages = r->memory_size >> PAGE_SHIFT,
        .hva = r->userspace_addr,
    };
    s->id = (u16)r->slot;
    s->flags = r->flags;
    if (!(r->flags & KVM_MEM_LOG_DIRTY_PAGES))
        return s;
    s->dirty =
        old && old->dirty && old->at.gfn == s->at.gfn ? old->dirty : slot_log_make(s->at.pages);
    if (s->dirty)
        return s;
    kfree(s);
    return NULL;
}

/* ------------------------------------------------------------- performing */

static void vm_publish_slots(struct vm *vm, struct slot_set *set)
{
    struct slot_set *old = vm->slots;

    set->generation = old->generation + 1;
    spin_lock(&vm->nested_lock);
    rcu_assign(vm->slots, set);
    spin_unlock(&vm->nested_lock);
    smp_mb(); /* pairs with that of vm_note_write */
    if (old != &slots_none)
        rcu_call(&old->rcu, slot_set_free_rcu);
}

/* new NULL: the slot goes; old NULL: it comes. */
static void vm_change_slot(struct vm *vm, struct slot_set *set, struct memslot *old,
                           struct memslot *new)
{
    if (old)
        vm_empty_slot(vm, old);
    vm_publish_slots(vm, set);
    if (!old)
        return;
    old->log_kept = new &&new->dirty == old->dirty;
    rcu_call(&old->rcu, slot_free_rcu);
}

static void slot_drop_new(struct memslot *new, const struct memslot *old)
{
    if (new && (!old || new->dirty != old->dirty))
        kfree(new->dirty);
    kfree(new);
}

int vm_set_slot(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
    struct memslot *old, *new = NULL;
    struct slot_set *set;
    int err = slot_check_values(r);

    ASSERT_HELD(&vm->lock);
    if (err)
        return err;
    old = vm_slot_by_id(vm, r->slot);
    err = slot_check(vm, r, old);
    if (err)
        return err;
    if (r->memory_size)
        new = slot_make(r, old);
    if (r->memory_size && !new)
        return -ENOMEM;
    set = kmalloc(offsetof(struct slot_set, table) + slot_table_size(vm->slots->table.nr + 1));
    if (!set) {
        slot_drop_new(new, old);
        return -ENOMEM;
    }
    /* Once more: other VMs of the address space had time meanwhile. From here on nothing yields. */
    if (new && !old && !vm_may_alias(vm, r->userspace_addr, r->userspace_addr + r->memory_size)) {
        kfree(set);
        slot_drop_new(new, old);
        return -ENOSPC;
    }
    slot_table_build(&set->table, &vm->slots->table, old ? &old->at : NULL, new ? &new->at : NULL);
    vm_change_slot(vm, set, old, new);
    return 0;
}

/* ------------------------------------------------------------- dirty logs */

/* n words of the log from `at` on, cleared as they are taken; pages that were dirty fault again. */
static void vm_take_dirty(struct vm *vm, struct memslot *s, u64 at, u64 n, u64 *out)
{
    bool gone = false;

    spin_lock(&vm->nested_lock);
    for (u64 i = 0; i < n; i++) {
        u64 page = (at + i) * 64;

        out[i] = READ_ONCE(s->dirty[at + i])
                     ? __atomic_exchange_n(&s->dirty[at + i], 0, __ATOMIC_RELAXED)
                     : 0;
        if (out[i])
            gone |= vm_unmap_gfns_locked(vm, s->at.gfn + page, MIN(64UL, s->at.pages - page));
    }
    if (gone)
        vm_flush_and_reap_locked(vm);
    spin_unlock(&vm->nested_lock);
}

/* The dirty bits so far. vm->lock held, so the slot stays. */
int vm_get_dirty_log(struct vm *vm, const struct kvm_dirty_log *log)
{
    u64 words, part[DIRTY_PART], to = (u64)log->dirty_bitmap;
    struct memslot *s;

    ASSERT_HELD(&vm->lock);
    if (log->slot >= VM_SLOTS_MAX)
        return -EINVAL;
    s = vm_slot_by_id(vm, log->slot);
    if (!s || !s->dirty)
        return -ENOENT;
    words = DIV_ROUND_UP(s->at.pages, 64);
    for (u64 i = 0; i < words; i += DIRTY_PART) {
        u64 n = MIN(words - i, (u64)DIRTY_PART);

        vm_take_dirty(vm, s, i, n, part);
        if (copy_out((void __user *)(to + i * 8), part, n * 8))
            return -EFAULT;
        cond_yield();
    }
    return 0;
}
