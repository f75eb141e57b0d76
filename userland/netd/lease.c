// SPDX-License-Identifier: MIT
// DHCPv4 of a device: the sockets and routes of what dhcp4.c decides.
//
// A packet socket hears answers while there is no address, and a UDP socket while there is one to
// be renewed; in between neither is open, so that others' broadcasts wake nothing.
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netd/netd.h"
#include "netd/wire.h"
#include "lib/str.h"
#include "runtime/bpf.h"

#define BPF_H 0x08
#define BPF_B 0x10
#define BPF_IND 0x40
#define BPF_MSH 0xa0
#define BPF_LDX 0x01

/* struct tpacket_auxdata of packet(7), as far as its status. */
#define AUX_SIZE 20
#define AUX_NO_SUM 8 /* TP_STATUS_CSUMNOTREADY */

static void lease_apply(struct device *d, struct dhcp4_out *out);

/* ---- what the kernel has of it ---- */

static struct address lease_address(const struct dhcp4_lease *l)
{
    return address_v4(l->address, l->prefix);
}

static void lease_route(struct device *d, const struct dhcp4_lease *l, uint32_t to, unsigned prefix,
                        uint32_t via, bool add)
{
    struct route r = {.to = address_v4(to, prefix),
                      .from = address_v4(l->address, 32),
                      .metric = d->metric,
                      .protocol = RTPROT_DHCP};

    if (via)
        r.via = address_v4(via, 32);
    kernel_route(d, &r, add);
}

/* One that stands aside while it would take the traffic of another device's network; while these
 * are not known it stays as it is. Always said to the kernel, which may have forgotten routes, or
 * have those of an earlier netd. */
static void lease_route_apart(struct device *d, const struct dhcp4_lease *l,
                              const struct dhcp4_route *r, const struct others *o)
{
    struct address to = address_v4(r->to, r->prefix);

    if (!r->prefix)
        lease_route(d, l, 0, 0, r->via, true);
    else if (!o->unknown)
        lease_route(d, l, r->to, r->prefix, r->via, !others_have(o, &to));
}

/* To its own network: what is not this machine is reached by the router without it. */
static bool lease_network(const struct dhcp4_lease *l, struct dhcp4_route *out)
{
    if (!l->prefix || l->prefix >= 32)
        return false;
    *out = (struct dhcp4_route){.to = l->address & UINT32_MAX << (32 - l->prefix),
                                .prefix = l->prefix};
    return true;
}

static void lease_routes_set(struct device *d, const struct dhcp4_lease *l)
{
    struct dhcp4_route network;
    struct others o;

    kernel_others(d, AF_INET, &o);
    if (lease_network(l, &network))
        lease_route_apart(d, l, &network, &o);
    for (unsigned i = 0; i < l->routes; i++)
        lease_route_apart(d, l, &l->route[i], &o);
    others_free(&o);
    if (!l->has_routes && l->routers.n) /* RFC 3442: with routes, routers do not count */
        lease_route(d, l, 0, 0, l->routers.item[0], true);
}

static void lease_routes_unset(struct device *d, const struct dhcp4_lease *l)
{
    struct dhcp4_route network;

    for (unsigned i = 0; i < l->routes; i++)
        lease_route(d, l, l->route[i].to, l->route[i].prefix, l->route[i].via, false);
    if (!l->has_routes && l->routers.n)
        lease_route(d, l, 0, 0, l->routers.item[0], false);
    if (lease_network(l, &network))
        lease_route(d, l, network.to, network.prefix, 0, false);
}

void lease_others_changed(struct device *d)
{
    if (d->is_set)
        lease_routes_set(d, &d->set);
}

static void lease_mtu_set(struct device *d, uint32_t mtu)
{
    kernel_mtu(d, mtu);
    v6_mtu_changed(d);
}

static void lease_unset(struct device *d)
{
    struct address a = lease_address(&d->set);
    char text[ADDRESS_TEXT];

    if (!d->is_set)
        return;
    lease_routes_unset(d, &d->set);
    kernel_address_del(d, &a);
    if (!d->rule->mtu && d->set.mtu)
        lease_mtu_set(d, d->mtu);
    net_log("%s: %s is given up", d->name, address_text(&a, true, text));
    d->is_set = false;
    names_changed();
}

