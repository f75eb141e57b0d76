/* SPDX-License-Identifier: MIT
 *
 * Processor state: what is set is what is got, and what the guest sees of it.
 */
#include "hvtest.h"

#include <sys/ioctl.h>

GUEST(cpuid);
GUEST(msr);
GUEST(fpu);
GUEST(tsc);
GUEST(kvmclock);
GUEST(hlt);
GUEST(long);

TEST(regs_come_back)
{
    struct tvm vm;
    struct kvm_regs in, out;
    vm_make(&vm, VM_PLAIN);
    for (unsigned i = 0; i < sizeof in / 8; i++)
        ((uint64_t *)&in)[i] = 0x1111111111111111ull * (i & 15) + i;
    in.rflags = 0x246;
    vcpu_set_regs(&vm, 0, &in);
    vcpu_regs(&vm, 0, &out);
    CHECK(memcmp(&in, &out, sizeof in) == 0);
}

TEST(sregs_come_back)
{
    struct tvm vm;
    struct kvm_sregs in, out;
    vm_make(&vm, VM_PLAIN);
    vcpu_long(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &in) == 0);
    CHECK_EQ(in.cr0, 0x80000011);
    CHECK_EQ(in.cr3, TABLES);
    CHECK_EQ(in.efer, 0x500);
    CHECK_EQ(in.cs.selector, 0x18);
    CHECK_EQ(in.cs.l, 1);
    CHECK_EQ(in.gdt.base, 0x500);
    in.fs.base = 0x123456789000;
    in.gs.base = 0xffffffff80001000;
    in.cr2 = 0xabcdef;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &out) == 0);
    CHECK_EQ(out.fs.base, in.fs.base);
    CHECK_EQ(out.gs.base, in.gs.base);
    CHECK_EQ(out.cr2, in.cr2);
    CHECK_EQ(out.tr.type, 11);
}

TEST(sregs_that_cannot_be_are_refused)
{
    struct tvm vm;
    struct kvm_sregs s;
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    s.cr0 = 0x80000011; /* long mode without PAE */
    s.efer = 0x500;
    s.cr4 = 0;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s), EINVAL);
}

/* With the four top entries of PAE paging, and no interrupt. */
TEST(sregs_come_back_with_their_page_directories)
{
    static const uint64_t entries[4] = {0x20001, 0x21001, 0, 0x23001};
    struct tvm vm;
    struct kvm_sregs2 in, out;
    vm_make(&vm, VM_PLAIN);
    CHECK(vm_has(&vm, KVM_CAP_SREGS2));
    vcpu_prot(&vm, 0);
    memcpy(vm.mem + TABLES, entries, sizeof entries);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS2, &in) == 0);
    CHECK_EQ(in.flags, 0);
    CHECK_EQ(in.cr0, 0x11);
    in.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_SREGS2, &in), EINVAL);
    in.flags = 2;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_SREGS2, &in), EINVAL);
    in.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    in.cr0 |= 0x80000000;
    in.cr3 = TABLES;
    in.cr4 |= 0x20;
    memcpy(in.pdptrs, entries, sizeof entries);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS2, &in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS2, &out) == 0);
    CHECK_EQ(out.cr3, TABLES);
    CHECK_EQ(out.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
    CHECK(memcmp(out.pdptrs, entries, sizeof entries) == 0);
}

TEST(reset_state_is_the_processors)
{
    struct tvm vm;
    struct kvm_sregs s;
    struct kvm_regs r;
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    vcpu_regs(&vm, 0, &r);
    CHECK_EQ(r.rip, 0xfff0);
    CHECK_EQ(r.rflags, 2);
    CHECK_EQ(s.cs.base, 0xffff0000);
    CHECK_EQ(s.cs.selector, 0xf000);
    CHECK_EQ(s.cr0, 0x60000010);
}

TEST(fpu_state_comes_back)
{
    struct tvm vm;
    struct kvm_fpu in, out;
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_FPU, &in) == 0);
    CHECK_EQ(in.fcw, 0x37f);
    memset(in.xmm[5], 0xa5, 16);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_FPU, &in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_FPU, &out) == 0);
    CHECK(memcmp(in.xmm, out.xmm, sizeof in.xmm) == 0);
}

TEST(fpu_state_survives_exits)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, fpu);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    double mine = 1.5; /* the host's own use of the unit */
    __asm__ volatile("movsd %0, %%xmm3\n\tpxor %%xmm3, %%xmm3" : "+m"(mine) : : "xmm3");
    EXPECT_REPORT(&vm, 0, 0x01234567);
    EXPECT_REPORT(&vm, 0, 3);
}

