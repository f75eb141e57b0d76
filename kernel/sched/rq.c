/* SPDX-License-Identifier: MIT
 *
 * The fair trees of one CPU. Each group has a tree of entities, threads or child groups, ordered by
 * virtual run time: ns run, divided by weight. Who runs, and each group on its way up, is `curr` of
 * its tree and not in it, so that its time may grow without moving it.
 *
 * All of it under rq->lock.
 */
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

void rq_init(struct rq *rq, unsigned cpu)
{
    spinlock_init(&rq->lock, RANK_SCHED, RQ_ORDER, "run queue");
    rq->cpu = (u16)cpu;
    rq->nr = 0;
    rq->root = sched_group_root.cpu[cpu];
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

/* A sleeper gets some credit, but does not hoard what it did not use. */
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

void rq_enqueue(struct rq *rq, struct thread *t, bool fresh)
{
    struct sched_entity *se = &t->se;

    rq->nr++;
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

void rq_dequeue(struct rq *rq, struct thread *t)
{
    struct sched_entity *se = &t->se;

    rq->nr--;
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

void rq_put_curr(struct rq *rq, bool sleeps)
{
    struct sched_entity *se = &rq->curr->se;

    if (rq->curr == rq->idle)
        return;
    if (sleeps)
        rq->nr--;
    else
        rq_put_off(se->parent, rq->curr, SCHED_LATENCY / 2);
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

struct thread *rq_pick(struct rq *rq)
{
    struct group_rq *g = rq->root;

    if (!rq->nr)
        return rq->idle;
    for (;;) {
        struct sched_entity *se = rq_first(g);

        rb_erase(&g->tree, &se->node);
        g->curr = se;
        if (!se->own)
            return rq_thread(se);
        g = se->own;
    }
}

void rq_adopt_curr(struct rq *rq, struct thread *t)
{
    struct sched_entity *se = &t->se;

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

    if (rq->curr == rq->idle)
        return true;
    if (unlikely(t->policy | rq->curr->policy)) {
        if (rq->curr->policy == SCHED_IDLE && t->policy != SCHED_IDLE && a->parent == b->parent)
            return true;
        if (t->policy != SCHED_NORMAL)
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

#define MOVABLE_LOOKS 64 /* a hoard of pinned threads is not walked, lock held, for an idle CPU */

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

    return group_rq_find_movable(rq->root, cpu, &left);
}
