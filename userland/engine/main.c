// SPDX-License-Identifier: MIT
// The engine's process: options, the listening socket, signals, the loop.
//
//   engine [--socket PATH] [-H tcp://ADDRESS:PORT]... [--root DIR] [--cgroup DIR]
//          [--keeper PROGRAM] [--ready-fd N] [--after S]
//          [--mirror URL]... [--insecure-registry HOST]... [--https SOCKET] [--registry-idle S]
//   engine --worker ...   a worker of one that runs: worker.c
//   engine --life         prints the transition tables
//
// The second line's, for registries (registry.h), also stand on the kernel's command line, as
// bothy.mirror=URL and so on.
//
// -H: the API over TCP as well, without authentication: listen.h. unix://PATH is --socket's.
// --after: seconds to wait first, for init, which starts one again that does not live long. One
// that has waited for the longest is patient: what those before it could not read it leaves out.
// --ready-fd gets one byte when the socket listens, then is closed: init waits for that.
//
// SIGTERM and SIGINT end it with all containers; SIGHUP ends it alone: another engine goes on with
// them, as it does after a SIGKILL.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "engine/listen.h"
#include "engine/network.h"
#include "engine/process.h"
#include "engine/registry.h"
#include "engine/spool.h"
#include "engine/volume.h"
#include "lib/str.h"
#include "runtime/child.h"

#define OOM_SCORE_ADJ "-500"

#define AFTER_PATIENT 5 /* seconds: init's longest pause */
#define LOCK_TRIES 1000 /* ten milliseconds each */
#define END_MS 10000    /* how long containers and the store may take to end */

static bool engine_stop, engine_leave;
static struct ev_source engine_signals;

static void engine_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (!job_reaped(pid, status) && !keeper_reaped(pid))
            engine_log("an unknown child %d has ended", (int)pid);
}

static void engine_signal(struct ev_source *s, uint32_t events)
{
    struct signalfd_siginfo si;
    bool child = false;

    while (read(s->fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGCHLD)
            child = true;
        else if (si.ssi_signo == SIGHUP)
            engine_leave = true;
        else
            engine_stop = true;
    }
    if (child)
        engine_reap();
}

static int engine_fail(const char *what, int err)
{
    engine_log("%s: %s", what, strerror(-err));
    return 1;
}

/* One engine at a time, and with it the store worker, which may still be writing when its engine
 * has died: it has the lock as well. */
static int engine_lock(void)
{
    char *path = str_fmt("%s/lock", engine.root);

    engine.lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (engine.lock < 0)
        return -errno;
    for (int tries = 0; flock(engine.lock, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
            return -errno;
        usleep(10000);
    }
    return 0;
}

static int engine_root(void)
{
    int err = dir_make(engine.root, 0711);
    char *whole = err ? NULL : realpath(engine.root, NULL);

    if (err || !whole)
        return err ? err : -errno;
    engine.root = whole; /* the keeper's working directory is another */
    return engine_lock();
}

static int engine_events(void)
{
    static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    sigset_t set;
    int err;

    sigemptyset(&set);
    for (int i = 0; i < 4; i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child_prepare();
    err = ev_init();
    if (err)
        return engine_fail("epoll", err);
    engine_signals = (struct ev_source){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                                        .fn = engine_signal};
    if (engine_signals.fd < 0)
        return engine_fail("signalfd", -errno);
    ev_set(&engine_signals, EPOLLIN);
    return 0;
}

/* What the last engine has left: objects, then the processes of those, then what is neither. */
static int engine_find(void)
{
    int err;

    engine.opening = true;
    store_open();
    err = image_store_open();
    if (err)
        return engine_fail(engine.root, err);
    networks_open();
    volumes_open();
    containers_open();
    err = spool_open();
    if (err)
        return engine_fail("the spool", err);
    log_recover();
    err = keeper_find();
    if (err)
        return engine_fail("the keeper", err);
    cgroup_open_all();
    image_store_opened();
    engine.opening = false;
    return 0;
}

static int engine_open(int ready)
{
    int err = engine_root();

    if (err)
        return engine_fail(engine.root, err);
    if (engine_events())
        return 1;
    err = cgroup_init();
    if (err)
        return engine_fail(engine.cgroup_root, err);
    if (engine_find())
        return 1;
    api_init();
    err = listen_unix(engine.socket);
    if (err)
        return engine_fail(engine.socket, err);
    listen_open();
    if (ready >= 0) {
        if (write(ready, "R", 1) != 1)
            engine_log("nobody waits for readiness");
        close(ready);
    }
    sched_yield(); /* what follows is for later: init has waited for that byte */
    if (keeper_begin())
        engine_log("there is no keeper: no container can be started");
    store_begin();
    networks_opened();
    if (spool_opened())
        return engine_fail("the spool", -EIO);
    containers_opened();
    return 0;
}

static void engine_turn(void)
{
    ev_run_once();
    http_turn();
}

static void engine_wake(struct ev_timer *t)
{
}

/* Until `over`, or until that takes too long. */
static void engine_until(bool (*over)(void))
{
    uint64_t end = time_now_ms() + END_MS;
    struct ev_timer wake = {.fn = engine_wake};

    while (!over() && time_now_ms() < end) {
        ev_timer_set(&wake, 100);
        engine_turn();
    }
    ev_timer_del(&wake);
}

static bool engine_nothing_runs(void)
{
    return !processes_run();
}

/* Every container is killed, and how it ended is written down. */
static void engine_close(void)
{
    engine.stopping = true;
    unlink(engine.socket);
    listen_close();
    containers_end();
    engine_until(engine_nothing_runs);
    engine_until(store_idle);
    keeper_end();
    jobs_close();
    cgroup_close();
}

/* Each container and each client takes some: the usual thousand would be few, and a client that
 * cannot come in can remove nothing either. */
static void engine_files(void)
{
    struct rlimit all;

    if (getrlimit(RLIMIT_NOFILE, &engine.files) < 0) {
        engine_log("getrlimit: %s", strerror(errno));
        return;
    }
    all = (struct rlimit){engine.files.rlim_max, engine.files.rlim_max};
    engine.files_max = all.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &all) == 0)
        return;
    engine.files_max = engine.files.rlim_cur;
    engine_log("cannot have %llu descriptors: %s", (unsigned long long)all.rlim_max,
               strerror(errno));
}

