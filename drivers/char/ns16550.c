/* SPDX-License-Identifier: MIT
 *
 * The 16550 serial ports of a PC, COM1 to COM4: output polled through the FIFO, input by interrupt.
 * COM1 is also the debug port (kernel/debug/port.c), which set it up and may write at any time.
 *
 * Lock order: a port's lock is a leaf; its interrupt handler calls receive without it.
 * PC16550D data sheet, section 8.
 */
#include "arch/x86/regs.h"
#include "dev/irq.h"
#include "dev/serial.h"
#include "lib/atomic.h"
#include "lib/list.h"
#include "lib/log.h"
#include "sync/spinlock.h"

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
#define IER_RECEIVE 0x01
#define IIR_NONE 0x01
#define IIR_FIFO 0xc0
#define LSR_DATA 0x01
#define LSR_EMPTY 0x20
#define FIFO_DEPTH 16
#define READ_MAX 64

struct ns16550 {
    struct serial_port port;
    struct irq_handler irq;
    struct spinlock lock; /* output */
    u16 io;
    u8 isa;
};

static void ns16550_write(struct serial_port *port, const char *buf, size_t n)
{
    struct ns16550 *uart = container_of(port, struct ns16550, port);
    u64 flags;

    spin_lock_irqsave(&uart->lock, &flags);
    while (n > 0) {
        unsigned tries = 100000;
        size_t burst = MIN(n, (size_t)FIFO_DEPTH);

        while (!(inb(uart->io + LSR) & LSR_EMPTY) && --tries)
            cpu_relax();
        if (tries == 0)
            break;
        for (size_t i = 0; i < burst; i++)
            outb(uart->io + DATA, (u8)buf[i]);
        buf += burst;
        n -= burst;
    }
    spin_unlock_irqrestore(&uart->lock, flags);
}

static bool ns16550_irq(void *arg)
{
    struct ns16550 *uart = arg;
    u8 buf[READ_MAX];
    size_t n = 0;

    if (inb(uart->io + IIR) & IIR_NONE)
        return false;
    while (n < READ_MAX && inb(uart->io + LSR) & LSR_DATA)
        buf[n++] = inb(uart->io + DATA);
    if (n > 0 && uart->port.receive)
        uart->port.receive(&uart->port, buf, n);
    return true;
}

static int ns16550_start(struct serial_port *port)
{
    struct ns16550 *uart = container_of(port, struct ns16550, port);
    int err;

    uart->irq.fn = ns16550_irq;
    uart->irq.arg = uart;
    uart->irq.name = port->name;
    err = irq_request_isa(uart->isa, &uart->irq);
    if (err)
        return err;
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

static struct ns16550 ns16550_ports[] = {
    {.port = {.name = "ttyS0", .minor = 64}, .io = 0x3f8, .isa = 4},
    {.port = {.name = "ttyS1", .minor = 65}, .io = 0x2f8, .isa = 3},
    {.port = {.name = "ttyS2", .minor = 66}, .io = 0x3e8, .isa = 4},
    {.port = {.name = "ttyS3", .minor = 67}, .io = 0x2e8, .isa = 3},
};

static void ns16550_probe(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ns16550_ports); i++) {
        struct ns16550 *uart = &ns16550_ports[i];

        if (!ns16550_present(uart->io))
            continue;
        ns16550_setup(uart->io);
        spinlock_init(&uart->lock, RANK_DEV, 1, "ns16550");
        uart->port.write = ns16550_write;
        uart->port.start = ns16550_start;
        serial_register(&uart->port);
    }
}
INIT_HOOK(ns16550_probe, INIT_DRIVER);
