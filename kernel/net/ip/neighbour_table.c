/* SPDX-License-Identifier: MIT
 *
 * The table of neighbours: entries, packets that wait, time. Entries that a packet went to and that
 * have a deadline lie in a tree by it, so what is due is found without a look at the others.
 */
#include "net/ip/neighbour_table.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "net/core/conf.h"
#include "net/core/device.h"
#include "net/ip/arp.h"
#include "net/ip/nd.h"
#include "net/link/ethernet.h"

#define NEIGHBOUR_SLACK (20 * NSEC_PER_MSEC) /* of its times, which are seconds */
#define NEIGHBOUR_HOT_FOR NSEC_PER_SEC
#define FORGET_STEP 32 /* entries that one hold of the lock takes off */

struct neighbour_entry {
    struct rb_node node;
    struct list_node used;
    struct netdev *dev; /* borrowed: it is forgotten before the device goes */
    struct ip_addr addr;
    struct neighbour n;
    struct list_node pending; /* packets */
    u32 nr_pending;
    u64 bytes;          /* that they keep */
    bool sent_to;       /* a packet went there, or an administrator has set it */
    bool asked;         /* it lies in table->asked */
    struct rb_node due; /* in table->due, while due_at is not 0 */
    u64 due_at;
};

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

static bool neighbour_earlier(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct neighbour_entry, due)->due_at <
           rb_entry(b, struct neighbour_entry, due)->due_at;
}

/* at: its deadline, or 0. */
static void neighbour_set_due(struct neighbour_table *t, struct neighbour_entry *e, u64 at)
{
    if (e->due_at == at)
        return;
    if (e->due_at)
        rb_erase(&t->due, &e->due);
    e->due_at = at;
    if (at)
        rb_insert(&t->due, &e->due, neighbour_earlier);
}

/* All that wait go to the end of a list. */
static void neighbour_release(struct neighbour_table *t, struct neighbour_entry *e,
                              struct list_node *to)
{
    list_splice_tail(to, &e->pending);
    t->bytes -= e->bytes;
    e->bytes = e->nr_pending = 0;
}

/* ---- without the lock ---- */

static struct neighbour_hot *hot_place(struct neighbour_table *t, u32 device,
                                       const struct ip_addr *a)
{
    u32 hash = (a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3] ^ device) * 0x9e3779b1U;

    return &t->hot[hash / (~0U / NEIGHBOURS_HOT + 1)];
}

/* The link address of a neighbour to which packets may go at once. False: the table knows. */
static bool hot_find(struct neighbour_table *t, u32 device, const struct ip_addr *to,
                     u8 link[sizeof(t->hot->link)])
{
    struct neighbour_hot *h = hot_place(t, device, to);
    u32 seq = __atomic_load_n(&h->seq.v, __ATOMIC_ACQUIRE);
    bool is = h->device == device && ip_equal(&h->addr, to) && time_ns() < READ_ONCE(h->until);

    memcpy(link, h->link, sizeof(h->link));
    return is && !(seq & 1) && !seqcount_read_retry(&h->seq, seq);
}

/* e has changed, or goes. */
static void hot_forget(struct neighbour_table *t, const struct neighbour_entry *e)
{
    struct neighbour_hot *h = hot_place(t, e->dev->index, &e->addr);

    ASSERT_HELD(&t->lock);
    if (!h->until || h->device != e->dev->index || !ip_equal(&h->addr, &e->addr))
        return;
    seqcount_write_begin(&h->seq);
    h->until = 0;
    seqcount_write_end(&h->seq);
}

/* Packets go to e at once, which changes nothing of it before its deadline. */
static void hot_remember(struct neighbour_table *t, const struct neighbour_entry *e, u64 now)
{
    struct neighbour_hot *h = hot_place(t, e->dev->index, &e->addr);
    u64 until = now + NEIGHBOUR_HOT_FOR;

    ASSERT_HELD(&t->lock);
    seqcount_write_begin(&h->seq);
    h->device = e->dev->index;
    h->addr = e->addr;
    h->until = e->n.deadline ? MIN(until, e->n.deadline) : until;
    memcpy(h->link, e->n.link, NEIGHBOUR_LINK);
    seqcount_write_end(&h->seq);
}

