/* SPDX-License-Identifier: MIT
 *
 * virtio-console with MULTIPORT (virtio 1.1, 5.3). Queues: 0 and 1 receive and transmit of
 * port 0, 2 and 3 control, then a pair for each further port.
 *
 * To the guest: each port has a small queue of bytes, moved into the guest's buffers once it
 * has opened the port. From the guest: a write is attempted at once in the vCPU's thread if it
 * cannot block; otherwise the request stays with the port, the event loop waits for the
 * descriptor and goes on. So a stalled reader stalls the guest's writer, never the VMM.
 * All state is under the virtio device's lock.
 */
#include "vmm/console.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/loop.h"
#include "vmm/report.h"
#include "vmm/virtio.h"

#define F_MULTIPORT (1ull << 1)
#define DEVICE_ID 3

enum { QUEUE_CONTROL_IN = 2, QUEUE_CONTROL_OUT = 3 };
enum {
    EV_DEVICE_READY,
    EV_PORT_ADD,
    EV_PORT_REMOVE,
    EV_PORT_READY,
    EV_CONSOLE_PORT,
    EV_RESIZE,
    EV_PORT_OPEN,
    EV_PORT_NAME
};
enum { PORT_CONSOLE, PORT_CONTROL, PORT_STDIN, PORT_STDOUT, PORT_STDERR, PORTS };

#define INPUT_SIZE 4096
#define LINE_SIZE 1200
#define EVENTS_MAX 64
#define WRITE_STEP 4096 /* a pipe that polls writable takes this much without blocking */

struct console_event {
    uint32_t port;
    uint16_t event;
    uint16_t value;
    char name[16]; /* of EV_PORT_NAME */
} __attribute__((packed));
#define EVENT_SIZE 8

struct console_port {
    const char *name;
    int out; /* index of the output its bytes go to, or -1 */
    bool guest_open;
    bool ended;    /* nothing more will come from the host ... */
    bool end_told; /* ... and the guest knows */
    uint8_t input[INPUT_SIZE];
    size_t head, count;
    bool held; /* `chain` was taken and is written up to `done` */
    struct virtq_chain chain;
    size_t done;
};

static struct console_port console_ports[PORTS] = {
    [PORT_CONSOLE] = {.name = "console", .out = 0},
    [PORT_CONTROL] = {.name = "bothy.control", .out = -1},
    [PORT_STDIN] = {.name = "bothy.stdin", .out = -1},
    [PORT_STDOUT] = {.name = "bothy.stdout", .out = 0},
    [PORT_STDERR] = {.name = "bothy.stderr", .out = 1},
};
static const int console_fds[CONSOLE_OUTPUTS] = {STDOUT_FILENO, STDERR_FILENO};

static struct {
    struct virtio_device dev;
    bool present;
    unsigned ports;
    unsigned stdin_port;
    struct console_event events[EVENTS_MAX];
    unsigned events_head, events_count;
    char line[LINE_SIZE]; /* from the agent, unfinished */
    size_t line_len;
    int status;
    const char *kind;
} console = {.status = -1};

static unsigned console_rx_queue(unsigned port)
{
    return port ? 2 * port + 2 : 0;
}

static unsigned console_port_of(unsigned queue)
{
    return queue < 2 ? 0 : (queue - 2) / 2;
}

/* ---- to the guest ---- */

static size_t console_scatter(const struct virtq_chain *c, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t left = len;
    for (unsigned i = c->count - c->writable; i < c->count && left; i++) {
        size_t n = c->iov[i].iov_len < left ? c->iov[i].iov_len : left;
        memcpy(c->iov[i].iov_base, p, n);
        p += n;
        left -= n;
    }
    return len - left;
}

static void console_send_events_locked(void)
{
    struct virtq_chain c;
    while (console.events_count && virtq_pop(&console.dev, QUEUE_CONTROL_IN, &c)) {
        struct console_event *e = &console.events[console.events_head];
        size_t len = EVENT_SIZE + (e->event == EV_PORT_NAME ? strlen(e->name) : 0);
        virtq_push(&console.dev, QUEUE_CONTROL_IN, &c, console_scatter(&c, e, len));
        console.events_head = (console.events_head + 1) % EVENTS_MAX;
        console.events_count--;
    }
}

/* A guest that asks without reading the answers loses them. */
static void console_event_locked(uint32_t port, uint16_t event, uint16_t value)
{
    if (console.events_count == EVENTS_MAX)
        return;
    struct console_event *e =
        &console.events[(console.events_head + console.events_count++) % EVENTS_MAX];
    *e = (struct console_event){.port = port, .event = event, .value = value};
    if (event == EV_PORT_NAME)
        memcpy(e->name, console_ports[port].name, strlen(console_ports[port].name));
    console_send_events_locked();
}

