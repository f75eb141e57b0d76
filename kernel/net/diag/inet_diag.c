/* SPDX-License-Identifier: MIT
 *
 * inet_diag: sockets of TCP, UDP and raw IP, both families. A dump shows those that the request's
 * family, states, ports and filter let through; an exact request the one with these ends.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/diag/inet_priv.h"
#include "net/raw/raw.h"
#include "net/tcp/conn.h"
#include "net/udp/udp.h"

#define IPPROTO_RAW_NR 255

enum { INET_DIAG_REQ_BYTECODE = 1, INET_DIAG_REQ_PROTOCOL = 3, INET_DIAG_REQ_RULES };

static struct socket_list *inet_diag_list(struct net_ns *ns, u32 protocol)
{
    switch (protocol) {
    case IPPROTO_TCP:
        return &tcp_ns_of(ns)->list;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        return &udp_ns_of(ns, protocol == IPPROTO_UDPLITE)->list;
    case IPPROTO_RAW_NR:
        return &raw_ns_of(ns)->list;
    default:
        return NULL;
    }
}

/* What a request says, taken apart. */
struct inet_diag_parsed {
    struct inet_diag_request q;
    struct socket_list *list;
    u32 protocol;
    const u8 *code;
    u32 nr_code;
};

static int inet_diag_parse(struct nl_request *r, struct inet_diag_parsed *p)
{
    static const struct nl_rule rules[INET_DIAG_REQ_RULES] = {
        [INET_DIAG_REQ_BYTECODE] = {NL_BYTES, 4, DIAG_FILTER_MOST},
        [INET_DIAG_REQ_PROTOCOL] = {NL_U32, 0, 0},
    };
    struct nl_attr a[INET_DIAG_REQ_RULES];
    int err = diag_body(r, &p->q, sizeof(p->q));

    if (!err)
        err = nl_parse(r->body + sizeof(p->q), r->len - sizeof(p->q), NL_HEADER + sizeof(p->q),
                       rules, INET_DIAG_REQ_RULES, a, &r->fault);
    if (err)
        return err == -ERANGE ? -EINVAL : err;
    p->protocol =
        nl_has(&a[INET_DIAG_REQ_PROTOCOL]) ? nl_u32(&a[INET_DIAG_REQ_PROTOCOL]) : p->q.protocol;
    p->list = inet_diag_list(r->ns, p->protocol);
    if (!p->list)
        return -ENOENT;
    p->code = a[INET_DIAG_REQ_BYTECODE].data;
    p->nr_code = p->code ? a[INET_DIAG_REQ_BYTECODE].len : 0;
    return 0;
}

static bool inet_diag_admin(const struct nl_request *r)
{
    return nl_capable(r, CAP_NET_ADMIN);
}

/* ---- dumps ---- */

struct inet_dump {
    struct diag_walk walk;
    u64 entries; /* where it is among what is no socket */
    bool walked; /* all sockets were shown */
    bool tcp, admin;
    struct inet_diag_request q;
    u32 nr_code;
    u8 code[];
};

static bool inet_dump_wants(const struct inet_dump *s, const struct inet_seen *seen)
{
    const struct inet_diag_request *q = &s->q;
    struct diag_entry e = {.family = seen->family,
                           .local_port = seen->local.port,
                           .peer_port = seen->peer.port,
                           .local = seen->local.addr,
                           .peer = seen->peer.addr,
                           .device = seen->device,
                           .mark = seen->sock ? (u32)READ_ONCE(seen->sock->sock.mark) : 0,
                           .chosen = !seen->sock || seen->sock->auto_port};

    if (q->family && q->family != seen->family)
        return false;
    if (!(q->states >> seen->about.state & 1))
        return false;
    if ((q->id.local_port && __builtin_bswap16(q->id.local_port) != seen->local.port) ||
        (q->id.peer_port && __builtin_bswap16(q->id.peer_port) != seen->peer.port))
        return false;
    return !s->nr_code || diag_filter_run(s->code, s->nr_code, &e);
}

static bool inet_dump_put(struct nl_dump *d, struct nl_builder *b, const struct inet_seen *seen)
{
    const struct inet_dump *s = (const void *)d->state;
    struct inet_diag_asked asked = {d->s->cred->user_ns, s->q.extensions, s->admin};
    struct inet_diag_message *m = nl_dumped(d, b, SOCK_DIAG_BY_FAMILY, sizeof(*m));

    return inet_diag_fill(b, m, seen, &asked);
}

