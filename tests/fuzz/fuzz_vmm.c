/* SPDX-License-Identifier: MIT
 *
 * fuzz_vmm [ROUNDS [SEED]]: the VMM's untrusted inputs, under ASan and UBSan on the host: kernel
 * files mutated from sound ones, and a guest that scribbles over its rings and pokes device
 * registers at random. The VMM's sources are the real ones; only KVM and the ends of the process
 * are replaced. Prints "ok NAME" for each; a finding aborts with the sanitizer's report and the
 * round's seed. The same seed gives the same run.
 */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/console.h"
#include "vmm/load.h"
#include "vmm/pci.h"
#include "vmm/serial.h"
#include "vmm/virtio.h"

#define RAM (8 * MIB)
#define FILE_MAX 8192
#define FILES_FROM 40 /* the devices have those below */

/* A refused file ends the real process, so what it had allocated is no leak. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static jmp_buf fuzz_out;
static uint64_t fuzz_state;
static FILE *fuzz_report;
static struct vm fuzz_vms[2]; /* with memory-mapped devices, and with PCI */
static struct vm *fuzz_vm = fuzz_vms;

/* ---- what the sources under test call ---- */

_Noreturn void fatal(int status, const char *fmt, ...)
{
    if (status != EXIT_BAD_FILE && status != EXIT_USAGE)
        abort();
    longjmp(fuzz_out, 1);
}

void vm_stop(struct vm *vm, int status, const char *fmt, ...)
{
}

void *vm_alloc(struct vm *vm, size_t size)
{
    void *p = calloc(1, size); /* each its own, so that the sanitizer sees its bounds */

    if (!p)
        abort();
    return p;
}

void irq_set(struct vm *vm, unsigned gsi, bool level)
{
    if (gsi >= IRQ_PINS)
        abort();
}

void irq_route(struct vm *vm, struct irq_message *m, uint64_t address, uint32_t data)
{
    if (m->gsi < IRQ_PINS || m->gsi >= IRQ_PINS + IRQ_MESSAGES)
        abort();
}

void irq_send(const struct irq_message *m)
{
}

bool irq_doorbell(struct vm *vm, uint64_t addr, unsigned len, int fd, bool on)
{
    return true;
}

unsigned irq_alloc_pin(struct vm *vm)
{
    return IRQ_FREE_PIN + (unsigned)(vm->irq.pins.size++ % (IRQ_PINS - IRQ_FREE_PIN));
}

uint32_t irq_alloc_messages(struct vm *vm, unsigned n)
{
    return IRQ_PINS + (uint32_t)(vm->irq.messages.size += n) - n;
}

void vm_wake(struct vm *vm)
{
}

/* ---- random ---- */

