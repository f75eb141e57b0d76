/* SPDX-License-Identifier: MIT
 *
 * Forwarding between two taps, in a net namespace of the test's own: what goes on and how, what is
 * answered instead, and what is dropped, in both IP families; where packets may come from.
 */
#include "abi.h"
#include "netlink.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/fib_rules.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#define ETH 14
#define US "\2\0\0\0\0\1"   /* the taps' addresses end with their number */
#define THEM "\2\0\0\0\1\1" /* the neighbours' too */

struct router {
    int netlink, tap[2];
    unsigned char mac[2][6];
};

static void put(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);

    EXPECT(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value));
    close(fd);
}

static int tap(const char *name, int flags)
{
    struct ifreq r = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

    strcpy(r.ifr_name, name);
    EXPECT(fd >= 0 && !ioctl(fd, TUNSETIFF, &r));
    return fd;
}

static void neighbour(int n, const char *name, const char *text, int number)
{
    struct message m;
    struct ndmsg *d = message_body(&m);
    unsigned char bytes[16], mac[6];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;

    memcpy(mac, THEM, 6);
    mac[5] = (unsigned char)number;
    message_begin(&m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, sizeof(*d));
    d->ndm_family = (unsigned char)family;
    d->ndm_ifindex = (int)if_nametoindex(name);
    d->ndm_state = NUD_PERMANENT;
    EXPECT(inet_pton(family, text, bytes) == 1);
    message_put(&m, NDA_DST, bytes, family == AF_INET ? 4 : 16);
    message_put(&m, NDA_LLADDR, mac, 6);
    EXPECT(!netlink_ask(n, &m));
}

static void route(int n, int type, const char *text, int prefix, const char *via, const char *dev)
{
    struct message m;
    struct rtmsg *r = message_body(&m);
    unsigned char bytes[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    size_t size = family == AF_INET ? 4 : 16;
    uint32_t index;

    message_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*r));
    r->rtm_family = (unsigned char)family;
    r->rtm_dst_len = (unsigned char)prefix;
    r->rtm_table = RT_TABLE_MAIN;
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_type = (unsigned char)type;
    r->rtm_scope = via                   ? RT_SCOPE_UNIVERSE
                   : type == RTN_UNICAST ? RT_SCOPE_LINK
                                         : RT_SCOPE_UNIVERSE;
    EXPECT(inet_pton(family, text, bytes) == 1);
    message_put(&m, RTA_DST, bytes, size);
    if (via) {
        EXPECT(inet_pton(family, via, bytes) == 1);
        message_put(&m, RTA_GATEWAY, bytes, size);
    }
    index = dev ? if_nametoindex(dev) : 0;
    if (dev)
        message_put(&m, RTA_OIF, &index, sizeof(index));
    EXPECT(!netlink_ask(n, &m));
}

/* 10.1.0.1 and fd01::1 on t0, 10.2.0.1 and fd02::1 on t1; hosts .2 and ::2 on each. Its packets of
 * its own do not disturb: IPv6 sends none unless the test wants it. */
