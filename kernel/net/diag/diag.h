/* SPDX-License-Identifier: MIT
 *
 * sock_diag (sock_diag(7)): which sockets a namespace has. diag.c gives each request to the family
 * that it names. README.md has the rules.
 */
#pragma once

#include "net/core/sock.h"
#include "net/netlink/netlink.h"

enum { SOCK_DIAG_BY_FAMILY = 20, SOCK_DESTROY = 21 };

/* A family's request: 0 or -errno. May sleep. */
struct diag_family {
    u8 family;
    int (*request)(struct nl_request *r);
    int (*destroy)(struct nl_request *r); /* NULL: -EOPNOTSUPP; CAP_NET_ADMIN is checked */
};
extern const struct diag_family diag_inet, diag_inet6, diag_unix, diag_packet, diag_netlink;

/* Copies a body of n bytes: -EINVAL if it is shorter. */
int diag_body(const struct nl_request *r, void *out, u32 n) __must_check;

/* Where a dump is in a list. */
struct diag_walk {
    struct socket_list *list;
    struct socket *at; /* the last that was told, with a reference; NULL: none yet */
};
/* Shows the list's sockets behind w->at, each with a reference, until one does not fit: false.
 * show: false: it does not fit. */
bool diag_walk(struct diag_walk *w, struct nl_dump *d, struct nl_builder *b,
               bool (*show)(struct nl_dump *d, struct nl_builder *b, struct socket *s));
void diag_walk_end(struct diag_walk *w);
/* The first of the list that `is` says yes to, with a reference; NULL: none. */
struct socket *diag_find(struct socket_list *list, bool (*is)(struct socket *s, const void *arg),
                         const void *arg) __must_check;

/* A socket's number for as long as the system runs. */
#define DIAG_NO_COOKIE ~0U /* both words: none is known, or any is meant */
void diag_cookie(const struct socket *s, u32 out[2]);
bool diag_cookie_is(const struct socket *s, const u32 cookie[2]);
/* What a program may look for: 0: closed, no file refers to it. */
u32 diag_inode(const struct socket *s);
/* Nine words of what it has queued and may queue. sent: bytes that are under way. */
void diag_put_memory(struct nl_builder *b, u16 type, const struct socket *s, u32 sent);
