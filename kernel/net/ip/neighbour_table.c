/* SPDX-License-Identifier: MIT
 *
 * The table of neighbours: entries, packets that wait, time.
 */
#include "net/ip/neighbour_table.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/arp.h"
#include "net/link/ethernet.h"

#define NEIGHBOUR_SLACK (20 * NSEC_PER_MSEC) /* of its times, which are seconds */

struct neighbour_entry {
    struct rb_node node;
    struct list_node used;
    struct netdev *dev; /* borrowed: it is forgotten before the device goes */
    struct ip_addr addr;
    struct neighbour n;
    struct list_node pending; /* packets */
    u32 nr_pending;
};

/* What is to be done once the lock is dropped. */
struct neighbour_todo {
    struct list_node send, drop; /* packets */
    struct netdev *dev;          /* a reference, if there is anything to send or ask */
    struct ip_addr addr;
    u8 link[NEIGHBOUR_LINK];
    u32 ask; /* NEIGHBOUR_ASK_* */
};

COUNTER(net_neighbour_evicted);
COUNTER(net_neighbour_dropped);

static int neighbour_compare(u32 device, const struct ip_addr *addr,
                             const struct neighbour_entry *e)
{
    if (device != e->dev->index)
        return device < e->dev->index ? -1 : 1;
    return ip_compare(addr, &e->addr);
}

static struct neighbour_entry *neighbour_find(struct neighbour_table *t, u32 device,
                                              const struct ip_addr *addr)
{
    struct rb_node *at = t->entries.node;

    while (at) {
        struct neighbour_entry *e = rb_entry(at, struct neighbour_entry, node);
        int cmp = neighbour_compare(device, addr, e);

        if (!cmp)
            return e;
        at = cmp < 0 ? at->left : at->right;
    }
    return NULL;
}

static bool neighbour_less(const struct rb_node *a, const struct rb_node *b)
{
    const struct neighbour_entry *x = rb_entry(a, struct neighbour_entry, node);

    return neighbour_compare(x->dev->index, &x->addr, rb_entry(b, struct neighbour_entry, node)) <
           0;
}

static void todo_init(struct neighbour_todo *todo)
{
    *todo = (struct neighbour_todo){.ask = 0};
    list_init(&todo->send);
    list_init(&todo->drop);
}

static void neighbour_remove(struct neighbour_table *t, struct neighbour_entry *e,
                             struct list_node *drop)
{
    rb_erase(&t->entries, &e->node);
    list_del(&e->used);
    list_splice_tail(drop, &e->pending);
    t->nr--;
    kfree(e);
}

/* Found or made; NULL: no memory, or the device is down. The entry that is evicted for it is
 * dropped. */
static struct neighbour_entry *neighbour_get(struct neighbour_table *t, struct netdev *dev,
                                             const struct ip_addr *addr, struct list_node *drop)
{
    struct neighbour_entry *e = neighbour_find(t, dev->index, addr);

    if (e)
        return e;
    if (!(READ_ONCE(dev->flags) & NETDEV_UP)) /* it may be going, and forgotten already */
        return NULL;
    if (t->nr >= NEIGHBOURS_MOST) {
        e = list_first(&t->heard, struct neighbour_entry, used);
        if (!e)
            e = list_first(&t->used, struct neighbour_entry, used);
        COUNT(net_neighbour_evicted);
        neighbour_remove(t, e, drop);
    }
    e = kzalloc(sizeof(*e));
    if (!e)
        return NULL;
    e->dev = dev;
    e->addr = *addr;
    list_init(&e->pending);
    rb_insert(&t->entries, &e->node, neighbour_less);
    list_add_tail(&t->heard, &e->used);
    t->nr++;
    return e;
}

/* The timer runs for the first deadline there is, at latest for this one. */
static void neighbour_start_timer(struct neighbour_table *t, u64 deadline)
{
    if (!deadline || t->closed)
        return;
    if (!timer_is_armed(&t->timer) || deadline < timer_deadline(&t->timer))
        timer_start_within(&t->timer, deadline, NEIGHBOUR_SLACK);
}

static void neighbour_act(struct neighbour_table *t, struct neighbour_entry *e, u32 actions,
                          struct neighbour_todo *todo)
{
    if (actions & NEIGHBOUR_SEND)
        list_splice_tail(&todo->send, &e->pending);
    if (actions & NEIGHBOUR_DROP)
        list_splice_tail(&todo->drop, &e->pending);
    if (actions & (NEIGHBOUR_SEND | NEIGHBOUR_DROP))
        e->nr_pending = 0;
    todo->ask = actions & (NEIGHBOUR_ASK_ALL | NEIGHBOUR_ASK_ONE);
    if (todo->ask || !list_empty(&todo->send)) {
        netdev_get(e->dev);
        todo->dev = e->dev;
    }
    todo->addr = e->addr;
    memcpy(todo->link, e->n.link, NEIGHBOUR_LINK);
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
        arp_ask(todo->dev, &todo->addr, todo->ask & NEIGHBOUR_ASK_ONE ? todo->link : NULL);
    if (todo->dev)
        netdev_put(todo->dev);
    return err;
}

