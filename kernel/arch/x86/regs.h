/* SPDX-License-Identifier: MIT
 *
 * One inline function per privileged instruction. Bit names are the manuals' (SDM vol. 3, APM vol.
 * 2).
 */
#pragma once

#include "lib/types.h"
#include "lib/watch.h"

#define CR0_PE (1UL << 0)
#define CR0_MP (1UL << 1)
#define CR0_EM (1UL << 2)
#define CR0_TS (1UL << 3)
#define CR0_ET (1UL << 4)
#define CR0_NE (1UL << 5)
#define CR0_WP (1UL << 16)
#define CR0_AM (1UL << 18)
#define CR0_NW (1UL << 29)
#define CR0_CD (1UL << 30)
#define CR0_PG (1UL << 31)

#define CR4_TSD (1UL << 2)
#define CR4_DE (1UL << 3)
#define CR4_PSE (1UL << 4)
#define CR4_PAE (1UL << 5)
#define CR4_MCE (1UL << 6)
#define CR4_PGE (1UL << 7)
#define CR4_OSFXSR (1UL << 9)
#define CR4_OSXMMEXCPT (1UL << 10)
#define CR4_UMIP (1UL << 11)
#define CR4_VMXE (1UL << 13)
#define CR4_FSGSBASE (1UL << 16)
#define CR4_PCIDE (1UL << 17)
#define CR4_OSXSAVE (1UL << 18)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)

#define RFLAGS_CF (1UL << 0)
#define RFLAGS_FIXED (1UL << 1)
#define RFLAGS_PF (1UL << 2)
#define RFLAGS_AF (1UL << 4)
#define RFLAGS_ZF (1UL << 6)
#define RFLAGS_SF (1UL << 7)
#define RFLAGS_TF (1UL << 8)
#define RFLAGS_IF (1UL << 9)
#define RFLAGS_DF (1UL << 10)
#define RFLAGS_OF (1UL << 11)
#define RFLAGS_IOPL (3UL << 12)
#define RFLAGS_NT (1UL << 14)
#define RFLAGS_RF (1UL << 16)
#define RFLAGS_VM (1UL << 17)
#define RFLAGS_AC (1UL << 18)
#define RFLAGS_ID (1UL << 21)

#define DEFINE_CR(n)                                                \
    static inline u64 read_cr##n(void)                              \
    {                                                               \
        u64 v;                                                      \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory"); \
        return v;                                                   \
    }                                                               \
    static inline void write_cr##n(u64 v)                           \
    {                                                               \
        __asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory");    \
    }
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)
#undef DEFINE_CR

#define DEFINE_DR(n)                                      \
    static inline u64 read_dr##n(void)                    \
    {                                                     \
        u64 v;                                            \
        __asm__ volatile("mov %%db" #n ", %0" : "=r"(v)); \
        return v;                                         \
    }                                                     \
    static inline void write_dr##n(u64 v)                 \
    {                                                     \
        __asm__ volatile("mov %0, %%db" #n ::"r"(v));     \
    }
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)
#undef DEFINE_DR

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

/* For registers that the CPU may not have: 0, or -EFAULT when the access faults. */
int rdmsr_safe(u32 msr, u64 *out);
int wrmsr_safe(u32 msr, u64 v);

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid_count(u32 leaf, u32 subleaf)
{
    struct cpuid_regs r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline u64 xgetbv(u32 index)
{
    u32 lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
    return (u64)hi << 32 | lo;
}

static inline void xsetbv(u32 index, u64 v)
{
    __asm__ volatile("xsetbv" ::"c"(index), "a"((u32)v), "d"((u32)(v >> 32)));
}

static inline u64 rdtsc(void)
{
    u32 lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}

static inline void invlpg(u64 va)
{
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

static inline void outb(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outw(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline u8 inb(u16 port)
{
    u8 v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u16 inw(u16 port)
{
    u16 v;

    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u32 inl(u16 port)
{
    u32 v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline u64 read_rflags(void)
{
    u64 v;

    __asm__ volatile("pushfq; pop %0" : "=rm"(v)::"memory");
    return v;
}
static inline bool irq_enabled(void)
{
    return read_rflags() & RFLAGS_IF;
}
static inline void irq_disable(void)
{
    __asm__ volatile("cli" ::: "memory");
    watch_irqs_off();
}
static inline void irq_enable(void)
{
    watch_irqs_on();
    __asm__ volatile("sti" ::: "memory");
}
/* Interrupts off; the former flags go to irq_restore. */
static inline u64 irq_save(void)
{
    u64 flags = read_rflags();

    __asm__ volatile("cli" ::: "memory");
    if (flags & RFLAGS_IF)
        watch_irqs_off();
    return flags;
}
static inline void irq_restore(u64 flags)
{
    if (flags & RFLAGS_IF)
        irq_enable();
}
/* Sleeps until an interrupt; an interrupt between the two instructions is not lost (STI shadow). */
static inline void irq_enable_halt(void)
{
    watch_irqs_on();
    __asm__ volatile("sti; hlt" ::: "memory");
}
static inline void halt(void)
{
    __asm__ volatile("hlt" ::: "memory");
}
