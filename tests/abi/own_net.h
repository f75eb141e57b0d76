/* SPDX-License-Identifier: MIT
 *
 * A net namespace of a test's own, and what it reads and writes there.
 */
#pragma once

#include <dirent.h>
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

/* The names in a directory, sorted, with a blank behind each. */
static inline const char *names_in(const char *dir)
{
    static char text[4096];
    struct dirent **list;
    int n;

    n = scandir(dir, &list, NULL, alphasort);
    EXPECT(n >= 0);
    text[0] = 0;
    for (int i = 0; i < n; i++)
        if (list[i]->d_name[0] != '.' && strlen(text) + strlen(list[i]->d_name) + 2 < sizeof(text))
            strcat(strcat(text, list[i]->d_name), " ");
    return text;
}
