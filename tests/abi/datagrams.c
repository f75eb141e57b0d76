/* SPDX-License-Identifier: MIT
 *
 * Datagrams: what their headers say, several in one call, and errors that come back for them.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <netinet/udp.h>

#include "inet.h"

#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#define SIDES 2

static const struct side {
    int family;
    const char *ip;
    int level, recverr;
} sides[SIDES] = {{AF_INET, "127.0.0.1", IPPROTO_IP, IP_RECVERR},
                  {AF_INET6, "::1", IPPROTO_IPV6, IPV6_RECVERR}};

static int udp(const struct side *side)
{
    int s = socket(side->family, SOCK_DGRAM, 0);

    EXPECT(s >= 0);
    return s;
}

/* A pair: *from is connected to the one that is returned. */
static int pair(const struct side *side, int *from)
{
    int to = udp(side);

    EXPECT(bind_at(to, side->ip, 0) == 0);
    *from = udp(side);
    EXPECT(connect_at(*from, side->ip, port_of(to)) == 0);
    return to;
}

struct got {
    ssize_t n;
    int flags;
    union name from;
    char data[2048];
    char control[512];
    struct msghdr h;
    struct iovec iov;
};

static void receive(int s, int flags, struct got *g)
{
    memset(g, 0, sizeof(*g));
    g->iov = (struct iovec){g->data, sizeof(g->data)};
    g->h = (struct msghdr){.msg_name = &g->from,
                           .msg_namelen = sizeof(g->from),
                           .msg_iov = &g->iov,
                           .msg_iovlen = 1,
                           .msg_control = g->control,
                           .msg_controllen = sizeof(g->control)};
    g->n = recvmsg(s, &g->h, flags);
    g->flags = g->h.msg_flags;
}

/* The data of a control message, n bytes of it; NULL: there is none. */
static const void *control_of(struct got *g, int level, int type, size_t n)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&g->h); c; c = CMSG_NXTHDR(&g->h, c))
        if (c->cmsg_level == level && c->cmsg_type == type) {
            EXPECT(c->cmsg_len == CMSG_LEN(n));
            return CMSG_DATA(c);
        }
    return NULL;
}

static int int_of(struct got *g, int level, int type)
{
    const int *v = control_of(g, level, type, sizeof(int));

    EXPECT(v);
    return *v;
}

/* Sends one byte with a control message. */
static void send_with(int s, int level, int type, const void *data, size_t n)
{
    char control[64] = {0};
    struct iovec iov = {"x", 1};
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(n);
    memcpy(CMSG_DATA(c), data, n);
    EXPECT(sendmsg(s, &h, 0) == 1);
}

/* One byte arrives, whose IPv6 header had so many hops and that class. */
static void expect_header6(int to, int hops, int class)
{
    struct got g;

    receive(to, 0, &g);
    EXPECT(g.n == 1 && int_of(&g, IPPROTO_IPV6, IPV6_HOPLIMIT) == hops);
    EXPECT(int_of(&g, IPPROTO_IPV6, IPV6_TCLASS) == class);
}

/* The same of IPv4. */
static void expect_header4(int to, int ttl, int tos)
{
    struct got g;

    receive(to, 0, &g);
    EXPECT(g.n == 1 && int_of(&g, IPPROTO_IP, IP_TTL) == ttl);
    EXPECT(*(const uint8_t *)control_of(&g, IPPROTO_IP, IP_TOS, 1) == tos);
}

