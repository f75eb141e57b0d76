// SPDX-License-Identifier: MIT
// What netd may do: configure the network, raw and packet sockets, port 68, set the clock. The host
// name needs more than that (CAP_SYS_ADMIN): a second process has it, which takes names from a pipe
// and does nothing else.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netd/netd.h"
#include "lib/str.h"
#include "runtime/caps.h"
#include "runtime/child.h"

#define CAPABILITY_VERSION 0x20080522
#define CAP(n) (1ull << (n))
#define NETD_CAPS \
    (CAP(CAP_NET_ADMIN) | CAP(CAP_NET_RAW) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_SYS_TIME))

static int namer_pipe = -1;

_Noreturn static void rights_fail(const char *what)
{
    net_log("%s: %s", what, strerror(errno));
    exit(1);
}

/* Effective and permitted alone; nothing is inherited. */
static void rights_caps(uint64_t caps)
{
    struct {
        uint32_t version;
        int pid;
    } head = {CAPABILITY_VERSION, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } words[2] = {{(uint32_t)caps, (uint32_t)caps, 0},
                  {(uint32_t)(caps >> 32), (uint32_t)(caps >> 32), 0}};

    if (syscall(SYS_capset, &head, words) < 0)
        rights_fail("capset");
}

static void rights_bound(uint64_t caps)
{
    for (unsigned cap = 0; cap < CAP_COUNT; cap++)
        if (!(caps >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            rights_fail("the bounding set");
}

static void rights_filter(uint64_t caps)
{
    int err;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        rights_fail("no_new_privs");
    err = seccomp_load(caps);
    if (err) {
        errno = -err;
        rights_fail("the filter of system calls");
    }
}

static void rights_set(unsigned uid, uint64_t caps)
{
    rights_bound(caps);
    if (uid) {
        prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            rights_fail("the user");
    }
    rights_caps(caps);
    rights_filter(caps);
}

void rights_drop(unsigned uid)
{
    rights_set(uid, NETD_CAPS);
}

_Noreturn static void namer_run(int in)
{
    char name[CONFIG_NAME];

    rights_set(0, CAP(CAP_SYS_ADMIN));
    while (fd_line(in, name, sizeof(name)) == 1)
        if (!hostname_ok(name) || sethostname(name, strlen(name)) < 0)
            net_log("host name: %s", strerror(errno));
    _exit(0);
}

void namer_start(void)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        close(netd.route);
        namer_run(ends[0]);
    }
    close(ends[0]);
    if (pid < 0)
        close(ends[1]);
    else
        namer_pipe = ends[1];
}

void namer_set(const char *name)
{
    char line[CONFIG_NAME + 1];
    int n = snprintf(line, sizeof(line), "%s\n", name);

    if (namer_pipe >= 0 && write(namer_pipe, line, (size_t)n) != n)
        net_log("host name: %s", strerror(errno));
}
