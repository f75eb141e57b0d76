// SPDX-License-Identifier: MIT
// The names of listen.h.
#include "engine/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/str.h"

static int listen_v4(const char *text, uint16_t port, struct listen_place *p)
{
    struct sockaddr_in *a = (struct sockaddr_in *)&p->addr;

    if (inet_pton(AF_INET, text, &a->sin_addr) != 1)
        return -EINVAL;
    a->sin_family = AF_INET;
    a->sin_port = htons(port);
    p->len = sizeof(*a);
    p->any = a->sin_addr.s_addr == 0;
    p->local = (ntohl(a->sin_addr.s_addr) >> 24) == 127;
    return 0;
}

static int listen_v6(const char *text, uint16_t port, struct listen_place *p)
{
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)&p->addr;

    if (inet_pton(AF_INET6, text, &a->sin6_addr) != 1)
        return -EINVAL;
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    p->len = sizeof(*a);
    p->any = IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr);
    p->local = IN6_IS_ADDR_LOOPBACK(&a->sin6_addr);
    return 0;
}

int listen_parse(const char *name, struct listen_place *place)
{
    const char *host = name + strlen("tcp://"), *colon = strrchr(name, ':');
    struct listen_place p = {0};
    char text[LISTEN_NAME];
    uint64_t port;
    bool v6;
    int err;

    if (!str_starts(name, "tcp://") || colon < host || !str_u64(colon + 1, &port) || !port ||
        port > 65535 || (size_t)(colon - host) >= sizeof(text))
        return -EINVAL;
    v6 = colon - host >= 2 && host[0] == '[' && colon[-1] == ']';
    memcpy(text, host + v6, (size_t)(colon - host) - 2 * v6);
    text[colon - host - 2 * v6] = 0;
    err = v6 ? listen_v6(text, (uint16_t)port, &p) : listen_v4(text, (uint16_t)port, &p);
    if (!err)
        *place = p;
    return err;
}
