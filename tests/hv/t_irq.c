/* SPDX-License-Identifier: MIT
 *
 * Interrupts: PIC, I/O APIC, local APIC and its timer, PIT, MSI, NMI, start-up of a second
 * vCPU, event descriptors, and injection without an irqchip.
 */
#include "hvtest.h"

#include <poll.h>
#include <pthread.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

GUEST(pic);
GUEST(pit);
GUEST(self_ipi);
GUEST(lapic_timer);
GUEST(deadline);
GUEST(ioapic);
GUEST(wait_irq);
GUEST(nmi);
GUEST(window);
GUEST(smp);
GUEST(smp_ap);
GUEST(bench_out);
GUEST(mmio);

TEST(irqchip_twice_is_refused)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    CHECK_ERR(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
}

TEST(irq_line_reaches_the_pic)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    LOAD(&vm, pic);
    vcpu_real(&vm, 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_REPORT(&vm, 0, 1);
        vm_irq(&vm, 5, 1);
        vm_irq(&vm, 5, 0);
        EXPECT_REPORT(&vm, 0, 0x25);
        EXPECT_REPORT(&vm, 0, 2);
    }
}

static void *irq_later(void *arg)
{
    usleep(30000);
    vm_irq(arg, 5, 1);
    vm_irq(arg, 5, 0);
    return NULL;
}

TEST(irq_line_wakes_a_halted_guest)
{
    struct tvm vm;
    pthread_t t;
    vm_make(&vm, VM_IRQCHIP);
    LOAD(&vm, pic);
    vcpu_real(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(pthread_create(&t, NULL, irq_later, &vm) == 0);
    EXPECT_REPORT(&vm, 0, 0x25);
    EXPECT_REPORT(&vm, 0, 2);
    pthread_join(t, NULL);
}

TEST(pit_ticks)
{
    struct tvm vm;
    vm_make(&vm, VM_PIT);
    LOAD(&vm, pit);
    vcpu_real(&vm, 0);
    EXPECT_REPORT(&vm, 0, 5);
    struct kvm_pit_state2 p;
    CHECK(ioctl(vm.fd, KVM_GET_PIT2, &p) == 0);
    CHECK_EQ(p.channels[0].count, 0x4a9);
    CHECK_EQ(p.channels[0].mode, 2);
}

TEST(self_ipi_arrives)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, self_ipi);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 2);
}

TEST(lapic_timer_periodic_and_one_shot)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, lapic_timer);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 3);
    EXPECT_REPORT(&vm, 0, 4);
}

static void allow_deadline(struct tvm *vm)
{
    static struct {
        struct {
            uint32_t nent, padding;
        } head;
        struct kvm_cpuid_entry2 e[256];
    } c;
    c.head.nent = 256;
    CHECK(ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &c) == 0);
    for (unsigned i = 0; i < c.head.nent; i++)
        if (c.e[i].function == 1)
            c.e[i].ecx |= 1u << 24;
    CHECK(ioctl(vm->vcpu[0], KVM_SET_CPUID2, &c) == 0);
}

TEST(tsc_deadline_timer_fires)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    if (!vm_has(&vm, KVM_CAP_TSC_DEADLINE_TIMER))
        test_skip("no KVM_CAP_TSC_DEADLINE_TIMER");
    allow_deadline(&vm);
    LOAD(&vm, deadline);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
}

TEST(lapic_state_comes_back)
{
    struct tvm vm;
    struct kvm_lapic_state in, out;
    uint32_t lvt = 0x10031, version;
    vm_make(&vm, VM_IRQCHIP);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_LAPIC, &in) == 0);
    memcpy(&version, in.regs + 0x30, 4);
    CHECK_EQ(version & 0xf0, 0x10);
    memcpy(in.regs + 0x320, &lvt, 4);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_LAPIC, &in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_LAPIC, &out) == 0);
    CHECK(memcmp(in.regs + 0x320, out.regs + 0x320, 4) == 0);
}

TEST(vapic_can_be_nowhere)
{
    struct tvm vm;
    struct kvm_vapic_addr at = {0};
    vm_make(&vm, VM_IRQCHIP);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_VAPIC_ADDR, &at) == 0);
    at.vapic_addr = 1ull << 40; /* no memory there */
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_VAPIC_ADDR, &at), EINVAL);
}

TEST(irqchip_state_comes_back)
{
    struct tvm vm;
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC}, again;
    vm_make(&vm, VM_IRQCHIP);
    CHECK(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip) == 0);
    CHECK_EQ(chip.chip.ioapic.base_address, 0xfec00000);
    CHECK_EQ(chip.chip.ioapic.redirtbl[3].fields.mask, 1);
    chip.chip.ioapic.redirtbl[3].bits = 0x10055;
    CHECK(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip) == 0);
    again = (struct kvm_irqchip){.chip_id = KVM_IRQCHIP_IOAPIC};
    CHECK(ioctl(vm.fd, KVM_GET_IRQCHIP, &again) == 0);
    CHECK_EQ(again.chip.ioapic.redirtbl[3].bits, 0x10055);
    chip.chip_id = 9;
    CHECK_ERR(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip), EINVAL);
}

