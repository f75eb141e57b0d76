/* SPDX-License-Identifier: MIT
 *
 * Groups that a socket has joined (ip(7), ipv6(7), RFC 3678), each at a device, with the sources
 * that it wants to hear, or not to hear. The namespace counts who has joined (ip_group_join); a
 * socket hears what came for a group that it has joined at the device, or, unless IP_MULTICAST_ALL
 * is off, that any has joined.
 *
 * At most so many of a socket's groups and sources as Linux has by default.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/addr.h"
#include "net/ip/inet.h"
#include "net/ip/option.h"
#include "net/link/loopback.h"

#define GROUPS_MOST 20  /* net.ipv4.igmp_max_memberships */
#define SOURCES_MOST 10 /* net.ipv4.igmp_max_msf */
static_assert(GROUPS_MOST * SOURCES_MOST == INET_SOURCES_MOST, "all that a socket may have");

/* All under the socket's lock. */
struct inet_group {
    struct list_node node;
    struct ip_addr addr;
    u32 device;
    bool include; /* only the sources, else all but them */
    u32 nr_sources;
    struct ip_addr sources[SOURCES_MOST];
};

/* What an option asks for. */
struct inet_group_ask {
    struct ip_addr group, source;
    u32 device;
    u32 interface; /* IPv4: an address of the device, as on the wire; 0: any */
};

static struct inet_group *group_find_locked(const struct inet_sock *s, const struct ip_addr *addr,
                                            u32 device) REQUIRES(s->sock.lock)
{
    struct inet_group *g;

    ASSERT_HELD(&s->sock.lock);
    list_for_each (g, &s->groups, node)
        if (g->device == device && ip_equal(&g->addr, addr))
            return g;
    return NULL;
}

static u32 group_source_place(const struct inet_group *g, const struct ip_addr *source)
{
    u32 i = 0;

    while (i < g->nr_sources && !ip_equal(&g->sources[i], source))
        i++;
    return i;
}

bool inet_group_hears(struct inet_sock *s, const struct ip_info *h)
{
    bool v4 = ip_is_v4(&h->to), known = false, hears = false;
    const struct inet_group *g;

    spin_lock(&s->sock.lock);
    list_for_each (g, &s->groups, node) {
        /* What this host has sent itself comes over lo. */
        if (!ip_equal(&g->addr, &h->to) || (g->device != h->device && h->device != LOOPBACK_INDEX))
            continue;
        known = true;
        hears |= (group_source_place(g, &h->from) < g->nr_sources) == g->include;
    }
    spin_unlock(&s->sock.lock);
    if (known)
        return hears;
    return v4 ? inet_option_get(s, IPPROTO_IP, IP_MULTICAST_ALL)
              : inet_option_get(s, IPPROTO_IPV6, IPV6_MULTICAST_ALL);
}

/* The device with an address, or the one by which packets to the group go. -ENODEV. */
static int group_device(const struct inet_sock *s, struct inet_group_ask *ask)
{
    struct ip_flow f = {.to = ask->group, .uid = s->sock.uid};
    struct net_ns *ns = s->sock.ns;
    struct ip_path path;

    if (ask->device)
        return net_device_exists(ns, ask->device) ? 0 : -ENODEV;
    if (ask->interface) {
        struct ip_addr a = ip_from_v4(ip_swap32(ask->interface));

        ask->device = ip_local_device(ns, &a);
        return ask->device ? 0 : -ENODEV;
    }
    if (ip_needs_scope(&ask->group) || ip_path_find(ns, &f, &path))
        return -ENODEV;
    ask->device = path.dev->index;
    ip_path_put(&path);
    return 0;
}

/* made: to be put in, or freed by the caller (*used). */
static int group_put_locked(struct inet_sock *s, const struct inet_group_ask *ask,
                            struct inet_group *made) REQUIRES(s->sock.lock)
{
    ASSERT_HELD(&s->sock.lock);
    if (s->sock.dead)
        return -EINVAL;
    if (group_find_locked(s, &ask->group, ask->device))
        return -EADDRINUSE;
    if (s->nr_groups >= GROUPS_MOST)
        return -ENOBUFS;
    made->addr = ask->group;
    made->device = ask->device;
    list_add_tail(&s->groups, &made->node);
    s->nr_groups++;
    return 0;
}

