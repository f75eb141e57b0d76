/* SPDX-License-Identifier: MIT
 *
 * The host bridge: one bus, one function in a slot. Configuration space by ports (Local Bus 3.0,
 * 3.2.2.3.2), of which the first takes accesses of 32 bits alone, so that the reset register has
 * its byte there; and by ECAM, 4096 bytes for a function.
 */

#include "vmm/pci.h"
#include "vmm/vmm.h"

#define ADDRESS_ENABLE 0x80000000u
#define VENDOR 0x1b36 /* Red Hat's, whose host bridge this number is */
#define HOST_BRIDGE 0x0008

enum { PCI_AT_ADDRESS, PCI_AT_DATA, PCI_AT_ECAM, PCI_AT_MEMORY };

/* ---- configuration space ---- */

/* Bus and devfn as in both ways of access. NULL: there is none. */
static struct pci_function *pci_function_at(struct pci_host *h, uint32_t bdf)
{
    return bdf & 7 || bdf >> 3 >= PCI_SLOTS ? NULL : h->slots[bdf >> 3];
}

/* The function and register that an access to the data port or ECAM names. NULL: none. */
static struct pci_function *pci_target(struct pci_host *h, unsigned resource, uint64_t offset,
                                       unsigned *reg)
{
    uint32_t address;

    if (resource == PCI_AT_ECAM) {
        *reg = offset & 0xfff;
        return pci_function_at(h, offset >> 12);
    }
    pthread_mutex_lock(&h->dev.lock);
    address = h->address;
    pthread_mutex_unlock(&h->dev.lock);
    *reg = (address & 0xfc) + offset;
    return address & ADDRESS_ENABLE ? pci_function_at(h, address >> 8 & 0xffff) : NULL;
}

uint32_t pci_get(struct pci_function *f, unsigned reg, unsigned len)
{
    uint32_t value;

    pthread_mutex_lock(&f->host->dev.lock);
    value = pci_config_read(&f->config, reg, len);
    pthread_mutex_unlock(&f->host->dev.lock);
    return value;
}

void pci_set(struct pci_function *f, unsigned reg, uint32_t value, unsigned len)
{
    pthread_mutex_lock(&f->host->dev.lock);
    pci_config_set(&f->config, reg, value, len);
    pthread_mutex_unlock(&f->host->dev.lock);
}

static uint64_t pci_guest_reads(struct pci_function *f, unsigned reg, unsigned len)
{
    if (f->ops)
        f->ops->reading(f, reg, len);
    return pci_get(f, reg, len);
}

static void pci_guest_writes(struct pci_function *f, unsigned reg, uint64_t value, unsigned len)
{
    pthread_mutex_lock(&f->host->dev.lock);
    pci_config_write(&f->config, reg, value, len);
    if (f->ops)
        f->ops->changed(f);
    pthread_mutex_unlock(&f->host->dev.lock);
    if (f->ops)
        f->ops->written(f, reg, len);
}

/* ---- BARs ---- */

uint32_t pci_bar_address(const struct pci_function *f, unsigned bar)
{
    const struct space *window = &f->host->memory;
    uint32_t at = pci_config_bar(&f->config, bar), size = f->config.bar_size[bar];
    bool on = pci_config_read(&f->config, PCI_COMMAND, 2) & PCI_COMMAND_MEM;

    return on && size && at >= window->start && at - window->start < window->size &&
                   size <= window->size - (at - window->start)
               ? at
               : 0;
}

/* What answers at that address: the function and the BAR, or NULL. */
static struct pci_function *pci_find_bar(struct pci_host *h, uint64_t addr, unsigned len,
                                         unsigned *bar)
{
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        struct pci_function *f = h->slots[i];

        for (*bar = 0; f && f->ops && *bar < PCI_BARS; ++*bar) {
            uint32_t at = pci_bar_address(f, *bar);

            if (at && addr >= at && addr - at < f->config.bar_size[*bar] &&
                len <= f->config.bar_size[*bar] - (addr - at))
                return f;
        }
    }
    return NULL;
}

/* The same, and the offset in the BAR. */
static struct pci_function *pci_decode(struct pci_host *h, uint64_t offset, unsigned len,
                                       unsigned *bar, uint64_t *at)
{
    uint64_t addr = h->memory.start + offset;
    struct pci_function *f;

    pthread_mutex_lock(&h->dev.lock);
    f = pci_find_bar(h, addr, len, bar);
    if (f)
        *at = addr - pci_config_bar(&f->config, *bar);
    pthread_mutex_unlock(&h->dev.lock);
    return f;
}

/* ---- the bridge on its buses ---- */

