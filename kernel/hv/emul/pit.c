/* SPDX-License-Identifier: MIT
 *
 * The 8254. Intel 82C54 datasheet (231244); port 0x61 as in the PIIX4.
 */
#include "hv/emul/pit.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/string.h"

#define PIT_NS 1000000000ull
/* A guest may not make the host take more than 10,000 ticks a second. */
#define PIT_MIN_PERIOD 100000ull
#define PIT_MODE_NONE 0xff /* no control word yet */

/* rw_mode of a control word, and the states of a byte-wise access. */
enum pit_rw { PIT_RW_LATCH, PIT_RW_LOW, PIT_RW_HIGH, PIT_RW_WORD, PIT_RW_WORD_HIGH };

typedef struct kvm_pit_channel_state pit_channel;

static u64 pit_ticks_to_ns(u64 ticks)
{
    return ticks / PIT_HZ * PIT_NS + ticks % PIT_HZ * PIT_NS / PIT_HZ;
}

static u64 pit_ns_to_ticks(u64 ns)
{
    return ns / PIT_NS * PIT_HZ + ns % PIT_NS * PIT_HZ / PIT_NS;
}

static u64 pit_elapsed(const struct pit *pit, const pit_channel *c)
{
    return pit_ns_to_ticks(pit->ops->now(pit->ctx) - (u64)c->count_load_time);
}

/* The largest count, which a guest writes as 0. The channels' `count` is never 0. */
static u32 pit_most(const pit_channel *c)
{
    return c->bcd ? 10000 : 0x10000;
}

