/* SPDX-License-Identifier: MIT
 *
 * IP, ICMP and TCP to a stranger at the other end of a tun device, which the test plays: what comes
 * is answered rightly or not at all, what lies is not believed, and what is left behind goes.
 */
#include "tun.h"
#include <linux/virtio_net.h>
#include <netinet/in.h>

TEST(tun_sends_without_a_neighbours_address)
{
    int t = tun_up(0), s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
    unsigned char in[200];

    inet_pton(AF_INET, "10.9.0.2", &a.sin_addr);
    EXPECT(sendto(s, "hello", 5, 0, (void *)&a, sizeof(a)) == 5);
    EXPECT(packet_read(t, in, sizeof(in), 17, 0) == 33 && !memcmp(in + 28, "hello", 5));
}

TEST(icmp_answers_others_alone)
{
    int t = tun_up(0);
    unsigned char p[300], in[300];
    size_t n = echo_put(p, "10.9.0.1", 40); /* it says that it is us */

    EXPECT(write(t, p, n) == (ssize_t)n);
    n = echo_put(p, "10.9.0.2", 40);
    EXPECT(write(t, p, n) == (ssize_t)n);
    EXPECT(packet_read(t, in, sizeof(in), 1, 0) == (ssize_t)n && in[20] == 0);
    EXPECT(in[19] == 2);
    while (read(t, in, sizeof(in)) > 0) /* but for what else the device may send */
        EXPECT(in[0] >> 4 != 4 || in[9] != 1);
}

/* The words that came with a question are no words of its answer. */
TEST(icmp_answer_is_to_be_cut_as_no_question_was)
{
    int t = tun_up(IFF_VNET_HDR), n;
    struct {
        struct virtio_net_hdr h;
        unsigned char bytes[300];
    } out = {0}, in;

    out.h = (struct virtio_net_hdr){.flags = 1,
                                    .gso_type = 1,
                                    .hdr_len = 40,
                                    .gso_size = 20,
                                    .csum_start = 20,
                                    .csum_offset = 16};
    EXPECT(!ioctl(t, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4));
    n = (int)(sizeof(out.h) + echo_put(out.bytes, "10.9.0.2", 100));
    EXPECT(write(t, &out, (size_t)n) == n || errno == EINVAL); /* Linux looks at the packet */
    out.h = (struct virtio_net_hdr){0};
    EXPECT(write(t, &out, (size_t)n) == n);
    EXPECT(packet_read(t, (void *)&in, sizeof(in), 1, sizeof(in.h)) == n);
    EXPECT(!in.h.gso_type && !in.h.flags && in.bytes[20] == 0);
}

/* Headers may be as long as in what a card receives. */
TEST(tun_sum_may_lie_behind_long_headers)
{
    int t = tun_up(IFF_VNET_HDR);
    struct {
        struct virtio_net_hdr h;
        unsigned char bytes[300];
    } out = {.h = {.flags = 1, .hdr_len = 160, .csum_start = 140, .csum_offset = 16}};
    static const unsigned char zeroes[280];
    int n = (int)(sizeof(out.h) + packet_put(out.bytes, "10.9.0.2", 253, zeroes, sizeof(zeroes)));

    EXPECT(write(t, &out, (size_t)n) == n);
}

/* ---- paths' MTUs ---- */

/* A router's word that a packet of 10.9.0.1's was too long for 600 bytes: the packet, and of its
 * transport `quoted` bytes, of which the first n are those. */
static void too_long(int t, int protocol, const void *transport, size_t n, size_t quoted)
{
    unsigned char p[700], icmp[600] = {3, 4, [6] = 600 >> 8, [7] = 600 & 0xff}, *q = icmp + 8;
    size_t len;

    q[0] = 0x45;
    q[2] = 1500 >> 8;
    q[3] = 1500 & 0xff;
    q[6] = 0x40;
    q[8] = 64;
    q[9] = (unsigned char)protocol;
    inet_pton(AF_INET, "10.9.0.1", q + 12);
    inet_pton(AF_INET, "10.9.0.2", q + 16);
    sum_put(q + 10, q, 20);
    memcpy(q + 20, transport, n);
    sum_put(icmp + 2, icmp, 28 + quoted);
    len = packet_put(p, "10.9.0.254", 1, icmp, 28 + quoted);
    EXPECT(write(t, p, len) == (ssize_t)len);
}

static struct sockaddr_in peer_addr(const char *addr, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    inet_pton(AF_INET, addr, &a.sin_addr);
    return a;
}

/* What a datagram to the peer may be long now. */
static int path_mtu(void)
{
    struct sockaddr_in a = peer_addr("10.9.0.2", 7);
    int s = socket(AF_INET, SOCK_DGRAM, 0), mtu = 0;
    socklen_t len = sizeof(mtu);

    EXPECT(!connect(s, (void *)&a, sizeof(a)));
    EXPECT(!getsockopt(s, IPPROTO_IP, IP_MTU, &mtu, &len));
    close(s);
    return mtu;
}

