/* SPDX-License-Identifier: MIT
 *
 * Which segments a TCP socket lets in: IP_MINTTL, IPV6_MINHOPCOUNT, SO_ATTACH_FILTER, of listeners,
 * half-open and open connections, on a wire whose other end is the test (peer.h) and over lo; which
 * of its connections a socket is judged by; and which way its answers go.
 */
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/sockios.h>

#include "peer.h"

#include "netlink.h"

#define HEADER 20 /* of the peer's segments */

static int listener(const char *ip, unsigned short port)
{
    int l = socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    EXPECT(bind_at(l, ip, port) == 0 && listen(l, 4) == 0);
    return l;
}

static bool reads(int s, const char *text)
{
    char buf[64];
    size_t n = strlen(text);

    return recv(s, buf, sizeof(buf), 0) == (ssize_t)n && !memcmp(buf, text, n);
}

static int state_of(int s)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);

    EXPECT(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &n) == 0);
    return info.tcpi_state;
}

static int events(int s, short wanted)
{
    struct pollfd p = {.fd = s, .events = wanted};

    EXPECT(poll(&p, 1, 0) >= 0);
    return p.revents;
}

/* Waits for one of the events; what there is then. */
static int events_once(int s, short wanted)
{
    struct pollfd p = {.fd = s, .events = wanted};

    EXPECT(poll(&p, 1, -1) == 1);
    return events(s, POLLIN | POLLOUT | POLLRDHUP);
}

static int peer_port(int s)
{
    union name a;
    socklen_t n = sizeof(a);

    EXPECT(getpeername(s, &a.sa, &n) == 0);
    return ntohs(a.in.sin_port);
}

static void connect_later(int s, const char *ip, int port)
{
    EXPECT(nonblocking(s, true) == 0);
    EXPECT_ERR(connect_at(s, ip, port), EINPROGRESS);
}

/* ---- hops ---- */

/* As peer_send, but the packet has so many hops left, and does not count as sent. */
static void send_hops(struct peer *p, unsigned char hops, unsigned char flags, const char *text)
{
    struct seg g = peer_next(p, flags, text, (int)strlen(text));
    unsigned char f[14 + 20 + HEADER + 64], *h = f + 14;

    peer_segment(f, &g);
    h[8] = hops;
    put16(h + 10, 0);
    put16(h + 10, ~sum16(h, 20, 0) & 0xffff);
    peer_frame(p, f, 0x0800, g.len + 20 + HEADER);
}

/* RFC 5082. As on Linux the end of the handshake may come with fewer. */
TEST(segments_with_few_hops_left_are_not_let_in)
{
    struct peer p;
    struct seg g;
    int l = (peer_open(&p), listener(HERE, 5000)), s;

    set(l, IPPROTO_IP, IP_MINTTL, 255);
    p.there = 5000;
    send_hops(&p, 254, SYN, "");
    p.port++;
    send_hops(&p, 255, SYN, "");
    peer_await(&p, &g, SYN);
    EXPECT(g.flags == (SYN | ACK) && g.to == p.port);
    p.snd++;
    p.rcv = g.seq + 1;
    send_hops(&p, 64, ACK, "");
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && get(s, IPPROTO_IP, IP_MINTTL) == 255);
    send_hops(&p, 254, ACK | PSH, "far");
    send_hops(&p, 254, RST, "");
    send_hops(&p, 255, ACK | PSH, "near");
    EXPECT(reads(s, "near"));
    p.snd += 4;
    set(s, IPPROTO_IP, IP_MINTTL, 0);
    send_hops(&p, 1, ACK | PSH, "any");
    EXPECT(reads(s, "any"));
}

