/* SPDX-License-Identifier: MIT
 *
 * Hyper-V's reference time: 100 ns each since the VM was made, which is the paravirtual clock in
 * coarser units. It is read from a register, or from a page of the guest's:
 *
 *   u32 sequence, u32 reserved, u64 scale, s64 offset: (TSC * scale >> 64) + offset
 *
 * A sequence of 0 says that the page does not tell the time and the register has to be read. It is
 * 0 while the page is being written, then another number than before, and never all ones. The page
 * is of no use while vCPUs read different counters.
 */
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "hv/memory/memory.h"
#include "hv/regs/regs.h"
#include "lib/string.h"

#define PAGE_ENABLED 1UL
#define NS_PER_UNIT 100

struct hyperv_tsc_page {
    u32 sequence, reserved;
    u64 scale, offset;
};

static u64 hyperv_scaled(u64 tsc, u64 scale)
{
    return (u64)((unsigned __int128)tsc * scale >> 64);
}

u64 hyperv_time_locked(struct vcpu *v)
{
    const struct hyperv_vm *h = &v->vm->hyperv;

    ASSERT_HELD(&v->vm->hyperv.lock);
    if (h->tsc_valid)
        return hyperv_scaled(rdtsc() + h->tsc_base, h->tsc_scale) + h->tsc_offset;
    return (time_ns() + (u64)READ_ONCE(v->vm->clock_offset)) / NS_PER_UNIT;
}

static bool hyperv_counters_agree(struct vm *vm, u64 tsc_offset)
{
    bool agree = true;

    spin_lock(&vm->nested_lock); /* which a vCPU's end takes before it goes */
    for (u32 i = 0; i < vm->nr_vcpus; i++) {
        const struct vcpu *v = load_acquire(&vm->vcpus[i]);

        if (v && READ_ONCE(v->tsc_offset) != tsc_offset)
            agree = false;
    }
    spin_unlock(&vm->nested_lock);
    return agree;
}

/* The paravirtual clock's line in this form, for a counter that is the host's and tsc_offset.
 * False: it has none. */
static bool hyperv_line(struct vm *vm, u64 tsc_offset, u64 *scale, u64 *offset)
{
    u64 base, mul, tsc = rdtsc(), now; /* ns = ticks * mul >> 32 */

    tsc_clock_params(&base, &mul);
    if (mul / NS_PER_UNIT >> 32 || !hyperv_counters_agree(vm, tsc_offset))
        return false;
    *scale = (mul / NS_PER_UNIT << 32) + (mul % NS_PER_UNIT << 32) / NS_PER_UNIT;
    now = (tsc_to_ns(tsc - base) + (u64)READ_ONCE(vm->clock_offset)) / NS_PER_UNIT;
    *offset = now - hyperv_scaled(tsc + tsc_offset, *scale);
    return true;
}

/* A page that is not memory is the guest's loss. A number does not come again: a guest that has
 * read before and after would not see that there was another between. What a page has says more
 * only where it comes with its VM from elsewhere. */
static bool hyperv_write_page(struct vm *vm, gpa_t gpa, struct hyperv_tsc_page *page, bool usable)
    REQUIRES(vm->hyperv.lock)
{
    u32 before, none = 0;

    ASSERT_HELD(&vm->hyperv.lock);
    if (guest_read(vm, gpa, &before, sizeof(before)) || guest_write(vm, gpa, &none, sizeof(none)) ||
        !usable)
        return false;
    before = MAX(before, vm->hyperv.tsc_sequence);
    page->sequence = before >= U32_MAX - 1 ? 1 : before + 1;
    vm->hyperv.tsc_sequence = page->sequence;
    if (guest_write(vm, GPA(gpa.v + sizeof(none)), (u8 *)page + sizeof(none),
                    sizeof(*page) - sizeof(none)))
        return false;
    return guest_write(vm, gpa, &page->sequence, sizeof(page->sequence)) == 0;
}

void hyperv_time_publish_locked(struct vcpu *v)
{
    struct hyperv_vm *h = &v->vm->hyperv;
    struct hyperv_tsc_page page = {0};
    bool usable;

    ASSERT_HELD(&v->vm->hyperv.lock);
    h->tsc_valid = false;
    if (!(h->tsc_page & PAGE_ENABLED))
        return;
    h->tsc_base = READ_ONCE(v->vm->tsc_offset);
    usable = hyperv_line(v->vm, h->tsc_base, &page.scale, &page.offset);
    h->tsc_scale = page.scale;
    h->tsc_offset = page.offset;
    h->tsc_valid = hyperv_write_page(v->vm, GPA(h->tsc_page & PAGE_MASK), &page, usable);
}

void vcpu_hyperv_clock_update(struct vcpu *v)
{
    struct hyperv_vm *h = &v->vm->hyperv;

    if (likely(!(READ_ONCE(h->tsc_page) & PAGE_ENABLED)))
        return;
    mutex_lock(&v->vm->hyperv.lock);
    hyperv_time_publish_locked(v);
    mutex_unlock(&v->vm->hyperv.lock);
}