static uint64_t fuzz_next(void)
{
    uint64_t z = fuzz_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static unsigned fuzz_below(unsigned n)
{
    return fuzz_next() % n;
}

/* A number of the kinds that break things. */
static uint64_t fuzz_number(void)
{
    switch (fuzz_below(6)) {
    case 0:
        return fuzz_below(64);
    case 1:
        return ~0ull - fuzz_below(8192);
    case 2:
        return RAM - fuzz_below(8192);
    case 3:
        return 1ull << fuzz_below(64);
    case 4:
        return fuzz_below(RAM) & ~7u;
    default:
        return fuzz_next();
    }
}

/* ---- kernel files ---- */

static size_t fuzz_elf(uint8_t *out)
{
    static const uint8_t note[] = {4, 0, 0,   0,   4,   0, 0, 0, 18,   0,
                                   0, 0, 'X', 'e', 'n', 0, 0, 0, 0x10, 0};
    Elf64_Ehdr eh = {.e_type = ET_EXEC,
                     .e_machine = EM_X86_64,
                     .e_phoff = 64,
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 2};
    Elf64_Phdr ph[2] = {{.p_type = PT_LOAD,
                         .p_offset = 0x200,
                         .p_paddr = BOOT_HIGH,
                         .p_filesz = 0x800,
                         .p_memsz = 0x2000},
                        {.p_type = PT_NOTE, .p_offset = 0x100, .p_filesz = sizeof note}};
    memset(out, 0x90, 0xa00);
    memcpy(eh.e_ident, ELFMAG "\2\1\1", 7);
    memcpy(out, &eh, sizeof eh);
    memcpy(out + 64, ph, sizeof ph);
    memcpy(out + 0x100, note, sizeof note);
    return 0xa00;
}

static size_t fuzz_bzimage(uint8_t *out)
{
    memset(out, 0, 0x1000);
    out[0x1f1] = 1;
    out[0x1fe] = 0x55;
    out[0x1ff] = 0xaa;
    memcpy(out + 0x200, "\xeb\x66HdrS\x0f\x02", 8);
    out[0x211] = 1;
    out[0x22f] = 0x7f; /* initrd_addr_max */
    out[0x236] = 1;
    out[0x239] = 8;    /* cmdline_size 2048 */
    out[0x25a] = 0x10; /* pref_address 1 MiB */
    out[0x262] = 0x10; /* init_size 1 MiB */
    return 0x1000;
}

static void fuzz_mutate(uint8_t *data, size_t *len)
{
    for (unsigned n = fuzz_below(5); n; n--) {
        uint64_t value = fuzz_number();
        size_t at = fuzz_below(fuzz_below(2) ? 0x270 : *len);
        size_t width = 1u << fuzz_below(4);
        if (at + width <= *len)
            memcpy(data + at, &value, width);
    }
    if (fuzz_below(8) == 0)
        *len = fuzz_below(*len);
}

static void fuzz_load_one(int fd)
{
    static uint8_t data[FILE_MAX];
    static struct vm_options opt;
    struct vm_entry entry = {0};
    size_t len = fuzz_below(2) ? fuzz_elf(data) : fuzz_bzimage(data);

    fuzz_mutate(data, &len);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, len, 0) != (ssize_t)len)
        abort();
    memset(&opt, 0, sizeof opt);
    opt.kernel = "/proc/self/fd/9";
    strcpy(opt.cmdline, "console=ttyS0");
    if (fuzz_below(2))
        opt.modules[opt.nmodules++] = (struct vm_module){.path = opt.kernel, .name = "initramfs"};
    if (setjmp(fuzz_out) == 0) {
        load_kernel(fuzz_vm, &opt, ACPI_BASE, &entry);
        if (!mem_at(&fuzz_vm->ram, entry.rip, 1))
            abort();
    }
    close_range(FILES_FROM, ~0u,
                0); /* what the refused file left open: the process would have ended */
}

/* ---- devices ---- */

enum { CONSOLE, RNG, DISK, DEVICES };
static const unsigned fuzz_queues[DEVICES] = {10, 1, 1};
static const uint64_t fuzz_features[DEVICES] = {1u << 1, 0, VIRTIO_F_INDIRECT_DESC | 1u << 9};

static bool fuzz_on_pci(void)
{
    return fuzz_vm == &fuzz_vms[1];
}

static struct bus *fuzz_memory(void)
{
    return &fuzz_vm->buses[BUS_MEMORY];
}

static void fuzz_mmio(unsigned dev, unsigned reg, uint64_t value)
{
    bus_write(fuzz_memory(), DEVICE_MEMORY + dev * 0x1000 + reg, value, 4);
}

static uint64_t fuzz_bar(unsigned dev)
{
    return PCI_MEMORY + dev * 0x8000;
}

static void fuzz_common(unsigned dev, unsigned reg, uint64_t value, unsigned len)
{
    bus_write(fuzz_memory(), fuzz_bar(dev) + reg, value, len);
}

static void fuzz_config(unsigned dev, unsigned reg, uint64_t value, unsigned len)
{
    bus_write(fuzz_memory(), PCI_ECAM + ((dev + 1) << 15) + reg, value, len);
}

static uint64_t fuzz_ring_at(unsigned dev, unsigned queue)
{
    return 0x100000 * (dev + 1) + 0x10000 * queue;
}

