/* SPDX-License-Identifier: MIT
 *
 * A vCPU after RESET or INIT (SDM vol. 3, table 9-1): all that its CPU's own block does not hold.
 */
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "hv/regs/regs.h"
#include "lib/string.h"

void vcpu_reset(struct vcpu *v, bool init)
{
    ASSERT_HELD(&v->lock);
    memset(v->gpr, 0, sizeof(v->gpr));
    v->gpr[EMUL_RDX] = 0x600; /* family 6, as after RESET */
    v->rip = 0xfff0;
    v->rflags = RFLAGS_FIXED;
    vcpu_debug_reset(v);
    vcpu_drop_events(v);
    v->nmi_pending = false;
    v->waiting = VCPU_IDLE;
    v->posted = v->hinted = false;
    v->user_irq = -1;
    if (!init) {
        v->xcr0 = 1;
        v->pat = 0x0007040600070406UL;
        v->misc_enable = 1;
        v->platform_info = PLATFORM_CPUID_FAULT;
        v->misc_features = 0;
        v->apic_base = 0xfee00800UL | (v->id == v->vm->boot_vcpu ? 0x100 : 0);
        fpu_init_state(v->fpu);
    }
    v->efer = 0;
    vcpu_forget_skipped(v);
    hv_ops->vcpu_reset(v);
}
