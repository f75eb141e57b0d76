// SPDX-License-Identifier: MIT
// The devices that rules are for. The kernel's list is read once and followed by its messages; when
// some were missed, it is read again.
//
// A rule of `*` means cards: a device that software has made (a bridge, a veth, which the engine
// makes for containers) needs a rule that begins with its name.
#include <errno.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netd/netd.h"

static struct ev_source device_events;
static unsigned devices_seen; /* for their metrics */

/* What a link's message says. */
struct link {
    int index;
    uint32_t flags, mtu;
    char name[IFNAMSIZ];
    char kind[16]; /* "" for a card */
    uint8_t mac[6];
};

static bool link_read(const struct nl_part *p, struct link *l)
{
    struct nl_span a[IFLA_LINKINFO + 1], info[IFLA_INFO_DATA + 1];
    struct ifinfomsg head;

    memset(l, 0, sizeof(*l));
    if (!nl_index(p->data, p->len, sizeof(head), a, IFLA_LINKINFO + 1))
        return false;
    memcpy(&head, p->data, sizeof(head));
    if (head.ifi_family != AF_UNSPEC || head.ifi_type != ARPHRD_ETHER ||
        head.ifi_flags & IFF_LOOPBACK || a[IFLA_ADDRESS].len != 6)
        return false;
    l->index = head.ifi_index;
    l->flags = head.ifi_flags;
    l->mtu = nl_u32(a[IFLA_MTU], 1500);
    memcpy(l->mac, a[IFLA_ADDRESS].data, 6);
    nl_text(a[IFLA_IFNAME], l->name, sizeof(l->name));
    if (a[IFLA_LINKINFO].data &&
        nl_index(a[IFLA_LINKINFO].data, a[IFLA_LINKINFO].len, 0, info, IFLA_INFO_DATA + 1))
        nl_text(info[IFLA_INFO_KIND], l->kind, sizeof(l->kind));
    return l->name[0];
}

static struct device *device_find(int index)
{
    for (struct device *d = netd.devices; d; d = d->next)
        if (d->index == index)
            return d;
    return NULL;
}

/* "eth0.5" is what the rule for VLAN 5 on a device of the name "eth0" is for. */
static const struct config_rule *rule_of_vlan(const struct link *l)
{
    const char *dot = strrchr(l->name, '.');
    char parent[IFNAMSIZ] = "";

    if (!dot || strcmp(l->kind, "vlan"))
        return NULL;
    memcpy(parent, l->name, (size_t)(dot - l->name));
    for (unsigned i = 0; i < netd.config.rules; i++) {
        const struct config_rule *r = &netd.config.rule[i];

        if (r->vlan && (unsigned long)r->vlan == strtoul(dot + 1, NULL, 10) &&
            config_fits(r, parent, l->mac))
            return r;
    }
    return NULL;
}

static const struct config_rule *rule_of(const struct link *l)
{
    const struct config_rule *r = rule_of_vlan(l);

    if (r)
        return r;
    r = config_for(&netd.config, l->name, l->mac);
    return r && l->kind[0] && r->device[0] == '*' ? NULL : r;
}

const struct config_rule *rule_of_machine(unsigned *at)
{
    while (*at < netd.config.rules) {
        const struct config_rule *r = &netd.config.rule[(*at)++];

        if (!r->device[0])
            return r;
    }
    return NULL;
}

static void device_static(struct device *d)
{
    const struct config_rule *r = d->rule;

    for (unsigned i = 0; i < r->addresses.n; i++)
        kernel_address(d, &r->addresses.item[i], UINT32_MAX, UINT32_MAX, true);
    for (unsigned i = 0; i < r->gateways.n; i++) {
        const struct address *via = &r->gateways.item[i];

        kernel_route(d,
                     &(struct route){.to = {.family = via->family},
                                     .via = *via,
                                     .metric = d->metric,
                                     .protocol = RTPROT_STATIC},
                     true);
    }
}

/* VLANs that rules put above it; a device that has only those is brought up for them. */
static bool device_vlans(const struct device *d)
{
    bool any = false;

    for (unsigned i = 0; i < netd.config.rules; i++) {
        const struct config_rule *r = &netd.config.rule[i];

        if (!r->vlan || !config_fits(r, d->name, d->mac))
            continue;
        kernel_vlan(d, r->vlan);
        any = true;
    }
    return any;
}

static struct device *device_new(const struct link *l, const struct config_rule *r)
{
    struct device *d = mem_alloc(sizeof(*d)), **at = &netd.devices;

    d->index = l->index;
    d->rule = r;
    d->mtu = r->mtu ? r->mtu : l->mtu;
    memcpy(d->name, l->name, sizeof(d->name));
    memcpy(d->mac, l->mac, 6);
    d->metric = r->metric ? r->metric : METRIC_FIRST + METRIC_STEP * devices_seen++;
    while (*at)
        at = &(*at)->next;
    *at = d;
    return d;
}

