/* SPDX-License-Identifier: MIT
 *
 * Seccomp: what the checker lets through runs safely, means what BPF says, and the bitmap lies not.
 */
#include "harness.h"

#include "container/seccomp.c"

#include <stdlib.h>

void *kmalloc(size_t size)
{
    return malloc(size);
}

void *kzalloc(size_t size)
{
    return calloc(1, size);
}

void kfree(const void *p)
{
    free((void *)p);
}

enum { STEPS_OUT = -1, UNSAFE = -2 };

struct model {
    u32 a, x, mem[16];
    u32 written; /* a bit for each word of mem that has a value */
};

/* Loads and stores: false for what is none, or is not sound. */
static bool model_move(struct model *m, u16 code, u32 k, const struct seccomp_data *data)
{
    switch (code) {
    case 0x20:
        if (k % 4 || k >= sizeof(*data))
            return false;
        m->a = ((const u32 *)data)[k / 4];
        return true;
    case 0x00:
        m->a = k;
        return true;
    case 0x01:
        m->x = k;
        return true;
    case 0x80:
        m->a = sizeof(*data);
        return true;
    case 0x81:
        m->x = sizeof(*data);
        return true;
    case 0x60:
    case 0x61:
        if (k > 15 || !(m->written >> k & 1))
            return false;
        *(code == 0x60 ? &m->a : &m->x) = m->mem[k];
        return true;
    case 0x02:
    case 0x03:
        if (k > 15)
            return false;
        m->mem[k] = code == 2 ? m->a : m->x;
        m->written |= 1U << k;
        return true;
    case 0x07:
        m->x = m->a;
        return true;
    case 0x87:
        m->a = m->x;
        return true;
    default:
        return false;
    }
}

/* Arithmetic with b, which no division has as 0. */
static u32 model_compute(u16 code, u32 a, u32 b)
{
    switch (code & 0xf0) {
    case 0x00:
        return a + b;
    case 0x10:
        return a - b;
    case 0x20:
        return a * b;
    case 0x30:
        return a / b;
    case 0x40:
        return a | b;
    case 0x50:
        return a & b;
    case 0x60:
        return a << (b & 31);
    case 0x70:
        return a >> (b & 31);
    case 0x80:
        return 0 - a;
    default:
        return a ^ b;
    }
}

static bool model_holds(u16 code, u32 a, u32 b)
{
    switch (code & 0xf0) {
    case 0x10:
        return a == b;
    case 0x20:
        return a > b;
    case 0x30:
        return a >= b;
    default:
        return a & b;
    }
}

/* Another interpreter, which trusts nothing: the verdict, or UNSAFE. */
static s64 seccomp_model(const struct bpf_insn *p, u32 len, const struct seccomp_data *data)
{
    struct model m = {.written = 0};

    for (u32 pc = 0; pc < len; pc++) {
        u32 k = p[pc].k, a = m.a, b = p[pc].code & 8 ? m.x : k;

        switch (p[pc].code) {
        case 0x34:
        case 0x3c:
            if (!b)
                return 0;
            m.a = a / b;
            break;
        case 0x04:
        case 0x0c:
        case 0x14:
        case 0x1c:
        case 0x24:
        case 0x2c:
        case 0x44:
        case 0x4c:
        case 0x54:
        case 0x5c:
        case 0x64:
        case 0x6c:
        case 0x74:
        case 0x7c:
        case 0x84:
        case 0xa4:
        case 0xac:
            m.a = model_compute(p[pc].code, a, b);
            break;
        case 0x05:
            pc += k;
            break;
        case 0x15:
        case 0x1d:
        case 0x25:
        case 0x2d:
        case 0x35:
        case 0x3d:
        case 0x45:
        case 0x4d:
            pc += model_holds(p[pc].code, a, b) ? p[pc].jt : p[pc].jf;
            break;
        case 0x06:
            return k;
        case 0x16:
            return a;
        default:
            if (!model_move(&m, p[pc].code, k, data))
                return UNSAFE;
        }
    }
    return STEPS_OUT;
}

