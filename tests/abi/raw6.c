/* SPDX-License-Identifier: MIT
 *
 * Raw and ping sockets, and groups, of IPv6 over lo.
 */
#include <netinet/icmp6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include "own_net.h"
#include "netlink.h"

struct echo {
    struct icmp6_hdr h;
    char data[8];
};

static struct echo echo(uint16_t number)
{
    struct echo e = {.h = {.icmp6_type = ICMP6_ECHO_REQUEST}, .data = "payload"};

    e.h.icmp6_id = htons(0x1234);
    e.h.icmp6_seq = htons(number);
    return e;
}

static int raw(int protocol)
{
    int s = socket(AF_INET6, SOCK_RAW, protocol);

    EXPECT(s >= 0);
    return s;
}

static void send_to(int s, const void *data, size_t size, const char *ip, int port)
{
    socklen_t n;
    union name to = at(ip, port, &n);

    EXPECT(sendto(s, data, size, 0, &to.sa, n) == (ssize_t)size);
}

TEST(a_raw_socket_pings_and_hears_what_its_filter_lets_through)
{
    struct echo e = echo(7), got;
    struct icmp6_filter filter;
    struct sockaddr_in6 from;
    socklen_t n = sizeof(from);
    int s;

    own_net();
    s = raw(IPPROTO_ICMPV6);
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    EXPECT(setsockopt(s, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) == 0);
    send_to(s, &e, sizeof(e), "::1", 0); /* the checksum is the kernel's */
    EXPECT(recvfrom(s, &got, sizeof(got), 0, (void *)&from, &n) == sizeof(got));
    EXPECT(got.h.icmp6_type == ICMP6_ECHO_REPLY && got.h.icmp6_seq == htons(7));
    EXPECT(strcmp(got.data, "payload") == 0 && IN6_IS_ADDR_LOOPBACK(&from.sin6_addr));
    EXPECT(from.sin6_port == 0 && n == sizeof(from));
    EXPECT_ERR(recv(s, &got, sizeof(got), MSG_DONTWAIT), EAGAIN);
}

TEST(a_checksum_is_made_and_looked_at_where_it_was_said)
{
    char data[8] = "12\0\0abcd", got[8];
    int s, r, plain;

    own_net();
    s = raw(200);
    r = raw(200);
    plain = raw(200);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_CHECKSUM) == -1);
    set(r, IPPROTO_IPV6, IPV6_CHECKSUM, 2);
    EXPECT_ERR(setsockopt(r, IPPROTO_IPV6, IPV6_CHECKSUM, &(int){3}, sizeof(int)), EINVAL);
    EXPECT_ERR(setsockopt(raw(IPPROTO_ICMPV6), IPPROTO_IPV6, IPV6_CHECKSUM, &(int){2}, sizeof(int)),
               EINVAL);
    set(raw(IPPROTO_ICMPV6), SOL_RAW, IPV6_CHECKSUM, 2); /* as ping says */
    send_to(s, data, sizeof(data), "::1", 0);            /* a wrong one */
    EXPECT(recv(plain, got, sizeof(got), 0) == 8 && memcmp(got, data, 8) == 0);
    EXPECT_ERR(recv(r, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    set(s, IPPROTO_IPV6, IPV6_CHECKSUM, 2);
    send_to(s, data, sizeof(data), "::1", 0);
    EXPECT(recv(r, got, sizeof(got), 0) == 8 && memcmp(got, "12", 2) == 0);
    EXPECT(memcmp(got + 4, "abcd", 4) == 0);
}

TEST(a_ping_socket_gets_its_own_answers)
{
    struct echo e = echo(3), got;
    struct sockaddr_in6 from;
    socklen_t n = sizeof(from);
    int s;

    own_net();
    put("/proc/sys/net/ipv4/ping_group_range", "0 1000");
    s = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
    EXPECT(s >= 0);
    EXPECT_ERR(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMP), EPROTONOSUPPORT);
    set(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    send_to(s, &e, sizeof(e), "::1", 0);
    EXPECT(recvfrom(s, &got, sizeof(got), 0, (void *)&from, &n) == sizeof(got));
    EXPECT(got.h.icmp6_type == ICMP6_ECHO_REPLY && ntohs(got.h.icmp6_id) == port_of(s));
    EXPECT(got.h.icmp6_seq == htons(3) && strcmp(got.data, "payload") == 0);
    e.h.icmp6_type = ICMP6_ECHO_REPLY;
    EXPECT(connect_at(s, "::1", 0) == 0);
    EXPECT_ERR(send(s, &e, sizeof(e), 0), EINVAL);
}

TEST(groups_are_joined_and_left)
{
    struct ipv6_mreq m = {.ipv6mr_interface = 1};
    int a = socket(AF_INET6, SOCK_DGRAM, 0), b, s;

    own_net();
    close(a);
    a = socket(AF_INET6, SOCK_DGRAM, 0);
    b = socket(AF_INET6, SOCK_DGRAM, 0);
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    set(a, SOL_SOCKET, SO_REUSEADDR, 1);
    set(b, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT(bind_at(a, "::", 5000) == 0 && bind_at(b, "::", 5000) == 0);
    set(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_MULTICAST_IF) == 1);
    EXPECT_ERR(setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, &(int){99}, sizeof(int)), ENODEV);
    EXPECT(inet_pton(AF_INET6, "ff02::1234", &m.ipv6mr_multiaddr) == 1);
    EXPECT(setsockopt(a, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof(m)) == 0);
    EXPECT(setsockopt(b, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof(m)) == 0);
    EXPECT_ERR(setsockopt(b, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof(m)), EADDRINUSE);
    EXPECT(setsockopt(a, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &m, sizeof(m)) == 0);
    EXPECT_ERR(setsockopt(a, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &m, sizeof(m)), EADDRNOTAVAIL);
}

