/* SPDX-License-Identifier: MIT
 *
 * What a guest or a VMM may not do, and what comes of it; and the state that a VMM reads back.
 */
#include "hvtest.h"

#include <sys/ioctl.h>

#define CR4_MCE (1u << 6)
#define CR4_LA57 (1u << 12)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define EFER_NXE (1u << 11)
#define TSS_AT 0x900
#define OTHER_TSS 0xa00
#define SELECTORS 0xb00
#define MSR_PV_EOI 0x4b564d04 /* these two are the in-kernel APIC's */
#define MSR_ASYNC_PF_INT 0x4b564d06

GUEST(user_x87);
GUEST(cr4_bits);
GUEST(efer_bits);
GUEST(prefixed);
GUEST(user_task);
GUEST(task_register);
GUEST(cr4_mce);
GUEST(bit_scans);
GUEST(outs_counted);
GUEST(hlt);
GUEST(long);
GUEST(peek_own);

struct cpuid {
    uint32_t nent, padding;
    struct kvm_cpuid_entry2 e[256];
};

static struct kvm_cpuid_entry2 *edge_leaf(struct cpuid *c, uint32_t leaf)
{
    for (uint32_t i = 0; i < c->nent; i++)
        if (c->e[i].function == leaf && c->e[i].index == 0)
            return &c->e[i];
    test_fail(__FILE__, __LINE__, "no CPUID leaf %#x", leaf);
}

static struct cpuid *edge_cpuid(struct tvm *vm)
{
    static struct cpuid c;
    c.nent = 256;
    CHECK(ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &c) == 0);
    return &c;
}

static void edge_set_cpuid(struct tvm *vm, const struct cpuid *c)
{
    CHECK(ioctl(vm->vcpu[0], KVM_SET_CPUID2, c) == 0);
}

/* Long mode with pages and segments for user code: 0x23 data, 0x2b code, a TSS for the way back. */
static void vcpu_user(struct tvm *vm)
{
    static const uint64_t segments[] = {0x00cff3000000ffff, 0x00affb000000ffff};
    struct kvm_sregs s;
    uint64_t stack = STACK_TOP;
    vcpu_long(vm, 0);
    CHECK(ioctl(vm->vcpu[0], KVM_GET_SREGS, &s) == 0);
    for (uint64_t *e = (uint64_t *)(vm->mem + TABLES); e < (uint64_t *)(vm->mem + TABLES) + 3072;
         e++)
        if (*e & 1)
            *e |= 4;
    memcpy(vm->mem + s.gdt.base + 0x20, segments, sizeof segments);
    memcpy(vm->mem + TSS_AT + 4, &stack, sizeof stack);
    s.gdt.limit = 0x2f;
    s.tr.base = TSS_AT;
    CHECK(ioctl(vm->vcpu[0], KVM_SET_SREGS, &s) == 0);
}

TEST(user_code_that_cannot_be_emulated_gets_an_exception)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, user_x87);
    vcpu_user(&vm);
    EXPECT_REPORT(&vm, 0, 6);
    EXPECT_REPORT(&vm, 0, 0);
}

/* A feature that CPUID hides cannot be turned on, though the processor has it. */
static void edge_hidden_cr4(bool shown)
{
    struct tvm vm;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    struct cpuid *c = edge_cpuid(&vm);
    if (!(edge_leaf(c, 7)->ebx & 1u << 7))
        test_skip("no SMEP");
    if (!shown)
        edge_leaf(c, 7)->ebx &= ~(1u << 7);
    edge_set_cpuid(&vm, c);
    LOAD(&vm, cr4_bits);
    vcpu_long(&vm, 0);
    vcpu_regs(&vm, 0, &r);
    r.rsi = CR4_SMEP;
    vcpu_set_regs(&vm, 0, &r);
    EXPECT_REPORT(&vm, 0, shown ? 1 : 13);
}

TEST(cr4_bit_that_cpuid_shows_can_be_set)
{
    edge_hidden_cr4(true);
}

TEST(cr4_bit_that_cpuid_hides_faults)
{
    edge_hidden_cr4(false);
}

