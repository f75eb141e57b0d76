/* SPDX-License-Identifier: MIT
 *
 * Arithmetic and its flags, as SDM 1 3.4.3.1 and the instruction pages define them.
 */
#include "hv/emul/emul_priv.h"

/* ZF, SF, PF of a result. */
static u64 emul_flags_of(u64 r, u32 size)
{
    u64 flags = 0;
    u8 low = (u8)r;

    low ^= low >> 4;
    if (!(0x6996 >> (low & 15) & 1)) /* even number of ones */
        flags |= EMUL_PF;
    if (!emul_mask(r, size))
        flags |= EMUL_ZF;
    if (r >> (size * 8 - 1) & 1)
        flags |= EMUL_SF;
    return flags;
}

static void emul_set_flags(u64 *rflags, u64 which, u64 value)
{
    *rflags = (*rflags & ~which) | (value & which);
}

static u64 emul_top_bit(u64 v, u32 size)
{
    return v >> (size * 8 - 1) & 1;
}

static u64 emul_alu_add(u64 a, u64 b, u64 carry, u32 size, u64 *rflags)
{
    u64 r = emul_mask(a + b + carry, size);
    u64 flags = emul_flags_of(r, size);
    u64 carries = (a & b) | ((a | b) & ~r); /* the carry out of each bit */

    if (emul_top_bit(carries, size))
        flags |= EMUL_CF;
    if (carries & 8)
        flags |= EMUL_AF;
    if (emul_top_bit((a ^ r) & (b ^ r), size))
        flags |= EMUL_OF;
    emul_set_flags(rflags, EMUL_ARITH, flags);
    return r;
}

static u64 emul_alu_sub(u64 a, u64 b, u64 borrow, u32 size, u64 *rflags)
{
    u64 r = emul_mask(a - b - borrow, size);
    u64 flags = emul_flags_of(r, size);
    u64 borrows = (~a & b) | ((~a | b) & r);

    if (emul_top_bit(borrows, size))
        flags |= EMUL_CF;
    if (borrows & 8)
        flags |= EMUL_AF;
    if (emul_top_bit((a ^ b) & (a ^ r), size))
        flags |= EMUL_OF;
    emul_set_flags(rflags, EMUL_ARITH, flags);
    return r;
}

/* AF is undefined after these; CPUs clear it. */
static u64 emul_alu_logic(u64 r, u32 size, u64 *rflags)
{
    r = emul_mask(r, size);
    emul_set_flags(rflags, EMUL_ARITH, emul_flags_of(r, size));
    return r;
}

u64 emul_alu(enum emul_op op, u64 a, u64 b, u32 size, u64 *rflags)
{
    a = emul_mask(a, size);
    b = emul_mask(b, size);
    switch (op) {
    case EMUL_OP_ADD:
        return emul_alu_add(a, b, 0, size, rflags);
    case EMUL_OP_ADC:
        return emul_alu_add(a, b, *rflags & EMUL_CF, size, rflags);
    case EMUL_OP_SUB:
        return emul_alu_sub(a, b, 0, size, rflags);
    case EMUL_OP_SBB:
        return emul_alu_sub(a, b, *rflags & EMUL_CF, size, rflags);
    case EMUL_OP_CMP:
        emul_alu_sub(a, b, 0, size, rflags);
        return a;
    case EMUL_OP_OR:
        return emul_alu_logic(a | b, size, rflags);
    case EMUL_OP_AND:
        return emul_alu_logic(a & b, size, rflags);
    case EMUL_OP_XOR:
        return emul_alu_logic(a ^ b, size, rflags);
    case EMUL_OP_TEST:
        emul_alu_logic(a & b, size, rflags);
        return a;
    default:
        return a;
    }
}

u64 emul_alu_inc(u64 a, bool down, u32 size, u64 *rflags)
{
    u64 carry = *rflags & EMUL_CF;

    a = emul_mask(a, size);
    u64 r = down ? emul_alu_sub(a, 1, 0, size, rflags) : emul_alu_add(a, 1, 0, size, rflags);

    emul_set_flags(rflags, EMUL_CF, carry);
    return r;
}

u64 emul_alu_neg(u64 a, u32 size, u64 *rflags)
{
    return emul_alu_sub(0, emul_mask(a, size), 0, size, rflags);
}

static u64 emul_rotate(bool right, u64 a, u32 count, u32 size, u64 *rflags)
{
    u32 bits = size * 8, n = count % bits;
    u64 r = a, cf, of;

    if (n)
        r = right ? a >> n | a << (bits - n) : a << n | a >> (bits - n);
    r = emul_mask(r, size);
    cf = right ? emul_top_bit(r, size) : r & 1;
    of = right ? emul_top_bit(r ^ r << 1, size) : emul_top_bit(r, size) ^ cf;
    emul_set_flags(rflags, EMUL_CF | EMUL_OF, cf * EMUL_CF | of * EMUL_OF);
    return r;
}

