/* SPDX-License-Identifier: MIT
 *
 * VT-x: fields of the VMCS (SDM vol. 3, appendix B), control bits (24.6 to 24.8), exit reasons
 * (appendix C), capability MSRs (appendix A).
 */
#pragma once

enum vmcs_field {
    VMCS_VPID = 0x0000,
    VMCS_GUEST_ES_SEL = 0x0800, /* ES CS SS DS FS GS LDTR TR, two apart */
    VMCS_GUEST_LDTR_SEL = 0x080c,
    VMCS_GUEST_TR_SEL = 0x080e,
    VMCS_HOST_ES_SEL = 0x0c00, /* ES CS SS DS FS GS TR */
    VMCS_HOST_CS_SEL = 0x0c02,
    VMCS_HOST_SS_SEL = 0x0c04,
    VMCS_HOST_DS_SEL = 0x0c06,
    VMCS_HOST_FS_SEL = 0x0c08,
    VMCS_HOST_GS_SEL = 0x0c0a,
    VMCS_HOST_TR_SEL = 0x0c0c,
    VMCS_MSR_BITMAP = 0x2004,
    VMCS_TSC_OFFSET = 0x2010,
    VMCS_EPT_POINTER = 0x201a,
    VMCS_GUEST_PHYSICAL = 0x2400,
    VMCS_LINK_POINTER = 0x2800,
    VMCS_GUEST_DEBUGCTL = 0x2802,
    VMCS_GUEST_PAT = 0x2804,
    VMCS_GUEST_EFER = 0x2806,
    VMCS_GUEST_PDPTE0 = 0x280a, /* 0 to 3, two apart */
    VMCS_HOST_PAT = 0x2c00,
    VMCS_HOST_EFER = 0x2c02,
    VMCS_PIN_CONTROLS = 0x4000,
    VMCS_CPU_CONTROLS = 0x4002,
    VMCS_EXCEPTION_BITMAP = 0x4004,
    VMCS_PF_MASK = 0x4006,
    VMCS_PF_MATCH = 0x4008,
    VMCS_CR3_TARGETS = 0x400a,
    VMCS_EXIT_CONTROLS = 0x400c,
    VMCS_EXIT_MSR_STORES = 0x400e,
    VMCS_EXIT_MSR_LOADS = 0x4010,
    VMCS_ENTRY_CONTROLS = 0x4012,
    VMCS_ENTRY_MSR_LOADS = 0x4014,
    VMCS_ENTRY_EVENT = 0x4016,
    VMCS_ENTRY_ERROR = 0x4018,
    VMCS_ENTRY_INSN_LEN = 0x401a,
    VMCS_CPU_CONTROLS2 = 0x401e,
    VMCS_INSN_ERROR = 0x4400,
    VMCS_EXIT_REASON = 0x4402,
    VMCS_EXIT_EVENT = 0x4404,
    VMCS_EXIT_ERROR = 0x4406,
    VMCS_IDT_EVENT = 0x4408,
    VMCS_IDT_ERROR = 0x440a,
    VMCS_EXIT_INSN_LEN = 0x440c,
    VMCS_GUEST_ES_LIMIT = 0x4800,
    VMCS_GUEST_GDTR_LIMIT = 0x4810,
    VMCS_GUEST_IDTR_LIMIT = 0x4812,
    VMCS_GUEST_ES_RIGHTS = 0x4814,
    VMCS_GUEST_SS_RIGHTS = 0x4818,
    VMCS_GUEST_SHADOW = 0x4824,
    VMCS_GUEST_ACTIVITY = 0x4826,
    VMCS_GUEST_SYSENTER_CS = 0x482a,
    VMCS_PREEMPTION_TIMER = 0x482e,
    VMCS_HOST_SYSENTER_CS = 0x4c00,
    VMCS_CR0_MASK = 0x6000,
    VMCS_CR4_MASK = 0x6002,
    VMCS_CR0_SHADOW = 0x6004,
    VMCS_CR4_SHADOW = 0x6006,
    VMCS_EXIT_QUALIFICATION = 0x6400,
    VMCS_GUEST_CR0 = 0x6800,
    VMCS_GUEST_CR3 = 0x6802,
    VMCS_GUEST_CR4 = 0x6804,
    VMCS_GUEST_ES_BASE = 0x6806,
    VMCS_GUEST_FS_BASE = 0x680e,
    VMCS_GUEST_GS_BASE = 0x6810,
    VMCS_GUEST_GDTR_BASE = 0x6816,
    VMCS_GUEST_IDTR_BASE = 0x6818,
    VMCS_GUEST_DR7 = 0x681a,
    VMCS_GUEST_RSP = 0x681c,
    VMCS_GUEST_RIP = 0x681e,
    VMCS_GUEST_RFLAGS = 0x6820,
    VMCS_GUEST_PENDING_DB = 0x6822,
    VMCS_GUEST_SYSENTER_ESP = 0x6824,
    VMCS_GUEST_SYSENTER_EIP = 0x6826,
    VMCS_HOST_CR0 = 0x6c00,
    VMCS_HOST_CR3 = 0x6c02,
    VMCS_HOST_CR4 = 0x6c04,
    VMCS_HOST_FS_BASE = 0x6c06,
    VMCS_HOST_GS_BASE = 0x6c08,
    VMCS_HOST_TR_BASE = 0x6c0a,
    VMCS_HOST_GDTR_BASE = 0x6c0c,
    VMCS_HOST_IDTR_BASE = 0x6c0e,
    VMCS_HOST_SYSENTER_ESP = 0x6c10,
    VMCS_HOST_SYSENTER_EIP = 0x6c12,
    VMCS_HOST_RSP = 0x6c14,
    VMCS_HOST_RIP = 0x6c16,
};

