/* SPDX-License-Identifier: MIT
 *
 * What the files of the VMM share: the machine, guest memory, the I/O bus, interrupt lines and
 * the one way to end. One process is one VM, so the machine is a parameter only where a file
 * could be tested without it.
 *
 * Threads: the main thread runs the event loop (loop.c) and owns the terminal; each vCPU has a
 * thread (vcpu.c), which calls devices through the bus. A device guards itself with its own
 * mutex; no device calls another, so there is no order between them. Guest memory may change
 * under our hands at any time: a value is copied once, checked, and the copy is used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define MAX_CPUS 64
#define MAX_MODULES 16
#define MAX_CMDLINE 2048 /* with its NUL; Linux accepts 2047 characters */

/* The guest's physical map. */
#define LOW_RAM_MAX (3 * GIB)
#define HIGH_RAM (4 * GIB)
#define VIRTIO_BASE 0xd0000000ull
#define VIRTIO_SIZE 0x1000ull
#define VIRTIO_GSI 16u /* the first of the pins that no legacy device and not the SCI has */
#define VIRTIO_MAX 8u  /* up to the last pin of the I/O APIC */
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

struct mem_region {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host;
};

struct vm_module {
    const char *path;
    const char *name; /* its command-line string in the boot protocol */
    uint64_t gpa;     /* filled by the loader */
    uint64_t size;
};

struct vm_options {
    const char *kernel;
    const char *initrd;
    struct vm_module modules[MAX_MODULES];
    unsigned nmodules;
    char cmdline[MAX_CMDLINE];
    uint64_t memory;
    unsigned cpus;
    bool container;  /* the application's stdio is on the virtio console */
    bool hvc;        /* `run` with the console on virtio instead of the serial port */
    const char *log; /* container: where the serial port goes, or NULL */
};

/* How vCPU 0 starts; the loaders fill it in. */
struct vm_entry {
    bool long_mode;
    uint64_t rip;
    uint64_t rsi; /* Linux: boot parameters */
    uint64_t rbx; /* PVH: start info */
};

struct vm {
    int kvm;
    int fd;
    unsigned cpus;
    unsigned nregions;
    struct mem_region regions[2];
    uint64_t memory;
    unsigned virtio_count;
    bool has_deadline_timer;
};

/* ---- end of the VM ---- */

/* Ends the process with this status from any thread; the first caller wins. A message may be
 * given (printf style), which becomes one line on stderr. Returns: the caller stops by itself. */
void vm_stop(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Before the guest runs: one line on stderr, and the process ends. */
_Noreturn void fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- vm.c ---- */

/* Opens /dev/kvm and makes a VM with interrupt controllers, timer and `memory` bytes of RAM. */
void vm_create(struct vm *vm, uint64_t memory, unsigned cpus);

/* Sets an interrupt line. Any thread. */
void vm_irq(unsigned gsi, bool level);

/* ---- mem.c: guest memory ---- */

/* The host address of a guest range that lies in one region of RAM, or NULL. */
void *mem_at(const struct vm *vm, uint64_t gpa, uint64_t len);
bool mem_read(const struct vm *vm, uint64_t gpa, void *to, uint64_t len);
bool mem_write(const struct vm *vm, uint64_t gpa, const void *from, uint64_t len);

/* ---- bus.c ---- */

struct bus_ops {
    uint64_t (*read)(void *dev, uint64_t offset, unsigned len);
    void (*write)(void *dev, uint64_t offset, uint64_t value, unsigned len);
};
enum bus_space { BUS_PORT, BUS_MEMORY };

/* Registration happens before the guest runs and never ends. */
void bus_add(enum bus_space space, uint64_t base, uint64_t len, const struct bus_ops *ops,
             void *dev);
/* An address that nobody claims reads as all ones and swallows writes, as on a real bus. */
uint64_t bus_read(enum bus_space space, uint64_t addr, unsigned len);
void bus_write(enum bus_space space, uint64_t addr, uint64_t value, unsigned len);

/* ---- vcpu.c ---- */

void vcpu_create_all(struct vm *vm);
/* Sets vCPU 0 to `entry`, and starts a thread for each; the others wait for INIT and SIPI. */
void vcpu_start_all(struct vm *vm, const struct vm_entry *entry);
/* Makes every vCPU leave KVM_RUN for good. Does not wait: a thread may sit in a write that
 * nobody reads, and the end of the process ends it too. */
void vcpu_kick_all(void);

/* ---- cpuid.c ---- */

/* Gives vCPU `id` of `cpus` what KVM supports, with its own topology. */
void cpuid_set(const struct vm *vm, int vcpu_fd, unsigned id);

/* ---- acpi.c ---- */

/* Writes the tables at ACPI_BASE; returns the address of the RSDP. */
uint64_t acpi_write(struct vm *vm);

/* ---- load*.c ---- */

/* Loads kernel and modules; fatal(EXIT_BAD_FILE) when a file is not what it should be. */
void load_kernel(struct vm *vm, struct vm_options *opt, uint64_t rsdp, struct vm_entry *entry);

/* ---- devices ---- */

void serial_create(int out_fd);
/* Bytes that the guest's serial port can take now; main thread. */
size_t serial_room(void);
void serial_input(const uint8_t *data, size_t len);
void rtc_create(uint64_t memory);
void platform_create(void); /* i8042 reset, ACPI power management, reset register */
