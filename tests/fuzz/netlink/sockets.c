/* SPDX-License-Identifier: MIT
 *
 * What threads do with sockets: netlink's, which all of a process share, and those that use the
 * devices, addresses and ports that the messages make and take away.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

#define ETH_ALL 3

struct shared shared;

/* ---- netlink ---- */

static int netlink_open(struct chance *c, int protocol)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK,
                            .nl_groups = chance_of(c, 3) ? (uint32_t)chance_u64(c) : 0};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), on = 1;

    bind(s, (void *)&a, sizeof(a));
    for (int name = 1; name <= 12; name++)
        if (chance_of(c, 4)) {
            on = name <= 2 ? (int)chance_below(c, 36) : 1;
            setsockopt(s, SOL_NETLINK, name, &on, sizeof(on));
        }
    on = (int)chance_below(c, 20000);
    if (chance_of(c, 4))
        setsockopt(s, SOL_SOCKET, SO_RCVBUF, &on, sizeof(on));
    return s;
}

void netlink_open_all(struct chance *c)
{
    static const int protocols[NETLINKS] = {
        NETLINK_ROUTE,     NETLINK_ROUTE,   NETLINK_ROUTE,          NETLINK_ROUTE,
        NETLINK_SOCK_DIAG, NETLINK_GENERIC, NETLINK_KOBJECT_UEVENT, NETLINK_SOCK_DIAG};

    for (unsigned i = 0; i < NETLINKS; i++) {
        shared.netlink_protocol[i] = protocols[i];
        shared.netlink[i] = netlink_open(c, protocols[i]);
    }
}

/* Another socket takes a shared one's place: a dump that ran ends in the middle. */
static void netlink_renew(struct chance *c)
{
    unsigned i = (unsigned)chance_below(c, NETLINKS);
    int s = netlink_open(c, shared.netlink_protocol[i]);

    if (s < 0)
        return;
    dup2(s, shared.netlink[i]);
    close(s);
}

static void netlink_read(struct chance *c, int s)
{
    static __thread char buf[40000];

    for (unsigned n = (unsigned)chance_below(c, 4); n; n--) {
        const struct nlmsgerr *e = (void *)(buf + NLMSG_HDRLEN);
        const struct nlmsghdr *h = (void *)buf;
        ssize_t got = recv(s, buf, chance_of(c, 4) ? chance_below(c, 600) : sizeof(buf),
                           MSG_DONTWAIT | (chance_of(c, 8) ? MSG_PEEK | MSG_TRUNC : 0));

        if (got < NLMSG_HDRLEN + 4)
            continue;
        __atomic_fetch_add(h->nlmsg_type != NLMSG_ERROR ? &done->told
                           : e->error                   ? &done->refused
                                                        : &done->accepted,
                           1, __ATOMIC_RELAXED);
        if (h->nlmsg_type == NLMSG_ERROR && getenv("FUZZ_TELL"))
            printf("%d %d\n", e->msg.nlmsg_type, e->error);
    }
}

static const struct form *form_of(struct chance *c, int protocol)
{
    const struct form *f;

    do
        f = &forms[chance_below(c, form_count)];
    while (f->protocol != protocol && protocol != NETLINK_KOBJECT_UEVENT);
    return f;
}

void netlink_deed(struct chance *c)
{
    static __thread struct message m[3];
    unsigned i = (unsigned)chance_below(c, NETLINKS), n = chance_of(c, 6) ? 3 : 1;
    struct iovec v[3];
    struct msghdr h = {.msg_iov = v, .msg_iovlen = n};

    for (unsigned k = 0; k < n; k++) {
        message_make(c, form_of(c, shared.netlink_protocol[i]), &m[k]);
        if (chance_of(c, 2))
            message_spoil(c, &m[k]);
        v[k] = (struct iovec){m[k].bytes, m[k].n};
    }
    sendmsg(shared.netlink[i], &h, MSG_DONTWAIT);
    netlink_read(c, shared.netlink[i]);
    if (chance_of(c, 50))
        netlink_renew(c);
}

/* ---- packet sockets ---- */

static void filter_attach(struct chance *c, int s)
{
    struct sock_filter f[12];
    struct sock_fprog p = {(unsigned short)(1 + chance_below(c, 12)), f};

    for (unsigned i = 0; i < p.len; i++)
        f[i] =
            (struct sock_filter){(uint16_t)(chance_of(c, 6) ? value_int(c) : chance_u64(c) & 0xff),
                                 (uint8_t)chance_below(c, 4), (uint8_t)chance_below(c, 4),
                                 chance_of(c, 3) ? value_int(c) : (uint32_t)chance_below(c, 60)};
    f[p.len - 1] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, value_int(c)};
    setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p));
}

