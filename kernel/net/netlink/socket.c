/* SPDX-License-Identifier: MIT
 *
 * Sockets of AF_NETLINK: making, names, options, receiving. netlink.h has the rules.
 */
#include "lib/err.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/up.h"
#include "net/netlink/socket_priv.h"
#include "obj/pid.h"
#include "sched/thread.h"
#include "vfs/pseudo.h"
#include "vm/iov.h"

enum {
    NETLINK_ADD_MEMBERSHIP = 1,
    NETLINK_DROP_MEMBERSHIP = 2,
    NETLINK_BROADCAST_ERROR = 4,
    NETLINK_NO_ENOBUFS = 5,
    NETLINK_LIST_MEMBERSHIPS = 9,
    NETLINK_CAP_ACK = 10,
    NETLINK_EXT_ACK = 11,
    NETLINK_GET_STRICT_CHK = 12,
};
#define PORT_CHOSEN_LAST 0xfffff000U /* ports that are no process's number go down from here */

static const struct socket_ops nl_ops;
static struct slab_cache *nl_cache;
static u32 nl_ns_offset;
TABLE_DECLARE(struct nl_protocol, nl_protocols);

static void nl_init(void)
{
    nl_cache = slab_cache_create("netlink_sock", sizeof(struct nl_sock), 0);
}
INIT_HOOK(nl_init, INIT_CORE);

static int nl_ns_setup(struct net_ns *ns, void *part)
{
    struct nl_ns *nn = part;

    socket_list_init(&nn->list);
    spinlock_init(&nn->ports_lock, RANK_NET, 10, "netlink ports");
    nn->ports = RB_ROOT;
    mutex_init(&nn->listeners_lock, RANK_DRIVER, 18, "netlink listeners");
    list_init(&nn->listeners);
    spinlock_init(&nn->requests_lock, RANK_NET, 10, "netlink requests");
    nn->requests = RB_ROOT;
    return 0;
}
/* Before all parts whose changes are told. */
NET_PART("05", netlink) = {sizeof(struct nl_ns), &nl_ns_offset, nl_ns_setup, NULL};

struct nl_ns *nl_ns_of(struct net_ns *ns)
{
    return net_part(ns, nl_ns_offset);
}

static const struct nl_protocol *nl_protocol_find(int protocol)
{
    const struct nl_protocol *p;

    TABLE_FOR_EACH(p, nl_protocols)
    if (p->protocol == protocol)
        return p;
    return NULL;
}

static struct socket *nl_create(struct net_ns *ns, int type, int protocol)
{
    const struct nl_protocol *p = nl_protocol_find(protocol);
    struct nl_sock *s;

    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return ERR_PTR(-ESOCKTNOSUPPORT);
    if (!p)
        return ERR_PTR(-EPROTONOSUPPORT);
    s = slab_zalloc(nl_cache);
    if (!s)
        return ERR_PTR(-ENOMEM);
    s->protocol = p;
    s->sock.protocol = p->protocol;
    s->cred = current_cred();
    cred_get(s->cred);
    list_init(&s->listening);
    socket_init(&s->sock, &nl_ops, ns, &nl_ns_of(ns)->list, AF_NETLINK, type);
    return &s->sock;
}

/* ---- ports ---- */

static u64 nl_port_key(const struct nl_sock *s, u32 port)
{
    return (u64)s->protocol->protocol << 32 | port;
}

/* -EADDRINUSE: another socket of the protocol has it; -EINVAL: s has one already. */
static int nl_port_take(struct nl_sock *s, u32 port)
{
    struct nl_ns *nn = nl_ns_of(s->sock.ns);
    struct rb_node **link = &nn->ports.node, *parent = NULL;
    u64 key = nl_port_key(s, port), at;
    int err = 0;

    spin_lock(&nn->ports_lock);
    if (s->port)
        err = -EINVAL;
    while (!err && *link) {
        const struct nl_sock *other = rb_entry(*link, struct nl_sock, by_port);

        parent = *link;
        at = nl_port_key(other, other->port);
        if (at == key)
            err = -EADDRINUSE;
        else
            link = key < at ? &parent->left : &parent->right;
    }
    if (!err) {
        WRITE_ONCE(s->port, port);
        rb_link(&nn->ports, &s->by_port, parent, link);
    }
    spin_unlock(&nn->ports_lock);
    return err;
}

static void nl_port_drop(struct nl_sock *s)
{
    struct nl_ns *nn = nl_ns_of(s->sock.ns);

    spin_lock(&nn->ports_lock);
    if (s->port)
        rb_erase(&nn->ports, &s->by_port);
    WRITE_ONCE(s->port, 0);
    spin_unlock(&nn->ports_lock);
}

struct nl_sock *nl_port_find(const struct nl_sock *s, u32 port)
{
    struct nl_ns *nn = nl_ns_of(s->sock.ns);
    struct nl_sock *found = NULL;
    u64 key = nl_port_key(s, port);
    struct rb_node *n;

