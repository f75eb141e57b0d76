/* SPDX-License-Identifier: MIT
 *
 * The interrupt controllers and timers of a VM, wired together as a PC has them.
 */
#include "harness.h"
#include "hv/emul/ioapic.h"
#include "hv/emul/lapic.h"
#include "hv/emul/pic.h"
#include "hv/emul/pit.h"
#include "lib/compiler.h"
#include "lib/errno.h"

#include <string.h>

/* The guest's write to the register. */
static void chips_end(struct lapic *l)
{
    const u32 any = 0;

    lapic_mmio_write(l, LAPIC_EOI * 16, &any, sizeof(any));
}

enum { CPUS = 4 };

/* A machine with a clock that the test moves. */
static struct machine {
    u64 now;
    struct lapic lapic[CPUS];
    struct lapic *cpus[CPUS];
    struct apic_bus bus;
    struct ioapic ioapic;
    struct pic pic;
    struct pit pit;
    u64 timer[CPUS], pit_timer;
    u32 timer_sets;
    u32 kicks[CPUS], signals[CPUS], last_mode, last_vector;
    u32 acks, ticks, intr_edges;
} m;

static u64 chips_now(void *ctx)
{
    return m.now;
}

static u64 chips_tsc_to_ns(void *ctx, u64 tsc)
{
    return tsc / 2; /* a 2 GHz guest */
}

static void chips_timer_set(void *ctx, u64 deadline)
{
    m.timer[(struct lapic *)ctx - m.lapic] = deadline;
    m.timer_sets++;
}

static void chips_kick(void *ctx)
{
    m.kicks[(struct lapic *)ctx - m.lapic]++;
}

static void chips_signal(void *ctx, enum apic_mode mode, u8 vector)
{
    m.signals[(struct lapic *)ctx - m.lapic]++;
    m.last_mode = mode;
    m.last_vector = vector;
}

static void chips_eoi(void *ctx, u8 vector)
{
    ioapic_eoi(&m.ioapic, vector);
}

static const struct lapic_ops chips_lapic_ops = {
    .now = chips_now,
    .tsc_to_ns = chips_tsc_to_ns,
    .timer_set = chips_timer_set,
    .kick = chips_kick,
    .signal = chips_signal,
    .eoi = chips_eoi,
};

static void chips_ack(void *ctx, u32 pin)
{
    m.acks++;
}

static void chips_intr(void *ctx, bool high)
{
    m.intr_edges++;
}

static void chips_pit_timer(void *ctx, u64 deadline)
{
    m.pit_timer = deadline;
    m.timer_sets++;
}

static void chips_tick(void *ctx)
{
    m.ticks++;
}

static const struct pit_ops chips_pit_ops = {chips_now, chips_pit_timer, chips_tick};

static void chips_reg(u32 cpu, u32 reg, u32 value)
{
    lapic_mmio_write(&m.lapic[cpu], reg * 16, &value, 4);
}

static u32 chips_read(u32 cpu, u32 reg)
{
    u32 value;

    lapic_mmio_read(&m.lapic[cpu], reg * 16, &value, 4);
    return value;
}

static void chips_build(void)
{
    memset(&m, 0, sizeof(m));
    m.now = 1000000;
    m.bus = (struct apic_bus){.cpus = m.cpus, .count = CPUS};
    for (u32 i = 0; i < CPUS; i++) {
        m.cpus[i] = &m.lapic[i];
        lapic_init(&m.lapic[i], i, i == 0, &m.bus, &chips_lapic_ops, &m.lapic[i]);
        chips_reg(i, LAPIC_SVR, 0x1ff);
        chips_reg(i, LAPIC_LDR, 1u << (24 + i));
    }
    ioapic_init(&m.ioapic, &m.bus, chips_ack, NULL);
    pic_init(&m.pic, chips_intr, chips_ack, NULL);
    pit_init(&m.pit, &chips_pit_ops, NULL);
}

