// SPDX-License-Identifier: MIT
// The guest agent: PID 1 of a --runtime vm guest. It runs one application from /rootfs as
// /boot/files/config.json says, confined as a container is (runtime/child.c), and tells the VMM how
// it went.
//
//   /dev/vport0p0  control, lines: we say "ready US", "started", "error TEXT", "oom" (it was killed
//                  for want of memory), "exit N"; the VMM says "signal N", "winsize ROWS COLS"
//   /dev/vport0p1  standard input     /dev/vport0p2  output     /dev/vport0p3  error
//
// Ports 1 to 3 are copied from and to the application's pipes or terminal (agent_copy.c).
#include "init/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

#define PORT_WAIT_MS 5000 /* for a further port of any number */

struct agent agent = {.control = -1, .master = -1};
static struct buf agent_heard; /* control bytes not yet a line */

void agent_say(const char *fmt, ...)
{
    char line[1200];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    if (agent.control < 0 || write_all(agent.control, line, (size_t)n))
        init_log("agent: %.*s", n - 1, line);
}

/* The end, with the status that the VMM shall exit with. */
_Noreturn static void agent_end(int status)
{
    agent_say("exit %d", status);
    init_power(RB_POWER_OFF);
}

void agent_fail(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    agent_say("error %s", text);
    agent_end(child_failure_status(text));
}

/* The kernel shows a port once the host has added it, which may be after we have started. */
static int agent_port_wait(const char *path, int flags)
{
    struct pollfd p = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    char events[1024];
    int fd, err;

    if (p.fd < 0)
        return -1;
    inotify_add_watch(p.fd, "/dev", IN_CREATE);
    for (;;) {
        fd = open(path, flags);
        err = errno;
        if (fd >= 0 || err != ENOENT || poll(&p, 1, PORT_WAIT_MS) <= 0)
            break;
        if (read(p.fd, events, sizeof(events)) < 0)
            break;
    }
    close(p.fd);
    errno = err;
    return fd;
}

int agent_port(int number, int flags)
{
    char path[32];
    int fd;

    snprintf(path, sizeof(path), "/dev/vport0p%d", number);
    fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
    return fd < 0 && errno == ENOENT ? agent_port_wait(path, flags | O_CLOEXEC | O_NOCTTY) : fd;
}

static void agent_ready(void)
{
    struct timespec now;

    agent.control = agent_port(0, O_RDWR);
    if (agent.control < 0)
        agent_fail("the guest has no console ports: %s", strerror(errno));
    clock_gettime(CLOCK_MONOTONIC, &now);
    agent_say("ready %lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void agent_resize(void)
{
    struct winsize ws = {.ws_row = (unsigned short)agent.rows,
                         .ws_col = (unsigned short)agent.cols};

    if (agent.master >= 0)
        ioctl(agent.master, TIOCSWINSZ, &ws);
}

static void agent_order(char *line)
{
    unsigned rows, cols;
    int sig;

    if (sscanf(line, "signal %d", &sig) == 1 && sig > 0 && sig < 65) {
        if (agent.app > 0)
            kill(agent.app, sig);
    } else if (sscanf(line, "winsize %u %u", &rows, &cols) == 2) {
        agent.rows = rows;
        agent.cols = cols;
        agent_resize();
    }
}

/* Control bytes; false when the port has ended. */
static bool agent_hear(void)
{
    char *nl;
    ssize_t n;

    buf_reserve(&agent_heard, 1024);
    n = read(agent.control, agent_heard.data + agent_heard.len, 1024);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    agent_heard.len += (size_t)n;
    while ((nl = memchr(agent_heard.data, '\n', agent_heard.len))) {
        *nl = 0;
        agent_order(agent_heard.data);
        buf_drop(&agent_heard, (size_t)(nl - agent_heard.data) + 1);
    }
    if (agent_heard.len > 65536)
        buf_clear(&agent_heard);
    return true;
}

/* Reaps; ends the guest when the application itself is gone. */
static void agent_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != agent.app)
            continue;
        agent_copy_rest();
        if (agent_oom())
            agent_say("oom");
        agent_end(status_code(status));
    }
}

_Noreturn static void agent_loop(int signals)
{
    bool control = true;

    for (;;) {
        struct pollfd p[2 + AGENT_STREAMS] = {{signals, POLLIN, 0},
                                              {control ? agent.control : -1, POLLIN, 0}};
        struct signalfd_siginfo si;

        agent_copy_poll(p + 2);
        if (poll(p, 2 + AGENT_STREAMS, -1) < 0 && errno != EINTR)
            agent_fail("poll: %s", strerror(errno));
        if (p[1].revents)
            control = agent_hear();
        agent_copy(p + 2);
        if (p[0].revents && read(signals, &si, sizeof(si)) > 0)
            agent_reap();
    }
}

void agent_main(void)
{
    sigset_t set;
    int signals;

    mount_guest();
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child_prepare();
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    agent_ready();
    agent_config();
    agent_image();
    agent_cgroup();
    if (poll(&(struct pollfd){agent.control, POLLIN, 0}, 1, 0) > 0)
        agent_hear(); /* the terminal's size, before the application asks for it */
    agent_start();
    agent_loop(signals);
}
