/* SPDX-License-Identifier: MIT
 *
 * Interrupt messages between the controllers of one VM: what an I/O APIC pin, an MSI or an ICR
 * write sends, and the bus that finds the local APICs it is for.
 *
 * Everything in this folder is a pure state machine: no allocation, no lock, no sleep. The caller
 * serialises all chips of a VM by one lock; the call-backs run under it and must not call back in
 * unless they say so.
 */
#pragma once

#include "lib/types.h"

struct lapic;

enum apic_mode {
    APIC_FIXED = 0,
    APIC_LOWEST = 1,
    APIC_SMI = 2,
    APIC_NMI = 4,
    APIC_INIT = 5,
    APIC_SIPI = 6,
    APIC_EXTINT = 7,
};

#define APIC_DEST_ALL 0xffffffffu

enum apic_shorthand { APIC_TO_DEST, APIC_TO_SELF, APIC_TO_ALL, APIC_TO_OTHERS };

struct apic_msg {
    u32 dest; /* APIC_DEST_ALL, or an 8-bit (xAPIC, MSI, I/O APIC) or 32-bit (x2APIC) name */
    u8 vector;
    u8 mode;      /* enum apic_mode */
    u8 shorthand; /* enum apic_shorthand */
    bool logical;
    bool level; /* level-triggered: its end is broadcast to the I/O APICs */
};

/* The local APICs of a VM. The caller owns the array; slots may be NULL. */
struct apic_bus {
    struct lapic **cpus;
    u32 count;
    u32 next; /* where the next search among equals starts */
};

/* An 8-bit destination as a message carries it. */
static inline u32 apic_dest8(u8 dest)
{
    return dest == 0xff ? APIC_DEST_ALL : dest;
}

/*
 * Delivers to every APIC addressed; `src` is the sender, NULL for a device.
 * Returns how many took it, 0 if all had it pending already, -1 if no APIC was addressed.
 */
int apic_send(struct apic_bus *bus, const struct apic_msg *msg, struct lapic *src);

/*
 * Decodes a message-signalled interrupt. 0, or -EINVAL if the address is no interrupt address.
 * With `ext_dest`, address bits 5..11 carry destination bits 8..14 (KVM_FEATURE_MSI_EXT_DEST_ID).
 */
int apic_msg_from_msi(u64 address, u32 data, bool ext_dest, struct apic_msg *msg);
