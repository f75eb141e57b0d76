/* SPDX-License-Identifier: MIT
 *
 * Bits of a page-table entry (SDM vol. 3, 4.5), and the PAT that boot programs: entry 0 WB, 1 WT,
 * 2 UC-, 3 UC as after reset, 4 WC.
 */
#pragma once

#define PTE_P (1UL << 0)
#define PTE_W (1UL << 1)
#define PTE_U (1UL << 2)
#define PTE_PWT (1UL << 3)
#define PTE_PCD (1UL << 4)
#define PTE_A (1UL << 5)
#define PTE_D (1UL << 6)
#define PTE_PS (1UL << 7)  /* levels 1 and 2: a leaf */
#define PTE_PAT (1UL << 7) /* level 0 */
#define PTE_G (1UL << 8)
#define PTE_SOFT1 (1UL << 9) /* ignored by the CPU: mm and vm use them */
#define PTE_PAT_LARGE (1UL << 12)
#define PTE_NX (1UL << 63)
#define PTE_ADDR 0x000ffffffffff000UL

#define PAT_VALUE 0x0007040100070406UL

/* Page-fault error code (SDM vol. 3, 4.7). */
#define PF_PRESENT (1UL << 0)
#define PF_WRITE (1UL << 1)
#define PF_USER (1UL << 2)
#define PF_RESERVED (1UL << 3)
#define PF_FETCH (1UL << 4)