static void chips_redir(u32 pin, u64 entry)
{
    for (u32 half = 0; half < 2; half++) {
        u32 select = 0x10 + pin * 2 + half, value = (u32)(entry >> half * 32);

        ioapic_write(&m.ioapic, 0, &select, 4);
        ioapic_write(&m.ioapic, 0x10, &value, 4);
    }
}

static bool chips_fixed(u32 cpu, u8 vector)
{
    struct apic_msg msg = {.dest = cpu, .vector = vector};

    return apic_send(&m.bus, &msg, NULL) == 1;
}

TEST(lapic_delivers_by_priority_class)
{
    struct lapic *l = &m.lapic[1];

    chips_build();
    EXPECT(lapic_pending(l) == -1);
    EXPECT(chips_fixed(1, 0x41) && lapic_pending(l) == 0x41 && m.kicks[1] == 1);
    EXPECT(chips_fixed(1, 0x52) && lapic_pending(l) == 0x52);
    EXPECT(!chips_fixed(1, 0x52));
    lapic_ack(l, 0x52);
    EXPECT(lapic_pending(l) == -1 && lapic_ppr(l) == 0x50);
    EXPECT(chips_fixed(1, 0x5f) && lapic_pending(l) == -1);
    EXPECT(chips_fixed(1, 0x60) && lapic_pending(l) == 0x60);
    lapic_ack(l, 0x60);
    chips_reg(1, LAPIC_EOI, 0);
    EXPECT(lapic_pending(l) == -1);
    chips_reg(1, LAPIC_EOI, 0);
    EXPECT(lapic_pending(l) == 0x5f);
    lapic_set_cr8(l, 5);
    EXPECT(lapic_pending(l) == -1 && lapic_cr8(l) == 5 && chips_read(1, LAPIC_PPR) == 0x50);
    chips_reg(1, LAPIC_TPR, 0x4f);
    EXPECT(lapic_pending(l) == 0x5f);
    EXPECT(!chips_fixed(1, 15) && (chips_reg(1, LAPIC_ESR, 0), chips_read(1, LAPIC_ESR)) == 0x40);
}

TEST(lapic_addresses_by_name_logic_and_shorthand)
{
    struct apic_msg flat = {.dest = 0x0a, .vector = 0x30, .logical = true};
    struct apic_msg all = {.dest = APIC_DEST_ALL, .vector = 0x31};

    chips_build();
    EXPECT(apic_send(&m.bus, &flat, NULL) == 2);
    EXPECT(lapic_pending(&m.lapic[1]) == 0x30 && lapic_pending(&m.lapic[3]) == 0x30);
    EXPECT(lapic_pending(&m.lapic[0]) == -1 && lapic_pending(&m.lapic[2]) == -1);
    EXPECT(apic_send(&m.bus, &all, NULL) == CPUS);
    EXPECT(!chips_fixed(9, 0x30));
    /* ICR: all but self, then self. */
    chips_reg(2, LAPIC_ICR, 0x000c0070);
    EXPECT(lapic_pending(&m.lapic[2]) == 0x31 && lapic_pending(&m.lapic[0]) == 0x70);
    chips_reg(2, LAPIC_ICR, 0x00040071);
    EXPECT(lapic_pending(&m.lapic[2]) == 0x71 && lapic_pending(&m.lapic[0]) == 0x70);
}

TEST(lapic_sends_init_sipi_and_nmi)
{
    chips_build();
    chips_reg(0, LAPIC_ICR_HIGH, 3u << 24);
    chips_reg(0, LAPIC_ICR, 0x0000c500); /* INIT, level, assert */
    EXPECT(m.signals[3] == 1 && m.last_mode == APIC_INIT);
    chips_reg(0, LAPIC_ICR, 0x00008500); /* de-assert */
    EXPECT(m.signals[3] == 1);
    chips_reg(0, LAPIC_ICR, 0x00000608);
    EXPECT(m.signals[3] == 2 && m.last_mode == APIC_SIPI && m.last_vector == 8);
    chips_reg(0, LAPIC_ICR, 0x000c0400);
    EXPECT(m.signals[1] == 1 && m.signals[0] == 0 && m.last_mode == APIC_NMI);
}