static void console_flush_input_locked(unsigned n)
{
    struct console_port *p = &console_ports[n];
    struct virtq_chain c;
    if (!p->guest_open)
        return;
    while (p->count && virtq_pop(&console.dev, console_rx_queue(n), &c)) {
        size_t run = INPUT_SIZE - p->head < p->count ? INPUT_SIZE - p->head : p->count;
        size_t sent = console_scatter(&c, p->input + p->head, run);
        p->head = (p->head + sent) % INPUT_SIZE;
        p->count -= sent;
        virtq_push(&console.dev, console_rx_queue(n), &c, sent);
    }
    if (p->ended && !p->count && !p->end_told) {
        p->end_told = true;
        console_event_locked(n, EV_PORT_OPEN, 0);
    }
}

static void console_queue_input_locked(unsigned n, const void *data, size_t len)
{
    struct console_port *p = &console_ports[n];
    for (size_t i = 0; i < len && p->count < INPUT_SIZE; i++)
        p->input[(p->head + p->count++) % INPUT_SIZE] = ((const uint8_t *)data)[i];
    console_flush_input_locked(n);
}

/* ---- from the guest ---- */

static void console_agent_line(const char *line)
{
    if (strncmp(line, "exit ", 5) == 0) {
        char *end;
        unsigned long status = strtoul(line + 5, &end, 10);
        if (*end == 0 && end != line + 5 && status < 256)
            console.status = status;
    } else if (strncmp(line, "error ", 6) == 0) {
        if (!report_error(line + 6))
            dprintf(STDERR_FILENO, "vmm: %s\n", line + 6);
    } else if (strcmp(line, "started") == 0) {
        report_started();
    } else if (strcmp(line, "oom") == 0) {
        report_oom();
    }
    /* "ready" is for tracing; unknown lines are for later agents. */
}

static void console_agent_bytes(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n') {
            if (console.line_len < LINE_SIZE - 1)
                console.line[console.line_len++] = data[i] < ' ' ? ' ' : data[i];
            continue;
        }
        console.line[console.line_len] = 0;
        console_agent_line(console.line);
        console.line_len = 0;
    }
}

/* Writes once, without blocking. Returns bytes, 0 when the descriptor is full. */
static size_t console_write(int fd, const void *data, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (poll(&p, 1, 0) == 0)
        return 0;
    ssize_t n = write(fd, data, len < WRITE_STEP ? len : WRITE_STEP);
    if (n >= 0)
        return n;
    /* Nobody reads any more: the guest goes on, its output is lost. */
    return errno == EAGAIN || errno == EINTR ? 0 : len;
}

