/* SPDX-License-Identifier: MIT
 *
 * Local sockets, inside: unix sockets, and IPv4 on a namespace's loopback, which differs in its
 * names alone (inet.c): bytes go from one socket's queue to the other's either way.
 *
 * Lifetime: a unix_sock is counted. Its file's release unlinks its name and its peer and drops the
 * first count; a peer, a queued connection or a look-up holds another.
 *
 * Locks: inode->lock (name to socket), u->reading (one reader at a time), unix_flight_lock (sockets
 * that come to lie in queues), then u->lock (leaf; queue and state). Two u->locks are never held
 * together.
 */
#pragma once

#include "lib/list.h"
#include "net/core/sock.h"
#include "vfs/vfs.h"

struct cred;
struct pid;
struct unix_sock;

/* How a family finds whom an address names: the live socket with a reference, or -errno. */
struct unix_family {
    int (*lookup)(struct unix_sock *from, const struct sock_addr *addr, u32 len,
                  const struct walk_ctx *ctx, struct unix_sock **out);
    struct unix_sock *(*alloc)(void); /* zeroed */
    void (*unname)(struct unix_sock *u);
    void (*free)(struct unix_sock *u); /* the last reference is gone */
    /* conn is the server's end of a connection to l, which was found as addr. */
    void (*server_end)(struct unix_sock *conn, struct unix_sock *l, const struct sock_addr *addr);
    /* A stream's close ends one direction alone; bytes sent after it are taken, lost, and answered
     * by a reset (TCP). Otherwise the other end may write no more from then on. */
    bool resets;
};

#define UNIX_PATH_MAX 108
#define UNIX_BACKLOG_MAX 4096
#define UNIX_MSG_COST 128U /* of a message, beside its bytes */

/* A bound name; shared by the sockets that accept made and by messages. */
struct unix_addr {
    refcount_t ref;
    u32 len; /* of sun as the user gave it; a path's NUL included */
    struct sock_addr sun;
};

struct unix_msg {
    struct list_node node;    /* receiver's lock */
    struct list_node carrier; /* receiver's lock: in carriers if it carries sockets */
    u32 len, off;             /* off: bytes of a stream read already (reader) */
    u32 uid, gid;             /* with pid, kernel ids */
    struct pid *pid;          /* NULL: no credentials attached; a reference */
    struct unix_addr *from;   /* dgram: a reference, NULL: unnamed */
    u64 time;                 /* when it was sent, by the wall clock; 0: not asked for */
    u32 to_ip;                /* IPv4: the address it was sent to */
    u32 lost;                 /* datagrams that found no room before it */
    u32 nr_files;
    struct file **files; /* references */
    u8 data[];
};

enum { UNIX_SHUT_RD = 1, UNIX_SHUT_WR = 2 };

/* l lock · r reading · I immutable · n inode->lock or ns->unix_lock */
struct unix_sock {
    struct socket sock;               /* first */
    const struct unix_family *family; /* I */
    refcount_t ref;
    struct spinlock lock;
    struct mutex reading;
    struct list_node queue;    /* l  messages to read */
    struct list_node carriers; /* l  those that carry sockets */
    struct waitq room;         /*    who waits to send a datagram here, or to connect */
    u32 queued;                /* l  what the queue costs: bytes, and UNIX_MSG_COST each */
    u32 shut;                  /* l */
    u32 lost;                  /* a  IPv4: datagrams that found no room */
    bool dead;                 /* l  released */
    bool unoffered;            /* a  server's end of a connection that is in no queue yet */
    struct unix_sock *peer;    /* l  a reference */
    struct unix_addr *addr;    /* l  once set it stays */
    struct list_node accepts;  /* l  listener: connections, by accept_node */
    struct list_node accept_node;
    u32 nr_accepts, backlog; /* l */
    struct pid *peer_pid;    /* l  references; stay once connected or listening */
    const struct cred *peer_cred;
    struct path path;              /* n  bound in the file system */
    struct inode *inode;           /* n */
    struct rb_node by_name;        /* ns->unix_lock: abstract, while named */
    bool named;                    /* ns->unix_lock */
    u64 flight_mark;               /* unix_flight_lock: seen in this round */
    struct unix_sock *flight_next; /* unix_flight_lock */
};

