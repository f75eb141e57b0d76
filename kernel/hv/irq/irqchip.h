/* SPDX-License-Identifier: MIT
 *
 * The interrupt controllers of a VM, as the rest of hv sees them.
 */
#pragma once

#include "hv/vcpu/vcpu.h"

#define IRQ_ROUTES_MAX 4096 /* and GSIs */

int irqchip_create(struct vm *vm, bool split);
void irqchip_destroy(struct irqchip *chip);
int irqchip_add_vcpu(struct vcpu *vcpu);
void irqchip_remove_vcpu(struct vcpu *vcpu);
s64 irqchip_ioctl(struct vm *vm, unsigned cmd, u64 arg); /* -ENOTTY */
s64 irqchip_vcpu_ioctl(struct vcpu *vcpu, unsigned cmd, u64 arg);
/* The vector to inject now or -1; ack moves it into service. */
int irqchip_pending(struct vcpu *vcpu);
int irqchip_ack(struct vcpu *vcpu);
void irqchip_nmi_taken(struct vcpu *vcpu);
bool irqchip_wakes(struct vcpu *vcpu);
bool vm_has_pic(const struct vm *vm); /* false: KVM_INTERRUPT is the PIC's way in */
/* A user space's PIC could interrupt now, as far as the local APIC goes. */
bool irqchip_lets_pic(struct vcpu *vcpu);
/* The vector of a level that has ended and whose I/O APIC is user space's, or -1. */
int irqchip_take_eoi(struct vcpu *vcpu);
int irqchip_mmio(struct vcpu *vcpu, gpa_t gpa, void *data, u32 len, bool write); /* -EOPNOTSUPP */
int irqchip_port(struct vm *vm, u16 port, u8 *data, bool write);                 /* -EOPNOTSUPP */
int irqchip_msr(struct vcpu *vcpu, u32 msr, u64 *v, bool write); /* -ENOENT: not the APIC's */
u64 irqchip_cr8(struct vcpu *vcpu);
void irqchip_set_cr8(struct vcpu *vcpu, u64 v);
int irqchip_set_line(struct vm *vm, u32 gsi, bool high);
/* LAPIC_EOI, LAPIC_ICR (of 64 bits) or LAPIC_TPR in either mode; -EINVAL. */
int irqchip_hyperv(struct vcpu *vcpu, u32 reg, u64 *value, bool write);
/* A fixed interrupt to the vCPUs of these indices (a bit each; all ones: all). */
void irqchip_send_indices(struct vm *vm, u8 vector, u64 indices);
/* KVM_HC_SEND_IPI: bitmap low and high, the APIC id of its first bit, the ICR's low half. How many
 * vCPUs got it, or -errno. */
s64 irqchip_pv_ipi(struct vm *vm, const u64 args[4], bool wide);

/* ---- irqfd.c: KVM_IRQFD ---- */
#define VM_EVENTFDS_MAX 1024 /* of each kind */
void vm_irqfds_init(struct vm *vm);
void vm_irqfds_destroy(struct vm *vm); /* before the irqchip goes; may sleep */
int vm_irqfd_ioctl(struct vm *vm, u64 arg);
/* A descriptor's eventfd, with a reference. 0, -EBADF, -EINVAL. */
int hv_eventfd_of(int fd, struct file **out);
