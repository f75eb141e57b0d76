/* SPDX-License-Identifier: MIT
 *
 * A virtual machine: what its vCPUs and its descriptors share.
 *
 * Lock order: vcpu->lock (mutex: held all through KVM_RUN and every vCPU ioctl), vm->lock (mutex:
 * slots, irqchip creation, vCPU creation), hyperv.lock, aspace->lock and ->pt_lock, nested_lock,
 * eventfd_lock, the irqchip's (spinlock: all interrupt controllers of a VM).
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"
#include "mm/pgtable.h"
#include "sched/mutex.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"
#include "vm/aspace.h"

#define VM_VCPUS_MAX 64
#define VM_SLOTS_MAX 509
#define HYPERV_CRASH_DATA 5

struct irqchip;
struct mem_object;
struct msr_filter;
struct page;
struct slot_set;
struct vcpu;

/* What the vCPUs of a VM share. h lock to change · a atomic */
struct hyperv_vm {
    struct mutex lock;
    u64 os_id;                    /* h+a  0: hypercalls are not Hyper-V's */
    u64 hypercall;                /* h */
    u64 crash[HYPERV_CRASH_DATA]; /* h  what the guest says of its end */
    u64 crash_ctl;                /* h */
    u64 tsc_page;                 /* h+a  the register: address, and bit 0 */
    bool tsc_valid;               /* h  the page tells the time, with these */
    u64 tsc_scale, tsc_offset;    /* h */
    u64 tsc_base;                 /* h  and vm->tsc_offset as it was for them */
    u32 tsc_sequence;             /* h  the last number that a page has had */
};

/* l lock · n nested_lock · p aspace->pt_lock · a atomic · I immutable */
struct vm {
    refcount_t ref; /* a */
    struct mutex lock;
    struct aspace *aspace;            /* I  a reference of ref kind: the VMM's */
    struct translation xlate;         /* p  its place in the aspace */
    struct spinlock nested_lock;      /* below pt_lock */
    struct pgtable npt;               /* n */
    struct slot_set *slots;           /* l+n to change; RCU */
    struct vcpu *vcpus[VM_VCPUS_MAX]; /* l+n to take out; l, published last */
    u32 nr_vcpus;                     /* l */
    struct irqchip *irqchip;          /* l, published last; NULL: user space has them */
    u64 boot_vcpu;                    /* l */
    s64 clock_offset;                 /* l  ns: kvmclock = time_ns() + offset */
    u64 tsc_offset; /* a  the guest's TSC starts near 0 at creation; what vCPUs agree on */
    u64 clock_tsc;  /* a  host TSC at the kvmclock's point of reference; 0: none yet */
    struct spinlock eventfd_lock; /* of the three lists, and of the ring's end */
    struct list_node ioeventfds, irqfds, zones;
    struct mem_object *ring_object; /* I  of one page: coalesced.c */
    struct page *ring_page;         /* l  NULL before the first zone; then I */
    struct msr_filter *filter;      /* l to change; RCU  NULL: guests have all registers */
    u32 user_msrs;                  /* a  KVM_MSR_EXIT_REASON_*: what user space handles */
    bool no_platform_info;          /* a  MSR_PLATFORM_INFO is not for guests */
    u32 mmu_pages;                  /* a  KVM_SET_NR_MMU_PAGES: kept, without effect */
    u64 flushes;                    /* n  for its statistics */
    struct hyperv_vm hyperv;
    void *arch;
};
