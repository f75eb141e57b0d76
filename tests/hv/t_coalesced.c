/* SPDX-License-Identifier: MIT
 *
 * Coalesced writes: what a guest writes into a zone waits in the VM's ring, which every vCPU's run
 * area ends with.
 */
#include "hvtest.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

GUEST(bench_mmio);
GUEST(bench_out);

#define PORT 0x10
#define PAGE 4096u

static int zone_ioctl(struct tvm *vm, unsigned long cmd, uint64_t addr, uint32_t size, uint32_t pio)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = addr, .size = size, .pio = pio};
    return ioctl(vm->fd, cmd, &zone);
}

static int zone_add(struct tvm *vm, uint64_t addr, uint32_t size, uint32_t pio)
{
    return zone_ioctl(vm, KVM_REGISTER_COALESCED_MMIO, addr, size, pio);
}

static int zone_remove(struct tvm *vm, uint64_t addr, uint32_t size, uint32_t pio)
{
    return zone_ioctl(vm, KVM_UNREGISTER_COALESCED_MMIO, addr, size, pio);
}

static struct kvm_coalesced_mmio_ring *ring_of(struct tvm *vm, int v)
{
    int page = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

    CHECK(page > 0 && (page + 1) * PAGE <= vm->run_size);
    return (void *)((char *)vm->run[v] + page * PAGE);
}

/* A guest that writes rax `count` times and then reports. */
static void ring_guest(struct tvm *vm, int v, uint64_t value, unsigned count)
{
    struct kvm_regs r;

    vcpu_long(vm, v);
    vcpu_regs(vm, v, &r);
    r.rax = value;
    r.rsi = count;
    vcpu_set_regs(vm, v, &r);
}

TEST(coalesced_writes_wait_in_the_ring)
{
    struct kvm_coalesced_mmio_ring *ring;
    struct tvm vm;

    vm_make(&vm, VM_PLAIN);
    ring = ring_of(&vm, 0);
    LOAD(&vm, bench_mmio);
    CHECK(zone_add(&vm, MMIO_AT, 0x1000, 0) == 0);
    ring_guest(&vm, 0, 0x11223344, 3);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(ring->first, 0);
    CHECK_EQ(ring->last, 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(ring->coalesced_mmio[i].phys_addr, MMIO_AT);
        CHECK_EQ(ring->coalesced_mmio[i].len, 4);
        CHECK_EQ(ring->coalesced_mmio[i].pio, 0);
        CHECK(memcmp(ring->coalesced_mmio[i].data, "\x44\x33\x22\x11", 4) == 0);
    }
    CHECK(zone_remove(&vm, MMIO_AT, 0x1000, 0) == 0);
    ring_guest(&vm, 0, 1, 1);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    CHECK_EQ(ring->last, 3);
    vm_close(&vm);
}

TEST(coalesced_port_writes_wait_with_the_others)
{
    struct kvm_coalesced_mmio_ring *ring;
    struct tvm vm;

    vm_make(&vm, VM_PLAIN);
    CHECK(ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) == 1);
    ring = ring_of(&vm, 0);
    LOAD(&vm, bench_out);
    CHECK(zone_add(&vm, PORT, 1, 0) == 0); /* of memory: not this */
    ring_guest(&vm, 0, 0x5a, 1);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_IO);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(zone_add(&vm, PORT, 1, 1) == 0);
    ring_guest(&vm, 0, 0x5a, 2);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(ring->last, 2);
    CHECK_EQ(ring->coalesced_mmio[1].phys_addr, PORT);
    CHECK_EQ(ring->coalesced_mmio[1].len, 1);
    CHECK_EQ(ring->coalesced_mmio[1].pio, 1);
    CHECK_EQ(ring->coalesced_mmio[1].data[0], 0x5a);
    vm_close(&vm);
}

TEST(coalesced_ring_is_one_for_all_vcpus)
{
    struct kvm_coalesced_mmio_ring *ring;
    struct tvm vm;

    vm_make(&vm, VM_PLAIN);
    vm_add_vcpu(&vm, 1);
    ring = ring_of(&vm, 0);
    LOAD(&vm, bench_mmio);
    CHECK(zone_add(&vm, MMIO_AT, 8, 0) == 0);
    ring_guest(&vm, 1, 7, 5);
    EXPECT_REPORT(&vm, 1, 1);
    CHECK_EQ(ring->last, 5);
    CHECK_EQ(ring_of(&vm, 1)->last, 5);
    ring_of(&vm, 1)->first = 5;
    CHECK_EQ(ring->first, 5);
    vm_close(&vm);
}

/* How many fit is the kernel's affair: Linux's sum wraps, and has it full at 85 when it begins at
 * 0. Indices that cannot be are as good as a full ring. */
