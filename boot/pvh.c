/* SPDX-License-Identifier: MIT
 *
 * Reads the start block of PVH (Xen public/arch-x86/hvm/start_info.h, version 1).
 */
#include "boot/boot.h"

struct pvh_start_info {
    u32 magic, version, flags, nr_modules;
    u64 modlist, cmdline, rsdp, memmap;
    u32 memmap_entries, reserved;
};
struct pvh_module {
    u64 paddr, size, cmdline, reserved;
};
struct pvh_mem {
    u64 addr, size;
    u32 type, reserved;
};

void pvh_read(u64 block)
{
    const struct pvh_start_info *info = boot_phys(block);
    const struct pvh_module *mod = boot_phys(info->modlist);
    const struct pvh_mem *mem = boot_phys(info->memmap);

    boot_info.loader = "pvh";
    boot_info.rsdp = info->rsdp;
    if (info->cmdline)
        boot_set_cmdline(boot_phys(info->cmdline));
    for (u32 i = 0; i < info->nr_modules; i++)
        boot_add_module(mod[i].paddr, mod[i].size, mod[i].cmdline ? boot_phys(mod[i].cmdline) : "");
    if (info->version >= 1)
        for (u32 i = 0; i < info->memmap_entries; i++)
            boot_add_mem(mem[i].addr, mem[i].size, mem[i].type);
}
