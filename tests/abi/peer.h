/* SPDX-License-Identifier: MIT
 *
 * The other end of TCP connections, played by a test: a tap device in a net namespace of its own,
 * where segments are read and written one by one. The kernel has HERE, the peer is THERE.
 */
#pragma once

#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <netinet/tcp.h>

#include "own_net.h"

#define HERE "10.9.0.1"
#define THERE "10.9.0.2"
#define PEER_PORT 80
#define PEER_ISS 1000u

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

/* A segment, as the peer got it or sends it. */
struct seg {
    unsigned seq, ack;
    unsigned short from, to, window, urgent;
    unsigned char flags;
    int len;
    unsigned char data[1500];
};

/* One connection as the peer sees it; other ones share the device. */
struct peer {
    int tap;
    unsigned char mac[6];
    unsigned short port, there; /* the peer's; the kernel's */
    unsigned snd, rcv;          /* its next number; what it acknowledges */
    unsigned short window;
};

static inline unsigned sum16(const unsigned char *at, int n, unsigned sum)
{
    for (int i = 0; i < n; i++)
        sum += i % 2 ? at[i] : (unsigned)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static inline void put16(unsigned char *at, unsigned v)
{
    at[0] = (unsigned char)(v >> 8);
    at[1] = (unsigned char)v;
}

static inline void put32(unsigned char *at, unsigned v)
{
    put16(at, v >> 16);
    put16(at + 2, v & 0xffff);
}

static inline unsigned get16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static inline unsigned get32(const unsigned char *at)
{
    return get16(at) << 16 | get16(at + 2);
}

/* A namespace with the device, which is up and has HERE. */
static inline void peer_open(struct peer *p)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    struct sockaddr_in *a = (void *)&r.ifr_addr;
    int s;

    own_net();
    memset(p, 0, sizeof(*p));
    put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    p->tap = open("/dev/net/tun", O_RDWR);
    strcpy(r.ifr_name, "t0");
    EXPECT(p->tap >= 0 && ioctl(p->tap, TUNSETIFF, &r) == 0);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(ioctl(s, SIOCGIFHWADDR, &r) == 0);
    memcpy(p->mac, r.ifr_hwaddr.sa_data, 6);
    memset(&r.ifr_addr, 0, sizeof(r.ifr_addr));
    a->sin_family = AF_INET;
    EXPECT(inet_pton(AF_INET, HERE, &a->sin_addr) == 1 && ioctl(s, SIOCSIFADDR, &r) == 0);
    EXPECT(inet_pton(AF_INET, "255.255.255.0", &a->sin_addr) == 1);
    EXPECT(ioctl(s, SIOCSIFNETMASK, &r) == 0);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    EXPECT(ioctl(s, SIOCSIFFLAGS, &r) == 0);
    close(s);
    p->port = PEER_PORT;
    p->snd = PEER_ISS;
    p->window = 65535;
}

/* An Ethernet frame whose payload of n bytes stands behind its head. */
static inline void peer_frame(struct peer *p, unsigned char *f, unsigned kind, int n)
{
    static const unsigned char ours[6] = {2, 0, 0, 0, 0, 9};

    memcpy(f, p->mac, 6);
    memcpy(f + 6, ours, 6);
    put16(f + 12, kind);
    EXPECT(write(p->tap, f, (size_t)n + 14) == n + 14);
}

/* Who has THERE? */
static inline void peer_arp(struct peer *p, const unsigned char *asked)
{
    unsigned char f[14 + 28] = {0}, *a = f + 14;

    if (get16(asked + 6) != ARPOP_REQUEST || asked[27] != 2)
        return;
    memcpy(a, asked, 8);
    put16(a + 6, ARPOP_REPLY);
    memcpy(a + 8, "\2\0\0\0\0\11", 6);
    memcpy(a + 14, asked + 24, 4);
    memcpy(a + 18, asked + 8, 10);
    peer_frame(p, f, 0x0806, 28);
}

/* The header of an IPv4 packet of n bytes of payload, which stand at f + 34. */
static inline void peer_head(unsigned char *f, int protocol, int n)
{
    unsigned char *h = f + 14;

    memset(h, 0, 20);
    h[0] = 0x45;
    h[8] = 64;
    h[9] = (unsigned char)protocol;
    put16(h + 2, (unsigned)n + 20);
    EXPECT(inet_pton(AF_INET, THERE, h + 12) == 1 && inet_pton(AF_INET, HERE, h + 16) == 1);
    put16(h + 10, ~sum16(h, 20, 0) & 0xffff);
}

static inline void peer_ip(struct peer *p, unsigned char *f, int protocol, int n)
{
    peer_head(f, protocol, n);
    peer_frame(p, f, 0x0800, n + 20);
}

/* A segment with its headers, from f + 14 on. */
static inline void peer_segment(unsigned char *f, const struct seg *g)
{
    unsigned char *t = f + 34;
    unsigned char ends[12] = {10, 9, 0, 2, 10, 9, 0, 1, 0, 6};

    put16(t, g->from);
    put16(t + 2, g->to);
    put32(t + 4, g->seq);
    put32(t + 8, g->ack);
    t[12] = 5 << 4;
    t[13] = g->flags;
    put16(t + 14, g->window);
    put16(t + 16, 0);
    put16(t + 18, g->urgent);
    memcpy(t + 20, g->data, (size_t)g->len);
    put16(ends + 10, (unsigned)g->len + 20);
    put16(t + 16, ~sum16(t, g->len + 20, sum16(ends, 12, 0)) & 0xffff);
    peer_head(f, 6, g->len + 20);
}

