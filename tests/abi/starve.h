/* SPDX-License-Identifier: MIT
 *
 * Calls in a shortage of memory. Bothy's debug build fails one allocation of a call, then the next
 * one in another try, until none is left to fail: what is half made by then is taken back, and the
 * call succeeds as soon as there is memory. Elsewhere each call is just made.
 */
#pragma once

#include "place.h"

#include <sys/prctl.h>

/* act: 0 or the errno, with what it has opened in fd[]; undo, if it made anything else: only what
 * has succeeded. */
struct call {
    const char *name;
    int (*act)(void);
    void (*undo)(void);
};

#define FDS 8
static int fd[FDS];
static int console;

static inline int result(long r)
{
    return r < 0 ? errno : 0;
}

/* fd[i] becomes r. */
static inline int opened(int i, int r)
{
    fd[i] = r;
    return result(r);
}

static inline unsigned count_fds(void)
{
    unsigned n = 0;

    for (int i = 0; i < 256; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

static inline void starve_at(unsigned n)
{
    if (console < 0)
        return;
    dprintf(console, "fail slab_alloc once %u of starved", n);
    dprintf(console, "fail page_alloc once %u of starved", n);
}

static inline void feed(void)
{
    if (console < 0)
        return;
    dprintf(console, "fail slab_alloc every 0");
    dprintf(console, "fail page_alloc every 0");
}

/* Has one been failed? */
static inline bool was_starved(unsigned n)
{
    char text[32] = "0";

    if (console < 0)
        return false;
    dprintf(console, "fail hits");
    read(console, text, sizeof(text) - 1);
    return strtoul(text, NULL, 10) >= n;
}

static inline int make(const struct call *c, bool starved)
{
    int err;

    memset(fd, -1, sizeof(fd));
    prctl(PR_SET_NAME, starved ? "starved" : "fed");
    err = c->act();
    prctl(PR_SET_NAME, "fed");
    if (!err && c->undo)
        c->undo();
    for (int i = 0; i < FDS; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    return err;
}

static inline bool is_shortage(int err)
{
    return err == ENOMEM || err == ENFILE || err == ENOSPC || err == EAGAIN || err == ENOLCK ||
           err == ENOBUFS;
}

/* In a process of its own, which ends as one of these: was there one to fail? */
enum { STARVED = 2, FED };

static inline void try_once(const struct call *c, unsigned n)
{
    unsigned fds = count_fds();
    bool starved;
    int err;

    alarm(LIMIT_S);
    starve_at(n);
    err = make(c, true);
    starved = was_starved(n);
    feed();
    if (err && !(starved && is_shortage(err)))
        printf("%s: allocation %u: errno %d\n", c->name, n, err);
    EXPECT(!err || (starved && is_shortage(err)));
    if (count_fds() != fds)
        printf("%s: allocation %u: %u descriptors more\n", c->name, n, count_fds() - fds);
    EXPECT(count_fds() == fds);
    if (err && (err = make(c, false)))
        printf("%s: after allocation %u: errno %d\n", c->name, n, err);
    EXPECT(!err && count_fds() == fds);
    _exit(starved ? STARVED : FED);
}

/* The n-th try has ended so; false: it was the last. */
static inline bool go_on(const struct call *c, unsigned n, int status)
{
    if (status != STARVED << 8 && status != FED << 8)
        printf("%s: allocation %u: status 0x%x\n", c->name, n, status);
    EXPECT(status == STARVED << 8 || status == FED << 8);
    if (status == FED << 8 && getenv("SHOW"))
        printf("%s: %u allocations\n", c->name, n - 1);
    return status != FED << 8;
}

static inline void starve(const struct call *c)
{
    int status = STARVED << 8;

    for (unsigned n = 1; n < 1000 && go_on(c, n - 1, status); n++) {
        pid_t pid = fork();

        if (pid == 0)
            try_once(c, n);
        EXPECT(waitpid(pid, &status, 0) == pid);
    }
    EXPECT(status == FED << 8);
}

static inline void starve_all(const struct call *calls)
{
    console = open("/proc/bothy/console", O_RDWR | O_CLOEXEC);
    for (; calls->name; calls++)
        starve(calls);
}
