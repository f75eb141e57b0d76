/* SPDX-License-Identifier: MIT
 *
 * The threads of one CPU that want to run: fair trees, and urgent threads in front of them. Each
 * group has a tree of entities, threads or child groups, ordered by virtual run time: ns run,
 * divided by weight. The running thread, and each group above it, is `curr` of its tree and not in
 * it, so that its time may grow without moving it.
 *
 * All of it under rq->lock.
 */
#include "arch/x86/time.h"
#include "lib/log.h"
#include "sched/rq_priv.h"

DEFINE_PER_CPU(struct rq, sched_rq);

void group_rq_init(struct group_rq *g, struct sched_group *group, struct group_rq *parent)
{
    *g = (struct group_rq){.group = group, .se = {.weight = WEIGHT_NICE_0}};
    g->se.parent = parent;
    g->se.own = g;
    g->depth = parent ? parent->depth + 1 : 0;
}

void rq_init(struct rq *rq, unsigned cpu, struct group_rq *root)
{
    spinlock_init(&rq->lock, RANK_SCHED, RQ_ORDER, "run queue");
    rq->cpu = (u16)cpu;
    rq->nr = 0;
    rq->root = root;
    rq->urgent_nr = 0;
    list_init(&rq->urgent);
    list_init(&rq->urgent_fair);
    rq->urgent_left = URGENT_BUDGET;
    rq->urgent_refill = 0;
}

static inline bool rq_before(u64 a, u64 b)
{
    return (s64)(a - b) < 0;
}

static inline u64 rq_weigh(u64 ns, u32 weight)
{
    return likely(weight == WEIGHT_NICE_0) ? ns : ns * WEIGHT_NICE_0 / weight;
}

static inline struct sched_entity *rq_first(const struct group_rq *g)
{
    return rb_entry(rb_first(&g->tree), struct sched_entity, node);
}

static inline void group_rq_update_min(struct group_rq *g, const struct sched_entity *curr)
{
    u64 v = curr->vruntime;

    if (rb_first(&g->tree) && rq_before(rq_first(g)->vruntime, v))
        v = rq_first(g)->vruntime;
    if (rq_before(g->min_vruntime, v))
        g->min_vruntime = v;
}

void rq_account(struct rq *rq, u64 now)
{
    struct thread *t = rq->curr;
    struct sched_entity *se = &t->se;
    s64 delta = (s64)(now - t->exec_start);
    u64 user = 0;

    ASSERT_HELD(&rq->lock);
    if (unlikely(delta <= 0))
        return;
    t->exec_start = now;
    t->sum_exec += (u64)delta;
    if (unlikely(t->owed) && !READ_ONCE(t->locks)) {
        se->vruntime += t->owed;
        t->owed = 0;
    }
    if (t->user_mode) {
        t->utime += (u64)delta;
        rq->user_ns += (u64)delta;
        user = (u64)delta;
    } else {
        t->stime += (u64)delta;
    }
    if (unlikely(t->clock))
        cpu_clock_add(t->clock, user, (u64)delta - user);
    for (struct group_rq *g = se->parent; g; g = se->parent) {
        se->vruntime += rq_weigh((u64)delta, se->weight);
        group_rq_update_min(g, se);
        g->usage += (u64)delta;
        g->user += user;
        g->runtime -= delta; /* looked at only where a quota is set */
        se = &g->se;
    }
}

static void rq_insert(struct group_rq *g, struct sched_entity *se)
{
    struct rb_node **link = &g->tree.node, *parent = NULL;

    while (*link) {
        parent = *link;
        if (rq_before(se->vruntime, rb_entry(parent, struct sched_entity, node)->vruntime))
            link = &parent->left;
        else
            link = &parent->right;
    }
    rb_link(&g->tree, &se->node, parent, link);
}

/* A sleeper gets some credit, but does not save up what it did not use. */
static inline void rq_place(struct group_rq *g, struct sched_entity *se, bool fresh)
{
    u64 floor = fresh ? g->min_vruntime : g->min_vruntime - SCHED_LATENCY / 2;

    if (fresh || rq_before(se->vruntime, floor))
        se->vruntime = floor;
}

