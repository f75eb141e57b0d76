// SPDX-License-Identifier: MIT
// The transition tables; see life.h. What a row does not name is refused.
#include "engine/life.h"

#include <stdio.h>

/* clang-format off */
static const unsigned char container_table[C_STATES][CE_EVENTS] = {
    [C_STOPPED]   = {[CE_START] = C_PREPARING, [CE_RESTART] = C_RESTARTING, [CE_FOUND] = C_STARTING,
                     [CE_REMOVE] = C_REMOVING},
    [C_PREPARING] = {[CE_START] = C_PREPARING, [CE_PREPARED] = C_STARTING, [CE_FAILED] = C_STOPPED},
    [C_STARTING]  = {[CE_START] = C_STARTING, [CE_STARTED] = C_RUNNING, [CE_FAILED] = C_STOPPED},
    [C_RUNNING]   = {[CE_START] = C_RUNNING, [CE_EXITED] = C_STOPPED, [CE_PAUSE] = C_PAUSED},
    [C_PAUSED]    = {[CE_EXITED] = C_STOPPED, [CE_UNPAUSE] = C_RUNNING},
    [C_RESTARTING] = {[CE_START] = C_PREPARING, [CE_STOP] = C_STOPPED},
    [C_REMOVING]  = {[CE_REMOVED] = C_GONE},
};

static const unsigned char image_table[I_STATES][IE_EVENTS] = {
    [I_LISTED]   = {[IE_LIST] = I_LISTED, [IE_REMOVE] = I_UNLISTED, [IE_UNUSED] = I_LISTED},
    [I_UNLISTED] = {[IE_LIST] = I_LISTED, [IE_UNUSED] = I_GONE},
};

static const unsigned char volume_table[V_STATES][VE_EVENTS] = {
    [V_LISTED] = {[VE_REMOVE] = V_GONE},
};

static const unsigned char job_table[J_STATES][JE_EVENTS] = {
    [J_QUEUED]  = {[JE_RUN] = J_RUNNING, [JE_FAIL] = J_DONE, [JE_CANCEL] = J_DONE},
    [J_RUNNING] = {[JE_CANCEL] = J_ENDING, [JE_REAPED] = J_DONE},
    [J_ENDING]  = {[JE_CANCEL] = J_ENDING, [JE_REAPED] = J_DONE},
    [J_DONE]    = {[JE_CANCEL] = J_DONE},
};
/* clang-format on */

static const char *const container_states[C_STATES] = {NULL,         "stopped",  "preparing",
                                                       "starting",   "running",  "paused",
                                                       "restarting", "removing", "gone"};
static const char *const container_events[CE_EVENTS] = {"start",  "prepared", "started", "failed",
                                                        "exited", "restart",  "stop",    "found",
                                                        "pause",  "unpause",  "remove",  "removed"};
static const char *const image_states[I_STATES] = {NULL, "listed", "unlisted", "gone"};
static const char *const image_events[IE_EVENTS] = {"list", "remove", "unused"};
static const char *const volume_states[V_STATES] = {NULL, "listed", "gone"};
static const char *const volume_events[VE_EVENTS] = {"remove"};
static const char *const job_states[J_STATES] = {NULL, "queued", "running", "ending", "done"};
static const char *const job_events[JE_EVENTS] = {"run", "fail", "cancel", "reaped"};

int container_next(enum container_state s, enum container_event e)
{
    return container_table[s][e];
}

bool container_has_process(enum container_state s)
{
    return s == C_PREPARING || s == C_STARTING || s == C_RUNNING || s == C_PAUSED ||
           s == C_RESTARTING;
}

int image_next(enum image_state s, enum image_event e)
{
    return image_table[s][e];
}

int volume_next(enum volume_state s, enum volume_event e)
{
    return volume_table[s][e];
}

int job_next(enum job_state s, enum job_event e)
{
    return job_table[s][e];
}

const struct life_table life_tables[LIFE_TABLES] = {
    {"container", container_states, container_events, container_table[0], C_STATES, CE_EVENTS},
    {"image", image_states, image_events, image_table[0], I_STATES, IE_EVENTS},
    {"volume", volume_states, volume_events, volume_table[0], V_STATES, VE_EVENTS},
    {"job", job_states, job_events, job_table[0], J_STATES, JE_EVENTS},
};

static void life_print_table(FILE *out, const struct life_table *l)
{
    for (int s = 1; s < l->nstates; s++)
        for (int e = 0; e < l->nevents; e++)
            if (l->next[s * l->nevents + e] != LIFE_NO)
                fprintf(out, "%s: %s, %s -> %s\n", l->name, l->states[s], l->events[e],
                        l->states[l->next[s * l->nevents + e]]);
}

void life_print(FILE *out)
{
    for (int t = 0; t < LIFE_TABLES; t++)
        life_print_table(out, &life_tables[t]);
}
