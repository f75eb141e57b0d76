/* SPDX-License-Identifier: MIT
 *
 * netlink_diag: a namespace's netlink sockets (linux/netlink_diag.h). Dumps alone, as on Linux.
 */
#include "net/diag/diag.h"
#include "lib/log.h"

#define NDIAG_ALL 255
enum { NETLINK_DIAG_MEMINFO, NETLINK_DIAG_GROUPS, NETLINK_DIAG_FLAGS = 4 };
enum { NDIAG_SHOW_MEMINFO = 1, NDIAG_SHOW_GROUPS = 2, NDIAG_SHOW_FLAGS = 8 };
enum {
    NDIAG_CB_RUNNING = 1,
    NDIAG_PKTINFO = 2,
    NDIAG_BROADCAST_ERROR = 4,
    NDIAG_NO_ENOBUFS = 8,
    NDIAG_CAP_ACK = 0x20
};
enum { STATE_UNBOUND = 0, STATE_CONNECTED = 1 };

struct netlink_diag_request {
    u8 family, protocol;
    u16 pad;
    u32 ino, show, cookie[2];
};
struct netlink_diag_message {
    u8 family, type, protocol, state;
    u32 port, peer_port, peer_group, ino, cookie[2];
};
struct netlink_dump {
    struct diag_walk walk;
    u32 show;
    u8 protocol;
};

static u32 netlink_diag_flags(const struct nl_sock *s)
{
    return (READ_ONCE(s->dump) || READ_ONCE(s->dumping) ? NDIAG_CB_RUNNING : 0) |
           (READ_ONCE(s->told) ? NDIAG_PKTINFO : 0) |
           (READ_ONCE(s->broadcast_error) ? NDIAG_BROADCAST_ERROR : 0) |
           (READ_ONCE(s->no_enobufs) ? NDIAG_NO_ENOBUFS : 0) |
           (READ_ONCE(s->cap_ack) ? NDIAG_CAP_ACK : 0);
}

static void netlink_diag_put_groups(struct nl_builder *b, const struct nl_sock *s)
{
    u64 groups = READ_ONCE(s->groups);

    if (groups)
        nl_put(b, NETLINK_DIAG_GROUPS, &groups, ALIGN_UP((u32)s->protocol->groups, 32U) / 8);
}

static bool netlink_dump_show(struct nl_dump *d, struct nl_builder *b, struct socket *sock)
{
    const struct netlink_dump *n = (const void *)d->state;
    const struct nl_sock *s = nl_of(sock);
    struct netlink_diag_message *m;

    if (n->protocol != NDIAG_ALL && n->protocol != s->protocol->protocol)
        return true;
    m = nl_dumped(d, b, SOCK_DIAG_BY_FAMILY, sizeof(*m));
    if (m) {
        *m = (struct netlink_diag_message){.family = AF_NETLINK,
                                           .type = sock->type,
                                           .protocol = sock->protocol,
                                           .state = READ_ONCE(s->connected) ? STATE_CONNECTED
                                                                            : STATE_UNBOUND,
                                           .port = READ_ONCE(s->port),
                                           .peer_port = READ_ONCE(s->peer_port),
                                           .peer_group = READ_ONCE(s->peer_group),
                                           .ino = diag_inode(sock)};
        diag_cookie(sock, m->cookie);
    }
    if (n->show & NDIAG_SHOW_GROUPS)
        netlink_diag_put_groups(b, s);
    if (n->show & NDIAG_SHOW_MEMINFO)
        diag_put_memory(b, NETLINK_DIAG_MEMINFO, sock, 0);
    if (n->show & NDIAG_SHOW_FLAGS)
        nl_put_u32(b, NETLINK_DIAG_FLAGS, netlink_diag_flags(s));
    return nl_end(b);
}

static bool netlink_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    return diag_walk(&((struct netlink_dump *)(void *)d->state)->walk, d, b, netlink_dump_show);
}

static void netlink_dump_end(struct nl_dump *d)
{
    diag_walk_end(&((struct netlink_dump *)(void *)d->state)->walk);
}

static int netlink_diag_request(struct nl_request *r)
{
    static const struct nl_dump_ops ops = {NL_SOCKETS, netlink_dump_step, netlink_dump_end};
    struct netlink_diag_request q;
    struct netlink_dump d = {{&nl_ns_of(r->ns)->list, NULL}, 0, 0};
    int err = diag_body(r, &q, sizeof(q));

    if (!err && !(r->h.flags & NLM_F_DUMP))
        err = -EOPNOTSUPP;
    if (err)
        return err;
    d.show = q.show;
    d.protocol = q.protocol;
    return nl_dump_start(r, &ops, &d, sizeof(d), false);
}

const struct diag_family diag_netlink = {AF_NETLINK, netlink_diag_request, NULL};
