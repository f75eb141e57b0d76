/* SPDX-License-Identifier: MIT
 *
 * A VM as a file: its ioctls (Linux Documentation/virt/kvm/api: vm ioctls).
 */
#include "arch/x86/uaccess.h"
#include "hv/file/file.h"
#include "hv/irq/irqchip.h"
#include "hv/memory/memory.h"
#include "hv/run/run.h"
#include "lib/err.h"
#include "sched/timer.h"
#include "obj/file.h"

#define VM_SPLIT_PINS_MAX 4096 /* user space's I/O APICs together; we keep no note of them */

/* late: what a vCPU that is there already leads to. */
static int vm_create_irqchip(struct vm *vm, bool split, int late)
{
    int err;

    mutex_lock(&vm->lock);
    if (vm->irqchip)
        err = -EEXIST;
    else if (vm->nr_vcpus)
        err = late;
    else
        err = irqchip_create(vm, split);
    mutex_unlock(&vm->lock);
    return err;
}

static int vm_ioctl_enable_cap(struct vm *vm, u64 arg)
{
    struct kvm_enable_cap cap;

    if (copy_in(&cap, (const void __user *)arg, sizeof(cap)))
        return -EFAULT;
    if (cap.flags)
        return -EINVAL;
    switch (cap.cap) {
    case KVM_CAP_SPLIT_IRQCHIP:
        if (cap.args[0] > VM_SPLIT_PINS_MAX)
            return -EINVAL;
        return vm_create_irqchip(vm, true, -EEXIST);
    case KVM_CAP_X86_USER_SPACE_MSR:
        return vm_set_user_msrs(vm, cap.args[0]);
    case KVM_CAP_MSR_PLATFORM_INFO:
        WRITE_ONCE(vm->no_platform_info, !cap.args[0]);
        return 0;
    case KVM_CAP_DISABLE_QUIRKS2: /* there are none */
        return cap.args[0] & ~(u64)HV_QUIRKS ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

static int vm_ioctl_slot(struct vm *vm, u64 arg)
{
    struct kvm_userspace_memory_region region;
    int err;

    if (copy_in(&region, (const void __user *)arg, sizeof(region)))
        return -EFAULT;
    mutex_lock(&vm->lock);
    err = vm_set_slot(vm, &region);
    mutex_unlock(&vm->lock);
    return err;
}

static int vm_ioctl_dirty_log(struct vm *vm, u64 arg)
{
    struct kvm_dirty_log log;
    int err;

    if (copy_in(&log, (const void __user *)arg, sizeof(log)))
        return -EFAULT;
    mutex_lock(&vm->lock);
    err = vm_get_dirty_log(vm, &log);
    mutex_unlock(&vm->lock);
    return err;
}

static int vm_ioctl_get_clock(struct vm *vm, u64 arg)
{
    struct kvm_clock_data data = {
        .clock = (u64)((s64)time_ns() + READ_ONCE(vm->clock_offset)),
        .flags = 2, /* KVM_CLOCK_TSC_STABLE */
    };

    return copy_out((void __user *)arg, &data, sizeof(data));
}

static int vm_ioctl_set_clock(struct vm *vm, u64 arg)
{
    struct kvm_clock_data data;

    if (copy_in(&data, (const void __user *)arg, sizeof(data)))
        return -EFAULT;
    if (data.flags & ~14U)
        return -EINVAL;
    mutex_lock(&vm->lock);
    WRITE_ONCE(vm->clock_offset, (s64)(data.clock - time_ns()));
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        if (vm->vcpus[i])
            vcpu_request(vm->vcpus[i], VCPU_REQ_CLOCK);
    mutex_unlock(&vm->lock);
    return 0;
}

/* Of no use here: as KVM_SET_TSS_ADDR. */
static int vm_ioctl_identity_map(struct vm *vm, u64 arg)
{
    u64 addr;

    if (copy_in(&addr, (const void __user *)arg, sizeof(addr)))
        return -EFAULT;
    return load_acquire(&vm->nr_vcpus) ? -EINVAL : 0;
}

static int vm_ioctl_boot_vcpu(struct vm *vm, u64 id)
{
    int err = -EBUSY;

    mutex_lock(&vm->lock);
    if (!vm->nr_vcpus) {
        vm->boot_vcpu = id;
        err = 0;
    }
    mutex_unlock(&vm->lock);
    return err;
}

/* How many shadow tables a VM may have: nested ones are charged and come back by themselves, so the
 * number is kept, and that is all, as on Linux. */
static s64 vm_set_mmu_pages(struct vm *vm, u64 pages)
{
    if ((u32)pages < VM_MMU_PAGES_MIN)
        return -EINVAL;
    WRITE_ONCE(vm->mmu_pages, (u32)pages);
    return 0;
}

static s64 vm_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct vm *vm = f->priv;
    int fd, err;

    /* A VM belongs to the address space that made it. */
    if (aspace_current() != vm->aspace)
        return -EIO;

    switch (cmd) {
    case KVM_CREATE_VCPU:
        err = arg <= U32_MAX ? vcpu_create(vm, (u32)arg, &fd) : -EINVAL;
        return err ? err : fd;
    case KVM_SET_USER_MEMORY_REGION:
        return vm_ioctl_slot(vm, arg);
    case KVM_GET_DIRTY_LOG:
        return vm_ioctl_dirty_log(vm, arg);
    case KVM_CREATE_IRQCHIP:
        return vm_create_irqchip(vm, false, -EINVAL);
    case KVM_ENABLE_CAP:
        return vm_ioctl_enable_cap(vm, arg);
    case KVM_SET_TSS_ADDR: /* real mode needs no help from memory: unrestricted guest, or AMD-V */
        return arg > U32_MAX - 3 * PAGE_SIZE ? -EINVAL : 0;
    case KVM_SET_IDENTITY_MAP_ADDR:
        return vm_ioctl_identity_map(vm, arg);
    case KVM_X86_SET_MSR_FILTER:
        return vm_set_msr_filter(vm, arg);
    case KVM_SET_BOOT_CPU_ID:
        return vm_ioctl_boot_vcpu(vm, arg);
    case KVM_CHECK_EXTENSION:
        return hv_check_extension(arg);
    case KVM_REGISTER_COALESCED_MMIO:
    case KVM_UNREGISTER_COALESCED_MMIO:
        return vm_coalesced_ioctl(vm, cmd, arg);
    case KVM_IRQFD:
        return vm_irqfd_ioctl(vm, arg);
    case KVM_IOEVENTFD:
        return vm_ioeventfd_ioctl(vm, arg);
    case KVM_GET_STATS_FD:
        return hv_stats_fd(vm, NULL, NULL);
    case KVM_SET_NR_MMU_PAGES:
        return vm_set_mmu_pages(vm, arg);
    case KVM_GET_NR_MMU_PAGES:
        return READ_ONCE(vm->mmu_pages);
    case KVM_GET_CLOCK:
        return vm_ioctl_get_clock(vm, arg);
    case KVM_SET_CLOCK:
        return vm_ioctl_set_clock(vm, arg);
    default:
        return irqchip_ioctl(vm, cmd, arg);
    }
}

static void vm_release(struct file *f)
{
    vm_put(f->priv);
}

static const struct file_ops vm_file_ops = {
    .name = "anon_inode:kvm-vm",
    .ioctl = vm_file_ioctl,
    .release = vm_release,
};

struct file *vm_create_file(void)
{
    struct vm *vm;
    struct file *f;
    int err = vm_create(&vm);

    if (err)
        return ERR_PTR(err);
    f = file_create(&vm_file_ops, O_RDWR, vm);
    if (!f) {
        vm_put(vm);
        return ERR_PTR(-ENOMEM);
    }
    return f;
}
