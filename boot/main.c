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

void boot_set_cmdline(const char *cmdline)
{
    strlcpy(boot_info.cmdline, cmdline, sizeof(boot_info.cmdline));
}

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

void boot_add_mem(u64 start, u64 size, u32 type)
{
    struct boot_mem *mem = &boot_info.mem[boot_info.nr_mem];

    if (boot_info.nr_mem == BOOT_MEM_MAX || size == 0 || start + size < start)
        return;
    mem->start = start;
    mem->end = start + size;
    mem->type = type;
    boot_info.nr_mem++;
}

static void boot_mem_sort(void)
{
    for (unsigned i = 1; i < boot_info.nr_mem; i++) {
        struct boot_mem m = boot_info.mem[i];
        unsigned j = i;

        for (; j > 0 && boot_info.mem[j - 1].start > m.start; j--)
            boot_info.mem[j] = boot_info.mem[j - 1];
        boot_info.mem[j] = m;
    }
}

/* Cuts each RAM range down to what no other range claims: firmware's lists may overlap. */
void boot_mem_finish(void)
{
    boot_mem_sort();
    for (unsigned i = 0; i + 1 < boot_info.nr_mem; i++) {
        struct boot_mem *a = &boot_info.mem[i], *b = &boot_info.mem[i + 1];

        if (a->end <= b->start)
            continue;
        if (a->type == BOOT_MEM_RAM)
            a->end = b->start;
        else
            b->start = MIN(a->end, b->end);
    }
}

/* Finds `key` as a word of the command line. */
const char *boot_option(const char *key, size_t *len)
{
    size_t n = strlen(key);
    const char *p = boot_info.cmdline;

    while (*p) {
        const char *end = strchr(p, ' ');

        end = end ? end : p + strlen(p);
        if ((size_t)(end - p) >= n && memcmp(p, key, n) == 0 && (p[n] == '=' || p + n == end)) {
            p += n + (p[n] == '=' && p + n < end);
            *len = (size_t)(end - p);
            return p;
        }
        p = *end ? end + 1 : end;
    }
    return NULL;
}

bool boot_option_is(const char *key, const char *value)
{
    size_t len;
    const char *p = boot_option(key, &len);

    return p && strlen(value) == len && memcmp(p, value, len) == 0;
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
