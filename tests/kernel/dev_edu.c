/* SPDX-License-Identifier: MIT
 *
 * A driver for QEMU's teaching device (its docs/specs/edu): registers in a BAR, an interrupt, by
 * message or by its pin, and DMA that reaches 28 bits. Where a machine has none the tests have
 * nothing to look at; tests/system/test_pci.py boots machines that have some. `edu.pin` on the
 * command line makes it do without messages.
 */
#include "arch/x86/bootinfo.h"
#include "dev/pci.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "sync/percpu.h"

enum {
    EDU_ID = 0x00,
    EDU_LIVE = 0x04,
    EDU_FACTORIAL = 0x08,
    EDU_STATUS = 0x20,
    EDU_IRQ_STATUS = 0x24,
    EDU_IRQ_RAISE = 0x60,
    EDU_IRQ_ACK = 0x64,
    EDU_DMA_FROM = 0x80,
    EDU_DMA_TO = 0x88,
    EDU_DMA_COUNT = 0x90,
    EDU_DMA_COMMAND = 0x98,
};
#define EDU_STATUS_IRQ 0x80
#define EDU_DMA_START 1
#define EDU_DMA_TO_MEMORY 2
#define EDU_DMA_IRQ 4
#define EDU_BUFFER 0x40000 /* 4096 bytes, by its own address */
#define EDU_DMA_DONE 0x100 /* in its interrupt status */
#define EDU_MASK DMA_MASK(28)
#define LONG (60 * NSEC_PER_SEC)

struct edu {
    struct pci_device *p;
    struct io_region regs;
    struct irq_handler irq;
    u32 seen;     /* a  bits of the interrupt status, gathered by the hard handler */
    u32 told;     /* the thread's */
    unsigned cpu; /* where its thread ran */
    struct waitq waitq;
};

static bool edu_hard(void *arg)
{
    struct edu *e = arg;
    u32 why = io_read32(&e->regs, EDU_IRQ_STATUS);

    if (!why)
        return false;
    io_write32(&e->regs, EDU_IRQ_ACK, why);
    io_flush(&e->regs, EDU_IRQ_STATUS);
    __atomic_fetch_or(&e->seen, why, __ATOMIC_SEQ_CST);
    return true;
}

static void edu_thread(void *arg)
{
    struct edu *e = arg;
    u32 why = __atomic_exchange_n(&e->seen, 0, __ATOMIC_SEQ_CST);

    e->cpu = cpu_id();
    __atomic_fetch_or(&e->told, why, __ATOMIC_SEQ_CST);
    waitq_wake_all(&e->waitq);
}

static int edu_probe(struct device *dev, const struct device_id *id)
{
    struct pci_device *p = pci_device_of(dev);
    struct edu *e = kzalloc(sizeof(*e));
    size_t len;
    int err;

    if (!e)
        return -ENOMEM;
    e->p = p;
    if (boot_option("edu.pin", &len))
        p->msi = 0;
    e->irq = (struct irq_handler){edu_hard, edu_thread, e, "edu", 0, 0, false};
    waitq_init(&e->waitq);
    err = pci_enable(p);
    if (err)
        goto free;
    err = pci_map_bar(p, 0, IO_UNCACHED, &e->regs);
    if (err)
        goto disable;
    err = (io_read32(&e->regs, EDU_ID) & 0xffff) == 0xed ? 0 : -ENODEV;
    if (!err)
        err = dma_set_mask(dev, EDU_MASK);
    if (err)
        goto unmap;
    err = pci_irq_setup(p, 1, 1);
    if (err < 0)
        goto unmap;
    err = pci_irq_request(p, 0, &e->irq, 0);
    if (err)
        goto teardown;
    pci_set_master(p, true);
    dev->driver_data = e;
    return 0;
teardown:
    pci_irq_teardown(p);
unmap:
    io_unmap(&e->regs);
disable:
    pci_disable(p);
free:
    kfree(e);
    return err;
}

