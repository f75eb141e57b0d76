/* SPDX-License-Identifier: MIT
 *
 * The table of connections. table.h has the rules.
 *
 * It grows by being replaced. An entry has a link for each of two tables: those of a stripe are
 * hung into the new one, too, some buckets in each hold of the stripe's lock; from then on writers
 * of these buckets keep both. When all stripes are done, readers are sent to the new one, and the
 * old one is freed a grace period later.
 */
#include "net/tcp/table.h"
#include "lib/errno.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/work.h"
#include "sync/rcu.h"

#define TABLE_MIN_ORDER 9U
#define TABLE_FIRST_ORDER 18U /* at the most */
#define TABLE_MAX_ORDER 19U
#define TABLE_PAGES_PER_BUCKET 32U /* of RAM */
#define TABLE_STRIPES 64U
#define TABLE_FULL 2U /* entries for each bucket: beyond, it grows */
#define TABLE_PATIENCE (60 * NSEC_PER_SEC)
#define TABLE_LOOK 256U /* buckets that one call of tcp_table_next looks at */
#define TABLE_MOVE 64U  /* buckets that one hold of a stripe's lock hangs into a new table */

struct tcp_table {
    unsigned order;
    u8 link;                    /* of tcp_entry.next */
    struct tcp_entry **buckets; /* 1 << order of them; heads of lists in no order */
};

/* What writers of the hashes with the same last bits share. s lock */
struct tcp_stripe {
    struct spinlock lock;
    u32 nr;                 /* s  entries */
    struct tcp_table *more; /* s  the table that will replace the other; NULL: none yet */
    u32 moved;              /* s  buckets of the other before this one are in `more` as well */
};

static struct tcp_table *tcp_table; /* a, RCU  NULL: no connection yet */
static u64 tcp_table_key[2];        /* I */
static struct tcp_stripe tcp_stripes[TABLE_STRIPES];
static bool tcp_table_grows; /* a  work is queued or runs */
static u64 tcp_table_again;  /* a  it grows not before: there was no memory */
static struct work tcp_table_work;

static void tcp_table_grow(struct work *work);

static void tcp_table_boot(void)
{
    for (u32 i = 0; i < TABLE_STRIPES; i++)
        spinlock_init(&tcp_stripes[i].lock, RANK_NET, 3, "tcp table");
    random_bytes(tcp_table_key, sizeof(tcp_table_key));
    work_init(&tcp_table_work, tcp_table_grow);
}
INIT_HOOK(tcp_table_boot, INIT_CORE);

static unsigned tcp_table_order(void)
{
    struct mem_info info;
    unsigned order = TABLE_MIN_ORDER;

    mem_info_get(&info);
    while (order < TABLE_FIRST_ORDER && (1UL << order) < info.total / TABLE_PAGES_PER_BUCKET)
        order++;
    return order;
}

static void tcp_table_clear(struct tcp_table *t)
{
    const size_t part = 1U << 12;

    for (size_t i = 0; i < 1UL << t->order; i += part) {
        memset(&t->buckets[i], 0, MIN(part, (1UL << t->order) - i) * sizeof(t->buckets[0]));
        cond_yield();
    }
}

static void tcp_table_free(struct tcp_table *t)
{
    kfree(t->buckets);
    kfree(t);
}

/* An empty one; NULL: no memory. */
static struct tcp_table *tcp_table_make(unsigned order)
{
    struct account *former = account_swap(NULL); /* the host's */
    struct tcp_table *t = kzalloc(sizeof(*t));

    if (t)
        t->buckets = kmalloc(sizeof(t->buckets[0]) << order);
    account_swap(former);
    if (!t || !t->buckets) {
        kfree(t);
        return NULL;
    }
    t->order = order;
    tcp_table_clear(t);
    return t;
}

