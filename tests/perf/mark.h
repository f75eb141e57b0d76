/* SPDX-License-Identifier: MIT
 *
 * Marks: instructions that do nothing, at which tools/count.c tells how many were executed so far.
 */
#pragma once

#define MARK_TEXT_(n) ".byte 0x0f, 0x1f, 0x84, 0x00, " #n ", 'M', 'R', 'K'"
#define MARK(n) __asm__ volatile(MARK_TEXT_(n)::: "memory")
