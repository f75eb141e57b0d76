/* SPDX-License-Identifier: MIT
 *
 * Dual 8259A. Intel 8259A datasheet (231468); ELCR from the PIIX4 datasheet.
 */
#include "hv/emul/pic.h"
#include "lib/errno.h"
#include "lib/string.h"

#define PIC_CASCADE 2

/* How far the highest line of `mask` is from the top priority; 8 if `mask` is empty. */
static u32 pic_rank(const struct pic_chip *c, u8 mask)
{
    u32 rank = 0;

    while (rank < 8 && !(mask >> ((c->lowest + 1 + rank) & 7) & 1))
        rank++;
    return rank;
}

static u32 pic_line_of(const struct pic_chip *c, u32 rank)
{
    return (c->lowest + 1 + rank) & 7;
}

/* The line a chip would interrupt with, or -1. */
static int pic_chip_next(const struct pic_chip *c, bool master)
{
    u8 service = c->isr;
    u32 want = pic_rank(c, c->irr & (u8)~c->imr);

    if (want == 8)
        return -1;
    if (c->special_mask)
        service &= (u8)~c->imr;
    /* In special fully nested mode the slave may interrupt its own service. */
    if (master && c->nested)
        service &= (u8) ~(1u << PIC_CASCADE);
    return want < pic_rank(c, service) ? (int)pic_line_of(c, want) : -1;
}

static void pic_chip_line(struct pic_chip *c, u32 line, bool high)
{
    u8 bit = (u8)(1u << line);

    /* An edge is latched until acknowledged: devices here pulse, they do not hold their line. */
    if (c->elcr & bit)
        c->irr = high ? c->irr | bit : c->irr & (u8)~bit;
    else if (high && !(c->lines & bit))
        c->irr |= bit;
    c->lines = high ? c->lines | bit : c->lines & (u8)~bit;
}

/* Carries the slave's output to the master and the master's to the CPU. */
static void pic_update(struct pic *pic)
{
    bool slave = pic_chip_next(&pic->chips[1], false) >= 0;

    /* A new slave request must look like an edge, even right after another; a withdrawn one goes.
     */
    pic_chip_line(&pic->chips[0], PIC_CASCADE, false);
    if (slave)
        pic_chip_line(&pic->chips[0], PIC_CASCADE, true);
    else
        pic->chips[0].irr &= (u8) ~(1u << PIC_CASCADE);

    bool intr = pic_chip_next(&pic->chips[0], true) >= 0;

    if (intr == pic->intr)
        return;
    pic->intr = intr;
    pic->output(pic->ctx, intr);
}

int pic_set_line(struct pic *pic, u32 irq, bool high)
{
    if (irq > 15)
        return -1;
    struct pic_chip *c = &pic->chips[irq / 8];
    u8 bit = (u8)(1u << irq % 8), before = c->irr;

    pic_chip_line(c, irq % 8, high);
    pic_update(pic);
    if (c->imr & bit)
        return -1;
    return !high || ((c->irr & bit) && !(before & bit));
}

/* Takes `line` into service. */
static void pic_chip_ack(struct pic *pic, struct pic_chip *c, u32 line)
{
    u8 bit = (u8)(1u << line);

    if (!(c->elcr & bit))
        c->irr &= (u8)~bit;
    if (!c->auto_eoi) {
        c->isr |= bit;
        return;
    }
    if (c->rotate_auto_eoi)
        c->lowest = (u8)line;
    if (pic->ack)
        pic->ack(pic->ctx, (u32)(c - pic->chips) * 8 + line);
}

u8 pic_ack(struct pic *pic)
{
    struct pic_chip *master = &pic->chips[0], *slave = &pic->chips[1];
    int line = pic_chip_next(master, true);
    u8 vector;

    if (line == PIC_CASCADE) {
        int inner = pic_chip_next(slave, false);

        pic_chip_ack(pic, master, PIC_CASCADE);
        if (inner >= 0)
            pic_chip_ack(pic, slave, (u32)inner);
        vector = (u8)(slave->base + (inner >= 0 ? inner : 7));
    } else if (line >= 0) {
        pic_chip_ack(pic, master, (u32)line);
        vector = (u8)(master->base + line);
    } else {
        vector = (u8)(master->base + 7);
    }
    pic_update(pic);
    return vector;
}

static void pic_end(struct pic *pic, struct pic_chip *c, u32 line)
{
    u8 bit = (u8)(1u << line);
    bool served = c->isr & bit;

    c->isr &= (u8)~bit;
    if (served && pic->ack && !(c == pic->chips && line == PIC_CASCADE))
        pic->ack(pic->ctx, (u32)(c - pic->chips) * 8 + line);
}

/* OCW2: end of interrupt and rotation. */
static void pic_write_ocw2(struct pic *pic, struct pic_chip *c, u8 value)
{
    u32 rank = pic_rank(c, c->isr), line = value & 7;

    switch (value >> 5) {
    case 0: /* rotate in automatic EOI, off and on */
    case 4:
        c->rotate_auto_eoi = value >> 7;
        break;
    case 1: /* non-specific EOI, without and with rotation */
    case 5:
        if (rank == 8)
            break;
        line = pic_line_of(c, rank);
        if (value >> 7)
            c->lowest = (u8)line;
        pic_end(pic, c, line);
        break;
    case 3: /* specific EOI, without and with rotation */
    case 7:
        if (value >> 7)
            c->lowest = (u8)line;
        pic_end(pic, c, line);
        break;
    case 6: /* set priority */
        c->lowest = (u8)line;
        break;
    default:
        break;
    }
}

