/* SPDX-License-Identifier: MIT
 *
 * The KVM interface: ioctl numbers and plain structs of /dev/kvm, x86-64, as the kernel's
 * KVM API documentation defines them. Shared by kernel/hv, userland/vmm and tests/hv.
 * Numbers, sizes and offsets are facts of the ABI and never change; names are the public ones,
 * so that the documentation can be searched for them. tools/check-uapi compares every size, offset
 * and number here with the system's own header.
 */
#pragma once

#include <stdint.h>

#define KVM_API_VERSION 12

/* An ioctl number: direction (1 write, 2 read) << 30 | size << 16 | 0xAE << 8 | number. */
#define KVM_IOC(dir, nr, size) (((dir) << 30) | ((unsigned)(size) << 16) | (0xAEu << 8) | (nr))
#define KVM_IO(nr) KVM_IOC(0u, nr, 0)
#define KVM_IOW(nr, type) KVM_IOC(1u, nr, sizeof(type))
#define KVM_IOR(nr, type) KVM_IOC(2u, nr, sizeof(type))
#define KVM_IOWR(nr, type) KVM_IOC(3u, nr, sizeof(type))

/* ---- memory ---- */

struct kvm_userspace_memory_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
};
#define KVM_MEM_LOG_DIRTY_PAGES (1u << 0)
#define KVM_MEM_READONLY (1u << 1)

struct kvm_dirty_log {
    uint32_t slot;
    uint32_t padding1;
    union {
        void *dirty_bitmap; /* one bit per page, rounded up to 64 */
        uint64_t padding2;
    };
};

struct kvm_clear_dirty_log {
    uint32_t slot;
    uint32_t num_pages;
    uint64_t first_page;
    union {
        void *dirty_bitmap;
        uint64_t padding2;
    };
};

/* ---- interrupts ---- */

struct kvm_irq_level {
    union {
        uint32_t irq;
        int32_t status;
    };
    uint32_t level;
};

struct kvm_pic_state {
    uint8_t last_irr, irr, imr, isr;
    uint8_t priority_add, irq_base, read_reg_select, poll;
    uint8_t special_mask, init_state, auto_eoi, rotate_on_auto_eoi;
    uint8_t special_fully_nested_mode, init4, elcr, elcr_mask;
};

#define KVM_IOAPIC_NUM_PINS 24
struct kvm_ioapic_state {
    uint64_t base_address;
    uint32_t ioregsel;
    uint32_t id;
    uint32_t irr;
    uint32_t pad;
    union {
        uint64_t bits;
        struct {
            uint8_t vector;
            uint8_t delivery_mode : 3;
            uint8_t dest_mode : 1;
            uint8_t delivery_status : 1;
            uint8_t polarity : 1;
            uint8_t remote_irr : 1;
            uint8_t trig_mode : 1;
            uint8_t mask : 1;
            uint8_t reserve : 7;
            uint8_t reserved[4];
            uint8_t dest_id;
        } fields;
    } redirtbl[KVM_IOAPIC_NUM_PINS];
};

#define KVM_IRQCHIP_PIC_MASTER 0
#define KVM_IRQCHIP_PIC_SLAVE 1
#define KVM_IRQCHIP_IOAPIC 2
struct kvm_irqchip {
    uint32_t chip_id;
    uint32_t pad;
    union {
        char dummy[512];
        struct kvm_pic_state pic;
        struct kvm_ioapic_state ioapic;
    } chip;
};

#define KVM_IRQ_ROUTING_IRQCHIP 1
#define KVM_IRQ_ROUTING_MSI 2
struct kvm_irq_routing_irqchip {
    uint32_t irqchip;
    uint32_t pin;
};
struct kvm_irq_routing_msi {
    uint32_t address_lo;
    uint32_t address_hi;
    uint32_t data;
    union {
        uint32_t pad;
        uint32_t devid;
    };
};
struct kvm_irq_routing_entry {
    uint32_t gsi;
    uint32_t type;
    uint32_t flags;
    uint32_t pad;
    union {
        struct kvm_irq_routing_irqchip irqchip;
        struct kvm_irq_routing_msi msi;
        uint32_t pad[8];
    } u;
};
struct kvm_irq_routing {
    uint32_t nr;
    uint32_t flags;
    struct kvm_irq_routing_entry entries[];
};