static bool routes_same(const struct dhcp4_lease *a, const struct dhcp4_lease *b)
{
    return a->routes == b->routes && !memcmp(a->route, b->route, sizeof(a->route)) &&
           a->has_routes == b->has_routes && a->routers.n == b->routers.n &&
           !memcmp(&a->routers, &b->routers, sizeof(a->routers));
}

/* A server's word, unless a rule has one; below 1280 a device has no IPv6 (RFC 8200 5), which is
 * not for a DHCPv4 server to say. One that says nothing any more has the device's own again. */
static void lease_mtu(struct device *d, const struct dhcp4_lease *l)
{
    uint32_t least = d->rule->ra ? 1280 : 576;
    uint32_t mtu = l->mtu < least ? least : l->mtu;

    if (d->rule->mtu)
        return;
    if (l->mtu && mtu <= d->mtu)
        lease_mtu_set(d, mtu);
    else if (d->is_set && d->set.mtu)
        lease_mtu_set(d, d->mtu);
}

/* An address with an end that is not the lease's is what an earlier netd has left. */
static void lease_sweep_one(const struct nl_part *p, void *arg)
{
    const struct device *d = arg;
    struct nl_span a[IFA_FLAGS + 1];
    struct ifaddrmsg head;
    struct address left;

    if (p->type != RTM_NEWADDR || !nl_index(p->data, p->len, sizeof(head), a, IFA_FLAGS + 1))
        return;
    memcpy(&head, p->data, sizeof(head));
    if (head.ifa_index != (uint32_t)d->index || head.ifa_family != AF_INET ||
        nl_u32(a[IFA_FLAGS], head.ifa_flags) & IFA_F_PERMANENT || a[IFA_LOCAL].len != 4)
        return;
    left = address_v4(wire_u32(a[IFA_LOCAL].data), head.ifa_prefixlen);
    if (address_u32(&left) != d->dhcp4.lease.address || left.prefix != d->dhcp4.lease.prefix)
        kernel_address_del(d, &left);
}

static void lease_sweep(struct device *d)
{
    struct ifaddrmsg head = {.ifa_family = AF_INET};

    kernel_dump(RTM_GETADDR, &head, sizeof(head), lease_sweep_one, d);
}

static void lease_set(struct device *d)
{
    const struct dhcp4_lease *l = &d->dhcp4.lease;
    struct address a = lease_address(l), server = address_v4(l->server, 32);
    bool fresh = !d->is_set;
    char text[ADDRESS_TEXT], by[ADDRESS_TEXT];
    uint64_t now = time_now_ms(), ends = d->dhcp4.lease_ends;
    uint32_t left = ends ? (uint32_t)((ends > now ? ends - now : 0) / 1000 + 1) : UINT32_MAX;

    if (fresh) /* before the new one is there, which could go with an old one as its secondary */
        lease_sweep(d);
    kernel_address(d, &a, left, left, false);
    if (!fresh && !routes_same(l, &d->set))
        lease_routes_unset(d, &d->set);
    if (fresh || !routes_same(l, &d->set))
        lease_routes_set(d, l);
    lease_mtu(d, l);
    d->set = *l;
    d->is_set = true;
    if (fresh)
        net_log("%s: %s from %s for %u s", d->name, address_text(&a, true, text),
                address_text(&server, false, by), l->lease_s);
    names_changed();
}

/* ---- sockets ---- */

static void source_close(struct ev_source *s)
{
    if (s->fd < 0)
        return;
    ev_del(s);
    close(s->fd);
    s->fd = -1;
}

static void source_open(struct ev_source *s, int fd, void (*fn)(struct ev_source *s, uint32_t e))
{
    s->fd = fd;
    s->fn = fn;
    s->events = 0;
    ev_set(s, EPOLLIN);
}

/* UDP to port 68, no later fragment; what stands before it is the IPv4 header. */
static int packet_filter(int fd)
{
    static struct sock_filter code[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 9},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 6, 17},
        {BPF_LD | BPF_H | BPF_ABS, 0, 0, 6},
        {BPF_JMP | BPF_JSET | BPF_K, 4, 0, 0x1fff},
        {BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0},
        {BPF_LD | BPF_H | BPF_IND, 0, 0, 2},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, DHCP4_CLIENT_PORT},
        {BPF_RET | BPF_K, 0, 0, DHCP4_READ_MAX},
        {BPF_RET | BPF_K, 0, 0, 0},
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* A packet socket for one device, which hears nothing until it is bound. */
static int packet_open(const struct device *d, uint16_t protocol, bool filter)
{
    struct sockaddr_ll me = {
        .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = d->index};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return -errno;
    if (filter)
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
    if ((!filter || packet_filter(fd) == 0) && bind(fd, (struct sockaddr *)&me, sizeof(me)) == 0)
        return fd;
    one = -errno;
    close(fd);
    return one;
}