TEST(path_mtu_is_believed_of_a_datagram_that_a_socket_may_have_sent)
{
    int t = tun_up(0), s = socket(AF_INET, SOCK_DGRAM, 0), on = IP_PMTUDISC_DO;
    struct sockaddr_in us = peer_addr("10.9.0.1", 4000), them = peer_addr("10.9.0.2", 9);
    unsigned char udp[8] = {4001 >> 8, 4001 & 0xff, 0, 9, 5, 180};

    EXPECT(!setsockopt(s, IPPROTO_IP, IP_MTU_DISCOVER, &on, sizeof(on)));
    EXPECT(!bind(s, (void *)&us, sizeof(us)) && !connect(s, (void *)&them, sizeof(them)));
    EXPECT(path_mtu() == 1500);
    if (access("/proc/bothy", F_OK) == 0) { /* Linux believes more */
        too_long(t, 17, udp, 8, 8);         /* of a port without a socket */
        EXPECT(path_mtu() == 1500);
        udp[1] = 4000 & 0xff;
        udp[3] = 10; /* to another's port */
        too_long(t, 17, udp, 8, 8);
        EXPECT(path_mtu() == 1500);
        too_long(t, 253, udp, 8, 8);
        EXPECT(path_mtu() == 1500);
    }
    udp[1] = 4000 & 0xff;
    udp[3] = 9;
    too_long(t, 17, udp, 8, 520); /* as long as most routers make it */
    EXPECT(path_mtu() == 600);
}

/* ---- a peer of TCP that the test plays ---- */

struct peer {
    int t;
    unsigned port, theirs; /* ours is 80 */
    uint32_t seq, ack;     /* the next of both */
};

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

/* A segment of n bytes to the port that asked. */
static void peer_send(struct peer *p, unsigned flags, const void *bytes, size_t n)
{
    unsigned char ip[300], pseudo[300] = {0}, *tcp = pseudo + 12;
    size_t len;

    inet_pton(AF_INET, "10.9.0.2", pseudo);
    inet_pton(AF_INET, "10.9.0.1", pseudo + 4);
    pseudo[9] = 6;
    pseudo[11] = (unsigned char)(20 + n);
    tcp[1] = 80;
    tcp[2] = (unsigned char)(p->port >> 8);
    tcp[3] = (unsigned char)p->port;
    put32(tcp + 4, p->seq);
    put32(tcp + 8, p->ack);
    tcp[12] = 0x50;
    tcp[13] = (unsigned char)flags;
    tcp[14] = 4; /* a window of 1024 */
    memcpy(tcp + 20, bytes, n);
    sum_put(tcp + 16, pseudo, 32 + n);
    len = packet_put(ip, "10.9.0.2", 6, tcp, 20 + n);
    EXPECT(write(p->t, ip, len) == (ssize_t)len);
    p->seq += (uint32_t)n + !!(flags & 3);
}

/* Answers s's question: it is connected. */
static int peer_accept(struct peer *p, int t)
{
    struct sockaddr_in a = peer_addr("10.9.0.2", 80);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd w = {.fd = s, .events = POLLOUT};
    unsigned char in[200];

    EXPECT_ERR(connect(s, (void *)&a, sizeof(a)), EINPROGRESS);
    EXPECT(packet_read(t, in, sizeof(in), 6, 0) >= 40 && (in[33] & 0x3f) == 2);
    *p = (struct peer){.t = t, .port = (unsigned)(in[20] << 8 | in[21]), .seq = 1000};
    p->ack = get32(in + 24) + 1;
    peer_send(p, 0x12, "", 0);
    EXPECT(poll(&w, 1, -1) == 1 && w.revents == POLLOUT);
    EXPECT(fcntl(s, F_SETFL, 0) == 0);
    return s;
}

TEST(path_mtu_is_believed_of_a_segment_that_is_in_flight)
{
    unsigned char tcp[8] = {0, 0, 0, 80};
    int t = tun_up(0), s;
    struct peer p;

    s = peer_accept(&p, t);
    EXPECT(send(s, "hello", 5, 0) == 5);
    tcp[0] = (unsigned char)(p.port >> 8);
    tcp[1] = (unsigned char)p.port;
    put32(tcp + 4, p.ack + 100000);
    too_long(t, 6, tcp, 8, 8);
    EXPECT(path_mtu() == 1500);
    put32(tcp + 4, p.ack);
    too_long(t, 6, tcp, 8, 8);
    EXPECT(path_mtu() == 600);
}

