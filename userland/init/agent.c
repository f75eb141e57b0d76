// SPDX-License-Identifier: MIT
// The guest agent: PID 1 of a --runtime vm guest. It runs one application from /rootfs as
// /boot/files/config.json says, and tells the VMM how it went.
//
//   /dev/vport0p1  control, lines: we say "ready US", "started", "error TEXT", "exit N"; the VMM
//                  says "signal N" and "winsize ROWS COLS"
//   /dev/vport0p2  standard input     /dev/vport0p3  output     /dev/vport0p4  error
//
// Without a tty the application gets the ports themselves. With one it gets a pty of the guest's
// own, and we copy between its master and the ports.
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/image_env.h"
#include "lib/json.h"
#include "lib/str.h"

#define AGENT_CONFIG "/boot/files/config.json"
#define AGENT_CONFIG_MAX (4u * 1024 * 1024)

static struct {
    int control, in, out, err;
    int master; /* of the pty, or -1 */
    char slave[32];
    pid_t app;
    char **args, **env;
    const char *cwd, *user;
    bool tty;
    int64_t pids;
    struct buf heard; /* control bytes not yet a line */
} agent = {-1, -1, -1, -1, .master = -1};

static void agent_say(const char *fmt, ...)
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

_Noreturn static void agent_fail(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    agent_say("error %s", text);
    agent_end(strstr(text, "permission denied")                                        ? 126
              : strstr(text, "not found") || strstr(text, "no such file or directory") ? 127
                                                                                       : 125);
}

static int agent_port(int number, int flags)
{
    char path[32];

    snprintf(path, sizeof(path), "/dev/vport0p%d", number);
    return open(path, flags | O_CLOEXEC | O_NOCTTY);
}

