// SPDX-License-Identifier: MIT
// Jobs and their workers; see job.h.
#include "engine/job.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/str.h"
#include "runtime/clone.h"

#define JOB_ARGS 8
#define JOB_ROLE 3 /* where it stands in argv */
#define JOB_MEMORY_MIN (64ll << 20)
#define LOADS_MAX 16 /* a client may take its time with each */
#define PULLS_MAX 8  /* a registry, too; each is several processes */

static struct job *job_list, **job_tail = &job_list; /* the oldest first */
static unsigned job_count;

/* How many workers of a role there may be: clients wait for the others, or do not wait at all. */
static struct job_limit {
    const char *role;
    int at_once, running;
    bool stays; /* as long as the engine: without a group, and with its lock */
} job_limits[] = {{"remove", 4, 0, false},       {"groups", 4, 0, false},
                  {"pack", 2, 0, false},         {"store", 1, 0, true},
                  {"top", 4, 0, false},          {"usage", 1, 0, false},
                  {"load", LOADS_MAX, 0, false}, {"pull", PULLS_MAX, 0, false},
                  {"push", PULLS_MAX, 0, false}, {"registry", LOADS_MAX, 0, false}};

static void job_start(struct job *j);

static void job_move(struct job *j, enum job_event e)
{
    int next = job_next(j->state, e);

    if (next == LIFE_NO)
        engine_bug("job %u: event %d in state %d", j->number, e, j->state);
    else
        j->state = (enum job_state)next;
}

static bool job_stays(const struct job *j)
{
    return j->limit && j->limit->stays;
}

static bool job_may_start(const struct job *j)
{
    return !j->limit || j->limit->running < j->limit->at_once;
}

/* The oldest of those that wait for one of a role to end. */
static void job_start_next(const struct job_limit *limit)
{
    for (struct job *j = job_list, *next; j && limit && limit->running < limit->at_once; j = next) {
        next = j->next;
        if (j->state == J_QUEUED && j->limit == limit)
            job_start(j);
    }
}

static void source_drop(struct ev_source *s)
{
    if (s->fd < 0)
        return;
    ev_del(s);
    close(s->fd);
    s->fd = -1;
}

static void job_free(struct job *j)
{
    for (struct job **at = &job_list; *at; at = &(*at)->next) {
        if (*at != j)
            continue;
        *at = j->next;
        job_tail = j->next ? job_tail : at;
        break;
    }
    source_drop(&j->in);
    source_drop(&j->out);
    for (char **a = j->argv; *a; a++)
        free(*a);
    free(j->argv);
    buf_free(&j->input);
    buf_free(&j->report);
    free(j);
}

/* ---- the worker's streams -------------------------------------------------------------------- */

bool job_full(const struct job *j)
{
    return j->input.len >= JOB_INPUT_MAX;
}

static void job_input_flush(struct job *j)
{
    bool full = job_full(j);

    while (j->in.fd >= 0 && j->input.len) {
        ssize_t n = send(j->in.fd, j->input.data, j->input.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS)) {
            if (errno != EAGAIN)
                usleep(1000); /* the kernel is short of memory for a moment: see ev_watch() */
            break;
        }
        if (n < 0) { /* the worker reads no more: its report says why */
            source_drop(&j->in);
            buf_free(&j->input);
            break;
        }
        buf_drop(&j->input, (size_t)n);
    }
    if (j->in.fd >= 0 && !j->input.len && j->input_ended)
        source_drop(&j->in);
    if (j->in.fd >= 0)
        ev_set(&j->in, j->input.len ? EPOLLOUT : 0);
    if (full && !job_full(j) && j->drained)
        j->drained(j);
}

static void job_in_event(struct ev_source *s, uint32_t events)
{
    job_input_flush((struct job *)((char *)s - offsetof(struct job, in)));
}

