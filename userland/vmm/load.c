/* SPDX-License-Identifier: MIT
 *
 * Chooses the loader for a kernel file, and what both need. See load.h for the layout.
 */
#include "vmm/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ull

/* Opens a regular file; fatal() when it is not one. */
static void load_open(struct load_file *f, const char *path)
{
    struct stat st;
    f->path = path;
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        fatal(EXIT_BAD_FILE, "%s: %s", path, strerror(errno));
    if (fstat(f->fd, &st) < 0)
        fatal(EXIT_BAD_FILE, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        fatal(EXIT_BAD_FILE, "%s: not a regular file", path);
    f->size = st.st_size;
}

static void load_close(struct load_file *f)
{
    close(f->fd);
    f->fd = -1;
}

void load_read(const struct load_file *f, uint64_t offset, void *to, uint64_t len)
{
    uint8_t *p = to;
    if (offset > f->size || len > f->size - offset)
        fatal(EXIT_BAD_FILE, "%s: truncated: %llu bytes wanted at offset %llu, the file has %llu",
              f->path, (unsigned long long)len, (unsigned long long)offset,
              (unsigned long long)f->size);
    while (len) {
        size_t step = len < GIB ? len : GIB;
        ssize_t n = pread(f->fd, p, step, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            fatal(EXIT_BAD_FILE, "%s: %s", f->path, n ? strerror(errno) : "became shorter");
        p += n;
        offset += n;
        len -= n;
    }
}

void load_into(struct vm *vm, const struct load_file *f, uint64_t offset, uint64_t gpa,
               uint64_t len, const char *what)
{
    void *to = mem_at(&vm->ram, gpa, len);
    if (!to)
        fatal(EXIT_BAD_FILE, "%s: %s (%llu KiB at %#llx) does not fit in %llu MiB of memory",
              f->path, what, (unsigned long long)(len / KIB), (unsigned long long)gpa,
              (unsigned long long)(vm->memory_size / MIB));
    load_read(f, offset, to, len);
}

/* Where a file's last page can end at most: its first byte, or 0 when it does not fit. */
static uint64_t load_place(uint64_t size, uint64_t bottom, uint64_t top)
{
    uint64_t at = size <= top ? (top - size) & ~(PAGE - 1) : 0;
    return at >= bottom ? at : 0;
}

static void load_module(struct vm *vm, struct vm_module *m, uint64_t *low, uint64_t bottom,
                        uint64_t *top)
{
    struct load_file f;
    load_open(&f, m->path);
    m->gpa = load_place(f.size, BOOT_HIGH, *low);
    if (m->gpa)
        *low = m->gpa;
    else
        *top = m->gpa = load_place(f.size, bottom, *top);
    if (!m->gpa)
        fatal(EXIT_BAD_FILE, "%s: %llu KiB do not fit beside the kernel in %llu MiB of memory",
              m->path, (unsigned long long)(f.size / KIB),
              (unsigned long long)(vm->memory_size / MIB));
    m->size = f.size;
    load_into(vm, &f, 0, m->gpa, m->size, "the module");
    load_close(&f);
}

void load_modules(struct vm *vm, struct vm_options *opt, uint64_t low, uint64_t bottom,
                  uint64_t top)
{
    for (unsigned i = 0; i < opt->nmodules; i++)
        load_module(vm, &opt->modules[i], &low, bottom, &top);
}

static void load_cmdline(struct vm *vm, const struct vm_options *opt)
{
    if (!mem_write(&vm->ram, BOOT_CMDLINE, opt->cmdline, strlen(opt->cmdline) + 1))
        fatal(EXIT_USAGE, "too little memory for the command line");
}

static void load_gdt(struct vm *vm)
{
    /* Selectors 0x10 code (64-bit; a 32-bit start loads its own) and 0x18 data. */
    static const uint64_t gdt[4] = {0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull};
    mem_write(&vm->ram, BOOT_GDT, gdt, sizeof gdt);
}

unsigned load_memmap(const struct vm *vm, struct load_range map[LOAD_RANGES])
{
    uint64_t low = vm->ram.regions[0].size;
    unsigned n = 0;
    map[n++] = (struct load_range){0, BOOT_LOW_END, 1};
    map[n++] = (struct load_range){BOOT_LOW_END, BOOT_HIGH - BOOT_LOW_END, 2};
    map[n++] = (struct load_range){BOOT_HIGH, low - BOOT_HIGH, 1};
    if (vm->pci)
        map[n++] = (struct load_range){PCI_ECAM, PCI_ECAM_SIZE, 2};
    if (vm->ram.count > 1)
        map[n++] = (struct load_range){HIGH_RAM, vm->ram.regions[1].size, 1};
    return n;
}

void load_kernel(struct vm *vm, struct vm_options *opt, uint64_t rsdp, struct vm_entry *entry)
{
    struct load_file f;
    uint8_t head[PAGE] = {0};

    load_open(&f, opt->kernel);
    load_read(&f, 0, head, f.size < PAGE ? f.size : PAGE);
    load_cmdline(vm, opt);
    load_gdt(vm);
    if (load_linux_probe(head))
        load_linux(vm, opt, &f, rsdp, entry);
    else if (load_pvh_probe(head))
        load_pvh(vm, opt, &f, rsdp, entry);
    else
        fatal(EXIT_BAD_FILE, "%s: neither a Linux bzImage nor an x86-64 ELF file", opt->kernel);
    load_close(&f);
}