TEST(ioapic_level_interrupt_repeats_until_lowered)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, ioapic);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    vm_irq(&vm, 7, 1);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x40); /* still high: it comes again after the EOI */
    vm_irq(&vm, 7, 0);
    EXPECT_REPORT(&vm, 0, 2);
}

TEST(msi_arrives)
{
    struct tvm vm;
    struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x40};
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) >= 1);
    EXPECT_REPORT(&vm, 0, 1);
}

static void route_msi(struct tvm *vm, uint32_t gsi)
{
    struct {
        struct {
            uint32_t nr, flags;
        } head;
        struct kvm_irq_routing_entry e;
    } r = {
        .head.nr = 1,
        .e = {.gsi = gsi,
              .type = KVM_IRQ_ROUTING_MSI,
              .u.msi = {.address_lo = 0xfee00000, .data = 0x40}},
    };
    CHECK(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r) == 0);
}

TEST(gsi_can_be_routed_to_an_msi)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    route_msi(&vm, 30);
    EXPECT_REPORT(&vm, 0, 0);
    vm_irq(&vm, 30, 1);
    EXPECT_REPORT(&vm, 0, 1);
}

TEST(irqfd_raises_its_gsi)
{
    struct tvm vm;
    uint64_t one = 1;
    vm_make(&vm, VM_IRQCHIP);
    if (!vm_has(&vm, KVM_CAP_IRQFD))
        test_skip("no KVM_CAP_IRQFD");
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    route_msi(&vm, 24);
    struct kvm_irqfd f = {.fd = eventfd(0, 0), .gsi = 24};
    CHECK(ioctl(vm.fd, KVM_IRQFD, &f) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK_EQ(write(f.fd, &one, 8), 8);
    EXPECT_REPORT(&vm, 0, 1);
    f.flags = KVM_IRQFD_FLAG_DEASSIGN;
    CHECK(ioctl(vm.fd, KVM_IRQFD, &f) == 0);
}

/* How many irqfds have left their work to a worker so far. */
static long irqfd_jobs(void)
{
    char line[80] = "";
    long n = -1;
    int fd = open("/proc/bothy/console", O_RDWR);
    CHECK(fd >= 0);
    dprintf(fd, "counters hv_irqfd_jobs");
    CHECK(read(fd, line, sizeof line - 1) > 0);
    CHECK_EQ(sscanf(line, "hv_irqfd_jobs %ld", &n), 1);
    close(fd);
    return n;
}

/* No other thread comes in between. */
TEST(irqfd_has_raised_its_message_when_the_write_returns)
{
    struct tvm vm;
    struct kvm_lapic_state lapic;
    uint64_t one = 1;
    uint32_t irr;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    route_msi(&vm, 24);
    struct kvm_irqfd f = {.fd = eventfd(0, EFD_NONBLOCK), .gsi = 24};
    long jobs = on_bothy() ? irqfd_jobs() : 0;
    CHECK(ioctl(vm.fd, KVM_IRQFD, &f) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK_EQ(write((int)f.fd, &one, 8), 8);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_LAPIC, &lapic) == 0);
    memcpy(&irr, lapic.regs + 0x220, sizeof irr);
    CHECK_EQ(irr & 1, 1);
    CHECK_EQ(on_bothy() ? irqfd_jobs() : 0, jobs);
    CHECK(read((int)f.fd, &one, 8) < 0 && errno == EAGAIN);
    EXPECT_REPORT(&vm, 0, 1);
}

/* One that sleeps until it can write goes on, too. */
TEST(irqfd_takes_turns_with_others_who_wait_for_the_eventfd)
{
    struct tvm vm;
    uint64_t most = UINT64_MAX - 1;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    int watcher = epoll_create1(0);
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    route_msi(&vm, 24);
    struct kvm_irqfd f = {.fd = eventfd(0, 0), .gsi = 24};
    CHECK(epoll_ctl(watcher, EPOLL_CTL_ADD, (int)f.fd, &ev) == 0);
    CHECK(ioctl(vm.fd, KVM_IRQFD, &f) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK_EQ(write((int)f.fd, &most, 8), 8); /* the next has to wait for this one to be taken */
        EXPECT_REPORT(&vm, 0, i);
    }
    CHECK_EQ(epoll_wait(watcher, &ev, 1, 5000), 1);
}

