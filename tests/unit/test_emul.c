/* SPDX-License-Identifier: MIT
 *
 * The emulator's contract: call-backs, resumption, faults, modes.
 */
#include "harness.h"
#include "hv/emul/emul_priv.h"
#include "lib/compiler.h"
#include "lib/errno.h"

#include <string.h>

enum { RAM = 0x20000, MMIO = 0x100000, MMIO_USER = 0x200000 };

static struct {
    u8 ram[RAM];
    u32 tss_limit, reads, writes, last_len, port_log_count, invlpg;
    u64 last_addr, last_value, mmio_value, cr[32];
    u32 ports[8];
    bool pending;
    u16 gdt_limit;
    struct emul_seg tr;
} w;

static int world_read(struct emul *e, u64 at, void *buf, u32 len)
{
    if (at < RAM && len <= RAM - at) {
        memcpy(buf, w.ram + at, len);
        return 0;
    }
    w.reads++;
    w.last_addr = at;
    w.last_len = len;
    if (at >= MMIO_USER)
        return EMUL_NEED_USER;
    if (at >= MMIO) {
        memcpy(buf, &w.mmio_value, len);
        return 0;
    }
    e->fault = (struct emul_fault){14, true, 4, at};
    return EMUL_FAULT;
}

static int world_write(struct emul *e, u64 at, const void *buf, u32 len)
{
    if (at < RAM && len <= RAM - at) {
        memcpy(w.ram + at, buf, len);
        return 0;
    }
    w.writes++;
    w.last_addr = at;
    w.last_len = len;
    w.last_value = 0;
    memcpy(&w.last_value, buf, len);
    if (at >= MMIO_USER)
        return EMUL_NEED_USER;
    if (at >= MMIO)
        return 0;
    e->fault = (struct emul_fault){14, true, 6, at};
    return EMUL_FAULT;
}

static int world_cmpxchg(struct emul *e, u64 at, const void *old, const void *new, u32 len)
{
    if (at < RAM && len <= RAM - at && memcmp(w.ram + at, old, len))
        return -EAGAIN;
    return world_write(e, at, new, len);
}

static int world_in(struct emul *e, u16 port, u32 size, void *buf)
{
    if (port == 0x99)
        return EMUL_NEED_USER;
    memset(buf, port & 0xff, size);
    return 0;
}

static int world_out(struct emul *e, u16 port, u32 size, const void *buf)
{
    u32 v = 0;

    memcpy(&v, buf, size);
    w.ports[w.port_log_count++ & 7] = v;
    return 0;
}

static int world_read_cr(struct emul *e, u32 nr, u64 *value)
{
    *value = w.cr[nr];
    return 0;
}

static int world_write_cr(struct emul *e, u32 nr, u64 value)
{
    w.cr[nr] = value;
    return 0;
}

static int world_invlpg(struct emul *e, u64 linear)
{
    w.last_addr = linear;
    w.invlpg++;
    return 0;
}

/* A 64-bit TSS at 0x6000, with what fits behind it. */
static void world_task(struct emul *e, struct emul_seg *tr)
{
    *tr = (struct emul_seg){.attr = 0x8b, .limit = w.tss_limit, .base = 0x6000};
}

/* The GDT is at 0x5000. */
static void world_gdt(struct emul *e, u64 *base, u16 *limit)
{
    *base = 0x5000;
    *limit = w.gdt_limit;
}

static int world_cmpxchg_system(struct emul *e, u64 at, u8 old, u8 new)
{
    return world_cmpxchg(e, at, &old, &new, 1);
}

static void world_load_task(struct emul *e, const struct emul_seg *tr)
{
    w.tr = *tr;
}

static const struct emul_ops world_ops = {
    .fetch = world_read,
    .read = world_read,
    .write = world_write,
    .cmpxchg = world_cmpxchg,
    .task = world_task,
    .read_system = world_read,
    .gdt = world_gdt,
    .cmpxchg_system = world_cmpxchg_system,
    .load_task = world_load_task,
    .in = world_in,
    .out = world_out,
    .read_cr = world_read_cr,
    .write_cr = world_write_cr,
    .invlpg = world_invlpg,
};

