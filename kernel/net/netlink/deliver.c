/* SPDX-License-Identifier: MIT
 *
 * Messages into a socket's queue: the kernel's, and those of programs to each other. netlink.h has
 * the rules.
 *
 * A message is copied for each receiver and charged to the receiver's account, which its rcvbuf
 * bounds: a message is begun only while the queue is below it, and is no longer than MESSAGE_MOST.
 * A sender that waits for space has no message of the receiver's yet, and holds no lock.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/up.h"
#include "net/netlink/socket_priv.h"
#include "obj/pid.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vm/iov.h"

#define SEND_OVERHEAD 32 /* bytes of sndbuf that a message needs beside its own */
/* What a receiver takes of a program; a sender's sndbuf may be larger by privilege. */
#define MESSAGE_MOST (2 * SOCK_BUF_DEFAULT)

struct nl_msg {
    struct sock_msg msg; /* first */
    u32 port;            /* the sender's; 0: the kernel */
    u32 group;           /* that it was told to, or 0 */
    struct pid *pid;     /* the sender, a reference; NULL: the kernel */
    kuid_t uid;
    kgid_t gid;
    u8 data[];
};

void nl_msg_free(struct sock_msg *msg)
{
    struct nl_msg *nm = (struct nl_msg *)msg;

    if (nm->pid)
        pid_put(nm->pid);
}

int nl_msg_give(struct socket *sock, struct sock_msg *msg, struct socket_message *m, unsigned flags,
                bool *last)
{
    const struct nl_msg *nm = (const struct nl_msg *)msg;
    u32 group = nm->group;

    nl_addr_out(nm->port, nl_group_mask(group), &m->addr, &m->addr_len);
    if (READ_ONCE(nl_of(sock)->told))
        socket_note(m, SOL_NETLINK, NETLINK_PKTINFO, &group, sizeof(group));
    if (!READ_ONCE(sock->passcred))
        return 0;
    m->has_cred = true;
    m->pid = nm->pid;
    m->uid = nm->uid;
    m->gid = nm->gid;
    if (m->pid)
        pid_get(m->pid);
    return 0;
}

/* ---- one receiver ---- */

static struct nl_msg *nl_msg_make(struct socket *to, const void *bytes, u32 n,
                                  const struct nl_sender *from)
{
    struct account *former = account_swap(to->account);
    struct nl_msg *nm = FAILPOINT(netlink_queue) ? NULL : kmalloc(sizeof(*nm) + n);

    account_swap(former);
    if (!nm)
        return NULL;
    memset(nm, 0, sizeof(*nm));
    nm->msg.len = n;
    nm->msg.head = offsetof(struct nl_msg, data);
    nm->msg.overhead = SOCK_MSG_COST;
    nm->port = from->port;
    nm->group = from->group;
    nm->pid = from->pid;
    nm->uid = from->uid;
    nm->gid = from->gid;
    if (nm->pid)
        pid_get(nm->pid);
    memcpy(nm->data, bytes, n);
    return nm;
}

/* 0, also if its filter refuses the message; -EAGAIN: no space; -ENOBUFS: no memory, or too much
 * was filtered already; -ECONNREFUSED: it is being closed. */
static int nl_deliver(struct nl_sock *s, const void *bytes, u32 n, const struct nl_sender *from,
                      u32 *budget)
{
    struct socket *to = &s->sock;
    bool wake = false;
    struct nl_msg *nm;
    u32 keep = n;
    int err;

    if (READ_ONCE(to->filter) && !socket_filter_pay_bytes(to, bytes, n, budget, &keep))
        return -ENOBUFS;
    if (!keep)
        return 0;
    if (READ_ONCE(to->queued) >= READ_ONCE(to->rcvbuf))
        return -EAGAIN;
    nm = nl_msg_make(to, bytes, MIN(n, keep), from);
    if (!nm)
        return -ENOBUFS;
    spin_lock(&to->lock);
    err = to->dead ? -ECONNREFUSED : to->queued >= to->rcvbuf ? -EAGAIN : 0;
    if (!err)
        wake = sock_queue_add_locked(to, &nm->msg);
    spin_unlock(&to->lock);
    if (wake)
        sock_queue_wake(to);
    if (err)
        sock_msg_free(to, &nm->msg);
    return err;
}

/* The receiver learns that it lost a message. */
static void nl_overrun(struct nl_sock *s)
{
    __atomic_fetch_add(&s->sock.lost, 1, __ATOMIC_RELAXED);
    if (!READ_ONCE(s->no_enobufs)) {
        WRITE_ONCE(s->sock.error, ENOBUFS);
        socket_wake(&s->sock, POLLERR);
    }
}

bool nl_queue_told(struct nl_sock *s, const void *bytes, u32 n, u32 group, u32 *budget)
{
    struct nl_sender kernel = {.group = group};
    bool queued = !nl_deliver(s, bytes, n, &kernel, budget);

    if (!queued)
        nl_overrun(s);
    return queued;
}