#define KVM_IRQFD_FLAG_DEASSIGN (1u << 0)
#define KVM_IRQFD_FLAG_RESAMPLE (1u << 1)
struct kvm_irqfd {
    uint32_t fd;
    uint32_t gsi;
    uint32_t flags;
    uint32_t resamplefd;
    uint8_t pad[16];
};

#define KVM_IOEVENTFD_FLAG_DATAMATCH (1u << 0)
#define KVM_IOEVENTFD_FLAG_PIO (1u << 1)
#define KVM_IOEVENTFD_FLAG_DEASSIGN (1u << 2)
struct kvm_ioeventfd {
    uint64_t datamatch;
    uint64_t addr;
    uint32_t len; /* 1, 2, 4 or 8; 0 matches any length */
    int32_t fd;
    uint32_t flags;
    uint8_t pad[36];
};

#define KVM_MSI_VALID_DEVID (1u << 0)
struct kvm_msi {
    uint32_t address_lo;
    uint32_t address_hi;
    uint32_t data;
    uint32_t flags;
    uint32_t devid;
    uint8_t pad[12];
};

#define KVM_PIT_SPEAKER_DUMMY 1
struct kvm_pit_config {
    uint32_t flags;
    uint32_t pad[15];
};
struct kvm_pit_channel_state {
    uint32_t count;
    uint16_t latched_count;
    uint8_t count_latched, status_latched, status, read_state, write_state, write_latch;
    uint8_t rw_mode, mode, bcd, gate;
    int64_t count_load_time;
};
struct kvm_pit_state {
    struct kvm_pit_channel_state channels[3];
};
#define KVM_PIT_FLAGS_HPET_LEGACY 1u
#define KVM_PIT_FLAGS_SPEAKER_DATA_ON 2u
struct kvm_pit_state2 {
    struct kvm_pit_channel_state channels[3];
    uint32_t flags;
    uint32_t reserved[9];
};
struct kvm_reinject_control {
    uint8_t pit_reinject;
    uint8_t reserved[31];
};

#define KVM_CLOCK_TSC_STABLE 2u
#define KVM_CLOCK_REALTIME 4u
#define KVM_CLOCK_HOST_TSC 8u
struct kvm_clock_data {
    uint64_t clock;
    uint32_t flags;
    uint32_t pad0;
    uint64_t realtime;
    uint64_t host_tsc;
    uint32_t pad[4];
};

/* ---- vCPU state ---- */

struct kvm_regs {
    uint64_t rax, rbx, rcx, rdx;
    uint64_t rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11;
    uint64_t r12, r13, r14, r15;
    uint64_t rip, rflags;
};

struct kvm_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type;
    uint8_t present, dpl, db, s, l, g, avl;
    uint8_t unusable;
    uint8_t padding;
};
struct kvm_dtable {
    uint64_t base;
    uint16_t limit;
    uint16_t padding[3];
};
struct kvm_sregs {
    struct kvm_segment cs, ds, es, fs, gs, ss;
    struct kvm_segment tr, ldt;
    struct kvm_dtable gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t efer;
    uint64_t apic_base;
    uint64_t interrupt_bitmap[4];
};

#define KVM_SREGS2_FLAGS_PDPTRS_VALID 1
struct kvm_sregs2 {
    struct kvm_segment cs, ds, es, fs, gs, ss;
    struct kvm_segment tr, ldt;
    struct kvm_dtable gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t efer;
    uint64_t apic_base;
    uint64_t flags;
    uint64_t pdptrs[4];
};

struct kvm_fpu {
    uint8_t fpr[8][16];
    uint16_t fcw;
    uint16_t fsw;
    uint8_t ftwx;
    uint8_t pad1;
    uint16_t last_opcode;
    uint64_t last_ip;
    uint64_t last_dp;
    uint8_t xmm[16][16];
    uint32_t mxcsr;
    uint32_t pad2;
};
struct kvm_xsave {
    uint32_t region[1024];
    uint32_t extra[];
};
#define KVM_MAX_XCRS 16
struct kvm_xcr {
    uint32_t xcr;
    uint32_t reserved;
    uint64_t value;
};
struct kvm_xcrs {
    uint32_t nr_xcrs;
    uint32_t flags;
    struct kvm_xcr xcrs[KVM_MAX_XCRS];
    uint64_t padding[16];
};