TEST(lapic_lowest_priority_picks_the_idlest_and_takes_turns)
{
    struct apic_msg msg = {.dest = 0xf, .vector = 0x40, .mode = APIC_LOWEST, .logical = true};
    u32 hits = 0;

    chips_build();
    chips_reg(0, LAPIC_TPR, 0x20);
    for (int i = 0; i < 3; i++)
        EXPECT(apic_send(&m.bus, &msg, NULL) == 1);
    for (u32 i = 1; i < CPUS; i++)
        hits += lapic_pending(&m.lapic[i]) == 0x40;
    EXPECT(hits == 3 && lapic_pending(&m.lapic[0]) == -1);
}

TEST(lapic_timer_counts_down_and_repeats)
{
    struct lapic *l = &m.lapic[0];

    chips_build();
    chips_reg(0, LAPIC_TIMER_DIVIDE, 3); /* by 16 */
    chips_reg(0, LAPIC_LVT_TIMER, 0x40);
    chips_reg(0, LAPIC_TIMER_INIT, 1000);
    EXPECT(m.timer[0] == m.now + 16000);
    m.now += 4000;
    EXPECT(chips_read(0, LAPIC_TIMER_COUNT) == 750);
    lapic_timer_fire(l);
    EXPECT(lapic_pending(l) == -1);
    m.now += 12000;
    lapic_timer_fire(l);
    EXPECT(lapic_pending(l) == 0x40 && m.timer[0] == LAPIC_NEVER);
    EXPECT(chips_read(0, LAPIC_TIMER_COUNT) == 0);
    lapic_ack(l, 0x40);
    chips_end(l);

    chips_reg(0, LAPIC_LVT_TIMER, 0x20041);
    chips_reg(0, LAPIC_TIMER_INIT, 10000);
    u64 start = m.now;

    m.now += 160000 * 3 + 5;
    lapic_timer_fire(l);
    EXPECT(lapic_pending(l) == 0x41);
    EXPECT(chips_read(0, LAPIC_TIMER_COUNT) == 9999);
    lapic_ack(l, 0x41);
    EXPECT(m.timer[0] == start + 160000 * 4);
    chips_reg(0, LAPIC_LVT_TIMER, 0x30041);
    m.now = start + 160000 * 4;
    EXPECT(m.timer[0] != LAPIC_NEVER);
    chips_reg(0, LAPIC_TIMER_INIT, 0);
    EXPECT(m.timer[0] == LAPIC_NEVER);
}

/* Where a VMM moves a guest, what is left of a count is less than a tick, or is due already. */
TEST(lapic_timer_saved_at_its_end_goes_on)
{
    struct kvm_lapic_state state;
    struct lapic *l = &m.lapic[0];

    chips_build();
    chips_reg(0, LAPIC_TIMER_DIVIDE, 3); /* by 16 */
    chips_reg(0, LAPIC_LVT_TIMER, 0x20041);
    chips_reg(0, LAPIC_TIMER_INIT, 10000);
    m.now += 160000 - 5;
    lapic_get_state(l, &state);
    lapic_reset(l, false);
    EXPECT(!lapic_set_state(l, &state) && m.timer[0] == m.now + 16);

    chips_build();
    chips_reg(0, LAPIC_LVT_TIMER, 0x42);
    chips_reg(0, LAPIC_TIMER_INIT, 1000);
    m.now = m.timer[0] + 1;
    lapic_get_state(l, &state); /* the host's timer is late */
    lapic_reset(l, false);
    EXPECT(!lapic_set_state(l, &state) && lapic_pending(l) == 0x42 && m.timer[0] == LAPIC_NEVER);
}

/* A vCPU that does not run, or has the timer masked, costs its host one interrupt, not thousands.
 */
