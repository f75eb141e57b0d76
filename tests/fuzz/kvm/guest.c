/* SPDX-License-Identifier: MIT
 *
 * What the guests run: instructions that leave the guest or change its mode, with random operands,
 * and bytes that are anything; tables for protected and long mode that mostly hold; and now and
 * then state that no reset would give.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "machine.h"

#define CODE_AT 0x1000u
#define CODE_SIZE 0x1000u
#define GDT_AT 0x500u
#define STACK_TOP 0x8000u
#define TABLES 0x10000u
#define IDT_AT 0x9000u

struct snippet {
    uint8_t n, bytes[11];
};

#define S(...)                            \
    {                                     \
        sizeof((uint8_t[]){__VA_ARGS__}), \
        {                                 \
            __VA_ARGS__                   \
        }                                 \
    }
static const struct snippet snippets[] = {
    S(0xf4),
    S(0xfb),
    S(0xfa),
    S(0x0f, 0xa2), /* hlt, sti, cli, cpuid */
    S(0xfb, 0xf4), /* sti; hlt */
    S(0x0f, 0x30),
    S(0x0f, 0x32),
    S(0x0f, 0x31), /* wrmsr, rdmsr, rdtsc */
    S(0x0f, 0x01, 0xf9),
    S(0x0f, 0x01, 0xd0),
    S(0x0f, 0x01, 0xd1), /* rdtscp, xgetbv, xsetbv */
    S(0xee),
    S(0xec),
    S(0xef),
    S(0xed),
    S(0xe6, 0xe0),
    S(0xe4, 0x61), /* in, out */
    S(0x6c),
    S(0x6e),
    S(0xf3, 0x6c),
    S(0xf3, 0x6e),
    S(0xf3, 0x66, 0x6f), /* ins, outs */
    S(0xf3, 0xa4),
    S(0xf3, 0xab),
    S(0xa5),
    S(0xa7),
    S(0xac),
    S(0xae), /* strings */
    S(0x0f, 0x20, 0xc0),
    S(0x0f, 0x22, 0xc0),
    S(0x0f, 0x22, 0xd8), /* cr0, cr3 */
    S(0x0f, 0x22, 0xe0),
    S(0x0f, 0x20, 0xe0),
    S(0x44, 0x0f, 0x22, 0xc0), /* cr4, cr8 */
    S(0x0f, 0x23, 0xf8),
    S(0x0f, 0x21, 0xf0),
    S(0x0f, 0x23, 0xc0), /* dr */
    S(0x0f, 0x06),
    S(0x0f, 0x08),
    S(0x0f, 0x09),
    S(0x0f, 0x01, 0x38), /* clts, invlpg */
    S(0x0f, 0x01, 0xc1),
    S(0x0f, 0x01, 0xd9),
    S(0x0f, 0x01, 0xd8), /* vmcall, vmmcall, vmrun */
    S(0x0f, 0x01, 0xda),
    S(0x0f, 0x01, 0xdc),
    S(0x0f, 0x01, 0xdf), /* vmload, stgi, invlpga */
    S(0x0f, 0x01, 0x10),
    S(0x0f, 0x01, 0x18),
    S(0x0f, 0x01, 0x30), /* lgdt, lidt, lmsw */
    S(0x0f, 0x00, 0xd8),
    S(0x0f, 0x00, 0xd0),
    S(0x0f, 0x01, 0xe0), /* ltr, lldt, smsw */
    S(0x8e, 0xd8),
    S(0x8e, 0xd0),
    S(0x8c, 0xd8),
    S(0x0f, 0xb2, 0x20), /* segments */
    S(0xcd, 0x80),
    S(0xcc),
    S(0xce),
    S(0xf1),
    S(0xcf),
    S(0x48, 0xcf), /* int, int3, iret */
    S(0x0f, 0x05),
    S(0x0f, 0x07),
    S(0x0f, 0x34),
    S(0x0f, 0x35), /* syscall, sysenter */
    S(0x0f, 0xae, 0x00),
    S(0x0f, 0xae, 0x08),
    S(0x0f, 0xae, 0x20), /* fxsave, xsave */
    S(0x0f, 0xae, 0x28),
    S(0xdd, 0x30),
    S(0xdb, 0xe3),
    S(0xd9, 0x00), /* xrstor, x87 */
    S(0x8b, 0x07),
    S(0x89, 0x07),
    S(0x88, 0x07),
    S(0x48, 0x8b, 0x07), /* mov and memory */
    S(0x87, 0x07),
    S(0xf0, 0x0f, 0xb1, 0x0f),
    S(0xf0, 0xff, 0x07), /* xchg, lock */
    S(0xf0, 0x0f, 0xc7, 0x0f),
    S(0x48, 0x0f, 0xc7, 0x0f), /* cmpxchg8b, 16b */
    S(0x0f, 0xb6, 0x07),
    S(0x0f, 0xbe, 0x07),
    S(0xa1, 0, 0, 0, 0), /* movzx */
    S(0xf7, 0x37),
    S(0xf7, 0x27),
    S(0xc1, 0x27, 0x03),
    S(0x0f, 0xa3, 0x07), /* div, mul, bt */
    S(0x0f, 0x28, 0x07),
    S(0x0f, 0x11, 0x07),
    S(0xf3, 0x0f, 0x6f, 0x07), /* sse */
    S(0xc5, 0xf8, 0x10, 0x07),
    S(0x0f, 0x18, 0x07),
    S(0x0f, 0xae, 0x3f), /* avx, prefetch */
    S(0xff, 0x37),
    S(0x8f, 0x07),
    S(0x50),
    S(0x58),
    S(0x9c),
    S(0x9d),
    S(0x60),
    S(0x61),
    S(0xc3),
    S(0xcb),
    S(0xc8, 0x10, 0, 3),
    S(0xc9),
    S(0xff, 0x2f),
    S(0xff, 0x1f),
    S(0xff, 0x27),
    S(0x66),
    S(0x67),
    S(0xf3),
    S(0x2e),
    S(0x64),
    S(0x65),
    S(0x48),
    S(0x4f), /* prefixes */
    S(0x0f, 0x0b),
    S(0x0f, 0xb9),
    S(0x0f, 0x3f),
    S(0xd6),
    S(0x0f, 0x1f, 0x00),
    S(0x0f, 0xc7, 0xf0),
    S(0x0f, 0xc7, 0xf8),
    S(0x0f, 0x33),
    S(0x0f, 0x01, 0xc8),
    S(0x0f, 0x01, 0xc9),
    S(0xf3, 0x90),
    S(0x0f, 0xc7, 0x37),
    S(0x66, 0x0f, 0x38, 0x82, 0x07),
    S(0x0f, 0xaa),
    S(0x0f, 0x01, 0xf8),
    S(0x0f, 0x01, 0xcb),
    S(0x0f, 0x01, 0xca), /* rsm, swapgs */
};

