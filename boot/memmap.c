/* SPDX-License-Identifier: MIT
 *
 * The memory map: RAM and what else firmware names, sorted and without overlap. A range that finds
 * no space in the list is dropped.
 */
#include "boot/boot.h"

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

/* What RAM range i and range b have in common is b's. */
static void boot_mem_carve(unsigned i, const struct boot_mem *b)
{
    struct boot_mem *a = &boot_info.mem[i];

    if (a->end <= b->start || b->end <= a->start)
        return;
    if (a->start >= b->start) {
        a->start = MIN(a->end, b->end);
        return;
    }
    if (b->end < a->end)
        boot_add_mem(b->end, a->end - b->end, BOOT_MEM_RAM);
    a->end = b->start;
}

/* Cuts RAM down to what no other range claims, and sorts: firmware's lists may overlap. */
void boot_mem_finish(void)
{
    u64 at = 0;

    for (unsigned i = 0; i < boot_info.nr_mem; i++) /* what lies behind a hole is looked at too */
        for (unsigned j = 0; boot_info.mem[i].type == BOOT_MEM_RAM && j < boot_info.nr_mem; j++)
            if (boot_info.mem[j].type != BOOT_MEM_RAM)
                boot_mem_carve(i, &boot_info.mem[j]);
    boot_mem_sort();
    for (unsigned i = 0; i < boot_info.nr_mem; i++) {
        struct boot_mem *m = &boot_info.mem[i];

        m->start = MAX(m->start, at);
        m->end = MAX(m->end, m->start);
        at = m->end;
    }
}
