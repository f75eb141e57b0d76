/* SPDX-License-Identifier: MIT
 *
 * A thread for each vCPU: enter the guest, serve its exit, again, until the VM stops.
 *
 * A vCPU is stopped from outside by its run area's immediate_exit and a signal: the flag covers
 * the moment before KVM_RUN, the signal the time inside. The signal's handler does nothing.
 */
#include "vmm/load.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi/kvm.h"

#define KICK SIGRTMIN

#define MSR_MISC_ENABLE 0x1a0
#define MSR_MTRR_DEF 0x2ff
#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

struct vcpu {
    struct vm *vm;
    unsigned id;
    int fd;
    struct kvm_run *run;
    size_t run_size;
    pthread_t thread;
};

static void vcpu_kicked(int sig)
{
}

/* ---- exits: true to go on ---- */

static uint64_t vcpu_load(const uint8_t *data, unsigned len)
{
    uint64_t value = 0;
    memcpy(&value, data, len);
    return value;
}

static bool vcpu_io(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    unsigned size = run->io.size;
    uint64_t offset = run->io.data_offset;
    uint64_t bytes = (uint64_t)size * run->io.count;

    if ((size != 1 && size != 2 && size != 4) || offset > v->run_size ||
        bytes > v->run_size - offset) {
        vm_stop(v->vm, EXIT_KVM, "vCPU %u: KVM reported a port access of %u bytes", v->id, size);
        return false;
    }
    uint8_t *data = (uint8_t *)run + offset;
    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            bus_write(&v->vm->buses[BUS_PORT], run->io.port, vcpu_load(data, size), size);
        } else {
            uint64_t value = bus_read(&v->vm->buses[BUS_PORT], run->io.port, size);
            memcpy(data, &value, size);
        }
    }
    return true;
}

static bool vcpu_mmio(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    unsigned len = run->mmio.len;

    if (len == 0 || len > 8) {
        vm_stop(v->vm, EXIT_KVM, "vCPU %u: KVM reported a memory access of %u bytes", v->id, len);
        return false;
    }
    if (run->mmio.is_write) {
        bus_write(&v->vm->buses[BUS_MEMORY], run->mmio.phys_addr, vcpu_load(run->mmio.data, len),
                  len);
    } else {
        uint64_t value = bus_read(&v->vm->buses[BUS_MEMORY], run->mmio.phys_addr, len);
        memcpy(run->mmio.data, &value, len);
    }
    return true;
}

static uint64_t vcpu_rip(const struct vcpu *v)
{
    struct kvm_regs regs;
    return ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

static bool vcpu_internal_error(struct vcpu *v)
{
    static const char *const why[] = {"unknown", "an instruction it cannot emulate",
                                      "simultaneous exceptions", "a fault while delivering",
                                      "an unexpected exit"};
    unsigned sub = v->run->internal.suberror;
    vm_stop(v->vm, EXIT_KVM, "vCPU %u: KVM internal error %u (%s) at %#llx", v->id, sub,
            sub < sizeof why / sizeof *why ? why[sub] : why[0], (unsigned long long)vcpu_rip(v));
    return false;
}

static bool vcpu_system_event(struct vcpu *v)
{
    switch (v->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        vm_stop(v->vm, EXIT_OK, NULL);
        break;
    case KVM_SYSTEM_EVENT_RESET:
        vm_stop(v->vm, EXIT_RESET, "the guest reset itself");
        break;
    default:
        vm_stop(v->vm, EXIT_KVM, "the guest crashed (system event %u)", v->run->system_event.type);
        break;
    }
    return false;
}

static bool vcpu_exit(struct vcpu *v)
{
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        return vcpu_io(v);
    case KVM_EXIT_MMIO:
        return vcpu_mmio(v);
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_SHUTDOWN:
        vm_stop(v->vm, EXIT_TRIPLE_FAULT, "vCPU %u: triple fault at %#llx", v->id,
                (unsigned long long)vcpu_rip(v));
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        vm_stop(v->vm, EXIT_KVM,
                "vCPU %u: the processor refused to enter the guest (%#llx) at %#llx", v->id,
                (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason,
                (unsigned long long)vcpu_rip(v));
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        return vcpu_internal_error(v);
    case KVM_EXIT_SYSTEM_EVENT:
        return vcpu_system_event(v);
    default:
        vm_stop(v->vm, EXIT_KVM, "vCPU %u: unexpected KVM exit %u at %#llx", v->id,
                v->run->exit_reason, (unsigned long long)vcpu_rip(v));
        return false;
    }
}

static void *vcpu_thread(void *arg)
{
    struct vcpu *v = arg;
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, KICK);
    pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
    for (;;) {
        if (atomic_load(&v->vm->stopping))
            return NULL;
        if (ioctl(v->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            vm_stop(v->vm, EXIT_KVM, "vCPU %u: KVM_RUN: %s", v->id, strerror(errno));
            return NULL;
        }
        if (!vcpu_exit(v))
            return NULL;
    }
}

/* ---- state at the start ---- */

static void vcpu_set_msrs(struct vcpu *v)
{
    struct {
        struct {
            uint32_t nmsrs, pad;
        } head;
        struct kvm_msr_entry entries[2];
    } msrs = {
        .head.nmsrs = 2,
        .entries = {{.index = MSR_MISC_ENABLE, .data = 1},   /* fast strings */
                    {.index = MSR_MTRR_DEF, .data = 0xc06}}, /* on, write-back */
    };
    /* The count of those set comes back; a processor without one of them is no error. */
    if (ioctl(v->fd, KVM_SET_MSRS, &msrs) < 0)
        fatal(EXIT_KVM, "MSRs of vCPU %u: %s", v->id, strerror(errno));
}

/* As firmware leaves it: LINT0 takes the PIC's interrupts, LINT1 is NMI (SDM 3A 11.5.1). */
static void vcpu_set_lapic(struct vcpu *v)
{
    struct kvm_lapic_state lapic;
    uint32_t lint0 = 0x700, lint1 = 0x400;

    if (ioctl(v->fd, KVM_GET_LAPIC, &lapic) < 0)
        fatal(EXIT_KVM, "local APIC of vCPU %u: %s", v->id, strerror(errno));
    memcpy(lapic.regs + 0x350, &lint0, sizeof lint0);
    memcpy(lapic.regs + 0x360, &lint1, sizeof lint1);
    if (ioctl(v->fd, KVM_SET_LAPIC, &lapic) < 0)
        fatal(EXIT_KVM, "local APIC of vCPU %u: %s", v->id, strerror(errno));
}

static struct kvm_segment vcpu_segment(uint16_t selector, uint8_t type, bool code, bool l)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .s = 1,
        .g = 1,
        .l = l,
        .db = code && l ? 0 : 1,
    };
}

