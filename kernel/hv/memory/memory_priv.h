/* SPDX-License-Identifier: MIT
 *
 * Within memory/: slots, and the lock of the nested tables.
 */
#pragma once

#include "hv/memory/memory.h"
#include "lib/log.h"

#define VM_PART_PAGES (1UL << 15) /* of a slot, under one hold of nested_lock */

/* I but for: n nested_lock · a atomic */
struct memslot {
    struct slot_range at;
    u16 id;
    u32 flags;     /* KVM_MEM_* */
    u64 *dirty;    /* bitmap of `pages` bits while LOG_DIRTY_PAGES is on; a */
    bool log_kept; /* its successor has the same bitmap */
    bool busy;     /* n  being emptied: nothing is installed */
    struct rcu_head rcu;
};

/* With nested_lock held, or as an RCU reader. NULL: no slot. */
static inline struct memslot *vm_slot_of(const struct slot_set *set, u64 gfn)
{
    struct slot_range *at = slot_table_find(&set->table, gfn);

    return at ? container_of(at, struct memslot, at) : NULL;
}

/* The slot has a log. As vm_slot_of. */
static inline void slot_mark_dirty(const struct memslot *s, gpa_t gpa)
{
    u64 page = (gpa.v >> PAGE_SHIFT) - s->at.gfn;

    __atomic_fetch_or(&s->dirty[page / 64], 1UL << (page % 64), __ATOMIC_RELAXED);
}

/* ---- nested.c ---- */
/* True: entries went, and the caller has to flush before it releases nested_lock. */
bool vm_unmap_gfns_locked(struct vm *vm, u64 gfn, u64 pages) REQUIRES(vm->nested_lock);
void vm_flush_and_reap_locked(struct vm *vm) REQUIRES(vm->nested_lock);
/* Takes all of a slot out of the tables, which write-protects it for a dirty log too, and leaves it
 * busy. vm->lock held, or the VM is at its end. */
void vm_empty_slot(struct vm *vm, struct memslot *s);

/* May one more slot have this part of the VMM's memory? */
bool vm_may_alias(struct vm *vm, u64 start, u64 end);

/* ---- slots.c ---- */
void vm_slots_init(struct vm *vm);
void vm_slots_destroy(struct vm *vm); /* no reader is left */
/* How many slots have some of [start, end) of the VMM's memory, counted up to `most`. As an RCU
 * reader. */
u32 vm_count_aliases(const struct vm *vm, u64 start, u64 end, u32 most);