TEST(xsave_state_comes_back)
{
    struct tvm vm;
    static struct kvm_xsave in, out;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XSAVE, &in) == 0);
    CHECK_EQ(in.region[0] & 0xffff, 0x37f);
    memset(&in.region[40 + 4 * 2], 0x3c, 16); /* XMM2 */
    in.region[128] |= 2;                      /* its bit in XSTATE_BV */
    CHECK(ioctl(vm.vcpu[0], KVM_SET_XSAVE, &in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XSAVE, &out) == 0);
    CHECK(memcmp(&in.region[40], &out.region[40], 256) == 0);
}

TEST(xsave_state_of_any_size_comes_back)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    int size = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    CHECK(size >= (int)sizeof(struct kvm_xsave));
    CHECK_EQ(ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2), size);
    uint8_t *in = calloc(1, size + 1), *out = calloc(1, size + 1);
    CHECK(in && out);
    in[size] = out[size] = 0x5a;
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XSAVE2, in) == 0);
    memset(in + 160 + 16 * 2, 0x3c, 16); /* XMM2 */
    in[512] |= 2;                        /* its bit in XSTATE_BV */
    CHECK(ioctl(vm.vcpu[0], KVM_SET_XSAVE, in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XSAVE2, out) == 0);
    CHECK(memcmp(in + 160, out + 160, 256) == 0);
    CHECK_EQ(out[size], 0x5a); /* no more than was told */
}

TEST(xcrs_come_back)
{
    struct tvm vm;
    struct kvm_xcrs x;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XCRS, &x) == 0);
    if (x.nr_xcrs == 0)
        test_skip("no XSAVE");
    CHECK_EQ(x.nr_xcrs, 1);
    CHECK_EQ(x.xcrs[0].xcr, 0);
    CHECK_EQ(x.xcrs[0].value & 1, 1);
    x.xcrs[0].value = 3;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_XCRS, &x) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_XCRS, &x) == 0);
    CHECK_EQ(x.xcrs[0].value, 3);
    x.xcrs[0].value = 2; /* x87 cannot be off */
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_XCRS, &x), EINVAL);
}

TEST(debug_registers_come_back)
{
    struct tvm vm;
    struct kvm_debugregs in = {.db = {1, 2, 3, 4}, .dr6 = 0xffff0ff0, .dr7 = 0x400}, out;
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_DEBUGREGS, &in) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_DEBUGREGS, &out) == 0);
    CHECK(memcmp(in.db, out.db, sizeof in.db) == 0);
    CHECK_EQ(out.dr7, 0x400);
}

TEST(vcpu_events_come_back)
{
    struct tvm vm;
    struct kvm_vcpu_events e;
    vm_make(&vm, VM_IRQCHIP);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_VCPU_EVENTS, &e) == 0);
    CHECK_EQ(e.exception.injected, 0);
    CHECK_EQ(e.interrupt.injected, 0);
    CHECK_EQ(e.nmi.pending, 0);
    e.nmi.pending = 1;
    e.nmi.masked = 1;
    e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_VCPU_EVENTS, &e) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_VCPU_EVENTS, &e) == 0);
    CHECK_EQ(e.nmi.pending, 1);
    CHECK_EQ(e.nmi.masked, 1);
}

TEST(mp_state_comes_back)
{
    struct tvm vm;
    struct kvm_mp_state mp;
    vm_make(&vm, VM_IRQCHIP);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_MP_STATE, &mp) == 0);
    CHECK_EQ(mp.mp_state, KVM_MP_STATE_RUNNABLE);
    mp.mp_state = KVM_MP_STATE_HALTED;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_MP_STATE, &mp) == 0);
    mp.mp_state = 77;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_SET_MP_STATE, &mp), EINVAL);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_MP_STATE, &mp) == 0);
    CHECK_EQ(mp.mp_state, KVM_MP_STATE_HALTED);
}

TEST(guest_sees_the_cpuid_it_was_given)
{
    struct tvm vm;
    struct {
        struct {
            uint32_t nent, padding;
        } head;
        struct kvm_cpuid_entry2 e[2];
    } c = {
        .head.nent = 2,
        .e = {{.function = 0x40000000, .eax = 0x40000123},
              {.function = 0x40000123, .eax = 0xcafe, .ecx = 0xbeef}},
    };
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, cpuid);
    vcpu_long(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_CPUID2, &c) == 0);
    EXPECT_REPORT(&vm, 0, 0xcafe);
    EXPECT_REPORT(&vm, 0, 0xbeef);
    memset(c.e, 0, sizeof c.e);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_CPUID2, &c) == 0);
    CHECK_EQ(c.head.nent, 2);
    CHECK_EQ(c.e[1].ecx, 0xbeef);
}

