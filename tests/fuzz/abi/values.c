/* SPDX-License-Identifier: MIT
 *
 * Values that kernels have stumbled over: both sides of each limit, sums that wrap, 64-bit numbers
 * with an empty low half, ranges that leave the user half; and memory that holds plausible
 * structures, among them addresses and lengths again.
 */
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "fuzz.h"

#define PAGE 4096UL
#define ARENA_PAGES 64UL
#define USER_END 0x7ffffffff000UL

uint64_t chance_u64(struct chance *c)
{
    uint64_t z = c->state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static char *arena; /* pages: read-write, then read-only, then nothing, by turns of 16 */

void values_init(void)
{
    arena =
        mmap(NULL, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        return;
    mprotect(arena + 40 * PAGE, 8 * PAGE, PROT_READ);
    munmap(arena + 48 * PAGE, 8 * PAGE);
    mprotect(arena + 56 * PAGE, 8 * PAGE, PROT_NONE);
}

uint64_t value_word(struct chance *c)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        7,
        8,
        16,
        100,
        PAGE - 1,
        PAGE,
        PAGE + 1,
        2 * PAGE,
        65535,
        65536,
        1UL << 20,
        1UL << 21,
        INT_MAX,
        1UL << 31,
        UINT_MAX,
        1UL << 32,
        (1UL << 32) + 1,
        (1UL << 32) + PAGE,
        3UL << 32,
        USER_END - PAGE,
        USER_END - 1,
        USER_END,
        USER_END + 1,
        1UL << 47,
        LONG_MAX,
        LONG_MAX - PAGE,
        1UL << 63,
        -1UL,
        -2UL,
        -PAGE,
        -PAGE - 1,
        -(1UL << 47),
        0xffff800000000000,
    };
    uint64_t n = edges[chance_below(c, sizeof(edges) / sizeof(*edges))];

    switch (chance_below(c, 8)) {
    case 0:
        return n + chance_below(c, 17) - 8;
    case 1:
        return chance_below(c, 300);
    case 2:
        return chance_below(c, 1 << 20) * PAGE;
    case 3:
        return chance_u64(c) >> chance_below(c, 64);
    case 4:
        return value_address(c);
    default:
        return n;
    }
}

uint32_t value_int(struct chance *c)
{
    static const uint32_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     8,
                                     10,
                                     63,
                                     64,
                                     65,
                                     255,
                                     256,
                                     1023,
                                     1024,
                                     4096,
                                     65535,
                                     65536,
                                     INT_MAX,
                                     1U << 31,
                                     (1U << 31) + 1,
                                     -1U,
                                     -2U,
                                     -100U};

    switch (chance_below(c, 6)) {
    case 0:
        return (uint32_t)chance_u64(c) >> chance_below(c, 32);
    case 1:
    case 2:
        return (uint32_t)chance_below(c, 40);
    case 3:
        return 1U << chance_below(c, 32);
    default:
        return edges[chance_below(c, sizeof(edges) / sizeof(*edges))];
    }
}

uint32_t value_flags(struct chance *c)
{
    uint32_t bits = 0;

    if (chance_of(c, 4))
        return 0;
    for (uint64_t n = 1 + chance_below(c, 4); n; n--)
        bits |= 1U << chance_below(c, chance_of(c, 4) ? 32 : 16);
    return chance_of(c, 8) ? value_int(c) : bits;
}

static const char *const value_names[] = {
    "a",
    "b",
    "d",
    "d/a",
    "d/d/a",
    "link",
    "loop",
    ".",
    "..",
    "",
    "/",
    "d/",
    "a/",
    "d/../a",
    "../..",
    "fifo",
    "sock",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/tty",
    "/dev/ptmx",
    "/proc/self/mem",
    "/proc/self/fd/3",
    "/proc/self/fd/0",
    "/proc/self/exe",
    "/proc/self/maps",
    "/proc/self/ns/mnt",
    "/proc/self/uid_map",
    "/proc/self/task",
    "/proc/thread-self/stat",
    "/proc/1/status",
    "/proc/mounts",
    "/proc/self/root",
    "/proc/self/cwd/a",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/cgroup.freeze",
    "/proc/self/setgroups",
    "/proc/self/clear_refs",
    "/proc/self/comm",
    "/proc/self/oom_score_adj",
    "/proc/sys/kernel/hostname",
    "/proc/sysvipc/shm",
    "/dev/pts/0",
    "/dev/shm/a",
    "tmpfs",
    "proc",
    "overlay",
    "lowerdir=d,upperdir=u,workdir=w",
    "size=1m,mode=0",
    "user.x",
    "security.capability",
    "trusted.overlay.opaque",
    "system.posix_acl_access",
};

const char *value_name(struct chance *c)
{
    static _Thread_local char long_name[5000];

    if (chance_of(c, 40)) {
        size_t n = chance_below(c, sizeof(long_name) - 1);
        memset(long_name, chance_of(c, 2) ? 'x' : '/', n);
        long_name[n] = 0;
        return long_name;
    }
    return value_names[chance_below(c, sizeof(value_names) / sizeof(*value_names))];
}

