/* SPDX-License-Identifier: MIT
 *
 * Guest memory: slots, MMIO, the dirty log, and that it is the process's own memory.
 */
#include "hvtest.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

GUEST(mmio);
GUEST(mmio_forms);
GUEST(dirty);
GUEST(emulated_write);
GUEST(far_apart);
GUEST(peek);
GUEST(poke);

static void mmio_expect(struct tvm *vm, bool write, uint64_t addr, unsigned len)
{
    CHECK_EQ(vcpu_run(vm, 0), KVM_EXIT_MMIO);
    CHECK_EQ(vm->run[0]->mmio.phys_addr, addr);
    CHECK_EQ(vm->run[0]->mmio.is_write, write);
    CHECK_EQ(vm->run[0]->mmio.len, len);
}

static uint64_t mmio_value(struct tvm *vm)
{
    uint64_t v = 0;
    memcpy(&v, vm->run[0]->mmio.data, vm->run[0]->mmio.len);
    return v;
}

static void mmio_answer(struct tvm *vm, uint64_t addr, unsigned len, uint64_t value)
{
    mmio_expect(vm, false, addr, len);
    memcpy(vm->run[0]->mmio.data, &value, len);
}

TEST(mmio_of_each_size)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, mmio);
    vcpu_long(&vm, 0);
    mmio_expect(&vm, true, MMIO_AT, 1);
    CHECK_EQ(mmio_value(&vm), 0x11);
    mmio_expect(&vm, true, MMIO_AT + 2, 2);
    CHECK_EQ(mmio_value(&vm), 0x2222);
    mmio_expect(&vm, true, MMIO_AT + 4, 4);
    CHECK_EQ(mmio_value(&vm), 0x33333333);
    mmio_expect(&vm, true, MMIO_AT + 8, 8);
    CHECK_EQ(mmio_value(&vm), 0x44444444);
    mmio_answer(&vm, MMIO_AT + 0x10, 1, 0x5a);
    EXPECT_REPORT(&vm, 0, 0x5a);
    mmio_answer(&vm, MMIO_AT + 0x14, 4, 0xdeadbeef);
    EXPECT_REPORT(&vm, 0, 0xdeadbeef);
    mmio_answer(&vm, MMIO_AT + 0x18, 8, 0x0123456789abcdef);
    EXPECT_REPORT(&vm, 0, 0x01234567);
}

TEST(mmio_by_the_instructions_of_drivers)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, mmio_forms);
    vcpu_long(&vm, 0);
    mmio_answer(&vm, MMIO_AT, 1, 0x90);
    EXPECT_REPORT(&vm, 0, 0x90);
    mmio_answer(&vm, MMIO_AT, 1, 0x90);
    EXPECT_REPORT(&vm, 0, 0xffffff90);
    mmio_answer(&vm, MMIO_AT + 2, 2, 0x8001);
    EXPECT_REPORT(&vm, 0, 0x8001);
    mmio_answer(&vm, MMIO_AT + 4, 4, 0x23);
    mmio_expect(&vm, true, MMIO_AT + 4, 4);
    CHECK_EQ(mmio_value(&vm), 0x123);
    mmio_answer(&vm, MMIO_AT + 8, 4, 37);
    EXPECT_REPORT(&vm, 0, 42);
    mmio_answer(&vm, MMIO_AT + 12, 4, 4);
    EXPECT_REPORT(&vm, 0, 1);
    mmio_answer(&vm, MMIO_AT + 0x20, 4, 0x11);
    mmio_answer(&vm, MMIO_AT + 0x24, 4, 0x22);
    EXPECT_REPORT(&vm, 0, 0x22);
    mmio_answer(&vm, MMIO_AT + 0x30, 4, 0x99);
    mmio_expect(&vm, true, MMIO_AT + 0x30, 4);
    CHECK_EQ(mmio_value(&vm), 0x7766);
    EXPECT_REPORT(&vm, 0, 0x99);
}

