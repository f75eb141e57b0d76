/* SPDX-License-Identifier: MIT
 *
 * Names and options of sockets of both families, as text and numbers.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "abi.h"

union name {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* "1.2.3.4" is AF_INET, what has a colon AF_INET6. *n: its length. */
static inline union name at(const char *ip, int port, socklen_t *n)
{
    union name a;

    memset(&a, 0, sizeof(a));
    a.in6.sin6_port = htons((uint16_t)port);
    if (strchr(ip, ':')) {
        a.sa.sa_family = AF_INET6;
        EXPECT(inet_pton(AF_INET6, ip, &a.in6.sin6_addr) == 1);
        *n = sizeof(a.in6);
    } else {
        a.sa.sa_family = AF_INET;
        EXPECT(inet_pton(AF_INET, ip, &a.in.sin_addr) == 1);
        *n = sizeof(a.in);
    }
    return a;
}

static inline int bind_at(int s, const char *ip, int port)
{
    socklen_t n;
    union name a = at(ip, port, &n);

    return bind(s, &a.sa, n);
}

static inline int connect_at(int s, const char *ip, int port)
{
    socklen_t n;
    union name a = at(ip, port, &n);

    return connect(s, &a.sa, n);
}

static inline int port_of(int s)
{
    union name a;
    socklen_t n = sizeof(a);

    EXPECT(getsockname(s, &a.sa, &n) == 0);
    return ntohs(a.in.sin_port);
}

static inline void set(int s, int level, int name, int v)
{
    EXPECT(setsockopt(s, level, name, &v, sizeof(v)) == 0);
}

static inline int get(int s, int level, int name)
{
    int v = -12345;
    socklen_t n = sizeof(v);

    EXPECT(getsockopt(s, level, name, &v, &n) == 0 && n == sizeof(v));
    return v;
}
