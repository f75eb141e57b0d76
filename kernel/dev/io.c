/* SPDX-License-Identifier: MIT
 *
 * Mapping device registers.
 */
#include "dev/io.h"

#include "lib/errno.h"
#include "mm/mm_boot.h"
#include "mm/page.h"
#include "mm/slab.h"

int io_map(u64 phys, u64 size, enum io_cache cache, struct io_region *out)
{
    u64 last;
    void *va;

    if (!size || __builtin_add_overflow(phys, size - 1, &last) || last >> 52)
        return -EINVAL;
    if (hpa_range_has_ram(HPA(phys), HPA(last)))
        return -EINVAL;
    va = cache == IO_UNCACHED ? mmio_map(HPA(phys), size) : mmio_map_combining(HPA(phys), size);
    if (!va)
        return -ENOMEM;
    *out = (struct io_region){.base = va, .size = size, .phys = phys};
    return 0;
}

void io_unmap(struct io_region *r)
{
    mmio_unmap((void *)r->base, r->size);
    *r = (struct io_region){.base = NULL};
}