/* For a sleeping lock that t has, or is to have, others may wait, of more weight: it comes next in
 * its group when it wakes, soon when it has run (`behind`), and pays only once it has none. If it
 * came next each time, the others' turn would never come while two have locks. One of full weight
 * has its turn anyway. A group is not favoured: that would be at the cost of other groups. */
static inline void rq_put_off(struct group_rq *g, struct thread *t, u64 behind)
{
    struct sched_entity *se = &t->se;
    u64 to = g->min_vruntime + behind;

    if (likely(!READ_ONCE(t->locks)) || se->weight >= WEIGHT_NICE_0 || !rq_before(to, se->vruntime))
        return;
    t->owed += se->vruntime - to;
    se->vruntime = to;
}

static __always_inline void rq_enqueue_fair(struct thread *t, bool fresh)
{
    struct sched_entity *se = &t->se;

    rq_put_off(se->parent, t, 0);
    for (struct group_rq *g = se->parent; g; g = se->parent) {
        rq_place(g, se, fresh);
        rq_insert(g, se);
        se->queued = true;
        if (g->nr++)
            break; /* the group is in its parent's tree, or runs */
        se = &g->se;
        fresh = false;
    }
}

static __always_inline void rq_dequeue_fair(struct thread *t)
{
    struct sched_entity *se = &t->se;

    for (struct group_rq *g = se->parent; g; g = se->parent) {
        if (se == g->curr)
            g->curr = NULL;
        else
            rb_erase(&g->tree, &se->node);
        se->queued = false;
        if (--g->nr)
            break;
        se = &g->se;
    }
}

static __always_inline void rq_put_fair(struct thread *t, bool sleeps)
{
    struct sched_entity *se = &t->se;

    if (!sleeps)
        rq_put_off(se->parent, t, SCHED_LATENCY / 2);
    for (struct group_rq *g = se->parent; g; g = se->parent) {
        g->curr = NULL;
        if (sleeps) {
            se->queued = false;
            sleeps = --g->nr == 0; /* the group goes too when it was the last */
        } else {
            rq_insert(g, se);
        }
        se = &g->se;
    }
}

static __always_inline struct thread *rq_pick_fair(struct rq *rq)
{
    struct group_rq *g = rq->root;

    for (;;) {
        struct sched_entity *se = rq_first(g);

        rb_erase(&g->tree, &se->node);
        g->curr = se;
        if (!se->own)
            return rq_thread(se);
        g = se->own;
    }
}

/* None but this group's threads want to run. */
static inline bool rq_group_is_alone(const struct group_rq *g)
{
    while (g->se.parent) {
        g = g->se.parent;
        if (g->nr > 1)
            return false;
    }
    return true;
}

/* t, the running one, goes, and another thread of its group comes: the groups above stay as they
 * are, each the one that runs. */
static inline struct thread *rq_switch_within(struct group_rq *g, struct thread *t, bool sleeps)
{
    struct sched_entity *next;

    if (sleeps) {
        t->se.queued = false;
        g->nr--;
    } else {
        rq_put_off(g, t, SCHED_LATENCY / 2);
        rq_insert(g, &t->se);
    }
    next = rq_first(g);
    rb_erase(&g->tree, &next->node);
    g->curr = next;
    return rq_thread(next);
}

/* ------------------------------------------------------------- urgent threads
 *
 * They wait in a list in front of the trees and run in turn. What they run from there is taken from
 * a budget; once that is used up they go into the trees like all others, until the next period
 * brings those that still want to run to the front again. Their virtual run time grows meanwhile,
 * so among the fair ones they have no more than a fair thread would have had in all.
 *
 * The paths of fair threads, which are the common ones, know of this by one test and a jump: all
 * that urgent threads do is in functions that are not inlined, and calls the fair ones' again.
 *
 * The budget is looked at where a thread leaves the CPU: an urgent one that is over is told by the
 * slice timer, as any other. It may overdraw by a slice; that is taken from the next period. */