TEST(hops_and_class_are_what_the_sender_says)
{
    int from, to = pair(&sides[0], &from);
    int ttl = 9, tos = 0x48;

    set(to, IPPROTO_IP, IP_RECVTTL, 1);
    set(to, IPPROTO_IP, IP_RECVTOS, 1);
    EXPECT(send(from, "x", 1, 0) == 1);
    expect_header4(to, 64, 0);
    set(from, IPPROTO_IP, IP_TTL, 7);
    set(from, IPPROTO_IP, IP_TOS, 0x10);
    EXPECT(send(from, "x", 1, 0) == 1);
    expect_header4(to, 7, 0x10);
    send_with(from, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    expect_header4(to, 9, 0x10);
    send_with(from, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
    expect_header4(to, 7, 0x48);
}

TEST(hops_and_class_of_ipv6_are_what_the_sender_says)
{
    int from, to = pair(&sides[1], &from);
    int hops = 9;

    set(to, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    set(to, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set(from, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 7);
    set(from, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
    EXPECT(send(from, "x", 1, 0) == 1);
    expect_header6(to, 7, 0x20);
    send_with(from, IPPROTO_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
    expect_header6(to, 9, 0x20);
}

/* RFC 2292's numbers, under which musl and busybox know some of them. */
TEST(options_of_the_older_advanced_interface_are_known)
{
    int from, to = pair(&sides[1], &from);
    int hops = 9;
    struct got g;

    set(to, IPPROTO_IPV6, IPV6_2292HOPLIMIT, 1);
    set(to, IPPROTO_IPV6, IPV6_2292PKTINFO, 1);
    send_with(from, IPPROTO_IPV6, IPV6_2292HOPLIMIT, &hops, sizeof(hops));
    receive(to, 0, &g);
    EXPECT(g.n == 1 && int_of(&g, IPPROTO_IPV6, IPV6_2292HOPLIMIT) == 9);
    EXPECT(control_of(&g, IPPROTO_IPV6, IPV6_2292PKTINFO, sizeof(struct in6_pktinfo)));
}

TEST(the_destination_is_told_with_its_port)
{
    int from, to = pair(&sides[0], &from);
    const struct sockaddr_in *a;
    struct got g;

    set(to, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
    EXPECT(send(from, "x", 1, 0) == 1);
    receive(to, 0, &g);
    a = control_of(&g, IPPROTO_IP, IP_ORIGDSTADDR, sizeof(*a));
    EXPECT(a && ntohs(a->sin_port) == port_of(to) && a->sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

static void expect_refused(const struct side *side)
{
    int s = udp(side), closed = udp(side), port;
    const struct sock_extended_err *e;
    size_t size = sizeof(*e) + (side->family == AF_INET ? 16 : 28);
    struct pollfd p = {.fd = s, .events = POLLIN};
    const union name *offender;
    union name to;
    struct got g;
    socklen_t n;

    EXPECT(bind_at(closed, side->ip, 0) == 0);
    port = port_of(closed);
    close(closed);
    set(s, side->level, side->recverr, 1);
    to = at(side->ip, port, &n);
    receive(s, MSG_ERRQUEUE, &g);
    EXPECT(g.n == -1 && errno == EAGAIN);
    EXPECT(sendto(s, "hello", 5, 0, &to.sa, n) == 5);
    EXPECT(poll(&p, 1, -1) == 1 && (p.revents & POLLERR));
    EXPECT_ERR(sendto(s, "again", 5, 0, &to.sa, n), ECONNREFUSED); /* once */
    EXPECT(poll(&p, 1, 0) == 1 && (p.revents & POLLERR));          /* the queue is not empty */
    receive(s, MSG_ERRQUEUE, &g);
    EXPECT(g.n == 5 && memcmp(g.data, "hello", 5) == 0 && (g.flags & MSG_ERRQUEUE));
    EXPECT(g.h.msg_namelen == n && ntohs(g.from.in.sin_port) == port);
    e = control_of(&g, side->level, side->recverr, size);
    EXPECT(e && e->ee_errno == ECONNREFUSED && e->ee_info == 0 && e->ee_data == 0);
    if (side->family == AF_INET)
        EXPECT(e->ee_origin == SO_EE_ORIGIN_ICMP && e->ee_type == 3 && e->ee_code == 3);
    else
        EXPECT(e->ee_origin == SO_EE_ORIGIN_ICMP6 && e->ee_type == 1 && e->ee_code == 4);
    offender = (const union name *)SO_EE_OFFENDER(e);
    EXPECT(offender->sa.sa_family == side->family && offender->in.sin_port == 0);
    EXPECT(poll(&p, 1, 0) == 0);
}

TEST(an_error_that_was_asked_for_comes_with_what_was_sent)
{
    for (unsigned i = 0; i < SIDES; i++)
        expect_refused(&sides[i]);
}

TEST(the_next_error_is_pending_once_one_was_read)
{
    int s = udp(&sides[0]), err = -1;
    socklen_t n = sizeof(err);
    struct got g;

    set(s, IPPROTO_IP, IP_RECVERR, 1);
    EXPECT(connect_at(s, "127.0.0.1", 1) == 0);
    for (int i = 0; i < 2; i++) {
        EXPECT(send(s, "x", 1, 0) == 1);
        EXPECT(getsockopt(s, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == ECONNREFUSED);
    }
    receive(s, MSG_ERRQUEUE, &g);
    EXPECT(g.n == 1);
    EXPECT(getsockopt(s, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == ECONNREFUSED);
    receive(s, MSG_ERRQUEUE, &g);
    EXPECT(g.n == 1);
    EXPECT(getsockopt(s, SOL_SOCKET, SO_ERROR, &err, &n) == 0 && err == 0);
}

static void send_segments(const struct side *side, bool together)
{
    int from, to = pair(side, &from);
    struct pollfd p = {.fd = to, .events = POLLIN};
    char data[250];
    struct got g;

    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (char)i;
    set(from, IPPROTO_UDP, UDP_SEGMENT, 100);
    EXPECT(get(from, IPPROTO_UDP, UDP_SEGMENT) == 100);
    if (together)
        set(to, IPPROTO_UDP, UDP_GRO, 1);
    EXPECT(send(from, data, sizeof(data), 0) == sizeof(data));
    for (unsigned at = 0; at < sizeof(data); at += together ? 250 : 100) {
        size_t want = together ? 250 : at == 200 ? 50 : 100;

        EXPECT(poll(&p, 1, -1) == 1);
        receive(to, 0, &g);
        EXPECT((size_t)g.n == want && memcmp(g.data, data + at, want) == 0);
        if (together)
            EXPECT(int_of(&g, IPPROTO_UDP, UDP_GRO) == 100);
    }
    EXPECT(send(from, data, 70, 0) == 70); /* no more than a segment: one as ever */
    receive(to, 0, &g);
    EXPECT(g.n == 70 && !control_of(&g, IPPROTO_UDP, UDP_GRO, sizeof(int)));
}

TEST(one_call_sends_several_datagrams)
{
    for (unsigned i = 0; i < SIDES; i++)
        send_segments(&sides[i], false);
}

TEST(several_datagrams_come_in_one_call)
{
    for (unsigned i = 0; i < SIDES; i++)
        send_segments(&sides[i], true);
}

TEST(segments_are_of_a_bounded_number)
{
    int from, to = pair(&sides[0], &from);
    static char data[1000];

    set(from, IPPROTO_UDP, UDP_SEGMENT, 1);
    EXPECT(send(from, data, 64, 0) == 64);
    EXPECT_ERR(send(from, data, 1000, 0), EINVAL);
    EXPECT_ERR(setsockopt(from, IPPROTO_UDP, UDP_SEGMENT, &(int){65536}, sizeof(int)), EINVAL);
    EXPECT_ERR(setsockopt(from, IPPROTO_UDP, UDP_SEGMENT, &(int){-1}, sizeof(int)), EINVAL);
    close(to);
}

TEST(a_control_message_says_the_segments)
{
    int from, to = pair(&sides[0], &from);
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec iov = {"abcdef", 6};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    struct got g;

    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    *(uint16_t *)CMSG_DATA(c) = 4;
    EXPECT(sendmsg(from, &h, 0) == 6);
    receive(to, 0, &g);
    EXPECT(g.n == 4 && memcmp(g.data, "abcd", 4) == 0);
    receive(to, 0, &g);
    EXPECT(g.n == 2 && memcmp(g.data, "ef", 2) == 0);
    c->cmsg_len = CMSG_LEN(sizeof(uint32_t));
    EXPECT_ERR(sendmsg(from, &h, 0), EINVAL);
}

TEST(a_socket_is_bound_to_an_interface)
{
    int s = udp(&sides[0]);
    char name[16] = "?";
    socklen_t n = sizeof(name);

    EXPECT(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &n) == 0 && n == 0);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "none0", 6), ENODEV);
    EXPECT(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0);
    n = sizeof(name);
    EXPECT(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &n) == 0 && n == 3 &&
           strcmp(name, "lo") == 0);
    n = 4;
    EXPECT_ERR(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &n), EINVAL);
    EXPECT(get(s, SOL_SOCKET, SO_BINDTOIFINDEX) == 1);
    set(s, SOL_SOCKET, SO_BINDTOIFINDEX, 0);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_BINDTOIFINDEX, &(int){-1}, sizeof(int)), EINVAL);
}

TEST(out_of_band_is_nothing_to_datagrams)
{
    int from, to = pair(&sides[0], &from), sv[2];
    char got[4];

    EXPECT(send(from, "x", 1, 0) == 1);
    EXPECT(recv(to, got, sizeof(got), MSG_OOB) == 1);
    EXPECT_ERR(send(from, "x", 1, MSG_OOB), EOPNOTSUPP);
    EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
    EXPECT_ERR(recv(sv[0], got, sizeof(got), MSG_OOB), EOPNOTSUPP);
}

/* UDP-Lite (RFC 3828): its ports are not UDP's, its sum may cover a part. */
static int lite(const struct side *side)
{
    int s = socket(side->family, SOCK_DGRAM, IPPROTO_UDPLITE);

    EXPECT(s >= 0);
    return s;
}

static void lite_talk(const struct side *side)
{
    int to = lite(side), from = lite(side), other = udp(side);
    char got[8] = "";

    EXPECT(bind_at(to, side->ip, 0) == 0);
    EXPECT(bind_at(other, side->ip, port_of(to)) == 0);
    EXPECT(connect_at(from, side->ip, port_of(to)) == 0);
    EXPECT(send(from, "abcd", 4, 0) == 4);
    EXPECT(recv(to, got, sizeof(got), 0) == 4 && memcmp(got, "abcd", 4) == 0);
    EXPECT_ERR(recv(other, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT(get(to, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_UDPLITE);
    close(to);
    EXPECT(send(from, "x", 1, 0) == 1);
    EXPECT_ERR(send(from, "x", 1, 0), ECONNREFUSED);
    close(from);
    close(other);
}

TEST(udp_lite_has_ports_of_its_own)
{
    for (int i = 0; i < SIDES; i++)
        lite_talk(&sides[i]);
}

/* Sends n bytes of which `send` are covered to one that wants `want`: whether they came. */
static bool lite_comes(const struct side *side, int send_most, int want, int n)
{
    int to = lite(side), from = lite(side);
    char got[32];
    bool came;

    EXPECT(bind_at(to, side->ip, 0) == 0);
    EXPECT(connect_at(from, side->ip, port_of(to)) == 0);
    if (want >= 0)
        set(to, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, want);
    set(from, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, send_most);
    EXPECT(send(from, "abcdefghijklmnopqrstuvwxyz", (size_t)n, 0) == n);
    came = recv(to, got, sizeof(got), MSG_DONTWAIT) == n;
    close(to);
    close(from);
    return came;
}

static void lite_covers(const struct side *side)
{
    EXPECT(lite_comes(side, 0, -1, 20));
    EXPECT(lite_comes(side, 8, -1, 20));
    EXPECT(lite_comes(side, 12, 12, 20));
    EXPECT(!lite_comes(side, 12, 13, 20));
    EXPECT(!lite_comes(side, 12, 0, 20));
    EXPECT(lite_comes(side, 12, 0, 4));
    EXPECT(lite_comes(side, 12, 100, 4)); /* all of it is */
    EXPECT(lite_comes(side, 0, 100, 4));
}

TEST(udp_lite_receives_what_is_covered_enough)
{
    for (int i = 0; i < SIDES; i++)
        lite_covers(&sides[i]);
}

/* A filter sees packets, and a socket with one gets them from the wire's side. */
TEST(udp_lite_sums_are_of_what_is_covered)
{
    struct sock_filter all = {BPF_RET | BPF_K, 0, 0, 65535};
    struct sock_fprog program = {1, &all};
    char got[8];

    for (int i = 0; i < SIDES; i++)
        for (int covered = 8; covered <= 14; covered += 3) {
            int to = lite(&sides[i]), from = lite(&sides[i]);

            EXPECT(bind_at(to, sides[i].ip, 0) == 0);
            EXPECT(setsockopt(to, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0);
            EXPECT(connect_at(from, sides[i].ip, port_of(to)) == 0);
            set(from, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, covered);
            EXPECT(send(from, "abcd", 4, 0) == 4);
            EXPECT(recv(to, got, sizeof(got), 0) == 4 && memcmp(got, "abcd", 4) == 0);
            close(to);
            close(from);
        }
}

TEST(udp_lite_s_options_are_bounded)
{
    int s = lite(&sides[0]), u = udp(&sides[0]);

    set(s, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, 3);
    EXPECT(get(s, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV) == 8);
    set(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, -1);
    EXPECT(get(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV) == 8);
    set(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, 100000);
    EXPECT(get(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV) == 65535);
    EXPECT_ERR(setsockopt(u, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, &(int){8}, sizeof(int)),
               ENOPROTOOPT);
}

/* One's sum over n bytes, which is even, in network order. */
static unsigned ones_sum(const unsigned char *at, unsigned n)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < n; i += 2)
        sum += at[i] * 256U + at[i + 1];
    return sum;
}

/* A datagram of 4 bytes over lo whose header says that so many are covered; by: what is added to
 * its sum, 0: right. */
static void lite_by_hand(int raw, int port, unsigned covered, unsigned by, bool none)
{
    unsigned char d[12] = {0,
                           9,
                           (unsigned char)(port >> 8),
                           (unsigned char)port,
                           0,
                           (unsigned char)covered,
                           0,
                           0,
                           'a',
                           'b',
                           'c',
                           'd'};
    unsigned n = covered ? (covered > 12 ? 12 : covered) : 12;
    unsigned sum = 2 * (127 * 256 + 1) + IPPROTO_UDPLITE + 12 + ones_sum(d, n) + by;
    socklen_t len;
    union name to = at("127.0.0.1", 0, &len);

    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    sum = none ? 0 : ~sum & 0xffff;
    d[6] = (unsigned char)(sum >> 8);
    d[7] = (unsigned char)sum;
    EXPECT(sendto(raw, d, sizeof(d), 0, &to.sa, len) == sizeof(d));
}

TEST(udp_lite_with_a_wrong_header_is_lost)
{
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDPLITE), s = lite(&sides[0]), port;
    char got[8];

    EXPECT(raw >= 0 && bind_at(s, "127.0.0.1", 0) == 0);
    port = port_of(s);
    lite_by_hand(raw, port, 8, 1, false);
    lite_by_hand(raw, port, 0, 1, false);
    lite_by_hand(raw, port, 8, 0, true);
    lite_by_hand(raw, port, 6, 0, false);
    lite_by_hand(raw, port, 14, 0, false);
    EXPECT_ERR(recv(s, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    lite_by_hand(raw, port, 8, 0, false);
    lite_by_hand(raw, port, 10, 0, false);
    lite_by_hand(raw, port, 0, 0, false);
    for (int i = 0; i < 3; i++)
        EXPECT(recv(s, got, sizeof(got), MSG_DONTWAIT) == 4 && memcmp(got, "abcd", 4) == 0);
}
