/* SPDX-License-Identifier: MIT
 *
 * ACPI 6.4: 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.12 (MADT), 7.4.2 (_S5). Tables are read
 * through the direct map of the first 4 GiB, which boot made; one above that is not seen. Firmware
 * is trusted, yet lengths are checked: a broken table must not stop the boot.
 */
#include "arch/x86/acpi.h"

#include "arch/x86/apic.h"
#include "arch/x86/bootinfo.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/log.h"
#include "lib/string.h"

#define PHYS_MAPPED (4UL << 30)

struct acpi_rsdp {
    char signature[8];
    u8 checksum;
    char oem[6];
    u8 revision;
    u32 rsdt;
    u32 length;
    u64 xsdt;
    u8 ext_checksum, reserved[3];
} __packed;

struct acpi_header {
    char signature[4];
    u32 length;
    u8 revision, checksum;
    char oem[6], oem_table[8];
    u32 oem_revision, creator, creator_revision;
} __packed;

struct acpi_fadt {
    struct acpi_header h;
    u32 facs, dsdt;
    u8 reserved0, profile;
    u16 sci;
    u32 smi_cmd;
    u8 acpi_enable, acpi_disable, s4bios, pstate;
    u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
    u8 rest1[32];
    u32 flags; /* offset 112 */
    u8 reset_space, reset_width, reset_offset, reset_access;
    u64 reset_address;
    u8 reset_value;
} __packed;
static_assert(offsetof(struct acpi_fadt, flags) == 112, "FADT");
#define FADT_RESET_SUPPORTED (1U << 10)

struct acpi_madt {
    struct acpi_header h;
    u32 lapic_address, flags;
} __packed;

#define MADT_APIC_ID_MAX 0xfeU /* of an entry with 8 bits for it, whatever the APIC's mode */

static const struct acpi_rsdp *acpi_rsdp;
static u32 acpi_apic_ids[MAX_CPUS];
static unsigned acpi_cpus;

struct isa_override {
    u32 gsi;
    u16 flags;
    bool set;
};
static struct isa_override acpi_isa[16];

static void *phys(u64 pa)
{
    return (void *)(0xffff888000000000UL + pa);
}

static bool checksum_ok(const void *p, size_t n)
{
    u8 sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += ((const u8 *)p)[i];
    return sum == 0;
}

static bool rsdp_ok(const struct acpi_rsdp *r)
{
    return memcmp(r->signature, "RSD PTR ", 8) == 0 && checksum_ok(r, 20);
}

static const struct acpi_rsdp *rsdp_search(u64 start, u64 end)
{
    for (u64 pa = start; pa < end; pa += 16)
        if (rsdp_ok(phys(pa)))
            return phys(pa);
    return NULL;
}

static const struct acpi_rsdp *rsdp_find(void)
{
    if (boot_info.rsdp_copied && rsdp_ok((const void *)boot_info.rsdp_copy))
        return (const void *)boot_info.rsdp_copy;
    if (boot_info.rsdp && boot_info.rsdp < PHYS_MAPPED - 64 && rsdp_ok(phys(boot_info.rsdp)))
        return phys(boot_info.rsdp);
    return rsdp_search(0xe0000, 0x100000);
}

static const struct acpi_header *table_at(u64 pa)
{
    const struct acpi_header *h;

    if (pa == 0 || pa >= PHYS_MAPPED - sizeof(*h))
        return NULL;
    h = phys(pa);
    if (h->length < sizeof(*h) || h->length > (1U << 20) || pa + h->length > PHYS_MAPPED)
        return NULL;
    return checksum_ok(h, h->length) ? h : NULL;
}

const void *acpi_table(const char *signature)
{
    bool wide = acpi_rsdp && acpi_rsdp->revision >= 2 && acpi_rsdp->xsdt;
    const struct acpi_header *root;
    unsigned size = wide ? 8 : 4, count;

    if (!acpi_rsdp)
        return NULL;
    root = table_at(wide ? acpi_rsdp->xsdt : acpi_rsdp->rsdt);
    if (!root)
        return NULL;
    count = (root->length - sizeof(*root)) / size;
    for (unsigned i = 0; i < count; i++) {
        const struct acpi_header *h;
        u64 pa = 0;

        memcpy(&pa, (const u8 *)(root + 1) + i * size, size);
        h = table_at(pa);
        if (h && memcmp(h->signature, signature, 4) == 0)
            return h;
    }
    return NULL;
}

/* Firmware lists some processors twice, as a local APIC and as an x2APIC: a second INIT would stop
 * one that runs. An id beyond id_max is no processor's, or that of all. */
static void madt_add_cpu(u32 id, u32 id_max, u32 flags)
{
    /* Bit 0: enabled; bit 1: can be brought online later: not ours. */
    if (!(flags & 1) || acpi_cpus == MAX_CPUS || id > id_max)
        return;
    for (unsigned i = 0; i < acpi_cpus; i++)
        if (acpi_apic_ids[i] == id)
            return;
    acpi_apic_ids[acpi_cpus++] = id;
}

