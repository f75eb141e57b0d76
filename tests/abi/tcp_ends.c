/* SPDX-License-Identifier: MIT
 *
 * How a TCP connection ends on the loopback: a close ends one direction, what is sent after it is
 * answered by a reset, and each end is told in its own way.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "abi.h"

#define ENDED (POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT)

static void pair_of(int s[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGPIPE, SIG_IGN);
    s[0] = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 1) == 0);
    EXPECT(getsockname(l, (void *)&a, &n) == 0 && connect(s[0], (void *)&a, sizeof(a)) == 0);
    s[1] = accept(l, NULL, NULL);
    EXPECT(s[1] >= 0 && close(l) == 0);
}

static int events(int s)
{
    struct pollfd p = {.fd = s, .events = ENDED};

    EXPECT(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static int error_of(int s)
{
    int v = -1;
    socklen_t n = sizeof(v);

    EXPECT(getsockopt(s, SOL_SOCKET, SO_ERROR, &v, &n) == 0);
    return v;
}

TEST(first_bytes_after_the_peers_close_are_taken_and_answered_by_a_reset)
{
    char buf[8];
    int s[2];

    pair_of(s);
    EXPECT(close(s[0]) == 0);
    EXPECT(events(s[1]) == ENDED);
    EXPECT(send(s[1], "", 0, 0) == 0);
    EXPECT(send(s[1], "x", 1, 0) == 1);
    EXPECT(events(s[1]) == (ENDED | POLLERR | POLLHUP));
    EXPECT(read(s[1], buf, 8) == 0);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
    EXPECT(events(s[1]) == (ENDED | POLLHUP));
    EXPECT_ERR(send(s[1], "", 0, 0), EPIPE);
    EXPECT(read(s[1], buf, 8) == 0);
}

TEST(bytes_sent_before_a_close_are_read_after_a_reset_and_its_error_is_told_once)
{
    char buf[8];
    int s[2];

    pair_of(s);
    EXPECT(write(s[0], "abc", 3) == 3 && close(s[0]) == 0);
    EXPECT(send(s[1], "x", 1, 0) == 1);
    EXPECT(error_of(s[1]) == EPIPE && error_of(s[1]) == 0);
    EXPECT(read(s[1], buf, 8) == 3 && read(s[1], buf, 8) == 0);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
}

TEST(close_with_unread_bytes_is_a_reset_that_a_writer_is_told)
{
    char buf[8];
    int s[2];

    pair_of(s);
    EXPECT(write(s[1], "abc", 3) == 3 && close(s[0]) == 0);
    EXPECT(events(s[1]) == (ENDED | POLLERR | POLLHUP));
    EXPECT_ERR(send(s[1], "x", 1, 0), ECONNRESET);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
    EXPECT(read(s[1], buf, 8) == 0);
}

TEST(end_that_reads_no_more_still_takes_bytes)
{
    char buf[8];
    int s[2];

    pair_of(s);
    EXPECT(shutdown(s[0], SHUT_RD) == 0);
    EXPECT(events(s[1]) == POLLOUT);
    EXPECT(send(s[1], "x", 1, 0) == 1 && send(s[1], "y", 1, 0) == 1);
    EXPECT(read(s[0], buf, 8) >= 1);
    EXPECT(write(s[0], "z", 1) == 1 && read(s[1], buf, 8) == 1 && buf[0] == 'z');
}

TEST(sender_to_an_end_that_reads_no_more_waits_for_space)
{
    static char block[65536];
    int s[2], n = 0;

    pair_of(s);
    EXPECT(shutdown(s[0], SHUT_RD) == 0);
    while (n < 4096 && send(s[1], block, sizeof(block), MSG_DONTWAIT) > 0)
        n++;
    EXPECT_ERR(send(s[1], block, sizeof(block), MSG_DONTWAIT), EAGAIN);
    EXPECT(!(events(s[1]) & POLLOUT));
}

TEST(large_write_to_a_closed_peer_is_not_all_sent)
{
    enum { parts = 64, part = 1 << 20 };
    struct iovec v[parts];
    char *block = calloc(1, part);
    ssize_t sent;
    int s[2];

    EXPECT(block != NULL);
    for (int i = 0; i < parts; i++)
        v[i] = (struct iovec){block, part};
    pair_of(s);
    EXPECT(close(s[0]) == 0);
    sent = writev(s[1], v, parts);
    EXPECT(sent > 0 && sent < (ssize_t)parts * part);
    EXPECT_ERR(writev(s[1], v, parts), EPIPE);
}

TEST(bytes_for_an_end_shut_down_both_ways_reset_both_ends)
{
    char buf[8];
    int s[2];

    pair_of(s);
    EXPECT(shutdown(s[0], SHUT_RDWR) == 0);
    EXPECT(events(s[1]) == ENDED);
    EXPECT(send(s[1], "x", 1, 0) == 1);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
    EXPECT_ERR(read(s[0], buf, 8), ECONNRESET);
    EXPECT(read(s[1], buf, 8) == 0);
}

TEST(end_that_writes_no_more_still_reads)
{
    char buf[8];
    int s[2];

    pair_of(s);
    EXPECT(shutdown(s[0], SHUT_WR) == 0);
    EXPECT(read(s[1], buf, 8) == 0 && send(s[1], "x", 1, 0) == 1);
    EXPECT(read(s[0], buf, 8) == 1 && error_of(s[1]) == 0);
    EXPECT_ERR(send(s[0], "x", 1, 0), EPIPE);
}

static int disconnect(int s)
{
    struct sockaddr a = {.sa_family = AF_UNSPEC};

    return connect(s, &a, sizeof(a));
}

/* A new connection of s, which has left its own: the other end. */
static int again(int s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0), other;

    EXPECT(bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 1) == 0);
    EXPECT(getsockname(l, (void *)&a, &n) == 0 && connect(s, (void *)&a, sizeof(a)) == 0);
    other = accept(l, NULL, NULL);
    EXPECT(other >= 0 && close(l) == 0);
    return other;
}

