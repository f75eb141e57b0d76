/* SPDX-License-Identifier: MIT
 *
 * Machine checks that a VMM reports to its guest.
 */
#include "hvtest.h"

#include <sys/ioctl.h>

#define MCG_CTL_P (1ull << 8)
#define MCG_MCIP (1ull << 2)
#define MC_VALID (1ull << 63)
#define MC_OVER (1ull << 62)
#define MC_UC (1ull << 61)
#define BANKS 10

GUEST(machine_check);
GUEST(hlt);

static void mce_setup(struct tvm *vm, int flags)
{
    uint64_t cap = BANKS | MCG_CTL_P;
    vm_make(vm, flags);
    if (!vm_has(vm, KVM_CAP_MCE))
        test_skip("no KVM_CAP_MCE");
    vcpu_cpuid(vm, 0);
    CHECK(ioctl(vm->vcpu[0], KVM_X86_SETUP_MCE, &cap) == 0);
}

TEST(mce_setup_errors)
{
    struct tvm vm;
    uint64_t supported, cap;
    mce_setup(&vm, VM_PLAIN);
    CHECK(ioctl(vm.kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported) == 0);
    CHECK(supported & MCG_CTL_P);
    cap = 0;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_X86_SETUP_MCE, &cap), EINVAL);
    cap = 255;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_X86_SETUP_MCE, &cap), EINVAL);
    cap = BANKS | 1ull << 40;
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_X86_SETUP_MCE, &cap), EINVAL);
    struct kvm_x86_mce e = {.status = MC_VALID, .bank = BANKS};
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e), EINVAL);
    e = (struct kvm_x86_mce){.status = 0, .bank = 1};
    CHECK_ERR(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e), EINVAL);
}

TEST(mce_registers_come_back)
{
    struct tvm vm;
    mce_setup(&vm, VM_PLAIN);
    CHECK_EQ(get_msr(&vm, 0, 0x179), BANKS | MCG_CTL_P);
    CHECK_EQ(get_msr(&vm, 0, 0x17b), ~0ull);
    CHECK_EQ(get_msr(&vm, 0, 0x400), ~0ull);
    CHECK_EQ(set_msr(&vm, 0, 0x17b, 5), 0); /* all or nothing */
    CHECK_EQ(set_msr(&vm, 0, 0x17b, 0), 1);
    CHECK_EQ(get_msr(&vm, 0, 0x17b), 0);
    CHECK_EQ(set_msr(&vm, 0, 0x402, 0x1234), 1);
    CHECK_EQ(get_msr(&vm, 0, 0x402), 0x1234);
    CHECK_EQ(set_msr(&vm, 0, 0x400 + 4 * BANKS, 0), 0);
}

TEST(mce_corrected_error_is_only_noted)
{
    struct tvm vm;
    struct kvm_x86_mce e = {.status = MC_VALID | 0x11, .addr = 0x1000, .misc = 7, .bank = 2};
    mce_setup(&vm, VM_PLAIN);
    LOAD(&vm, hlt);
    vcpu_real(&vm, 0);
    CHECK(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_HLT);
    CHECK_EQ(get_msr(&vm, 0, 0x409), MC_VALID | 0x11);
    CHECK_EQ(get_msr(&vm, 0, 0x40a), 0x1000);
    CHECK_EQ(get_msr(&vm, 0, 0x40b), 7);
    CHECK(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e) == 0);
    CHECK_EQ(get_msr(&vm, 0, 0x409), MC_VALID | MC_OVER | 0x11);
}

TEST(mce_uncorrected_error_is_an_exception)
{
    struct tvm vm;
    struct kvm_x86_mce e = {
        .status = MC_VALID | MC_UC | 0x22, .addr = 0x2000, .mcg_status = MCG_MCIP, .bank = 1};
    mce_setup(&vm, VM_PLAIN);
    LOAD(&vm, machine_check);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e) == 0);
    EXPECT_REPORT(&vm, 0, 18);
    EXPECT_REPORT(&vm, 0, 0x22);
    EXPECT_REPORT(&vm, 0, 0x2000);
    CHECK(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e) == 0); /* while the first is in progress */
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_SHUTDOWN);
}

TEST(mce_wakes_a_halted_vcpu)
{
    struct tvm vm;
    struct kvm_x86_mce e = {
        .status = MC_VALID | MC_UC | 0x22, .addr = 0x2000, .mcg_status = MCG_MCIP, .bank = 1};
    struct kvm_mp_state halted = {.mp_state = KVM_MP_STATE_HALTED};
    mce_setup(&vm, VM_IRQCHIP);
    LOAD(&vm, machine_check);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_MP_STATE, &halted) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e) == 0);
    EXPECT_REPORT(&vm, 0, 18);
    CHECK(ioctl(vm.vcpu[0], KVM_SET_MP_STATE, &halted) == 0);
    CHECK(ioctl(vm.vcpu[0], KVM_X86_SET_MCE, &e) == 0);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_SHUTDOWN);
}
