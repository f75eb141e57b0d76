/* SPDX-License-Identifier: MIT
 *
 * /proc/sys/net: views on the reader's net namespace.
 */
#include "lib/format.h"
#include "linux/sys.h"
#include "net/ip/addr.h"
#include "net/raw/ping.h"
#include "proc/task.h"
#include "vfs/pseudo.h"

static int sysctl_net_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    enum ip_sysctl which = (enum ip_sysctl)(uintptr_t)node->priv;

    seq_printf(out, "%d\n", ip_sysctl(current_task()->ns->net, which));
    return 0;
}

static ssize_t sysctl_net_store(struct pseudo_node *node, char *text, size_t n,
                                const struct cred *cred)
{
    enum ip_sysctl which = (enum ip_sysctl)(uintptr_t)node->priv;
    struct net_ns *ns = current_task()->ns->net;
    const char *end;
    u64 value;

    if (!cred_capable(cred, ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    if (parse_u64_prefix(text, 10, &value, &end) || (*end && *end != '\n') || value > 1)
        return -EINVAL;
    ip_sysctl_set(ns, which, value);
    return (ssize_t)n;
}

static const struct pseudo_ops sysctl_net_ops = {.show = sysctl_net_show,
                                                 .store = sysctl_net_store};

#define SYSCTL_NET(id, path, which) \
    PSEUDO_FILE(id) = {"proc", "sys/net/" path, 0644, &sysctl_net_ops, (void *)(uintptr_t)(which)}

SYSCTL_NET(net_bindv6only, "ipv6/bindv6only", IP_BINDV6ONLY);
SYSCTL_NET(net_no_ipv6_all, "ipv6/conf/all/disable_ipv6", IP_NO_IPV6);
SYSCTL_NET(net_no_ipv6_default, "ipv6/conf/default/disable_ipv6", IP_NO_IPV6_DEFAULT);
SYSCTL_NET(net_no_ipv6_lo, "ipv6/conf/lo/disable_ipv6", IP_NO_IPV6);

static int sysctl_net_ping_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    u32 first, last;

    ping_range_get(current_task()->ns->net, &first, &last);
    seq_printf(out, "%u\t%u\n", first, last);
    return 0;
}

static ssize_t sysctl_net_ping_store(struct pseudo_node *node, char *text, size_t n,
                                     const struct cred *cred)
{
    struct net_ns *ns = current_task()->ns->net;
    u64 first, last;
    const char *at;

    if (!cred_capable(cred, ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    if (parse_u64_prefix(text, 10, &first, &at) || (*at != ' ' && *at != '\t'))
        return -EINVAL;
    while (*at == ' ' || *at == '\t')
        at++;
    if (parse_u64_prefix(at, 10, &last, &at) || (*at && *at != '\n') || first > 0x7fffffff ||
        last > 0x7fffffff)
        return -EINVAL;
    ping_range_set(ns, (u32)first, (u32)last);
    return (ssize_t)n;
}

static const struct pseudo_ops sysctl_net_ping_ops = {.show = sysctl_net_ping_show,
                                                      .store = sysctl_net_ping_store};
PSEUDO_FILE(net_ping) = {"proc", "sys/net/ipv4/ping_group_range", 0644, &sysctl_net_ping_ops, NULL};

/* What is fixed here. */
static int sysctl_net_fixed_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%s\n", (const char *)node->priv);
    return 0;
}

static const struct pseudo_ops sysctl_net_fixed_ops = {.show = sysctl_net_fixed_show};

#define SYSCTL_NET_FIXED(id, path, text)                                     \
    PSEUDO_FILE(id) = {"proc", "sys/net/" path, 0444, &sysctl_net_fixed_ops, \
                       (void *)(uintptr_t)(text)}

SYSCTL_NET_FIXED(net_somaxconn, "core/somaxconn", "4096"); /* ACCEPT_BACKLOG_MAX */
SYSCTL_NET_FIXED(net_ports, "ipv4/ip_local_port_range", "32768\t60999");
SYSCTL_NET_FIXED(net_low_ports, "ipv4/ip_unprivileged_port_start", "1024");
