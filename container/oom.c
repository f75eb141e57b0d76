/* SPDX-License-Identifier: MIT
 *
 * What happens when a memory account is full: clean cached pages and names go first, then the
 * process of that group (or below it) whose end frees most. The group that exceeds its limit is
 * the one that suffers; when RAM itself is out, the group that holds most of it, and only when no
 * group has anything to kill, any process.
 *
 * One at a time: while one is being chosen, or is dying, others wait for what it gives back, unless
 * that takes long (it may be stuck).
 *
 * Context: may sleep; no lock held.
 */
#include "container/cgroup.h"
#include "container/up.h"
#include "lib/err.h"
#include "lib/log.h"
#include "sched/timer.h"
#include "vm/aspace.h"
#include "vm/object.h"
#include "vm/up.h"

#define OOM_RECLAIM_BATCH 64
#define OOM_PATIENCE (2 * NSEC_PER_SEC)
#define OOM_CHOICE (50 * NSEC_PER_MSEC) /* one takes milliseconds, where it gets a processor */

enum oom_answer {
    OOM_NOTHING, /* there is none to kill */
    OOM_FREED,   /* something was or will be freed */
    OOM_WAIT,    /* it is another's turn, or the last victim is dying */
};

struct oom_choice {
    struct cgroup *top; /* where memory ran out */
    u64 best;
    u64 dying;
    struct cgroup *whole; /* a reference: the group that is to die with the victim, or NULL */
    bool killed;
    bool again; /* something was killed in this walk */
};

/* Counts for the group and all above it, and wakes what polls their files. */
static void oom_event(struct cgroup *cg, enum cgroup_event event)
{
    __atomic_fetch_add(&cg->events_local[event], 1, __ATOMIC_RELAXED);
    for (; cg; cg = cg->parent) {
        __atomic_fetch_add(&cg->events[event], 1, __ATOMIC_RELAXED);
        pseudo_changed(&cg->changes);
    }
}

static int oom_measure(struct cgroup_member *m, void *arg)
{
    struct oom_choice *choice = arg;

    choice->best = MAX(choice->best, up_oom_score(m));
    choice->dying += up_oom_dying(m);
    return 0;
}

static void oom_kill(struct cgroup_member *m, struct oom_choice *choice)
{
    struct cgroup *cg = cgroup_of(m);

    up_oom_kill(m);
    oom_event(cg, CGROUP_EVENT_OOM_KILL);
    cgroup_put(cg);
    choice->killed = true;
}

/* memory.oom.group: the topmost group of those from `cg` up to `top` that is killed as a whole. */
static struct cgroup *oom_whole(struct cgroup *cg, const struct cgroup *top)
{
    struct cgroup *whole = NULL;

    for (; cg; cg = cg == top ? NULL : cg->parent)
        if (READ_ONCE(cg->oom_group))
            whole = cg;
    return whole;
}

/* All that may be killed and is not dying. */
static int oom_kill_any(struct cgroup_member *m, void *arg)
{
    struct oom_choice *choice = arg;

    if (up_oom_score(m)) {
        oom_kill(m, choice);
        choice->again = true;
    }
    return 0;
}

/* Until there is none that lived: see cgroup_kill. */
static void oom_kill_whole(struct oom_choice *choice)
{
    do {
        choice->again = false;
        cgroup_for_each_below(choice->whole, oom_kill_any, choice);
    } while (choice->again);
}

static bool oom_is_below(const struct cgroup *cg, const struct cgroup *top)
{
    while (cg && cg != top)
        cg = cg->parent;
    return cg;
}

/* Scores move while we look: the first that is still near the best will do. */
static int oom_kill_best(struct cgroup_member *m, void *arg)
{
    struct oom_choice *choice = arg;
    u64 score = up_oom_score(m);
    struct cgroup *cg;
    bool below;

    if (!score || score < choice->best - choice->best / 8)
        return 0;
    cg = cgroup_of(m);
    below = oom_is_below(cg, choice->top); /* else it was moved meanwhile, or has exited */
    choice->whole = below ? oom_whole(cg, choice->top) : NULL;
    if (choice->whole)
        cgroup_get(choice->whole);
    else if (below)
        oom_kill(m, choice);
    cgroup_put(cg);
    return below;
}

static void oom_kill_in(struct cgroup *cg, struct oom_choice *choice)
{
    oom_event(cg, CGROUP_EVENT_OOM);
    if (choice->best == 0)
        return;
    cgroup_for_each_below(cg, oom_kill_best, choice);
    if (!choice->whole)
        return;
    oom_event(choice->whole, CGROUP_EVENT_OOM_GROUP_KILL);
    oom_kill_whole(choice);
    cgroup_put(choice->whole);
}

/* Whether the last victim's memory is still to come back. */
static bool oom_is_dying(struct cgroup *cg, const struct oom_choice *choice)
{
    /* a process that ends is no longer dying while its memory is being unmapped */
    return (choice->dying || aspace_gives_back(&cg->memory)) &&
           (s64)(time_ns() - READ_ONCE(cg->oom_since)) < (s64)OOM_PATIENCE; /* it may be set now */
}

/* Claims the choice of a victim of cg's, from the look at the scores to the kill: one thread at a
 * time has it, and does not sleep meanwhile. A claim older than OOM_CHOICE, whose thread gets no
 * processor, is void: then several threads may choose; oom_note_kill lets one of them kill, and
 * oom_is_killing keeps the others out until the victim is seen to die. The claim, or 0: another
 * thread has it. */
