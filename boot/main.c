/* SPDX-License-Identifier: MIT
 *
 * From the loader's block to struct boot_info, then kernel_main. Runs on the boot stack and the
 * boot page tables, on one CPU, with interrupts off; nothing is set up yet, so it says nothing.
 */
#include "arch/x86/regs.h"
#include "boot/boot.h"
#include "lib/string.h"

#define PVH_MAGIC 0x336ec578U

struct boot_info boot_info;

extern u64 boot_entry_tsc;
extern char __kernel_start[], __kernel_end[];

__noreturn void kernel_main(void); /* kernel/init */
__noreturn void boot_main(u32 magic, u32 block, u64 image);

void boot_add_module(u64 start, u64 size, const char *name)
{
    struct boot_module *mod = &boot_info.modules[boot_info.nr_modules];

    if (boot_info.nr_modules == BOOT_MODULES_MAX || size == 0)
        return;
    mod->start = start;
    mod->size = size;
    strlcpy(mod->name, name, sizeof(mod->name));
    boot_info.nr_modules++;
}

void boot_main(u32 magic, u32 block, u64 image)
{
    boot_info.entry_tsc = boot_entry_tsc;
    boot_info.kernel_start = image;
    boot_info.kernel_end = image + (u64)(__kernel_end - __kernel_start);
    if (magic == PVH_MAGIC)
        pvh_read(block);
    else
        multiboot2_read(block);
    boot_mem_finish();
    kernel_main();
}
