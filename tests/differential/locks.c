/* SPDX-License-Identifier: MIT
 *
 * Locks on two files by several processes: POSIX's, those of an open file, flock's; blocking too.
 *
 * Descriptors lie in four slots of each process, which a fork takes along. Where several wait for
 * the same lock, who gets it is the kernel's business: only one waits at a time.
 */
#include "actors.h"
#include "differential.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_ACTORS = 3, SLOTS = 4, FILES = 2, RANGE = 12 };

static int slots[SLOTS];
static char names[FILES][32];
static unsigned *waiting; /* how many sleep for a lock */

/* --- choices, each said --- */

static unsigned slot(void)
{
    unsigned n = below(SLOTS);

    say(" %u", n);
    return n;
}

/* Small numbers, so that they meet. */
static struct flock range(void)
{
    static const short types[] = {F_RDLCK, F_WRLCK, F_WRLCK, F_UNLCK};
    struct flock l = {.l_type = ONE_OF(types), .l_start = below(RANGE)};

    l.l_len = one_in(6) ? 0 : (off_t)below(RANGE) - RANGE / 4;
    say(" type %d %ld+%ld", l.l_type, (long)l.l_start, (long)l.l_len);
    return l;
}

/* --- descriptors --- */

OPERATION(open, 4)
{
    static const int modes[] = {O_RDWR, O_RDWR, O_RDONLY, O_WRONLY};
    unsigned n = slot(), file = below(FILES);
    int mode = ONE_OF(modes);

    say(" file%u mode %d", file, mode);
    if (slots[n] >= 0)
        close(slots[n]);
    slots[n] = open(names[file], mode);
    say_result(slots[n] < 0 ? -1 : 0);
}

OPERATION(close, 1)
{
    unsigned n = slot();

    RESULT(close(slots[n]));
    slots[n] = -1;
}

OPERATION(dup, 1)
{
    unsigned from = slot(), to = slot();

    if (slots[from] < 0 || from == to)
        return;
    if (slots[to] >= 0)
        close(slots[to]);
    slots[to] = dup(slots[from]);
}

/* --- locks --- */

static void lock_by(int command)
{
    int fd = slots[slot()];
    struct flock l = range();

    RESULT(fcntl(fd, command, &l));
}

OPERATION(setlk, 6)
{
    lock_by(F_SETLK);
}

OPERATION(ofd_setlk, 4)
{
    lock_by(F_OFD_SETLK);
}

/* Of several in the way, any may be told of; but of one byte's write lock there is only one. */
static void lock_test(int command)
{
    int fd = slots[slot()];
    struct flock l = range();
    bool one_byte = one_in(2);

    if (one_byte)
        l.l_len = 1;
    RESULT(fcntl(fd, command, &l));
    say(" byte %d %s", one_byte, l.l_type == F_UNLCK ? "free" : "not free");
    if (one_byte && l.l_type == F_WRLCK) {
        say(" whence %d %ld+%ld of", l.l_whence, (long)l.l_start, (long)l.l_len);
        say_process(l.l_pid);
    }
}

OPERATION(getlk, 3)
{
    lock_test(F_GETLK);
}

OPERATION(ofd_getlk, 2)
{
    lock_test(F_OFD_GETLK);
}

OPERATION(flock, 4)
{
    static const int calls[] = {LOCK_SH, LOCK_EX, LOCK_UN, LOCK_EX};
    int fd = slots[slot()], call = ONE_OF(calls);

    say(" call %d", call);
    RESULT(flock(fd, call | LOCK_NB));
}

/* Takes the place of the one that may wait; false when it is taken. */
static bool may_wait(void)
{
    for (unsigned i = 0; i < ACTORS; i++)
        if (waiting[i] && actor_pid(i) && i != actor_self())
            return false;
    waiting[actor_self()] = 1;
    return true;
}

OPERATION(setlkw, 2)
{
    int fd = slots[slot()];
    struct flock l = range();

    if (!may_wait())
        return;
    RESULT(fcntl(fd, F_SETLKW, &l));
    waiting[actor_self()] = 0;
}

OPERATION(ofd_setlkw, 1)
{
    int fd = slots[slot()];
    struct flock l = range();

    if (!may_wait())
        return;
    RESULT(fcntl(fd, F_OFD_SETLKW, &l));
    waiting[actor_self()] = 0;
}

/* --- processes --- */

OPERATION(fork, 2)
{
    unsigned n = actor_free();

    if (n < ACTORS) {
        say(" a%u", n);
        waiting[n] = 0;
        actor_fork(n);
    }
}

OPERATION(exit, 1)
{
    _exit(0);
}

/* Also what ends a wait. */
OPERATION(kill, 1)
{
    unsigned n = actor_any();

    if (actor_pid(n) > 0)
        RESULT(kill(actor_pid(n), SIGKILL));
    waiting[n] = 0;
}

OPERATION(reap, 2)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        say(" one");
}

void program_begin(unsigned seed, const char *kind)
{
    memset(slots, -1, sizeof(slots));
    waiting = shared_memory(ACTORS * sizeof(*waiting));
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof(names[i]), "/tmp/locks-%u", i);
        close(open(names[i], O_RDWR | O_CREAT, 0600));
    }
    actors_begin(FIRST_ACTORS);
}

void program_end(void)
{
    actors_end();
    for (unsigned i = 0; i < FILES; i++)
        unlink(names[i]);
}
