/* SPDX-License-Identifier: MIT
 *
 * The ACPI tables a guest finds: RSDP, XSDT, FADT, FACS, MADT, with PCI an MCFG, and a DSDT with
 * the sleep state S5 (power-off), the serial port, the virtio-mmio devices and the PCI host bridge.
 * AML is put together by the small functions below (ACPI 6.4, chapter 20).
 *
 * Layout from ACPI_BASE: RSDP at +0, each table behind it on a 64-byte boundary.
 */
#include <string.h>

#include "vmm/pci.h"
#include "vmm/vmm.h"

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t checksum_all;
    uint8_t reserved[3];
} __attribute__((packed));

struct acpi_address {
    uint8_t space; /* 1: ports */
    uint8_t bits;
    uint8_t offset;
    uint8_t access;
    uint64_t address;
} __attribute__((packed));

struct acpi_fadt {
    struct acpi_header h;
    uint32_t facs, dsdt;
    uint8_t reserved0, pm_profile;
    uint16_t sci;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
    uint32_t gpe0, gpe1;
    uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len;
    uint8_t gpe0_len, gpe1_len, gpe1_base, cstate;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_flags;
    uint8_t reserved1;
    uint32_t flags;
    struct acpi_address reset;
    uint8_t reset_value;
    uint16_t arm_flags;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct acpi_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
    struct acpi_address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} __attribute__((packed));

struct acpi_facs {
    char signature[4];
    uint32_t length;
    uint32_t hardware_signature;
    uint32_t waking_vector;
    uint32_t lock;
    uint32_t flags;
    uint64_t x_waking_vector;
    uint8_t version;
    uint8_t reserved[31];
} __attribute__((packed));

#define FADT_WBINVD (1u << 0)
#define FADT_PROC_C1 (1u << 2)
#define FADT_SLEEP_CTRL (1u << 5) /* sleep button is no fixed feature */
#define FADT_PWR_BUTTON (1u << 4) /* nor is the power button */
#define FADT_RESET_REG (1u << 10)
#define BOOT_LEGACY (1u << 0)
#define BOOT_NO_VGA (1u << 2)

/* ---- AML: bytes appended to a bounded buffer ---- */

struct aml {
    size_t len;
    uint8_t bytes[2048]; /* valid up to len */
};

static void aml_put(struct aml *a, const void *data, size_t len)
{
    if (len > sizeof a->bytes - a->len)
        fatal(EXIT_KVM, "the DSDT is full");
    memcpy(a->bytes + a->len, data, len);
    a->len += len;
}

static void aml_byte(struct aml *a, uint8_t byte)
{
    aml_put(a, &byte, 1);
}

/* PkgLength in its two-byte form counts itself: lengths up to 4095 (20.2.4). */
static void aml_package(struct aml *a, const struct aml *body)
{
    size_t len = body->len + 2;
    aml_byte(a, 0x40 | (len & 0xf));
    aml_byte(a, len >> 4);
    aml_put(a, body->bytes, body->len);
}

static void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, 0x08);
    aml_put(a, name, 4);
}

static void aml_int(struct aml *a, uint32_t value)
{
    aml_byte(a, 0x0c);
    aml_put(a, &value, 4);
}

static void aml_string(struct aml *a, const char *s)
{
    aml_byte(a, 0x0d);
    aml_put(a, s, strlen(s) + 1);
}

/* Name(_S5_, Package() { type, type, 0, 0 }) */
static void aml_sleep_state(struct aml *a)
{
    struct aml body;

    body.len = 0;
    aml_byte(&body, 4);
    for (int i = 0; i < 4; i++) {
        aml_byte(&body, 0x0a);
        aml_byte(&body, i < 2 ? SLEEP_S5 : 0);
    }
    aml_name(a, "_S5_");
    aml_byte(a, 0x12);
    aml_package(a, &body);
}

static void aml_eisa_id(struct aml *a, const char *id)
{
    static const char hex[] = "0123456789ABCDEF";
    uint32_t v = (uint32_t)(id[0] - 0x40) << 26 | (uint32_t)(id[1] - 0x40) << 21 |
                 (uint32_t)(id[2] - 0x40) << 16;
    for (int i = 3; i < 7; i++)
        v |= (uint32_t)(strchr(hex, id[i]) - hex) << (4 * (6 - i));
    aml_int(a, __builtin_bswap32(v));
}

