/* SPDX-License-Identifier: MIT
 *
 * From the loader's memory map to a working allocator: the lists of RAM and of free RAM, early
 * allocation, the kernel's own page table with all RAM at DIRECT_MAP, the first sections, slab and
 * vmap. Runs once, on the boot CPU, before anything allocates.
 */
#include "mm/mm_boot.h"

#include "arch/x86/bootinfo.h"
#include "arch/x86/cpufeature.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "arch/x86/smp.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/pgtable.h"

#define LOW_MEMORY_END 0x100000UL /* firmware's and the trampoline's: left alone */
#define EARLY_MAPPED (4UL << 30)  /* what boot/ maps at DIRECT_MAP */
#define RANGES_MAX (BOOT_MEM_MAX + 2 * BOOT_MODULES_MAX)

#define LOW_MAPPED HUGE_SIZE /* firmware's tables and the trampoline, in one leaf */
#define APIC_START                                                                 \
    0xfec00000UL /* I/O APICs, HPET, local APIC: arch reads them in the direct map \
                  */
#define APIC_END 0xff000000UL
/* What lies beyond would have its struct pages behind VMEMMAP's only root entry. */
#define PHYS_END ((1UL << 39) / sizeof(struct page) * PAGE_SIZE)
#define RESERVED_SMALL \
    (16UL << 20) /* a reserved range up to this size may hold firmware's tables */

/* linker.ld */
extern char __kernel_start[], __text_end[], __rodata_start[], __rodata_end[], __data_start[];
extern char __ro_after_init_end[], __kernel_end[];

static struct mm_range mm_ram[RANGES_MAX];
static unsigned mm_ram_count;
struct mm_range mm_free[RANGES_MAX];
unsigned mm_free_count;
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

bool mm_free_insert(u64 start, u64 end)
{
    unsigned i = 0;

    while (i < mm_free_count && mm_free[i].start < start)
        i++;
    if (i && mm_free[i - 1].end == start) {
        mm_free[i - 1].end = end;
    } else if (i < mm_free_count && mm_free[i].start == end) {
        mm_free[i].start = start;
    } else {
        if (mm_free_count == RANGES_MAX)
            return false;
        memmove(mm_free + i + 1, mm_free + i, (mm_free_count - i) * sizeof(mm_free[0]));
        mm_free[i] = (struct mm_range){start, end};
        mm_free_count++;
    }
    return true;
}

static void mm_cut_bytes(u64 start, u64 end)
{
    mm_free_cut(start >> PAGE_SHIFT, DIV_ROUND_UP(end, PAGE_SIZE));
}

