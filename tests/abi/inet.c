/* SPDX-License-Identifier: MIT
 *
 * IPv4 on the loopback: who may have which name, who hears what, options as servers set and read
 * them.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "abi.h"
#include "inet.h"

static struct sockaddr_in at4(const char *ip, int port)
{
    socklen_t n;

    return at(ip, port, &n).in;
}

static int tcp(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int udp(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int listener(const char *ip)
{
    int l = tcp();

    EXPECT(bind_at(l, ip, 0) == 0 && listen(l, 8) == 0);
    return l;
}

/* ------------------------------------------------------------- names */

TEST(names_conflict_as_on_linux)
{
    int a = tcp(), b = tcp(), c = tcp(), d = udp(), port;

    EXPECT(bind_at(a, "127.0.0.1", 0) == 0 && (port = port_of(a)) >= 32768);
    EXPECT_ERR(bind_at(b, "127.0.0.1", port), EADDRINUSE);
    EXPECT_ERR(bind_at(b, "0.0.0.0", port), EADDRINUSE);
    EXPECT(bind_at(b, "127.0.0.2", port) == 0);
    EXPECT_ERR(bind_at(b, "127.0.0.3", port), EINVAL); /* it has a name */
    EXPECT(bind_at(d, "0.0.0.0", port) == 0);          /* another kind */
    close(a);
    EXPECT_ERR(bind_at(c, "0.0.0.0", port), EADDRINUSE); /* b */
    EXPECT(bind_at(c, "127.0.0.1", port) == 0);
    EXPECT_ERR(bind_at(tcp(), "10.1.2.3", 0), EADDRNOTAVAIL);
}