TEST(lapic_period_waits_for_its_interrupt_to_be_taken)
{
    struct lapic *l = &m.lapic[0];

    chips_build();
    chips_reg(0, LAPIC_TIMER_DIVIDE, 3);
    chips_reg(0, LAPIC_LVT_TIMER, 0x20041);
    chips_reg(0, LAPIC_TIMER_INIT, 10000);
    u64 start = m.now;
    u32 sets = m.timer_sets;

    m.now += 160000;
    lapic_timer_fire(l);
    EXPECT(lapic_pending(l) == 0x41 && m.timer_sets == sets);
    m.now = start + 160000 * 5 + 7;
    EXPECT(chips_read(0, LAPIC_TIMER_COUNT) == 9999);
    lapic_timer_fire(l); /* of an earlier start: late */
    EXPECT(m.timer_sets == sets);
    lapic_ack(l, 0x41);
    EXPECT(m.timer_sets == sets + 1 && m.timer[0] == start + 160000 * 6);
    m.now = m.timer[0];
    chips_end(l);
    chips_reg(0, LAPIC_LVT_TIMER, 0x30041);
    lapic_timer_fire(l);
    EXPECT(lapic_pending(l) == -1 && m.timer_sets == sets + 1);
    m.now += 160000 * 2;
    chips_reg(0, LAPIC_LVT_TIMER, 0x20041);
    EXPECT(m.timer_sets == sets + 2 && m.timer[0] == start + 160000 * 9);
}

TEST(lapic_timer_follows_the_tsc_deadline)
{
    struct lapic *l = &m.lapic[0];
    u64 v;

    chips_build();
    EXPECT(!lapic_msr_write(l, LAPIC_MSR_TSC_DEADLINE, 5000000) && m.timer[0] == 0);
    chips_reg(0, LAPIC_LVT_TIMER, 0x40042);
    EXPECT(!lapic_msr_write(l, LAPIC_MSR_TSC_DEADLINE, 5000000) && m.timer[0] == 2500000);
    EXPECT(!lapic_msr_read(l, LAPIC_MSR_TSC_DEADLINE, &v) && v == 5000000);
    m.now = 2500000;
    lapic_timer_fire(l);
    EXPECT(lapic_pending(l) == 0x42 && m.timer[0] == LAPIC_NEVER);
    EXPECT(!lapic_msr_read(l, LAPIC_MSR_TSC_DEADLINE, &v) && v == 0);
    EXPECT(!lapic_msr_write(l, LAPIC_MSR_TSC_DEADLINE, 9000000));
    EXPECT(!lapic_msr_write(l, LAPIC_MSR_TSC_DEADLINE, 0) && m.timer[0] == LAPIC_NEVER);
}

TEST(lapic_x2apic_registers_are_msrs)
{
    struct lapic *l = &m.lapic[2];
    u64 v;

    chips_build();
    EXPECT(lapic_msr_read(l, 0x802, &v) == -EINVAL && lapic_mmio_enabled(l));
    EXPECT(lapic_msr_write(l, LAPIC_MSR_BASE, 0xfee00400) == -EINVAL);
    EXPECT(!lapic_msr_write(l, LAPIC_MSR_BASE, 0xfee00c00) && !lapic_mmio_enabled(l));
    EXPECT(lapic_msr_write(l, LAPIC_MSR_BASE, 0xfee00800) == -EINVAL);
    EXPECT(!lapic_msr_read(l, 0x802, &v) && v == 2);
    EXPECT(!lapic_msr_read(l, 0x80d, &v) && v == 4);
    EXPECT(lapic_msr_read(l, 0x80e, &v) == -EINVAL && lapic_msr_read(l, 0x831, &v) == -EINVAL);
    EXPECT(lapic_msr_write(l, 0x80b, 1) == -EINVAL && !lapic_msr_write(l, 0x80b, 0));
    EXPECT(lapic_msr_write(l, 0x802, 1) == -EINVAL);
    EXPECT(!lapic_msr_write(l, 0x830, 1ull << 32 | 0x55) && lapic_pending(&m.lapic[1]) == 0x55);
    EXPECT(!lapic_msr_read(l, 0x830, &v) && v == (1ull << 32 | 0x55));
    EXPECT(!lapic_msr_write(l, 0x83f, 0x66) && lapic_pending(l) == 0x66);
    struct apic_msg cluster = {.dest = 4, .vector = 0x77, .logical = true};

    EXPECT(apic_send(&m.bus, &cluster, NULL) == 1 && lapic_pending(l) == 0x77);
}

