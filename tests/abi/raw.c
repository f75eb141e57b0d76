/* SPDX-License-Identifier: MIT
 *
 * Raw and ping sockets, and groups, over lo.
 */
#include <netinet/ip_icmp.h>
#include <linux/filter.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <net/route.h>
#include <pthread.h>

#include "own_net.h"

#define ICMP_FILTER_OPTION 1
#define IDENT 0x1234

static int raw(int protocol)
{
    int s = socket(AF_INET, SOCK_RAW, protocol);

    EXPECT(s >= 0);
    return s;
}

static uint16_t checksum(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* An echo's request with eight bytes of payload. */
struct echo {
    struct icmphdr h;
    char data[8];
};

static struct echo echo(uint16_t number)
{
    struct echo e = {.h = {.type = ICMP_ECHO, .un.echo = {htons(IDENT), htons(number)}},
                     .data = "payload"};

    e.h.checksum = checksum(&e, sizeof(e));
    return e;
}

static void send_to(int s, const void *data, size_t size, const char *ip, int port)
{
    socklen_t n;
    union name to = at(ip, port, &n);

    EXPECT(sendto(s, data, size, 0, &to.sa, n) == (ssize_t)size);
}

TEST(a_raw_socket_pings_and_sees_both)
{
    int s = raw(IPPROTO_ICMP);
    struct echo e = echo(7);
    struct {
        struct iphdr ip;
        struct echo e;
    } got;
    struct sockaddr_in from;
    socklen_t n = sizeof(from);

    own_net();
    close(s);
    s = raw(IPPROTO_ICMP);
    send_to(s, &e, sizeof(e), "127.0.0.1", 0);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(recvfrom(s, &got, sizeof(got), 0, (void *)&from, &n) == sizeof(got));
        EXPECT(got.ip.version == 4 && got.ip.ihl == 5 && got.ip.protocol == IPPROTO_ICMP);
        EXPECT(ntohs(got.ip.tot_len) == sizeof(got) && got.ip.ttl == 64);
        EXPECT(got.ip.saddr == htonl(INADDR_LOOPBACK) && got.ip.daddr == got.ip.saddr);
        EXPECT(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && from.sin_port == 0);
        EXPECT(got.e.h.type == (i ? ICMP_ECHOREPLY : ICMP_ECHO));
        EXPECT(got.e.h.un.echo.sequence == htons(7) && strcmp(got.e.data, "payload") == 0);
        EXPECT(checksum(&got.e, sizeof(got.e)) == 0);
    }
}