TEST(reuse_of_an_address_ends_with_a_listener)
{
    int a = tcp(), b = tcp(), c = tcp(), port;

    set(a, SOL_SOCKET, SO_REUSEADDR, 1);
    set(b, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT(bind_at(a, "127.0.0.1", 0) == 0);
    port = port_of(a);
    EXPECT_ERR(bind_at(c, "127.0.0.1", port), EADDRINUSE);
    EXPECT(bind_at(b, "0.0.0.0", port) == 0);
    EXPECT(listen(a, 1) == 0);
    EXPECT_ERR(listen(b, 1), EADDRINUSE);
    set(c, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT_ERR(bind_at(c, "127.0.0.1", port), EADDRINUSE);
    close(a);
    EXPECT(listen(b, 1) == 0 && connect_at(tcp(), "127.0.0.1", port) == 0);
}

/* Several listeners of one port: each connection goes to one of them, and all get some. */
TEST(listeners_share_a_port)
{
    int l[4], got[4] = {0}, port = 0, total = 0, c[64];

    for (int i = 0; i < 4; i++) {
        l[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        set(l[i], SOL_SOCKET, SO_REUSEPORT, 1);
        EXPECT(bind_at(l[i], "127.0.0.1", port) == 0 && listen(l[i], 100) == 0);
        port = port_of(l[i]);
    }
    EXPECT_ERR(bind_at(tcp(), "127.0.0.1", port), EADDRINUSE);
    for (int i = 0; i < 64; i++)
        EXPECT(connect_at(c[i] = tcp(), "127.0.0.1", port) == 0);
    for (int i = 0; i < 4; i++)
        while (accept(l[i], NULL, NULL) >= 0)
            got[i]++;
    for (int i = 0; i < 4; i++) {
        EXPECT(got[i] > 0);
        total += got[i];
    }
    EXPECT(total == 64);
    for (int i = 0; i < 3; i++)
        close(l[i]);
    for (int i = 0; i < 8; i++)
        EXPECT(connect_at(c[i] = tcp(), "127.0.0.1", port) == 0);
}

TEST(datagrams_of_one_sender_go_to_one_of_those_that_share)
{
    int r[4], port = 0, s[16];
    char c;

    for (int i = 0; i < 4; i++) {
        r[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        set(r[i], SOL_SOCKET, SO_REUSEPORT, 1);
        EXPECT(bind_at(r[i], "127.0.0.1", port) == 0);
        port = port_of(r[i]);
    }
    for (int i = 0; i < 16; i++) {
        s[i] = udp();
        EXPECT(connect_at(s[i], "127.0.0.1", port) == 0);
        for (int k = 0; k < 5; k++)
            EXPECT(send(s[i], "x", 1, 0) == 1);
        int heard = 0;
        for (int k = 0; k < 4; k++) {
            int n = 0;

            while (recv(r[k], &c, 1, 0) == 1)
                n++;
            EXPECT(n == 0 || n == 5);
            heard += n;
        }
        EXPECT(heard == 5);
    }
}

TEST(a_connected_datagram_socket_is_found_by_its_peer_alone)
{
    int v = udp(), t = udp(), x = udp(), port;
    char buf[8];

    EXPECT(bind_at(v, "0.0.0.0", 0) == 0 && bind_at(t, "127.0.0.1", 0) == 0);
    port = port_of(v);
    EXPECT(connect_at(v, "127.0.0.1", port_of(t)) == 0);
    EXPECT(connect_at(x, "127.0.0.1", port) == 0 && send(x, "x", 1, 0) == 1);
    EXPECT_ERR(send(x, "x", 1, 0), ECONNREFUSED); /* nobody hears it there */
    EXPECT_ERR(recv(v, buf, 8, MSG_DONTWAIT), EAGAIN);
    EXPECT(connect_at(t, "127.0.0.1", port) == 0 && send(t, "good", 4, 0) == 4);
    EXPECT(recv(v, buf, 8, MSG_DONTWAIT) == 4);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    EXPECT(connect(v, &none, sizeof(none)) == 0);
    EXPECT_ERR(send(v, "x", 1, 0), EDESTADDRREQ);
}

/* In whatever order n sockets end, beginning with `first`: one of those left hears. */
static void end_in_turn(int n, int first)
{
    int peer = udp(), r[4], port = 0, heard;
    char c;

    EXPECT(bind_at(peer, "127.0.0.1", 0) == 0);
    for (int i = 0; i < n; i++) {
        r[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        set(r[i], SOL_SOCKET, SO_REUSEADDR, 1);
        EXPECT(bind_at(r[i], "127.0.0.1", port) == 0);
        port = port_of(r[i]);
    }
    for (int i = 0; i < n; i++)
        EXPECT(connect_at(r[i], "127.0.0.1", port_of(peer)) == 0);
    EXPECT(connect_at(peer, "127.0.0.1", port) == 0);
    for (int gone = 1; gone < n; gone++) {
        close(r[(first + gone - 1) % n]);
        EXPECT(send(peer, "x", 1, 0) == 1);
        heard = 0;
        for (int i = gone; i < n; i++)
            heard += recv(r[(first + i) % n], &c, 1, 0) == 1;
        EXPECT(heard == 1);
    }
    close(r[(first + n - 1) % n]);
    EXPECT(send(peer, "x", 1, 0) == 1);
    EXPECT_ERR(send(peer, "x", 1, 0), ECONNREFUSED);
    close(peer);
}

TEST(sockets_with_one_name_and_one_peer_end_one_by_one)
{
    for (int n = 2; n <= 4; n++)
        for (int first = 0; first < n; first++)
            end_in_turn(n, first);
}

/* ------------------------------------------------------------- datagrams */

TEST(a_datagram_socket_connects_to_a_closed_port)
{
    int s = udp(), r = udp(), port, err;
    struct pollfd p = {.fd = s, .events = POLLIN};
    char c;

    EXPECT(bind_at(r, "127.0.0.1", 0) == 0);
    port = port_of(r);
    close(r);
    EXPECT(connect_at(s, "127.0.0.1", port) == 0);
    EXPECT(send(s, "x", 1, 0) == 1); /* the answer comes later */
    EXPECT(poll(&p, 1, -1) == 1 && (p.revents & POLLERR));
    EXPECT_ERR(recv(s, &c, 1, 0), ECONNREFUSED);
    EXPECT(send(s, "x", 1, 0) == 1 && poll(&p, 1, -1) == 1);
    EXPECT((err = get(s, SOL_SOCKET, SO_ERROR)) == ECONNREFUSED && !get(s, SOL_SOCKET, SO_ERROR));
    r = udp();
    EXPECT(bind_at(r, "127.0.0.1", port) == 0); /* the peer comes after all */
    EXPECT(send(s, "x", 1, 0) == 1 && recv(r, &c, 1, 0) == 1);
    struct sockaddr_in to = at4("127.0.0.1", 1);
    EXPECT(sendto(udp(), "x", 1, 0, (void *)&to, sizeof(to)) == 1);
    to.sin_port = 0;
    EXPECT_ERR(sendto(udp(), "x", 1, 0, (void *)&to, sizeof(to)), EINVAL);
}

TEST(more_makes_one_datagram)
{
    int s = udp(), r = udp(), other = udp();
    struct sockaddr_in to;
    char buf[64];

    EXPECT(bind_at(r, "127.0.0.1", 0) == 0 && bind_at(other, "127.0.0.1", 0) == 0);
    to = at4("127.0.0.1", port_of(r));
    EXPECT(sendto(s, "one ", 4, MSG_MORE, (void *)&to, sizeof(to)) == 4);
    EXPECT_ERR(recv(r, buf, 64, MSG_DONTWAIT), EAGAIN);
    to.sin_port = htons((uint16_t)port_of(other)); /* the first address stands */
    EXPECT(sendto(s, "two", 3, 0, (void *)&to, sizeof(to)) == 3);
    EXPECT(recv(r, buf, 64, 0) == 7 && !memcmp(buf, "one two", 7));
    EXPECT_ERR(recv(other, buf, 64, MSG_DONTWAIT), EAGAIN);
    EXPECT(connect_at(s, "127.0.0.1", port_of(r)) == 0);
    set(s, IPPROTO_UDP, 1 /* UDP_CORK */, 1);
    EXPECT(write(s, "ab", 2) == 2 && write(s, "cd", 2) == 2);
    EXPECT_ERR(recv(r, buf, 64, MSG_DONTWAIT), EAGAIN);
    set(s, IPPROTO_UDP, 1, 0);
    EXPECT(recv(r, buf, 64, MSG_DONTWAIT) == 4 && !memcmp(buf, "abcd", 4));
}

/* What was gathered is sent by one who shares the socket, while another adds to it: in one datagram
 * or in two, in any order, all of it comes. */
TEST(what_is_gathered_may_be_sent_meanwhile)
{
    int s = udp(), r = udp();
    struct sockaddr_in to;
    char buf[64];

    EXPECT(bind_at(r, "127.0.0.1", 0) == 0);
    to = at4("127.0.0.1", port_of(r));
    delay_at("udp_gather", true);
    for (int i = 0; i < 50; i++) {
        ssize_t n;
        pid_t pid, done;
        int status;

        EXPECT(sendto(s, "one ", 4, MSG_MORE, (void *)&to, sizeof(to)) == 4);
        pid = fork();
        if (pid == 0)
            _exit(sendto(s, "two", 3, 0, (void *)&to, sizeof(to)) != 3);
        while ((done = waitpid(pid, &status, WNOHANG)) == 0)
            set(s, IPPROTO_UDP, 1 /* UDP_CORK */, 0);
        EXPECT(done == pid && status == 0);
        n = recv(r, buf, 64, MSG_DONTWAIT);
        EXPECT(n == 7 || (n > 0 && n + recv(r, buf, 64, MSG_DONTWAIT) == 7));
    }
    delay_at("udp_gather", false);
}

TEST(datagrams_for_a_full_receiver_are_lost)
{
    static char block[8192];
    int s = udp(), r = udp();

    EXPECT(bind_at(r, "127.0.0.1", 0) == 0 && connect_at(s, "127.0.0.1", port_of(r)) == 0);
    for (int i = 0; i < 200; i++)
        EXPECT(send(s, block, sizeof(block), 0) == sizeof(block));
    int n = 0;
    while (recv(r, block, sizeof(block), MSG_DONTWAIT) == sizeof(block))
        n++;
    EXPECT(n > 4 && n < 200);
    EXPECT_ERR(send(s, block, 65508, 0), EMSGSIZE);
}

TEST(a_datagram_tells_its_time_and_destination)
{
    char control[256];
    struct iovec v = {control, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    int s = udp(), r = udp(), seen = 0;
    struct sockaddr_in to;

    EXPECT(bind_at(r, "0.0.0.0", 0) == 0);
    set(r, SOL_SOCKET, SO_TIMESTAMP, 1);
    set(r, IPPROTO_IP, IP_PKTINFO, 1);
    to = at4("127.0.0.7", port_of(r));
    EXPECT(sendto(s, "x", 1, 0, (void *)&to, sizeof(to)) == 1);
    m.msg_control = control + 1;
    m.msg_control = control;
    m.msg_controllen = sizeof(control);
    char byte;
    v.iov_base = &byte;
    EXPECT(recvmsg(r, &m, 0) == 1 && !(m.msg_flags & MSG_CTRUNC));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP) {
            struct timeval t;

            memcpy(&t, CMSG_DATA(c), sizeof(t));
            EXPECT(labs(t.tv_sec - time(NULL)) <= 2);
            seen |= 1;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            EXPECT(info.ipi_ifindex == 1 && info.ipi_addr.s_addr == to.sin_addr.s_addr);
            seen |= 2;
        }
    }
    EXPECT(seen == 3);
}

/* ------------------------------------------------------------- options */

static void expect_default(int s, int level, int name, int v)
{
    int got = get(s, level, name);

    if (got != v)
        printf("# option %d of level %d: %d\n", name, level, got);
    EXPECT(got == v);
}

TEST(options_have_the_first_values_of_linux)
{
    int t = tcp(), u = udp(), x = socket(AF_UNIX, SOCK_STREAM, 0);
    const int zero[] = {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST,  SO_DONTROUTE,
                        SO_OOBINLINE, SO_PRIORITY,  SO_TIMESTAMP, SO_ACCEPTCONN, SO_MARK};

    for (unsigned i = 0; i < sizeof(zero) / sizeof(zero[0]); i++) {
        expect_default(t, SOL_SOCKET, zero[i], 0);
        expect_default(u, SOL_SOCKET, zero[i], 0);
        expect_default(x, SOL_SOCKET, zero[i], 0);
    }
    expect_default(t, SOL_SOCKET, SO_RCVLOWAT, 1);
    expect_default(t, SOL_SOCKET, SO_SNDLOWAT, 1);
    expect_default(u, SOL_SOCKET, SO_SNDBUF, 212992);
    expect_default(t, IPPROTO_TCP, TCP_NODELAY, 0);
    expect_default(t, IPPROTO_TCP, TCP_CORK, 0);
    expect_default(t, IPPROTO_TCP, TCP_KEEPIDLE, 7200);
    expect_default(t, IPPROTO_TCP, TCP_KEEPINTVL, 75);
    expect_default(t, IPPROTO_TCP, TCP_KEEPCNT, 9);
    expect_default(t, IPPROTO_TCP, TCP_SYNCNT, 6);
    expect_default(t, IPPROTO_TCP, TCP_LINGER2, 60);
    expect_default(t, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
    expect_default(t, IPPROTO_TCP, TCP_QUICKACK, 1);
    expect_default(t, IPPROTO_TCP, TCP_MAXSEG, 536);
    expect_default(t, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
    expect_default(t, IPPROTO_TCP, TCP_FASTOPEN, 0);
    expect_default(t, IPPROTO_IP, IP_TOS, 0);
    expect_default(t, IPPROTO_IP, IP_TTL, 64);
    expect_default(u, IPPROTO_IP, IP_MTU_DISCOVER, 1);
    expect_default(u, IPPROTO_IP, IP_MULTICAST_TTL, 1);
    expect_default(u, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
}

TEST(options_keep_what_they_are_set_to)
{
    static const struct {
        int level, name, set, got;
    } o[] = {
        {IPPROTO_TCP, TCP_NODELAY, 5, 1},
        {IPPROTO_TCP, TCP_CORK, 1, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 300, 300},
        {IPPROTO_TCP, TCP_KEEPINTVL, 60, 60},
        {IPPROTO_TCP, TCP_KEEPCNT, 10, 10},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT, 1, 1},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT, 30, 31},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000, 30000},
        {IPPROTO_TCP, TCP_FASTOPEN, 256, 256},
        {IPPROTO_TCP, TCP_LINGER2, -5, -1},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384, 16384},
        {IPPROTO_IP, IP_TOS, 0x10, 0x10},
        {IPPROTO_IP, IP_TTL, 17, 17},
        {IPPROTO_IP, IP_TTL, -1, 64},
        {IPPROTO_IP, IP_FREEBIND, 1, 1},
        {SOL_SOCKET, SO_PRIORITY, 6, 6},
        {SOL_SOCKET, SO_RCVLOWAT, 0, 1},
        {SOL_SOCKET, SO_RCVLOWAT, 100, 100},
        {SOL_SOCKET, SO_REUSEPORT, 7, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1, 1},
        {SOL_SOCKET, SO_SNDBUF, 1000, 4608},
        {SOL_SOCKET, SO_RCVBUF, 100, 2304},
        {SOL_SOCKET, SO_SNDBUF, 65536, 131072},
        {SOL_SOCKET, SO_RCVBUF, 1 << 30, 425984},
    };
    int s = tcp();

    for (unsigned i = 0; i < sizeof(o) / sizeof(o[0]); i++) {
        set(s, o[i].level, o[i].name, o[i].set);
        expect_default(s, o[i].level, o[i].name, o[i].got);
    }
}

TEST(options_refuse_what_linux_refuses)
{
    static const struct {
        int level, name, v, err;
    } o[] = {
        {IPPROTO_TCP, TCP_KEEPIDLE, 0, EINVAL},
        {IPPROTO_TCP, TCP_KEEPCNT, 128, EINVAL},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, -1, EINVAL},
        {IPPROTO_TCP, TCP_MAXSEG, 10, EINVAL},
        {IPPROTO_TCP, TCP_FASTOPEN, -1, EINVAL},
        {IPPROTO_TCP, 200, 1, ENOPROTOOPT},
        {IPPROTO_IP, IP_TTL, 0, EINVAL},
        {IPPROTO_IP, IP_TTL, 256, EINVAL},
        {IPPROTO_IP, IP_MTU_DISCOVER, 6, EINVAL},
        {SOL_SOCKET, SO_TYPE, 1, ENOPROTOOPT},
        {SOL_SOCKET, SO_ERROR, 1, ENOPROTOOPT},
        {SOL_SOCKET, SO_SNDLOWAT, 1, ENOPROTOOPT},
        {SOL_SOCKET, SO_ACCEPTCONN, 1, ENOPROTOOPT},
    };
    int s = tcp(), v = 1;

    for (unsigned i = 0; i < sizeof(o) / sizeof(o[0]); i++)
        EXPECT_ERR(setsockopt(s, o[i].level, o[i].name, &o[i].v, sizeof(int)), o[i].err);
    EXPECT_ERR(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, 2), EINVAL);
    EXPECT_ERR(setsockopt(udp(), IPPROTO_TCP, TCP_NODELAY, &v, 4), ENOPROTOOPT);
    EXPECT_ERR(setsockopt(socket(AF_UNIX, SOCK_STREAM, 0), IPPROTO_TCP, TCP_NODELAY, &v, 4),
               EOPNOTSUPP);
    EXPECT_ERR(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6), ENOENT);
    EXPECT(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0);
    EXPECT(setresuid(1000, 1000, 1000) == 0);
    v = 7;
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_PRIORITY, &v, 4), EPERM);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_MARK, &v, 4), EPERM);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &v, 4), EPERM);
}

