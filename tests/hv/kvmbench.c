/* SPDX-License-Identifier: MIT
 *
 * kvmbench [COUNT]: what leaving a guest costs, as "name ns cycles" lines: an exit that KVM
 * serves itself (cpuid, rdmsr), one that goes to user space and back (out, mmio), and a first
 * touch of guest memory, and an interrupt by irqfd. The same program on Linux and on Bothy.
 * kvmbench scale [MS]: what two vCPUs of one VM do in the time of one, first touches and exits to
 * user space, MS (1500) for each: lines as tests/perf/rounds.h has them. Not under icount.
 */
#include "hvtest.h"

#include "perf/rounds.h"

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

static void bench_ready(struct tvm *vm, int v, unsigned count, uint64_t at)
{
    struct kvm_regs r;
    vcpu_regs(vm, v, &r);
    r.rip = LOAD_AT;
    r.rsi = count;
    r.rbx = at;
    vcpu_set_regs(vm, v, &r);
}

/* Exits to us go back in at once. */
static void bench_run(struct tvm *vm, int v)
{
    for (;;) {
        unsigned reason = vcpu_run(vm, v);
        if (reason == KVM_EXIT_IO && vm->run[v]->io.port == REPORT)
            break;
        if (reason != KVM_EXIT_IO && reason != KVM_EXIT_MMIO) {
            fprintf(stderr, "kvmbench: unexpected exit %u\n", reason);
            exit(1);
        }
    }
}

/* The loop of `count` rounds. */
static void bench_once(struct tvm *vm, unsigned count, uint64_t *ns, uint64_t *cycles)
{
    bench_ready(vm, 0, count, TOUCH_AT);
    uint64_t t0 = now_ns(), c0 = __builtin_ia32_rdtsc();
    bench_run(vm, 0);
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

/* ---- scaling ---- */

#define SCALE_WORKERS 2
static struct tvm scale_vm;
static uint8_t *scale_mem; /* TOUCH_PAGES for each vCPU */

static void scale_forget(unsigned v)
{
    size_t each = TOUCH_PAGES * 4096ul;

    CHECK(madvise(scale_mem + v * each, each, MADV_DONTNEED) == 0);
}

static void scale_work(unsigned v, unsigned n)
{
    bench_ready(&scale_vm, (int)v, n, TOUCH_AT + v * TOUCH_PAGES * 4096ull);
    bench_run(&scale_vm, (int)v);
}

/* The vCPUs of one VM, each with its own memory or its own exits. */
static void scale(const struct rounds *r, const uint8_t *code, const uint8_t *end, unsigned ms)
{
    size_t size = SCALE_WORKERS * TOUCH_PAGES * 4096ul;

    scale_mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(scale_mem != MAP_FAILED && madvise(scale_mem, size, MADV_NOHUGEPAGE) == 0);
    vm_make(&scale_vm, VM_PLAIN);
    vm_region(&scale_vm, 1, 0, TOUCH_AT, size, scale_mem);
    vm_load(&scale_vm, code, (size_t)(end - code));
    for (int v = 0; v < SCALE_WORKERS; v++) {
        if (v)
            vm_add_vcpu(&scale_vm, v);
        vcpu_long(&scale_vm, v);
    }
    rounds_run(r, SCALE_WORKERS, ms);
    vm_close(&scale_vm);
    munmap(scale_mem, size);
}

static int scale_all(unsigned ms)
{
    static const struct rounds touch = {"touch_4k",   true,       NULL,
                                        scale_forget, scale_work, TOUCH_PAGES},
                               out = {"out_to_user", true, NULL, NULL, scale_work, 0},
                               mmio = {"mmio_to_user", true, NULL, NULL, scale_work, 0};

    scale(&touch, guest_bench_touch, guest_bench_touch_end, ms);
    scale(&out, guest_bench_out, guest_bench_out_end, ms);
    scale(&mmio, guest_bench_mmio, guest_bench_mmio_end, ms);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "scale") == 0)
        return scale_all(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1500);
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
