// SPDX-License-Identifier: MIT
// The engine's life, the images that came with the boot medium, and the demonstration.
#include "init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

#define ENGINE_READY_MS 10000 /* it may have to end what its predecessor left running */
#define ENGINE_SLICE_MS 20    /* between two looks for orphans to be reaped meanwhile */
#define ENGINE_STEADY_MS 1000 /* one that ends sooner is started again after a pause */
#define ENGINE_PAUSE_MAX_S 5
#define ENGINE_AGAIN_US 50000
#define API_PLACES_MAX 16 /* bothy.api= on the command line */

static pid_t engine_pid;
static int engine_pipe = -1; /* where its readiness byte comes */
static struct timespec engine_since;
static unsigned engine_pause; /* seconds before the next start */

static long elapsed_ms(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)(now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

/* It has come up, as far as that was asked for, and served for a while; asked once, when it has
 * ended. */
static bool engine_was_steady(void)
{
    char byte;
    bool ready = engine_pipe < 0 || read(engine_pipe, &byte, 1) == 1;

    if (engine_pipe >= 0)
        close(engine_pipe);
    engine_pipe = -1;
    return ready && elapsed_ms(&engine_since) >= ENGINE_STEADY_MS;
}

/* However often it ends: without it the machine serves no client. */
static void engine_exited(pid_t pid, int status)
{
    if (pid != engine_pid) {
        net_exited(pid, status);
        return;
    }
    init_log("the engine has ended with status %d", status_code(status));
    if (engine_was_steady())
        engine_pause = 0;
    else if (engine_pause < ENGINE_PAUSE_MAX_S)
        engine_pause++;
    engine_run();
}

/* Its readiness byte, while orphans are reaped; false when it does not come. */
static bool engine_ready(void)
{
    char byte;

    for (int ms = 0; ms < ENGINE_READY_MS; ms += ENGINE_SLICE_MS) {
        struct pollfd p = {engine_pipe, POLLIN, 0};
        pid_t pid = engine_pid;
        bool ready = poll(&p, 1, ENGINE_SLICE_MS) > 0;

        if (ready && read(engine_pipe, &byte, 1) == 1) {
            close(engine_pipe);
            engine_pipe = -1;
            return true;
        }
        if (ready)
            return false; /* it has ended, which is seen to later */
        spawn_reap();
        if (pid != engine_pid)
            return true; /* it has ended, and another has come up or not */
    }
    return false;
}

/* ready: where its byte goes, or -1. The pause before a start is the starting process's: nothing
 * else waits for it. 0 or -errno. */
static int engine_pid_start(int ready)
{
    char fd[16], pause_s[16];
    char *argv[5 + 2 * API_PLACES_MAX + 1] = {"/bin/engine", "--after", pause_s};
    const char *place = NULL;
    int n = 3;

    snprintf(fd, sizeof(fd), "%d", ready);
    snprintf(pause_s, sizeof(pause_s), "%u", engine_pause);
    if (ready >= 0) {
        argv[n++] = "--ready-fd";
        argv[n++] = fd;
    }
    for (int i = 0; i < API_PLACES_MAX && (place = boot_option("bothy.api", place)); i++) {
        if (str_starts(place, "unix:")) { /* -H would move the socket, which the console needs */
            init_log("bothy.api=%s: it is tcp://ADDRESS:PORT: left out", place);
            continue;
        }
        argv[n++] = "-H";
        argv[n++] = (char *)place;
    }
    clock_gettime(CLOCK_MONOTONIC, &engine_since);
    engine_since.tv_sec += engine_pause;
    engine_pid = spawn(argv, 0, false);
    return engine_pid < 0 ? (int)engine_pid : 0;
}

/* A process and a pipe for its byte: 0, *ready the end to be read, or -errno. After a pause it is
 * not awaited: there is no pipe, and *ready stays -1. */
static int engine_begin(int *ready)
{
    int ends[2], err;

    if (engine_pause)
        return engine_pid_start(-1);
    if (pipe2(ends, 0) < 0)
        return -errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    err = engine_pid_start(ends[1]);
    close(ends[1]);
    if (err)
        close(ends[0]);
    else
        *ready = ends[0];
    return err;
}

static bool is_shortage(int err)
{
    return err == -ENOMEM || err == -EAGAIN || err == -ENFILE || err == -EMFILE;
}

/* A shortage is waited out, while orphans are reaped: without an engine the machine is of no use.
 */
static int engine_begin_sure(int *ready)
{
    int err = engine_begin(ready);

    if (err)
        init_log("cannot start /bin/engine: %s%s", strerror(-err),
                 is_shortage(err) ? ": it is tried again" : "");
    while (is_shortage(err)) {
        usleep(ENGINE_AGAIN_US);
        spawn_reap();
        err = engine_begin(ready);
    }
    return err;
}

void engine_run(void)
{
    struct timespec now;

    spawn_on_exit(engine_exited);
    if (engine_begin_sure(&engine_pipe))
        return;
    if (engine_pause) {
        init_log("the engine is started again in %u s", engine_pause);
    } else if (engine_ready()) {
        clock_gettime(CLOCK_BOOTTIME, &now);
        init_log("engine ready %ld.%03ld ms after boot",
                 (long)now.tv_sec * 1000 + now.tv_nsec / 1000000, now.tv_nsec / 1000 % 1000);
    } else {
        init_log("the engine does not come up");
    }
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Frame 0 for each image that came along with the commands: the machine that sent it is told the
 * result. What the engine has taken is not kept in memory a second time. */
static void image_load(const char *path, bool framed)
{
    char *argv[] = {"/bin/bothy", "load", "-q", "-i", (char *)path, NULL};
    int status = 127;
    pid_t pid;

    if (framed)
        frame_begin(0);
    pid = spawn(argv, 0, false);
    if (pid < 0)
        init_log("cannot start bothy: %s", strerror(-pid));
    else
        status = spawn_wait(pid);
    if (!status)
        unlink(path);
    if (framed)
        frame_end(0, status);
    else if (status)
        init_log("image %s could not be loaded", path);
}

/* Loads *.tar of one directory, in name order. */
static void images_from(const char *dir, bool framed)
{
    char *names[256];
    struct dirent *e;
    DIR *d = opendir(dir);
    int n = 0, err;

    while (n < 256 && (e = dir_next(d, &err)))
        if (str_ends(e->d_name, ".tar"))
            names[n++] = str_dup(e->d_name);
    if (n < 256 && err && err != -ENOENT)
        init_log("%s: %s", dir, strerror(-err));
    if (d)
        closedir(d);
    qsort(names, (size_t)n, sizeof(names[0]), name_order);
    for (int i = 0; i < n; i++) {
        char *path = str_fmt("%s/%s", dir, names[i]);

        image_load(path, framed);
        free(path);
        free(names[i]);
    }
}

void images_load(bool framed)
{
    images_from("/images", false);
    images_from("/boot/images", framed);
}

static void demonstration_one(const char *how, const char *runtime)
{
    struct timespec now;
    char start[64];
    char *argv[] = {"/bin/bothy", "run",           "--rm",  "-e", start,
                    "--runtime",  (char *)runtime, "hello", NULL};
    pid_t pid;
    int status;

    printf("--- %s\n", how);
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(start, sizeof(start), "HELLO_T0=%lld",
             (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    pid = spawn(argv, 0, false);
    status = pid < 0 ? 127 : spawn_wait(pid);
    if (status)
        init_log("hello as %s: status %d", how, status);
}

void demonstration(void)
{
    demonstration_one("the image hello as a container", "domain");
    demonstration_one("the same image behind hardware virtualization", "vm");
}