/* A CPU about to execute `code` at 0x1000 (in real mode at 0000:1000). */
static struct emul world_cpu(enum emul_mode mode, const char *code, u32 n)
{
    struct emul e = {.ops = &world_ops, .mode = (u8)mode, .rip = 0x1000, .rflags = 0x202};

    memset(&w, 0, sizeof(w));
    memcpy(w.ram + 0x1000, code, n);
    for (u32 i = 0; i < EMUL_SEGS; i++) {
        bool code_seg = i == EMUL_CS;

        e.seg[i] =
            (struct emul_seg){.limit = mode < EMUL_PROT32 ? 0xffff : U32_MAX,
                              .attr = (mode == EMUL_PROT32 ? 0xc00 : 0) | (code_seg ? 0x9b : 0x93)};
    }
    e.gpr[EMUL_RSP] = 0x8000;
    emul_begin(&e);
    return e;
}

#define CPU(mode, code) world_cpu(mode, code, sizeof(code) - 1)

TEST(emul_mmio_reads_and_writes)
{
    struct emul e = CPU(EMUL_LONG, "\x8b\x43\x10"); /* mov eax, [rbx+16] */

    e.gpr[EMUL_RBX] = MMIO;
    e.gpr[EMUL_RAX] = ~0ull;
    w.mmio_value = 0xdeadbeefcafe;
    EXPECT(emul_run(&e) == EMUL_DONE && e.rip == 0x1003 && e.gpr[EMUL_RAX] == 0xbeefcafe);
    EXPECT(w.reads == 1 && w.last_addr == MMIO + 16 && w.last_len == 4);

    e = CPU(EMUL_LONG, "\xc7\x03\x01\x00\x00\x80"); /* mov dword [rbx], 0x80000001 */
    e.gpr[EMUL_RBX] = MMIO;
    EXPECT(emul_run(&e) == EMUL_DONE && w.last_value == 0x80000001 && w.last_len == 4);

    e = CPU(EMUL_LONG, "\x48\xc7\x03\xff\xff\xff\xff"); /* sign-extended to 64 bits */
    e.gpr[EMUL_RBX] = MMIO;
    EXPECT(emul_run(&e) == EMUL_DONE && w.last_value == ~0ull && w.last_len == 8);

    e = CPU(EMUL_LONG, "\x0f\xb6\x0d\xf9\xef\x0f\x00"); /* movzx ecx, byte [rip + x] = MMIO */
    w.mmio_value = 0x80;
    EXPECT(emul_run(&e) == EMUL_DONE && w.last_addr == MMIO && e.gpr[EMUL_RCX] == 0x80);

    e = CPU(EMUL_LONG, "\x83\x0b\x10"); /* or dword [rbx], 16 */
    e.gpr[EMUL_RBX] = MMIO;
    w.mmio_value = 0x01;
    EXPECT(emul_run(&e) == EMUL_DONE && w.last_value == 0x11 && w.reads == 1 && w.writes == 1);

    e = CPU(EMUL_LONG, "\xf7\x03\x01\x00\x00\x00"); /* test dword [rbx], 1 */
    e.gpr[EMUL_RBX] = MMIO;
    EXPECT(emul_run(&e) == EMUL_DONE && (e.rflags & EMUL_ZF) && !w.writes);
}