/* A socket without a name is shown where it receives (raw), not where it cannot. */
static bool inet_dump_show(struct nl_dump *d, struct nl_builder *b, struct socket *sock)
{
    const struct inet_dump *s = (const void *)d->state;
    struct inet_seen seen;

    inet_diag_look(inet_of(sock), &seen);
    if (s->tcp ? seen.about.state == TCP_CLOSE : sock->type == SOCK_DGRAM && !seen.local.port)
        return true;
    return !inet_dump_wants(s, &seen) || inet_dump_put(d, b, &seen);
}

static bool inet_dump_entries(struct nl_dump *d, struct nl_builder *b)
{
    struct inet_dump *s = (void *)d->state;
    struct tcp_diag_entry e;
    u64 at = s->entries;

    while (tcp_diag_next(d->ns, &at, &e)) {
        struct inet_seen seen;

        inet_diag_look_entry(&e, &seen);
        if (inet_dump_wants(s, &seen) && !inet_dump_put(d, b, &seen))
            return false;
        s->entries = at;
    }
    return true;
}

static bool inet_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct inet_dump *s = (void *)d->state;
    const u32 others = 1U << TCP_TIME_WAIT | 1U << TCP_SYN_RECV;

    if (!s->walked && !diag_walk(&s->walk, d, b, inet_dump_show))
        return false;
    s->walked = true;
    return !s->tcp || !(s->q.states & others) || inet_dump_entries(d, b);
}

static void inet_dump_end(struct nl_dump *d)
{
    diag_walk_end(&((struct inet_dump *)(void *)d->state)->walk);
}

static int inet_dump(struct nl_request *r, const struct inet_diag_parsed *p)
{
    static const struct nl_dump_ops ops = {NL_SOCKETS, inet_dump_step, inet_dump_end};
    u32 size = (u32)sizeof(struct inet_dump) + p->nr_code;
    bool admin = inet_diag_admin(r);
    int err = p->code ? diag_filter_check(p->code, p->nr_code, admin) : 0;
    struct inet_dump *s;

    if (err)
        return err;
    s = FAILPOINT(inet_diag_dump) ? NULL : kzalloc(size);
    if (!s)
        return -ENOMEM;
    s->walk.list = p->list;
    s->tcp = p->protocol == IPPROTO_TCP;
    s->admin = admin;
    s->q = p->q;
    s->nr_code = p->nr_code;
    if (p->code)
        memcpy(s->code, p->code, p->nr_code);
    err = nl_dump_start(r, &ops, s, size, false);
    kfree(s);
    return err;
}

/* ---- one ---- */

/* The ends that a request names. */
struct inet_diag_ends {
    const struct inet_diag_request *q;
    struct ip_end local, peer;
    bool tcp;
};

static struct ip_addr inet_diag_addr_of(u8 family, const u32 a[4])
{
    struct ip_addr out;

    if (family == AF_INET)
        return (struct ip_addr){.w = {0, 0, IP_MAPPED_WORD, a[0]}};
    memcpy(&out, a, sizeof(out));
    return out;
}

static void inet_diag_ends_of(const struct inet_diag_parsed *p, struct inet_diag_ends *out)
{
    const struct inet_diag_id *id = &p->q.id;

    *out = (struct inet_diag_ends){.q = &p->q, .tcp = p->protocol == IPPROTO_TCP};
    out->local.addr = inet_diag_addr_of(p->q.family, id->local);
    out->local.port = __builtin_bswap16(id->local_port);
    out->peer.addr = inet_diag_addr_of(p->q.family, id->peer);
    out->peer.port = __builtin_bswap16(id->peer_port);
    if (p->q.family == AF_INET6 && ip_is_link_local(&out->peer.addr))
        out->local.scope = out->peer.scope = id->device;
}

static bool inet_diag_is(struct socket *s, const void *arg)
{
    const struct inet_diag_ends *e = arg;
    struct inet_seen seen;

    if (s->family != e->q->family || READ_ONCE(inet_of(s)->local.port) != e->local.port)
        return false;
    inet_diag_look(inet_of(s), &seen);
    if (e->tcp && seen.about.state == TCP_CLOSE)
        return false;
    if (seen.peer.port != e->peer.port || !ip_equal(&seen.local.addr, &e->local.addr))
        return false;
    if (e->q->id.device && seen.device != e->q->id.device)
        return false;
    return !e->peer.port || ip_equal(&seen.peer.addr, &e->peer.addr);
}