static inline void peer_put(struct peer *p, const struct seg *g)
{
    unsigned char f[14 + 20 + 20 + 1500];

    peer_segment(f, g);
    peer_frame(p, f, 0x0800, g->len + 40);
}

/* The peer's next segment: `flags` with n bytes. */
static inline struct seg peer_next(const struct peer *p, unsigned char flags, const void *data,
                                   int n)
{
    struct seg g = {.seq = p->snd,
                    .ack = p->rcv,
                    .from = p->port,
                    .to = p->there,
                    .flags = flags,
                    .window = p->window,
                    .len = n};

    memcpy(g.data, data, (size_t)n);
    return g;
}

/* Sends it and goes on behind it. */
static inline void peer_send(struct peer *p, unsigned char flags, const void *data, int n)
{
    struct seg g = peer_next(p, flags, data, n);

    peer_put(p, &g);
    p->snd += (unsigned)n + !!(flags & SYN) + !!(flags & FIN);
}

/* The next segment that the kernel sends to any port of the peer's: waits for it ms at the most,
 * -1: for ever. False: there was none. */
static inline bool peer_take_within(struct peer *p, struct seg *g, int ms)
{
    unsigned char f[2048];
    struct pollfd fd = {.fd = p->tap, .events = POLLIN};

    while (poll(&fd, 1, ms) == 1) {
        int n = (int)read(p->tap, f, sizeof(f)), head;

        EXPECT(n >= 14);
        if (get16(f + 12) == 0x0806)
            peer_arp(p, f + 14);
        if (get16(f + 12) != 0x0800 || f[14 + 9] != 6)
            continue;
        n = (int)get16(f + 16) - 20;
        head = (f[34 + 12] >> 4) * 4;
        *g = (struct seg){.from = (unsigned short)get16(f + 34),
                          .to = (unsigned short)get16(f + 36),
                          .seq = get32(f + 38),
                          .ack = get32(f + 42),
                          .flags = f[34 + 13],
                          .window = (unsigned short)get16(f + 48),
                          .urgent = (unsigned short)get16(f + 52),
                          .len = n - head};
        EXPECT(g->len >= 0 && g->len <= (int)sizeof(g->data));
        memcpy(g->data, f + 34 + head, (size_t)g->len);
        return true;
    }
    return false;
}

static inline void peer_take(struct peer *p, struct seg *g)
{
    EXPECT(peer_take_within(p, g, -1));
}

/* The next segment that has one of the flags, or (0) any. */
static inline void peer_await(struct peer *p, struct seg *g, unsigned char flags)
{
    do
        peer_take(p, g);
    while (flags && !(g->flags & flags));
}

/* Takes the SYN that connect(2) sends. */
static inline void peer_asked(struct peer *p)
{
    struct seg g;

    peer_await(p, &g, SYN);
    p->there = g.from;
    p->rcv = g.seq + 1;
    p->snd = PEER_ISS;
}

static inline int nonblocking(int s, bool on)
{
    return fcntl(s, F_SETFL, on ? O_NONBLOCK : 0);
}

static inline void connect_begin(struct peer *p, int s)
{
    EXPECT(nonblocking(s, true) == 0);
    EXPECT_ERR(connect_at(s, THERE, p->port), EINPROGRESS);
    peer_asked(p);
}

static inline void connect_end(struct peer *p, int s)
{
    struct pollfd fd = {.fd = s, .events = POLLOUT};
    struct seg g;

    peer_send(p, SYN | ACK, NULL, 0);
    do
        peer_take(p, &g);
    while (g.from != p->there || (g.flags & SYN)); /* on a busy machine some are sent again */
    EXPECT(g.flags == ACK && g.ack == p->snd);
    EXPECT(poll(&fd, 1, -1) == 1 && nonblocking(s, false) == 0);
}

/* s is connected with the peer. */
static inline void peer_connected(struct peer *p, int s)
{
    connect_begin(p, s);
    connect_end(p, s);
}

/* The peer asks a listener at `port` of the kernel's. */
static inline void peer_asks(struct peer *p, unsigned short port)
{
    struct seg g;

    p->there = port;
    p->snd = PEER_ISS;
    p->rcv = 0;
    peer_send(p, SYN, NULL, 0);
    peer_await(p, &g, SYN);
    EXPECT(g.flags == (SYN | ACK) && g.ack == p->snd);
    p->rcv = g.seq + 1;
}

/* ICMP says that the host of `g`, which the kernel has sent, is not reached. */
static inline void peer_unreachable(struct peer *p, const struct seg *g)
{
    unsigned char f[14 + 20 + 8 + 28] = {0}, *i = f + 34, *h = i + 8;

    i[0] = 3;
    i[1] = 1;
    h[0] = 0x45;
    h[8] = 64;
    h[9] = 6;
    put16(h + 2, (unsigned)g->len + 40);
    EXPECT(inet_pton(AF_INET, HERE, h + 12) == 1 && inet_pton(AF_INET, THERE, h + 16) == 1);
    put16(h + 10, ~sum16(h, 20, 0) & 0xffff);
    put16(h + 20, g->from);
    put16(h + 22, g->to);
    put32(h + 24, g->seq);
    put16(i + 2, ~sum16(i, 36, 0) & 0xffff);
    peer_ip(p, f, 1, 36);
}
