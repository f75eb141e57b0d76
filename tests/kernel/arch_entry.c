/* SPDX-License-Identifier: MIT
 *
 * How user mode enters the kernel: by the ways that are meant, and with nothing of its own in
 * force.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/msr.h"
#include "arch/x86/regs.h"
#include "arch/x86/switch.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm_boot.h"
#include "mm/page.h"
#include "mm/slab.h"

#define DESC_CODE_USER (0x78UL << 40) /* S, DPL 3, code */
#define DESC_CODE_MASK (0x78UL << 40)
#define DESC_LONG (1UL << 53)

void syscall_entry_compat(void);
int uaccess_store32(u32 *dst, u32 v);
extern char __kernel_start[], __data_start[], __ro_after_init_end[];

SELFTEST(entry_user_code_is_64_bit_alone)
{
    struct {
        u16 limit;
        u64 *base;
    } __packed gdt;
    u16 ldt;

    __asm__ volatile("sgdt %0; sldt %1" : "=m"(gdt), "=r"(ldt));
    CHECK(ldt == 0 && gdt.limit < 0x100);
    for (unsigned i = 1; i < (gdt.limit + 1U) / 8; i++)
        if (i != TSS_SEL / 8 + 1) /* the upper half of an address */
            CHECK((gdt.base[i] & DESC_CODE_MASK) != DESC_CODE_USER || gdt.base[i] & DESC_LONG);
}

SELFTEST(entry_has_no_road_for_32_bit_calls)
{
    CHECK(rdmsr(MSR_CSTAR) == (u64)syscall_entry_compat);
    CHECK((u32)rdmsr(MSR_IA32_SYSENTER_CS) == 0 && rdmsr(MSR_IA32_SYSENTER_EIP) == 0);
    CHECK(rdmsr(MSR_SFMASK) & RFLAGS_AC && rdmsr(MSR_SFMASK) & RFLAGS_IF &&
          rdmsr(MSR_SFMASK) & RFLAGS_DF && rdmsr(MSR_SFMASK) & RFLAGS_NT);
}

SELFTEST(entry_bases_are_addresses_of_the_user_half)
{
    CHECK(arch_user_base_ok(0) && arch_user_base_ok(USER_TOP - 1));
    CHECK(!arch_user_base_ok(USER_TOP) && !arch_user_base_ok(1UL << 63) &&
          !arch_user_base_ok(0xffff888000000000UL));
}

/* What LDMXCSR takes, a signal frame or a VMM may bring; what it does not take faults in XRSTOR. */
SELFTEST(fpu_state_is_judged_by_the_cpus_own_mask)
{
    u8 *raw = kmalloc(fpu_size() + 64), *area = (u8 *)ALIGN_UP((u64)raw, 64UL);
    u32 mask;

    CHECK(raw);
    if (!raw)
        return;
    fpu_init_state(area);
    __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
    mask = *(u32 *)(area + 28) ?: 0xffbf;
    fpu_init_state(area);
    *(u32 *)(area + 24) = mask;
    CHECK(!fpu_validate(area));
    for (u32 bit = 1; bit; bit <<= 1) {
        *(u32 *)(area + 24) = bit;
        CHECK(!fpu_validate(area) == !!(mask & bit));
    }
    kfree(raw);
}

static bool can_write(void *p)
{
    return !uaccess_store32(p, *(u32 *)p);
}

/* By the address it runs at and by that of all RAM. */
SELFTEST(text_and_constants_are_never_writable)
{
    for (char *p = __kernel_start; p < __data_start; p += PAGE_SIZE)
        CHECK(!can_write(p) && !can_write(hpa_virt(virt_hpa(p))));
}

SELFTEST(data_made_read_only_after_init_is)
{
    CHECK((u64)__ro_after_init_end > (u64)__data_start);
    for (char *p = __data_start; p < __ro_after_init_end; p += PAGE_SIZE)
        CHECK(!can_write(p) && !can_write(hpa_virt(virt_hpa(p))));
}
