/* SPDX-License-Identifier: MIT
 *
 * What the link hears of groups that programs join and leave (IGMP, MLD), in a net namespace of the
 * test's own: reports by themselves, answers to queries of all versions, and /proc/net.
 */
#include "abi.h"
#include "netlink.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#define ETH 14
#define GROUP "\xef\1\2\3" /* 239.1.2.3 */
#define GROUP6 "\xff\x15\0\0\0\0\0\0\0\0\0\0\0\0\0\x77"

static void put(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);

    EXPECT(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value));
    close(fd);
}

/* A tap that is up, in a namespace of its own. */
static int begin(bool v6, unsigned char mac[6])
{
    struct ifreq r = {.ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd, n;

    EXPECT(!unshare(CLONE_NEWNET));
    put("/proc/sys/net/ipv6/conf/default/disable_ipv6", v6 ? "0" : "1");
    put("/proc/sys/net/ipv6/conf/default/dad_transmits", "0");
    n = netlink_open(NETLINK_ROUTE);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    EXPECT(fd >= 0 && !ioctl(fd, TUNSETIFF, &r) && !ioctl(fd, SIOCGIFHWADDR, &r));
    memcpy(mac, r.ifr_hwaddr.sa_data, 6);
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    return fd;
}

static int join4(bool on, int s)
{
    struct ip_mreqn m = {.imr_ifindex = (int)if_nametoindex("t0")};

    memcpy(&m.imr_multiaddr, GROUP, 4);
    return setsockopt(s, IPPROTO_IP, on ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &m, sizeof(m));
}

static uint16_t sum(const unsigned char *p, size_t n, uint32_t from)
{
    for (size_t i = 0; i < n; i++)
        from += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (from >> 16)
        from = (from & 0xffff) + (from >> 16);
    return (uint16_t)~from;
}

/* The next message of IGMP that is about the group; its bytes, and whom it goes to. */
static unsigned char *heard4(int t, const char *to)
{
    static unsigned char f[2000];
    struct pollfd p = {.fd = t, .events = POLLIN};
    unsigned char *ip = f + ETH;

    for (;;) {
        ssize_t n;

        EXPECT(poll(&p, 1, -1) == 1);
        n = read(t, f, sizeof(f));
        if (n < ETH + 32 || f[12] != 8 || f[13] || ip[9] != IPPROTO_IGMP)
            continue;
        EXPECT(ip[0] == 0x46 && ip[8] == 1 && !memcmp(ip + 20, "\x94\4\0\0", 4));
        EXPECT(!sum(ip, 24, 0) && !sum(ip + 24, (size_t)(ip[2] << 8 | ip[3]) - 24, 0));
        EXPECT(!memcmp(ip + 16, to, 4) && !memcmp(f, "\1\0\x5e", 3) &&
               f[5] == (unsigned char)to[3]);
        return ip + 24;
    }
}

/* An IGMPv3 report with one record of that kind, about the group. */
static void hears_record(int t, int kind)
{
    unsigned char *m = heard4(t, "\xe0\0\0\x16");

    EXPECT(m[0] == 0x22 && m[6] == 0 && m[7] == 1 && m[8] == kind && !m[9] && !m[10] && !m[11]);
    EXPECT(!memcmp(m + 12, GROUP, 4));
}

static void query4(int t, const unsigned char *mac, const char *to, const char *bytes, size_t n)
{
    unsigned char f[100] = {1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 7, 8, 0, 0x46}, *ip = f + ETH;
    uint16_t s;

    f[5] = (unsigned char)to[3];
    f[3] = (unsigned char)to[1] & 0x7f;
    f[4] = (unsigned char)to[2];
    ip[3] = (unsigned char)(24 + n);
    ip[8] = 1;
    ip[9] = IPPROTO_IGMP;
    memcpy(ip + 12, "\xc0\xa8\1\1", 4);
    memcpy(ip + 16, to, 4);
    memcpy(ip + 20, "\x94\4\0\0", 4);
    s = sum(ip, 24, 0);
    ip[10] = (unsigned char)(s >> 8);
    ip[11] = (unsigned char)s;
    memcpy(ip + 24, bytes, n);
    s = sum(ip + 24, n, 0);
    ip[26] = (unsigned char)(s >> 8);
    ip[27] = (unsigned char)s;
    EXPECT(write(t, f, ETH + 24 + n) == (ssize_t)(ETH + 24 + n));
}

TEST(igmp_joins_and_leaves_are_told_twice_and_queries_answered)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0), t;
    unsigned char mac[6];

    t = begin(false, mac);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(!join4(true, s));
    hears_record(t, 4); /* to exclude nothing */
    hears_record(t, 4);
    query4(t, mac, "\xe0\0\0\1", "\x11\1\0\0\0\0\0\0\2\x7d\0\0", 12);
    hears_record(t, 2);
    query4(t, mac, GROUP, "\x11\1\0\0" GROUP "\2\x7d\0\0", 12);
    hears_record(t, 2);
    EXPECT(!join4(false, s));
    hears_record(t, 3); /* to include nothing */
    hears_record(t, 3);
}

