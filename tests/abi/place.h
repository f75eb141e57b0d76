/* SPDX-License-Identifier: MIT
 *
 * What tests of file systems begin with: a tmpfs of the test's own as the working directory, in a
 * mount namespace of its own; layers for an overlay; a child as an ordinary user.
 */
#pragma once

#include "abi.h"

#include <grp.h>
#include <sys/mount.h>

#define TOP "/tmp/place"

static inline void begin_with(const char *options)
{
    umask(0);
    EXPECT(unshare(CLONE_NEWNS) == 0);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdir("/tmp", 01777);
    mkdir(TOP, 0755);
    EXPECT(mount("place", TOP, "tmpfs", 0, options) == 0 && chdir(TOP) == 0);
}

/* Layers l, u, w, shown at m. */
static inline int overlay(const char *where)
{
    return mount("layers", where, "overlay", 0, "lowerdir=l,upperdir=u,workdir=w");
}

static inline void make_layers(void)
{
    EXPECT(mkdir("l", 0777) == 0 && mkdir("u", 0777) == 0 && mkdir("w", 0777) == 0 &&
           mkdir("m", 0777) == 0);
}

static inline pid_t as_user(void (*act)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        alarm(LIMIT_S);
        EXPECT(setgroups(0, NULL) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
        act();
        _exit(0);
    }
    return pid;
}

static inline void expect_success(pid_t pid)
{
    int status;

    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}
