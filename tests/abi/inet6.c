/* SPDX-License-Identifier: MIT
 *
 * IPv6 on the loopback, and sockets of both families: names, dual-stack listeners, mapped
 * addresses, options, what /proc and the C library show of it.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "abi.h"
#include "inet.h"

static int sendto_at(int s, const char *ip, int port)
{
    socklen_t n;
    union name a = at(ip, port, &n);

    return (int)sendto(s, "hello", 5, 0, &a.sa, n);
}

/* "[address]" of a name that must be of the family. */
static const char *shown(const union name *a, int family)
{
    static char text[2][INET6_ADDRSTRLEN];
    static int turn;
    char *t = text[turn++ % 2];

    EXPECT(a->sa.sa_family == family);
    EXPECT(inet_ntop(family, family == AF_INET ? (const void *)&a->in.sin_addr : &a->in6.sin6_addr,
                     t, INET6_ADDRSTRLEN));
    return t;
}

static bool is_named(int s, int family, const char *ip, bool peer)
{
    union name a;
    socklen_t n = sizeof(a);

    memset(&a, 0xee, sizeof(a));
    EXPECT((peer ? getpeername : getsockname)(s, &a.sa, &n) == 0);
    EXPECT(n == (family == AF_INET ? sizeof(a.in) : sizeof(a.in6)));
    return !strcmp(shown(&a, family), ip);
}

