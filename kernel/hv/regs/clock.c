/* SPDX-License-Identifier: MIT
 *
 * A guest's clocks: its time-stamp counter and the paravirtual clock (KVM's documentation of MSRs
 * 0x4b564d00 and 0x4b564d01).
 *
 * All vCPUs of a VM publish one line: the same (host TSC, ns) point of reference and the same
 * slope, so the clock never goes back when a guest's thread moves between them, and the page is
 * only written when the guest asks for it or the offset changes.
 *
 * struct pvclock_vcpu_time_info: version (odd: being written), pad, TSC of the reference, ns of the
 * reference, multiplier (32.32 after the shift), shift, flags, pad.
 */
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "hv/memory/memory.h"
#include "hv/regs/regs.h"
#include "lib/string.h"
#include "sched/timer.h"

#define PVCLOCK_TSC_STABLE 1
#define PVCLOCK_GUEST_STOPPED 2
#define CLOCK_ENABLED 1UL

struct pvclock_page {
    u32 version, pad0;
    u64 tsc, ns;
    u32 mul;
    s8 shift;
    u8 flags, pad[2];
};

struct pvclock_wall {
    u32 version, sec, nsec;
};

/* ------------------------------------------------------------- the counter */

/* VMMs write each vCPU's TSC in turn: a value within a second of what the others read means the
 * same, and so does 0, which is what a new one begins with. */
static bool clock_tsc_agrees(const struct vm *vm, u64 value)
{
    s64 apart = (s64)(value - (rdtsc() + READ_ONCE(vm->tsc_offset)));

    return !value || (apart < 0 ? -(u64)apart : (u64)apart) < tsc_hz;
}

void vcpu_set_tsc_offset(struct vcpu *v, u64 offset)
{
    ASSERT_HELD(&v->lock);
    hv_ops->set_tsc_offset(v, offset);
    WRITE_ONCE(v->tsc_offset, offset);
}

void vcpu_set_tsc(struct vcpu *v, u64 value, bool host)
{
    u64 offset = value - rdtsc();

    ASSERT_HELD(&v->lock);
    if (host && clock_tsc_agrees(v->vm, value))
        offset = READ_ONCE(v->vm->tsc_offset);
    else if (host)
        WRITE_ONCE(v->vm->tsc_offset, offset);
    if (!host) /* SDM vol. 3, 17.17.3: a write to the counter shows in IA32_TSC_ADJUST */
        v->tsc_adjust += offset - v->tsc_offset;
    vcpu_set_tsc_offset(v, offset);
    vcpu_request(v, VCPU_REQ_CLOCK);
}

/* ------------------------------------------------------------- the paravirtual clock */

/* ns = (ticks << shift) * mul >> 32, with mul's top bit set. */
static void clock_scale(u32 *mul, s8 *shift)
{
    u64 hz = tsc_hz;
    s8 n = 0;

    while (hz > 2 * NSEC_PER_SEC) {
        hz >>= 1;
        n--;
    }
    while (hz <= NSEC_PER_SEC) {
        hz <<= 1;
        n++;
    }
    *mul = (u32)((NSEC_PER_SEC << 32) / hz);
    *shift = n;
}

static u64 clock_reference(struct vm *vm)
{
    u64 none = 0, now = rdtsc();

    if (__atomic_compare_exchange_n(&vm->clock_tsc, &none, now, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        return now;
    return none;
}

/* A page that is not memory is the guest's loss. */
static void clock_publish(struct vcpu *v, gpa_t gpa, struct pvclock_page *page)
{
    int err;

    page->version = v->clock_version | 1;
    v->clock_version = page->version + 1;
    err = guest_write(v->vm, gpa, page, sizeof(page->version));
    if (!err)
        err = guest_write(v->vm, GPA(gpa.v + 4), (u8 *)page + 4, sizeof(*page) - 4);
    if (!err)
        guest_write(v->vm, gpa, &v->clock_version, sizeof(v->clock_version));
}

/* The VMM's word that the guest did not run, once; it is the guest that takes it back. */
static u8 clock_stopped_flag(struct vcpu *v, gpa_t gpa)
{
    u8 old = 0;

    if (guest_read(v->vm, GPA(gpa.v + offsetof(struct pvclock_page, flags)), &old, sizeof(old)))
        old = 0;
    if (v->clock_stopped)
        old |= PVCLOCK_GUEST_STOPPED;
    v->clock_stopped = false;
    return old & PVCLOCK_GUEST_STOPPED;
}

s64 vcpu_clock_stopped(struct vcpu *v, u64 arg)
{
    ASSERT_HELD(&v->lock);
    if (!(v->clock_msr & CLOCK_ENABLED))
        return -EINVAL;
    v->clock_stopped = true;
    vcpu_request(v, VCPU_REQ_CLOCK);
    return 0;
}

static void clock_update_pv(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct pvclock_page page = {.flags = PVCLOCK_TSC_STABLE};
    gpa_t gpa = GPA(v->clock_msr & ~CLOCK_ENABLED);
    u64 tsc, base, mul;

    if (!(v->clock_msr & CLOCK_ENABLED))
        return;
    page.flags |= clock_stopped_flag(v, gpa);
    tsc = clock_reference(vm);
    tsc_clock_params(&base, &mul);
    page.tsc = tsc + v->tsc_offset;
    page.ns = tsc_to_ns(tsc - base) + (u64)READ_ONCE(vm->clock_offset);
    clock_scale(&page.mul, &page.shift);
    clock_publish(v, gpa, &page);
}

void vcpu_clock_update(struct vcpu *v)
{
    clock_update_pv(v);
    vcpu_hyperv_clock_update(v);
}

/* The wall-clock time at which the paravirtual clock read 0. */
void vcpu_clock_write_wall(struct vcpu *v)
{
    u64 ns = time_wall_offset() - (u64)READ_ONCE(v->vm->clock_offset);
    struct pvclock_wall wall = {
        .version = 1, .sec = (u32)(ns / NSEC_PER_SEC), .nsec = (u32)(ns % NSEC_PER_SEC)};
    gpa_t gpa = GPA(v->wall_msr);
    u32 done = 2;

    ASSERT_HELD(&v->lock);
    if (guest_write(v->vm, gpa, &wall, sizeof(wall)) == 0)
        guest_write(v->vm, gpa, &done, sizeof(done));
}
