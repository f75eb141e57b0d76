/* SPDX-License-Identifier: MIT
 *
 * The table of neighbours: what goes to one, what one says, time. Entries that a packet went to and
 * that have a deadline lie in a tree by it, so what is due is found without a look at the others.
 */
#include "net/ip/neighbour_table.h"
#include "lib/log.h"
#include "net/core/conf.h"
#include "net/core/device.h"
#include "net/ip/arp.h"
#include "net/ip/ip_priv.h"
#include "net/ip/nd.h"
#include "net/ip/neighbour_priv.h"
#include "net/link/ethernet.h"

#define NEIGHBOUR_SLACK (20 * NSEC_PER_MSEC) /* of its times, which are seconds */
#define NEIGHBOUR_HOT_FOR NSEC_PER_SEC
#define NEIGHBOUR_BATCH 32U /* that one run of the job does */

/* What sysctls say of dev's neighbours of the address's family. */
static struct neighbour_times neighbour_times_of(const struct netdev *dev,
                                                 const struct ip_addr *addr)
{
    u32 at = ip_is_v4(addr) ? CONF4_NEIGH_REACHABLE : CONF6_NEIGH_REACHABLE;

    return (struct neighbour_times){.reachable = (u64)net_conf(dev, at) * NSEC_PER_MSEC,
                                    .retrans = (u64)net_conf(dev, at + 1) * NSEC_PER_MSEC,
                                    .delay = (u64)net_conf(dev, at + 2) * NSEC_PER_SEC,
                                    .ask_all = (u8)net_conf(dev, at + 3),
                                    .ask_one = (u8)net_conf(dev, at + 4)};
}

/* What is to be done once the lock is dropped. */
struct neighbour_todo {
    struct list_node send, drop; /* packets */
    struct netdev *dev;          /* a reference, if there is anything to send or ask */
    struct ip_addr addr;
    u8 link[NEIGHBOUR_LINK];
    u32 ask; /* NEIGHBOUR_ASK_* */
};

COUNTER(net_neighbour_dropped);

static void todo_init(struct neighbour_todo *todo)
{
    *todo = (struct neighbour_todo){.ask = 0};
    list_init(&todo->send);
    list_init(&todo->drop);
}

/* ---- without the lock ---- */

/* The link address of a neighbour to which packets may go at once. False: the table knows. */
static bool hot_find(struct neighbour_table *t, u32 device, const struct ip_addr *to,
                     u8 link[sizeof(t->hot->link)])
{
    struct neighbour_hot *h = neighbour_hot_place(t, device, to);
    u32 seq = __atomic_load_n(&h->seq.v, __ATOMIC_ACQUIRE);
    bool is = h->device == device && ip_equal(&h->addr, to) && time_ns() < READ_ONCE(h->until);

    memcpy(link, h->link, sizeof(h->link));
    return is && !(seq & 1) && !seqcount_read_retry(&h->seq, seq);
}

/* Packets go to e at once, which changes nothing of it before its deadline. */
static void hot_remember(struct neighbour_table *t, const struct neighbour_entry *e, u64 now)
{
    struct neighbour_hot *h = neighbour_hot_place(t, e->dev->index, &e->addr);
    u64 until = now + NEIGHBOUR_HOT_FOR;

    ASSERT_HELD(&t->lock);
    seqcount_write_begin(&h->seq);
    h->device = e->dev->index;
    h->addr = e->addr;
    h->until = e->n.deadline ? MIN(until, e->n.deadline) : until;
    memcpy(h->link, e->n.link, NEIGHBOUR_LINK);
    seqcount_write_end(&h->seq);
}

void neighbour_start_timer(struct neighbour_table *t, u64 deadline)
{
    if (!deadline || t->closed)
        return;
    if (!timer_is_armed(&t->timer) || deadline < timer_deadline(&t->timer))
        timer_start_within(&t->timer, deadline, NEIGHBOUR_SLACK);
}

static void neighbour_act(struct neighbour_table *t, struct neighbour_entry *e, u32 actions,
                          struct neighbour_todo *todo)
{
    neighbour_hot_forget(t, e);
    if (actions & NEIGHBOUR_SEND)
        neighbour_release(t, e, &todo->send);
    if (actions & NEIGHBOUR_DROP)
        neighbour_release(t, e, &todo->drop);
    todo->ask = actions & (NEIGHBOUR_ASK_ALL | NEIGHBOUR_ASK_ONE);
    if (todo->ask || !list_empty(&todo->send)) {
        netdev_get(e->dev);
        todo->dev = e->dev;
    }
    todo->addr = e->addr;
    memcpy(todo->link, e->n.link, NEIGHBOUR_LINK);
    neighbour_refile(t, e);
    if (!e->sent_to)
        return; /* verified when it is used */
    ip_due_set(&t->due, &e->due, e->n.deadline);
    neighbour_start_timer(t, e->n.deadline);
}

static void todo_drop(struct list_node *drop)
{
    struct packet *p;

    while ((p = list_first(drop, struct packet, node))) {
        list_del(&p->node);
        COUNT(net_neighbour_dropped);
        packet_free(p);
    }
}

