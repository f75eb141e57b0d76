/* SPDX-License-Identifier: MIT
 *
 * The names (AMD's ASIDs, Intel's VPIDs) under which a CPU's TLB keeps the translations of its
 * guests. A tag belongs to one vCPU on one CPU for one generation of that CPU: no two vCPUs share
 * one, of one VM or of several. When a CPU has given out all its tags a new generation begins,
 * and everything that the CPU has cached under any tag is flushed before the first of them is used.
 *
 * Pure; the caller has interrupts off on the CPU that owns the pool.
 */
#pragma once

#include "lib/types.h"

/* One per CPU. Tag 0 is the host's. */
struct tlb_tags {
    u32 next, count; /* tags 1 to count - 1 */
    u64 generation;
};

/* One per vCPU; all zeros: none. */
struct tlb_tag {
    u32 tag, cpu;
    u64 generation;
};

void tlb_tags_init(struct tlb_tags *pool, u32 count);

/* The next one starts a generation, with its flush. Also after a flush that did not happen. */
void tlb_tags_restart(struct tlb_tags *pool);

/* Can *t be used on this CPU as it is? */
static inline bool tlb_tag_valid(const struct tlb_tags *pool, u32 cpu, const struct tlb_tag *t)
{
    return t->generation == pool->generation && t->cpu == cpu && t->tag;
}

/* Makes *t usable on this CPU; `fresh`: one that has no translations, even if it has a tag here.
 * True: all tags of the CPU must be flushed before *t is used. */
bool tlb_tag_take(struct tlb_tags *pool, u32 cpu, struct tlb_tag *t, bool fresh);