TEST(lapic_state_survives_a_round_trip)
{
    struct kvm_lapic_state state, again;
    struct lapic *l = &m.lapic[1];
    u32 v;

    chips_build();
    chips_fixed(1, 0x90);
    chips_reg(1, LAPIC_LVT_LINT1, 0x400);
    lapic_get_state(l, &state);
    memcpy(&v, state.regs + 0x20, 4);
    EXPECT(v == 1u << 24);
    memcpy(&v, state.regs + 0x240, 4);
    EXPECT(v == 1u << 16);
    lapic_reset(l, false);
    EXPECT(lapic_pending(l) == -1 && !lapic_set_state(l, &state) && lapic_pending(l) == 0x90);
    lapic_get_state(l, &again);
    EXPECT(!memcmp(&state, &again, sizeof(state)));
    state.regs[0x23] = 9;
    EXPECT(lapic_set_state(l, &state) == -EINVAL);
}

TEST(ioapic_edge_and_level_pins)
{
    chips_build();
    EXPECT(ioapic_set_line(&m.ioapic, 4, true) == -1); /* masked: while the line is high */
    chips_redir(4, 0x33);
    EXPECT(lapic_pending(&m.lapic[0]) == 0x33);
    lapic_ack(&m.lapic[0], 0x33);
    chips_end(&m.lapic[0]);
    chips_redir(4, 0x10033);
    ioapic_set_line(&m.ioapic, 4, false);
    ioapic_set_line(&m.ioapic, 4, true);
    ioapic_set_line(&m.ioapic, 4, false); /* and gone with it */
    chips_redir(4, 0x33);
    EXPECT(lapic_pending(&m.lapic[0]) == -1);
    EXPECT(ioapic_set_line(&m.ioapic, 4, true) == 1);
    EXPECT(ioapic_set_line(&m.ioapic, 4, true) == 0);

    chips_redir(10, 0x8000 | 0x51 | 2ull << 56); /* level, to CPU 2 */
    EXPECT(ioapic_set_line(&m.ioapic, 10, true) == 1 && (m.ioapic.redir[10] & 0x4000));
    lapic_ack(&m.lapic[2], 0x51);
    EXPECT(ioapic_set_line(&m.ioapic, 10, true) == 0);
    chips_end(&m.lapic[2]); /* still high: again */
    EXPECT(m.acks == 1 && lapic_pending(&m.lapic[2]) == 0x51);
    lapic_ack(&m.lapic[2], 0x51);
    ioapic_set_line(&m.ioapic, 10, false);
    chips_end(&m.lapic[2]);
    EXPECT(m.acks == 2 && lapic_pending(&m.lapic[2]) == -1 && !(m.ioapic.redir[10] & 0x4000));
    EXPECT(ioapic_set_line(&m.ioapic, 24, true) == -1);
}

TEST(ioapic_state_survives_a_round_trip)
{
    struct kvm_ioapic_state s, t;
    u32 version, select = 1;

    chips_build();
    chips_redir(3, 0x10000 | 0x44);
    ioapic_set_line(&m.ioapic, 3, true);
    ioapic_write(&m.ioapic, 0, &select, 4);
    ioapic_read(&m.ioapic, 0x10, &version, 4);
    EXPECT(version == 0x170020);
    ioapic_get_state(&m.ioapic, &s);
    EXPECT(s.redirtbl[3].fields.vector == 0x44 && s.redirtbl[3].fields.mask && s.irr == 8);
    ioapic_init(&m.ioapic, &m.bus, NULL, NULL);
    ioapic_set_state(&m.ioapic, &s);
    ioapic_get_state(&m.ioapic, &t);
    EXPECT(!memcmp(&s, &t, sizeof(s)));
    chips_redir(3, 0x44);
    EXPECT(lapic_pending(&m.lapic[0]) == 0x44);
}