static void edu_remove(struct device *dev)
{
    struct edu *e = dev->driver_data;

    device_gate_close(dev);
    pci_set_master(e->p, false);
    pci_irq_release(e->p, 0);
    pci_irq_teardown(e->p);
    io_unmap(&e->regs);
    pci_disable(e->p);
    kfree(e);
}

static const struct device_id edu_ids[] = {PCI_ID(0x1234, 0x11e8)};
DRIVER(selftest_edu)
= {.name = "edu", .bus = &pci_bus, DRIVER_IDS(edu_ids), .probe = edu_probe, .remove = edu_remove};

/* ---- what the tests ask of it ---- */

/* Each edu in turn, a reference; NULL: no more. */
static struct device *edu_next(u64 *serial)
{
    struct device *dev;

    while ((dev = device_next(*serial)) != NULL) {
        const struct driver *drv = device_driver(dev);

        *serial = dev->serial;
        if (drv && strcmp(drv->name, "edu") == 0)
            return dev;
        device_put(dev);
    }
    return NULL;
}

/* Runs fn on every edu there is; false: one of them failed. */
static bool edu_each(bool (*fn)(struct edu *e))
{
    struct device *dev;
    u64 serial = 0;
    bool ok = device_settle(time_ns() + LONG) == 0;

    while (ok && (dev = edu_next(&serial)) != NULL) {
        ok = device_enter(dev);
        if (ok) {
            ok = fn(dev->driver_data);
            device_leave(dev);
        }
        device_put(dev);
    }
    return ok;
}

static bool edu_wait(struct edu *e, u32 bit)
{
    int err = wait_event_deadline(&e->waitq, READ_ONCE(e->told) & bit, SLEEP_UNINTERRUPTIBLE,
                                  time_ns() + LONG);

    __atomic_fetch_and(&e->told, ~bit, __ATOMIC_SEQ_CST);
    return err == 0;
}

static bool edu_registers(struct edu *e)
{
    io_write32(&e->regs, EDU_LIVE, 0x12345678);
    return io_read32(&e->regs, EDU_LIVE) == (u32)~0x12345678U;
}

static bool edu_factorial(struct edu *e)
{
    io_write32(&e->regs, EDU_STATUS, EDU_STATUS_IRQ);
    io_write32(&e->regs, EDU_FACTORIAL, 10);
    return edu_wait(e, 1) && io_read32(&e->regs, EDU_FACTORIAL) == 3628800;
}

static bool edu_dma(struct edu *e, u64 from, u64 to, u64 n, u64 direction)
{
    io_write64(&e->regs, EDU_DMA_FROM, from);
    io_write64(&e->regs, EDU_DMA_TO, to);
    io_write64(&e->regs, EDU_DMA_COUNT, n);
    io_write64(&e->regs, EDU_DMA_COMMAND, EDU_DMA_START | EDU_DMA_IRQ | direction);
    return edu_wait(e, EDU_DMA_DONE);
}

/* From one half of a buffer to the other by way of the device. */
static bool edu_copies(struct edu *e, u8 *buf)
{
    struct device *dev = &e->p->dev;
    dma_addr_t from = dma_map(dev, buf, 2048, DMA_TO_DEVICE), to;
    bool ok;

    if (!dma_ok(from) || from.v + 2047 > EDU_MASK)
        return false;
    ok = edu_dma(e, from.v, EDU_BUFFER, 2048, 0);
    dma_unmap(dev, from, 2048, DMA_TO_DEVICE);
    to = dma_map(dev, buf + 2048, 2048, DMA_FROM_DEVICE);
    if (!dma_ok(to) || to.v + 2047 > EDU_MASK)
        return false;
    ok = ok && edu_dma(e, EDU_BUFFER, to.v, 2048, EDU_DMA_TO_MEMORY);
    dma_unmap(dev, to, 2048, DMA_FROM_DEVICE);
    return ok && memcmp(buf, buf + 2048, 2048) == 0;
}

static bool edu_copies_random(struct edu *e, void *buf)
{
    u8 *bytes = buf;

    for (unsigned i = 0; i < 4096; i++)
        bytes[i] = i < 2048 ? (u8)(i * 7 + (i >> 8)) : 0;
    return edu_copies(e, buf);
}

