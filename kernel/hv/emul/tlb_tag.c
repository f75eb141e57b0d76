/* SPDX-License-Identifier: MIT
 *
 * See tlb_tag.h.
 */
#include "hv/emul/tlb_tag.h"

void tlb_tags_init(struct tlb_tags *pool, u32 count)
{
    *pool = (struct tlb_tags){.count = count < 2 ? 2 : count};
    tlb_tags_restart(pool);
}

void tlb_tags_restart(struct tlb_tags *pool)
{
    pool->next = pool->count;
}

bool tlb_tag_take(struct tlb_tags *pool, u32 cpu, struct tlb_tag *t, bool fresh)
{
    bool flush = false;

    if (!fresh && tlb_tag_valid(pool, cpu, t))
        return false;
    if (pool->next >= pool->count) {
        pool->next = 1;
        pool->generation++;
        flush = true;
    }
    *t = (struct tlb_tag){.tag = pool->next++, .cpu = cpu, .generation = pool->generation};
    return flush;
}