/* Of two that connect the second is let in; the listener's answer has its hops. */
static void hops_over_lo(const char *ip, int level, int hops, int least)
{
    int l = listener(ip, 5000), family = strchr(ip, ':') ? AF_INET6 : AF_INET, s;
    int far = socket(family, SOCK_STREAM, 0), near = socket(family, SOCK_STREAM, 0);

    set(l, level, hops, 255);
    set(l, level, least, 255);
    connect_later(far, ip, 5000);
    set(near, level, hops, 255);
    set(near, level, least, 255);
    EXPECT(connect_at(near, ip, 5000) == 0);
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && peer_port(s) == port_of(near) && state_of(far) == TCP_SYN_SENT);
    EXPECT(write(s, "bytes", 5) == 5 && reads(near, "bytes"));
    EXPECT(!close(l) && !close(s) && !close(near) && !close(far));
}

TEST(hops_are_looked_at_within_a_namespace)
{
    own_net();
    hops_over_lo("127.0.0.1", IPPROTO_IP, IP_TTL, IP_MINTTL);
    hops_over_lo("::1", IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_MINHOPCOUNT);
}

TEST(datagrams_are_let_in_with_any_hops)
{
    int r = (own_net(), socket(AF_INET, SOCK_DGRAM, 0)), s = socket(AF_INET, SOCK_DGRAM, 0);

    set(r, IPPROTO_IP, IP_MINTTL, 255);
    EXPECT(bind_at(r, "127.0.0.1", 5000) == 0 && connect_at(s, "127.0.0.1", 5000) == 0);
    EXPECT(write(s, "any", 3) == 3 && reads(r, "any"));
}

/* ---- filters ---- */

static void attach(int s, struct sock_filter *f, unsigned short n)
{
    struct sock_fprog prog = {n, f};

    EXPECT(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) == 0);
}

static void attach_keep(int s, unsigned n)
{
    struct sock_filter keep[] = {BPF_STMT(BPF_RET | BPF_K, n)};

    attach(s, keep, 1);
}

/* Segments whose byte `at` has the value, as they are. */
static void attach_byte(int s, unsigned at, unsigned value)
{
    struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, at),
                              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, 0xffff), BPF_STMT(BPF_RET | BPF_K, 0)};

    attach(s, f, 4);
}

static int detach(int s)
{
    int none = 0;

    return setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
}

TEST(listeners_filter_is_its_connections_too)
{
    struct peer p;
    struct seg g;
    int l = (peer_open(&p), listener(HERE, 5000)), s;

    attach_byte(l, 1, PEER_PORT + 1); /* the sender's port */
    p.there = 5000;
    send_hops(&p, 64, SYN, "");
    p.port++;
    send_hops(&p, 64, SYN, "");
    peer_await(&p, &g, SYN);
    EXPECT(g.flags == (SYN | ACK) && g.to == p.port);
    p.snd++;
    p.rcv = g.seq + 1;
    peer_send(&p, ACK, NULL, 0);
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && detach(l) == 0 && detach(s) == 0);
    EXPECT_ERR(detach(s), ENOENT);
    peer_send(&p, ACK | PSH, "bytes", 5);
    EXPECT(reads(s, "bytes"));
}

TEST(filter_of_a_listener_sees_how_handshakes_end)
{
    struct peer p;
    int l = (peer_open(&p), listener(HERE, 5000)), s;

    attach_byte(l, 13, SYN);
    peer_asks(&p, 5000);
    send_hops(&p, 64, ACK | PSH, "lost");
    attach_byte(l, 13, ACK | PSH);
    send_hops(&p, 64, ACK | PSH, "came");
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && reads(s, "came"));
}

TEST(filter_of_a_connection_loses_and_cuts_segments)
{
    struct peer p;
    struct seg g;
    int s = (peer_open(&p), socket(AF_INET, SOCK_STREAM, 0));

    peer_connected(&p, s);
    attach_byte(s, HEADER, 'b');
    send_hops(&p, 64, ACK | PSH, "a lost one");
    send_hops(&p, 64, ACK | PSH, "bytes");
    EXPECT(reads(s, "bytes"));
    p.snd += 5;
    attach_keep(s, HEADER + 3);
    send_hops(&p, 64, ACK | PSH, "header");
    EXPECT(reads(s, "hea"));
    p.snd += 3;
    attach_keep(s, 1); /* of a header nothing is cut */
    do
        peer_await(&p, &g, ACK);
    while (g.ack != p.snd);
    peer_send(&p, ACK | FIN, NULL, 0);
    EXPECT(recv(s, &g, 1, 0) == 0);
}

