/* SPDX-License-Identifier: MIT
 *
 * Hyper-V's interface: what is offered, and what a guest finds whose CPUID has its signature.
 */
#include "hvtest.h"

#include <sys/ioctl.h>

#define MSR_GUEST_OS_ID 0x40000000
#define MSR_HYPERCALL 0x40000001
#define MSR_VP_INDEX 0x40000002
#define MSR_RESET 0x40000003
#define MSR_TIME_REF_COUNT 0x40000020
#define MSR_REFERENCE_TSC 0x40000021
#define MSR_TSC_FREQUENCY 0x40000022
#define MSR_APIC_FREQUENCY 0x40000023
#define MSR_ASSIST_PAGE 0x40000073
#define MSR_CRASH_P0 0x40000100
#define MSR_CRASH_CTL 0x40000105
#define MSR_TSC 0x10

#define CALL_PAGE 0x6000u
#define IN_PAGE 0x7000u
#define TIME_PAGE 0x9000u
#define NO_MEMORY 0xc0000000u
#define SPARSE 0u
#define EVERY 1u

GUEST(rdmsr_of);
GUEST(hyperv_write);
GUEST(hyperv_call);
GUEST(hyperv_apic);

static struct {
    struct {
        uint32_t nent, padding;
    } head;
    struct kvm_cpuid_entry2 e[256];
} hyperv_leaves, hyperv_all;

static const struct kvm_cpuid_entry2 *hyperv_leaf(uint32_t function)
{
    for (unsigned i = 0; i < hyperv_leaves.head.nent; i++)
        if (hyperv_leaves.e[i].function == function)
            return &hyperv_leaves.e[i];
    test_fail(__FILE__, __LINE__, "no leaf %#x", function);
}

/* What KVM supports, with Hyper-V's leaves in place of KVM's. */
static void hyperv_cpuid(struct tvm *vm)
{
    unsigned n = 0;
    hyperv_leaves.head.nent = hyperv_all.head.nent = 200;
    CHECK(ioctl(vm->vcpu[0], KVM_GET_SUPPORTED_HV_CPUID, &hyperv_leaves) == 0);
    CHECK(ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &hyperv_all) == 0);
    for (unsigned i = 0; i < hyperv_all.head.nent; i++)
        if (hyperv_all.e[i].function >> 16 != 0x4000)
            hyperv_all.e[n++] = hyperv_all.e[i];
    for (unsigned i = 0; i < hyperv_leaves.head.nent; i++)
        hyperv_all.e[n++] = hyperv_leaves.e[i];
    hyperv_all.head.nent = n;
    CHECK(ioctl(vm->vcpu[0], KVM_SET_CPUID2, &hyperv_all) == 0);
}

static void hyperv_make(struct tvm *vm)
{
    vm_make(vm, VM_IRQCHIP);
    hyperv_cpuid(vm);
}

static void hyperv_start(struct tvm *vm, const struct kvm_regs *with)
{
    struct kvm_regs r;
    vcpu_long(vm, 0);
    vcpu_regs(vm, 0, &r);
    r.rsi = with->rsi;
    r.rdi = with->rdi;
    r.rcx = with->rcx;
    r.rdx = with->rdx;
    r.r8 = with->r8;
    r.r9 = with->r9;
    vcpu_set_regs(vm, 0, &r);
}

/* By the guest: 1, or 13: #GP. */
static uint32_t hyperv_write(struct tvm *vm, uint32_t msr, uint64_t value)
{
    LOAD(vm, hyperv_write);
    hyperv_start(vm, &(struct kvm_regs){.rsi = msr, .rdi = value});
    return vcpu_report(vm, 0);
}

static uint64_t hyperv_read(struct tvm *vm, uint32_t msr)
{
    LOAD(vm, rdmsr_of);
    hyperv_start(vm, &(struct kvm_regs){.rsi = msr});
    uint64_t low = vcpu_report(vm, 0);
    return low | (uint64_t)vcpu_report(vm, 0) << 32;
}

static uint64_t hyperv_call(struct tvm *vm, uint64_t control, uint64_t in, uint64_t out)
{
    LOAD(vm, hyperv_call);
    hyperv_start(vm, &(struct kvm_regs){.rcx = control, .rdx = in, .r8 = out, .r9 = CALL_PAGE});
    uint64_t low = vcpu_report(vm, 0);
    return low | (uint64_t)vcpu_report(vm, 0) << 32;
}