TEST(emul_resumes_after_user_space_with_each_access_made_once)
{
    struct emul e = CPU(EMUL_LONG, "\x01\x03"); /* add [rbx], eax */
    u32 answer = 40;

    e.gpr[EMUL_RBX] = MMIO_USER;
    e.gpr[EMUL_RAX] = 2;
    EXPECT(emul_run(&e) == EMUL_NEED_USER && w.reads == 1 && e.rip == 0x1000);
    emul_supply(&e, &answer, 4);
    EXPECT(emul_run(&e) == EMUL_NEED_USER && w.reads == 1 && w.writes == 1 && w.last_value == 42);
    emul_supply(&e, NULL, 0);
    EXPECT(emul_run(&e) == EMUL_DONE && w.reads == 1 && w.writes == 1 && e.rip == 0x1002);

    e = CPU(EMUL_LONG, "\xff\x33"); /* push qword [rbx] */
    u64 wide = 0x1122334455667788;

    e.gpr[EMUL_RBX] = MMIO_USER;
    EXPECT(emul_run(&e) == EMUL_NEED_USER && e.gpr[EMUL_RSP] == 0x8000);
    emul_supply(&e, &wide, 8);
    EXPECT(emul_run(&e) == EMUL_DONE && e.gpr[EMUL_RSP] == 0x7ff8);
    EXPECT(!memcmp(w.ram + 0x7ff8, &wide, 8));

    e = CPU(EMUL_LONG, "\xed"); /* in eax, dx */
    e.gpr[EMUL_RDX] = 0x99;
    EXPECT(emul_run(&e) == EMUL_NEED_USER);
    emul_supply(&e, &answer, 4);
    EXPECT(emul_run(&e) == EMUL_DONE && e.gpr[EMUL_RAX] == 40);
}

TEST(emul_rep_keeps_completed_rounds)
{
    struct emul e = CPU(EMUL_LONG, "\xf3\xa4"); /* rep movsb, from user MMIO to RAM */
    int rounds = 0;

    e.gpr[EMUL_RSI] = MMIO_USER;
    e.gpr[EMUL_RDI] = 0x2000;
    e.gpr[EMUL_RCX] = 3;
    for (int r; (r = emul_run(&e)) != EMUL_DONE; rounds++) {
        u8 byte = (u8)('a' + rounds);

        EXPECT(r == EMUL_NEED_USER && e.gpr[EMUL_RCX] == (u64)(3 - rounds));
        emul_supply(&e, &byte, 1);
    }
    EXPECT(rounds == 3 && !memcmp(w.ram + 0x2000, "abc", 3) && e.gpr[EMUL_RCX] == 0);

    /* Runs off the end of RAM: the rounds before stay done, rip stays. */
    e = CPU(EMUL_LONG, "\xf3\x48\xab"); /* rep stosq */
    e.gpr[EMUL_RDI] = RAM - 24;
    e.gpr[EMUL_RCX] = 10;
    e.gpr[EMUL_RAX] = ~0ull;
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == 14 && e.fault.cr2 == RAM);
    EXPECT(e.gpr[EMUL_RCX] == 7 && e.gpr[EMUL_RDI] == RAM && e.rip == 0x1000);

    e = CPU(EMUL_LONG, "\xf3\xaa"); /* a long one comes back to let interrupts in */
    e.gpr[EMUL_RDI] = 0x2000;
    e.gpr[EMUL_RCX] = 700;
    EXPECT(emul_run(&e) == EMUL_REPEAT && e.rip == 0x1000 && e.gpr[EMUL_RCX] == 444);
    EXPECT(emul_run(&e) == EMUL_REPEAT && emul_run(&e) == EMUL_DONE && e.rip == 0x1002);
}

TEST(emul_string_io)
{
    struct emul e = CPU(EMUL_LONG, "\xf3\x6e"); /* rep outsb */

    memcpy(w.ram + 0x3000, "hi!", 3);
    e.gpr[EMUL_RSI] = 0x3000;
    e.gpr[EMUL_RCX] = 3;
    EXPECT(emul_run(&e) == EMUL_DONE && w.port_log_count == 3 && w.ports[2] == '!');

    e = CPU(EMUL_REAL, "\xf3\x6d"); /* rep insw */
    e.gpr[EMUL_RDX] = 0x1f0;
    e.gpr[EMUL_RDI] = 0x10;
    e.gpr[EMUL_RCX] = 2;
    e.seg[EMUL_ES].base = 0x4000;
    EXPECT(emul_run(&e) == EMUL_DONE && e.gpr[EMUL_RDI] == 0x14 && w.ram[0x4013] == 0xf0);
}