static int neighbour_transmit(struct netdev *dev, struct packet *p, const u8 *link)
{
    const struct net_link *l = net_link_of(dev);

    if (!l || l->header(p, dev, p->protocol, link)) {
        packet_free(p);
        return -ENOBUFS;
    }
    return netdev_transmit(dev, p);
}

static void neighbour_put_question(struct neighbour_todo *todo)
{
    const u8 *one = todo->ask & NEIGHBOUR_ASK_ONE ? todo->link : NULL;

    if (ip_is_v4(&todo->addr))
        arp_ask(todo->dev, &todo->addr, one);
    else
        nd_ask(todo->dev, &todo->addr, one);
}

/* Without the lock. The result is of the last packet sent. */
static int todo_do(struct neighbour_todo *todo)
{
    struct packet *p;
    int err = 0;

    todo_drop(&todo->drop);
    while ((p = list_first(&todo->send, struct packet, node))) {
        list_del(&p->node);
        err = neighbour_transmit(todo->dev, p, todo->link);
    }
    if (todo->ask)
        neighbour_put_question(todo);
    if (todo->dev)
        netdev_put(todo->dev);
    return err;
}

/* p goes where the state of its neighbour says. 0, -EHOSTUNREACH, -ENOBUFS. */
static int neighbour_place(struct neighbour_table *t, struct neighbour_entry *e, struct packet *p,
                           u32 actions, struct neighbour_todo *todo)
{
    if (actions & NEIGHBOUR_SEND) {
        list_add_tail(&todo->send, &p->node);
        return 0;
    }
    if (!(actions & NEIGHBOUR_DROP) && neighbour_wait(t, e, p, &todo->drop))
        return 0;
    list_add_tail(&todo->drop, &p->node);
    return actions & NEIGHBOUR_DROP ? -EHOSTUNREACH : -ENOBUFS;
}

static __noinline int neighbour_output_slow(struct neighbour_table *t, struct netdev *dev,
                                            const struct ip_addr *to, struct packet *p)
{
    struct neighbour_times times = neighbour_times_of(dev, to);
    struct neighbour_share *share = neighbour_share_of(t, p);
    struct neighbour_todo todo;
    struct neighbour_entry *e;
    int placed = -ENOBUFS, err;
    u64 now = time_ns();
    u32 actions;

    todo_init(&todo);
    spin_lock(&t->lock);
    e = neighbour_get(t, dev, to, share, now, &todo.drop);
    if (e) {
        e->sent_to = true;
        e->used_at = now;
        actions = neighbour_use(&e->n, &times, now);
        neighbour_file(t, e, share);
        placed = neighbour_place(t, e, p, actions, &todo);
        neighbour_act(t, e, actions, &todo);
        if (actions & NEIGHBOUR_SEND)
            hot_remember(t, e, now);
    } else {
        list_add_tail(&todo.drop, &p->node);
    }
    spin_unlock(&t->lock);
    err = todo_do(&todo);
    return placed ? placed : err;
}

int neighbour_output(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *to,
                     struct packet *p)
{
    u8 link[sizeof(t->hot->link)];

    if (likely(hot_find(t, dev->index, to, link)))
        return neighbour_transmit(dev, p, link);
    return neighbour_output_slow(t, dev, to, p);
}

void neighbour_input(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *from,
                     const u8 *link, enum neighbour_word word, bool learn)
{
    struct neighbour_times times = neighbour_times_of(dev, from);
    struct neighbour_todo todo;
    struct neighbour_entry *e;
    u64 now = time_ns();

    todo_init(&todo);
    spin_lock(&t->lock);
    e = learn ? neighbour_get(t, dev, from, NULL, now, &todo.drop)
              : neighbour_find(t, dev->index, from);
    if (e)
        neighbour_act(t, e, neighbour_heard(&e->n, &times, link, word, now), &todo);
    spin_unlock(&t->lock);
    (void)todo_do(&todo);
}

void neighbour_confirm(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *addr)
{
    struct neighbour_times times = neighbour_times_of(dev, addr);
    struct neighbour_entry *e;

    spin_lock(&t->lock);
    e = neighbour_find(t, dev->index, addr);
    if (e && neighbour_confirmed(&e->n, &times, time_ns()) && e->sent_to) {
        ip_due_set(&t->due, &e->due, e->n.deadline);
        neighbour_start_timer(t, e->n.deadline);
    }
    spin_unlock(&t->lock);
}

/* One entry whose time has come; false: there is none. *next: the first deadline of the rest. */
static bool neighbour_due(struct neighbour_table *t, u64 now, u64 *next,
                          struct neighbour_todo *todo)
{
    struct ip_due *first = ip_due_first(&t->due);
    struct neighbour_times times;
    struct neighbour_entry *e;

    *next = first ? first->at : 0;
    if (!first || first->at > now)
        return false;
    e = container_of(first, struct neighbour_entry, due);
    times = neighbour_times_of(e->dev, &e->addr);
    neighbour_act(t, e, neighbour_time(&e->n, &times, now), todo);
    return true;
}

