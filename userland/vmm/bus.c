/* SPDX-License-Identifier: MIT
 *
 * Who answers at a port or a memory address. A handful of regions: a linear search, the last
 * one hit first, is faster than anything clever.
 */
#include "vmm/vmm.h"

#include <stdatomic.h>

#define MAX_REGIONS 16

struct bus_region {
    enum bus_space space;
    uint64_t base;
    uint64_t len;
    const struct bus_ops *ops;
    void *dev;
};

static struct bus_region bus_regions[MAX_REGIONS];
static unsigned bus_count;
static atomic_uint bus_last; /* a hint, checked before use */

void bus_add(enum bus_space space, uint64_t base, uint64_t len, const struct bus_ops *ops,
             void *dev)
{
    if (bus_count == MAX_REGIONS)
        fatal(EXIT_KVM, "too many devices");
    bus_regions[bus_count++] = (struct bus_region){space, base, len, ops, dev};
}

static bool bus_holds(const struct bus_region *r, enum bus_space space, uint64_t addr, unsigned len)
{
    return r->space == space && addr >= r->base && addr - r->base < r->len &&
           len <= r->len - (addr - r->base);
}

static const struct bus_region *bus_find(enum bus_space space, uint64_t addr, unsigned len)
{
    unsigned hint = atomic_load_explicit(&bus_last, memory_order_relaxed);
    if (hint < bus_count && bus_holds(&bus_regions[hint], space, addr, len))
        return &bus_regions[hint];
    for (unsigned i = 0; i < bus_count; i++) {
        if (bus_holds(&bus_regions[i], space, addr, len)) {
            atomic_store_explicit(&bus_last, i, memory_order_relaxed);
            return &bus_regions[i];
        }
    }
    return NULL;
}

uint64_t bus_read(enum bus_space space, uint64_t addr, unsigned len)
{
    const struct bus_region *r = bus_find(space, addr, len);
    if (!r || !r->ops->read)
        return ~0ull;
    return r->ops->read(r->dev, addr - r->base, len);
}

void bus_write(enum bus_space space, uint64_t addr, uint64_t value, unsigned len)
{
    const struct bus_region *r = bus_find(space, addr, len);
    if (r && r->ops->write)
        r->ops->write(r->dev, addr - r->base, value, len);
}
