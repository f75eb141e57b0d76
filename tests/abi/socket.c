/* SPDX-License-Identifier: MIT
 *
 * Unix sockets, and IPv4 on the loopback.
 */
#include "abi.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static void send_file(int s, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {"F", 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    EXPECT(sendmsg(s, &m, 0) == 1);
}

static int receive_file(int s)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec v = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c;
    int fd;

    EXPECT(recvmsg(s, &m, 0) == 1);
    c = CMSG_FIRSTHDR(&m);
    EXPECT(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)));
    memcpy(&fd, CMSG_DATA(c), sizeof(int));
    return fd;
}

TEST(socketpair_carries_bytes_and_descriptors)
{
    int s[2], p[2], fd;
    char buf[16];

    EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !pipe(p));
    EXPECT(write(s[0], "abc", 3) == 3 && write(s[0], "def", 3) == 3);
    EXPECT(read(s[1], buf, sizeof(buf)) == 6 && !memcmp(buf, "abcdef", 6));
    send_file(s[0], p[1]);
    close(p[1]);
    fd = receive_file(s[1]);
    EXPECT(write(fd, "via", 3) == 3 && read(p[0], buf, 16) == 3);
    close(fd);
    EXPECT(read(p[0], buf, 16) == 0);
    EXPECT(!shutdown(s[0], SHUT_WR) && read(s[1], buf, 1) == 0);
    close(s[0]);
    signal(SIGPIPE, SIG_IGN);
    EXPECT_ERR(write(s[1], "x", 1), EPIPE);
}

TEST(unix_path_names_a_listener)
{
    struct sockaddr_un a = {AF_UNIX, "/tmp/abi.sock"}, n;
    socklen_t len = sizeof(n);
    struct ucred cred;
    int l = socket(AF_UNIX, SOCK_STREAM, 0), s, c;
    char buf[8];

    unlink(a.sun_path);
    c = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERR(connect(c, (void *)&a, sizeof(a)), ENOENT);
    EXPECT(!bind(l, (void *)&a, sizeof(a)));
    EXPECT_ERR(connect(c, (void *)&a, sizeof(a)), ECONNREFUSED);
    EXPECT(!listen(l, 1) && !connect(c, (void *)&a, sizeof(a)));
    EXPECT(write(c, "ping", 4) == 4);
    s = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    EXPECT(s >= 0 && read(s, buf, 8) == 4);
    EXPECT_ERR(read(s, buf, 8), EAGAIN);
    EXPECT(!getsockname(s, (void *)&n, &len) && !strcmp(n.sun_path, a.sun_path));
    len = sizeof(cred);
    EXPECT(!getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) && cred.pid == getpid());
    close(l);
    EXPECT_ERR(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof(a)), ECONNREFUSED);
    unlink(a.sun_path);
}

TEST(unix_datagrams_keep_their_bounds)
{
    struct sockaddr_un a = {AF_UNIX, "\0abi.dgram"};
    socklen_t len = sizeof(sa_family_t) + 10;
    int r = socket(AF_UNIX, SOCK_DGRAM, 0), s = socket(AF_UNIX, SOCK_DGRAM, 0);
    char buf[8];

    EXPECT(!bind(r, (void *)&a, len));
    EXPECT_ERR(bind(s, (void *)&a, len), EADDRINUSE);
    EXPECT(sendto(s, "first", 5, 0, (void *)&a, len) == 5);
    EXPECT(sendto(s, "2", 1, 0, (void *)&a, len) == 1);
    EXPECT(recv(r, buf, 3, MSG_TRUNC) == 5 && recv(r, buf, 8, 0) == 1);
    EXPECT_ERR(recv(r, buf, 8, MSG_DONTWAIT), EAGAIN);
}

TEST(loopback_stream_carries_a_megabyte)
{
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    int l = socket(AF_INET, SOCK_STREAM, 0), s;
    socklen_t len = sizeof(a);
    static char buf[65536];
    long total = 0, n;
    pid_t pid;

    EXPECT(!bind(l, (void *)&a, sizeof(a)) && !listen(l, 4));
    EXPECT(!getsockname(l, (void *)&a, &len) && a.sin_port);
    pid = fork();
    if (!pid) {
        int c = socket(AF_INET, SOCK_STREAM, 0);

        if (connect(c, (void *)&a, sizeof(a)))
            _exit(1);
        for (int i = 0; i < 16; i++)
            if (write(c, buf, sizeof(buf)) != sizeof(buf))
                _exit(2);
        shutdown(c, SHUT_WR);
        _exit(read(c, buf, 8) == 4 ? 0 : 3);
    }
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0);
    while ((n = read(s, buf, sizeof(buf))) > 0)
        total += n;
    EXPECT(n == 0 && total == 1 << 20 && write(s, "done", 4) == 4);
    close(s);
    EXPECT(status_of(pid) == 0);
    close(l);
    EXPECT_ERR(connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof(a)), ECONNREFUSED);
}