/* What was not read of one connection is of no harm to the next one of the socket. */
TEST(tcp_bytes_unread_do_no_harm_to_the_next_connection)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in a = peer_addr("10.9.0.2", 80);
    int t = tun_up(0), s;
    unsigned char in[300];
    struct pollfd r = {.events = POLLIN};
    struct peer p;

    s = r.fd = peer_accept(&p, t);
    peer_send(&p, 0x18, "unread", 6);
    EXPECT(poll(&r, 1, -1) == 1);
    peer_send(&p, 4, "", 0);
    do
        EXPECT(poll(&r, 1, -1) == 1);
    while (!(r.revents & POLLHUP));
    EXPECT(fcntl(s, F_SETFL, O_NONBLOCK) == 0);
    if (connect(s, (void *)&a, sizeof(a)) && errno != EINPROGRESS) { /* so Linux wants it */
        EXPECT(errno == ECONNRESET || errno == EISCONN);
        EXPECT(!connect(s, &none, sizeof(none)));
        EXPECT_ERR(connect(s, (void *)&a, sizeof(a)), EINPROGRESS);
    }
    do
        EXPECT(packet_read(t, in, sizeof(in), 6, 0) >= 40);
    while ((in[33] & 0x3f) != 2);
    p.port = (unsigned)(in[20] << 8 | in[21]);
    p.ack = get32(in + 24) + 1;
    peer_send(&p, 0x12, "", 0);
    peer_send(&p, 0x18, "next", 4);
    EXPECT(poll(&r, 1, -1) == 1 && recv(s, in, sizeof(in), 0) == 4 && !memcmp(in, "next", 4));
}

/* An unreachable's word for segment seq. */
static void unreachable(struct peer *p, uint32_t seq)
{
    unsigned char b[200], icmp[100] = {3, 1}, *q = icmp + 8;
    size_t len;

    q[0] = 0x45;
    q[3] = 60;
    q[8] = 64;
    q[9] = 6;
    inet_pton(AF_INET, "10.9.0.1", q + 12);
    inet_pton(AF_INET, "10.9.0.2", q + 16);
    sum_put(q + 10, q, 20);
    q[20] = (unsigned char)(p->port >> 8);
    q[21] = (unsigned char)p->port;
    q[23] = 80;
    put32(q + 24, seq);
    sum_put(icmp + 2, icmp, 36);
    len = packet_put(b, "10.9.0.254", 1, icmp, 36);
    EXPECT(write(p->t, b, len) == (ssize_t)len);
}

/* A writer that waits for space stays there when a router complains, and is told with IP_RECVERR;
 * either way it goes on, or ends, and does not spin. */
TEST(tcp_writer_that_waits_hears_of_an_unreachable_host_if_it_asked)
{
    static char bytes[1 << 20];
    int t = tun_up(0), s, on = 1, space = 8192;
    struct peer p;
    pid_t writer;

    s = peer_accept(&p, t);
    EXPECT(!setsockopt(s, SOL_SOCKET, SO_SNDBUF, &space, sizeof(space)));
    writer = fork();
    if (!writer)
        _exit(send(s, bytes, sizeof(bytes), MSG_NOSIGNAL) < (ssize_t)sizeof(bytes) ? 7 : 1);
    until_process_asleep(writer);
    unreachable(&p, p.ack);
    until_process_asleep(writer);
    EXPECT(waitpid(writer, NULL, WNOHANG) == 0);
    EXPECT(!setsockopt(s, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)));
    unreachable(&p, p.ack);
    EXPECT(status_of(writer) == 7 << 8);
}

/* ---- fragments ---- */

/* A part of a datagram of ICMP: n bytes from `at`. */
static void fragment_send(int t, const char *from, unsigned id, unsigned at, bool more,
                          const unsigned char *bytes, size_t n)
{
    static unsigned char p[1600];

    packet_put(p, from, 1, bytes, n);
    p[4] = (unsigned char)(id >> 8);
    p[5] = (unsigned char)id;
    p[6] = (unsigned char)((more ? 0x20 : 0) | at >> 11);
    p[7] = (unsigned char)(at >> 3);
    sum_put(p + 10, p, 20);
    EXPECT(write(t, p, 20 + n) == (ssize_t)(20 + n));
}

/* One who sends parts and never the whole leaves space for others. */
TEST(fragments_hoarded_by_one_leave_space_for_others)
{
    static unsigned char echo[2000], in[2000], junk[1400];
    int t = tun_up(0);

    for (unsigned id = 1; id <= 16; id++)
        for (unsigned i = 1; i <= 16; i++)
            fragment_send(t, "10.9.0.66", id, i * 1400, true, junk, sizeof(junk));
    echo[0] = 8;
    for (size_t i = 4; i < sizeof(echo); i++)
        echo[i] = (unsigned char)i;
    sum_put(echo + 2, echo, sizeof(echo));
    fragment_send(t, "10.9.0.2", 9, 0, true, echo, 1400);
    fragment_send(t, "10.9.0.2", 9, 1400, false, echo + 1400, 600);
    do
        EXPECT(packet_read(t, in, sizeof(in), 1, 0) > 0);
    while (in[19] != 2 || in[20] != 0 || (in[6] & 0x1f) || in[7]);
    EXPECT(!memcmp(in + 24, echo + 4, 1000));
}