static int emul_try_ports(const char *code, u32 n, u8 cpl, u32 iopl, u32 limit)
{
    struct emul e = world_cpu(EMUL_LONG, code, n);

    e.cpl = cpl;
    e.rflags |= (u64)iopl << 12;
    e.gpr[EMUL_RDX] = 0x3f6;
    e.gpr[EMUL_RSI] = e.gpr[EMUL_RDI] = 0x3000;
    w.tss_limit = limit;
    w.ram[0x6066] = 0x68;
    w.ram[0x6068 + 0x3f6 / 8] = 0x80; /* 0x3f7 is closed */
    return emul_run(&e) == EMUL_FAULT ? e.fault.vector : 0;
}

/* In place of what was found to be a harmless access, a user program may have put these. */
TEST(emul_ports_are_open_by_level_or_bitmap)
{
    static const char *const one[] = {"\xec", "\xee", "\x6c", "\x6e"}; /* in out ins outs, byte */

    for (u32 i = 0; i < ARRAY_SIZE(one); i++) {
        char two[3] = {0x66, (char)(one[i][0] | 1), 0};

        EXPECT(emul_try_ports(one[i], 1, 3, 0, 0x67) == EMUL_GP && !w.port_log_count);
        EXPECT(emul_try_ports(one[i], 1, 3, 2, 0x67) == EMUL_GP);
        EXPECT(emul_try_ports(one[i], 1, 3, 3, 0x67) == 0);
        EXPECT(emul_try_ports(one[i], 1, 0, 0, 0x67) == 0);
        EXPECT(emul_try_ports(one[i], 1, 3, 0, 0x2067) == 0);
        EXPECT(emul_try_ports(two, 2, 3, 0, 0x2067) == EMUL_GP); /* the second of two is closed */
        /* Two bytes are read. */
        EXPECT(emul_try_ports(one[i], 1, 3, 0, 0x68 + 0x3f6 / 8) == EMUL_GP);
        EXPECT(emul_try_ports(one[i], 1, 3, 0, 0x69 + 0x3f6 / 8) == 0);
    }
}

TEST(emul_splits_accesses_at_page_boundaries)
{
    struct emul e = CPU(EMUL_LONG, "\x48\x89\x03");
    u64 v = 0x0102030405060708;

    e.gpr[EMUL_RBX] = 0x5ffd;
    e.gpr[EMUL_RAX] = v;
    EXPECT(emul_run(&e) == EMUL_DONE && !memcmp(w.ram + 0x5ffd, &v, 8));
    /* The second half faults: CR2 is the second page's, nothing has moved. */
    e = CPU(EMUL_LONG, "\x48\x8b\x03");
    e.gpr[EMUL_RBX] = RAM - 3;
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.cr2 == RAM && e.rip == 0x1000);
}

TEST(emul_fetches_across_pages_and_faults_there)
{
    struct emul e = CPU(EMUL_LONG, "");

    memcpy(w.ram + 0x1ffe, "\x8b\x43\x10", 3);
    e.rip = 0x1ffe;
    e.gpr[EMUL_RBX] = 0x3000;
    EXPECT(emul_run(&e) == EMUL_DONE && e.rip == 0x2001);

    e = CPU(EMUL_LONG, "");
    w.ram[RAM - 1] = 0x8b;
    e.rip = RAM - 1;
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == 14 && e.fault.cr2 == RAM);
}

TEST(emul_locked_updates_compare)
{
    struct emul e = CPU(EMUL_LONG, "\xf0\xff\x03"); /* lock inc dword [rbx] */

    e.gpr[EMUL_RBX] = 0x3000;
    w.ram[0x3000] = 7;
    EXPECT(emul_run(&e) == EMUL_DONE && w.ram[0x3000] == 8);
    e = CPU(EMUL_LONG, "\xf0\x48\x0f\xb1\x0b"); /* lock cmpxchg [rbx], rcx */
    e.gpr[EMUL_RBX] = 0x3000;
    e.gpr[EMUL_RCX] = 5;
    EXPECT(emul_run(&e) == EMUL_DONE && w.ram[0x3000] == 5 && (e.rflags & EMUL_ZF));
}

