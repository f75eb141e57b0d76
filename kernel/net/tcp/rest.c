/* SPDX-License-Identifier: MIT
 *
 * TIME_WAIT: what stands for a connection that has ended, in its entry's place: a small record that
 * answers old segments (timewait.h), for a minute. A namespace has at most RESTS_MOST; then the
 * oldest goes early. Each is charged to the account of the socket that it was.
 *
 * Lock: the namespace's rests->lock (spinlock, RANK_NET 4), below a socket's, above a stripe's. The
 * list is in the order of the deadlines: each is a minute after the last change, and what changes
 * goes to the end.
 */
#include "lib/log.h"
#include "mm/account.h"
#include "mm/slab.h"
#include "net/core/worker.h"
#include "net/tcp/diag.h"
#include "net/tcp/wire.h"

#define RESTS_MOST 8192 /* unless it is told otherwise */
#define REST_SLACK (500 * NSEC_PER_MSEC)

struct tcp_rest {
    struct tcp_entry entry; /* first */
    struct list_node node;  /* rests->lock */
    struct tcp_timewait tw; /* rests->lock */
    bool listed;            /* rests->lock */
    struct rcu_head rcu;
};

static struct slab_cache *tcp_rest_cache;

static void tcp_rest_boot(void)
{
    tcp_rest_cache = slab_cache_create("tcp_rest", sizeof(struct tcp_rest), 0);
}
INIT_HOOK(tcp_rest_boot, INIT_CORE);

static void tcp_rest_free(struct rcu_head *head)
{
    slab_free(tcp_rest_cache, container_of(head, struct tcp_rest, rcu));
}

static struct tcp_rests *tcp_rests_of(const struct tcp_key *key)
{
    return &tcp_ns_of(key->ns)->rests;
}

/* False: another has done so. */
static bool tcp_rest_unlist_locked(struct tcp_rests *rests, struct tcp_rest *r)
    REQUIRES(rests->lock)
{
    bool was = r->listed;

    ASSERT_HELD(&rests->lock);
    if (was) {
        list_del(&r->node);
        r->listed = false;
        rests->nr--;
    }
    return was;
}

/* Out of the list by this caller: out of the table, and freed. */
static void tcp_rest_drop(struct tcp_rest *r)
{
    (void)tcp_table_remove(&r->entry);
    rcu_call(&r->rcu, tcp_rest_free);
}

static void tcp_rest_list_locked(struct tcp_rests *rests, struct tcp_rest *r) REQUIRES(rests->lock)
{
    struct tcp_rest *oldest = list_first(&rests->list, struct tcp_rest, node);

    ASSERT_HELD(&rests->lock);
    if (oldest && rests->nr >= (u32)READ_ONCE(rests->most) && tcp_rest_unlist_locked(rests, oldest))
        tcp_rest_drop(oldest);
    list_add_tail(&rests->list, &r->node);
    r->listed = true;
    rests->nr++;
    if (!timer_is_armed(&rests->timer) && !rests->closed)
        timer_start_within(&rests->timer, r->tw.deadline, REST_SLACK);
}

/* The first, if its time has come, or all are to go. */
static struct tcp_rest *tcp_rest_take(struct tcp_rests *rests, u64 now, bool all)
{
    struct tcp_rest *r;

    spin_lock(&rests->lock);
    r = list_first(&rests->list, struct tcp_rest, node);
    if (r && (r->tw.deadline <= now || all)) {
        (void)tcp_rest_unlist_locked(rests, r);
    } else {
        if (r && !rests->closed)
            timer_start_within(&rests->timer, r->tw.deadline, REST_SLACK);
        r = NULL;
    }
    spin_unlock(&rests->lock);
    return r;
}

