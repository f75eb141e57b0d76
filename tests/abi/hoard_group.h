/* SPDX-License-Identifier: MIT
 *
 * For tests of crowds: they are in a control group of their own, so that only what the kernel does
 * for them at a stretch can keep the neighbour waiting.
 */
#pragma once

#include <sys/mount.h>

#include "hoard.h"

static inline void put(const char *dir, const char *file, const char *text)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    fd = open(path, O_WRONLY);
    EXPECT(fd >= 0 && write(fd, text, strlen(text)) > 0);
    close(fd);
}

/* Joins, and runs until the scheduler owes the group nothing for its late start. */
static inline void join_group(void)
{
    put("/tmp/cgroup/crowd", "cgroup.procs", "0");
    for (double begin = now_us(); now_us() - begin < 30000;)
        ;
}

/* begin joins the group; what it does then comes before the neighbour looks at the clock. */
static inline void let_others_run_after(void (*begin)(void), void (*run)(void))
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/cgroup", 0755);
    mount("none", "/tmp/cgroup", "cgroup2", 0, NULL);
    put("/tmp/cgroup", "cgroup.subtree_control", "+cpu");
    EXPECT(mkdir("/tmp/cgroup/crowd", 0755) == 0 || errno == EEXIST);
    hoard_after(begin, run);
    put("/tmp/cgroup/crowd", "cgroup.kill", "1");
    for (int i = 0; rmdir("/tmp/cgroup/crowd") && i < 1000; i++)
        usleep(2000);
    EXPECT(access("/tmp/cgroup/crowd", F_OK) < 0);
    umount2("/tmp/cgroup", MNT_DETACH);
}

static inline void let_others_run(void (*run)(void))
{
    let_others_run_after(join_group, run);
}
