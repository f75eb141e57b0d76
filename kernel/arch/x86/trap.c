/* SPDX-License-Identifier: MIT
 *
 * Descriptor tables, the entry MSRs, and the dispatch of exceptions and interrupts. Everything that
 * the CPU reads at an entry from user mode lies in the per-CPU entry area.
 */
#include "arch/x86/trap.h"

#include "arch/x86/apic.h"
#include "arch/x86/entry.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/pte.h"
#include "arch/x86/regs.h"
#include "arch/x86/uaccess.h"
#include "arch/x86/up.h"
#include "lib/log.h"
#include "lib/string.h"

static_assert(offsetof(struct trap_frame, r11) == FRAME_R11, "entry.h");
static_assert(offsetof(struct trap_frame, rax) == FRAME_RAX, "entry.h");
static_assert(offsetof(struct trap_frame, rcx) == FRAME_RCX, "entry.h");
static_assert(offsetof(struct trap_frame, rip) == FRAME_RIP, "entry.h");
static_assert(offsetof(struct trap_frame, cs) == FRAME_CS, "entry.h");
static_assert(offsetof(struct trap_frame, rflags) == FRAME_RFLAGS, "entry.h");
static_assert(sizeof(struct trap_frame) == FRAME_SIZE, "entry.h");
static_assert(USER_CS == SEL_USER_CS && USER_DS == SEL_USER_DS, "entry.h");
static_assert(USER_DS == SYSRET_BASE + 8 && USER_CS == SYSRET_BASE + 16, "APM 3, SYSRET");
static_assert(VEC_UD == VEC_UD_NR, "entry.h");

#define IST_STACK_SIZE 8192
enum { IST_DF = 1, IST_NMI, IST_MC, IST_COUNT = 3 };

struct tss { /* SDM vol. 3, 7.7 */
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3, iomap;
} __packed;

struct idt_gate { /* SDM vol. 3, 6.14.1 */
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_mid;
    u32 offset_high, reserved;
};

struct table_pointer {
    u16 limit;
    u64 base;
} __packed;

struct ist_stack {
    u8 bytes[IST_STACK_SIZE - 16];
    u64 delta; /* this CPU's percpu delta: what trap_paranoid loads */
    u64 pad;
} __aligned(16); /* the CPU aligns the stack before it pushes */
static_assert(offsetof(struct ist_stack, delta) % 16 == 0, "IST stack");

/* What the CPU touches while user mode's registers and tables are still in force. */
struct entry_area {
    u64 gdt[9];
    struct tss tss;
    struct ist_stack ist[IST_COUNT];
} __aligned(4096);

static DEFINE_PER_CPU(struct entry_area, trap_entry_area);
/* For entry.S. */
DEFINE_PER_CPU(u64, trap_stack_top);
DEFINE_PER_CPU(u64, trap_user_rsp);

static struct idt_gate idt[256] __aligned(16) __ro_after_init;
extern char trap_stubs[];
void syscall_entry(void);
void syscall_entry_compat(void);
void trap_dispatch(unsigned vector, struct trap_frame *frame);

static void idt_set(unsigned vector, u8 ist, unsigned dpl)
{
    u64 target = (u64)trap_stubs + vector * TRAP_STUB_SIZE;

    idt[vector] = (struct idt_gate){
        .offset_low = (u16)target,
        .selector = KERNEL_CS,
        .ist = ist,
        .type = (u8)(0x8e | dpl << 5), /* interrupt gate: IF cleared */
        .offset_mid = (u16)(target >> 16),
        .offset_high = (u32)(target >> 32),
    };
}

static void idt_fill(void)
{
    for (unsigned v = 0; v < 256; v++)
        idt_set(v, 0, 0);
    idt_set(VEC_DF, IST_DF, 0);
    idt_set(VEC_NMI, IST_NMI, 0);
    idt_set(VEC_MC, IST_MC, 0);
    idt_set(VEC_BP, 0, 3);
    idt_set(VEC_OF, 0, 3);
}