/* ---- the table ---- */

static bool neighbour_is_asked(const struct neighbour_entry *e)
{
    return e->sent_to && !e->n.fixed && !neighbour_known(&e->n);
}

/* At the end of the list where it belongs. */
static void neighbour_file(struct neighbour_table *t, struct neighbour_entry *e)
{
    struct list_node *list = e->n.fixed ? &t->fixed : e->sent_to ? &t->used : &t->heard;
    bool asked = neighbour_is_asked(e);

    t->nr_asked += (u32)asked - (u32)e->asked;
    e->asked = asked;
    list_del(&e->used);
    list_add_tail(asked ? &t->asked : list, &e->used);
}

static void neighbour_remove(struct neighbour_table *t, struct neighbour_entry *e,
                             struct list_node *drop)
{
    hot_forget(t, e);
    neighbour_set_due(t, e, 0);
    rb_erase(&t->entries, &e->node);
    list_del(&e->used);
    neighbour_release(t, e, drop);
    t->nr--;
    t->nr_asked -= e->asked;
    t->nr_fixed -= e->n.fixed;
    kfree(e);
}

/* Whose place a new one takes; NULL: there is room. Not all are fixed. */
static struct neighbour_entry *neighbour_victim(struct neighbour_table *t, bool to_ask)
{
    struct list_node *list = !list_empty(&t->heard)   ? &t->heard
                             : !list_empty(&t->asked) ? &t->asked
                                                      : &t->used;

    if (to_ask && t->nr_asked >= NEIGHBOURS_ASKED)
        list = &t->asked;
    else if (t->nr < NEIGHBOURS_MOST)
        return NULL;
    return list_first(list, struct neighbour_entry, used);
}

/* Found or made; NULL: no memory, or the device is down. The entry that is evicted for it is
 * dropped. to_ask: there is a packet for it. */
static struct neighbour_entry *neighbour_get(struct neighbour_table *t, struct netdev *dev,
                                             const struct ip_addr *addr, bool to_ask,
                                             struct list_node *drop)
{
    struct neighbour_entry *e = neighbour_find(t, dev->index, addr);

