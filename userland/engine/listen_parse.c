// SPDX-License-Identifier: MIT
// The names of listen.h.
#include "engine/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
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

/* "ADDRESS", in brackets where it is IPv6. */
static int listen_address(const char *text, size_t len, uint16_t port, struct listen_place *p)
{
    bool v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    char address[LISTEN_NAME];

    if (len >= sizeof(address))
        return -EINVAL;
    memcpy(address, text + v6, len - 2 * v6);
    address[len - 2 * v6] = 0;
    return v6 ? listen_v6(address, port, p) : listen_v4(address, port, p);
}

int listen_parse(const char *name, struct listen_place *place)
{
    const char *host = name + strlen("tcp://"), *from = strstr(name, LISTEN_FROM), *colon;
    struct listen_place p = {0}, client = {0};
    char *whole = from ? str_dupn(name, (size_t)(from - name)) : str_dup(name);
    uint64_t port;
    int err = -EINVAL;

    colon = strrchr(whole, ':');
    if (str_starts(name, "tcp://") && colon >= whole + strlen("tcp://") &&
        str_u64(colon + 1, &port) && port && port <= 65535)
        err = listen_address(host, (size_t)(colon - whole) - strlen("tcp://"), (uint16_t)port, &p);
    free(whole);
    if (!err && from) {
        from += strlen(LISTEN_FROM);
        err = listen_address(from, strlen(from), 0, &client);
        err = err || client.addr.ss_family != p.addr.ss_family ? -EINVAL : 0;
        p.from = client.addr;
    }
    if (!err)
        *place = p;
    return err;
}

bool listen_admits(const struct listen_place *place, const struct sockaddr *client)
{
    if (!place->from.ss_family)
        return true;
    if (client->sa_family != place->from.ss_family)
        return false;
    if (client->sa_family == AF_INET)
        return ((const struct sockaddr_in *)client)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)&place->from)->sin_addr.s_addr;
    return !memcmp(&((const struct sockaddr_in6 *)client)->sin6_addr,
                   &((const struct sockaddr_in6 *)&place->from)->sin6_addr, 16);
}