/* No code segment of 32 bits: the entries are made for 64-bit mode, and nothing we run needs one.
 */
static void gdt_fill(struct entry_area *area)
{
    u64 tss = (u64)&area->tss;

    area->gdt[KERNEL_CS / 8] = 0x00af9b000000ffff;
    area->gdt[KERNEL_DS / 8] = 0x00cf93000000ffff;
    area->gdt[USER_DS / 8] = 0x00cff3000000ffff;
    area->gdt[USER_CS / 8] = 0x00affb000000ffff;
    area->gdt[TSS_SEL / 8] =
        (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | 0x89UL << 40 | (tss >> 24 & 0xff) << 56;
    area->gdt[TSS_SEL / 8 + 1] = tss >> 32;
    area->gdt[SEL_USER_CPU / 8] = 0x0040f10000000000 | cpu_id(); /* read-only, bytes */
}

static void tss_fill(struct entry_area *area)
{
    area->tss.iomap = sizeof(struct tss);
    for (unsigned i = 0; i < IST_COUNT; i++) {
        area->ist[i].delta = this_cpu_read(percpu_self_delta);
        area->tss.ist[i] = (u64)&area->ist[i].delta;
    }
}

static void gdt_load(struct entry_area *area)
{
    struct table_pointer p = {sizeof(area->gdt) - 1, (u64)area->gdt};

    __asm__ volatile("lgdt %0\n"
                     "pushq %1\n"
                     "leaq 1f(%%rip), %%rax\n"
                     "pushq %%rax\n"
                     "lretq\n"
                     "1: mov %2, %%ss\n"
                     "mov %3, %%ds\n"
                     "mov %3, %%es\n" ::"m"(p),
                     "i"(KERNEL_CS), "r"(KERNEL_DS), "r"(0)
                     : "rax", "memory");
    __asm__ volatile("ltr %w0" ::"r"(TSS_SEL));
    __asm__ volatile("lldt %w0" ::"r"(0)); /* what the loader or the reset left: SDM 3A 10.1.1 */
}

static void syscall_msrs_set(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    /* SYSCALL: CS and SS from bits 47:32. SYSRET: SS = base + 8, 64-bit CS = base + 16. */
    wrmsr(MSR_STAR, (u64)KERNEL_CS << 32 | (u64)SYSRET_BASE << 48);
    wrmsr(MSR_LSTAR, (u64)syscall_entry);
    wrmsr(MSR_CSTAR, (u64)syscall_entry_compat);
    wrmsr(MSR_SFMASK, RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_AC | RFLAGS_NT | RFLAGS_IOPL |
                          RFLAGS_RF | RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF |
                          RFLAGS_OF);
    /* SYSENTER faults while this selector is null, whatever the firmware had there. */
    wrmsr(MSR_IA32_SYSENTER_CS, 0);
    wrmsr(MSR_IA32_SYSENTER_ESP, 0);
    wrmsr(MSR_IA32_SYSENTER_EIP, 0);
}

void trap_init_cpu(void)
{
    struct entry_area *area = this_cpu_ptr(trap_entry_area);
    struct table_pointer p = {sizeof(idt) - 1, (u64)idt};

    if (cpu_id() == 0)
        idt_fill();
    gdt_fill(area);
    tss_fill(area);
    gdt_load(area);
    __asm__ volatile("lidt %0" ::"m"(p));
    syscall_msrs_set();
}

void trap_set_stack(u64 stack_top)
{
    this_cpu_ptr(trap_entry_area)->tss.rsp[0] = stack_top;
    this_cpu_write(trap_stack_top, stack_top);
}

static const char *const trap_names[32] = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "device not available",
    "double fault",
    "vector 9",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "vector 15",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
};

