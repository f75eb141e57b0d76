/* SPDX-License-Identifier: MIT
 *
 * What inet_diag's two files share: the request as a program sends it, and a socket as it is told.
 */
#pragma once

#include "net/diag/diag.h"
#include "net/diag/filter.h"
#include "net/ip/inet.h"
#include "net/tcp/diag.h"

/* linux/inet_diag.h; ports and addresses in network byte order. */
struct inet_diag_id {
    u16 local_port, peer_port;
    u32 local[4], peer[4];
    u32 device;
    u32 cookie[2];
};
struct inet_diag_request {
    u8 family, protocol;
    u8 extensions; /* bit 0: number 1 */
    u8 pad;
    u32 states; /* bits 1 << enum tcp_conn_state */
    struct inet_diag_id id;
};
struct inet_diag_message {
    u8 family, state, timer, retries;
    struct inet_diag_id id;
    u32 expires, rx, tx, uid, inode;
};
static_assert(sizeof(struct inet_diag_request) == 56 && sizeof(struct inet_diag_message) == 72,
              "linux");

/* A socket, or what stands for one (sock NULL), at one moment. */
struct inet_seen {
    struct inet_sock *sock;
    u16 family;
    struct ip_end local, peer;
    u32 device;
    struct tcp_diag about; /* of other protocols: what of it applies */
};
void inet_diag_look(struct inet_sock *s, struct inet_seen *out);
void inet_diag_look_entry(const struct tcp_diag_entry *e, struct inet_seen *out);
/* Whom an answer is for, and what is asked for. */
struct inet_diag_asked {
    const struct user_ns *users;
    u8 extensions;
    bool admin; /* CAP_NET_ADMIN */
};
/* Puts what follows nl_begin or nl_dumped of a struct inet_diag_message, which may have failed. */
bool inet_diag_fill(struct nl_builder *b, struct inet_diag_message *m, const struct inet_seen *seen,
                    const struct inet_diag_asked *asked);
