/* SPDX-License-Identifier: MIT
 *
 * In-place heap sort: no allocation, no recursion, O(n log n) for any input; not stable.
 */
#pragma once

#include "lib/types.h"

/* `cmp` returns < 0, 0 or > 0; `ctx` is passed through. */
void sort(void *base, size_t count, size_t size, int (*cmp)(const void *, const void *, void *),
          void *ctx);
