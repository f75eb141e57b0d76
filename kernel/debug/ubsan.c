/* SPDX-License-Identifier: MIT
 *
 * What the compiler's undefined-behaviour sanitizer calls in the debug build. Each report is one
 * line in the log, once per place: bit 31 of the place's column, which the compiler leaves to us,
 * says that it was made. The layouts are those of the compilers' run-time libraries
 * (ubsan_handlers.h).
 */
#include "debug/debug.h"

#ifdef DEBUG
struct ubsan_place {
    const char *file;
    u32 line, column;
};
#define UBSAN_REPORTED (1U << 31)

struct ubsan_type {
    u16 kind, info;
    char name[];
};
struct ubsan_mismatch {
    struct ubsan_place place;
    const struct ubsan_type *type;
    u8 log_align, kind;
};

static bool ubsan_first(struct ubsan_place *place)
{
    return !(__atomic_fetch_or(&place->column, UBSAN_REPORTED, __ATOMIC_RELAXED) & UBSAN_REPORTED);
}

static void ubsan_report(struct ubsan_place *place, const char *what, u64 a, u64 b)
{
    if (ubsan_first(place))
        log_err("UBSan: %s:%u: %s (%lx, %lx)", place->file, place->line, what, a, b);
}

/* Every handler gets its static data, which begins with the place, and up to two values. */
#define UBSAN_HANDLER(name, what)                                        \
    void __ubsan_handle_##name(struct ubsan_place *place, u64 a, u64 b); \
    void __ubsan_handle_##name(struct ubsan_place *place, u64 a, u64 b)  \
    {                                                                    \
        ubsan_report(place, what, a, b);                                 \
    }
UBSAN_HANDLER(add_overflow, "addition overflows")
UBSAN_HANDLER(sub_overflow, "subtraction overflows")
UBSAN_HANDLER(mul_overflow, "multiplication overflows")
UBSAN_HANDLER(negate_overflow, "negation overflows")
UBSAN_HANDLER(divrem_overflow, "division by zero or overflow")
UBSAN_HANDLER(shift_out_of_bounds, "shift out of bounds")
UBSAN_HANDLER(out_of_bounds, "index out of bounds")
UBSAN_HANDLER(pointer_overflow, "pointer overflows")
UBSAN_HANDLER(load_invalid_value, "not a value of its type")
UBSAN_HANDLER(vla_bound_not_positive, "array size not positive")
UBSAN_HANDLER(nonnull_arg, "null for a nonnull argument")
UBSAN_HANDLER(nonnull_return_v1, "null from a returns_nonnull function")
UBSAN_HANDLER(invalid_builtin, "zero for a bit-count builtin")
UBSAN_HANDLER(function_type_mismatch, "call through a wrong function type")
UBSAN_HANDLER(alignment_assumption, "alignment assumption broken")

void __ubsan_handle_type_mismatch_v1(struct ubsan_mismatch *m, u64 address);
void __ubsan_handle_type_mismatch_v1(struct ubsan_mismatch *m, u64 address)
{
    u64 align = 1UL << m->log_align;

    if (address == 0)
        ubsan_report(&m->place, "null pointer used", address, m->kind);
    else if (address & (align - 1))
        ubsan_report(&m->place, "misaligned pointer", address, align);
    else
        ubsan_report(&m->place, "object too small", address, m->kind);
}

__noreturn void __ubsan_handle_builtin_unreachable(struct ubsan_place *place);
void __ubsan_handle_builtin_unreachable(struct ubsan_place *place)
{
    panic("UBSan: %s:%u: unreachable code reached", place->file, place->line);
}

__noreturn void __ubsan_handle_missing_return(struct ubsan_place *place);
void __ubsan_handle_missing_return(struct ubsan_place *place)
{
    panic("UBSan: %s:%u: a value function returns none", place->file, place->line);
}
#endif