static int tcp6(void)
{
    return socket(AF_INET6, SOCK_STREAM, 0);
}
static int tcp4(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}
static int udp6(void)
{
    return socket(AF_INET6, SOCK_DGRAM, 0);
}
static int udp4(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int set_err(int s, int level, int name, int v)
{
    return setsockopt(s, level, name, &v, sizeof(v)) ? errno : 0;
}

static int only6(int s)
{
    set(s, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    return s;
}

/* ------------------------------------------------------------- names */

TEST(a_stream_over_ipv6_has_ipv6_names)
{
    int l = tcp6(), c = tcp6(), s;
    char buf[8];

    EXPECT(bind_at(l, "::1", 0) == 0 && listen(l, 1) == 0);
    EXPECT(is_named(l, AF_INET6, "::1", false));
    EXPECT(connect_at(c, "::1", port_of(l)) == 0 && (s = accept(l, NULL, NULL)) >= 0);
    EXPECT(is_named(c, AF_INET6, "::1", false) && is_named(c, AF_INET6, "::1", true));
    EXPECT(is_named(s, AF_INET6, "::1", false) && is_named(s, AF_INET6, "::1", true));
    EXPECT(write(c, "six", 3) == 3 && read(s, buf, 8) == 3 && !memcmp(buf, "six", 3));
    EXPECT(get(s, SOL_SOCKET, SO_DOMAIN) == AF_INET6 && get(c, SOL_SOCKET, SO_PROTOCOL) == 6);
    EXPECT(is_named(tcp6(), AF_INET6, "::", false));
    EXPECT_ERR(getpeername(l, &(struct sockaddr){0}, &(socklen_t){sizeof(struct sockaddr)}),
               ENOTCONN);
}

TEST(a_dual_listener_takes_both_families)
{
    int l = tcp6(), c6 = tcp6(), c4 = tcp4(), mapped = tcp6(), s;
    union name peer;
    socklen_t n = sizeof(peer);

    EXPECT(get(l, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
    EXPECT(bind_at(l, "::", 0) == 0 && listen(l, 8) == 0);
    EXPECT(connect_at(c4, "127.0.0.1", port_of(l)) == 0);
    EXPECT((s = accept(l, &peer.sa, &n)) >= 0 && n == sizeof(peer.in6));
    EXPECT(!strcmp(shown(&peer, AF_INET6), "::ffff:127.0.0.1"));
    EXPECT(is_named(s, AF_INET6, "::ffff:127.0.0.1", false));
    EXPECT(is_named(c4, AF_INET, "127.0.0.1", true));
    EXPECT(connect_at(c6, "::1", port_of(l)) == 0 && (s = accept(l, NULL, NULL)) >= 0);
    EXPECT(is_named(s, AF_INET6, "::1", true));
    EXPECT(connect_at(mapped, "::ffff:127.0.0.3", port_of(l)) == 0);
    EXPECT((s = accept(l, NULL, NULL)) >= 0);
    EXPECT(is_named(mapped, AF_INET6, "::ffff:127.0.0.3", true));
    EXPECT(is_named(mapped, AF_INET6, "::ffff:127.0.0.1", false));
    EXPECT(is_named(s, AF_INET6, "::ffff:127.0.0.3", false));
}

TEST(a_listener_of_ipv6_alone_takes_no_ipv4)
{
    int l = only6(tcp6()), c = only6(tcp6());

    EXPECT(bind_at(l, "::", 0) == 0 && listen(l, 8) == 0);
    EXPECT_ERR(connect_at(tcp4(), "127.0.0.1", port_of(l)), ECONNREFUSED);
    EXPECT_ERR(connect_at(c, "::ffff:127.0.0.1", port_of(l)), ENETUNREACH);
    EXPECT(connect_at(c, "::1", port_of(l)) == 0);
    EXPECT(set_err(l, IPPROTO_IPV6, IPV6_V6ONLY, 0) == EINVAL); /* it has a name */
    EXPECT_ERR(bind_at(only6(tcp6()), "::ffff:127.0.0.1", 0), EINVAL);
}

/* nginx as Debian configures it: listen 80; listen [::]:80 ipv6only=on. */
TEST(a_server_listens_to_each_family_by_itself)
{
    int l4 = tcp4(), l6 = tcp6(), port, c;

    set(l4, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT(bind_at(l4, "0.0.0.0", 0) == 0);
    port = port_of(l4);
    set(l6, SOL_SOCKET, SO_REUSEADDR, 1);
    set(l6, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    EXPECT(bind_at(l6, "::", port) == 0);
    EXPECT(listen(l4, 511) == 0 && listen(l6, 511) == 0);
    EXPECT(connect_at(c = tcp4(), "127.0.0.1", port) == 0 && accept(l4, NULL, NULL) >= 0);
    EXPECT(connect_at(c = tcp6(), "::1", port) == 0 && accept(l6, NULL, NULL) >= 0);
    EXPECT(connect_at(c = tcp6(), "::ffff:127.0.0.1", port) == 0 && accept(l4, NULL, NULL) >= 0);
}

TEST(wildcards_conflict_as_on_linux)
{
    int a = tcp4(), port;

    EXPECT(bind_at(a, "0.0.0.0", 0) == 0);
    port = port_of(a);
    EXPECT_ERR(bind_at(tcp6(), "::", port), EADDRINUSE);
    EXPECT_ERR(bind_at(tcp6(), "::ffff:0.0.0.0", port), EADDRINUSE);
    EXPECT_ERR(bind_at(tcp6(), "::ffff:127.0.0.1", port), EADDRINUSE);
    EXPECT(bind_at(tcp6(), "::1", port) == 0);
    EXPECT_ERR(bind_at(only6(tcp6()), "::", port), EADDRINUSE); /* ::1 */
    close(a);
    EXPECT(bind_at(a = only6(tcp6()), "::", 0) == 0);
    port = port_of(a);
    EXPECT_ERR(bind_at(tcp6(), "::", port), EADDRINUSE);
    EXPECT_ERR(bind_at(tcp6(), "::1", port), EADDRINUSE);
    EXPECT(bind_at(tcp4(), "127.0.0.1", port) == 0);
    EXPECT(bind_at(tcp6(), "::ffff:127.0.0.2", port) == 0);
    EXPECT(bind_at(a = tcp6(), "::", 0) == 0);
    port = port_of(a);
    EXPECT_ERR(bind_at(tcp4(), "0.0.0.0", port), EADDRINUSE);
    EXPECT_ERR(bind_at(tcp4(), "127.0.0.1", port), EADDRINUSE);
    EXPECT_ERR(bind_at(tcp6(), "::1", port), EADDRINUSE);
    EXPECT(bind_at(udp6(), "::", port) == 0); /* another kind */
}

TEST(reuse_passes_between_the_families)
{
    int a = tcp6(), b = tcp4(), c = tcp4(), port;

    set(a, SOL_SOCKET, SO_REUSEADDR, 1);
    set(b, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT(bind_at(a, "::", 0) == 0);
    port = port_of(a);
    EXPECT_ERR(bind_at(c, "0.0.0.0", port), EADDRINUSE);
    EXPECT(bind_at(b, "127.0.0.1", port) == 0);
    EXPECT(listen(a, 1) == 0);
    EXPECT_ERR(listen(b, 1), EADDRINUSE);
    set(c, SOL_SOCKET, SO_REUSEADDR, 1);
    EXPECT_ERR(bind_at(c, "127.0.0.9", port), EADDRINUSE);
    a = tcp6(), b = tcp4();
    set(a, SOL_SOCKET, SO_REUSEPORT, 1);
    set(b, SOL_SOCKET, SO_REUSEPORT, 1);
    EXPECT(bind_at(a, "::", 0) == 0 && listen(a, 8) == 0);
    EXPECT(bind_at(b, "0.0.0.0", port_of(a)) == 0 && listen(b, 8) == 0);
    EXPECT(connect_at(c = tcp4(), "127.0.0.1", port_of(a)) == 0); /* the one of IPv4 hears it */
    EXPECT(accept(b, NULL, NULL) >= 0);
}

TEST(addresses_that_are_not_there)
{
    int s = tcp6();
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
    struct sockaddr_in four = {.sin_family = AF_INET};

    EXPECT_ERR(bind_at(s, "2001:db8::1", 0), EADDRNOTAVAIL);
    EXPECT_ERR(bind_at(s, "::2", 0), EADDRNOTAVAIL);
    EXPECT_ERR(bind_at(s, "::ffff:10.1.2.3", 0), EADDRNOTAVAIL);
    EXPECT_ERR(bind_at(s, "fe80::1", 0), EINVAL); /* of no interface */
    EXPECT_ERR(connect_at(s, "fe80::1", 1), EINVAL);
    EXPECT_ERR(connect_at(s, "2001:db8::1", 1), ENETUNREACH);
    EXPECT_ERR(bind(s, (void *)&a, 16), EINVAL);
    EXPECT_ERR(bind(s, (void *)&four, sizeof(a)), EAFNOSUPPORT);
    EXPECT_ERR(connect(s, (void *)&four, sizeof(a)), EAFNOSUPPORT);
    EXPECT_ERR(bind_at(s, "ff02::1", 0), EINVAL);
    EXPECT_ERR(bind_at(tcp4(), "::1", 0), EAFNOSUPPORT);
    inet_pton(AF_INET6, "::1", &a.sin6_addr);
    a.sin6_port = 0;
    EXPECT(bind(s, (void *)&a, 24) == 0); /* without the scope: RFC 2133 */
}

TEST(the_wildcard_connects_to_the_loopback)
{
    int l = tcp6(), c = tcp6();

    EXPECT(bind_at(l, "::", 0) == 0 && listen(l, 8) == 0);
    EXPECT(connect_at(c, "::", port_of(l)) == 0 && is_named(c, AF_INET6, "::1", true));
    c = tcp6();
    EXPECT(bind_at(c, "::ffff:127.0.0.1", 0) == 0 && connect_at(c, "::", port_of(l)) == 0);
    EXPECT(is_named(c, AF_INET6, "::ffff:127.0.0.1", true));
    c = tcp6();
    EXPECT(connect_at(c, "::ffff:0.0.0.0", port_of(l)) == 0);
    EXPECT(is_named(c, AF_INET6, "::ffff:127.0.0.1", true));
    EXPECT(bind_at(c = tcp6(), "::ffff:127.0.0.1", 0) == 0);
    EXPECT_ERR(connect_at(c, "::1", port_of(l)), EAFNOSUPPORT);
}

/* ------------------------------------------------------------- datagrams */

TEST(datagrams_tell_their_senders_in_the_receivers_family)
{
    int r = udp6(), s6 = udp6(), s4 = udp4();
    union name from;
    socklen_t n = sizeof(from);
    char buf[8];

    EXPECT(bind_at(r, "::", 0) == 0);
    EXPECT(sendto_at(s6, "::1", port_of(r)) == 5);
    EXPECT(recvfrom(r, buf, 8, 0, &from.sa, &n) == 5 && n == sizeof(from.in6));
    EXPECT(!strcmp(shown(&from, AF_INET6), "::1") && ntohs(from.in6.sin6_port) == port_of(s6));
    EXPECT(is_named(s6, AF_INET6, "::", false));
    EXPECT(sendto_at(s4, "127.0.0.1", port_of(r)) == 5);
    EXPECT(recvfrom(r, buf, 8, 0, &from.sa, &n) == 5);
    EXPECT(!strcmp(shown(&from, AF_INET6), "::ffff:127.0.0.1"));
    EXPECT(sendto(r, "back", 4, 0, &from.sa, n) == 4);
    n = sizeof(from);
    EXPECT(recvfrom(s4, buf, 8, 0, &from.sa, &n) == 4 && n == sizeof(from.in));
    EXPECT(!strcmp(shown(&from, AF_INET), "127.0.0.1"));
    EXPECT(sendto_at(r, "127.0.0.1", port_of(s4)) == 5); /* of AF_INET, by an AF_INET6 socket */
    EXPECT_ERR(sendto_at(only6(udp6()), "127.0.0.1", port_of(s4)), ENETUNREACH);
    EXPECT_ERR(sendto_at(r, "::1", 0), EINVAL);
    EXPECT_ERR(send(udp6(), "x", 1, 0), EDESTADDRREQ);
}

static void too_much_in_parts(int s, int max)
{
    static char block[65527];

    EXPECT(send(s, block, (size_t)max, MSG_MORE) == max);
    EXPECT_ERR(send(s, block, 1, MSG_MORE), EMSGSIZE); /* and all of it is dropped */
    EXPECT(send(s, block, (size_t)max - 1, MSG_MORE) == max - 1);
    EXPECT_ERR(send(s, block, (size_t)max, MSG_MORE), EMSGSIZE);
}

TEST(parts_make_no_datagram_above_its_largest_size)
{
    char c[8];
    int r = udp6(), s = udp6(), s4 = udp4();

    EXPECT(bind_at(r, "::", 0) == 0);
    EXPECT(connect_at(s, "::1", port_of(r)) == 0 && connect_at(s4, "127.0.0.1", port_of(r)) == 0);
    too_much_in_parts(s, 65527);
    too_much_in_parts(s4, 65507);
    EXPECT(send(s, "six", 3, 0) == 3 && recv(r, c, sizeof(c), 0) == 3);
    EXPECT(send(s4, "four", 4, 0) == 4 && recv(r, c, sizeof(c), 0) == 4);
    EXPECT_ERR(recv(r, c, sizeof(c), MSG_DONTWAIT), EAGAIN);
}

TEST(a_connected_datagram_socket_can_be_disconnected)
{
    int r = udp6(), s = udp6(), port;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    char c;

    EXPECT(bind_at(r, "::1", 0) == 0 && connect_at(s, "::1", port_of(r)) == 0);
    EXPECT(is_named(s, AF_INET6, "::1", false) && is_named(s, AF_INET6, "::1", true));
    EXPECT(send(s, "x", 1, 0) == 1 && recv(r, &c, 1, 0) == 1);
    EXPECT(connect(s, &none, sizeof(none)) == 0);
    EXPECT(is_named(s, AF_INET6, "::", false) && port_of(s) == 0);
    EXPECT_ERR(send(s, "x", 1, 0), EDESTADDRREQ);
    EXPECT(connect_at(s, "127.0.0.1", port_of(r)) == 0); /* then by the other family */
    EXPECT(is_named(s, AF_INET6, "::ffff:127.0.0.1", false));
    EXPECT_ERR(connect_at(only6(udp6()), "127.0.0.1", 1), EAFNOSUPPORT);
    s = udp6();
    EXPECT(bind_at(s, "::", 0) == 0 && (port = port_of(s)));
    close(s);
    s = udp6();
    EXPECT(bind_at(s, "::", port) == 0 && connect_at(s, "::1", port_of(r)) == 0);
    EXPECT(is_named(s, AF_INET6, "::1", false) && port_of(s) == port);
    EXPECT(connect(s, &none, sizeof(none)) == 0);
    EXPECT(is_named(s, AF_INET6, "::", false) && port_of(s) == port); /* asked for: it stays */
}

/* The C library asks so for the source address that each of a name's addresses would have. */
TEST(a_datagram_socket_connects_to_port_0)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    union name a;
    socklen_t n = sizeof(a);
    int s = udp6();

    EXPECT(connect_at(s, "::1", 0) == 0 && is_named(s, AF_INET6, "::1", false) && port_of(s));
    EXPECT_ERR(getpeername(s, &a.sa, &n), ENOTCONN);
    EXPECT(connect(s, &none, sizeof(none)) == 0 && is_named(s, AF_INET6, "::", false));
    EXPECT(connect_at(s, "127.0.0.1", 0) == 0);
    EXPECT(is_named(s, AF_INET6, "::ffff:127.0.0.1", false));
    EXPECT(shutdown(s, SHUT_RD) == 0);
    s = udp4();
    EXPECT_ERR(sendto_at(s, "127.0.0.1", 0), EINVAL);
    EXPECT(connect_at(s, "127.0.0.1", 0) == 0 && send(s, "x", 1, 0) == 1);
}

TEST(an_unheard_datagram_is_told_to_its_sender)
{
    int s = udp6(), gone = udp6();
    int port;
    char c;

    EXPECT(bind_at(gone, "::1", 0) == 0 && (port = port_of(gone)));
    close(gone);
    EXPECT(connect_at(s, "::1", port) == 0 && send(s, "x", 1, 0) == 1);
    EXPECT_ERR(recv(s, &c, 1, 0), ECONNREFUSED);
}

struct told {
    struct in6_pktinfo info6;
    struct in_pktinfo info4;
    int has6, has4, hops, class;
};

static void receive_told(int s, struct told *t)
{
    char data[16], control[256];
    struct iovec v = {data, sizeof(data)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

    memset(t, 0, sizeof(*t));
    t->hops = t->class = -1;
    EXPECT(recvmsg(s, &m, 0) == 5 && !(m.msg_flags & MSG_CTRUNC));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
            memcpy(&t->info6, CMSG_DATA(c), sizeof(t->info6)), t->has6++;
        else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            memcpy(&t->info4, CMSG_DATA(c), sizeof(t->info4)), t->has4++;
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)
            memcpy(&t->hops, CMSG_DATA(c), sizeof(int));
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            memcpy(&t->class, CMSG_DATA(c), sizeof(int));
        else
            EXPECT(!"a control message that was not asked for");
    }
}

TEST(a_receiver_hears_where_a_datagram_went)
{
    int r = udp6(), s6 = udp6(), s4 = udp4();
    char text[INET6_ADDRSTRLEN];
    struct told t;

    set(r, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(r, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    set(r, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    EXPECT(bind_at(r, "::", 0) == 0 && sendto_at(s6, "::1", port_of(r)) == 5);
    receive_told(r, &t);
    inet_ntop(AF_INET6, &t.info6.ipi6_addr, text, sizeof(text));
    EXPECT(t.has6 == 1 && !strcmp(text, "::1") && t.info6.ipi6_ifindex == 1);
    EXPECT(t.hops == 64 && t.class == 0 && !t.has4);
    EXPECT(sendto_at(s4, "127.0.0.7", port_of(r)) == 5);
    receive_told(r, &t);
    inet_ntop(AF_INET6, &t.info6.ipi6_addr, text, sizeof(text));
    EXPECT(t.has6 == 1 && !strcmp(text, "::ffff:127.0.0.7") && t.info6.ipi6_ifindex == 1);
    EXPECT(t.hops == -1 && t.class == -1);
    set(r, IPPROTO_IP, IP_PKTINFO, 1);
    EXPECT(sendto_at(s4, "127.0.0.7", port_of(r)) == 5);
    receive_told(r, &t);
    EXPECT(t.has4 == 1 && ntohl(t.info4.ipi_addr.s_addr) == 0x7f000007);
}

static int send_from(int s, const char *to, int port, const char *from, unsigned device)
{
    char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    struct iovec v = {(char *)"hello", 5};
    socklen_t n;
    union name a = at(to, port, &n);
    struct msghdr m = {.msg_name = &a,
                       .msg_namelen = n,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    struct in6_pktinfo info = {.ipi6_ifindex = device};

    EXPECT(inet_pton(AF_INET6, from, &info.ipi6_addr) == 1);
    c->cmsg_level = IPPROTO_IPV6;
    c->cmsg_type = IPV6_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    return (int)sendmsg(s, &m, 0);
}

TEST(a_sender_says_where_a_datagram_comes_from)
{
    int r = udp6(), s = udp6();
    union name from;
    socklen_t n = sizeof(from);
    char buf[8];

    EXPECT(bind_at(r, "::", 0) == 0);
    EXPECT(send_from(s, "::1", port_of(r), "::1", 1) == 5);
    EXPECT(recvfrom(r, buf, 8, 0, &from.sa, &n) == 5 && !strcmp(shown(&from, AF_INET6), "::1"));
    EXPECT(send_from(s, "::ffff:127.0.0.1", port_of(r), "::ffff:127.0.0.8", 0) == 5);
    EXPECT(recvfrom(r, buf, 8, 0, &from.sa, &n) == 5);
    EXPECT(!strcmp(shown(&from, AF_INET6), "::ffff:127.0.0.8"));
    EXPECT_ERR(send_from(s, "::1", port_of(r), "2001:db8::1", 0), EINVAL);
    EXPECT_ERR(send_from(s, "::1", port_of(r), "::", 77), ENODEV);
    EXPECT_ERR(send_from(s, "::ffff:127.0.0.1", port_of(r), "::1", 0), EINVAL);
}

/* ------------------------------------------------------------- options */

TEST(options_of_ipv6_have_linuxs_values)
{
    int s = tcp6(), u = udp6();

    EXPECT(get(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 64);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_MULTICAST_HOPS) == 1);
    EXPECT(get(u, IPPROTO_IPV6, IPV6_MULTICAST_LOOP) == 1);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER) == IPV6_PMTUDISC_WANT);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_TCLASS) == 0 && get(u, IPPROTO_IPV6, IPV6_DONTFRAG) == 0);
    set(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 9);
    set(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 64);
    EXPECT(set_err(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256) == EINVAL);
    EXPECT(set_err(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -2) == EINVAL);
    EXPECT(set_err(u, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 2) == EINVAL);
    set(s, IPPROTO_IPV6, IPV6_TCLASS, 0x88);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_TCLASS) == 0x88);
    EXPECT(set_err(s, IPPROTO_IPV6, IPV6_TCLASS, 256) == EINVAL);
    EXPECT(set_err(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER, 6) == EINVAL);
    set(s, IPPROTO_IP, IP_TOS, 0x10); /* IPv4's, too */
    EXPECT(get(s, IPPROTO_IP, IP_TOS) == 0x10 && get(s, IPPROTO_IP, IP_TTL) == 64);
    set(s, IPPROTO_TCP, TCP_NODELAY, 1);
    EXPECT(get(s, IPPROTO_TCP, TCP_NODELAY) == 1);
    EXPECT(set_err(tcp4(), IPPROTO_IPV6, IPV6_V6ONLY, 1) == ENOPROTOOPT);
    EXPECT(set_err(s, IPPROTO_IPV6, 250, 1) == ENOPROTOOPT);
    EXPECT(set_err(u, IPPROTO_UDP, 250, 1) == ENOPROTOOPT);
    char small = 1;
    EXPECT_ERR(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &small, 1), EINVAL);
}

TEST(accepted_sockets_keep_ipv6_alone)
{
    int l = only6(tcp6()), c = tcp6(), s;

    set(l, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
    EXPECT(bind_at(l, "::1", 0) == 0 && listen(l, 1) == 0);
    EXPECT(connect_at(c, "::1", port_of(l)) == 0 && (s = accept(l, NULL, NULL)) >= 0);
    EXPECT(get(s, IPPROTO_IPV6, IPV6_V6ONLY) == 1 && get(c, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
    EXPECT(get(s, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
}

/* ------------------------------------------------------------- what is shown */

static char *slurp(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");

    EXPECT(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    return text;
}

static char *line_of_port(const char *path, const char *ip, int port)
{
    char key[64], *p;

    snprintf(key, sizeof(key), " %s:%04X ", ip, (unsigned)port);
    p = strstr(slurp(path), key);
    return p ? p + 1 : NULL;
}

#define ONE "00000000000000000000000001000000"
#define ANY "00000000000000000000000000000000"
TEST(proc_shows_sockets_of_ipv6)
{
    int l = tcp6(), u = udp6(), l4 = tcp4(), c = tcp6();
    unsigned state;
    char *p;

    EXPECT(bind_at(l, "::1", 0) == 0 && listen(l, 1) == 0 && bind_at(u, "::", 0) == 0);
    EXPECT(bind_at(l4, "127.0.0.1", 0) == 0 && listen(l4, 1) == 0);
    p = line_of_port("/proc/net/tcp6", ONE, port_of(l));
    EXPECT(p && sscanf(p, "%*s %*s %X", &state) == 1 && state == 10);
    EXPECT(!strncmp(slurp("/proc/net/tcp6"),
                    "  sl  local_address                         remote_address                "
                    "        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
                    100));
    p = line_of_port("/proc/net/udp6", ANY, port_of(u));
    EXPECT(p && sscanf(p, "%*s %*s %X", &state) == 1 && state == 7);
    EXPECT(!strstr(slurp("/proc/net/tcp"), ONE));
    EXPECT(line_of_port("/proc/net/tcp", "0100007F", port_of(l4)));
    EXPECT(strlen(strchr(slurp("/proc/net/tcp"), '\n') + 1) % 150 == 0);
    EXPECT(connect_at(c, "::ffff:127.0.0.1", port_of(l4)) == 0);
    EXPECT(line_of_port("/proc/net/tcp6", "0000000000000000FFFF00000100007F", port_of(c)));
    EXPECT(strstr(slurp("/proc/net/sockstat6"), "TCP6: inuse "));
}

TEST(the_loopback_has_its_address_while_it_is_up)
{
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int l;

    EXPECT(strstr(slurp("/proc/net/if_inet6"),
                  "00000000000000000000000000000001 01 80 10 80       lo\n"));
    EXPECT(unshare(CLONE_NEWNET) == 0);
    EXPECT(!strstr(slurp("/proc/self/net/if_inet6"), "lo"));
    EXPECT_ERR(bind_at(tcp6(), "::1", 0), EADDRNOTAVAIL);
    EXPECT(connect_at(udp6(), "::1", 1) == -1 &&
           (errno == ENETUNREACH || errno == EADDRNOTAVAIL)); /* Linux: the latter */
    EXPECT(ioctl(udp6(), SIOCSIFFLAGS, &up) == 0);
    EXPECT(strstr(slurp("/proc/self/net/if_inet6"), "lo"));
    EXPECT(bind_at(l = tcp6(), "::1", 0) == 0 && listen(l, 1) == 0);
    EXPECT(connect_at(tcp6(), "::1", port_of(l)) == 0);
}

static bool write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

TEST(sysctls_are_of_the_namespace)
{
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int l;

    EXPECT(!strcmp(slurp("/proc/sys/net/ipv6/bindv6only"), "0\n"));
    EXPECT(!strcmp(slurp("/proc/sys/net/ipv6/conf/all/disable_ipv6"), "0\n"));
    EXPECT(atoi(slurp("/proc/sys/net/core/somaxconn")) == 4096);
    EXPECT(!strcmp(slurp("/proc/sys/net/ipv4/ip_local_port_range"), "32768\t60999\n"));
    EXPECT(unshare(CLONE_NEWNET) == 0 && ioctl(udp6(), SIOCSIFFLAGS, &up) == 0);
    EXPECT(write_to("/proc/sys/net/ipv6/bindv6only", "1\n"));
    EXPECT(get(l = tcp6(), IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    EXPECT(bind_at(l, "::1", 0) == 0);
    EXPECT(write_to("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1"));
    EXPECT(!strcmp(slurp("/proc/sys/net/ipv6/conf/lo/disable_ipv6"), "1\n"));
    EXPECT_ERR(bind_at(tcp6(), "::1", 0), EADDRNOTAVAIL);
    EXPECT(bind_at(tcp4(), "127.0.0.1", 0) == 0);
    EXPECT(!write_to("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "x"));
}

/* The C library's look at what the machine has. */
TEST(the_c_library_finds_both_families)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_ADDRCONFIG,
                             .ai_socktype = SOCK_STREAM},
                    *list, *a;
    int four = 0, six = 0;

    EXPECT(getaddrinfo(NULL, "80", &hints, &list) == 0);
    for (a = list; a; a = a->ai_next)
        *(a->ai_family == AF_INET ? &four : &six) += 1;
    EXPECT(four == 1 && six == 1);
    hints.ai_flags = AI_NUMERICHOST;
    EXPECT(getaddrinfo("::1", "80", &hints, &list) == 0 && list->ai_family == AF_INET6);
    EXPECT(list->ai_addrlen == sizeof(struct sockaddr_in6));
}

TEST(interfaces_are_told_to_sockets_of_ipv6)
{
    struct ifreq r = {.ifr_name = "lo"};
    int s = udp6();

    EXPECT(ioctl(s, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & (IFF_UP | IFF_LOOPBACK)));
    EXPECT(ioctl(s, SIOCGIFINDEX, &r) == 0 && r.ifr_ifindex == 1);
    EXPECT_ERR(ioctl(s, SIOCGIFADDR, &r), ENOTTY);
}

TEST(kinds_of_sockets_of_ipv6_that_are_not_there)
{
    EXPECT_ERR(socket(AF_INET6, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    EXPECT_ERR(socket(AF_INET6, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_INET6, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_INET6, SOCK_RAW, 0), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_INET6, SOCK_DGRAM, 1000), EINVAL);
    EXPECT_ERR(socketpair(AF_INET6, SOCK_STREAM, 0, (int[2]){0}), EOPNOTSUPP);
}
