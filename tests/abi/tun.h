/* SPDX-License-Identifier: MIT
 *
 * A tun device for the tests: the test is the other end of its wire, and the wire's stranger.
 */
#pragma once

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "abi.h"
#include "netlink.h"

/* A namespace without packets that nobody asked for. */
static inline int namespace_open(void)
{
    int fd;

    EXPECT(!unshare(CLONE_NEWNET));
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "1", 1) == 1);
    close(fd);
    return netlink_open(NETLINK_ROUTE);
}

static inline int tun_open(const char *name, int flags, int *err)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    struct ifreq r = {.ifr_flags = (short)flags};

    EXPECT(fd >= 0);
    strcpy(r.ifr_name, name);
    *err = ioctl(fd, TUNSETIFF, &r) ? errno : 0;
    EXPECT(*err || !strncmp(r.ifr_name, name, strcspn(name, "%")));
    return fd;
}

static inline void address_set(const char *name, const char *addr, const char *mask)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {0};
    struct sockaddr_in *a = (void *)&r.ifr_addr;

    strcpy(r.ifr_name, name);
    a->sin_family = AF_INET;
    EXPECT(inet_pton(AF_INET, addr, &a->sin_addr) == 1 && !ioctl(s, SIOCSIFADDR, &r));
    EXPECT(inet_pton(AF_INET, mask, &a->sin_addr) == 1 && !ioctl(s, SIOCSIFNETMASK, &r));
    close(s);
}

static inline void sum_put(unsigned char *at, const unsigned char *p, size_t n)
{
    unsigned sum = 0;

    at[0] = at[1] = 0;
    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : p[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16));
    at[0] = (unsigned char)(sum >> 8);
    at[1] = (unsigned char)sum;
}

/* A packet of IPv4 with n bytes of the protocol behind the header, for 10.9.0.1. */
static inline size_t packet_put(unsigned char *p, const char *from, int protocol, const void *bytes,
                                size_t n)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    p[2] = (unsigned char)((20 + n) >> 8);
    p[3] = (unsigned char)(20 + n);
    p[8] = 64;
    p[9] = (unsigned char)protocol;
    inet_pton(AF_INET, from, p + 12);
    inet_pton(AF_INET, "10.9.0.1", p + 16);
    sum_put(p + 10, p, 20);
    memcpy(p + 20, bytes, n);
    return 20 + n;
}

/* A question of ping of n bytes. */
static inline size_t echo_put(unsigned char *p, const char *from, size_t n)
{
    unsigned char icmp[200] = {8, 0, 0, 0, 0x12, 0x34};

    sum_put(icmp + 2, icmp, n);
    return packet_put(p, from, 1, icmp, n);
}

/* What is read next and is of IPv4 and that protocol: its length. */
static inline ssize_t packet_read(int t, unsigned char *in, size_t n, int protocol, size_t before)
{
    struct pollfd p = {.fd = t, .events = POLLIN};
    ssize_t got;

    do {
        EXPECT(poll(&p, 1, -1) == 1);
        got = read(t, in, n);
        EXPECT(got > (ssize_t)before + 20);
    } while (in[before] >> 4 != 4 || in[before + 9] != protocol);
    return got;
}

static inline int tun_up(int flags)
{
    int n = namespace_open(), err, t = tun_open("u0", IFF_TUN | IFF_NO_PI | flags, &err);

    EXPECT(!err);
    address_set("u0", "10.9.0.1", "255.255.255.0");
    EXPECT(!link_flags(n, "u0", IFF_UP, IFF_UP));
    close(n);
    return t;
}