static void pic_write_ocw3(struct pic_chip *c, u8 value)
{
    if (value & 0x04)
        c->poll = true;
    if (value & 0x02)
        c->read_isr = value & 1;
    if (value & 0x40)
        c->special_mask = value >> 5 & 1;
}

static void pic_write_icw1(struct pic_chip *c, u8 value)
{
    u8 elcr = c->elcr, elcr_mask = c->elcr_mask, lines = c->lines;

    *c = (struct pic_chip){.elcr = elcr, .elcr_mask = elcr_mask, .lowest = 7};
    /* Levels still high are requests again; edges are forgotten. */
    c->lines = lines & elcr;
    c->irr = lines & elcr;
    c->icw4 = value & 1;
    c->init = 1;
}

static void pic_write_data(struct pic_chip *c, u8 value)
{
    switch (c->init) {
    case 0:
        c->imr = value;
        break;
    case 1:
        c->base = value & 0xf8;
        c->init = 2;
        break;
    case 2: /* the wiring of the cascade is fixed */
        c->init = c->icw4 ? 3 : 0;
        break;
    default:
        c->nested = value >> 4 & 1;
        c->auto_eoi = value >> 1 & 1;
        c->init = 0;
        break;
    }
}

static void pic_write_command(struct pic *pic, struct pic_chip *c, u8 value)
{
    if (value & 0x10)
        pic_write_icw1(c, value);
    else if (value & 0x08)
        pic_write_ocw3(c, value);
    else
        pic_write_ocw2(pic, c, value);
}

/* Reading after a poll command acknowledges: bit 7 and the line. */
static u8 pic_poll(struct pic *pic, struct pic_chip *c)
{
    int line = pic_chip_next(c, c == pic->chips);

    c->poll = false;
    if (line < 0)
        return 0;
    pic_chip_ack(pic, c, (u32)line);
    return (u8)(0x80 | line);
}

int pic_write(struct pic *pic, u16 port, u8 value)
{
    struct pic_chip *c = &pic->chips[port >> 7 & 1];

    switch (port) {
    case 0x20:
    case 0xa0:
        pic_write_command(pic, c, value);
        break;
    case 0x21:
    case 0xa1:
        pic_write_data(c, value);
        break;
    case 0x4d0:
    case 0x4d1:
        c = &pic->chips[port & 1];
        c->elcr = value & c->elcr_mask;
        break;
    default:
        return -ENODEV;
    }
    pic_update(pic);
    return 0;
}

int pic_read(struct pic *pic, u16 port, u8 *value)
{
    struct pic_chip *c = &pic->chips[port >> 7 & 1];

    switch (port) {
    case 0x20:
    case 0xa0:
        *value = c->poll ? pic_poll(pic, c) : c->read_isr ? c->isr : c->irr;
        break;
    case 0x21:
    case 0xa1:
        *value = c->poll ? pic_poll(pic, c) : c->imr;
        break;
    case 0x4d0:
    case 0x4d1:
        *value = pic->chips[port & 1].elcr;
        break;
    default:
        return -ENODEV;
    }
    pic_update(pic);
    return 0;
}

void pic_init(struct pic *pic, void (*output)(void *ctx, bool high),
              void (*ack)(void *ctx, u32 irq), void *ctx)
{
    *pic = (struct pic){.output = output, .ack = ack, .ctx = ctx};
    for (u32 i = 0; i < 2; i++) {
        pic->chips[i].lowest = 7;
        /* Timer, keyboard, cascade, clock and coprocessor are always edges. */
        pic->chips[i].elcr_mask = i ? 0xde : 0xf8;
    }
}

void pic_get_state(const struct pic *pic, u32 chip, struct kvm_pic_state *state)
{
    const struct pic_chip *c = &pic->chips[chip & 1];

    *state = (struct kvm_pic_state){
        .last_irr = c->lines,
        .irr = c->irr,
        .imr = c->imr,
        .isr = c->isr,
        .priority_add = (c->lowest + 1) & 7,
        .irq_base = c->base,
        .read_reg_select = c->read_isr,
        .poll = c->poll,
        .special_mask = c->special_mask,
        .init_state = c->init,
        .auto_eoi = c->auto_eoi,
        .rotate_on_auto_eoi = c->rotate_auto_eoi,
        .special_fully_nested_mode = c->nested,
        .init4 = c->icw4,
        .elcr = c->elcr,
        .elcr_mask = c->elcr_mask,
    };
}

void pic_set_state(struct pic *pic, u32 chip, const struct kvm_pic_state *state)
{
    struct pic_chip *c = &pic->chips[chip & 1];

    *c = (struct pic_chip){
        .lines = state->last_irr,
        .irr = state->irr,
        .imr = state->imr,
        .isr = state->isr,
        .lowest = (state->priority_add + 7) & 7,
        .base = state->irq_base & 0xf8,
        .read_isr = state->read_reg_select,
        .poll = state->poll,
        .special_mask = state->special_mask,
        .init = state->init_state & 3,
        .auto_eoi = state->auto_eoi,
        .rotate_auto_eoi = state->rotate_on_auto_eoi,
        .nested = state->special_fully_nested_mode,
        .icw4 = state->init4,
        .elcr = state->elcr & c->elcr_mask,
        .elcr_mask = c->elcr_mask,
    };
    pic_update(pic);
}
