/* SPDX-License-Identifier: MIT
 *
 * Directories listed from any position that a program may choose: what they say of it differs, but
 * there is an end of it, and the system goes on.
 */
#include "abi.h"

#include <limits.h>

#define ENTRIES_MOST 20000

static const char *const directories[] = {
    "/",
    "/dev",
    "/dev/pts",
    "/proc",
    "/proc/self",
    "/proc/self/fd",
    "/proc/self/fdinfo",
    "/proc/self/map_files",
    "/proc/self/net",
    "/proc/self/ns",
    "/proc/self/task",
    "/proc/sys",
    "/proc/sys/kernel",
    "/sys",
    "/sys/bus",
    "/sys/bus/pci",
    "/sys/bus/pci/devices",
    "/sys/bus/pci/drivers",
    "/sys/class",
    "/sys/class/net",
    "/sys/devices",
    "/sys/devices/pci0000:00",
    "/sys/devices/pci0000:00/0000:00:00.0",
    "/sys/fs/cgroup",
    "/tmp",
};

/* Where a count of entries, times the size of what they point to, comes round to where it was. */
static const long positions[] = {
    0,
    1,
    255,
    256,
    65536,
    INT_MAX,
    1L << 32,
    (1L << 32) - 1,
    (1L << 32) + 0x0fffffff,
    (1L << 32) + 0x10000000,
    (1L << 32) + 0x20000000,
    (1L << 32) + 0x7fffffff,
    (2L << 32) - 1,
    (2L << 32) + 1,
    1L << 48,
    1L << 60,
    1L << 61,
    1L << 62,
    LONG_MAX - 1,
    LONG_MAX,
};

/* A listing from there ends, or is refused. */
static void list_from(int fd, long position)
{
    static char buf[32768];
    long n, read = 0;

    if (lseek(fd, position, SEEK_SET) < 0)
        return;
    while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < n; at += *(unsigned short *)(buf + at + 16))
            read++;
        EXPECT(read < ENTRIES_MOST);
    }
}

TEST(a_listing_ends_wherever_it_begins)
{
    for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++) {
        int fd = open(directories[i], O_RDONLY | O_DIRECTORY);

        for (size_t k = 0; fd >= 0 && k < sizeof(positions) / sizeof(*positions); k++)
            list_from(fd, positions[k]);
        close(fd);
    }
}
