// SPDX-License-Identifier: MIT
// The transition tables: what must hold in every state.
#include <stdlib.h>
#include <string.h>

#include "engine/life.h"
#include "harness.h"

static int next_of(const struct life_table *l, int s, int e)
{
    return l->next[s * l->nevents + e];
}

/* Marks what the marked states lead to. */
static void life_step(const struct life_table *l, bool *seen)
{
    for (int s = 1; s < l->nstates; s++)
        for (int e = 0; e < l->nevents; e++)
            if (seen[s] && next_of(l, s, e) != LIFE_NO)
                seen[next_of(l, s, e)] = true;
}

TEST(life_every_state_is_reached_and_has_a_name)
{
    for (int t = 0; t < LIFE_TABLES; t++) {
        const struct life_table *l = &life_tables[t];
        bool seen[16] = {false, true};

        for (int again = 0; again < l->nstates; again++)
            life_step(l, seen);
        for (int s = 1; s < l->nstates; s++)
            EXPECT(seen[s] && l->states[s] && *l->states[s]);
        for (int e = 0; e < l->nevents; e++)
            EXPECT(l->events[e] && *l->events[e]);
    }
}

TEST(life_what_is_gone_stays_gone)
{
    for (int e = 0; e < CE_EVENTS; e++)
        EXPECT(container_next(C_GONE, (enum container_event)e) == LIFE_NO);
    for (int e = 0; e < IE_EVENTS; e++)
        EXPECT(image_next(I_GONE, (enum image_event)e) == LIFE_NO);
    for (int e = 0; e < JE_EVENTS; e++)
        EXPECT(job_next(J_DONE, (enum job_event)e) != J_RUNNING);
}

/* Whatever comes in whatever order: a container has at most one process, which is there exactly
 * from its clone to its end, and is removed once, without a process. */
TEST(life_a_container_has_one_process_at_a_time)
{
    u64 seed = 1;

    for (int run = 0; run < 2000; run++) {
        enum container_state s = C_STOPPED;
        int processes = 0, removals = 0;

        for (int step = 0; step < 200; step++) {
            enum container_event e = (enum container_event)(unit_rand(&seed) % CE_EVENTS);
            int next = container_next(s, e);

            if (next == LIFE_NO)
                continue;
            processes += e == CE_PREPARED || e == CE_FOUND;
            processes -= e == CE_EXITED || (e == CE_FAILED && s == C_STARTING);
            removals += e == CE_REMOVE;
            s = (enum container_state)next;
            EXPECT(processes == (s == C_STARTING || s == C_RUNNING || s == C_PAUSED));
            EXPECT(removals <= 1 && (s < C_REMOVING || !processes));
        }
    }
}

TEST(life_a_stopped_container_can_always_be_started_or_removed)
{
    EXPECT(container_next(C_STOPPED, CE_START) == C_PREPARING);
    EXPECT(container_next(C_STOPPED, CE_REMOVE) == C_REMOVING);
    for (int s = C_PREPARING; s < C_STATES; s++)
        EXPECT(container_next((enum container_state)s, CE_REMOVE) == LIFE_NO);
}

TEST(life_a_job_without_a_worker_is_never_waited_for)
{
    EXPECT(job_next(J_QUEUED, JE_CANCEL) == J_DONE);
    EXPECT(job_next(J_RUNNING, JE_CANCEL) == J_ENDING);
    EXPECT(job_next(J_ENDING, JE_REAPED) == J_DONE);
}