static void rq_urgent_refill(struct rq *rq, u64 now)
{
    if (now < rq->urgent_refill)
        return;
    rq->urgent_refill = now + URGENT_PERIOD;
    rq->urgent_left = (s64)URGENT_BUDGET + MIN(rq->urgent_left, 0);
}

/* t joins those in front, or (false) is marked as one among the fair ones. */
static bool rq_urgent_join(struct rq *rq, struct thread *t)
{
    bool front = rq->urgent_left > 0;

    rq->urgent_nr++;
    t->urgent = front ? URGENT_QUEUED : URGENT_FAIR;
    list_add_tail(front ? &rq->urgent : &rq->urgent_fair, &t->urgent_node);
    if (front)
        t->se.queued = true;
    return front;
}

/* True: it waited in front. */
static bool rq_urgent_part(struct rq *rq, struct thread *t)
{
    bool front = t->urgent == URGENT_QUEUED;

    rq->urgent_nr--;
    list_del(&t->urgent_node);
    t->urgent = URGENT_READY;
    if (front)
        t->se.queued = false;
    return front;
}

static __noinline void rq_urgent_enqueue(struct rq *rq, struct thread *t)
{
    rq_urgent_refill(rq, time_ns());
    if (!rq_urgent_join(rq, t))
        rq_enqueue_fair(t, false);
}

static __noinline void rq_urgent_dequeue(struct rq *rq, struct thread *t)
{
    if (!rq_urgent_part(rq, t))
        rq_dequeue_fair(t);
}

static __noinline void rq_urgent_put_curr(struct rq *rq, struct thread *t, bool sleeps)
{
    if (t->urgent == URGENT_FAIR) { /* its entity goes back into the trees, or leaves them */
        if (sleeps)
            (void)rq_urgent_part(rq, t);
        rq_put_fair(t, sleeps);
        return;
    }
    /* What it ran alone on its CPU is in no slice: it kept no other thread waiting. */
    rq->urgent_left -= (s64)(time_ns() - rq->slice_start);
    t->urgent = URGENT_READY;
    t->se.queued = false;
    if (!sleeps)
        rq_urgent_enqueue(rq, t);
}

/* A new period: those that wait among the fair ones come to the front. */
static void rq_urgent_promote(struct rq *rq)
{
    struct thread *t;

    while (rq->urgent_left > 0 &&
           (t = list_first(&rq->urgent_fair, struct thread, urgent_node)) != NULL) {
        (void)rq_urgent_part(rq, t);
        rq_dequeue_fair(t);
        (void)rq_urgent_join(rq, t);
    }
}

static __noinline struct thread *rq_urgent_pick(struct rq *rq)
{
    struct thread *t;

    rq_urgent_refill(rq, time_ns());
    rq_urgent_promote(rq);
    t = list_first(&rq->urgent, struct thread, urgent_node);
    if (!t)
        return rq_pick_fair(rq);
    rq->urgent_nr--;
    list_del(&t->urgent_node); /* it stays URGENT_QUEUED: it runs from the front */
    return t;
}

bool rq_urgent_wants(const struct rq *rq, u64 now)
{
    ASSERT_HELD(&rq->lock);
    return rq->curr->urgent != URGENT_QUEUED &&
           (!list_empty(&rq->urgent) || now >= rq->urgent_refill);
}

/* ------------------------------------------------------------- both classes */

void rq_enqueue(struct rq *rq, struct thread *t, bool fresh)
{
    ASSERT_HELD(&rq->lock);
    rq->nr++;
    if (unlikely(t->urgent))
        rq_urgent_enqueue(rq, t);
    else
        rq_enqueue_fair(t, fresh);
}

void rq_dequeue(struct rq *rq, struct thread *t)
{
    ASSERT_HELD(&rq->lock);
    rq->nr--;
    if (unlikely(t->urgent))
        rq_urgent_dequeue(rq, t);
    else
        rq_dequeue_fair(t);
}