/* That socket, else the one that would receive for the local end. */
static struct inet_sock *inet_diag_find(struct nl_request *r, const struct inet_diag_parsed *p,
                                        const struct inet_diag_ends *e)
{
    struct socket *s = diag_find(p->list, inet_diag_is, e);

    if (s)
        return inet_of(s);
    if (p->protocol == IPPROTO_TCP)
        return port_find(&tcp_ns_of(r->ns)->ports, &e->local, &e->peer, p->q.id.device);
    if (p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_UDPLITE)
        return port_find(&udp_ns_of(r->ns, p->protocol == IPPROTO_UDPLITE)->ports, &e->local,
                         &e->peer, p->q.id.device);
    return NULL;
}

static bool inet_diag_names_one(const struct inet_diag_request *q)
{
    return q->family == AF_INET || q->family == AF_INET6;
}

static int inet_diag_answer(struct nl_request *r, const struct inet_seen *seen, u8 extensions)
{
    struct inet_diag_asked asked = {r->s->cred->user_ns, extensions, inet_diag_admin(r)};
    struct inet_diag_message *m;
    struct nl_builder b;
    int err = nl_answer_begin(&b);

    if (err)
        return err;
    m = nl_answer(r, &b, SOCK_DIAG_BY_FAMILY, sizeof(*m));
    if (!inet_diag_fill(&b, m, seen, &asked))
        err = -EMSGSIZE;
    return err ? (kfree(b.buf), err) : nl_answer_end(r, &b);
}

static int inet_diag_one(struct nl_request *r, const struct inet_diag_parsed *p)
{
    struct tcp_diag_entry entry;
    struct inet_diag_ends e;
    struct inet_seen seen;
    struct inet_sock *s;
    int err;

    if (!inet_diag_names_one(&p->q))
        return -EINVAL;
    inet_diag_ends_of(p, &e);
    if (e.tcp && tcp_diag_find(r->ns, &e.local, &e.peer, &entry)) {
        inet_diag_look_entry(&entry, &seen);
        return inet_diag_answer(r, &seen, p->q.extensions);
    }
    s = inet_diag_find(r, p, &e);
    if (!s)
        return -ENOENT;
    err = -ENOENT;
    if (diag_cookie_is(&s->sock, p->q.id.cookie)) {
        inet_diag_look(s, &seen);
        err = inet_diag_answer(r, &seen, p->q.extensions);
    }
    socket_put(&s->sock);
    return err;
}

static int inet_diag_request(struct nl_request *r)
{
    struct inet_diag_parsed p;
    int err = inet_diag_parse(r, &p);

    if (err)
        return err;
    return r->h.flags & NLM_F_DUMP ? inet_dump(r, &p) : inet_diag_one(r, &p);
}

/* ---- ending one ---- */

static int inet_diag_end(struct inet_sock *s)
{
    switch (s->sock.protocol) {
    case IPPROTO_TCP:
        return tcp_kill(tcp_of(s));
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
        return udp_kill(udp_of(&s->sock));
    default:
        return -EOPNOTSUPP;
    }
}

static int inet_diag_destroy(struct nl_request *r)
{
    struct tcp_diag_entry entry;
    struct inet_diag_parsed p;
    struct inet_diag_ends e;
    struct inet_sock *s;
    int err = inet_diag_parse(r, &p);

    if (!err && (!inet_diag_names_one(&p.q) || p.protocol == IPPROTO_RAW_NR))
        err = p.protocol == IPPROTO_RAW_NR ? -EOPNOTSUPP : -EINVAL;
    if (err)
        return err;
    inet_diag_ends_of(&p, &e);
    if (e.tcp && tcp_diag_find(r->ns, &e.local, &e.peer, &entry))
        return -EOPNOTSUPP;
    s = inet_diag_find(r, &p, &e);
    if (!s)
        return -ENOENT;
    err = diag_cookie_is(&s->sock, p.q.id.cookie) ? inet_diag_end(s) : -ENOENT;
    socket_put(&s->sock);
    return err;
}

const struct diag_family diag_inet = {AF_INET, inet_diag_request, inet_diag_destroy};
const struct diag_family diag_inet6 = {AF_INET6, inet_diag_request, inet_diag_destroy};
