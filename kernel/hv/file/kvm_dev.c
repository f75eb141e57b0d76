/* SPDX-License-Identifier: MIT
 *
 * /dev/kvm: choosing the backend, and the ioctls of the whole system (Linux
 * Documentation/virt/kvm/api: system ioctls).
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/uaccess.h"
#include "dev/chrdev.h"
#include "hv/file/file.h"
#include "hv/regs/regs.h"
#include "hv/up.h"
#include "lib/err.h"
#include "mm/slab.h"
#include "mm/up.h"

#define KVM_API 12

static s64 kvm_supported_cpuid(u64 arg)
{
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 *entries;
    u32 count;
    int err;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.nent == 0)
        return -E2BIG;
    entries = kcalloc(VCPU_CPUID_MAX, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    err = hv_supported_cpuid(entries, VCPU_CPUID_MAX, &count);
    if (!err && count > head.nent)
        err = -E2BIG;
    head.nent = count;
    if (!err && (copy_out((void __user *)arg, &head, sizeof(head)) ||
                 copy_out((void __user *)(arg + sizeof(head)), entries, count * sizeof(*entries))))
        err = -EFAULT;
    kfree(entries);
    return err;
}

static s64 kvm_msr_list(u64 arg, const u32 *list, u32 count)
{
    struct kvm_msr_list head;
    u32 capacity;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    capacity = head.nmsrs;
    head.nmsrs = count;
    if (copy_out((void __user *)arg, &head, sizeof(head)))
        return -EFAULT;
    if (capacity < count)
        return -E2BIG;
    return copy_out((void __user *)(arg + sizeof(head)), list, count * sizeof(list[0]));
}

/* As many as are known, in order; how many that was. */
static s64 kvm_feature_msrs(u64 arg)
{
    struct kvm_msrs head;
    u32 i;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    if (head.nmsrs >= HV_MSRS_MAX)
        return -E2BIG;
    for (i = 0; i < head.nmsrs; i++) {
        u64 at = arg + sizeof(head) + i * sizeof(struct kvm_msr_entry);
        struct kvm_msr_entry e;

        if (copy_in(&e, (const void __user *)at, sizeof(e)))
            return -EFAULT;
        if (hv_get_feature_msr(e.index, &e.data))
            break;
        if (copy_out((void __user *)at, &e, sizeof(e)))
            return -EFAULT;
    }
    return i;
}

static s64 kvm_create_vm(u64 type)
{
    struct file *f;

    if (type != 0)
        return -EINVAL;
    f = vm_create_file();
    return IS_ERR(f) ? PTR_ERR(f) : up_fd_publish(f);
}

static s64 kvm_dev_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    switch (cmd) {
    case KVM_GET_API_VERSION:
        return arg ? -EINVAL : KVM_API;
    case KVM_CREATE_VM:
        return kvm_create_vm(arg);
    case KVM_CHECK_EXTENSION:
        return hv_check_extension(arg);
    case KVM_GET_VCPU_MMAP_SIZE:
        return arg ? -EINVAL : (s64)(VCPU_RUN_PAGES * PAGE_SIZE);
    case KVM_X86_GET_MCE_CAP_SUPPORTED:
        return hv_mce_supported(arg);
    case KVM_GET_SUPPORTED_CPUID:
        return kvm_supported_cpuid(arg);
    case KVM_GET_SUPPORTED_HV_CPUID:
        return hv_hyperv_cpuid(arg);
    case KVM_GET_MSR_INDEX_LIST:
        return kvm_msr_list(arg, hv_msr_list, hv_msr_count);
    case KVM_GET_MSR_FEATURE_INDEX_LIST:
        return kvm_msr_list(arg, hv_feature_msrs, hv_feature_msr_count);
    case KVM_GET_MSRS:
        return kvm_feature_msrs(arg);
    default:
        return -ENOTTY;
    }
}

static int kvm_open(struct file *f, u32 minor)
{
    return hv_ops ? 0 : -ENODEV;
}

static const struct file_ops kvm_dev_ops = {.name = "kvm", .ioctl = kvm_dev_ioctl};
CHRDEV(kvm) = {"kvm", 10, 232, 0660, &kvm_dev_ops, kvm_open, 1, false};
