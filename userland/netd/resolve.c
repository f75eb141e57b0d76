// SPDX-License-Identifier: MIT
// The names of time servers: what dns.c decides is done here. Each question goes out from a port of
// its own, which an answer has to know.
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netd/netd.h"
#include "lib/str.h"

static struct {
    struct dns dns;
    struct ev_timer timer;
    struct ev_source socket; /* to the server that is asked; fd -1 in between */
} resolver = {.socket.fd = -1};

static void resolve_apply(const struct dns_out *out);

static void resolve_close(void)
{
    if (resolver.socket.fd < 0)
        return;
    ev_del(&resolver.socket);
    close(resolver.socket.fd);
    resolver.socket.fd = -1;
}

static void resolve_hear(struct ev_source *s, uint32_t events)
{
    uint8_t bytes[DNS_READ_MAX];
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
    struct dns_out out;

    if (n <= 0)
        return; /* it says that nobody listens: time tells the rest */
    dns_message(&resolver.dns, bytes, (size_t)n, time_now_ms(), &out);
    resolve_apply(&out);
}

int udp_connect(const struct address *a, int link, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = (uint32_t)link};
    bool is6 = a->family == AF_INET6;
    int fd = socket(a->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

    if (fd < 0)
        return -errno;
    memcpy(is6 ? (void *)&v6.sin6_addr : &v4.sin_addr, a->bytes, address_size(a));
    if (connect(fd, is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                is6 ? sizeof(v6) : sizeof(v4)) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static void resolve_ask(const struct dns_out *out)
{
    const struct dns_server *s = &resolver.dns.server[resolver.dns.at];
    int fd;

    resolve_close();
    fd = udp_connect(&s->address, s->link, DNS_PORT);
    if (fd < 0)
        return;
    resolver.socket = (struct ev_source){.fd = fd, .fn = resolve_hear};
    ev_set(&resolver.socket, EPOLLIN);
    if (send(fd, out->message, out->len, 0) < 0)
        resolve_close();
}

static void resolve_apply(const struct dns_out *out)
{
    uint64_t now = time_now_ms(), wake = resolver.dns.wake;

    if (out->len)
        resolve_ask(out);
    else if (!resolver.dns.asking)
        resolve_close();
    if (out->changed)
        names_changed();
    if (wake)
        ev_timer_set(&resolver.timer, wake > now ? wake - now : 0);
    else
        ev_timer_del(&resolver.timer);
}

static void resolve_due(struct ev_timer *t)
{
    struct dns_out out;

    dns_wake(&resolver.dns, time_now_ms(), &out);
    resolve_apply(&out);
}

void resolve_start(void)
{
    resolver.timer.fn = resolve_due;
    dns_init(&resolver.dns, net_seed());
}

void resolve_want(const char *names, const struct dns_server *s, unsigned n)
{
    dns_want(&resolver.dns, names, s, n, time_now_ms());
    resolve_apply(&(struct dns_out){0});
}

void resolve_again(void)
{
    dns_again(&resolver.dns, time_now_ms());
    resolve_apply(&(struct dns_out){0});
}

void resolve_found(struct address_list *l)
{
    for (unsigned i = 0; i < DNS_ADDRESSES; i++)
        for (unsigned k = 0; k < resolver.dns.names; k++)
            if (i < resolver.dns.name[k].n)
                address_list_add(l, &resolver.dns.name[k].item[i]);
}

const char *resolve_name_of(const struct address *a)
{
    for (unsigned k = 0; k < resolver.dns.names; k++)
        for (unsigned i = 0; i < resolver.dns.name[k].n; i++)
            if (address_host_same(&resolver.dns.name[k].item[i], a))
                return resolver.dns.name[k].text;
    return NULL;
}

void resolve_report(struct jw *w)
{
    jw_array(w, "unknown");
    for (unsigned k = 0; k < resolver.dns.names; k++)
        if (!resolver.dns.name[k].n)
            jw_str(w, NULL, resolver.dns.name[k].text);
    jw_array_end(w);
}