TEST(a_filter_keeps_types_away)
{
    uint32_t filter = 1U << ICMP_ECHO, told = 0;
    socklen_t n = sizeof(told);
    struct echo e = echo(1);
    char got[256];
    int s;

    own_net();
    s = raw(IPPROTO_ICMP);
    EXPECT(setsockopt(s, SOL_RAW, ICMP_FILTER_OPTION, &filter, sizeof(filter)) == 0);
    EXPECT(getsockopt(s, SOL_RAW, ICMP_FILTER_OPTION, &told, &n) == 0 && told == filter && n == 4);
    send_to(s, &e, sizeof(e), "127.0.0.1", 0);
    EXPECT(recv(s, got, sizeof(got), 0) == sizeof(struct iphdr) + sizeof(e));
    EXPECT(got[20] == ICMP_ECHOREPLY);
    EXPECT_ERR(recv(s, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(setsockopt(raw(IPPROTO_UDP), SOL_RAW, ICMP_FILTER_OPTION, &filter, 4), EOPNOTSUPP);
}

TEST(each_raw_socket_of_a_protocol_gets_a_packet)
{
    int s[3], other, bound, far;
    char got[64];

    own_net();
    for (unsigned i = 0; i < 3; i++)
        s[i] = raw(200);
    other = raw(208);
    bound = raw(200);
    far = raw(200);
    EXPECT(bind_at(bound, "127.0.0.2", 0) == 0);
    EXPECT(connect_at(far, "127.0.0.3", 0) == 0);
    send_to(s[0], "hello", 5, "127.0.0.1", 0);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(recv(s[i], got, sizeof(got), 0) == 25 && memcmp(got + 20, "hello", 5) == 0);
    EXPECT_ERR(recv(other, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(recv(bound, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(recv(far, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    send_to(s[0], "hello", 5, "127.0.0.2", 0);
    EXPECT(recv(bound, got, sizeof(got), 0) == 25);
}

TEST(a_header_of_ones_own_is_sent)
{
    struct {
        struct iphdr ip;
        char data[4];
    } p = {.ip = {.version = 4, .ihl = 5, .ttl = 33, .tos = 8, .protocol = 200}, .data = "abc"},
      got;
    int s, r;

    own_net();
    s = raw(IPPROTO_RAW);
    r = raw(200);
    EXPECT(get(s, IPPROTO_IP, IP_HDRINCL) == 1 && get(r, IPPROTO_IP, IP_HDRINCL) == 0);
    p.ip.daddr = htonl(0x7f000005);
    send_to(s, &p, sizeof(p), "127.0.0.5", 0);
    EXPECT(recv(r, &got, sizeof(got), 0) == sizeof(got) && strcmp(got.data, "abc") == 0);
    EXPECT(got.ip.ttl == 33 && got.ip.tos == 8 && got.ip.daddr == p.ip.daddr);
    EXPECT(got.ip.tot_len == htons(sizeof(p)) && checksum(&got.ip, sizeof(got.ip)) == 0);
    EXPECT(got.ip.saddr == p.ip.daddr || got.ip.saddr == htonl(INADDR_LOOPBACK));
    EXPECT_ERR(send(s, "short", 5, 0), EDESTADDRREQ);
    EXPECT(connect_at(s, "127.0.0.5", 0) == 0);
    EXPECT_ERR(send(s, "short", 5, 0), EINVAL);
}

TEST(raw_sockets_are_for_the_privileged)
{
    own_net();
    EXPECT_ERR(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    EXPECT(setresuid(1000, 1000, 1000) == 0);
    EXPECT_ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
}

TEST(a_raw_socket_has_its_protocol_for_a_port)
{
    struct sockaddr_in a;
    socklen_t n = sizeof(a);
    int s = raw(77);

    EXPECT(get(s, SOL_SOCKET, SO_TYPE) == SOCK_RAW && get(s, SOL_SOCKET, SO_PROTOCOL) == 77);
    EXPECT(getsockname(s, (void *)&a, &n) == 0 && ntohs(a.sin_port) == 77);
    EXPECT_ERR(getpeername(s, (void *)&a, &n), ENOTCONN);
    EXPECT_ERR(send(s, "x", 1, 0), EDESTADDRREQ);
    EXPECT_ERR(bind_at(s, "192.0.2.1", 0), EADDRNOTAVAIL);
}

static void ping_range(const char *range)
{
    int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);

    EXPECT(fd >= 0 && write(fd, range, strlen(range)) == (ssize_t)strlen(range));
    close(fd);
}

TEST(ping_sockets_are_for_groups_of_a_range)
{
    char text[64] = "";
    int fd;

    own_net();
    fd = open("/proc/sys/net/ipv4/ping_group_range", O_RDONLY);
    EXPECT(read(fd, text, sizeof(text)) == 4 && strcmp(text, "1\t0\n") == 0);
    EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
    ping_range("100 200");
    EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
    EXPECT(setresgid(150, 150, 150) == 0);
    EXPECT(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) >= 0);
    EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6), EPROTONOSUPPORT);
}

TEST(a_ping_socket_gets_its_own_answers)
{
    struct echo e = echo(3), got;
    struct sockaddr_in from;
    socklen_t n = sizeof(from);
    int s, other;
    struct icmphdr wrong = {.type = ICMP_ECHOREPLY};

    own_net();
    ping_range("0 1000");
    s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    other = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    EXPECT(s >= 0 && other >= 0);
    EXPECT(bind_at(other, "0.0.0.0", 99) == 0 && port_of(other) == 99);
    e.h.checksum = 0; /* and the identifier are the kernel's */
    send_to(s, &e, sizeof(e), "127.0.0.1", 0);
    EXPECT(recvfrom(s, &got, sizeof(got), 0, (void *)&from, &n) == sizeof(got));
    EXPECT(got.h.type == ICMP_ECHOREPLY && ntohs(got.h.un.echo.id) == port_of(s));
    EXPECT(got.h.un.echo.sequence == htons(3) && strcmp(got.data, "payload") == 0);
    EXPECT(checksum(&got, sizeof(got)) == 0 && from.sin_port == 0);
    EXPECT_ERR(recv(other, &got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT(connect_at(s, "127.0.0.1", 0) == 0);
    EXPECT_ERR(send(s, &wrong, sizeof(wrong), 0), EINVAL);
    EXPECT_ERR(send(s, &e, 7, 0), EINVAL);
    EXPECT(send(s, &e, sizeof(e), 0) == sizeof(e));
    EXPECT(recv(s, &got, sizeof(got), 0) == sizeof(got));
}

/* ---- groups ---- */

static int join(int s, int option, const char *group, const char *interface)
{
    struct ip_mreq m;

    EXPECT(inet_pton(AF_INET, group, &m.imr_multiaddr) == 1);
    EXPECT(inet_pton(AF_INET, interface, &m.imr_interface) == 1);
    return setsockopt(s, IPPROTO_IP, option, &m, sizeof(m));
}

static int group_receiver(int port)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT(s >= 0);
    set(s, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT(bind_at(s, "0.0.0.0", port) == 0);
    return s;
}

static int group_sender(void)
{
    struct in_addr lo = {htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT(s >= 0 && setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof(lo)) == 0);
    return s;
}

TEST(all_that_joined_a_group_hear_it)
{
    int a, b, none, s;
    char got[16];

    own_net();
    a = group_receiver(5000);
    b = group_receiver(5000);
    none = group_receiver(5000);
    s = group_sender();
    set(none, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    EXPECT(join(a, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1") == 0);
    EXPECT(join(b, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1") == 0);
    EXPECT_ERR(join(b, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1"), EADDRINUSE);
    send_to(s, "x", 1, "239.0.0.1", 5000);
    EXPECT(recv(a, got, sizeof(got), 0) == 1 && recv(b, got, sizeof(got), 0) == 1);
    EXPECT_ERR(recv(none, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT(join(a, IP_DROP_MEMBERSHIP, "239.0.0.1", "127.0.0.1") == 0);
    EXPECT_ERR(join(a, IP_DROP_MEMBERSHIP, "239.0.0.1", "127.0.0.1"), EADDRNOTAVAIL);
    set(a, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    send_to(s, "y", 1, "239.0.0.1", 5000);
    EXPECT(recv(b, got, sizeof(got), 0) == 1);
    EXPECT_ERR(recv(a, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
}

/* No route leads there, and no interface is named. */
TEST(who_is_bound_to_an_address_sends_to_groups_from_its_interface)
{
    int a, s;
    char got[16];

    own_net();
    a = group_receiver(5000);
    EXPECT(join(a, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1") == 0);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(s >= 0 && bind_at(s, "127.0.0.1", 0) == 0);
    send_to(s, "x", 1, "239.0.0.1", 5000);
    EXPECT(recv(a, got, sizeof(got), 0) == 1 && got[0] == 'x');
    set(s, SOL_SOCKET, SO_BROADCAST, 1);
    send_to(s, "y", 1, "255.255.255.255", 5000);
    EXPECT(recv(a, got, sizeof(got), 0) == 1 && got[0] == 'y');
    EXPECT_ERR(recv(a, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
}

/* Its own copy of the packet has the headers that were taken off, not what lay there before. */
TEST(a_filter_of_one_that_joined_a_group_sees_the_ip_header)
{
    struct sock_filter code[] = {
        {0x30, 0, 0, (unsigned)SKF_NET_OFF}, /* version and header length */
        {0x16, 0, 0, 0},
    };
    struct sock_fprog program = {2, code};
    char sent[200] = "", got[200];
    int a, b, s;

    own_net();
    a = group_receiver(5000);
    b = group_receiver(5000);
    s = group_sender();
    EXPECT(join(a, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1") == 0);
    EXPECT(join(b, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1") == 0);
    EXPECT(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0);
    for (int i = 0; i < 20; i++) {
        send_to(s, sent, sizeof(sent), "239.0.0.1", 5000);
        EXPECT(recv(a, got, sizeof(got), 0) == 0x45 - 8);
        EXPECT(recv(b, got, sizeof(got), 0) == sizeof(sent));
    }
}

TEST(a_packet_that_ipv4_cannot_say_the_length_of_is_refused)
{
    static char most[65536];
    socklen_t n;
    union name to = at("127.0.0.1", 0, &n);
    int s = raw(IPPROTO_ICMP);

    EXPECT_ERR(sendto(s, most, 65535 - 20 + 1, 0, &to.sa, n), EMSGSIZE);
    EXPECT_ERR(sendto(s, most, 65536, 0, &to.sa, n), EMSGSIZE);
    EXPECT(sendto(s, most, 65535 - 20, 0, &to.sa, n) == 65535 - 20);
}

/* lo asks for no neighbour: what a route of its own sends there has lo's own link address. */
TEST(a_route_through_lo_sends_what_no_one_takes)
{
    struct sockaddr_in net = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.9.0.0")};
    struct sockaddr_in mask = {.sin_family = AF_INET,
                               .sin_addr.s_addr = inet_addr("255.255.255.0")};
    struct rtentry r = {.rt_flags = RTF_UP, .rt_dev = (char[]){"lo"}};
    int s;

    own_net();
    s = socket(AF_INET, SOCK_DGRAM, 0);
    memcpy(&r.rt_dst, &net, sizeof(net));
    memcpy(&r.rt_genmask, &mask, sizeof(mask));
    EXPECT(ioctl(s, SIOCADDRT, &r) == 0);
    send_to(s, "lost", 4, "10.9.0.1", 5000);
    net.sin_addr.s_addr = inet_addr("10.9.0.2");
    net.sin_port = htons(80);
    s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_ERR(connect(s, (void *)&net, sizeof(net)), EINPROGRESS);
}

TEST(a_socket_is_bound_to_a_group)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), s;
    struct sockaddr_in from;
    socklen_t n = sizeof(from);
    char got[16];

    close(a);
    own_net();
    a = socket(AF_INET, SOCK_DGRAM, 0);
    s = group_sender();
    EXPECT(bind_at(a, "239.0.0.3", 5000) == 0);
    EXPECT(join(a, IP_ADD_MEMBERSHIP, "239.0.0.3", "127.0.0.1") == 0);
    send_to(s, "x", 1, "127.0.0.1", 5000);
    send_to(s, "group", 5, "239.0.0.3", 5000);
    EXPECT(recv(a, got, sizeof(got), 0) == 5);
    EXPECT(bind_at(s, "127.0.0.1", 0) == 0 || errno == EINVAL);
    send_to(a, "back", 4, "127.0.0.1", port_of(s));
    EXPECT(recvfrom(s, got, sizeof(got), 0, (void *)&from, &n) == 4);
    EXPECT(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && ntohs(from.sin_port) == 5000);
}

TEST(an_address_of_no_interface_is_bound_when_that_was_asked_for)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0), six = socket(AF_INET6, SOCK_DGRAM, 0);

    EXPECT_ERR(bind_at(s, "192.0.2.1", 0), EADDRNOTAVAIL);
    set(s, IPPROTO_IP, IP_FREEBIND, 1);
    EXPECT(bind_at(s, "192.0.2.1", 0) == 0);
    EXPECT_ERR(bind_at(six, "2001:db8::1", 0), EADDRNOTAVAIL);
    set(six, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    EXPECT(bind_at(six, "2001:db8::1", 0) == 0);
}

TEST(sources_are_heard_or_blocked)
{
    struct ip_mreq_source m = {0};
    int a, b, s;
    char got[16];

    own_net();
    a = group_receiver(5000);
    b = group_receiver(5000);
    s = group_sender();
    EXPECT(inet_pton(AF_INET, "239.0.0.2", &m.imr_multiaddr) == 1);
    m.imr_interface.s_addr = htonl(INADDR_LOOPBACK);
    m.imr_sourceaddr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT(join(a, IP_ADD_MEMBERSHIP, "239.0.0.2", "127.0.0.1") == 0);
    EXPECT(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &m, sizeof(m)) == 0);
    EXPECT_ERR(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &m, sizeof(m)), EADDRNOTAVAIL);
    EXPECT(setsockopt(b, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)) == 0);
    send_to(s, "x", 1, "239.0.0.2", 5000);
    EXPECT(recv(b, got, sizeof(got), 0) == 1);
    EXPECT_ERR(recv(a, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT(setsockopt(a, IPPROTO_IP, IP_UNBLOCK_SOURCE, &m, sizeof(m)) == 0);
    EXPECT(setsockopt(b, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &m, sizeof(m)) == 0);
    set(b, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    send_to(s, "y", 1, "239.0.0.2", 5000);
    EXPECT(recv(a, got, sizeof(got), 0) == 1);
    EXPECT_ERR(recv(b, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
}

TEST(groups_are_refused_as_on_linux)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);
    struct group_req g = {.gr_interface = 1};
    struct ip_mreqn far = {.imr_ifindex = 99};
    char group[32];

    EXPECT_ERR(join(s, IP_ADD_MEMBERSHIP, "10.0.0.1", "127.0.0.1"), EINVAL);
    EXPECT_ERR(join(s, IP_ADD_MEMBERSHIP, "239.0.0.1", "192.0.2.1"), ENODEV);
    EXPECT_ERR(join(t, IP_ADD_MEMBERSHIP, "239.0.0.1", "127.0.0.1"), EPROTO);
    EXPECT_ERR(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, group, 4), EINVAL);
    far.imr_multiaddr.s_addr = inet_addr("239.0.0.1");
    EXPECT_ERR(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &far, sizeof(far)), ENODEV);
    ((struct sockaddr_in *)&g.gr_group)->sin_family = AF_INET;
    ((struct sockaddr_in *)&g.gr_group)->sin_addr.s_addr = inet_addr("239.0.0.9");
    EXPECT(setsockopt(s, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof(g)) == 0);
    EXPECT_ERR(setsockopt(s, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof(g)), EADDRINUSE);
    EXPECT(setsockopt(s, IPPROTO_IP, MCAST_LEAVE_GROUP, &g, sizeof(g)) == 0);
    for (int i = 0; i < 20; i++) {
        snprintf(group, sizeof(group), "239.0.1.%d", i);
        EXPECT(join(s, IP_ADD_MEMBERSHIP, group, "127.0.0.1") == 0);
    }
    EXPECT_ERR(join(s, IP_ADD_MEMBERSHIP, "239.0.2.1", "127.0.0.1"), ENOBUFS);
}

TEST(the_interface_of_groups_is_told)
{
    int s = group_sender();
    struct in_addr a = {0};
    socklen_t n = sizeof(a);

    EXPECT(getsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &a, &n) == 0 &&
           a.s_addr == htonl(INADDR_LOOPBACK));
    a.s_addr = inet_addr("192.0.2.1");
    EXPECT_ERR(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof(a)), EADDRNOTAVAIL);
}

/* ---- who sees datagrams of this host ---- */

TEST(a_raw_socket_sees_datagrams_over_lo)
{
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char data[8];
    } got;
    int r, to, s;

    own_net();
    r = raw(IPPROTO_UDP);
    to = group_receiver(5000);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    set(s, IPPROTO_IP, IP_TTL, 9);
    send_to(s, "hello", 5, "127.0.0.1", 5000);
    EXPECT(recv(r, &got, sizeof(got), 0) == 33);
    EXPECT(got.ip.ttl == 9 && got.udp.dest == htons(5000) && ntohs(got.udp.source) == port_of(s));
    EXPECT(ntohs(got.udp.len) == 13 && memcmp(got.data, "hello", 5) == 0);
    EXPECT(recv(to, got.data, 8, 0) == 5 && memcmp(got.data, "hello", 5) == 0);
    close(r);
    send_to(s, "again", 5, "127.0.0.1", 5000);
    EXPECT(recv(to, got.data, 8, 0) == 5 && memcmp(got.data, "again", 5) == 0);
}

TEST(a_filter_says_what_a_socket_receives)
{
    struct sock_filter code[] = {
        {0x30, 0, 0, 8}, /* the first byte of the payload */
        {0x15, 0, 1, 'a'},
        {0x06, 0, 0, 8 + 3}, /* cut to three bytes */
        {0x06, 0, 0, 0},
    };
    struct sock_fprog program = {4, code};
    char got[16] = "";
    int to, s;

    own_net();
    to = group_receiver(5000);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(setsockopt(to, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0);
    send_to(s, "before", 6, "127.0.0.1", 5000);
    send_to(s, "a datagram", 10, "127.0.0.1", 5000);
    EXPECT(recv(to, got, sizeof(got), 0) == 3 && memcmp(got, "a d", 3) == 0);
    EXPECT_ERR(recv(to, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT(setsockopt(to, SOL_SOCKET, SO_DETACH_FILTER, NULL, 0) == 0 || errno == EINVAL);
    EXPECT(setsockopt(to, SOL_SOCKET, SO_DETACH_FILTER, &s, sizeof(s)) == 0 || errno == ENOENT);
    send_to(s, "before", 6, "127.0.0.1", 5000);
    EXPECT(recv(to, got, sizeof(got), 0) == 6);
}

/* Sends over lo and closes, again and again. */
static void *sender_that_closes(void *arg)
{
    volatile bool *over = arg;

    while (!*over) {
        int s = raw(IPPROTO_UDP);

        send_to(s, "unread", 6, "127.0.0.1", 0);
        close(s);
    }
    return NULL;
}

/* What is on its way is told of sockets that live. */
TEST(a_socket_that_ends_is_not_listed_with_others_bytes)
{
    static char text[1 << 16];
    volatile bool over = false;
    pthread_t senders[2];

    own_net();
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&senders[i], NULL, sender_that_closes, (void *)&over) == 0);
    for (int i = 0; i < 800; i++) {
        int fd = open("/proc/thread-self/net/raw", O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        char *line = text;

        EXPECT(n > 0 && close(fd) == 0);
        text[n] = 0;
        while ((line = strchr(line, '\n')) && *++line) {
            unsigned tx = 0, rx = 0;

            EXPECT(sscanf(line, "%*d: %*s %*s %*x %x:%x", &tx, &rx) == 2 && tx < 1 << 20);
        }
    }
    over = true;
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_join(senders[i], NULL) == 0);
}

/* The whole list of a group at lo, by the older option. */
static int filter_set(int s, unsigned mode, unsigned nr, const char *const *sources)
{
    char space[IP_MSFILTER_SIZE(12)] = {0};
    struct ip_msfilter *f = (void *)space;

    f->imsf_multiaddr.s_addr = inet_addr("239.0.0.2");
    f->imsf_interface.s_addr = htonl(INADDR_LOOPBACK);
    f->imsf_fmode = mode;
    f->imsf_numsrc = nr;
    for (unsigned i = 0; i < nr; i++)
        f->imsf_slist[i].s_addr = inet_addr(sources[i]);
    return setsockopt(s, IPPROTO_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(nr));
}

/* Reads it with space for as many sources; its length, or -1. */
static int filter_get(int s, struct ip_msfilter *f, unsigned space)
{
    socklen_t n = (socklen_t)IP_MSFILTER_SIZE(space);

    memset(f, 0, n);
    f->imsf_multiaddr.s_addr = inet_addr("239.0.0.2");
    f->imsf_interface.s_addr = htonl(INADDR_LOOPBACK);
    f->imsf_numsrc = space;
    return getsockopt(s, IPPROTO_IP, IP_MSFILTER, f, &n) ? -1 : (int)n;
}

TEST(a_group_s_sources_are_set_and_read_as_a_whole)
{
    static const char *const three[] = {"127.0.0.1", "10.0.0.1", "10.0.0.2"},
                             *const many[12] = {"10.0.0.1", "10.0.0.2",  "10.0.0.3",  "10.0.0.4",
                                                "10.0.0.5", "10.0.0.6",  "10.0.0.7",  "10.0.0.8",
                                                "10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.12"};
    char space[IP_MSFILTER_SIZE(10)], got[8];
    struct ip_msfilter *f = (void *)space;
    int a, s;

    own_net();
    a = group_receiver(5000);
    s = group_sender();
    EXPECT_ERR(filter_set(a, MCAST_EXCLUDE, 3, three), EINVAL); /* it has not joined */
    EXPECT_ERR(filter_get(a, f, 3), EADDRNOTAVAIL);
    EXPECT(join(a, IP_ADD_MEMBERSHIP, "239.0.0.2", "127.0.0.1") == 0);
    EXPECT(filter_get(a, f, 3) == 16 && f->imsf_fmode == MCAST_EXCLUDE && !f->imsf_numsrc);
    EXPECT(filter_set(a, MCAST_EXCLUDE, 3, three) == 0);
    send_to(s, "x", 1, "239.0.0.2", 5000);
    EXPECT_ERR(recv(a, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT(filter_get(a, f, 2) == 24 && f->imsf_numsrc == 3 &&
           f->imsf_slist[1].s_addr == inet_addr("10.0.0.1"));
    EXPECT(filter_set(a, MCAST_INCLUDE, 2, three) == 0);
    send_to(s, "y", 1, "239.0.0.2", 5000);
    EXPECT(recv(a, got, sizeof(got), 0) == 1 && got[0] == 'y');
    EXPECT(filter_get(a, f, 10) == 24 && f->imsf_fmode == MCAST_INCLUDE && f->imsf_numsrc == 2);
    EXPECT_ERR(filter_set(a, MCAST_INCLUDE, 12, many), ENOBUFS);
    EXPECT_ERR(filter_set(a, 2, 1, many), EINVAL);
    EXPECT(filter_set(a, MCAST_INCLUDE, 0, NULL) == 0); /* which is to leave */
    EXPECT_ERR(filter_get(a, f, 3), EADDRNOTAVAIL);
    EXPECT_ERR(setsockopt(a, IPPROTO_IP, IP_MSFILTER, f, 12), EINVAL);
}

TEST(sources_of_groups_of_ipv6_are_set_and_read_as_a_whole)
{
    char space[GROUP_FILTER_SIZE(10)] = {0};
    struct group_filter *f = (void *)space;
    struct sockaddr_in6 *group = (void *)&f->gf_group, *source = (void *)&f->gf_slist[0];
    int s = socket(AF_INET6, SOCK_DGRAM, 0);
    struct group_req g = {.gr_interface = 1};
    socklen_t n = GROUP_FILTER_SIZE(10);

    own_net();
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    *group = (struct sockaddr_in6){.sin6_family = AF_INET6};
    EXPECT(inet_pton(AF_INET6, "ff15::7", &group->sin6_addr) == 1);
    *source = (struct sockaddr_in6){.sin6_family = AF_INET6};
    EXPECT(inet_pton(AF_INET6, "2001:db8::1", &source->sin6_addr) == 1);
    memcpy(&g.gr_group, group, sizeof(*group));
    EXPECT(setsockopt(s, IPPROTO_IPV6, MCAST_JOIN_GROUP, &g, sizeof(g)) == 0);
    f->gf_interface = 1;
    f->gf_fmode = MCAST_INCLUDE;
    f->gf_numsrc = 1;
    EXPECT(setsockopt(s, IPPROTO_IPV6, MCAST_MSFILTER, f, GROUP_FILTER_SIZE(1)) == 0);
    f->gf_fmode = 7;
    f->gf_numsrc = 10;
    memset(source, 0, sizeof(*source));
    EXPECT(getsockopt(s, IPPROTO_IPV6, MCAST_MSFILTER, f, &n) == 0 && n == GROUP_FILTER_SIZE(1));
    EXPECT(f->gf_fmode == MCAST_INCLUDE && f->gf_numsrc == 1 && source->sin6_family == AF_INET6);
    EXPECT(source->sin6_addr.s6_addr[0] == 0x20 && source->sin6_addr.s6_addr[15] == 1);
}
