/* SPDX-License-Identifier: MIT
 *
 * Datagrams: what their headers say, several in one call, and errors that come back for them.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <netinet/udp.h>

#include "inet.h"

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