TEST(emul_real_mode_uses_segments_and_sixteen_bits)
{
    struct emul e = CPU(EMUL_REAL, "\x8e\xd8"); /* mov ds, ax */

    e.gpr[EMUL_RAX] = 0x300;
    EXPECT(emul_run(&e) == EMUL_DONE && e.seg[EMUL_DS].base == 0x3000);
    EXPECT(e.seg[EMUL_DS].selector == 0x300 && e.seg_dirty == 1 << EMUL_DS);

    e = CPU(EMUL_REAL, "\x89\x87\x02\x00"); /* mov [bx+2], ax */
    e.seg[EMUL_DS].base = 0x3000;
    e.gpr[EMUL_RBX] = 0xfffff;
    e.gpr[EMUL_RAX] = 0x1234;
    EXPECT(emul_run(&e) == EMUL_DONE && w.ram[0x3001] == 0x34 && w.ram[0x3002] == 0x12);

    e = CPU(EMUL_REAL, "\xa3\xff\xff"); /* a word over the segment's end */
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_GP && !e.fault.has_error);

    e = CPU(EMUL_REAL, "\xe8\xfd\x0f"); /* call 0x2000 */
    EXPECT(emul_run(&e) == EMUL_DONE && e.rip == 0x2000 && e.gpr[EMUL_RSP] == 0x7ffe);
    EXPECT(w.ram[0x7ffe] == 0x03 && w.ram[0x7fff] == 0x10);
}

TEST(emul_control_registers_and_flags)
{
    struct emul e = CPU(EMUL_LONG, "\x44\x0f\x22\xc0"); /* mov cr8, rax */

    e.gpr[EMUL_RAX] = 9;
    EXPECT(emul_run(&e) == EMUL_DONE && w.cr[8] == 9);
    e = CPU(EMUL_PROT32, "\x0f\x20\xd8"); /* mov eax, cr3 */
    w.cr[3] = 0x1234000;
    EXPECT(emul_run(&e) == EMUL_DONE && e.gpr[EMUL_RAX] == 0x1234000);
    e = CPU(EMUL_LONG, "\x0f\x22\xc0");
    e.cpl = 3;
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_GP && e.fault.has_error);
    e = CPU(EMUL_LONG, "\x0f\x06");
    w.cr[0] = 0x8000000b;
    EXPECT(emul_run(&e) == EMUL_DONE && w.cr[0] == 0x80000003);
    e = CPU(EMUL_PROT32, "\x0f\x01\xf0"); /* lmsw ax: cannot clear PE */
    w.cr[0] = 1;
    EXPECT(emul_run(&e) == EMUL_DONE && w.cr[0] == 1);
    e = CPU(EMUL_LONG, "\x0f\x01\x3b"); /* invlpg [rbx] */
    e.gpr[EMUL_RBX] = 0xffff800000001000;
    EXPECT(emul_run(&e) == EMUL_DONE && w.invlpg == 1 && w.last_addr == 0xffff800000001000);

    e = CPU(EMUL_LONG, "\xfb");
    e.rflags = 2;
    EXPECT(emul_run(&e) == EMUL_DONE && (e.rflags & EMUL_IF) && e.irq_shadow);
    e = CPU(EMUL_LONG, "\xfa");
    e.cpl = 3;
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_GP);
    e = CPU(EMUL_LONG, "\xf4");
    EXPECT(emul_run(&e) == EMUL_DONE && e.halted && e.rip == 0x1001);
}

/* LTR AX with this descriptor at 0x28, in a table of 0x38 bytes: the fault's vector << 16 and its
 * error code, or 0; ~0 where a fault has changed something. */
