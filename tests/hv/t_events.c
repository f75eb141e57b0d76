/* SPDX-License-Identifier: MIT
 *
 * Events on their way to a vCPU: what is pending is told and can be replaced, what waits comes as
 * soon as it may, and none outlives a reset.
 */
#include "hvtest.h"

#include <sys/ioctl.h>

#define VEC_UD 6

GUEST(nmi_row);
GUEST(irq_behind);
GUEST(irq_waits);
GUEST(hlt);

static void events_get(struct tvm *vm, struct kvm_vcpu_events *e)
{
    CHECK(ioctl(vm->vcpu[0], KVM_GET_VCPU_EVENTS, e) == 0);
}

static void events_set(struct tvm *vm, const struct kvm_vcpu_events *e)
{
    CHECK(ioctl(vm->vcpu[0], KVM_SET_VCPU_EVENTS, e) == 0);
}

/* UD2 without an IDT is a triple fault; then a VMM resets the vCPU by its ioctls. */
TEST(event_of_a_triple_fault_is_gone_after_a_reset)
{
    struct tvm vm;
    struct kvm_sregs start, s;
    struct kvm_vcpu_events quiet;
    struct kvm_regs r = {.rip = LOAD_AT, .rflags = 2, .rsp = STACK_TOP};
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &start) == 0);
    events_get(&vm, &quiet);
    s = start;
    s.cs.base = 0;
    s.cs.selector = 0;
    s.cs.db = 1;
    s.cr0 = 0x11;
    s.idt.limit = 0;
    memcpy(vm.mem + LOAD_AT, "\x0f\x0b", 2);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    vcpu_set_regs(&vm, 0, &r);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_SHUTDOWN);
    start.cs.base = 0;
    start.cs.selector = 0;
    LOAD(&vm, hlt);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &start) == 0);
    vcpu_set_regs(&vm, 0, &r);
    events_set(&vm, &quiet);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    vcpu_regs(&vm, 0, &r);
    CHECK_EQ(r.rsp, STACK_TOP);
    EXPECT_REPORT(&vm, 0, 0x42);
}

/* The second comes when the first one's IRET has been executed, not before it. */
TEST(nmi_waits_for_the_iret_of_the_one_before)
{
    struct tvm vm;
    struct kvm_vcpu_events e;
    vm_make(&vm, VM_IRQCHIP);
    LOAD(&vm, nmi_row);
    vcpu_long(&vm, 0);
    uint32_t loop = vcpu_report(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_NMI, 0) == 0);
    for (int i = 0; i < 4; i++) {
        EXPECT_REPORT(&vm, 0, loop);
        events_get(&vm, &e);
        CHECK_EQ(e.nmi.masked, 1);
        CHECK(ioctl(vm.vcpu[0], KVM_NMI, 0) == 0);
    }
}

TEST(interrupt_behind_an_exception_comes_as_soon_as_it_may)
{
    struct tvm vm;
    struct kvm_vcpu_events e;
    vm_make(&vm, VM_IRQCHIP);
    LOAD(&vm, irq_behind);
    vcpu_real(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    vm_irq(&vm, 5, 1);
    vm_irq(&vm, 5, 0);
    events_get(&vm, &e);
    e.exception.injected = 1;
    e.exception.nr = VEC_UD;
    events_set(&vm, &e);
    EXPECT_REPORT(&vm, 0, 0x25);
    EXPECT_REPORT(&vm, 0, 9);
}

TEST(event_that_waits_can_be_taken_back)
{
    struct tvm vm;
    struct kvm_vcpu_events e;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    events_get(&vm, &e);
    e.exception.injected = 1;
    e.exception.nr = VEC_UD;
    events_set(&vm, &e);
    vm.run[0]->immediate_exit = 1;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    vm.run[0]->immediate_exit = 0;
    events_get(&vm, &e);
    CHECK_EQ(e.exception.injected, 1);
    CHECK_EQ(e.exception.nr, VEC_UD);
    e.exception.injected = 0;
    events_set(&vm, &e);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    EXPECT_REPORT(&vm, 0, 0x42);
}

/* An interrupt that has been taken for a guest which has interrupts off: Linux delivers it all the
 * same, here it waits. */
static void events_leave_irq(struct tvm *vm)
{
    struct kvm_vcpu_events e;
    vm_make(vm, VM_IRQCHIP);
    LOAD(vm, irq_waits);
    vcpu_long(vm, 0);
    EXPECT_REPORT(vm, 0, 1);
    events_get(vm, &e);
    e.interrupt.injected = 1;
    e.interrupt.nr = 0x40;
    events_set(vm, &e);
}

TEST(interrupt_that_waits_is_in_no_nmis_way)
{
    struct tvm vm;
    uint32_t first;
    events_leave_irq(&vm);
    CHECK(ioctl(vm.vcpu[0], KVM_NMI, 0) == 0);
    first = vcpu_report(&vm, 0);
    if (first == 0x40)
        first = vcpu_report(&vm, 0);
    CHECK_EQ(first, 2);
}

TEST(interrupt_that_waits_is_in_no_devices_way)
{
    struct tvm vm;
    unsigned reason;
    events_leave_irq(&vm);
    reason = vcpu_run(&vm, 0);
    if (reason == KVM_EXIT_IO)
        reason = vcpu_run(&vm, 0);
    CHECK_EQ(reason, KVM_EXIT_MMIO);
    *(uint32_t *)vm.run[0]->mmio.data = 77;
    EXPECT_REPORT(&vm, 0, 77);
}