static bool edu_copies_low(struct edu *e)
{
    dma_addr_t addr;
    void *buf = dma_alloc_coherent(&e->p->dev, 4096, &addr);
    bool ok = buf && addr.v + 4095 <= EDU_MASK && edu_copies_random(e, buf);

    dma_free_coherent(&e->p->dev, buf, 4096, addr);
    return ok;
}

/* Memory beyond its reach: what is below is held meanwhile. NULL: there is none. */
static struct page *edu_high_page(struct list_node *held)
{
    struct page *page;

    list_init(held);
    while ((page = page_alloc(MAX_ORDER, 0)) != NULL) {
        if (page_hpa(page).v > EDU_MASK)
            return page;
        list_add(held, &page->node);
    }
    return NULL;
}

static bool edu_copies_high(struct edu *e)
{
    struct list_node held;
    struct page *high = edu_high_page(&held), *page;
    bool ok;

    while ((page = list_first(&held, struct page, node)) != NULL) {
        list_del(&page->node);
        page_put(page);
    }
    ok = !high || (edu_copies_random(e, page_virt(high)) && e->p->dev.dma_copies == 0);
    if (high)
        page_put(high);
    return ok;
}

static bool edu_moves(struct edu *e)
{
    if (cpu_count() < 2)
        return true;
    if (irq_set_affinity(e->irq.irq, 1UL << 1) != 0 || !edu_factorial(e) || e->cpu != 1)
        return false;
    return irq_set_affinity(e->irq.irq, 1UL << 0) == 0 && edu_factorial(e) && e->cpu == 0;
}

SELFTEST(pci_edu_registers_answer)
{
    CHECK(edu_each(edu_registers));
}

SELFTEST(pci_edu_interrupt_reaches_its_thread_and_moves)
{
    CHECK(edu_each(edu_factorial));
    CHECK(edu_each(edu_moves));
}

SELFTEST(pci_edu_dma_reaches_low_memory)
{
    CHECK(edu_each(edu_copies_low));
}

SELFTEST(pci_edu_dma_is_copied_from_and_to_high_memory)
{
    CHECK(edu_each(edu_copies_high));
}

SELFTEST(pci_edu_driver_is_removed_and_comes_back)
{
    struct device *dev;
    u64 serial = 0;

    CHECK(device_settle(time_ns() + LONG) == 0);
    while ((dev = edu_next(&serial)) != NULL) {
        struct pci_device *p = pci_device_of(dev);

        CHECK(device_unbind(dev) == 0);
        CHECK(!p->irqs && !p->enabled && !(pci_read16(p, PCI_COMMAND) & PCI_COMMAND_MASTER));
        CHECK(device_bind(dev) == 0);
        device_put(dev);
    }
    CHECK(edu_each(edu_factorial));
}

#define QEMU_VENDOR 0x1b36 /* on a real machine firmware may use what no driver has */

/* Of a device that no driver has; true: it was reset, or cannot be. */
static bool pci_resets(struct pci_device *p)
{
    u32 before[PCI_CONFIG_SIZE / 16];
    int err;

    for (unsigned i = 0; i < ARRAY_SIZE(before); i++)
        before[i] = pci_read32(p, i * 4);
    err = pci_reset(p);
    for (unsigned i = 0; i < ARRAY_SIZE(before); i++)
        if (pci_read32(p, i * 4) != before[i])
            return false;
    return err == 0 || err == -EOPNOTSUPP;
}

SELFTEST(pci_reset_leaves_configuration_space_as_it_was)
{
    struct device *dev;
    u64 serial = 0;

    CHECK(device_settle(time_ns() + LONG) == 0);
    while ((dev = device_next(serial)) != NULL) {
        bool mine = dev->bus == &pci_bus && pci_device_of(dev)->vendor == QEMU_VENDOR &&
                    !device_driver(dev);
        bool ok = !mine || pci_resets(pci_device_of(dev));

        serial = dev->serial;
        device_put(dev);
        CHECK(ok);
    }
}
