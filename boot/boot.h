/* SPDX-License-Identifier: MIT
 *
 * Private to boot/: the two loaders' readers, and what they share.
 */
#pragma once

#include "arch/x86/bootinfo.h"

/* Fill boot_info from the loader's block at that physical address. */
void multiboot2_read(u64 block);
void pvh_read(u64 block);

/* These drop what does not fit; of the command line, the words at its end, each as a whole. */
void boot_add_mem(u64 start, u64 size, u32 type);
void boot_add_module(u64 start, u64 size, const char *name);
void boot_set_cmdline(const char *cmdline);
/* Sorts, merges, and lets non-RAM win where ranges overlap. */
void boot_mem_finish(void);
static inline void *boot_phys(u64 pa)
{
    return (void *)(0xffff888000000000UL + pa); /* below 4 GiB */
}
