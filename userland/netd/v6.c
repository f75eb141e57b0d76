// SPDX-License-Identifier: MIT
// IPv6 of a device: its link-local address, router advertisements (one raw ICMPv6 socket for all
// devices), stateless DHCPv6, and what of it is in the kernel. Duplicate addresses are looked for
// by the kernel; all begins when it has found the link-local address to be ours.
//
// The kernel's own handling of advertisements is turned off: it would do the half of it twice.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netd/netd.h"
#include "lib/str.h"

#define V6_READ_MAX 2048
#define ADVERTISEMENT 134
#define HOPS_USUAL 64

static struct ev_source v6_raw = {.fd = -1};
static bool v6_none; /* the kernel has no such sockets */

static void v6_apply(struct device *d, const struct ra_out *out);

/* ---- the socket for advertisements ---- */

static struct device *v6_device(uint32_t index)
{
    for (struct device *d = netd.devices; d; d = d->next)
        if ((uint32_t)d->index == index)
            return d;
    return NULL;
}

/* The device and the hop limit that a message came with; false when it does not tell them. */
static bool v6_ancillary(struct msghdr *h, uint32_t *index, int *hops)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    size_t left = h->msg_controllen;
    struct in6_pktinfo info;
    int found = 0;

    while (c && left >= sizeof(*c) && c->cmsg_len >= sizeof(*c) && c->cmsg_len <= left) {
        size_t step = CMSG_ALIGN(c->cmsg_len);

        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            *index = info.ipi6_ifindex;
            found |= 1;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) {
            memcpy(hops, CMSG_DATA(c), sizeof(*hops));
            found |= 2;
        }
        if (step > left)
            break;
        left -= step;
        c = (struct cmsghdr *)((char *)c + step);
    }
    return found == 3;
}

static void v6_hear(struct ev_source *s, uint32_t events)
{
    uint8_t bytes[V6_READ_MAX];
    struct sockaddr_in6 from = {0};
    union {
        struct cmsghdr align;
        char space[256];
    } control;
    struct iovec v = {bytes, sizeof(bytes)};
    struct msghdr h = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct ra_packet p = {.bytes = bytes};
    ssize_t n = recvmsg(s->fd, &h, 0);
    struct device *d;
    struct ra_out out;
    uint32_t index;

    if (n <= 0 || h.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || !v6_ancillary(&h, &index, &p.hop_limit))
        return;
    d = v6_device(index);
    if (!d || !d->rule->ra || !limit_take(&d->adverts, time_now_ms()))
        return;
    p.len = (size_t)n;
    memcpy(p.source, &from.sin6_addr, 16);
    ra_input(&d->ra, &p, time_now_ms(), &out);
    v6_apply(d, &out);
}

static int v6_open(void)
{
    struct icmp6_filter filter;
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6), one = 1,
        hops = 255;

    if (fd < 0)
        return -errno;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ADVERTISEMENT, &filter);
    if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof(one)) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) == 0)
        return fd;
    hops = -errno;
    close(fd);
    return hops;
}

static bool v6_ready(void)
{
    int fd;

    if (v6_raw.fd >= 0 || v6_none)
        return !v6_none;
    fd = v6_open();
    v6_none = fd < 0;
    if (v6_none) {
        net_log("no router advertisements: %s", strerror(-fd));
        return false;
    }
    v6_raw.fn = v6_hear;
    v6_raw.fd = fd;
    ev_set(&v6_raw, EPOLLIN);
    return true;
}