struct kvm_msr_entry {
    uint32_t index;
    uint32_t reserved;
    uint64_t data;
};
struct kvm_msrs {
    uint32_t nmsrs;
    uint32_t pad;
    struct kvm_msr_entry entries[];
};
struct kvm_msr_list {
    uint32_t nmsrs;
    uint32_t indices[];
};

struct kvm_cpuid_entry2 {
    uint32_t function;
    uint32_t index;
    uint32_t flags;
    uint32_t eax, ebx, ecx, edx;
    uint32_t padding[3];
};
#define KVM_CPUID_FLAG_SIGNIFCANT_INDEX (1u << 0) /* the ABI's own spelling */
struct kvm_cpuid2 {
    uint32_t nent;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[];
};

#define KVM_APIC_REG_SIZE 0x400
struct kvm_lapic_state {
    char regs[KVM_APIC_REG_SIZE];
};

#define KVM_MP_STATE_RUNNABLE 0
#define KVM_MP_STATE_UNINITIALIZED 1
#define KVM_MP_STATE_INIT_RECEIVED 2
#define KVM_MP_STATE_HALTED 3
#define KVM_MP_STATE_SIPI_RECEIVED 4
struct kvm_mp_state {
    uint32_t mp_state;
};

#define KVM_VCPUEVENT_VALID_NMI_PENDING 0x01u
#define KVM_VCPUEVENT_VALID_SIPI_VECTOR 0x02u
#define KVM_VCPUEVENT_VALID_SHADOW 0x04u
#define KVM_VCPUEVENT_VALID_SMM 0x08u
#define KVM_VCPUEVENT_VALID_PAYLOAD 0x10u
#define KVM_VCPUEVENT_VALID_TRIPLE_FAULT 0x20u
#define KVM_X86_SHADOW_INT_MOV_SS 0x01
#define KVM_X86_SHADOW_INT_STI 0x02
struct kvm_vcpu_events {
    struct {
        uint8_t injected, nr, has_error_code, pending;
        uint32_t error_code;
    } exception;
    struct {
        uint8_t injected, nr, soft, shadow;
    } interrupt;
    struct {
        uint8_t injected, pending, masked, pad;
    } nmi;
    uint32_t sipi_vector;
    uint32_t flags;
    struct {
        uint8_t smm, pending, smm_inside_nmi, latched_init;
    } smi;
    struct {
        uint8_t pending;
    } triple_fault;
    uint8_t reserved[26];
    uint8_t exception_has_payload;
    uint64_t exception_payload;
};

struct kvm_debugregs {
    uint64_t db[4];
    uint64_t dr6;
    uint64_t dr7;
    uint64_t flags;
    uint64_t reserved[9];
};

#define KVM_GUESTDBG_ENABLE 0x00000001u
#define KVM_GUESTDBG_SINGLESTEP 0x00000002u
#define KVM_GUESTDBG_USE_SW_BP 0x00010000u
#define KVM_GUESTDBG_USE_HW_BP 0x00020000u
#define KVM_GUESTDBG_INJECT_DB 0x00040000u
#define KVM_GUESTDBG_INJECT_BP 0x00080000u
#define KVM_GUESTDBG_BLOCKIRQ 0x00100000u
struct kvm_debug_exit_arch {
    uint32_t exception;
    uint32_t pad;
    uint64_t pc;
    uint64_t dr6;
    uint64_t dr7;
};
struct kvm_guest_debug {
    uint32_t control;
    uint32_t pad;
    uint64_t debugreg[8];
};

