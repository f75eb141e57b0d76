/* SPDX-License-Identifier: MIT
 *
 * The split irqchip: local APICs in the kernel, I/O APIC, PIC and PIT in user space.
 */
#include "hvtest.h"

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PINS 24

GUEST(wait_irq);
GUEST(window);

static int split_enable(struct tvm *vm, uint64_t pins)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {pins}};
    return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static int split_route(struct tvm *vm, uint32_t gsi, uint32_t type, uint32_t data)
{
    struct {
        struct {
            uint32_t nr, flags;
        } head;
        struct kvm_irq_routing_entry e;
    } r = {.head.nr = 1, .e = {.gsi = gsi, .type = type}};
    if (type == KVM_IRQ_ROUTING_MSI) {
        r.e.u.msi.address_lo = 0xfee00000;
        r.e.u.msi.data = data;
    }
    return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

TEST(split_irqchip_errors)
{
    struct tvm vm;
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
    vm_make(&vm, VM_SPLIT);
    CHECK_ERR(split_enable(&vm, PINS), EEXIST);
    CHECK_ERR(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
    CHECK_ERR(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip), ENXIO);
    CHECK_ERR(split_route(&vm, 3, KVM_IRQ_ROUTING_IRQCHIP, 0), EINVAL);
    struct kvm_enable_cap unknown = {.cap = 9999};
    CHECK_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, &unknown), EINVAL);
    unknown.flags = 1;
    CHECK_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, &unknown), EINVAL);

    struct tvm late;
    vm_make(&late, VM_PLAIN);
    CHECK_ERR(split_enable(&late, PINS), EEXIST); /* a vCPU is there */
}

/* The kernel has nothing at these addresses, so the accesses are user space's. */
TEST(split_irqchip_leaves_the_ioapic_to_user_space)
{
    struct tvm vm;
    struct kvm_regs r;
    vm_make(&vm, VM_SPLIT);
    vcpu_cpuid(&vm, 0);
    static const uint8_t read_ioapic[] = {
        0x8b, 0x03,         /* mov (%rbx), %eax */
        0xe7, REPORT,       /* out %eax, REPORT */
        0xe4, 0x21,   0xf4, /* in $0x21, %al; hlt */
    };
    vm_load(&vm, read_ioapic, sizeof read_ioapic);
    vcpu_long(&vm, 0);
    vcpu_regs(&vm, 0, &r);
    r.rbx = 0xfec00010;
    vcpu_set_regs(&vm, 0, &r);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    CHECK_EQ(vm.run[0]->mmio.phys_addr, 0xfec00010);
    memcpy(vm.run[0]->mmio.data, "\x78\x56\x34\x12", 4);
    EXPECT_REPORT(&vm, 0, 0x12345678);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IO);
    CHECK_EQ(vm.run[0]->io.port, 0x21);
}

TEST(split_irqchip_delivers_messages)
{
    struct tvm vm;
    struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x40};
    uint64_t one = 1;
    vm_make(&vm, VM_SPLIT);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    CHECK(split_route(&vm, 5, KVM_IRQ_ROUTING_MSI, 0x40) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) >= 1);
    EXPECT_REPORT(&vm, 0, 1);
    vm_irq(&vm, 5, 1);
    EXPECT_REPORT(&vm, 0, 2);
    struct kvm_irqfd f = {.fd = eventfd(0, 0), .gsi = 5};
    CHECK(ioctl(vm.fd, KVM_IRQFD, &f) == 0);
    CHECK_EQ(write(f.fd, &one, 8), 8);
    EXPECT_REPORT(&vm, 0, 3);
}

/* User space's I/O APIC has to know when a level has been served. */
TEST(split_irqchip_reports_the_end_of_a_level)
{
    struct tvm vm;
    vm_make(&vm, VM_SPLIT);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    CHECK(split_route(&vm, 5, KVM_IRQ_ROUTING_MSI, 0xc040) == 0); /* level, asserted */
    EXPECT_REPORT(&vm, 0, 0);
    vm_irq(&vm, 5, 1);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IOAPIC_EOI);
    CHECK_EQ(vm.run[0]->eoi.vector, 0x40);
    EXPECT_REPORT(&vm, 0, 1);
}

/* User space's PIC speaks through KVM_INTERRUPT, when the guest can take it. */
TEST(split_irqchip_takes_user_spaces_pic)
{
    struct tvm vm;
    struct kvm_interrupt irq = {.irq = 0x30};
    vm_make(&vm, VM_SPLIT);
    LOAD(&vm, window);
    vcpu_real(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(!vm.run[0]->ready_for_interrupt_injection);
    vm.run[0]->request_interrupt_window = 1;
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IRQ_WINDOW_OPEN);
    CHECK(vm.run[0]->ready_for_interrupt_injection);
    vm.run[0]->request_interrupt_window = 0;
    CHECK(ioctl(vm.vcpu[0], KVM_INTERRUPT, &irq) == 0);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_INTERRUPT, &irq), EEXIST);
    EXPECT_REPORT(&vm, 0, 0x30);
    EXPECT_REPORT(&vm, 0, 2);
}

/* Its PIC is cut off at LINT0: nothing to wait for, and nothing that holds the guest up. */
TEST(split_irqchip_masks_user_spaces_pic)
{
    struct tvm vm;
    struct kvm_lapic_state state;
    uint32_t masked = 0x10000;
    vm_make(&vm, VM_SPLIT);
    LOAD(&vm, window);
    vcpu_real(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_LAPIC, &state) == 0);
    memcpy(state.regs + 0x350, &masked, 4);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_LAPIC, &state) == 0);
    vm.run[0]->request_interrupt_window = 1;
    EXPECT_REPORT(&vm, 0, 1);
    EXPECT_REPORT(&vm, 0, 2);
    CHECK(!vm.run[0]->ready_for_interrupt_injection);
}
