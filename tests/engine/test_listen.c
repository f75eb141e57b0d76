// SPDX-License-Identifier: MIT
// Names of places where the API is served.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "engine/listen.h"
#include "harness.h"

TEST(listen_names_are_addresses_and_ports)
{
    struct listen_place p;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&p.addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&p.addr;

    EXPECT(listen_parse("tcp://127.0.0.1:2375", &p) == 0 && p.local && !p.any);
    EXPECT(p.len == sizeof(*v4) && v4->sin_family == AF_INET && ntohs(v4->sin_port) == 2375);
    EXPECT(ntohl(v4->sin_addr.s_addr) == 0x7f000001);
    EXPECT(listen_parse("tcp://0.0.0.0:65535", &p) == 0 && !p.local && p.any);
    EXPECT(listen_parse("tcp://10.0.2.15:1", &p) == 0 && !p.local && !p.any);
    EXPECT(listen_parse("tcp://[::]:2375", &p) == 0 && !p.local && p.any);
    EXPECT(p.len == sizeof(*v6) && v6->sin6_family == AF_INET6 && ntohs(v6->sin6_port) == 2375);
    EXPECT(listen_parse("tcp://[::1]:2375", &p) == 0 && p.local && !p.any);
    EXPECT(listen_parse("tcp://[fd00::1:2]:80", &p) == 0 && !p.local && !p.any);
}

static bool listen_lets(const struct listen_place *p, int family, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    inet_pton(family, address, family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr);
    return listen_admits(p, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6);
}

TEST(listen_places_may_be_for_one_client_alone)
{
    struct listen_place p;

    EXPECT(listen_parse("tcp://0.0.0.0:2375,from=10.0.2.2", &p) == 0 && p.any);
    EXPECT(listen_lets(&p, AF_INET, "10.0.2.2") && !listen_lets(&p, AF_INET, "10.0.2.15") &&
           !listen_lets(&p, AF_INET, "127.0.0.1") && !listen_lets(&p, AF_INET6, "::1"));
    EXPECT(listen_parse("tcp://[::]:2375,from=[fd00::2]", &p) == 0);
    EXPECT(listen_lets(&p, AF_INET6, "fd00::2") && !listen_lets(&p, AF_INET6, "fd00::3"));
    EXPECT(listen_parse("tcp://0.0.0.0:2375", &p) == 0 && listen_lets(&p, AF_INET, "1.2.3.4"));
}

TEST(listen_names_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "",
        "tcp",
        "tcp://",
        "tcp:/1.2.3.4:5",
        "tcp://:2375",
        "tcp://1.2.3.4",
        "tcp://1.2.3.4:",
        "tcp://1.2.3.4:0",
        "tcp://1.2.3.4:65536",
        "tcp://1.2.3.4:18446744073709551617",
        "tcp://1.2.3.4:-1",
        "tcp://1.2.3.4:80x",
        "tcp://1.2.3:80",
        "tcp://localhost:80",
        "tcp://::1:80",
        "tcp://[]:80",
        "tcp://[:80",
        "tcp://]:80",
        "tcp://[1.2.3.4]:80",
        "tcp://[::1:80",
        "tcp://[fe80::1%eth0]:80",
        "udp://1.2.3.4:80",
        "tcp://1.2.3.4:80,from=",
        "tcp://1.2.3.4:80,from=fd00::1",
        "tcp://1.2.3.4:80,from=[fd00::1]",
        "tcp://1.2.3.4:80,from=1.2.3",
        "tcp://1.2.3.4,from=1.2.3.4:80",
        "tcp://1.2.3.4:80,x",
        "tcp://[0000000000000000000000000000000000000000000000000000000000000000000000::]:80",
    };
    struct listen_place p = {.len = 7};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(listen_parse(bad[i], &p) == -EINVAL && p.len == 7);
}
