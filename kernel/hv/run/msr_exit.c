/* SPDX-License-Identifier: MIT
 *
 * What a VMM decides about its guests' model-specific registers: KVM_X86_SET_MSR_FILTER denies
 * them, KVM_CAP_X86_USER_SPACE_MSR has user space handle what is denied, unknown or refused. Only
 * accesses by the guest are meant.
 *
 * A filter is immutable and found by RCU. While a VM has one the guest has no register for itself,
 * since the CPU's own permission maps are shared by all VMs (VCPU_REQ_FILTER).
 */
#include "arch/x86/trap.h"
#include "arch/x86/uaccess.h"
#include "hv/regs/regs.h"
#include "hv/run/run.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sync/rcu.h"

#define X2APIC_FIRST 0x800U
#define X2APIC_LAST 0x8ffU
#define FILTER_BOTH (KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)
#define USER_REASONS \
    (KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)

struct msr_range {
    u32 flags, base, count;
    u8 *bitmap;
};

struct msr_filter {
    struct rcu_head rcu;
    bool deny; /* what no range has */
    u32 nr;
    struct msr_range ranges[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct msr_filter *f)
{
    for (u32 i = 0; f && i < f->nr; i++)
        kfree(f->ranges[i].bitmap);
    kfree(f);
}

static void filter_free_rcu(struct rcu_head *head)
{
    filter_free(container_of(head, struct msr_filter, rcu));
}

void vm_filter_destroy(struct vm *vm)
{
    filter_free(vm->filter);
}

/* ------------------------------------------------------------- setting one */

static int filter_add(struct msr_filter *f, const struct kvm_msr_filter_range *in)
{
    struct msr_range *r = &f->ranges[f->nr];
    u32 bytes = (in->nmsrs + 7) / 8;

    if (!in->nmsrs)
        return 0;
    if ((in->flags & ~(u32)FILTER_BOTH) || !in->flags ||
        in->nmsrs > KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8)
        return -EINVAL;
    r->bitmap = kmalloc(bytes);
    if (!r->bitmap)
        return -ENOMEM;
    f->nr++;
    r->flags = in->flags;
    r->base = in->base;
    r->count = in->nmsrs;
    return copy_in(r->bitmap, (const void __user *)(u64)in->bitmap, bytes);
}

static int filter_build(const struct kvm_msr_filter *in, struct msr_filter **out)
{
    struct msr_filter *f = kzalloc(sizeof(*f));
    int err = f ? 0 : -ENOMEM;

    for (u32 i = 0; !err && i < KVM_MSR_FILTER_MAX_RANGES; i++)
        err = filter_add(f, &in->ranges[i]);
    if (err) {
        filter_free(f);
        return err;
    }
    f->deny = in->flags & KVM_MSR_FILTER_DEFAULT_DENY;
    *out = f;
    return 0;
}

/* Nothing is denied: there need not be one. */
static bool filter_is_empty(const struct msr_filter *f)
{
    return !f->nr && !f->deny;
}

int vm_set_msr_filter(struct vm *vm, u64 arg)
{
    struct kvm_msr_filter *in = kzalloc(sizeof(*in));
    struct msr_filter *new = NULL, *old;
    int err = in ? copy_in(in, (const void __user *)arg, sizeof(*in)) : -ENOMEM;

    if (!err && (in->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY))
        err = -EINVAL;
    if (!err)
        err = filter_build(in, &new);
    /* To deny all and name nothing is a mistake. */
    if (!err && new->deny && !new->nr)
        err = -EINVAL;
    kfree(in);
    if (err || filter_is_empty(new)) {
        filter_free(new);
        new = NULL;
    }
    if (err)
        return err;
    mutex_lock(&vm->lock);
    old = __atomic_exchange_n(&vm->filter, new, __ATOMIC_ACQ_REL);
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        if (vm->vcpus[i])
            vcpu_request(vm->vcpus[i], VCPU_REQ_FILTER);
    mutex_unlock(&vm->lock);
    if (old)
        rcu_call(&old->rcu, filter_free_rcu);
    return 0;
}

int vm_set_user_msrs(struct vm *vm, u64 mask)
{
    if (mask & ~(u64)USER_REASONS)
        return -EINVAL;
    WRITE_ONCE(vm->user_msrs, (u32)mask);
    return 0;
}

/* ------------------------------------------------------------- judging an access */

/* The first range that has the register and means this kind of access decides. */
static bool filter_allows(const struct msr_filter *f, u32 msr, u32 kind)
{
    for (u32 i = 0; i < f->nr; i++) {
        const struct msr_range *r = &f->ranges[i];
        u32 at = msr - r->base;

        if ((r->flags & kind) && at < r->count)
            return r->bitmap[at / 8] >> (at % 8) & 1;
    }
    return !f->deny;
}

static bool msr_allowed(struct vcpu *v, u32 msr, u32 kind)
{
    const struct msr_filter *f;
    bool ok = true;

    if (likely(!READ_ONCE(v->vm->filter)) || (msr >= X2APIC_FIRST && msr <= X2APIC_LAST))
        return true;
    rcu_read_lock();
    f = load_acquire(&v->vm->filter);
    if (f)
        ok = filter_allows(f, msr, kind);
    rcu_read_unlock();
    return ok;
}

/* The access has failed: #GP, or to user space if it wants such. */
static int msr_failed(struct vcpu *v, u32 msr, bool write, u64 value, u32 reason)
{
    struct kvm_run *run = v->run;

    if (!(READ_ONCE(v->vm->user_msrs) & reason)) {
        vcpu_queue_exception(v, VEC_GP, true, 0);
        return 1;
    }
    run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
    run->msr.error = 0;
    memset(run->msr.pad, 0, sizeof(run->msr.pad));
    run->msr.reason = reason;
    run->msr.index = msr;
    run->msr.data = value;
    v->asked.port = write;
    v->asked.len = v->exit.insn_len;
    v->waiting = VCPU_WAIT_MSR;
    return 0;
}

static u32 msr_reason(int err)
{
    return err == -ENOENT ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

static void msr_result(struct vcpu *v, u64 value)
{
    v->gpr[EMUL_RAX] = (u32)value;
    v->gpr[EMUL_RDX] = value >> 32;
}

int vcpu_rdmsr(struct vcpu *v)
{
    u32 msr = (u32)v->gpr[EMUL_RCX];
    u64 value = 0;
    int err;

    ASSERT_HELD(&v->lock);
    if (unlikely(!msr_allowed(v, msr, KVM_MSR_FILTER_READ)))
        return msr_failed(v, msr, false, 0, KVM_MSR_EXIT_REASON_FILTER);
    err = vcpu_get_msr(v, msr, &value, false);
    if (err)
        return msr_failed(v, msr, false, 0, msr_reason(err));
    msr_result(v, value);
    vcpu_skip(v);
    return 1;
}

int vcpu_wrmsr(struct vcpu *v)
{
    u32 msr = (u32)v->gpr[EMUL_RCX];
    u64 value = (u64)(u32)v->gpr[EMUL_RDX] << 32 | (u32)v->gpr[EMUL_RAX];
    int err;

    ASSERT_HELD(&v->lock);
    if (unlikely(!msr_allowed(v, msr, KVM_MSR_FILTER_WRITE)))
        return msr_failed(v, msr, true, value, KVM_MSR_EXIT_REASON_FILTER);
    err = vcpu_set_msr(v, msr, value, false);
    if (err)
        return msr_failed(v, msr, true, value, msr_reason(err));
    vcpu_skip(v);
    return 1;
}

/* User space's answer. */
int vcpu_msr_done(struct vcpu *v)
{
    u64 value = READ_ONCE(v->run->msr.data);

    ASSERT_HELD(&v->lock);
    if (READ_ONCE(v->run->msr.error)) {
        vcpu_queue_exception(v, VEC_GP, true, 0);
        return 1;
    }
    if (!v->asked.port)
        msr_result(v, value);
    v->exit.insn_len = (u8)v->asked.len;
    vcpu_skip(v);
    return 1;
}
