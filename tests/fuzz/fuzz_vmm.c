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
#include "vmm/loop.h"
#include "vmm/virtio.h"

#define RAM (8 * MIB)
#define FILE_MAX 8192

/* A refused file ends the real process, so what it had allocated is no leak. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static jmp_buf fuzz_out;
static uint64_t fuzz_state;
static FILE *fuzz_report;
static struct vm fuzz_vm;

/* ---- what the sources under test call ---- */

_Noreturn void fatal(int status, const char *fmt, ...)
{
    if (status != EXIT_BAD_FILE && status != EXIT_USAGE)
        abort();
    longjmp(fuzz_out, 1);
}

void vm_stop(int status, const char *fmt, ...)
{
}

void vm_irq(unsigned gsi, bool level)
{
    if (gsi >= 24)
        abort();
}

void loop_wake(void)
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
        load_kernel(&fuzz_vm, &opt, ACPI_BASE, &entry);
        if (!mem_at(&fuzz_vm, entry.rip, 1))
            abort();
    }
    close_range(10, ~0u, 0); /* what the refused file left open: the process would have ended */
}

/* ---- devices ---- */

/* Sets a queue up as a driver does, so that random rings are looked at. */
static void fuzz_queue(unsigned queue)
{
    uint64_t at = 0x10000 * (queue + 1);
    const uint64_t setup[][2] = {
        {0x030, queue},       {0x044, 0}, {0x038, 1u << fuzz_below(8)}, {0x080, at}, {0x084, 0},
        {0x090, at + 0x1000}, {0x094, 0}, {0x0a0, at + 0x2000},         {0x0a4, 0},  {0x044, 1}};
    for (size_t i = 0; i < sizeof setup / sizeof *setup; i++)
        bus_write(BUS_MEMORY, VIRTIO_BASE + setup[i][0], setup[i][1], 4);
}

static void fuzz_negotiate(void)
{
    static const uint32_t setup[][2] = {{0x070, 0}, {0x070, 1}, {0x070, 3}, {0x024, 0},
                                        {0x020, 2}, {0x024, 1}, {0x020, 1}, {0x070, 11}};
    for (size_t i = 0; i < sizeof setup / sizeof *setup; i++)
        bus_write(BUS_MEMORY, VIRTIO_BASE + setup[i][0], setup[i][1], 4);
    for (unsigned q = 0; q < 12; q++)
        fuzz_queue(q);
    bus_write(BUS_MEMORY, VIRTIO_BASE + 0x070, 15, 4);
}

/* A plausible ring entry with random holes in it. */
static void fuzz_ring(unsigned queue)
{
    uint64_t at = 0x10000 * (queue + 1);
    uint8_t *desc = mem_at(&fuzz_vm, at, 64), *avail = mem_at(&fuzz_vm, at + 0x1000, 512);
    uint64_t addr = fuzz_below(12) ? fuzz_below(RAM) : fuzz_number();
    uint32_t len = fuzz_below(12) ? fuzz_below(64) : (uint32_t)fuzz_number();
    uint16_t flags = fuzz_below(12) ? (queue & 1 ? 0 : 2) : fuzz_below(8);
    uint16_t next = fuzz_below(4), index, head = fuzz_below(4);
    unsigned slot = fuzz_below(4) * 16;

    uint8_t *data = mem_at(&fuzz_vm, addr, 8);
    if (data && queue == 3) /* a control message */
        memcpy(data, (uint8_t[]){fuzz_below(6), 0, 0, 0, fuzz_below(8), 0, fuzz_below(2), 0}, 8);
    if (data && queue == 5) /* what the agent says */
        memcpy(data, fuzz_below(2) ? "exit 12\n" : "ready 1\n", 8);
    memcpy(desc + slot, &addr, 8);
    memcpy(desc + slot + 8, &len, 4);
    memcpy(desc + slot + 12, &flags, 2);
    memcpy(desc + slot + 14, &next, 2);
    memcpy(&index, avail + 2, 2);
    memcpy(avail + 4 + 2 * (index & 127), &head, 2);
    index += fuzz_below(60) ? 1 : fuzz_below(65536);
    memcpy(avail + 2, &index, 2);
}

static void fuzz_device_one(void)
{
    unsigned queue = fuzz_below(14), len = 1u << fuzz_below(4);
    static uint8_t bytes[64];

    switch (fuzz_below(10)) {
    case 0:
        bus_write(BUS_MEMORY, VIRTIO_BASE + fuzz_below(0x200), fuzz_number(), len);
        break;
    case 1:
        bus_read(BUS_MEMORY, VIRTIO_BASE + fuzz_below(0x200), len);
        break;
    case 2:
        bus_write(BUS_PORT, fuzz_below(0x1000), fuzz_number(), len > 4 ? 4 : len);
        break;
    case 3:
        bus_read(BUS_PORT, fuzz_below(0x1000), len > 4 ? 4 : len);
        break;
    case 4:
        console_input(bytes, fuzz_below(sizeof bytes));
        serial_input(bytes, fuzz_below(sizeof bytes));
        break;
    case 5:
        console_control("signal 15\n");
        break;
    case 6:
        if (fuzz_below(3) == 0)
            fuzz_negotiate();
        break;
    default:
        fuzz_ring(queue % 11); /* not stderr: the sanitizers own it */
        bus_write(BUS_MEMORY, VIRTIO_BASE + 0x050, queue, 4);
        break;
    }
}

static void fuzz_machine(void)
{
    struct vm_options opt = {.container = true};
    fuzz_vm.memory = RAM;
    fuzz_vm.cpus = 1;
    fuzz_vm.nregions = 1;
    fuzz_vm.regions[0] = (struct mem_region){0, RAM, calloc(1, RAM)};
    if (!fuzz_vm.regions[0].host)
        abort();
    serial_create(-1);
    rtc_create(RAM);
    platform_create();
    console_create(&fuzz_vm, &opt);
    acpi_write(&fuzz_vm);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    int null = open("/dev/null", O_WRONLY), fd = memfd_create("kernel", 0);

    fuzz_report = fdopen(dup(STDOUT_FILENO), "w"); /* the guest's output goes nowhere */
    if (!fuzz_report || null < 0 || fd < 0 || dup2(fd, 9) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return 1;
    fuzz_machine();
    for (unsigned i = 0; i < rounds; i++) {
        fuzz_state = seed + i;
        fuzz_load_one(9);
    }
    fprintf(fuzz_report, "ok fuzz_vmm_kernel_files\n");
    fuzz_negotiate();
    for (unsigned i = 0; i < rounds * 20; i++) {
        fuzz_state = seed + i;
        fuzz_device_one();
    }
    fprintf(fuzz_report, "ok fuzz_vmm_devices\n");
    fclose(fuzz_report);
    return 0;
}
