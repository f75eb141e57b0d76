/* SPDX-License-Identifier: MIT
 *
 * What capabilities promise: registers in the run area, a VMM's say in its guests' MSRs, features
 * that are enforced, interrupts by hypercall.
 */
#include "hvtest.h"

#include <cpuid.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MSR_FS_BASE 0xc0000100
#define MSR_PLATFORM_INFO 0xce
#define MSR_UCODE_REV 0x8b
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_NONE 0x12345

GUEST(rdmsr_of);
GUEST(wrmsr_of);
GUEST(hlt);
GUEST(pv_ipi);

static int caps_enable(int fd, uint32_t cap, uint64_t arg)
{
    struct kvm_enable_cap e = {.cap = cap, .args = {arg}};
    return ioctl(fd, KVM_ENABLE_CAP, &e);
}

static void caps_start(struct tvm *vm, uint64_t msr, uint64_t value)
{
    struct kvm_regs r;
    vcpu_long(vm, 0);
    vcpu_regs(vm, 0, &r);
    r.rsi = msr;
    r.rdi = value;
    vcpu_set_regs(vm, 0, &r);
}

TEST(registers_in_the_run_area)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    CHECK((ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & 7) == 7);
    struct kvm_run *run = vm.run[0];
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK_EQ(run->s.regs.regs.rip, LOAD_AT + 1);
    CHECK_EQ(run->s.regs.sregs.cs.base, 0);
    run->s.regs.regs.rip = LOAD_AT; /* the halt again */
    run->s.regs.regs.rbx = 0x77;
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK_EQ(run->kvm_dirty_regs, 0);
    CHECK_EQ(run->s.regs.regs.rip, LOAD_AT + 1);
    CHECK_EQ(run->s.regs.regs.rbx, 0x77);
    run->s.regs.sregs.cr0 = 0x80000000; /* paging without protection */
    run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINVAL);
    run->kvm_dirty_regs = 0;
    run->kvm_valid_regs = 0;
    EXPECT_REPORT(&vm, 0, 0x42);
}

TEST(unknown_msr_is_user_spaces_when_it_wants_it)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, rdmsr_of);
    caps_start(&vm, MSR_NONE, 0);
    EXPECT_REPORT(&vm, 0, 13);
    CHECK_ERR(caps_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, 1 << 10), EINVAL);
    CHECK(caps_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN) == 0);
    caps_start(&vm, MSR_NONE, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_X86_RDMSR);
    CHECK_EQ(vm.run[0]->msr.index, MSR_NONE);
    CHECK_EQ(vm.run[0]->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
    vm.run[0]->msr.data = 0x1122334455667788;
    EXPECT_REPORT(&vm, 0, 0x55667788);
    EXPECT_REPORT(&vm, 0, 0x11223344);
    caps_start(&vm, MSR_NONE, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_X86_RDMSR);
    vm.run[0]->msr.error = 1;
    EXPECT_REPORT(&vm, 0, 13);
    LOAD(&vm, wrmsr_of);
    caps_start(&vm, MSR_NONE, 0xabcd);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_X86_WRMSR);
    CHECK_EQ(vm.run[0]->msr.data, 0xabcd);
    EXPECT_REPORT(&vm, 0, 1);
}

/* FS_BASE, which a guest otherwise has for itself. */
TEST(filter_denies_registers_to_guests)
{
    struct tvm vm;
    uint8_t none = 0;
    struct kvm_msr_filter filter = {
        .ranges = {
            {.flags = KVM_MSR_FILTER_READ, .nmsrs = 1, .base = MSR_FS_BASE, .bitmap = &none}}};
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, rdmsr_of);
    caps_start(&vm, MSR_FS_BASE, 0);
    EXPECT_REPORT(&vm, 0, 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK(ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, &filter) == 0);
    caps_start(&vm, MSR_FS_BASE, 0);
    EXPECT_REPORT(&vm, 0, 13);
    CHECK_EQ(get_msr(&vm, 0, MSR_FS_BASE), 0); /* the host may */
    LOAD(&vm, wrmsr_of);                       /* and writes are not meant */
    caps_start(&vm, MSR_FS_BASE, 0x5000);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(get_msr(&vm, 0, MSR_FS_BASE), 0x5000);
    CHECK(caps_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER) == 0);
    LOAD(&vm, rdmsr_of);
    caps_start(&vm, MSR_FS_BASE, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_X86_RDMSR);
    CHECK_EQ(vm.run[0]->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
    vm.run[0]->msr.data = 7;
    EXPECT_REPORT(&vm, 0, 7);
    EXPECT_REPORT(&vm, 0, 0);
    filter.ranges[0].nmsrs = 0; /* all is allowed again */
    CHECK(ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, &filter) == 0);
    caps_start(&vm, MSR_FS_BASE, 0);
    CHECK_EQ(set_msr(&vm, 0, MSR_FS_BASE, 0x5000), 1);
    EXPECT_REPORT(&vm, 0, 0x5000);
    EXPECT_REPORT(&vm, 0, 0);
    filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
    CHECK_ERR(ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, &filter), EINVAL);
    filter.flags = 2;
    CHECK_ERR(ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, &filter), EINVAL);
}

TEST(feature_msrs_are_the_hosts)
{
    struct tvm vm;
    struct {
        uint32_t nmsrs;
        uint32_t index[64];
    } list = {.nmsrs = 64};
    bool found = false;
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_GET_MSR_FEATURES) == 1);
    CHECK(ioctl(vm.kvm, KVM_GET_MSR_FEATURE_INDEX_LIST, &list) == 0);
    for (uint32_t i = 0; i < list.nmsrs; i++) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry e;
        } m = {.head.nmsrs = 1, .e.index = list.index[i]};
        CHECK_EQ(ioctl(vm.kvm, KVM_GET_MSRS, &m), 1);
        found |= list.index[i] == MSR_UCODE_REV;
    }
    CHECK(found);
}

