/* SPDX-License-Identifier: MIT
 *
 * The 16550 serial ports of a PC, COM1 to COM4. What is written goes into a ring; the chip's FIFO
 * is filled from it at once as far as it takes bytes, and by the "transmitter empty" interrupt from
 * then on, so no thread waits for the line. COM1 is also the debug port (kernel/debug/port.c),
 * which set it up and may write at any time: a burst into its FIFO is claimed, so that two do not
 * overrun it together.
 *
 * The interrupts of the ISA bus are edges: the handler leaves only when the chip asks for nothing
 * more, or makes a new edge.
 *
 * Lock order: a port's lock is a leaf; receive and sent are called without it.
 * PC16550D data sheet, section 8.
 */
#include "arch/x86/regs.h"
#include "debug/debug.h"
#include "dev/device.h"
#include "dev/irq.h"
#include "dev/serial.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/ring.h"
#include "mm/slab.h"
#include "sync/spinlock.h"

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
#define IER_RECEIVE 0x01
#define IER_EMPTY 0x02
#define IIR_NONE 0x01
#define LSR_DATA 0x01
#define LSR_EMPTY 0x20
#define FIFO_DEPTH 16
#define READ_MAX 64
#define RING_SIZE 4096
#define IRQ_ROUNDS 256
#define COM1 0x3f8
#define SERIAL_MINOR 64

struct ns16550 {
    struct serial_port port;
    struct irq_handler irq;
    struct spinlock lock; /* what follows, and the registers of output */
    struct ring ring;     /* without a buffer until the port is started */
    bool held;            /* by flow control */
    bool sending;         /* IER_EMPTY is on */
    u16 io;               /* I */
    u8 isa;               /* I */
    char name[8];         /* I */
};

static struct ns16550 *ns16550_of(struct serial_port *port)
{
    return container_of(port, struct ns16550, port);
}

/* One FIFO's worth, if the FIFO is empty; false: it is not. */
static bool ns16550_burst_locked(struct ns16550 *uart) REQUIRES(uart->lock)
{
    u8 burst[FIFO_DEPTH];
    bool empty;

    ASSERT_HELD(&uart->lock);
    if (uart->io == COM1)
        debug_port_claim();
    empty = inb(uart->io + LSR) & LSR_EMPTY;
    if (empty) {
        u32 n = ring_read(&uart->ring, burst, FIFO_DEPTH);

        for (u32 i = 0; i < n; i++)
            outb(uart->io + DATA, burst[i]);
    }
    if (uart->io == COM1)
        debug_port_release();
    return empty;
}

/* Sends what the chip takes now; the interrupt is on while something is left, and until it has
 * come: it tells that all is sent. */
static void ns16550_pump_locked(struct ns16550 *uart, bool interrupted) REQUIRES(uart->lock)
{
    bool more;

    ASSERT_HELD(&uart->lock);
    while (!uart->held && ring_used(&uart->ring) && ns16550_burst_locked(uart))
        ;
    more = !uart->held && ring_used(&uart->ring);
    if (more != uart->sending && (more || interrupted)) {
        uart->sending = more;
        outb(uart->io + IER, IER_RECEIVE | (more ? IER_EMPTY : 0));
    }
}

static size_t ns16550_write(struct serial_port *port, const char *buf, size_t n)
{
    struct ns16550 *uart = ns16550_of(port);
    u64 flags;

    spin_lock_irqsave(&uart->lock, &flags);
    n = ring_write(&uart->ring, buf, (u32)MIN(n, (size_t)RING_SIZE));
    ns16550_pump_locked(uart, false);
    spin_unlock_irqrestore(&uart->lock, flags);
    return n;
}

static size_t ns16550_space(struct serial_port *port)
{
    return ring_space(&ns16550_of(port)->ring);
}

static size_t ns16550_queued(struct serial_port *port)
{
    return ring_used(&ns16550_of(port)->ring);
}

static void ns16550_discard(struct serial_port *port)
{
    struct ns16550 *uart = ns16550_of(port);
    u64 flags;

    spin_lock_irqsave(&uart->lock, &flags);
    ring_skip(&uart->ring, RING_SIZE);
    ns16550_pump_locked(uart, false);
    spin_unlock_irqrestore(&uart->lock, flags);
}

static void ns16550_hold(struct serial_port *port, bool stop)
{
    struct ns16550 *uart = ns16550_of(port);
    u64 flags;

    spin_lock_irqsave(&uart->lock, &flags);
    uart->held = stop;
    ns16550_pump_locked(uart, false);
    spin_unlock_irqrestore(&uart->lock, flags);
}