static void router_begin(struct router *r, bool v6, int tap_flags)
{
    char name[3] = "t0", text[40];

    EXPECT(!unshare(CLONE_NEWNET));
    put("/proc/sys/net/ipv6/conf/default/disable_ipv6", v6 ? "0" : "1");
    put("/proc/sys/net/ipv6/conf/default/dad_transmits", "0");
    put("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
    put("/proc/sys/net/ipv4/conf/default/rp_filter", "0");
    put("/proc/sys/net/ipv4/ip_forward", "1");
    if (v6)
        put("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    r->netlink = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_flags(r->netlink, "lo", IFF_UP, IFF_UP));
    for (int i = 0; i < 2; i++) {
        struct ifreq q = {.ifr_hwaddr.sa_family = 1};

        name[1] = (char)('0' + i);
        r->tap[i] = tap(name, tap_flags);
        memcpy(r->mac[i], US, 6);
        r->mac[i][5] = (unsigned char)(i + 1);
        strcpy(q.ifr_name, name);
        memcpy(q.ifr_hwaddr.sa_data, r->mac[i], 6);
        EXPECT(!ioctl(r->tap[i], SIOCSIFHWADDR, &q));
        EXPECT(!link_flags(r->netlink, name, IFF_UP, IFF_UP));
        sprintf(text, "10.%d.0.1", i + 1);
        address_add(r->netlink, name, text, 24);
        sprintf(text, "10.%d.0.2", i + 1);
        neighbour(r->netlink, name, text, i);
        if (!v6)
            continue;
        sprintf(text, "fd0%d::1", i + 1);
        address_add(r->netlink, name, text, 64);
        sprintf(text, "fd0%d::2", i + 1);
        neighbour(r->netlink, name, text, i);
    }
}

static uint16_t sum(const unsigned char *p, size_t n, uint32_t from)
{
    for (size_t i = 0; i < n; i++)
        from += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (from >> 16)
        from = (from & 0xffff) + (from >> 16);
    return (uint16_t)~from;
}

static void word(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
}

static unsigned word_at(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

struct packet4 {
    const char *from, *to;
    int ttl, flags, offset; /* flags: 2 DF, 1 MF; offset in bytes */
    size_t n;               /* of UDP's payload, or what follows the header */
    const char *options;
    int options_len, tap;
};

/* A frame with a UDP datagram to the router's tap. */
static size_t frame4(const struct router *r, const struct packet4 *q, unsigned char *f)
{
    unsigned char *p = f + ETH, *u;
    size_t header = 20 + (size_t)q->options_len, total = header + 8 + q->n;

    memset(f, 0, ETH + total);
    memcpy(f, r->mac[q->tap], 6);
    memcpy(f + 6, THEM, 6);
    word(f + 12, ETH_P_IP);
    p[0] = (unsigned char)(0x40 | header / 4);
    word(p + 2, (unsigned)total);
    word(p + 4, 0x77);
    word(p + 6, (unsigned)(q->flags << 13 | q->offset / 8));
    p[8] = (unsigned char)(q->ttl ? q->ttl : 64);
    p[9] = IPPROTO_UDP;
    EXPECT(inet_pton(AF_INET, q->from, p + 12) == 1 && inet_pton(AF_INET, q->to, p + 16) == 1);
    if (q->options_len)
        memcpy(p + 20, q->options, (size_t)q->options_len);
    word(p + 10, sum(p, header, 0));
    u = p + header;
    word(u, 1000);
    word(u + 2, 2000);
    word(u + 4, (unsigned)(8 + q->n));
    for (size_t i = 0; i < q->n; i++)
        u[8 + i] = (unsigned char)(i * 7);
    return ETH + total;
}

/* The next frame of that ethertype, or -1 if there is none. What the router sends is there as soon
 * as the write that made it send returns. */
static ssize_t next(int fd, unsigned type, unsigned char *f, size_t size)
{
    ssize_t n;

    do
        n = read(fd, f, size);
    while (n >= ETH && word_at(f + 12) != type);
    return n;
}

static void send4(const struct router *r, const struct packet4 *q)
{
    unsigned char f[4000];
    size_t n = frame4(r, q, f);

    EXPECT(write(r->tap[q->tap], f, n) == (ssize_t)n);
}

/* q is answered by an ICMP message of that type and code. The word behind the sum. */
static unsigned answered4(const struct router *r, const struct packet4 *q, int type, int code)
{
    unsigned char in[2000], *p = in + ETH;
    ssize_t n;

    send4(r, q);
    n = next(r->tap[q->tap], ETH_P_IP, in, sizeof(in));
    EXPECT(n >= ETH + 56 && p[9] == IPPROTO_ICMP && p[20] == type && p[21] == code);
    EXPECT(!sum(p, 20, 0) && !sum(p + 20, word_at(p + 2) - 20, 0));
    EXPECT(!memcmp(in + 6, r->mac[q->tap], 6));
    EXPECT(word_at(p + 28 + 4) == 0x77); /* it quotes what was sent */
    return word_at(p + 24) << 16 | word_at(p + 26);
}

static void lost4(const struct router *r, const struct packet4 *q)
{
    unsigned char in[2000];

    send4(r, q);
    EXPECT(next(r->tap[0], ETH_P_IP, in, sizeof(in)) == -1);
    EXPECT(next(r->tap[1], ETH_P_IP, in, sizeof(in)) == -1);
}

static void passed4(const struct router *r, const struct packet4 *q)
{
    unsigned char out[4000], in[4000];
    size_t n = frame4(r, q, out);

    send4(r, q);
    EXPECT(next(r->tap[!q->tap], ETH_P_IP, in, sizeof(in)) == (ssize_t)n);
    EXPECT(in[ETH + 8] == out[ETH + 8] - 1 && !sum(in + ETH, (in[ETH] & 15) * 4U, 0));
    memcpy(out + ETH + 8, in + ETH + 8, 4);
    EXPECT(!memcmp(in + ETH, out + ETH, n - ETH));
    EXPECT(!memcmp(in + 6, r->mac[!q->tap], 6) && !memcmp(in, THEM, 5) && in[5] == !q->tap);
    EXPECT(next(r->tap[q->tap], ETH_P_IP, in, sizeof(in)) == -1);
}

#define ON                                             \
    {                                                  \
        .from = "10.1.0.2", .to = "10.2.0.2", .n = 100 \
    }

TEST(forward_packets_go_on_with_one_hop_less)
{
    struct packet4 q = ON, back = {.from = "10.2.0.2", .to = "10.1.0.2", .n = 1400, .tap = 1};
    struct router r;

    router_begin(&r, false, 0);
    passed4(&r, &q);
    passed4(&r, &back);
    q.ttl = 2;
    passed4(&r, &q);
    q = (struct packet4)ON;
    q.flags = 1; /* fragments go on as they are */
    passed4(&r, &q);
    q.offset = 800;
    passed4(&r, &q);
    q = (struct packet4)ON;
    q.options = "\1\1\1\0";
    q.options_len = 4;
    passed4(&r, &q);
}

TEST(forward_is_off_by_itself_and_of_one_device)
{
    struct packet4 q = ON, back = {.from = "10.2.0.2", .to = "10.1.0.2", .n = 10, .tap = 1};
    struct router r;

    router_begin(&r, false, 0);
    put("/proc/sys/net/ipv4/ip_forward", "0");
    lost4(&r, &q);
    put("/proc/sys/net/ipv4/conf/t0/forwarding", "1");
    passed4(&r, &q);
    lost4(&r, &back);
}

TEST(forward_answers_what_has_no_hop_left)
{
    struct packet4 q = ON;
    struct router r;

    router_begin(&r, false, 0);
    q.ttl = 1;
    answered4(&r, &q, 11, 0);
    q.offset = 800; /* no error about a later fragment */
    lost4(&r, &q);
}

/* Few in each test: Linux sends few at once. */
TEST(forward_answers_what_has_no_route)
{
    struct packet4 q = ON;
    struct router r;

    router_begin(&r, false, 0);
    q.to = "10.9.0.1";
    answered4(&r, &q, 3, 0);
    route(r.netlink, RTN_UNREACHABLE, "10.9.0.0", 24, NULL, NULL);
    answered4(&r, &q, 3, 1);
}

TEST(forward_answers_what_is_prohibited_and_swallows_what_is_to_be)
{
    struct packet4 q = ON;
    struct router r;

    router_begin(&r, false, 0);
    q.to = "10.9.1.1";
    route(r.netlink, RTN_PROHIBIT, "10.9.1.0", 24, NULL, NULL);
    answered4(&r, &q, 3, 13);
    q.to = "10.9.2.1";
    route(r.netlink, RTN_BLACKHOLE, "10.9.2.0", 24, NULL, NULL);
    lost4(&r, &q);
}

TEST(forward_drops_what_no_router_passes)
{
    struct packet4 q = ON;
    struct router r;

    router_begin(&r, false, 0);
    route(r.netlink, RTN_UNICAST, "0.0.0.0", 0, "10.2.0.2", "t1");
    q.to = "127.0.0.1";
    lost4(&r, &q);
    q.to = "0.0.0.0";
    lost4(&r, &q);
    q.to = "10.2.0.255"; /* another net's broadcast */
    lost4(&r, &q);
    q = (struct packet4)ON;
    q.from = "127.0.0.1";
    lost4(&r, &q);
    q.from = "224.0.0.1";
    lost4(&r, &q);
    q.from = "10.2.0.1"; /* the router's own */
    lost4(&r, &q);
    q = (struct packet4)ON;
    q.options = "\x83\x07\x04\x0a\x02\x00\x03\0"; /* a loose source route */
    q.options_len = 8;
    lost4(&r, &q);
}

static void mtu(const char *name, int value)
{
    struct ifreq q = {.ifr_mtu = value};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    strcpy(q.ifr_name, name);
    EXPECT(s >= 0 && !ioctl(s, SIOCSIFMTU, &q));
    close(s);
}

TEST(forward_cuts_what_is_too_big_or_says_so)
{
    unsigned char out[4000], in[2000], whole[3000];
    struct packet4 q = ON;
    struct router r;
    size_t n, got = 0;
    bool more = true;

    router_begin(&r, false, 0);
    mtu("t1", 576);
    q.n = 1400;
    q.flags = 2;
    EXPECT(answered4(&r, &q, 3, 4) == 576);
    q.flags = 0;
    q.options = "\x94\x04\0\0\x07\x07\x08\0\0\0\0\0"; /* router alert, and record route */
    q.options_len = 12;
    n = frame4(&r, &q, out);
    send4(&r, &q);
    for (unsigned at = 0; more; at = (unsigned)got) {
        ssize_t len = next(r.tap[1], ETH_P_IP, in, sizeof(in));
        unsigned char *p = in + ETH;

        EXPECT(len > ETH + 32 && len <= ETH + 576 && !sum(p, 32, 0) && p[8] == 63);
        EXPECT((word_at(p + 6) & 0x1fff) * 8 == at && word_at(p + 4) == 0x77);
        EXPECT(!memcmp(p + 20, "\x94\x04", 2) && p[24] == (at ? 1 : 7));
        more = word_at(p + 6) & 0x2000;
        EXPECT(word_at(p + 2) == (size_t)len - ETH && (!more || (word_at(p + 2) - 32) % 8 == 0));
        memcpy(whole + got, p + 32, (size_t)len - ETH - 32);
        got += (size_t)len - ETH - 32;
    }
    EXPECT(got == n - ETH - 32 && !memcmp(whole, out + ETH + 32, got));
    q = (struct packet4)ON;
    q.n = 1400;
    q.flags = 1;
    q.offset = 65536 - 552 * 2; /* its third part would be a first one; Linux sends it */
    if (access("/proc/bothy", F_OK) == 0)
        lost4(&r, &q);
}

TEST(forward_tells_of_a_nearer_router)
{
    struct packet4 q = {.from = "10.1.0.2", .to = "10.7.0.1", .n = 10};
    unsigned char in[2000];
    struct router r;

    router_begin(&r, false, 0);
    neighbour(r.netlink, "t0", "10.1.0.3", 7);
    route(r.netlink, RTN_UNICAST, "10.7.0.0", 24, "10.1.0.3", "t0");
    EXPECT(answered4(&r, &q, 5, 1) == 0x0a010003);
    EXPECT(next(r.tap[0], ETH_P_IP, in, sizeof(in)) == ETH + 38 && in[5] == 7); /* it goes on */
    put("/proc/sys/net/ipv4/conf/all/send_redirects", "0");
    put("/proc/sys/net/ipv4/conf/t0/send_redirects", "0");
    send4(&r, &q);
    EXPECT(next(r.tap[0], ETH_P_IP, in, sizeof(in)) == ETH + 38 && in[5] == 7);
    EXPECT(next(r.tap[0], ETH_P_IP, in, sizeof(in)) == -1);
}

TEST(forward_rp_filter_judges_where_packets_come_from)
{
    struct packet4 q = ON, spoofed = {.from = "10.2.0.9", .to = "10.2.0.2", .n = 10};
    struct packet4 unknown = {.from = "10.8.0.1", .to = "10.2.0.2", .n = 10};
    struct router r;

    router_begin(&r, false, 0);
    passed4(&r, &spoofed);
    passed4(&r, &unknown);
    put("/proc/sys/net/ipv4/conf/t0/rp_filter", "1");
    passed4(&r, &q);
    lost4(&r, &spoofed);
    lost4(&r, &unknown);
    put("/proc/sys/net/ipv4/conf/t0/rp_filter", "2");
    passed4(&r, &spoofed); /* there is a way back */
    lost4(&r, &unknown);
    put("/proc/sys/net/ipv4/conf/t0/rp_filter", "0");
    put("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
    lost4(&r, &spoofed);
}

TEST(forward_cuts_what_was_joined_into_segments)
{
    struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                               .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                               .hdr_len = ETH + 40,
                               .gso_size = 500,
                               .csum_start = ETH + 20,
                               .csum_offset = 16};
    unsigned char out[3000], *f = out + sizeof(h), *p = f + ETH, in[3000];
    struct packet4 q = ON;
    struct router r;
    size_t n;

    router_begin(&r, false, IFF_VNET_HDR);
    q.n = 12 + 1400; /* TCP's header is 12 bytes longer than UDP's */
    q.flags = 2;
    n = frame4(&r, &q, f);
    p[9] = IPPROTO_TCP;
    word(p + 10, 0);
    word(p + 10, sum(p, 20, 0));
    word(p + 24, 0); /* sequence number 65536 */
    word(p + 24, 1);
    word(p + 26, 0);
    p[32] = 0x50;
    p[33] = 0x18; /* ACK, PSH */
    word(p + 36, (unsigned)(uint16_t)~sum(p + 12, 8, IPPROTO_TCP + 20 + 1400));
    memcpy(out, &h, sizeof(h));
    EXPECT(write(r.tap[0], out, sizeof(h) + n) == (ssize_t)(sizeof(h) + n));
    for (unsigned i = 0; i < 3; i++) {
        unsigned len = i < 2 ? 500 : 400;
        ssize_t got = read(r.tap[1], in, sizeof(in));
        unsigned char *s = in + sizeof(h) + ETH;

        EXPECT(got == (ssize_t)(sizeof(h) + ETH + 40 + len));
        EXPECT(!sum(s, 20, 0) && s[8] == 63 && word_at(s + 2) == 40 + len);
        EXPECT(word_at(s + 24) == 1 && word_at(s + 26) == i * 500);
        EXPECT(!sum(s + 20, 20 + len, (uint32_t)(uint16_t)~sum(s + 12, 8, IPPROTO_TCP + 20 + len)));
        EXPECT(!memcmp(s + 40, p + 40 + i * 500, len));
    }
    EXPECT(read(r.tap[1], in, sizeof(in)) == -1);
}

/* ---- IPv6 ---- */

struct packet6 {
    const char *from, *to;
    int hops;
    size_t n;
};

static size_t frame6(const struct router *r, const struct packet6 *q, unsigned char *f)
{
    unsigned char *p = f + ETH;

    memset(f, 0, ETH + 48 + q->n);
    memcpy(f, r->mac[0], 6);
    memcpy(f + 6, THEM, 6);
    word(f + 12, ETH_P_IPV6);
    p[0] = 0x60;
    word(p + 4, (unsigned)(8 + q->n));
    p[6] = IPPROTO_UDP;
    p[7] = (unsigned char)(q->hops ? q->hops : 64);
    EXPECT(inet_pton(AF_INET6, q->from, p + 8) == 1 && inet_pton(AF_INET6, q->to, p + 24) == 1);
    word(p + 40, 1000);
    word(p + 42, 2000);
    word(p + 44, (unsigned)(8 + q->n));
    word(p + 46, 0x1234);
    for (size_t i = 0; i < q->n; i++)
        p[48 + i] = (unsigned char)(i * 5);
    return ETH + 48 + q->n;
}

/* The next that is no neighbour discovery, report of groups or the like of the router's own. */
static ssize_t next6(int fd, unsigned char *f, size_t size)
{
    ssize_t n;

    do
        n = next(fd, ETH_P_IPV6, f, size);
    while (n > 0 && (f[ETH + 6] == 0 || (f[ETH + 6] == IPPROTO_ICMPV6 && f[ETH + 40] >= 128)));
    return n;
}

static unsigned answered6(const struct router *r, const struct packet6 *q, int type, int code)
{
    unsigned char out[3000], in[2000], *p = in + ETH;
    size_t n = frame6(r, q, out);
    ssize_t got;

    EXPECT(write(r->tap[0], out, n) == (ssize_t)n);
    got = next6(r->tap[0], in, sizeof(in));
    EXPECT(got > ETH + 88 && got <= ETH + 1280 && p[6] == IPPROTO_ICMPV6 && p[40] == type &&
           p[41] == code);
    EXPECT(!sum(p + 40, (size_t)got - ETH - 40,
                (uint32_t)(uint16_t)~sum(p + 8, 32, (uint32_t)(got - ETH - 40) + IPPROTO_ICMPV6)));
    EXPECT(!memcmp(p + 48 + 8, out + ETH + 8, 32));
    return word_at(p + 44) << 16 | word_at(p + 46);
}

static void lost6(const struct router *r, const struct packet6 *q)
{
    unsigned char out[3000], in[2000];
    size_t n = frame6(r, q, out);

    EXPECT(write(r->tap[0], out, n) == (ssize_t)n);
    EXPECT(next6(r->tap[0], in, sizeof(in)) == -1 && next6(r->tap[1], in, sizeof(in)) == -1);
}

static void passed6(const struct router *r, const struct packet6 *q)
{
    unsigned char out[3000], in[2000];
    size_t n = frame6(r, q, out);

    EXPECT(write(r->tap[0], out, n) == (ssize_t)n);
    EXPECT(next6(r->tap[1], in, sizeof(in)) == (ssize_t)n);
    EXPECT(in[ETH + 7] == out[ETH + 7] - 1 && in[5] == 1);
    out[ETH + 7]--;
    EXPECT(!memcmp(in + ETH, out + ETH, n - ETH));
}

#define ON6                                          \
    {                                                \
        .from = "fd01::2", .to = "fd02::2", .n = 100 \
    }

TEST(forward_ipv6_goes_on_or_is_answered)
{
    struct packet6 q = ON6;
    struct router r;

    router_begin(&r, true, 0);
    passed6(&r, &q);
    q.n = 1452;
    passed6(&r, &q);
    q.hops = 1;
    answered6(&r, &q, 3, 0);
    q = (struct packet6)ON6;
    q.to = "fd09::1";
    answered6(&r, &q, 1, 0);
    mtu("t1", 1280);
    q = (struct packet6)ON6;
    q.n = 1300;
    EXPECT(answered6(&r, &q, 2, 0) == 1280);
    q.n = 1232;
    passed6(&r, &q);
}

/* RFC 6724 5, rule 2: the destination's scope counts, not the router's. */
TEST(beyond_a_router_the_address_is_of_the_destinations_scope)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(9)}, want;
    socklen_t n = sizeof(a);
    struct router r;
    int s;

    router_begin(&r, true, 0);
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    route(r.netlink, RTN_UNICAST, "2001:db8::", 32, "fe80::2", "t1");
    EXPECT(inet_pton(AF_INET6, "2001:db8::7", &a.sin6_addr) == 1);
    EXPECT(!connect(s, (void *)&a, sizeof(a)) && !getsockname(s, (void *)&a, &n));
    EXPECT(inet_pton(AF_INET6, "fd02::1", &want.sin6_addr) == 1);
    EXPECT(!memcmp(&a.sin6_addr, &want.sin6_addr, 16));
}

/* Of UDP, all is prohibited. */
static void prohibit_udp6(int n)
{
    struct message m;
    struct fib_rule_hdr *h = message_body(&m);
    uint8_t protocol = IPPROTO_UDP;
    uint32_t priority = 100;

    message_begin(&m, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*h));
    h->family = AF_INET6;
    h->action = FR_ACT_PROHIBIT;
    message_put(&m, FRA_PRIORITY, &priority, sizeof(priority));
    message_put(&m, FRA_IP_PROTO, &protocol, sizeof(protocol));
    EXPECT(!netlink_ask(n, &m));
}

TEST(forward_ipv6_obeys_rules_of_a_protocol)
{
    struct packet6 q = ON6;
    struct router r;

    router_begin(&r, true, 0);
    passed6(&r, &q);
    prohibit_udp6(r.netlink);
    answered6(&r, &q, 1, 1);
}

TEST(forward_ipv6_drops_what_has_a_scope_and_all_when_it_is_off)
{
    struct packet6 q = ON6;
    struct router r;

    router_begin(&r, true, 0);
    route(r.netlink, RTN_UNICAST, "::", 0, "fd02::2", "t1");
    q.to = "ff05::7";
    lost6(&r, &q);
    q.to = "::1";
    lost6(&r, &q);
    q.to = "fe80::77";
    lost6(&r, &q);
    q = (struct packet6)ON6;
    q.from = "::";
    lost6(&r, &q);
    q.from = "ff02::1";
    lost6(&r, &q);
    q = (struct packet6)ON6;
    passed6(&r, &q);
    put("/proc/sys/net/ipv6/conf/all/forwarding", "0");
    lost6(&r, &q);
}
