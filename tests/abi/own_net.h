/* SPDX-License-Identifier: MIT
 *
 * A net namespace of a test's own, and what it reads and writes there.
 */
#pragma once

#include <net/if.h>
#include <sys/ioctl.h>

#include "inet.h"

/* A namespace of its own, whose lo is up. */
static inline void own_net(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int s;

    EXPECT(unshare(CLONE_NEWNET) == 0);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(s >= 0 && ioctl(s, SIOCSIFFLAGS, &r) == 0);
    close(s);
}

static inline void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}