void rq_put_curr(struct rq *rq, bool sleeps)
{
    struct thread *t = rq->curr;

    ASSERT_HELD(&rq->lock);
    if (t == rq->idle)
        return;
    if (sleeps)
        rq->nr--;
    if (unlikely(t->urgent))
        rq_urgent_put_curr(rq, t, sleeps);
    else
        rq_put_fair(t, sleeps);
}

static struct thread *rq_pick(struct rq *rq) REQUIRES(rq->lock)
{
    ASSERT_HELD(&rq->lock);
    if (!rq->nr)
        return rq->idle;
    if (unlikely(rq->urgent_nr))
        return rq_urgent_pick(rq);
    return rq_pick_fair(rq);
}

struct thread *rq_switch_curr(struct rq *rq, bool sleeps)
{
    struct thread *t = rq->curr;
    struct group_rq *g = t->se.parent;

    ASSERT_HELD(&rq->lock);
    if (t != rq->idle && !rq->urgent_nr && !t->urgent && rb_first(&g->tree) && !rq_first(g)->own &&
        rq_group_is_alone(g)) {
        rq->nr -= sleeps;
        return rq_switch_within(g, t, sleeps);
    }
    rq_put_curr(rq, sleeps);
    return rq_pick(rq);
}

void rq_adopt_curr(struct rq *rq, struct thread *t)
{
    struct sched_entity *se = &t->se;

    ASSERT_HELD(&rq->lock);
    rq_enqueue(rq, t, false);
    for (struct group_rq *g = se->parent; g; g = se->parent) {
        rb_erase(&g->tree, &se->node);
        g->curr = se;
        se = &g->se;
    }
}

bool rq_should_preempt(struct rq *rq, struct thread *t)
{
    struct sched_entity *a = &t->se, *b = &rq->curr->se;

    ASSERT_HELD(&rq->lock);
    if (rq->curr == rq->idle)
        return true;
    if (unlikely(t->policy | rq->curr->policy)) {
        if (t->urgent == URGENT_QUEUED || rq->curr->urgent == URGENT_QUEUED)
            return rq->curr->urgent != URGENT_QUEUED;
        if (rq->curr->policy == SCHED_IDLE && t->policy != SCHED_IDLE && a->parent == b->parent)
            return true;
        if (t->policy == SCHED_BATCH || t->policy == SCHED_IDLE)
            return false;
    }
    /* Compare where their groups have one parent. */
    while (a->parent->depth > b->parent->depth)
        a = &a->parent->se;
    while (b->parent->depth > a->parent->depth)
        b = &b->parent->se;
    while (a->parent != b->parent) {
        a = &a->parent->se;
        b = &b->parent->se;
    }
    return a != b && rq_before(a->vruntime + SCHED_WAKE_GRAN, b->vruntime);
}

#define MOVABLE_LOOKS \
    64 /* a long list of pinned threads is not walked, lock held, for an idle CPU */

/* *left: entities that may still be looked at. */
static struct thread *group_rq_find_movable(struct group_rq *g, unsigned cpu, unsigned *left)
{
    struct rb_node *n;

    rb_for_each (n, &g->tree) {
        struct sched_entity *se = rb_entry(n, struct sched_entity, node);
        struct thread *t;

        if (!*left)
            return NULL;
        --*left;
        if (!se->own && (rq_thread(se)->allowed >> cpu & 1))
            return rq_thread(se);
        t = se->own ? group_rq_find_movable(se->own, cpu, left) : NULL;
        if (t)
            return t;
    }
    /* The group that runs may have others waiting inside. */
    if (g->curr && g->curr->own)
        return group_rq_find_movable(g->curr->own, cpu, left);
    return NULL;
}

struct thread *rq_find_movable(struct rq *rq, unsigned cpu)
{
    unsigned left = MOVABLE_LOOKS;

    ASSERT_HELD(&rq->lock);
    return group_rq_find_movable(rq->root, cpu, &left);
}
