/* SPDX-License-Identifier: MIT
 *
 * epolls that watch epolls. They form no circle and no chain longer than EPOLL_DEPTH, so that
 * looking down and waking up recurse a little only. An event of a file wakes along every path from
 * it to the outermost epolls; the number of steps is bounded by EPOLL_STEPS for every file, or
 * where each epoll has few paths above it, by those times EPOLL_WATCHERS.
 *
 * All of it under epoll_nest_lock, which all programs share that make or end an item that watches
 * an epoll. So what a look costs is bounded, and it neither yields nor sleeps: an epoll's lock is
 * had at once, or the caller lets go of all, waits for that one and begins again.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "obj/epoll_priv.h"

#define EPOLL_DEPTH 5     /* epolls in a chain, as Linux */
#define EPOLL_PATHS_FEW 8 /* above one epoll: no further question */
#define EPOLL_PATHS 128   /* above one epoll */
#define EPOLL_STEPS 16384 /* callbacks of one event of one file */
#define EPOLL_LOOKS 4096  /* steps of one check: some hundred microseconds */

struct mutex epoll_nest_lock;
static u64 epoll_nest_round; /* epoll_nest_lock */

static void epoll_nest_init(void)
{
    mutex_init(&epoll_nest_lock, RANK_OPS, ORDER_EPOLL_NEST | LOCK_BRIEF, "epoll_nest");
}
INIT_HOOK(epoll_nest_init, INIT_CORE);

/* Callbacks that an event of f causes, at most max + 1; *longest: epolls in a chain above f. */
static unsigned epoll_nest_up(struct file *f, unsigned max, int depth, int *longest)
{
    struct epoll_item *item;
    unsigned n = 0;

    *longest = MAX(*longest, depth);
    list_for_each (item, &f->watchers, watch_node) {
        n += 1 + epoll_nest_up(item->ep->file, max, depth + 1, longest);
        if (n > max)
            break;
    }
    return n;
}

/* The same of a file that is no epoll: its list changes without our lock. */
static unsigned epoll_nest_steps(struct file *f, unsigned max)
{
    int longest = 0;
    unsigned n;

    spin_lock(&f->watch_lock);
    n = epoll_nest_up(f, max, 0, &longest);
    spin_unlock(&f->watch_lock);
    return n;
}

/* One check: what it looks for and what it found below. */
struct nest {
    const struct epoll *avoid; /* it would watch itself */
    unsigned above;            /* paths above it */
    unsigned most;             /* paths above one epoll, were the new one there */
    unsigned looks;
    struct epoll *busy; /* a reference: its lock was taken */
};

static int nest_lock(struct nest *nest, struct epoll *ep)
    TRY_ACQUIRES(0, ep->lock) NO_THREAD_SAFETY /* only tries */
{
    if (mutex_trylock(&ep->lock))
        return 0;
    refcount_get(&ep->ref);
    nest->busy = ep;
    return -EBUSY;
}

/* Epolls below ep in the longest chain; -ELOOP, -EINVAL: too many to look at. The answer for each
 * epoll is kept for the round. Paths are overestimated: as if all went through the new one. */
static int epoll_nest_down(struct nest *nest, struct epoll *ep, int depth)
{
    struct epoll_item *item;
    int below, longest = 0, ignored = 0;
    unsigned paths;

    if (ep == nest->avoid || depth > EPOLL_DEPTH)
        return -ELOOP;
    if (ep->nest_mark == epoll_nest_round)
        return ep->nest_below;
    paths = epoll_nest_up(ep->file, EPOLL_PATHS, 0, &ignored) + 1;
    nest->most = MAX(nest->most, paths * (nest->above + 1));
    nest->looks += paths;
    if (nest->looks > EPOLL_LOOKS)
        return -EINVAL;
    list_for_each (item, &ep->nested, nested_node) {
        below = epoll_nest_down(nest, item->file->priv, depth + 1);
        if (below < 0)
            return below;
        longest = MAX(longest, below + 1);
    }
    ep->nest_mark = epoll_nest_round;
    ep->nest_below = longest;
    return longest;
}

/* Callbacks that an event of f causes; an epoll that watches it has so many paths above it. A file
 * that no other one watches costs one look. */
static unsigned epoll_nest_leaf(struct nest *nest, struct file *f, unsigned above)
{
    int longest = 0;
    unsigned steps;

    nest->looks++;
    spin_lock(&f->watch_lock);
    if (f->nr_watchers == 1) {
        steps = 1 + above;
    } else {
        steps = epoll_nest_up(f, EPOLL_LOOKS - MIN(nest->looks, EPOLL_LOOKS), 0, &longest);
        nest->looks += steps;
    }
    spin_unlock(&f->watch_lock);
    return steps;
}

/* Would each file below ep still be within EPOLL_STEPS? 0 or -EINVAL. */
static int epoll_nest_leaves_fit(struct nest *nest, struct epoll *ep)
{
    struct epoll_item *item;
    unsigned above;
    int err = nest_lock(nest, ep), ignored = 0;

    if (err)
        return err;
    above = epoll_nest_up(ep->file, EPOLL_PATHS, 0, &ignored);
    nest->looks += 1 + above;
    for (struct rb_node *n = rb_first(&ep->items); n && !err; n = rb_next(n)) {
        item = rb_entry(n, struct epoll_item, node);
        if (epoll_is(item->file))
            continue;
        if (epoll_nest_leaf(nest, item->file, above) + nest->most > EPOLL_STEPS ||
            nest->looks > EPOLL_LOOKS)
            err = -EINVAL;
    }
    mutex_unlock(&ep->lock);
    list_for_each (item, &ep->nested, nested_node)
        if (err || (err = epoll_nest_leaves_fit(nest, item->file->priv)))
            break;
    return err;
}

/* From here on files that ep comes to watch are judged under our lock. */
static int epoll_nest_mark(struct nest *nest, struct epoll *ep)
{
    int err;

    if (READ_ONCE(ep->was_watched))
        return 0;
    err = nest_lock(nest, ep);
    if (err)
        return err;
    WRITE_ONCE(ep->was_watched, true);
    mutex_unlock(&ep->lock);
    return 0;
}

static int epoll_nest_look(struct nest *nest, struct epoll *ep, struct epoll *target)
{
    int chain = 0, below, err;

    nest->above = epoll_nest_up(ep->file, EPOLL_PATHS, 0, &chain);
    err = epoll_nest_mark(nest, target);
    if (err)
        return err;
    epoll_nest_round++;
    below = epoll_nest_down(nest, target, 1);
    if (below < 0)
        return below;
    if (chain + 1 + 1 + below > EPOLL_DEPTH)
        return -ELOOP;
    if (nest->most <= EPOLL_PATHS_FEW)
        return 0;
    return nest->most <= EPOLL_PATHS ? epoll_nest_leaves_fit(nest, target) : -EINVAL;
}

int epoll_nest_check(struct epoll *ep, struct file *target, struct epoll **busy)
{
    struct nest nest = {.avoid = ep};
    int ignored = 0, err;

    if (epoll_is(target)) {
        err = epoll_nest_look(&nest, ep, target->priv);
        *busy = nest.busy;
        return err;
    }
    nest.above = epoll_nest_up(ep->file, EPOLL_PATHS, 0, &ignored);
    return nest.above + 1 + epoll_nest_steps(target, EPOLL_STEPS) <= EPOLL_STEPS ? 0 : -EINVAL;
}
