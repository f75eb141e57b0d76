// SPDX-License-Identifier: MIT
// The API's look inside a running container: top. What /proc says of the processes in its control
// group and those below, as many as there are and as long as their arguments may be: a worker
// looks.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "engine/ps.h"
#include "lib/str.h"

#define TOP_ARGS_MAX 4096 /* bytes of a process's arguments that are shown */
#define TOP_MAX (JOB_REPORT_MAX - 65536)

static void top_arguments(int pid, struct buf *out)
{
    char path[64];
    int err;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    err = file_read(path, TOP_ARGS_MAX, out);
    if (err && err != -EFBIG)
        buf_clear(out);
    if (out->len > TOP_ARGS_MAX)
        out->len = TOP_ARGS_MAX;
    for (size_t i = 0; i + 1 < out->len; i++)
        if (!out->data[i])
            out->data[i] = ' ';
    buf_char(out, 0);
}

/* False when it has ended meanwhile. */
static bool top_process(int pid, struct ps_process *p)
{
    struct buf stat = {0}, status = {0};
    char path[64];
    bool there;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    there = file_read(path, 4096, &stat) == 0;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    there = there && file_read(path, 16384, &status) == 0;
    buf_char(&stat, 0);
    buf_char(&status, 0);
    there = there && ps_process_parse(p, stat.data, status.data);
    buf_free(&stat);
    buf_free(&status);
    return there;
}

static void top_row(struct jw *w, int pid, const struct ps_list *list, const struct ps_machine *m)
{
    struct buf args = {0}, cell = {0};
    struct ps_process p;

    if (!top_process(pid, &p))
        return;
    top_arguments(pid, &args);
    p.args = args.data;
    jw_array(w, NULL);
    for (size_t i = 0; i < list->n; i++) {
        buf_clear(&cell);
        ps_cell(&cell, &list->column[i], &p, m);
        jw_strn(w, NULL, cell.data, cell.len);
    }
    jw_array_end(w);
    buf_free(&args);
    buf_free(&cell);
}

static struct ps_machine top_machine(void)
{
    struct ps_machine m = {.hertz = sysconf(_SC_CLK_TCK)};
    struct timespec up, now;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    m.now = now.tv_sec;
    m.boot = now.tv_sec - up.tv_sec;
    m.memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
    return m;
}

static void top_titles(struct jw *w, const struct ps_list *list)
{
    jw_array(w, "Titles");
    for (size_t i = 0; i < list->n; i++)
        jw_str(w, NULL, ps_title(&list->column[i]));
    jw_array_end(w);
}

/* NULL, or why not all of them could be looked at. */
static const char *top_write(struct jw *w, const char *group, const struct ps_list *list)
{
    struct ps_machine m = top_machine();
    DIR *proc = opendir("/proc");
    struct dirent *e;
    int err = 0;

    if (!proc)
        return strerror(errno);
    jw_object(w, NULL);
    top_titles(w, list);
    jw_array(w, "Processes");
    while (w->out->len < TOP_MAX && (e = dir_next(proc, &err))) {
        int pid = atoi(e->d_name);

        if (pid > 0 && cgroup_holds(group, pid))
            top_row(w, pid, list, &m);
    }
    closedir(proc);
    jw_array_end(w);
    jw_object_end(w);
    return err                      ? strerror(-err)
           : w->out->len >= TOP_MAX ? "the processes are more than one answer holds"
                                    : NULL;
}

/* top GROUP OPTIONS */
int worker_top(char **argv)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct ps_list list;
    char *bad = ps_list_parse(&list, argv[1]);
    const char *why = bad ? bad : top_write(&w, argv[0], &list);

    if (why)
        return worker_say(why);
    return write_all(1, b.data, b.len) ? 2 : 0;
}

/* A question: who runs in there? */
struct top {
    struct answer *answer;
    struct container *c; /* a reference */
};

static void top_done(struct job *j, const char *error)
{
    struct top *t = j->owner;
    char *why =
        error ? str_fmt("cannot look at the processes: %s", j->report.len ? j->report.data : error)
              : NULL;

    buf_add(&t->answer->body, j->report.data, j->report.len);
    if (!why && t->c->state != C_GONE)
        event_container(t->c, "top", NULL);
    answer_done(t->answer, why);
    container_put(t->c);
    free(why);
    free(t);
}

static void top_begin(struct container *c, struct http_conn *conn, const char *args)
{
    struct top *t = mem_alloc(sizeof(*t));
    char *name = cgroup_name(c);

    *t = (struct top){answer_new(conn, 200, "application/json"), container_get(c)};
    job_new(t, top_done, 0, "top", name, args ? args : "", NULL);
    free(name);
}

API(api_container_top)
{
    const char *args = http_query(call->req, "ps_args");
    struct container *c = api_container(call);
    struct ps_list list;
    char *why;

    if (!c)
        return;
    why = ps_list_parse(&list, args);
    ps_list_free(&list);
    if (why)
        api_error(call->conn, 400, "%s", why);
    else if (!container_running(c))
        api_error(call->conn, 409, "container %s is not running", c->id);
    else
        top_begin(c, call->conn, args);
    free(why);
}
