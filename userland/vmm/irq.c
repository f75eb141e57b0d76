/* SPDX-License-Identifier: MIT
 *
 * KVM has a default table of routes: GSI n is pin n. It is replaced, as a whole, when the first
 * message is routed; a VM without messages never pays for it.
 */
#include "vmm/irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "uapi/kvm.h"
#include "vmm/vmm.h"

#define PIC_PINS 16u

void irq_init(struct vm *vm)
{
    pthread_mutex_init(&vm->irq.lock, NULL);
    space_init(&vm->irq.pins, IRQ_FREE_PIN, IRQ_PINS - IRQ_FREE_PIN);
    space_init(&vm->irq.messages, IRQ_PINS, IRQ_MESSAGES);
}

/* ---- lines ---- */

unsigned irq_alloc_pin(struct vm *vm)
{
    uint64_t pin;

    if (space_alloc(&vm->irq.pins, 1, 1, &pin))
        fatal(EXIT_USAGE, "more devices than interrupt lines");
    return pin;
}

void irq_set(struct vm *vm, unsigned gsi, bool level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    if (ioctl(vm->fd, KVM_IRQ_LINE, &line) < 0)
        vm_stop(vm, EXIT_KVM, "interrupt line %u: %s", gsi, strerror(errno));
}

/* ---- messages ---- */

uint32_t irq_alloc_messages(struct vm *vm, unsigned n)
{
    uint64_t first;

    if (space_alloc(&vm->irq.messages, n, 1, &first))
        fatal(EXIT_USAGE, "more devices than interrupt messages");
    return first;
}

static void irq_add_chips(struct kvm_irq_routing *t)
{
    for (unsigned pin = 0; pin < IRQ_PINS; pin++) {
        if (pin < PIC_PINS)
            t->entries[t->nr++] = (struct kvm_irq_routing_entry){
                .gsi = pin,
                .type = KVM_IRQ_ROUTING_IRQCHIP,
                .u.irqchip = {pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin & 7}};
        t->entries[t->nr++] = (struct kvm_irq_routing_entry){
            .gsi = pin, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {KVM_IRQCHIP_IOAPIC, pin}};
    }
}

/* All routes as they are now. 0 or an errno. */
static int irq_set_routes_locked(struct vm *vm)
{
    struct kvm_irq_routing *t;
    unsigned n = IRQ_PINS + PIC_PINS;
    int err = 0;

    for (struct irq_message *m = vm->irq.routed; m; m = m->next)
        n++;
    t = calloc(1, sizeof *t + n * sizeof t->entries[0]);
    if (!t)
        return ENOMEM;
    irq_add_chips(t);
    for (struct irq_message *m = vm->irq.routed; m; m = m->next)
        t->entries[t->nr++] = (struct kvm_irq_routing_entry){
            .gsi = m->gsi,
            .type = KVM_IRQ_ROUTING_MSI,
            .u.msi = {.address_lo = m->address, .address_hi = m->address >> 32, .data = m->data}};
    if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, t) < 0)
        err = errno;
    free(t);
    return err;
}

/* Its eventfd, made known to KVM. 0 or an errno. */
static int irq_message_bind(struct vm *vm, struct irq_message *m)
{
    struct kvm_irqfd bind = {.gsi = m->gsi};

    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->fd < 0)
        return errno;
    bind.fd = m->fd;
    return ioctl(vm->fd, KVM_IRQFD, &bind) < 0 ? errno : 0;
}

void irq_route(struct vm *vm, struct irq_message *m, uint64_t address, uint32_t data)
{
    int err = 0;

    pthread_mutex_lock(&vm->irq.lock);
    if (!m->is_routed || m->address != address || m->data != data) {
        m->address = address;
        m->data = data;
        if (!m->is_routed) {
            m->next = vm->irq.routed;
            vm->irq.routed = m;
        }
        m->is_routed = true;
        err = irq_set_routes_locked(vm);
        if (!err && m->fd < 0)
            err = irq_message_bind(vm, m);
    }
    pthread_mutex_unlock(&vm->irq.lock);
    if (err)
        vm_stop(vm, EXIT_KVM, "an interrupt message: %s", strerror(err));
}

void irq_send(const struct irq_message *m)
{
    uint64_t one = 1;

    if (m->fd >= 0 && write(m->fd, &one, sizeof one) < 0) {
        /* EAGAIN: KVM has not taken the last ones yet; it will see this one with them */
    }
}

bool irq_doorbell(struct vm *vm, uint64_t addr, unsigned len, int fd, bool on)
{
    struct kvm_ioeventfd bell = {
        .addr = addr, .len = len, .fd = fd, .flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN};

    return ioctl(vm->fd, KVM_IOEVENTFD, &bell) == 0;
}
