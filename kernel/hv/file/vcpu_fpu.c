/* SPDX-License-Identifier: MIT
 *
 * The ioctls that read and write a vCPU's floating-point and vector state, and XCR0, which says
 * what of it there is; vcpu->lock is held, so that the state is in v->fpu.
 */
#include "arch/x86/switch.h"
#include "arch/x86/uaccess.h"
#include "hv/file/file.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"

#define XSAVE_FCW 0
#define XSAVE_FTW 4
#define XSAVE_FOP 6
#define XSAVE_FIP 8
#define XSAVE_FDP 16
#define XSAVE_MXCSR 24
#define XSAVE_ST 32
#define XSAVE_XMM 160
#define XSAVE_BV 512
#define XCR0_X87 1UL
#define XCR0_SSE 2UL
#define XCR0_AVX 4UL
#define XCR0_AVX512 (7UL << 5)

/* XSAVE leaves out what is in its initial state: puts that state into the area, so that its legacy
 * part is right regardless of the header's bits. */
static void fpu_settle(struct vcpu *v)
{
    u8 *area = v->fpu;
    u64 *bv = (u64 *)(area + XSAVE_BV);

    if (!fpu_xcr0())
        return;
    if (!(*bv & XCR0_X87)) {
        memset(area, 0, XSAVE_MXCSR);
        *(u16 *)(area + XSAVE_FCW) = 0x37f;
        memset(area + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
    }
    if (!(*bv & XCR0_SSE))
        memset(area + XSAVE_XMM, 0, 256);
    *bv |= XCR0_X87 | XCR0_SSE;
}

static s64 fpu_get_legacy(struct vcpu *v, u64 arg)
{
    const u8 *area = v->fpu;
    struct kvm_fpu fpu = {0};

    ASSERT_HELD(&v->lock);
    fpu_settle(v);
    memcpy(&fpu.fcw, area + XSAVE_FCW, 2);
    memcpy(&fpu.fsw, area + 2, 2);
    fpu.ftwx = area[XSAVE_FTW];
    memcpy(&fpu.last_opcode, area + XSAVE_FOP, 2);
    memcpy(&fpu.last_ip, area + XSAVE_FIP, 8);
    memcpy(&fpu.last_dp, area + XSAVE_FDP, 8);
    memcpy(&fpu.mxcsr, area + XSAVE_MXCSR, 4);
    memcpy(fpu.fpr, area + XSAVE_ST, sizeof(fpu.fpr));
    memcpy(fpu.xmm, area + XSAVE_XMM, sizeof(fpu.xmm));
    return copy_out((void __user *)arg, &fpu, sizeof(fpu));
}

static s64 fpu_set_legacy(struct vcpu *v, u64 arg)
{
    u8 *area;
    struct kvm_fpu fpu;
    int err;

    ASSERT_HELD(&v->lock);
    if (copy_in(&fpu, (const void __user *)arg, sizeof(fpu)))
        return -EFAULT;
    fpu_settle(v);
    area = kmemdup(v->fpu, fpu_size());
    if (!area)
        return -ENOMEM;
    memcpy(area + XSAVE_FCW, &fpu.fcw, 2);
    memcpy(area + 2, &fpu.fsw, 2);
    area[XSAVE_FTW] = fpu.ftwx;
    memcpy(area + XSAVE_FOP, &fpu.last_opcode, 2);
    memcpy(area + XSAVE_FIP, &fpu.last_ip, 8);
    memcpy(area + XSAVE_FDP, &fpu.last_dp, 8);
    memcpy(area + XSAVE_MXCSR, &fpu.mxcsr, 4);
    memcpy(area + XSAVE_ST, fpu.fpr, sizeof(fpu.fpr));
    memcpy(area + XSAVE_XMM, fpu.xmm, sizeof(fpu.xmm));
    err = fpu_validate(area);
    if (!err)
        memcpy(v->fpu, area, fpu_size());
    kfree(area);
    return err;
}

u32 hv_xsave_size(void)
{
    return MAX(fpu_size(), (u32)sizeof(struct kvm_xsave));
}

static s64 fpu_get_xsave2(struct vcpu *v, u64 arg)
{
    ASSERT_HELD(&v->lock);
    fpu_settle(v);
    return copy_out((void __user *)arg, v->fpu, hv_xsave_size());
}

/* -EINVAL: the state is larger than the struct. */
static s64 fpu_get_xsave(struct vcpu *v, u64 arg)
{
    return hv_xsave_size() > sizeof(struct kvm_xsave) ? -EINVAL : fpu_get_xsave2(v, arg);
}

static s64 fpu_set_xsave(struct vcpu *v, u64 arg)
{
    u8 *area = kzalloc(hv_xsave_size());
    int err;

    ASSERT_HELD(&v->lock);
    if (!area)
        return -ENOMEM;
    err = copy_in(area, (const void __user *)arg, hv_xsave_size());
    if (!err)
        err = fpu_validate(area);
    if (!err)
        memcpy(v->fpu, area, fpu_size());
    kfree(area);
    return err;
}

static s64 fpu_get_xcrs(struct vcpu *v, u64 arg)
{
    struct kvm_xcrs *x = kzalloc(sizeof(*x));
    int err;

    ASSERT_HELD(&v->lock);
    if (!x)
        return -ENOMEM;
    if (fpu_xcr0()) {
        x->nr_xcrs = 1;
        x->xcrs[0].value = v->xcr0;
    }
    err = copy_out((void __user *)arg, x, sizeof(*x));
    kfree(x);
    return err;
}

/* SDM vol. 1, 13.3: x87 always, AVX needs SSE, the three parts of AVX-512 come together and need
 * AVX. */
static bool fpu_xcr0_valid(u64 xcr0)
{
    if ((xcr0 & ~fpu_xcr0()) || !(xcr0 & XCR0_X87))
        return false;
    if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
        return false;
    return !(xcr0 & XCR0_AVX512) || ((xcr0 & XCR0_AVX512) == XCR0_AVX512 && (xcr0 & XCR0_AVX));
}

static s64 fpu_set_xcrs(struct vcpu *v, u64 arg)
{
    struct kvm_xcrs *x;
    u64 xcr0 = v->xcr0;
    int err;

    ASSERT_HELD(&v->lock);
    if (!fpu_xcr0())
        return -EINVAL;
    x = kzalloc(sizeof(*x));
    if (!x)
        return -ENOMEM;
    err = copy_in(x, (const void __user *)arg, sizeof(*x));
    if (!err && (x->nr_xcrs > KVM_MAX_XCRS || x->flags))
        err = -EINVAL;
    for (u32 i = 0; !err && i < x->nr_xcrs; i++)
        if (x->xcrs[i].xcr == 0)
            xcr0 = x->xcrs[i].value;
    kfree(x);
    if (!err && !fpu_xcr0_valid(xcr0))
        err = -EINVAL;
    if (!err)
        v->xcr0 = xcr0;
    return err;
}

static const struct {
    unsigned cmd;
    s64 (*run)(struct vcpu *v, u64 arg);
} fpu_ioctls[] = {
    {KVM_GET_FPU, fpu_get_legacy},    {KVM_SET_FPU, fpu_set_legacy}, {KVM_GET_XSAVE, fpu_get_xsave},
    {KVM_SET_XSAVE, fpu_set_xsave},   {KVM_GET_XCRS, fpu_get_xcrs},  {KVM_SET_XCRS, fpu_set_xcrs},
    {KVM_GET_XSAVE2, fpu_get_xsave2},
};

s64 vcpu_ioctl_fpu(struct vcpu *v, unsigned cmd, u64 arg)
{
    for (unsigned i = 0; i < ARRAY_SIZE(fpu_ioctls); i++)
        if (fpu_ioctls[i].cmd == cmd)
            return fpu_ioctls[i].run(v, arg);
    return -ENOTTY;
}