void job_feed(struct job *j, const void *data, size_t len)
{
    if (j->state == J_QUEUED || (j->state == J_RUNNING && j->in.fd >= 0))
        buf_add(&j->input, data, len);
    if (j->in.fd >= 0 && !job_stays(j) && !(j->in.events & EPOLLOUT))
        ev_set(&j->in, EPOLLOUT);
}

void job_feed_now(struct job *j)
{
    if (j->in.fd >= 0)
        job_input_flush(j);
}

void job_feed_end(struct job *j)
{
    j->input_ended = true;
    if (j->in.fd >= 0)
        ev_set(&j->in, EPOLLOUT);
}

/* Reads some of the report: false when there is no more now. */
static bool job_report(struct job *j)
{
    ssize_t n;

    if (j->out.fd < 0)
        return false;
    buf_reserve(&j->report, 4096);
    n = read(j->out.fd, j->report.data + j->report.len, 4096);
    if (n > 0 && j->report.len < JOB_REPORT_MAX)
        j->report.len += (size_t)n;
    j->report.data[j->report.len] = 0;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        source_drop(&j->out); /* the rest is done when the worker has been reaped */
    return n > 0;
}

static void job_out_event(struct ev_source *s, uint32_t events)
{
    struct job *j = (struct job *)((char *)s - offsetof(struct job, out));

    if (job_report(j) && j->heard)
        j->heard(j);
}

/* ---- starting ----------------------------------------------------------------------------- */

_Noreturn static void job_child(struct job *j, int in, int out)
{
    char *env[] = {NULL};
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (job_stays(j) && dup2(engine.lock, 3) < 0) ||
        syscall(SYS_close_range, 3 + job_stays(j), ~0u, 0) < 0 || engine_files_limit())
        _exit(126);
    execve("/proc/self/exe", j->argv, env);
    _exit(126);
}

static int job_spawn(struct job *j, int in, int out)
{
    int group = job_stays(j) ? -1 : cgroup_job_create(j->number, j->memory);
    bool placed;

    j->grouped = group >= 0;
    j->pid = clone_into(group, 0, &placed);
    if (j->pid == 0)
        job_child(j, in, out);
    if (group >= 0)
        close(group);
    if (j->pid < 0) {
        int err = -errno;

        j->pid = 0;
        if (j->grouped)
            cgroup_job_remove(j->number);
        return err;
    }
    if (!placed && j->grouped)
        cgroup_job_add(j->number, j->pid);
    return 0;
}

/* Outcomes are told from the event loop, never from within job_new(). */
static void job_fail(struct ev_timer *t)
{
    struct job *j = (struct job *)((char *)t - offsetof(struct job, failed));

    if (j->done)
        j->done(j, "cannot start a worker: out of processes or descriptors");
    else if (j->freed)
        j->freed(j->owner);
    job_free(j);
}

static void job_start(struct job *j)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 || pipe2(out, O_CLOEXEC) < 0)
        err = -errno;
    if (!err)
        err = job_spawn(j, in[1], out[1]);
    if (in[1] >= 0)
        close(in[1]);
    if (out[1] >= 0)
        close(out[1]);
    j->in = (struct ev_source){.fd = in[0], .fn = job_in_event};
    j->out = (struct ev_source){.fd = out[0], .fn = job_out_event};
    if (err) {
        engine_log("cannot start a worker: %s", strerror(-err));
        job_move(j, JE_FAIL);
        j->failed.fn = job_fail;
        ev_timer_set(&j->failed, 0);
        return;
    }
    job_move(j, JE_RUN);
    if (j->limit)
        j->limit->running++;
    fd_nonblock(j->out.fd);
    ev_set(&j->out, EPOLLIN);
    ev_set(&j->in, EPOLLOUT);
}

