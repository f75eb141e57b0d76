/* SPDX-License-Identifier: MIT
 *
 * Devices, their threads, and the buses that find which one answers: see device.h.
 */
#include "vmm/device.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/vmm.h"

/* ---- the buses: a handful of regions, so a linear search, the last one hit first ---- */

void bus_init(struct bus *b, uint64_t start, uint64_t size)
{
    space_init(&b->space, start, size);
    b->count = 0;
}

static bool bus_holds(const struct bus_region *r, uint64_t addr, unsigned len)
{
    if (r->width)
        return addr == r->start && len == r->width;
    return addr >= r->start && addr - r->start < r->size && len <= r->size - (addr - r->start);
}

static const struct bus_region *bus_find(struct bus *b, uint64_t addr, unsigned len)
{
    unsigned hint = atomic_load_explicit(&b->last, memory_order_relaxed);

    if (hint < b->count && bus_holds(&b->regions[hint], addr, len))
        return &b->regions[hint];
    for (unsigned i = 0; i < b->count; i++) {
        if (bus_holds(&b->regions[i], addr, len)) {
            atomic_store_explicit(&b->last, i, memory_order_relaxed);
            return &b->regions[i];
        }
    }
    return NULL;
}

uint64_t bus_read(struct bus *b, uint64_t addr, unsigned len)
{
    const struct bus_region *r = bus_find(b, addr, len);

    if (!r || !r->device->ops->read)
        return ~0ull;
    return r->device->ops->read(r->device, r->resource, addr - r->start, len);
}

void bus_write(struct bus *b, uint64_t addr, uint64_t value, unsigned len)
{
    const struct bus_region *r = bus_find(b, addr, len);

    if (r && r->device->ops->write)
        r->device->ops->write(r->device, r->resource, addr - r->start, value, len);
}

static void bus_add(struct bus *b, struct device *d, unsigned index, const struct resource *r)
{
    int err = space_take(&b->space, r->start, r->size);

    if (err || b->count == BUS_REGIONS)
        fatal(EXIT_USAGE, "%s: no place at %#llx: %s", d->name, (unsigned long long)r->start,
              err ? strerror(-err) : "too many devices");
    b->regions[b->count++] = (struct bus_region){
        .start = r->start, .size = r->size, .width = r->width, .resource = index, .device = d};
}

/* ---- devices ---- */

void device_init(struct device *d, struct vm *vm, const char *name, const struct device_ops *ops)
{
    d->name = name;
    d->vm = vm;
    d->ops = ops;
    d->nresources = 0;
    d->bell = -1;
    pthread_mutex_init(&d->lock, NULL);
    if (ops->work) {
        d->bell = eventfd(0, EFD_CLOEXEC);
        if (d->bell < 0)
            fatal(EXIT_KVM, "%s: an event descriptor: %s", name, strerror(errno));
    }
    d->next = vm->devices;
    vm->devices = d;
}

unsigned device_claim(struct device *d, const struct resource *r)
{
    unsigned index = d->nresources;

    if (index == DEVICE_RESOURCES)
        fatal(EXIT_USAGE, "%s has too many resources", d->name);
    bus_add(&d->vm->buses[r->kind], d, index, r);
    d->resources[d->nresources++] = *r;
    return index;
}

uint64_t device_claim_memory(struct device *d, uint64_t size)
{
    struct resource r = {.kind = BUS_MEMORY, .size = size};
    struct space *s = &d->vm->buses[BUS_MEMORY].space;

    if (space_alloc(s, size, size, &r.start))
        fatal(EXIT_USAGE, "%s: there is no room for its registers", d->name);
    space_release(s, r.start);
    device_claim(d, &r);
    return r.start;
}

void device_ring(struct device *d)
{
    uint64_t one = 1;

    if (write(d->bell, &one, sizeof one) < 0) {
        /* so many rings that it is awake anyway */
    }
}

static void *device_thread(void *arg)
{
    struct device *d = arg;
    uint64_t rings;

    for (;;) {
        if (read(d->bell, &rings, sizeof rings) == sizeof rings)
            d->ops->work(d);
        else if (errno != EINTR)
            return NULL;
    }
}

void devices_start(struct vm *vm)
{
    pthread_t thread;

    for (struct device *d = vm->devices; d; d = d->next) {
        int err = d->ops->work ? pthread_create(&thread, NULL, device_thread, d) : 0;

        if (err)
            fatal(EXIT_KVM, "the thread of %s: %s", d->name, strerror(err));
    }
}