/* Moves the held request on; true when it is finished. */
static bool console_write_held(struct console_port *p)
{
    size_t skip = p->done;
    for (unsigned i = 0; i < p->chain.count - p->chain.writable; i++) {
        const uint8_t *data = p->chain.iov[i].iov_base;
        size_t len = p->chain.iov[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        data += skip;
        len -= skip;
        skip = 0;
        if (p == &console_ports[PORT_CONTROL]) {
            console_agent_bytes(data, len);
            continue;
        }
        while (len && p->out >= 0) {
            size_t n = console_write(console_fds[p->out], data, len);
            if (n == 0)
                return false;
            p->done += n;
            data += n;
            len -= n;
        }
    }
    return true;
}

static void console_output_locked(unsigned n)
{
    struct console_port *p = &console_ports[n];
    for (;;) {
        if (!p->held) {
            if (!virtq_pop(&console.dev, console_rx_queue(n) + 1, &p->chain))
                return;
            p->held = true;
            p->done = 0;
        }
        if (!console_write_held(p)) {
            loop_wake();
            return;
        }
        p->held = false;
        virtq_push(&console.dev, console_rx_queue(n) + 1, &p->chain, 0);
    }
}

static void console_port_ready_locked(uint32_t n)
{
    console_event_locked(n, EV_PORT_NAME, 1);
    if (n == PORT_CONSOLE)
        console_event_locked(n, EV_CONSOLE_PORT, 1);
    console_event_locked(n, EV_PORT_OPEN, 1);
}

static void console_control_message_locked(const struct console_event *e)
{
    if (e->event == EV_DEVICE_READY) {
        for (unsigned n = 0; e->value == 1 && n < console.ports; n++)
            console_event_locked(n, EV_PORT_ADD, 1);
        return;
    }
    if (e->port >= console.ports)
        return;
    if (e->event == EV_PORT_READY && e->value == 1)
        console_port_ready_locked(e->port);
    if (e->event == EV_PORT_OPEN) {
        console_ports[e->port].guest_open = e->value;
        console_flush_input_locked(e->port);
        loop_wake();
    }
}

static void console_control_out_locked(void)
{
    struct virtq_chain c;
    while (virtq_pop(&console.dev, QUEUE_CONTROL_OUT, &c)) {
        struct console_event e = {.event = EV_PORT_REMOVE};
        if (c.count > c.writable && c.iov[0].iov_len >= EVENT_SIZE) {
            memcpy(&e, c.iov[0].iov_base, EVENT_SIZE);
            console_control_message_locked(&e);
        }
        virtq_push(&console.dev, QUEUE_CONTROL_OUT, &c, 0);
    }
}

/* ---- the device ---- */

static void console_notify(struct virtio_device *d, unsigned queue)
{
    if (queue == QUEUE_CONTROL_OUT)
        console_control_out_locked();
    else if (queue == QUEUE_CONTROL_IN)
        console_send_events_locked();
    else if (queue & 1)
        console_output_locked(console_port_of(queue));
    else
        console_flush_input_locked(console_port_of(queue));
    if (!(queue & 1))
        loop_wake();
}

static void console_reset(struct virtio_device *d)
{
    for (unsigned n = 0; n < PORTS; n++) {
        console_ports[n].guest_open = false;
        console_ports[n].held = false;
        console_ports[n].end_told = false;
    }
    console.events_count = 0;
}

/* cols 2, rows 2, max_nr_ports 4, emerg_wr 4 */
static uint8_t console_config(struct virtio_device *d, unsigned offset)
{
    return offset == 4 ? console.ports : 0;
}

static struct virtio_ops console_ops = {
    .device_id = DEVICE_ID,
    .features = F_MULTIPORT,
    .notify = console_notify,
    .reset = console_reset,
    .config = console_config,
};

void console_create(struct vm *vm, const struct vm_options *opt)
{
    console.present = true;
    console.ports = opt->container ? PORTS : 1;
    console.stdin_port = opt->container ? PORT_STDIN : PORT_CONSOLE;
    if (opt->container)
        console_ports[PORT_CONSOLE].out = -1;
    console_ops.queues = 2 + 2 * console.ports;
    virtio_register(vm, &console.dev, &console_ops);
}

/* ---- the event loop's side ---- */

size_t console_room(void)
{
    struct console_port *p = &console_ports[console.stdin_port];
    pthread_mutex_lock(&console.dev.lock);
    size_t room = p->guest_open && !p->ended ? INPUT_SIZE - p->count : 0;
    pthread_mutex_unlock(&console.dev.lock);
    return room;
}

void console_input(const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&console.dev.lock);
    console_queue_input_locked(console.stdin_port, data, len);
    pthread_mutex_unlock(&console.dev.lock);
}

void console_input_end(void)
{
    pthread_mutex_lock(&console.dev.lock);
    console_ports[console.stdin_port].ended = true;
    console_flush_input_locked(console.stdin_port);
    pthread_mutex_unlock(&console.dev.lock);
}

void console_control(const char *line)
{
    size_t len = strlen(line);
    if (!console.present)
        return;
    pthread_mutex_lock(&console.dev.lock);
    if (INPUT_SIZE - console_ports[PORT_CONTROL].count >= len)
        console_queue_input_locked(PORT_CONTROL, line, len);
    pthread_mutex_unlock(&console.dev.lock);
}

/* The port whose output `i` waits, or NULL. */
static struct console_port *console_waiting_locked(int i)
{
    for (unsigned n = 0; n < console.ports; n++)
        if (console_ports[n].held && console_ports[n].out == i)
            return &console_ports[n];
    return NULL;
}

int console_waiting_fd(int i)
{
    if (!console.present)
        return -1;
    pthread_mutex_lock(&console.dev.lock);
    int fd = console_waiting_locked(i) ? console_fds[i] : -1;
    pthread_mutex_unlock(&console.dev.lock);
    return fd;
}

void console_continue(int i)
{
    pthread_mutex_lock(&console.dev.lock);
    struct console_port *p = console_waiting_locked(i);
    if (p)
        console_output_locked(p - console_ports);
    pthread_mutex_unlock(&console.dev.lock);
}

void console_drain(void)
{
    for (int i = 0; i < CONSOLE_OUTPUTS; i++) {
        int fd;
        while ((fd = console_waiting_fd(i)) >= 0) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, 3000) <= 0)
                break;
            console_continue(i);
        }
    }
}

int console_status(void)
{
    pthread_mutex_lock(&console.dev.lock);
    int status = console.status;
    pthread_mutex_unlock(&console.dev.lock);
    return status;
}
