/* SPDX-License-Identifier: MIT
 *
 * Entering guests, their exits, and how they are stopped.
 */
#include "hvtest.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

GUEST(hlt);
GUEST(io);
GUEST(io_string);
GUEST(prot);
GUEST(long);
GUEST(climb);
GUEST(triple);
GUEST(spin);
GUEST(faults);

TEST(api_version)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    CHECK_EQ(ioctl(vm.kvm, KVM_GET_API_VERSION, 0), 12);
    CHECK_ERR(ioctl(vm.kvm, KVM_GET_API_VERSION, 1), EINVAL);
}

TEST(capabilities)
{
    static const int needed[] = {
        KVM_CAP_IRQCHIP,
        KVM_CAP_HLT,
        KVM_CAP_USER_MEMORY,
        KVM_CAP_SET_TSS_ADDR,
        KVM_CAP_EXT_CPUID,
        KVM_CAP_NR_VCPUS,
        KVM_CAP_NR_MEMSLOTS,
        KVM_CAP_MP_STATE,
        KVM_CAP_SYNC_MMU,
        KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
        KVM_CAP_USER_NMI,
        KVM_CAP_IRQ_ROUTING,
        KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
        KVM_CAP_PIT2,
        KVM_CAP_VCPU_EVENTS,
        KVM_CAP_DEBUGREGS,
        KVM_CAP_XSAVE,
        KVM_CAP_XCRS,
        KVM_CAP_MAX_VCPUS,
        KVM_CAP_SIGNAL_MSI,
        KVM_CAP_IMMEDIATE_EXIT,
    };
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (ioctl(vm.kvm, KVM_CHECK_EXTENSION, needed[i]) <= 0)
            test_fail(__FILE__, __LINE__, "capability %d is missing", needed[i]);
    CHECK_EQ(ioctl(vm.kvm, KVM_CHECK_EXTENSION, 9999), 0);
    CHECK(ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS) >= 2);
    CHECK(ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING) >= 1024); /* how many GSIs */
}

TEST(create_errors)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    CHECK_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, 0), EEXIST);
    CHECK_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, 1 << 20), EINVAL);
    CHECK_ERR(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0), EINVAL);  /* after a vCPU */
    CHECK_ERR(ioctl(vm.kvm, KVM_CREATE_VM, 0x1000), EINVAL); /* no such machine type */
}

TEST(vcpu_is_named_in_maps)
{
    struct tvm vm;
    char line[512];
    bool found = false;
    vm_make(&vm, VM_PLAIN);
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f);
    while (fgets(line, sizeof line, f))
        found |= strstr(line, "anon_inode:kvm-vcpu") != NULL;
    CHECK(found);
}

