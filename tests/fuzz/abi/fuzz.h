/* SPDX-License-Identifier: MIT
 *
 * A fuzzer of system calls: arguments by the letters of kernel/linux/syscalls.tbl, plausible and
 * hostile. Everything a thread does follows from its seed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One thread's source of choices (splitmix64). */
struct chance {
    uint64_t state;
};
uint64_t chance_u64(struct chance *c);
static inline uint64_t chance_below(struct chance *c, uint64_t n)
{
    return chance_u64(c) % n;
}
static inline bool chance_of(struct chance *c, unsigned one_in)
{
    return chance_below(c, one_in) == 0;
}

/* values.c: numbers at every edge; an address, and what lies there; a name. */
uint64_t value_word(struct chance *c);  /* 64 bits: lengths, offsets */
uint32_t value_int(struct chance *c);   /* 32 bits */
uint32_t value_flags(struct chance *c); /* a few bits */
uint64_t value_address(struct chance *c);
const char *value_name(struct chance *c);
void values_init(void); /* the arena that addresses point into: shared by a process's threads */

/* objects.c: descriptors of every kind. */
void objects_open(struct chance *c);
int object_any(struct chance *c);

/* A call's arguments by its letters, in the order of the table. */
struct call {
    unsigned nr;
    const char *name, *letters;
};
extern const struct call calls[];
extern const unsigned call_count;
/* False: not to be made here, for what it does is an end to the run and no defect. */
bool call_prepare(const struct call *call, struct chance *c, long args[6]);
