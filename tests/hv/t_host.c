/* SPDX-License-Identifier: MIT
 *
 * What a guest leaves behind in the host's CPU: nothing. The checks are those that user mode can
 * make; emulators restore more than processors do, so a check may see its fault on one of them
 * only.
 */
#include "hvtest.h"

#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MSR_TSC_AUX 0xc0000103
#define TABLE_END 0x10000u

GUEST(hlt);
GUEST(spin);

/* Selectors of user mode that lie in the descriptor table, and are descriptors. */
static unsigned host_selectors(void)
{
    unsigned n = 0;
    for (unsigned sel = 8; sel < TABLE_END; sel += 8) {
        uint64_t rights;
        uint8_t valid;
        __asm__ volatile("lar %2, %0; setz %1"
                         : "=&r"(rights), "=q"(valid)
                         : "r"((uint64_t)(sel | 3))
                         : "cc");
        n += valid;
    }
    return n;
}

/* A VM exit of VT-x leaves a limit of 0xffff: kernel memory behind the table would be descriptors
 * that user mode may load. */
TEST(descriptor_table_of_the_host_keeps_its_limit)
{
    struct tvm vm;
    unsigned before = host_selectors();
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK_EQ(host_selectors(), before);
}

static void host_stay(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

static uint32_t host_tsc_aux(void)
{
    uint32_t a, d, c;
    __asm__ volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c));
    return c;
}

TEST(tsc_aux_of_a_guest_is_its_own)
{
    struct tvm vm;
    unsigned a, b, c, d;
    __cpuid(0x80000001, a, b, c, d);
    if (!(d & 1u << 27))
        test_skip("no RDTSCP");
    host_stay();
    uint32_t before = host_tsc_aux();
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    CHECK_EQ(set_msr(&vm, 0, MSR_TSC_AUX, 0xdeadbeef), 1);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK_EQ(host_tsc_aux(), before);
    CHECK_EQ(get_msr(&vm, 0, MSR_TSC_AUX), 0xdeadbeef);
}

TEST(xcr0_of_a_guest_is_its_own)
{
    struct tvm vm;
    struct kvm_xcrs x;
    uint32_t low, high, again;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XCRS, &x) == 0);
    if (x.nr_xcrs == 0)
        test_skip("no XSAVE");
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    x.xcrs[0].value = 1;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_XCRS, &x) == 0);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    __asm__ volatile("xgetbv" : "=a"(again), "=d"(high) : "c"(0));
    CHECK_EQ(again, low);
}

static double host_cpu_ms(clockid_t clock)
{
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void on_signal(int sig)
{
}

static void *run_other(void *arg)
{
    struct tvm *vm = arg;
    for (;;)
        ioctl(vm->vcpu[1], KVM_RUN, 0);
    return NULL;
}

/* When both have had half a second. */
static void *kick_main(void *arg)
{
    usleep(1000000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

/* Two vCPUs of one processor, of which one comes to need its program after a while. */
TEST(thread_of_a_vcpu_has_its_share_outside_the_guest)
{
    pthread_t me = pthread_self(), other, kicker;
    clockid_t clock;
    struct tvm vm;
    signal(SIGUSR1, on_signal);
    host_stay();
    vm_make(&vm, VM_PLAIN);
    vm_add_vcpu(&vm, 1);
    LOAD(&vm, spin);
    vcpu_real(&vm, 0);
    vcpu_real(&vm, 1);
    CHECK(pthread_create(&other, NULL, run_other, &vm) == 0);
    CHECK(pthread_getcpuclockid(other, &clock) == 0);
    CHECK(pthread_create(&kicker, NULL, kick_main, &me) == 0);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    double own = host_cpu_ms(CLOCK_THREAD_CPUTIME_ID), others = host_cpu_ms(clock);
    while (host_cpu_ms(CLOCK_THREAD_CPUTIME_ID) - own < 20)
        ;
    CHECK(host_cpu_ms(clock) - others < 200);
    pthread_join(kicker, NULL);
}