TEST(hlt_exits_without_irqchip)
{
    struct tvm vm;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    vcpu_regs(&vm, 0, &r);
    CHECK_EQ(r.rip, LOAD_AT + 1);
    EXPECT_REPORT(&vm, 0, 0x42);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

/* Bothy runs guests on those CPUs that let it: EBUSY of a thread that is bound to others. */
TEST(vcpu_goes_where_its_thread_goes)
{
    cpu_set_t all, one;
    struct tvm vm;
    int ran = 0;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
        vcpu_real(&vm, 0);
        if (ioctl(vm.vcpu[0], KVM_RUN, 0) < 0) {
            CHECK_EQ(errno, EBUSY);
            continue;
        }
        CHECK_EQ(vm.run[0]->exit_reason, KVM_EXIT_HLT);
        ran++;
    }
    CHECK(ran > 0);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    vcpu_real(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

static void io_expect(struct tvm *vm, unsigned direction, unsigned port, unsigned size)
{
    CHECK_EQ(vcpu_run(vm, 0), KVM_EXIT_IO);
    CHECK_EQ(vm->run[0]->io.direction, direction);
    CHECK_EQ(vm->run[0]->io.port, port);
    CHECK_EQ(vm->run[0]->io.size, size);
    CHECK_EQ(vm->run[0]->io.count, 1);
}

TEST(io_in_and_out_of_each_size)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, io);
    vcpu_real(&vm, 0);
    io_expect(&vm, KVM_EXIT_IO_IN, 0x10, 1);
    *(uint8_t *)io_data(&vm, 0) = 0x7f;
    io_expect(&vm, KVM_EXIT_IO_OUT, 0x11, 1);
    CHECK_EQ(*(uint8_t *)io_data(&vm, 0), 0x80);
    io_expect(&vm, KVM_EXIT_IO_IN, 0x1234, 2);
    *(uint16_t *)io_data(&vm, 0) = 0x7fff;
    io_expect(&vm, KVM_EXIT_IO_OUT, 0x1234, 2);
    CHECK_EQ(*(uint16_t *)io_data(&vm, 0), 0x8000);
    io_expect(&vm, KVM_EXIT_IO_IN, 0x1234, 4);
    *(uint32_t *)io_data(&vm, 0) = 0x7fffffff;
    io_expect(&vm, KVM_EXIT_IO_OUT, 0x1234, 4);
    CHECK_EQ(*(uint32_t *)io_data(&vm, 0), 0x80000000);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

/* KVM may hand over the elements together or one by one. */
TEST(io_string_moves_all_elements)
{
    struct tvm vm;
    char got[8] = "";
    unsigned n = 0, in = 0;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, io_string);
    vcpu_real(&vm, 0);
    while (n < 5) {
        CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IO);
        CHECK_EQ(vm.run[0]->io.direction, KVM_EXIT_IO_OUT);
        CHECK_EQ(vm.run[0]->io.size, 1);
        CHECK(vm.run[0]->io.count <= 5 - n);
        memcpy(got + n, io_data(&vm, 0), vm.run[0]->io.count);
        n += vm.run[0]->io.count;
    }
    CHECK(strcmp(got, "hello") == 0);
    while (in < 3) {
        CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IO);
        CHECK_EQ(vm.run[0]->io.direction, KVM_EXIT_IO_IN);
        CHECK_EQ(vm.run[0]->io.size, 2);
        uint16_t *data = io_data(&vm, 0);
        for (unsigned i = 0; i < vm.run[0]->io.count; i++)
            data[i] = 0x1111 * ++in;
    }
    EXPECT_REPORT(&vm, 0, 0x3333);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK(memcmp(vm.mem + 0x7000, "\x11\x11\x22\x22\x33\x33", 6) == 0);
}

TEST(protected_mode_start)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, prot);
    vcpu_prot(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0x08);
    EXPECT_REPORT(&vm, 0, 0x12345678);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

TEST(long_mode_start)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, long);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0x11223344);
    CHECK_EQ(*(uint64_t *)(vm.mem + 0x200000), 0x1122334455667788);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

TEST(guest_climbs_from_real_to_long_mode)
{
    struct tvm vm;
    struct kvm_sregs s;
    vm_make(&vm, VM_PLAIN);
    vcpu_long(&vm, 0); /* for its page tables */
    struct tvm fresh;
    vm_make(&fresh, VM_PLAIN);
    memcpy(fresh.mem, vm.mem, vm.size);
    vcpu_cpuid(&fresh, 0);
    LOAD(&fresh, climb);
    vcpu_real(&fresh, 0);
    EXPECT_REPORT(&fresh, 0, 1);
    EXPECT_REPORT(&fresh, 0, 2);
    CHECK(ioctl(fresh.vcpu[0], KVM_GET_SREGS, &s) == 0);
    CHECK_EQ(s.efer & 0x500, 0x500);
    CHECK_EQ(s.cs.l, 1);
    CHECK_EQ(vcpu_run(&fresh, 0), KVM_EXIT_HLT);
}

TEST(exceptions_reach_the_guests_handlers)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, faults);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 6);
    EXPECT_REPORT(&vm, 0, 13);
    EXPECT_REPORT(&vm, 0, 0x40);
    EXPECT_REPORT(&vm, 0, 0x99);
}

TEST(triple_fault_is_a_shutdown_exit)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, triple);
    vcpu_long(&vm, 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_SHUTDOWN);
}

/* ---- stopping ---- */

static void on_signal(int sig)
{
}

struct kicker {
    pthread_t target;
    int after_us;
};

static void *kick_thread(void *arg)
{
    struct kicker *k = arg;
    usleep(k->after_us);
    pthread_kill(k->target, SIGUSR1);
    return NULL;
}

static pthread_t kick_later(struct kicker *k, int after_us)
{
    pthread_t t;
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &sa, NULL);
    *k = (struct kicker){pthread_self(), after_us};
    CHECK(pthread_create(&t, NULL, kick_thread, k) == 0);
    return t;
}