static void madt_entry(const u8 *e)
{
    u32 word;

    switch (e[0]) {
    case 0: /* local APIC */
        if (e[1] >= 8) {
            memcpy(&word, e + 4, 4);
            madt_add_cpu(e[3], MADT_APIC_ID_MAX, word);
        }
        break;
    case 1: /* I/O APIC: id, address, first GSI */
        if (e[1] >= 12) {
            u32 address, base;

            memcpy(&address, e + 4, 4);
            memcpy(&base, e + 8, 4);
            ioapic_add(address, base);
        }
        break;
    case 2: /* interrupt source override */
        if (e[1] >= 10 && e[3] < 16) {
            memcpy(&acpi_isa[e[3]].gsi, e + 4, 4);
            memcpy(&acpi_isa[e[3]].flags, e + 8, 2);
            acpi_isa[e[3]].set = true;
        }
        break;
    case 9: /* local x2APIC */
        if (e[1] >= 16) {
            u32 id;

            memcpy(&id, e + 4, 4);
            memcpy(&word, e + 8, 4);
            madt_add_cpu(id, apic_id_max(), word);
        }
        break;
    }
}

void acpi_init(void)
{
    const struct acpi_madt *madt;

    acpi_apic_ids[0] = apic_id();
    acpi_cpus = 1;
    acpi_rsdp = rsdp_find();
    madt = acpi_table("APIC");
    if (!madt) {
        log_warn("acpi: no MADT: one CPU, standard I/O APIC");
        ioapic_add(0xfec00000, 0);
        return;
    }
    for (const u8 *e = (const u8 *)(madt + 1), *end = (const u8 *)madt + madt->h.length;
         e + 2 <= end && e[1] >= 2 && e + e[1] <= end; e += e[1])
        madt_entry(e);
}

unsigned acpi_cpu_count(void)
{
    return acpi_cpus;
}

u32 acpi_cpu_apic_id(unsigned index)
{
    return acpi_apic_ids[index];
}

void acpi_isa_irq(unsigned isa, u32 *gsi, bool *level, bool *active_low)
{
    const struct isa_override *o = &acpi_isa[isa & 15];

    *gsi = o->set ? o->gsi : isa;
    *level = o->set && (o->flags >> 2 & 3) == 3;
    *active_low = o->set && (o->flags & 3) == 3;
}

/* "_S5_" PackageOp length count then the two sleep types, each a byte constant (0x0a prefix),
 * ZeroOp or OneOp. */
static bool s5_parse(const u8 *p, const u8 *end, u8 *a, u8 *b)
{
    u8 value[2];

    p += 4;
    if (end - p < 5 || *p != 0x12)
        return false;
    p++;
    p += (*p >> 6) + 1; /* PkgLength */
    p++;                /* NumElements */
    for (unsigned i = 0; i < 2; i++) {
        if (end - p >= 2 && *p == 0x0a)
            p++;
        if (p >= end)
            return false;
        value[i] = *p++;
    }
    *a = value[0];
    *b = value[1];
    return true;
}

static bool s5_find(const struct acpi_fadt *fadt, u8 *a, u8 *b)
{
    const struct acpi_header *dsdt = table_at(fadt->dsdt);
    const u8 *end;

    if (!dsdt)
        return false;
    end = (const u8 *)dsdt + dsdt->length;
    for (const u8 *p = (const u8 *)(dsdt + 1); p + 4 < end; p++)
        if (memcmp(p, "_S5_", 4) == 0 && s5_parse(p, end, a, b))
            return true;
    return false;
}

u16 acpi_pm_timer(void)
{
    const struct acpi_fadt *fadt = acpi_table("FACP");

    return fadt && fadt->pm_timer <= 0xffff ? (u16)fadt->pm_timer : 0;
}

#define POWEROFF_WAIT_US 500000 /* the machine may take a while to fall asleep */

void acpi_poweroff(void)
{
    const struct acpi_fadt *fadt = acpi_table("FACP");
    u8 a, b;

    if (!fadt || !s5_find(fadt, &a, &b)) {
        log_err("poweroff: no _S5 in the firmware's tables");
        return;
    }
    irq_disable();
    if (fadt->smi_cmd && fadt->acpi_enable && !(inw((u16)fadt->pm1a_control) & 1)) {
        outb((u16)fadt->smi_cmd, fadt->acpi_enable);
        for (unsigned i = 0; i < 1000000 && !(inw((u16)fadt->pm1a_control) & 1); i++)
            ;
    }
    outw((u16)fadt->pm1a_control, (u16)(a << 10 | 1 << 13));
    if (fadt->pm1b_control)
        outw((u16)fadt->pm1b_control, (u16)(b << 10 | 1 << 13));
    delay_us(POWEROFF_WAIT_US);
}

void machine_reboot(void)
{
    const struct acpi_fadt *fadt = acpi_table("FACP");
    struct {
        u16 limit;
        u64 base;
    } __packed none = {0, 0};

    irq_disable();
    if (fadt && fadt->h.length >= 129 && (fadt->flags & FADT_RESET_SUPPORTED) &&
        fadt->reset_space == 1)
        outb((u16)fadt->reset_address, fadt->reset_value);
    for (unsigned i = 0; i < 100000 && (inb(0x64) & 2); i++)
        ;
    outb(0x64, 0xfe); /* the keyboard controller pulls the reset line */
    __asm__ volatile("lidt %0; int3" ::"m"(none)); /* a triple fault does it anywhere */
}