/* Whatever the processor has there while the guest runs. */
TEST(cr4_mce_is_what_the_guest_made_it)
{
    struct tvm vm;
    struct kvm_sregs s;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, cr4_mce);
    vcpu_long(&vm, 0);
    CHECK_EQ(vcpu_report(&vm, 0) & CR4_MCE, 0);
    CHECK_EQ(vcpu_report(&vm, 0) & CR4_MCE, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    CHECK_EQ(s.cr4 & CR4_MCE, 0);
    CHECK_EQ(vcpu_report(&vm, 0) & CR4_MCE, CR4_MCE);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    CHECK_EQ(s.cr4 & CR4_MCE, CR4_MCE);
}

TEST(efer_bit_that_cpuid_hides_faults)
{
    struct tvm vm;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    struct cpuid *c = edge_cpuid(&vm);
    edge_leaf(c, 0x80000001)->edx &= ~(1u << 20);
    edge_set_cpuid(&vm, c);
    LOAD(&vm, efer_bits);
    vcpu_long(&vm, 0);
    vcpu_regs(&vm, 0, &r);
    r.rsi = EFER_NXE;
    vcpu_set_regs(&vm, 0, &r);
    EXPECT_REPORT(&vm, 0, 13);
}

TEST(sregs_with_five_level_paging_are_refused)
{
    struct tvm vm;
    struct kvm_sregs s;
    vm_make(&vm, VM_PLAIN);
    struct cpuid *c = edge_cpuid(&vm);
    edge_leaf(c, 7)->ecx &= ~(1u << 16);
    edge_set_cpuid(&vm, c);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    s.cr4 |= CR4_LA57;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s), EINVAL);
}

/* Code of 64 and of 32 bits at once: KVM takes it, the processor does not. */
TEST(state_that_the_processor_refuses_is_a_failed_entry)
{
    struct tvm vm;
    struct kvm_sregs s;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, long);
    vcpu_long(&vm, 0);
    vcpu_regs(&vm, 0, &r);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    s.cs.db = 1;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_FAIL_ENTRY);
    s.cs.db = 0;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    vcpu_set_regs(&vm, 0, &r);
    EXPECT_REPORT(&vm, 0, 0x11223344);
}

TEST(immediate_exit_leaves_the_last_reason)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    vm.run[0]->immediate_exit = 1;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    CHECK_EQ(vm.run[0]->exit_reason, KVM_EXIT_HLT);
    vm.run[0]->immediate_exit = 0;
    EXPECT_REPORT(&vm, 0, 0x42);
}

TEST(run_refuses_registers_it_does_not_know)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    vm.run[0]->kvm_valid_regs = 1ull << 63;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINVAL);
    vm.run[0]->kvm_valid_regs = 0;
    vm.run[0]->kvm_dirty_regs = 1ull << 63;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINVAL);
    vm.run[0]->kvm_dirty_regs = 0;
    vm.run[0]->cr8 = 16;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINVAL);
    vm.run[0]->cr8 = 0;
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

TEST(bit_scans_of_a_device_register)
{
    static const uint64_t answers[] = {0xf0, 0x8000000000f0, 0};
    static const uint32_t results[] = {4, 47, 1};
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, bit_scans);
    vcpu_long(&vm, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
        memcpy(vm.run[0]->mmio.data, &answers[i], 8);
        EXPECT_REPORT(&vm, 0, results[i]);
    }
}

/* Between two parts of a string output the registers are the VMM's to read and to change. */
TEST(count_of_a_string_output_can_be_changed)
{
    struct tvm vm;
    struct kvm_regs r;
    unsigned outs = 0;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, outs_counted);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IO);
    if (vm.run[0]->io.count != 1)
        test_skip("all parts at once");
    vcpu_regs(&vm, 0, &r);
    CHECK_EQ(r.rcx, 5);
    r.rcx = 2;
    vcpu_set_regs(&vm, 0, &r);
    while (vcpu_run(&vm, 0) == KVM_EXIT_IO && vm.run[0]->io.port == 0x20)
        outs += vm.run[0]->io.count;
    CHECK_EQ(outs, 2);
    CHECK_EQ(*(uint8_t *)io_data(&vm, 0), 3);
}

/* ---- what a VMM reads back ---- */