/* A register's new value: an address with a device, with RAM, a port, an MSR, a number. */
static size_t load_register(uint8_t *p, struct chance *c)
{
    static const uint32_t values[] = {
        0,          1,          0x20,       0x21,       0x40,       0x43,       0x61,
        0x70,       0xcf8,      0x3f8,      0x402,      0x4000,     0xa0000,    GUEST_SIZE - 2,
        0xd0000000, 0xfec00000, 0xfec00010, 0xfee00020, 0xfee000b0, 0xfee00300, 0xfee00310,
        0xfee00380, 0xffffffff, 0x80000000, 0x11,       0x80000011, TABLES,     0x620,
        0x40,       0x0c4500};
    uint32_t v = values[chance_below(c, sizeof(values) / sizeof(*values))];

    switch (chance_below(c, 4)) {
    case 0:
        v = value_int(c);
        break;
    case 1:
        v = msr_any(c);
        break;
    default:
        break;
    }
    p[0] =
        (uint8_t)(0xb8 + chance_below(c, 8)); /* mov reg, imm32: imm16 and rubbish in real mode */
    memcpy(p + 1, &v, 4);
    return 5;
}

void guest_code(struct machine *m, struct chance *c)
{
    uint8_t *code = m->mem + CODE_AT;
    size_t at = 0;

    while (at + 16 < CODE_SIZE) {
        const struct snippet *s = &snippets[chance_below(c, sizeof(snippets) / sizeof(*snippets))];
        if (chance_of(c, 2)) {
            at += load_register(code + at, c);
        } else if (chance_of(c, 12)) {
            code[at++] = (uint8_t)chance_u64(c);
        } else {
            memcpy(code + at, s->bytes, s->n);
            at += s->n;
        }
    }
    code[at] = 0xeb; /* jmp short back */
    code[at + 1] = 0x80;
}

/* Gates for every vector into the code; a GDT; the first GiB and the devices' one to one. */
static void tables(struct machine *m, bool wide, struct chance *c)
{
    static const uint64_t gdt[] = {0,
                                   0x00cf9b000000ffff,
                                   0x00cf93000000ffff,
                                   0x00af9b000000ffff,
                                   0x00cffb000000ffff,
                                   0x00cff3000000ffff,
                                   0x0000890000000067,
                                   0x0000850000000018};
    uint64_t *t = (uint64_t *)(m->mem + TABLES);

    memcpy(m->mem + GDT_AT, gdt, sizeof(gdt));
    for (unsigned i = 0; i < 256; i++) {
        uint64_t to = CODE_AT + chance_below(c, CODE_SIZE - 64);
        uint64_t gate = to | (wide ? 3UL : 1UL) << 19 | 0x8e00UL << 32;
        if (chance_of(c, 30))
            gate ^= 1UL << chance_below(c, 64);
        memcpy(m->mem + IDT_AT + i * (wide ? 16 : 8), &gate, 8);
        if (wide)
            memset(m->mem + IDT_AT + i * 16 + 8, 0, 8);
    }
    t[0] = (TABLES + 0x1000) | 7;
    for (unsigned i = 0; i < 4; i++)
        t[512 + i] = (TABLES + 0x2000 + i * 0x1000) | 7;
    for (uint64_t i = 0; i < 2048; i++)
        t[1024 + i] = i << 21 | 0x87;
    if (chance_of(c, 4))
        t[chance_below(c, 1500)] ^= 1UL << chance_below(c, 64);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, uint8_t db, uint8_t l)
{
    return (struct kvm_segment){.limit = 0xffffffff,
                                .selector = selector,
                                .type = type,
                                .present = 1,
                                .db = db,
                                .s = 1,
                                .l = l,
                                .g = 1};
}

