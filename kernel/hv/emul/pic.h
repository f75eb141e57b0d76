/* SPDX-License-Identifier: MIT
 *
 * The pair of 8259A interrupt controllers of a PC, with the ELCR edge/level registers. See apic.h
 * for the rules of use. Ports: 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1.
 */
#pragma once

#include "lib/types.h"
#include "uapi/kvm.h"

struct pic_chip {
    u8 lines; /* input levels, for edge detection (last_irr) */
    u8 irr, imr, isr;
    u8 lowest; /* the line with the lowest priority; the next one has the highest */
    u8 base;   /* vector of line 0 */
    u8 init;   /* ICWs still to come: 0 none, 1..3 the number of the next, less one */
    u8 elcr, elcr_mask;
    bool read_isr, poll, special_mask, auto_eoi, rotate_auto_eoi, nested, icw4;
};

struct pic {
    struct pic_chip chips[2];             /* master, slave */
    void (*output)(void *ctx, bool high); /* INTR has changed; does not call back in */
    /* A line's interrupt has been ended by the guest (irqfd resampling); may change lines. */
    void (*ack)(void *ctx, u32 irq);
    void *ctx;
    bool intr;
};

void pic_init(struct pic *pic, void (*output)(void *ctx, bool high),
              void (*ack)(void *ctx, u32 irq), void *ctx);

/* irq 0..15. Returns 1 if it made a new request, 0 if merged with one, -1 if masked. */
int pic_set_line(struct pic *pic, u32 irq, bool high);

/* The INTR output. */
static inline bool pic_pending(const struct pic *pic)
{
    return pic->intr;
}

/* The CPU's acknowledge cycle: the vector to inject (a spurious one, line 7, if none is left). */
u8 pic_ack(struct pic *pic);

/* 0, or -ENODEV if the port is none of the PIC's. */
int pic_read(struct pic *pic, u16 port, u8 *value);
int pic_write(struct pic *pic, u16 port, u8 value);

void pic_get_state(const struct pic *pic, u32 chip, struct kvm_pic_state *state);
void pic_set_state(struct pic *pic, u32 chip, const struct kvm_pic_state *state);
