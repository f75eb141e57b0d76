/* SPDX-License-Identifier: MIT
 *
 * The table of connections. table.h has the rules.
 */
#include "net/tcp/table.h"
#include "lib/errno.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/random.h"
#include "mm/account.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sync/rcu.h"

#define TABLE_MIN_ORDER 9U
#define TABLE_MAX_ORDER 18U
#define TABLE_PAGES_PER_BUCKET 32U /* of RAM */
#define TABLE_STRIPES 64U
#define TABLE_LOOK 256U /* buckets that one call of tcp_table_next looks at */

struct tcp_table {
    u64 key[2];
    unsigned order;
    struct spinlock locks[TABLE_STRIPES];
    struct tcp_entry *buckets[]; /* 1 << order of them; heads of lists in no order */
};
static struct tcp_table *tcp_table; /* a  NULL: no connection yet; once made it stays */

static unsigned tcp_table_order(void)
{
    struct mem_info info;
    unsigned order = TABLE_MIN_ORDER;

    mem_info_get(&info);
    while (order < TABLE_MAX_ORDER && (1UL << order) < info.total / TABLE_PAGES_PER_BUCKET)
        order++;
    return order;
}

static struct tcp_table *tcp_table_make(void)
{
    struct tcp_table *t, *none = NULL;
    unsigned order = tcp_table_order();
    struct account *former = account_swap(NULL); /* the host's */

    t = kzalloc(sizeof(*t) + (sizeof(t->buckets[0]) << order));
    account_swap(former);
    if (!t)
        return NULL;
    t->order = order;
    random_bytes(t->key, sizeof(t->key));
    for (unsigned i = 0; i < TABLE_STRIPES; i++)
        spinlock_init(&t->locks[i], RANK_NET, 3, "tcp table");
    if (__atomic_compare_exchange_n(&tcp_table, &none, t, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return t;
    kfree(t);
    return none;
}

bool tcp_table_ready(void)
{
    return load_acquire(&tcp_table) || tcp_table_make();
}

static u64 tcp_hash_mix(u64 a, u64 b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (u64)m ^ (u64)(m >> 64);
}

/* Of both ends' bytes under a secret: products of 64 bits, folded. */
static u32 tcp_table_hash(const struct tcp_table *t, const struct tcp_key *k)
{
    u64 ports = (u64)k->local_port << 16 | k->peer_port, h;

    h = tcp_hash_mix(k->peer.q[1] ^ t->key[0], k->local.q[1] ^ ports << 32 ^ t->key[1]);
    h ^= tcp_hash_mix(k->peer.q[0] ^ t->key[1] ^ ports, k->local.q[0] ^ (u64)k->ns ^ h);
    return (u32)(h ^ h >> 32);
}

static struct tcp_entry **tcp_table_bucket(struct tcp_table *t, u32 hash)
{
    return &t->buckets[hash & ((1U << t->order) - 1)];
}

static struct spinlock *tcp_table_lock(struct tcp_table *t, u32 hash)
{
    return &t->locks[hash % TABLE_STRIPES];
}

static bool tcp_key_equal(const struct tcp_key *a, const struct tcp_key *b)
{
    return a->peer_port == b->peer_port && a->local_port == b->local_port &&
           ip_equal(&a->peer, &b->peer) && ip_equal(&a->local, &b->local) && a->ns == b->ns &&
           a->device == b->device;
}

static struct tcp_entry *tcp_bucket_find(struct tcp_entry **head, u32 hash,
                                         const struct tcp_key *key)
{
    struct tcp_entry *e;

    for (e = rcu_dereference(*head); e; e = rcu_dereference(e->next))
        if (e->hash == hash && tcp_key_equal(&e->key, key))
            return e;
    return NULL;
}

struct tcp_entry *tcp_table_find(const struct tcp_key *key)
{
    struct tcp_table *t = load_acquire(&tcp_table);
    u32 hash;

    if (!t)
        return NULL;
    hash = tcp_table_hash(t, key);
    return tcp_bucket_find(tcp_table_bucket(t, hash), hash, key);
}

int tcp_table_add(struct tcp_entry *e)
{
    struct tcp_table *t = load_acquire(&tcp_table);
    struct tcp_entry **head;
    int err = 0;

    if (!t)
        return -ENOMEM;
    e->hash = tcp_table_hash(t, &e->key);
    head = tcp_table_bucket(t, e->hash);
    spin_lock(tcp_table_lock(t, e->hash));
    if (tcp_bucket_find(head, e->hash, &e->key)) {
        err = -EADDRNOTAVAIL;
    } else {
        e->next = *head;
        e->listed = true;
        rcu_assign(*head, e);
    }
    spin_unlock(tcp_table_lock(t, e->hash));
    return err;
}

/* What refers to e, which is in the bucket. */
static struct tcp_entry **tcp_bucket_link(struct tcp_entry **head, const struct tcp_entry *e)
{
    while (*head != e)
        head = &(*head)->next;
    return head;
}

bool tcp_table_remove(struct tcp_entry *e)
{
    struct tcp_table *t = load_acquire(&tcp_table);
    bool was;

    if (!t)
        return false;
    spin_lock(tcp_table_lock(t, e->hash));
    was = e->listed;
    if (was) {
        struct tcp_entry **link = tcp_bucket_link(tcp_table_bucket(t, e->hash), e);

        WRITE_ONCE(*link, e->next); /* e->next stays: readers may stand on e */
        e->listed = false;
    }
    spin_unlock(tcp_table_lock(t, e->hash));
    return was;
}

bool tcp_table_replace(struct tcp_entry *old, struct tcp_entry *e)
{
    struct tcp_table *t = load_acquire(&tcp_table);
    bool was;

    if (!t)
        return false;
    ASSERT(tcp_key_equal(&old->key, &e->key));
    e->hash = old->hash;
    spin_lock(tcp_table_lock(t, old->hash));
    was = old->listed;
    if (was) {
        struct tcp_entry **link = tcp_bucket_link(tcp_table_bucket(t, old->hash), old);

        e->next = old->next;
        e->listed = true;
        rcu_assign(*link, e);
        old->listed = false;
    }
    spin_unlock(tcp_table_lock(t, old->hash));
    return was;
}

/* *at: the bucket above, the place in it below. */
struct tcp_entry *tcp_table_next(struct net_ns *ns, u64 *at, bool *more)
{
    struct tcp_table *t = load_acquire(&tcp_table);
    u32 bucket = (u32)(*at >> 32), place = (u32)*at;
    u32 last = t ? MIN((1U << t->order), bucket + TABLE_LOOK) : 0;

    for (; t && bucket < last; bucket++, place = 0) {
        struct tcp_entry *e = rcu_dereference(t->buckets[bucket]);

        for (u32 i = 0; e; e = rcu_dereference(e->next), i++) {
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