static void hyperv_enable_calls(struct tvm *vm)
{
    CHECK_EQ(hyperv_write(vm, MSR_GUEST_OS_ID, 0x8100000000000000), 1);
    CHECK_EQ(hyperv_write(vm, MSR_HYPERCALL, CALL_PAGE | 1), 1);
}

TEST(hyperv_is_offered)
{
    static const int caps[] = {
        KVM_CAP_HYPERV,          KVM_CAP_HYPERV_VAPIC,    KVM_CAP_HYPERV_SPIN,
        KVM_CAP_HYPERV_TIME,     KVM_CAP_HYPERV_VP_INDEX, KVM_CAP_HYPERV_TLBFLUSH,
        KVM_CAP_HYPERV_SEND_IPI, KVM_CAP_HYPERV_CPUID,    KVM_CAP_SYS_HYPERV_CPUID};
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
        CHECK(vm_has(&vm, caps[i]));
    hyperv_leaves.head.nent = 200;
    CHECK(ioctl(vm.kvm, KVM_GET_SUPPORTED_HV_CPUID, &hyperv_leaves) == 0);
    CHECK_EQ(hyperv_leaf(0x40000001)->eax, 0x31237648);
    CHECK((hyperv_leaf(0x40000003)->eax & 0xaf2) == 0xaf2);
    CHECK((hyperv_leaf(0x40000003)->edx & 0x500) == 0x500);
    CHECK((hyperv_leaf(0x40000004)->eax & 0xe2c) == 0xe2c);
    hyperv_leaves.head.nent = 3;
    CHECK_ERR(ioctl(vm.kvm, KVM_GET_SUPPORTED_HV_CPUID, &hyperv_leaves), E2BIG);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_GET_SUPPORTED_HV_CPUID, NULL), EFAULT);
}

TEST(hyperv_registers_need_its_signature)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, rdmsr_of);
    hyperv_start(&vm, &(struct kvm_regs){.rsi = MSR_VP_INDEX});
    EXPECT_REPORT(&vm, 0, 13);
    CHECK_EQ(hyperv_write(&vm, MSR_GUEST_OS_ID, 1), 13);
    CHECK_EQ(set_msr(&vm, 0, MSR_GUEST_OS_ID, 5), 1); /* the VMM may */
    CHECK_EQ(get_msr(&vm, 0, MSR_GUEST_OS_ID), 5);
}

/* Only where a VMM asks for that. */
TEST(hyperv_guest_is_held_to_its_cpuid)
{
    struct kvm_enable_cap enforce = {.cap = KVM_CAP_HYPERV_ENFORCE_CPUID, .args = {1}};
    struct tvm vm;
    hyperv_make(&vm);
    for (unsigned i = 0; i < hyperv_all.head.nent; i++) {
        if (hyperv_all.e[i].function == 0x40000003)
            hyperv_all.e[i].eax &= ~0x80u; /* no reset */
        if (hyperv_all.e[i].function == 0x40000004)
            hyperv_all.e[i].eax &= ~0x400u; /* no interrupts by hypercall */
    }
    CHECK(ioctl(vm.vcpu[0], KVM_SET_CPUID2, &hyperv_all) == 0);
    CHECK(vm_has(&vm, KVM_CAP_HYPERV_ENFORCE_CPUID));
    CHECK_EQ(hyperv_write(&vm, MSR_RESET, 0), 1);
    hyperv_enable_calls(&vm);
    CHECK_EQ(hyperv_call(&vm, 0xb | 1 << 16, 0x40, 2), 0);
    CHECK(ioctl(vm.vcpu[0], KVM_ENABLE_CAP, &enforce) == 0);
    CHECK_EQ(hyperv_write(&vm, MSR_RESET, 0), 13);
    CHECK_EQ(set_msr(&vm, 0, MSR_RESET, 0), 1);
    CHECK_EQ(hyperv_read(&vm, MSR_HYPERCALL), CALL_PAGE | 1);
    CHECK_EQ(hyperv_call(&vm, 0xb | 1 << 16, 0x40, 2), 6);
    CHECK_EQ(hyperv_call(&vm, 8, 0, 0), 0);
    enforce.args[0] = 0;
    CHECK(ioctl(vm.vcpu[0], KVM_ENABLE_CAP, &enforce) == 0);
    CHECK_EQ(hyperv_write(&vm, MSR_RESET, 0), 1);
}

