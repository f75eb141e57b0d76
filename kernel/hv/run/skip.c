/* SPDX-License-Identifier: MIT
 *
 * Past an instruction that has ended the guest's stay, and been carried out here.
 */
#include "arch/x86/regs.h"
#include "hv/run/run.h"

/* Code of 16 and 32 bits ends where its 4 GiB do: a CPU refuses a longer rip there. */
static __noinline u64 skip_wrap_rip(struct vcpu *v, u64 rip)
{
    struct hv_mode mode;

    hv_ops->get_mode(v, &mode);
    return mode.mode == EMUL_LONG ? rip : (u32)rip;
}

/* The same instruction is met again and again: it is decoded once for its address. What a VMM sets
 * ends that (vcpu_forget_skipped), what a guest writes over its own code does not. */
static u8 skip_insn_len(struct vcpu *v)
{
    struct vcpu_skipped *s = &v->skipped[(u32)v->rip % VCPU_SKIPPED];
    u8 len = s->len;

    if (likely(s->rip == v->rip && s->space == v->exit.space && s->code == v->exit.code &&
               s->bare == v->exit.insn_len && len))
        return len;
    len = vcpu_decode_len(v);
    *s = (struct vcpu_skipped){v->rip, v->exit.space, v->exit.code, v->exit.insn_len, len};
    return len ? len : v->exit.insn_len;
}

void vcpu_skip(struct vcpu *v)
{
    u64 rflags = v->rflags, next = v->rip + (v->exit.guessed ? skip_insn_len(v) : v->exit.insn_len);

    ASSERT_HELD(&v->lock);
    if (unlikely((next ^ v->rip) >> 31))
        next = skip_wrap_rip(v, next);
    v->rip = next;
    v->rflags = rflags & ~(u64)RFLAGS_RF;
    if (unlikely(v->shadowed))
        hv_ops->set_shadow(v, 0);
    vcpu_debug_step(v, rflags);
}
