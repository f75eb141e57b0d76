/* SPDX-License-Identifier: MIT
 *
 * An ELF64 kernel with a PVH note: segments go to their physical addresses, and vCPU 0 starts
 * in flat 32-bit protected mode with EBX at the start info, which names command line, memory
 * map, modules and RSDP. (The PVH boot protocol; note type 18 of owner "Xen" holds the entry.)
 */
#include "vmm/load.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define PVH_NOTE 18
#define PVH_MAGIC 0x336ec578u
#define PHDR_MAX 64
#define NOTE_MAX (64 * KIB)

struct pvh_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist;
    uint64_t cmdline;
    uint64_t rsdp;
    uint64_t memmap;
    uint32_t memmap_entries;
    uint32_t reserved;
};
struct pvh_module {
    uint64_t addr;
    uint64_t size;
    uint64_t cmdline;
    uint64_t reserved;
};
struct pvh_range {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

bool load_pvh_probe(const uint8_t *head)
{
    return memcmp(head, ELFMAG, SELFMAG) == 0;
}

static void pvh_check_header(const struct load_file *f, const Elf64_Ehdr *eh)
{
    if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
        eh->e_machine != EM_X86_64)
        fatal(EXIT_BAD_FILE, "%s: not an ELF file for x86-64", f->path);
    if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
        fatal(EXIT_BAD_FILE, "%s: not an executable ELF file", f->path);
    if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum == 0 || eh->e_phnum > PHDR_MAX)
        fatal(EXIT_BAD_FILE, "%s: %u program headers of %u bytes", f->path, eh->e_phnum,
              eh->e_phentsize);
}

/* Loads one segment; returns its end in memory. What lies past the file's part is zero already. */
static uint64_t pvh_segment(struct vm *vm, const struct load_file *f, const Elf64_Phdr *ph)
{
    if (ph->p_filesz > ph->p_memsz)
        fatal(EXIT_BAD_FILE, "%s: a segment is larger in the file than in memory", f->path);
    if (ph->p_paddr < BOOT_HIGH)
        fatal(EXIT_BAD_FILE, "%s: a segment at %#llx, below 1 MiB", f->path,
              (unsigned long long)ph->p_paddr);
    if (!mem_at(&vm->ram, ph->p_paddr, ph->p_memsz) || ph->p_paddr >= HIGH_RAM)
        fatal(EXIT_BAD_FILE, "%s: a segment (%llu KiB at %#llx) does not fit in %llu MiB of memory",
              f->path, (unsigned long long)(ph->p_memsz / KIB), (unsigned long long)ph->p_paddr,
              (unsigned long long)(vm->memory_size / MIB));
    load_into(vm, f, ph->p_offset, ph->p_paddr, ph->p_filesz, "a segment");
    return ph->p_paddr + ph->p_memsz;
}

/* Looks through a note segment for the entry point. */
static bool pvh_note(const struct load_file *f, const Elf64_Phdr *ph, uint64_t *entry)
{
    if (ph->p_filesz > NOTE_MAX)
        fatal(EXIT_BAD_FILE, "%s: a note segment of %llu bytes", f->path,
              (unsigned long long)ph->p_filesz);
    uint8_t *notes = malloc(ph->p_filesz + 1);
    if (!notes)
        fatal(EXIT_KVM, "out of memory");
    load_read(f, ph->p_offset, notes, ph->p_filesz);
    bool found = false;
    for (uint64_t at = 0; !found && ph->p_filesz - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr nh;
        memcpy(&nh, notes + at, sizeof nh);
        uint64_t name = at + sizeof nh;
        uint64_t desc = name + ((nh.n_namesz + 3ull) & ~3ull);
        uint64_t end = desc + ((nh.n_descsz + 3ull) & ~3ull);
        if (desc + nh.n_descsz > ph->p_filesz)
            break;
        if (nh.n_type == PVH_NOTE && nh.n_namesz == 4 && memcmp(notes + name, "Xen", 4) == 0 &&
            (nh.n_descsz == 4 || nh.n_descsz == 8)) {
            *entry = 0;
            memcpy(entry, notes + desc, nh.n_descsz);
            found = true;
        }
        if (end > ph->p_filesz)
            break;
        at = end;
    }
    free(notes);
    return found;
}

static void pvh_start_info(struct vm *vm, const struct vm_options *opt, uint64_t rsdp)
{
    struct pvh_module mods[MAX_MODULES] = {0};
    struct pvh_range ranges[LOAD_RANGES] = {0};
    struct load_range map[LOAD_RANGES];
    uint64_t name_at = BOOT_NAMES;

    for (unsigned i = 0; i < opt->nmodules; i++) {
        const struct vm_module *m = &opt->modules[i];
        size_t len = strlen(m->name) + 1;
        if (len > BOOT_NAMES_END - name_at)
            fatal(EXIT_USAGE, "the modules' names are too long");
        mem_write(&vm->ram, name_at, m->name, len);
        mods[i] = (struct pvh_module){m->gpa, m->size, name_at, 0};
        name_at += len;
    }
    unsigned n = load_memmap(vm, map);
    for (unsigned i = 0; i < n; i++)
        ranges[i] = (struct pvh_range){map[i].addr, map[i].size, map[i].type, 0};
    struct pvh_start_info info = {
        .magic = PVH_MAGIC,
        .version = 1,
        .nr_modules = opt->nmodules,
        .modlist = opt->nmodules ? BOOT_MODLIST : 0,
        .cmdline = BOOT_CMDLINE,
        .rsdp = rsdp,
        .memmap = BOOT_MEMMAP,
        .memmap_entries = n,
    };
    mem_write(&vm->ram, BOOT_START_INFO, &info, sizeof info);
    mem_write(&vm->ram, BOOT_MEMMAP, ranges, n * sizeof *ranges);
    mem_write(&vm->ram, BOOT_MODLIST, mods, opt->nmodules * sizeof *mods);
}

void load_pvh(struct vm *vm, struct vm_options *opt, const struct load_file *f, uint64_t rsdp,
              struct vm_entry *entry)
{
    Elf64_Ehdr eh;
    Elf64_Phdr ph[PHDR_MAX];
    uint64_t start = 0, low = UINT64_MAX, end = BOOT_HIGH;
    bool found = false;

    load_read(f, 0, &eh, sizeof eh);
    pvh_check_header(f, &eh);
    load_read(f, eh.e_phoff, ph, eh.e_phnum * sizeof *ph);
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        if (ph[i].p_type == PT_NOTE && !found)
            found = pvh_note(f, &ph[i], &start);
        if (ph[i].p_type != PT_LOAD || ph[i].p_memsz == 0)
            continue;
        uint64_t seg_end = pvh_segment(vm, f, &ph[i]);
        low = ph[i].p_paddr < low ? ph[i].p_paddr : low;
        end = seg_end > end ? seg_end : end;
    }
    if (!found)
        fatal(EXIT_BAD_FILE, "%s: no PVH entry note", f->path);
    if (start < BOOT_HIGH || start >= end)
        fatal(EXIT_BAD_FILE, "%s: the PVH entry %#llx lies outside the kernel", f->path,
              (unsigned long long)start);
    load_modules(vm, opt, low, end, vm->ram.regions[0].size);
    pvh_start_info(vm, opt, rsdp);
    *entry = (struct vm_entry){.rip = start, .rbx = BOOT_START_INFO};
}