static void vcpu_set_entry(struct vcpu *v, const struct vm_entry *entry)
{
    struct kvm_sregs s;
    if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
        fatal(EXIT_KVM, "registers: %s", strerror(errno));
    s.cs = vcpu_segment(0x10, 0xb, true, entry->long_mode);
    s.ds = s.es = s.fs = s.gs = s.ss = vcpu_segment(0x18, 0x3, false, false);
    s.tr = (struct kvm_segment){.limit = 0xffff, .type = 0xb, .present = 1};
    s.ldt = (struct kvm_segment){.unusable = 1};
    s.gdt = (struct kvm_dtable){.base = BOOT_GDT, .limit = 4 * 8 - 1};
    s.idt = (struct kvm_dtable){.base = 0, .limit = 0};
    s.cr0 = CR0_PE | CR0_ET;
    s.cr4 = 0;
    s.efer = 0;
    if (entry->long_mode) {
        s.cr0 |= CR0_PG;
        s.cr3 = BOOT_PML4;
        s.cr4 = CR4_PAE;
        s.efer = EFER_LME | EFER_LMA;
    }
    struct kvm_regs r = {
        .rip = entry->rip,
        .rsi = entry->rsi,
        .rbx = entry->rbx,
        .rflags = 2,
    };
    if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0 || ioctl(v->fd, KVM_SET_REGS, &r) < 0)
        fatal(EXIT_KVM, "registers: %s", strerror(errno));
}

static void vcpu_create(struct vm *vm, struct vcpu *v, unsigned id, size_t run_size)
{
    v->vm = vm;
    v->id = id;
    v->run_size = run_size;
    v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
    if (v->fd < 0)
        fatal(EXIT_KVM, "cannot create vCPU %u: %s", id, strerror(errno));
    v->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED)
        fatal(EXIT_KVM, "run area of vCPU %u: %s", id, strerror(errno));
    cpuid_set(vm, v->fd, id);
    vcpu_set_msrs(v);
    vcpu_set_lapic(v);
}

void vcpu_create_all(struct vm *vm)
{
    int run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run))
        fatal(EXIT_KVM, "KVM's run area has %d bytes", run_size);
    vm->vcpus = vm_alloc(vm, vm->cpus * sizeof *vm->vcpus);
    for (unsigned i = 0; i < vm->cpus; i++)
        vcpu_create(vm, &vm->vcpus[i], i, run_size);
}

void vcpu_start_all(struct vm *vm, const struct vm_entry *entry)
{
    struct sigaction sa = {.sa_handler = vcpu_kicked};
    sigaction(KICK, &sa, NULL);
    vcpu_set_entry(&vm->vcpus[0], entry);
    for (unsigned i = 0; i < vm->cpus; i++) {
        int err = pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread, &vm->vcpus[i]);
        if (err)
            fatal(EXIT_KVM, "thread of vCPU %u: %s", i, strerror(err));
        atomic_store(&vm->vcpus_started, i + 1);
    }
}

void vcpu_kick_all(struct vm *vm)
{
    unsigned started = atomic_load(&vm->vcpus_started);

    atomic_store(&vm->stopping, true);
    for (unsigned i = 0; i < started; i++) {
        vm->vcpus[i].run->immediate_exit = 1;
        pthread_kill(vm->vcpus[i].thread, KICK);
    }
}
