// SPDX-License-Identifier: MIT
// Starting programs and reaping everything: PID 1 inherits every orphan.
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void (*spawn_watcher)(pid_t pid, int status);

/* One that waits for a process. A watcher may wait and reap itself: what it reaps of others' is
 * kept for them. */
struct spawn_waiter {
    struct spawn_waiter *next;
    pid_t pid;
    int status;
    bool done;
};

static struct spawn_waiter *spawn_waiters;

void spawn_on_exit(void (*fn)(pid_t pid, int status))
{
    spawn_watcher = fn;
}

int status_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t spawn(char *const argv[], int in, bool foreground)
{
    int report[2], err = 0;
    pid_t pid;

    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        if (foreground)
            tcsetpgrp(0, getpid());
        if (in != 0)
            dup2(in, 0);
        signal(SIGTTOU, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        /* the console has no jobs: what stopped would never be heard of again */
        signal(SIGTSTP, foreground ? SIG_IGN : SIG_DFL);
        execvp(argv[0], argv);
        err = errno;
        _exit(write(report[1], &err, sizeof(err)) == sizeof(err) ? 127 : 126);
    }
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return -EAGAIN;
    }
    if (read(report[0], &err, sizeof(err)) != sizeof(err))
        err = 0;
    close(report[0]);
    if (err)
        spawn_wait(pid);
    return err ? -err : pid;
}

static void spawn_reaped(pid_t pid, int status)
{
    for (struct spawn_waiter *w = spawn_waiters; w; w = w->next) {
        if (w->pid != pid)
            continue;
        w->status = status;
        w->done = true;
        return;
    }
    if (spawn_watcher)
        spawn_watcher(pid, status);
}

int spawn_wait(pid_t pid)
{
    struct spawn_waiter me = {.next = spawn_waiters, .pid = pid};
    bool lost = false;

    spawn_waiters = &me;
    while (!me.done && !lost) {
        int status;
        pid_t got = waitpid(-1, &status, 0);

        lost = got < 0 && errno != EINTR;
        if (got > 0)
            spawn_reaped(got, status);
    }
    spawn_waiters = me.next;
    return me.done ? status_code(me.status) : 255;
}

void spawn_reap(void)
{
    int status;
    pid_t got;

    while ((got = waitpid(-1, &status, WNOHANG)) > 0)
        spawn_reaped(got, status);
}