static int region(struct tvm *vm, uint32_t slot, uint64_t gpa, uint64_t size, void *host)
{
    struct kvm_userspace_memory_region r = {
        .slot = slot,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

TEST(slot_errors)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    CHECK_ERR(region(&vm, 1, 0x100000, 0x1000, vm.mem), EEXIST);
    CHECK_ERR(region(&vm, 1, MEM_SIZE + 1, 0x1000, vm.mem), EINVAL);
    CHECK_ERR(region(&vm, 1, MEM_SIZE, 0x1001, vm.mem), EINVAL);
    CHECK_ERR(region(&vm, 1, MEM_SIZE, 0x1000, vm.mem + 1), EINVAL);
    CHECK_ERR(region(&vm, 1, ~0xfffull, 0x2000, vm.mem), EINVAL);
    CHECK_ERR(region(&vm, 40000, MEM_SIZE, 0x1000, vm.mem), EINVAL);
    CHECK_ERR(region(&vm, 1, 0, 0, NULL), EINVAL); /* no such slot to delete */
}

TEST(slot_can_be_added_moved_and_deleted)
{
    struct tvm vm;
    uint8_t *extra =
        mmap(NULL, 0x200000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    vm_make(&vm, VM_PLAIN);
    CHECK(region(&vm, 0, 0, 0, NULL) == 0);
    CHECK(region(&vm, 0, 0, 0x200000, vm.mem) == 0);
    LOAD(&vm, peek);
    vcpu_long(&vm, 0);
    mmio_answer(&vm, 0x200000, 4, 0x1234);
    EXPECT_REPORT(&vm, 0, 0x1234);
    memcpy(extra, "\x78\x56\x34\x12", 4);
    CHECK(region(&vm, 1, 0x200000, 0x200000, extra) == 0);
    EXPECT_REPORT(&vm, 0, 0x12345678);
    CHECK(region(&vm, 1, 0x600000, 0x200000, extra) == 0); /* moved away */
    mmio_answer(&vm, 0x200000, 4, 0x55);
    EXPECT_REPORT(&vm, 0, 0x55);
    CHECK(region(&vm, 1, 0x600000, 0, NULL) == 0);
    CHECK(region(&vm, 1, 0x200000, 0x1000, extra) == 0);
    EXPECT_REPORT(&vm, 0, 0x12345678);
}

TEST(readonly_slot_turns_writes_into_mmio)
{
    struct tvm vm;
    uint8_t *rom = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    vm_make(&vm, VM_PLAIN);
    if (!vm_has(&vm, KVM_CAP_READONLY_MEM))
        test_skip("no KVM_CAP_READONLY_MEM");
    CHECK(region(&vm, 0, 0, 0, NULL) == 0);
    CHECK(region(&vm, 0, 0, 0x100000, vm.mem) == 0);
    rom[0] = 0x77;
    vm_region(&vm, 1, KVM_MEM_READONLY, 0x100000, 0x1000, rom);
    LOAD(&vm, poke);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0x77);
    mmio_expect(&vm, true, 0x100000, 1);
    CHECK_EQ(mmio_value(&vm), 0x5a);
    EXPECT_REPORT(&vm, 0, 2);
    CHECK_EQ(rom[0], 0x77);
}

TEST(guest_memory_is_the_processes_memory)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, peek);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    uint32_t *word = (uint32_t *)(vm.mem + 0x200000);
    *word = 1;
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(madvise(word, 4096, MADV_DONTNEED) == 0);
    EXPECT_REPORT(&vm, 0, 0);
    *word = 2;
    EXPECT_REPORT(&vm, 0, 2);
    CHECK(mmap(word, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) == word);
    EXPECT_REPORT(&vm, 0, 0);
    *word = 3;
    EXPECT_REPORT(&vm, 0, 3);
    pid_t pid = fork(); /* copy on write: the guest must not see the child's page */
    if (pid == 0)
        _exit(0);
    *word = 4;
    EXPECT_REPORT(&vm, 0, 4);
}

TEST(unmapped_host_memory_fails_the_run)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, peek);
    vcpu_long(&vm, 0);
    EXPECT_REPORT(&vm, 0, 0);
    CHECK(munmap(vm.mem + 0x200000, 4096) == 0);
    errno = 0;
    int r = ioctl(vm.vcpu[0], KVM_RUN, 0); /* EFAULT; never a wrong value, never a hang */
    CHECK(r < 0 && errno == EFAULT);
}

#define FAR_SIZE (128u << 20)

