// SPDX-License-Identifier: MIT
// Processes: the main one of a container, or an exec. The keeper (keeper.c) is their parent; the
// engine has their streams, and hears of what happens to them.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "engine/detach.h"
#include "lib/buf.h"
#include "lib/ev.h"
#include "lib/http.h"
#include "runtime/keep.h"

struct container;
struct exec;
struct json;
struct jw;

struct attach {
    struct attach *next;
    struct process *p; /* which ends its attaches when it ends */
    struct http_conn *conn;
    bool in, out, err;
    struct detach_keys keys; /* of a terminal */
};

struct process {
    struct process *next;
    struct container *c; /* a reference */
    struct exec *x;      /* a reference; NULL for the main process */
    uint64_t run;        /* the keeper's name for this start; 0: it has not been asked for */
    pid_t pid;           /* 0 not yet */
    bool started;        /* the program runs */
    bool silent;         /* the start-up conversation is over */
    bool reaped;
    int status; /* as wait4 gave it */
    struct timespec born, died;
    bool tty;
    bool vm_oom; /* the VM's guest ran out of memory and killed some of it */
    struct buf error;
    struct ev_source out, err; /* with a tty, out is the master and err unused; fd -1 closed */
    struct ev_source in;       /* our writing end; with a tty a dup of the master */
    struct buf in_pending;
    bool in_eof;  /* close `in` when in_pending is written */
    bool in_ours; /* the keeper has none of it any more: it ends with the engine */
    struct attach *attaches;
    unsigned rows, cols;
    struct ev_timer rest;      /* it has ended: what is left in its pipes is read, in parts */
    size_t out_left, err_left; /* at most so much of it */
};

/* ---- process.c ---- */

struct process *process_new(struct container *c, struct exec *x);
void process_free(struct process *p);
const char *process_id(const struct process *p); /* its container's, or its exec's */
void process_watch(struct process *p);           /* its descriptors have been set */
void process_resume(struct process *p);          /* reads it as fast as its clients allow */
void process_resize(struct process *p, unsigned rows, unsigned cols);
void process_hijack(struct http_conn *conn, bool tty); /* with the head of such a stream */
/* Of a hijacked connection. `keys` are a terminal's. */
void process_attach(struct process *p, struct http_conn *conn, bool in, bool out, bool err,
                    const struct detach_keys *keys);
void process_finish(struct process *p); /* it has run and has been reaped */
void process_exited(struct process *p); /* upcall: run.c */
bool processes_run(void);               /* there is one that has not been reaped */
/* Its input is a client's, whose connection ends with the engine: the input ends then. */
bool process_claims_input(const struct process *p);
void processes_lost(void); /* the keeper has ended, and they with it: kills them */

/* ---- start.c: from a spec to a program that runs ---- */

/* Starts the container's main process; the outcome comes through start_done(). Immediate refusals
 * give a sentence, to be freed. */
char *container_clone(struct container *c);
char *exec_start(struct exec *x);
void start_done(struct process *p, const char *error); /* upcall: run.c */
void exec_started(struct process *p, const char *error);

/* What the keeper tells of a start. Each may free p. */
void start_cloned(struct process *p, struct keep_message *m);
void start_failed(struct process *p, const char *why);
void start_said(struct process *p, struct keep_message *m);
void start_silent(struct process *p, const struct keep_head *h);
void start_exited(struct process *p, const struct keep_head *h);

/* ---- keeper.c: the engine's end of runtime/keep.h ---- */

/* Connects with the keeper that is there: what it keeps is found (container_found, exec_found).
 * 0, also without one, or -errno. */
int keeper_find(void);
/* One is there from now on: the one that was found, or a new one. 0 or -errno. */
int keeper_begin(void);
void keeper_end(void); /* all that it keeps is killed; waits for its end */
bool keeper_reaped(pid_t pid);
/* Asks for a start; p->run names it from now on. `group` is borrowed, -1 none. 0 or -errno. */
int keeper_start(struct process *p, const struct keep_head *how, struct jw *note,
                 const struct buf *order, int group);
void keeper_kill(const struct process *p, int sig);
void keeper_mark(const struct process *p, int mark);
void keeper_close_in(struct process *p);
void keeper_close_out(const struct process *p); /* it has ended: nothing of it is to be read */
void keeper_drop(struct process *p);            /* it is heard of no more */
void keeper_go(const struct process *p);
void keeper_forget(const char *id, uint64_t run);
/* What a new engine hears of a process: upcalls to run.c and api_exec.c. The object that it is of,
 * or NULL when there is none. */
struct process *container_found(const struct keep_message *m);
struct process *exec_found(const struct keep_message *m);
