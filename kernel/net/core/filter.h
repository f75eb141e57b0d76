/* SPDX-License-Identifier: MIT
 *
 * A socket's filter (SO_ATTACH_FILTER): a classic BPF program (lib/bpf.h) that says of each packet
 * how many bytes of it the socket receives. It is read where packets come in, under RCU, and
 * replaced by a program's call.
 *
 * What a packet costs those who send and receive it is bounded: all sockets that see it beside its
 * receiver, or as one of a group, have one budget of instructions (FILTER_BUDGET), of which each
 * pays its filter's length before that runs. One for which too little is left loses the packet.
 */
#pragma once

#include "dev/packet.h"
#include "lib/bpf.h"
#include "net/core/sock.h"
#include "sync/rcu.h"

#define FILTER_BUDGET 16384U /* instructions for one packet */

struct socket_filter {
    struct rcu_head rcu;
    refcount_t ref; /* sockets that have it */
    u32 len;
    struct bpf_insn insns[];
};

/* The option's value is a struct sock_fprog. 0, -EINVAL, -EPERM (locked), -EFAULT, -ENOMEM. May
 * sleep. */
int socket_filter_attach(struct socket *s, const void *val, u32 n);
int socket_filter_detach(struct socket *s); /* -ENOENT: there is none */
/* `to`, which is new and has none, shares the filter of `from`. */
void socket_filter_inherit(struct socket *to, const struct socket *from);
/* For socket_fini. */
void socket_filter_free(struct socket *s);

/* A socket is about to spend so much of what is left for the packet. False: that is too little. */
static inline bool filter_pay(u32 *budget, u32 cost)
{
    if (cost > *budget)
        return false;
    *budget -= cost;
    return true;
}
/* Runs the filter over p's bytes from `skip` on, if *budget has its length and `step`. False: it
 * has not. *keep: bytes that are to be kept; U32_MAX: no filter. */
bool socket_filter_pay(struct socket *s, const struct packet *p, u32 skip, u32 step, u32 *budget,
                       u32 *keep) __must_check;
/* The same over n bytes that are no packet, where the sender may yield between two receivers: a
 * filter of up to FILTER_FREE instructions runs without paying. */
#define FILTER_FREE 256U
bool socket_filter_pay_bytes(struct socket *s, const void *bytes, u32 n, u32 *budget,
                             u32 *keep) __must_check;