/* Sets a queue up as a driver does, so that random rings are looked at. */
static void fuzz_queue(unsigned dev, unsigned queue)
{
    uint64_t at = fuzz_ring_at(dev, queue);
    uint32_t num = 1u << fuzz_below(8);
    const uint32_t mmio[][2] = {
        {0x030, queue},       {0x044, 0}, {0x038, num},         {0x080, at}, {0x084, 0},
        {0x090, at + 0x1000}, {0x094, 0}, {0x0a0, at + 0x2000}, {0x0a4, 0},  {0x044, 1}};
    const uint32_t pci[][3] = {
        {22, queue, 2},       {24, num, 2}, {26, queue, 2},       {32, at, 4}, {36, 0, 4},
        {40, at + 0x1000, 4}, {44, 0, 4},   {48, at + 0x2000, 4}, {52, 0, 4},  {28, 1, 2}};

    memset(mem_at(&fuzz_vm->ram, at, 0x3000), 0, 0x3000);
    for (size_t i = 0; !fuzz_on_pci() && i < sizeof mmio / sizeof *mmio; i++)
        fuzz_mmio(dev, mmio[i][0], mmio[i][1]);
    for (size_t i = 0; fuzz_on_pci() && i < sizeof pci / sizeof *pci; i++)
        fuzz_common(dev, pci[i][0], pci[i][1], pci[i][2]);
}

static void fuzz_status(unsigned dev, unsigned status)
{
    if (fuzz_on_pci())
        fuzz_common(dev, 20, status, 1);
    else
        fuzz_mmio(dev, 0x070, status);
}

static void fuzz_features_half(unsigned dev, unsigned half)
{
    uint32_t bits = (fuzz_features[dev] | VIRTIO_F_VERSION_1) >> (32 * half);

    if (fuzz_on_pci()) {
        fuzz_common(dev, 8, half, 4);
        fuzz_common(dev, 12, bits, 4);
    } else {
        fuzz_mmio(dev, 0x024, half);
        fuzz_mmio(dev, 0x020, bits);
    }
}

/* A driver's way to a running device, with messages that arrive now and then. */
static void fuzz_negotiate(unsigned dev)
{
    if (fuzz_on_pci()) {
        fuzz_config(dev, PCI_BAR0, fuzz_bar(dev), 4);
        fuzz_config(dev, PCI_COMMAND, PCI_COMMAND_MEM | PCI_COMMAND_MASTER, 2);
    }
    fuzz_status(dev, 0);
    fuzz_status(dev, 3);
    fuzz_features_half(dev, 0);
    fuzz_features_half(dev, 1);
    fuzz_status(dev, 11);
    for (unsigned q = 0; q < fuzz_queues[dev]; q++)
        fuzz_queue(dev, q);
    fuzz_status(dev, 15);
}

static void fuzz_descriptor(unsigned dev, unsigned queue, unsigned slot, uint64_t addr,
                            uint32_t len, uint16_t flags, uint16_t next)
{
    uint8_t *desc = mem_at(&fuzz_vm->ram, fuzz_ring_at(dev, queue) + 16 * slot, 16);

    memcpy(desc, &addr, 8);
    memcpy(desc + 8, &len, 4);
    memcpy(desc + 12, &flags, 2);
    memcpy(desc + 14, &next, 2);
}

static void fuzz_offer(unsigned dev, unsigned queue, uint16_t head)
{
    uint8_t *avail = mem_at(&fuzz_vm->ram, fuzz_ring_at(dev, queue) + 0x1000, 512);
    uint16_t index;

    memcpy(&index, avail + 2, 2);
    for (unsigned size = 1; size <= 128; size *= 2) /* whatever size it has */
        memcpy(avail + 4 + 2 * (index & (size - 1)), &head, 2);
    index += fuzz_below(60) ? 1 : fuzz_below(65536);
    memcpy(avail + 2, &index, 2);
}

/* A plausible ring entry with random holes in it. */
static void fuzz_ring(unsigned dev, unsigned queue)
{
    uint64_t addr = fuzz_below(12) ? fuzz_below(RAM) : fuzz_number();
    uint32_t len = fuzz_below(12) ? fuzz_below(64) : (uint32_t)fuzz_number();
    uint16_t flags = fuzz_below(12) ? (queue & 1 ? 0 : 2) : fuzz_below(8);
    uint8_t *data = mem_at(&fuzz_vm->ram, addr, 8);

    if (data && queue == 3) /* a control message */
        memcpy(data, (uint8_t[]){fuzz_below(6), 0, 0, 0, fuzz_below(8), 0, fuzz_below(2), 0}, 8);
    if (data && queue == 1) /* what the agent says */
        memcpy(data, fuzz_below(2) ? "exit 12\n" : "ready 1\n", 8);
    fuzz_descriptor(dev, queue, fuzz_below(4), addr, len, flags, fuzz_below(4));
    fuzz_offer(dev, queue, fuzz_below(4));
}