    spin_lock(&nn->ports_lock);
    for (n = nn->ports.node; n && !found;) {
        struct nl_sock *at = rb_entry(n, struct nl_sock, by_port);
        u64 its = nl_port_key(at, at->port);

        if (its == key)
            found = at;
        else
            n = key < its ? n->left : n->right;
    }
    if (found)
        socket_get(&found->sock);
    spin_unlock(&nn->ports_lock);
    return found;
}

/* The process's number for its first socket, else any that no process can have. */
int nl_autobind(struct nl_sock *s)
{
    u32 port = pid_nr(up_current_pid(), up_current_pid_ns());
    int err = -EADDRINUSE;

    if (READ_ONCE(s->port))
        return 0;
    if (port)
        err = nl_port_take(s, port);
    for (port = PORT_CHOSEN_LAST - random_u64() % 0x40000000; err == -EADDRINUSE;
         port--, cond_yield())
        err = nl_port_take(s, port);
    return err == -EINVAL ? 0 : err; /* another thread was faster */
}

/* ---- names ---- */

int nl_addr_in(const struct sock_addr *sa, u32 len, struct nl_addr *out)
{
    if (len < sizeof(*out))
        return -EINVAL;
    memcpy(out, sa, sizeof(*out));
    return out->family == AF_NETLINK ? 0 : -EINVAL;
}

void nl_addr_out(u32 port, u32 groups, struct sock_addr *sa, u32 *len)
{
    struct nl_addr a = {AF_NETLINK, 0, port, groups};

    memcpy(sa, &a, sizeof(a));
    *len = sizeof(a);
}

static int nl_bind(struct socket *sock, const struct sock_addr *sa, u32 len,
                   const struct walk_ctx *ctx, u32 mode)
{
    struct nl_sock *s = nl_of(sock);
    struct nl_addr a;
    int err = nl_addr_in(sa, len, &a);

    if (!err && a.groups) {
        u64 all = s->protocol->groups ? ~0ULL >> (64 - s->protocol->groups) : 0;

        a.groups &= (u32)all; /* as ever: what is not there is passed over */
        err = nl_groups_allowed(s, a.groups);
    }
    if (err)
        return err;
    if (READ_ONCE(s->port))
        err = a.port == s->port ? 0 : -EINVAL;
    else
        err = a.port ? nl_port_take(s, a.port) : nl_autobind(s);
    return err ?: nl_set_groups(s, a.groups, U32_MAX);
}

static int nl_connect(struct socket *sock, const struct sock_addr *sa, u32 len,
                      const struct walk_ctx *ctx, bool nonblock)
{
    struct nl_sock *s = nl_of(sock);
    struct nl_addr a = {0};
    int err;

    if (len < sizeof(sa->family))
        return -EINVAL;
    if (sa->family != AF_UNSPEC) {
        err = nl_addr_in(sa, len, &a);
        if (err)
            return err;
        if ((a.port || a.groups) && !nl_may_send(s))
            return -EPERM;
        err = nl_autobind(s);
        if (err)
            return err;
    }
    WRITE_ONCE(s->peer_port, a.port);
    WRITE_ONCE(s->peer_group, nl_group_first(a.groups));
    WRITE_ONCE(s->connected, sa->family != AF_UNSPEC);
    return 0;
}

static int nl_name(struct socket *sock, bool peer, struct sock_addr *out, u32 *len)
{
    struct nl_sock *s = nl_of(sock);

    if (peer)
        nl_addr_out(READ_ONCE(s->peer_port), nl_group_mask(READ_ONCE(s->peer_group)), out, len);
    else
        nl_addr_out(READ_ONCE(s->port), (u32)READ_ONCE(s->groups), out, len);
    return 0;
}

/* ---- receiving ---- */

static ssize_t nl_recv(struct socket *sock, struct socket_message *m, unsigned flags)
{
    struct nl_sock *s = nl_of(sock);
    u32 space = (u32)MIN(m->data->count, (u64)NL_PIECE_MAX);
    ssize_t n;

    m->addr_len = 0;
    if (space > READ_ONCE(s->largest))
        WRITE_ONCE(s->largest, space);
    n = sock_recv(sock, m, flags);
    nl_dump_go_on(s);
    return n;
}

static u32 nl_poll(struct socket *s, struct poll_table *pt)
{
    u32 mask = POLLOUT | POLLWRNORM; /* a request is performed when it is sent */

    poll_wait(pt, &s->wait);
    if (READ_ONCE(s->queued))
        mask |= POLLIN | POLLRDNORM;
    if (READ_ONCE(s->error))
        mask |= POLLERR;
    return mask;
}

/* ---- options ---- */

