/* SPDX-License-Identifier: MIT
 *
 * The machine as KVM holds it: descriptor, interrupt controllers, timer, RAM.
 *
 * RAM is private anonymous memory without reservation, on a 2 MiB boundary so that the host can
 * use large pages: what the guest never touches costs nothing.
 */
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi/kvm.h"

#define LARGE_PAGE (2 * MIB)

struct vm_need {
    unsigned cap;
    const char *name;
};

static const struct vm_need vm_needs[] = {
    {KVM_CAP_USER_MEMORY, "user memory"},       {KVM_CAP_IRQCHIP, "interrupt controllers"},
    {KVM_CAP_PIT2, "an interval timer"},        {KVM_CAP_EXT_CPUID, "CPUID"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
};

void *vm_alloc(struct vm *vm, size_t size)
{
    size_t at = vm->heap_used;
    void *more;

    size = (size + 63) & ~(size_t)63;
    if (size <= sizeof vm->heap - at) {
        vm->heap_used += size;
        return vm->heap + at;
    }
    more = calloc(1, size);
    if (!more)
        fatal(EXIT_KVM, "out of memory");
    return more;
}

static void vm_open(struct vm *vm)
{
    vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm < 0)
        fatal(EXIT_NO_KVM, "no hardware virtualization: /dev/kvm: %s", strerror(errno));
    int version = ioctl(vm->kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        fatal(EXIT_NO_KVM, "/dev/kvm speaks version %d, not %d", version, KVM_API_VERSION);
    for (size_t i = 0; i < sizeof vm_needs / sizeof *vm_needs; i++)
        if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, vm_needs[i].cap) <= 0)
            fatal(EXIT_NO_KVM, "/dev/kvm does not offer %s", vm_needs[i].name);
    vm->has_deadline_timer = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        fatal(EXIT_NO_KVM, "cannot create a VM: %s", strerror(errno));
}

static void vm_chips(struct vm *vm)
{
    uint64_t identity = KVM_IDENTITY;
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

    if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
        ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_TSS) < 0)
        fatal(EXIT_KVM, "cannot place KVM's own pages: %s", strerror(errno));
    if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
        fatal(EXIT_KVM, "cannot create interrupt controllers: %s", strerror(errno));
    if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
        fatal(EXIT_KVM, "cannot create the interval timer: %s", strerror(errno));
}

/* An aligned anonymous mapping; the slack around it is given back. */
static uint8_t *vm_map(uint64_t size)
{
    uint64_t span = size + LARGE_PAGE;
    uint8_t *p = mmap(NULL, span, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        fatal(EXIT_KVM, "cannot map %llu MiB of guest memory: %s", (unsigned long long)(size / MIB),
              strerror(errno));
    uint64_t skip = -(uintptr_t)p & (LARGE_PAGE - 1);
    if (skip)
        munmap(p, skip);
    munmap(p + skip + size, LARGE_PAGE - skip);
    return p + skip;
}

static void vm_add_ram(struct vm *vm, uint64_t gpa, uint64_t size)
{
    struct mem_region *r = &vm->ram.regions[vm->ram.count];
    *r = (struct mem_region){gpa, size, vm_map(size)};
    struct kvm_userspace_memory_region slot = {
        .slot = vm->ram.count,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)r->host,
    };
    if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
        fatal(EXIT_KVM, "cannot give the guest its memory: %s", strerror(errno));
    vm->ram.count++;
}

void vm_create(struct vm *vm, uint64_t memory, unsigned cpus)
{
    vm_open(vm);
    int most = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    if (most > 0 && cpus > (unsigned)most)
        fatal(EXIT_USAGE, "--cpus %u: /dev/kvm allows %d", cpus, most);
    vm->cpus = cpus;
    vm->memory_size = memory;
    vm_chips(vm);
    bus_init(&vm->buses[BUS_PORT], 0, 1 << 16);
    bus_init(&vm->buses[BUS_MEMORY], DEVICE_MEMORY, DEVICE_MEMORY_END - DEVICE_MEMORY);
    irq_init(vm);
    uint64_t low = memory < LOW_RAM_MAX ? memory : LOW_RAM_MAX;
    vm_add_ram(vm, 0, low);
    if (memory > low)
        vm_add_ram(vm, HIGH_RAM, memory - low);
}
