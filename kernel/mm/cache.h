/* SPDX-License-Identifier: MIT
 *
 * What the kernel keeps only because it may be wanted again. The owner of such a cache registers
 * it:
 *
 *   CACHE_KIND("20") = {"names", fn};
 *
 * fn forgets all it can and says how much that was. The console's `drop-caches` calls all of them,
 * in the order of the argument, until a round finds nothing. Context: may sleep.
 */
#pragma once

#include "lib/compiler.h"
#include "lib/types.h"

struct cache_kind {
    const char *name;
    u64 (*drop)(void);
};

#define CACHE_KIND(order) TABLE_ENTRY(struct cache_kind, cache_kinds, order)
