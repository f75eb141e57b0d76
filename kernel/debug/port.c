/* SPDX-License-Identifier: MIT
 *
 * The debug port: the 16550 at 0x3f8, polled. Nothing here locks; the log serialises its own lines,
 * and after a panic there is one user. drivers/char owns the chip's interrupts once the system is
 * up; both only ever add bytes to the same FIFO.
 *
 * PC16550D data sheet, section 8.
 */
#include "debug/debug.h"

#include "arch/x86/regs.h"
#include "lib/atomic.h"

enum { PORT = 0x3f8, DATA = 0, IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5, SCR = 7 };
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define LSR_DATA 0x01
#define LSR_EMPTY 0x20
#define FIFO_DEPTH 16

static bool port_present;

void debug_port_init(void)
{
    outb(PORT + SCR, 0x5a);
    if (inb(PORT + SCR) != 0x5a)
        return;
    outb(PORT + IER, 0);
    outb(PORT + LCR, LCR_8N1 | LCR_DLAB);
    outb(PORT + DATA, 1); /* 115200 */
    outb(PORT + IER, 0);
    outb(PORT + LCR, LCR_8N1);
    outb(PORT + FCR, 0x07); /* FIFOs on and empty */
    outb(PORT + MCR, 0x0b); /* DTR, RTS, OUT2: the interrupt line */
    port_present = true;
}

bool debug_port_present(void)
{
    return port_present;
}

/* One look at the line status pays for a FIFO full of bytes. A port that stops taking bytes loses
 * them: the kernel does not hang on a dead cable. */
void debug_port_write(const char *s, size_t n)
{
    while (port_present && n > 0) {
        unsigned tries = 100000;
        size_t burst = MIN(n, (size_t)FIFO_DEPTH);

        while (!(inb(PORT + LSR) & LSR_EMPTY) && --tries)
            cpu_relax();
        if (tries == 0)
            return;
        for (size_t i = 0; i < burst; i++)
            outb(PORT + DATA, (u8)s[i]);
        s += burst;
        n -= burst;
    }
}

int debug_port_read_nowait(void)
{
    if (!port_present || !(inb(PORT + LSR) & LSR_DATA))
        return -1;
    return inb(PORT + DATA);
}
