/* SPDX-License-Identifier: MIT
 *
 * The ioctls of KVM's interface, and their arguments: state as the kernel has it with some of its
 * words exchanged, for what is all random is refused at the first field.
 */
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "machine.h"

enum { OF_KVM, OF_VM, OF_VCPU };
enum { BY_VALUE, BY_ADDRESS };

/* request: what is made; get: fills the argument first, or 0; size: of what follows the head. */
struct request {
    unsigned long request, get;
    uint8_t of, by;
    uint16_t tail;
};

#define VALUE(of, r)          \
    {                         \
        r, 0, of, BY_VALUE, 0 \
    }
#define GIVE(of, r)             \
    {                           \
        r, 0, of, BY_ADDRESS, 0 \
    }
#define STATE(get, set)                  \
    {get, 0, OF_VCPU, BY_ADDRESS, 0},    \
    {                                    \
        set, get, OF_VCPU, BY_ADDRESS, 0 \
    }
#define VM_STATE(get, set)             \
    {get, 0, OF_VM, BY_ADDRESS, 0},    \
    {                                  \
        set, get, OF_VM, BY_ADDRESS, 0 \
    }

static const struct request requests[] = {
    VALUE(OF_KVM, KVM_GET_API_VERSION),
    VALUE(OF_KVM, KVM_CREATE_VM),
    VALUE(OF_KVM, KVM_CHECK_EXTENSION),
    VALUE(OF_KVM, KVM_GET_VCPU_MMAP_SIZE),
    {KVM_GET_SUPPORTED_CPUID, 0, OF_KVM, BY_ADDRESS, 3000},
    {KVM_GET_SUPPORTED_HV_CPUID, 0, OF_KVM, BY_ADDRESS, 1000},
    {KVM_GET_EMULATED_CPUID, 0, OF_KVM, BY_ADDRESS, 3000},
    {KVM_GET_MSR_INDEX_LIST, 0, OF_KVM, BY_ADDRESS, 1000},
    {KVM_GET_MSR_FEATURE_INDEX_LIST, 0, OF_KVM, BY_ADDRESS, 1000},
    {KVM_GET_MSRS, 0, OF_KVM, BY_ADDRESS, 400},
    GIVE(OF_KVM, KVM_X86_GET_MCE_CAP_SUPPORTED),
    VALUE(OF_VM, KVM_CHECK_EXTENSION),
    VALUE(OF_VM, KVM_CREATE_VCPU),
    VALUE(OF_VM, KVM_CREATE_IRQCHIP),
    VALUE(OF_VM, KVM_SET_TSS_ADDR),
    VALUE(OF_VM, KVM_SET_BOOT_CPU_ID),
    VALUE(OF_VM, KVM_SET_NR_MMU_PAGES),
    VALUE(OF_VM, KVM_GET_NR_MMU_PAGES),
    GIVE(OF_VM, KVM_SET_USER_MEMORY_REGION),
    GIVE(OF_VM, KVM_SET_USER_MEMORY_REGION),
    GIVE(OF_VM, KVM_GET_DIRTY_LOG),
    GIVE(OF_VM, KVM_CLEAR_DIRTY_LOG),
    GIVE(OF_VM, KVM_SET_IDENTITY_MAP_ADDR),
    GIVE(OF_VM, KVM_IRQ_LINE),
    GIVE(OF_VM, KVM_IRQ_LINE_STATUS),
    VM_STATE(KVM_GET_IRQCHIP, KVM_SET_IRQCHIP),
    VM_STATE(KVM_GET_PIT2, KVM_SET_PIT2),
    VM_STATE(KVM_GET_CLOCK, KVM_SET_CLOCK),
    GIVE(OF_VM, KVM_CREATE_PIT2),
    GIVE(OF_VM, KVM_REINJECT_CONTROL),
    GIVE(OF_VM, KVM_IRQFD),
    GIVE(OF_VM, KVM_IOEVENTFD),
    GIVE(OF_VM, KVM_SIGNAL_MSI),
    GIVE(OF_VM, KVM_ENABLE_CAP),
    GIVE(OF_VM, KVM_CREATE_DEVICE),
    GIVE(OF_VM, KVM_REGISTER_COALESCED_MMIO),
    GIVE(OF_VM, KVM_UNREGISTER_COALESCED_MMIO),
    {KVM_SET_GSI_ROUTING, 0, OF_VM, BY_ADDRESS, 400},
    GIVE(OF_VM, KVM_X86_SET_MSR_FILTER),
    VALUE(OF_VCPU, KVM_NMI),
    VALUE(OF_VCPU, KVM_SMI),
    VALUE(OF_VCPU, KVM_SET_TSC_KHZ),
    VALUE(OF_VCPU, KVM_GET_TSC_KHZ),
    VALUE(OF_VCPU, KVM_KVMCLOCK_CTRL),
    STATE(KVM_GET_REGS, KVM_SET_REGS),
    STATE(KVM_GET_REGS, KVM_SET_REGS),
    STATE(KVM_GET_SREGS, KVM_SET_SREGS),
    STATE(KVM_GET_SREGS, KVM_SET_SREGS),
    STATE(KVM_GET_SREGS2, KVM_SET_SREGS2),
    STATE(KVM_GET_FPU, KVM_SET_FPU),
    STATE(KVM_GET_XSAVE, KVM_SET_XSAVE),
    STATE(KVM_GET_XSAVE2, KVM_SET_XSAVE),
    STATE(KVM_GET_XCRS, KVM_SET_XCRS),
    STATE(KVM_GET_LAPIC, KVM_SET_LAPIC),
    STATE(KVM_GET_LAPIC, KVM_SET_LAPIC),
    STATE(KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS),
    STATE(KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS),
    STATE(KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS),
    STATE(KVM_GET_MP_STATE, KVM_SET_MP_STATE),
    GIVE(OF_VCPU, KVM_INTERRUPT),
    GIVE(OF_VCPU, KVM_TRANSLATE),
    GIVE(OF_VCPU, KVM_SET_GUEST_DEBUG),
    GIVE(OF_VCPU, KVM_SET_VAPIC_ADDR),
    GIVE(OF_VCPU, KVM_TPR_ACCESS_REPORTING),
    GIVE(OF_VCPU, KVM_X86_SETUP_MCE),
    GIVE(OF_VCPU, KVM_X86_SET_MCE),
    GIVE(OF_VCPU, KVM_ENABLE_CAP),
    {KVM_SET_SIGNAL_MASK, 0, OF_VCPU, BY_ADDRESS, 8},
    {KVM_GET_MSRS, 0, OF_VCPU, BY_ADDRESS, 400},
    {KVM_SET_MSRS, 0, OF_VCPU, BY_ADDRESS, 400},
    {KVM_SET_MSRS, 0, OF_VCPU, BY_ADDRESS, 400},
    {KVM_SET_CPUID2, 0, OF_VCPU, BY_ADDRESS, 3000},
    {KVM_GET_CPUID2, 0, OF_VCPU, BY_ADDRESS, 3000},
    {KVM_GET_STATS_FD, 0, OF_VCPU, BY_VALUE, 0},
    {KVM_NMI + 0x40, 0, OF_VCPU, BY_VALUE, 0}, /* numbers that are nothing's */
    {0xaeff, 0, OF_VM, BY_VALUE, 0},
};