static u32 pit_from_bcd(u32 v)
{
    return (v >> 12 & 15) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

static u32 pit_to_bcd(u32 v)
{
    return v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

static u16 pit_count(const struct pit *pit, const pit_channel *c)
{
    u64 ticks = pit_elapsed(pit, c);
    u32 reload = c->count, wrap = c->bcd ? 10000 : 0x10000;
    u32 count;

    switch (c->mode) {
    case 2:
        count = reload - (u32)(ticks % reload);
        break;
    case 3:
        count = reload - (u32)(2 * ticks % reload);
        break;
    default: /* counts on below zero */
        count = (u32)((reload % wrap + wrap - ticks % wrap) % wrap);
        break;
    }
    return (u16)(c->bcd ? pit_to_bcd(count) : count);
}

static bool pit_output(const struct pit *pit, const pit_channel *c)
{
    u64 ticks = pit_elapsed(pit, c);
    u32 reload = c->count;

    switch (c->mode) {
    case 0:
    case 1:
        return ticks >= reload;
    case 2:
        return ticks % reload != reload - 1;
    case 3:
        return ticks % reload < (reload + 1) / 2;
    default:
        return ticks != reload;
    }
}

static void pit_arm(struct pit *pit, u64 deadline)
{
    if (deadline == pit->deadline && !pit->lapsed)
        return;
    pit->deadline = deadline;
    pit->lapsed = false;
    pit->ops->timer_set(pit->ctx, deadline);
}

/* Channel 0 was loaded or its state replaced: when does it interrupt next? */
static void pit_schedule(struct pit *pit)
{
    pit_channel *c = &pit->channels[0];
    u64 span = pit_ticks_to_ns(c->count);

    pit->period = 0;
    switch (c->mode) {
    case 2:
    case 3:
        pit->period = MAX(span, PIT_MIN_PERIOD);
        pit_arm(pit, (u64)c->count_load_time + pit->period);
        break;
    case 0:
    case 4:
        pit_arm(pit, (u64)c->count_load_time + span);
        break;
    default: /* hardware triggered: channel 0 has no trigger */
        pit_arm(pit, PIT_NEVER);
        break;
    }
}

static void pit_load(struct pit *pit, pit_channel *c, u32 value)
{
    c->count = c->bcd ? pit_from_bcd(value) : value;
    if (!c->count)
        c->count = pit_most(c);
    c->count_load_time = (int64_t)pit->ops->now(pit->ctx);
    if (c == pit->channels && !(pit->flags & KVM_PIT_FLAGS_HPET_LEGACY))
        pit_schedule(pit);
}

static void pit_latch_count(const struct pit *pit, pit_channel *c)
{
    if (c->count_latched)
        return;
    c->latched_count = pit_count(pit, c);
    c->count_latched = c->rw_mode;
}

static void pit_latch_status(const struct pit *pit, pit_channel *c)
{
    if (c->status_latched)
        return;
    c->status = (u8)(pit_output(pit, c) << 7 | c->rw_mode << 4 | c->mode << 1 | c->bcd);
    c->status_latched = 1;
}

static void pit_write_control(struct pit *pit, u8 value)
{
    u32 select = value >> 6;

    if (select == 3) { /* read-back: active-low latch bits, one bit per channel */
        for (u32 i = 0; i < 3; i++) {
            if (!(value >> (i + 1) & 1))
                continue;
            if (!(value & 0x20))
                pit_latch_count(pit, &pit->channels[i]);
            if (!(value & 0x10))
                pit_latch_status(pit, &pit->channels[i]);
        }
        return;
    }
    pit_channel *c = &pit->channels[select];
    u8 rw = value >> 4 & 3;

    if (rw == PIT_RW_LATCH) {
        pit_latch_count(pit, c);
        return;
    }
    c->rw_mode = c->read_state = c->write_state = rw;
    c->mode = value >> 1 & 7;
    if (c->mode > 5)
        c->mode &= 3; /* 6 and 7 are 2 and 3 */
    c->bcd = value & 1;
    /* A control word stops the counter until the new count is complete. */
    if (select == 0)
        pit_arm(pit, PIT_NEVER);
}

static void pit_write_count(struct pit *pit, pit_channel *c, u8 value)
{
    switch (c->write_state) {
    case PIT_RW_HIGH:
        pit_load(pit, c, (u32)value << 8);
        break;
    case PIT_RW_WORD:
        c->write_latch = value;
        c->write_state = PIT_RW_WORD_HIGH;
        break;
    case PIT_RW_WORD_HIGH:
        c->write_state = PIT_RW_WORD;
        pit_load(pit, c, c->write_latch | (u32)value << 8);
        break;
    default:
        pit_load(pit, c, value);
        break;
    }
}

/* A latched count is read out in the order in which it was latched. */
static u8 pit_read_latched(pit_channel *c)
{
    switch (c->count_latched) {
    case PIT_RW_HIGH:
        c->count_latched = 0;
        return (u8)(c->latched_count >> 8);
    case PIT_RW_WORD:
        c->count_latched = PIT_RW_HIGH;
        return (u8)c->latched_count;
    default:
        c->count_latched = 0;
        return (u8)c->latched_count;
    }
}

static u8 pit_read_count(struct pit *pit, pit_channel *c)
{
    u16 count;

    if (c->status_latched) {
        c->status_latched = 0;
        return c->status;
    }
    if (c->count_latched)
        return pit_read_latched(c);
    count = pit_count(pit, c);
    switch (c->read_state) {
    case PIT_RW_HIGH:
        return (u8)(count >> 8);
    case PIT_RW_WORD:
        c->read_state = PIT_RW_WORD_HIGH;
        return (u8)count;
    case PIT_RW_WORD_HIGH:
        c->read_state = PIT_RW_WORD;
        return (u8)(count >> 8);
    default:
        return (u8)count;
    }
}

static u8 pit_read_speaker(const struct pit *pit)
{
    const pit_channel *c = &pit->channels[2];
    /* The refresh bit toggles about every 15 microseconds. */
    u8 refresh = pit->ops->now(pit->ctx) >> 14 & 1;
    u8 data = pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? 2 : 0;

    return (u8)((c->gate & 1) | data | refresh << 4 | pit_output(pit, c) << 5);
}

static void pit_write_speaker(struct pit *pit, u8 value)
{
    pit_channel *c = &pit->channels[2];

    pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    if (value & 2)
        pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    /* A rising gate restarts the count in every mode but 0 and 4, where it only enables it. */
    if ((value & 1) && !c->gate && c->mode != 0 && c->mode != 4)
        c->count_load_time = (int64_t)pit->ops->now(pit->ctx);
    c->gate = value & 1;
}

int pit_read(struct pit *pit, u16 port, u8 *value)
{
    switch (port) {
    case 0x40 ... 0x42:
        *value = pit_read_count(pit, &pit->channels[port - 0x40]);
        return 0;
    case 0x43: /* write-only: the bus floats */
        *value = 0xff;
        return 0;
    case 0x61:
        *value = pit_read_speaker(pit);
        return 0;
    default:
        return -ENODEV;
    }
}

int pit_write(struct pit *pit, u16 port, u8 value)
{
    switch (port) {
    case 0x40 ... 0x42:
        pit_write_count(pit, &pit->channels[port - 0x40], value);
        return 0;
    case 0x43:
        pit_write_control(pit, value);
        return 0;
    case 0x61:
        pit_write_speaker(pit, value);
        return 0;
    default:
        return -ENODEV;
    }
}

/* The next end of a period after now. */
static u64 pit_next(const struct pit *pit)
{
    u64 now = pit->ops->now(pit->ctx);

    if (now < pit->deadline)
        return pit->deadline;
    return now + pit->period - (now - pit->deadline) % pit->period;
}

void pit_resume(struct pit *pit)
{
    if (pit->lapsed)
        pit_arm(pit, pit_next(pit));
}

void pit_fire(struct pit *pit)
{
    if (pit->deadline == PIT_NEVER || pit->lapsed || pit->ops->now(pit->ctx) < pit->deadline)
        return;
    pit->ops->tick(pit->ctx);
    if (pit->period)
        pit->lapsed = true;
    else
        pit_arm(pit, PIT_NEVER);
}

void pit_init(struct pit *pit, const struct pit_ops *ops, void *ctx)
{
    *pit = (struct pit){.ops = ops, .ctx = ctx, .deadline = PIT_NEVER};
    for (u32 i = 0; i < 3; i++) {
        pit->channels[i].mode = PIT_MODE_NONE;
        pit->channels[i].count = 0x10000;
        pit->channels[i].rw_mode = PIT_RW_WORD;
        pit->channels[i].read_state = pit->channels[i].write_state = PIT_RW_WORD;
        pit->channels[i].gate = i != 2;
        pit->channels[i].count_load_time = (int64_t)ops->now(ctx);
    }
}

void pit_get_state(const struct pit *pit, struct kvm_pit_state2 *state)
{
    memset(state, 0, sizeof(*state));
    memcpy(state->channels, pit->channels, sizeof(state->channels));
    state->flags = pit->flags;
}

void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state)
{
    u64 now = pit->ops->now(pit->ctx);

    memcpy(pit->channels, state->channels, sizeof(pit->channels));
    pit->flags = state->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
    for (u32 i = 0; i < 3; i++) {
        pit_channel *c = &pit->channels[i];

        c->mode = c->mode > 5 ? PIT_MODE_NONE : c->mode;
        c->bcd &= 1;
        c->rw_mode &= 3;
        if (!c->count || c->count > pit_most(c))
            c->count = pit_most(c);
        /* The time is another host's: the count starts anew. */
        c->count_load_time = (int64_t)now;
    }
    if (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY)
        pit_arm(pit, PIT_NEVER);
    else
        pit_schedule(pit);
}
