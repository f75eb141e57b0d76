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
#include <unistd.h>

#include "engine/engine.h"
#include "engine/process.h"
#include "engine/volume.h"
#include "lib/str.h"

#define STOP_SECONDS_MAX (1ll << 31) /* longer is for ever */
#define SAVE_AGAIN_MS 1000           /* a disk that is full is tried again */

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
    event_container(c, "kill", EVENT_MORE("signal", number));
}

/* When it has been reaped, its number may be another's. */
static void run_pid_signal(const struct container *c, int sig)
{
    if (c->proc && c->proc->run && !c->proc->reaped)
        keeper_kill(c->proc, sig);
}

/* The keeper knows before anything is killed: an engine that dies now leaves no doubt why the
 * container ended. */
void container_stop_asked(struct container *c, int sig)
{
    const char *own = json_str(c->config, "StopSignal");

    c->restart.stopped = true;
    if (!own || !sig || sig == SIGKILL || sig == c->stop_signal)
        c->restart.cancelled = true;
    if (c->proc && c->proc->run && !c->proc->reaped)
        keeper_mark(c->proc, KEEP_MARK_STOPPED | (c->restart.cancelled ? KEEP_MARK_LAST : 0));
}

void container_start_asked(struct container *c)
{
    if (c->state == C_STOPPED)
        restart_reset(&c->restart);
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
    if (c->state == C_RESTARTING) {
        container_raise(c, CE_STOP);
        return;
    }
    if (c->state == C_PREPARING) { /* there is nothing to kill but the preparation */
        runtime_vm_cancel(c);
        container_start_failed(c, "the container was killed before it ran");
        return;
    }
    if (cgroup_kill(c) || c->state == C_STARTING) /* when it may not be born yet */
        run_pid_signal(c, SIGKILL);               /* the rest of its pid namespace goes with it */
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

    container_stop_asked(c, 0);
    if (c->state == C_RESTARTING)
        container_raise(c, CE_STOP);
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
    if (was != C_STOPPED && was != C_RESTARTING)
        return; /* the client waits with the others, or it runs already */
    ev_timer_del(&c->restart.timer);
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

/* A start that could not be written down: a later engine is not to believe what the file says of
 * the time before it. */
struct unwritten {
    char id[ID_LEN + 1];
    struct ev_timer again;
};

static void run_written(void *arg, const char *why)
{
    struct unwritten *u = arg;

    if (why)
        ev_timer_set(&u->again, SAVE_AGAIN_MS);
    else
        free(u);
}

static void run_write_again(struct ev_timer *t)
{
    struct unwritten *u = (struct unwritten *)((char *)t - offsetof(struct unwritten, again));
    bool ambiguous;
    struct container *c = container_find(u->id, &ambiguous);

    if (c)
        container_save(c, run_written, u);
    else
        free(u); /* it has been removed meanwhile */
}

static void run_started_saved(void *arg, const char *why)
{
    struct container *c = arg;
    struct unwritten *u = why ? mem_alloc(sizeof(*u)) : NULL;

    if (u) {
        u->again.fn = run_write_again;
        memcpy(u->id, c->id, ID_LEN);
        run_written(u, why);
    }
    requests_start_done(c);
    container_put(c);
}

/* The time is the keeper's, which the next engine is told as well. */
static void run_started(struct container *c, enum container_state was)
{
    c->exit_code = 0;
    c->restart.again = false;
    c->started = c->proc->born;
    container_save(c, run_started_saved, container_get(c));
    volumes_event(c, "mount");
    event_container(c, "start", NULL);
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

/* The keeper may forget how it ended when that is written down, and not before. */
struct ended {
    char id[ID_LEN + 1];
    uint64_t run;
    struct ev_timer again;
};

static void run_ended_saved(void *arg, const char *why)
{
    struct ended *e = arg;
    bool ambiguous;

    if (why && container_find(e->id, &ambiguous)) {
        ev_timer_set(&e->again, SAVE_AGAIN_MS);
        return;
    }
    keeper_forget(e->id, e->run);
    free(e);
}

static void ended_again(struct ev_timer *t)
{
    struct ended *e = (struct ended *)((char *)t - offsetof(struct ended, again));
    bool ambiguous;
    struct container *c = container_find(e->id, &ambiguous);

    if (c)
        container_save(c, run_ended_saved, e);
    else
        run_ended_saved(e, NULL); /* it has been removed meanwhile */
}

static struct ended *ended_note(const struct container *c)
{
    struct ended *e = mem_alloc(sizeof(*e));

    *e = (struct ended){.run = c->proc->run, .again.fn = ended_again};
    memcpy(e->id, c->id, ID_LEN);
    return e;
}

static void run_failed(struct container *c, enum container_state was)
{
    struct ended *e = c->proc ? ended_note(c) : NULL;

    c->restart.again = false;
    ev_timer_del(&c->stop_timer);
    run_process_drop(c);
    cgroup_remove(c);
    log_end(c);
    log_close(c);
    container_save(c, e ? run_ended_saved : NULL, e);
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

static void run_ended(struct container *c)
{
    if (c->auto_remove) { /* ... or when there is nothing left to write down: run_remove() */
        c->ended_run = c->proc->run;
        return;
    }
    container_save(c, run_ended_saved, ended_note(c));
}

static void run_exited(struct container *c, enum container_state was)
{
    struct process *p = c->proc;
    int64_t ran;
    char code[16];

    c->oom_killed = p->vm_oom || cgroup_oom(c);
    c->exit_code = status_code(p->status);
    c->finished = p->died;
    ran = (c->finished.tv_sec - c->started.tv_sec) * 1000 +
          (c->finished.tv_nsec - c->started.tv_nsec) / 1000000;
    ev_timer_del(&c->stop_timer);
    log_flush(c);
    log_end(c);
    log_close(c);
    run_ended(c);
    run_process_drop(c);
    cgroup_remove(c);
    if (c->oom_killed)
        event_container(c, "oom", NULL);
    snprintf(code, sizeof(code), "%d", c->exit_code);
    event_container(c, "die", EVENT_MORE("exitCode", code));
    volumes_event(c, "unmount");
    requests_start_done(c); /* it did start, though that may not be written down yet */
    requests_exited(c);
    if (c->state == C_STOPPED && !engine.stopping && !c->auto_remove &&
        restart_again(&c->restart, c->exit_code, ran > 0 ? (uint64_t)ran : 0))
        container_raise(c, CE_RESTART);
}

static void run_restart_now(struct ev_timer *t)
{
    container_raise((struct container *)((char *)t - offsetof(struct container, restart.timer)),
                    CE_START);
}

static void run_restart(struct container *c, enum container_state was)
{
    c->restart.again = true;
    c->restart.timer.fn = run_restart_now;
    ev_timer_set(&c->restart.timer, c->restart.delay_ms);
    container_save(c, NULL, NULL);
}

static void run_stopped(struct container *c, enum container_state was)
{
    c->restart.again = false;
    ev_timer_del(&c->restart.timer);
    container_save(c, NULL, NULL);
    requests_stopped(c);
}

static void run_found(struct container *c, enum container_state was)
{
}

static void run_paused(struct container *c, enum container_state was)
{
    event_container(c, "pause", NULL);
}

static void run_unpaused(struct container *c, enum container_state was)
{
    event_container(c, "unpause", NULL);
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
    log_end(c);
    tree_discard(path, run_files_gone, container_get(c));
    keeper_forget(c->id, c->ended_run);
    free(path);
}

static void run_removed(struct container *c, enum container_state was)
{
    event_container(c, "destroy", NULL);
    volumes_leave(c);
    if (c->auto_remove || c->remove_volumes)
        volumes_remove_anonymous(c);
    container_unlist(c);
    requests_removed(c);
}

static const act_fn run_acts[CE_EVENTS] = {
    [CE_START] = run_start,      [CE_PREPARED] = run_prepared, [CE_STARTED] = run_started,
    [CE_FAILED] = run_failed,    [CE_EXITED] = run_exited,     [CE_PAUSE] = run_paused,
    [CE_UNPAUSE] = run_unpaused, [CE_REMOVE] = run_remove,     [CE_REMOVED] = run_removed,
    [CE_RESTART] = run_restart,  [CE_STOP] = run_stopped,      [CE_FOUND] = run_found,
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

    keeper_close_out(p);
    x->running = false;
    x->run = p->run;
    x->exit_code = status_code(p->status);
    x->proc = NULL;
    x->pid = 0;
    snprintf(code, sizeof(code), "%d", x->exit_code);
    if (x->c->state != C_GONE)
        event_container(x->c, "exec_die", EVENT_MORE("execID", x->id, "exitCode", code));
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

/* ---- a new engine ---------------------------------------------------------------------------- */

/* The main process of a container that the last engine started: all that is known of it follows. */
struct process *container_found(const struct keep_message *m)
{
    char id[ID_LEN + 1] = {0}, group[16] = {0};
    bool ambiguous;
    struct container *c;
    int dir, err;

    memcpy(id, m->head.id, ID_LEN);
    c = container_find(id, &ambiguous);
    if (!c || strcmp(c->id, id) || c->proc || !container_raise(c, CE_FOUND))
        return NULL;
    memcpy(group, m->note, m->head.note < sizeof(group) ? m->head.note : sizeof(group) - 1);
    c->group = (unsigned)strtoul(group, NULL, 10);
    c->restart.stopped = m->head.value & KEEP_MARK_STOPPED;
    c->restart.cancelled = m->head.value & KEEP_MARK_LAST;
    c->proc = process_new(c, NULL);
    c->ran = c->waits = false;
    dir = container_dir(c);
    err = dir < 0 ? dir : log_open(c, dir);
    if (dir >= 0)
        close(dir);
    log_check_open(c, err);
    if (err)
        engine_log("what %.12s writes is not logged: %s", id, str_error(-err));
    return c->proc;
}

/* What a container that has ended said last, without a newline. */
static void container_last_line(struct container *c)
{
    int dir = container_dir(c);

    if (dir >= 0 && log_open(c, dir) == 0) {
        log_flush(c);
        log_close(c);
    }
    if (dir >= 0)
        close(dir);
}

/* It ran when the last engine died, and no keeper knows of it: the machine has been started anew,
 * or the keeper has died too. */
static void container_vanished(struct container *c)
{
    container_last_line(c);
    c->ran = false;
    c->exit_code = 255;
    engine_now(&c->finished);
    container_save(c, NULL, NULL);
    if (!c->auto_remove && restart_again(&c->restart, c->exit_code, RESTART_STEADY_MS))
        container_raise(c, CE_RESTART);
}

static void container_opened(struct container *c)
{
    if (c->state == C_RUNNING && cgroup_frozen(c))
        container_raise(c, CE_PAUSE);
    if (c->state != C_STOPPED)
        return;
    if (c->waits)
        container_raise(c, CE_RESTART);
    else if (c->ran)
        container_vanished(c);
    else if (c->started.tv_sec && restart_at_begin(&c->restart))
        container_raise(c, CE_START);
    if (c->state == C_STOPPED && c->auto_remove && c->finished.tv_sec)
        container_raise(c, CE_REMOVE);
}

void containers_end(void)
{
    for (struct container *c = container_first(); c; c = c->next) {
        ev_timer_del(&c->restart.timer);
        if (c->proc && c->proc->run && !c->proc->reaped && cgroup_kill(c))
            run_pid_signal(c, SIGKILL);
    }
}

void containers_opened(void)
{
    struct container *next;

    for (struct container *c = container_first(); c; c = next) {
        next = c->next;
        container_get(c);
        if (c->renamed)
            container_save(c, NULL, NULL);
        c->renamed = false;
        container_opened(c);
        container_put(c);
    }
}