TEST(end_of_a_level_reaches_all_that_share_it)
{
    struct tvm vm;
    struct kvm_irqfd f[3];
    uint64_t one = 1, count;
    vm_make(&vm, VM_IRQCHIP);
    if (!vm_has(&vm, KVM_CAP_IRQFD_RESAMPLE))
        test_skip("no KVM_CAP_IRQFD_RESAMPLE");
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, ioapic);
    vcpu_long(&vm, 0);
    for (int i = 0; i < 3; i++) {
        f[i] = (struct kvm_irqfd){.fd = eventfd(0, 0),
                                  .gsi = 7,
                                  .flags = KVM_IRQFD_FLAG_RESAMPLE,
                                  .resamplefd = eventfd(0, EFD_NONBLOCK)};
        CHECK(ioctl(vm.fd, KVM_IRQFD, &f[i]) == 0);
    }
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(write(f[1].fd, &one, 8), 8);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 2); /* the line fell with the end */
    for (int i = 0; i < 3; i++) {
        struct pollfd p = {.fd = f[i].resamplefd, .events = POLLIN};
        CHECK_EQ(poll(&p, 1, 5000), 1);
        CHECK_EQ(read(f[i].resamplefd, &count, 8), 8);
        CHECK_EQ(count, 1);
    }
}

TEST(ioeventfd_takes_the_write)
{
    struct tvm vm;
    uint64_t count = 0;
    vm_make(&vm, VM_PLAIN);
    if (!vm_has(&vm, KVM_CAP_IOEVENTFD))
        test_skip("no KVM_CAP_IOEVENTFD");
    LOAD(&vm, bench_out);
    vcpu_long(&vm, 0);
    struct kvm_regs r;
    vcpu_regs(&vm, 0, &r);
    r.rsi = 5;
    vcpu_set_regs(&vm, 0, &r);
    struct kvm_ioeventfd e = {
        .addr = 0x10, .len = 1, .fd = eventfd(0, EFD_NONBLOCK), .flags = KVM_IOEVENTFD_FLAG_PIO};
    CHECK(ioctl(vm.fd, KVM_IOEVENTFD, &e) == 0);
    CHECK_ERR(ioctl(vm.fd, KVM_IOEVENTFD, &e), EEXIST);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(read(e.fd, &count, 8), 8);
    CHECK_EQ(count, 5);
}

TEST(ioeventfd_matches_data)
{
    struct tvm vm;
    uint64_t count = 0;
    vm_make(&vm, VM_PLAIN);
    if (!vm_has(&vm, KVM_CAP_IOEVENTFD))
        test_skip("no KVM_CAP_IOEVENTFD");
    LOAD(&vm, mmio);
    vcpu_long(&vm, 0);
    struct kvm_ioeventfd e = {.addr = MMIO_AT + 2,
                              .len = 2,
                              .datamatch = 0x2222,
                              .fd = eventfd(0, EFD_NONBLOCK),
                              .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
    CHECK(ioctl(vm.fd, KVM_IOEVENTFD, &e) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    CHECK_EQ(vm.run[0]->mmio.phys_addr, MMIO_AT);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    CHECK_EQ(vm.run[0]->mmio.phys_addr, MMIO_AT + 4); /* the one between went to the eventfd */
    CHECK_EQ(read(e.fd, &count, 8), 8);
    CHECK_EQ(count, 1);
}

TEST(nmi_is_delivered)
{
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    LOAD(&vm, nmi);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(ioctl(vm.vcpu[0], KVM_NMI, 0) == 0);
    EXPECT_REPORT(&vm, 0, 2);
    EXPECT_REPORT(&vm, 0, 3);
}

TEST(interrupt_window_opens_for_user_injection)
{
    struct tvm vm;
    struct kvm_interrupt irq = {.irq = 0x30};
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, window);
    vcpu_real(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(vm.run[0]->if_flag, 0);
    vm.run[0]->request_interrupt_window = 1;
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IRQ_WINDOW_OPEN);
    CHECK(vm.run[0]->ready_for_interrupt_injection);
    vm.run[0]->request_interrupt_window = 0;
    CHECK(ioctl(vm.vcpu[0], KVM_INTERRUPT, &irq) == 0);
    EXPECT_REPORT(&vm, 0, 0x30);
    EXPECT_REPORT(&vm, 0, 2);
}

static void *ap_thread(void *arg)
{
    struct tvm *vm = arg;
    while (ioctl(vm->vcpu[1], KVM_RUN, 0) < 0 && (errno == EINTR || errno == EAGAIN))
        ;
    return NULL;
}

TEST(second_vcpu_starts_by_init_and_sipi)
{
    static struct tvm vm;
    pthread_t t;
    vm_make(&vm, VM_IRQCHIP);
    vm_add_vcpu(&vm, 1);
    vcpu_cpuid(&vm, 0);
    vcpu_cpuid(&vm, 1);
    LOAD(&vm, smp);
    memcpy(vm.mem + 0x9000, guest_smp_ap, guest_smp_ap_end - guest_smp_ap);
    vcpu_prot(&vm, 0);
    CHECK(pthread_create(&t, NULL, ap_thread, &vm) == 0);
    EXPECT_REPORT(&vm, 0, 1);
}
