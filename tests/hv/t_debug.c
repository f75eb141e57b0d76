/* SPDX-License-Identifier: MIT
 *
 * Debug registers and debug exceptions: a guest's are its own, and neither the host nor another
 * guest meets them.
 */
#include "hvtest.h"

#include <cpuid.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define DR6_INITIAL 0xffff0ff0
#define DR6_B0 1
#define DR6_BD 0x2000
#define DR6_BS 0x4000
#define DR7_INITIAL 0x400
#define DR7_EXECUTE_0 0x2 /* G0, length and kind 0: an instruction is executed */

GUEST(write_dr);
GUEST(read_dr);
GUEST(step);
GUEST(step_exits);
GUEST(detect);
GUEST(breakpoint);
GUEST(debug_loop);

/* QEMU's emulation of AMD-V takes DR7 from the VMCB without arming anything, knows no general
 * detect, and leaves armed for the host what a guest that has the registers for itself (Linux
 * gives them to it) has armed. */
static bool debug_emulated(void)
{
    unsigned a, b, c, d;
    __cpuid(0x40000000, a, b, c, d);
    return b == 0x54474354; /* "TCGT" */
}

static bool debug_on_bothy(void)
{
    struct utsname u;
    return uname(&u) == 0 && strstr(u.release, "bothy");
}

static void debug_get(struct tvm *vm, struct kvm_debugregs *d)
{
    CHECK(ioctl(vm->vcpu[0], KVM_GET_DEBUGREGS, d) == 0);
}

static void debug_start_writer(struct tvm *vm, uint64_t dr0, uint64_t dr7)
{
    struct kvm_regs r;
    vm_make(vm, VM_PLAIN);
    LOAD(vm, write_dr);
    vcpu_long(vm, 0);
    vcpu_regs(vm, 0, &r);
    r.rbx = dr0;
    r.rsi = dr7;
    vcpu_set_regs(vm, 0, &r);
    EXPECT_REPORT(vm, 0, 1);
}

static void debug_expect_reset(void)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, read_dr);
    vcpu_long(&vm, 0);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_REPORT(&vm, 0, 0);
    EXPECT_REPORT(&vm, 0, DR6_INITIAL);
    EXPECT_REPORT(&vm, 0, DR7_INITIAL);
}

TEST(debug_registers_of_a_guest_are_its_own)
{
    struct tvm vm;
    struct kvm_debugregs d;
    debug_start_writer(&vm, 0xabcd, DR7_INITIAL);
    debug_expect_reset();
    debug_get(&vm, &d);
    CHECK_EQ(d.db[0], 0xabcd);
    for (unsigned i = 1; i < 4; i++)
        CHECK_EQ(d.db[i], 0x1111 * i);
    CHECK_EQ(d.dr7, DR7_INITIAL);
    EXPECT_REPORT(&vm, 0, 0xabcd);
    EXPECT_REPORT(&vm, 0, 0x3333);
    EXPECT_REPORT(&vm, 0, DR7_INITIAL);
}

static __attribute__((noinline, noclone)) int host_code(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x + 1;
}

TEST(breakpoint_of_a_guest_is_not_the_hosts)
{
    struct tvm vm;
    if (debug_emulated() && !debug_on_bothy())
        test_skip("this emulator's breakpoints outlive the guest");
    debug_start_writer(&vm, (uintptr_t)host_code, DR7_INITIAL | DR7_EXECUTE_0);
    CHECK_EQ(host_code(41), 42); /* a breakpoint here would be a SIGTRAP */
    debug_expect_reset();
    EXPECT_REPORT(&vm, 0, (uint32_t)(uintptr_t)host_code);
    EXPECT_REPORT(&vm, 0, 0x3333);
    EXPECT_REPORT(&vm, 0, DR7_INITIAL | DR7_EXECUTE_0);
}

TEST(guest_sees_the_debug_registers_it_was_given)
{
    struct tvm vm;
    struct kvm_debugregs d = {
        .db = {0x10, 0x20, 0x30, 0x40}, .dr6 = DR6_INITIAL | 2, .dr7 = DR7_INITIAL | 0x10000};
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, read_dr);
    vcpu_long(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_DEBUGREGS, &d) == 0);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_REPORT(&vm, 0, d.db[i]);
    EXPECT_REPORT(&vm, 0, d.dr6);
    EXPECT_REPORT(&vm, 0, d.dr7);
    d.flags = 1;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_DEBUGREGS, &d), EINVAL);
    d.flags = 0;
    d.dr7 = 1ull << 32;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_DEBUGREGS, &d), EINVAL);
}

/* Three instructions with the trap flag: the handler tells where it came from. */
TEST(guest_steps_through_its_code)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, step);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 3);
    EXPECT_REPORT(&vm, 0, DR6_INITIAL | DR6_BS);
}

/* An instruction that exits counts as one step too. */
TEST(guest_steps_over_instructions_that_exit)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, step_exits);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 3);
    EXPECT_REPORT(&vm, 0, DR6_INITIAL | DR6_BS);
}

TEST(guest_detects_access_to_its_debug_registers)
{
    struct tvm vm;
    if (debug_emulated() && !debug_on_bothy())
        test_skip("this emulator knows no general detect");
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, detect);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, DR6_INITIAL | DR6_BD);
    EXPECT_REPORT(&vm, 0, DR7_INITIAL);
}

TEST(guest_breakpoint_fires)
{
    struct tvm vm;
    if (debug_emulated())
        test_skip("this emulator's guests have no breakpoints");
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, breakpoint);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, DR6_INITIAL | DR6_B0);
    EXPECT_REPORT(&vm, 0, 2);
}

/* A breakpoint on the stack that debug exceptions are pushed to: one leads to the next, without
 * end, and no instruction is executed in between. The guest is still to be ended. */
TEST(guest_in_a_loop_of_debug_exceptions_can_be_killed)
{
    if (debug_emulated())
        test_skip("this emulator's guests have no breakpoints");
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct tvm vm;
        vm_make(&vm, VM_PLAIN);
        LOAD(&vm, debug_loop);
        vcpu_long(&vm, 0);
        ioctl(vm.vcpu[0], KVM_RUN, 0);
        _exit(1);
    }
    usleep(200000);
    CHECK(kill(pid, SIGKILL) == 0);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status & 0x7f, SIGKILL);
}
