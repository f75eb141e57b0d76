/* SPDX-License-Identifier: MIT
 *
 * /dev/kvm: choosing the backend, and the ioctls of the whole system (Linux
 * Documentation/virt/kvm/api: system ioctls).
 */
#include "arch/x86/acpi.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/percpu.h"
#include "arch/x86/time.h"
#include "arch/x86/uaccess.h"
#include "dev/chrdev.h"
#include "hv/irq/irqchip_priv.h"
#include "hv/up.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "mm/up.h"
#include "sched/mutex.h"

#define KVM_API 12

const struct hv_ops *hv_ops;
const char *hv_why = "the CPU has neither VT-x nor AMD-V";
bool hv_small_code;
const struct pt_format *hv_pt_format;

/* ------------------------------------------------------------- what each CPU needs */

void *hv_cpu_area[MAX_CPUS];
static struct mutex hv_cpus_lock;
static bool hv_cpus_tried; /* hv_cpus_lock */
static bool hv_cpus_up;    /* a  no further CPU comes */
static struct waitq hv_cpus_wait;
static u32 hv_cpus_out; /* a  how many cannot run guests */
u64 hv_cpus;

static int hv_cpu_areas_make(void)
{
    unsigned order = hv_ops->cpu_pages > 1, cpus = MIN(acpi_cpu_count(), (unsigned)MAX_CPUS);

    for (unsigned i = 0; i < cpus; i++) {
        if (!hv_cpu_area[i])
            hv_cpu_area[i] = page_alloc_virt(order, PA_ZERO);
        if (!hv_cpu_area[i])
            return -ENOMEM;
    }
    return 0;
}

static void hv_cpu_enable(void)
{
    const char *why = FAILPOINT(hv_cpu_enable) ? "a fail point" : hv_ops->enable_cpu();

    if (why) {
        log_info("hv: no guests on CPU %u: %s", cpu_id(), why);
        __atomic_fetch_add(&hv_cpus_out, 1, __ATOMIC_RELAXED);
        return;
    }
    __atomic_fetch_or(&hv_cpus, 1UL << cpu_id(), __ATOMIC_RELAXED);
}

void hv_processors_up(void)
{
    WRITE_ONCE(hv_cpus_up, true);
    waitq_wake_all(&hv_cpus_wait);
}

/* CPUs come up while programs run already. One that came later would not be enabled, and under VT-x
 * a vCPU's thread that gets there would not find VMPTRLD. */
int hv_cpus_enable(void)
{
    int err = wait_event_killable(&hv_cpus_wait, READ_ONCE(hv_cpus_up));

    if (err)
        return err;
    mutex_lock(&hv_cpus_lock);
    err = hv_cpu_areas_make();
    if (!err && !hv_cpus_tried) {
        up_run_on_each_cpu(hv_cpu_enable);
        hv_cpus_tried = true;
    }
    if (!err && (!hv_cpus || (hv_ops->all_cpus && hv_cpus_out)))
        err = -EBUSY;
    mutex_unlock(&hv_cpus_lock);
    return err;
}

/* ------------------------------------------------------------- the backend */

/* The reason that is kept is that of the technique which the CPU has. */
static bool hv_try(const struct hv_ops *ops, enum cpu_feature feature,
                   const struct pt_format *format)
{
    const char *why;

    if (!cpu_has(feature))
        return false;
    why = ops->probe();
    if (why) {
        hv_why = why;
        return false;
    }
    hv_ops = ops;
    hv_pt_format = format;
    return true;
}

static void hv_init(void)
{
    mutex_init(&hv_cpus_lock, RANK_HV, 0, "hv cpus");
    waitq_init(&hv_cpus_wait);
    if (hv_try(&hv_vmx_ops, X86_VMX, &pt_ept) || hv_try(&hv_svm_ops, X86_SVM, &pt_native))
        log_info("hv: %s", hv_ops->name);
    else
        log_info("hv: no virtual machines: %s", hv_why);
}
INIT_HOOK(hv_init, INIT_LATE);

/* ------------------------------------------------------------- the system's ioctls */