/* A disk's request as a driver makes it, then one thing about it spoilt now and then. */
static void fuzz_disk_request(void)
{
    static const uint32_t types[] = {0, 1, 4, 8, 11, 13};
    uint64_t at = 0x700000 + 0x1000 * fuzz_below(4), ring = fuzz_ring_at(DISK, 0);
    uint32_t type = types[fuzz_below(6)],
             len = fuzz_below(4) ? 512 * (1 + fuzz_below(4)) : fuzz_below(5000);
    uint64_t sector = fuzz_below(8) ? fuzz_below(130) : fuzz_number();
    uint8_t *header = mem_at(&fuzz_vm->ram, at, 64);
    bool in = type == 0 || type == 8, table = fuzz_below(3) == 0;

    memcpy(header, &type, 4);
    memcpy(header + 8, &sector, 8);
    if (type >= 11) /* a range, in place of the data */
        memcpy(mem_at(&fuzz_vm->ram, at + 0x100, 16),
               (uint32_t[]){fuzz_below(140), 0, fuzz_below(20), fuzz_below(3)}, 16);
    fuzz_descriptor(DISK, 0, 0, at, 16, 1, 1);
    fuzz_descriptor(DISK, 0, 1, at + 0x100, type >= 11 ? 16 : len ? len : 1, in ? 3 : 1, 2);
    fuzz_descriptor(DISK, 0, 2, at + 0xff0, 1, 2, 0);
    if (fuzz_below(6) == 0)
        fuzz_descriptor(DISK, 0, fuzz_below(3), fuzz_number(), fuzz_number(), fuzz_below(8),
                        fuzz_below(4));
    if (table) {
        memcpy(mem_at(&fuzz_vm->ram, at + 0x800, 48), mem_at(&fuzz_vm->ram, ring, 48), 48);
        fuzz_descriptor(DISK, 0, 3, at + 0x800, 48, 4, 0);
    }
    fuzz_offer(DISK, 0, table ? 3 : 0);
}

/* Rings; what a device's thread would do is done here. */
static void fuzz_kick(unsigned dev, unsigned queue)
{
    if (fuzz_on_pci())
        bus_write(fuzz_memory(), fuzz_bar(dev) + 0x3000, queue, 2);
    else
        fuzz_mmio(dev, 0x050, queue);
    for (struct device *d = fuzz_vm->devices; d; d = d->next)
        if (d->ops->work)
            d->ops->work(d);
}

static uint64_t fuzz_register(void)
{
    if (!fuzz_on_pci())
        return DEVICE_MEMORY + fuzz_below(3) * 0x1000 + fuzz_below(0x200);
    switch (fuzz_below(3)) {
    case 0:
        return PCI_ECAM + (fuzz_below(5) << 15) + fuzz_below(0x110);
    case 1:
        return PCI_MEMORY + fuzz_below(DEVICES * 0x8000);
    default:
        return PCI_MEMORY + fuzz_below(DEVICES) * 0x8000 + fuzz_below(6) * 0x1000 + fuzz_below(64);
    }
}

static void fuzz_device_one(void)
{
    unsigned dev = fuzz_below(DEVICES), queue = fuzz_below(fuzz_queues[dev]),
             len = 1u << fuzz_below(4);
    static uint8_t bytes[64];

    switch (fuzz_below(12)) {
    case 0:
        bus_write(fuzz_memory(), fuzz_register(), fuzz_number(), len);
        break;
    case 1:
        bus_read(fuzz_memory(), fuzz_register(), len);
        break;
    case 2:
        bus_write(&fuzz_vm->buses[BUS_PORT], fuzz_below(0x1000), fuzz_number(), len > 4 ? 4 : len);
        break;
    case 3:
        bus_read(&fuzz_vm->buses[BUS_PORT], fuzz_below(0x1000), len > 4 ? 4 : len);
        break;
    case 4:
        console_input(fuzz_vm->console, bytes, fuzz_below(sizeof bytes));
        serial_input(fuzz_vm->serial, bytes, fuzz_below(sizeof bytes));
        break;
    case 5:
        console_control(fuzz_vm->console, "signal 15\n");
        break;
    case 6:
        if (fuzz_below(3) == 0)
            fuzz_negotiate(dev);
        break;
    case 7:
    case 8:
        fuzz_disk_request();
        fuzz_kick(DISK, 0);
        break;
    default:
        fuzz_ring(dev, queue == 9 ? 8 : queue); /* not stderr: the sanitizers own it */
        fuzz_kick(dev, queue);
        break;
    }
}

