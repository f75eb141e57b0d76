/* SPDX-License-Identifier: MIT
 *
 * The hogs of hogs.c: each makes the kernel keep one kind of thing, more than LIMIT_MB of it, in
 * DIR where it needs files, until it is REFUSED, has ENDED, or is killed. HOG=NAME makes the
 * program that one.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "abi.h"

#define LIMIT_MB 16
#define REFUSED 42 /* a hog's status: it was told no */
#define ENDED 43   /* it did all that it wanted */
#define DIR "/tmp/hogs"

/* Twice the limit in 2 MiB steps of address space, one page read in each: page tables only. */
static int hog_tables(void)
{
    size_t step = 2UL << 20, n = 2UL * LIMIT_MB << 20 >> 12;
    char *p = mmap(NULL, n * step, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    volatile char sum = 0;

    if (p == MAP_FAILED)
        return REFUSED;
    madvise(p, n * step, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < n; i++)
        sum += p[i * step];
    return ENDED;
}

/* As many tables, in one call. */
static int hog_populate(void)
{
    void *p = mmap(NULL, 16UL << 40, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);

    return p == MAP_FAILED ? REFUSED : ENDED;
}

static int hog_memory(void)
{
    for (int i = 0; i < 4 * LIMIT_MB; i++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return REFUSED;
        memset(p, 1, 1 << 20);
    }
    return ENDED;
}

static int hog_files(void)
{
    char name[64];

    for (int i = 0; i < 400000; i++) {
        int fd;

        snprintf(name, sizeof(name), DIR "/f%d", i);
        fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            return REFUSED;
        close(fd);
    }
    return ENDED;
}

static int hog_data(void)
{
    static char block[1 << 20];
    int fd = open(DIR "/data", O_CREAT | O_WRONLY, 0600);

    for (int i = 0; i < 4 * LIMIT_MB; i++)
        if (write(fd, block, sizeof(block)) != sizeof(block))
            return REFUSED;
    return ENDED;
}

static int hog_pipes(void)
{
    static char block[65536];
    int fd[2];

    for (int i = 0; i < 1500; i++) {
        if (pipe2(fd, O_NONBLOCK) || write(fd[1], block, sizeof(block)) < 0)
            return REFUSED;
        close(fd[1]); /* what was written stays */
    }
    return ENDED;
}

static int hog_sockets(void)
{
    static char block[16384];
    int fd[2];

    for (int i = 0; i < 3000; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd))
            return REFUSED;
        while (write(fd[1], block, sizeof(block)) > 0)
            ;
        if (errno != EAGAIN)
            return REFUSED;
    }
    return ENDED;
}

static int hog_eventfds(void)
{
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};

    for (int i = 0; i < 200000; i++) {
        int fd = i & 1 ? eventfd(0, 0) : timerfd_create(CLOCK_MONOTONIC, 0);

        if (fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
            return REFUSED;
    }
    return ENDED;
}

/* Sockets with names, of both families. */
static int hog_names(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    for (int i = 0; i < 40000; i++) {
        int s = socket(i & 1 ? AF_INET : AF_UNIX, SOCK_DGRAM, 0);

        in.sin_port = htons((uint16_t)(1024 + i % 20000));
        in.sin_addr.s_addr = htonl(0x7f000001U + (unsigned)i / 20000);
        snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "hog-%d", i);
        if (s < 0 || (i & 1 ? bind(s, (void *)&in, sizeof(in)) : bind(s, (void *)&un, sizeof(un))))
            return REFUSED;
    }
    return ENDED;
}

/* Datagrams that nobody reads, and such as are never complete. */
static int hog_datagrams(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    static char block[8192];

    for (int i = 0; i < 3000; i++) {
        int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
        socklen_t n = sizeof(a);

        a.sin_port = 0;
        if (r < 0 || s < 0 || bind(r, (void *)&a, n) || getsockname(r, (void *)&a, &n) ||
            connect(s, (void *)&a, n))
            return REFUSED;
        for (int k = 0; k < 10; k++)
            if (send(s, block, sizeof(block), k == 9 ? MSG_MORE : 0) < 0)
                return REFUSED;
    }
    return ENDED;
}