struct kvm_translation {
    uint64_t linear_address;
    uint64_t physical_address;
    uint8_t valid, writeable, usermode;
    uint8_t pad[5];
};
struct kvm_interrupt {
    uint32_t irq;
};
struct kvm_signal_mask {
    uint32_t len; /* 8: the kernel's sigset */
    uint8_t sigset[];
};
struct kvm_tpr_access_ctl {
    uint32_t enabled;
    uint32_t flags;
    uint32_t reserved[8];
};
struct kvm_vapic_addr {
    uint64_t vapic_addr;
};
struct kvm_x86_mce {
    uint64_t status, addr, misc, mcg_status;
    uint8_t bank;
    uint8_t pad1[7];
    uint64_t pad2[3];
};
struct kvm_enable_cap {
    uint32_t cap;
    uint32_t flags;
    uint64_t args[4];
    uint8_t pad[64];
};
#define KVM_MSR_FILTER_READ (1 << 0)
#define KVM_MSR_FILTER_WRITE (1 << 1)
#define KVM_MSR_FILTER_MAX_RANGES 16
#define KVM_MSR_FILTER_MAX_BITMAP_SIZE 0x600
#define KVM_MSR_FILTER_DEFAULT_DENY (1 << 0)
struct kvm_msr_filter_range {
    uint32_t flags;
    uint32_t nmsrs;
    uint32_t base;
    uint8_t *bitmap; /* 1: allowed */
};
struct kvm_msr_filter {
    uint32_t flags;
    struct kvm_msr_filter_range ranges[KVM_MSR_FILTER_MAX_RANGES];
};
struct kvm_coalesced_mmio_zone {
    uint64_t addr;
    uint32_t size;
    uint32_t pio;
};

/* ---- the run area, mmap'ed from the vCPU descriptor ---- */

#define KVM_EXIT_UNKNOWN 0
#define KVM_EXIT_EXCEPTION 1
#define KVM_EXIT_IO 2
#define KVM_EXIT_HYPERCALL 3
#define KVM_EXIT_DEBUG 4
#define KVM_EXIT_HLT 5
#define KVM_EXIT_MMIO 6
#define KVM_EXIT_IRQ_WINDOW_OPEN 7
#define KVM_EXIT_SHUTDOWN 8
#define KVM_EXIT_FAIL_ENTRY 9
#define KVM_EXIT_INTR 10
#define KVM_EXIT_SET_TPR 11
#define KVM_EXIT_TPR_ACCESS 12
#define KVM_EXIT_NMI 16
#define KVM_EXIT_INTERNAL_ERROR 17
#define KVM_EXIT_SYSTEM_EVENT 24
#define KVM_EXIT_IOAPIC_EOI 26
#define KVM_EXIT_X86_RDMSR 29
#define KVM_EXIT_X86_WRMSR 30

#define KVM_MSR_EXIT_REASON_INVAL (1 << 0)
#define KVM_MSR_EXIT_REASON_UNKNOWN (1 << 1)
#define KVM_MSR_EXIT_REASON_FILTER (1 << 2)

#define KVM_SYNC_X86_REGS (1ul << 0)
#define KVM_SYNC_X86_SREGS (1ul << 1)
#define KVM_SYNC_X86_EVENTS (1ul << 2)

#define KVM_X86_QUIRK_LAPIC_MMIO_HOLE (1 << 2)
#define KVM_X86_QUIRK_OUT_7E_INC_RIP (1 << 3)
#define KVM_X86_QUIRK_FIX_HYPERCALL_INSN (1 << 5)

#define KVM_EXIT_IO_IN 0
#define KVM_EXIT_IO_OUT 1

#define KVM_INTERNAL_ERROR_EMULATION 1
#define KVM_INTERNAL_ERROR_SIMUL_EX 2
#define KVM_INTERNAL_ERROR_DELIVERY_EV 3
#define KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON 4
#define KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES 1ull

#define KVM_SYSTEM_EVENT_SHUTDOWN 1
#define KVM_SYSTEM_EVENT_RESET 2
#define KVM_SYSTEM_EVENT_CRASH 3

