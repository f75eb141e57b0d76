/* SPDX-License-Identifier: MIT
 *
 * net.ipv4 and net.ipv6 of /proc/sys (core/sysctl.h): what is IP's own, without its protocols.
 */
#include "net/core/sysctl.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/ip/fib.h"
#include "net/ip/ipv6.h"
#include "vfs/pseudo.h"

#define PORT_WORDS (65536 / 64)

static void ip_row_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    ip_changed(at->ns);
}

/* What is owed by the limits of before is forgotten. */
static void ip_limit_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct ip_ns *in = ip_ns_of(at->ns);

    WRITE_ONCE(in->error_all, 0);
    for (u32 i = 0; i < IP_LIMIT_SLOTS; i++)
        WRITE_ONCE(in->error_peers[i], 0);
}

/* ---- ports ---- */

static int ip_judge_range(const struct net_sysctl_at *at, const s64 *v)
{
    return v[0] > v[1] ? -EINVAL : 0;
}

/* The bitmap of reserved ports, made with the first that is set; it stays. */
static u64 *ip_reserved_get(struct ip_values *v)
{
    u64 *bits = load_acquire(&v->reserved), *none = NULL;

    if (bits)
        return bits;
    bits = kcalloc(PORT_WORDS, sizeof(*bits));
    if (bits && !__atomic_compare_exchange_n(&v->reserved, &none, bits, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_ACQUIRE)) {
        kfree(bits);
        return none;
    }
    return bits;
}

static bool ip_is_reserved(const u64 *bits, u32 port)
{
    return port < 65536 && (READ_ONCE(bits[port / 64]) >> port % 64 & 1);
}

static void ip_reserved_show(const struct net_sysctl *row, const struct net_sysctl_at *at,
                             struct seq *out)
{
    const u64 *bits = load_acquire(&ip_values_of(at->ns)->reserved);
    const char *comma = "";

    for (u32 p = 0; bits && p < 65536; p++) {
        u32 first = p;

        if (p % 256 == 0)
            cond_yield();
        if (!ip_is_reserved(bits, p))
            continue;
        while (ip_is_reserved(bits, p + 1))
            p++;
        seq_printf(out, first == p ? "%s%u" : "%s%u-%u", comma, first, p);
        comma = ",";
    }
    seq_printf(out, "\n");
}

/* "N" or "N-M" at *text, which moves behind it. */
static int ip_reserved_range(const char **text, u64 *first, u64 *last)
{
    int err = parse_u64_prefix(*text, 10, first, text);

    *last = *first;
    if (!err && **text == '-')
        err = parse_u64_prefix(*text + 1, 10, last, text);
    return err || *first > *last || *last > 65535 ? -EINVAL : 0;
}

static int ip_reserved_parse(const char *text, u64 *bits)
{
    u64 first, last;

    for (;;) {
        while (*text == ',' || *text == ' ' || *text == '\n' || *text == '\t')
            text++;
        if (!*text)
            return 0;
        if (ip_reserved_range(&text, &first, &last) ||
            (*text && *text != ',' && *text != ' ' && *text != '\n'))
            return -EINVAL;
        for (; first <= last; first++)
            bits[first / 64] |= 1ULL << first % 64;
        cond_yield();
    }
}

static int ip_reserved_store(const struct net_sysctl *row, const struct net_sysctl_at *at,
                             char *text)
{
    u64 *fresh = kcalloc(PORT_WORDS, sizeof(*fresh)), *bits;
    int err = fresh ? ip_reserved_parse(text, fresh) : -ENOMEM;

    bits = err ? NULL : ip_reserved_get(ip_values_of(at->ns));
    if (!err && !bits)
        err = -ENOMEM;
    for (u32 i = 0; !err && i < PORT_WORDS; i++)
        WRITE_ONCE(bits[i], fresh[i]);
    kfree(fresh);
    return err;
}

/* ---- IPv6 of devices ---- */

static void ip_disable_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct net_confs *c = net_confs_of(at->ns);
    s32 v = at->dev ? net_conf(at->dev, CONF6_DISABLE) : READ_ONCE(c->all[CONF6_DISABLE]);
    struct netdev *dev;
    u32 last = 0;

    if (at->first)
        return;
    net_config_lock(at->ns);
    if (!at->dev)
        WRITE_ONCE(c->first[CONF6_DISABLE], v);
    while ((dev = net_device_next(at->ns, last))) {
        last = dev->index;
        if (!at->dev)
            WRITE_ONCE(dev->conf[CONF6_DISABLE], v);
        if (!at->dev || at->dev == dev)
            address_switch6(dev, !v);
        netdev_put(dev);
        cond_yield();
    }
    net_config_unlock(at->ns);
    ip_changed(at->ns);
}

