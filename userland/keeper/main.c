// SPDX-License-Identifier: MIT
// The keeper's process: the loop, the children that end, and what they say before their programs
// run.
//
//   keeper --listener FD --engine FD
//
// LISTENER is a listening socket for the engines to come, ENGINE the connection of the first. It
// ends when an engine says so and all are dead, or when it has neither engine nor process.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "lib/str.h"
#include "runtime/birth.h"
#include "runtime/child.h"

#define OOM_SCORE_ADJ "-900" /* all containers end with us */

static int loop = -1;

int watch(int fd, void *what, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = what};

    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void watch_change(int fd, void *what, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = what};

    epoll_ctl(loop, EPOLL_CTL_MOD, fd, &e);
}

static int64_t time_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- a child's conversation ------------------------------------------------------------------ */

static void sync_end(struct kept *k)
{
    epoll_ctl(loop, EPOLL_CTL_DEL, k->sync, NULL); /* a child may have a copy for a moment */
    close(k->sync);
    k->sync = -1;
    if (!k->said_len) {
        free(k->said);
        k->said = NULL;
    }
    k->head.flags |= KEEP_QUIET;
    talk_tell(k, TELL_SILENT);
}

static void sync_said(struct kept *k, const char *text, size_t n)
{
    size_t left = KEEP_SAID_MAX - k->said_len;

    n = n < left ? n : left;
    if (!n) /* it may go on as long as it likes */
        return;
    memcpy(k->said + k->said_len, text, n);
    k->said_len += (uint32_t)n;
    talk_tell(k, TELL_SAID);
}

static void reaped(struct kept *k, int status);

static pid_t ending; /* the child that reap() has waited for and not told of yet; or 0 */

/* Killed before its maker told of it: its end was read before its birth and taken for a stranger's.
 * It has not run its program then, so the status is SIGKILL's. `ending` has its own status. */
static bool is_reaped(pid_t pid)
{
    siginfo_t si;

    return pid != ending && waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 &&
           errno == ECHILD;
}

/* One message: false when there is none now, or no more. */
static bool sync_read(struct kept *k)
{
    char text[KEEP_SAID_MAX];
    int master;
    pid_t sender = 0, *from = k->head.flags & KEEP_EXEC ? &sender : NULL;
    long n = k->sync < 0 ? 0 : child_listen(k->sync, text, sizeof(text), &master, from);

    if (k->sync < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return false;
    if (n <= 0) {
        sync_end(k);
        return false;
    }
    if (master < 0 && k->maker && sender == k->head.pid && birth_read(text, n)) {
        kept_born(k, birth_read(text, n));
        if (is_reaped(k->head.pid))
            reaped(k, SIGKILL);
        return true;
    }
    if (master < 0) {
        sync_said(k, text, (size_t)n);
        return true;
    }
    if (!(k->head.flags & KEEP_TTY) || k->out >= 0) {
        close(master); /* not asked for: a VMM may have come into its guest's hands */
        return true;
    }
    k->out = master; /* the byte that carried it says nothing */
    talk_tell(k, TELL_MASTER);
    return true;
}

/* ---- children that have ended ---------------------------------------------------------------- */

/* The most messages that are read after an end: a container that has the socket could send for
 * ever. */
#define SYNC_LAST 64

static void reaped(struct kept *k, int status)
{
    for (int i = 0; i < SYNC_LAST && !(k->head.flags & KEEP_DEAD) && sync_read(k); i++)
        ;
    if (k->head.flags & KEEP_DEAD) /* its birth was among them */
        return;
    if (k->sync >= 0)
        sync_end(k);
    if (k->in >= 0)
        close(k->in);
    k->in = -1;
    k->head.status = status;
    k->head.flags |= KEEP_DEAD;
    k->head.died = time_ns();
    talk_tell(k, TELL_EXITED);
}

static void hear_birth(struct kept *k)
{
    for (int i = 0; i < SYNC_LAST && k->maker && sync_read(k); i++)
        ;
}

/* The one whose end this is. A number may be its maker's or its own: what is still to be read of
 * the births tells. NULL: a maker's, or a stranger's. */
static struct kept *reaped_one(pid_t pid)
{
    struct kept *k = kept_of_pid(pid);

    if (k && !k->maker)
        return k;
    kept_each(hear_birth);
    return kept_of_pid(pid);
}

static void reap(int fd)
{
    struct signalfd_siginfo si;
    int status;
    pid_t pid;

    while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
        ;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct kept *k;

        ending = pid;
        k = reaped_one(pid);
        ending = 0;
        if (k)
            reaped(k, status);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void deliver(const struct epoll_event *e, int listener, int signals)
{
    switch ((uintptr_t)e->data.ptr) {
    case WATCH_ENGINE:
        talk_event(e->events);
        break;
    case WATCH_LISTENER:
        talk_listener(listener);
        break;
    case WATCH_SIGNAL:
        reap(signals);
        break;
    default:
        sync_read(e->data.ptr);
    }
}

static _Noreturn void keep(int listener, int signals)
{
    while (!talk_over()) {
        struct epoll_event e;

        if (epoll_wait(loop, &e, 1, -1) == 1) /* one: the next may be of what this one frees */
            deliver(&e, listener, signals);
    }
    exit(0);
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Each process that is kept takes some; its own limit comes with its order. */
static void raise_files(void)
{
    struct rlimit all;

    if (getrlimit(RLIMIT_NOFILE, &all) < 0)
        return;
    all.rlim_cur = all.rlim_max;
    setrlimit(RLIMIT_NOFILE, &all);
}

static int fail(const char *what)
{
    fprintf(stderr, "keeper: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t listener, engine;
    int signals, err;

    if (argc != 5 || strcmp(argv[1], "--listener") || strcmp(argv[3], "--engine") ||
        !str_u64(argv[2], &listener) || !str_u64(argv[4], &engine)) {
        fprintf(stderr, "keeper: started by the engine alone\n");
        return 2;
    }
    err = seal_program(argv);
    if (err) {
        errno = -err;
        return fail("cannot seal its program");
    }
    setsid(); /* what ends the engine's session is not for us */
    raise_files();
    file_put("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    if (chdir("/") < 0)
        return fail("/");
    loop = epoll_create1(EPOLL_CLOEXEC);
    signals = open_signals();
    if (loop < 0 || signals < 0 || start_prepare() < 0 ||
        watch((int)listener, (void *)WATCH_LISTENER, EPOLLIN) ||
        watch(signals, (void *)WATCH_SIGNAL, EPOLLIN))
        return fail("cannot begin");
    talk_adopt((int)engine);
    keep((int)listener, signals);
}