static bool tcp_table_begin(void)
{
    struct tcp_table *t = tcp_table_make(tcp_table_order()), *none = NULL;

    if (!t)
        return false;
    if (!__atomic_compare_exchange_n(&tcp_table, &none, t, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        tcp_table_free(t);
    return true;
}

bool tcp_table_ready(void)
{
    return load_acquire(&tcp_table) || tcp_table_begin();
}

u32 tcp_table_size(void)
{
    const struct tcp_table *t;
    u32 n;

    rcu_read_lock();
    t = rcu_dereference(tcp_table);
    n = t ? 1U << t->order : 0;
    rcu_read_unlock();
    return n;
}

static u64 tcp_hash_mix(u64 a, u64 b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (u64)m ^ (u64)(m >> 64);
}

/* Of both ends' bytes under a secret: products of 64 bits, folded. */
static u32 tcp_table_hash(const struct tcp_key *k)
{
    u64 ports = (u64)k->local_port << 16 | k->peer_port, h;

    h = tcp_hash_mix(k->peer.q[1] ^ tcp_table_key[0],
                     k->local.q[1] ^ ports << 32 ^ tcp_table_key[1]);
    h ^= tcp_hash_mix(k->peer.q[0] ^ tcp_table_key[1] ^ ports, k->local.q[0] ^ (u64)k->ns ^ h);
    return (u32)(h ^ h >> 32);
}

static struct tcp_entry **tcp_table_bucket(struct tcp_table *t, u32 hash)
{
    return &t->buckets[hash & ((1U << t->order) - 1)];
}

static struct tcp_stripe *tcp_stripe_of(u32 hash)
{
    return &tcp_stripes[hash % TABLE_STRIPES];
}

static bool tcp_key_equal(const struct tcp_key *a, const struct tcp_key *b)
{
    return a->peer_port == b->peer_port && a->local_port == b->local_port &&
           ip_equal(&a->peer, &b->peer) && ip_equal(&a->local, &b->local) && a->ns == b->ns &&
           a->device == b->device;
}

static struct tcp_entry *tcp_table_look(struct tcp_table *t, u32 hash, const struct tcp_key *key)
{
    struct tcp_entry *e = rcu_dereference(*tcp_table_bucket(t, hash));

    for (; e; e = rcu_dereference(e->next[t->link]))
        if (e->hash == hash && tcp_key_equal(&e->key, key))
            return e;
    return NULL;
}

struct tcp_entry *tcp_table_find(const struct tcp_key *key)
{
    struct tcp_table *t = rcu_dereference(tcp_table);

    return t ? tcp_table_look(t, tcp_table_hash(key), key) : NULL;
}

/* ---- writers: with the stripe locked, in each table ---- */

static void tcp_table_hang(struct tcp_table *t, struct tcp_entry *e)
{
    struct tcp_entry **head = tcp_table_bucket(t, e->hash);

    e->next[t->link] = *head;
    rcu_assign(*head, e);
}

/* What refers to e, which is in the table. */
static struct tcp_entry **tcp_table_link(struct tcp_table *t, const struct tcp_entry *e)
{
    struct tcp_entry **link = tcp_table_bucket(t, e->hash);

    while (*link != e)
        link = &(*link)->next[t->link];
    return link;
}

/* e's own link stays: readers may stand on it. */
static void tcp_table_cut(struct tcp_table *t, const struct tcp_entry *e)
{
    WRITE_ONCE(*tcp_table_link(t, e), e->next[t->link]);
}

static void tcp_table_swap(struct tcp_table *t, const struct tcp_entry *old, struct tcp_entry *e)
{
    struct tcp_entry **link = tcp_table_link(t, old);

    e->next[t->link] = old->next[t->link];
    rcu_assign(*link, e);
}

/* The tables that a writer of the stripe keeps for a hash of it. */
static u32 tcp_stripe_keeps(const struct tcp_stripe *s, u32 hash, struct tcp_table *tables[2])
{
    tables[0] = load_acquire(&tcp_table);
    tables[1] = s->more;
    if (!tables[0])
        return 0;
    if (!tables[1] || tables[1] == tables[0])
        return 1;
    return (hash & ((1U << tables[0]->order) - 1)) < s->moved ? 2 : 1;
}

/* Enough for the table to grow, if the others are like this one. */
static bool tcp_stripe_full(const struct tcp_stripe *s, const struct tcp_table *t)
{
    return s->nr > (TABLE_FULL << t->order) / TABLE_STRIPES && t->order < TABLE_MAX_ORDER &&
           !s->more;
}

static void tcp_table_want(void)
{
    if (time_ns() >= READ_ONCE(tcp_table_again) &&
        !__atomic_exchange_n(&tcp_table_grows, true, __ATOMIC_ACQ_REL))
        work_queue(workq_system, &tcp_table_work);
}

int tcp_table_add(struct tcp_entry *e)
{
    struct tcp_table *tables[2];
    struct tcp_stripe *s;
    bool full = false;
    int err = 0;
    u32 n;

    e->hash = tcp_table_hash(&e->key);
    s = tcp_stripe_of(e->hash);
    spin_lock(&s->lock);
    n = tcp_stripe_keeps(s, e->hash, tables);
    if (!n) {
        err = -ENOMEM;
    } else if (tcp_table_look(tables[0], e->hash, &e->key)) {
        err = -EADDRNOTAVAIL;
    } else {
        while (n--)
            tcp_table_hang(tables[n], e);
        e->listed = true;
        s->nr++;
        full = tcp_stripe_full(s, tables[0]);
    }
    spin_unlock(&s->lock);
    if (unlikely(full))
        tcp_table_want();
    return err;
}

bool tcp_table_remove(struct tcp_entry *e)
{
    struct tcp_stripe *s = tcp_stripe_of(e->hash);
    struct tcp_table *tables[2];
    bool was;

    spin_lock(&s->lock);
    was = e->listed;
    if (was) {
        for (u32 n = tcp_stripe_keeps(s, e->hash, tables); n--;)
            tcp_table_cut(tables[n], e);
        e->listed = false;
        s->nr--;
    }
    spin_unlock(&s->lock);
    return was;
}

bool tcp_table_replace(struct tcp_entry *old, struct tcp_entry *e)
{
    struct tcp_stripe *s = tcp_stripe_of(old->hash);
    struct tcp_table *tables[2];
    bool was;

    ASSERT(tcp_key_equal(&old->key, &e->key));
    e->hash = old->hash;
    spin_lock(&s->lock);
    was = old->listed;
    if (was) {
        for (u32 n = tcp_stripe_keeps(s, e->hash, tables); n--;)
            tcp_table_swap(tables[n], old, e);
        e->listed = true;
        old->listed = false;
    }
    spin_unlock(&s->lock);
    return was;
}

/* ---- growing ---- */

/* Some buckets of a stripe from `first` on; where the next ones begin. */
static u32 tcp_stripe_move_some(struct tcp_stripe *s, const struct tcp_table *from,
                                struct tcp_table *to, u32 first)
{
    u32 size = 1U << from->order, i = first;

    spin_lock(&s->lock);
    for (u32 n = 0; n < TABLE_MOVE && i < size; n++, i += TABLE_STRIPES) {
        for (struct tcp_entry *e = from->buckets[i]; e; e = e->next[from->link])
            tcp_table_hang(to, e);
    }
    s->more = to;
    s->moved = MIN(i, size);
    spin_unlock(&s->lock);
    cond_yield();
    return i;
}

static void tcp_stripe_move(u32 stripe, const struct tcp_table *from, struct tcp_table *to)
{
    u32 i = stripe;

    while (i < 1U << from->order)
        i = tcp_stripe_move_some(&tcp_stripes[stripe], from, to, i);
}

static void tcp_stripe_settle(u32 stripe)
{
    struct tcp_stripe *s = &tcp_stripes[stripe];

    spin_lock(&s->lock);
    s->more = NULL;
    spin_unlock(&s->lock);
}

static void tcp_table_grow(struct work *work)
{
    struct tcp_table *old = load_acquire(&tcp_table), *t = NULL;
    bool may = old->order < TABLE_MAX_ORDER; /* it may have grown since that was asked for */

    if (may)
        t = tcp_table_make(old->order + 1);
    if (t) {
        t->link = !old->link;
        for (u32 i = 0; i < TABLE_STRIPES; i++)
            tcp_stripe_move(i, old, t);
        rcu_assign(tcp_table, t); /* writers that still take the old one keep both */
        for (u32 i = 0; i < TABLE_STRIPES; i++)
            tcp_stripe_settle(i);
        rcu_synchronize();
        tcp_table_free(old);
    } else if (may) {
        WRITE_ONCE(tcp_table_again, time_ns() + TABLE_PATIENCE);
    }
    store_release(&tcp_table_grows, false);
}

/* *at: the bucket above, the place in it below. */
struct tcp_entry *tcp_table_next(struct net_ns *ns, u64 *at, bool *more)
{
    struct tcp_table *t = rcu_dereference(tcp_table);
    u32 bucket = (u32)(*at >> 32), place = (u32)*at;
    u32 last = t ? MIN((1U << t->order), bucket + TABLE_LOOK) : 0;

    for (; t && bucket < last; bucket++, place = 0) {
        struct tcp_entry *e = rcu_dereference(t->buckets[bucket]);

        for (u32 i = 0; e; e = rcu_dereference(e->next[t->link]), i++) {
            if (i < place || e->key.ns != ns)
                continue;
            *at = (u64)bucket << 32 | (i + 1);
            *more = true;
            return e;
        }
    }
    *at = (u64)bucket << 32;
    *more = t && bucket < 1U << t->order;
    return NULL;
}