static void neighbour_wait(struct neighbour_entry *e, struct packet *p, struct list_node *drop)
{
    if (e->nr_pending == NEIGHBOUR_PENDING) {
        struct packet *oldest = list_first(&e->pending, struct packet, node);

        list_del(&oldest->node);
        list_add_tail(drop, &oldest->node);
        e->nr_pending--;
    }
    list_add_tail(&e->pending, &p->node);
    e->nr_pending++;
}

int neighbour_output(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *to,
                     struct packet *p)
{
    struct neighbour_todo todo;
    struct neighbour_entry *e;
    bool failed = false;
    u32 actions;
    int err;

    todo_init(&todo);
    spin_lock(&t->lock);
    e = neighbour_get(t, dev, to, &todo.drop);
    if (e) {
        list_del(&e->used);
        list_add_tail(&t->used, &e->used);
        actions = neighbour_use(&e->n, time_ns());
        failed = actions & NEIGHBOUR_DROP;
        neighbour_wait(e, p, &todo.drop);
        neighbour_act(t, e, actions, &todo);
    } else {
        list_add_tail(&todo.drop, &p->node);
    }
    spin_unlock(&t->lock);
    err = todo_do(&todo);
    return failed ? -EHOSTUNREACH : !e ? -ENOBUFS : err;
}

void neighbour_input(struct neighbour_table *t, struct netdev *dev, const struct ip_addr *from,
                     const u8 *link, enum neighbour_word word, bool learn)
{
    struct neighbour_todo todo;
    struct neighbour_entry *e;

    todo_init(&todo);
    spin_lock(&t->lock);
    e = learn ? neighbour_get(t, dev, from, &todo.drop) : neighbour_find(t, dev->index, from);
    if (e)
        neighbour_act(t, e, neighbour_heard(&e->n, link, word, time_ns()), &todo);
    spin_unlock(&t->lock);
    (void)todo_do(&todo);
}

/* One entry whose time has come; false: there is none. *next: the first deadline of the rest. What
 * was only heard of is verified when it is used. */
static bool neighbour_due(struct neighbour_table *t, u64 now, u64 *next,
                          struct neighbour_todo *todo)
{
    struct neighbour_entry *e;

    *next = 0;
    list_for_each (e, &t->used, used) {
        if (e->n.deadline && e->n.deadline <= now) {
            neighbour_act(t, e, neighbour_time(&e->n, now), todo);
            return true;
        }
        if (e->n.deadline && (!*next || e->n.deadline < *next))
            *next = e->n.deadline;
    }
    return false;
}

static void neighbour_work(struct work *w)
{
    struct neighbour_table *t = container_of(w, struct neighbour_table, work);
    struct neighbour_todo todo;
    u64 now = time_ns(), next;
    bool more;

    do {
        todo_init(&todo);
        spin_lock(&t->lock);
        more = neighbour_due(t, now, &next, &todo);
        if (!more)
            neighbour_start_timer(t, next);
        spin_unlock(&t->lock);
        (void)todo_do(&todo);
    } while (more);
}

static void neighbour_fire(struct timer *timer)
{
    struct neighbour_table *t = container_of(timer, struct neighbour_table, timer);

    work_queue(workq_system, &t->work);
}

void neighbour_table_init(struct neighbour_table *t)
{
    spinlock_init(&t->lock, RANK_NET, 7, "neighbours");
    t->entries = RB_ROOT;
    list_init(&t->heard);
    list_init(&t->used);
    timer_init(&t->timer, neighbour_fire);
    work_init(&t->work, neighbour_work);
}

void neighbour_forget(struct neighbour_table *t, const struct netdev *dev)
{
    struct neighbour_entry *e, *next;
    struct list_node drop;

    list_init(&drop);
    spin_lock(&t->lock);
    list_for_each_safe (e, next, &t->heard, used)
        if (!dev || e->dev == dev)
            neighbour_remove(t, e, &drop);
    list_for_each_safe (e, next, &t->used, used)
        if (!dev || e->dev == dev)
            neighbour_remove(t, e, &drop);
    spin_unlock(&t->lock);
    todo_drop(&drop);
}

void neighbour_table_fini(struct neighbour_table *t)
{
    spin_lock(&t->lock);
    t->closed = true;
    spin_unlock(&t->lock);
    timer_cancel(&t->timer);
    work_flush(workq_system, &t->work);
    neighbour_forget(t, NULL);
}

bool neighbour_next(struct neighbour_table *t, struct neighbour_view *at)
{
    struct rb_node *n;
    const struct neighbour_entry *found = NULL;

    spin_lock(&t->lock);
    for (n = t->entries.node; n;) {
        const struct neighbour_entry *e = rb_entry(n, struct neighbour_entry, node);

        if (neighbour_compare(at->device, &at->addr, e) < 0) {
            found = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    if (found)
        *at = (struct neighbour_view){found->addr, found->dev->index, found->n};
    spin_unlock(&t->lock);
    return found;
}
