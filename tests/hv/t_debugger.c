/* SPDX-License-Identifier: MIT
 *
 * KVM_SET_GUEST_DEBUG: a VMM's debugger steps through a guest and stops it, and the guest has its
 * own breakpoints and flags.
 */
#include "hvtest.h"

#include <cpuid.h>
#include <sys/ioctl.h>

#define DR6_INITIAL 0xffff0ff0
#define DR6_BS 0x4000
#define DR7_INITIAL 0x400
#define DR7_G0 0x2
#define DR7_G1_WRITE_4 0xd00008 /* G1, four bytes, on a write */
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200
#define VECTOR_DB 1
#define VECTOR_BP 3

GUEST(stepped);
GUEST(trapped);
GUEST(watched);
GUEST(nmi_later);
GUEST(injected);

/* QEMU's emulation of AMD-V does not intercept INT3, and takes DR7 from the VMCB without arming
 * anything. */
static bool debugger_emulated(void)
{
    unsigned a, b, c, d;
    __cpuid(0x40000000, a, b, c, d);
    return b == 0x54474354; /* "TCGT" */
}

static void debugger_set(struct tvm *vm, uint32_t control)
{
    struct kvm_guest_debug d = {.control = control};
    CHECK(ioctl(vm->vcpu[0], KVM_SET_GUEST_DEBUG, &d) == 0);
}

static void debugger_expect(struct tvm *vm, unsigned exception, uint64_t pc)
{
    struct kvm_run *run = vm->run[0];
    struct kvm_regs r;
    CHECK_EQ(vcpu_run(vm, 0), KVM_EXIT_DEBUG);
    CHECK_EQ(run->debug.arch.exception, exception);
    CHECK_EQ(run->debug.arch.pc, pc);
    vcpu_regs(vm, 0, &r);
    CHECK_EQ(r.rip, pc);
    CHECK_EQ(r.rflags & RFLAGS_TF, 0);
}

/* Asked for anew each time, as gdb stubs do: Linux forgets it over what it emulates. */
static void debugger_expect_step(struct tvm *vm, uint64_t offset)
{
    debugger_set(vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
    debugger_expect(vm, VECTOR_DB, LOAD_AT + offset);
    CHECK_EQ(vm->run[0]->debug.arch.dr6, DR6_INITIAL | DR6_BS);
}

/* Those that leave the guest, and those that user space completes, are one step as well. */
TEST(debugger_steps_through_a_guest)
{
    static const unsigned before_out[] = {5, 6, 8, 10, 12, 16, 18};
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    CHECK(vm_has(&vm, KVM_CAP_SET_GUEST_DEBUG));
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, stepped);
    vcpu_long(&vm, 0);
    debugger_set(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
    for (unsigned i = 0; i < sizeof(before_out) / sizeof(before_out[0]); i++)
        debugger_expect_step(&vm, before_out[i]);
    EXPECT_REPORT(&vm, 0, 0);
    debugger_expect_step(&vm, 20);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    debugger_expect_step(&vm, 22);
    debugger_expect_step(&vm, 23);
    debugger_set(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    EXPECT_REPORT(&vm, 0, 7);
}

TEST(debugger_stops_at_software_breakpoints)
{
    struct kvm_vcpu_events e;
    struct tvm vm;
    if (debugger_emulated() && !on_bothy())
        test_skip("this emulator does not intercept INT3");
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, trapped);
    vcpu_long(&vm, 0);
    debugger_set(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
    EXPECT_REPORT(&vm, 0, 0x40);
    uint32_t at = vcpu_report(&vm, 0);
    debugger_expect(&vm, VECTOR_BP, at);
    debugger_expect(&vm, VECTOR_BP, at); /* nothing has changed */
    CHECK(ioctl(vm.vcpu[0], KVM_GET_VCPU_EVENTS, &e) == 0);
    CHECK_EQ(e.exception.injected, 0);
    e.exception.injected = 1; /* it is the guest's own */
    e.exception.nr = VECTOR_BP;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_VCPU_EVENTS, &e) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    EXPECT_REPORT(&vm, 0, 5);
    EXPECT_REPORT(&vm, 0, 0x40);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

TEST(guest_has_its_breakpoints_without_a_debugger)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, trapped);
    vcpu_long(&vm, 0);
    debugger_set(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
    debugger_set(&vm, KVM_GUESTDBG_USE_SW_BP); /* not enabled */
    EXPECT_REPORT(&vm, 0, 0x40);
    vcpu_report(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    EXPECT_REPORT(&vm, 0, 5);
    EXPECT_REPORT(&vm, 0, 0x40);
}

/* In place of the guest's registers, which it does not lose. */
TEST(debugger_stops_at_hardware_breakpoints)
{
    struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP};
    struct kvm_debugregs own = {.db = {0x10, 0x20, 0x30, 0x40}, .dr6 = DR6_INITIAL, .dr7 = 0x400};
    struct kvm_debugregs got;
    struct tvm vm;
    if (debugger_emulated())
        test_skip("this emulator's guests have no breakpoints");
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, watched);
    vcpu_long(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_DEBUGREGS, &own) == 0);
    uint32_t at = vcpu_report(&vm, 0);
    d.debugreg[0] = at;
    d.debugreg[1] = 0x7000;
    d.debugreg[7] = DR7_INITIAL | DR7_G0 | DR7_G1_WRITE_4;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_GUEST_DEBUG, &d) == 0);
    debugger_expect(&vm, VECTOR_DB, at);
    CHECK_EQ(vm.run[0]->debug.arch.dr6 & 15, 1);
    CHECK_EQ(vm.run[0]->debug.arch.dr7, d.debugreg[7]);
    d.debugreg[7] = DR7_INITIAL | DR7_G1_WRITE_4;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_GUEST_DEBUG, &d) == 0);
    debugger_expect(&vm, VECTOR_DB, at + 9);
    CHECK_EQ(vm.run[0]->debug.arch.dr6 & 15, 2);
    debugger_set(&vm, 0);
    EXPECT_REPORT(&vm, 0, 2);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_DEBUGREGS, &got) == 0);
    CHECK(memcmp(got.db, own.db, sizeof own.db) == 0);
    CHECK_EQ(got.dr6, own.dr6);
    CHECK_EQ(got.dr7, own.dr7);
}