TEST(platform_info_can_be_kept_from_guests)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, rdmsr_of);
    caps_start(&vm, MSR_PLATFORM_INFO, 0);
    EXPECT_REPORT(&vm, 0, 0x80000000); /* CPUID can be made to fault */
    EXPECT_REPORT(&vm, 0, 0);
    CHECK(caps_enable(vm.fd, KVM_CAP_MSR_PLATFORM_INFO, 0) == 0);
    caps_start(&vm, MSR_PLATFORM_INFO, 0);
    EXPECT_REPORT(&vm, 0, 13);
}

static void caps_pv(bool enforced, bool shown, bool allowed)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    if (shown)
        vcpu_cpuid(&vm, 0);
    if (enforced)
        CHECK(caps_enable(vm.vcpu[0], KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1) == 0);
    LOAD(&vm, rdmsr_of);
    caps_start(&vm, MSR_SYSTEM_TIME_NEW, 0);
    EXPECT_REPORT(&vm, 0, allowed ? 0 : 13);
    vm_close(&vm);
}

TEST(paravirtual_features_can_be_enforced)
{
    caps_pv(false, false, true);
    caps_pv(true, false, false);
    caps_pv(true, true, true);
}

/* A guest that has seen its CPUID does not see it change. */
TEST(cpuid_is_fixed_once_the_guest_has_run)
{
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 e[256];
    } c;
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    c.head.nent = 256;
    CHECK(ioctl(vm.kvm, KVM_GET_SUPPORTED_CPUID, &c) == 0); /* which tells how many there are */
    CHECK(ioctl(vm.vcpu[0], KVM_GET_CPUID2, &c) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_CPUID2, &c) == 0); /* the same */
    c.e[0].eax ^= 1;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_CPUID2, &c), EINVAL);
}

TEST(quirks_that_are_not_there_can_be_turned_off)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    int quirks = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2);
    CHECK(quirks > 0);
    CHECK(caps_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, (unsigned)quirks) == 0);
    CHECK_ERR(caps_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, 1u << 30), EINVAL);
}

/* To itself: bit 0 of a bitmap that begins at APIC 0, vector 0x40; then to nobody. */
TEST(interrupts_are_sent_by_hypercall)
{
    struct tvm vm;
    struct kvm_regs r;
    unsigned a, b, c, d;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, pv_ipi);
    vcpu_long(&vm, 0);
    __cpuid(0, a, b, c, d);
    vcpu_regs(&vm, 0, &r);
    r.rdi = b == 0x68747541 || b == 0x6f677948; /* VMMCALL or VMCALL */
    vcpu_set_regs(&vm, 0, &r);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 1);
    EXPECT_REPORT(&vm, 0, 0);
}

/* The number that a file of statistics gives under a name. */
static uint64_t caps_stat(int fd, const char *wanted)
{
    struct kvm_stats_header h;
    uint8_t desc[sizeof(struct kvm_stats_desc) + 256];
    struct kvm_stats_desc *d = (struct kvm_stats_desc *)desc;
    uint64_t value;
    CHECK(pread(fd, &h, sizeof h, 0) == sizeof h);
    CHECK(h.name_size <= 256);
    size_t size = sizeof *d + h.name_size;
    for (uint32_t i = 0; i < h.num_desc; i++) {
        CHECK(pread(fd, desc, size, h.desc_offset + i * size) == (ssize_t)size);
        if (strcmp(d->name, wanted) != 0)
            continue;
        CHECK(pread(fd, &value, sizeof value, h.data_offset + d->offset) == sizeof value);
        return value;
    }
    test_fail(__FILE__, __LINE__, "no %s", wanted);
}

TEST(statistics_count_what_a_guest_does)
{
    struct tvm vm;
    char id[64], want[64];
    struct kvm_stats_header h;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    int of_vm = ioctl(vm.fd, KVM_GET_STATS_FD, 0), of_vcpu = ioctl(vm.vcpu[0], KVM_GET_STATS_FD, 0);
    CHECK(of_vm >= 0 && of_vcpu >= 0);
    uint64_t exits = caps_stat(of_vcpu, "exits"), halts = caps_stat(of_vcpu, "halt_exits");
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK_EQ(caps_stat(of_vcpu, "halt_exits"), halts + 1);
    CHECK(caps_stat(of_vcpu, "exits") > exits);
    caps_stat(of_vm, "remote_tlb_flush");
    CHECK(pread(of_vcpu, &h, sizeof h, 0) == sizeof h);
    memset(id, 0, sizeof id);
    CHECK(pread(of_vcpu, id, h.name_size, h.id_offset) == (ssize_t)h.name_size);
    snprintf(want, sizeof want, "kvm-%d/vcpu-0", getpid());
    CHECK(strcmp(id, want) == 0);
    CHECK(write(of_vm, id, 1) < 0);
    vm_close(&vm);
    CHECK_EQ(caps_stat(of_vcpu, "halt_exits"), halts + 1); /* it outlives its vCPU's descriptor */
}

TEST(number_of_mmu_pages_is_kept)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    CHECK(vm_has(&vm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL));
    CHECK_ERR(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, 63), EINVAL);
    CHECK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, 1000) == 0);
    CHECK_EQ(ioctl(vm.fd, KVM_GET_NR_MMU_PAGES, 0), 1000);
}

TEST(smm_is_there_or_refused)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    if (ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) > 0)
        CHECK(ioctl(vm.vcpu[0], KVM_SMI, 0) == 0);
    else
        CHECK(ioctl(vm.vcpu[0], KVM_SMI, 0) < 0);
}