#define PIN_INTERRUPT (1U << 0)
#define PIN_NMI (1U << 3)
#define PIN_VIRTUAL_NMI (1U << 5)
#define PIN_PREEMPTION_TIMER (1U << 6)

#define CPU_IRQ_WINDOW (1U << 2)
#define CPU_TSC_OFFSET (1U << 3)
#define CPU_HLT (1U << 7)
#define CPU_MWAIT (1U << 10)
#define CPU_RDPMC (1U << 11)
#define CPU_CR8_LOAD (1U << 19)
#define CPU_CR8_STORE (1U << 20)
#define CPU_NMI_WINDOW (1U << 22)
#define CPU_MOV_DR (1U << 23)
#define CPU_IO (1U << 24)
#define CPU_MSR_BITMAP (1U << 28)
#define CPU_MONITOR (1U << 29)
#define CPU_SECONDARY (1U << 31)

#define CPU2_EPT (1U << 1)
#define CPU2_RDTSCP (1U << 3)
#define CPU2_VPID (1U << 5)
#define CPU2_WBINVD (1U << 6)
#define CPU2_UNRESTRICTED (1U << 7)
#define CPU2_INVPCID (1U << 12)

#define EXIT_HOST_64 (1U << 9)
#define EXIT_SAVE_PAT (1U << 18)
#define EXIT_LOAD_PAT (1U << 19)
#define EXIT_LOAD_EFER (1U << 21)
#define ENTRY_LOAD_DEBUG (1U << 2)
#define ENTRY_GUEST_64 (1U << 9)
#define ENTRY_LOAD_PAT (1U << 14)
#define ENTRY_LOAD_EFER (1U << 15)

#define EVENT_VALID (1U << 31)
#define EVENT_HAS_ERROR (1U << 11)
#define EVENT_BY_IRET (1U << 12) /* of an exit: NMIs were masked before the instruction */
#define EVENT_TYPE(t) ((u32)(t) << 8)
#define EVENT_TYPE_OF(e) ((e) >> 8 & 7)
enum vmx_event {
    VMX_EVENT_INTR = 0,
    VMX_EVENT_NMI = 2,
    VMX_EVENT_EXCEPTION = 3,
    VMX_EVENT_ICEBP = 5,
};

#define SHADOW_STI (1U << 0)
#define SHADOW_MOV_SS (1U << 1)
#define SHADOW_NMI (1U << 3)

#define SEG_UNUSABLE (1U << 16)

enum vmx_reason {
    VMX_EXCEPTION = 0,
    VMX_INTERRUPT = 1,
    VMX_TRIPLE_FAULT = 2,
    VMX_IRQ_WINDOW = 7,
    VMX_NMI_WINDOW = 8,
    VMX_TASK_SWITCH = 9,
    VMX_CPUID = 10,
    VMX_HLT = 12,
    VMX_INVD = 13,
    VMX_RDPMC = 15,
    VMX_VMCALL = 18,
    VMX_VMCLEAR = 19,
    VMX_VMXON = 27,
    VMX_CR = 28,
    VMX_DR = 29,
    VMX_IO = 30,
    VMX_RDMSR = 31,
    VMX_WRMSR = 32,
    VMX_MWAIT = 36,
    VMX_MONITOR = 39,
    VMX_MACHINE_CHECK = 41,
    VMX_EPT_VIOLATION = 48,
    VMX_EPT_MISCONFIG = 49,
    VMX_INVEPT = 50,
    VMX_PREEMPTION_TIMER = 52,
    VMX_INVVPID = 53,
    VMX_WBINVD = 54,
    VMX_XSETBV = 55,
    VMX_SEAMCALL = 76, /* on CPUs with TDX, at any privilege */
    VMX_TDCALL = 77,
};
#define VMX_REASON_FAILED (1U << 31)

#define MSR_VMX_BASIC 0x480
#define VMX_BASIC_TRUE (1UL << 55)
#define MSR_VMX_PIN 0x481
#define MSR_VMX_CPU 0x482
#define MSR_VMX_EXIT 0x483
#define MSR_VMX_ENTRY 0x484
#define MSR_VMX_MISC 0x485 /* bits 0 to 4: the preemption timer counts TSC >> this */
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CPU2 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define VMX_TRUE_OFFSET 12 /* from each of the four to its "true" twin */
#define EPT_CAP_WALK4 (1UL << 6)
#define EPT_CAP_WB (1UL << 14)
#define EPT_CAP_2M (1UL << 16)
#define EPT_CAP_INVEPT (1UL << 20)
#define EPT_CAP_INVEPT_SINGLE (1UL << 25)
#define VPID_CAP_INVVPID (1UL << 32)
#define VPID_CAP_ALL (1UL << 42)
/* Exit qualification of an EPT violation (27.2.1). */
#define EPT_LINEAR_VALID (1UL << 7)
#define EPT_LINEAR_FINAL (1UL << 8)
#define EPTP_WB_WALK4 (6UL | 3UL << 3)

#define FEATURE_CONTROL_LOCK 1UL
#define FEATURE_CONTROL_VMX (1UL << 2)