/* Sound codes mostly, with what they need nearly in range. */
static void seccomp_random(struct bpf_insn *p, u32 len, u64 *seed)
{
    static const u8 codes[] = {0x20, 0x20, 0x20, 0x00, 0x01, 0x80, 0x81, 0x60, 0x61,
                               0x02, 0x03, 0x07, 0x87, 0x04, 0x0c, 0x14, 0x24, 0x34,
                               0x3c, 0x44, 0x54, 0x64, 0x74, 0x84, 0xa4, 0x05, 0x15,
                               0x15, 0x15, 0x1d, 0x25, 0x35, 0x45, 0x06, 0x16};

    for (u32 i = 0; i < len; i++) {
        u64 r = unit_rand(seed);
        u32 left = len - i;

        p[i].code = r % 64 ? codes[(r >> 8) % sizeof(codes)] : (u16)(r >> 16);
        p[i].jt = (u8)((r >> 24) % (left + !(r >> 60)));
        p[i].jf = (u8)((r >> 32) % (left + !(r >> 60)));
        p[i].k = p[i].code == 0x20   ? (u32)(r >> 40) % 17 * 4
                 : p[i].code == 0x05 ? (u32)(r >> 40) % left
                 : p[i].code == 0x06 ? (r >> 40 & 1 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO)
                                     : (u32)(r >> 40) % 40;
    }
    if (unit_rand(seed) % 16)
        p[len - 1].code = 0x06;
}

static bool seccomp_agrees(struct seccomp *f, u64 *seed)
{
    struct seccomp_data data;
    s64 model;
    u32 verdict;

    for (u64 i = 0; i < sizeof(data) / 4; i++)
        ((u32 *)&data)[i] = (u32)unit_rand(seed) % 48;
    data.nr = (s32)(unit_rand(seed) % SECCOMP_CALLS);
    data.arch = unit_rand(seed) % 4 ? AUDIT_ARCH_X86_64 : 3;
    model = seccomp_model(f->insns, f->len, &data);
    if (model < 0)
        return false;
    seccomp_run_one(f, (const u32 *)&data, ~0U, &verdict);
    if (verdict != (u32)model)
        return false;
    return data.arch != AUDIT_ARCH_X86_64 || !seccomp_judge(f, (u32)data.nr) ||
           verdict == SECCOMP_RET_ALLOW;
}

TEST(seccomp_programs_that_pass_run_safely_and_as_they_say)
{
    u64 seed = 11, passed = 0, times = unit_times() * 20000;

    for (u64 i = 0; i < times; i++) {
        struct bpf_insn p[24];
        u32 len = 1 + (u32)(unit_rand(&seed) % ARRAY_SIZE(p));
        struct seccomp *f;

        seccomp_random(p, len, &seed);
        if (seccomp_attach(NULL, p, len, false, &f))
            continue;
        passed++;
        for (unsigned k = 0; k < 8; k++)
            EXPECT(seccomp_agrees(f, &seed));
        seccomp_put(f);
    }
    EXPECT(passed * 50 > times);
}

TEST(seccomp_refuses_unsound_programs)
{
    static const struct bpf_insn bad[][2] = {
        {{0x20, 0, 0, 64}, {0x06, 0, 0, 0}},  /* past the data */
        {{0x20, 0, 0, 2}, {0x06, 0, 0, 0}},   /* across words */
        {{0x60, 0, 0, 3}, {0x06, 0, 0, 0}},   /* never written */
        {{0x02, 0, 0, 16}, {0x06, 0, 0, 0}},  /* no such word */
        {{0x34, 0, 0, 0}, {0x06, 0, 0, 0}},   /* by zero */
        {{0x64, 0, 0, 32}, {0x06, 0, 0, 0}},  /* too far */
        {{0x05, 0, 0, 1}, {0x06, 0, 0, 0}},   /* past the end */
        {{0x05, 0, 0, ~0U}, {0x06, 0, 0, 0}}, /* backwards */
        {{0x15, 1, 0, 0}, {0x06, 0, 0, 0}},   /* past the end */
        {{0x106, 0, 0, 0}, {0x106, 0, 0, 0}}, /* no code */
        {{0x06, 0, 0, 0}, {0x00, 0, 0, 0}},   /* falls off */
        {{0x28, 0, 0, 0}, {0x06, 0, 0, 0}},   /* half words */
    };
    struct seccomp *f;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        EXPECT(seccomp_attach(NULL, bad[i], 2, false, &f) == -EINVAL);
    EXPECT(seccomp_attach(NULL, bad[0], 0, false, &f) == -EINVAL);
}
