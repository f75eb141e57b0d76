/* SPDX-License-Identifier: MIT */
#include "vmm_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATED 16

struct machine {
    struct vm vm;
    void *allocated[ALLOCATED];
    unsigned n;
};

/* ---- what the devices call ---- */

_Noreturn void fatal(int status, const char *fmt, ...)
{
    fprintf(stderr, "fatal: %s\n", fmt);
    abort();
}

void vm_stop(struct vm *vm, int status, const char *fmt, ...)
{
    fprintf(stderr, "stopped: %s\n", fmt);
    abort();
}

void *vm_alloc(struct vm *vm, size_t size)
{
    struct machine *m = container_of(vm, struct machine, vm);

    if (m->n == ALLOCATED)
        abort();
    return m->allocated[m->n++] = calloc(1, size);
}

void vm_wake(struct vm *vm)
{
}

void irq_set(struct vm *vm, unsigned gsi, bool level)
{
}

void irq_route(struct vm *vm, struct irq_message *m, uint64_t address, uint32_t data)
{
}

void irq_send(const struct irq_message *m)
{
}

bool irq_doorbell(struct vm *vm, uint64_t addr, unsigned len, int fd, bool on)
{
    return true;
}

unsigned irq_alloc_pin(struct vm *vm)
{
    return IRQ_FREE_PIN;
}

uint32_t irq_alloc_messages(struct vm *vm, unsigned n)
{
    return IRQ_PINS;
}

/* ---- the machine ---- */

struct vm *machine_make(bool pci)
{
    struct machine *m = calloc(1, sizeof *m);
    struct vm *vm = &m->vm;

    vm->memory_size = MACHINE_RAM;
    vm->ram.count = 1;
    vm->ram.regions[0] = (struct mem_region){0, MACHINE_RAM, calloc(1, MACHINE_RAM)};
    report_init(&vm->report, -1);
    bus_init(&vm->buses[BUS_PORT], 0, 1 << 16);
    bus_init(&vm->buses[BUS_MEMORY], DEVICE_MEMORY, DEVICE_MEMORY_END - DEVICE_MEMORY);
    if (pci)
        pci_host_create(vm);
    return vm;
}

void machine_free(struct vm *vm)
{
    struct machine *m = container_of(vm, struct machine, vm);

    for (unsigned i = 0; i < m->n; i++)
        free(m->allocated[i]);
    free(vm->ram.regions[0].host);
    free(m);
}

static void machine_put(struct vm *vm, unsigned reg, uint32_t value)
{
    bus_write(&vm->buses[BUS_MEMORY], DEVICE_MEMORY + reg, value, 4);
}

static void machine_queue(struct vm *vm, unsigned n)
{
    uint32_t at = machine_ring(n);

    machine_put(vm, REG_QUEUE_SEL, n);
    machine_put(vm, REG_QUEUE_NUM, 8);
    machine_put(vm, REG_DESC, at);
    machine_put(vm, REG_AVAIL, at + 0x1000);
    machine_put(vm, REG_USED, at + 0x2000);
    machine_put(vm, REG_QUEUE_READY, 1);
}

void machine_start(struct vm *vm, uint64_t features, unsigned queues)
{
    unsigned status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

    features |= VIRTIO_F_VERSION_1;
    machine_put(vm, REG_STATUS, 0);
    machine_put(vm, REG_STATUS, status);
    machine_put(vm, REG_DRIVER_SEL, 0);
    machine_put(vm, REG_DRIVER, features);
    machine_put(vm, REG_DRIVER_SEL, 1);
    machine_put(vm, REG_DRIVER, features >> 32);
    machine_put(vm, REG_STATUS, status |= STATUS_FEATURES_OK);
    for (unsigned n = 0; n < queues; n++)
        machine_queue(vm, n);
    machine_put(vm, REG_STATUS, status | STATUS_DRIVER_OK);
}

void machine_descriptor(struct vm *vm, unsigned queue, unsigned slot, uint64_t addr, uint32_t len,
                        uint16_t flags, uint16_t next)
{
    uint8_t *desc = mem_at(&vm->ram, machine_ring(queue) + 16 * slot, 16);

    memcpy(desc, &addr, 8);
    memcpy(desc + 8, &len, 4);
    memcpy(desc + 12, &flags, 2);
    memcpy(desc + 14, &next, 2);
}

void machine_offer(struct vm *vm, unsigned queue, uint16_t head)
{
    uint16_t *avail = mem_at(&vm->ram, machine_ring(queue) + 0x1000, 32);

    avail[2 + avail[1] % 8] = head;
    __atomic_store_n(&avail[1], (uint16_t)(avail[1] + 1), __ATOMIC_RELEASE);
    machine_put(vm, REG_NOTIFY, queue);
    for (struct device *d = vm->devices; d; d = d->next)
        if (d->ops->work)
            d->ops->work(d);
}

uint16_t machine_used(struct vm *vm, unsigned queue)
{
    uint16_t *used = mem_at(&vm->ram, machine_ring(queue) + 0x2000, 8);

    return __atomic_load_n(&used[1], __ATOMIC_ACQUIRE);
}
