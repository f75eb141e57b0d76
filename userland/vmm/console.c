/* SPDX-License-Identifier: MIT
 *
 * virtio-console with MULTIPORT (virtio 1.2, 5.3). Queues: 0 and 1 receive and transmit of
 * port 0, 2 and 3 control, then a pair for each further port.
 *
 * To the guest: each port has a small queue of bytes, moved into the guest's buffers once it
 * has opened the port. From the guest: a write is attempted at once in the vCPU's thread if it
 * should not block; otherwise the request stays with the port, the event loop waits for the
 * descriptor and goes on. So a stalled reader stalls the guest's writer, never the VMM.
 *
 * All state is under the device's lock, but nothing is written to the host under it: one thread at
 * a time writes for a port (`writing`), and has what it writes to itself until it is back.
 */
#include "vmm/console.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/report.h"
#include "vmm/virtio.h"

#define F_MULTIPORT (1ull << 1)
#define CONSOLE_ID 3
#define CONSOLE_PCI_CLASS 0x078000
#define CONSOLE_QUEUE 128
#define PIECES 32

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
/* Of a container; `run --hvc` has one port, the terminal. */
enum { PORT_CONTROL, PORT_STDIN, PORT_STDOUT, PORT_STDERR, PORTS };

#define INPUT_SIZE 4096
#define LINE_SIZE 1200
#define EVENTS_MAX 64
#define WRITE_STEP 4096 /* a pipe that polls writable takes this much without blocking */
#define DRAIN_SECONDS 3

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
    bool ended;     /* nothing more will come from the host ... */
    bool end_told;  /* ... and the guest knows */
    uint8_t *input; /* a ring of INPUT_SIZE bytes, where anything comes from the host */
    size_t head, count;
    bool held;    /* `chain` was taken and is written up to `done` */
    bool writing; /* by some thread, whose are those below meanwhile */
    struct virtq_chain chain;
    struct iovec iov[PIECES]; /* the chain's */
    size_t done;
};

struct console_place {
    const char *name;
    int out;
};
static const struct console_place console_ports[PORTS] = {
    [PORT_CONTROL] = {"bothy.control", -1},
    [PORT_STDIN] = {"bothy.stdin", -1},
    [PORT_STDOUT] = {"bothy.stdout", 0},
    [PORT_STDERR] = {"bothy.stderr", 1},
};
static const struct console_place console_terminal = {"console", 0};
static const int console_fds[CONSOLE_OUTPUTS] = {STDOUT_FILENO, STDERR_FILENO};

/* I immutable once the guest runs · w who writes for the control port · all else under
 * virtio.dev.lock */
struct console {
    struct virtio virtio;
    bool terminal;       /* I  one port, not a container's */
    unsigned nports;     /* I */
    unsigned stdin_port; /* I */
    struct console_port ports[PORTS];
    struct console_event events[EVENTS_MAX];
    unsigned events_head, events_count;
    char line[LINE_SIZE]; /* w  from the agent, unfinished */
    size_t line_len;      /* w */
    atomic_int status;
};

static struct console *console_of(struct virtio *v)
{
    return container_of(v, struct console, virtio);
}

static unsigned console_rx_queue(unsigned port)
{
    return port ? 2 * port + 2 : 0;
}

static unsigned console_port_of(unsigned queue)
{
    return queue < 2 ? 0 : (queue - 2) / 2;
}

/* ---- to the guest ---- */

static void console_send_events_locked(struct console *c)
{
    struct iovec iov[PIECES];
    struct virtq_chain to = {.iov = iov, .iov_max = PIECES};

    while (c->events_count && virtio_pop(&c->virtio, QUEUE_CONTROL_IN, &to)) {
        struct console_event *e = &c->events[c->events_head];
        size_t len = EVENT_SIZE + (e->event == EV_PORT_NAME ? strlen(e->name) : 0);

        virtio_push(&c->virtio, QUEUE_CONTROL_IN, to.head, virtq_write(&to, 0, e, len));
        c->events_head = (c->events_head + 1) % EVENTS_MAX;
        c->events_count--;
    }
}