static int udp_open(const struct device *d)
{
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(DHCP4_CLIENT_PORT)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return -errno;
    memcpy(&me.sin_addr, lease_address(&d->set).bytes, 4);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, d->name, (socklen_t)strlen(d->name)) == 0 &&
        bind(fd, (struct sockaddr *)&me, sizeof(me)) == 0)
        return fd;
    one = -errno;
    close(fd);
    return one;
}

/* Whether the packet's UDP checksum has been filled in, as its one control message says. */
static bool packet_summed(struct msghdr *h)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    uint32_t status;

    if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
        return true;
    memcpy(&status, CMSG_DATA(c), sizeof(status));
    return !(status & AUX_NO_SUM);
}

static void packet_hear(struct ev_source *s, uint32_t events)
{
    struct device *d = (struct device *)((char *)s - offsetof(struct device, packet));
    uint8_t bytes[DHCP4_READ_MAX];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(AUX_SIZE) + 64];
    } control;
    struct iovec v = {bytes, sizeof(bytes)};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(s->fd, &h, 0);
    const uint8_t *message;
    struct dhcp4_out out;
    size_t len;

    message = n > 0 ? dhcp4_unframe(bytes, (size_t)n, packet_summed(&h), &len) : NULL;
    if (!message)
        return;
    dhcp4_message(&d->dhcp4, message, len, time_now_ms(), &out);
    lease_apply(d, &out);
}

static void udp_hear(struct ev_source *s, uint32_t events)
{
    struct device *d = (struct device *)((char *)s - offsetof(struct device, udp));
    uint8_t bytes[DHCP4_READ_MAX];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t n = recvfrom(s->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);
    struct dhcp4_out out;

    if (n <= 0 || from.sin_port != htons(DHCP4_SERVER_PORT))
        return;
    dhcp4_message(&d->dhcp4, bytes, (size_t)n, time_now_ms(), &out);
    lease_apply(d, &out);
}

static void arp_hear(struct ev_source *s, uint32_t events)
{
    struct device *d = (struct device *)((char *)s - offsetof(struct device, arp));
    uint8_t bytes[64];
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
    struct dhcp4_out out;

    if (n <= 0)
        return;
    dhcp4_arp(&d->dhcp4, bytes, (size_t)n, time_now_ms(), &out);
    lease_apply(d, &out);
}

static void source_want(struct device *d, struct ev_source *s, bool wanted, int fd,
                        void (*fn)(struct ev_source *s, uint32_t e))
{
    if (fd >= 0)
        source_open(s, fd, fn);
    else if (wanted && s->fd < 0)
        net_log_once(d, "a socket for DHCP", -fd);
}

/* Those that the machine's state needs are open, no others. */
static void lease_sockets(struct device *d, bool announce)
{
    enum dhcp4_state s = d->dhcp4.state;
    bool packet = s >= DHCP4_SELECTING && s <= DHCP4_PROBING;
    bool arp = s == DHCP4_PROBING || announce;
    bool udp = s == DHCP4_RENEWING || s == DHCP4_REBINDING;

    if (packet && d->packet.fd < 0)
        source_want(d, &d->packet, true, packet_open(d, ETHERTYPE_IP, true), packet_hear);
    if (arp && d->arp.fd < 0)
        source_want(d, &d->arp, true, packet_open(d, ETHERTYPE_ARP, false), arp_hear);
    if (udp && d->udp.fd < 0)
        source_want(d, &d->udp, true, udp_open(d), udp_hear);
    if (!packet)
        source_close(&d->packet);
    if (!arp)
        source_close(&d->arp);
    if (!udp)
        source_close(&d->udp);
}

/* ---- sending ---- */