static void ring_map(struct chance *c, int s)
{
    int version = (int)chance_below(c, 4);
    struct tpacket_req3 r = {4096U << chance_below(c, 3),
                             (unsigned)chance_below(c, 6),
                             1024U << chance_below(c, 3),
                             (unsigned)chance_below(c, 24),
                             (unsigned)chance_below(c, 10),
                             chance_of(c, 3) ? value_int(c) : 0,
                             0};
    size_t n = (size_t)r.tp_block_size * r.tp_block_nr;
    volatile char *at;

    if (chance_of(c, 2))
        r.tp_frame_nr = r.tp_block_size / r.tp_frame_size * r.tp_block_nr;
    setsockopt(s, SOL_PACKET, PACKET_VERSION, &version, sizeof(version));
    setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, sizeof(r));
    at = mmap(NULL, n ? n : 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    if (at == MAP_FAILED)
        return;
    if (chance_of(c, 2) && n)
        at[0] = 0;
    munmap((void *)at, n ? n : 4096);
}

static void member_join(struct chance *c, int s)
{
    struct packet_mreq r = {(int)chance_below(c, 9),
                            (unsigned short)chance_below(c, 4),
                            6,
                            {1, 0, 94, 0, 0, (uint8_t)chance_below(c, 4)}};

    setsockopt(s, SOL_PACKET, chance_of(c, 3) ? PACKET_DROP_MEMBERSHIP : PACKET_ADD_MEMBERSHIP, &r,
               sizeof(r));
}

static void packet_deed(struct chance *c)
{
    int protocol = htons((uint16_t)(chance_of(c, 2) ? ETH_ALL : 0x0800));
    int s = socket(AF_PACKET, (chance_of(c, 2) ? SOCK_RAW : SOCK_DGRAM) | SOCK_NONBLOCK, protocol);
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = (uint16_t)protocol,
                            .sll_ifindex = (int)chance_below(c, 9),
                            .sll_halen = 6};
    char frame[1600] = {2, 1, 2, 3, 4, 5, 2, 0, 0, 0, 0, 1, 8, 0, 0x45};

    if (s < 0)
        return;
    if (chance_of(c, 2))
        filter_attach(c, s);
    if (chance_of(c, 2))
        ring_map(c, s);
    bind(s, (void *)&a, sizeof(a));
    if (chance_of(c, 2))
        member_join(c, s);
    for (unsigned n = (unsigned)chance_below(c, 5); n; n--) {
        sendto(s, frame, chance_below(c, sizeof(frame)), MSG_DONTWAIT, (void *)&a, sizeof(a));
        recv(s, frame, sizeof(frame), MSG_DONTWAIT);
    }
    close(s);
}

/* ---- TCP, UDP, raw ---- */

static socklen_t inet_name(struct chance *c, int family, struct sockaddr_storage *out)
{
    struct sockaddr_in6 *six = (void *)out;
    struct sockaddr_in *four = (void *)out;
    uint8_t addr[16];
    uint16_t port = htons((uint16_t)(5000 + chance_below(c, 4)));

    memset(out, 0, sizeof(*out));
    (void)net_address(c, family, addr);
    out->ss_family = (sa_family_t)family;
    if (family == AF_INET6) {
        six->sin6_port = port;
        six->sin6_scope_id = (uint32_t)chance_below(c, 6);
        memcpy(&six->sin6_addr, addr, 16);
        return sizeof(*six);
    }
    four->sin_port = port;
    memcpy(&four->sin_addr, addr, 4);
    return sizeof(*four);
}

static void inet_options(struct chance *c, int s, int family)
{
    static const int levels[] = {IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET, IPPROTO_TCP, IPPROTO_UDP};
    struct ip_mreqn r = {.imr_multiaddr.s_addr = htonl(0xe0000000U + (uint32_t)chance_below(c, 4)),
                         .imr_ifindex = (int)chance_below(c, 6)};
    char bytes[64];

    if (chance_of(c, 2))
        setsockopt(s, IPPROTO_IP, chance_of(c, 3) ? IP_DROP_MEMBERSHIP : IP_ADD_MEMBERSHIP, &r,
                   sizeof(r));
    if (chance_of(c, 3)) {
        const char *name = net_name(c);

        setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strnlen(name, 16));
    }
    for (unsigned i = 0; i < sizeof(bytes); i += 4)
        *(uint32_t *)(void *)(bytes + i) = value_int(c);
    setsockopt(s, levels[chance_below(c, 5)], (int)chance_below(c, 80), bytes,
               (socklen_t)(chance_of(c, 2) ? 4 : chance_below(c, 64)));
    (void)family;
}

