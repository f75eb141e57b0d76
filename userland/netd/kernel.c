// SPDX-License-Identifier: MIT
// Requests to rtnetlink: links, addresses, routes. Each waits for the kernel's answer, which is
// there at once.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netd/netd.h"
#include "lib/str.h"

/* `fine`: an errno that says that there is nothing to do. Whether it is done. */
static bool kernel_do(struct nl_msg *m, int fine, const struct device *d, const char *what)
{
    int err = nl_call(netd.route, m);

    if (!err || err == -fine)
        return true;
    net_log("%s: %s: %s", d->name, what, strerror(-err));
    return false;
}

void kernel_link_up(const struct device *d)
{
    struct ifinfomsg head = {.ifi_index = d->index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct nl_msg m;

    nl_begin(&m, RTM_NEWLINK, 0, &head, sizeof(head));
    kernel_do(&m, 0, d, "up");
}

void kernel_mtu(struct device *d, uint32_t mtu)
{
    struct ifinfomsg head = {.ifi_index = d->index};
    struct nl_msg m;

    nl_begin(&m, RTM_NEWLINK, 0, &head, sizeof(head));
    nl_attr_u32(&m, IFLA_MTU, mtu);
    if (kernel_do(&m, 0, d, "MTU"))
        d->mtu_now = mtu;
}

void kernel_vlan(const struct device *d, unsigned id)
{
    struct ifinfomsg head = {0};
    struct nl_msg m;
    char name[IFNAMSIZ];
    size_t info, data;

    if (snprintf(name, sizeof(name), "%s.%u", d->name, id) >= IFNAMSIZ) {
        net_log("%s: the name is too long for VLAN %u", d->name, id);
        return;
    }
    nl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    nl_attr_str(&m, IFLA_IFNAME, name);
    nl_attr_u32(&m, IFLA_LINK, (uint32_t)d->index);
    info = nl_nest(&m, IFLA_LINKINFO);
    nl_attr(&m, IFLA_INFO_KIND, "vlan", 4);
    data = nl_nest(&m, IFLA_INFO_DATA);
    nl_attr_u16(&m, IFLA_VLAN_ID, (uint16_t)id);
    nl_nest_end(&m, data);
    nl_nest_end(&m, info);
    kernel_do(&m, EEXIST, d, "VLAN");
}

static void address_begin(struct nl_msg *m, uint16_t type, uint16_t flags, const struct device *d,
                          const struct address *a)
{
    struct ifaddrmsg head = {
        .ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = (uint32_t)d->index};

    if (a->family == AF_INET6 && a->bytes[0] == 0xfe && a->bytes[1] >> 6 == 2)
        head.ifa_scope = RT_SCOPE_LINK;
    nl_begin(m, type, flags, &head, sizeof(head));
    nl_attr(m, IFA_LOCAL, a->bytes, address_size(a));
    nl_attr(m, IFA_ADDRESS, a->bytes, address_size(a));
}

void kernel_address(const struct device *d, const struct address *a, uint32_t preferred,
                    uint32_t valid, bool on_link)
{
    struct ifa_cacheinfo times = {.ifa_prefered = preferred, .ifa_valid = valid};
    struct nl_msg m;
    uint8_t all[4];

    address_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, d, a);
    if (a->family == AF_INET && a->prefix < 31) {
        struct address b = address_v4(address_u32(a) | UINT32_MAX >> a->prefix, 32);

        memcpy(all, b.bytes, 4);
        nl_attr(&m, IFA_BROADCAST, all, 4);
    }
    if (valid != UINT32_MAX)
        nl_attr(&m, IFA_CACHEINFO, &times, sizeof(times));
    if (!on_link)
        nl_attr_u32(&m, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
    kernel_do(&m, 0, d, "address");
}

void kernel_address_del(const struct device *d, const struct address *a)
{
    struct nl_msg m;

    address_begin(&m, RTM_DELADDR, 0, d, a);
    kernel_do(&m, EADDRNOTAVAIL, d, "removing an address");
}

static void dump_gather(const struct nl_part *p, void *arg)
{
    struct nlmsghdr head = {.nlmsg_len = (uint32_t)(sizeof(head) + p->len), .nlmsg_type = p->type};

    buf_add(arg, &head, sizeof(head));
    buf_add(arg, p->data, p->len);
    buf_add(arg, "\0\0\0", -p->len & 3);
}

int kernel_dump(uint16_t type, const void *head, size_t size,
                void (*fn)(const struct nl_part *p, void *arg), void *arg)
{
    struct buf all = {0};
    struct nl_part p;
    struct nl_msg m;
    size_t at = 0;
    int err;

    nl_begin(&m, type, 0, head, size);
    err = nl_dump(netd.route, &m, dump_gather, &all);
    while (!err && nl_next((uint8_t *)all.data, all.len, &at, &p))
        fn(&p, arg);
    buf_free(&all);
    return err;
}

void kernel_route(const struct device *d, const struct route *r, bool add)
{
    struct rtmsg head = {.rtm_family = r->to.family,
                         .rtm_dst_len = r->to.prefix,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = r->protocol,
                         .rtm_scope = r->via.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                         .rtm_type = RTN_UNICAST,
                         .rtm_flags = r->via.family ? RTNH_F_ONLINK : 0};
    struct nl_msg m;

    if (r->to.family == AF_INET6)
        head.rtm_scope = RT_SCOPE_UNIVERSE;
    nl_begin(&m, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &head,
             sizeof(head));
    if (r->to.prefix)
        nl_attr(&m, RTA_DST, r->to.bytes, address_size(&r->to));
    if (r->via.family)
        nl_attr(&m, RTA_GATEWAY, r->via.bytes, address_size(&r->via));
    if (r->from.family)
        nl_attr(&m, RTA_PREFSRC, r->from.bytes, address_size(&r->from));
    if (add && r->expires && r->expires != UINT32_MAX)
        nl_attr_u32(&m, RTA_EXPIRES, r->expires);
    nl_attr_u32(&m, RTA_OIF, (uint32_t)d->index);
    nl_attr_u32(&m, RTA_PRIORITY, r->metric);
    kernel_do(&m, add ? 0 : ESRCH, d, add ? "route" : "removing a route");
}

struct others_read {
    int but; /* a device's index */
    struct buf *list;
};

static void others_one(const struct nl_part *p, void *arg)
{
    const struct others_read *o = arg;
    struct nl_span a[IFA_FLAGS + 1];
    struct ifaddrmsg head;
    struct address network = {0};

    if (p->type != RTM_NEWADDR || !nl_index(p->data, p->len, sizeof(head), a, IFA_FLAGS + 1))
        return;
    memcpy(&head, p->data, sizeof(head));
    network.family = head.ifa_family;
    network.prefix = head.ifa_prefixlen;
    if ((int)head.ifa_index == o->but || device_is_led(device_find((int)head.ifa_index)) ||
        network.prefix > 8 * address_size(&network) || a[IFA_ADDRESS].len != address_size(&network))
        return;
    memcpy(network.bytes, a[IFA_ADDRESS].data, address_size(&network));
    buf_add(o->list, &network, sizeof(network));
}

void kernel_others(struct device *d, uint8_t family, struct others *out)
{
    struct ifaddrmsg head = {.ifa_family = family};
    struct others_read o = {d->index, &out->list};
    int err;

    *out = (struct others){0};
    err = kernel_dump(RTM_GETADDR, &head, sizeof(head), others_one, &o);
    out->unknown = err;
    if (!err)
        return;
    net_log_once(d, "other devices' addresses", -err);
    devices_look_again();
}

void others_free(struct others *o)
{
    buf_free(&o->list);
}

/* Whether `fits` is true of an address of theirs. */
static bool others_any(const struct others *o, const struct address *of,
                       bool (*fits)(const struct address *of, const struct address *theirs))
{
    struct address a;

    for (size_t at = 0; at + sizeof(a) <= o->list.len; at += sizeof(a)) {
        memcpy(&a, o->list.data + at, sizeof(a));
        if (fits(of, &a))
            return true;
    }
    return false;
}

bool others_have(const struct others *o, const struct address *network)
{
    return others_any(o, network, address_within);
}

bool others_are(const struct others *o, const struct address *a)
{
    return others_any(o, a, address_host_same);
}

void kernel_sysctl(const struct device *d, const char *family, const char *name, uint32_t value)
{
    char path[128], text[16];
    int err;

    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, d->name, name);
    snprintf(text, sizeof(text), "%u", value);
    err = file_put(path, text);
    if (err && err != -ENOENT)
        net_log("%s: %s: %s", path, text, strerror(-err));
}