static bool *nl_option_flag(struct nl_sock *s, int name)
{
    switch (name) {
    case NETLINK_PKTINFO:
        return &s->told;
    case NETLINK_BROADCAST_ERROR:
        return &s->broadcast_error;
    case NETLINK_NO_ENOBUFS:
        return &s->no_enobufs;
    case NETLINK_CAP_ACK:
        return &s->cap_ack;
    case NETLINK_EXT_ACK:
        return &s->ext_ack;
    case NETLINK_GET_STRICT_CHK:
        return &s->strict;
    default:
        return NULL;
    }
}

static int nl_set_option(struct socket *sock, int level, int name, const void *val, u32 n)
{
    struct nl_sock *s = nl_of(sock);
    bool *flag = nl_option_flag(s, name);
    u32 v;
    int err;

    if (level != SOL_NETLINK)
        return -ENOPROTOOPT;
    if (n < sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    if (flag) {
        WRITE_ONCE(*flag, v != 0);
        return 0;
    }
    if (name != NETLINK_ADD_MEMBERSHIP && name != NETLINK_DROP_MEMBERSHIP)
        return -ENOPROTOOPT;
    if (!v || v > s->protocol->groups)
        return -EINVAL;
    err = nl_groups_allowed(s, 1ULL << (v - 1));
    if (err)
        return err;
    return nl_set_groups(s, name == NETLINK_ADD_MEMBERSHIP ? 1ULL << (v - 1) : 0,
                         name == NETLINK_DROP_MEMBERSHIP ? 1ULL << (v - 1) : 0);
}

static int nl_get_option(struct socket *sock, int level, int name, void *val, u32 *n)
{
    struct nl_sock *s = nl_of(sock);
    const bool *flag = nl_option_flag(s, name);
    u64 groups = READ_ONCE(s->groups);
    u32 space = *n;
    s32 v;

    if (level != SOL_NETLINK)
        return -ENOPROTOOPT;
    if (name == NETLINK_LIST_MEMBERSHIPS) { /* whole words; the space that is needed is told */
        memcpy(val, &groups, MIN(space & ~3U, (u32)sizeof(groups)));
        *n = ALIGN_UP((u32)s->protocol->groups, 32U) / 8;
        return 0;
    }
    if (!flag)
        return -ENOPROTOOPT;
    if (space < sizeof(v))
        return -EINVAL;
    v = *flag;
    return socket_option_put(val, n, &v, sizeof(v));
}

static void nl_release(struct socket *sock)
{
    struct nl_sock *s = nl_of(sock);
    struct nl_dump *dump;
    struct list_node lost;

    list_init(&lost);
    (void)nl_set_groups(s, 0, ~0ULL);
    nl_port_drop(s);
    spin_lock(&sock->lock);
    WRITE_ONCE(sock->dead, true);
    dump = s->dump;
    s->dump = NULL;
    sock_queue_take_all_locked(sock, &lost);
    spin_unlock(&sock->lock);
    waitq_wake_all(&sock->senders_wait);
    sock_queue_free(sock, &lost);
    nl_dump_free(dump);
    socket_put(sock);
}

static void nl_destroy(struct socket *sock)
{
    struct nl_sock *s = nl_of(sock);

    cred_put(s->cred);
    socket_fini(sock);
    slab_free(nl_cache, s);
}

static const struct socket_ops nl_ops = {
    .bind = nl_bind,
    .connect = nl_connect,
    .name = nl_name,
    .send = nl_send,
    .recv = nl_recv,
    .poll = nl_poll,
    .set_option = nl_set_option,
    .get_option = nl_get_option,
    .release = nl_release,
    .destroy = nl_destroy,
    .refuses = SOCK_SHUT_RD,
    .msg_give = nl_msg_give,
    .msg_free = nl_msg_free,
};

/* Programs among themselves; what they tell a group is for those who may configure the network. */
NETLINK_PROTOCOL(usersock) = {
    .protocol = NETLINK_USERSOCK, .groups = 32, .reserved = 0xffffffff, .anyone_sends = true};

SOCKET_FAMILY(netlink) = {.family = AF_NETLINK, .create = nl_create};

static void nl_show(struct seq *out, struct socket *sock, unsigned line)
{
    const struct nl_sock *s = nl_of(sock);

    seq_printf(out, "%016lx %-3d %-10u %08x %-8u %-8u %-5d %-8u %-8u %-8lu\n", 0UL, sock->protocol,
               READ_ONCE(s->port), (u32)READ_ONCE(s->groups), READ_ONCE(sock->queued), 0,
               READ_ONCE(s->dump) != NULL, 2, READ_ONCE(sock->lost), sock->ino);
}

static int nl_show_all(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    "
                    "Drops    Inode\n");
    socket_list_show(&nl_ns_of(ns)->list, out, nl_show);
    return 0;
}
NET_FILE(netlink) = {"netlink", nl_show_all};
