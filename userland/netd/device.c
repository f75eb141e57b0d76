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

#define OTHERS_MS 100      /* others' addresses are looked at so much later */
#define READ_AGAIN_MS 1000 /* after the kernel had no memory for the list, say */

static struct ev_source device_events;
static struct ev_timer device_again;  /* the list could not be read */
static struct ev_timer device_others; /* other devices' addresses have changed */
static unsigned devices_seen;         /* for their metrics */

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

struct device *device_find(int index)
{
    for (struct device *d = netd.devices; d; d = d->next)
        if (d->index == index)
            return d;
    return NULL;
}

bool device_is_led(const struct device *d)
{
    return d && !d->rule->off && (d->rule->dhcp || d->rule->ra) && !d->rule->addresses.n;
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

static bool rule_taken(const struct config_rule *r)
{
    for (const struct device *d = netd.devices; d; d = d->next)
        if (d->rule == r)
            return true;
    return false;
}

static const struct config_rule *rule_of(const struct link *l)
{
    const struct config_rule *r = rule_of_vlan(l);

    if (r)
        return r;
    r = config_for(&netd.config, l->name, l->kind[0] ? NULL : l->mac);
    if (!r || (l->kind[0] && r->device[0] == '*') || (r->single && rule_taken(r)))
        return NULL;
    return r;
}

const struct config_rule *rule_absent(unsigned *at)
{
    while (*at < netd.config.rules) {
        const struct config_rule *r = &netd.config.rule[(*at)++];

        if (r->device[0] && r->device[0] != '*' && !r->off && !rule_taken(r))
            return r;
    }
    return NULL;
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

/* VLANs that rules put above a device, but not above another VLAN. */
static bool has_vlans(const struct link *l)
{
    for (unsigned i = 0; i < netd.config.rules; i++)
        if (netd.config.rule[i].vlan && strcmp(l->kind, "vlan") &&
            config_fits(&netd.config.rule[i], l->name, l->mac))
            return true;
    return false;
}

static void device_vlans(const struct device *d)
{
    for (unsigned i = 0; i < netd.config.rules; i++)
        if (netd.config.rule[i].vlan && config_fits(&netd.config.rule[i], d->name, d->mac))
            kernel_vlan(d, netd.config.rule[i].vlan);
}

static struct device *device_new(const struct link *l, const struct config_rule *r)
{
    struct device *d = mem_alloc(sizeof(*d)), **at = &netd.devices;

    d->index = l->index;
    d->rule = r;
    d->mtu = d->mtu_now = l->mtu;
    memcpy(d->name, l->name, sizeof(d->name));
    memcpy(d->mac, l->mac, 6);
    d->metric = r->metric ? r->metric : METRIC_FIRST + METRIC_STEP * devices_seen;
    devices_seen += !r->off;
    while (*at)
        at = &(*at)->next;
    *at = d;
    return d;
}

/* One that is configured, one that others stand upon, or both. */
static void device_add(const struct link *l)
{
    static const struct config_rule nothing = {.off = true};
    const struct config_rule *r = rule_of(l);
    bool vlans = has_vlans(l);
    struct device *d;

    if (!r || r->off)
        r = vlans ? &nothing : NULL;
    if (!r)
        return;
    d = device_new(l, r);
    if (r->mtu && r->mtu != l->mtu)
        kernel_mtu(d, r->mtu);
    d->mtu = d->mtu_now;
    lease_init(d);
    v6_init(d);
    if (!(l->flags & IFF_UP))
        kernel_link_up(d);
    d->up = true;
    v6_up(d);
    device_static(d);
    if (vlans)
        device_vlans(d);
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

/* The kernel forgets routes, and addresses of IPv6, of a device that goes down. */
static void device_set_up(struct device *d, bool up)
{
    bool again = up && !d->up;

    d->up = up;
    if (!again)
        return;
    v6_up(d);
    device_static(d);
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
    if (d)
        d->seen = true;
    if (d && !memcmp(d->mac, l.mac, 6) && !strcmp(d->name, l.name))
        device_set_up(d, l.flags & IFF_UP);
    if (d && (memcmp(d->mac, l.mac, 6) || strcmp(d->name, l.name))) {
        device_del(l.index); /* it is another one now: its rule may be as well */
        d = NULL;
    }
    if (!d) {
        device_add(&l);
        d = device_find(l.index);
        if (d)
            d->seen = true;
    }
    if (d)
        device_carrier(d, (l.flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING));
}

static void others_due(struct ev_timer *t)
{
    for (struct device *d = netd.devices; d; d = d->next) {
        lease_others_changed(d);
        v6_others_changed(d);
    }
}

void devices_look_again(void)
{
    device_others.fn = others_due;
    ev_timer_set(&device_others, READ_AGAIN_MS);
}

/* An address of a device that no rule is for; once for many, since containers may be many. */
static void device_other(void)
{
    device_others.fn = others_due;
    if (!device_others.at)
        ev_timer_set(&device_others, OTHERS_MS);
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
    if (!device_is_led(d) && head.ifa_scope != RT_SCOPE_LINK)
        device_other();
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

/* What is not in the kernel's list has gone without a word. */
static void devices_sweep(void)
{
    struct device *next;

    for (struct device *d = netd.devices; d; d = next) {
        next = d->next;
        if (!d->seen)
            device_del(d->index);
    }
}

static void addresses_sweep(void)
{
    for (struct device *d = netd.devices; d; d = d->next) {
        struct address local = d->local;

        if (local.family && !d->local_seen)
            v6_address(d, &local, 0, false);
    }
}

static int devices_read(void)
{
    struct ifaddrmsg v6 = {.ifa_family = AF_INET6};
    struct ifinfomsg links = {0};
    int err;

    for (struct device *d = netd.devices; d; d = d->next)
        d->seen = d->local_seen = false;
    err = kernel_dump(RTM_GETLINK, &links, sizeof(links), device_message, NULL);
    if (err)
        return err;
    devices_sweep();
    err = kernel_dump(RTM_GETADDR, &v6, sizeof(v6), device_message, NULL);
    if (err)
        return err;
    addresses_sweep();
    device_other();
    return 0;
}

static void devices_read_again(struct ev_timer *t)
{
    t->fn = devices_read_again;
    if (devices_read())
        ev_timer_set(t, READ_AGAIN_MS);
}

static void devices_hear(struct ev_source *s, uint32_t events)
{
    static _Alignas(8) uint8_t bytes[NL_READ_MAX];
    struct nl_part p;
    size_t at = 0;
    long n = nl_read(s->fd, bytes);

    if (n == -ENOBUFS)
        devices_read_again(&device_again);
    while (n > 0 && nl_next(bytes, (size_t)n, &at, &p))
        device_message(&p, NULL);
}

int devices_start(void)
{
    int fd = nl_open(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);

    if (fd < 0)
        return fd;
    device_events = (struct ev_source){.fd = fd, .fn = devices_hear};
    ev_set(&device_events, EPOLLIN);
    return devices_read();
}