struct kvm_run {
    uint8_t request_interrupt_window; /* in */
    uint8_t immediate_exit;           /* in */
    uint8_t padding1[6];
    uint32_t exit_reason;
    uint8_t ready_for_interrupt_injection;
    uint8_t if_flag;
    uint16_t flags;
    uint64_t cr8;
    uint64_t apic_base;
    union {
        struct {
            uint64_t hardware_exit_reason;
        } hw;
        struct {
            uint64_t hardware_entry_failure_reason;
            uint32_t cpu;
        } fail_entry;
        struct {
            uint32_t exception;
            uint32_t error_code;
        } ex;
        struct {
            uint8_t direction;
            uint8_t size;
            uint16_t port;
            uint32_t count;
            uint64_t data_offset; /* from the start of this struct */
        } io;
        struct {
            struct kvm_debug_exit_arch arch;
        } debug;
        struct {
            uint64_t phys_addr;
            uint8_t data[8];
            uint32_t len;
            uint8_t is_write;
        } mmio;
        struct {
            uint64_t nr;
            uint64_t args[6];
            uint64_t ret;
            uint32_t longmode;
            uint32_t pad;
        } hypercall;
        struct {
            uint64_t rip;
            uint32_t is_write;
            uint32_t pad;
        } tpr_access;
        struct {
            uint32_t suberror;
            uint32_t ndata;
            uint64_t data[16];
        } internal;
        struct {
            uint32_t suberror;
            uint32_t ndata;
            uint64_t flags;
            uint8_t insn_size;
            uint8_t insn_bytes[15];
        } emulation_failure;
        struct {
            uint32_t type;
            uint32_t ndata;
            union {
                uint64_t flags;
                uint64_t data[16];
            };
        } system_event;
        struct {
            uint8_t vector;
        } eoi;
        struct {
            uint8_t error;
            uint8_t pad[7];
            uint32_t reason;
            uint32_t index;
            uint64_t data;
        } msr;
        char padding[256];
    };
    uint64_t kvm_valid_regs;
    uint64_t kvm_dirty_regs;
    union {
        struct {
            struct kvm_regs regs;
            struct kvm_sregs sregs;
            struct kvm_vcpu_events events;
        } regs;
        char padding[2048];
    } s;
};

/* The page of an IN or OUT exit's data lies at this page of the run area; coalesced MMIO next. */
#define KVM_PIO_PAGE_OFFSET 1
#define KVM_COALESCED_MMIO_PAGE_OFFSET 2

/* Guests' writes that wait for user space: the entries from first up to last, around the end. */
struct kvm_coalesced_mmio {
    uint64_t phys_addr;
    uint32_t len;
    uint32_t pio;
    uint8_t data[8];
};
#define KVM_COALESCED_MMIO_MAX 170u /* as many as fit in a page */
struct kvm_coalesced_mmio_ring {
    uint32_t first, last;
    struct kvm_coalesced_mmio coalesced_mmio[];
};

/* ---- what the file of KVM_GET_STATS_FD begins with, and one of its descriptors ---- */

struct kvm_stats_header {
    uint32_t flags, name_size, num_desc;
    uint32_t id_offset, desc_offset, data_offset;
};

struct kvm_stats_desc {
    uint32_t flags;
    int16_t exponent;
    uint16_t size;
    uint32_t offset, bucket_size;
    char name[];
};

/* ---- ioctls: /dev/kvm ---- */

#define KVM_GET_API_VERSION KVM_IO(0x00)
#define KVM_CREATE_VM KVM_IO(0x01)
#define KVM_GET_MSR_INDEX_LIST KVM_IOWR(0x02, struct kvm_msr_list)
#define KVM_CHECK_EXTENSION KVM_IO(0x03)
#define KVM_GET_VCPU_MMAP_SIZE KVM_IO(0x04)
#define KVM_GET_SUPPORTED_CPUID KVM_IOWR(0x05, struct kvm_cpuid2)
#define KVM_GET_EMULATED_CPUID KVM_IOWR(0x09, struct kvm_cpuid2)
#define KVM_GET_MSR_FEATURE_INDEX_LIST KVM_IOWR(0x0a, struct kvm_msr_list)
#define KVM_GET_SUPPORTED_HV_CPUID KVM_IOWR(0xc1, struct kvm_cpuid2) /* of a vCPU too */
#define KVM_X86_GET_MCE_CAP_SUPPORTED KVM_IOR(0x9d, uint64_t)

/* ---- ioctls: a VM ---- */