TEST(igmp_older_queriers_hear_their_version)
{
    unsigned char mac[6], *m;
    int t = begin(false, mac), s = socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT(!join4(true, s));
    hears_record(t, 4);
    hears_record(t, 4);
    query4(t, mac, "\xe0\0\0\1", "\x11\1\0\0\0\0\0\0", 8);
    m = heard4(t, GROUP);
    EXPECT(m[0] == 0x16 && !memcmp(m + 4, GROUP, 4));
    EXPECT(!join4(false, s));
    m = heard4(t, "\xe0\0\0\2");
    EXPECT(m[0] == 0x17 && !memcmp(m + 4, GROUP, 4));
}

static void text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, out, size - 1);

    EXPECT(fd >= 0 && n >= 0);
    out[n] = 0;
    close(fd);
}

TEST(igmp_groups_are_listed)
{
    unsigned char mac[6];
    int t = begin(true, mac), s = socket(AF_INET, SOCK_DGRAM, 0);
    char out[4000];

    EXPECT(!join4(true, s));
    text("/proc/self/net/igmp", out, sizeof(out));
    EXPECT(strstr(out, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"));
    EXPECT(strstr(out, "\tt0        :     2      V3\n"));
    EXPECT(strstr(out, "\t\t\t\t030201EF     1 ") &&
           strstr(out, "\t\t\t\t010000E0     1 0:00000000\t\t0\n"));
    text("/proc/self/net/igmp6", out, sizeof(out));
    EXPECT(strstr(out, " t0              ff020000000000000000000000000001     1 0000000C 0\n"));
    text("/proc/self/net/dev_mcast", out, sizeof(out));
    EXPECT(strstr(out, " t0              1     0     01005e010203\n"));
    EXPECT(!join4(false, s));
    text("/proc/self/net/igmp", out, sizeof(out));
    EXPECT(!strstr(out, "030201EF"));
    close(t);
}

/* As that user: joins as many groups as it may, at most n, and keeps them. How many. */
static int hoard_groups(uid_t user, int n)
{
    struct ip_mreqn m = {.imr_ifindex = (int)if_nametoindex("t0")};
    int s = -1, joined = 0;

    EXPECT(!setresuid(user, user, user));
    for (int i = 0; i < n; i++) {
        if (i % 20 == 0)
            s = socket(AF_INET, SOCK_DGRAM, 0);
        m.imr_multiaddr.s_addr = htonl(0xef000000 + (uint32_t)user * 0x1000 + (uint32_t)i);
        if (setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)))
            break;
        joined++;
    }
    EXPECT(joined == n || errno == ENOBUFS);
    return joined;
}

TEST(groups_that_users_hoard_leave_room_for_others)
{
    unsigned char mac[6];
    int t = begin(false, mac), s, done[2];
    pid_t child[3];
    char many;

    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(!pipe(done));
    for (uid_t i = 0; i < 3; i++) {
        child[i] = fork();
        if (!child[i]) {
            many = hoard_groups(1000 + i, 600) > 100;
            while (write(done[1], &many, 1) == 1)
                pause();
        }
        EXPECT(read(done[0], &many, 1) == 1 && (many || i == 2));
        EXPECT(!join4(true, s) && !join4(false, s)); /* root's */
    }
    for (int i = 0; i < 3; i++)
        EXPECT(!kill(child[i], SIGKILL) && waitpid(child[i], NULL, 0) == child[i]);
    close(t);
}

