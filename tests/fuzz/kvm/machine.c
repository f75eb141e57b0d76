/* SPDX-License-Identifier: MIT
 *
 * A machine as VMMs make them: memory, a model of interrupt controllers, vCPUs with their areas.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

static void controllers(struct machine *m, struct chance *c)
{
    struct kvm_pit_config pit = {0};
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};

    ioctl(m->vm, KVM_SET_TSS_ADDR, 0xfffbd000);
    switch (chance_below(c, 3)) {
    case 0:
        ioctl(m->vm, KVM_CREATE_IRQCHIP, 0);
        ioctl(m->vm, KVM_CREATE_PIT2, &pit);
        break;
    case 1:
        ioctl(m->vm, KVM_ENABLE_CAP, &split);
        break;
    default:
        break;
    }
}

static bool vcpu_make(struct machine *m)
{
    unsigned v = m->vcpus;

    m->vcpu[v] = ioctl(m->vm, KVM_CREATE_VCPU, v);
    if (m->vcpu[v] < 0)
        return false;
    m->run[v] = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu[v], 0);
    if (m->run[v] == MAP_FAILED)
        return false;
    m->vcpus++;
    return true;
}

bool machine_make(struct machine *m, struct chance *c)
{
    struct kvm_userspace_memory_region slot = {.memory_size = GUEST_SIZE};
    uint64_t n = 1 + chance_below(c, MAX_VCPUS);
    int size;

    m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    m->vm = m->kvm < 0 ? -1 : ioctl(m->kvm, KVM_CREATE_VM, 0);
    m->event = eventfd(0, EFD_NONBLOCK);
    if (m->vm < 0)
        return false;
    size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    m->run_size = size > 0 ? (size_t)size : 4096;
    /* Twice the memory: slots that requests make may reach past the first. */
    m->mem = mmap(NULL, 2 * GUEST_SIZE, PROT_READ | PROT_WRITE,
                  MAP_ANONYMOUS | (chance_of(c, 2) ? MAP_SHARED : MAP_PRIVATE), -1, 0);
    if (m->mem == MAP_FAILED)
        return false;
    slot.userspace_addr = (uint64_t)m->mem;
    ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot);
    controllers(m, c);
    while (m->vcpus < n && vcpu_make(m))
        ;
    return m->vcpus > 0;
}
