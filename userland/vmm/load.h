/* SPDX-License-Identifier: MIT
 *
 * What the two loaders share: a file read with checks, the places below 1 MiB, and the memory
 * map. Everything in a kernel file is untrusted: each offset and size is checked against the
 * file and against guest memory before it is used.
 *
 *     0x00500  GDT            0x01000  start info (PVH), its memory map and module list
 *     0x07000  boot parameters (Linux)          0x09000..0x0e000  page tables
 *     0x20000  command line, then the modules' names
 *     0x9fc00..0x100000  reserved: ACPI tables
 */
#pragma once

#include "vmm/vmm.h"

#define BOOT_GDT 0x500
#define BOOT_START_INFO 0x1000
#define BOOT_MEMMAP 0x1100
#define BOOT_MODLIST 0x1400
#define BOOT_PARAMS 0x7000
#define BOOT_PML4 0x9000
#define BOOT_CMDLINE 0x20000
#define BOOT_NAMES 0x21000
#define BOOT_NAMES_END 0x30000
#define BOOT_LOW_END 0x9fc00
#define BOOT_HIGH 0x100000

struct load_file {
    const char *path;
    int fd;
    uint64_t size;
};

struct load_range {
    uint64_t addr;
    uint64_t size;
    uint32_t type; /* 1 RAM, 2 reserved, 3 ACPI */
};
#define LOAD_RANGES 5

/* Reads exactly [offset, offset + len) of the file; fatal() when the file ends before. */
void load_read(const struct load_file *f, uint64_t offset, void *to, uint64_t len);

/* The same straight into guest memory; `what` names the part in the error. */
void load_into(struct vm *vm, const struct load_file *f, uint64_t offset, uint64_t gpa,
               uint64_t len, const char *what);

/* Loads every module, each on a page: from `low`, the kernel's first byte, down to BOOT_HIGH as far
 * as they fit, since the host gives memory in large pages and there it is given already; the others
 * below `top` and above `bottom`. */
void load_modules(struct vm *vm, struct vm_options *opt, uint64_t low, uint64_t bottom,
                  uint64_t top);

unsigned load_memmap(const struct vm *vm, struct load_range map[LOAD_RANGES]);

/* The formats. Each gets the first page of the file (zero-filled if shorter). */
bool load_linux_probe(const uint8_t *head);
void load_linux(struct vm *vm, struct vm_options *opt, const struct load_file *f, uint64_t rsdp,
                struct vm_entry *entry);
bool load_pvh_probe(const uint8_t *head);
void load_pvh(struct vm *vm, struct vm_options *opt, const struct load_file *f, uint64_t rsdp,
              struct vm_entry *entry);