TEST(tcp_info_and_linger)
{
    int l = listener("127.0.0.1"), c = tcp(), s;
    struct linger lg = {1, 0};
    struct tcp_info info;
    socklen_t n = sizeof(info);
    char name[16], b;

    EXPECT(getsockopt(c, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_state == TCP_CLOSE);
    EXPECT(connect_at(c, "127.0.0.1", port_of(l)) == 0);
    n = sizeof(info);
    EXPECT(getsockopt(l, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && n > 100);
    EXPECT(info.tcpi_state == TCP_LISTEN && info.tcpi_unacked == 1 && info.tcpi_sacked == 8);
    s = accept(l, NULL, NULL);
    n = sizeof(info);
    EXPECT(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
           info.tcpi_state == TCP_ESTABLISHED);
    n = 16;
    EXPECT(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &n) == 0 && !strcmp(name, "cubic"));
    EXPECT(setsockopt(c, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)) == 0);
    n = sizeof(lg);
    lg.l_onoff = 0;
    EXPECT(getsockopt(c, SOL_SOCKET, SO_LINGER, &lg, &n) == 0 && lg.l_onoff == 1);
    EXPECT(write(c, "x", 1) == 1 && read(s, &b, 1) == 1);
    close(c); /* a reset */
    EXPECT_ERR(read(s, &b, 1), ECONNRESET);
}

