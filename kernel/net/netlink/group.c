/* SPDX-License-Identifier: MIT
 *
 * Groups of netlink: who joins them, and what the kernel tells them. netlink.h has the rules.
 *
 * What the kernel tells is in one order for all members, so it is told under the lock of the
 * namespace's listeners. What a program says may be long, and needs no such order: the group's
 * members are collected under the lock, and hear it without.
 */
#include "lib/log.h"
#include "mm/slab.h"
#include "net/netlink/socket_priv.h"
#include "sched/thread.h"

#define LISTENERS_MOST 1024U /* of a namespace, of rtnetlink and of the others each */

int nl_groups_allowed(const struct nl_sock *s, u64 groups)
{
    u64 all = s->protocol->groups ? ~0ULL >> (64 - s->protocol->groups) : 0;

    if (groups & ~all)
        return -EINVAL;
    if ((groups & s->protocol->reserved) &&
        !cred_capable(current_cred(), s->sock.ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    return 0;
}

/* Each change is told to all listeners of the namespace: they are not as many as programs like.
 * Some places are kept for those that configure it, and no other user has all the rest. */
static bool nl_has_place_locked(struct nl_ns *nn, const struct nl_sock *s, u32 nr)
    REQUIRES(nn->listeners_lock)
{
    const struct nl_sock *other;
    u32 own = 0;

    ASSERT_HELD(&nn->listeners_lock);
    if (cred_capable(current_cred(), s->sock.ns->user_ns, CAP_NET_ADMIN))
        return nr < LISTENERS_MOST;
    list_for_each (other, &nn->listeners, listening)
        own += other->sock.uid == s->sock.uid;
    return nr < LISTENERS_MOST / 4 * 3 && own < LISTENERS_MOST / 4;
}

int nl_set_groups(struct nl_sock *s, u64 add, u64 drop)
{
    struct nl_ns *nn = nl_ns_of(s->sock.ns);
    u32 *nr = &nn->nr_listeners[s->protocol->protocol != NETLINK_ROUTE];
    u64 groups;

    mutex_lock(&nn->listeners_lock);
    if (!s->groups && add && !nl_has_place_locked(nn, s, *nr)) {
        mutex_unlock(&nn->listeners_lock);
        return -ENOBUFS;
    }
    groups = (s->groups & ~drop) | add;
    if (!s->groups && groups) {
        list_add_tail(&nn->listeners, &s->listening);
        WRITE_ONCE(*nr, *nr + 1);
    }
    if (s->groups && !groups) {
        list_del(&s->listening);
        WRITE_ONCE(*nr, *nr - 1);
    }
    WRITE_ONCE(s->groups, groups);
    mutex_unlock(&nn->listeners_lock);
    return 0;
}

bool nl_listened(struct net_ns *ns, u8 protocol, u32 group)
{
    return READ_ONCE(nl_ns_of(ns)->nr_listeners[protocol != NETLINK_ROUTE]);
}

static bool nl_is_member(const struct nl_sock *s, u8 protocol, u32 group)
{
    return s->protocol->protocol == protocol && (s->groups >> (group - 1) & 1);
}

void nl_tell(struct net_ns *ns, u8 protocol, u32 group, const struct nl_builder *b)
{
    const struct nl_request *asking = nl_asking(ns);
    struct nl_ns *nn = nl_ns_of(ns);
    struct nl_sock *s, *except = NULL;
    u32 budget = FILTER_BUDGET;

    if (asking && (asking->h.flags & NLM_F_ECHO)) {
        except = asking->s;
        (void)nl_queue(except, b->buf, b->len, 0);
    }
    if (!nl_listened(ns, protocol, group))
        return;
    mutex_lock(&nn->listeners_lock);
    list_for_each (s, &nn->listeners, listening) {
        if (s != except && nl_is_member(s, protocol, group))
            (void)nl_queue_told(s, b->buf, b->len, group, &budget);
        cond_yield();
    }
    mutex_unlock(&nn->listeners_lock);
}

/* Those who join while the array is made may be missing: they came later. */
int nl_group_members(const struct nl_sock *s, u32 group, struct nl_sock ***out, u32 *nr)
{
    struct nl_ns *nn = nl_ns_of(s->sock.ns);
    u8 protocol = s->protocol->protocol;
    u32 n = 0, space = READ_ONCE(nn->nr_listeners[protocol != NETLINK_ROUTE]) + 1;
    struct nl_sock **list = FAILPOINT(netlink_members) ? NULL : kmalloc(space * sizeof(*list));
    struct nl_sock *other;

    if (!list)
        return -ENOBUFS;
    mutex_lock(&nn->listeners_lock);
    list_for_each (other, &nn->listeners, listening) {
        if (other != s && n < space && nl_is_member(other, protocol, group)) {
            socket_get(&other->sock);
            list[n++] = other;
        }
        cond_yield();
    }
    mutex_unlock(&nn->listeners_lock);
    *out = list;
    *nr = n;
    return 0;
}
