/* SPDX-License-Identifier: MIT
 *
 * For races: Bothy's debug build can dwell in the window of one, so that the other side surely
 * comes into it; elsewhere these are just some tries.
 */
#pragma once

#include "abi.h"

#include <sys/prctl.h>

#define ROUNDS 12

/* The delay point of that name, in threads that `who` tells; does nothing where there is none. */
static inline void dwell_of(const char *point, bool on, const char *who)
{
    int fd = open("/proc/bothy/console", O_RDWR);

    if (fd < 0)
        return;
    dprintf(fd, "delay %d", on ? 20000 : 500);
    dprintf(fd, "fail %s every %d%s", point, on, on ? who : "");
    close(fd);
}

/* In threads called "dweller". */
static inline void dwell(const char *point, bool on)
{
    dwell_of(point, on, " of dweller");
}

static inline void become_dweller(void)
{
    EXPECT(prctl(PR_SET_NAME, "dweller") == 0);
}

static inline void sleep_for_ever(void)
{
    for (;;)
        pause();
}
