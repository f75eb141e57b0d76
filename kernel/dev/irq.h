/* SPDX-License-Identifier: MIT
 *
 * Device interrupts: from a line of an I/O APIC, or a message, to a handler. A handler runs with
 * interrupts off; it acknowledges its device and wakes a thread. Lines may be shared.
 */
#pragma once

#include "lib/types.h"

struct irq_handler {
    /* True when the device had asked. */
    bool (*fn)(void *arg);
    void *arg;
    const char *name;
    unsigned vector; /* given */
};

/* Each: 0, -EINVAL (no such line), -ENOSPC (no vector left, or the line has four). handler stays
 * the driver's and is kept. */
int irq_request_isa(unsigned isa, struct irq_handler *handler) __must_check;
int irq_request_gsi(u32 gsi, bool level, bool active_low, struct irq_handler *handler) __must_check;
/* A vector for MSI; address and data are what the device writes. */
int irq_request_msi(struct irq_handler *handler, u64 *address, u32 *data) __must_check;
/* After it returns the handler does not run any more. Context: may spin. */
void irq_release(struct irq_handler *handler);
/* Interrupts of devices so far. */
u64 irq_count_all(void);