static int ip_judge_mtu6(const struct net_sysctl_at *at, const s64 *v)
{
    return v[0] && (v[0] < IPV6_MIN_MTU || (at->dev && v[0] > READ_ONCE(at->dev->mtu))) ? -EINVAL
                                                                                        : 0;
}

/* As on Linux it tells the device's own where none was set. */
static void ip_mtu6_show(const struct net_sysctl *row, const struct net_sysctl_at *at,
                         struct seq *out)
{
    const struct net_confs *c = net_confs_of(at->ns);
    s32 v = at->dev     ? net_conf(at->dev, CONF6_MTU)
            : at->first ? READ_ONCE(c->first[CONF6_MTU])
                        : READ_ONCE(c->all[CONF6_MTU]);

    if (!v)
        v = at->dev ? (s32)READ_ONCE(at->dev->mtu) : IPV6_MIN_MTU;
    seq_printf(out, "%d\n", v);
}

static int ip_mtu6_store(const struct net_sysctl *row, const struct net_sysctl_at *at, char *text)
{
    static const struct net_sysctl number = {.kind = SYSCTL_CONF,
                                             .offset = CONF6_MTU,
                                             .max = 65536,
                                             .judge = ip_judge_mtu6,
                                             .changed = ip_row_changed};

    return net_sysctl_store(&number, at, text);
}

/* ---- the rows ---- */

#define IP_VALUE(field) .part = &ip_ns_offset, .offset = offsetof(struct ip_ns, values.field)
#define CONF4(name, number, most)                                                           \
    {                                                                                       \
        .path = "ipv4/conf/*/" name, .kind = SYSCTL_CONF, .offset = (number), .max = (most) \
    }
#define CONF6(name, number, least, most, fn)                                                  \
    {                                                                                         \
        .path = "ipv6/conf/*/" name, .kind = SYSCTL_CONF, .offset = (number), .min = (least), \
        .max = (most), .changed = (fn)                                                        \
    }

/* The tables that are there follow now, other namespaces' with their next neighbour. */
static void ip_bounds_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct ip_config *c = ip_config_of(at->ns);

    for (u32 i = 0; c && i < 2; i++)
        neighbour_table_bounded(&c->neighbours[i]);
}

#define NEIGH_BOUND(family, v6, name, field, least, greatest)                 \
    {                                                                         \
        .path = family "/neigh/+/" name, .host = true, .defaulted = true,     \
        .at = &neighbour_bounds[v6].field, .min = (least), .max = (greatest), \
        .changed = ip_bounds_changed                                          \
    }
#define NEIGH_BOUNDS(family, v6)                                      \
    NEIGH_BOUND(family, v6, "gc_thresh1", few, 0, NEIGH_THRESH),      \
        NEIGH_BOUND(family, v6, "gc_thresh2", many, 0, NEIGH_THRESH), \
        NEIGH_BOUND(family, v6, "gc_thresh3", most, 0, NEIGH_THRESH), \
        NEIGH_BOUND(family, v6, "gc_interval", interval, 1, 2147483)
#define NEIGH_THRESH (1 << 17) /* 30 MB of them */
/* Questions are sent by a worker that all namespaces share, and charged to no account: how often
 * is bounded in all but the first. */
#define NEIGH(family, name, number, least, most, further_least, further_most)                     \
    {                                                                                             \
        .path = family "/neigh/+/" name, .kind = SYSCTL_CONF, .offset = (number), .min = (least), \
        .max = (most), .further_min = (further_least), .further_max = (further_most)              \
    }
#define NEIGH_MOST 0x7fffffff
#define NEIGHS(family, first)                                                           \
    NEIGH(family, "base_reachable_time_ms", (first), 1, NEIGH_MOST, 1000, NEIGH_MOST),  \
        NEIGH(family, "retrans_time_ms", (first) + 1, 10, NEIGH_MOST, 100, NEIGH_MOST), \
        NEIGH(family, "delay_first_probe_time", (first) + 2, 0, 2147483, 1, 2147483),   \
        NEIGH(family, "mcast_solicit", (first) + 3, 1, 255, 1, 10),                     \
        NEIGH(family, "ucast_solicit", (first) + 4, 1, 255, 1, 10),                     \
        NEIGH(family, "gc_stale_time", (first) + 5, 0, 2147483, 1, 2147483)