static void packet_send(struct device *d, int fd, uint16_t protocol, const void *p, size_t len)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(protocol),
                             .sll_ifindex = d->index,
                             .sll_halen = 6,
                             .sll_addr = {255, 255, 255, 255, 255, 255}};

    if (fd >= 0 && sendto(fd, p, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        net_log_once(d, "sending", errno);
}

/* A message that has no socket yet (a decline, when the states go on) gets one for itself. */
static void lease_send_all(struct device *d, const struct dhcp4_out *out)
{
    uint8_t frame[DHCP4_FRAME_HEAD + DHCP4_MSG_MAX];
    int fd = d->packet.fd >= 0 ? d->packet.fd : packet_open(d, ETHERTYPE_IP, true);

    memcpy(frame + DHCP4_FRAME_HEAD, out->message, out->len);
    dhcp4_frame(frame, out->len);
    packet_send(d, fd, ETHERTYPE_IP, frame, DHCP4_FRAME_HEAD + out->len);
    if (fd >= 0 && fd != d->packet.fd)
        close(fd);
}

static void lease_send_udp(struct device *d, const struct dhcp4_out *out)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(DHCP4_SERVER_PORT)};
    struct address server =
        address_v4(out->path == DHCP4_ALL_BOUND ? UINT32_MAX : d->dhcp4.lease.server, 32);

    memcpy(&to.sin_addr, server.bytes, 4);
    if (d->udp.fd >= 0 &&
        sendto(d->udp.fd, out->message, out->len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        net_log_once(d, "renewing", errno);
}

static void lease_arp(struct device *d, bool announce)
{
    uint8_t p[ARP_SIZE];

    arp_make(p, d->mac, d->dhcp4.offer.address, announce);
    packet_send(d, d->arp.fd, ETHERTYPE_ARP, p, sizeof(p));
}

static void lease_apply(struct device *d, struct dhcp4_out *out)
{
    uint64_t now = time_now_ms(), wake;

    if (out->probe)
        offer_judge(d, now, out);
    wake = d->dhcp4.wake;
    if (out->unbind)
        lease_unset(d);
    lease_sockets(d, out->announce);
    if (out->path == DHCP4_ALL)
        lease_send_all(d, out);
    else if (out->path)
        lease_send_udp(d, out);
    if (out->probe)
        lease_arp(d, false);
    if (out->bind)
        lease_set(d);
    if (out->announce) {
        lease_arp(d, true);
        lease_sockets(d, false);
    }
    if (wake)
        ev_timer_set(&d->lease_timer, wake > now ? wake - now : 0);
    else
        ev_timer_del(&d->lease_timer);
}

static void lease_due(struct ev_timer *t)
{
    struct device *d = (struct device *)((char *)t - offsetof(struct device, lease_timer));
    struct dhcp4_out out;

    dhcp4_wake(&d->dhcp4, time_now_ms(), &out);
    lease_apply(d, &out);
}

/* ---- the device's life ---- */

void lease_init(struct device *d)
{
    const char *name = d->rule->hostname[0] ? d->rule->hostname : names_fixed_host();

    d->packet.fd = d->arp.fd = d->udp.fd = -1;
    d->lease_timer.fn = lease_due;
    dhcp4_init(&d->dhcp4, d->mac, name, net_seed());
}

void lease_carrier(struct device *d, bool on)
{
    struct dhcp4_out out;

    if (!d->rule->dhcp)
        return;
    if (on && d->is_set) /* they may have gone with the link */
        lease_routes_set(d, &d->set);
    if (on)
        dhcp4_start(&d->dhcp4, time_now_ms(), &out);
    else
        dhcp4_stop(&d->dhcp4, time_now_ms(), &out);
    lease_apply(d, &out);
}

void lease_end(struct device *d)
{
    source_close(&d->packet);
    source_close(&d->arp);
    source_close(&d->udp);
    ev_timer_del(&d->lease_timer);
}

void lease_report(const struct device *d, struct jw *w)
{
    struct address a = lease_address(&d->set), server = address_v4(d->set.server, 32);
    char text[ADDRESS_TEXT];

    if (!d->rule->dhcp)
        return;
    jw_object(w, "dhcp4");
    jw_str(w, "state", dhcp4_state_name(d->dhcp4.state));
    if (d->is_set) {
        jw_str(w, "address", address_text(&a, true, text));
        jw_str(w, "server", address_text(&server, false, text));
        jw_int(w, "ends", (int64_t)d->dhcp4.lease_ends);
    }
    jw_object_end(w);
}
