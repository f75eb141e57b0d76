/* SPDX-License-Identifier: MIT
 *
 * The files of forwarding in /proc/sys/net: ipv4/ip_forward, and of conf: forwarding, rp_filter,
 * accept_local, log_martians, send_redirects, src_valid_mark. To set `all` of forwarding sets each
 * device and `default`, as on Linux; ip_forward is IPv4's `all`.
 */
#include "lib/format.h"
#include "lib/log.h"
#include "net/core/event.h"
#include "net/core/sysctl.h"
#include "net/ip/forward.h"
#include "vfs/pseudo.h"

static void forward_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct net_confs *c = net_confs_of(at->ns);
    s32 v = READ_ONCE(c->all[row->offset]);
    struct netdev *dev;
    u32 last = 0;

    if (at->dev || at->first)
        return;
    net_config_lock(at->ns);
    WRITE_ONCE(c->first[row->offset], v);
    net_event(at->ns, NET_EVENT_CONF, &(struct net_conf_change){NULL, true, row->offset}, 0);
    while ((dev = net_device_next(at->ns, last))) {
        last = dev->index;
        WRITE_ONCE(dev->conf[row->offset], v);
        net_event(at->ns, NET_EVENT_CONF, &(struct net_conf_change){dev, false, row->offset}, 0);
        netdev_put(dev);
        cond_yield();
    }
    net_config_unlock(at->ns);
    ip_changed(at->ns);
}

static void forward_show(const struct net_sysctl *row, const struct net_sysctl_at *at,
                         struct seq *out)
{
    seq_printf(out, "%d\n", net_conf_all(at->ns, CONF4_FORWARDING));
}

static int forward_store(const struct net_sysctl *row, const struct net_sysctl_at *at, char *text)
{
    static const struct net_sysctl all = {.kind = SYSCTL_CONF,
                                          .offset = CONF4_FORWARDING,
                                          .max = 0x7fffffff,
                                          .changed = forward_changed};

    return net_sysctl_store(&all, at, text);
}

#define FORWARD_CONF(name, number, most, fn)                                                    \
    {                                                                                           \
        .path = (name), .kind = SYSCTL_CONF, .offset = (number), .max = (most), .changed = (fn) \
    }

static const struct net_sysctl forward_rows[] = {
    {.path = "ipv4/ip_forward", .kind = SYSCTL_OWN, .show = forward_show, .store = forward_store},
    FORWARD_CONF("ipv4/conf/*/forwarding", CONF4_FORWARDING, 0x7fffffff, forward_changed),
    FORWARD_CONF("ipv4/conf/*/rp_filter", CONF4_RP_FILTER, 2, NULL),
    FORWARD_CONF("ipv4/conf/*/accept_local", CONF4_ACCEPT_LOCAL, 1, NULL),
    FORWARD_CONF("ipv4/conf/*/log_martians", CONF4_LOG_MARTIANS, 1, NULL),
    FORWARD_CONF("ipv4/conf/*/send_redirects", CONF4_SEND_REDIRECTS, 1, NULL),
    FORWARD_CONF("ipv4/conf/*/src_valid_mark", CONF4_SRC_VALID_MARK, 1, NULL),
    FORWARD_CONF("ipv6/conf/*/forwarding", CONF6_FORWARDING, 0x7fffffff, forward_changed),
};
NET_SYSCTLS(ip_forward) = {forward_rows, ARRAY_SIZE(forward_rows)};