/* A guest that asks without reading the answers loses them. */
static void console_event_locked(struct console *c, uint32_t port, uint16_t event, uint16_t value)
{
    struct console_event *e;

    if (c->events_count == EVENTS_MAX)
        return;
    e = &c->events[(c->events_head + c->events_count++) % EVENTS_MAX];
    *e = (struct console_event){.port = port, .event = event, .value = value};
    if (event == EV_PORT_NAME)
        memcpy(e->name, c->ports[port].name, strlen(c->ports[port].name));
    console_send_events_locked(c);
}

static void console_flush_input_locked(struct console *c, unsigned n)
{
    struct console_port *p = &c->ports[n];
    struct iovec iov[PIECES];
    struct virtq_chain to = {.iov = iov, .iov_max = PIECES};

    if (!p->guest_open)
        return;
    while (p->count && virtio_pop(&c->virtio, console_rx_queue(n), &to)) {
        size_t run = INPUT_SIZE - p->head < p->count ? INPUT_SIZE - p->head : p->count;
        size_t sent = virtq_write(&to, 0, p->input + p->head, run);

        p->head = (p->head + sent) % INPUT_SIZE;
        p->count -= sent;
        virtio_push(&c->virtio, console_rx_queue(n), to.head, sent);
    }
    if (p->ended && !p->count && !p->end_told) {
        p->end_told = true;
        console_event_locked(c, n, EV_PORT_OPEN, 0);
    }
}

static void console_queue_input_locked(struct console *c, unsigned n, const void *data, size_t len)
{
    struct console_port *p = &c->ports[n];

    for (size_t i = 0; i < len && p->count < INPUT_SIZE; i++)
        p->input[(p->head + p->count++) % INPUT_SIZE] = ((const uint8_t *)data)[i];
    console_flush_input_locked(c, n);
}

/* ---- from the guest ---- */

static void console_agent_line(struct console *c, const char *line)
{
    struct report *report = &c->virtio.dev.vm->report;

    if (strncmp(line, "exit ", 5) == 0) {
        char *end;
        unsigned long status = strtoul(line + 5, &end, 10);

        if (*end == 0 && end != line + 5 && status < 256)
            atomic_store(&c->status, (int)status);
    } else if (strncmp(line, "error ", 6) == 0) {
        if (!report_error(report, line + 6))
            dprintf(STDERR_FILENO, "vmm: %s\n", line + 6);
    } else if (strcmp(line, "started") == 0) {
        report_started(report);
    } else if (strcmp(line, "oom") == 0) {
        report_oom(report);
    }
    /* "ready" is for tracing; unknown lines are for later agents. */
}

static void console_agent_bytes(struct console *c, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i]; /* once: it lies in guest memory */

        if (byte != '\n') {
            if (c->line_len < LINE_SIZE - 1)
                c->line[c->line_len++] = byte < ' ' ? ' ' : byte;
            continue;
        }
        c->line[c->line_len] = 0;
        console_agent_line(c, c->line);
        c->line_len = 0;
    }
}

/* Writes once, without blocking. Returns bytes, 0 when the descriptor is full. */
static size_t console_write(int fd, const void *data, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    ssize_t n;

    if (poll(&p, 1, 0) == 0)
        return 0;
    n = write(fd, data, len < WRITE_STEP ? len : WRITE_STEP);
    if (n >= 0)
        return n;
    /* It has no reader any more: the guest goes on, its output is lost. */
    return errno == EAGAIN || errno == EINTR ? 0 : len;
}

