/* SPDX-License-Identifier: MIT
 *
 * What all families share: the head of every socket, and its operations.
 */
#pragma once

#include "lib/errno.h"
#include "net/core/ns.h"
#include "net/socket.h"
#include "obj/cred.h"
#include "obj/file.h"
#include "obj/poll.h"
#include "sched/wait.h"

#define SOCK_BUF_DEFAULT 212992U /* as Linux's net.core.rmem_default */
#define SOCK_BUF_MAX (64U << 20) /* by privilege */

enum socket_timestamp { SOCKET_TIME_NONE, SOCKET_TIME_US, SOCKET_TIME_NS };

struct socket;
struct socket_ops {
    /* mode: of the name, where that is a file's */
    int (*bind)(struct socket *s, const struct sock_addr *addr, u32 len, const struct walk_ctx *ctx,
                u32 mode);
    int (*listen)(struct socket *s, int backlog);
    /* nonblock: O_NONBLOCK of the file. */
    int (*connect)(struct socket *s, const struct sock_addr *addr, u32 len,
                   const struct walk_ctx *ctx, bool nonblock);
    /* A connected socket of its own without a file. */
    int (*accept)(struct socket *s, bool nonblock, struct socket **out);
    int (*name)(struct socket *s, bool peer, struct sock_addr *out, u32 *len);
    ssize_t (*send)(struct socket *s, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx);
    ssize_t (*recv)(struct socket *s, struct socket_message *m, unsigned flags);
    int (*shutdown)(struct socket *s, int how);
    u32 (*poll)(struct socket *s, struct poll_table *pt);
    /* -ENOPROTOOPT: not this family's either. */
    int (*set_option)(struct socket *s, int level, int name, const void *val, u32 n);
    int (*get_option)(struct socket *s, int level, int name, void *val, u32 *n);
    s64 (*ioctl)(struct socket *s, unsigned cmd, u64 arg);
    void (*resized)(struct socket *s); /* rcvbuf has changed: who waits for room may go on */
    void (*release)(struct socket *s); /* frees it */
};

/* I immutable · a atomic */
struct socket {
    const struct socket_ops *ops;                                         /* I */
    struct net_ns *ns;                                                    /* I  a reference */
    u16 family;                                                           /* I */
    u8 type, protocol;                                                    /* I */
    bool passcred, passsec, reuse_addr, reuse_port, keepalive, broadcast; /* a */
    bool dont_route, oob_inline, no_check, count_lost, debug;             /* a */
    u8 timestamp;                  /* a  enum socket_timestamp */
    s32 priority, mark, low_water; /* a */
    struct {
        s32 on, seconds;
    } linger;                       /* a */
    bool listening;                 /* a  SO_ACCEPTCONN */
    u32 sndbuf, rcvbuf;             /* a */
    u64 send_timeout, recv_timeout; /* a  ns; 0: none */
    int error;                      /* a  positive errno for SO_ERROR */
    u64 ino;                        /* I */
    kuid_t uid;                     /* I  its maker */
    struct list_node node;          /*    ns->sockets */
    struct waitq wait;              /*    whatever may have changed */
};

void socket_init(struct socket *s, const struct socket_ops *ops, struct net_ns *ns, int family,
                 int type);
void socket_fini(struct socket *s); /* references */
/* Wakes those who wait for events on s: of those who wait to read, one for bytes that came, all for
 * what concerns all. */
static inline void socket_wake(struct socket *s, u32 events)
{
    waitq_wake(&s->wait, events, events == (POLLIN | POLLRDNORM) ? 1 : ~0U);
}
static inline bool socket_no_wait(const struct socket *s, unsigned flags)
{
    return flags & MSG_DONTWAIT;
}
static inline u64 socket_deadline(u64 timeout, u64 now)
{
    return timeout ? now + timeout : 0;
}
/* Takes the pending error: -errno or 0. */
int socket_take_error(struct socket *s);

/* Families. ERR_PTR on error. */
struct socket *unix_create(struct net_ns *ns, int type);
int unix_pair(struct socket *a, struct socket *b);
struct socket *inet_create(struct net_ns *ns, int type, int protocol);
/* inet_ioctl.c: the interfaces of the namespace, by any socket. -ENOTTY: not that. */
s64 net_dev_ioctl(struct socket *s, unsigned cmd, u64 arg);