void tcp_rest_begin_locked(struct tcp_wire *w)
{
    struct socket *s = &w->sock->inet.sock;
    struct tcp_rests *rests = tcp_rests_of(&w->entry.key);
    struct account *former = account_swap(s->account);
    struct tcp_rest *r = slab_zalloc(tcp_rest_cache);

    ASSERT_HELD(&s->lock);
    account_swap(former);
    if (!r)
        return;
    r->entry.key = w->entry.key;
    r->entry.kind = TCP_ENTRY_TIMEWAIT;
    r->tw = w->conn.timewait;
    spin_lock(&rests->lock); /* over both: in the list alone it could be dropped as one too many */
    if (tcp_table_replace(&w->entry, &r->entry)) {
        tcp_rest_list_locked(rests, r);
        net_count(s->ns, MIB_TCP_TIMEWAIT);
        r = NULL;
    }
    spin_unlock(&rests->lock);
    if (r)
        slab_free(tcp_rest_cache, r);
}

enum tcp_timewait_verdict tcp_rest_packet(struct tcp_entry *e, const struct tcp_segment *seg,
                                          struct tcp_segment *out)
{
    struct tcp_rest *r = container_of(e, struct tcp_rest, entry);
    struct tcp_rests *rests = tcp_rests_of(&e->key);
    enum tcp_timewait_verdict v = TCP_TIMEWAIT_REUSE;
    u64 deadline;

    spin_lock(&rests->lock);
    if (r->listed) {
        deadline = r->tw.deadline;
        v = tcp_timewait_input(&r->tw, seg, time_ns(), out);
        if (v == TCP_TIMEWAIT_REUSE || r->tw.deadline != deadline)
            (void)tcp_rest_unlist_locked(rests, r);
        if (v != TCP_TIMEWAIT_REUSE && !r->listed)
            tcp_rest_list_locked(rests, r);
        else if (v == TCP_TIMEWAIT_REUSE)
            tcp_rest_drop(r);
    }
    spin_unlock(&rests->lock);
    return v;
}

bool tcp_rest_may_open(const struct tcp_key *key, u32 *iss)
{
    struct tcp_rests *rests = tcp_rests_of(key);
    struct tcp_entry *e;
    bool may = false;

    rcu_read_lock();
    e = tcp_table_find(key);
    if (e && e->kind == TCP_ENTRY_TIMEWAIT) {
        struct tcp_rest *r = container_of(e, struct tcp_rest, entry);

        spin_lock(&rests->lock);
        may = r->listed && tcp_timewait_may_open(&r->tw, time_ns(), iss);
        if (may) {
            (void)tcp_rest_unlist_locked(rests, r);
            tcp_rest_drop(r);
        }
        spin_unlock(&rests->lock);
    }
    rcu_read_unlock();
    return may;
}

static void tcp_rest_work(struct work *work)
{
    struct tcp_rests *rests = container_of(work, struct tcp_rests, work);
    struct tcp_rest *r;

    while ((r = tcp_rest_take(rests, time_ns(), false))) {
        tcp_rest_drop(r);
        cond_yield();
    }
}

static void tcp_rest_fire(struct timer *t)
{
    struct tcp_rests *rests = container_of(t, struct tcp_rests, timer);

    net_worker_queue(&rests->work);
}

void tcp_rests_init(struct tcp_rests *rests)
{
    rests->most = RESTS_MOST;
    spinlock_init(&rests->lock, RANK_NET, 4, "tcp rests");
    list_init(&rests->list);
    timer_init(&rests->timer, tcp_rest_fire);
    work_init(&rests->work, tcp_rest_work);
}

void tcp_rests_fini(struct tcp_rests *rests)
{
    struct tcp_rest *r;

    spin_lock(&rests->lock);
    rests->closed = true;
    spin_unlock(&rests->lock);
    timer_cancel(&rests->timer);
    net_worker_flush(&rests->work);
    while ((r = tcp_rest_take(rests, 0, true))) {
        tcp_rest_drop(r);
        cond_yield();
    }
}

void tcp_rest_diag(const struct tcp_entry *e, struct tcp_diag *out)
{
    const struct tcp_rest *r = container_of(e, const struct tcp_rest, entry);

    out->state = TCP_TIME_WAIT;
    out->timer = TCP_DIAG_REST;
    out->expires = tcp_diag_left(READ_ONCE(r->tw.deadline));
}