/* Capabilities of KVM_CHECK_EXTENSION; what is not listed is 0. */
static const struct {
    u32 cap;
    s32 value;
} kvm_caps[] = {
    {KVM_CAP_IRQCHIP, 1},
    {KVM_CAP_HLT, 1},
    {KVM_CAP_USER_MEMORY, 1},
    {KVM_CAP_SET_TSS_ADDR, 1},
    {KVM_CAP_EXT_CPUID, 1},
    {KVM_CAP_CLOCKSOURCE, 1},
    {KVM_CAP_NR_VCPUS, VM_VCPUS_MAX},
    {KVM_CAP_MAX_VCPUS, VM_VCPUS_MAX},
    {KVM_CAP_MAX_VCPU_ID, VM_VCPUS_MAX},
    {KVM_CAP_NR_MEMSLOTS, VM_SLOTS_MAX},
    {KVM_CAP_PIT, 1},
    {KVM_CAP_NOP_IO_DELAY, 1},
    {KVM_CAP_MP_STATE, 1},
    {KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET},
    {KVM_CAP_COALESCED_PIO, 1},
    {KVM_CAP_SYNC_MMU, 1},
    {KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1},
    {KVM_CAP_USER_NMI, 1},
    {KVM_CAP_SET_GUEST_DEBUG, 1},
    {KVM_CAP_REINJECT_CONTROL, 1},
    {KVM_CAP_IRQ_ROUTING, IRQ_ROUTES_MAX},
    {KVM_CAP_IRQ_INJECT_STATUS, 1},
    {KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1},
    {KVM_CAP_MCE, HV_MCE_BANKS_MAX},
    {KVM_CAP_IRQFD, 1},
    {KVM_CAP_PIT2, 1},
    {KVM_CAP_SET_BOOT_CPU_ID, 1},
    {KVM_CAP_PIT_STATE2, 1},
    {KVM_CAP_IOEVENTFD, 1},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, 1},
    {KVM_CAP_ADJUST_CLOCK, 2 /* KVM_CLOCK_TSC_STABLE */},
    {KVM_CAP_INTERNAL_ERROR_DATA, 1},
    {KVM_CAP_VCPU_EVENTS, 1},
    {KVM_CAP_INTR_SHADOW, 1},
    {KVM_CAP_DEBUGREGS, 1},
    {KVM_CAP_X86_ROBUST_SINGLESTEP, 1},
    {KVM_CAP_XSAVE, 1},
    {KVM_CAP_XCRS, 1},
    {KVM_CAP_GET_TSC_KHZ, 1},
    {KVM_CAP_TSC_DEADLINE_TIMER, 1},
    {KVM_CAP_KVMCLOCK_CTRL, 1},
    {KVM_CAP_SIGNAL_MSI, 1},
    {KVM_CAP_READONLY_MEM, 1},
    {KVM_CAP_ENABLE_CAP_VM, 1},
    {KVM_CAP_SPLIT_IRQCHIP, 1},
    {KVM_CAP_IRQFD_RESAMPLE, 1},
    {KVM_CAP_IOEVENTFD_NO_LENGTH, 1},
    {KVM_CAP_CHECK_EXTENSION_VM, 1},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, 1},
    {KVM_CAP_IMMEDIATE_EXIT, 1},
    {KVM_CAP_ENABLE_CAP, 1},
    {KVM_CAP_SYNC_REGS, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS},
    {KVM_CAP_GET_MSR_FEATURES, 1},
    {KVM_CAP_MSR_PLATFORM_INFO, 1},
    {KVM_CAP_X86_USER_SPACE_MSR, 1},
    {KVM_CAP_X86_MSR_FILTER, 1},
    {KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1},
    {KVM_CAP_SET_GUEST_DEBUG2, HV_GUESTDBG_KNOWN},
    {KVM_CAP_SREGS2, 1},
    {KVM_CAP_HYPERV, 1},
    {KVM_CAP_HYPERV_VAPIC, 1},
    {KVM_CAP_HYPERV_SPIN, 1},
    {KVM_CAP_HYPERV_TIME, 1},
    {KVM_CAP_HYPERV_VP_INDEX, 1},
    {KVM_CAP_HYPERV_TLBFLUSH, 1},
    {KVM_CAP_HYPERV_SEND_IPI, 1},
    {KVM_CAP_HYPERV_CPUID, 1},
    {KVM_CAP_SYS_HYPERV_CPUID, 1},
    {KVM_CAP_HYPERV_ENFORCE_CPUID, 1},
    {KVM_CAP_DISABLE_QUIRKS2, HV_QUIRKS},
    {KVM_CAP_BINARY_STATS_FD, 1},
    {KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1},
};

s64 hv_check_extension(u64 cap)
{
    if (cap == KVM_CAP_XSAVE2)
        return hv_xsave_size();
    for (unsigned i = 0; i < ARRAY_SIZE(kvm_caps); i++)
        if (kvm_caps[i].cap == cap)
            return kvm_caps[i].value;
    return 0;
}

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
    u32 room;

    if (copy_in(&head, (const void __user *)arg, sizeof(head)))
        return -EFAULT;
    room = head.nmsrs;
    head.nmsrs = count;
    if (copy_out((void __user *)arg, &head, sizeof(head)))
        return -EFAULT;
    if (room < count)
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
    struct vm *vm;
    struct file *f;

    if (type != 0)
        return -EINVAL;
    f = vm_create_file(&vm);
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
