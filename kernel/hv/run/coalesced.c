/* SPDX-License-Identifier: MIT
 *
 * Coalesced writes: what a guest writes into a zone of addresses or ports that a VMM has named
 * waits in a ring, without a trip to the VMM, until the VMM looks. The ring is one page of the
 * VM's, which the run area of each vCPU has as its last page; its indices are shared with user
 * space, so each is read once and checked. Where the ring is full the write leaves for user space
 * like any other.
 *
 * Lock order: vm->lock (changes), then eventfd_lock (zones and the ring's end).
 */
#include "arch/x86/uaccess.h"
#include "hv/run/run.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "vm/object.h"

#define COALESCED_ZONES_MAX 1000 /* per VM */

struct coalesced_zone {
    struct list_node node; /* eventfd_lock */
    u64 addr;
    u32 size;
    bool port;
};

static_assert(sizeof(struct kvm_coalesced_mmio) == 24, "as Linux has it");

int vm_coalesced_init(struct vm *vm)
{
    list_init(&vm->zones);
    vm->ring_object = mem_object_create_shared(PAGE_SIZE);
    return vm->ring_object ? 0 : -ENOMEM;
}

void vm_coalesced_destroy(struct vm *vm)
{
    while (!list_empty(&vm->zones)) {
        struct coalesced_zone *z = container_of(vm->zones.next, struct coalesced_zone, node);

        list_del(&z->node);
        kfree(z);
    }
    if (vm->ring_page)
        page_put(vm->ring_page);
    mem_object_put(vm->ring_object);
}

static bool coalesced_covers(const struct coalesced_zone *z, bool port, u64 addr, u64 len)
{
    return z->port == port && addr >= z->addr && len <= z->size && addr - z->addr <= z->size - len;
}

/* vm->lock held. */
static int coalesced_ring_make(struct vm *vm) REQUIRES(vm->lock)
{
    ASSERT_HELD(&vm->lock);
    return vm->ring_page ? 0 : mem_object_page(vm->ring_object, 0, true, &vm->ring_page);
}

/* vm->lock held. The same zone twice is two, as on Linux. */
static int coalesced_add(struct vm *vm, const struct kvm_coalesced_mmio_zone *arg)
    REQUIRES(vm->lock)
{
    struct coalesced_zone *z, *other;
    unsigned zones = 0;
    int err = coalesced_ring_make(vm);

    ASSERT_HELD(&vm->lock);
    if (err)
        return err;
    list_for_each (other, &vm->zones, node)
        zones++;
    if (zones >= COALESCED_ZONES_MAX)
        return -ENOSPC;
    z = kzalloc(sizeof(*z));
    if (!z)
        return -ENOMEM;
    *z = (struct coalesced_zone){.addr = arg->addr, .size = arg->size, .port = arg->pio};
    spin_lock(&vm->eventfd_lock);
    list_add_tail(&vm->zones, &z->node);
    spin_unlock(&vm->eventfd_lock);
    return 0;
}

/* vm->lock held. Every zone that has all of it goes; that there is none is no error on Linux. */
static int coalesced_remove(struct vm *vm, const struct kvm_coalesced_mmio_zone *arg)
    REQUIRES(vm->lock)
{
    struct coalesced_zone *z, *next;

    ASSERT_HELD(&vm->lock);
    LIST_HEAD(gone);

    spin_lock(&vm->eventfd_lock);
    list_for_each_safe (z, next, &vm->zones, node) {
        if (coalesced_covers(z, arg->pio, arg->addr, arg->size)) {
            list_del(&z->node);
            list_add_tail(&gone, &z->node);
        }
    }
    spin_unlock(&vm->eventfd_lock);
    list_for_each_safe (z, next, &gone, node)
        kfree(z);
    return 0;
}

s64 vm_coalesced_ioctl(struct vm *vm, unsigned cmd, u64 arg)
{
    struct kvm_coalesced_mmio_zone zone;
    int err;

    if (copy_in(&zone, (const void __user *)arg, sizeof(zone)))
        return -EFAULT;
    if (zone.pio > 1)
        return -EINVAL;
    mutex_lock(&vm->lock);
    err =
        cmd == KVM_REGISTER_COALESCED_MMIO ? coalesced_add(vm, &zone) : coalesced_remove(vm, &zone);
    mutex_unlock(&vm->lock);
    return err;
}

/* False: it is full, or user space has spoilt it. */
static bool coalesced_push(struct vm *vm, bool port, u64 addr, const void *data, u32 len)
    REQUIRES(vm->eventfd_lock)
{
    struct kvm_coalesced_mmio_ring *ring = page_virt(vm->ring_page);
    u32 last = READ_ONCE(ring->last), next = (last + 1) % KVM_COALESCED_MMIO_MAX;
    struct kvm_coalesced_mmio *entry;

    ASSERT_HELD(&vm->eventfd_lock);
    if (last >= KVM_COALESCED_MMIO_MAX || next == READ_ONCE(ring->first))
        return false;
    entry = &ring->coalesced_mmio[last];
    entry->phys_addr = addr;
    entry->len = len;
    entry->pio = port;
    memcpy(entry->data, data, len);
    store_release(&ring->last, next); /* user space reads last, then the entry */
    return true;
}

int coalesced_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len)
{
    struct coalesced_zone *z;
    bool taken = false;

    if (len > sizeof(((struct kvm_coalesced_mmio *)0)->data))
        return -EOPNOTSUPP;
    spin_lock(&vm->eventfd_lock);
    list_for_each (z, &vm->zones, node)
        if (coalesced_covers(z, port, addr, len)) {
            taken = coalesced_push(vm, port, addr, data, len);
            break;
        }
    spin_unlock(&vm->eventfd_lock);
    return taken ? 0 : -EOPNOTSUPP;
}