static void agent_ports(void)
{
    struct timespec now;

    agent.control = agent_port(1, O_RDWR);
    agent.in = agent_port(2, O_RDONLY);
    agent.out = agent_port(3, O_WRONLY);
    agent.err = agent_port(4, O_WRONLY);
    if (agent.control < 0 || agent.in < 0 || agent.out < 0 || agent.err < 0)
        agent_fail("the guest has no console ports: %s", strerror(errno));
    clock_gettime(CLOCK_MONOTONIC, &now);
    agent_say("ready %lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

static char **agent_strings(const struct json *array)
{
    char **v = mem_alloc((json_count(array) + 2) * sizeof(char *));
    size_t n = 0;

    for (struct json *j = array ? array->child : NULL; j; j = j->next)
        if (j->type == JSON_STRING)
            v[n++] = str_dup(j->str);
    return v;
}

static void agent_config(void)
{
    struct buf text = {0};
    const char *why = "", *hostname;
    struct json *j;
    int err = file_read(AGENT_CONFIG, AGENT_CONFIG_MAX, &text);

    if (err)
        agent_fail("cannot read %s: %s", AGENT_CONFIG, strerror(-err));
    j = json_parse(text.data, text.len, &why); /* lives as long as we do */
    agent.args = agent_strings(json_get(j, "args"));
    agent.env = agent_strings(json_get(j, "env"));
    agent.cwd = json_str(j, "cwd");
    agent.user = json_str(j, "user");
    agent.tty = json_bool(j, "tty");
    agent.pids = json_int(j, "pids", 0);
    hostname = json_str(j, "hostname");
    if (!j || !agent.args[0])
        agent_fail("bad %s: %s", AGENT_CONFIG, why);
    if (hostname && *hostname && sethostname(hostname, strlen(hostname)) < 0)
        init_log("agent: cannot set the hostname: %s", strerror(errno));
    buf_free(&text);
}

static void agent_pty(void)
{
    int unlock = 0, number;

    agent.master = open("/rootfs/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (agent.master < 0)
        agent.master = open("/rootfs/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (agent.master < 0 || ioctl(agent.master, TIOCSPTLCK, &unlock) < 0 ||
        ioctl(agent.master, TIOCGPTN, &number) < 0)
        agent_fail("cannot open a pseudo terminal: %s", strerror(errno));
    snprintf(agent.slave, sizeof(agent.slave), "/rootfs/dev/pts/%d", number);
}

/* In the child: says what is wrong through `report` and ends. */
_Noreturn static void app_fail(int report, const char *why)
{
    _exit(write_all(report, why, strlen(why)) ? 126 : 125);
}

static void app_streams(int report)
{
    int in = agent.in, out = agent.out, err = agent.err;

    if (agent.tty) {
        in = out = err = open(agent.slave, O_RDWR | O_NOCTTY);
        if (in < 0)
            app_fail(report, "cannot open the terminal");
    }
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    if (agent.tty && ioctl(0, TIOCSCTTY, 0) < 0)
        app_fail(report, "cannot set the controlling terminal");
}

static void app_identity(int report)
{
    struct user_ids u;
    gid_t groups[64];
    char *why = user_lookup(agent.user, &u);
    size_t n = 0;

    if (why)
        app_fail(report, why);
    for (int i = 0; i < u.ngroups; i++)
        groups[i] = u.groups[i];
    if (u.uid && (fchown(0, u.uid, (gid_t)-1) < 0 || fchown(1, u.uid, (gid_t)-1) < 0))
        errno = 0; /* a port keeps its owner; the descriptors are open anyway */
    if (setgroups((size_t)u.ngroups, groups) < 0 || setgid(u.gid) < 0 || setuid(u.uid) < 0)
        app_fail(report, "cannot change to the user");
    if (env_get(agent.env, "HOME"))
        return;
    while (agent.env[n])
        n++;
    agent.env[n] = str_fmt("HOME=%s", u.home); /* agent_strings left room */
}

_Noreturn static void app_child(int report)
{
    const char *cwd = agent.cwd && *agent.cwd ? agent.cwd : "/";
    char *program, *why;

    setsid();
    app_streams(report);
    if (chroot("/rootfs") < 0 || chdir("/") < 0)
        app_fail(report, "cannot enter the image's root");
    if (chdir(cwd) < 0 && (dir_make(cwd, 0755) || chdir(cwd) < 0))
        app_fail(report, "chdir to the working directory failed: no such file or directory");
    if (agent.pids > 0) {
        struct rlimit lim = {(rlim_t)agent.pids, (rlim_t)agent.pids};

        setrlimit(RLIMIT_NPROC, &lim);
    }
    app_identity(report);
    program = program_find(agent.args[0], agent.env, &why);
    if (!program)
        app_fail(report, why);
    execve(program, agent.args, agent.env);
    app_fail(report, program_failed(agent.args[0], program, errno));
}

static void agent_start(void)
{
    char why[1024];
    int report[2];
    ssize_t n;
    sigset_t none, all;

    if (pipe2(report, O_CLOEXEC) < 0)
        agent_fail("pipe: %s", strerror(errno));
    sigfillset(&all);
    sigemptyset(&none);
    agent.app = fork();
    if (agent.app == 0) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        app_child(report[1]);
    }
    close(report[1]);
    if (agent.app < 0)
        agent_fail("fork: %s", strerror(errno));
    n = read(report[0], why, sizeof(why) - 1);
    close(report[0]);
    if (n > 0) {
        why[n] = 0;
        agent_fail("%s", why);
    }
    agent_say("started");
}

static void agent_order(char *line)
{
    unsigned rows, cols;
    int sig;

    if (sscanf(line, "signal %d", &sig) == 1 && sig > 0 && sig < 65) {
        kill(agent.app, sig);
    } else if (sscanf(line, "winsize %u %u", &rows, &cols) == 2) {
        struct winsize ws = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};

        if (agent.master >= 0)
            ioctl(agent.master, TIOCSWINSZ, &ws);
    }
}

/* Control bytes; false when the port has ended. */
static bool agent_hear(void)
{
    char *nl;
    ssize_t n;

    buf_reserve(&agent.heard, 1024);
    n = read(agent.control, agent.heard.data + agent.heard.len, 1024);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    agent.heard.len += (size_t)n;
    while ((nl = memchr(agent.heard.data, '\n', agent.heard.len))) {
        *nl = 0;
        agent_order(agent.heard.data);
        buf_drop(&agent.heard, (size_t)(nl - agent.heard.data) + 1);
    }
    if (agent.heard.len > 65536)
        buf_clear(&agent.heard);
    return true;
}

/* One read's worth from `from` to `to`; false when `from` has ended. */
static bool agent_copy(int from, int to)
{
    char data[8192];
    ssize_t n = read(from, data, sizeof(data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    return n > 0 && write_all(to, data, (size_t)n) == 0;
}

/* Reaps; ends the guest when the application itself is gone. */
static void agent_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != agent.app)
            continue;
        for (struct pollfd p = {agent.master, POLLIN, 0};
             agent.master >= 0 && poll(&p, 1, 0) > 0 && agent_copy(agent.master, agent.out);)
            ; /* what is left in the terminal */
        agent_end(status_code(status));
    }
}

static void agent_loop(int signals)
{
    bool in = agent.tty, control = true, master = agent.tty;

    for (;;) {
        struct pollfd p[4] = {{signals, POLLIN, 0},
                              {control ? agent.control : -1, POLLIN, 0},
                              {in ? agent.in : -1, POLLIN, 0},
                              {master ? agent.master : -1, POLLIN, 0}};
        struct signalfd_siginfo si;

        if (poll(p, 4, -1) < 0 && errno != EINTR)
            agent_fail("poll: %s", strerror(errno));
        if (p[0].revents && read(signals, &si, sizeof(si)) > 0)
            agent_reap();
        if (p[1].revents)
            control = agent_hear();
        if (p[2].revents)
            in = agent_copy(agent.in, agent.master);
        if (p[3].revents)
            master = agent_copy(agent.master, agent.out);
    }
}

void agent_main(void)
{
    sigset_t set;
    int signals;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    agent_ports();
    agent_config();
    if (agent.tty)
        agent_pty();
    agent_start();
    agent_loop(signals);
    init_power(RB_POWER_OFF);
}
