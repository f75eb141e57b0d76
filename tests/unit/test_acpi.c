/* SPDX-License-Identifier: MIT
 *
 * Processors as firmware lists them: twice, with the number of none, beyond what the APIC reaches.
 */
#include "harness.h"

#include "arch/x86/acpi.c"

static u32 acpi_test_max;

u32 apic_id(void)
{
    return 7;
}

u32 apic_id_max(void)
{
    return acpi_test_max;
}

void ioapic_add(u32 address, u32 first)
{
}

void delay_us(u64 us)
{
}

static void acpi_test_read(u32 max)
{
    static const u8 entries[] = {
        0, 8,  0, 7,    1,    0,    0,    0, /* the boot processor */
        0, 8,  1, 2,    1,    0,    0,    0, /* one more */
        0, 8,  2, 0xff, 1,    0,    0,    0, /* no processor's number */
        0, 8,  3, 3,    0,    0,    0,    0, /* not enabled */
        9, 16, 0, 0,    2,    0,    0,    0,
        1, 0,  0, 0,    1,    0,    0,    0, /* the second, once more */
        9, 16, 0, 0,    7,    0,    0,    0,
        1, 0,  0, 0,    0,    0,    0,    0, /* the first likewise */
        9, 16, 0, 0,    2,    1,    0,    0,
        1, 0,  0, 0,    4,    0,    0,    0, /* 258: no number of 8 bits */
        9, 16, 0, 0,    0,    1,    0,    0,
        1, 0,  0, 0,    5,    0,    0,    0, /* 256, whose low bits are 0 */
        9, 16, 0, 0,    0xff, 0xff, 0xff, 0xff,
        1, 0,  0, 0,    6,    0,    0,    0, /* all of them */
    };

    acpi_test_max = max;
    acpi_apic_ids[0] = apic_id();
    acpi_cpus = 1;
    for (const u8 *e = entries; e < entries + sizeof(entries); e += e[1])
        madt_entry(e);
}

TEST(acpi_lists_each_processor_once)
{
    acpi_test_read(U32_MAX - 1);
    EXPECT(acpi_cpu_count() == 4);
    EXPECT(acpi_cpu_apic_id(0) == 7 && acpi_cpu_apic_id(1) == 2);
    EXPECT(acpi_cpu_apic_id(2) == 258 && acpi_cpu_apic_id(3) == 256);
}

TEST(acpi_lists_no_processor_that_an_xapic_cannot_name)
{
    acpi_test_read(0xfe);
    EXPECT(acpi_cpu_count() == 2 && acpi_cpu_apic_id(1) == 2);
}