static void inet_deed(struct chance *c)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
    int family = chance_of(c, 2) ? AF_INET6 : AF_INET, type = types[chance_below(c, 4)], on = 1;
    int s =
        socket(family, type | SOCK_NONBLOCK, type == SOCK_RAW ? 1 + (int)chance_below(c, 60) : 0);
    struct sockaddr_storage a;
    char buf[2000] = {8};

    if (s < 0)
        return;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (chance_of(c, 2))
        inet_options(c, s, family);
    if (!chance_of(c, 4))
        bind(s, (void *)&a, inet_name(c, family, &a));
    if (chance_of(c, 3))
        listen(s, (int)chance_below(c, 4));
    else
        connect(s, (void *)&a, inet_name(c, family, &a));
    for (unsigned n = (unsigned)chance_below(c, 4); n; n--) {
        send(s, buf, chance_below(c, sizeof(buf)), MSG_DONTWAIT | MSG_NOSIGNAL);
        sendto(s, buf, chance_below(c, sizeof(buf)), MSG_DONTWAIT | MSG_NOSIGNAL, (void *)&a,
               inet_name(c, family, &a));
        recv(s, buf, sizeof(buf), MSG_DONTWAIT);
    }
    if (chance_of(c, 3)) {
        int got = accept4(s, NULL, NULL, SOCK_NONBLOCK);

        if (got >= 0)
            close(got);
    }
    close(s);
}

/* ---- interfaces by ioctl, files, namespaces ---- */

static void ioctl_deed(struct chance *c)
{
    struct ifreq r = {.ifr_flags = chance_of(c, 2) ? IFF_UP : 0};
    struct sockaddr_in *a = (void *)&r.ifr_addr;
    unsigned command = 0x8910 + (unsigned)chance_below(c, 0x40);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t addr[16];

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", net_name(c));
    if (command != 0x8914) { /* SIOCSIFFLAGS */
        (void)net_address(c, AF_INET, addr);
        a->sin_family = AF_INET;
        memcpy(&a->sin_addr, addr, 4);
    }
    ioctl(s, command, &r);
    close(s);
}

/* ethtool's commands over a struct of nonsense. */
static void ethtool_deed(struct chance *c)
{
    static uint32_t words[2048];
    struct ifreq r = {.ifr_data = (void *)words};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", net_name(c));
    words[0] = (uint32_t)chance_below(c, 0x54);
    words[1] = chance_of(c, 2) ? (uint32_t)chance_below(c, 8) : value_int(c);
    for (unsigned i = 2; i < 8; i++)
        words[i] = value_int(c);
    ioctl(s, 0x8946, &r);
    close(s);
}

static void file_deed(struct chance *c)
{
    static const char *const files[] = {"tcp",  "tcp6",     "udp",    "udp6",  "raw",       "raw6",
                                        "unix", "netlink",  "packet", "route", "if_inet6",  "dev",
                                        "arp",  "sockstat", "igmp",   "snmp",  "ipv6_route"};
    char path[64], buf[4096];
    int fd;

    snprintf(path, sizeof(path), "/proc/thread-self/net/%s", files[chance_below(c, 17)]);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    while (read(fd, buf, chance_of(c, 2) ? 100 : sizeof(buf)) > 0 && !chance_of(c, 8))
        ;
    close(fd);
}

/* The thread goes to another namespace; now and then a new one takes a shared one's place. */
static void namespace_deed(struct chance *c)
{
    int *place = &shared.ns[chance_below(c, NAMESPACES)], fd;

    if (!chance_of(c, 4)) {
        setns(*place, CLONE_NEWNET);
        return;
    }
    if (unshare(CLONE_NEWNET))
        return;
    fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        dup2(fd, *place);
    close(fd);
}

void socket_deed(struct chance *c)
{
    static void (*const deeds[])(struct chance * c) = {
        packet_deed, inet_deed, inet_deed, inet_deed, ioctl_deed, ethtool_deed, file_deed};

    if (chance_of(c, 40))
        namespace_deed(c);
    else
        deeds[chance_below(c, sizeof(deeds) / sizeof(deeds[0]))](c);
}
