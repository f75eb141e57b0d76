// SPDX-License-Identifier: MIT
// The engine's life, the images that came with the boot medium, and the demonstration.
#include "init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

#define ENGINE_RESTARTS 5

static pid_t engine_pid;
static int engine_restarts;

static void engine_exited(pid_t pid, int status)
{
    if (pid != engine_pid)
        return;
    init_log("the engine has ended with status %d", status_code(status));
    if (++engine_restarts <= ENGINE_RESTARTS)
        engine_run();
    else
        init_log("it is not started again");
}

void engine_run(void)
{
    int ready[2];
    char fd[16], *argv[] = {"/bin/engine", "--ready-fd", fd, NULL}, byte;
    struct timespec now;

    spawn_on_exit(engine_exited);
    if (pipe2(ready, 0) < 0) {
        init_log("pipe: %s", strerror(errno));
        return;
    }
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    snprintf(fd, sizeof(fd), "%d", ready[1]);
    engine_pid = spawn(argv, 0, false);
    close(ready[1]);
    if (engine_pid < 0) {
        init_log("cannot start /bin/engine: %s", strerror(-engine_pid));
    } else if (read(ready[0], &byte, 1) == 1) {
        clock_gettime(CLOCK_BOOTTIME, &now);
        init_log("engine ready %ld.%03ld ms after boot",
                 (long)now.tv_sec * 1000 + now.tv_nsec / 1000000, now.tv_nsec / 1000 % 1000);
    } else {
        init_log("the engine does not come up");
    }
    close(ready[0]);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Frame 0 for each image that came along with the commands: whoever brought it hears how it went.
 */
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
    int n = 0;

    while (d && (e = readdir(d)) && n < 256)
        if (str_ends(e->d_name, ".tar"))
            names[n++] = str_dup(e->d_name);
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
