/* SPDX-License-Identifier: MIT
 *
 * net.ipv4.tcp_* of /proc/sys (core/sysctl.h). What connections are configured to is read by each
 * whenever it matters, so a change is for those that stand, too.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/sysctl.h"
#include "net/tcp/tcp.h"
#include "vfs/pseudo.h"

#define BUFFER_MOST SOCK_BUF_MAX

static void tcp_ecn_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct tcp_ns *tn = tcp_ns_of(at->ns);
    s32 ecn = READ_ONCE(tn->ecn);

    WRITE_ONCE(tn->config.ecn_ask, ecn == 1);
    WRITE_ONCE(tn->config.ecn_take, ecn != 0);
}

/* 0 is what it has always meant: eight. */
static void tcp_orphans_changed(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct tcp_ns *tn = tcp_ns_of(at->ns);
    s32 retries = READ_ONCE(tn->orphan_retries);

    WRITE_ONCE(tn->config.orphan_retries,
               retries ? (u32)retries : tcp_config_default.orphan_retries);
}

/* Least, first, most. */
static int tcp_judge_buffer(const struct net_sysctl_at *at, const s64 *v)
{
    return v[0] > v[1] || v[1] > v[2] ? -EINVAL : 0;
}

static void tcp_congestion_show(const struct net_sysctl *row, const struct net_sysctl_at *at,
                                struct seq *out)
{
    seq_printf(out, "%s\n", READ_ONCE(tcp_ns_of(at->ns)->congestion)->name);
}

static int tcp_congestion_store(const struct net_sysctl *row, const struct net_sysctl_at *at,
                                char *text)
{
    const struct tcp_congestion_ops *ops;
    size_t n = strlen(text);

    if (n && text[n - 1] == '\n')
        text[n - 1] = '\0';
    ops = tcp_congestion_find(text);
    if (!ops)
        return -ENOENT;
    WRITE_ONCE(tcp_ns_of(at->ns)->congestion, ops);
    return 0;
}

static void tcp_available_show(const struct net_sysctl *row, const struct net_sysctl_at *at,
                               struct seq *out)
{
    seq_printf(out, "%s %s\n", tcp_reno.name, tcp_cubic.name);
}

#define TCP_VALUE(field) .part = &tcp_ns_offset, .offset = offsetof(struct tcp_ns, field)
#define TCP_BOOL(name, field)                                                 \
    {                                                                         \
        .path = "ipv4/" name, .kind = SYSCTL_BOOL, TCP_VALUE(field), .max = 1 \
    }
#define TCP_NUMBER(name, field, least, most)                                  \
    {                                                                         \
        .path = "ipv4/" name, TCP_VALUE(field), .min = (least), .max = (most) \
    }
#define TCP_SECONDS(name, field, most)                                                      \
    {                                                                                       \
        .path = "ipv4/" name, .kind = SYSCTL_NS, TCP_VALUE(field), .min = 1, .max = (most), \
        .unit = NSEC_PER_SEC                                                                \
    }
#define TCP_FIXED(name, value)                                                     \
    {                                                                              \
        .path = "ipv4/" name, .kind = SYSCTL_FIXED, .min = (value), .max = (value) \
    }
#define TCP_BUFFER(name, field, least)                                                          \
    {                                                                                           \
        .path = "ipv4/" name, .count = 3, TCP_VALUE(field), .min = (least), .max = BUFFER_MOST, \
        .judge = tcp_judge_buffer                                                               \
    }

static const struct net_sysctl tcp_rows[] = {
    TCP_BOOL("tcp_sack", config.sack),
    TCP_BOOL("tcp_timestamps", config.times),
    TCP_BOOL("tcp_window_scaling", config.scale),
    TCP_SECONDS("tcp_fin_timeout", config.fin_wait2, 3600),
    TCP_SECONDS("tcp_keepalive_time", config.keep_idle, 32767),
    TCP_SECONDS("tcp_keepalive_intvl", config.keep_interval, 32767),
    TCP_NUMBER("tcp_keepalive_probes", config.keep_count, 1, 127),
    TCP_NUMBER("tcp_syn_retries", config.syn_retries, 1, 127),
    TCP_NUMBER("tcp_synack_retries", synack_retries, 0, 254),
    TCP_NUMBER("tcp_retries2", config.retries, 1, 255),
    {.path = "ipv4/tcp_orphan_retries",
     TCP_VALUE(orphan_retries),
     .max = 255,
     .changed = tcp_orphans_changed},
    {.path = "ipv4/tcp_ecn", TCP_VALUE(ecn), .max = 2, .changed = tcp_ecn_changed},
    TCP_NUMBER("tcp_max_orphans", orphans.most, 0, 1 << 20),
    TCP_NUMBER("tcp_max_tw_buckets", rests.most, 1, 1 << 15),
    TCP_NUMBER("tcp_max_syn_backlog", halves_least, 1, 65536),
    TCP_NUMBER("tcp_syncookies", cookies, 0, 2),
    TCP_BOOL("tcp_moderate_rcvbuf", tunes),
    TCP_BUFFER("tcp_rmem", receive, SOCK_RCVBUF_MIN),
    TCP_BUFFER("tcp_wmem", send, SOCK_RCVBUF_MIN),
    {.path = "ipv4/tcp_congestion_control",
     .kind = SYSCTL_OWN,
     .show = tcp_congestion_show,
     .store = tcp_congestion_store},
    {.path = "ipv4/tcp_available_congestion_control",
     .kind = SYSCTL_OWN,
     .read_only = true,
     .show = tcp_available_show},
    {.path = "ipv4/tcp_allowed_congestion_control",
     .kind = SYSCTL_OWN,
     .read_only = true,
     .show = tcp_available_show},
    TCP_FIXED("tcp_dsack", 1),
    TCP_FIXED("tcp_fastopen", 0),
    TCP_FIXED("tcp_mtu_probing", 0),
    TCP_FIXED("tcp_recovery", 1),
};
NET_SYSCTLS(tcp) = {tcp_rows, ARRAY_SIZE(tcp_rows)};
