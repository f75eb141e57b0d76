/* SPDX-License-Identifier: MIT
 *
 * The 8254 timer of a PC: channel 0 interrupts, channel 2 behind port 0x61. See apic.h for the
 * rules of use. Ports 0x40 to 0x43 and 0x61. Counts are computed from the time of the last load.
 *
 * A channel 0 interrupt that the host was too late for is not made up for. After each the periods
 * go on without a timer of the host's, until pit_resume, which is called when an interrupt is
 * taken: a guest that does not run must not keep the host busy.
 */
#pragma once

#include "lib/types.h"
#include "uapi/kvm.h"

#define PIT_HZ 1193182u
#define PIT_NEVER U64_MAX

struct pit_ops {
    u64 (*now)(void *ctx); /* monotonic nanoseconds */
    /* Call pit_fire() at `deadline`; PIT_NEVER: no more. */
    void (*timer_set)(void *ctx, u64 deadline);
    /* Channel 0 has counted down: pulse IRQ 0 (GSI 0). */
    void (*tick)(void *ctx);
};

struct pit {
    const struct pit_ops *ops;
    void *ctx;
    struct kvm_pit_channel_state channels[3]; /* count_load_time on the clock of `now` */
    u64 deadline;                             /* of channel 0, or PIT_NEVER */
    u64 period;                               /* ns, 0: one shot */
    bool lapsed;                              /* periodic, and timer_set was not called */
    u32 flags;                                /* KVM_PIT_FLAGS_* */
};

void pit_init(struct pit *pit, const struct pit_ops *ops, void *ctx);

/* 0, or -ENODEV if the port is none of the PIT's. */
int pit_read(struct pit *pit, u16 port, u8 *value);
int pit_write(struct pit *pit, u16 port, u8 value);

/* The deadline has come; harmless if it has not or was moved. */
void pit_fire(struct pit *pit);
/* An interrupt controller has been touched: the next tick may be taken. Cheap when it is running.
 */
void pit_resume(struct pit *pit);

void pit_get_state(const struct pit *pit, struct kvm_pit_state2 *state);
void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state);