static u32 ltr_fault(enum emul_mode mode, u8 cpl, u16 selector, u64 low, u64 high)
{
    struct emul e = world_cpu(mode, "\x0f\x00\xd8", 3);
    int r;

    e.cpl = cpl;
    e.gpr[EMUL_RAX] = 0xabc0000 | selector;
    w.gdt_limit = 0x37;
    memcpy(w.ram + 0x5028, &low, 8);
    memcpy(w.ram + 0x5030, &high, 8);
    r = emul_run(&e);
    if (r == EMUL_DONE && e.rip == 0x1003)
        return 0;
    if (r != EMUL_FAULT || e.rip != 0x1000 || w.tr.selector || memcmp(w.ram + 0x5028, &low, 8))
        return ~0u;
    return (u32)e.fault.vector << 16 | (e.fault.has_error ? e.fault.error : 0xffff);
}

TEST(emul_ltr_loads_a_free_task_and_makes_it_busy)
{
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x2b, 0x12008934567800ff, 0xffff8000) == 0);
    EXPECT(w.tr.selector == 0x2b && w.tr.base == 0xffff800012345678 && w.tr.limit == 0xff);
    EXPECT(w.tr.attr == 0x8b && w.ram[0x502d] == 0x8b);
    /* Half as long, pages, not for 64 bits. */
    EXPECT(ltr_fault(EMUL_PROT32, 0, 0x30, 0, 0x12818934567800ff) == 0);
    EXPECT(w.tr.base == 0x12345678 && w.tr.limit == 0x100fffff && w.tr.attr == 0x88b);
    EXPECT(ltr_fault(EMUL_PROT16, 0, 0x28, 0x81000000002b, 0) == 0 && w.tr.attr == 0x83);

    struct emul e = CPU(EMUL_LONG, "\x0f\x00\x1b"); /* ltr [rbx], over the end of a page */
    static const u64 low = 0x890000000067;

    e.gpr[EMUL_RBX] = 0x2fff;
    w.ram[0x2fff] = 0xf8;
    w.ram[0x3000] = 0x0f;
    memcpy(w.ram + 0x5ff8, &low, 8);
    w.gdt_limit = 0x1007;
    EXPECT(emul_run(&e) == EMUL_DONE && w.tr.selector == 0xff8 && w.ram[0x5ffd] == 0x8b);
}

TEST(emul_ltr_refuses_what_is_no_free_task)
{
    static const u64 good = 0x890000000067;
    const u32 gp = EMUL_GP << 16, np = EMUL_NP << 16;

    for (u16 null = 0; null < 4; null++)
        EXPECT(ltr_fault(EMUL_LONG, 0, null, good, 0) == gp);
    EXPECT(ltr_fault(EMUL_LONG, 3, 0x28, good, 0) == gp);
    EXPECT(ltr_fault(EMUL_REAL, 0, 0x28, good, 0) == (EMUL_UD << 16 | 0xffff));
    EXPECT(ltr_fault(EMUL_VM86, 3, 0x28, good, 0) == (EMUL_UD << 16 | 0xffff));
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x2f, good, 0) == (gp | 0x2c)); /* the LDT's */
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x33, good, 0) == (gp | 0x30)); /* half of it is in the table */
    EXPECT(ltr_fault(EMUL_PROT32, 0, 0x38, good, 0) == (gp | 0x38));
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, 0x8b0000000067, 0) == (gp | 0x28)); /* busy */
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, 0x990000000067, 0) == (gp | 0x28)); /* code */
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, 0x810000000067, 0) == (gp | 0x28)); /* of 16 bits */
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, good, 0x8000) == (gp | 0x28));      /* not canonical */
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, good, 1ull << 40) == (gp | 0x28));
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, 0x090000000067, 0) == (np | 0x28));
    EXPECT(ltr_fault(EMUL_LONG, 0, 0x28, 0x0b0000000067, 0) == (gp | 0x28));
}

/* POPF from a stack of ones or of zeros; which of IF and IOPL it has changed. */
static u64 popf_changes(u8 cpl, u64 iopl, bool ones)
{
    struct emul e = world_cpu(EMUL_LONG, "\x9d", 1);
    u64 before = 2 | (ones ? 0 : EMUL_IF) | iopl << 12;

    e.cpl = cpl;
    e.rflags = before;
    memset(w.ram + e.gpr[EMUL_RSP], ones ? 0xff : 0, 8);
    return emul_run(&e) == EMUL_DONE ? (e.rflags ^ before) & (EMUL_IF | 0x3000) : ~0ull;
}

