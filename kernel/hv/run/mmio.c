/* SPDX-License-Identifier: MIT
 *
 * Moves between a register and a device, which are nearly all that drivers do: the instruction is
 * known from an earlier time (emul.h), the CPU has told which address it accesses, and so neither
 * registers nor operands have to go through the emulator. Anything else is left to
 * it.
 */
#include "arch/x86/pte.h"
#include "hv/emul/emul_priv.h"
#include "hv/memory/memory.h"
#include "hv/run/run.h"
#include "lib/string.h"

/* Width of the memory operand; 0: not one of these moves. *load: from memory. */
static u32 mmio_move_size(const struct emul_insn *i, bool *load)
{
    const struct emul_entry *t = i->entry;

    if (!i->has_modrm || i->mod == 3 || i->seg >= EMUL_FS || i->vex)
        return 0;
    *load = t->dst == EMUL_K_REG && t->src == EMUL_K_RM;
    if (t->op == EMUL_OP_MOVZX && i->map == 1)
        return i->opcode & 1 ? 2 : 1;
    if (t->op != EMUL_OP_MOV || i->map)
        return 0;
    if (t->src == EMUL_K_IMM && (i->reg & 7)) /* C6 and C7 are a group */
        return 0;
    return t->flags & EMUL_F_BYTE ? 1 : i->op_size;
}

static void mmio_done(struct vcpu *v, u32 len)
{
    u64 rflags = v->rflags;

    v->rip += len;
    v->rflags &= ~EMUL_RF;
    hv_ops->set_shadow(v, 0);
    vcpu_debug_step(v, rflags);
}

static void mmio_load_done(struct vcpu *v, const struct emul_insn *i, u32 size, const void *data)
{
    u64 value = 0;

    memcpy(&value, data, size);
    emul_gpr_write(v->gpr, i->rex, i->reg, i->entry->op == EMUL_OP_MOVZX ? i->op_size : size,
                   value);
    mmio_done(v, i->len);
}

static int mmio_load(struct vcpu *v, const struct emul_insn *i, u32 size)
{
    u64 value = 0;

    if (vm_mmio_read(v, GPA(v->exit.gpa), &value, size) == 0) {
        mmio_load_done(v, i, size, &value);
        return 1;
    }
    v->load.insn = *i;
    v->load.size = size;
    v->load.rip = v->rip;
    v->waiting = VCPU_WAIT_LOAD;
    return vcpu_ask_mmio(v, v->exit.gpa, size, false, NULL);
}

static int mmio_store(struct vcpu *v, const struct emul_insn *i, u32 size)
{
    u64 value = i->entry->src == EMUL_K_IMM ? i->imm : emul_gpr_read(v->gpr, i->rex, i->reg, size);

    mmio_done(v, i->len);
    if (vm_mmio_write(v, GPA(v->exit.gpa), &value, size) == 0)
        return 1;
    return vcpu_ask_mmio(v, v->exit.gpa, size, true, &value);
}

int vcpu_mmio(struct vcpu *v)
{
    const struct emul_insn *i;
    struct emul_fault fault;
    u32 size, offset = v->exit.gpa & (PAGE_SIZE - 1);
    u64 code[2];
    bool load;

    ASSERT_HELD(&v->lock);
    hv_ops->get_mode(v, &v->mode_now);
    if (v->mode_now.mode != EMUL_LONG || (v->rip & (PAGE_SIZE - 1)) > PAGE_SIZE - sizeof(code))
        return -EAGAIN;
    if (vcpu_fetch(v, v->rip, PF_FETCH | (v->mode_now.cpl == 3 ? PF_USER : 0), code, sizeof(code),
                   &fault))
        return -EAGAIN;
    i = emul_known(&v->emul, v->rip, EMUL_LONG, code);
    size = i ? mmio_move_size(i, &load) : 0;
    if (!size || offset + size > PAGE_SIZE || (!load && v->exit.access != FAULT_WRITE) ||
        (emul_ea(i, v->gpr, v->rip) & (PAGE_SIZE - 1)) != offset)
        return -EAGAIN;
    return load ? mmio_load(v, i, size) : mmio_store(v, i, size);
}

int vcpu_mmio_loaded(struct vcpu *v, const void *data)
{
    ASSERT_HELD(&v->lock);
    if (v->rip == v->load.rip) /* else user space has moved on */
        mmio_load_done(v, &v->load.insn, v->load.size, data);
    return 1;
}
