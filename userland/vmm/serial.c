/* SPDX-License-Identifier: MIT
 *
 * A 16550A at SERIAL_PORT. Output goes to a descriptor at once, byte by byte as it comes;
 * input waits in a queue that the guest sees as a long FIFO. The interrupt line is a function
 * of the registers and is set only when it changes.
 */
#include "vmm/serial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RX 0x01
#define IER_THRE 0x02
#define IER_MASK 0x0f
#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_FIFO 0xc0
#define LCR_DLAB 0x80
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DATA 0x01
#define LSR_IDLE 0x60 /* holding register and shifter empty */
#define MSR_IDLE 0xb0 /* carrier, data set ready, clear to send */

#define RX_SIZE 1024

/* l dev.lock · I immutable once the guest runs */
struct serial {
    struct device dev;
    int out;                             /* I  -1: output is dropped */
    uint8_t ier, lcr, mcr, scratch, fcr; /* l, as all below */
    uint8_t divisor[2];
    bool thre_pending;
    bool line;
    uint8_t rx[RX_SIZE];
    unsigned rx_head, rx_count;
};

static uint8_t serial_iir_locked(struct serial *s)
{
    if (s->ier & IER_RX && s->rx_count)
        return IIR_RX;
    if (s->ier & IER_THRE && s->thre_pending)
        return IIR_THRE;
    return IIR_NONE;
}

static void serial_update_locked(struct serial *s)
{
    bool line = serial_iir_locked(s) != IIR_NONE;
    if (line != s->line) {
        s->line = line;
        irq_set(s->dev.vm, SERIAL_GSI, line);
    }
}

/* A reader that went away does not stop the guest. */
static void serial_emit(int fd, uint8_t byte)
{
    while (fd >= 0 && write(fd, &byte, 1) < 0) {
        if (errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static void serial_push_locked(struct serial *s, uint8_t byte)
{
    if (s->rx_count < RX_SIZE)
        s->rx[(s->rx_head + s->rx_count++) % RX_SIZE] = byte;
}

static uint8_t serial_pop_locked(struct serial *s)
{
    if (!s->rx_count)
        return 0;
    uint8_t byte = s->rx[s->rx_head];
    s->rx_head = (s->rx_head + 1) % RX_SIZE;
    if (--s->rx_count == 0)
        vm_wake(s->dev.vm); /* there is space again */
    return byte;
}

static uint8_t serial_get_locked(struct serial *s, unsigned reg)
{
    uint8_t iir;
    switch (reg) {
    case REG_DATA:
        return s->lcr & LCR_DLAB ? s->divisor[0] : serial_pop_locked(s);
    case REG_IER:
        return s->lcr & LCR_DLAB ? s->divisor[1] : s->ier;
    case REG_IIR:
        iir = serial_iir_locked(s);
        if (iir == IIR_THRE)
            s->thre_pending = false;
        return iir | (s->fcr & 1 ? IIR_FIFO : 0);
    case REG_LCR:
        return s->lcr;
    case REG_MCR:
        return s->mcr;
    case REG_LSR:
        return LSR_IDLE | (s->rx_count ? LSR_DATA : 0);
    case REG_MSR:
        /* In loop-back the modem outputs come back as its inputs. */
        if (s->mcr & MCR_LOOP)
            return (s->mcr & 0x0c) << 4 | (s->mcr & 0x02) << 3 | (s->mcr & 0x01) << 5;
        return MSR_IDLE;
    default:
        return s->scratch;
    }
}

/* Returns true when `value` is to be sent. */
static bool serial_put_locked(struct serial *s, unsigned reg, uint8_t value)
{
    switch (reg) {
    case REG_DATA:
        if (s->lcr & LCR_DLAB) {
            s->divisor[0] = value;
            return false;
        }
        s->thre_pending = false;
        serial_update_locked(s); /* the line falls, so that it can rise again */
        s->thre_pending = true;
        if (s->mcr & MCR_LOOP) {
            serial_push_locked(s, value);
            return false;
        }
        return true;
    case REG_IER:
        if (s->lcr & LCR_DLAB) {
            s->divisor[1] = value;
            return false;
        }
        if (value & ~s->ier & IER_THRE)
            s->thre_pending = true; /* enabling it with an empty register raises it */
        s->ier = value & IER_MASK;
        return false;
    case REG_IIR:
        s->fcr = value;
        if (value & 2 && s->rx_count) {
            s->rx_count = 0;
            vm_wake(s->dev.vm); /* there is space again */
        }
        return false;
    case REG_LCR:
        s->lcr = value;
        return false;
    case REG_MCR:
        s->mcr = value & 0x1f;
        return false;
    case REG_SCRATCH:
        s->scratch = value;
        return false;
    default:
        return false;
    }
}

static uint64_t serial_read(struct device *d, unsigned resource, uint64_t offset, unsigned len)
{
    struct serial *s = container_of(d, struct serial, dev);
    uint8_t value;

    pthread_mutex_lock(&d->lock);
    value = serial_get_locked(s, offset);
    serial_update_locked(s);
    pthread_mutex_unlock(&d->lock);
    return value;
}

static void serial_write(struct device *d, unsigned resource, uint64_t offset, uint64_t value,
                         unsigned len)
{
    struct serial *s = container_of(d, struct serial, dev);
    bool send;

    pthread_mutex_lock(&d->lock);
    send = serial_put_locked(s, offset, value);
    pthread_mutex_unlock(&d->lock);
    if (send)
        serial_emit(s->out, value);
    pthread_mutex_lock(&d->lock);
    serial_update_locked(s);
    pthread_mutex_unlock(&d->lock);
}

static const struct device_ops serial_ops = {.read = serial_read, .write = serial_write};

void serial_create(struct vm *vm, int out_fd)
{
    struct serial *s = vm_alloc(vm, sizeof *s);

    s->out = out_fd;
    device_init(&s->dev, vm, "the serial port", &serial_ops);
    device_claim(&s->dev, &(struct resource){BUS_PORT, SERIAL_PORT, 8, 0});
    vm->serial = s;
}

size_t serial_room(struct serial *s)
{
    size_t room;

    pthread_mutex_lock(&s->dev.lock);
    room = RX_SIZE - s->rx_count;
    pthread_mutex_unlock(&s->dev.lock);
    return room;
}

void serial_input(struct serial *s, const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&s->dev.lock);
    for (size_t i = 0; i < len; i++)
        serial_push_locked(s, data[i]);
    serial_update_locked(s);
    pthread_mutex_unlock(&s->dev.lock);
}
