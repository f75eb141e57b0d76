/* SPDX-License-Identifier: MIT
 *
 * From the loader's memory map to a working allocator: the lists of RAM and of free RAM, early
 * allocation, the kernel's own page table with all RAM at DIRECT_MAP, the first sections, slab and
 * vmap. Runs once, on the boot CPU, before anything allocates.
 */
#include "mm/mm_boot.h"

#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/regs.h"
#include "arch/x86/smp.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/pgtable.h"

#define LOW_MEMORY_END 0x100000UL /* firmware's and the trampoline's: left alone */
#define EARLY_MAPPED (4UL << 30)  /* what boot/ maps at DIRECT_MAP */
#define RANGES_MAX (BOOT_MEM_MAX + 2 * BOOT_MODULES_MAX)

extern char __kernel_start[]; /* linker.ld */

struct mm_range mm_ram[RANGES_MAX], mm_free[RANGES_MAX];
unsigned mm_ram_count, mm_free_count;
bool mm_page_alloc_ready;
unsigned mm_leaf_level_max = 1;

static void mm_range_add(struct mm_range *list, unsigned *count, u64 start, u64 end)
{
    if (start >= end)
        return;
    if (*count && list[*count - 1].end == start) {
        list[*count - 1].end = end;
        return;
    }
    if (*count < RANGES_MAX)
        list[(*count)++] = (struct mm_range){start, end};
}

/* Takes page numbers [start, end) out of mm_free. */
static void mm_free_cut(u64 start, u64 end)
{
    for (unsigned i = 0; i < mm_free_count; i++) {
        struct mm_range *r = &mm_free[i];

        if (start >= r->end || end <= r->start)
            continue;
        if (start > r->start && end < r->end) {
            if (mm_free_count == RANGES_MAX)
                panic("memory map too fragmented");
            memmove(r + 1, r, (mm_free_count - i) * sizeof(*r));
            mm_free_count++;
            r[0].end = start;
            r[1].start = end;
            return;
        }
        if (start <= r->start)
            r->start = MIN(end, r->end);
        else
            r->end = start;
    }
}

static void mm_cut_bytes(u64 start, u64 end)
{
    mm_free_cut(start >> PAGE_SHIFT, DIV_ROUND_UP(end, PAGE_SIZE));
}

static void mm_read_map(void)
{
    for (unsigned i = 0; i < boot_info.nr_mem; i++) {
        const struct boot_mem *m = &boot_info.mem[i];
        u64 start = MAX(m->start, LOW_MEMORY_END);

        if (m->type != BOOT_MEM_RAM)
            continue;
        mm_range_add(mm_ram, &mm_ram_count, DIV_ROUND_UP(start, PAGE_SIZE), m->end >> PAGE_SHIFT);
    }
    memcpy(mm_free, mm_ram, sizeof(mm_ram));
    mm_free_count = mm_ram_count;
    mm_cut_bytes(boot_info.kernel_start, boot_info.kernel_end);
    for (unsigned i = 0; i < boot_info.nr_modules; i++)
        mm_cut_bytes(boot_info.modules[i].start,
                     boot_info.modules[i].start + boot_info.modules[i].size);
}

bool hpa_is_ram(hpa_t pa)
{
    u64 pfn = pa.v >> PAGE_SHIFT;

    for (unsigned i = 0; i < mm_ram_count; i++)
        if (pfn >= mm_ram[i].start && pfn < mm_ram[i].end)
            return true;
    return false;
}

hpa_t virt_hpa(const void *va)
{
    u64 v = (u64)va;

    if (likely(v < KERNEL_IMAGE))
        return HPA(v - DIRECT_MAP);
    return HPA(v - (u64)__kernel_start + boot_info.kernel_start);
}

/* From the start of the first free range that boot/ has mapped and that is large enough. */
hpa_t mm_alloc_early(u64 bytes)
{
    u64 n = DIV_ROUND_UP(bytes, PAGE_SIZE);

    for (unsigned i = 0; i < mm_free_count; i++) {
        struct mm_range *r = &mm_free[i];

        if (r->end - r->start >= n && (r->start + n) << PAGE_SHIFT <= EARLY_MAPPED) {
            r->start += n;
            return HPA((r->start - n) << PAGE_SHIFT);
        }
    }
    panic("no memory for the kernel's page tables");
}

static void mm_map_ram(void)
{
    for (unsigned i = 0; i < boot_info.nr_mem; i++) {
        const struct boot_mem *m = &boot_info.mem[i];
        u64 start = ALIGN_DOWN(m->start, PAGE_SIZE), end = PAGE_ALIGN(m->end);

        /* ACPI tables are read through the direct map too. */
        if (m->type != BOOT_MEM_RAM && m->type != BOOT_MEM_ACPI && m->type != BOOT_MEM_NVS)
            continue;
        if (pgtable_map(&pgtable_kernel, DIRECT_MAP + start, HPA(start), end - start,
                        PT_READ | PT_WRITE | PT_GLOBAL))
            panic("no memory to map RAM");
    }
}

/* A fresh root: the kernel image's top entry comes from boot/'s table. */
static void mm_build_table(void)
{
    const u64 *boot_root = hpa_virt(HPA(read_cr3() & PAGE_MASK));
    u64 *root;

    if (cpu_has(X86_PDPE1GB))
        mm_leaf_level_max = 2;
    if (pgtable_init(&pgtable_kernel, &pt_native))
        panic("no memory for the kernel's page table");
    root = hpa_virt(pgtable_kernel.root);
    root[511] = boot_root[511];
    mm_map_ram();
    if (!pgtable_entry(&pgtable_kernel, VMEMMAP, 0) || !pgtable_entry(&pgtable_kernel, VMAP_BASE, 0))
        panic("no memory for the kernel's page table");
    write_cr3(pgtable_kernel.root.v);
}

void mm_init(void)
{
    mm_read_map();
    mm_build_table();
    buddy_init();
    section_init_ranges();
    mm_page_alloc_ready = true;
    if (!section_grow())
        panic("no usable memory");
    if (section_reserve(boot_info.kernel_start >> PAGE_SHIFT,
                        DIV_ROUND_UP(boot_info.kernel_end, PAGE_SIZE)))
        panic("no memory for the kernel's page array");
    slab_init();
    vmap_init();
}

int mm_free_reserved(hpa_t start, hpa_t end)
{
    u64 first = DIV_ROUND_UP(start.v, PAGE_SIZE), last = end.v >> PAGE_SHIFT;
    int err = first < last ? section_reserve(first, last) : 0;

    if (err || first >= last)
        return err;
    buddy_add_total(last - first);
    for (u64 pfn = first; pfn < last; pfn++) {
        struct page *page = page_of(HPA(pfn << PAGE_SHIFT));

        if (!page_flag_test(page, PG_RESERVED))
            panic("page %lx given back twice", pfn << PAGE_SHIFT);
        page->flags = 0;
        atomic_set(&page->ref, 0);
    }
    buddy_give_range(first, last);
    return 0;
}