TEST(filters_are_asked_within_a_namespace)
{
    int l = (own_net(), listener("127.0.0.1", 5000)), s;
    int lost = socket(AF_INET, SOCK_STREAM, 0), come = socket(AF_INET, SOCK_STREAM, 0);
    int deaf = socket(AF_INET, SOCK_STREAM, 0);

    attach_keep(l, 0);
    connect_later(lost, "127.0.0.1", 5000);
    EXPECT(detach(l) == 0 && connect_at(come, "127.0.0.1", 5000) == 0);
    attach_keep(deaf, 0);
    connect_later(deaf, "127.0.0.1", 5000);
    s = accept(l, NULL, NULL);
    EXPECT(s >= 0 && peer_port(s) == port_of(come));
    EXPECT(state_of(lost) == TCP_SYN_SENT && state_of(deaf) == TCP_SYN_SENT);
    EXPECT(events(lost, POLLIN | POLLOUT) == 0 && events(deaf, POLLIN | POLLOUT) == 0);
}

static int connected_from(int l, int s)
{
    EXPECT(connect_at(s, "127.0.0.1", port_of(l)) == 0);
    return port_of(s);
}

/* Connections that are told apart by their peers share the one port that there is. */
TEST(ports_are_shared_by_connections_whose_filters_are_asked)
{
    int l = (own_net(), listener("127.0.0.1", 5000)), other = listener("127.0.0.1", 5001);
    int s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);

    put("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000");
    attach_keep(l, 0xffff);
    attach_keep(other, 0xffff);
    EXPECT(connected_from(l, s) == 40000 && connected_from(other, t) == 40000);
    EXPECT_ERR(connect_at(socket(AF_INET, SOCK_STREAM, 0), "127.0.0.1", 5000), EADDRNOTAVAIL);
}

/* ---- long headers ---- */

/* A SYN behind 40 bytes of IP's options with 40 of its own: nothing but no-operations. */
TEST(segment_of_a_raw_socket_has_as_long_headers_as_it_likes)
{
    unsigned char f[60 + 60], got[256], *t = f + 60;
    unsigned char ends[12] = {127, 0, 0, 1, 127, 0, 0, 1, 0, 6, 0, 60};
    int l = (own_net(), listener("127.0.0.1", 5000)), s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    int sees = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
    union name to;
    socklen_t n;

    memset(f, 1, sizeof(f));
    memset(f, 0, 20);
    memset(t, 0, 20);
    f[0] = 0x4f;
    f[8] = 64;
    f[9] = 6;
    memcpy(f + 12, ends, 8);
    put16(t, 999);
    put16(t + 2, 5000);
    t[12] = 15 << 4;
    t[13] = SYN;
    put16(t + 14, 1000);
    put16(t + 16, ~sum16(t, 60, sum16(ends, 12, 0)) & 0xffff);
    to = at("127.0.0.1", 0, &n);
    EXPECT(l >= 0 && sendto(s, f, sizeof(f), 0, &to.sa, n) == sizeof(f));
    do
        EXPECT(recv(sees, got, sizeof(got), 0) >= 40);
    while (get16(got + 20) != 5000);
    EXPECT(got[20 + 13] == (SYN | ACK) && get16(got + 22) == 999);
}

/* ---- which connection a socket is judged by ---- */

static int unsent(int s)
{
    int v = -1;

    EXPECT(ioctl(s, SIOCOUTQ, &v) == 0);
    return v;
}