#define KVM_CREATE_VCPU KVM_IO(0x41)
#define KVM_GET_DIRTY_LOG KVM_IOW(0x42, struct kvm_dirty_log)
#define KVM_SET_NR_MMU_PAGES KVM_IO(0x44)
#define KVM_GET_NR_MMU_PAGES KVM_IO(0x45)
#define KVM_SET_USER_MEMORY_REGION KVM_IOW(0x46, struct kvm_userspace_memory_region)
#define KVM_SET_TSS_ADDR KVM_IO(0x47)
#define KVM_X86_SET_MSR_FILTER KVM_IOW(0xc6, struct kvm_msr_filter)
#define KVM_SET_IDENTITY_MAP_ADDR KVM_IOW(0x48, uint64_t)
#define KVM_CREATE_IRQCHIP KVM_IO(0x60)
#define KVM_IRQ_LINE KVM_IOW(0x61, struct kvm_irq_level)
#define KVM_GET_IRQCHIP KVM_IOWR(0x62, struct kvm_irqchip)
#define KVM_SET_IRQCHIP KVM_IOR(0x63, struct kvm_irqchip)
#define KVM_IRQ_LINE_STATUS KVM_IOWR(0x67, struct kvm_irq_level)
#define KVM_REGISTER_COALESCED_MMIO KVM_IOW(0x67, struct kvm_coalesced_mmio_zone)
#define KVM_UNREGISTER_COALESCED_MMIO KVM_IOW(0x68, struct kvm_coalesced_mmio_zone)
#define KVM_SET_GSI_ROUTING KVM_IOW(0x6a, struct kvm_irq_routing)
#define KVM_REINJECT_CONTROL KVM_IO(0x71)
#define KVM_IRQFD KVM_IOW(0x76, struct kvm_irqfd)
#define KVM_CREATE_PIT2 KVM_IOW(0x77, struct kvm_pit_config)
#define KVM_SET_BOOT_CPU_ID KVM_IO(0x78)
#define KVM_IOEVENTFD KVM_IOW(0x79, struct kvm_ioeventfd)
#define KVM_SET_CLOCK KVM_IOW(0x7b, struct kvm_clock_data)
#define KVM_GET_CLOCK KVM_IOR(0x7c, struct kvm_clock_data)
#define KVM_GET_PIT2 KVM_IOR(0x9f, struct kvm_pit_state2)
#define KVM_SET_PIT2 KVM_IOW(0xa0, struct kvm_pit_state2)
#define KVM_SIGNAL_MSI KVM_IOW(0xa5, struct kvm_msi)
#define KVM_CLEAR_DIRTY_LOG KVM_IOWR(0xc0, struct kvm_clear_dirty_log)

/* ---- ioctls: a vCPU ---- */