static int group_join(struct inet_sock *s, struct inet_group_ask *ask, bool source)
{
    struct inet_group *made;
    int err = ip_is_multicast(&ask->group) ? group_device(s, ask) : -EINVAL;

    if (err)
        return err;
    made = kzalloc(sizeof(*made));
    if (!made)
        return -ENOMEM;
    if (source) {
        made->include = true;
        made->nr_sources = 1;
        made->sources[0] = ask->source;
    }
    err = ip_group_join(s->sock.ns, ask->device, &ask->group);
    if (err) {
        kfree(made);
        return err;
    }
    spin_lock(&s->sock.lock);
    err = group_put_locked(s, ask, made);
    spin_unlock(&s->sock.lock);
    if (err) {
        ip_group_leave(s->sock.ns, ask->device, &ask->group);
        kfree(made);
    }
    return err;
}

static int group_leave(struct inet_sock *s, struct inet_group_ask *ask)
{
    struct inet_group *g;
    int err = ip_is_multicast(&ask->group) ? group_device(s, ask) : -EINVAL;

    if (err)
        return err;
    spin_lock(&s->sock.lock);
    g = group_find_locked(s, &ask->group, ask->device);
    if (g) {
        list_del(&g->node);
        s->nr_groups--;
    }
    spin_unlock(&s->sock.lock);
    if (!g)
        return -EADDRNOTAVAIL;
    ip_group_leave(s->sock.ns, g->device, &g->addr);
    kfree(g);
    return 0;
}

void inet_leave_groups(struct inet_sock *s)
{
    struct inet_group *g;

    while (s->nr_groups) {
        spin_lock(&s->sock.lock);
        g = list_first(&s->groups, struct inet_group, node);
        if (g) {
            list_del(&g->node);
            s->nr_groups--;
        }
        spin_unlock(&s->sock.lock);
        if (!g)
            return;
        ip_group_leave(s->sock.ns, g->device, &g->addr);
        kfree(g);
    }
}

u32 inet_group_sources(struct inet_sock *s, struct inet_source *out)
{
    const struct inet_group *g;
    u32 n = 0;

    if (!READ_ONCE(s->nr_groups))
        return 0;
    spin_lock(&s->sock.lock);
    list_for_each (g, &s->groups, node)
        for (u32 i = 0; i < g->nr_sources; i++)
            out[n++] = (struct inet_source){.group = g->addr,
                                            .source = g->sources[i],
                                            .device = g->device,
                                            .include = g->include};
    spin_unlock(&s->sock.lock);
    return n;
}

/* Adds a source to g's list, or takes it off. */
static int group_source(struct inet_group *g, const struct ip_addr *source, bool add)
{
    u32 at = group_source_place(g, source);

    if (add == (at < g->nr_sources))
        return -EADDRNOTAVAIL;
    if (!add) {
        g->sources[at] = g->sources[--g->nr_sources];
        return 0;
    }
    if (g->nr_sources == SOURCES_MOST)
        return -ENOBUFS;
    g->sources[g->nr_sources++] = *source;
    return 0;
}

/* RFC 3678 4.1.2: sources are blocked where all are heard, and joined where only they are. */
static int group_change(struct inet_sock *s, struct inet_group_ask *ask, bool include, bool add)
{
    struct inet_group *g;
    bool last = false;
    int err = ip_is_multicast(&ask->group) ? group_device(s, ask) : -EINVAL;

    if (err)
        return err;
    spin_lock(&s->sock.lock);
    g = group_find_locked(s, &ask->group, ask->device);
    if (!g)
        err = include && add ? -ENOENT : -EINVAL;
    else if (g->include != include)
        err = -EINVAL;
    else
        err = group_source(g, &ask->source, add);
    last = !err && include && !g->nr_sources;
    spin_unlock(&s->sock.lock);
    if (err == -ENOENT)
        return group_join(s, ask, true);
    return last ? group_leave(s, ask) : err;
}