/* The old go, if it is time. True: there may be more of them. */
static bool neighbour_age(struct neighbour_table *t, u64 now)
{
    struct list_node drop;
    bool more = false;

    list_init(&drop);
    spin_lock(&t->lock);
    if (t->age_at && t->age_at <= now) {
        more = neighbour_age_some(t, now, &drop);
        if (!more)
            t->age_at = 0;
    }
    if (!more)
        neighbour_age_plan(t, now);
    spin_unlock(&t->lock);
    todo_drop(&drop);
    return more;
}

static void neighbour_work(struct work *w)
{
    struct neighbour_table *t = container_of(w, struct neighbour_table, work);
    struct neighbour_todo todo;
    u64 now = time_ns(), next;
    bool more = true, closed = false;

    for (u32 i = 0; more && i < NEIGHBOUR_BATCH; i++) {
        todo_init(&todo);
        spin_lock(&t->lock);
        more = neighbour_due(t, now, &next, &todo);
        if (!more)
            neighbour_start_timer(t, next);
        closed = t->closed;
        spin_unlock(&t->lock);
        (void)todo_do(&todo);
        cond_yield();
    }
    more |= neighbour_age(t, now);
    if (more && !closed) /* all namespaces share this worker: others' turn */
        work_queue(ip_worker, w);
}

static void neighbour_fire(struct timer *timer)
{
    struct neighbour_table *t = container_of(timer, struct neighbour_table, timer);

    work_queue(ip_worker, &t->work);
}

void neighbour_table_init(struct neighbour_table *t, struct account *account, bool v6, bool host)
{
    spinlock_init(&t->lock, RANK_NET, 7, "neighbours");
    t->entries = t->due = RB_ROOT;
    t->account = account;
    t->v6 = v6;
    t->host = host;
    list_init(&t->failed);
    list_init(&t->heard);
    for (u32 i = 0; i < NEIGHBOUR_SHARES; i++)
        list_init(&t->shares[i].asked);
    list_init(&t->used);
    list_init(&t->fixed);
    timer_init(&t->timer, neighbour_fire);
    work_init(&t->work, neighbour_work);
}

void neighbour_table_bounded(struct neighbour_table *t)
{
    u64 now = time_ns();
    bool closed;

    spin_lock(&t->lock);
    neighbour_age_plan(t, now);
    if (t->nr > neighbour_most(t))
        t->age_at = now;
    closed = t->closed;
    spin_unlock(&t->lock);
    if (!closed)
        work_queue(ip_worker, &t->work);
}

void neighbour_forget(struct neighbour_table *t, const struct netdev *dev)
{
    struct list_node drop;
    u32 n;

    list_init(&drop);
    do {
        spin_lock(&t->lock);
        n = neighbour_forget_some(t, dev, &drop);
        spin_unlock(&t->lock);
        todo_drop(&drop);
        cond_yield();
    } while (n);
}

static int neighbour_set_locked(struct neighbour_table *t, struct netdev *dev,
                                const struct ip_addr *addr, const u8 *link, bool fixed,
                                struct neighbour_todo *todo) REQUIRES(t->lock)
{
    struct neighbour_entry *e;
    u64 now = time_ns();

    ASSERT_HELD(&t->lock);
    if (fixed && t->nr_fixed >= neighbour_most(t) / 2)
        return -ENOBUFS;
    e = neighbour_get(t, dev, addr, NULL, now, &todo->drop);
    if (!e)
        return t->nr < neighbour_most(t) ? -ENOMEM : -ENOBUFS;
    t->nr_fixed += (u32)fixed - (u32)e->n.fixed;
    e->sent_to = true;
    neighbour_act(t, e, neighbour_fix(&e->n, link, fixed, now), todo);
    neighbour_file(t, e, NULL);
    return 0;
}

int neighbour_set(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *addr,
                  const u8 *link, bool fixed, bool create, bool only)
{
    struct neighbour_todo todo;
    int err = 0;
    bool there;

    todo_init(&todo);
    spin_lock(&t->lock);
    there = neighbour_find(t, dev->index, addr);
    if (there && only)
        err = -EEXIST;
    else if (!there && !create)
        err = -ENOENT;
    else
        err = neighbour_set_locked(t, dev, addr, link, fixed, &todo);
    spin_unlock(&t->lock);
    (void)todo_do(&todo);
    return err;
}

int neighbour_unset(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *addr)
{
    struct neighbour_entry *e;
    struct list_node drop;

    list_init(&drop);
    spin_lock(&t->lock);
    e = neighbour_find(t, dev->index, addr);
    if (e)
        neighbour_remove(t, e, &drop);
    spin_unlock(&t->lock);
    todo_drop(&drop);
    return e ? 0 : -ENOENT;
}

void neighbour_table_fini(struct neighbour_table *t)
{
    spin_lock(&t->lock);
    t->closed = true;
    spin_unlock(&t->lock);
    timer_cancel(&t->timer);
    work_flush(ip_worker, &t->work);
    neighbour_forget(t, NULL);
}
