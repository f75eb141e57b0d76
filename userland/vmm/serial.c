/* SPDX-License-Identifier: MIT
 *
 * A 16550A at SERIAL_PORT. Output goes to a descriptor at once, byte by byte as it comes;
 * input waits in a queue that the guest sees as a long FIFO. The interrupt line is a function
 * of the registers and is set only when it changes.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
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

static struct {
    pthread_mutex_t lock;
    int out; /* -1: output is dropped */
    uint8_t ier, lcr, mcr, scratch, fcr;
    uint8_t divisor[2];
    bool thre_pending;
    bool line;
    uint8_t rx[RX_SIZE];
    unsigned rx_head, rx_count;
} serial = {.lock = PTHREAD_MUTEX_INITIALIZER, .out = -1};

static uint8_t serial_iir_locked(void)
{
    if (serial.ier & IER_RX && serial.rx_count)
        return IIR_RX;
    if (serial.ier & IER_THRE && serial.thre_pending)
        return IIR_THRE;
    return IIR_NONE;
}

static void serial_update_locked(void)
{
    bool line = serial_iir_locked() != IIR_NONE;
    if (line != serial.line) {
        serial.line = line;
        vm_irq(SERIAL_GSI, line);
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

static void serial_push_locked(uint8_t byte)
{
    if (serial.rx_count < RX_SIZE)
        serial.rx[(serial.rx_head + serial.rx_count++) % RX_SIZE] = byte;
}

static uint8_t serial_pop_locked(void)
{
    if (!serial.rx_count)
        return 0;
    uint8_t byte = serial.rx[serial.rx_head];
    serial.rx_head = (serial.rx_head + 1) % RX_SIZE;
    if (--serial.rx_count == 0)
        loop_wake(); /* there is room again */
    return byte;
}

static uint8_t serial_get_locked(unsigned reg)
{
    uint8_t iir;
    switch (reg) {
    case REG_DATA:
        return serial.lcr & LCR_DLAB ? serial.divisor[0] : serial_pop_locked();
    case REG_IER:
        return serial.lcr & LCR_DLAB ? serial.divisor[1] : serial.ier;
    case REG_IIR:
        iir = serial_iir_locked();
        if (iir == IIR_THRE)
            serial.thre_pending = false;
        return iir | (serial.fcr & 1 ? IIR_FIFO : 0);
    case REG_LCR:
        return serial.lcr;
    case REG_MCR:
        return serial.mcr;
    case REG_LSR:
        return LSR_IDLE | (serial.rx_count ? LSR_DATA : 0);
    case REG_MSR:
        /* In loop-back the modem outputs come back as its inputs. */
        if (serial.mcr & MCR_LOOP)
            return (serial.mcr & 0x0c) << 4 | (serial.mcr & 0x02) << 3 | (serial.mcr & 0x01) << 5;
        return MSR_IDLE;
    default:
        return serial.scratch;
    }
}

/* Returns true when `value` is to be sent. */
static bool serial_put_locked(unsigned reg, uint8_t value)
{
    switch (reg) {
    case REG_DATA:
        if (serial.lcr & LCR_DLAB) {
            serial.divisor[0] = value;
            return false;
        }
        serial.thre_pending = false;
        serial_update_locked(); /* the line falls, so that it can rise again */
        serial.thre_pending = true;
        if (serial.mcr & MCR_LOOP) {
            serial_push_locked(value);
            return false;
        }
        return true;
    case REG_IER:
        if (serial.lcr & LCR_DLAB) {
            serial.divisor[1] = value;
            return false;
        }
        if (value & ~serial.ier & IER_THRE)
            serial.thre_pending = true; /* enabling it with an empty register raises it */
        serial.ier = value & IER_MASK;
        return false;
    case REG_IIR:
        serial.fcr = value;
        if (value & 2)
            serial.rx_count = 0;
        return false;
    case REG_LCR:
        serial.lcr = value;
        return false;
    case REG_MCR:
        serial.mcr = value & 0x1f;
        return false;
    case REG_SCRATCH:
        serial.scratch = value;
        return false;
    default:
        return false;
    }
}

static uint64_t serial_read(void *dev, uint64_t offset, unsigned len)
{
    pthread_mutex_lock(&serial.lock);
    uint8_t value = serial_get_locked(offset);
    serial_update_locked();
    pthread_mutex_unlock(&serial.lock);
    return value;
}

static void serial_write(void *dev, uint64_t offset, uint64_t value, unsigned len)
{
    pthread_mutex_lock(&serial.lock);
    bool send = serial_put_locked(offset, value);
    int out = serial.out;
    pthread_mutex_unlock(&serial.lock);
    if (send)
        serial_emit(out, value);
    pthread_mutex_lock(&serial.lock);
    serial_update_locked();
    pthread_mutex_unlock(&serial.lock);
}

static const struct bus_ops serial_ops = {.read = serial_read, .write = serial_write};

void serial_create(int out_fd)
{
    serial.out = out_fd;
    bus_add(BUS_PORT, SERIAL_PORT, 8, &serial_ops, NULL);
}

size_t serial_room(void)
{
    pthread_mutex_lock(&serial.lock);
    size_t room = RX_SIZE - serial.rx_count;
    pthread_mutex_unlock(&serial.lock);
    return room;
}

void serial_input(const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&serial.lock);
    for (size_t i = 0; i < len; i++)
        serial_push_locked(data[i]);
    serial_update_locked();
    pthread_mutex_unlock(&serial.lock);
}
