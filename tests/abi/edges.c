/* SPDX-License-Identifier: MIT
 *
 * Who was refused space by a stream is told once there is some, though it never asks by poll: an
 * edge of epoll's. On each kind of stream, by each call that writes.
 */
#include "abi.h"
#include "two_hosts.h"
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define PIECE 50000
static char piece[PIECE];

typedef ssize_t write_call(int fd);

static ssize_t by_write(int fd)
{
    return write(fd, piece, PIECE);
}

static ssize_t by_sendmsg(int fd)
{
    struct iovec v[2] = {{piece, PIECE / 2}, {piece, PIECE / 2}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static int blob = -1;

static ssize_t by_sendfile(int fd)
{
    off_t at = 0;

    return sendfile(fd, blob, &at, PIECE);
}

/* Until it takes no more: how many bytes. */
static size_t fill(int fd, write_call *call)
{
    size_t sum = 0;
    ssize_t n;

    while ((n = call(fd)) > 0)
        sum += (size_t)n;
    EXPECT(n == -1 && errno == EAGAIN);
    return sum;
}

static void drain(int fd, size_t n)
{
    static char got[65536];

    while (n) {
        ssize_t now = read(fd, got, n < sizeof(got) ? n : sizeof(got));

        EXPECT(now > 0);
        n -= (size_t)now;
    }
}

static void edges_of(int writer, int reader, write_call *call)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET}, got;
    int ep = epoll_create1(0);

    EXPECT(!fcntl(writer, F_SETFL, O_NONBLOCK) && !fcntl(reader, F_SETFL, 0));
    EXPECT(!epoll_ctl(ep, EPOLL_CTL_ADD, writer, &e));
    EXPECT(epoll_wait(ep, &got, 1, -1) == 1 && got.events == EPOLLOUT);
    for (int i = 0; i < 3; i++) {
        drain(reader, fill(writer, call));
        EXPECT(epoll_wait(ep, &got, 1, -1) == 1 && got.events == EPOLLOUT);
    }
    close(ep);
}

/* Small buffers are soon full. */
static void edges_by_all(int writer, int reader)
{
    int small = 1 << 16;

    setsockopt(writer, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    setsockopt(reader, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    edges_of(writer, reader, by_write);
    edges_of(writer, reader, by_sendmsg);
    blob = memfd_create("blob", 0);
    EXPECT(blob >= 0 && !ftruncate(blob, PIECE));
    edges_of(writer, reader, by_sendfile);
}

TEST(edge_of_space_between_hosts)
{
    int a, b, server, client;

    two_hosts(&a, &b);
    two_hosts_connect(a, b, &server, &client);
    edges_by_all(server, client);
    edges_by_all(client, server);
}

TEST(edge_of_space_on_one_host)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int l = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server;
    socklen_t n = sizeof(at);

    EXPECT(!bind(l, (void *)&at, sizeof(at)) && !listen(l, 8) && !getsockname(l, (void *)&at, &n));
    EXPECT(!connect(client, (void *)&at, sizeof(at)));
    server = accept(l, NULL, NULL);
    EXPECT(server >= 0);
    edges_by_all(server, client);
    edges_by_all(client, server);
}

TEST(edge_of_space_of_a_unix_socket)
{
    int s[2];

    EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    edges_by_all(s[0], s[1]);
}

TEST(edge_of_space_of_a_pipe)
{
    int p[2];

    EXPECT(!pipe(p));
    edges_of(p[1], p[0], by_write);
}

/* The edge is not lost when the space comes while the call that was refused returns. */
TEST(edge_of_space_is_never_lost_between_hosts)
{
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, got;
    int a, b, server, client, ep = epoll_create1(0);
    size_t left = 5 << 20;
    pid_t reader;

    two_hosts(&a, &b);
    two_hosts_connect(a, b, &server, &client);
    reader = fork();
    EXPECT(reader >= 0);
    if (!reader) {
        drain(client, left);
        _exit(0);
    }
    EXPECT(!fcntl(server, F_SETFL, O_NONBLOCK));
    EXPECT(!epoll_ctl(ep, EPOLL_CTL_ADD, server, &e));
    while (left) {
        ssize_t n = write(server, piece, left < PIECE ? left : PIECE);

        EXPECT(n > 0 || (n == -1 && errno == EAGAIN));
        if (n < 0)
            EXPECT(epoll_wait(ep, &got, 1, -1) == 1);
        else
            left -= (size_t)n;
    }
    EXPECT(waitpid(reader, NULL, 0) == reader);
}
