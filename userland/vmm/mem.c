/* SPDX-License-Identifier: MIT
 *
 * Guest memory by guest address: see mem.h.
 */
#include "vmm/mem.h"

#include <string.h>

void *mem_at(const struct memory *mem, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < mem->count; i++) {
        const struct mem_region *r = &mem->regions[i];
        if (gpa >= r->gpa && gpa - r->gpa < r->size && len <= r->size - (gpa - r->gpa))
            return r->host + (gpa - r->gpa);
    }
    return NULL;
}

bool mem_read(const struct memory *mem, uint64_t gpa, void *to, uint64_t len)
{
    const void *from = mem_at(mem, gpa, len);
    if (!from)
        return false;
    memcpy(to, from, len);
    return true;
}

bool mem_write(const struct memory *mem, uint64_t gpa, const void *from, uint64_t len)
{
    void *to = mem_at(mem, gpa, len);
    if (!to)
        return false;
    memcpy(to, from, len);
    return true;
}
