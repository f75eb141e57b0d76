/* SPDX-License-Identifier: MIT
 *
 * Unix sockets, inside.
 *
 * Lifetime: a unix_sock is counted (struct socket). Its file's release unlinks its name and its
 * peer and drops the first count; a peer, a queued connection or a look-up holds another.
 *
 * Locks: inode->lock (name to socket), s->reading, unix_flight_lock (sockets that come to lie in
 * queues), the namespace's names, then s->lock (leaf; queue and state). Two s->locks are never held
 * together.
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"
#include "net/core/accept.h"
#include "net/core/queue.h"
#include "vfs/vfs.h"

struct cred;
struct pid;

#define UNIX_PATH_MAX 108

/* A bound name; shared by the sockets that accept made and by messages. */
struct unix_addr {
    refcount_t ref;
    u32 len;      /* of sun as the user gave it; a path's NUL included */
    u64 ino, dev; /* of a path's inode */
    struct sock_addr sun;
};

struct unix_msg {
    struct sock_msg msg;      /* first */
    struct list_node carrier; /* receiver's lock: in carriers if it carries sockets */
    u32 uid, gid;             /* with pid, kernel ids */
    struct pid *pid;          /* NULL: no credentials attached; a reference */
    struct unix_addr *from;   /* dgram: a reference, NULL: unnamed */
    u32 nr_files;
    struct file **files; /* references */
    u8 data[];
};

/* A namespace's part. */
struct unix_ns {
    struct socket_list list;
    struct spinlock lock;
    struct rb_root names; /* lock  abstract */
};
extern u32 unix_ns_offset;
static inline struct unix_ns *unix_ns_of(const struct socket *s)
{
    return net_part(s->ns, unix_ns_offset);
}

/* l sock.lock · n inode->lock · N unix_ns->lock */
struct unix_sock {
    struct socket sock;         /* first */
    struct list_node carriers;  /* l  messages that carry sockets */
    bool unoffered;             /* a  server's end of a connection that is in no queue yet */
    bool named;                 /* N */
    struct unix_addr *addr;     /* l  once set it stays */
    struct accept_queue accept; /* l */
    struct pid *peer_pid;       /* l  references; stay once connected or listening */
    const struct cred *peer_cred;
    struct path path;              /* n  bound in the file system */
    struct inode *inode;           /* n */
    struct rb_node by_name;        /* N  abstract, while named */
    u64 flight_mark;               /* unix_flight_lock: seen in this round */
    struct unix_sock *flight_next; /* unix_flight_lock */
};

static inline struct unix_sock *unix_of(struct socket *s)
{
    return (struct unix_sock *)s;
}
static inline struct unix_msg *unix_msg_of(struct sock_msg *msg)
{
    return (struct unix_msg *)msg;
}
static inline void unix_get(struct unix_sock *u)
{
    socket_get(&u->sock);
}
static inline void unix_put(struct unix_sock *u)
{
    socket_put(&u->sock);
}

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

/* unix_msg.c */
/* 0, -EAGAIN (full), -EPIPE (reads no more), -ECONNREFUSED (gone), -EPERM (it receives from
 * another). */
int unix_queue(struct unix_sock *from, struct unix_sock *to, struct unix_msg *msg);
/* Empties u's queue; then frees what was in it, and tells the sender that it was lost. The first is
 * under u's locks. */
void unix_take_all_locked(struct unix_sock *u, struct list_node *out) REQUIRES(u->sock.lock);
void unix_lost(struct unix_sock *u, struct unix_sock *sender, struct list_node *lost);
struct sock_msg *unix_msg_make(struct socket *s, struct socket *to, struct socket_message *m, u64 n,
                               int *err);
int unix_msg_queue(struct socket *s, struct socket *to, struct sock_msg *msg);
int unix_msg_give(struct socket *s, struct sock_msg *msg, struct socket_message *m, unsigned flags,
                  bool *last);
bool unix_msg_joins(struct socket *s, const struct sock_msg *msg, const struct socket_message *m);
void unix_msg_free(struct sock_msg *msg);
ssize_t unix_send(struct socket *s, struct socket_message *m, unsigned flags,
                  const struct walk_ctx *ctx);
ssize_t unix_recv(struct socket *s, struct socket_message *m, unsigned flags);