TEST(hyperv_page_makes_hypercalls)
{
    struct tvm vm;
    hyperv_make(&vm);
    CHECK_EQ(hyperv_write(&vm, MSR_HYPERCALL, CALL_PAGE | 1), 1); /* without an identity: not */
    CHECK_EQ(hyperv_read(&vm, MSR_HYPERCALL), 0);
    hyperv_enable_calls(&vm);
    CHECK_EQ(vm.mem[CALL_PAGE], 0x0f);
    CHECK_EQ(vm.mem[CALL_PAGE + 1], 0x01);
    CHECK_EQ(vm.mem[CALL_PAGE + 3], 0xc3);
    CHECK_EQ(hyperv_call(&vm, 8, 0, 0), 0); /* a long wait for a lock */
    CHECK_EQ(hyperv_call(&vm, 8 | 1ull << 32, 0, 0), 3);
    CHECK_EQ(hyperv_call(&vm, 0x7777, 0, 0), 2);
    CHECK_EQ(hyperv_write(&vm, MSR_HYPERCALL, NO_MEMORY | 1), 13);
    CHECK_EQ(hyperv_read(&vm, MSR_HYPERCALL), CALL_PAGE | 1);
    CHECK_EQ(hyperv_write(&vm, MSR_GUEST_OS_ID, 0), 1);
    CHECK_EQ(hyperv_read(&vm, MSR_HYPERCALL), CALL_PAGE);
}

TEST(hyperv_calls_reach_other_processors)
{
    struct tvm vm;
    uint64_t *in;
    hyperv_make(&vm);
    hyperv_enable_calls(&vm);
    in = (uint64_t *)(vm.mem + IN_PAGE);
    CHECK_EQ(hyperv_call(&vm, 0xb | 1 << 16, 0x40, 1), 0); /* fast: to itself */
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x99);
    CHECK_EQ(hyperv_call(&vm, 0xb | 1 << 16, 0x40, 2), 0); /* to another */
    EXPECT_REPORT(&vm, 0, 0x99);
    CHECK_EQ(hyperv_call(&vm, 0xb | 1 << 16, 0xf, 1), 3);
    CHECK_EQ(hyperv_call(&vm, 0xb | 1 << 16, 1ull << 32 | 0x40, 1), 3);
    in[0] = 0x40;
    in[1] = 1;
    CHECK_EQ(hyperv_call(&vm, 0xb, IN_PAGE, 0), 0);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x99);
    CHECK_EQ(hyperv_call(&vm, 0xb, NO_MEMORY, 0), 3);
    in[1] = SPARSE;
    in[2] = in[3] = 1;
    CHECK_EQ(hyperv_call(&vm, 0x15 | 1 << 17, IN_PAGE, 0), 0);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x99);
    CHECK_EQ(hyperv_call(&vm, 0x15 | 2 << 17, IN_PAGE, 0), 3); /* other banks than it says */
    memset(in, 0, 64);
    in[2] = 1;
    CHECK_EQ(hyperv_call(&vm, 2, IN_PAGE, 0), 0);
    CHECK_EQ(hyperv_call(&vm, 3 | 2ull << 32, IN_PAGE, 0), 2ull << 32);
    CHECK_EQ(hyperv_call(&vm, 2 | 1ull << 32, IN_PAGE, 0), 3);
    CHECK_EQ(hyperv_call(&vm, 2, NO_MEMORY, 0), 3);
}

/* Of a set that names no banks, what would follow need not be memory. */
TEST(hyperv_sets_end_where_they_say)
{
    struct tvm vm;
    hyperv_make(&vm);
    hyperv_enable_calls(&vm);
    uint64_t *end = (uint64_t *)(vm.mem + MEM_SIZE);
    memcpy(end - 4, (uint64_t[]){0, 0, EVERY, 0}, 32);
    CHECK_EQ(hyperv_call(&vm, 0x13, MEM_SIZE - 32, 0), 0);
    memcpy(end - 3, (uint64_t[]){0x40, SPARSE, 0}, 24);
    CHECK_EQ(hyperv_call(&vm, 0x15, MEM_SIZE - 24, 0), 0);
    EXPECT_REPORT(&vm, 0, 0x99);
    end[-2] = EVERY;
    CHECK_EQ(hyperv_call(&vm, 0x15, MEM_SIZE - 24, 0), 0);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x99);
    memcpy(end - 3, (uint64_t[]){0x40, SPARSE, 1}, 24); /* one that is not there */
    CHECK_EQ(hyperv_call(&vm, 0x15 | 1 << 17, MEM_SIZE - 24, 0), 3);
}