#define FRAGMENTS 0x4242 /* the id of those that are sent */

/* A fragment of 8 bytes of IPv6, as it comes to lo. */
static void fragment_on_lo(int link, const char *ends, uint8_t next, uint16_t offset)
{
    struct sockaddr_ll lo = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6), .sll_ifindex = 1};
    struct {
        struct ip6_hdr h;
        struct ip6_frag f;
        char data[8];
    } p = {.h = {.ip6_plen = htons(16), .ip6_nxt = IPPROTO_FRAGMENT, .ip6_hlim = 64},
           .f = {.ip6f_nxt = next, .ip6f_ident = htonl(FRAGMENTS)},
           .data = "IPV6..."};

    lo.sll_halen = 6;
    p.h.ip6_vfc = 0x60;
    p.f.ip6f_offlg = htons(offset) | (offset ? 0 : IP6F_MORE_FRAG);
    EXPECT(inet_pton(AF_INET6, ends, &p.h.ip6_src) == 1);
    p.h.ip6_dst = p.h.ip6_src;
    EXPECT(sendto(link, &p, sizeof(p), 0, (void *)&lo, sizeof(lo)) == sizeof(p));
}

TEST(fragments_of_two_families_are_never_of_one_datagram)
{
    struct {
        struct iphdr ip;
        char data[8];
    } first = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = 253}, .data = "IPV4..."};
    struct sockaddr_in6 from;
    socklen_t n = sizeof(from);
    int s, r4, r6, link;
    char got[200];

    own_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(s, "d0", "dummy", true)); /* with lo alone nothing is put together */
    close(s);
    s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    r4 = socket(AF_INET, SOCK_RAW, 253);
    r6 = raw(253);
    link = socket(AF_PACKET, SOCK_DGRAM, 0);
    EXPECT(s >= 0 && r4 >= 0 && link >= 0);
    first.ip.daddr = first.ip.saddr = htonl(INADDR_LOOPBACK);
    first.ip.id = htons(FRAGMENTS);
    first.ip.frag_off = htons(IP_MF);
    send_to(s, &first, sizeof(first), "127.0.0.1", 0);
    fragment_on_lo(link, "::ffff:127.0.0.1", 253, 8);
    fragment_on_lo(link, "ff02::1", 253, 0); /* no host's address */
    fragment_on_lo(link, "ff02::1", 253, 8);
    fragment_on_lo(link, "::1", 253, 0);
    fragment_on_lo(link, "::1", 254, 8); /* what follows is said by the first alone */
    EXPECT(recvfrom(r6, got, sizeof(got), 0, (void *)&from, &n) == 16);
    EXPECT(IN6_IS_ADDR_LOOPBACK(&from.sin6_addr)); /* and so the others have come before */
    EXPECT_ERR(recv(r6, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(recv(r4, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
}