/* Name(_CRS, Buffer) from raw resource descriptors; the end tag is added. */
static void aml_resources(struct aml *a, struct aml *res)
{
    struct aml body;

    body.len = 0;
    aml_byte(res, 0x79);
    aml_byte(res, 0);
    aml_byte(&body, 0x0b);
    aml_byte(&body, res->len & 0xff);
    aml_byte(&body, res->len >> 8);
    aml_put(&body, res->bytes, res->len);
    aml_name(a, "_CRS");
    aml_byte(a, 0x11);
    aml_package(a, &body);
}

/* An extended interrupt descriptor, edge triggered, active high (6.4.3.6). */
static void aml_interrupt(struct aml *res, uint32_t gsi)
{
    aml_put(res, (const uint8_t[]){0x89, 6, 0, 0x03, 1}, 5);
    aml_put(res, &gsi, 4);
}

static void aml_device(struct aml *a, const char *name, const struct aml *inner)
{
    struct aml body;

    body.len = 0;
    aml_put(&body, name, 4);
    aml_put(&body, inner->bytes, inner->len);
    aml_put(a, (const uint8_t[]){0x5b, 0x82}, 2);
    aml_package(a, &body);
}

static void aml_serial(struct aml *a)
{
    const uint16_t port = SERIAL_PORT;
    struct aml dev, res;

    dev.len = res.len = 0;
    aml_name(&dev, "_HID");
    aml_eisa_id(&dev, "PNP0501");
    aml_name(&dev, "_UID");
    aml_int(&dev, 0);
    aml_put(&res, (const uint8_t[]){0x47, 1}, 2); /* I/O ports, 16-bit decode (6.4.2.5) */
    aml_put(&res, &port, 2);
    aml_put(&res, &port, 2);
    aml_put(&res, (const uint8_t[]){1, 8}, 2);
    aml_interrupt(&res, SERIAL_GSI);
    aml_resources(&dev, &res);
    aml_device(a, "COM1", &dev);
}

static void aml_virtio(struct aml *a, unsigned index, const struct virtio_place *place)
{
    const uint32_t base = place->address, size = place->size;
    char name[5] = {'V', 'I', 'O', (char)('0' + index), 0};
    struct aml dev, res;

    dev.len = res.len = 0;
    aml_name(&dev, "_HID");
    aml_string(&dev, "LNRO0005");
    aml_name(&dev, "_UID");
    aml_int(&dev, index);
    aml_name(&dev, "_CCA");
    aml_int(&dev, 1);
    aml_put(&res, (const uint8_t[]){0x86, 9, 0, 1}, 4); /* fixed 32-bit memory, writable */
    aml_put(&res, &base, 4);
    aml_put(&res, &size, 4);
    aml_interrupt(&res, place->gsi);
    aml_resources(&dev, &res);
    aml_device(a, name, &dev);
}

/* Name(_PRT, Package() { Package(4) { slot's address, INTA, 0, its GSI }, ... }) (6.2.13) */
static void aml_pci_routes(struct aml *a, const struct pci_host *host)
{
    struct aml all, one;
    uint8_t n = 0;

    all.len = 1;
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (!host->slots[slot] || !host->slots[slot]->ops)
            continue;
        one.len = 0;
        aml_byte(&one, 4);
        aml_int(&one, slot << 16 | 0xffff);
        aml_put(&one, (const uint8_t[]){0x0a, 0, 0x0a, 0}, 4);
        aml_int(&one, pci_line(host->slots[slot]));
        aml_byte(&all, 0x12);
        aml_package(&all, &one);
        n++;
    }
    all.bytes[0] = n;
    aml_name(a, "_PRT");
    aml_byte(a, 0x12);
    aml_package(a, &all);
}