static int group_do(struct inet_sock *s, int name, struct inet_group_ask *ask)
{
    switch (name) {
    case IP_ADD_MEMBERSHIP:
    case MCAST_JOIN_GROUP:
        return group_join(s, ask, false);
    case IP_DROP_MEMBERSHIP:
    case MCAST_LEAVE_GROUP:
        return group_leave(s, ask);
    case IP_BLOCK_SOURCE:
    case MCAST_BLOCK_SOURCE:
        return group_change(s, ask, false, true);
    case IP_UNBLOCK_SOURCE:
    case MCAST_UNBLOCK_SOURCE:
        return group_change(s, ask, false, false);
    case IP_ADD_SOURCE_MEMBERSHIP:
    case MCAST_JOIN_SOURCE_GROUP:
        return group_change(s, ask, true, true);
    default:
        return group_change(s, ask, true, false);
    }
}

/* ---- a group's whole list of sources (RFC 3678 4.1.3, 5.2.3) ---- */

enum { FILTER_EXCLUDE = 0, FILTER_INCLUDE = 1 };

/* A list as a program has it, after what says whose it is. */
struct inet_group_list {
    u32 mode, nr; /* FILTER_*; sources that there are, which may be more than there is space for */
    struct ip_addr sources[SOURCES_MOST];
};

/* "Only these" without any is to leave. */
static int group_list_set(struct inet_sock *s, struct inet_group_ask *ask,
                          const struct inet_group_list *l)
{
    struct inet_group *g;
    int err;

    if (!ip_is_multicast(&ask->group) || l->mode > FILTER_INCLUDE)
        return -EINVAL;
    err = group_device(s, ask);
    if (err)
        return err;
    if (l->mode == FILTER_INCLUDE && !l->nr)
        return group_leave(s, ask);
    spin_lock(&s->sock.lock);
    g = group_find_locked(s, &ask->group, ask->device);
    if (g) {
        g->include = l->mode == FILTER_INCLUDE;
        g->nr_sources = l->nr;
        memcpy(g->sources, l->sources, l->nr * sizeof(l->sources[0]));
    }
    spin_unlock(&s->sock.lock);
    return g ? 0 : -EINVAL;
}

static int group_list_get(struct inet_sock *s, struct inet_group_ask *ask,
                          struct inet_group_list *l)
{
    const struct inet_group *g;
    int err = ip_is_multicast(&ask->group) ? group_device(s, ask) : -EINVAL;

    if (err)
        return err;
    spin_lock(&s->sock.lock);
    g = group_find_locked(s, &ask->group, ask->device);
    if (g) {
        l->mode = g->include ? FILTER_INCLUDE : FILTER_EXCLUDE;
        l->nr = g->nr_sources;
        memcpy(l->sources, g->sources, sizeof(l->sources));
    }
    spin_unlock(&s->sock.lock);
    return g ? 0 : -EADDRNOTAVAIL;
}

static struct ip_addr group_v4(const u8 *wire)
{
    struct ip_addr a = {.w = {0, 0, IP_MAPPED_WORD}};

    memcpy(&a.w[3], wire, 4);
    return a;
}

/* struct ip_mreq, ip_mreqn, ip_mreq_source (ip(7)). */
static int group_ask4(int name, const u8 *val, u32 n, struct inet_group_ask *ask)
{
    bool source = name >= IP_UNBLOCK_SOURCE && name <= IP_DROP_SOURCE_MEMBERSHIP;

    if (n < (source ? 12U : 8U))
        return -EINVAL;
    ask->group = group_v4(val);
    memcpy(&ask->interface, val + 4, 4);
    if (source)
        ask->source = group_v4(val + 8);
    else if (n >= 12)
        memcpy(&ask->device, val + 8, 4);
    return 0;
}

/* sockaddr_storage in a request of RFC 3678. */
static int group_ask_addr(const u8 *sa, bool v4, struct ip_addr *out)
{
    u16 family;

    memcpy(&family, sa, sizeof(family));
    if (family != (v4 ? AF_INET : AF_INET6))
        return v4 ? -EINVAL : -EADDRNOTAVAIL;
    if (v4)
        *out = group_v4(sa + 4);
    else
        memcpy(out, sa + 8, sizeof(*out));
    return 0;
}

