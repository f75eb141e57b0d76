/* SPDX-License-Identifier: MIT
 *
 * Mounts by the ten thousand cost a neighbour no time when a namespace is copied (hoard.h): a
 * program of its own, since its bound is the release build's. Run where time counts instructions
 * (tools/test).
 */
#include <sys/mount.h>

#include "hoard.h"
#include "place.h"

#define MOUNTS 20000

static void copy_many_mounts(void)
{
    begin_with(NULL);
    EXPECT(chdir(TOP) == 0);
    for (int i = 0; i < MOUNTS; i++) {
        char name[8];

        snprintf(name, sizeof(name), "%d", i);
        EXPECT(mkdir(name, 0755) == 0 && mount("0", name, NULL, MS_BIND, NULL) == 0);
    }
    EXPECT(unshare(CLONE_NEWNS) == 0);
}
TEST(copying_many_mounts_lets_others_run)
{
    hoard(copy_many_mounts);
}
