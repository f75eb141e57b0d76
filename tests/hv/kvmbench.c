/* SPDX-License-Identifier: MIT
 *
 * kvmbench [COUNT]: what leaving a guest costs, as "name ns cycles" lines: an exit that KVM
 * serves itself (cpuid, rdmsr), one that goes to user space and back (out, mmio), and a first
 * touch of guest memory. The same program on Linux and on Bothy.
 */
#include "hvtest.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

GUEST(bench_cpuid);
GUEST(bench_out);
GUEST(bench_mmio);
GUEST(bench_msr);
GUEST(bench_touch);

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
    return 0;
}
