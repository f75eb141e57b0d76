// SPDX-License-Identifier: MIT
// How much may still be written to a file system, where what is written may be memory: then an
// eighth of the machine's stays for others.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct budget {
    int dir;     /* on that file system */
    int meminfo; /* /proc/meminfo, or -1 */
    uint64_t left;
    uint64_t unchecked; /* taken since the last look at what is free */
    uint64_t first;     /* what there was at the beginning, and has been given since */
};

/* Borrows `dir`, any descriptor on the file system. It needs /proc for this call only. */
void budget_open(struct budget *b, int dir);
void budget_close(struct budget *b);
/* Bytes that were written there before this was opened are free again. */
void budget_give(struct budget *b, uint64_t bytes);
/* Bytes that were taken are free again. */
void budget_return(struct budget *b, uint64_t bytes);
/* Takes bytes that are about to be written; false, and no change, when they are too many. */
bool budget_take(struct budget *b, uint64_t bytes);