static u64 oom_claim(struct cgroup *cg)
{
    u64 claimed = READ_ONCE(cg->oom_claimed), now = time_ns();

    if ((!claimed || (s64)(now - claimed) >= (s64)OOM_CHOICE) &&
        __atomic_compare_exchange_n(&cg->oom_claimed, &claimed, now, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED))
        return now;
    return 0;
}

static void oom_unclaim(struct cgroup *cg, u64 claim)
{
    (void)__atomic_compare_exchange_n(&cg->oom_claimed, &claim, 0, false, __ATOMIC_RELEASE,
                                      __ATOMIC_RELAXED);
}

/* Memory has come back while we looked, the last victim's or other. Not for the machine's. */
static bool oom_has_space(const struct cgroup *cg, const struct cgroup *all)
{
    return cg == all && cg != &cgroup_root &&
           atomic_read(&cg->memory.used) < READ_ONCE(cg->memory.limit);
}

/* A kill in cg is noted for `all`, too, before it happens: others may see the victim die at once,
 * and then look at oom_since. False: another has killed for `all` since our look began. */
static bool oom_note_kill(struct cgroup *cg, struct cgroup *all, u64 since)
{
    u64 now = time_ns();

    if (!__atomic_compare_exchange_n(&all->oom_since, &since, now, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return false;
    WRITE_ONCE(cg->oom_since, now);
    return true;
}

/* A kill that is noted is yet to come. To be asked after oom_since has been read, before the look.
 */
static bool oom_is_killing(struct cgroup *cg)
{
    return atomic_read(&cg->oom_killing) &&
           (s64)(time_ns() - READ_ONCE(cg->oom_since)) < (s64)OOM_PATIENCE;
}

/* `since`: all's oom_since when the look began. `all`, which is claimed, is cg or a group above it;
 * if it is above, a thread that claims cg alone may kill one more there. */
static enum oom_answer oom_in_claimed(struct cgroup *cg, struct cgroup *all, u64 since)
{
    struct oom_choice choice = {.top = cg};
    bool ours;

    cgroup_for_each_below(cg, oom_measure, &choice);
    DELAYPOINT(oom_measured);
    if (oom_is_dying(cg, &choice))
        return OOM_WAIT;
    if (oom_has_space(cg, all))
        return OOM_FREED;
    atomic_inc(&all->oom_killing);
    atomic_inc(&cg->oom_killing);
    ours = !choice.best || oom_note_kill(cg, all, since);
    if (ours)
        oom_kill_in(cg, &choice);
    atomic_dec(&cg->oom_killing);
    atomic_dec(&all->oom_killing);
    if (!ours)
        return OOM_WAIT;
    if (choice.killed)
        log_warn("memory of control group %s is full: killed a process",
                 cg->name[0] ? cg->name : "/");
    /* not killed: it has ended by itself, or left the group */
    return choice.best ? OOM_FREED : OOM_NOTHING;
}

/* No RAM: the largest group's turn, else any process's. The largest is another one as soon as the
 * victim begins to give back, so all of the machine waits for it. */
static enum oom_answer oom_machine_claimed(u64 since)
{
    struct oom_choice any = {.top = &cgroup_root};
    enum oom_answer answer = OOM_NOTHING;
    struct cgroup *cg;

    cgroup_for_each_below(&cgroup_root, oom_measure, &any);
    if (oom_is_dying(&cgroup_root, &any))
        return OOM_WAIT;
    cg = cgroup_largest();
    if (cg) {
        answer = oom_in_claimed(cg, &cgroup_root, since);
        cgroup_put(cg);
    }
    return answer ?: oom_in_claimed(&cgroup_root, &cgroup_root, since);
}

/* True: the caller may try again. Sleeps with no claim: one who has no turn would wait as well. */
static bool oom_in(struct cgroup *cg)
{
    u64 claim = oom_claim(cg), since = READ_ONCE(cg->oom_since);
    enum oom_answer answer = OOM_WAIT;

    if (claim) {
        if (!oom_is_killing(cg))
            answer =
                cg == &cgroup_root ? oom_machine_claimed(since) : oom_in_claimed(cg, cg, since);
        oom_unclaim(cg, claim);
    }
    if (answer == OOM_WAIT)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_KILLABLE);
    return answer;
}

bool up_oom(struct account *account)
{
    struct cgroup *cg;

    if (!account)
        return oom_in(&cgroup_root);
    cg = account->owner;
    if (!cg)
        return false; /* no group's, so there is no member to kill */
    oom_event(cg, CGROUP_EVENT_MAX);
    return oom_in(cg);
}

int cgroup_set_memory_max(struct cgroup *cg, u64 pages)
{
    WRITE_ONCE(cg->memory.limit, pages > (u64)S64_MAX ? S64_MAX : (s64)pages);
    while (atomic_read(&cg->memory.used) > READ_ONCE(cg->memory.limit)) {
        if (reclaim_pages(&cg->memory, OOM_RECLAIM_BATCH) > 0 ||
            up_reclaim_names(&cg->memory, OOM_RECLAIM_BATCH) > 0)
            continue;
        /* What is left belongs to processes: the next charge by one of them meets the limit. */
        break;
    }
    return 0;
}

void up_memory_high(struct account *account)
{
    struct cgroup *cg = account->owner;

    if (cg)
        oom_event(cg, CGROUP_EVENT_HIGH);
}
