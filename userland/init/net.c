// SPDX-License-Identifier: MIT
// netd's life: started beside what else goes on, never waited for, and started again when it ends.
#include "init/init.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NETD "/bin/netd"
#define NETD_UID "101"
#define NETD_EXIT_NO_SOCKETS 3 /* as netd/netd.h has it */
#define NETD_STEADY_S 10       /* one that ends sooner is started again after a longer pause */
#define NETD_PAUSE_MAX_S 60

static pid_t net_pid; /* negative: it could not be started */
static time_t net_since;
static unsigned net_pause; /* seconds before the next start, which netd itself waits */

static time_t net_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void net_run(void)
{
    char pause_s[16];
    char *argv[] = {NETD, "--kmsg", "--uid", NETD_UID, "--after", pause_s, NULL};
    bool failed;

    if (access(NETD, X_OK) < 0)
        return;
    snprintf(pause_s, sizeof(pause_s), "%u", net_pause);
    net_since = net_now() + net_pause;
    failed = net_pid < 0;
    net_pid = spawn(argv, 0, false);
    if (net_pid < 0 && !failed)
        init_log("cannot start " NETD ": %s; it is tried again", strerror(-net_pid));
}

/* What it lacked, a process that has ended may have had. */
static void net_again(void)
{
    static bool trying; /* a start that fails reaps processes itself */

    if (net_pid >= 0 || trying)
        return;
    trying = true;
    net_run();
    trying = false;
}

void net_exited(pid_t pid, int status)
{
    int code = status_code(status);

    net_again();
    if (!net_pid || pid != net_pid)
        return;
    net_pid = 0;
    if (code == 0 || code == NETD_EXIT_NO_SOCKETS)
        return; /* there is nothing for it to do */
    if (net_now() - net_since >= NETD_STEADY_S)
        net_pause = 0;
    net_pause = net_pause ? net_pause * 2 : 1;
    if (net_pause > NETD_PAUSE_MAX_S)
        net_pause = NETD_PAUSE_MAX_S;
    init_log("netd has ended with status %d; it is started again in %u s", code, net_pause);
    net_run();
}
