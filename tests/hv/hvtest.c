/* SPDX-License-Identifier: MIT
 *
 * Small machines for kvmtest and kvmbench: see hvtest.h. A check that fails ends the process.
 */
#include "hvtest.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

const char *test_name = "machine";

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    const char *base = strrchr(file, '/');
    printf("FAIL %s: %s:%d: %s\n", test_name, base ? base + 1 : file, line, why);
    fflush(stdout);
    _exit(TEST_FAILED);
}

_Noreturn void test_skip(const char *why)
{
    printf("skip %s: %s\n", test_name, why);
    fflush(stdout);
    _exit(TEST_SKIPPED);
}

bool on_bothy(void)
{
    struct utsname u;
    CHECK(uname(&u) == 0);
    return strstr(u.release, "bothy") != NULL;
}

/* ---- machines ---- */

bool vm_has(struct tvm *vm, int cap)
{
    return ioctl(vm->kvm, KVM_CHECK_EXTENSION, cap) > 0;
}

void vm_region(struct tvm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
               void *host)
{
    struct kvm_userspace_memory_region r = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    CHECK(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) == 0);
}

void vm_add_vcpu(struct tvm *vm, int id)
{
    vm->vcpu[id] = ioctl(vm->fd, KVM_CREATE_VCPU, id);
    CHECK(vm->vcpu[id] >= 0);
    vm->run[id] = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu[id], 0);
    CHECK(vm->run[id] != MAP_FAILED);
}

void vm_make(struct tvm *vm, int flags)
{
    memset(vm, 0, sizeof *vm);
    vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(vm->kvm >= 0);
    vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    CHECK(vm->fd >= 0);
    uint64_t identity = 0xfffbc000;
    CHECK(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) == 0);
    CHECK(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul) == 0);
    if (flags & (VM_IRQCHIP | VM_PIT))
        CHECK(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) == 0);
    if (flags & VM_PIT) {
        struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
        CHECK(ioctl(vm->fd, KVM_CREATE_PIT2, &pit) == 0);
    }
    if (flags & VM_SPLIT) {
        struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
        if (!vm_has(vm, KVM_CAP_SPLIT_IRQCHIP))
            test_skip("no KVM_CAP_SPLIT_IRQCHIP");
        CHECK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap) == 0);
    }
    vm->size = MEM_SIZE;
    vm->mem = mmap(NULL, vm->size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(vm->mem != MAP_FAILED);
    vm_region(vm, 0, 0, 0, vm->size, vm->mem);
    int run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    CHECK(run_size >= (int)sizeof(struct kvm_run));
    vm->run_size = run_size;
    vm_add_vcpu(vm, 0);
}

void vm_load(struct tvm *vm, const uint8_t *code, size_t len)
{
    CHECK(len <= STACK_TOP - LOAD_AT - 256);
    memcpy(vm->mem + LOAD_AT, code, len);
}

void vm_close(struct tvm *vm)
{
    for (int i = 0; i < MAX_VCPUS; i++) {
        if (vm->run[i]) {
            munmap(vm->run[i], vm->run_size);
            close(vm->vcpu[i]);
        }
    }
    close(vm->fd);
    munmap(vm->mem, vm->size);
    close(vm->kvm);
}

void vm_irq(struct tvm *vm, uint32_t gsi, uint32_t level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};
    CHECK(ioctl(vm->fd, KVM_IRQ_LINE, &line) == 0);
}

/* ---- vCPU states ---- */

static struct kvm_segment vcpu_seg(uint16_t selector, uint8_t type, uint8_t db, uint8_t l)
{
    return (struct kvm_segment){.limit = 0xffffffff,
                                .selector = selector,
                                .type = type,
                                .present = 1,
                                .s = 1,
                                .g = 1,
                                .db = db,
                                .l = l};
}

static void vcpu_start(struct tvm *vm, int v)
{
    struct kvm_regs r = {.rip = LOAD_AT, .rsp = STACK_TOP - 0x800 * (unsigned)v, .rflags = 2};
    CHECK(ioctl(vm->vcpu[v], KVM_SET_REGS, &r) == 0);
}

void vcpu_real(struct tvm *vm, int v)
{
    struct kvm_sregs s;
    CHECK(ioctl(vm->vcpu[v], KVM_GET_SREGS, &s) == 0);
    s.cs.base = 0;
    s.cs.selector = 0;
    CHECK(ioctl(vm->vcpu[v], KVM_SET_SREGS, &s) == 0);
    vcpu_start(vm, v);
}

/* GDT at 0x500: 0x08 code 32, 0x10 data, 0x18 code 64. */
static void vcpu_gdt(struct tvm *vm, struct kvm_sregs *s)
{
    static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff};
    memcpy(vm->mem + 0x500, gdt, sizeof gdt);
    s->gdt.base = 0x500;
    s->gdt.limit = sizeof gdt - 1;
    s->ds = s->es = s->fs = s->gs = s->ss = vcpu_seg(0x10, 3, 1, 0);
    s->tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
    s->ldt = (struct kvm_segment){.unusable = 1};
}