/* One bus, the ports of configuration space, and the window of memory (6.4.3.5). */
static void aml_pci_resources(struct aml *a)
{
    const uint32_t memory[] = {0, PCI_MEMORY, PCI_MEMORY + PCI_MEMORY_SIZE - 1, 0, PCI_MEMORY_SIZE};
    const uint16_t bus[] = {0, 0, 0, 0, 1}, ports[] = {PCI_PORT, PCI_PORT};
    struct aml res;

    res.len = 0;
    aml_put(&res, (const uint8_t[]){0x88, 0x0d, 0, 2, 0x0c, 0}, 6);
    aml_put(&res, bus, sizeof bus);
    aml_put(&res, (const uint8_t[]){0x47, 1}, 2);
    aml_put(&res, ports, sizeof ports);
    aml_put(&res, (const uint8_t[]){1, 8}, 2);
    aml_put(&res, (const uint8_t[]){0x87, 0x17, 0, 0, 0x0c, 1}, 6);
    aml_put(&res, memory, sizeof memory);
    aml_resources(a, &res);
}

static void aml_pci(struct aml *a, const struct pci_host *host)
{
    struct aml dev;

    dev.len = 0;
    aml_name(&dev, "_HID");
    aml_eisa_id(&dev, "PNP0A08");
    aml_name(&dev, "_CID");
    aml_eisa_id(&dev, "PNP0A03");
    aml_name(&dev, "_SEG");
    aml_int(&dev, 0);
    aml_name(&dev, "_BBN");
    aml_int(&dev, 0);
    aml_name(&dev, "_CCA");
    aml_int(&dev, 1);
    aml_pci_resources(&dev);
    aml_pci_routes(&dev, host);
    aml_device(a, "PCI0", &dev);
}

/* ---- the tables ---- */

static uint8_t acpi_sum(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint8_t sum = 0;
    while (len--)
        sum += *p++;
    return -sum;
}

static void acpi_fill(void *table, const char *signature, uint8_t revision, size_t len)
{
    struct acpi_header *h = table;
    memcpy(h->signature, signature, 4);
    h->length = len;
    h->revision = revision;
    memcpy(h->oem_id, "BOTHY ", 6);
    memcpy(h->oem_table_id, "VMM     ", 8);
    h->oem_revision = 1;
    memcpy(h->creator_id, "BTHY", 4);
    h->creator_revision = 1;
    h->checksum = 0;
    h->checksum = acpi_sum(table, len);
}

/* Writes a finished table to the next free place; returns its address. */
static uint64_t acpi_place(struct vm *vm, uint64_t *next, const void *table, size_t len)
{
    uint64_t at = *next;
    if (at + len > ACPI_BASE + ACPI_SIZE || !mem_write(&vm->ram, at, table, len))
        fatal(EXIT_KVM, "no room for the ACPI tables");
    *next = (at + len + 63) & ~63ull;
    return at;
}

static uint64_t acpi_dsdt(struct vm *vm, uint64_t *next)
{
    struct acpi_header h = {.length = 0}; /* acpi_fill() completes it */
    struct aml all, scope;

    all.len = scope.len = 0;
    aml_put(&all, &h, sizeof h);
    aml_sleep_state(&all);
    aml_put(&scope, "\\_SB_", 5);
    if (vm->serial)
        aml_serial(&scope);
    for (unsigned i = 0; i < vm->nvirtio_mmio; i++)
        aml_virtio(&scope, i, &vm->virtio_mmio[i]);
    if (vm->pci)
        aml_pci(&scope, vm->pci);
    aml_byte(&all, 0x10);
    aml_package(&all, &scope);
    acpi_fill(all.bytes, "DSDT", 2, all.len);
    return acpi_place(vm, next, all.bytes, all.len);
}

static uint64_t acpi_fadt(struct vm *vm, uint64_t *next, uint64_t dsdt)
{
    struct acpi_facs facs = {
        .signature = {'F', 'A', 'C', 'S'}, .length = sizeof facs, .version = 2};
    uint64_t facs_at = acpi_place(vm, next, &facs, sizeof facs);
    struct acpi_fadt f = {
        .facs = facs_at,
        .dsdt = dsdt,
        .x_dsdt = dsdt,
        .sci = SCI_GSI,
        .pm1a_event = PM_EVENT,
        .pm1a_control = PM_CONTROL,
        .pm1_event_len = 4,
        .pm1_control_len = 2,
        .c2_latency = 0xffff,
        .c3_latency = 0xffff,
        .century = 0x32,
        .boot_flags = BOOT_LEGACY | BOOT_NO_VGA,
        .flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLEEP_CTRL | FADT_RESET_REG,
        .reset = {.space = 1, .bits = 8, .access = 1, .address = RESET_PORT},
        .reset_value = 6,
        .minor = 0,
        .x_pm1a_event = {.space = 1, .bits = 32, .access = 2, .address = PM_EVENT},
        .x_pm1a_control = {.space = 1, .bits = 16, .access = 2, .address = PM_CONTROL},
    };
    acpi_fill(&f, "FACP", 5, sizeof f);
    return acpi_place(vm, next, &f, sizeof f);
}

