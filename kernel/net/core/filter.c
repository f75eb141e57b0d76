/* SPDX-License-Identifier: MIT
 *
 * Filters of sockets. filter.h has the rules.
 */
#include "net/core/filter.h"
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "dev/netdev.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"

#define ETHERTYPE_VLAN 0x8100

struct filter_user { /* struct sock_fprog */
    u16 len, pad[3];
    u64 insns;
};

static void filter_fetch(const struct bpf_packet *b, u32 offset, u8 *out, u32 n)
{
    const struct packet *p = b->packet;
    u32 at = offset + (u32)(b->head - (p->head + p->start));

    while (n) {
        u32 len;
        const u8 *bytes = packet_stretch(p, at, n, &len);

        memcpy(out, bytes, len);
        out += len;
        at += len;
        n -= len;
    }
}

static u32 filter_random(void)
{
    return (u32)random_u64();
}

#define NO_HEADER (-(1 << 30)) /* loads from there fail */

/* Where a header begins, from the filter's first byte; one that was not parsed is none. */
static s32 filter_header(const struct packet *p, u16 at, u32 skip)
{
    return at && at <= p->start + p->linear ? (s32)at - (s32)p->start - (s32)skip : NO_HEADER;
}

/* The bytes before the filter's first that it may read: from the first header that is known. */
static u32 filter_before(const struct bpf_packet *b)
{
    s32 first = MIN(b->link == NO_HEADER ? 0 : b->link, b->network == NO_HEADER ? 0 : b->network);

    return first < 0 ? (u32)-first : 0;
}

static u32 filter_judge(const struct socket_filter *f, const struct packet *p, u32 skip)
{
    struct bpf_packet b = {
        .head = p->head + p->start + skip,
        .nr_head = p->linear > skip ? p->linear - skip : 0,
        .len = p->len > skip ? p->len - skip : 0,
        .link = filter_header(p, p->link, skip),
        .network = filter_header(p, p->network, skip),
        .fetch = filter_fetch,
        .packet = p,
        .random = filter_random,
        .known =
            {
                [BPF_KNOWN_PROTOCOL] = p->protocol,
                [BPF_KNOWN_KIND] = p->kind,
                [BPF_KNOWN_DEVICE] = p->dev ? p->dev->index : 0,
                [BPF_KNOWN_MARK] = p->mark,
                [BPF_KNOWN_QUEUE] = p->queue,
                [BPF_KNOWN_HARDWARE] = p->dev ? p->dev->type : 0,
                [BPF_KNOWN_HASH] = p->hash,
                [BPF_KNOWN_CPU] = cpu_id(),
                [BPF_KNOWN_VLAN] = p->vlan,
                [BPF_KNOWN_HAS_VLAN] = p->vlan != 0,
                [BPF_KNOWN_PAYLOAD] = p->transport > p->start ? p->transport - p->start : 0,
                [BPF_KNOWN_VLAN_TYPE] = p->vlan ? ETHERTYPE_VLAN : 0,
            },
    };

    b.before = filter_before(&b);
    return bpf_run(f->insns, &b);
}

bool socket_filter_pay(struct socket *s, const struct packet *p, u32 skip, u32 step, u32 *budget,
                       u32 *keep)
{
    const struct socket_filter *f; /* the one that is paid for runs, also if it is replaced */
    bool paid;

    rcu_read_lock();
    f = rcu_dereference(s->filter);
    paid = filter_pay(budget, step + (f ? f->len : 0));
    if (paid)
        *keep = f ? filter_judge(f, p, skip) : U32_MAX;
    rcu_read_unlock();
    return paid;
}

bool socket_filter_pay_bytes(struct socket *s, const void *bytes, u32 n, u32 *budget, u32 *keep)
{
    struct bpf_packet b = {.head = bytes,
                           .nr_head = n,
                           .len = n,
                           .link = NO_HEADER,
                           .network = NO_HEADER,
                           .random = filter_random,
                           .known = {[BPF_KNOWN_CPU] = cpu_id()}};
    const struct socket_filter *f;
    bool paid;

    rcu_read_lock();
    f = rcu_dereference(s->filter);
    paid = !f || f->len <= FILTER_FREE || filter_pay(budget, f->len);
    if (paid)
        *keep = f ? bpf_run(f->insns, &b) : U32_MAX;
    rcu_read_unlock();
    return paid;
}

static void filter_free(struct rcu_head *rcu)
{
    kfree(container_of(rcu, struct socket_filter, rcu));
}

/* A socket has it no more. Readers may still run it: it is freed a grace period later. */
static void filter_put(struct socket_filter *f)
{
    if (f && refcount_put(&f->ref))
        rcu_call(&f->rcu, filter_free);
}

/* Puts f, or nothing, in place of what there is. -EPERM: it is locked; f is the caller's. */
static int filter_replace(struct socket *s, struct socket_filter *f, struct socket_filter **old)
{
    int err = 0;

    spin_lock(&s->lock);
    *old = s->filter;
    if (s->filter_locked)
        err = -EPERM;
    else
        rcu_assign(s->filter, f);
    spin_unlock(&s->lock);
    if (!err)
        filter_put(*old);
    return err;
}

/* A checked copy of the program's program. */
static int filter_copy(const struct filter_user *u, struct socket_filter **out)
{
    struct socket_filter *f;
    u16 *written;
    int err = 0;

    if (!u->len || u->len > BPF_MAXINSNS)
        return -EINVAL;
    f = FAILPOINT(socket_filter) ? NULL : kmalloc(sizeof(*f) + u->len * sizeof(f->insns[0]));
    written = kmalloc(u->len * sizeof(*written));
    if (!f || !written)
        err = -ENOMEM;
    else if (copy_in(f->insns, (const void __user *)u->insns, u->len * sizeof(f->insns[0])))
        err = -EFAULT;
    else
        err = bpf_check(f->insns, u->len, BPF_PACKET, 0, written);
    kfree(written);
    if (err) {
        kfree(f);
        return err;
    }
    refcount_init(&f->ref, 1);
    f->len = u->len;
    *out = f;
    return 0;
}

int socket_filter_attach(struct socket *s, const void *val, u32 n)
{
    struct socket_filter *f, *old;
    struct filter_user u;
    int err;

    if (n != sizeof(u))
        return -EINVAL;
    memcpy(&u, val, sizeof(u));
    err = filter_copy(&u, &f);
    if (err)
        return err;
    err = filter_replace(s, f, &old);
    if (err)
        kfree(f);
    return err;
}

int socket_filter_detach(struct socket *s)
{
    struct socket_filter *old;
    int err = filter_replace(s, NULL, &old);

    return err ? err : old ? 0 : -ENOENT;
}

void socket_filter_inherit(struct socket *to, const struct socket *from)
{
    struct socket_filter *f;

    rcu_read_lock();
    do
        f = rcu_dereference(from->filter);
    while (f && !refcount_get_unless_zero(&f->ref)); /* another has just taken its place */
    rcu_read_unlock();
    rcu_assign(to->filter, f);
    to->filter_locked = READ_ONCE(from->filter_locked);
}

void socket_filter_free(struct socket *s)
{
    filter_put(s->filter);
    s->filter = NULL;
}