/* Descriptors that are in queues only, with what is in their own. */
static int hog_flight(void)
{
    static char block[4096], control[CMSG_SPACE(sizeof(int))];
    struct iovec v = {block, sizeof(block)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c = (struct cmsghdr *)control;
    int s[2], p[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s))
        return REFUSED;
    for (int i = 0; i < 100000; i++) {
        if (pipe2(p, O_NONBLOCK) || write(p[1], block, sizeof(block)) < 0)
            return REFUSED;
        m.msg_controllen = sizeof(control);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &p[0], sizeof(int));
        if (sendmsg(s[0], &m, 0) < 0) { /* full: another queue */
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s))
                return REFUSED;
        }
        close(p[0]);
        close(p[1]);
    }
    return ENDED;
}

/* Watches of few files by many epolls. */
static int hog_watches(void)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int fd[64];

    for (int i = 0; i < 64; i++)
        fd[i] = eventfd(0, 0);
    for (int i = 0; i < 2000; i++) {
        int ep = epoll_create1(0);

        for (int k = 0; k < 64; k++)
            if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd[k], &ev))
                return REFUSED;
    }
    return ENDED;
}

static void *thread_wait(void *arg)
{
    pause();
    return NULL;
}

static int hog_threads(void)
{
    pthread_attr_t attr;
    pthread_t t;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16384);
    for (int i = 0; i < 4000; i++)
        if (pthread_create(&t, &attr, thread_wait, NULL))
            return REFUSED;
    return ENDED;
}

static int hog_areas(void)
{
    for (int i = 0; i < 60000; i++)
        if (mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
            MAP_FAILED)
            return REFUSED;
    for (int i = 0; i < 4 * LIMIT_MB * 16; i++) { /* few have so many areas: add to them */
        char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return REFUSED;
        memset(p, 1, 65536);
    }
    return ENDED;
}

static int hog_fork(void)
{
    for (int i = 0; i < 3000; i++) {
        pid_t pid = fork();

        if (pid < 0)
            return REFUSED;
        if (pid == 0)
            for (;;)
                pause();
    }
    return ENDED;
}

/* Names that are not there: the kernel may remember, and must forget. */
static int hog_absent(void)
{
    struct stat st;
    char name[64];

    for (int i = 0; i < 110000; i++) {
        snprintf(name, sizeof(name), DIR "/not-there-%d", i);
        if (stat(name, &st) == 0 || errno != ENOENT)
            return REFUSED;
    }
    return ENDED;
}

/* Others are told, who do not listen: what waits for them is theirs. */
static int hog_told(void)
{
    char name[64];

    for (int i = 0; i < 2000; i++) {
        int fd;

        snprintf(name, sizeof(name), DIR "/%d", i);
        fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || close(fd) || unlink(name))
            return REFUSED;
    }
    return ENDED;
}

/* The program starts anew as a hog. */
static const struct hog {
    const char *name;
    int (*run)(void);
} hogs[] = {
    {"memory", hog_memory},       {"tables", hog_tables},   {"files", hog_files},
    {"data", hog_data},           {"pipes", hog_pipes},     {"sockets", hog_sockets},
    {"eventfds", hog_eventfds},   {"threads", hog_threads}, {"areas", hog_areas},
    {"fork", hog_fork},           {"absent", hog_absent},   {"populate", hog_populate},
    {"names", hog_names},         {"flight", hog_flight},   {"watches", hog_watches},
    {"datagrams", hog_datagrams}, {"told", hog_told},
};

__attribute__((constructor)) static void hog_begin(void)
{
    const char *name = getenv("HOG");

    for (unsigned i = 0; name && i < sizeof(hogs) / sizeof(hogs[0]); i++)
        if (strcmp(name, hogs[i].name) == 0)
            _exit(hogs[i].run());
}
