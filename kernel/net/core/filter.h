/* SPDX-License-Identifier: MIT
 *
 * A socket's filter (SO_ATTACH_FILTER): a classic BPF program (lib/bpf.h) that says of each packet
 * how many bytes of it the socket receives. It is read where packets come in, under RCU, and
 * replaced by a program's call.
 */
#pragma once

#include "dev/packet.h"
#include "lib/bpf.h"
#include "net/core/sock.h"
#include "sync/rcu.h"

struct socket_filter {
    struct rcu_head rcu;
    u32 len;
    struct bpf_insn insns[];
};

/* The option's value is a struct sock_fprog. 0, -EINVAL, -EPERM (locked), -EFAULT, -ENOMEM. May
 * sleep. */
int socket_filter_attach(struct socket *s, const void *val, u32 n);
int socket_filter_detach(struct socket *s); /* -ENOENT: there is none */
/* For socket_fini. */
void socket_filter_free(struct socket *s);

/* Runs the filter over p's bytes from `skip` on. Bytes that are to be kept; U32_MAX: no filter. */
u32 socket_filter_judge(const struct socket_filter *f, const struct packet *p, u32 skip);
/* At most so many instructions run for a packet. In an RCU reader. */
static inline u32 socket_filter_cost(struct socket *s)
{
    const struct socket_filter *f = rcu_dereference(s->filter);

    return f ? f->len : 0;
}
static inline u32 socket_filter_run(struct socket *s, const struct packet *p, u32 skip)
{
    const struct socket_filter *f;
    u32 keep = U32_MAX;

    if (likely(!READ_ONCE(s->filter)))
        return U32_MAX;
    rcu_read_lock();
    f = rcu_dereference(s->filter);
    if (f)
        keep = socket_filter_judge(f, p, skip);
    rcu_read_unlock();
    return keep;
}
