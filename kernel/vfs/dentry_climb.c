/* SPDX-License-Identifier: MIT
 *
 * Looks at names and parents as they are together at one moment, and climbs from a name up its
 * tree, which may be as deep as its makers' memory allows. Renames beside them spoil such looks;
 * after some they wait.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "vfs/dentry_priv.h"
#include "vfs/vfs_priv.h"

enum climbed { CLIMBED_TO_TOP, CLIMBED_TO_ANCESTOR, CLIMBED_FAR };

static enum climbed dentry_climb_to(const struct dentry *d, const struct dentry *ancestor,
                                    u64 steps)
{
    for (; steps; steps--) {
        const struct dentry *parent = rcu_dereference(d->parent);

        if (d == ancestor)
            return CLIMBED_TO_ANCESTOR;
        if (parent == d)
            return CLIMBED_TO_TOP;
        d = parent;
    }
    return CLIMBED_FAR;
}

void dentry_look_begin(struct dentry_look *look) NO_THREAD_SAFETY /* after some looks only */
{
    if (look->spoiled < LOOKS_SPOILED)
        look->seq = seqcount_read_begin(&dentry_rename_seq);
    else
        spin_lock(&dentry_rename_lock);
    rcu_read_lock();
}

bool dentry_look_again(struct dentry_look *look) NO_THREAD_SAFETY /* after some looks only */
{
    DELAYPOINT(dentry_look);
    rcu_read_unlock();
    if (look->spoiled == LOOKS_SPOILED) {
        spin_unlock(&dentry_rename_lock);
        return false;
    }
    if (!seqcount_read_retry(&dentry_rename_seq, look->seq))
        return false;
    look->spoiled++;
    return true;
}

static enum climbed dentry_look_up(const struct dentry *d, const struct dentry *ancestor, u64 steps)
{
    struct dentry_look look = {0};
    enum climbed to;

    do {
        dentry_look_begin(&look);
        to = dentry_climb_to(d, ancestor, steps);
    } while (dentry_look_again(&look));
    return to;
}

#define CLIMB_STEPS 1024 /* up a tree as deep as users make it, without a pause */

/* So far up from d, or less far: to the top, or to a child of `ancestor`. A reference. NULL: what
 * is there is on its way out, since d's place has changed. */
static struct dentry *dentry_climb(struct dentry *d, const struct dentry *ancestor)
{
    struct dentry *up = d, *parent;
    bool live;

    rcu_read_lock();
    for (unsigned i = 0; i < CLIMB_STEPS; i++) {
        parent = rcu_dereference(up->parent);
        if (parent == up || parent == ancestor)
            break;
        up = parent;
    }
    spin_lock(&up->lock);
    live = up->ref > 0 && !(up->flags & DENTRY_DEAD);
    up->ref += live;
    spin_unlock(&up->lock);
    rcu_read_unlock();
    return live ? up : NULL;
}

/* Whether the way from d up ends here: at a child of `ancestor`, or at the top. */
static bool dentry_is_climbed(const struct dentry *at, const struct dentry *ancestor)
{
    const struct dentry *parent = READ_ONCE(at->parent);

    return parent == ancestor || parent == at;
}

struct dentry *dentry_child_above(const struct dentry *ancestor, struct dentry *d)
{
    struct dentry *at = d, *up;

    dentry_get(at);
    while (!dentry_is_climbed(at, ancestor)) {
        up = dentry_climb(at, ancestor);
        if (up) {
            dentry_put(at);
            at = up;
        }
        cond_yield();
    }
    up = at != ancestor && READ_ONCE(at->parent) == ancestor ? at : NULL;
    dentry_put(at);
    return up;
}

bool dentry_child_above_locked(const struct dentry *ancestor, struct dentry *d, unsigned spoiled,
                               struct dentry **child)
{
    unsigned most = spoiled < CLIMBS_SPOILED ? CLIMB_LOCKED : CLIMB_LOCKED_MOST;

    ASSERT_HELD(&d->super->renames);
    for (unsigned i = 0; i < most; i++, d = d->parent) {
        if (!dentry_is_climbed(d, ancestor))
            continue;
        *child = d != ancestor && d->parent == ancestor ? d : NULL;
        return true;
    }
    return false;
}

/* The mutex is others' too, so it is taken only where their renames have spoiled some looks, and
 * for a part of the way that needs no pause. Where the tree is deeper than that, looks go on for a
 * while. */
bool dentry_lies_below(struct dentry *d, struct dentry *ancestor)
{
    enum climbed to = dentry_look_up(d, ancestor, CLIMB_STEPS);
    struct dentry *child;
    unsigned spoiled = 0;
    bool told = false;
    u32 seq;

    if (likely(to != CLIMBED_FAR))
        return to == CLIMBED_TO_ANCESTOR;
    do {
        seq = seqcount_read_begin(&d->super->moved);
        child = dentry_child_above(ancestor, d);
        if (!seqcount_read_retry(&d->super->moved, seq))
            return child;
        if (++spoiled < LOOKS_SPOILED)
            continue;
        mutex_lock(&d->super->renames);
        told = dentry_child_above_locked(ancestor, d, spoiled, &child);
        mutex_unlock(&d->super->renames);
    } while (!told && !thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE));
    return told && child;
}
