// SPDX-License-Identifier: MIT
// `docker system dial-stdio`: what a docker client runs on this machine by ssh (-H ssh://...). It
// joins standard input and output with the engine's socket, byte for byte; it is no client itself.
//
// The end of standard input is a half-close of the socket, and answers still come; the socket's
// end is this program's, and so is the end of who reads the standard output, also while there is
// nothing to be written: a client that has vanished leaves no stream of events behind. Two
// processes, each copying one way, wait for nothing but each other's
// ends, so no buffer grows.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_PATH "/var/run/docker.sock"
#define SCHEME "unix://"

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "docker: %s: %s\n", what, why);
    return 1;
}

static int usage(void)
{
    fprintf(stderr, "docker: this is Bothy's, which knows `docker [-H unix://PATH] system "
                    "dial-stdio` alone: it serves clients that come by ssh (docker -H "
                    "ssh://USER@HOST ...)\n");
    return 125;
}

/* The path of -H's or DOCKER_HOST's value, or NULL when it is no unix socket. */
static const char *socket_path(const char *host)
{
    if (!host || !*host)
        return SOCKET_PATH;
    return strncmp(host, SCHEME, strlen(SCHEME)) ? NULL : host + strlen(SCHEME);
}

/* 0 or -errno. */
static int dial(const char *path, int *out)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int err = -errno;

        close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Waits for bytes of `from`, or until nobody reads `to` any more: false. */
static bool wait_for(int from, int to)
{
    struct pollfd p[2] = {{from, POLLIN, 0}, {to, 0, 0}};

    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return true; /* then the next read and write tell */
    return p[0].revents || !(p[1].revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* Until the end of `from`: 0, or -errno of either. `watched`: or until nobody reads `to`. */
static int copy(int from, int to, bool watched)
{
    static char data[65536];

    for (;;) {
        ssize_t n = watched && !wait_for(from, to) ? 0 : read(from, data, sizeof(data));
        int err;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        err = write_all(to, data, (size_t)n);
        if (err)
            return err;
    }
}

/* The process that copies standard input; it ends with its parent. */
static _Noreturn void input(int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(1);
    copy(0, fd, false);
    shutdown(fd, SHUT_WR);
    _exit(0);
}

static int join(int fd)
{
    pid_t child;
    int err;

    signal(SIGPIPE, SIG_IGN);
    child = fork();
    if (child < 0)
        return fail("fork", strerror(errno));
    if (child == 0)
        input(fd);
    close(0);
    err = copy(fd, 1, true);
    kill(child, SIGKILL);
    return err && err != -EPIPE && err != -ECONNRESET ? fail("standard output", strerror(-err)) : 0;
}

int main(int argc, char **argv)
{
    const char *host = getenv("DOCKER_HOST"), *path;
    int at = 1, fd = -1, err;

    if (argc > 2 && (!strcmp(argv[1], "-H") || !strcmp(argv[1], "--host"))) {
        host = argv[2];
        at = 3;
    }
    if (argc != at + 2 || strcmp(argv[at], "system") || strcmp(argv[at + 1], "dial-stdio"))
        return usage();
    path = socket_path(host);
    if (!path)
        return fail(host, "only unix:// is known here");
    err = dial(path, &fd);
    if (err)
        return fail(path, strerror(-err));
    return join(fd);
}
