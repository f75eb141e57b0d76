/* SPDX-License-Identifier: MIT
 *
 * The kernel's own symbol table and backtraces by frame pointer.
 *
 * tools/symbols makes the table from the first link; the second link adds it behind all text, so no
 * address in it moves: `symtab_count` functions sorted by address, offsets from __text_start, names
 * as offsets into one block of strings. The first link has none: the symbols are weak.
 */
#include "debug/debug_priv.h"

extern const u32 symtab_count[] __weak;
extern const u32 symtab_offsets[] __weak;
extern const u32 symtab_names[] __weak;
extern const char symtab_strings[] __weak;
extern char __text_start[], __text_end[];

#define FRAMES_MAX 48
#define KERNEL_HALF 0xffff800000000000UL

const char *symbol_find(u64 address, u64 *offset)
{
    u64 want = address - (u64)__text_start;
    u32 lo = 0, hi;

    if (!symtab_count || address < (u64)__text_start || address >= (u64)__text_end)
        return NULL;
    hi = *symtab_count;
    while (lo < hi) {
        u32 mid = lo + (hi - lo) / 2;

        if (symtab_offsets[mid] <= want)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return NULL;
    *offset = want - symtab_offsets[lo - 1];
    return symtab_strings + symtab_names[lo - 1];
}

/* back: 1 for a return address, which may lie behind its function when the call never returns. */
static void backtrace_line(emit_fn emit, u64 rip, unsigned back)
{
    u64 offset;
    const char *name = symbol_find(rip - back, &offset);

    if (name)
        emit("  %016lx %s+0x%lx\n", rip, name, offset + back);
    else
        emit("  %016lx\n", rip);
}

unsigned backtrace_callers(u64 rbp, u64 *callers, unsigned max)
{
    unsigned n = 0;

    while (n < max && rbp >= KERNEL_HALF && rbp % 8 == 0) {
        const u64 *frame = (const u64 *)rbp;

        if (frame[1] < KERNEL_HALF)
            break;
        callers[n++] = frame[1];
        if (frame[0] <= rbp || frame[0] - rbp > FRAME_SPAN)
            break;
        rbp = frame[0];
    }
    return n;
}

void backtrace_print(emit_fn emit, u64 rip, u64 rbp)
{
    if (rbp == 0)
        rbp = (u64)__builtin_frame_address(0);
    if (rip)
        backtrace_line(emit, rip, 0);
    for (unsigned i = 0; i < FRAMES_MAX && rbp >= KERNEL_HALF && rbp % 8 == 0; i++) {
        const u64 *frame = (const u64 *)rbp;

        if (frame[1] < KERNEL_HALF)
            return;
        backtrace_line(emit, frame[1], 1);
        if (frame[0] <= rbp || frame[0] - rbp > FRAME_SPAN)
            return;
        rbp = frame[0];
    }
}
