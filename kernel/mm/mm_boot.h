/* SPDX-License-Identifier: MIT
 *
 * Bringing memory up, and giving back what only boot needed.
 */
#pragma once

#include "lib/types.h"

struct page;

#define KERNEL_IMAGE 0xffffffff80000000UL /* first address of the last 2 GiB */
#define VMAP_BASE 0xffffc90000000000UL    /* vmap_alloc and mmio_map: 512 GiB, one root entry */
#define VMAP_END 0xffffc98000000000UL

/* mm_init is an INIT_MM hook: from then on everything in mm works, the kernel runs on
 * pgtable_kernel (image with its rights, RAM at DIRECT_MAP), and boot's identity map is gone. */

/* Takes the write right from __ro_after_init data. On the boot CPU, before the others start. */
void mm_protect_ro_after_init(void);
/* Makes [start, end) bytes of RAM that boot had reserved (modules, init sections) free memory;
 * partly covered pages stay reserved. 0 or -ENOMEM. */
int mm_free_reserved(hpa_t start, hpa_t end);
/* `pages` of such RAM, as they stand, become allocated pages of order 0, side by side, each with
 * one reference, the caller's; no account pays for them. The first, or NULL when there is no memory
 * to describe them. */
struct page *mm_adopt_reserved(hpa_t start, u64 pages) __must_check;
/* Whether there is RAM anywhere in [first, last]. */
bool hpa_range_has_ram(hpa_t first, hpa_t last);