    if (e)
        return e;
    if (!(READ_ONCE(dev->flags) & NETDEV_UP)) /* it may be going, and forgotten already */
        return NULL;
    e = neighbour_victim(t, to_ask);
    if (e) {
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
    hot_forget(t, e);
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
    if (neighbour_is_asked(e) != e->asked)
        neighbour_file(t, e);
    if (!e->sent_to)
        return; /* verified when it is used */
    neighbour_set_due(t, e, e->n.deadline);
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

static void neighbour_drop_oldest(struct neighbour_table *t, struct neighbour_entry *e,
                                  struct list_node *drop)
{
    struct packet *oldest = list_first(&e->pending, struct packet, node);
    u32 cost = packet_cost(oldest);

    list_del(&oldest->node);
    list_add_tail(drop, &oldest->node);
    e->nr_pending--;
    e->bytes -= cost;
    t->bytes -= cost;
}

/* A packet waits within bounds, and charged: to its sender, or else to the namespace. False: it
 * cannot. */
static bool neighbour_wait(struct neighbour_table *t, struct neighbour_entry *e, struct packet *p,
                           struct list_node *drop)
{
    u32 cost = packet_cost(p);

    while (e->nr_pending &&
           (e->nr_pending >= NEIGHBOUR_PENDING || t->bytes + cost > NEIGHBOURS_BYTES))
        neighbour_drop_oldest(t, e, drop);
    if (t->bytes + cost > NEIGHBOURS_BYTES || (!p->account && packet_charge(p, t->account)))
        return false;
    list_add_tail(&e->pending, &p->node);
    e->nr_pending++;
    e->bytes += cost;
    t->bytes += cost;
    return true;
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
    struct neighbour_todo todo;
    struct neighbour_entry *e;
    int placed = -ENOBUFS, err;
    u64 now = time_ns();
    u32 actions;

    todo_init(&todo);
    spin_lock(&t->lock);
    e = neighbour_get(t, dev, to, true, &todo.drop);
    if (e) {
        e->sent_to = true;
        neighbour_file(t, e);
        actions = neighbour_use(&e->n, &times, now);
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

    todo_init(&todo);
    spin_lock(&t->lock);
    e = learn ? neighbour_get(t, dev, from, false, &todo.drop)
              : neighbour_find(t, dev->index, from);
    if (e)
        neighbour_act(t, e, neighbour_heard(&e->n, &times, link, word, time_ns()), &todo);
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
        neighbour_set_due(t, e, e->n.deadline);
        neighbour_start_timer(t, e->n.deadline);
    }
    spin_unlock(&t->lock);
}

/* One entry whose time has come; false: there is none. *next: the first deadline of the rest. */
static bool neighbour_due(struct neighbour_table *t, u64 now, u64 *next,
                          struct neighbour_todo *todo)
{
    struct rb_node *first = rb_first(&t->due);
    struct neighbour_times times;
    struct neighbour_entry *e;

    *next = 0;
    if (!first)
        return false;
    e = rb_entry(first, struct neighbour_entry, due);
    *next = e->due_at;
    if (e->due_at > now)
        return false;
    times = neighbour_times_of(e->dev, &e->addr);
    neighbour_act(t, e, neighbour_time(&e->n, &times, now), todo);
    return true;
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
        cond_yield();
    } while (more);
}

static void neighbour_fire(struct timer *timer)
{
    struct neighbour_table *t = container_of(timer, struct neighbour_table, timer);

    work_queue(workq_system, &t->work);
}

void neighbour_table_init(struct neighbour_table *t, struct account *account)
{
    spinlock_init(&t->lock, RANK_NET, 7, "neighbours");
    t->entries = t->due = RB_ROOT;
    t->account = account;
    list_init(&t->heard);
    list_init(&t->asked);
    list_init(&t->used);
    list_init(&t->fixed);
    timer_init(&t->timer, neighbour_fire);
    work_init(&t->work, neighbour_work);
}

static u32 neighbour_forget_some(struct neighbour_table *t, struct list_node *list,
                                 const struct netdev *dev, struct list_node *drop)
{
    struct neighbour_entry *e, *next;
    u32 n = 0;

    list_for_each_safe (e, next, list, used) {
        if (n == FORGET_STEP)
            break;
        if (!dev || e->dev == dev) {
            neighbour_remove(t, e, drop);
            n++;
        }
    }
    return n;
}

void neighbour_forget(struct neighbour_table *t, const struct netdev *dev)
{
    struct list_node drop;
    u32 n;

    list_init(&drop);
    do {
        spin_lock(&t->lock);
        n = neighbour_forget_some(t, &t->heard, dev, &drop);
        if (!n)
            n = neighbour_forget_some(t, &t->asked, dev, &drop);
        if (!n)
            n = neighbour_forget_some(t, &t->used, dev, &drop);
        if (!n)
            n = neighbour_forget_some(t, &t->fixed, dev, &drop);
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

    ASSERT_HELD(&t->lock);
    if (fixed && t->nr_fixed >= NEIGHBOURS_MOST / 2)
        return -ENOBUFS;
    e = neighbour_get(t, dev, addr, false, &todo->drop);
    if (!e)
        return -ENOMEM;
    t->nr_fixed += (u32)fixed - (u32)e->n.fixed;
    e->sent_to = true;
    neighbour_act(t, e, neighbour_fix(&e->n, link, fixed, time_ns()), todo);
    neighbour_file(t, e);
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
