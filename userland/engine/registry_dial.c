// SPDX-License-Identifier: MIT
// Connections to the HTTPS proxy's socket, for processes that may not open it: it is root's, or the
// group's of whoever made it. One process, of root but without any capability, makes them and hands
// them over; it reads nothing of what anyone says but a byte.
//
// A request is that byte with one end of a socket pair, on which the answer comes: so several may
// ask at once.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/registry.h"
#include "lib/str.h"
#include "runtime/child.h"

int registry_dialer = -1;

/* A byte with a descriptor, or without one where it is -1: 0 or -errno. */
static int dial_send(int to, char byte, int fd)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec v = {&byte, 1};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};

    if (fd >= 0) {
        h.msg_control = &control;
        h.msg_controllen = sizeof(control);
        CMSG_FIRSTHDR(&h)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&h)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&h)->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(fd));
    }
    return sendmsg(to, &h, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* The first descriptor of a message; there is space for another one, which is not wanted. */
static void dial_take(struct msghdr *h, int *fd)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    int more;

    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len < CMSG_LEN(sizeof(*fd)))
        return;
    memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    for (size_t at = sizeof(*fd); CMSG_LEN(at + sizeof(more)) <= c->cmsg_len; at += sizeof(more)) {
        memcpy(&more, CMSG_DATA(c) + at, sizeof(more));
        close(more);
    }
}

/* 1 with *byte, and *fd or -1; 0 at the end; -errno. */
static int dial_receive(int from, char *byte, int *fd)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec v = {byte, 1};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n;

    do
        n = recvmsg(from, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *fd = -1;
    if (n >= 0)
        dial_take(&h, fd);
    return n < 0 ? -errno : (int)n;
}

/* A connection, or -errno. */
static int dial_proxy(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = REGISTRY_PROXY};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

_Noreturn static void dial_serve(int from)
{
    int to, fd;
    char byte;

    while (dial_receive(from, &byte, &to) > 0) {
        if (to < 0)
            continue;
        fd = dial_proxy();
        dial_send(to, fd < 0 ? (char)-fd : 0, fd);
        if (fd >= 0)
            close(fd);
        close(to);
    }
    _exit(0);
}

void registry_dialer_start(void)
{
    pid_t parent = getpid(), pid;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        registry_fail(500, "cannot make a socket pair: %s", str_error(errno));
    pid = fork();
    if (pid < 0)
        registry_fail(500, "cannot make a process: %s", str_error(errno));
    if (pid == 0) {
        /* its directories are not for others' looks at /proc, though it is root */
        if (child_forgo() || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
            _exit(1);
        registry_secret_forget();
        close(0);
        close(1);
        close(ends[0]);
        dial_serve(ends[1]);
    }
    close(ends[1]);
    registry_dialer = ends[0];
}

int registry_dial(int timeout_ms)
{
    struct pollfd p = {.events = POLLIN};
    char byte = 0;
    int ends[2], fd = -1, err;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    err = dial_send(registry_dialer, byte, ends[1]);
    close(ends[1]);
    p.fd = ends[0];
    if (!err && poll(&p, 1, timeout_ms) <= 0)
        err = -ETIMEDOUT;
    if (!err && dial_receive(ends[0], &byte, &fd) <= 0)
        err = -EPIPE;
    close(ends[0]);
    return err ? err : fd >= 0 ? fd : byte ? -(int)(unsigned char)byte : -EPIPE;
}
