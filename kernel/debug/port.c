/* SPDX-License-Identifier: MIT
 *
 * The debug port: the 16550 at 0x3f8, polled. The log serialises its own lines, and after a panic
 * there is one user. drivers/char owns the chip's interrupts once the system is up; the code that
 * fills the FIFO claims it for that moment.
 *
 * PC16550D data sheet, section 8.
 */
#include "debug/debug.h"

#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "lib/atomic.h"

enum { PORT = 0x3f8, DATA = 0, IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5, SCR = 7 };
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define LSR_DATA 0x01
#define LSR_EMPTY 0x20
#define LSR_SENT 0x40 /* the line is still, too */
#define FIFO_DEPTH 16
#define CLAIM_TRIES 100000
#define ROUND_TRIES 1000   /* looks at a full FIFO with interrupts off: a millisecond at most */
#define STALL_ROUNDS 10000 /* seconds */
#define SETTLE_LOOKS 40000 /* of a microsecond, with no clock: a FIFO's time at 9600 baud */

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

static bool port_claimed; /* a  a CPU fills the FIFO */

/* Not for ever: in a panic the holder may be a CPU that was stopped. */
void debug_port_claim(void)
{
    ASSERT_IRQS_OFF();
    for (unsigned tries = 0; tries < CLAIM_TRIES; tries++) {
        if (!__atomic_exchange_n(&port_claimed, true, __ATOMIC_ACQUIRE))
            return;
        cpu_relax();
    }
}

void debug_port_release(void)
{
    __atomic_store_n(&port_claimed, false, __ATOMIC_RELEASE);
}

/* A FIFO's worth, if the FIFO gets empty in that many tries; false: it does not. */
static bool port_burst(const char *s, size_t n, unsigned tries)
{
    u64 flags = irq_save();
    bool empty;

    debug_port_claim();
    while (!(empty = inb(PORT + LSR) & LSR_EMPTY) && --tries)
        cpu_relax();
    for (size_t i = 0; empty && i < n; i++)
        outb(PORT + DATA, (u8)s[i]);
    debug_port_release();
    irq_restore(flags);
    return empty;
}

/* One look at the line status pays for a FIFO full of bytes. A port that takes no more bytes, which
 * no cable brings about, loses them; it is waited for once, and not again before it has moved. */
void debug_port_write(const char *s, size_t n)
{
    static bool stalled;

    while (port_present && n > 0) {
        size_t burst = MIN(n, (size_t)FIFO_DEPTH);
        unsigned rounds = stalled ? 1 : STALL_ROUNDS;

        while (rounds && !port_burst(s, burst, ROUND_TRIES))
            rounds--;
        WRITE_ONCE(stalled, rounds == 0);
        if (rounds == 0)
            return;
        s += burst;
        n -= burst;
    }
}

void debug_port_settle(void)
{
    for (u32 i = 0; port_present && i < SETTLE_LOOKS; i++)
        if (inb(PORT + LSR) & LSR_SENT)
            return;
}

int debug_port_read_nowait(void)
{
    if (!port_present || !(inb(PORT + LSR) & LSR_DATA))
        return -1;
    return inb(PORT + DATA);
}