static void mm_read_map(void)
{
    for (unsigned i = 0; i < boot_info.nr_mem; i++) {
        const struct boot_mem *m = &boot_info.mem[i];
        u64 start = MAX(m->start, LOW_MEMORY_END), end = MIN(m->end, PHYS_END);

        if (m->type != BOOT_MEM_RAM)
            continue;
        mm_range_add(mm_ram, &mm_ram_count, DIV_ROUND_UP(start, PAGE_SIZE), end >> PAGE_SHIFT);
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

bool hpa_range_has_ram(hpa_t first, hpa_t last)
{
    for (unsigned i = 0; i < mm_ram_count; i++)
        if (first.v >> PAGE_SHIFT < mm_ram[i].end && last.v >> PAGE_SHIFT >= mm_ram[i].start)
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

static void mm_map(u64 va, u64 pa, u64 n, unsigned prot)
{
    if (pgtable_map(&pgtable_kernel, va, HPA(pa), n, prot | PT_READ | PT_GLOBAL))
        panic("no memory for the kernel's page tables");
}

/* RAM, once more: the image's text and constants may not be written by this address either. */
static void mm_map_ram(u64 start, u64 end)
{
    u64 text = boot_info.kernel_start, data = text + (u64)__data_start - (u64)__kernel_start;
    u64 rest = text + (u64)__ro_after_init_end - (u64)__kernel_start;
    const struct {
        u64 start, end;
        unsigned prot;
    } parts[] = {{0, text, PT_WRITE},
                 {text, data, 0},
                 {data, rest, PT_WRITE}, /* leaves of its own: mm_protect_ro_after_init */
                 {rest, U64_MAX, PT_WRITE}};

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        u64 from = MAX(start, parts[i].start), to = MIN(end, parts[i].end);

        if (from < to)
            mm_map(DIRECT_MAP + from, from, to - from, parts[i].prot);
    }
}

/* Not what is defective (5): a CPU reads ahead of itself what is mapped, which is a machine check.
 */
static bool mm_maps(const struct boot_mem *m)
{
    if (m->type == BOOT_MEM_RESERVED)
        return m->end - m->start <= RESERVED_SMALL &&
               (m->end <= APIC_START || m->start >= APIC_END);
    return m->type == BOOT_MEM_RAM || m->type == BOOT_MEM_ACPI || m->type == BOOT_MEM_NVS;
}

static void mm_map_direct(void)
{
    u64 at = LOW_MAPPED;

    mm_map(DIRECT_MAP, 0, LOW_MAPPED, PT_WRITE);
    mm_map(DIRECT_MAP + APIC_START, APIC_START, APIC_END - APIC_START, PT_WRITE | PT_UNCACHED);
    for (unsigned i = 0; i < boot_info.nr_mem; i++) {
        const struct boot_mem *m = &boot_info.mem[i];
        u64 start = MAX(ALIGN_DOWN(m->start, PAGE_SIZE), at);
        u64 end = MIN(PAGE_ALIGN(m->end), PHYS_END);

        if (!mm_maps(m) || start >= end)
            continue;
        mm_map_ram(start, end);
        at = end;
    }
}

static void mm_map_image(const char *start, const char *end, unsigned prot)
{
    u64 va = ALIGN_DOWN((u64)start, PAGE_SIZE);

    mm_map(va, boot_info.kernel_start + va - (u64)__kernel_start, PAGE_ALIGN((u64)end) - va, prot);
}

/* Every root entry that kernel addresses will ever use is made here: user tables copy them once. */
static void mm_build_table(void)
{
    if (cpu_has(X86_PDPE1GB))
        mm_leaf_level_max = 2;
    if (pgtable_init(&pgtable_kernel, &pt_native))
        panic("no memory for the kernel's page table");
    mm_map_direct();
    mm_map_image(__kernel_start, __text_end, PT_EXEC);
    mm_map_image(__rodata_start, __rodata_end, 0);
    mm_map_image(__data_start, __ro_after_init_end, PT_WRITE); /* its own leaves */
    mm_map_image(__ro_after_init_end, __kernel_end, PT_WRITE);
    if (!pgtable_entry(&pgtable_kernel, VMEMMAP, 0) ||
        !pgtable_entry(&pgtable_kernel, VMAP_BASE, 0))
        panic("no memory for the kernel's page table");
    write_cr3(pgtable_kernel.root.v);
}

static void mm_protect_page(u64 va)
{
    unsigned level;
    u64 *e = pgtable_lookup(&pgtable_kernel, va, &level);

    ASSERT(e && level == 0);
    WRITE_ONCE(*e, *e & ~PTE_W);
    invlpg(va);
}

void mm_protect_ro_after_init(void)
{
    for (u64 va = (u64)__data_start; va < (u64)__ro_after_init_end; va += PAGE_SIZE) {
        mm_protect_page(va);
        mm_protect_page((u64)hpa_virt(virt_hpa((void *)va)));
    }
}

/* Nothing may be given out before this; everything after. */
static void mm_init(void)
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
    log_info("memory: %lu MiB", (buddy_total_pages() + section_pages_left()) >> 8);
}
INIT_HOOK(mm_init, INIT_MM);

int mm_free_reserved(hpa_t start, hpa_t end)
{
    u64 first = DIV_ROUND_UP(start.v, PAGE_SIZE), last = end.v >> PAGE_SHIFT;

    return first < last ? section_give(first, last) : 0;
}

struct page *mm_adopt_reserved(hpa_t start, u64 pages)
{
    return section_adopt(start.v >> PAGE_SHIFT, pages);
}