void vcpu_prot(struct tvm *vm, int v)
{
    struct kvm_sregs s;
    CHECK(ioctl(vm->vcpu[v], KVM_GET_SREGS, &s) == 0);
    vcpu_gdt(vm, &s);
    s.cs = vcpu_seg(0x08, 11, 1, 0);
    s.cr0 = 0x11;
    CHECK(ioctl(vm->vcpu[v], KVM_SET_SREGS, &s) == 0);
    vcpu_start(vm, v);
}

void vcpu_long(struct tvm *vm, int v)
{
    struct kvm_sregs s;
    uint64_t *table = (uint64_t *)(vm->mem + TABLES);
    table[0] = (TABLES + 0x1000) | 3;
    for (unsigned i = 0; i < 4; i++) /* a page directory for each of the first 4 GiB */
        table[512 + i] = (TABLES + 0x2000 + i * 0x1000) | 3;
    for (uint64_t i = 0; i < 2048; i++)
        table[1024 + i] = i << 21 | 0x83;
    CHECK(ioctl(vm->vcpu[v], KVM_GET_SREGS, &s) == 0);
    vcpu_gdt(vm, &s);
    s.cs = vcpu_seg(0x18, 11, 0, 1);
    s.cr0 = 0x80000011;
    s.cr3 = TABLES;
    s.cr4 = 0x620; /* PAE, OSFXSR, OSXMMEXCPT */
    s.efer = 0x500;
    CHECK(ioctl(vm->vcpu[v], KVM_SET_SREGS, &s) == 0);
    vcpu_start(vm, v);
}

void vcpu_regs(struct tvm *vm, int v, struct kvm_regs *r)
{
    CHECK(ioctl(vm->vcpu[v], KVM_GET_REGS, r) == 0);
}

void vcpu_set_regs(struct tvm *vm, int v, const struct kvm_regs *r)
{
    CHECK(ioctl(vm->vcpu[v], KVM_SET_REGS, r) == 0);
}

/* Gives the vCPU all that KVM supports. */
void vcpu_cpuid(struct tvm *vm, int v)
{
    static struct {
        struct {
            uint32_t nent, padding;
        } head;
        struct kvm_cpuid_entry2 entries[256];
    } c;
    c.head.nent = 256;
    CHECK(ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &c) == 0);
    for (unsigned i = 0; i < c.head.nent; i++)
        if (c.entries[i].function == 1)
            c.entries[i].ebx = (c.entries[i].ebx & 0xffffff) | (unsigned)v << 24;
    CHECK(ioctl(vm->vcpu[v], KVM_SET_CPUID2, &c) == 0);
}

unsigned vcpu_run(struct tvm *vm, int v)
{
    while (ioctl(vm->vcpu[v], KVM_RUN, 0) < 0)
        CHECK(errno == EINTR || errno == EAGAIN);
    return vm->run[v]->exit_reason;
}

void *io_data(struct tvm *vm, int v)
{
    return (uint8_t *)vm->run[v] + vm->run[v]->io.data_offset;
}

uint32_t vcpu_report(struct tvm *vm, int v)
{
    struct kvm_run *run = vm->run[v];
    uint32_t value = 0;
    unsigned reason = vcpu_run(vm, v);
    if (reason != KVM_EXIT_IO) {
        struct kvm_regs r;
        vcpu_regs(vm, v, &r);
        test_fail(__FILE__, __LINE__, "exit %u at rip %#llx where a report was due", reason,
                  (unsigned long long)r.rip);
    }
    CHECK_EQ(run->io.direction, KVM_EXIT_IO_OUT);
    CHECK_EQ(run->io.port, REPORT);
    CHECK_EQ(run->io.count, 1);
    memcpy(&value, io_data(vm, v), run->io.size);
    return value;
}

uint64_t get_msr(struct tvm *vm, int v, uint32_t index)
{
    struct {
        struct {
            uint32_t nmsrs, pad;
        } head;
        struct kvm_msr_entry e;
    } m = {.head.nmsrs = 1, .e.index = index};
    CHECK_EQ(ioctl(vm->vcpu[v], KVM_GET_MSRS, &m), 1);
    return m.e.data;
}

int set_msr(struct tvm *vm, int v, uint32_t index, uint64_t value)
{
    struct {
        struct {
            uint32_t nmsrs, pad;
        } head;
        struct kvm_msr_entry e;
    } m = {.head.nmsrs = 1, .e = {.index = index, .data = value}};
    return ioctl(vm->vcpu[v], KVM_SET_MSRS, &m);
}