/* Sequence 0 leaves it to the register, where the host's own clock is no better. */
TEST(hyperv_time_is_told_by_register_and_page)
{
    struct tvm vm;
    struct {
        uint32_t sequence, reserved;
        uint64_t scale, offset;
    } page;
    hyperv_make(&vm);
    uint64_t first = hyperv_read(&vm, MSR_TIME_REF_COUNT);
    CHECK(hyperv_read(&vm, MSR_TIME_REF_COUNT) > first);
    CHECK(first < 600000000); /* a minute */
    CHECK_EQ(hyperv_write(&vm, MSR_TIME_REF_COUNT, 1), 13);
    CHECK_EQ(set_msr(&vm, 0, MSR_TIME_REF_COUNT, 1), 1);
    memset(vm.mem + TIME_PAGE, 0xff, 4); /* what was there decides what comes */
    vm.mem[TIME_PAGE] = 0xfe;
    CHECK_EQ(hyperv_write(&vm, MSR_REFERENCE_TSC, TIME_PAGE | 1), 1);
    CHECK_EQ(hyperv_read(&vm, MSR_REFERENCE_TSC), TIME_PAGE | 1);
    memcpy(&page, vm.mem + TIME_PAGE, sizeof page);
    CHECK(on_bothy() ? page.sequence == 1 : page.sequence <= 1);
    if (page.sequence) {
        uint64_t before = hyperv_read(&vm, MSR_TIME_REF_COUNT);
        uint64_t tsc = get_msr(&vm, 0, MSR_TSC);
        uint64_t told = (uint64_t)((unsigned __int128)tsc * page.scale >> 64) + page.offset;
        CHECK(told >= before && told <= hyperv_read(&vm, MSR_TIME_REF_COUNT));
    }
    CHECK_EQ(hyperv_write(&vm, MSR_REFERENCE_TSC, NO_MEMORY | 1), 1); /* its own loss */
    CHECK(hyperv_read(&vm, MSR_TIME_REF_COUNT) > first);
    CHECK_EQ(hyperv_read(&vm, MSR_APIC_FREQUENCY), 1000000000);
    CHECK(hyperv_read(&vm, MSR_TSC_FREQUENCY) / 1000 ==
          (unsigned)ioctl(vm.vcpu[0], KVM_GET_TSC_KHZ, 0));
    CHECK_EQ(hyperv_write(&vm, MSR_TSC_FREQUENCY, 1), 13);
}

/* A new processor's counter is set to 0, and that means the others' time, with a page or without.
 */
TEST(hyperv_time_survives_a_new_processor)
{
    const uint64_t later = 1ull << 50, minute = 600000000;
    struct tvm vm;
    hyperv_make(&vm);
    CHECK_EQ(set_msr(&vm, 0, MSR_TSC, later), 1);
    CHECK_EQ(hyperv_write(&vm, MSR_REFERENCE_TSC, TIME_PAGE | 1), 1);
    uint64_t before = hyperv_read(&vm, MSR_TIME_REF_COUNT);
    vm_add_vcpu(&vm, 1);
    CHECK_EQ(set_msr(&vm, 1, MSR_TSC, 0), 1);
    uint64_t first = get_msr(&vm, 0, MSR_TSC), second = get_msr(&vm, 1, MSR_TSC);
    CHECK(first >= later && second >= first);
    CHECK(get_msr(&vm, 0, MSR_TSC) >= second);
    uint64_t after = hyperv_read(&vm, MSR_TIME_REF_COUNT);
    CHECK(after >= before && after - before < minute);
    CHECK_EQ(set_msr(&vm, 1, MSR_TSC, 2 * later), 1); /* one that does read another */
    uint64_t now = hyperv_read(&vm, MSR_TIME_REF_COUNT);
    CHECK(now >= after && now - after < minute);
}

/* A guest that reads one before and after takes what is between for one page's. */
TEST(hyperv_time_pages_number_does_not_come_again)
{
    struct tvm vm;
    uint32_t first, second;
    hyperv_make(&vm);
    CHECK_EQ(hyperv_write(&vm, MSR_REFERENCE_TSC, TIME_PAGE | 1), 1);
    memcpy(&first, vm.mem + TIME_PAGE, sizeof first);
    memset(vm.mem + TIME_PAGE, 0, sizeof first);
    CHECK_EQ(hyperv_write(&vm, MSR_REFERENCE_TSC, TIME_PAGE | 1), 1);
    memcpy(&second, vm.mem + TIME_PAGE, sizeof second);
    CHECK(on_bothy() ? second > first : second >= first);
}

