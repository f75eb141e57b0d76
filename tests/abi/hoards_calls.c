/* SPDX-License-Identifier: MIT
 *
 * Calls that are long by themselves, without a crowd, cost their neighbour no time: see hoards.c.
 */
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "hoard.h"

/* ------------------------------------------------------------- select */

#define FDS 65536
static unsigned long fds[FDS / 64];

static int select_now(int n, unsigned long *set)
{
    struct timeval now = {0, 0};

    return (int)syscall(SYS_select, n, set, NULL, NULL, &now);
}

static void select_few(void)
{
    for (int i = 0; i < 3; i++)
        EXPECT(select_now(FDS, NULL) == 0);
}
TEST(select_of_no_descriptors_lets_others_run)
{
    hoard(select_few);
}

static void select_many(void)
{
    struct rlimit r = {FDS, FDS};
    int p[2];

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0 && pipe(p) == 0);
    memset(fds, 0xff, sizeof(fds));
    EXPECT(select_now(FDS, fds) == -1 && errno == EBADF);
    for (int fd = 8; fd < 8000; fd++)
        dup2(p[1], fd);
    memset(fds, 0, sizeof(fds));
    memset((char *)fds + 1, 0xff, 999);
    EXPECT(select_now(FDS, fds) == 0);
}
TEST(select_of_many_descriptors_lets_others_run)
{
    hoard(select_many);
}