TEST(accepted_sockets_have_the_options_of_their_listener)
{
    int l = listener("0.0.0.0"), c = tcp(), s;
    struct sockaddr_in a;
    socklen_t n = sizeof(a);

    set(l, IPPROTO_TCP, TCP_NODELAY, 1);
    set(l, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(l, SOL_SOCKET, SO_RCVBUF, 30000);
    set(l, IPPROTO_TCP, TCP_KEEPIDLE, 33);
    EXPECT(connect_at(c, "127.0.0.9", port_of(l)) == 0 && (s = accept(l, NULL, NULL)) >= 0);
    EXPECT(get(s, IPPROTO_TCP, TCP_NODELAY) == 1 && get(s, SOL_SOCKET, SO_KEEPALIVE) == 1);
    EXPECT(get(s, SOL_SOCKET, SO_RCVBUF) == 60000 && get(s, IPPROTO_TCP, TCP_KEEPIDLE) == 33);
    EXPECT(get(s, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
    EXPECT(getsockname(s, (void *)&a, &n) == 0 && ntohl(a.sin_addr.s_addr) == 0x7f000009);
    EXPECT(getpeername(c, (void *)&a, &n) == 0 && ntohl(a.sin_addr.s_addr) == 0x7f000009);
}

TEST(low_water_holds_a_receiver_back)
{
    int l = listener("127.0.0.1"), c = tcp(), s;
    struct pollfd p = {.events = POLLIN};
    char buf[16];

    EXPECT(connect_at(c, "127.0.0.1", port_of(l)) == 0 && (s = accept(l, NULL, NULL)) >= 0);
    set(c, IPPROTO_TCP, TCP_NODELAY, 1);
    set(s, SOL_SOCKET, SO_RCVLOWAT, 6);
    p.fd = s;
    EXPECT(write(c, "abc", 3) == 3 && poll(&p, 1, 0) == 0);
    EXPECT(write(c, "def", 3) == 3 && poll(&p, 1, -1) == 1);
    EXPECT(recv(s, buf, 16, 0) == 6);
    EXPECT(write(c, "abc", 3) == 3);
    close(c);
    EXPECT(poll(&p, 1, -1) == 1 && recv(s, buf, 16, 0) == 3); /* no more will come */
}

TEST(kinds_of_sockets_that_are_not_there)
{
    EXPECT_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    EXPECT_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_INET, 77, 0), EINVAL);
    EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, 1000), EINVAL);
    EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, -1), EINVAL);
    EXPECT_ERR(socket(-1, SOCK_DGRAM, 0), EAFNOSUPPORT);
    EXPECT_ERR(socket(99, SOCK_DGRAM, 0), EAFNOSUPPORT);
    EXPECT_ERR(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){0}), EOPNOTSUPP);
}