/* struct group_req and group_source_req (RFC 3678 5.1). */
static int group_ask_any(int name, const u8 *val, u32 n, bool v4, struct inet_group_ask *ask)
{
    bool source = name != MCAST_JOIN_GROUP && name != MCAST_LEAVE_GROUP;
    int err;

    if (n < 8 + (source ? 2U : 1U) * SOCK_ADDR_MAX)
        return -EINVAL;
    memcpy(&ask->device, val, 4);
    err = group_ask_addr(val + 8, v4, &ask->group);
    if (!err && source)
        err = group_ask_addr(val + 8 + SOCK_ADDR_MAX, v4, &ask->source);
    return err;
}

/* How both forms lie: struct ip_msfilter, and group_filter with a sockaddr_storage each. */
static const struct group_form {
    u32 mode, nr, head, each; /* places of the words; bytes before the sources, of a source */
} group_forms[] = {{8, 12, 16, 4},
                   {8 + SOCK_ADDR_MAX, 12 + SOCK_ADDR_MAX, 16 + SOCK_ADDR_MAX, SOCK_ADDR_MAX}};

static const struct group_form *group_form_of(int name)
{
    return &group_forms[name == MCAST_MSFILTER];
}

static int group_filter_ask(int name, const u8 *val, u32 n, bool v4, struct inet_group_ask *ask)
{
    if (n < group_form_of(name)->head)
        return -EINVAL;
    if (name == IP_MSFILTER) {
        ask->group = group_v4(val);
        memcpy(&ask->interface, val + 4, 4);
        return 0;
    }
    memcpy(&ask->device, val, 4);
    return group_ask_addr(val + 8, v4, &ask->group) ? -EADDRNOTAVAIL : 0;
}

static int group_filter_set(struct inet_sock *s, int name, const u8 *val, u32 n, bool v4)
{
    const struct group_form *f = group_form_of(name);
    struct inet_group_ask ask = {0};
    struct inet_group_list l;
    int err = group_filter_ask(name, val, n, v4, &ask);

    if (n < f->head)
        return -EINVAL;
    memcpy(&l.mode, val + f->mode, 4);
    memcpy(&l.nr, val + f->nr, 4);
    if (l.nr > SOURCES_MOST)
        return -ENOBUFS;
    if (f->head + l.nr * f->each > n)
        return -EINVAL;
    for (u32 i = 0; i < l.nr && !err; i++) {
        const u8 *at = val + f->head + i * f->each;

        if (name == IP_MSFILTER)
            l.sources[i] = group_v4(at);
        else if (group_ask_addr(at, v4, &l.sources[i]))
            err = -EADDRNOTAVAIL;
    }
    return err ? err : group_list_set(s, &ask, &l);
}

static void group_put_addr(u8 *at, const struct ip_addr *a, bool v4, u32 each)
{
    u16 family = v4 ? AF_INET : AF_INET6;

    memset(at, 0, each);
    if (each == 4) {
        memcpy(at, a->b + 12, 4);
        return;
    }
    memcpy(at, &family, sizeof(family));
    if (v4)
        memcpy(at + 4, a->b + 12, 4);
    else
        memcpy(at + 8, a, sizeof(*a));
}

/* As many sources as the program has space for; how many there are is told. */
static int group_filter_get(struct inet_sock *s, int name, u8 *val, u32 *n, bool v4)
{
    const struct group_form *f = group_form_of(name);
    struct inet_group_ask ask = {0};
    struct inet_group_list l;
    u32 space, told;
    int err = group_filter_ask(name, val, *n, v4, &ask);

    if (!err)
        err = group_list_get(s, &ask, &l);
    if (err)
        return err;
    memcpy(&space, val + f->nr, 4);
    memcpy(val + f->mode, &l.mode, 4);
    memcpy(val + f->nr, &l.nr, 4);
    told = MIN(MIN(space, l.nr), (*n - f->head) / f->each);
    for (u32 i = 0; i < told; i++)
        group_put_addr(val + f->head + i * f->each, &l.sources[i], v4, f->each);
    *n = f->head + told * f->each;
    return 0;
}

