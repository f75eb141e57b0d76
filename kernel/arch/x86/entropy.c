/* SPDX-License-Identifier: MIT
 *
 * What lib/random asks of the CPU (lib/up.h). SDM 1 7.3.17: RDSEED and RDRAND clear CF on failure.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/regs.h"
#include "lib/up.h"

/* Intel's advice: ten tries before RDRAND is given up; RDSEED may run dry sooner. */
#define ENTROPY_TRIES 10

u64 up_irq_save(void)
{
    return irq_save();
}

void up_irq_restore(u64 flags)
{
    irq_restore(flags);
}

u64 up_cycles(void)
{
    return rdtsc();
}

/* Zen 2 with early firmware says all ones each time, and that it is good; a generator that has
 * failed may say anything again and again. */
static bool entropy_is_new(u64 value)
{
    static u64 last; /* a  the caller's lock, mostly */
    bool is_new = value && value != U64_MAX && value != READ_ONCE(last);

    WRITE_ONCE(last, value);
    return is_new;
}

bool up_entropy(u64 *out)
{
    u64 value;
    bool ok = false;

    for (u32 i = 0; !ok && cpu_has(X86_RDSEED) && i < ENTROPY_TRIES; i++)
        __asm__ volatile("rdseed %0" : "=r"(value), "=@ccc"(ok) : : "cc");
    for (u32 i = 0; !ok && cpu_has(X86_RDRAND) && i < ENTROPY_TRIES; i++)
        __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(ok) : : "cc");
    ok = ok && entropy_is_new(value);
    if (ok)
        *out = value;
    return ok;
}