/* ------------------------------------------------------------- what lies at an address */

static void fill_words(struct chance *c, char *p)
{
    for (int i = 0; i < 32; i++) {
        uint64_t v = chance_of(c, 3) ? value_word(c) : value_int(c);
        memcpy(p + i * 8, &v, 8);
    }
}

static void fill_ints(struct chance *c, char *p)
{
    for (int i = 0; i < 64; i++) {
        uint32_t v = chance_of(c, 2) ? value_int(c) : (uint32_t)chance_below(c, 10);
        memcpy(p + i * 4, &v, 4);
    }
}

static void fill_iovecs(struct chance *c, char *p)
{
    for (int i = 0; i < 16; i++) {
        struct iovec v = {(void *)value_address(c),
                          chance_of(c, 3) ? value_word(c) : chance_below(c, 5000)};
        memcpy(p + i * sizeof(v), &v, sizeof(v));
    }
}

static void fill_sockaddr(struct chance *c, char *p)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = (uint16_t)chance_below(c, 8) + 7000};

    memcpy(&in.sin_addr, "\x7f\0\0\1", 4);
    if (chance_of(c, 2)) {
        memcpy(p, &in, sizeof(in));
        return;
    }
    snprintf(un.sun_path + chance_below(c, 2), 20, "s%u", (unsigned)chance_below(c, 4));
    memcpy(p, &un, sizeof(un));
}

/* A message with descriptors, credentials, and lengths that do not fit. */
static void fill_message(struct chance *c, char *p)
{
    struct msghdr m = {.msg_iov = (struct iovec *)value_address(c),
                       .msg_iovlen = chance_of(c, 4) ? value_word(c) : chance_below(c, 4),
                       .msg_control = p + 128,
                       .msg_controllen = chance_of(c, 4) ? value_word(c) : chance_below(c, 200),
                       .msg_name = chance_of(c, 2) ? p + 512 : NULL,
                       .msg_namelen = value_int(c) % 200};
    struct cmsghdr h = {.cmsg_level = SOL_SOCKET,
                        .cmsg_type = 1 + (int)chance_below(c, 3),
                        .cmsg_len = chance_of(c, 4) ? value_word(c) : 16 + 4 * chance_below(c, 5)};
    int fds[8];

    for (int i = 0; i < 8; i++)
        fds[i] = object_any(c);
    memcpy(p, &m, sizeof(m));
    memcpy(p + 128, &h, sizeof(h));
    memcpy(p + 128 + sizeof(h), fds, sizeof(fds));
    fill_sockaddr(c, p + 512);
}

static void fill_times(struct chance *c, char *p)
{
    for (int i = 0; i < 4; i++) {
        int64_t t[2] = {chance_of(c, 4) ? (int64_t)value_word(c) : 0,
                        chance_of(c, 4) ? (int64_t)value_word(c)
                                        : (int64_t)chance_below(c, 1000000)};
        memcpy(p + i * 16, t, 16);
    }
}

static void fill_name(struct chance *c, char *p)
{
    strncpy(p, value_name(c), 255);
}

static void fill_strings(struct chance *c, char *p)
{
    const char *list[4] = {value_name(c), chance_of(c, 2) ? value_name(c) : NULL,
                           (const char *)value_address(c), NULL};

    memcpy(p, list, sizeof(list));
}

static void fill_zeros(struct chance *c, char *p)
{
    memset(p, 0, 256);
}

static void fill(struct chance *c, char *p)
{
    static void (*const shapes[])(struct chance *, char *) = {
        fill_words, fill_ints, fill_iovecs,  fill_sockaddr, fill_message,
        fill_times, fill_name, fill_strings, fill_zeros};

    shapes[chance_below(c, sizeof(shapes) / sizeof(*shapes))](c, p);
}

uint64_t value_address(struct chance *c)
{
    static const uint64_t wild[] = {0,
                                    1,
                                    8,
                                    PAGE,
                                    0x10000,
                                    USER_END - 8,
                                    USER_END - PAGE,
                                    USER_END,
                                    1UL << 47,
                                    (1UL << 47) - 1,
                                    0x0000800000000000,
                                    0xffff800000000000,
                                    0xffff888000000000,
                                    0xffffffff80200000,
                                    -8UL,
                                    -PAGE,
                                    -1UL};
    static _Thread_local int depth;
    uint64_t at = (uint64_t)arena + chance_below(c, 40 * PAGE - 2048) / 8 * 8;

    switch (chance_below(c, 10)) {
    case 0:
        return wild[chance_below(c, sizeof(wild) / sizeof(*wild))];
    case 1: /* the last bytes before a page of another kind */
        return (uint64_t)arena + (chance_of(c, 2) ? 40 : 48) * PAGE - 1 - chance_below(c, 64);
    case 2:
        return (uint64_t)arena + chance_below(c, ARENA_PAGES * PAGE);
    case 3:
        return (uint64_t)arena + chance_below(c, ARENA_PAGES) * PAGE;
    default:
        break;
    }
    if (depth++ < 2)
        fill(c, (char *)at);
    depth--;
    return at;
}
