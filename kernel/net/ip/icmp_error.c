/* SPDX-License-Identifier: MIT
 *
 * ICMP's errors: those that come are told to the protocol that sent, those that go are limited (RFC
 * 1122 3.2.2, RFC 1812 4.3.2.8, RFC 4443 2.4): for each namespace and for each destination.
 */
#include "lib/checksum.h"
#include "lib/limit.h"
#include "lib/log.h"
#include "net/ip/fib.h"
#include "net/ip/icmp.h"
#include "net/ip/ipv6.h"
#include "sched/timer.h"

#define QUOTE4 (576 - IPV4_HEADER - ICMP_HEADER)
#define QUOTE6 (IPV6_MIN_MTU - IPV6_HEADER - ICMP_HEADER)
#define ERROR_QUOTE_READ 128 /* bytes looked at of a message */
#define LIMIT_PEER_BURST 6

TABLE_DECLARE(struct ip_protocol, ip_protocols);
TABLE_DECLARE(struct ip_watcher, ip_watchers);

COUNTER(net_icmp_errors_limited);
COUNTER(net_icmp_errors_sent);
COUNTER(net_icmp_errors_bad);
COUNTER(net_icmp_mtus_unheard);

static bool error_may_go(struct net_ns *ns, const struct ip_addr *to)
{
    struct ip_ns *in = ip_ns_of(ns);
    u32 slot = (u32)((to->q[0] ^ to->q[1]) * 0x9e3779b97f4a7c15ULL >> 32) % IP_LIMIT_SLOTS;
    u64 now = time_ns(), rate = (u64)READ_ONCE(in->values.error_rate);
    u64 gap = (u64)READ_ONCE(in->values.error_gap[!ip_is_v4(to)]) * NSEC_PER_MSEC;

    if (ip_is_loopback(to))
        return true;
    if ((!gap || limit_passes(&in->error_peers[slot], now, gap, LIMIT_PEER_BURST)) &&
        limit_passes(&in->error_all, now, NSEC_PER_SEC / rate,
                     (u64)READ_ONCE(in->values.error_burst)))
        return true;
    COUNT(net_icmp_errors_limited);
    return false;
}

/* The bytes of p from its network header on, at most n, as a packet of its own. */
static struct packet *error_quote(const struct packet *p, u32 n)
{
    u32 linear = (u32)p->start + p->linear - p->network, take = MIN(MIN(linear, n), 160U);
    struct packet *q = packet_alloc();
    u8 *at = q ? packet_append(q, take) : NULL;

    if (!at) {
        packet_free(q);
        return NULL;
    }
    memcpy(at, p->head + p->network, take);
    if (take < linear)
        return q;
    for (u32 i = 0; i < p->nr_frags && q->len < n; i++) {
        const struct packet_frag *f = &p->frags[i];

        page_get(f->page);
        if (packet_add_page(q, f->page, f->offset, MIN(f->len, n - q->len))) {
            page_put(f->page);
            break;
        }
    }
    return q;
}

/* No error is answered, and IPv4's other questions are none. */
static bool error_is_about_error(struct packet *p, const struct ip_info *h)
{
    const u8 *at;

    if (h->protocol != IPV4_ICMP && h->protocol != IPV6_ICMP)
        return false;
    at = packet_need(p, 1);
    if (ip_is_v4(&h->to))
        return !at || (at[0] != ICMP_ECHO && at[0] != 13 && at[0] != 15 && at[0] != 17);
    return !at || at[0] < 128 || at[0] == 137; /* a redirect */
}

static bool error_is_due(struct packet *p, const struct ip_info *h, bool group_too)
{
    if (p->kind != PACKET_HOST && !group_too)
        return false;
    if (ip_is_any(&h->from) || ip_is_multicast(&h->from) ||
        ip_kind_of(p->dev->ns, &h->from) == IP_BROADCAST)
        return false;
    if (!group_too && ip_kind_of(p->dev->ns, &h->to) != IP_LOCAL &&
        ip_kind_of(p->dev->ns, &h->to) != IP_UNICAST)
        return false;
    return !error_is_about_error(p, h) && error_may_go(p->dev->ns, &h->from);
}

