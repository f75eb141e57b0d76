/* SPDX-License-Identifier: MIT
 *
 * One poll() over stdin, a signalfd, a wake-up eventfd and descriptors with output waiting.
 * The terminal is raw while the guest owns it, and is restored on every way out.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/console.h"
#include "vmm/report.h"

#define ESCAPE 0x01 /* Ctrl-A, then x: end the VM; Ctrl-A twice: one Ctrl-A for the guest */

static struct {
    bool container;
    bool hvc;
    int wake_fd;
    int signal_fd;
    bool raw;
    bool stdin_open;
    bool escaped;
    struct termios saved;
} loop = {.wake_fd = -1, .signal_fd = -1, .stdin_open = true};

static atomic_int loop_status = -1; /* the exit status once somebody stopped the VM */
static pthread_mutex_t loop_message_lock = PTHREAD_MUTEX_INITIALIZER;
static char loop_message[256];

void loop_wake(void)
{
    uint64_t one = 1;
    if (write(loop.wake_fd, &one, sizeof one) < 0) {
        /* EAGAIN: it is awake anyway */
    }
}

static void loop_restore_terminal(void)
{
    if (loop.raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &loop.saved);
    loop.raw = false;
}

void vm_stop(int status, const char *fmt, ...)
{
    pthread_mutex_lock(&loop_message_lock);
    int running = -1;
    if (fmt && atomic_load(&loop_status) < 0) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(loop_message, sizeof loop_message, fmt, ap);
        va_end(ap);
    }
    atomic_compare_exchange_strong(&loop_status, &running, status);
    pthread_mutex_unlock(&loop_message_lock);
    loop_wake();
}

void fatal(int status, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    loop_restore_terminal();
    if (!report_error(line))
        fprintf(stderr, "vmm: %s\n", line);
    exit(status);
}

/* ---- the terminal ---- */

static void loop_raw_terminal(void)
{
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &loop.saved) < 0)
        return;
    t = loop.saved;
    t.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t.c_oflag &= ~OPOST;
    t.c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    t.c_cflag &= ~(CSIZE | PARENB);
    t.c_cflag |= CS8;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    loop.raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

/* Takes the escape sequence out of terminal input; returns the bytes left. */
static size_t loop_filter(uint8_t *data, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        bool escaped = loop.escaped;
        loop.escaped = !escaped && data[i] == ESCAPE;
        if (loop.escaped)
            continue;
        if (escaped && data[i] == 'x') {
            vm_stop(EXIT_OK, "ended from the terminal");
            return kept;
        }
        data[kept++] = data[i];
    }
    return kept;
}

static size_t loop_input_room(void)
{
    if (!loop.stdin_open)
        return 0;
    return loop.container || loop.hvc ? console_room() : serial_room();
}

static void loop_stdin(void)
{
    uint8_t data[1024];
    size_t room = loop_input_room();
    if (room > sizeof data)
        room = sizeof data;
    ssize_t n = room ? read(STDIN_FILENO, data, room) : 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (!room)
        return;
    if (n <= 0) {
        loop.stdin_open = false;
        if (loop.container)
            console_input_end();
        return;
    }
    if (loop.raw && !loop.container)
        n = loop_filter(data, n);
    if (loop.container || loop.hvc)
        console_input(data, n);
    else
        serial_input(data, n);
}

/* ---- signals ---- */

static void loop_window_size(void)
{
    struct winsize ws;
    char line[64];
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
        return;
    snprintf(line, sizeof line, "winsize %u %u\n", ws.ws_row, ws.ws_col);
    console_control(line);
}

static void loop_signal(void)
{
    struct signalfd_siginfo info;
    if (read(loop.signal_fd, &info, sizeof info) != sizeof info)
        return;
    if (!loop.container) {
        if (info.ssi_signo != SIGWINCH)
            vm_stop(128 + info.ssi_signo, NULL);
    } else if (info.ssi_signo == SIGWINCH && loop.raw) {
        loop_window_size();
    } else {
        char line[32];
        snprintf(line, sizeof line, "signal %u\n", info.ssi_signo);
        console_control(line);
    }
}

/* What the application gets in our stead: everything but what nobody can take (KILL, STOP), what
 * is ours (SIGCHLD, SIGPIPE, the vCPUs' kick) and musl's own. A fault of ours still ends us: a
 * blocked signal does not hold it back. */
static void loop_forwarded(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGCHLD);
    sigdelset(set, SIGPIPE);
    for (int sig = 32; sig <= SIGRTMIN; sig++)
        sigdelset(set, sig);
}

void loop_init(const struct vm_options *opt)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaddset(&set, ends[i]);
    if (opt->container)
        loop_forwarded(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    loop.container = opt->container;
    loop.hvc = opt->hvc;
    loop.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop.wake_fd < 0 || loop.signal_fd < 0)
        fatal(EXIT_KVM, "event descriptors: %s", strerror(errno));
    if (isatty(STDIN_FILENO)) {
        loop_raw_terminal();
        if (opt->container)
            loop_window_size();
    }
}

/* ---- the loop ---- */

static void loop_once(void)
{
    struct pollfd p[3 + CONSOLE_OUTPUTS] = {
        {.fd = loop.wake_fd, .events = POLLIN},
        {.fd = loop.signal_fd, .events = POLLIN},
        {.fd = loop_input_room() ? STDIN_FILENO : -1, .events = POLLIN},
    };
    for (int i = 0; i < CONSOLE_OUTPUTS; i++)
        p[3 + i] = (struct pollfd){.fd = console_waiting_fd(i), .events = POLLOUT};
    if (poll(p, 3 + CONSOLE_OUTPUTS, -1) < 0)
        return;
    if (p[0].revents) {
        uint64_t count;
        if (read(loop.wake_fd, &count, sizeof count) < 0)
            return;
    }
    if (p[1].revents)
        loop_signal();
    if (p[2].revents)
        loop_stdin();
    for (int i = 0; i < CONSOLE_OUTPUTS; i++)
        if (p[3 + i].revents)
            console_continue(i);
}

int loop_run(void)
{
    while (atomic_load(&loop_status) < 0)
        loop_once();
    vcpu_kick_all();
    if (loop.container)
        console_drain();
    loop_restore_terminal();
    int status = atomic_load(&loop_status);
    if (loop_message[0] && !report_error(loop_message))
        fprintf(stderr, "vmm: %s\n", loop_message);
    if (!loop.container || status != EXIT_OK)
        return status;
    status = console_status();
    if (status < 0) {
        const char *why = "the guest ended without an exit status";
        if (!report_error(why))
            fprintf(stderr, "vmm: %s\n", why);
        return EXIT_NO_STATUS;
    }
    return status;
}