TEST(coalesced_ring_that_is_full_leaves_writes_to_user_space)
{
    struct kvm_coalesced_mmio_ring *ring;
    struct tvm vm;

    vm_make(&vm, VM_PLAIN);
    ring = ring_of(&vm, 0);
    LOAD(&vm, bench_mmio);
    CHECK(zone_add(&vm, MMIO_AT, 0x1000, 0) == 0);
    ring_guest(&vm, 0, 9, KVM_COALESCED_MMIO_MAX);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    CHECK(ring->last > 0 && ring->last < KVM_COALESCED_MMIO_MAX);
    CHECK_EQ(ring->first, 0);
    ring->first = ring->last = KVM_COALESCED_MMIO_MAX - 1; /* all is read */
    ring_guest(&vm, 0, 9, 1);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK_EQ(ring->last, 0); /* around the end */
    ring->last = KVM_COALESCED_MMIO_MAX;
    ring->first = 0;
    ring_guest(&vm, 0, 9, 1);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    ring->last = UINT32_MAX;
    ring_guest(&vm, 0, 9, 1);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    vm_close(&vm);
}

TEST(coalesced_zones_are_checked)
{
    struct tvm vm;

    vm_make(&vm, VM_PLAIN);
    LOAD(&vm, bench_mmio);
    CHECK_ERR(zone_add(&vm, MMIO_AT, 8, 2), EINVAL);
    CHECK_ERR(zone_remove(&vm, MMIO_AT, 8, 2), EINVAL);
    CHECK_ERR(ioctl(vm.fd, KVM_REGISTER_COALESCED_MMIO, 0), EFAULT);
    CHECK(zone_remove(&vm, MMIO_AT, 8, 0) == 0); /* none: no error */
    CHECK(zone_add(&vm, MMIO_AT, 2, 0) == 0);    /* four bytes do not fit */
    ring_guest(&vm, 0, 1, 1);
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(zone_add(&vm, MMIO_AT, 0x100, 0) == 0);
    CHECK(zone_add(&vm, MMIO_AT, 0x100, 0) == 0); /* twice */
    CHECK(zone_remove(&vm, MMIO_AT + 0x10, 0x200, 0) == 0);
    ring_guest(&vm, 0, 1, 1); /* none had all of that */
    EXPECT_REPORT(&vm, 0, 1);
    CHECK(zone_remove(&vm, MMIO_AT + 0x10, 8, 0) == 0);
    ring_guest(&vm, 0, 1, 1); /* both had that */
    CHECK_EQ(vcpu_run(&vm, 0), KVM_EXIT_MMIO);
    vm_close(&vm);
}

static int map_at(struct tvm *vm, void *at, int how)
{
    void *p = mmap(at, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | how, vm->vcpu[0], 0);

    return p == at ? 0 : -1;
}

/* The pages of a run area may be mapped each by itself; the ring outlives the descriptors. */
TEST(run_area_maps_in_parts)
{
    struct kvm_coalesced_mmio_ring *ring;
    struct tvm vm;
    char *both, *at;

    vm_make(&vm, VM_PLAIN);
    at = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    CHECK_ERR(map_at(&vm, at, MAP_FIXED_NOREPLACE), EEXIST);
    CHECK(map_at(&vm, at, MAP_FIXED) == 0);
    CHECK(munmap(at, 3 * PAGE) == 0);
    CHECK(map_at(&vm, at, MAP_FIXED_NOREPLACE) == 0);
    ((struct kvm_coalesced_mmio_ring *)(at + 2 * PAGE))->last = 5;
    CHECK_EQ(ring_of(&vm, 0)->last, 5);
    ring = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu[0], 2 * PAGE);
    CHECK(ring != MAP_FAILED);
    both = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu[0], PAGE);
    CHECK(both != MAP_FAILED);
    ring->first = 77;
    CHECK_EQ(ring_of(&vm, 0)->first, 77);
    CHECK_EQ(((struct kvm_coalesced_mmio_ring *)(both + PAGE))->first, 77);
    vm_close(&vm);
    CHECK_EQ(ring->first, 77);
    CHECK(munmap(both, 2 * PAGE) == 0);
    CHECK(munmap(ring, PAGE) == 0);
}

/* Single pages from `base` on, no two of one kind, until there may be no more areas: how many. */
static unsigned fill_areas(char *base, unsigned max)
{
    unsigned n = 0;

    while (n < max &&
           mmap(base + (size_t)n * PAGE, PAGE, n & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
        n++;
    return n;
}

/* The part that comes may be joined to the one before, and then its end has no space. */
TEST(run_area_maps_in_parts_beside_many_areas)
{
    const unsigned max = 70000;
    struct kvm_run *run;
    struct tvm vm;
    unsigned n;
    char *at, *base;

    vm_make(&vm, VM_PLAIN);
    at = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base = mmap(NULL, (size_t)max * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && base != MAP_FAILED);
    CHECK(munmap(at, 3 * PAGE) == 0 && munmap(base, (size_t)max * PAGE) == 0);
    run = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, vm.vcpu[0], 0);
    CHECK(run == (void *)at);
    n = fill_areas(base, max);
    CHECK(n > 1000 && n < max);
    for (int i = 0; i < 6; i++) { /* with space for none, one, two ... */
        char *rest = mmap(at + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED_NOREPLACE, vm.vcpu[0], PAGE);
        CHECK(rest == at + PAGE || errno == ENOMEM);
        if (rest != MAP_FAILED)
            CHECK(munmap(rest, 2 * PAGE) == 0);
        run->immediate_exit = (uint8_t)i;
        CHECK_EQ(vm.run[0]->immediate_exit, i);
        n--;
        CHECK(munmap(base + (size_t)n * PAGE, PAGE) == 0);
    }
    vm_close(&vm);
}