/* Registers that guests and VMMs write, and some that are nothing. */
uint32_t msr_any(struct chance *c)
{
    static const uint32_t msrs[] = {
        0x10,       0x1b,       0x3a,       0x3b,       0x48,       0x49,       0x8b,
        0xce,       0x10a,      0x174,      0x175,      0x176,      0x179,      0x17a,
        0x17b,      0x1a0,      0x1d9,      0x200,      0x201,      0x20f,      0x250,
        0x277,      0x2ff,      0x400,      0x401,      0x404,      0x480,      0x6e0,
        0x800,      0x802,      0x808,      0x80b,      0x80d,      0x80f,      0x810,
        0x830,      0x832,      0x838,      0x83f,      0xda0,      0xc0000080, 0xc0000081,
        0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103,
        0xc0010015, 0xc001001f, 0xc0010114, 0xc0010117, 0xc001011f, 0x11,       0x12,
        0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06,
        0x40000000, 0x40000001, 0x40000002, 0x40000003, 0x40000020, 0x40000021, 0x40000022,
        0x40000070, 0x40000071, 0x40000072, 0x40000073, 0x40000100, 0x40000105, 0x400000b0,
        0x12345};

    return chance_of(c, 20) ? value_int(c) : msrs[chance_below(c, sizeof(msrs) / sizeof(*msrs))];
}

/* A guest-physical address: RAM's, a device's, past the end. */
static uint64_t place(struct chance *c)
{
    static const uint64_t places[] = {0,          0x1000,     0xa0000,    GUEST_SIZE,
                                      0xfec00000, 0xfee00000, 0xfffbc000, 0xfffff000,
                                      1UL << 32,  1UL << 46,  1UL << 52};

    return chance_of(c, 6) ? value_word(c)
                           : places[chance_below(c, sizeof(places) / sizeof(*places))] +
                                 (chance_of(c, 4) ? chance_below(c, 0x2000) : 0);
}