TEST(hyperv_registers_are_the_apics)
{
    struct tvm vm;
    hyperv_make(&vm);
    LOAD(&vm, hyperv_apic);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 5);
    EXPECT_REPORT(&vm, 0, 0x50);
}

TEST(hyperv_numbers_processors)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vm_add_vcpu(&vm, 1);
    hyperv_cpuid(&vm);
    CHECK_EQ(get_msr(&vm, 1, MSR_VP_INDEX), 1);
    CHECK_EQ(set_msr(&vm, 0, MSR_VP_INDEX, 7), 1);
    CHECK_EQ(hyperv_read(&vm, MSR_VP_INDEX), 7);
    CHECK_EQ(hyperv_write(&vm, MSR_VP_INDEX, 3), 13);
    CHECK_EQ(set_msr(&vm, 0, MSR_VP_INDEX, 1u << 20), 0);
    CHECK_EQ(get_msr(&vm, 0, MSR_VP_INDEX), 7);
}

/* It never says that the end of an interrupt can be left out. */
TEST(hyperv_assist_page_is_cleared)
{
    struct tvm vm;
    hyperv_make(&vm);
    memset(vm.mem + TIME_PAGE, 0xff, 16);
    CHECK_EQ(hyperv_write(&vm, MSR_ASSIST_PAGE, TIME_PAGE | 1), 1);
    CHECK_EQ(vm.mem[TIME_PAGE] & 1, 0);
    CHECK_EQ(vm.mem[TIME_PAGE + 15], 0xff);
    CHECK_EQ(hyperv_read(&vm, MSR_ASSIST_PAGE), TIME_PAGE | 1);
    CHECK_EQ(hyperv_write(&vm, MSR_ASSIST_PAGE, NO_MEMORY | 1), 13);
    CHECK_EQ(hyperv_read(&vm, MSR_ASSIST_PAGE), TIME_PAGE | 1);
    CHECK_EQ(hyperv_write(&vm, MSR_ASSIST_PAGE, 0), 1);
}

static void hyperv_expect_event(struct tvm *vm, uint32_t msr, uint64_t value, uint32_t type)
{
    LOAD(vm, hyperv_write);
    hyperv_start(vm, &(struct kvm_regs){.rsi = msr, .rdi = value});
    CHECK_EQ(vcpu_run(vm, 0), KVM_EXIT_SYSTEM_EVENT);
    CHECK_EQ(vm->run[0]->system_event.type, type);
    EXPECT_REPORT(vm, 0, 1); /* and nothing has happened to it */
}

TEST(hyperv_reset_is_told_of_while_the_guest_waits)
{
    struct kvm_mp_state halted = {.mp_state = KVM_MP_STATE_HALTED};
    struct tvm vm;
    if (!on_bothy())
        test_skip("Linux does not look while the guest waits");
    hyperv_make(&vm);
    CHECK_EQ(set_msr(&vm, 0, MSR_RESET, 1), 1);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_MP_STATE, &halted) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_SYSTEM_EVENT);
    CHECK_EQ(vm.run[0]->system_event.type, KVM_SYSTEM_EVENT_RESET);
}

TEST(hyperv_guest_asks_for_a_reset_and_tells_of_its_crash)
{
    struct tvm vm;
    hyperv_make(&vm);
    CHECK_EQ(hyperv_write(&vm, MSR_RESET, 0), 1);
    hyperv_expect_event(&vm, MSR_RESET, 1, KVM_SYSTEM_EVENT_RESET);
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(hyperv_write(&vm, MSR_CRASH_P0 + i, 0x123400000000 + i), 1);
    hyperv_expect_event(&vm, MSR_CRASH_CTL, 1ull << 63, KVM_SYSTEM_EVENT_CRASH);
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(get_msr(&vm, 0, MSR_CRASH_P0 + i), 0x123400000000 + i);
    CHECK_EQ(set_msr(&vm, 0, MSR_CRASH_CTL, 1ull << 63 | 1), 1);
    CHECK_EQ(hyperv_read(&vm, MSR_CRASH_CTL), 1ull << 63);
}
