/* SPDX-License-Identifier: MIT
 *
 * Control messages that are sent (cmsg(3)): which a socket looks at, which it judges, which it lets
 * pass.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "abi.h"

/* One byte with one control message; to NULL: to the peer. */
static ssize_t send_with(int s, const struct sockaddr_in *to, int level, int type, const void *data,
                         size_t n)
{
    union {
        char buf[256];
        struct cmsghdr head;
    } control = {{0}};
    struct iovec v = {"x", 1};
    struct msghdr m = {.msg_name = (void *)to,
                       .msg_namelen = to ? sizeof(*to) : 0,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = CMSG_SPACE(n)};

    control.head = (struct cmsghdr){CMSG_LEN(n), level, type};
    memcpy(CMSG_DATA(&control.head), data, n);
    return sendmsg(s, &m, 0);
}

static ssize_t send_number(int s, const struct sockaddr_in *to, int level, int type, int v)
{
    return send_with(s, to, level, type, &v, sizeof(v));
}

static int datagrams(struct sockaddr_in *at)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t n = sizeof(*at);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    EXPECT(bind(s, (void *)at, n) == 0 && getsockname(s, (void *)at, &n) == 0);
    return s;
}

static struct in_pktinfo from_address(const char *source)
{
    struct in_pktinfo info = {.ipi_ifindex = 0};

    inet_pton(AF_INET, source, &info.ipi_spec_dst);
    return info;
}

/* As servers answer that listen at the wildcard: from the address that was asked. */
TEST(a_datagram_comes_from_where_it_is_told)
{
    struct sockaddr_in to, got;
    int r = datagrams(&to), s = socket(AF_INET, SOCK_DGRAM, 0);
    struct in_pktinfo info = from_address("127.0.0.9");
    socklen_t n = sizeof(got);
    char byte;

    EXPECT(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)) == 1);
    EXPECT(recvfrom(r, &byte, 1, 0, (void *)&got, &n) == 1);
    EXPECT(got.sin_addr.s_addr == info.ipi_spec_dst.s_addr);
    /* The next one does not. */
    EXPECT(sendto(s, "x", 1, 0, (void *)&to, sizeof(to)) == 1);
    EXPECT(recvfrom(r, &byte, 1, 0, (void *)&got, &n) == 1);
    EXPECT(got.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    info = from_address("0.0.0.0");
    info.ipi_ifindex = 1;
    EXPECT(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)) == 1);
    EXPECT(recvfrom(r, &byte, 1, 0, (void *)&got, &n) == 1);
    EXPECT(got.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

TEST(a_connected_receiver_hears_the_address_it_is_told)
{
    struct sockaddr_in to, peer = {.sin_family = AF_INET}, own;
    int r = datagrams(&to), s = socket(AF_INET, SOCK_DGRAM, 0);
    struct in_pktinfo info = from_address("127.0.0.9");
    socklen_t n = sizeof(own);
    char byte;

    EXPECT(bind(s, (void *)&peer, sizeof(peer)) == 0 && getsockname(s, (void *)&own, &n) == 0);
    own.sin_addr = info.ipi_spec_dst;
    EXPECT(connect(r, (void *)&own, sizeof(own)) == 0);
    EXPECT(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)) == 1);
    EXPECT(recv(r, &byte, 1, 0) == 1);
    EXPECT(sendto(s, "x", 1, 0, (void *)&to, sizeof(to)) == 1);
    EXPECT_ERR(recv(r, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(what_a_datagram_says_of_itself_is_judged)
{
    struct sockaddr_in to;
    int r = datagrams(&to), s = socket(AF_INET, SOCK_DGRAM, 0);
    struct in_pktinfo info = from_address("192.0.2.1");

    EXPECT_ERR(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)), ENETUNREACH);
    EXPECT_ERR(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info) - 1), EINVAL);
    info = from_address("255.255.255.255");
    EXPECT_ERR(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)), EINVAL);
    info = from_address("224.0.0.1");
    EXPECT_ERR(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)), EINVAL);
    info = from_address("127.0.0.1");
    info.ipi_ifindex = 4711;
    EXPECT_ERR(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)), ENODEV);
    EXPECT(send_number(s, &to, IPPROTO_IP, IP_TTL, 255) == 1);
    EXPECT_ERR(send_number(s, &to, IPPROTO_IP, IP_TTL, 0), EINVAL);
    EXPECT_ERR(send_number(s, &to, IPPROTO_IP, IP_TTL, 256), EINVAL);
    EXPECT(send_number(s, &to, IPPROTO_IP, IP_TOS, 0x10) == 1);
    EXPECT(send_with(s, &to, IPPROTO_IP, IP_TOS, "\x10", 1) == 1);
    EXPECT_ERR(send_number(s, &to, IPPROTO_IP, IP_TOS, 256), EINVAL);
    EXPECT_ERR(send_number(s, &to, IPPROTO_IP, 99, 1), EINVAL);
    EXPECT_ERR(send_number(s, &to, SOL_SOCKET, 99, 1), EINVAL);
    EXPECT(send_number(s, &to, IPPROTO_TCP, 1, 1) == 1);
    close(r);
}