TEST(msi_addresses_decode)
{
    struct apic_msg msg;

    EXPECT(!apic_msg_from_msi(0xfee03000, 0x4041, false, &msg));
    EXPECT(msg.dest == 3 && msg.vector == 0x41 && !msg.logical && msg.mode == APIC_FIXED);
    EXPECT(!apic_msg_from_msi(0xfeeff00c, 0x141, false, &msg));
    EXPECT(msg.dest == APIC_DEST_ALL && msg.logical && msg.mode == APIC_LOWEST);
    EXPECT(apic_msg_from_msi(0xfed00000, 0, false, &msg) == -EINVAL);
    EXPECT(!apic_msg_from_msi(0xfee01020, 0x41, true, &msg) && msg.dest == 0x101);
}

static void chips_pic_setup(void)
{
    static const u8 master[] = {0x08, 0x04, 0x01}, slave[] = {0x70, 0x02, 0x01};

    chips_build();
    pic_write(&m.pic, 0x20, 0x11);
    pic_write(&m.pic, 0xa0, 0x11);
    for (int i = 0; i < 3; i++) {
        pic_write(&m.pic, 0x21, master[i]);
        pic_write(&m.pic, 0xa1, slave[i]);
    }
    pic_write(&m.pic, 0x21, 0);
    pic_write(&m.pic, 0xa1, 0);
}

TEST(pic_serves_by_priority_and_cascades)
{
    u8 v;

    chips_pic_setup();
    EXPECT(!pic_pending(&m.pic));
    EXPECT(pic_set_line(&m.pic, 4, true) == 1 && pic_pending(&m.pic));
    EXPECT(pic_set_line(&m.pic, 0, true) == 1 && pic_ack(&m.pic) == 0x08);
    EXPECT(!pic_pending(&m.pic));
    pic_write(&m.pic, 0x20, 0x20);
    EXPECT(m.acks == 1 && pic_pending(&m.pic) && pic_ack(&m.pic) == 0x0c);
    pic_set_line(&m.pic, 4, false);
    pic_write(&m.pic, 0x20, 0x64); /* specific EOI 4 */
    EXPECT(!pic_pending(&m.pic));
    EXPECT(pic_set_line(&m.pic, 12, true) == 1 && pic_ack(&m.pic) == 0x74);
    pic_write(&m.pic, 0x20, 0x0b);
    pic_read(&m.pic, 0x20, &v);
    EXPECT(v == 4);
    EXPECT(pic_set_line(&m.pic, 8, true) == 1 && !pic_pending(&m.pic));
    pic_write(&m.pic, 0xa0, 0x20);
    pic_write(&m.pic, 0x20, 0x20);
    EXPECT(pic_pending(&m.pic) && pic_ack(&m.pic) == 0x70);
    pic_write(&m.pic, 0xa0, 0x20);
    pic_write(&m.pic, 0x20, 0x20);
    EXPECT(pic_ack(&m.pic) == 0x0f); /* spurious */
}

TEST(pic_masks_levels_and_state)
{
    struct kvm_pic_state s, t;
    u8 v;

    chips_pic_setup();
    pic_write(&m.pic, 0x21, 0xff);
    EXPECT(pic_set_line(&m.pic, 5, true) == -1 && !pic_pending(&m.pic));
    pic_write(&m.pic, 0x4d0, 0xff);
    pic_read(&m.pic, 0x4d0, &v);
    EXPECT(v == 0xf8);
    pic_set_line(&m.pic, 5, false);
    pic_set_line(&m.pic, 5, true);
    pic_write(&m.pic, 0x21, 0xdf);
    EXPECT(pic_ack(&m.pic) == 0x0d);
    pic_write(&m.pic, 0x20, 0x20);
    EXPECT(pic_pending(&m.pic)); /* the level is still there */
    pic_get_state(&m.pic, 0, &s);
    EXPECT(s.elcr == 0xf8 && s.irq_base == 8 && s.imr == 0xdf && s.irr == 0x20);
    pic_set_line(&m.pic, 5, false);
    EXPECT(!pic_pending(&m.pic));
    pic_set_state(&m.pic, 0, &s);
    EXPECT(pic_pending(&m.pic));
    pic_get_state(&m.pic, 0, &t);
    EXPECT(!memcmp(&s, &t, sizeof(s)));
    EXPECT(pic_read(&m.pic, 0x22, &v) == -ENODEV);
}

