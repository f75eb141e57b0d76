/* SPDX-License-Identifier: MIT
 *
 * Sockets as the system calls see them. Addresses and options arrive as kernel copies; data through
 * an iov_iter; control messages decoded: descriptors as files, credentials as objects, for only the
 * layers above know descriptor tables.
 */
#pragma once

#include "lib/types.h"

struct cred;
struct file;
struct iov_iter;
struct net_ns;
struct pid;
struct walk_ctx;

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_DONTROUTE 0x4
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100
#define MSG_ERRQUEUE 0x2000
#define MSG_NOSIGNAL 0x4000
#define MSG_MORE 0x8000
#define MSG_FASTOPEN 0x20000000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define SOL_SOCKET 1
#define SOCK_ADDR_MAX 128
#define SCM_MAX_FD 253

struct sock_addr { /* sockaddr_storage */
    u16 family;
    u8 data[SOCK_ADDR_MAX - 2];
};

/* One message. Sending: files and creds are borrowed. Receiving: references come to the caller,
 * also on a later error of its own; call socket_message_drop for what it does not use. */
struct socket_message {
    struct iov_iter *data;
    struct sock_addr addr; /* send: the destination if addr_len; receive: the sender */
    u32 addr_len;
    u32 flags; /* receive, out: MSG_TRUNC, MSG_CTRUNC */
    u32 nr_files;
    struct file **files; /* send: nr_files of them. receive: an array of kmalloc, or NULL */
    /* receive: the sender, when the socket asks for SCM_CREDENTIALS; send: given explicitly, or
     * NULL */
    struct pid *pid;
    const struct cred *cred;
    u32 uid, gid; /* as sent, kernel ids */
    bool has_cred;
    /* send, IPv4 datagrams: the address and interface they are to come from; 0: any */
    u32 source;
    s32 source_interface;
    /* receive: what options of the socket ask for */
    u64 time;                       /* ns of the wall clock; 0: not asked for */
    bool time_ns;                   /* as a timespec, not a timeval */
    bool has_lost, has_destination; /* SO_RXQ_OVFL, IP_PKTINFO */
    u32 lost, destination;          /* datagrams dropped; the address it was sent to */
};
void socket_message_drop(struct socket_message *m);

/* A new socket with one reference; type may carry SOCK_NONBLOCK (SOCK_CLOEXEC is the caller's).
 * ERR_PTR: -EAFNOSUPPORT, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -ENOMEM. */
struct file *socket_create(struct net_ns *ns, int family, int type, int protocol);
int socket_pair(struct net_ns *ns, int family, int type, int protocol,
                struct file *out[2]) __must_check;
bool file_is_socket(const struct file *f);
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
/* Bytes or -errno; flags MSG_*. -EPIPE of a stream raises SIGPIPE unless MSG_NOSIGNAL. ctx finds
 * path names. */
ssize_t socket_send(struct file *f, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx);
ssize_t socket_recv(struct file *f, struct socket_message *m, unsigned flags);
int socket_shutdown(struct file *f, int how);
/* val: n bytes of kernel memory; get: *n is the room, then the length. SO_PEERCRED answers with ids
 * as seen from the current user and pid namespaces. */
int socket_set_option(struct file *f, int level, int name, const void *val, u32 n);
int socket_get_option(struct file *f, int level, int name, void *val, u32 *n);
