/* SPDX-License-Identifier: MIT
 *
 * kvmbench [COUNT]: what leaving a guest costs, as "name ns cycles" lines: an exit that KVM
 * serves itself (cpuid, rdmsr), one that goes to user space and back (out, mmio), and a first
 * touch of guest memory, and an interrupt by irqfd. The same program on Linux and on Bothy.
 */
#include "hvtest.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

GUEST(bench_cpuid);
GUEST(bench_out);
GUEST(bench_mmio);
GUEST(bench_msr);
GUEST(bench_touch);
GUEST(wait_irq);

#define TOUCH_AT 0x40000000ull
#define TOUCH_PAGES 4096u

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Runs the loop of `count` rounds; exits to us go back in at once. */
static void bench_once(struct tvm *vm, unsigned count, uint64_t *ns, uint64_t *cycles)
{
    struct kvm_regs r;
    vcpu_regs(vm, 0, &r);
    r.rip = LOAD_AT;
    r.rsi = count;
    vcpu_set_regs(vm, 0, &r);
    uint64_t t0 = now_ns(), c0 = __builtin_ia32_rdtsc();
    for (;;) {
        unsigned reason = vcpu_run(vm, 0);
        if (reason == KVM_EXIT_IO && vm->run[0]->io.port == REPORT)
            break;
        if (reason != KVM_EXIT_IO && reason != KVM_EXIT_MMIO) {
            fprintf(stderr, "kvmbench: unexpected exit %u\n", reason);
            exit(1);
        }
    }
    *cycles = __builtin_ia32_rdtsc() - c0;
    *ns = now_ns() - t0;
}

static void bench(const char *name, const uint8_t *code, const uint8_t *end, unsigned count)
{
    struct tvm vm;
    uint64_t ns, cycles;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    vm_load(&vm, code, end - code);
    vcpu_long(&vm, 0);
    bench_once(&vm, 100, &ns, &cycles); /* warm */
    bench_once(&vm, count, &ns, &cycles);
    printf("%-12s %8.1f ns %10.1f cycles\n", name, (double)ns / count, (double)cycles / count);
    vm_close(&vm);
}

static void bench_touch(void)
{
    struct tvm vm;
    uint64_t ns, cycles;
    uint64_t size = TOUCH_PAGES * 4096ull;
    vm_make(&vm, VM_PLAIN);
    uint8_t *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mem != MAP_FAILED);
    vm_region(&vm, 1, 0, TOUCH_AT, size, mem);
    LOAD(&vm, bench_touch);
    vcpu_long(&vm, 0);
    bench_once(&vm, TOUCH_PAGES, &ns, &cycles);
    printf("%-12s %8.1f ns %10.1f cycles\n", "touch_4k", (double)ns / TOUCH_PAGES,
           (double)cycles / TOUCH_PAGES);
    vm_close(&vm);
    munmap(mem, size);
}

/* A signalled eventfd is an MSI; the guest, in HLT, takes it and says so by a port. */
static void bench_irqfd(unsigned count)
{
    struct {
        struct kvm_irq_routing head;
        struct kvm_irq_routing_entry e;
    } routes = {.head.nr = 1,
                .e = {.gsi = 24,
                      .type = KVM_IRQ_ROUTING_MSI,
                      .u.msi = {.address_lo = 0xfee00000, .data = 0x40}}};
    struct kvm_irqfd f = {.fd = eventfd(0, 0), .gsi = 24};
    struct tvm vm;
    uint64_t one = 1, t0, c0, ns, cycles;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, wait_irq);
    vcpu_long(&vm, 0);
    CHECK(ioctl(vm.fd, KVM_SET_GSI_ROUTING, &routes) == 0);
    CHECK(ioctl(vm.fd, KVM_IRQFD, &f) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    t0 = now_ns();
    c0 = __builtin_ia32_rdtsc();
    for (unsigned i = 1; i <= count; i++) {
        CHECK_EQ(write((int)f.fd, &one, sizeof one), sizeof one);
        CHECK_EQ(vcpu_report(&vm, 0), i & 0xff);
    }
    cycles = __builtin_ia32_rdtsc() - c0;
    ns = now_ns() - t0;
    printf("%-12s %8.1f ns %10.1f cycles\n", "irqfd_to_user", (double)ns / count,
           (double)cycles / count);
    vm_close(&vm);
    close((int)f.fd);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    if (count == 0) {
        fprintf(stderr, "usage: kvmbench [COUNT]\n");
        return 2;
    }
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        fprintf(stderr, "kvmbench: /dev/kvm: %s\n", strerror(errno));
        return 1;
    }
    bench("cpuid_exit", guest_bench_cpuid, guest_bench_cpuid_end, count);
    bench("rdmsr_exit", guest_bench_msr, guest_bench_msr_end, count);
    bench("out_to_user", guest_bench_out, guest_bench_out_end, count);
    bench("mmio_to_user", guest_bench_mmio, guest_bench_mmio_end, count);
    bench_touch();
    bench_irqfd(count / 10 + 1);
    return 0;
}