TEST(socket_whose_wire_is_dead_is_judged_by_its_next_connection)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct peer p;
    int l = (peer_open(&p), listener(HERE, 5000)), s = socket(AF_INET, SOCK_STREAM, 0), t;

    peer_connected(&p, s);
    peer_send(&p, RST, NULL, 0);
    EXPECT(events_once(s, POLLIN) & POLLHUP);
    EXPECT(connect(s, &none, sizeof(none)) == 0 && connect_at(s, HERE, 5000) == 0);
    t = accept(l, NULL, NULL);
    EXPECT(t >= 0 && events(s, POLLIN | POLLOUT | POLLRDHUP) == POLLOUT);
    EXPECT(state_of(s) == TCP_ESTABLISHED && get(s, IPPROTO_TCP, TCP_MAXSEG) > 1460);
    EXPECT(write(s, "there", 5) == 5 && reads(t, "there") && write(t, "back", 4) == 4);
    EXPECT(events_once(s, POLLIN) == (POLLIN | POLLOUT) && reads(s, "back") && unsent(s) == 0);
    EXPECT(shutdown(t, SHUT_WR) == 0);
    EXPECT(events_once(s, POLLRDHUP) == (POLLIN | POLLOUT | POLLRDHUP));
    EXPECT(state_of(s) == TCP_CLOSE_WAIT);
    EXPECT(connect(t, &none, sizeof(none)) == 0);
    EXPECT(events_once(s, POLLERR) & POLLHUP);
    EXPECT(state_of(s) == TCP_CLOSE);
    EXPECT(connect(s, &none, sizeof(none)) == 0);
    peer_connected(&p, s);
    peer_send(&p, PSH | ACK, "wire", 4);
    EXPECT(events_once(s, POLLIN) == (POLLIN | POLLOUT) && reads(s, "wire"));
    EXPECT(state_of(s) == TCP_ESTABLISHED && get(s, IPPROTO_TCP, TCP_MAXSEG) <= 1460);
}

/* A connection that its program has not seen begin, nor end. */
TEST(bytes_of_a_dead_wire_are_not_the_next_connections)
{
    struct peer p;
    int l = (peer_open(&p), listener(HERE, 5000)), s = socket(AF_INET, SOCK_STREAM, 0), t;

    connect_begin(&p, s);
    peer_send(&p, SYN | ACK, NULL, 0);
    peer_send(&p, PSH | ACK, "former", 6);
    peer_send(&p, RST | ACK, NULL, 0);
    EXPECT(events_once(s, POLLHUP) & POLLHUP);
    EXPECT(nonblocking(s, false) == 0);
    if (connect_at(s, HERE, 5000)) /* Linux says once that there was one */
        EXPECT(connect_at(s, HERE, 5000) == 0);
    t = accept(l, NULL, NULL);
    EXPECT(t >= 0 && write(t, "new", 3) == 3 && reads(s, "new"));
}

/* ---- which way answers go ---- */

static void rule(int n, uint32_t priority, uint32_t mark, unsigned char action)
{
    struct message m;
    struct fib_rule_hdr *h = message_body(&m);

    message_begin(&m, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*h));
    h->family = AF_INET;
    h->action = action;
    h->table = action == FR_ACT_TO_TBL ? RT_TABLE_MAIN : 0;
    message_put(&m, FRA_PRIORITY, &priority, sizeof(priority));
    if (mark)
        message_put(&m, FRA_FWMARK, &mark, sizeof(mark));
    EXPECT(!netlink_ask(n, &m));
}

/* Without the mark there is no way. */
TEST(answers_of_a_listener_have_its_mark_when_they_are_sent_again_too)
{
    struct peer p;
    struct seg g;
    int l = (peer_open(&p), listener(HERE, 5000)), n = netlink_open(NETLINK_ROUTE);

    set(l, SOL_SOCKET, SO_MARK, 7);
    rule(n, 100, 7, FR_ACT_TO_TBL);
    rule(n, 200, 0, FR_ACT_PROHIBIT);
    peer_asks(&p, 5000);
    peer_await(&p, &g, SYN);
    EXPECT(g.flags == (SYN | ACK) && g.ack == p.snd);
}