/* What one request in particular wants to be let through its first checks. */
static void plausible(struct machine *m, const struct request *r, struct chance *c, uint32_t *a)
{
    struct kvm_userspace_memory_region *slot = (void *)a;
    struct kvm_msrs *msrs = (void *)a;
    struct kvm_irqfd *irqfd = (void *)a;
    struct kvm_ioeventfd *io = (void *)a;
    struct kvm_coalesced_mmio_zone *zone = (void *)a;

    switch (r->request) {
    case KVM_SET_USER_MEMORY_REGION:
        *slot = (struct kvm_userspace_memory_region){
            (uint32_t)chance_below(c, chance_of(c, 8) ? 1UL << 32 : 6),
            (uint32_t)chance_below(c, 4), place(c),
            chance_of(c, 3) ? 0 : chance_below(c, 520) << 12,
            (uint64_t)m->mem + (chance_below(c, 520) << 12)};
        break;
    case KVM_GET_MSRS:
    case KVM_SET_MSRS:
        msrs->nmsrs = (uint32_t)chance_below(c, 24);
        for (uint32_t i = 0; i < msrs->nmsrs; i++) {
            uint32_t msr = msr_any(c);
            msrs->entries[i] = (struct kvm_msr_entry){
                .index = msr, .data = msr == MSR_EFER ? bits_of(c, EFER_BITS) : value_word(c)};
        }
        break;
    case KVM_IRQFD:
        *irqfd = (struct kvm_irqfd){(uint32_t)m->event, (uint32_t)chance_below(c, 30),
                                    (uint32_t)chance_below(c, 4), (uint32_t)m->event};
        break;
    case KVM_IOEVENTFD:
        *io = (struct kvm_ioeventfd){chance_below(c, 4), chance_of(c, 2) ? 0xe1 : place(c),
                                     1U << chance_below(c, 4), m->event,
                                     (uint32_t)chance_below(c, 16)};
        break;
    case KVM_REGISTER_COALESCED_MMIO:
    case KVM_UNREGISTER_COALESCED_MMIO:
        *zone = (struct kvm_coalesced_mmio_zone){.addr = chance_of(c, 2) ? 0xe1 : place(c),
                                                 .size = (uint32_t)chance_below(c, 0x2000),
                                                 .pio = (uint32_t)chance_below(c, 3)};
        break;
    case KVM_SET_GSI_ROUTING:
    case KVM_GET_DIRTY_LOG:
    case KVM_SET_CPUID2:
    case KVM_GET_SUPPORTED_CPUID:
        a[0] = (uint32_t)chance_below(c, 20);
        break;
    case KVM_SET_GUEST_DEBUG:
        a[0] = (uint32_t)chance_below(c, 4) | (uint32_t)chance_below(c, 32) << 16;
        break;
    case KVM_SET_SIGNAL_MASK:
        a[0] = 8;
        break;
    default:
        break;
    }
}

/* Some words of the argument become others: at 32 or 64 bits. */
static void exchange(uint8_t *a, size_t size, struct chance *c)
{
    uint64_t n = chance_below(c, 4);

    while (n-- && size >= 8) {
        uint64_t v = chance_of(c, 3) ? value_word(c) : value_int(c);
        size_t at = chance_below(c, size / 4) * 4;
        memcpy(a + at, &v, at + 8 > size || chance_of(c, 2) ? 4 : 8);
    }
    if (chance_of(c, 3)) /* a bit */
        a[chance_below(c, size)] ^= (uint8_t)(1U << chance_below(c, 8));
}

static int target(struct machine *m, const struct request *r, struct chance *c)
{
    if (chance_of(c, 64))
        return object_any(c);
    switch (r->of) {
    case OF_KVM:
        return m->kvm;
    case OF_VM:
        return m->vm;
    default:
        return m->vcpu[chance_below(c, m->vcpus)];
    }
}

static unsigned long value_for(const struct request *r, struct chance *c)
{
    switch (r->request) {
    case KVM_CREATE_VM:
        return chance_below(c, 3);
    case KVM_CREATE_VCPU:
        return chance_of(c, 4) ? value_word(c) : chance_below(c, 8);
    case KVM_CHECK_EXTENSION:
        return chance_below(c, 260);
    default:
        return value_word(c);
    }
}

/* A VM that a request made stays open until its process ends: some are closed here. */
static void made(const struct request *r, int fd, struct chance *c)
{
    if (fd > 2 &&
        (r->request == KVM_CREATE_VM || r->request == KVM_CREATE_VCPU ||
         r->request == KVM_GET_STATS_FD) &&
        !chance_of(c, 8))
        close(fd);
}

void ioctl_any(struct machine *m, struct chance *c)
{
    static _Thread_local uint32_t arg[8192 / 4 + 2048];
    const struct request *r = &requests[chance_below(c, sizeof(requests) / sizeof(*requests))];
    size_t size = _IOC_SIZE(r->request) + r->tail;
    int fd = target(m, r, c);

    if (r->by == BY_VALUE) {
        made(r, ioctl(fd, r->request, value_for(r, c)), c);
        return;
    }
    if (size < 8)
        size = 8;
    if (r->get) {
        if (r->of == OF_VM)
            arg[0] = (uint32_t)chance_below(c, 4);
        ioctl(fd, r->get, arg);
    } else {
        for (size_t i = 0; i < size / 4; i++)
            arg[i] = chance_of(c, 3) ? value_int(c) : (uint32_t)chance_below(c, 8);
        plausible(m, r, c, arg);
    }
    if (!chance_of(c, 8))
        exchange((uint8_t *)arg, size, c);
    ioctl(fd, r->request, chance_of(c, 50) ? (void *)value_address(c) : (void *)arg);
}
