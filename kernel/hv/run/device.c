/* SPDX-License-Identifier: MIT
 *
 * A guest's access to a port or to an address without memory: the kernel's own chips have it, or an
 * eventfd or the ring that the VMM has named for it, or else it leaves for user space.
 */
#include "hv/irq/irqchip.h"
#include "hv/run/run.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"

int vm_port_read(struct vcpu *v, u16 port, void *data, u32 len)
{
    u8 *p = data;

    if (!v->vm->irqchip || len != 1)
        return -EOPNOTSUPP;
    return irqchip_port(v->vm, port, p, false);
}

/* What a VMM has named for an eventfd or for the ring. */
static int vm_listed_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len)
{
    if (vm_has_ioeventfds(vm) && ioeventfd_write(vm, port, addr, data, len) == 0)
        return 0;
    return vm_has_zones(vm) ? coalesced_write(vm, port, addr, data, len) : -EOPNOTSUPP;
}

int vm_port_write(struct vcpu *v, u16 port, const void *data, u32 len)
{
    if (v->vm->irqchip && len == 1 && irqchip_port(v->vm, port, (u8 *)data, true) == 0)
        return 0;
    return vm_listed_write(v->vm, true, port, data, len);
}

/* Leaves for user space with one port access; the answer to an IN is in the page after kvm_run. */
int vcpu_ask_port(struct vcpu *v, u16 port, u32 size, bool in, const void *data)
{
    ASSERT_HELD(&v->lock);
    v->run->exit_reason = KVM_EXIT_IO;
    v->run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
    v->run->io.size = (u8)size;
    v->run->io.port = port;
    v->run->io.count = 1;
    v->run->io.data_offset = PAGE_SIZE;
    if (!in && size == 1) /* what drivers write most */
        *(u8 *)page_virt(v->run_pages[1]) = *(const u8 *)data;
    else if (!in)
        memcpy(page_virt(v->run_pages[1]), data, size);
    v->asked.port = true;
    v->asked.len = size;
    return 0;
}

/* ------------------------------------------------------------- memory */

int vm_mmio_read(struct vcpu *v, gpa_t gpa, void *data, u32 len)
{
    return v->vm->irqchip ? irqchip_mmio(v, gpa, data, len, false) : -EOPNOTSUPP;
}

int vm_mmio_write(struct vcpu *v, gpa_t gpa, const void *data, u32 len)
{
    if (v->vm->irqchip && irqchip_mmio(v, gpa, (void *)data, len, true) == 0)
        return 0;
    return vm_listed_write(v->vm, false, gpa.v, data, len);
}

int vcpu_ask_mmio(struct vcpu *v, u64 gpa, u32 len, bool write, const void *data)
{
    u64 value = 0;

    ASSERT_HELD(&v->lock);
    v->run->exit_reason = KVM_EXIT_MMIO;
    v->run->mmio.phys_addr = gpa;
    v->run->mmio.len = len;
    v->run->mmio.is_write = write;
    if (write)
        memcpy(&value, data, len);
    memcpy(v->run->mmio.data, &value, sizeof(value));
    v->asked.port = false;
    v->asked.len = len;
    return 0;
}
