/* SPDX-License-Identifier: MIT
 *
 * Making, counting and listing sockets.
 */
#include "net/core/filter.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "net/core/sending.h"
#include "net/core/sysctl.h"
#include "net/core/urgent.h"
#include "obj/pid.h"
#include "vfs/pseudo.h"

#define LIST_FEW 16 /* sockets shown under one hold of the list's lock */

/* net.core's, of all namespaces, as on Linux. */
struct sock_buffers sock_buffers = {SOCK_BUF_DEFAULT, SOCK_BUF_DEFAULT, SOCK_BUF_DEFAULT,
                                    SOCK_BUF_DEFAULT};

#define BUFFER(name, field, least)                                                     \
    {                                                                                  \
        .path = "core/" name, .host = true, .at = &sock_buffers.field, .min = (least), \
        .max = SOCK_BUF_ASKED_MOST                                                     \
    }
static const struct net_sysctl sock_rows[] = {
    BUFFER("rmem_default", receive_first, SOCK_RCVBUF_MIN),
    BUFFER("rmem_max", receive_most, SOCK_RCVBUF_MIN),
    BUFFER("wmem_default", send_first, SOCK_SNDBUF_MIN),
    BUFFER("wmem_max", send_most, SOCK_SNDBUF_MIN),
};
NET_SYSCTLS(sock) = {sock_rows, ARRAY_SIZE(sock_rows)};

void socket_list_init(struct socket_list *list)
{
    spinlock_init(&list->lock, RANK_NET, 10, "socket list");
    list_init(&list->sockets);
}

static void socket_list_count(struct socket *s, u64 n)
{
    s->list->nr += n;
    if (s->family == AF_INET6)
        s->list->nr6 += n;
}

void socket_init(struct socket *s, const struct socket_ops *ops, struct net_ns *ns,
                 struct socket_list *list, int family, int type)
{
    s->ops = ops;
    s->ns = ns;
    net_ns_get(ns);
    refcount_init(&s->ref, 1);
    s->family = (u16)family;
    s->type = (u8)type;
    s->sndbuf = (u32)READ_ONCE(sock_buffers.send_first);
    s->rcvbuf = (u32)READ_ONCE(sock_buffers.receive_first);
    s->ino = inum_alloc();
    s->uid = current_cred()->fsuid;
    s->account = account_current();
    spinlock_init(&s->lock, RANK_NET, 5, "socket");
    mutex_init(&s->reading, RANK_OPS, ORDER_SOCKET_READ, "socket->reading");
    list_init(&s->queue);
    list_init(&s->accept_node);
    waitq_init(&s->wait);
    waitq_init(&s->senders_wait);
    sock_urgent_init(s);
    s->list = list;
    spin_lock(&list->lock);
    list_add_tail(&list->sockets, &s->node);
    socket_list_count(s, 1);
    spin_unlock(&list->lock);
}

void socket_unlist(struct socket *s)
{
    spin_lock(&s->list->lock);
    list_del(&s->node);
    socket_list_count(s, -1UL);
    spin_unlock(&s->list->lock);
}

void socket_fini(struct socket *s)
{
    if (!list_empty(&s->node))
        socket_unlist(s);
    sock_flight_end(s); /* who lists sockets no longer asks for it */
    socket_filter_free(s);
    net_ns_put(s->ns);
}

void socket_put(struct socket *s)
{
    if (refcount_put(&s->ref))
        s->ops->destroy(s);
}

int socket_take_error(struct socket *s)
{
    return s->error ? -__atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED) : 0;
}

int socket_option_put(void *val, u32 *n, const void *from, u32 size)
{
    *n = MIN(*n, size);
    memcpy(val, from, *n);
    return 0;
}

void socket_message_drop(struct socket_message *m)
{
    for (u32 i = 0; i < m->nr_files; i++, cond_yield())
        if (m->files[i])
            file_put(m->files[i]);
    kfree(m->files);
    m->files = NULL;
    m->nr_files = 0;
    if (m->pid)
        pid_put(m->pid);
    m->pid = NULL;
}

void socket_note(struct socket_message *m, s32 level, s32 type, const void *data, u32 n)
{
    struct socket_note *note;

    if (!m->notes || m->notes->nr == SOCKET_NOTES)
        return;
    note = &m->notes->note[m->notes->nr++];
    ASSERT(n <= sizeof(note->data));
    note->level = level;
    note->type = type;
    note->len = n;
    memcpy(note->data, data, n);
}

/* The next few of the list behind `at`, which is held, or from the start: fn is called for each,
 * and the last of them is held; NULL: there are no more. */
static struct socket *socket_list_few(struct socket_list *list, struct socket *at,
                                      void (*fn)(struct socket *s, void *arg), void *arg)
{
    struct socket *last = NULL;
    struct list_node *n;

    spin_lock(&list->lock);
    n = at ? at->node.next : list->sockets.next;
    for (unsigned few = 0; n != &list->sockets && !last; n = n->next) {
        struct socket *s = list_entry(n, struct socket, node);

        fn(s, arg);
        if (++few >= LIST_FEW && refcount_get_unless_zero(&s->ref))
            last = s;
    }
    spin_unlock(&list->lock);
    return last;
}

static void socket_list_walk(struct socket_list *list, void (*fn)(struct socket *s, void *arg),
                             void *arg)
{
    struct socket *at = NULL, *last;

    do {
        last = at;
        at = socket_list_few(list, last, fn, arg);
        if (last)
            socket_put(last);
        cond_yield();
    } while (at);
}

u32 socket_list_take(struct socket_list *list, const struct socket *after, struct socket **out,
                     u32 n)
{
    struct list_node *at;
    u32 got = 0;

    spin_lock(&list->lock);
    at = after ? after->node.next : list->sockets.next;
    for (; at != &list->sockets && got < n; at = at->next) {
        struct socket *s = list_entry(at, struct socket, node);

        if (refcount_get_unless_zero(&s->ref))
            out[got++] = s;
    }
    spin_unlock(&list->lock);
    return got;
}

void socket_list_numbers(struct socket_list *list, u64 *nr, u64 *nr6)
{
    spin_lock(&list->lock);
    *nr = list->nr;
    *nr6 = list->nr6;
    spin_unlock(&list->lock);
}

struct socket *socket_list_next(struct socket_list *list, struct socket *after)
{
    struct socket *next;
    u32 n = socket_list_take(list, after, &next, 1);

    if (after)
        socket_put(after);
    return n ? next : NULL;
}

struct socket_each {
    void (*fn)(struct socket *s, u32 arg);
    u32 arg;
};

static void socket_list_each_one(struct socket *s, void *arg)
{
    const struct socket_each *e = arg;

    e->fn(s, e->arg);
}

void socket_list_each(struct socket_list *list, void (*fn)(struct socket *s, u32 arg), u32 arg)
{
    struct socket_each e = {fn, arg};

    socket_list_walk(list, socket_list_each_one, &e);
}

struct socket_shown {
    struct seq *out;
    void (*show)(struct seq *out, struct socket *s, unsigned line);
    unsigned line;
};

static void socket_list_show_one(struct socket *s, void *arg)
{
    struct socket_shown *w = arg;

    w->show(w->out, s, w->line++);
}

/* A socket that is held stays in the list. */
void socket_list_show(struct socket_list *list, struct seq *out,
                      void (*show)(struct seq *out, struct socket *s, unsigned line))
{
    struct socket_shown w = {out, show, 0};

    socket_list_walk(list, socket_list_show_one, &w);
}
