// SPDX-License-Identifier: MIT
// What happens to a container: the one place that changes its state, and what each change means.
//
// container_raise() looks up the next state (life.c) and then acts. An action may raise the next
// event; it may end clients' requests; it never calls back into a client's handler.
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "engine/engine.h"
#include "lib/str.h"

#define STOP_SECONDS_MAX (1ll << 31) /* longer is for ever */

typedef void (*act_fn)(struct container *c, enum container_state was);

static int status_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void run_thaw(struct container *c)
{
    if (c->state == C_PAUSED && cgroup_freeze(c, false) == 0)
        container_raise(c, CE_UNPAUSE);
}

static void run_signal_event(struct container *c, int sig)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", sig);
    event_container(c, "kill", "signal", number);
}

/* When it has been reaped, its number may be another's. */
static void run_pid_signal(const struct container *c, int sig)
{
    if (c->pid > 0 && c->proc && !c->proc->reaped)
        kill(c->pid, sig);
}

void container_signal(struct container *c, int sig)
{
    run_signal_event(c, sig);
    run_thaw(c);
    run_pid_signal(c, sig);
}

void container_kill(struct container *c)
{
    run_signal_event(c, SIGKILL);
    if (c->state == C_PREPARING) { /* there is nothing to kill but the preparation */
        runtime_vm_cancel(c);
        container_start_failed(c, "the container was killed before it ran");
        return;
    }
    if (cgroup_kill(c))
        run_pid_signal(c, SIGKILL); /* the rest of its pid namespace goes with it */
}

static void stop_timeout(struct ev_timer *t)
{
    struct container *c = (struct container *)((char *)t - offsetof(struct container, stop_timer));

    container_kill(c);
}

void container_stop_begin(struct container *c, struct request *r)
{
    uint64_t now = time_now_ms(), in = (uint64_t)r->seconds * 1000;
    int sig = r->signal;

    if (c->state != C_RUNNING && c->state != C_PAUSED)
        return; /* when the program runs: requests_started() */
    r->signal = 0;
    container_signal(c, sig);
    if (r->seconds < 0 || r->seconds > STOP_SECONDS_MAX)
        return;
    if (c->stop_timer.at && c->stop_timer.at <= now + in)
        return; /* another client is less patient */
    c->stop_timer.fn = stop_timeout;
    ev_timer_set(&c->stop_timer, in);
}

/* ---- what each event means ------------------------------------------------------------------- */

static void run_start(struct container *c, enum container_state was)
{
    if (was != C_STOPPED)
        return; /* the client waits with the others, or it runs already */
    c->oom_killed = false;
    free(c->error);
    c->error = NULL;
    if (c->runtime == RUNTIME_VM && runtime_vm_prepare(c))
        return;
    container_raise(c, CE_PREPARED);
}

static void run_prepared(struct container *c, enum container_state was)
{
    char *why = c->runtime == RUNTIME_VM ? runtime_vm_config(c) : NULL;

    if (!why)
        why = container_clone(c);
    if (why)
        container_start_failed(c, why);
    free(why);
}

static void run_started(struct container *c, enum container_state was)
{
    c->exit_code = 0;
    engine_now(&c->started);
    event_container(c, "start", NULL, NULL);
    requests_started(c);
}

static int start_exit_code(const char *error)
{
    int code = child_failure_status(error);

    return code == 125 ? 128 : code;
}

static void run_process_drop(struct container *c)
{
    struct process *p = c->proc;

    c->proc = NULL;
    c->pid = 0;
    if (p)
        process_free(p);
}

static void run_failed(struct container *c, enum container_state was)
{
    ev_timer_del(&c->stop_timer);
    run_process_drop(c);
    cgroup_remove(c);
    log_end(c);
    log_close(c);
    requests_failed(c, start_exit_code(c->error) == 128 ? 500 : 400);
}

void container_start_failed(struct container *c, const char *error)
{
    char *text = str_fmt("failed to create task for container: failed to create shim task: OCI "
                         "runtime create failed: unable to start container process: %s",
                         error);

    free(c->error);
    c->error = text;
    c->exit_code = start_exit_code(error);
    container_raise(c, CE_FAILED);
}

static void run_exited(struct container *c, enum container_state was)
{
    struct process *p = c->proc;
    char code[16];

    c->oom_killed = p->vm_oom || cgroup_oom(c);
    c->exit_code = status_code(p->status);
    engine_now(&c->finished);
    ev_timer_del(&c->stop_timer);
    log_flush(c);
    log_end(c);
    log_close(c);
    run_process_drop(c);
    cgroup_remove(c);
    if (c->oom_killed)
        event_container(c, "oom", NULL, NULL);
    snprintf(code, sizeof(code), "%d", c->exit_code);
    event_container(c, "die", "exitCode", code);
    requests_exited(c);
}

static void run_paused(struct container *c, enum container_state was)
{
    event_container(c, "pause", NULL, NULL);
}

static void run_unpaused(struct container *c, enum container_state was)
{
    event_container(c, "unpause", NULL, NULL);
}

static void run_files_gone(void *arg)
{
    struct container *c = arg;

    container_raise(c, CE_REMOVED);
    container_put(c);
}

static void run_remove(struct container *c, enum container_state was)
{
    char *path = container_path(c, "");

    run_process_drop(c); /* attached to before any start */
    tree_discard(path, run_files_gone, container_get(c));
    free(path);
}

static void run_removed(struct container *c, enum container_state was)
{
    event_container(c, "destroy", NULL, NULL);
    container_unlist(c);
    requests_removed(c);
}

static const act_fn run_acts[CE_EVENTS] = {
    [CE_START] = run_start,      [CE_PREPARED] = run_prepared, [CE_STARTED] = run_started,
    [CE_FAILED] = run_failed,    [CE_EXITED] = run_exited,     [CE_PAUSE] = run_paused,
    [CE_UNPAUSE] = run_unpaused, [CE_REMOVE] = run_remove,     [CE_REMOVED] = run_removed,
};

bool container_raise(struct container *c, enum container_event e)
{
    enum container_state was = c->state;
    int next = container_next(was, e);

    if (next == LIFE_NO)
        return false;
    container_get(c);
    c->state = (enum container_state)next;
    run_acts[e](c, was);
    container_put(c);
    return true;
}

/* ---- upcalls --------------------------------------------------------------------------------- */

void start_done(struct process *p, const char *error)
{
    struct container *c = p->c;

    if (error)
        container_start_failed(c, error);
    else if (!container_raise(c, CE_STARTED))
        engine_bug("container %s started in state %d", c->id, c->state);
}

static void exec_exited(struct process *p)
{
    struct exec *x = p->x;
    char code[16];

    x->running = false;
    x->exit_code = status_code(p->status);
    x->proc = NULL;
    x->pid = 0;
    snprintf(code, sizeof(code), "%d", x->exit_code);
    if (x->c->state != C_GONE)
        event_container(x->c, "exec_die", "exitCode", code);
    process_free(p);
}

/* The program is gone and its output has been passed on. */
void process_exited(struct process *p)
{
    if (p->x)
        exec_exited(p);
    else if (!container_raise(p->c, CE_EXITED))
        engine_bug("container %s exited in state %d", p->c->id, p->c->state);
}