static int engine_option(int argc, char **argv, int *ready)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t fd;

        if (value && !strcmp(argv[i], "--socket")) {
            engine.socket = value;
        } else if (value && !strcmp(argv[i], "-H")) {
            if (str_starts(value, "unix://"))
                engine.socket = value + 7;
            else
                listen_add(value);
        } else if (value && !strcmp(argv[i], "--root")) {
            engine.root = value;
        } else if (value && !strcmp(argv[i], "--cgroup")) {
            engine.cgroup_root = value;
        } else if (value && !strcmp(argv[i], "--keeper")) {
            engine.keeper = value;
        } else if (value && !strcmp(argv[i], "--ready-fd") && str_u64(value, &fd) && fd < 1024) {
            *ready = (int)fd;
            fcntl(*ready, F_SETFD, FD_CLOEXEC);
        } else if (value && !strcmp(argv[i], "--after") && str_u64(value, &fd) && fd < 3600) {
            sleep((unsigned)fd);
            engine.patient = fd >= AFTER_PATIENT;
        } else {
            int err =
                value && str_starts(argv[i], "--") ? registry_option(argv[i] + 2, value) : -ENOENT;

            if (err == -ENOENT)
                fprintf(stderr, "engine: unknown option %s\n", argv[i]);
            else if (err)
                fprintf(stderr, "engine: %s makes no sense: %s\n", argv[i], value);
            if (err)
                return -EINVAL;
        }
    }
    return 0;
}

static void boot_word_is_bad(const char *word, const char *value)
{
    engine_log("%s=%s on the command line is ignored: it makes no sense, or is one too many", word,
               value);
}

int main(int argc, char **argv)
{
    char hex[33];
    int ready = -1;

    if (argc > 2 && !strcmp(argv[1], "--worker"))
        return worker_main(argc - 2, argv + 2);
    if (argc == 2 && !strcmp(argv[1], "--life")) {
        life_print(stdout);
        return 0;
    }
    registry_options_of_boot("/proc/cmdline", boot_word_is_bad);
    if (engine_option(argc, argv, &ready))
        return 2;
    random_hex(hex, 32);
    snprintf(engine.id, sizeof(engine.id), "%.8s-%.4s-4%.3s-a%.3s-%.12s", hex, hex + 8, hex + 12,
             hex + 15, hex + 18);
    engine_now(&engine.started);
    if (!file_put("/proc/self/oom_score_adj", OOM_SCORE_ADJ))
        engine.oom_score_adj = atoi(OOM_SCORE_ADJ);
    engine_files();
    if (engine_open(ready))
        return 1;
    while (!engine_stop && !engine_leave)
        engine_turn();
    if (engine_stop)
        engine_close();
    else
        engine_until(store_idle);
    return 0;
}