static uint64_t pci_host_read(struct device *d, unsigned resource, uint64_t offset, unsigned len)
{
    struct pci_host *h = container_of(d, struct pci_host, dev);
    struct pci_function *f;
    unsigned bar, reg;
    uint64_t at;

    if (resource == PCI_AT_MEMORY) {
        f = pci_decode(h, offset, len, &bar, &at);
        return f ? f->ops->bar_read(f, bar, at, len) : ~0ull;
    }
    if (resource == PCI_AT_ADDRESS) {
        pthread_mutex_lock(&d->lock);
        at = h->address;
        pthread_mutex_unlock(&d->lock);
        return at;
    }
    f = pci_target(h, resource, offset, &reg);
    return f ? pci_guest_reads(f, reg, len) : ~0ull;
}

static void pci_host_write(struct device *d, unsigned resource, uint64_t offset, uint64_t value,
                           unsigned len)
{
    struct pci_host *h = container_of(d, struct pci_host, dev);
    struct pci_function *f;
    unsigned bar, reg;
    uint64_t at;

    if (resource == PCI_AT_ADDRESS) {
        pthread_mutex_lock(&d->lock);
        h->address = value & ~3u;
        pthread_mutex_unlock(&d->lock);
    } else if (resource == PCI_AT_MEMORY) {
        f = pci_decode(h, offset, len, &bar, &at);
        if (f)
            f->ops->bar_write(f, bar, at, value, len);
    } else {
        f = pci_target(h, resource, offset, &reg);
        if (f)
            pci_guest_writes(f, reg, value, len);
    }
}

static const struct device_ops pci_host_ops = {.read = pci_host_read, .write = pci_host_write};

/* ---- lines ---- */

void pci_set_line(struct pci_function *f, bool level)
{
    struct pci_host *h = f->host;
    uint32_t *raised = &h->raised[f->pin], before;

    pthread_mutex_lock(&h->irq_lock);
    before = *raised;
    *raised = level ? before | 1u << f->slot : before & ~(1u << f->slot);
    if (!before != !*raised)
        irq_set(h->dev.vm, h->pins[f->pin], *raised != 0);
    pthread_mutex_unlock(&h->irq_lock);
}

unsigned pci_line(const struct pci_function *f)
{
    return f->host->pins[f->pin];
}

/* ---- before the guest runs ---- */

void pci_place_bar(struct pci_function *f, unsigned bar, uint32_t size)
{
    uint64_t at;

    if (space_alloc(&f->host->memory, size, size, &at))
        fatal(EXIT_USAGE, "there is no room for a PCI device's registers");
    pci_config_add_bar(&f->config, bar, size, at);
}

void pci_add(struct vm *vm, struct pci_function *f, const struct pci_id *id,
             const struct pci_ops *ops)
{
    struct pci_host *h = vm->pci;
    unsigned slot = 0;

    while (slot < PCI_SLOTS && h->slots[slot])
        slot++;
    if (slot == PCI_SLOTS)
        fatal(EXIT_USAGE, "more than %u PCI devices", PCI_SLOTS - 1);
    pci_config_init(&f->config, id);
    f->ops = ops;
    f->host = h;
    f->slot = slot;
    f->pin = slot % PCI_PINS;
    if (ops) {
        pci_config_set(&f->config, PCI_INT_PIN, 1, 1);
        pci_config_set(&f->config, PCI_INT_LINE, h->pins[f->pin], 1);
    }
    h->slots[slot] = f;
}

void pci_host_create(struct vm *vm)
{
    static const struct resource places[] = {
        [PCI_AT_ADDRESS] = {BUS_PORT, PCI_PORT, 1, .width = 4},
        [PCI_AT_DATA] = {BUS_PORT, PCI_PORT + 4, 4, 0},
        [PCI_AT_ECAM] = {BUS_MEMORY, PCI_ECAM, PCI_ECAM_SIZE, 0},
        [PCI_AT_MEMORY] = {BUS_MEMORY, PCI_MEMORY, PCI_MEMORY_SIZE, 0},
    };
    static const struct pci_id id = {VENDOR, HOST_BRIDGE, 0, 0, PCI_CLASS_BRIDGE_HOST, 0};
    struct pci_host *h = vm_alloc(vm, sizeof *h);

    device_init(&h->dev, vm, "the PCI host bridge", &pci_host_ops);
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
        device_claim(&h->dev, &places[i]);
    space_init(&h->memory, PCI_MEMORY, PCI_MEMORY_SIZE);
    pthread_mutex_init(&h->irq_lock, NULL);
    for (unsigned i = 0; i < PCI_PINS; i++)
        h->pins[i] = irq_alloc_pin(vm);
    vm->pci = h;
    pci_add(vm, &h->bridge, &id, NULL);
}
