/* SPDX-License-Identifier: MIT
 *
 * Guest memory by guest address. Every address here may come from the guest, and what lies there
 * may change at any time: a value is copied once, checked, and the copy is used. Regions are fixed
 * before the guest runs and stay mapped until the process ends, so a host address once given out is
 * good for ever. Pure: builds on the host as it is. Any thread, no lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MEM_REGIONS 2

struct mem_region {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host;
};

struct memory {
    unsigned count;
    struct mem_region regions[MEM_REGIONS];
};

/* The host address of a guest range that lies in one region of RAM, or NULL. */
void *mem_at(const struct memory *mem, uint64_t gpa, uint64_t len);
/* False: the range is not RAM; nothing was copied. */
bool mem_read(const struct memory *mem, uint64_t gpa, void *to, uint64_t len);
bool mem_write(const struct memory *mem, uint64_t gpa, const void *from, uint64_t len);
