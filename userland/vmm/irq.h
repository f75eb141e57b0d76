/* SPDX-License-Identifier: MIT
 *
 * Interrupts of the guest: lines (pins of KVM's I/O APIC and PIC) and messages. Each has a GSI, the
 * number by which KVM knows it; both are given out here. And doorbells: guest writes that ring a
 * device's bell without an exit to us.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/space.h"

#define IRQ_PINS 24u
#define IRQ_FREE_PIN 16u /* the first that no legacy device and not the SCI has */
#define IRQ_MESSAGES 1000u

struct vm;
struct irq_message;

/* r irq.lock */
struct irq {
    pthread_mutex_t lock; /* a leaf */
    struct space pins;
    struct space messages;
    struct irq_message *routed; /* r  a list of those that have an address */
};

/* A message of a device: nothing until it is routed. Guarded by the owner's lock. */
struct irq_message {
    uint32_t gsi;
    int fd; /* an eventfd that raises it (irqfd); -1 before it was first routed */
    bool is_routed;
    uint64_t address;
    uint32_t data;
    struct irq_message *next; /* r */
};

void irq_init(struct vm *vm);

/* A pin for one device's line. Before the guest runs; fatal() when all are taken. */
unsigned irq_alloc_pin(struct vm *vm);
/* Sets a line. Any thread. */
void irq_set(struct vm *vm, unsigned gsi, bool level);

/* The first of n GSIs in a row, for a device's messages ({.gsi = it, .fd = -1}). Before the guest
 * runs; fatal() when there are no more. */
uint32_t irq_alloc_messages(struct vm *vm, unsigned n);
/* What the message is from now on, as the guest wrote it in the device. Any thread; changing it
 * costs a system call that grows with the number of messages. The VM ends if KVM refuses. */
void irq_route(struct vm *vm, struct irq_message *m, uint64_t address, uint32_t data);
/* Sends it; nothing before it was routed. Any thread. */
void irq_send(const struct irq_message *m);

/* From now on (or no longer) a write of `len` bytes to that guest address signals fd instead of
 * exiting. False: KVM refuses (another has that address), and such writes exit as before. */
bool irq_doorbell(struct vm *vm, uint64_t addr, unsigned len, int fd, bool on);
