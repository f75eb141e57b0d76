// SPDX-License-Identifier: MIT
// What all of the engine's files share: what the program was told, its clock and its log.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/engine.h"

struct engine engine = {
    .root = "/var/lib/bothy",
    .socket = "/run/docker.sock",
    .cgroup_root = "/sys/fs/cgroup",
    .lock = -1,
};

void engine_now(struct timespec *ts)
{
    clock_gettime(CLOCK_REALTIME, ts);
}

void engine_log(const char *fmt, ...)
{
    va_list ap;
    char line[1024];
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(line) - 1)
        n = sizeof(line) - 2;
    fprintf(stderr, "engine: %.*s\n", n, line);
}

void engine_bug(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("engine: bug: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
#ifdef DEBUG
    abort();
#endif
}

int engine_files_limit(void)
{
    return engine.files.rlim_max && setrlimit(RLIMIT_NOFILE, &engine.files) < 0 ? -errno : 0;
}

bool files_short(uint64_t spare)
{
    int fd = fcntl(engine.lock, F_DUPFD_CLOEXEC, 0); /* the lowest that is free */
    bool is = fd < 0 || (uint64_t)fd + spare >= engine.files_max;

    if (fd >= 0)
        close(fd);
    return is;
}

/* What is there, and can be read: it is not what it should be. */
static bool is_judgement(int err)
{
    return !err || err == -ENOENT || err == -ENOTDIR || err == -EFBIG;
}

static bool is_shortage(int err)
{
    return err == -ENOMEM || err == -ENFILE || err == -EMFILE || err == -EAGAIN || err == -ENOBUFS;
}

void engine_check_read(const char *path, int err)
{
    if (is_judgement(err) || (!engine.opening && !is_shortage(err)))
        return;
    engine_log("%s: %s: this engine ends, and all stays as it is", path, strerror(-err));
    exit(1);
}

bool engine_check_file(const char *path, int err)
{
    if (!engine.patient || is_shortage(err))
        engine_check_read(path, err);
    return is_judgement(err);
}