bool nl_queue(struct nl_sock *s, const void *bytes, u32 n, u32 group)
{
    u32 budget = FILTER_BUDGET;

    return nl_queue_told(s, bytes, n, group, &budget);
}

/* ---- programs to each other ---- */

bool nl_may_send(const struct nl_sock *s)
{
    return s->protocol->anyone_sends ||
           cred_capable(current_cred(), s->sock.ns->user_ns, CAP_NET_ADMIN);
}

/* To the members of a group, but the one that has `port`, which hears it apart: none waits. */
static int nl_send_group(struct nl_sock *s, u32 port, const u8 *bytes, u32 n,
                         const struct nl_sender *from)
{
    u32 budget = FILTER_BUDGET, nr;
    struct nl_sock **to;
    int err = nl_group_members(s, from->group, &to, &nr);

    if (err)
        return err;
    for (u32 i = 0; i < nr; i++, cond_yield()) {
        if (READ_ONCE(to[i]->port) != port && nl_deliver(to[i], bytes, n, from, &budget))
            nl_overrun(to[i]);
        socket_put(&to[i]->sock);
    }
    kfree(to);
    return 0;
}

/* A connected socket hears its peer alone. */
static bool nl_hears(const struct nl_sock *to, const struct nl_sender *from)
{
    return !READ_ONCE(to->connected) || READ_ONCE(to->peer_port) == from->port;
}

static int nl_send_port(struct nl_sock *s, u32 port, const u8 *bytes, u32 n,
                        const struct nl_sender *from, bool wait)
{
    u64 timeout = READ_ONCE(s->sock.send_timeout);
    u64 deadline = socket_deadline(timeout, timeout ? time_ns() : 0);
    bool again;
    int err;

    do {
        struct nl_sock *to = nl_port_find(s, port);
        u32 budget = FILTER_BUDGET;

        if (!to)
            return -ECONNREFUSED;
        err = nl_hears(to, from) ? nl_deliver(to, bytes, n, from, &budget) : -ECONNREFUSED;
        again = err == -EAGAIN && wait;
        if (again)
            err = sock_await_space(&to->sock, deadline);
        else if (wait && sock_has_space(&to->sock))
            waitq_wake_one(&to->sock.senders_wait);
        socket_put(&to->sock);
    } while (again && !err);
    return err;
}

/* Where m goes: a port (0: the kernel), and a group or 0. */
static int nl_destination(const struct nl_sock *s, const struct socket_message *m, u32 *port,
                          u32 *group)
{
    struct nl_addr a;
    int err;

    *port = READ_ONCE(s->peer_port);
    *group = READ_ONCE(s->peer_group);
    if (!m->addr_len)
        return 0;
    err = nl_addr_in(&m->addr, m->addr_len, &a);
    if (err)
        return err;
    *port = a.port;
    *group = nl_group_first(a.groups);
    return (*port || *group) && !nl_may_send(s) ? -EPERM : 0;
}

static void nl_sender_is(struct nl_sender *from, const struct nl_sock *s,
                         const struct socket_message *m, u32 group)
{
    const struct cred *cred = current_cred();

    from->port = READ_ONCE(s->port);
    from->group = group;
    from->pid = m->has_cred && m->pid ? m->pid : up_current_pid();
    from->uid = m->has_cred ? m->uid : cred->uid;
    from->gid = m->has_cred ? m->gid : cred->gid;
}

/* A group's members first; then the one socket, or the kernel, says how it went. */
static int nl_send_bytes(struct nl_sock *s, const struct socket_message *m, u32 port, u32 group,
                         const u8 *bytes, u32 n, bool wait)
{
    bool kernel = !port && s->protocol->request;
    struct nl_sender from;
    int err = 0;

    if ((group || !kernel) && n > MESSAGE_MOST)
        return -ENOBUFS;
    nl_sender_is(&from, s, m, group);
    if (group)
        err = nl_send_group(s, port, bytes, n, &from);
    if (!err && kernel)
        nl_requests(s, bytes, n);
    else if (!err)
        err = nl_send_port(s, port, bytes, n, &from, wait);
    return err;
}

ssize_t nl_send(struct socket *sock, struct socket_message *m, unsigned flags,
                const struct walk_ctx *ctx)
{
    struct nl_sock *s = nl_of(sock);
    u64 n = m->data->count;
    u32 port, group;
    u8 *bytes;
    int err = n ? nl_destination(s, m, &port, &group) : -ENODATA;

    if (!err)
        err = nl_autobind(s);
    if (!err && n > READ_ONCE(sock->sndbuf) - SEND_OVERHEAD)
        err = -EMSGSIZE;
    if (err)
        return err;
    bytes = FAILPOINT(netlink_send) ? NULL : kmalloc(n + 1);
    if (!bytes)
        return -ENOBUFS;
    if (iov_copy_from(m->data, bytes, n) == n)
        err = nl_send_bytes(s, m, port, group, bytes, (u32)n, !(flags & MSG_DONTWAIT));
    else
        err = -EFAULT;
    kfree(bytes);
    return err ? err : (ssize_t)n;
}
