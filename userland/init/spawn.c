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

int spawn_wait(pid_t pid)
{
    int status;
    pid_t got;

    for (;;) {
        got = waitpid(-1, &status, 0);
        if (got < 0 && errno != EINTR)
            return 255;
        if (got == pid)
            return status_code(status);
        if (got > 0 && spawn_watcher)
            spawn_watcher(got, status);
    }
}

void spawn_reap(void)
{
    int status;
    pid_t got;

    while ((got = waitpid(-1, &status, WNOHANG)) > 0)
        if (spawn_watcher)
            spawn_watcher(got, status);
}