static inline struct unix_sock *unix_of(struct socket *s)
{
    return (struct unix_sock *)s;
}
static inline void unix_get(struct unix_sock *u)
{
    refcount_get(&u->ref);
}
static inline bool unix_resets(const struct unix_sock *u)
{
    return u->family->resets && u->sock.type == SOCK_STREAM;
}
/* It refuses what is sent to it. An end of TCP that only reads no more still takes bytes. */
static inline bool unix_refuses(const struct unix_sock *u)
{
    u32 bits = unix_resets(u) ? UNIX_SHUT_RD | UNIX_SHUT_WR : UNIX_SHUT_RD;

    return (READ_ONCE(u->shut) & bits) == bits;
}
void unix_put(struct unix_sock *u);

/* unix_flight.c: the message carries sockets; it is queued as unix_queue does, unless a socket
 * would come to lie in itself (-ETOOMANYREFS) or `to` is a connection not offered yet (-ENOTCONN).
 */
bool unix_flight_needed(const struct unix_msg *msg);
int unix_flight_queue(struct unix_sock *from, struct unix_sock *to, struct unix_msg *msg);

/* unix_name.c */
void unix_addr_put(struct unix_addr *addr);
int unix_bind(struct socket *s, const struct sock_addr *sun, u32 len, const struct walk_ctx *ctx,
              u32 mode);
/* The live socket of that name and type, with a reference. 0, -ECONNREFUSED, -ENOENT,
 * -EPROTOTYPE... */
int unix_lookup(struct unix_sock *from, const struct sock_addr *sun, u32 len,
                const struct walk_ctx *ctx, struct unix_sock **out) __must_check;
void unix_unname(struct unix_sock *u);
int unix_name(struct socket *s, bool peer, struct sock_addr *out, u32 *len);

/* unix.c, for inet.c */
void unix_setup(struct unix_sock *u, struct net_ns *ns, int family, int type,
                const struct socket_ops *ops, const struct unix_family *names);
int unix_listen(struct socket *s, int backlog);
int unix_offer(struct unix_sock *l, struct unix_sock *conn);
int unix_connect(struct socket *s, const struct sock_addr *addr, u32 len,
                 const struct walk_ctx *ctx, bool nonblock);
int unix_accept(struct socket *s, bool nonblock, struct socket **out);
int unix_shutdown(struct socket *s, int how);
/* Both directions are at their end, and err is told. */
void unix_reset(struct unix_sock *u, int err);
u32 unix_unread_locked(const struct unix_sock *u); /* bytes in the queue */
u32 unix_poll(struct socket *s, struct poll_table *pt);
s64 unix_ioctl(struct socket *s, unsigned cmd, u64 arg);
void unix_release(struct socket *s);

/* unix_msg.c */
struct unix_msg *unix_msg_create(struct unix_sock *u, struct unix_sock *to,
                                 struct socket_message *m, u64 n, int *err);
void unix_msg_free(struct unix_msg *msg);
/* 0, -EAGAIN (full), -EPIPE (reads no more), -ECONNREFUSED (gone), -EPERM (it hears another). */
int unix_queue(struct unix_sock *from, struct unix_sock *to, struct unix_msg *msg);
/* Empties u's queue; then frees what was in it, and tells the sender that it was lost. The first is
 * under u->lock and u->reading. */
void unix_take_all_locked(struct unix_sock *u, struct list_node *out);
void unix_lost(struct unix_sock *u, struct unix_sock *sender, struct list_node *lost);
ssize_t unix_send(struct socket *s, struct socket_message *m, unsigned flags,
                  const struct walk_ctx *ctx);
ssize_t unix_recv(struct socket *s, struct socket_message *m, unsigned flags);
void unix_resized(struct socket *s);