#define FIXED(name, value)                                                   \
    {                                                                        \
        .path = (name), .kind = SYSCTL_FIXED, .min = (value), .max = (value) \
    }

static const struct net_sysctl ip_rows[] = {
    {.path = "ipv4/ip_default_ttl", IP_VALUE(ttl), .min = 1, .max = 255, .changed = ip_row_changed},
    {.path = "ipv4/ip_nonlocal_bind", .kind = SYSCTL_BOOL, IP_VALUE(nonlocal[0]), .max = 1},
    {.path = "ipv4/ip_local_port_range",
     .count = 2,
     IP_VALUE(ports),
     .min = 1,
     .max = 65535,
     .judge = ip_judge_range},
    {.path = "ipv4/ip_local_reserved_ports",
     .kind = SYSCTL_OWN,
     .show = ip_reserved_show,
     .store = ip_reserved_store},
    {.path = "ipv4/ip_unprivileged_port_start", IP_VALUE(unprivileged), .max = 65535},
    {.path = "ipv4/icmp_echo_ignore_all", .kind = SYSCTL_BOOL, IP_VALUE(echo_ignore[0]), .max = 1},
    FIXED("ipv4/icmp_echo_ignore_broadcasts", 1),
    {.path = "ipv4/icmp_msgs_per_sec",
     IP_VALUE(error_rate),
     .min = 1,
     .max = 1000000,
     .changed = ip_limit_changed},
    {.path = "ipv4/icmp_msgs_burst",
     IP_VALUE(error_burst),
     .min = 1,
     .max = 1000000,
     .changed = ip_limit_changed},
    {.path = "ipv4/icmp_ratelimit",
     IP_VALUE(error_gap[0]),
     .max = 1000000,
     .changed = ip_limit_changed},
    FIXED("ipv4/conf/*/accept_redirects", 0),
    CONF4("arp_ignore", CONF4_ARP_IGNORE, 2),
    NEIGHS("ipv4", CONF4_NEIGH_REACHABLE),
    NEIGH_BOUNDS("ipv4", 0),

    {.path = "ipv6/bindv6only", .kind = SYSCTL_BOOL, IP_VALUE(v6only), .max = 1},
    {.path = "ipv6/ip_nonlocal_bind", .kind = SYSCTL_BOOL, IP_VALUE(nonlocal[1]), .max = 1},
    {.path = "ipv6/icmp/echo_ignore_all", .kind = SYSCTL_BOOL, IP_VALUE(echo_ignore[1]), .max = 1},
    {.path = "ipv6/icmp/echo_ignore_multicast",
     .kind = SYSCTL_BOOL,
     IP_VALUE(echo_ignore[2]),
     .max = 1},
    {.path = "ipv6/icmp/ratelimit",
     IP_VALUE(error_gap[1]),
     .max = 1000000,
     .changed = ip_limit_changed},
    CONF6("disable_ipv6", CONF6_DISABLE, 0, 1, ip_disable_changed),
    CONF6("hop_limit", CONF6_HOP_LIMIT, 1, 255, ip_row_changed),
    {.path = "ipv6/conf/*/mtu", .kind = SYSCTL_OWN, .show = ip_mtu6_show, .store = ip_mtu6_store},
    CONF6("accept_dad", CONF6_ACCEPT_DAD, 0, 2, NULL),
    CONF6("dad_transmits", CONF6_DAD_TRANSMITS, 0, 16, NULL),
    CONF6("addr_gen_mode", CONF6_ADDR_GEN_MODE, 0, 1, NULL),
    NEIGHS("ipv6", CONF6_NEIGH_REACHABLE),
    NEIGH_BOUNDS("ipv6", 1),
    FIXED("ipv6/conf/*/accept_ra", 0),
    FIXED("ipv6/conf/*/accept_redirects", 0),
    FIXED("ipv6/conf/*/autoconf", 0),
    FIXED("ipv6/conf/*/use_tempaddr", 0),
    FIXED("ipv6/conf/*/optimistic_dad", 0),
    FIXED("ipv6/conf/*/keep_addr_on_down", 0),
    FIXED("ipv6/conf/*/router_solicitations", 0),
};
NET_SYSCTLS(ip) = {ip_rows, ARRAY_SIZE(ip_rows)};