TEST(supported_cpuid_hides_virtualization_and_names_kvm)
{
    struct tvm vm;
    static struct {
        struct {
            uint32_t nent, padding;
        } head;
        struct kvm_cpuid_entry2 e[256];
    } c;
    bool signature = false;
    vm_make(&vm, VM_PLAIN);
    c.head.nent = 1;
    CHECK_ERR(ioctl(vm.kvm, KVM_GET_SUPPORTED_CPUID, &c), E2BIG);
    c.head.nent = 256;
    CHECK(ioctl(vm.kvm, KVM_GET_SUPPORTED_CPUID, &c) == 0);
    CHECK(c.head.nent > 5 && c.head.nent < 256);
    for (unsigned i = 0; i < c.head.nent; i++)
        if (c.e[i].function == KVM_CPUID_SIGNATURE)
            signature = c.e[i].ebx == 0x4b4d564b && c.e[i].ecx == 0x564b4d56 &&
                        c.e[i].edx == 0x4d && c.e[i].eax >= KVM_CPUID_FEATURES;
    CHECK(signature);
}

TEST(msrs_come_back)
{
    static const struct {
        uint32_t index;
        uint64_t value;
    } msrs[] = {
        {0x174, 0x10},                    /* SYSENTER_CS */
        {0x175, 0x123456},                /* SYSENTER_ESP */
        {0x176, 0x81000000},              /* SYSENTER_EIP */
        {0xc0000081, 0x0023001000000000}, /* STAR */
        {0xc0000082, 0xffffffff81234560}, /* LSTAR */
        {0xc0000084, 0x47700},            /* SFMASK */
        {0xc0000102, 0xffff888000000000}, /* KERNEL_GS_BASE */
        {0x277, 0x0007040600070406},      /* PAT */
        {0x2ff, 0xc06},                   /* MTRR default type */
    };
    struct tvm vm;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    for (size_t i = 0; i < sizeof msrs / sizeof *msrs; i++) {
        if (set_msr(&vm, 0, msrs[i].index, msrs[i].value) != 1)
            test_fail(__FILE__, __LINE__, "cannot set MSR %#x", msrs[i].index);
        CHECK_EQ(get_msr(&vm, 0, msrs[i].index), msrs[i].value);
    }
    CHECK_EQ(set_msr(&vm, 0, 0x12345, 1), 0);
    CHECK_EQ(set_msr(&vm, 0, 0xc0000082, 0x8000000000000000), 0); /* not canonical */
}

TEST(msr_list_holds_the_system_call_msrs)
{
    struct tvm vm;
    static struct {
        struct {
            uint32_t nmsrs;
        } head;
        uint32_t indices[512];
    } l;
    bool lstar = false, tsc = false;
    vm_make(&vm, VM_PLAIN);
    l.head.nmsrs = 0;
    CHECK_ERR(ioctl(vm.kvm, KVM_GET_MSR_INDEX_LIST, &l), E2BIG);
    CHECK(l.head.nmsrs > 0 && l.head.nmsrs <= 512);
    CHECK(ioctl(vm.kvm, KVM_GET_MSR_INDEX_LIST, &l) == 0);
    for (unsigned i = 0; i < l.head.nmsrs; i++) {
        lstar |= l.indices[i] == 0xc0000082;
        tsc |= l.indices[i] == 0x10;
    }
    CHECK(lstar && tsc);
}

TEST(guest_writes_an_msr_and_an_unknown_one_faults)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, msr);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(get_msr(&vm, 0, 0xc0000082), 0xffff834455667788);
    EXPECT_REPORT(&vm, 0, 13);
    EXPECT_REPORT(&vm, 0, 2);
}

TEST(tsc_advances)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, tsc);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(vcpu_report(&vm, 0) > 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_TSC_KHZ, 0) > 1000);
}

/* From ring 3 to ring 0 by a gate, in protected mode: TR as a VMM sets it is a busy TSS, and one
 * that is none harms no host. */
