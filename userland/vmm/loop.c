/* SPDX-License-Identifier: MIT
 *
 * One poll() over stdin, a signalfd, a wake-up eventfd and descriptors with output waiting.
 * The terminal is raw while the guest owns it, and is restored on every way out.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/console.h"
#include "vmm/serial.h"

#define ESCAPE 0x01 /* Ctrl-A, then x: end the VM; Ctrl-A twice: one Ctrl-A for the guest */

/* The main thread's own. */
struct loop {
    struct vm *vm;
    bool container;
    bool hvc;
    int signal_fd;
    bool stdin_open;
    bool escaped;
};

/* ---- the terminal ---- */

static void loop_raw_terminal(struct loop *l)
{
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &l->vm->stop.saved) < 0)
        return;
    t = l->vm->stop.saved;
    t.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t.c_oflag &= ~OPOST;
    t.c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    t.c_cflag &= ~(CSIZE | PARENB);
    t.c_cflag |= CS8;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    l->vm->stop.raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

/* Takes the escape sequence out of terminal input; returns the bytes left. */
static size_t loop_filter(struct loop *l, uint8_t *data, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        bool escaped = l->escaped;
        l->escaped = !escaped && data[i] == ESCAPE;
        if (l->escaped)
            continue;
        if (escaped && data[i] == 'x') {
            vm_stop(l->vm, EXIT_OK, "ended from the terminal");
            return kept;
        }
        data[kept++] = data[i];
    }
    return kept;
}

static size_t loop_input_room(struct loop *l)
{
    if (!l->stdin_open)
        return 0;
    return l->container || l->hvc ? console_room(l->vm->console) : serial_room(l->vm->serial);
}

static void loop_stdin(struct loop *l)
{
    uint8_t data[1024];
    size_t room = loop_input_room(l);
    if (room > sizeof data)
        room = sizeof data;
    ssize_t n = room ? read(STDIN_FILENO, data, room) : 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (!room)
        return;
    if (n <= 0) {
        l->stdin_open = false;
        if (l->container)
            console_input_end(l->vm->console);
        return;
    }
    if (l->vm->stop.raw && !l->container)
        n = loop_filter(l, data, n);
    if (l->container || l->hvc)
        console_input(l->vm->console, data, n);
    else
        serial_input(l->vm->serial, data, n);
}

/* ---- signals ---- */

static void loop_window_size(struct loop *l)
{
    struct winsize ws;
    char line[64];
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
        return;
    snprintf(line, sizeof line, "winsize %u %u\n", ws.ws_row, ws.ws_col);
    console_control(l->vm->console, line);
}

static void loop_signal(struct loop *l)
{
    struct signalfd_siginfo info;
    if (read(l->signal_fd, &info, sizeof info) != sizeof info)
        return;
    if (!l->container) {
        if (info.ssi_signo != SIGWINCH)
            vm_stop(l->vm, 128 + info.ssi_signo, NULL);
    } else if (info.ssi_signo == SIGWINCH && l->vm->stop.raw) {
        loop_window_size(l);
    } else {
        char line[32];
        snprintf(line, sizeof line, "signal %u\n", info.ssi_signo);
        console_control(l->vm->console, line);
    }
}

/* The signals that are passed on to the application: all but what cannot be caught (KILL, STOP),
 * what is ours (SIGCHLD, SIGPIPE, the vCPUs' kick) and musl's own. A fault of ours still ends us: a
 * blocked signal does not hold it back. */
static void loop_forwarded(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGCHLD);
    sigdelset(set, SIGPIPE);
    for (int sig = 32; sig <= SIGRTMIN; sig++)
        sigdelset(set, sig);
}

static void loop_block_signals(struct loop *l)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGWINCH};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaddset(&set, ends[i]);
    if (l->container)
        loop_forwarded(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signal_fd < 0)
        fatal(EXIT_KVM, "event descriptors: %s", strerror(errno));
}

struct loop *loop_create(struct vm *vm, const struct vm_options *opt)
{
    struct loop *l = vm_alloc(vm, sizeof *l);

    l->vm = vm;
    l->stdin_open = true;
    l->container = opt->container;
    l->hvc = opt->hvc;
    loop_block_signals(l);
    if (isatty(STDIN_FILENO)) {
        loop_raw_terminal(l);
        if (opt->container)
            loop_window_size(l);
    }
    return l;
}

/* ---- the loop ---- */

static void loop_once(struct loop *l)
{
    struct pollfd p[3 + CONSOLE_OUTPUTS] = {
        {.fd = l->vm->stop.wake_fd, .events = POLLIN},
        {.fd = l->signal_fd, .events = POLLIN},
        {.fd = loop_input_room(l) ? STDIN_FILENO : -1, .events = POLLIN},
    };
    for (int i = 0; i < CONSOLE_OUTPUTS; i++)
        p[3 + i] = (struct pollfd){.fd = console_waiting_fd(l->vm->console, i), .events = POLLOUT};
    if (poll(p, 3 + CONSOLE_OUTPUTS, -1) < 0)
        return;
    if (p[0].revents) {
        uint64_t count;
        if (read(l->vm->stop.wake_fd, &count, sizeof count) < 0)
            return;
    }
    if (p[1].revents)
        loop_signal(l);
    if (p[2].revents)
        loop_stdin(l);
    for (int i = 0; i < CONSOLE_OUTPUTS; i++)
        if (p[3 + i].revents)
            console_continue(l->vm->console, i);
}

/* The status of a container's application; the machine itself has ended well. */
static int loop_status(struct loop *l)
{
    int status = console_status(l->vm->console);

    if (status >= 0)
        return status;
    stop_say(l->vm, "the guest ended without an exit status");
    return EXIT_NO_STATUS;
}

int loop_run(struct loop *l)
{
    struct stop *stop = &l->vm->stop;
    int status;

    while (atomic_load(&stop->status) < 0)
        loop_once(l);
    vcpu_kick_all(l->vm);
    if (l->container)
        console_drain(l->vm->console);
    stop_restore_terminal(l->vm);
    status = atomic_load(&stop->status);
    if (stop->message[0])
        stop_say(l->vm, stop->message);
    return l->container && status == EXIT_OK ? loop_status(l) : status;
}