static void device_add(const struct link *l)
{
    const struct config_rule *r = rule_of(l);
    struct device parent = {.index = l->index}, *d;

    memcpy(parent.name, l->name, sizeof(parent.name));
    memcpy(parent.mac, l->mac, 6);
    if (!l->kind[0] || (r && strcmp(l->kind, "vlan")))
        if (device_vlans(&parent) && (!r || r->off) && !(l->flags & IFF_UP))
            kernel_link_up(&parent);
    if (!r || r->off)
        return;
    d = device_new(l, r);
    if (r->mtu && r->mtu != l->mtu)
        kernel_mtu(d, r->mtu);
    lease_init(d);
    v6_init(d);
    if (!(l->flags & IFF_UP))
        kernel_link_up(d);
    v6_up(d);
    device_static(d);
    names_changed();
}

static void device_del(int index)
{
    for (struct device **at = &netd.devices; *at; at = &(*at)->next) {
        struct device *d = *at;

        if (d->index != index)
            continue;
        *at = d->next;
        lease_end(d);
        v6_end(d);
        free(d);
        names_changed();
        return;
    }
}

static void device_carrier(struct device *d, bool on)
{
    if (d->carrier == on)
        return;
    d->carrier = on;
    net_log("%s: the carrier is %s", d->name, on ? "there" : "lost");
    lease_carrier(d, on);
    v6_carrier(d);
    names_changed();
}

static void device_link(const struct nl_part *p)
{
    struct device *d;
    struct link l;

    if (!link_read(p, &l))
        return;
    d = device_find(l.index);
    if (d && (memcmp(d->mac, l.mac, 6) || strcmp(d->name, l.name))) {
        device_del(l.index); /* it is another one now: its rule may be as well */
        d = NULL;
    }
    if (!d) {
        device_add(&l);
        d = device_find(l.index);
    }
    if (d)
        device_carrier(d, (l.flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING));
}

static void device_address(const struct nl_part *p, bool there)
{
    struct nl_span a[IFA_FLAGS + 1];
    struct ifaddrmsg head;
    struct address address;
    struct device *d;

    if (!nl_index(p->data, p->len, sizeof(head), a, IFA_FLAGS + 1))
        return;
    memcpy(&head, p->data, sizeof(head));
    d = device_find((int)head.ifa_index);
    if (!d || head.ifa_family != AF_INET6 || a[IFA_ADDRESS].len != 16 || head.ifa_prefixlen > 128)
        return;
    address = address_v6(a[IFA_ADDRESS].data, head.ifa_prefixlen);
    v6_address(d, &address, nl_u32(a[IFA_FLAGS], head.ifa_flags), there);
}

static void device_message(const struct nl_part *p, void *arg)
{
    struct ifinfomsg head;

    if (p->type == RTM_NEWLINK) {
        device_link(p);
    } else if (p->type == RTM_DELLINK && p->len >= sizeof(head)) {
        memcpy(&head, p->data, sizeof(head));
        if (head.ifi_family == AF_UNSPEC)
            device_del(head.ifi_index);
    } else if (p->type == RTM_NEWADDR || p->type == RTM_DELADDR) {
        device_address(p, p->type == RTM_NEWADDR);
    }
}

/* Requests are made while a message is handled, so a dump is gathered first. */
static void dump_gather(const struct nl_part *p, void *arg)
{
    struct nlmsghdr head = {.nlmsg_len = (uint32_t)(sizeof(head) + p->len), .nlmsg_type = p->type};

    buf_add(arg, &head, sizeof(head));
    buf_add(arg, p->data, p->len);
    buf_add(arg, "\0\0\0", -p->len & 3);
}

static int dump(uint16_t type, const void *head, size_t size)
{
    struct buf all = {0};
    struct nl_part p;
    struct nl_msg m;
    size_t at = 0;
    int err;

    nl_begin(&m, type, 0, head, size);
    err = nl_dump(netd.route, &m, dump_gather, &all);
    while (!err && nl_next((uint8_t *)all.data, all.len, &at, &p))
        device_message(&p, NULL);
    buf_free(&all);
    return err;
}

static int devices_read(void)
{
    struct ifaddrmsg v6 = {.ifa_family = AF_INET6};
    int err = dump(RTM_GETLINK, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg));

    return err ? err : dump(RTM_GETADDR, &v6, sizeof(v6));
}

static void devices_hear(struct ev_source *s, uint32_t events)
{
    static _Alignas(8) uint8_t bytes[NL_READ_MAX];
    struct nl_part p;
    size_t at = 0;
    long n = nl_read(s->fd, bytes);

    if (n == -ENOBUFS)
        devices_read();
    while (n > 0 && nl_next(bytes, (size_t)n, &at, &p))
        device_message(&p, NULL);
}

int devices_start(void)
{
    int fd = nl_open(RTMGRP_LINK | RTMGRP_IPV6_IFADDR);

    if (fd < 0)
        return fd;
    device_events = (struct ev_source){.fd = fd, .fn = devices_hear};
    ev_set(&device_events, EPOLLIN);
    return devices_read();
}