static unsigned inner_ring(uint8_t type, uint8_t present)
{
    static const uint64_t segments[] = {0x00cffb000000ffff, 0x00cff3000000ffff};
    static const uint8_t user[] = {0xcd, 0x30}, kernel[] = {0xb0, 0x5a, 0xe6, REPORT};
    static const uint32_t tss[] = {0, STACK_TOP, 0x10};
    uint64_t gate = 0x0000ee0000080000 | (LOAD_AT + 0x100);
    struct kvm_sregs s;
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    vcpu_prot(&vm, 0);
    vm_load(&vm, user, sizeof user);
    memcpy(vm.mem + LOAD_AT + 0x100, kernel, sizeof kernel);
    memcpy(vm.mem + 0x500 + 0x20, segments, sizeof segments);
    memcpy(vm.mem + 0x900, tss, sizeof tss);
    memcpy(vm.mem + 0xa00 + 0x30 * 8, &gate, sizeof gate);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    s.gdt.limit = 0x2f;
    s.idt = (struct kvm_dtable){.base = 0xa00, .limit = 0x31 * 8};
    s.cs.selector = 0x23;
    s.ss.selector = s.ds.selector = s.es.selector = 0x2b;
    s.cs.dpl = s.ss.dpl = s.ds.dpl = s.es.dpl = 3;
    s.tr = (struct kvm_segment){
        .base = 0x900, .limit = 0x67, .type = type, .present = present, .unusable = !present};
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    return vcpu_run(&vm, 0) == KVM_EXIT_IO ? *(uint8_t *)io_data(&vm, 0) : 0;
}

/* Linux hands the guest's state to the CPU as it is, which is the end of QEMU's TCG or of itself.
 */
static void skip_on_linux(void)
{
    if (!on_bothy())
        test_skip("Linux ends with this guest under QEMU's TCG");
}

TEST(long_mode_without_paging_is_a_plan)
{
    struct tvm vm;
    struct kvm_sregs s;
    skip_on_linux();
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    s.efer = 0x100;
    s.cr4 = 0;
    CHECK(ioctl(vm.vcpu[0], KVM_SET_SREGS, &s) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK(ioctl(vm.vcpu[0], KVM_GET_SREGS, &s) == 0);
    CHECK_EQ(s.efer, 0x100);
    CHECK_EQ(get_msr(&vm, 0, 0xc0000080), 0x100);
}

/* LMA says that paging is on in long mode: it is the processor's, whatever a VMM writes. */
TEST(long_mode_is_active_with_paging_only)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK_EQ(set_msr(&vm, 0, 0xc0000080, 0x400), 1);
    CHECK_EQ(get_msr(&vm, 0, 0xc0000080), 0);
    CHECK_EQ(set_msr(&vm, 0, 0xc0000080, 0x500), 1);
    CHECK_EQ(get_msr(&vm, 0, 0xc0000080), 0x100);
    skip_on_linux();
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
}

TEST(inner_ring_is_entered_by_any_task_segment)
{
    skip_on_linux();
    CHECK_EQ(inner_ring(11, 1), 0x5a);
    CHECK_EQ(inner_ring(9, 1), 0x5a);
    inner_ring(0, 0);
    inner_ring(2, 1);
}

TEST(clock_can_be_set)
{
    struct tvm vm;
    struct kvm_clock_data c = {.clock = 5000000000};
    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.fd, KVM_SET_CLOCK, &c) == 0);
    memset(&c, 0, sizeof c);
    CHECK(ioctl(vm.fd, KVM_GET_CLOCK, &c) == 0);
    CHECK(c.clock >= 5000000000 && c.clock < 65000000000);
}

/* struct pvclock: version 4, pad 4, tsc 8, time 8, multiplier 4, shift 1, flags 1 */
TEST(paravirtual_clock_is_filled_in)
{
    struct tvm vm;
    uint32_t version, mul;
    uint64_t tsc;
    vm_make(&vm, VM_IRQCHIP);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, kvmclock);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    memcpy(&version, vm.mem + 0x7000, 4);
    memcpy(&tsc, vm.mem + 0x7008, 8);
    memcpy(&mul, vm.mem + 0x7018, 4);
    CHECK(version && !(version & 1));
    CHECK(mul != 0);
    CHECK(tsc != 0);
}

/* The VMM's word that time has passed without the guest: a flag, which is the guest's to clear. */
TEST(guest_learns_that_it_was_stopped)
{
    struct tvm vm;
    uint8_t *flags;
    vm_make(&vm, VM_IRQCHIP);
    CHECK(vm_has(&vm, KVM_CAP_KVMCLOCK_CTRL));
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_KVMCLOCK_CTRL, 0), EINVAL);
    vcpu_cpuid(&vm, 0);
    LOAD(&vm, kvmclock);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    flags = vm.mem + 0x701d;
    CHECK_EQ(*flags & 2, 0);
    for (unsigned i = 0; i < 2; i++) {
        vcpu_long(&vm, 0);
        CHECK(ioctl(vm.vcpu[0], KVM_KVMCLOCK_CTRL, 0) == 0);
        EXPECT_REPORT(&vm, 0, 1);
        CHECK_EQ(*flags & 2, 2);
        vcpu_long(&vm, 0); /* it writes the register again */
        EXPECT_REPORT(&vm, 0, 1);
        CHECK_EQ(*flags & 2, 2);
        *flags &= (uint8_t)~2;
    }
}