TEST(interfaces_are_told_to_any_socket)
{
    struct ifconf c = {0};
    struct ifreq r[4];
    int s = udp(), u = socket(AF_UNIX, SOCK_DGRAM, 0);

    EXPECT(ioctl(s, SIOCGIFCONF, &c) == 0 && c.ifc_len >= (int)sizeof(r[0]));
    c = (struct ifconf){.ifc_len = sizeof(r), .ifc_req = r};
    EXPECT(ioctl(u, SIOCGIFCONF, &c) == 0 && c.ifc_len >= (int)sizeof(r[0]));
    EXPECT(!strcmp(r[0].ifr_name, "lo"));
    c.ifc_len = sizeof(r[0]) - 1;
    EXPECT(ioctl(s, SIOCGIFCONF, &c) == 0 && c.ifc_len == 0);
    EXPECT(if_nametoindex("lo") == 1);
    EXPECT(ioctl(u, SIOCGIFFLAGS, r) == 0 && (r->ifr_flags & IFF_UP));
    EXPECT_ERR(ioctl(u, SIOCGIFADDR, r), ENOTTY);
    EXPECT(ioctl(s, SIOCGIFADDR, r) == 0);
    EXPECT(unshare(CLONE_NEWNET) == 0); /* there lo is down, and has no address */
    s = udp();
    c.ifc_len = sizeof(r);
    EXPECT(ioctl(s, SIOCGIFCONF, &c) == 0 && c.ifc_len == 0);
    EXPECT_ERR(ioctl(s, SIOCGIFADDR, r), EADDRNOTAVAIL);
}

/* ------------------------------------------------------------- no port is left */

/* Datagram sockets: with streams Linux takes a minute to fill them. */
TEST(no_free_port_is_told_at_once)
{
    struct rlimit r = {1 << 16, 1 << 16};
    struct timespec before, after;
    int n = 0, s;

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0 && unshare(CLONE_NEWNET) == 0);
    s = udp();
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    EXPECT(ioctl(s, SIOCSIFFLAGS, &up) == 0);
    while (bind_at(s = udp(), "127.0.0.1", 0) == 0)
        n++;
    EXPECT(errno == EADDRINUSE && n > 20000);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 5; i++) {
        EXPECT_ERR(bind_at(s, "0.0.0.0", 0), EADDRINUSE);
        EXPECT_ERR(connect_at(s, "127.0.0.1", 80), EAGAIN);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    EXPECT(after.tv_sec - before.tv_sec < 3);
    EXPECT(bind_at(s, "127.0.0.2", 0) == 0); /* at another address there are */
}
