// SPDX-License-Identifier: MIT
// The API's look inside a running container: top. What /proc says of the processes in its control
// group and those below, as many as there are and as long as their arguments may be: a worker
// looks.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "lib/str.h"

#define TOP_ARGS_MAX 4096 /* bytes of a process's arguments that are shown */
#define TOP_MAX (JOB_REPORT_MAX - 65536)

static void top_row(struct jw *w, int pid)
{
    struct buf stat = {0}, cmd = {0};
    char path[64], *p;
    int ppid = 0, err;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (file_read(path, 4096, &stat) == 0 && (p = strrchr(stat.data, ')')) && p[1] && p[2])
        ppid = atoi(p + 4);
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    err = file_read(path, TOP_ARGS_MAX, &cmd);
    if (err && err != -EFBIG)
        buf_clear(&cmd);
    if (cmd.len > TOP_ARGS_MAX)
        cmd.len = TOP_ARGS_MAX;
    for (size_t i = 0; i + 1 < cmd.len; i++)
        if (!cmd.data[i])
            cmd.data[i] = ' ';
    jw_array(w, NULL);
    jw_fmt(w, NULL, "%d", pid);
    jw_fmt(w, NULL, "%d", ppid);
    jw_strn(w, NULL, cmd.data, cmd.len ? strnlen(cmd.data, cmd.len) : 0);
    jw_array_end(w);
    buf_free(&stat);
    buf_free(&cmd);
}

/* top GROUP */
int worker_top(char **argv)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    DIR *proc = opendir("/proc");
    struct dirent *e;
    int err = 0;

    if (!proc)
        return worker_say(strerror(errno));
    jw_object(&w, NULL);
    jw_array(&w, "Titles");
    jw_str(&w, NULL, "PID");
    jw_str(&w, NULL, "PPID");
    jw_str(&w, NULL, "CMD");
    jw_array_end(&w);
    jw_array(&w, "Processes");
    while (b.len < TOP_MAX && (e = dir_next(proc, &err))) {
        int pid = atoi(e->d_name);

        if (pid > 0 && cgroup_holds(argv[0], pid))
            top_row(&w, pid);
    }
    closedir(proc);
    if (err)
        return worker_say(strerror(-err));
    if (b.len >= TOP_MAX)
        return worker_say("the processes are more than one answer holds");
    jw_array_end(&w);
    jw_object_end(&w);
    return write_all(1, b.data, b.len) ? 2 : 0;
}

static void top_done(struct job *j, const char *error)
{
    struct answer *a = j->owner;
    char *why =
        error ? str_fmt("cannot look at the processes: %s", j->report.len ? j->report.data : error)
              : NULL;

    buf_add(&a->body, j->report.data, j->report.len);
    answer_done(a, why);
    free(why);
}

API(api_container_top)
{
    const char *args = http_query(call->req, "ps_args");
    struct container *c = api_container(call);
    char *name;

    if (!c)
        return;
    if (args && *args && strcmp(args, "-ef")) {
        api_error(call->conn, 501, "top with options of ps (%.100s) is not supported yet", args);
        return;
    }
    if (!container_running(c)) {
        api_error(call->conn, 409, "container %s is not running", c->id);
        return;
    }
    name = cgroup_name(c);
    job_new(answer_new(call->conn, 200, "application/json"), top_done, 0, "top", name, NULL);
    free(name);
}