/* ---- ends ---- */

static void address_for(int s, const char *name, int family, const void *addr, unsigned prefix,
                        uint32_t valid)
{
    struct ifa_cacheinfo c = {.ifa_valid = valid, .ifa_prefered = valid};
    struct message m;
    struct ifaddrmsg *a = message_body(&m);

    message_begin(&m, RTM_NEWADDR, NLM_F_CREATE, sizeof(*a));
    a->ifa_family = (uint8_t)family;
    a->ifa_prefixlen = (uint8_t)prefix;
    a->ifa_index = if_nametoindex(name);
    message_put(&m, IFA_LOCAL, addr, family == AF_INET ? 4 : 16);
    message_put(&m, IFA_ADDRESS, addr, family == AF_INET ? 4 : 16);
    message_put(&m, IFA_CACHEINFO, &c, sizeof(c));
    EXPECT(netlink_ask(s, &m) == 0);
}

/* A namespace with all that goes on by itself: addresses that end in a moment, some of which are
 * still to be probed, parts of datagrams, packets that wait for a neighbour. */
static void busy_namespace(void)
{
    static unsigned char junk[1400];
    uint8_t v6[16] = {0xfd, 0, [15] = 1}, v4[4] = {10, 10, 0, 1};
    int n, t, u, s;
    struct sockaddr_in a = peer_addr("10.10.0.9", 9);

    EXPECT(!unshare(CLONE_NEWNET));
    n = netlink_open(NETLINK_ROUTE);
    u = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    t = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    EXPECT(
        !ioctl(u, TUNSETIFF, &(struct ifreq){.ifr_name = "u0", .ifr_flags = IFF_TUN | IFF_NO_PI}));
    EXPECT(
        !ioctl(t, TUNSETIFF, &(struct ifreq){.ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI}));
    EXPECT(!link_flags(n, "lo", IFF_UP, IFF_UP) && !link_flags(n, "t0", IFF_UP, IFF_UP));
    address_set("u0", "10.9.0.1", "255.255.255.0");
    EXPECT(!link_flags(n, "u0", IFF_UP, IFF_UP));
    for (unsigned i = 1; i < 40; i++) {
        v6[14] = v4[3] = (uint8_t)i;
        address_for(n, "t0", AF_INET6, v6, 64, 1);
        address_for(n, "t0", AF_INET, v4, 24, 1);
        fragment_send(u, "10.9.0.66", i, 1400, true, junk, sizeof(junk));
    }
    s = socket(AF_INET, SOCK_DGRAM, 0);
    for (unsigned i = 0; i < 20; i++)
        sendto(s, junk, 1000, 0, (void *)&a, sizeof(a));
}

TEST(namespaces_end_with_all_that_is_under_way)
{
    for (unsigned i = 0; i < 12; i++) {
        pid_t child = fork();

        if (!child) {
            busy_namespace();
            if (i % 3 == 0)
                usleep(1000000 + i * 20000); /* while addresses end */
            _exit(0);
        }
        EXPECT(status_of(child) == 0);
    }
    busy_namespace(); /* and it works */
}

/* A primary address that ends takes its secondaries along, whose own time has come as well. */
TEST(addresses_that_end_together_end_once)
{
    struct sockaddr_nl l = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR};
    int n = namespace_open(), s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), gone = 0;
    int space = 1 << 20;

    EXPECT(!setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space)));
    EXPECT(!bind(s, (void *)&l, sizeof(l)) && !link_add(n, "d0", "dummy", true));
    for (uint8_t i = 1; i < 100; i++)
        address_for(n, "d0", AF_INET, (uint8_t[]){10, 10, 0, i}, 24, 1);
    while (gone < 99) {
        static char buf[32768];
        ssize_t len = recv(s, buf, sizeof(buf), 0);

        EXPECT(len > 0);
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len))
            gone += h->nlmsg_type == RTM_DELADDR;
    }
    EXPECT(gone == 99);
}

TEST(address_that_is_no_ones_is_no_source)
{
    int t = tun_up(0), s = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    struct sockaddr_in us = peer_addr("10.9.0.77", 4000), them = peer_addr("10.9.0.2", 9);

    EXPECT(!setsockopt(s, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)));
    EXPECT(!bind(s, (void *)&us, sizeof(us)));
    EXPECT_ERR(sendto(s, "x", 1, 0, (void *)&them, sizeof(them)), ENETUNREACH);
    close(t);
}