static void v6_solicit(struct device *d)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = (uint32_t)d->index};
    uint8_t message[RA_SOLICIT_SIZE];

    inet_pton(AF_INET6, "ff02::2", &to.sin6_addr);
    ra_solicitation(d->mac, message);
    if (sendto(v6_raw.fd, message, sizeof(message), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        net_log_once(d, "asking for routers", errno);
}

/* ---- stateless DHCPv6 ---- */

static int dhcp6_open(const struct device *d)
{
    struct sockaddr_in6 me = {.sin6_family = AF_INET6,
                              .sin6_port = htons(DHCP6_CLIENT_PORT),
                              .sin6_scope_id = (uint32_t)d->index};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return -errno;
    memcpy(&me.sin6_addr, d->local.bytes, 16);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, d->name, (socklen_t)strlen(d->name)) == 0 &&
        bind(fd, (struct sockaddr *)&me, sizeof(me)) == 0)
        return fd;
    one = -errno;
    close(fd);
    return one;
}

static void dhcp6_close(struct device *d)
{
    if (d->udp6.fd < 0)
        return;
    ev_del(&d->udp6);
    close(d->udp6.fd);
    d->udp6.fd = -1;
}

static void dhcp6_apply(struct device *d, const struct dhcp6_out *out);

static void dhcp6_hear(struct ev_source *s, uint32_t events)
{
    struct device *d = (struct device *)((char *)s - offsetof(struct device, udp6));
    uint8_t bytes[V6_READ_MAX];
    struct sockaddr_in6 from;
    socklen_t size = sizeof(from);
    ssize_t n = recvfrom(s->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);
    struct dhcp6_out out;

    if (n <= 0 || !IN6_IS_ADDR_LINKLOCAL(&from.sin6_addr))
        return;
    dhcp6_message(&d->dhcp6, bytes, (size_t)n, time_now_ms(), &out);
    dhcp6_apply(d, &out);
}