#define KVM_RUN KVM_IO(0x80)
#define KVM_GET_REGS KVM_IOR(0x81, struct kvm_regs)
#define KVM_SET_REGS KVM_IOW(0x82, struct kvm_regs)
#define KVM_GET_SREGS KVM_IOR(0x83, struct kvm_sregs)
#define KVM_SET_SREGS KVM_IOW(0x84, struct kvm_sregs)
#define KVM_TRANSLATE KVM_IOWR(0x85, struct kvm_translation)
#define KVM_INTERRUPT KVM_IOW(0x86, struct kvm_interrupt)
#define KVM_GET_MSRS KVM_IOWR(0x88, struct kvm_msrs)
#define KVM_SET_MSRS KVM_IOW(0x89, struct kvm_msrs)
#define KVM_SET_SIGNAL_MASK KVM_IOW(0x8b, struct kvm_signal_mask)
#define KVM_GET_FPU KVM_IOR(0x8c, struct kvm_fpu)
#define KVM_SET_FPU KVM_IOW(0x8d, struct kvm_fpu)
#define KVM_GET_LAPIC KVM_IOR(0x8e, struct kvm_lapic_state)
#define KVM_SET_LAPIC KVM_IOW(0x8f, struct kvm_lapic_state)
#define KVM_SET_CPUID2 KVM_IOW(0x90, struct kvm_cpuid2)
#define KVM_GET_CPUID2 KVM_IOWR(0x91, struct kvm_cpuid2)
#define KVM_TPR_ACCESS_REPORTING KVM_IOWR(0x92, struct kvm_tpr_access_ctl)
#define KVM_SET_VAPIC_ADDR KVM_IOW(0x93, struct kvm_vapic_addr)
#define KVM_GET_MP_STATE KVM_IOR(0x98, struct kvm_mp_state)
#define KVM_SET_MP_STATE KVM_IOW(0x99, struct kvm_mp_state)
#define KVM_NMI KVM_IO(0x9a)
#define KVM_SET_GUEST_DEBUG KVM_IOW(0x9b, struct kvm_guest_debug)
#define KVM_X86_SETUP_MCE KVM_IOW(0x9c, uint64_t)
#define KVM_X86_SET_MCE KVM_IOW(0x9e, struct kvm_x86_mce)
#define KVM_GET_VCPU_EVENTS KVM_IOR(0x9f, struct kvm_vcpu_events)
#define KVM_SET_VCPU_EVENTS KVM_IOW(0xa0, struct kvm_vcpu_events)
#define KVM_GET_DEBUGREGS KVM_IOR(0xa1, struct kvm_debugregs)
#define KVM_SET_DEBUGREGS KVM_IOW(0xa2, struct kvm_debugregs)
#define KVM_SET_TSC_KHZ KVM_IO(0xa2)
#define KVM_GET_TSC_KHZ KVM_IO(0xa3)
#define KVM_ENABLE_CAP KVM_IOW(0xa3, struct kvm_enable_cap)
#define KVM_GET_XSAVE KVM_IOR(0xa4, struct kvm_xsave)
#define KVM_SET_XSAVE KVM_IOW(0xa5, struct kvm_xsave)
#define KVM_GET_XCRS KVM_IOR(0xa6, struct kvm_xcrs)
#define KVM_SET_XCRS KVM_IOW(0xa7, struct kvm_xcrs)
#define KVM_KVMCLOCK_CTRL KVM_IO(0xad)
#define KVM_SMI KVM_IO(0xb7)
#define KVM_GET_SREGS2 KVM_IOR(0xcc, struct kvm_sregs2)
#define KVM_SET_SREGS2 KVM_IOW(0xcd, struct kvm_sregs2)
#define KVM_GET_STATS_FD KVM_IO(0xce) /* of a VM too */
#define KVM_GET_XSAVE2 KVM_IOR(0xcf, struct kvm_xsave)

/* ---- capabilities ---- */