static u16 chips_pit_read16(u16 port)
{
    u8 low, high;

    pit_read(&m.pit, port, &low);
    pit_read(&m.pit, port, &high);
    return (u16)(low | high << 8);
}

TEST(pit_channel_0_ticks)
{
    chips_build();
    pit_write(&m.pit, 0x43, 0x34); /* channel 0, word, mode 2 */
    pit_write(&m.pit, 0x40, 0x9c);
    EXPECT(m.pit.deadline == PIT_NEVER);
    pit_write(&m.pit, 0x40, 0x2e); /* 11932: 100 Hz */
    EXPECT(m.pit_timer - m.now > 9990000 && m.pit_timer - m.now < 10010000);
    u64 first = m.pit_timer - m.now;

    m.now += first / 2;
    pit_write(&m.pit, 0x43, 0x00); /* latch */
    u16 count = chips_pit_read16(0x40);

    EXPECT(count > 5960 && count < 5970);
    pit_fire(&m.pit);
    EXPECT(!m.ticks);
    m.now += first / 2 + 1;
    pit_fire(&m.pit);
    pit_resume(&m.pit);
    EXPECT(m.ticks == 1 && m.pit_timer > m.now && m.pit_timer <= m.now + first);
    pit_write(&m.pit, 0x43, 0x30); /* mode 0 */
    pit_write(&m.pit, 0x40, 100);
    pit_write(&m.pit, 0x40, 0);
    m.now += 90000;
    pit_fire(&m.pit);
    EXPECT(m.ticks == 2 && m.pit_timer == PIT_NEVER);
}

TEST(pit_period_that_nobody_takes_waits_for_a_reason)
{
    chips_build();
    pit_write(&m.pit, 0x43, 0x34);
    pit_write(&m.pit, 0x40, 0x9c);
    pit_write(&m.pit, 0x40, 0x2e);
    u64 start = m.now, span = m.pit_timer - start;
    u32 sets = m.timer_sets;

    m.now = m.pit_timer;
    pit_fire(&m.pit);
    EXPECT(m.ticks == 1 && m.timer_sets == sets);
    m.now = start + 5 * span + 3;
    pit_fire(&m.pit);
    EXPECT(m.ticks == 1 && m.timer_sets == sets);
    pit_resume(&m.pit);
    EXPECT(m.timer_sets == sets + 1 && m.pit_timer == start + 6 * span);
    pit_resume(&m.pit);
    m.now = m.pit_timer;
    pit_fire(&m.pit);
    EXPECT(m.ticks == 2 && m.timer_sets == sets + 1);
    pit_resume(&m.pit);
    EXPECT(m.timer_sets == sets + 2 && m.pit_timer == start + 7 * span);
}

TEST(pit_channel_2_is_how_guests_calibrate)
{
    u8 v;

    chips_build();
    pit_read(&m.pit, 0x61, &v);
    pit_write(&m.pit, 0x61, (u8)((v & ~2) | 1));
    pit_write(&m.pit, 0x43, 0xb0); /* channel 2, word, mode 0 */
    pit_write(&m.pit, 0x42, 0x9c);
    pit_write(&m.pit, 0x42, 0x2e);
    m.now += 9990000;
    pit_read(&m.pit, 0x61, &v);
    EXPECT(!(v & 0x20));
    m.now += 20000;
    pit_read(&m.pit, 0x61, &v);
    EXPECT(v & 0x20);
    pit_write(&m.pit, 0x43, 0xe8); /* read back channel 2: status */
    pit_read(&m.pit, 0x42, &v);
    EXPECT(v == 0xb0);
    struct kvm_pit_state2 s;

    pit_get_state(&m.pit, &s);
    EXPECT(s.channels[2].count == 11932 && s.channels[2].mode == 0 && s.channels[2].gate);
    pit_set_state(&m.pit, &s);
    EXPECT(pit_read(&m.pit, 0x44, &v) == -ENODEV);
}
