/* SPDX-License-Identifier: MIT
 *
 * The machine: what all files of the VMM share, and the one way to end. One process is one VM, and
 * struct vm is all that there is of it: no file has state of its own.
 *
 * Threads: the main thread runs the event loop (loop.c) and owns the terminal; each vCPU has a
 * thread (vcpu.c), which calls devices through the buses; a device whose work may wait has one
 * (device.h, where the order of locks is).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/device.h"
#include "vmm/irq.h"
#include "vmm/mem.h"
#include "vmm/report.h"
#include "vmm/stop.h"

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define MAX_CPUS 64
#define MAX_MODULES 16
#define MAX_CMDLINE 2048 /* with its NUL; Linux accepts 2047 characters */

/* The guest's physical map. */
#define LOW_RAM_MAX (3 * GIB)
#define HIGH_RAM (4 * GIB)
#define DEVICE_MEMORY 0xd0000000ull /* registers of devices: virtio-mmio from here on, and */
#define DEVICE_MEMORY_END 0xfec00000ull
#define PCI_ECAM 0xe0000000ull /* PCI's configuration space, one bus, and */
#define PCI_ECAM_SIZE 0x100000ull
#define PCI_MEMORY 0xf0000000ull /* PCI's BARs */
#define PCI_MEMORY_SIZE 0x8000000ull
#define VIRTIO_MMIO_MAX 8u
#define ACPI_BASE 0xe0000ull
#define ACPI_SIZE 0x10000ull
#define IOAPIC_BASE 0xfec00000ull
#define LAPIC_BASE 0xfee00000ull
#define KVM_TSS 0xfffbd000ull
#define KVM_IDENTITY 0xfffbc000ull

/* Ports and interrupt lines. */
#define SERIAL_PORT 0x3f8
#define SERIAL_GSI 4u
#define RTC_PORT 0x70
#define I8042_PORT 0x60
#define PM_EVENT 0x600
#define PM_CONTROL 0x604
#define RESET_PORT 0xcf9
#define PCI_PORT 0xcf8
#define SCI_GSI 9u
#define SLEEP_S5 5u

/* How the VMM ends; see README.md. */
enum vmm_exit {
    EXIT_OK = 0,
    EXIT_USAGE = 2,
    EXIT_TRIPLE_FAULT = 120,
    EXIT_KVM = 121,
    EXIT_BAD_FILE = 122,
    EXIT_NO_KVM = 123,
    EXIT_RESET = 124,
    EXIT_NO_STATUS = 125,
};

struct vm_module {
    const char *path;
    const char *name; /* its command-line string in the boot protocol */
    uint64_t gpa;     /* filled by the loader */
    uint64_t size;
};

#define MAX_DISKS 8
#define VM_HEAP (32 * KIB)

struct vm_disk {
    char *path;
    bool readonly;
};

struct vm_options {
    const char *kernel;
    const char *initrd;
    const char *append; /* of the command line, or NULL */
    struct vm_module modules[MAX_MODULES];
    unsigned nmodules;
    char cmdline[MAX_CMDLINE]; /* put together once the devices are known */
    uint64_t memory;
    unsigned cpus;
    bool container; /* the application's stdio is on the virtio console */
    bool hvc;       /* `run` with the console on virtio instead of the serial port */
    bool pci;       /* virtio devices on PCI, not as memory-mapped ones */
    bool rng;
    struct vm_disk disks[MAX_DISKS];
    unsigned ndisks;
    const char *log; /* container: where the serial port goes, or NULL */
};

/* How vCPU 0 starts; the loaders fill it in. */
struct vm_entry {
    bool long_mode;
    uint64_t rip;
    uint64_t rsi; /* Linux: boot parameters */
    uint64_t rbx; /* PVH: start info */
};

/* Where a virtio-mmio device is, for the tables and the command line. */
struct virtio_place {
    uint64_t address, size;
    unsigned gsi;
};

struct console;
struct pci_host;
struct serial;
struct vcpu;

/* I immutable once the guest runs; the others have locks of their own */
struct vm {
    int kvm;                     /* I */
    int fd;                      /* I */
    unsigned cpus;               /* I */
    bool has_deadline_timer;     /* I */
    uint64_t memory_size;        /* I */
    struct memory ram;           /* I */
    struct bus buses[BUS_KINDS]; /* I */
    struct device *devices;      /* I */
    struct irq irq;
    struct report report;
    struct stop stop;
    struct vcpu *vcpus;        /* I */
    atomic_uint vcpus_started; /* threads that exist */
    atomic_bool stopping;
    struct serial *serial;   /* I */
    struct console *console; /* I  or NULL */
    struct pci_host *pci;    /* I  or NULL */
    unsigned nvirtio_mmio;   /* I */
    size_t heap_used;
    struct virtio_place virtio_mmio[VIRTIO_MMIO_MAX]; /* I */
    _Alignas(64) uint8_t heap[VM_HEAP]; /* for vm_alloc: pages that are not used cost nothing */
};

/* ---- vm.c ---- */

/* Zeroed memory for what stays until the end, or fatal(). Before the guest runs. */
void *vm_alloc(struct vm *vm, size_t size);

/* Opens /dev/kvm and makes a VM with interrupt controllers, timer and `memory` bytes of RAM. */
void vm_create(struct vm *vm, uint64_t memory, unsigned cpus);

/* ---- vcpu.c ---- */

void vcpu_create_all(struct vm *vm);
/* Sets vCPU 0 to `entry`, and starts a thread for each; the others wait for INIT and SIPI. */
void vcpu_start_all(struct vm *vm, const struct vm_entry *entry);
/* Makes every vCPU leave KVM_RUN for good. Does not wait: a thread may be in a write that is never
 * read, and the end of the process ends it too. */
void vcpu_kick_all(struct vm *vm);

/* ---- cpuid.c ---- */

/* Gives vCPU `id` of `cpus` what KVM supports, with its own topology. */
void cpuid_set(const struct vm *vm, int vcpu_fd, unsigned id);

/* ---- acpi.c ---- */

/* Writes the tables at ACPI_BASE; returns the address of the RSDP. */
uint64_t acpi_write(struct vm *vm);

/* ---- load*.c ---- */

/* Loads kernel and modules; fatal(EXIT_BAD_FILE) when a file is not what it should be. */
void load_kernel(struct vm *vm, struct vm_options *opt, uint64_t rsdp, struct vm_entry *entry);

/* ---- devices; before the guest runs ---- */

void rtc_create(struct vm *vm);
void platform_create(struct vm *vm); /* i8042 reset, ACPI power management, reset register */
void rng_create(struct vm *vm);
/* fatal() when the file is not one that can be a disk. */
void blk_create(struct vm *vm, const struct vm_disk *disk, unsigned index);