TEST(pit_of_a_fresh_machine_has_counts_and_no_mode)
{
    struct tvm vm;
    struct kvm_pit_state2 p;
    vm_make(&vm, VM_PIT);
    for (int round = 0; round < 2; round++) {
        CHECK(ioctl(vm.fd, KVM_GET_PIT2, &p) == 0);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(p.channels[i].count, 65536);
            CHECK_EQ(p.channels[i].mode, 255);
        }
        CHECK(ioctl(vm.fd, KVM_SET_PIT2, &p) == 0);
    }
}

TEST(edge_at_a_masked_pin_is_gone_with_its_line)
{
    struct tvm vm;
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
    vm_make(&vm, VM_IRQCHIP);
    vm_irq(&vm, 20, 1);
    vm_irq(&vm, 20, 0);
    CHECK(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip) == 0);
    CHECK_EQ(chip.chip.ioapic.irr, 0);
}

/* A VMM saves and restores what KVM lists, whatever the machine is made of. */
static void edge_msrs(int flags)
{
    static struct {
        uint32_t nmsrs;
        uint32_t index[512];
    } list = {.nmsrs = 512};
    struct tvm vm;
    vm_make(&vm, flags);
    vcpu_cpuid(&vm, 0);
    list.nmsrs = 512;
    CHECK(ioctl(vm.kvm, KVM_GET_MSR_INDEX_LIST, &list) == 0);
    for (uint32_t i = 0; i < list.nmsrs; i++) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry e;
        } m = {.head.nmsrs = 1, .e.index = list.index[i]};
        if (!(flags & VM_IRQCHIP) && (m.e.index == MSR_ASYNC_PF_INT || m.e.index == MSR_PV_EOI))
            continue;
        if (ioctl(vm.vcpu[0], KVM_GET_MSRS, &m) != 1)
            test_fail(__FILE__, __LINE__, "MSR %#x cannot be read", list.index[i]);
        if (ioctl(vm.vcpu[0], KVM_SET_MSRS, &m) != 1)
            test_fail(__FILE__, __LINE__, "MSR %#x cannot be written", list.index[i]);
    }
}

TEST(listed_msrs_can_be_saved_and_restored)
{
    edge_msrs(VM_IRQCHIP);
}

TEST(listed_msrs_can_be_saved_and_restored_without_an_irqchip)
{
    edge_msrs(VM_PLAIN);
}

TEST(cpuid_is_kept_current)
{
    struct tvm vm;
    struct kvm_sregs s;
    struct kvm_xcrs x;
    static struct cpuid got;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    if (!(edge_leaf(edge_cpuid(&vm), 1)->ecx & 1u << 26))
        test_skip("no XSAVE");
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    for (int on = 1; on >= 0; on--) {
        s.cr4 = on ? s.cr4 | CR4_OSXSAVE : s.cr4 & ~(uint64_t)CR4_OSXSAVE;
        CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
        got.nent = 256;
        CHECK(ioctl(vm.vcpu[0], KVM_GET_CPUID2, &got) == 0);
        CHECK_EQ(edge_leaf(&got, 1)->ecx >> 27 & 1, on);
    }
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XCRS, &x) == 0);
    for (unsigned xcr0 = 3; xcr0 <= 7; xcr0 += 4) {
        x.xcrs[0].value = xcr0;
        if (xcr0 & ~edge_leaf(edge_cpuid(&vm), 0xd)->eax)
            break;
        CHECK(ioctl(vm.vcpu[0], KVM_SET_XCRS, &x) == 0);
        got.nent = 256;
        CHECK(ioctl(vm.vcpu[0], KVM_GET_CPUID2, &got) == 0);
        CHECK_EQ(edge_leaf(&got, 0xd)->ebx, xcr0 == 3 ? 576 : 832);
    }
}

/* Two vCPUs take turns on one thread, each with a page of its own at the same address. */
TEST(vcpus_do_not_share_translations)
{
    struct tvm vm;
    struct kvm_sregs s;
    vm_make(&vm, VM_PLAIN);
    vm_add_vcpu(&vm, 1);
    LOAD(&vm, peek_own);
    vcpu_long(&vm, 0);
    vcpu_long(&vm, 1);
    uint64_t *mine = (uint64_t *)(vm.mem + 0x20000); /* the same tables again, but for 2 MiB */
    memcpy(mine, vm.mem + TABLES, 0x3000);
    mine[0] = 0x21000 | 3;
    mine[512] = 0x22000 | 3;
    mine[1024 + 1] = 0x83; /* leads to 0 */
    CHECK(ioctl(vm.vcpu[1], KVM_GET_SREGS, &s) == 0);
    s.cr3 = 0x20000;
    CHECK(ioctl(vm.vcpu[1], KVM_SET_SREGS, &s) == 0);
    memcpy(vm.mem + 0x200000, "\1\1\1\1", 4);
    memcpy(vm.mem, "\2\2\2\2", 4);
    for (int i = 0; i < 8; i++) {
        EXPECT_REPORT(&vm, 0, 0x01010101);
        EXPECT_REPORT(&vm, 1, 0x02020202);
    }
}