static u64 emul_rotate_carry(bool right, u64 a, u32 count, u32 size, u64 *rflags)
{
    u64 cf = *rflags & EMUL_CF, of;

    for (count %= size * 8 + 1; count; count--) {
        u64 out = right ? a & 1 : emul_top_bit(a, size);

        a = right ? a >> 1 | cf << (size * 8 - 1) : emul_mask(a << 1 | cf, size);
        cf = out;
    }
    of = right ? emul_top_bit(a ^ a << 1, size) : emul_top_bit(a, size) ^ cf;
    emul_set_flags(rflags, EMUL_CF | EMUL_OF, cf * EMUL_CF | of * EMUL_OF);
    return a;
}

/* shl, shr, sar: 1 <= count; for a small operand it may exceed the width. */
static u64 emul_shift_out(u32 which, u64 a, u32 count, u32 size, u64 *rflags)
{
    u64 wide = which == 7 ? emul_sign_extend(a, size) : a;
    u64 r, cf, of;

    if (which == 4 || which == 6) {
        r = emul_mask(count < 64 ? a << count : 0, size);
        cf = count <= size * 8 ? a >> (size * 8 - count) & 1 : 0;
        of = emul_top_bit(r, size) ^ cf;
    } else {
        r = emul_mask(which == 7 ? (u64)((s64)wide >> count) : wide >> count, size);
        cf = (which == 7 ? (u64)((s64)wide >> (count - 1)) : wide >> (count - 1)) & 1;
        of = which == 7 ? 0 : emul_top_bit(a, size);
    }
    emul_set_flags(rflags, EMUL_ARITH, emul_flags_of(r, size) | cf * EMUL_CF | of * EMUL_OF);
    return r;
}

u64 emul_alu_shift(u32 which, u64 a, u32 count, u32 size, u64 *rflags)
{
    a = emul_mask(a, size);
    count &= size == 8 ? 63 : 31;
    if (!count)
        return a;
    switch (which) {
    case 0:
    case 1:
        return emul_rotate(which == 1, a, count, size, rflags);
    case 2:
    case 3:
        return emul_rotate_carry(which == 3, a, count, size, rflags);
    default:
        return emul_shift_out(which, a, count, size, rflags);
    }
}

void emul_alu_mul(u64 a, u64 b, bool is_signed, u32 size, u64 *low, u64 *high, u64 *rflags)
{
    unsigned __int128 product;
    bool lost;

    if (is_signed) {
        s64 x = (s64)emul_sign_extend(a, size), y = (s64)emul_sign_extend(b, size);

        product = (unsigned __int128)((__int128)x * y);
    } else {
        product = (unsigned __int128)emul_mask(a, size) * emul_mask(b, size);
    }
    *low = emul_mask((u64)product, size);
    *high = emul_mask((u64)(product >> size * 8), size);
    if (is_signed)
        lost = *high != emul_mask((u64)((s64)emul_sign_extend(*low, size) >> 63), size);
    else
        lost = *high != 0;
    /* The others are undefined: left alone. */
    emul_set_flags(rflags, EMUL_CF | EMUL_OF, lost ? EMUL_CF | EMUL_OF : 0);
}

u64 emul_alu_imul(u64 a, u64 b, u32 size, u64 *rflags)
{
    u64 low, high;

    emul_alu_mul(a, b, true, size, &low, &high, rflags);
    return low;
}

/* Unsigned 128 by 64 bits, bit by bit: no library, no trap. high < by. */
static u64 emul_div128(u64 high, u64 low, u64 by, u64 *rem)
{
    for (u32 i = 0; i < 64; i++) {
        bool top = high >> 63;

        high = high << 1 | low >> 63;
        low <<= 1;
        if (top || high >= by) {
            high -= by;
            low |= 1;
        }
    }
    *rem = high;
    return low;
}

bool emul_alu_div(u64 low, u64 high, u64 by, bool is_signed, u32 size, u64 *quot, u64 *rem)
{
    u32 bits = size * 8;
    bool negative = is_signed && emul_top_bit(high, size);
    bool by_negative = is_signed && emul_top_bit(by, size);
    u64 q, r;

    by = emul_mask(by_negative ? -by : by, size);
    if (negative) {
        low = emul_mask(-low, size);
        high = emul_mask(~high + !low, size);
    }
    if (!by || high >= by)
        return false;
    if (size == 8) {
        q = emul_div128(high, low, by, &r);
    } else {
        u64 value = high << bits | low;

        q = value / by;
        r = value % by;
    }
    if (is_signed) {
        u64 limit = (1ull << (bits - 1)) - (negative == by_negative);

        if (q > limit)
            return false;
    }
    *quot = emul_mask(negative != by_negative ? -q : q, size);
    *rem = emul_mask(negative ? -r : r, size);
    return true;
}

bool emul_condition(u32 code, u64 rflags)
{
    bool cf = rflags & EMUL_CF, zf = rflags & EMUL_ZF, sf = rflags & EMUL_SF;
    bool of = rflags & EMUL_OF, pf = rflags & EMUL_PF;
    const bool table[8] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};

    return table[code >> 1 & 7] != (code & 1);
}