static void ns16550_receive(struct ns16550 *uart)
{
    u8 buf[READ_MAX];
    size_t n = 0;

    while (n < READ_MAX && inb(uart->io + LSR) & LSR_DATA)
        buf[n++] = inb(uart->io + DATA);
    if (n > 0)
        uart->port.receive(&uart->port, buf, n);
}

static void ns16550_send(struct ns16550 *uart)
{
    bool was_sending;

    spin_lock(&uart->lock);
    was_sending = uart->sending;
    ns16550_pump_locked(uart, true);
    spin_unlock(&uart->lock);
    if (was_sending && ring_used(&uart->ring) <= RING_SIZE / 2)
        uart->port.sent(&uart->port);
}

static bool ns16550_irq(void *arg)
{
    struct ns16550 *uart = arg;

    if (inb(uart->io + IIR) & IIR_NONE)
        return false;
    for (unsigned i = 0; i < IRQ_ROUNDS; i++) {
        ns16550_receive(uart);
        ns16550_send(uart);
        if (inb(uart->io + IIR) & IIR_NONE)
            return true;
    }
    spin_lock(&uart->lock);
    outb(uart->io + IER, 0);
    outb(uart->io + IER, IER_RECEIVE | (uart->sending ? IER_EMPTY : 0));
    spin_unlock(&uart->lock);
    return true;
}

static int ns16550_start(struct serial_port *port)
{
    struct ns16550 *uart = ns16550_of(port);
    void *buf = kmalloc(RING_SIZE);
    int err;

    if (!buf)
        return -ENOMEM;
    ring_init(&uart->ring, buf, RING_SIZE);
    uart->irq.fn = ns16550_irq;
    uart->irq.arg = uart;
    uart->irq.name = port->name;
    err = irq_request_isa(uart->isa, &uart->irq);
    if (err) {
        ring_init(&uart->ring, NULL, 0);
        kfree(buf);
        return err;
    }
    outb(uart->io + IER, IER_RECEIVE);
    return 0;
}

static bool ns16550_present(u16 io)
{
    outb(io + SCR, 0x5a);
    if (inb(io + SCR) != 0x5a)
        return false;
    outb(io + SCR, 0xa5);
    return inb(io + SCR) == 0xa5;
}

static void ns16550_setup(u16 io)
{
    outb(io + IER, 0);
    outb(io + LCR, 0x83); /* divisor latch */
    outb(io + DATA, 1);   /* 115200 */
    outb(io + IER, 0);
    outb(io + LCR, 0x03); /* 8n1 */
    outb(io + FCR, 0x01); /* FIFOs on, nothing thrown away; interrupt at one byte */
    outb(io + MCR, 0x0b); /* DTR, RTS, OUT2: the interrupt line */
}

static void ns16550_fill(struct ns16550 *uart, const struct device *dev)
{
    int id = platform_id(dev);

    uart->io = (u16)device_resource(dev, RES_IO, 0)->start;
    uart->isa = (u8)device_resource(dev, RES_IRQ, 0)->start;
    spinlock_init(&uart->lock, RANK_DEV, 1, "ns16550");
    snprintf(uart->name, sizeof(uart->name), "ttyS%d", id);
    uart->port = (struct serial_port){
        .name = uart->name,
        .minor = SERIAL_MINOR + (u32)id,
        .write = ns16550_write,
        .space = ns16550_space,
        .queued = ns16550_queued,
        .discard = ns16550_discard,
        .hold = ns16550_hold,
        .start = ns16550_start,
    };
}

static int ns16550_probe(struct device *dev, const struct device_id *id)
{
    const struct resource *io = device_resource(dev, RES_IO, 0);
    struct ns16550 *uart;

    if (!io || !device_resource(dev, RES_IRQ, 0) || !ns16550_present((u16)io->start))
        return -ENODEV;
    uart = kzalloc(sizeof(*uart));
    if (!uart)
        return -ENOMEM;
    ns16550_fill(uart, dev);
    ns16550_setup(uart->io);
    dev->driver_data = uart;
    serial_register(&uart->port);
    return 0;
}

/* No remove: the console stays. */
static const struct device_id ns16550_ids[] = {PLATFORM_NAME("serial8250")};
DRIVER(ns16550)
= {
    .name = "serial8250",
    .bus = &platform_bus,
    DRIVER_IDS(ns16550_ids),
    .flags = DRIVER_EARLY,
    .probe = ns16550_probe,
};