TEST(loopback_datagrams_answer_their_sender)
{
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}, from;
    int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t len = sizeof(a);
    char buf[16];

    EXPECT(!bind(r, (void *)&a, sizeof(a)) && !getsockname(r, (void *)&a, &len));
    EXPECT(sendto(s, "question", 8, 0, (void *)&a, sizeof(a)) == 8);
    len = sizeof(from);
    EXPECT(recvfrom(r, buf, 16, 0, (void *)&from, &len) == 8 && len == sizeof(from));
    EXPECT(sendto(r, "answer", 6, 0, (void *)&from, len) == 6);
    EXPECT(recv(s, buf, 16, 0) == 6 && !memcmp(buf, "answer", 6));
}

TEST(a_peer_that_closes_is_told_of_in_the_order_of_linux)
{
    int s[2];
    char buf[8];

    signal(SIGPIPE, SIG_IGN);
    EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    EXPECT(send(s[1], "abc", 3, 0) == 3 && send(s[0], "x", 1, 0) == 1 && !close(s[1]));
    EXPECT(read(s[0], buf, 8) == 3); /* bytes first, then the reset: it left ours unread */
    EXPECT_ERR(read(s[0], buf, 8), ECONNRESET);
    EXPECT(read(s[0], buf, 8) == 0);
    EXPECT(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s));
    EXPECT(send(s[1], "abc", 3, 0) == 3 && send(s[0], "x", 1, 0) == 1 && !close(s[1]));
    EXPECT_ERR(read(s[0], buf, 8), ECONNRESET); /* packets: the reset first */
    EXPECT(read(s[0], buf, 8) == 3 && read(s[0], buf, 8) == 0);
    EXPECT(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) && !close(s[1]));
    EXPECT_ERR(write(s[0], "x", 1), ECONNREFUSED);
    EXPECT_ERR(write(s[0], "x", 1), ENOTCONN); /* the connected no longer */
    EXPECT(!shutdown(s[0], SHUT_RD));
    EXPECT_ERR(read(s[0], buf, 8), EAGAIN);
}

TEST(nonblocking_connect_answers_later)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct pollfd p = {.events = POLLOUT};
    socklen_t n = sizeof(a);
    int err = 1, l = socket(AF_INET, SOCK_STREAM, 0);

    EXPECT(bind(l, (struct sockaddr *)&a, n) == 0 && listen(l, 5) == 0);
    EXPECT(getsockname(l, (struct sockaddr *)&a, &n) == 0);
    p.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_ERR(connect(p.fd, (struct sockaddr *)&a, n), EINPROGRESS);
    EXPECT(poll(&p, 1, -1) == 1 && p.revents == POLLOUT);
    n = sizeof(err);
    EXPECT(getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == 0);
    int s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && write(p.fd, "x", 1) == 1 && read(s, &err, 1) == 1);
    close(l);
    p.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_ERR(connect(p.fd, (struct sockaddr *)&a, sizeof(a)), EINPROGRESS);
    EXPECT(poll(&p, 1, -1) == 1 && (p.revents & (POLLOUT | POLLERR)) == (POLLOUT | POLLERR));
    EXPECT(getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == ECONNREFUSED);
}

TEST(descriptors_in_two_control_messages)
{
    union {
        char buf[2 * CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u = {{0}};
    struct iovec iov = {"x", 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof(u)};
    int sv[2], fds[2] = {dup(0), dup(1)}, got = 0;
    char c;

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    for (int i = 0; i < 2; i++, h = CMSG_NXTHDR(&m, h)) {
        *h = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(h), &fds[i], sizeof(int));
    }
    EXPECT(sendmsg(sv[0], &m, 0) == 1);
    iov = (struct iovec){&c, 1};
    m.msg_controllen = sizeof(u);
    EXPECT(recvmsg(sv[1], &m, 0) == 1 && !(m.msg_flags & MSG_CTRUNC));
    for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
        got += (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    EXPECT(got == 2);
}