static void joined(int a, int b)
{
    char buf[8];

    EXPECT_ERR(recv(a, buf, 8, MSG_DONTWAIT), EAGAIN);
    EXPECT(write(a, "abc", 3) == 3 && read(b, buf, 8) == 3);
    EXPECT(write(b, "abcd", 4) == 4 && read(a, buf, 8) == 4);
    EXPECT(events(a) == POLLOUT && events(b) == POLLOUT);
}

TEST(end_that_left_its_peer_is_reached_by_it_no_more)
{
    char buf[8];
    int s[2], other;

    pair_of(s);
    EXPECT(write(s[0], "abc", 3) == 3 && disconnect(s[0]) == 0);
    EXPECT(events(s[1]) == (ENDED | POLLERR | POLLHUP));
    EXPECT_ERR(send(s[1], "x", 1, 0), ECONNRESET);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
    other = again(s[0]);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
    EXPECT_ERR(shutdown(s[1], SHUT_WR), ENOTCONN);
    joined(s[0], other);
    EXPECT(close(s[1]) == 0);
    joined(s[0], other);
    EXPECT_ERR(recv(other, buf, 8, MSG_DONTWAIT), EAGAIN);
}

TEST(ends_that_leave_each_other_at_once_both_connect_again)
{
    int s[2], other[2];

    pair_of(s);
    EXPECT(disconnect(s[0]) == 0 && disconnect(s[1]) == 0);
    for (int i = 0; i < 2; i++)
        other[i] = again(s[i]);
    joined(s[0], other[0]);
    joined(s[1], other[1]);
}

TEST(closed_peer_of_a_unix_stream_is_told_at_once)
{
    int s[2];

    EXPECT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && close(s[0]) == 0);
    EXPECT(events(s[1]) == (ENDED | POLLHUP));
    EXPECT_ERR(send(s[1], "", 0, 0), EPIPE);
    EXPECT_ERR(send(s[1], "x", 1, 0), EPIPE);
}
