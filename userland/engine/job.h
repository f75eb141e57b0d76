// SPDX-License-Identifier: MIT
// Long work outside of the event loop: one worker process per job.
//
// A worker is this program executed anew in a role (worker.c). It holds three descriptors: its
// input, its report and the log. It lives in a control group of its own, bounded in memory, and is
// killed when the job is cancelled or the engine dies. States and events: life.h.
#pragma once

#include <sys/types.h>

#include "engine/life.h"
#include "lib/buf.h"
#include "lib/ev.h"

#define JOB_INPUT_MAX (256 * 1024)
#define JOB_REPORT_MAX (4u * 1024 * 1024)

struct job_limit;

struct job {
    struct job *next;
    enum job_state state;
    struct job_limit *limit; /* how many of its role there may be, or NULL */
    unsigned number;
    pid_t pid;
    int64_t memory;           /* bound in bytes; 0 none */
    bool grouped;             /* it has a control group */
    char **argv;              /* role and its arguments */
    struct ev_source in, out; /* fd -1 closed */
    struct buf input;         /* not taken yet */
    bool input_ended;
    struct buf report;      /* all that it wrote */
    struct ev_timer failed; /* it could not be started: reported from the event loop */
    void *owner;
    /* The worker has ended: `error` is NULL after exit status 0, otherwise a sentence. The job is
     * freed afterwards. Not called for a cancelled job. */
    void (*done)(struct job *j, const char *error);
    void (*drained)(struct job *j); /* its input has become short again; or NULL */
    void (*heard)(struct job *j);   /* more has come of its report, which it may take; or NULL */
    void (*freed)(void *owner);     /* after a cancelled job's worker has been reaped; or NULL */
};

/* A job of `role` with up to six further arguments, ended by NULL. It starts at once, or when the
 * role's turn comes; `done` is never called before this has returned to the event loop. */
struct job *job_new(void *owner, void (*done)(struct job *, const char *), int64_t memory,
                    const char *role, ...) __attribute__((sentinel));
void job_feed(struct job *j, const void *data, size_t len);
void job_feed_now(struct job *j); /* what there is goes at once, as far as it can */
void job_feed_end(struct job *j);
bool job_full(const struct job *j); /* wait for `drained` before feeding more */
/* The owner does not want it any more. `freed` is called when no worker touches anything. */
void job_cancel(struct job *j, void (*freed)(void *owner));
bool job_reaped(pid_t pid, int status); /* true when it was a worker */
void jobs_close(void);                  /* at the engine's end: kills and reaps all */
int64_t job_memory_bound(void);         /* what a load or a pack may take now */

/* worker.c: the engine's program in a role. */
int worker_main(int argc, char **argv);
int worker_say(const char *text); /* its report is an error; the exit status for that */
int worker_top(char **argv);      /* api_top.c */