static int group_ask6(const u8 *val, u32 n, struct inet_group_ask *ask)
{
    if (n < 20) /* struct ipv6_mreq */
        return -EINVAL;
    memcpy(&ask->group, val, 16);
    memcpy(&ask->device, val + 16, 4);
    return ip_is_v4(&ask->group) ? -EINVAL : 0;
}

/* IP_MULTICAST_IF: an address, struct ip_mreq or ip_mreqn. */
static int group_set_if4(struct inet_sock *s, const u8 *val, u32 n)
{
    struct inet_group_ask ask = {.group = ip_from_v4(0xe0000001)};
    int err = 0;

    if (n < 4)
        return -EINVAL;
    memcpy(&ask.interface, n >= 8 ? val + 4 : val, 4);
    if (n >= 12)
        memcpy(&ask.device, val + 8, 4);
    if (ask.device || ask.interface)
        err = group_device(s, &ask);
    if (err)
        return -EADDRNOTAVAIL;
    WRITE_ONCE(s->group_device[0], ask.device);
    WRITE_ONCE(s->group_source, ask.interface);
    return 0;
}

static int group_set_if6(struct inet_sock *s, const u8 *val, u32 n)
{
    u32 device, bound = READ_ONCE(s->sock.bound_device);

    if (n < 4)
        return -EINVAL;
    memcpy(&device, val, 4);
    if (device && bound && bound != device)
        return -EINVAL;
    if (device && !net_device_exists(s->sock.ns, device))
        return -ENODEV;
    WRITE_ONCE(s->group_device[1], device);
    return 0;
}

static bool group_is_filter(bool v4, int name)
{
    return name == MCAST_MSFILTER || (v4 && name == IP_MSFILTER);
}

int inet_group_set(struct inet_sock *s, int level, int name, const void *val, u32 n)
{
    bool v4 = level == IPPROTO_IP,
         any = name >= MCAST_JOIN_GROUP && name <= MCAST_LEAVE_SOURCE_GROUP;
    bool own4 = v4 && name >= IP_ADD_MEMBERSHIP && name <= IP_DROP_SOURCE_MEMBERSHIP;
    bool own6 =
        level == IPPROTO_IPV6 && (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP);
    struct inet_group_ask ask = {0};
    int err;

    if (!v4 && (level != IPPROTO_IPV6 || s->sock.family != AF_INET6))
        return -ENOPROTOOPT;
    if (v4 && name == IP_MULTICAST_IF)
        return s->sock.type == SOCK_STREAM ? -EINVAL : group_set_if4(s, val, n);
    if (!v4 && name == IPV6_MULTICAST_IF)
        return s->sock.type == SOCK_STREAM ? -ENOPROTOOPT : group_set_if6(s, val, n);
    if (!any && !own4 && !own6 && !group_is_filter(v4, name))
        return -ENOPROTOOPT;
    if (s->sock.type == SOCK_STREAM)
        return -EPROTO;
    if (group_is_filter(v4, name))
        return group_filter_set(s, name, val, n, v4);
    if (any)
        err = group_ask_any(name, val, n, v4, &ask);
    else
        err = own4 ? group_ask4(name, val, n, &ask) : group_ask6(val, n, &ask);
    if (own6)
        name = name == IPV6_ADD_MEMBERSHIP ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
    return err ? err : group_do(s, name, &ask);
}

int inet_group_get(struct inet_sock *s, int level, int name, void *val, u32 *n)
{
    if (level == IPPROTO_IP && name == IP_MULTICAST_IF)
        return socket_option_put(val, n, &s->group_source, sizeof(s->group_source));
    if (level == IPPROTO_IPV6 && name == IPV6_MULTICAST_IF && s->sock.family == AF_INET6)
        return socket_option_put(val, n, &s->group_device[1], sizeof(s->group_device[1]));
    if ((level == IPPROTO_IP || (level == IPPROTO_IPV6 && s->sock.family == AF_INET6)) &&
        group_is_filter(level == IPPROTO_IP, name))
        return group_filter_get(s, name, val, n, level == IPPROTO_IP);
    return -ENOPROTOOPT;
}
