/* SPDX-License-Identifier: MIT
 *
 * What a vCPU says it is: all that KVM supports, with this VM's topology written in, which is
 * one package of `cpus` cores of one thread, APIC id = vCPU id.
 * (SDM 2A CPUID; APM 3 appendix E.)
 */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "uapi/kvm.h"

#define CPUID_MAX 256
#define CPUID_FREQUENCY 0x40000010u

static struct kvm_cpuid2 *cpuid_supported(int kvm)
{
    struct kvm_cpuid2 *c = malloc(sizeof *c + CPUID_MAX * sizeof c->entries[0]);

    if (!c)
        fatal(EXIT_KVM, "out of memory");
    *c = (struct kvm_cpuid2){.nent = CPUID_MAX};
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c) < 0)
        fatal(EXIT_KVM, "supported CPUID: %s", strerror(errno));
    return c;
}

/* Leaf 0x40000010: TSC and bus frequency in kHz, so that a guest need not measure (a convention
 * of several hypervisors). */
static void cpuid_add_frequency(struct kvm_cpuid2 *c, int vcpu_fd)
{
    int khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);
    if (khz <= 0 || c->nent == CPUID_MAX)
        return;
    for (unsigned i = 0; i < c->nent; i++) {
        if (c->entries[i].function == CPUID_FREQUENCY)
            return;
        if (c->entries[i].function == KVM_CPUID_SIGNATURE && c->entries[i].eax < CPUID_FREQUENCY)
            c->entries[i].eax = CPUID_FREQUENCY;
    }
    c->entries[c->nent++] = (struct kvm_cpuid_entry2){
        .function = CPUID_FREQUENCY,
        .eax = (unsigned)khz,
        .ebx = 1000000, /* KVM's local APIC counts nanoseconds */
    };
}

static unsigned cpuid_id_bits(unsigned cpus)
{
    unsigned bits = 0;
    while ((1u << bits) < cpus)
        bits++;
    return bits;
}

static void cpuid_leaf_1(struct kvm_cpuid_entry2 *e, const struct vm *vm, unsigned id)
{
    e->ebx = (e->ebx & 0xffff) | vm->cpus << 16 | id << 24;
    e->ecx |= 1u << 31; /* under a hypervisor */
    if (vm->has_deadline_timer)
        e->ecx |= 1u << 24;
    else
        e->ecx &= ~(1u << 24);
    if (vm->cpus > 1)
        e->edx |= 1u << 28;
    else
        e->edx &= ~(1u << 28);
}

/* Leaves 0xb and 0x1f: level 0 threads, level 1 cores. */
static void cpuid_topology(struct kvm_cpuid_entry2 *e, const struct vm *vm, unsigned id)
{
    e->eax = e->ebx = 0;
    e->ecx = e->index;
    e->edx = id;
    if (e->index == 0) {
        e->ebx = 1;
        e->ecx |= 1u << 8;
    } else if (e->index == 1) {
        e->eax = cpuid_id_bits(vm->cpus);
        e->ebx = vm->cpus;
        e->ecx |= 2u << 8;
    }
}

static void cpuid_adapt(struct kvm_cpuid_entry2 *e, const struct vm *vm, unsigned id)
{
    switch (e->function) {
    case 0x1:
        cpuid_leaf_1(e, vm, id);
        break;
    case 0x4: /* cores per package, threads sharing the cache: none */
        e->eax = (e->eax & 0x3fff) | (vm->cpus - 1) << 26;
        break;
    case 0xb:
    case 0x1f:
        cpuid_topology(e, vm, id);
        break;
    case 0x80000008:
        e->ecx = cpuid_id_bits(vm->cpus) << 12 | (vm->cpus - 1);
        break;
    case 0x8000001e:
        e->eax = id;
        e->ebx = id;
        e->ecx = 0;
        break;
    default:
        break;
    }
}

void cpuid_set(const struct vm *vm, int vcpu_fd, unsigned id)
{
    struct kvm_cpuid2 *c = cpuid_supported(vm->kvm);
    for (unsigned i = 0; i < c->nent; i++)
        cpuid_adapt(&c->entries[i], vm, id);
    cpuid_add_frequency(c, vcpu_fd);
    if (ioctl(vcpu_fd, KVM_SET_CPUID2, c) < 0)
        fatal(EXIT_KVM, "CPUID of vCPU %u: %s", id, strerror(errno));
    free(c);
}
