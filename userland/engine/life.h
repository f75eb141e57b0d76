// SPDX-License-Identifier: MIT
// The lives of the engine's objects: one table each, from a state and an event to the next state.
//
// A pure core: it knows neither objects nor clients, and builds on the host (tests/engine). An
// owner asks life_next() with what has happened; what the answer means is done by the owner alone,
// and no other code writes a state.
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* LIFE_NO: the event is refused in this state, and the owner tells the caller. */
enum { LIFE_NO }; /* no state: they begin at 1 */

/* ---- container ---- */

enum container_state {
    C_STOPPED = 1, /* no process: never started, or it has ended */
    C_PREPARING,   /* a job makes ready what the start needs */
    C_STARTING,    /* the child is there, its program does not run yet */
    C_RUNNING,
    C_PAUSED,
    C_RESTARTING, /* it has ended, and is started again in a moment */
    C_REMOVING,   /* a job deletes its files */
    C_GONE,       /* in no list; memory that references keep */
    C_STATES
};

enum container_event {
    CE_START,    /* a client wants it to run */
    CE_PREPARED, /* what the start needs is there */
    CE_STARTED,  /* the program runs */
    CE_FAILED,   /* the start has failed and left no process */
    CE_EXITED,   /* the main process has been reaped */
    CE_RESTART,  /* its restart policy wants it to run again */
    CE_STOP,     /* a client does not */
    CE_FOUND,    /* a new engine has found its process */
    CE_PAUSE,
    CE_UNPAUSE,
    CE_REMOVE,  /* a client wants it gone */
    CE_REMOVED, /* its files are gone */
    CE_EVENTS
};

int container_next(enum container_state s, enum container_event e);
bool container_has_process(enum container_state s); /* or is about to have one */

/* ---- image ---- */

enum image_state {
    I_LISTED = 1, /* has a name or an id that clients may use */
    I_UNLISTED,   /* removed by a client, kept by containers and jobs */
    I_GONE,
    I_STATES
};

enum image_event {
    IE_LIST,   /* loaded, again perhaps */
    IE_REMOVE, /* by a client */
    IE_UNUSED, /* the last reference of a container or a job went */
    IE_EVENTS
};

int image_next(enum image_state s, enum image_event e);

/* ---- volume ---- */

enum volume_state {
    V_LISTED = 1,
    V_GONE, /* off the list: a job removes its files */
    V_STATES
};

enum volume_event {
    VE_REMOVE, /* by a client, or with its container; the owner has seen that it is not in use */
    VE_EVENTS
};

int volume_next(enum volume_state s, enum volume_event e);

/* ---- job ---- */

enum job_state {
    J_QUEUED = 1,
    J_RUNNING, /* the worker is alive */
    J_ENDING,  /* cancelled: the worker has been killed and is not reaped yet */
    J_DONE,
    J_STATES
};

enum job_event {
    JE_RUN,    /* the worker has been started */
    JE_FAIL,   /* it could not be */
    JE_CANCEL, /* the owner does not want it any more */
    JE_REAPED,
    JE_EVENTS
};

int job_next(enum job_state s, enum job_event e);

/* ---- the tables themselves, for people and tests ---- */

struct life_table {
    const char *name;
    const char *const *states, *const *events; /* their names; states from 1 */
    const unsigned char *next;                 /* [state][event] */
    int nstates, nevents;
};

#define LIFE_TABLES 4
extern const struct life_table life_tables[LIFE_TABLES];
void life_print(FILE *out); /* `engine --life` */