static void fuzz_machine(struct vm *vm, bool pci, const char *disk)
{
    const struct vm_options opt = {.container = true};
    const struct vm_disk file = {.path = (char *)disk};

    vm->memory_size = RAM;
    vm->cpus = 1;
    vm->ram.count = 1;
    vm->ram.regions[0] = (struct mem_region){0, RAM, calloc(1, RAM)};
    if (!vm->ram.regions[0].host)
        abort();
    report_init(&vm->report, -1);
    bus_init(&vm->buses[BUS_PORT], 0, 1 << 16);
    bus_init(&vm->buses[BUS_MEMORY], DEVICE_MEMORY, DEVICE_MEMORY_END - DEVICE_MEMORY);
    serial_create(vm, -1);
    rtc_create(vm);
    platform_create(vm);
    if (pci)
        pci_host_create(vm);
    console_create(vm, &opt);
    rng_create(vm);
    blk_create(vm, &file, 0);
    acpi_write(vm);
}

/* A driver that keeps the rules is served: the request comes back, with its status. */
static void fuzz_sound(void)
{
    uint8_t *used = mem_at(&fuzz_vm->ram, fuzz_ring_at(DISK, 0) + 0x2000, 8);
    uint8_t *header = mem_at(&fuzz_vm->ram, 0x600000, 1024);

    fuzz_negotiate(DISK);
    memset(header, 0xff, 1024);
    memset(header, 0, 16);
    fuzz_descriptor(DISK, 0, 0, 0x600000, 16, 1, 1);
    fuzz_descriptor(DISK, 0, 1, 0x600100, 513, 2, 0);
    memcpy(mem_at(&fuzz_vm->ram, fuzz_ring_at(DISK, 0) + 0x1000, 6), (uint16_t[]){0, 1, 0}, 6);
    fuzz_kick(DISK, 0);
    if (used[2] != 1 || used[4] != 0 || header[0x300] != 0)
        abort();
}

static void fuzz_devices(struct vm *vm, unsigned rounds, uint64_t seed)
{
    fuzz_vm = vm;
    for (unsigned i = 0; i < rounds * 10; i++) {
        fuzz_state = seed + i;
        fuzz_device_one();
    }
    fuzz_sound();
}

/* A disk of 128 sectors. */
static void fuzz_disk(char *path)
{
    int fd = mkstemp(path);

    if (fd < 0 || ftruncate(fd, 65536) < 0)
        abort();
    close(fd);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    int null = open("/dev/null", O_WRONLY), fd = memfd_create("kernel", 0);
    char disks[2][24] = {"/tmp/fuzz-vmm-XXXXXX", "/tmp/fuzz-vmm-XXXXXX"};

    fuzz_report = fdopen(dup(STDOUT_FILENO), "w"); /* the guest's output goes nowhere */
    if (!fuzz_report || null < 0 || fd < 0 || dup2(fd, 9) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return 1;
    for (unsigned i = 0; i < 2; i++) {
        fuzz_disk(disks[i]);
        fuzz_machine(&fuzz_vms[i], i, disks[i]);
        unlink(disks[i]);
    }
    for (unsigned i = 0; i < rounds; i++) {
        fuzz_state = seed + i;
        fuzz_load_one(9);
    }
    fprintf(fuzz_report, "ok fuzz_vmm_kernel_files\n");
    fuzz_devices(&fuzz_vms[0], rounds, seed);
    fprintf(fuzz_report, "ok fuzz_vmm_devices\n");
    fuzz_devices(&fuzz_vms[1], rounds, seed);
    fprintf(fuzz_report, "ok fuzz_vmm_devices_on_pci\n");
    fclose(fuzz_report);
    return 0;
}
