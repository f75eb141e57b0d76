/* SPDX-License-Identifier: MIT
 *
 * A fuzzer of /dev/kvm: machines with guests of random code in every mode, their vCPUs driven by
 * threads, while other threads make random ioctls on the same descriptors, write into the run
 * areas and pull the memory away. Everything a thread does follows from its seed; the threads'
 * order does not.
 */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>

#include "fuzz.h"

#define MAX_VCPUS 3
#define GUEST_SIZE (2UL << 20)

/* One virtual machine; descriptors are -1 where the kernel refused. */
struct machine {
    int kvm, vm, vcpu[MAX_VCPUS], event; /* event: an eventfd for irqfd, ioeventfd */
    unsigned vcpus;
    uint8_t *mem; /* GUEST_SIZE, at guest-physical 0, slot 0 */
    struct kvm_run *run[MAX_VCPUS];
    size_t run_size;
    pthread_t thread[MAX_VCPUS];
};

/* machine.c: makes one, with or without interrupt controllers; false when memory is short. */
bool machine_make(struct machine *m, struct chance *c);

/* guest.c: code, tables and registers of a start state: real, protected or long mode. */
void guest_code(struct machine *m, struct chance *c);
void guest_start(struct machine *m, unsigned v, struct chance *c);

/* ioctls.c: one random ioctl; a number of a model-specific register. */
uint32_t msr_any(struct chance *c);

#define MSR_EFER 0xc0000080u
#define EFER_BITS 0x4d01ull /* those that a kernel may let through */

/* Some of these bits. */
static inline uint64_t bits_of(struct chance *c, uint64_t mask)
{
    return mask & chance_below(c, UINT64_MAX);
}
void ioctl_any(struct machine *m, struct chance *c);
