/* SPDX-License-Identifier: MIT
 *
 * What the files of netlink's sockets share: names (socket.c), groups (group.c), messages between
 * sockets (deliver.c). netlink.h has the rules.
 */
#pragma once

#include "net/core/filter.h"
#include "net/netlink/netlink.h"

#define SOL_NETLINK 270
#define NETLINK_PKTINFO 3

struct nl_addr { /* sockaddr_nl */
    u16 family, pad;
    u32 port, groups;
};

/* Who says something. The kernel: nothing but the group. */
struct nl_sender {
    u32 port;
    u32 group;       /* that it is said to; 0: to one socket */
    struct pid *pid; /* borrowed; NULL: the kernel */
    kuid_t uid;
    kgid_t gid;
};

/* The lowest group of a mask of groups 1 to 32, or 0; and a group as a mask. */
static inline u32 nl_group_first(u32 mask)
{
    return mask ? (u32)__builtin_ctz(mask) + 1 : 0;
}
static inline u32 nl_group_mask(u32 group)
{
    return group && group <= 32 ? 1U << (group - 1) : 0;
}

/* ---- socket.c ---- */

/* -EINVAL: it is none of this family. */
int nl_addr_in(const struct sock_addr *sa, u32 len, struct nl_addr *out) __must_check;
void nl_addr_out(u32 port, u32 groups, struct sock_addr *sa, u32 *len);
/* Gives s a port if it has none. */
int nl_autobind(struct nl_sock *s) __must_check;
/* The socket of s's protocol and namespace that has the port: a reference; or NULL. */
struct nl_sock *nl_port_find(const struct nl_sock *s, u32 port);

/* ---- group.c ---- */

/* 0, -EINVAL (the protocol has no such groups), -EPERM. Bit 0 is group 1. */
int nl_groups_allowed(const struct nl_sock *s, u64 groups) __must_check;
/* -ENOBUFS: the namespace has its listeners. Dropping never fails. May sleep. */
int nl_set_groups(struct nl_sock *s, u64 add, u64 drop);
/* The members of a group of s's protocol and namespace but s itself: *nr references, in an array
 * that the caller frees. 0 or -ENOBUFS. May sleep. */
int nl_group_members(const struct nl_sock *s, u32 group, struct nl_sock ***out,
                     u32 *nr) __must_check;

/* ---- deliver.c ---- */

/* The caller may send to other programs' sockets, not to the kernel alone. */
bool nl_may_send(const struct nl_sock *s);
ssize_t nl_send(struct socket *sock, struct socket_message *m, unsigned flags,
                const struct walk_ctx *ctx);
/* nl_queue of one among several receivers, whose filters share the budget (core/filter.h). */
bool nl_queue_told(struct nl_sock *s, const void *bytes, u32 n, u32 group, u32 *budget);
int nl_msg_give(struct socket *sock, struct sock_msg *msg, struct socket_message *m, unsigned flags,
                bool *last);
void nl_msg_free(struct sock_msg *msg);