/* The next message of MLD about the group. */
static unsigned char *heard6(int t, const char *to, int at)
{
    static unsigned char f[2000];
    struct pollfd p = {.fd = t, .events = POLLIN};
    unsigned char *ip = f + ETH;

    for (;;) {
        ssize_t n;

        EXPECT(poll(&p, 1, -1) == 1);
        n = read(t, f, sizeof(f));
        if (n < ETH + 72 || f[12] != 0x86 || f[13] != 0xdd || ip[6] ||
            memcmp(ip + 48 + at, GROUP6, 16))
            continue;
        EXPECT(ip[7] == 1 && !memcmp(ip + 40, "\x3a\0\5\2\0\0\1\0", 8) && !memcmp(ip + 24, to, 16));
        EXPECT(!sum(ip + 48, (size_t)n - ETH - 48,
                    (uint32_t)(uint16_t)~sum(ip + 8, 32, (uint32_t)(n - ETH - 48) + 58)));
        EXPECT(f[0] == 0x33 && f[1] == 0x33 && f[5] == (unsigned char)to[15]);
        return ip + 48;
    }
}

#define ROUTERS6 "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\2"
#define REPORTS6 "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\x16"

/* A report of MLDv2 with a record of that kind about the group, among others maybe. */
static void hears_record6(int t, int kind)
{
    struct pollfd p = {.fd = t, .events = POLLIN};
    unsigned char f[2000], *ip = f + ETH, *m = ip + 48;
    bool found = false;

    while (!found) {
        ssize_t n;

        EXPECT(poll(&p, 1, -1) == 1);
        n = read(t, f, sizeof(f));
        if (n < ETH + 76 || f[12] != 0x86 || f[13] != 0xdd || ip[6] || m[0] != 143)
            continue;
        EXPECT(ip[7] == 1 && !memcmp(ip + 24, REPORTS6, 16) && n >= ETH + 56 + 20 * m[7]);
        for (int i = 0; i < m[7]; i++)
            found |= m[8 + 20 * i] == kind && !memcmp(m + 12 + 20 * i, GROUP6, 16);
    }
}

static void query6(int t, size_t n)
{
    unsigned char f[200] = {0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7, 0x86, 0xdd, 0x60},
                  *ip = f + ETH;
    uint16_t s;

    ip[5] = (unsigned char)(8 + n);
    ip[7] = 1;
    memcpy(ip + 8, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x99", 16);
    memcpy(ip + 24, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    memcpy(ip + 40, "\x3a\0\5\2\0\0\1\0", 8);
    ip[48] = 130;
    ip[53] = 100; /* ms */
    s = sum(ip + 48, n, (uint32_t)(uint16_t)~sum(ip + 8, 32, (uint32_t)n + 58));
    ip[50] = (unsigned char)(s >> 8);
    ip[51] = (unsigned char)s;
    EXPECT(write(t, f, ETH + 48 + n) == (ssize_t)(ETH + 48 + n));
}

static int join6(bool on, int s)
{
    struct ipv6_mreq m = {.ipv6mr_interface = if_nametoindex("t0")};

    memcpy(&m.ipv6mr_multiaddr, GROUP6, 16);
    return setsockopt(s, IPPROTO_IPV6, on ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &m, sizeof(m));
}

/* fe80::1, which is unique without a question. */
static void link_local(void)
{
    struct message m;
    struct ifaddrmsg *a = message_body(&m);
    int n = netlink_open(NETLINK_ROUTE);

    message_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*a));
    a->ifa_family = AF_INET6;
    a->ifa_prefixlen = 64;
    a->ifa_index = if_nametoindex("t0");
    a->ifa_flags = IFA_F_NODAD;
    message_put(&m, IFA_LOCAL, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    EXPECT(!netlink_ask(n, &m));
    close(n);
}

TEST(mld_joins_and_leaves_are_told_twice_and_queries_answered)
{
    unsigned char mac[6];
    int t = begin(true, mac), s = socket(AF_INET6, SOCK_DGRAM, 0);

    link_local();
    EXPECT(!join6(true, s));
    hears_record6(t, 4);
    hears_record6(t, 4);
    query6(t, 28);
    hears_record6(t, 2);
    EXPECT(!join6(false, s));
    hears_record6(t, 3);
    hears_record6(t, 3);
}

TEST(mld_older_queriers_hear_their_version)
{
    unsigned char mac[6], *m;
    int t = begin(true, mac), s = socket(AF_INET6, SOCK_DGRAM, 0);

    link_local();
    EXPECT(!join6(true, s));
    hears_record6(t, 4);
    hears_record6(t, 4);
    query6(t, 24);
    m = heard6(t, GROUP6, 8);
    EXPECT(m[0] == 131);
    EXPECT(!join6(false, s));
    m = heard6(t, ROUTERS6, 8);
    EXPECT(m[0] == 132);
}
