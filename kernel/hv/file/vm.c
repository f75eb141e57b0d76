/* SPDX-License-Identifier: MIT
 *
 * The life of a VM. It lives until its descriptor and those of its vCPUs
 * are closed; each holds a reference.
 */
#include "arch/x86/regs.h"
#include "hv/file/file.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/run/run.h"
#include "lib/err.h"
#include "mm/slab.h"
#include "sched/timer.h"

void vm_get(struct vm *vm)
{
    refcount_get(&vm->ref);
}

void vm_put(struct vm *vm)
{
    if (!refcount_put(&vm->ref))
        return;
    vm_irqfds_destroy(vm);
    vm_ioeventfds_destroy(vm);
    if (vm->irqchip)
        irqchip_destroy(vm->irqchip);
    vm_memory_destroy(vm);
    vm_filter_destroy(vm);
    vm_coalesced_destroy(vm);
    hv_ops->vm_destroy(vm);
    aspace_put_ref(vm->aspace);
    kfree(vm);
}

int vm_create(struct vm **out)
{
    int err = hv_cpus_enable();
    struct vm *vm = err ? NULL : kzalloc(sizeof(*vm));

    if (!vm)
        return err ? err : -ENOMEM;
    refcount_init(&vm->ref, 1);
    /* Over copies: of a dirty log, whose slot stays meanwhile; of a page of the guest's, which is
     * the VMM's memory. Only its own threads wait. */
    mutex_init(&vm->lock, RANK_OPS, ORDER_VM | LOCK_OVER_COPY, "vm");
    mutex_init(&vm->hyperv.lock, RANK_OPS, ORDER_HYPERV | LOCK_OVER_COPY, "hyperv");
    vm_irqfds_init(vm);
    list_init(&vm->ioeventfds);
    vm->clock_offset = -(s64)time_ns();
    vm->tsc_offset = -rdtsc();
    vm->mmu_pages = VM_MMU_PAGES_MIN;
    vm->aspace = aspace_current();
    refcount_get(&vm->aspace->ref);
    err = vm_coalesced_init(vm);
    if (err)
        goto free;
    err = vm_memory_init(vm);
    if (err)
        goto coalesced;
    err = hv_ops->vm_init(vm);
    if (err)
        goto memory;
    *out = vm;
    return 0;
memory:
    vm_memory_destroy(vm);
coalesced:
    vm_coalesced_destroy(vm);
free:
    aspace_put_ref(vm->aspace);
    kfree(vm);
    return err;
}