#define KVM_CAP_IRQCHIP 0
#define KVM_CAP_HLT 1
#define KVM_CAP_MMU_SHADOW_CACHE_CONTROL 2
#define KVM_CAP_USER_MEMORY 3
#define KVM_CAP_SET_TSS_ADDR 4
#define KVM_CAP_VAPIC 6
#define KVM_CAP_EXT_CPUID 7
#define KVM_CAP_CLOCKSOURCE 8
#define KVM_CAP_NR_VCPUS 9
#define KVM_CAP_NR_MEMSLOTS 10
#define KVM_CAP_PIT 11
#define KVM_CAP_NOP_IO_DELAY 12
#define KVM_CAP_MP_STATE 14
#define KVM_CAP_COALESCED_MMIO 15
#define KVM_CAP_SYNC_MMU 16
#define KVM_CAP_DESTROY_MEMORY_REGION_WORKS 21
#define KVM_CAP_USER_NMI 22
#define KVM_CAP_SET_GUEST_DEBUG 23
#define KVM_CAP_REINJECT_CONTROL 24
#define KVM_CAP_IRQ_ROUTING 25
#define KVM_CAP_IRQ_INJECT_STATUS 26
#define KVM_CAP_JOIN_MEMORY_REGIONS_WORKS 30
#define KVM_CAP_MCE 31
#define KVM_CAP_IRQFD 32
#define KVM_CAP_PIT2 33
#define KVM_CAP_SET_BOOT_CPU_ID 34
#define KVM_CAP_PIT_STATE2 35
#define KVM_CAP_IOEVENTFD 36
#define KVM_CAP_SET_IDENTITY_MAP_ADDR 37
#define KVM_CAP_ADJUST_CLOCK 39
#define KVM_CAP_INTERNAL_ERROR_DATA 40
#define KVM_CAP_VCPU_EVENTS 41
#define KVM_CAP_HYPERV 44
#define KVM_CAP_HYPERV_VAPIC 45
#define KVM_CAP_HYPERV_SPIN 46
#define KVM_CAP_INTR_SHADOW 49
#define KVM_CAP_DEBUGREGS 50
#define KVM_CAP_X86_ROBUST_SINGLESTEP 51
#define KVM_CAP_ENABLE_CAP 54
#define KVM_CAP_XSAVE 55
#define KVM_CAP_XCRS 56
#define KVM_CAP_TSC_CONTROL 60
#define KVM_CAP_GET_TSC_KHZ 61
#define KVM_CAP_MAX_VCPUS 66
#define KVM_CAP_TSC_DEADLINE_TIMER 72
#define KVM_CAP_SYNC_REGS 74
#define KVM_CAP_KVMCLOCK_CTRL 76
#define KVM_CAP_SIGNAL_MSI 77
#define KVM_CAP_READONLY_MEM 81
#define KVM_CAP_IRQFD_RESAMPLE 82
#define KVM_CAP_EXT_EMUL_CPUID 95
#define KVM_CAP_HYPERV_TIME 96
#define KVM_CAP_ENABLE_CAP_VM 98
#define KVM_CAP_IOEVENTFD_NO_LENGTH 100
#define KVM_CAP_CHECK_EXTENSION_VM 105
#define KVM_CAP_DISABLE_QUIRKS 116
#define KVM_CAP_X86_SMM 117
#define KVM_CAP_MULTI_ADDRESS_SPACE 118
#define KVM_CAP_SPLIT_IRQCHIP 121
#define KVM_CAP_IOEVENTFD_ANY_LENGTH 122
#define KVM_CAP_MAX_VCPU_ID 128
#define KVM_CAP_X2APIC_API 129
#define KVM_CAP_IMMEDIATE_EXIT 136
#define KVM_CAP_X86_DISABLE_EXITS 143
#define KVM_CAP_HYPERV_VP_INDEX 149
#define KVM_CAP_GET_MSR_FEATURES 153
#define KVM_CAP_HYPERV_TLBFLUSH 155
#define KVM_CAP_HYPERV_SEND_IPI 161
#define KVM_CAP_HYPERV_CPUID 167
#define KVM_CAP_SYS_HYPERV_CPUID 191
#define KVM_CAP_NESTED_STATE 157
#define KVM_CAP_COALESCED_PIO 162
#define KVM_CAP_EXCEPTION_PAYLOAD 164
#define KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 168
#define KVM_CAP_MSR_PLATFORM_INFO 159
#define KVM_CAP_X86_USER_SPACE_MSR 188
#define KVM_CAP_X86_MSR_FILTER 189
#define KVM_CAP_ENFORCE_PV_FEATURE_CPUID 190
#define KVM_CAP_SET_GUEST_DEBUG2 195
#define KVM_CAP_HYPERV_ENFORCE_CPUID 199
#define KVM_CAP_SREGS2 200
#define KVM_CAP_XSAVE2 208
#define KVM_CAP_BINARY_STATS_FD 203
#define KVM_CAP_DISABLE_QUIRKS2 213
#define KVM_CAP_VM_TSC_CONTROL 214
#define KVM_CAP_X86_TRIPLE_FAULT_EVENT 218

/* ---- what a guest sees: CPUID leaf 0x40000000 and the paravirtual clock ---- */

#define KVM_CPUID_SIGNATURE 0x40000000u
#define KVM_CPUID_FEATURES 0x40000001u
#define KVM_FEATURE_CLOCKSOURCE 0
#define KVM_FEATURE_NOP_IO_DELAY 1
#define KVM_FEATURE_CLOCKSOURCE2 3
#define KVM_FEATURE_PV_SEND_IPI 11
#define KVM_FEATURE_CLOCKSOURCE_STABLE_BIT 24

/* Hypercalls. */
#define KVM_HC_SEND_IPI 10
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u