static void dhcp6_send(struct device *d, const struct dhcp6_out *out)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons(DHCP6_SERVER_PORT),
                              .sin6_scope_id = (uint32_t)d->index};

    if (d->udp6.fd < 0) {
        int fd = dhcp6_open(d);

        if (fd < 0) {
            net_log_once(d, "a socket for DHCPv6", -fd);
            return;
        }
        d->udp6 = (struct ev_source){.fd = fd, .fn = dhcp6_hear};
        ev_set(&d->udp6, EPOLLIN);
    }
    inet_pton(AF_INET6, "ff02::1:2", &to.sin6_addr);
    if (sendto(d->udp6.fd, out->message, out->len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        net_log_once(d, "asking by DHCPv6", errno);
}

static void timer_follow(struct ev_timer *t, uint64_t wake)
{
    uint64_t now = time_now_ms();

    if (wake)
        ev_timer_set(t, wake > now ? wake - now : 0);
    else
        ev_timer_del(t);
}

static void dhcp6_apply(struct device *d, const struct dhcp6_out *out)
{
    if (out->len)
        dhcp6_send(d, out);
    else if (!d->dhcp6.asking)
        dhcp6_close(d);
    if (out->changed)
        names_changed();
    timer_follow(&d->dhcp6_timer, d->dhcp6.wake);
}

static void dhcp6_due(struct ev_timer *t)
{
    struct device *d = (struct device *)((char *)t - offsetof(struct device, dhcp6_timer));
    struct dhcp6_out out;

    dhcp6_wake(&d->dhcp6, time_now_ms(), &out);
    dhcp6_apply(d, &out);
}

/* ---- what the kernel has of it ---- */

/* The address of ours in it. */
static struct address v6_own(const struct device *d, const struct ra_prefix *p)
{
    struct address a = address_v6(p->bytes, p->bits);

    if (d->rule->stable[0])
        ra_id_stable(d->rule->stable, p->bytes, d->name, p->taken, a.bytes + 8);
    else
        ra_id_eui64(d->mac, a.bytes + 8);
    return a;
}

static void v6_prefix(struct device *d, const struct ra_prefix *p)
{
    uint64_t now = time_now_ms();
    struct address a = v6_own(d, p);

    if (p->taken == RA_TAKEN_MAX)
        return;
    if (p->e.gone)
        kernel_address_del(d, &a);
    else
        kernel_address(d, &a, ra_left(p->preferred, now), ra_left(p->e.ends, now), false);
}

/* A prefix that is on the link, unless it would take the traffic of another device's network. */
static void v6_on_link(struct device *d, unsigned i, const struct others *others)
{
    const struct ra_prefix *p = &d->ra.on_link[i];
    struct route r = {.to = address_v6(p->bytes, p->bits),
                      .metric = d->metric,
                      .protocol = RTPROT_RA,
                      .expires = ra_left(p->e.ends, time_now_ms())};
    bool there = d->on_link & 1u << i,
         apart = others->unknown ? there : !others_have(others, &r.to);
    bool add = p->e.used && !p->e.gone && apart;

    if (!add && !there)
        return;
    d->on_link = add ? d->on_link | 1u << i : d->on_link & ~(1u << i);
    kernel_route(d, &r, add);
}

/* `all`: others' networks have changed; else what advertisements have changed. */
static void v6_on_links(struct device *d, bool all)
{
    struct others others = {0};
    bool read = false;

    for (unsigned i = 0; i < RA_PREFIXES; i++) {
        const struct ra_entry *e = &d->ra.on_link[i].e;

        if (!e->used || (!all && !e->changed))
            continue;
        if (!read)
            kernel_others(d, AF_INET6, &others);
        read = true;
        v6_on_link(d, i, &others);
    }
    others_free(&others);
}

void v6_others_changed(struct device *d)
{
    v6_on_links(d, true);
}

/* Each router's route has a metric of its own, or one would take another's place. */
static void v6_routers(struct device *d)
{
    for (unsigned i = 0; i < RA_ROUTERS; i++) {
        const struct ra_router *r = &d->ra.router[i];
        struct route route = {.to = {.family = AF_INET6},
                              .via = address_v6(r->address, 128),
                              .metric = d->metric + i,
                              .expires = ra_left(r->e.ends, time_now_ms()),
                              .protocol = RTPROT_RA};

        if (r->e.changed)
            kernel_route(d, &route, !r->e.gone);
    }
}

static void v6_mtu(const struct device *d)
{
    uint32_t most = d->mtu_now;

    kernel_sysctl(d, "ipv6", "mtu", d->ra.mtu && d->ra.mtu <= most ? d->ra.mtu : most);
}

/* The kernel has forgotten what was said of IPv6 alone. */
void v6_mtu_changed(struct device *d)
{
    if (d->rule->ra && d->ra.mtu)
        v6_mtu(d);
}

/* What no router says is as it was before. */
static void v6_link(const struct device *d)
{
    v6_mtu(d);
    kernel_sysctl(d, "ipv6", "hop_limit", d->ra.hop_limit ? d->ra.hop_limit : HOPS_USUAL);
}

static void v6_apply(struct device *d, const struct ra_out *out)
{
    struct dhcp6_out ask;

    if (out->solicit)
        v6_solicit(d);
    for (int i = 0; i < RA_PREFIXES && out->prefixes; i++)
        if (d->ra.prefix[i].e.changed)
            v6_prefix(d, &d->ra.prefix[i]);
    if (out->prefixes)
        v6_on_links(d, false);
    if (out->routers || out->renewed)
        v6_routers(d);
    if (out->link)
        v6_link(d);
    if (out->routers || out->names)
        names_changed();
    if (out->ask) {
        dhcp6_start(&d->dhcp6, time_now_ms(), &ask);
        dhcp6_apply(d, &ask);
    }
    timer_follow(&d->ra_timer, d->ra.wake);
}

static void ra_due(struct ev_timer *t)
{
    struct device *d = (struct device *)((char *)t - offsetof(struct device, ra_timer));
    struct ra_out out;

    ra_wake(&d->ra, time_now_ms(), &out);
    v6_apply(d, &out);
}

/* ---- the device's life ---- */

void v6_init(struct device *d)
{
    d->udp6.fd = -1;
    d->ra_timer.fn = ra_due;
    d->dhcp6_timer.fn = dhcp6_due;
    d->adverts = (struct limit){.burst = 64, .every_ms = 50};
    ra_init(&d->ra, net_seed());
    dhcp6_init(&d->dhcp6, d->mac, net_seed());
    if (d->rule->off)
        return;
    kernel_sysctl(d, "ipv6", "accept_ra", 0);
    kernel_sysctl(d, "ipv6", "autoconf", 0);
}

void v6_up(struct device *d)
{
    uint8_t bytes[16] = {0xfe, 0x80};
    struct address a;

    if (!d->rule->ra || !v6_ready())
        return;
    ra_id_eui64(d->mac, bytes + 8);
    a = address_v6(bytes, 64);
    kernel_address(d, &a, UINT32_MAX, UINT32_MAX, true);
}

/* Asks for routers while there is a carrier and an address to ask from. */
static void v6_run(struct device *d)
{
    bool run = d->rule->ra && d->carrier && d->local.family && !v6_none;
    struct ra_out out;

    if (run == d->ra.running)
        return;
    if (run) {
        ra_start(&d->ra, time_now_ms(), &out);
        v6_apply(d, &out);
        return;
    }
    ra_stop(&d->ra);
    dhcp6_stop(&d->dhcp6);
    dhcp6_close(d);
    timer_follow(&d->ra_timer, d->ra.wake);
    timer_follow(&d->dhcp6_timer, 0);
}

void v6_carrier(struct device *d)
{
    v6_run(d);
}

/* The advertised prefix whose address of ours this is, or NULL. */
static struct ra_prefix *v6_prefix_of(struct device *d, const struct address *a)
{
    for (int i = 0; i < RA_PREFIXES; i++) {
        struct ra_prefix *p = &d->ra.prefix[i];
        struct address own = v6_own(d, p);

        if (p->e.used && !p->e.gone && p->taken < RA_TAKEN_MAX && !memcmp(own.bytes, a->bytes, 16))
            return p;
    }
    return NULL;
}

/* An address of ours that another host has: the next one of that prefix, where there is one, up to
 * RA_TAKEN_MAX; then none, until the carrier is lost or the prefix goes. */
static void v6_taken(struct device *d, const struct address *a)
{
    struct ra_prefix *p = v6_prefix_of(d, a);
    char text[ADDRESS_TEXT];

    if (!p) /* the link-local one, or one of which it has been said */
        return;
    net_log("%s: another host has %s", d->name, address_text(a, false, text));
    kernel_address_del(d, a);
    p->taken = d->rule->stable[0] ? p->taken + 1 : RA_TAKEN_MAX;
    v6_prefix(d, p);
}

void v6_address(struct device *d, const struct address *a, uint32_t flags, bool there)
{
    bool link_local = a->bytes[0] == 0xfe && a->bytes[1] >> 6 == 2;

    if (flags & IFA_F_DADFAILED) { /* Linux removes those that have an end */
        if (link_local && there)
            net_log("%s: another host has its link-local address", d->name);
        v6_taken(d, a);
        return;
    }
    if (!link_local)
        return;
    d->local_seen |= there && address_same(a, &d->local);
    if (there && !(flags & IFA_F_TENTATIVE) && !d->local.family)
        d->local = *a;
    else if (!there && address_same(a, &d->local))
        d->local.family = 0;
    v6_run(d);
}

void v6_end(struct device *d)
{
    dhcp6_close(d);
    ev_timer_del(&d->ra_timer);
    ev_timer_del(&d->dhcp6_timer);
}

void v6_report(const struct device *d, struct jw *w)
{
    char text[ADDRESS_TEXT];

    if (!d->rule->ra)
        return;
    jw_object(w, "ra");
    for (int i = 0; i < RA_ROUTERS; i++)
        if (d->ra.router[i].e.used && !d->ra.router[i].e.gone) {
            struct address a = address_v6(d->ra.router[i].address, 128);

            jw_str(w, "router", address_text(&a, false, text));
            break;
        }
    jw_object_end(w);
}