TEST(emul_popf_changes_if_and_iopl_by_privilege)
{
    EXPECT(popf_changes(0, 0, true) == (EMUL_IF | 0x3000));
    EXPECT(popf_changes(0, 3, false) == (EMUL_IF | 0x3000));
    EXPECT(popf_changes(3, 3, false) == EMUL_IF);
    EXPECT(popf_changes(3, 0, true) == 0);
}

TEST(emul_refuses_what_it_does_not_know)
{
    struct emul e = CPU(EMUL_LONG, "\x0f\xa2"); /* cpuid is the exit handler's */

    EXPECT(emul_run(&e) == EMUL_UNHANDLED && e.insn.len == 2 && e.rip == 0x1000);
    e = CPU(EMUL_LONG, "\x66\x0f\x6f\x03"); /* movdqa */
    EXPECT(emul_run(&e) == EMUL_UNHANDLED && e.insn.len == 4);
    e = CPU(EMUL_LONG, "\x06"); /* push es */
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_UD);
    e = CPU(EMUL_LONG, "\x48\x8b\x03"); /* not canonical */
    e.gpr[EMUL_RBX] = 1ull << 47;
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_GP);
    e = CPU(EMUL_LONG, "\xf7\xf1"); /* div by zero */
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_DE);
    e = CPU(EMUL_PROT32, "\x8e\xd8"); /* needs load_seg */
    EXPECT(emul_run(&e) == EMUL_UNHANDLED);
}

TEST(emul_checks_segments_in_protected_mode)
{
    struct emul e = CPU(EMUL_PROT32, "\x89\x03");

    e.gpr[EMUL_RBX] = 0x3000;
    e.seg[EMUL_DS].attr = 0x91; /* read-only */
    EXPECT(emul_run(&e) == EMUL_FAULT && e.fault.vector == EMUL_GP && e.fault.has_error);
    e = CPU(EMUL_PROT32, "\x89\x03");
    e.gpr[EMUL_RBX] = 0x3000;
    e.seg[EMUL_DS].limit = 0x3002;
    EXPECT(emul_run(&e) == EMUL_FAULT);
    e = CPU(EMUL_PROT32, "\x89\x03");
    e.gpr[EMUL_RBX] = 0x3000;
    e.seg[EMUL_DS].attr = 0xc97; /* expand down: above the limit */
    e.seg[EMUL_DS].limit = 0x2fff;
    EXPECT(emul_run(&e) == EMUL_DONE);
}

TEST(emul_survives_random_instructions_in_every_mode)
{
    u64 seed = 4711;
    u32 outcomes[5] = {0};

    for (int i = 0; i < 200000; i++) {
        enum emul_mode mode = unit_rand(&seed) % 5;
        char code[16];

        for (u32 k = 0; k < sizeof(code); k++)
            code[k] = (char)unit_rand(&seed);
        struct emul e = {.ops = &world_ops, .mode = (u8)mode, .rip = 0x1000, .rflags = 2};

        memcpy(w.ram + 0x1000, code, sizeof(code));
        for (u32 s = 0; s < EMUL_SEGS; s++)
            e.seg[s] = (struct emul_seg){.limit = (u32)unit_rand(&seed) | 0xffff,
                                         .attr = (u16)unit_rand(&seed) | 0x80};
        for (u32 r = 0; r < 16; r++)
            e.gpr[r] = unit_rand(&seed) % RAM;
        e.rflags |= unit_rand(&seed) & 0x3fd5;
        emul_begin(&e);
        int r = emul_run(&e);

        EXPECT(r >= 0 && r <= EMUL_UNHANDLED);
        for (int round = 0; r == EMUL_NEED_USER && round < 20; round++) {
            emul_supply(&e, code, 8);
            r = emul_run(&e);
        }
        outcomes[r]++;
    }
    EXPECT(outcomes[EMUL_DONE] > 10000 && outcomes[EMUL_FAULT] > 1000);
}