static void error_put(struct net_ns *ns, struct packet *q, const struct ip_flow *f, u8 type,
                      u8 code, u32 rest)
{
    bool v4 = ip_is_v4(&f->to);
    u8 *at = packet_push(q, ICMP_HEADER);
    struct ip_path path;
    struct ip_info h;
    u16 sum;

    if (!at || ip_path_find(ns, f, &path)) {
        packet_free(q);
        return;
    }
    h = (struct ip_info){
        .from = path.source, .to = f->to, .protocol = f->protocol, .tos = v4 ? 0xc0 : 0};
    at[0] = type;
    at[1] = code;
    memset(at + 2, 0, 2);
    for (u32 i = 0; i < 4; i++)
        at[4 + i] = (u8)(rest >> (24 - 8 * i));
    sum = (u16)~checksum_fold(packet_sum(q, 0, q->len, v4 ? 0 : ip_pseudo_sum(&h, q->len)));
    memcpy(at + 2, &sum, sizeof(sum));
    COUNT(net_icmp_errors_sent);
    (void)ip_output(ns, q, &path, &h);
    ip_path_put(&path);
}

void icmp_error_send(struct packet *p, const struct ip_info *h, u8 type, u8 code, u32 rest)
{
    bool v4 = ip_is_v4(&h->to),
         group = !v4 && (type == ICMP6_TOO_BIG || (type == ICMP6_PROBLEM && code == 2));
    struct ip_flow f = {.to = h->from,
                        .device = ip_needs_scope(&h->from) ? h->device : 0,
                        .protocol = v4 ? IPV4_ICMP : IPV6_ICMP,
                        .uid = ip_kernel_uid(p->dev->ns)};
    struct packet *q;

    if (!error_is_due(p, h, group))
        return;
    if (ip_kind_of(p->dev->ns, &h->to) == IP_LOCAL)
        f.from = h->to;
    q = error_quote(p, v4 ? QUOTE4 : QUOTE6);
    if (q)
        error_put(p->dev->ns, q, &f, type, code, rest);
}

void ip_refuse(struct packet *p, const struct ip_info *h, enum ip_refusal why)
{
    static const u8 codes4[] = {3, 2, 13}, codes6[] = {4, 1, 1};

    if (ip_is_v4(&h->to))
        icmp_error_send(p, h, ICMP_UNREACHABLE, codes4[why], 0);
    else if (why ==
             IP_NO_PROTOCOL) /* where the byte is that names it: of a packet without chains */
        icmp_error_send(p, h, ICMP6_PROBLEM, codes6[why], 6);
    else
        icmp_error_send(p, h, ICMP6_UNREACHABLE, codes6[why], 0);
}

static void error_tell(struct net_ns *ns, const struct icmp_message *m, const u8 *at, u32 n,
                       const struct ip_error *e)
{
    const struct ip_protocol *proto;
    const struct ip_watcher *w;

    TABLE_FOR_EACH(w, ip_watchers)
    if (w->error)
        w->error(ns, &m->sent, at, n, e);
    TABLE_FOR_EACH(proto, ip_protocols)
    if (proto->protocol == m->sent.protocol && proto->error)
        proto->error(ns, &m->sent, at, n, e);
}

/* A socket here may have sent what the message is about. */
static bool error_is_of_ours(struct net_ns *ns, const struct icmp_message *m, const u8 *at, u32 n)
{
    const struct ip_protocol *proto;
    const struct ip_watcher *w;

    TABLE_FOR_EACH(proto, ip_protocols)
    if (proto->protocol == m->sent.protocol && proto->sent && proto->sent(ns, &m->sent, at, n))
        return true;
    TABLE_FOR_EACH(w, ip_watchers)
    if (w->sent && w->sent(ns, &m->sent, at, n))
        return true;
    return false;
}

/* What is said of a path's MTU is believed of packets that were sent alone: anyone may say it. */
static void error_learn(struct net_ns *ns, const struct icmp_message *m, const u8 *at, u32 n)
{
    if (m->first && error_is_of_ours(ns, m, at, n))
        pmtu_learn(ns, &m->sent.to, m->error.mtu);
    else
        COUNT(net_icmp_mtus_unheard);
}

void icmp_error_receive(struct packet *p, const struct ip_info *h)
{
    u32 n = MIN(p->len, (u32)ERROR_QUOTE_READ);
    struct net_ns *ns = p->dev->ns;
    u8 at[ERROR_QUOTE_READ]; /* a copy: the head need not have space for so many */
    struct icmp_message m;

    packet_copy(p, 0, n, at);
    if (ip_kind_of(ns, &h->to) != IP_LOCAL || icmp_error_parse(at, n, ip_is_v4(&h->to), &m) ||
        !ip_local_device(ns, &m.sent.from)) {
        COUNT(net_icmp_errors_bad);
        return;
    }
    m.sent.device = h->device;
    m.error.reporter = h->from;
    if (m.error.mtu)
        error_learn(ns, &m, at + m.at, n - m.at);
    if (m.first)
        error_tell(ns, &m, at + m.at, n - m.at, &m.error);
}
