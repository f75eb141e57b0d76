/* SPDX-License-Identifier: MIT
 *
 * What happens when a memory account is full: clean cached pages go first, then the process of that
 * group (or below it) whose death frees most. The group that exceeds its limit is the one that
 * suffers; when RAM itself is out, the whole tree is searched.
 *
 * Context: may sleep; no lock held.
 */
#include "container/cgroup.h"
#include "container/up.h"
#include "lib/err.h"
#include "lib/log.h"
#include "vm/object.h"
#include "vm/up.h"

#define OOM_RECLAIM_BATCH 64

struct oom_choice {
    u64 best;
    bool killed;
};

static int oom_measure(struct cgroup_member *m, void *arg)
{
    struct oom_choice *choice = arg;

    choice->best = MAX(choice->best, up_oom_score(m));
    return 0;
}

/* Scores move while we look: the first that is still near the best will do. */
static int oom_kill_best(struct cgroup_member *m, void *arg)
{
    struct oom_choice *choice = arg;

    if (up_oom_score(m) < choice->best - choice->best / 8)
        return 0;
    up_oom_kill(m);
    __atomic_fetch_add(&m->group->events_oom_kill, 1, __ATOMIC_RELAXED);
    choice->killed = true;
    return 1;
}

static bool oom_kill_one(struct cgroup *cg)
{
    struct oom_choice choice = {0};

    cgroup_for_each_below(cg, oom_measure, &choice);
    if (choice.best == 0)
        return false;
    cgroup_for_each_below(cg, oom_kill_best, &choice);
    return choice.killed;
}

/* memory.oom.group: all of the group dies, not one process. */
static bool oom_kill_in(struct cgroup *cg)
{
    __atomic_fetch_add(&cg->events_oom, 1, __ATOMIC_RELAXED);
    if (!READ_ONCE(cg->oom_group))
        return oom_kill_one(cg);
    __atomic_fetch_add(&cg->events_oom_kill, 1, __ATOMIC_RELAXED);
    cgroup_kill(cg);
    return true;
}

bool up_oom(struct account *account)
{
    struct cgroup *cg = account && account->owner ? account->owner : &cgroup_root;
    bool done;

    if (account && !account->owner)
        return false; /* no group's: nobody is to blame for it */
    __atomic_fetch_add(&cg->events_max, 1, __ATOMIC_RELAXED);
    if (reclaim_pages(&cg->memory, OOM_RECLAIM_BATCH) > 0)
        return true;
    done = oom_kill_in(cg);
    log_warn("memory of control group %s is full: %s", cg->name[0] ? cg->name : "/",
             done ? "killed a process" : "nothing to kill");
    waitq_wake_all(&cg->events_wait);
    return done;
}

int cgroup_set_memory_max(struct cgroup *cg, u64 pages)
{
    WRITE_ONCE(cg->memory.limit, pages > (u64)S64_MAX ? S64_MAX : (s64)pages);
    while (atomic_read(&cg->memory.used) > READ_ONCE(cg->memory.limit)) {
        if (reclaim_pages(&cg->memory, OOM_RECLAIM_BATCH) > 0)
            continue;
        /* What is left belongs to processes: the next charge by one of them meets the limit. */
        break;
    }
    return 0;
}
