/* SPDX-License-Identifier: MIT
 *
 * I/O APIC. 82093AA datasheet; the EOI register is the later version 0x20's.
 */
#include "hv/emul/ioapic.h"
#include "lib/compiler.h"
#include "lib/string.h"

enum {
    IOAPIC_SELECT = 0x00,
    IOAPIC_WINDOW = 0x10,
    IOAPIC_EOI = 0x40,
    IOAPIC_REG_ID = 0,
    IOAPIC_REG_VERSION = 1,
    IOAPIC_REG_ARBITRATION = 2,
    IOAPIC_REG_REDIR = 0x10,
};

#define IOAPIC_VERSION_VALUE ((IOAPIC_PINS - 1u) << 16 | 0x20u)
#define IOAPIC_RO_BITS 0x5000ull /* delivery status, remote IRR */
#define IOAPIC_REMOTE_IRR 0x4000ull
#define IOAPIC_LEVEL 0x8000ull
#define IOAPIC_MASKED 0x10000ull
#define IOAPIC_REDIR_BITS 0xff0000000001ffffull

static int ioapic_deliver(struct ioapic *io, u32 pin)
{
    u64 entry = io->redir[pin];
    struct apic_msg msg = {
        .dest = apic_dest8((u8)(entry >> 56)),
        .vector = (u8)entry,
        .mode = entry >> 8 & 7,
        .logical = entry >> 11 & 1,
        .level = (entry & IOAPIC_LEVEL) != 0,
    };
    int taken = apic_send(io->bus, &msg, NULL);

    if (msg.level && taken >= 0)
        io->redir[pin] |= IOAPIC_REMOTE_IRR;
    return taken;
}

/* Sends a request that is due: not masked, and no level of this pin being served. */
static int ioapic_service(struct ioapic *io, u32 pin)
{
    u64 entry = io->redir[pin];
    int taken;

    if (!(io->irr >> pin & 1))
        return 0;
    if (entry & IOAPIC_MASKED)
        return -1;
    if ((entry & IOAPIC_LEVEL) && (entry & IOAPIC_REMOTE_IRR))
        return 0;
    taken = ioapic_deliver(io, pin);
    if (!(entry & IOAPIC_LEVEL))
        io->irr &= ~(1u << pin);
    return taken;
}

int ioapic_set_line(struct ioapic *io, u32 pin, bool high)
{
    if (pin >= IOAPIC_PINS)
        return -1;
    u32 bit = 1u << pin;
    bool was = io->lines & bit;

    if (!high) {
        io->lines &= ~bit;
        io->irr &= ~bit; /* an edge that came while its pin was masked is lost with its line */
        return 1;
    }
    io->lines |= bit;
    if (was && !(io->redir[pin] & IOAPIC_LEVEL))
        return 0; /* no edge */
    io->irr |= bit;
    return ioapic_service(io, pin);
}

static void ioapic_eoi_pin(struct ioapic *io, u32 pin)
{
    io->redir[pin] &= ~IOAPIC_REMOTE_IRR;
    if (io->ack)
        io->ack(io->ctx, pin);
    /* A line still high asks again at once. */
    ioapic_service(io, pin);
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++) {
        u64 entry = io->redir[pin];

        if ((u8)entry == vector && (entry & IOAPIC_LEVEL) && (entry & IOAPIC_REMOTE_IRR))
            ioapic_eoi_pin(io, pin);
    }
}

static void ioapic_write_redir(struct ioapic *io, u32 index, u32 value)
{
    u32 pin = index / 2;
    u64 old = io->redir[pin], entry;

    if (index & 1)
        entry = (old & 0xffffffff) | (u64)value << 32;
    else
        entry = (old & ~0xffffffffull) | value;
    entry = (entry & ~IOAPIC_RO_BITS & IOAPIC_REDIR_BITS) | (old & IOAPIC_RO_BITS);
    /* Edge mode has no remote IRR: switching to it and back is how guests clear a stuck one. */
    if (!(entry & IOAPIC_LEVEL))
        entry &= ~IOAPIC_REMOTE_IRR;
    io->redir[pin] = entry;
    if (!(entry & IOAPIC_LEVEL) && (old & IOAPIC_LEVEL))
        io->irr &= ~(1u << pin);
    if ((entry & IOAPIC_LEVEL) && (io->lines >> pin & 1))
        io->irr |= 1u << pin;
    ioapic_service(io, pin);
}

static void ioapic_write_reg(struct ioapic *io, u32 value)
{
    u32 index = io->select - (u32)IOAPIC_REG_REDIR;

    if (io->select == IOAPIC_REG_ID)
        io->id = value >> 24 & 15;
    else if (index < 2 * IOAPIC_PINS)
        ioapic_write_redir(io, index, value);
}

static u32 ioapic_read_reg(const struct ioapic *io)
{
    u32 index = io->select - (u32)IOAPIC_REG_REDIR;

    switch (io->select) {
    case IOAPIC_REG_ID:
    case IOAPIC_REG_ARBITRATION:
        return io->id << 24;
    case IOAPIC_REG_VERSION:
        return IOAPIC_VERSION_VALUE;
    default:
        if (index >= 2 * IOAPIC_PINS)
            return 0;
        return (u32)(io->redir[index / 2] >> (index & 1) * 32);
    }
}

void ioapic_read(struct ioapic *io, u32 offset, void *data, u32 len)
{
    u32 value = 0;

    if (offset == IOAPIC_SELECT)
        value = io->select;
    else if (offset == IOAPIC_WINDOW)
        value = ioapic_read_reg(io);
    memset(data, 0, len);
    memcpy(data, &value, MIN(len, 4u));
}

void ioapic_write(struct ioapic *io, u32 offset, const void *data, u32 len)
{
    u32 value = 0;

    memcpy(&value, data, MIN(len, 4u));
    if (offset == IOAPIC_SELECT)
        io->select = (u8)value;
    else if (offset == IOAPIC_WINDOW)
        ioapic_write_reg(io, value);
    else if (offset == IOAPIC_EOI)
        ioapic_eoi(io, (u8)value);
}

void ioapic_init(struct ioapic *io, struct apic_bus *bus, void (*ack)(void *ctx, u32 pin),
                 void *ctx)
{
    *io = (struct ioapic){.bus = bus, .ack = ack, .ctx = ctx};
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
        io->redir[pin] = IOAPIC_MASKED;
}

void ioapic_get_state(const struct ioapic *io, struct kvm_ioapic_state *state)
{
    *state = (struct kvm_ioapic_state){
        .base_address = IOAPIC_BASE,
        .ioregsel = io->select,
        .id = io->id,
        .irr = io->irr,
    };
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
        state->redirtbl[pin].bits = io->redir[pin];
}

void ioapic_set_state(struct ioapic *io, const struct kvm_ioapic_state *state)
{
    io->select = (u8)state->ioregsel;
    io->id = state->id & 15;
    io->lines = 0;
    io->irr = 0;
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++)
        io->redir[pin] = state->redirtbl[pin].bits & IOAPIC_REDIR_BITS;
    /* Requests that were pending are asked for again. */
    for (u32 pin = 0; pin < IOAPIC_PINS; pin++) {
        if (!(state->irr >> pin & 1))
            continue;
        if (io->redir[pin] & IOAPIC_LEVEL)
            io->lines |= 1u << pin;
        io->irr |= 1u << pin;
        ioapic_service(io, pin);
    }
}
