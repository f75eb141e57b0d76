/* SPDX-License-Identifier: MIT
 *
 * Sockets as the system calls see them. Addresses and options arrive as kernel copies; data through
 * an iov_iter; control messages decoded: descriptors as files, credentials as objects, for only the
 * layers above know descriptor tables.
 */
#pragma once

#include "net/core/sock.h"

/* A new socket with one reference; type may carry SOCK_NONBLOCK (SOCK_CLOEXEC is the caller's).
 * ERR_PTR: -EAFNOSUPPORT, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -ENOMEM. */
struct file *socket_create(struct net_ns *ns, int family, int type, int protocol);
int socket_pair(struct net_ns *ns, int family, int type, int protocol,
                struct file *out[2]) __must_check;
/* AF_*, or -ENOTSOCK. */
int socket_family(const struct file *f, bool *stream);

/* f must be a socket (else -ENOTSOCK). len: bytes of addr the user gave. May sleep. */
int socket_bind(struct file *f, const struct sock_addr *addr, u32 len, const struct walk_ctx *ctx);
int socket_listen(struct file *f, int backlog);
int socket_connect(struct file *f, const struct sock_addr *addr, u32 len,
                   const struct walk_ctx *ctx);
/* type_flags: SOCK_NONBLOCK. *peer may be NULL. ERR_PTR on error. */
struct file *socket_accept(struct file *f, unsigned type_flags, struct sock_addr *peer, u32 *len);
/* getsockname, getpeername. */
int socket_name(struct file *f, bool peer, struct sock_addr *out, u32 *len);
/* One control message of a send, into m; those of unix sockets are decoded by the caller, who alone
 * knows descriptor tables. 0 or -EINVAL. */
int socket_control(struct file *f, struct socket_message *m, s32 level, s32 type, const void *data,
                   u64 n);
int socket_shutdown(struct file *f, int how);
/* val: n bytes of kernel memory; get: *n is the space, then the length. SO_PEERCRED answers with
 * ids as seen from the current user and pid namespaces. */
int socket_set_option(struct file *f, int level, int name, const void *val, u32 n);
int socket_get_option(struct file *f, int level, int name, void *val, u32 *n);