/* Descriptors and credentials are for unix sockets. */
TEST(what_is_for_other_sockets_passes)
{
    struct ucred cred = {getpid(), 12345, 12345};
    struct sockaddr_in to;
    int r = datagrams(&to), s = socket(AF_INET, SOCK_DGRAM, 0), sv[2];

    EXPECT(setresuid(1000, 1000, 1000) == 0);
    EXPECT(send_number(s, &to, SOL_SOCKET, SCM_RIGHTS, 0) == 1);
    EXPECT(send_with(s, &to, SOL_SOCKET, SCM_CREDENTIALS, &cred, sizeof(cred)) == 1);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    EXPECT(send_number(sv[0], NULL, IPPROTO_IP, IP_TTL, 0) == 1);
    EXPECT(send_number(sv[0], NULL, 4711, 1, 0) == 1);
    EXPECT_ERR(send_number(sv[0], NULL, SOL_SOCKET, 99, 0), EINVAL);
    EXPECT_ERR(send_with(sv[0], NULL, SOL_SOCKET, SCM_CREDENTIALS, &cred, sizeof(cred)), EPERM);
    close(r);
}

TEST(a_stream_looks_at_no_datagrams_messages)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t n = sizeof(at);

    EXPECT(bind(l, (void *)&at, n) == 0 && listen(l, 1) == 0);
    EXPECT(getsockname(l, (void *)&at, &n) == 0 && connect(c, (void *)&at, n) == 0);
    EXPECT(send_number(c, NULL, IPPROTO_IP, IP_TTL, 0) == 1);
    EXPECT(send_number(c, NULL, SOL_SOCKET, SCM_RIGHTS, 4711) == 1);
    EXPECT_ERR(send_number(c, NULL, SOL_SOCKET, 99, 0), EINVAL);
}

/* Gathered datagrams come from where the first part was told. */
TEST(a_gathered_datagram_keeps_its_source)
{
    struct sockaddr_in to, got;
    int r = datagrams(&to), s = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    struct in_pktinfo info = from_address("127.0.0.9");
    socklen_t n = sizeof(got);
    char two[4];

    EXPECT(setsockopt(s, IPPROTO_UDP, 1 /* UDP_CORK */, &on, sizeof(on)) == 0);
    EXPECT(send_with(s, &to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)) == 1);
    EXPECT(sendto(s, "y", 1, 0, (void *)&to, sizeof(to)) == 1);
    on = 0;
    EXPECT(setsockopt(s, IPPROTO_UDP, 1, &on, sizeof(on)) == 0);
    EXPECT(recvfrom(r, two, sizeof(two), 0, (void *)&got, &n) == 2 && !memcmp(two, "xy", 2));
    EXPECT(got.sin_addr.s_addr == info.ipi_spec_dst.s_addr);
}

/* A descriptor that only names a file is passed like any other. */
TEST(names_travel_as_descriptors)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control;
    char byte;
    struct iovec v = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int sv[2], fd = open("/proc/self", O_PATH | O_DIRECTORY), got;

    EXPECT(fd >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    EXPECT(send_number(sv[0], NULL, SOL_SOCKET, SCM_RIGHTS, fd) == 1);
    EXPECT(recvmsg(sv[1], &m, 0) == 1 && control.head.cmsg_type == SCM_RIGHTS);
    memcpy(&got, CMSG_DATA(&control.head), sizeof(got));
    EXPECT(got > sv[1] && (fcntl(got, F_GETFL) & O_PATH));
    EXPECT_ERR(read(got, &byte, 1), EBADF);
    EXPECT(faccessat(got, "status", F_OK, 0) == 0);
}

TEST(a_wish_for_close_on_exec_is_told_back)
{
    char byte;
    struct iovec v = {&byte, 1};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_flags = MSG_OOB};
    struct mmsghdr many = {h, 0};
    int s[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && write(s[0], "abc", 3) == 3);
    EXPECT(recvmsg(s[1], &h, MSG_CMSG_CLOEXEC) == 1 && h.msg_flags == MSG_CMSG_CLOEXEC);
    EXPECT(recvmsg(s[1], &h, 0) == 1 && h.msg_flags == 0);
    EXPECT(recvmmsg(s[1], &many, 1, MSG_CMSG_CLOEXEC, NULL) == 1 &&
           many.msg_hdr.msg_flags == MSG_CMSG_CLOEXEC);
}

TEST(control_messages_are_for_sockets)
{
    int fds[2];

    EXPECT(pipe(fds) == 0);
    EXPECT_ERR(send_number(fds[1], NULL, SOL_SOCKET, 99, 0), ENOTSOCK);
    EXPECT_ERR(send_number(4711, NULL, SOL_SOCKET, 99, 0), EBADF);
}
