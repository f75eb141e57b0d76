// SPDX-License-Identifier: MIT
// What the engine and the keeper say to each other.
//
// One connection of SOCK_SEQPACKET: a message is a struct keep_head, a note, a text and up to
// KEEP_FDS descriptors. Both ends are of one machine and trusted, but judged: keep_recv() drops
// what is not well-formed. The engine speaks first; a keeper that does not know its version says
// which one it speaks and closes.
//
//   engine -> keeper                            descriptors          answer
//   HELLO      value: KEEP_VERSION                                   WELCOME, a PROCESS for each
//                                                                    that is kept, LISTED
//   START      id, owner, flags, caps, clone    group?, order?       CLONED or FAILED
//              (flags of clone), run, value:
//              its oom_score_adj; a note of
//              the engine's, the order's text
//   GO         it stands in its control group now
//   KILL       value: the signal
//   MARK       value: what the engine wants to know of it later (KEEP_MARK_*)
//   CLOSE_IN   the engine alone has its standard input's writing end from now on
//   CLOSE_OUT  it has ended, and all that it has written has been read
//   FORGET     its end has been heard, and is written down: run as in START
//   END        all are killed; when none is left the keeper ends
//
//   keeper -> engine
//   WELCOME    value: how many PROCESS messages follow
//   PROCESS    all that is known of one         out, err, in         (as far as KEEP_HAS_* say)
//              flags, pid, run, value: marks;   the times of its start and its end; status
//              its note; what it has said       when KEEP_DEAD
//   LISTED
//   CLONED     pid, flags                       out, err, in
//              (of an exec, its maker's pid)
//   FAILED     a sentence; nothing is kept
//   SAID       a text of the child's            its terminal's master?
//   SILENT     the child has closed its conversation: without a text before that, its program
//              runs; pid, which is the exec's own by now
//   EXITED     status; the times
//
// A process is named by its id (a container's or an exec's) and its run, a number that the engine
// counts up: an id may be started again when the last run's end is known.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEEP_VERSION 3
#define KEEP_SOCKET "keeper" /* its name in the engine's root */
#define KEEP_ID 64
#define KEEP_FDS 3
#define KEEP_NOTE_MAX 4096u
#define KEEP_TEXT_MAX 32768u /* a longer order comes as a file */
#define KEEP_SAID_MAX 2048u  /* of what a child says before its program runs */

enum keep_type {
    KEEP_HELLO = 1,
    KEEP_START,
    KEEP_GO,
    KEEP_KILL,
    KEEP_MARK,
    KEEP_CLOSE_IN,
    KEEP_CLOSE_OUT,
    KEEP_FORGET,
    KEEP_END,
    KEEP_WELCOME,
    KEEP_PROCESS,
    KEEP_LISTED,
    KEEP_CLONED,
    KEEP_FAILED,
    KEEP_SAID,
    KEEP_SILENT,
    KEEP_EXITED,
    KEEP_TYPES
};

enum keep_flag {
    KEEP_TTY = 1,       /* its streams are a terminal, which it makes itself */
    KEEP_WANT_IN = 2,   /* a pipe for its standard input */
    KEEP_EXEC = 4,      /* it joins the process whose id is `owner` */
    KEEP_FILTER = 8,    /* its filter of system calls is the one for `caps` */
    KEEP_IN_ONCE = 16,  /* CLOSE_IN from the beginning */
    KEEP_GROUP = 32,    /* descriptors of START */
    KEEP_ORDER = 64,    /* the order is a file */
    KEEP_HAS_OUT = 128, /* descriptors of the others; the master of a terminal is `out` */
    KEEP_HAS_ERR = 256,
    KEEP_HAS_IN = 512,
    KEEP_UNPLACED = 1024, /* it waits for GO: the kernel could not clone into the group */
    KEEP_QUIET = 2048,    /* SILENT has been said */
    KEEP_DEAD = 4096,
};

#define KEEP_MARK_STOPPED 1 /* a client has stopped it, or sent a signal */
#define KEEP_MARK_LAST 2    /* ... so that its restart policy does not apply to this run */

struct keep_head {
    uint16_t type;
    uint16_t zero; /* like zero2 */
    uint32_t flags;
    uint32_t note, text;        /* lengths of what follows */
    int32_t pid, value, status; /* status: waitpid()'s */
    uint32_t zero2;
    uint64_t run, caps, clone;
    int64_t born, died; /* nanoseconds since 1970; 0 not yet */
    char id[KEEP_ID], owner[KEEP_ID];
};

struct keep_message {
    struct keep_head head;
    char *note, *text; /* in data */
    int fds[KEEP_FDS]; /* the receiver's; -1 none */
    int nfds;
    char data[KEEP_NOTE_MAX + KEEP_TEXT_MAX + 1]; /* the text is followed by a NUL */
};

/* May wait unless `fd` does not. 0 or -errno: -EAGAIN when the peer does not read. */
int keep_send(int fd, const struct keep_head *h, const void *note, const void *text, const int *fds,
              int nfds);
/* 1, 0 at the end, -errno; -EPROTO for what is no message; -EMFILE for one whose descriptors we
 * cannot have: the rest of it is in *m. On 1 the descriptors are the caller's. */
int keep_recv(int fd, struct keep_message *m);
void keep_close_fds(struct keep_message *m); /* those that have not been taken: fds[i] = -1 is */
/* Which of a message's descriptors is the one that `flag` stands for, by their order; or -1. Taken
 * by the caller. */
int keep_take_fd(struct keep_message *m, uint32_t flag);
