/* SPDX-License-Identifier: MIT
 *
 * /dev/console and /dev/ttyS0 are one tty over the first serial port; without one that works, over
 * the debug port, output only. /dev/tty is the terminal that controls the caller. Received bytes go
 * through a ring to a work item, since the line discipline sends signals.
 */
#include "debug/debug.h"
#include "dev/chrdev.h"
#include "dev/serial.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "proc/proc.h"
#include "proc/up.h"
#include "sched/work.h"
#include "tty/tty.h"

#define CONSOLE_RING 1024
#define DEBUG_PORT_SPACE 256 /* bytes at a time: it is polled */

static struct tty console_tty;
static struct serial_port *console_port;
static struct {
    struct spinlock lock;
    u32 head, tail; /* lock */
    u8 buf[CONSOLE_RING];
    struct work work;
} console_in = {.lock = SPINLOCK_INIT(RANK_DRIVER, 0, "console input")};

static void console_write(struct tty *t, const char *buf, size_t n)
{
    if (console_port)
        (void)console_port->write(console_port, buf, n); /* the caller asked for the space */
    else
        debug_port_write(buf, n);
}

static size_t console_space(struct tty *t)
{
    return console_port ? console_port->space(console_port) : DEBUG_PORT_SPACE;
}

static size_t console_queued(struct tty *t)
{
    return console_port ? console_port->queued(console_port) : 0;
}

static void console_flushed(struct tty *t, bool input, bool output)
{
    if (output && console_port)
        console_port->discard(console_port);
}

static void console_flow(struct tty *t, bool stopped)
{
    if (console_port)
        console_port->hold(console_port, stopped);
}

static const struct tty_ops console_ops = {
    .write = console_write,
    .space = console_space,
    .queued = console_queued,
    .flushed = console_flushed,
    .flow = console_flow,
};

/* Interrupt context. */
static void console_sent(struct serial_port *port)
{
    waitq_wake(&console_tty.write_wait, POLLOUT | POLLWRNORM, ~0U);
}

/* Interrupt context. */
static void console_receive(struct serial_port *port, const u8 *buf, size_t n)
{
    u64 flags;

    spin_lock_irqsave(&console_in.lock, &flags);
    for (size_t i = 0; i < n && console_in.head - console_in.tail < CONSOLE_RING; i++)
        console_in.buf[console_in.head++ % CONSOLE_RING] = buf[i];
    spin_unlock_irqrestore(&console_in.lock, flags);
    work_queue(workq_system, &console_in.work);
}

static void console_input(struct work *w)
{
    u8 chunk[64];
    size_t n;
    u64 flags;

    do {
        spin_lock_irqsave(&console_in.lock, &flags);
        for (n = 0; n < sizeof(chunk) && console_in.tail != console_in.head; n++)
            chunk[n] = console_in.buf[console_in.tail++ % CONSOLE_RING];
        spin_unlock_irqrestore(&console_in.lock, flags);
        (void)ldisc_type(&console_tty, chunk, n); /* if no program reads, the rest is lost */
        cond_yield();
    } while (n);
}

static void console_init(void)
{
    tty_init(&console_tty, &console_ops, dev_make(4, 64));
    work_init(&console_in.work, console_input);
    struct serial_port *port = serial_port_get(0);
    if (!port)
        return;
    port->receive = console_receive;
    port->sent = console_sent;
    int err = port->start(port);
    if (err)
        log_warn("console: %s does not start: error %d", port->name, -err);
    else
        console_port = port;
}
INIT_HOOK(console_init, INIT_LATE);

/* What a node shows before open has put the tty's operations in place. */
static const struct file_ops console_node_ops = {.name = "tty"};

static int console_open(struct file *f, u32 minor)
{
    int err = tty_open(&console_tty, f, true); /* as on Linux, never controlling by open */
    if (!err)
        tty_survive_hangup(f);
    return err;
}

static int serial_open(struct file *f, u32 minor)
{
    return tty_open(&console_tty, f, f->flags & O_NOCTTY);
}

/* /dev/tty */
static int current_tty_open(struct file *f, u32 minor)
{
    struct tty *t;
    u64 flags;

    spin_lock_irqsave(&proc_lock, &flags);
    t = current_process()->tty;
    if (t)
        tty_get(t);
    spin_unlock_irqrestore(&proc_lock, flags);
    if (!t)
        return -ENXIO;
    int err = tty_open(t, f, true);
    tty_put(t);
    return err;
}

CHRDEV(console) = {"console", 5, 1, 0600, &console_node_ops, console_open, 1, false};
CHRDEV(tty) = {"tty", 5, 0, 0666, &console_node_ops, current_tty_open, 1, false};
CHRDEV(ttyS0) = {"ttyS0", 4, 64, 0620, &console_node_ops, serial_open, 1, false};