struct job *job_new(void *owner, void (*done)(struct job *, const char *), int64_t memory,
                    const char *role, ...)
{
    struct job *j = mem_alloc(sizeof(*j));
    const char *arg = role;
    int n = 0;
    va_list ap;

    j->state = J_QUEUED;
    j->owner = owner;
    j->done = done;
    j->memory = memory;
    j->number = ++job_count;
    j->in.fd = j->out.fd = -1;
    j->argv = mem_alloc((JOB_ROLE + JOB_ARGS + 1) * sizeof(char *));
    j->argv[n++] = str_dup("engine");
    j->argv[n++] = str_dup("--worker");
    j->argv[n++] = str_fmt("%d", (int)getpid());
    va_start(ap, role);
    for (; arg && n < JOB_ROLE + JOB_ARGS; arg = va_arg(ap, const char *))
        j->argv[n++] = str_dup(arg);
    va_end(ap);
    for (size_t i = 0; i < sizeof(job_limits) / sizeof(job_limits[0]); i++)
        if (!strcmp(job_limits[i].role, role))
            j->limit = &job_limits[i];
    *job_tail = j; /* thousands may wait: of a prune, or an image's layers */
    job_tail = &j->next;
    if (job_may_start(j))
        job_start(j);
    return j;
}

/* ---- ending ------------------------------------------------------------------------------- */

static void job_kill(struct job *j)
{
    if (j->grouped)
        cgroup_job_kill(j->number);
    if (j->pid > 0)
        kill(j->pid, SIGKILL);
}

void job_cancel(struct job *j, void (*freed)(void *owner))
{
    enum job_state was = j->state;

    job_move(j, JE_CANCEL);
    j->done = NULL;
    j->drained = NULL;
    j->freed = freed;
    if (was == J_RUNNING)
        job_kill(j);
    if (was != J_QUEUED)
        return;
    if (freed)
        freed(j->owner);
    job_free(j);
}

/* NULL, or what to say of a worker that ended so. */
static const char *job_verdict(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return "the worker was killed: it needed more memory than it may have";
    return WIFSIGNALED(status) ? "the worker crashed" : "the worker failed";
}

bool job_reaped(pid_t pid, int status)
{
    struct job *j = job_list;
    struct job_limit *limit;

    while (j && j->pid != pid)
        j = j->next;
    if (!j)
        return false;
    limit = j->limit;
    j->pid = -1; /* it may be another's by now */
    job_kill(j); /* what it may have started itself */
    while (job_report(j))
        ;
    if (j->heard)
        j->heard(j);
    if (j->grouped)
        cgroup_job_remove(j->number);
    job_move(j, JE_REAPED);
    if (limit)
        limit->running--;
    if (j->done)
        j->done(j, job_verdict(status));
    else if (j->freed)
        j->freed(j->owner);
    job_free(j);
    job_start_next(limit);
    return true;
}

void jobs_close(void)
{
    for (struct job *j = job_list; j; j = j->next) {
        if (j->pid <= 0)
            continue;
        job_kill(j);
        waitpid(j->pid, NULL, 0);
        if (j->grouped)
            cgroup_job_remove(j->number);
    }
}

/* A value of /proc/meminfo in bytes; 0 when it is not there. */
static int64_t job_meminfo(const struct buf *text, const char *name)
{
    char *at = text->data ? strstr(text->data, name) : NULL;
    int64_t kib = at ? strtoll(at + strlen(name), NULL, 10) : 0;

    return kib > 0 && kib < INT64_MAX / 1024 ? kib * 1024 : 0;
}

/* What is available but a sixteenth of the machine's. Where files are memory, a worker stops itself
 * at an eighth, with a sentence (lib/budget.h): that is to come first, and what lies between is for
 * its own data. */
int64_t job_memory_bound(void)
{
    struct buf b = {0};
    int64_t available, bound;

    if (file_read("/proc/meminfo", 65536, &b))
        buf_free(&b);
    available = job_meminfo(&b, "MemAvailable:");
    bound = available - job_meminfo(&b, "MemTotal:") / 16;
    buf_free(&b);
    return available && bound < JOB_MEMORY_MIN ? JOB_MEMORY_MIN : available ? bound : 0;
}