/* Moves the held request on, without the lock; true when it is finished. */
static bool console_write_held(struct console *c, struct console_port *p)
{
    size_t skip = p->done;

    for (unsigned i = 0; i < p->chain.out; i++) {
        const uint8_t *data = p->iov[i].iov_base;
        size_t len = p->iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        data += skip;
        len -= skip;
        skip = 0;
        if (!c->terminal && p == &c->ports[PORT_CONTROL]) {
            console_agent_bytes(c, data, len);
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

static bool console_take_locked(struct console *c, struct console_port *p, unsigned queue)
{
    if (!p->held) {
        p->held = virtio_pop(&c->virtio, queue, &p->chain);
        p->done = 0;
    }
    return p->held;
}

/* Writes what the guest has for the port, unless another thread does, which goes on until there is
 * nothing. Lets the lock go. */
static void console_output_locked(struct console *c, unsigned n)
{
    struct console_port *p = &c->ports[n];
    unsigned queue = console_rx_queue(n) + 1;
    bool all = true;

    while (!p->writing && all && console_take_locked(c, p, queue)) {
        p->writing = true;
        virtio_wait_begin(&c->virtio);
        all = console_write_held(c, p);
        virtio_wait_end(&c->virtio);
        p->writing = false;
        if (!all)
            break;
        p->held = false;
        virtio_push(&c->virtio, queue, p->chain.head, 0);
    }
    if (!all)
        vm_wake(c->virtio.dev.vm);
}

static void console_port_ready_locked(struct console *c, uint32_t n)
{
    console_event_locked(c, n, EV_PORT_NAME, 1);
    if (c->terminal)
        console_event_locked(c, n, EV_CONSOLE_PORT, 1);
    console_event_locked(c, n, EV_PORT_OPEN, 1);
}

static void console_control_message_locked(struct console *c, const struct console_event *e)
{
    if (e->event == EV_DEVICE_READY) {
        for (unsigned n = 0; e->value == 1 && n < c->nports; n++)
            console_event_locked(c, n, EV_PORT_ADD, 1);
        return;
    }
    if (e->port >= c->nports)
        return;
    if (e->event == EV_PORT_READY && e->value == 1)
        console_port_ready_locked(c, e->port);
    if (e->event == EV_PORT_OPEN) {
        c->ports[e->port].guest_open = e->value;
        console_flush_input_locked(c, e->port);
        vm_wake(c->virtio.dev.vm);
    }
}

static void console_control_out_locked(struct console *c)
{
    struct iovec iov[PIECES];
    struct virtq_chain from = {.iov = iov, .iov_max = PIECES};

    while (virtio_pop(&c->virtio, QUEUE_CONTROL_OUT, &from)) {
        struct console_event e;

        if (virtq_read(&from, 0, &e, EVENT_SIZE) == EVENT_SIZE)
            console_control_message_locked(c, &e);
        virtio_push(&c->virtio, QUEUE_CONTROL_OUT, from.head, 0);
    }
}

/* ---- the device ---- */

static void console_kick(struct virtio *v, unsigned queue)
{
    struct console *c = console_of(v);

    if (queue == QUEUE_CONTROL_OUT)
        console_control_out_locked(c);
    else if (queue == QUEUE_CONTROL_IN)
        console_send_events_locked(c);
    else if (queue & 1)
        console_output_locked(c, console_port_of(queue));
    else
        console_flush_input_locked(c, console_port_of(queue));
    if (!(queue & 1))
        vm_wake(v->dev.vm);
}

static void console_reset(struct virtio *v)
{
    struct console *c = console_of(v);

    for (unsigned n = 0; n < c->nports; n++) {
        c->ports[n].guest_open = false;
        c->ports[n].held = false;
        c->ports[n].end_told = false;
    }
    c->events_count = 0;
}

/* cols 2, rows 2, max_nr_ports 4, emerg_wr 4 */
static uint8_t console_config(struct virtio *v, unsigned offset)
{
    return offset == 4 ? console_of(v)->nports : 0;
}

static const struct virtio_model console_model = {
    .name = "the virtio console",
    .id = CONSOLE_ID,
    .pci_class = CONSOLE_PCI_CLASS,
    .queue_num = CONSOLE_QUEUE,
    .kick = console_kick,
    .reset = console_reset,
    .config = console_config,
};

/* What the host sends goes to that port. */
static void console_port_input(struct vm *vm, struct console *c, unsigned n)
{
    c->ports[n].input = vm_alloc(vm, INPUT_SIZE);
}

void console_create(struct vm *vm, const struct vm_options *opt)
{
    struct console *c = vm_alloc(vm, sizeof *c);

    atomic_init(&c->status, -1);
    c->terminal = !opt->container;
    c->nports = c->terminal ? 1 : PORTS;
    c->stdin_port = c->terminal ? 0 : PORT_STDIN;
    for (unsigned n = 0; n < c->nports; n++) {
        const struct console_place *place = c->terminal ? &console_terminal : &console_ports[n];
        struct console_port *p = &c->ports[n];

        p->name = place->name;
        p->out = place->out;
        p->chain = (struct virtq_chain){.iov = p->iov, .iov_max = PIECES};
    }
    console_port_input(vm, c, c->stdin_port);
    if (!c->terminal)
        console_port_input(vm, c, PORT_CONTROL);
    virtio_create(&c->virtio, vm, &console_model, F_MULTIPORT, 2 + 2 * c->nports);
    vm->console = c;
}

/* ---- the event loop's side ---- */

size_t console_room(struct console *c)
{
    struct console_port *p = &c->ports[c->stdin_port];
    size_t room;

    pthread_mutex_lock(&c->virtio.dev.lock);
    room = p->guest_open && !p->ended ? INPUT_SIZE - p->count : 0;
    pthread_mutex_unlock(&c->virtio.dev.lock);
    return room;
}

void console_input(struct console *c, const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&c->virtio.dev.lock);
    console_queue_input_locked(c, c->stdin_port, data, len);
    pthread_mutex_unlock(&c->virtio.dev.lock);
}

void console_input_end(struct console *c)
{
    pthread_mutex_lock(&c->virtio.dev.lock);
    c->ports[c->stdin_port].ended = true;
    console_flush_input_locked(c, c->stdin_port);
    pthread_mutex_unlock(&c->virtio.dev.lock);
}

void console_control(struct console *c, const char *line)
{
    size_t len = strlen(line);

    if (!c || c->terminal)
        return;
    pthread_mutex_lock(&c->virtio.dev.lock);
    if (INPUT_SIZE - c->ports[PORT_CONTROL].count >= len)
        console_queue_input_locked(c, PORT_CONTROL, line, len);
    pthread_mutex_unlock(&c->virtio.dev.lock);
}

/* The port whose output `i` waits, or NULL. */
static struct console_port *console_waiting_locked(struct console *c, int i)
{
    for (unsigned n = 0; n < c->nports; n++)
        if (c->ports[n].held && !c->ports[n].writing && c->ports[n].out == i)
            return &c->ports[n];
    return NULL;
}

int console_waiting_fd(struct console *c, int i)
{
    int fd;

    if (!c)
        return -1;
    pthread_mutex_lock(&c->virtio.dev.lock);
    fd = console_waiting_locked(c, i) ? console_fds[i] : -1;
    pthread_mutex_unlock(&c->virtio.dev.lock);
    return fd;
}

void console_continue(struct console *c, int i)
{
    struct console_port *p;

    pthread_mutex_lock(&c->virtio.dev.lock);
    p = console_waiting_locked(c, i);
    if (p)
        console_output_locked(c, p - c->ports);
    pthread_mutex_unlock(&c->virtio.dev.lock);
}

/* A vCPU may be in the middle of a write. */
static void console_await_writers(struct console *c)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DRAIN_SECONDS;
    pthread_mutex_lock(&c->virtio.dev.lock);
    while (c->virtio.waiting &&
           pthread_cond_timedwait(&c->virtio.idle, &c->virtio.dev.lock, &until) == 0)
        ;
    pthread_mutex_unlock(&c->virtio.dev.lock);
}

void console_drain(struct console *c)
{
    console_await_writers(c);
    for (int i = 0; i < CONSOLE_OUTPUTS; i++) {
        int fd;

        while ((fd = console_waiting_fd(c, i)) >= 0) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};

            if (poll(&p, 1, DRAIN_SECONDS * 1000) <= 0)
                break;
            console_continue(c, i);
        }
    }
}

int console_status(struct console *c)
{
    return atomic_load(&c->status);
}