static __noreturn void trap_panic(unsigned vector, struct trap_frame *f, u64 addr)
{
    const char *name = vector < 32 && trap_names[vector] ? trap_names[vector] : "exception";

    log_err("rip %016lx rsp %016lx rflags %06lx cs %02lx error %lx cr2 %016lx cr3 %lx", f->rip,
            f->rsp, f->rflags, f->cs, f->orig_rax, addr, read_cr3());
    log_err("rax %016lx rbx %016lx rcx %016lx rdx %016lx rsi %016lx rdi %016lx", f->rax, f->rbx,
            f->rcx, f->rdx, f->rsi, f->rdi);
    log_err("rbp %016lx r8  %016lx r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->rbp, f->r8,
            f->r9, f->r10, f->r11, f->r12);
    panic_at(f->rip, f->rbp, "%s in the kernel at %016lx", name, f->rip);
}

/* In kernel mode only an instruction with a fix-up may touch user memory, and only it may fault. */
static void trap_page_fault(struct trap_frame *f)
{
    u64 addr = read_cr2();
    bool user = trap_from_user(f);

    if (f->rflags & RFLAGS_IF)
        irq_enable();
    if (user || (addr < USER_TOP && extable_has(f->rip))) {
        if (up_page_fault(f, addr, f->orig_rax))
            return;
    }
    if (!extable_fixup(f))
        trap_panic(VEC_PF, f, addr);
}

static void trap_exception(unsigned vector, struct trap_frame *f)
{
    if (vector == VEC_NMI) {
        if (!up_nmi(f))
            trap_panic(vector, f, 0);
    } else if (vector == VEC_DF || vector == VEC_MC) {
        trap_panic(vector, f, read_cr2());
    } else if (trap_from_user(f)) {
        irq_enable();
        up_user_exception(f, vector);
    } else if (!extable_fixup(f)) {
        trap_panic(vector, f, 0);
    }
}

static void trap_interrupt(unsigned vector, const struct trap_frame *frame)
{
    if (vector == VEC_SPURIOUS)
        return;
    if (vector <= VEC_IRQ_LAST) {
        up_irq(vector);
        apic_eoi(); /* afterwards: a line that its handler has quieted does not come again */
        return;
    }
    apic_eoi();
    switch (vector) {
    case VEC_TIMER:
        up_timer(trap_from_user(frame));
        break;
    case VEC_RESCHED:
        up_resched();
        break;
    case VEC_TLB:
        up_tlb_flush();
        break;
    case VEC_CALL:
        up_cpu_call();
        break;
    }
}

/* For the watch: a gate has taken interrupts off. What interrupts anything anywhere is not watched.
 */
static inline void trap_watch_in(unsigned vector, const struct trap_frame *frame)
{
    if (vector == VEC_NMI || vector == VEC_DF || vector == VEC_MC)
        return;
    if (trap_from_user(frame))
        watch_begin();
    if ((frame->rflags & RFLAGS_IF) && vector >= VEC_IRQ_FIRST)
        watch_handler();
    else if (frame->rflags & RFLAGS_IF)
        watch_irqs_off();
}

static inline void trap_watch_out(unsigned vector, const struct trap_frame *frame)
{
    if (vector == VEC_NMI || vector == VEC_DF || vector == VEC_MC)
        return;
    if ((frame->rflags & RFLAGS_IF) && vector >= VEC_IRQ_FIRST)
        watch_handled();
    else if ((frame->rflags & RFLAGS_IF) && !irq_enabled())
        watch_irqs_on();
    if (trap_from_user(frame))
        watch_end();
}

/* From entry.S. */
void trap_dispatch(unsigned vector, struct trap_frame *frame)
{
    trap_watch_in(vector, frame);
    DEBUG_ASSERT(!(read_cr4() & CR4_SMAP) || !(read_rflags() & RFLAGS_AC)); /* SMAP holds */
    if (vector == VEC_PF)
        trap_page_fault(frame);
    else if (vector < VEC_IRQ_FIRST)
        trap_exception(vector, frame);
    else {
        frame->orig_rax = ~(u64)vector;
        this_cpu_write(percpu_in_interrupt, true);
        trap_interrupt(vector, frame);
        this_cpu_write(percpu_in_interrupt, false);
    }
    if (trap_from_user(frame))
        up_user_return();
    trap_watch_out(vector, frame);
}
