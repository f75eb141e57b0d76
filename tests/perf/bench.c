/* SPDX-License-Identifier: MIT
 *
 * Clock, children and output of the measuring programs: see bench.h.
 */
#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void bench_need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

void bench_reap(pid_t pid)
{
    int status;

    bench_need(waitpid(pid, &status, 0) == pid && status == 0, "child");
}

void bench_futex(const uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static _Noreturn void echo_run(int in, int out, bool polled)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int ep = epoll_create1(0);
    char c;

    if (polled && (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev) < 0))
        _exit(1);
    for (;;) {
        if (polled && epoll_wait(ep, &ev, 1, -1) != 1)
            _exit(1);
        if (read(in, &c, 1) != 1)
            _exit(0);
        if (write(out, &c, 1) != 1)
            _exit(1);
    }
}

pid_t echo_start(int in, int out, bool polled, int close_a, int close_b)
{
    pid_t pid = fork();

    bench_need(pid >= 0, "fork");
    if (pid)
        return pid;
    close(close_a);
    close(close_b);
    echo_run(in, out, polled);
}

void echo_ping(unsigned n, int out, int in)
{
    char c = 'x';

    while (n--)
        bench_need(write(out, &c, 1) == 1 && read(in, &c, 1) == 1, "round trip");
}

pid_t echo_pipes(bool polled, int *out, int *in)
{
    int to[2], from[2];
    pid_t pid;

    bench_need(pipe(to) == 0 && pipe(from) == 0, "pipe");
    pid = echo_start(to[0], from[1], polled, to[1], from[0]);
    close(to[0]);
    close(from[1]);
    *out = to[1];
    *in = from[0];
    return pid;
}

/* The child has the one end, we the other. */
static pid_t echo_pair(int sv[2], int *fd)
{
    pid_t pid = echo_start(sv[1], sv[1], false, sv[0], -1);

    close(sv[1]);
    *fd = sv[0];
    return pid;
}

pid_t echo_unix(int *fd)
{
    int sv[2];

    bench_need(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0, "socketpair");
    return echo_pair(sv, fd);
}

void loopback_pair(int type, int sv[2])
{
    struct sockaddr_in a[2] = {{.sin_family = AF_INET}, {.sin_family = AF_INET}};
    socklen_t len = sizeof(a[0]);
    int fd[2];

    for (int i = 0; i < 2; i++) {
        a[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd[i] = socket(AF_INET, type, 0);
        bench_need(fd[i] >= 0 && bind(fd[i], (void *)&a[i], len) == 0, "bind");
        bench_need(getsockname(fd[i], (void *)&a[i], &len) == 0, "getsockname");
    }
    bench_need(type == SOCK_DGRAM || listen(fd[0], 1) == 0, "listen");
    bench_need(connect(fd[1], (void *)&a[0], len) == 0, "connect");
    sv[1] = fd[1];
    if (type == SOCK_DGRAM) {
        bench_need(connect(fd[0], (void *)&a[1], len) == 0, "connect back");
        sv[0] = fd[0];
        return;
    }
    sv[0] = accept(fd[0], NULL, NULL);
    bench_need(sv[0] >= 0, "accept");
    close(fd[0]);
}

pid_t echo_loopback(int type, int *fd)
{
    int sv[2];

    loopback_pair(type, sv);
    return echo_pair(sv, fd);
}

bool bench_wanted(const char *name, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}