/* Bothy's debug build can do as if there were no memory for a nested table. */
static void refuse_tables(bool on)
{
    int fd = open("/proc/bothy/console", O_RDWR);
    if (fd < 0)
        return;
    dprintf(fd, "fail nested_table every %d of kvmtest", on ? 2 : 0);
    close(fd);
}

TEST(shortage_of_memory_for_tables_passes_by_unseen)
{
    struct tvm vm;
    uint8_t *far = mmap(NULL, FAR_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(far != MAP_FAILED && madvise(far, FAR_SIZE, MADV_NOHUGEPAGE) == 0);
    vm_make(&vm, VM_PLAIN);
    vm_region(&vm, 1, 0, 1u << 30, FAR_SIZE, far);
    LOAD(&vm, far_apart);
    vcpu_long(&vm, 0);
    refuse_tables(true);
    EXPECT_REPORT(&vm, 0, 1);
    refuse_tables(false);
    for (size_t at = 0; at < FAR_SIZE; at += 2u << 20)
        CHECK_EQ(far[at], 1);
}

static uint64_t dirty_bits(struct tvm *vm)
{
    static uint64_t bitmap[MEM_SIZE / 4096 / 64];
    struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bitmap};
    memset(bitmap, 0, sizeof bitmap);
    CHECK(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) == 0);
    return bitmap[0x100 / 64];
}

TEST(dirty_log_names_the_pages_written)
{
    struct tvm vm;
    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, dirty);
    vcpu_long(&vm, 0);
    struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = vm.mem};
    CHECK_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), ENOENT); /* not logged */
    vm_region(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, vm.size, vm.mem);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(dirty_bits(&vm) & 0xf, 0xd);
    CHECK_EQ(dirty_bits(&vm) & 0xf, 0);
    EXPECT_REPORT(&vm, 0, 2);
    CHECK_EQ(dirty_bits(&vm) & 0xf, 2);
}

#define MIGRATION_ROUNDS 8
#define MIGRATION_PAGE 8u

/* Bothy's debug build can dwell before it writes into the memory of a guest. */
static void dwell_before_writes(bool on)
{
    int fd = open("/proc/bothy/console", O_RDWR);
    if (fd < 0)
        return;
    dprintf(fd, "delay %d", on ? 5000 : 500);
    dprintf(fd, "fail guest_write every %d%s", on, on ? " of dweller" : "");
    close(fd);
}

struct migration {
    struct tvm vm;
    atomic_int round, done; /* that the guest is to do, and has done */
    uint8_t copy;           /* of the page's first byte, as of when the log last named the page */
};

static void *migration_guest(void *arg)
{
    struct migration *m = arg;
    prctl(PR_SET_NAME, "dweller");
    for (int round = 1; round <= MIGRATION_ROUNDS; round++) {
        while (atomic_load(&m->round) < round)
            sched_yield();
        EXPECT_REPORT(&m->vm, 0, (uint32_t)round);
        atomic_store(&m->done, round);
    }
    return NULL;
}

/* As who moves a machine does it: what the log names is copied. */
static void migration_pass(struct migration *m)
{
    uint64_t bitmap[MEM_SIZE / 4096 / 64] = {0};
    struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bitmap};
    CHECK(ioctl(m->vm.fd, KVM_GET_DIRTY_LOG, &log) == 0);
    if (bitmap[0] >> MIGRATION_PAGE & 1)
        m->copy = *(volatile uint8_t *)(m->vm.mem + MIGRATION_PAGE * 4096);
}

TEST(dirty_log_loses_no_write_of_an_emulated_instruction)
{
    static struct migration m;
    pthread_t guest;
    vm_make(&m.vm, VM_IRQCHIP);
    LOAD(&m.vm, emulated_write);
    vcpu_real(&m.vm, 0);
    vm_region(&m.vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, m.vm.size, m.vm.mem);
    dwell_before_writes(true);
    CHECK(pthread_create(&guest, NULL, migration_guest, &m) == 0);
    for (int round = 1; round <= MIGRATION_ROUNDS; round++) {
        atomic_store(&m.round, round);
        while (atomic_load(&m.done) < round)
            migration_pass(&m);
        migration_pass(&m);
        CHECK_EQ(m.vm.mem[MIGRATION_PAGE * 4096], round);
        CHECK_EQ(m.copy, round);
    }
    dwell_before_writes(false);
    pthread_join(guest, NULL);
}