TEST(immediate_exit_returns_before_the_guest_runs)
{
    struct tvm vm;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    vm.run[0]->immediate_exit = 1;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    vcpu_regs(&vm, 0, &r);
    CHECK_EQ(r.rip, LOAD_AT);
    vm.run[0]->immediate_exit = 0;
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

TEST(immediate_exit_completes_a_pending_read)
{
    struct tvm vm;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, io);
    vcpu_real(&vm, 0);
    io_expect(&vm, KVM_EXIT_IO_IN, 0x10, 1);
    *(uint8_t *)io_data(&vm, 0) = 0x33;
    vm.run[0]->immediate_exit = 1;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    vcpu_regs(&vm, 0, &r);
    CHECK_EQ(r.rax & 0xff, 0x33);
    CHECK_EQ(r.rip, LOAD_AT + 2);
}

TEST(signal_stops_a_spinning_guest)
{
    struct tvm vm;
    struct kicker k;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, spin);
    vcpu_real(&vm, 0);
    pthread_t t = kick_later(&k, 20000);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    CHECK_EQ(vm.run[0]->exit_reason, KVM_EXIT_INTR);
    pthread_join(t, NULL);
}

TEST(signal_stops_a_halted_guest)
{
    struct tvm vm;
    struct kicker k;
    vm_make(&vm, VM_IRQCHIP);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    pthread_t t = kick_later(&k, 20000);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    pthread_join(t, NULL);
}

TEST(signal_stops_a_vcpu_waiting_for_startup)
{
    struct tvm vm;
    struct kicker k;
    struct kvm_mp_state mp;
    vm_make(&vm, VM_IRQCHIP);
    vm_add_vcpu(&vm, 1);
    CHECK(ioctl(vm.vcpu[1], KVM_GET_MP_STATE, &mp) == 0);
    CHECK_EQ(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
    pthread_t t = kick_later(&k, 20000);
    CHECK_ERR(ioctl(vm.vcpu[1], KVM_RUN, 0), EINTR);
    pthread_join(t, NULL);
}

/* The mask of KVM_SET_SIGNAL_MASK holds while the guest runs: a signal that is blocked outside
 * ends KVM_RUN and stays pending. */
TEST(signal_mask_holds_during_run)
{
    struct tvm vm;
    struct kicker k;
    struct {
        struct {
            uint32_t len;
        } head;
        uint8_t set[8];
    } mask = {.head.len = 8};
    sigset_t block, pending;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, spin);
    vcpu_real(&vm, 0);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SIGNAL_MASK, &mask) == 0);
    pthread_t t = kick_later(&k, 20000);
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_RUN, 0), EINTR);
    pthread_join(t, NULL);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    mask.head.len = 4;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_SIGNAL_MASK, &mask), EINVAL);
}

TEST(process_death_ends_a_spinning_guest)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, spin);
    vcpu_real(&vm, 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct tvm own; /* a VM belongs to the process that made it */
        vm_make(&own, VM_PLAIN);
        LOAD(&own, spin);
        vcpu_real(&own, 0);
        ioctl(own.vcpu[0], KVM_RUN, 0);
        _exit(1);
    }
    usleep(50000);
    CHECK(kill(pid, SIGKILL) == 0);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status & 0x7f, SIGKILL);
}

TEST(vm_of_another_process_is_refused)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        errno = 0;
        _exit(ioctl(vm.vcpu[0], KVM_RUN, 0) < 0 && errno == EIO ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
}

TEST(many_vms_in_turn)
{
    for (int i = 0; i < 20; i++) {
        struct tvm vm;
        vm_make(&vm, i & 1 ? VM_PIT : VM_PLAIN);
        LOAD(&vm, long);
        vcpu_long(&vm, 0);
        EXPECT_REPORT(&vm, 0, 0x11223344);
        vm_close(&vm);
    }
}

TEST(many_vms_at_once)
{
    static struct tvm vms[8];
    for (int i = 0; i < 8; i++) {
        vm_make(&vms[i], VM_PLAIN);
        LOAD(&vms[i], long);
        vcpu_long(&vms[i], 0);
    }
    for (int i = 0; i < 8; i++)
        EXPECT_REPORT(&vms[i], 0, 0x11223344);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(vcpu_run(&vms[i], 0), KVM_EXIT_HLT);
}