static void mode(struct machine *m, struct kvm_sregs *s, struct chance *c)
{
    unsigned which = (unsigned)chance_below(c, 4); /* 0: real, 1: protected, 2: paged, 3: long */

    s->cs.base = 0;
    s->cs.selector = 0;
    if (which == 0)
        return;
    tables(m, which == 3, c);
    s->gdt.base = GDT_AT;
    s->gdt.limit = 63;
    s->idt.base = IDT_AT;
    s->idt.limit = which == 3 ? 4095 : 2047;
    s->ds = s->es = s->fs = s->gs = s->ss = segment(0x10, 3, 1, 0);
    s->cs = which == 3 ? segment(0x18, 11, 0, 1) : segment(8, 11, 1, 0);
    s->tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
    s->ldt = (struct kvm_segment){.unusable = 1};
    s->cr0 = which == 1 ? 0x11 : which == 2 ? 0x80000011 : 0x80000011;
    s->cr3 = which == 2 ? TABLES + 0x1000 : TABLES;
    s->cr4 = which == 1 ? 0x600 : 0x620;
    s->efer = which == 3 ? 0x500 : 0;
}

/* Control registers of which each bit is known, together whatever comes. */
static void disturb(struct machine *m, unsigned v, struct kvm_sregs *s, struct chance *c)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry efer;
    } msr = {.head.nmsrs = 1, .efer = {.index = MSR_EFER, .data = bits_of(c, EFER_BITS)}};

    if (chance_of(c, 2))
        ioctl(m->vcpu[v], KVM_SET_MSRS, &msr);
    s->cr0 ^= bits_of(c, 0xe005003full) & bits_of(c, UINT64_MAX);
    s->cr4 ^= bits_of(c, 0x3707ffull) & bits_of(c, UINT64_MAX);
    s->efer ^= bits_of(c, EFER_BITS) & bits_of(c, UINT64_MAX);
    s->cs.l ^= chance_of(c, 8);
    s->ss.dpl = (uint8_t)chance_below(c, 4);
    ioctl(m->vcpu[v], KVM_SET_SREGS, s);
    if (chance_of(c, 2))
        ioctl(m->vcpu[v], KVM_SET_MSRS, &msr);
}

/* Hyper-V's interface: its signature, and an identity, with which hypercalls are its. */
static void identify_hyperv(struct machine *m, unsigned v, struct kvm_cpuid2 *id)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry e;
    } os_id = {.head.nmsrs = 1, .e = {.index = 0x40000000, .data = 1}};

    for (unsigned i = 0; i < id->nent; i++)
        if (id->entries[i].function == 0x40000001)
            id->entries[i].eax = 0x31237648; /* "Hv#1" */
    ioctl(m->vcpu[v], KVM_SET_MSRS, &os_id);
}

/* The CPUID that the kernel offers, mostly. */
static void identify(struct machine *m, unsigned v, struct chance *c)
{
    static _Thread_local struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[100];
    } id;

    id.head.nent = 100;
    if (ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, &id) != 0)
        return;
    if (chance_of(c, 2))
        identify_hyperv(m, v, &id.head);
    ioctl(m->vcpu[v], KVM_SET_CPUID2, &id);
}

void guest_start(struct machine *m, unsigned v, struct chance *c)
{
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = CODE_AT + chance_below(c, CODE_SIZE / 2),
                         .rsp = STACK_TOP,
                         .rflags = chance_of(c, 3) ? 0x202 : 2};
    struct kvm_mp_state run = {KVM_MP_STATE_RUNNABLE};
    uint64_t *gpr = (uint64_t *)&r;

    for (unsigned i = 0; i < 16; i++)
        if (i != 6 && chance_of(c, 2)) /* not rsp */
            gpr[i] = chance_of(c, 3) ? value_word(c) : chance_below(c, GUEST_SIZE);
    if (chance_of(c, 2))
        identify(m, v, c);
    if (ioctl(m->vcpu[v], KVM_GET_SREGS, &s) != 0)
        return;
    mode(m, &s, c);
    ioctl(m->vcpu[v], KVM_SET_SREGS, &s);
    if (chance_of(c, 3))
        disturb(m, v, &s, c);
    ioctl(m->vcpu[v], KVM_SET_REGS, &r);
    ioctl(m->vcpu[v], KVM_SET_MP_STATE, &run);
}