TEST(instruction_that_exits_may_have_prefixes)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, prefixed);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    EXPECT_REPORT(&vm, 0, 2);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    EXPECT_REPORT(&vm, 0, 3);
}

/* #TS, or #GP where there are no tasks. */
TEST(user_code_cannot_end_its_guest_by_a_task)
{
    static const uint64_t segments[] = {0x00cff3000000ffff, 0x00cffb000000ffff};
    const uint32_t stack[] = {STACK_TOP, 0x10};
    struct kvm_sregs s;
    struct tvm vm;
    uint32_t vector;
    if (!on_bothy())
        test_skip("below Linux's KVM this emulator dies of it");
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, user_task);
    vcpu_prot(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    memcpy(vm.mem + s.gdt.base + 0x20, segments, sizeof segments);
    memcpy(vm.mem + TSS_AT + 4, stack, sizeof stack);
    s.gdt.limit = 0x2f;
    s.tr.base = TSS_AT;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    vector = vcpu_report(&vm, 0);
    CHECK(vector == 10 || vector == 13);
}

/* Loads these selectors into the task register, last 0x30, whose segment then says where the stack
 * for an exception of user code is. */
static void edge_load_tasks(const uint16_t *selectors, const uint32_t *reports, unsigned n)
{
    /* From 0x30: at OTHER_TSS; absent; data; and half a descriptor. */
    static const uint64_t segments[] = {0x89000a000067,   0, 0x09000a000067, 0,
                                        0xcf93000000ffff, 0, 0x89000a000067};
    const uint64_t stack = 0x7000;
    struct kvm_sregs s;
    struct kvm_regs r;
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, task_register);
    vcpu_user(&vm);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    uint8_t *gdt = vm.mem + s.gdt.base;
    memcpy(gdt + 0x30, segments, sizeof segments);
    memcpy(vm.mem + OTHER_TSS + 4, &stack, sizeof stack);
    memcpy(vm.mem + SELECTORS, selectors, n * sizeof *selectors);
    s.gdt.limit = 0x30 + sizeof segments - 1;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    vcpu_regs(&vm, 0, &r);
    r.rsi = SELECTORS;
    r.rcx = n;
    vcpu_set_regs(&vm, 0, &r);
    for (unsigned i = 0; i < n; i++)
        EXPECT_REPORT(&vm, 0, reports[i]);
    EXPECT_REPORT(&vm, 0, 0x30);
    EXPECT_REPORT(&vm, 0, stack - 40);
    CHECK_EQ(gdt[0x35], 0x8b);
    CHECK_EQ(gdt[0x45], 0x09);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    CHECK_EQ(s.tr.selector, 0x30);
    CHECK_EQ(s.tr.base, OTHER_TSS);
    CHECK_EQ(s.tr.limit, 0x67);
    CHECK_EQ(s.tr.type, 11);
}

TEST(task_register_takes_only_a_free_task)
{
    static const uint16_t selectors[] = {0x34, 0x60, 0x68, 0x50, 0x43, 0x30, 0x30};
    static const uint32_t reports[] = {0xd0034, 0xd0060, 0xd0068, 0xd0050, 0xb0040, 1, 0xd0030};
    edge_load_tasks(selectors, reports, 7);
}

TEST(null_selector_for_the_task_register_faults)
{
    static const uint16_t selectors[] = {0, 3, 0x30, 0};
    static const uint32_t reports[] = {0xd0000, 0xd0000, 1, 0xd0000};
    if (!on_bothy())
        test_skip("below Linux's KVM this emulator takes it, and dies of it");
    edge_load_tasks(selectors, reports, 4);
}
