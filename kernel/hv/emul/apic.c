/* SPDX-License-Identifier: MIT
 *
 * The APIC bus: which local APICs a message addresses. SDM 3A 11.6.2 (destinations), 11.11 (MSI).
 */
#include "hv/emul/apic.h"
#include "hv/emul/lapic.h"
#include "lib/compiler.h"
#include "lib/errno.h"

static bool apic_addressed(const struct lapic *lapic, const struct apic_msg *msg,
                           const struct lapic *src)
{
    switch (msg->shorthand) {
    case APIC_TO_SELF:
        return lapic == src;
    case APIC_TO_ALL:
        return true;
    case APIC_TO_OTHERS:
        return lapic != src;
    default:
        return lapic_matches(lapic, msg->dest, msg->logical);
    }
}

/* Among the APICs addressed, the one whose processor priority is lowest. */
static struct lapic *apic_lowest(struct apic_bus *bus, const struct apic_msg *msg,
                                 const struct lapic *src)
{
    struct lapic *best = NULL;
    u32 best_at = 0;

    for (u32 i = 0; i < bus->count; i++) {
        u32 at = (bus->next + i) % bus->count;
        struct lapic *lapic = bus->cpus[at];

        if (!lapic || !lapic_enabled(lapic) || !apic_addressed(lapic, msg, src))
            continue;
        if (!best || lapic_ppr(lapic) < lapic_ppr(best)) {
            best = lapic;
            best_at = at;
        }
    }
    if (best)
        bus->next = (best_at + 1) % bus->count;
    return best;
}

int apic_send(struct apic_bus *bus, const struct apic_msg *msg, struct lapic *src)
{
    int taken = 0;
    bool addressed = false;

    if (msg->mode == APIC_LOWEST) {
        struct lapic *lapic = apic_lowest(bus, msg, src);

        return lapic ? lapic_take(lapic, msg) : -1;
    }
    for (u32 i = 0; i < bus->count; i++) {
        struct lapic *lapic = bus->cpus[i];

        if (!lapic || !apic_addressed(lapic, msg, src))
            continue;
        addressed = true;
        taken += lapic_take(lapic, msg);
    }
    return addressed ? taken : -1;
}

int apic_msg_from_msi(u64 address, u32 data, bool ext_dest, struct apic_msg *msg)
{
    if ((address & 0xffffffff) >> 20 != 0xfee)
        return -EINVAL;
    u32 dest = address >> 12 & 0xff;

    dest = apic_dest8((u8)dest);
    if (ext_dest && (address >> 5 & 0x7f))
        dest = (u32)(address >> 12 & 0xff) | (u32)(address >> 5 & 0x7f) << 8;
    /* x2APIC routing: the upper address word carries destination bits 8..31. */
    if (address >> 40)
        dest = (u32)(address >> 12 & 0xff) | (u32)(address >> 32 & 0xffffff00);
    *msg = (struct apic_msg){
        .dest = dest,
        .vector = (u8)data,
        .mode = data >> 8 & 7,
        .logical = address >> 2 & 1,
        .level = data >> 15 & 1,
    };
    /* The redirection hint without a mode of its own means: any one of those addressed. */
    if ((address >> 3 & 1) && msg->logical && msg->mode == APIC_FIXED)
        msg->mode = APIC_LOWEST;
    return 0;
}