TEST(debugger_holds_interrupts_off)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    int known = ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
    CHECK(known & KVM_GUESTDBG_BLOCKIRQ);
    LOAD(&vm, nmi_later);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    debugger_set(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
    CHECK(ioctl(vm.vcpu[0], KVM_NMI, 0) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_DEBUG); /* the report, which was complete */
    uint64_t pc = vm.run[0]->debug.arch.pc;
    debugger_expect(&vm, VECTOR_DB, pc + 1);
    debugger_expect(&vm, VECTOR_DB, pc + 2);
    debugger_set(&vm, 0);
    EXPECT_REPORT(&vm, 0, 2);
    EXPECT_REPORT(&vm, 0, 3);
}

/* Linux holds off what an APIC of its own has, and only that. */
TEST(debugger_steps_while_a_window_is_asked_for)
{
    struct kvm_interrupt irq = {.irq = 0x40};
    struct kvm_regs r;
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, injected);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    vcpu_regs(&vm, 0, &r);
    r.rflags |= RFLAGS_IF;
    vcpu_set_regs(&vm, 0, &r);
    debugger_set(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
    CHECK(ioctl(vm.vcpu[0], KVM_INTERRUPT, &irq) == 0);
    vm.run[0]->request_interrupt_window = 1;
    for (unsigned i = 0; on_bothy() && i < 3; i++)
        CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_DEBUG);
    debugger_set(&vm, 0);
    EXPECT_REPORT(&vm, 0, 4);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IRQ_WINDOW_OPEN);
}

/* On a stack that the guest has not used yet, so that the delivery faults. */
TEST(injected_breakpoint_survives_a_fault_of_its_delivery)
{
    static uint8_t stack[4096] __attribute__((aligned(4096)));
    struct kvm_guest_debug d = {.control = KVM_GUESTDBG_INJECT_BP};
    struct kvm_regs r;
    struct tvm vm;
    if (!on_bothy())
        test_skip("Linux's AMD-V loses it");
    vm_make(&vm, VM_PLAIN);
    vm_region(&vm, 1, 0, 0x800000, sizeof stack, stack);
    LOAD(&vm, injected);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    vcpu_regs(&vm, 0, &r);
    r.rsp = 0x801000;
    vcpu_set_regs(&vm, 0, &r);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_GUEST_DEBUG, &d) == 0);
    EXPECT_REPORT(&vm, 0, 3);
}

TEST(debugger_injects_exceptions)
{
    struct kvm_guest_debug d = {.control = KVM_GUESTDBG_INJECT_DB};
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, injected);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_GUEST_DEBUG, &d) == 0);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_GUEST_DEBUG, &d), EBUSY);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_GUEST_DEBUG, NULL), EFAULT);
}