static uint64_t acpi_madt(struct vm *vm, uint64_t *next)
{
    struct {
        struct acpi_header h;
        uint32_t lapic;
        uint32_t flags;
        uint8_t entries[MAX_CPUS * 8 + 12 + 2 * 10 + 6];
    } __attribute__((packed)) m = {.lapic = LAPIC_BASE, .flags = 1 /* PCs have PICs */};
    uint8_t *p = m.entries;

    for (unsigned i = 0; i < vm->cpus; i++, p += 8)
        memcpy(p, (uint8_t[]){0, 8, i, i, 1, 0, 0, 0}, 8);
    uint32_t ioapic = IOAPIC_BASE;
    memcpy(p, (uint8_t[]){1, 12, 0, 0}, 4);
    memcpy(p + 4, &ioapic, 4);
    p += 12;                                                   /* its interrupts start at 0 */
    memcpy(p, (uint8_t[]){2, 10, 0, 0, 2, 0, 0, 0, 0, 0}, 10); /* the timer is at pin 2 */
    p += 10;
    /* SCI: level triggered, active high */
    memcpy(p, (uint8_t[]){2, 10, 0, SCI_GSI, SCI_GSI, 0, 0, 0, 0x0d, 0}, 10);
    p += 10;
    memcpy(p, (uint8_t[]){4, 6, 0xff, 0, 0, 1}, 6); /* NMI at LINT1 of every CPU */
    p += 6;
    size_t len = p - (uint8_t *)&m;
    acpi_fill(&m, "APIC", 4, len);
    return acpi_place(vm, next, &m, len);
}

/* PCI's configuration space (PCI Firmware Specification 3.2, 4.1.2). */
static uint64_t acpi_mcfg(struct vm *vm, uint64_t *next)
{
    struct {
        struct acpi_header h;
        uint64_t reserved;
        uint64_t base;
        uint16_t segment;
        uint8_t first, last;
        uint32_t reserved1;
    } __attribute__((packed)) m = {.base = PCI_ECAM, .last = PCI_ECAM_SIZE / MIB - 1};

    acpi_fill(&m, "MCFG", 1, sizeof m);
    return acpi_place(vm, next, &m, sizeof m);
}

uint64_t acpi_write(struct vm *vm)
{
    uint64_t next = ACPI_BASE + 64;
    uint64_t dsdt = acpi_dsdt(vm, &next);
    struct {
        struct acpi_header h;
        uint64_t tables[3];
    } __attribute__((packed)) xsdt = {
        .tables = {acpi_fadt(vm, &next, dsdt), acpi_madt(vm, &next),
                   vm->pci ? acpi_mcfg(vm, &next) : 0},
    };
    size_t xsdt_len = sizeof xsdt - (vm->pci ? 0 : sizeof xsdt.tables[2]);

    acpi_fill(&xsdt, "XSDT", 1, xsdt_len);

    struct acpi_rsdp rsdp = {
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .oem_id = {'B', 'O', 'T', 'H', 'Y', ' '},
        .revision = 2,
        .length = sizeof rsdp,
        .xsdt = acpi_place(vm, &next, &xsdt, xsdt_len),
    };
    rsdp.checksum = acpi_sum(&rsdp, 20);
    rsdp.checksum_all = acpi_sum(&rsdp, sizeof rsdp);
    if (!mem_write(&vm->ram, ACPI_BASE, &rsdp, sizeof rsdp))
        fatal(EXIT_KVM, "no room for the ACPI tables");
    return ACPI_BASE;
}
