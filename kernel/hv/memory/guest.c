/* SPDX-License-Identifier: MIT
 *
 * Guest memory as the kernel reads and writes it: through the VMM's mapping, like the VMM itself. A
 * vCPU's own thread does so in its address space; other threads go through the page.
 */
#include "arch/x86/uaccess.h"
#include "hv/memory/memory_priv.h"
#include "lib/errno.h"

/* Where a page lies in the VMM: what is read there is the VMM's memory, and a slot that has just
 * gone had it a moment ago. False: no slot. */
static bool vm_peek_slot(struct vm *vm, gpa_t gpa, u64 *hva, u32 *flags)
{
    const struct memslot *s;

    rcu_read_lock();
    s = vm_slot_of(rcu_dereference(vm->slots), gpa.v >> PAGE_SHIFT);
    if (s) {
        *hva = s->at.hva + (gpa.v - (s->at.gfn << PAGE_SHIFT));
        *flags = s->flags;
    }
    rcu_read_unlock();
    return s;
}

/* After a write through the VMM's mapping, never before it: a log that is read in between, and with
 * it the page, would not have it again. */
static void vm_note_write(struct vm *vm, gpa_t gpa)
{
    const struct memslot *s;

    smp_mb(); /* pairs with that of vm_set_slot: a VMM turns the log on, then reads the page */
    rcu_read_lock();
    s = vm_slot_of(rcu_dereference(vm->slots), gpa.v >> PAGE_SHIFT);
    if (unlikely(s && s->dirty))
        slot_mark_dirty(s, gpa);
    rcu_read_unlock();
}

/* The same, to be read or written. */
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
