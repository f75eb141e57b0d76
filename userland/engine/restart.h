// SPDX-License-Identifier: MIT
// Restart policies: whether a container that has ended is to run again, and when. A pure core
// (tests/engine); what it decides is done by run.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/ev.h"

#define RESTART_DELAY_MS 100       /* before the first; then twice as long each time ... */
#define RESTART_DELAY_MAX_MS 60000 /* ... up to this */
#define RESTART_STEADY_MS 10000    /* one that ran so long begins anew */

enum restart_kind { RESTART_NO, RESTART_ALWAYS, RESTART_UNLESS_STOPPED, RESTART_ON_FAILURE };

struct restart {
    enum restart_kind kind;
    int64_t max;       /* of RESTART_ON_FAILURE; 0: no bound */
    int64_t count;     /* since a client has started it */
    uint64_t delay_ms; /* before the last one; 0 none yet */
    bool stopped;      /* a client has stopped it, or sent it a signal */
    bool cancelled;    /* ... so that this run is its last */
    bool again;        /* its policy is about to have it run again, or does so now */
    struct ev_timer timer;
};

struct json;

/* Reads HostConfig.RestartPolicy, NULL being none: NULL, or a sentence, to be freed. `remove`: it
 * is removed when it ends. */
char *restart_read(struct restart *r, const struct json *policy, bool remove);
const char *restart_name(enum restart_kind kind);
/* The container has ended with `code` after it ran for `ran_ms`: false, or it is to run again after
 * r->delay_ms, and is counted. */
bool restart_again(struct restart *r, int code, uint64_t ran_ms);
/* It had ended already when this engine began. */
bool restart_at_begin(const struct restart *r);
void restart_reset(struct restart *r); /* a client has started it */
