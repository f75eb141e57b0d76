// SPDX-License-Identifier: MIT
// The keeper's parts; what it is, README.md says.
//
// One thread; nothing here is locked. Memory that cannot be had fails the one start that wanted it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "runtime/keep.h"

/* What an engine does not know of a process yet; sent in this order. */
enum tell {
    TELL_PROCESS = 1, /* all of it: the engine is a new one */
    TELL_CLONED = 2,
    TELL_MASTER = 4,
    TELL_SAID = 8,
    TELL_SILENT = 16,
    TELL_EXITED = 32,
    TELL_FAILED = 64, /* it has not been started: it stands in no table, and goes when told */
};

/* A process from its clone until its end has been heard. */
struct kept {
    struct kept *by_id, *by_pid;  /* the next in the tables */
    struct kept *telling;         /* the next of which something is to be told */
    struct keep_head head;        /* as PROCESS says it */
    bool maker;                   /* of an exec: head.pid is its maker's yet (runtime/birth.h) */
    unsigned tell;                /* enum tell */
    bool listed;                  /* it stands among those to be told */
    int in, out, err;             /* ends of ours; -1 none. The master of a terminal is out */
    int sync;                     /* the child's conversation; -1 when it is over */
    char *note;                   /* the engine's */
    char *said;                   /* KEEP_SAID_MAX; NULL: silent, and nothing was said */
    uint32_t said_len, said_told; /* bytes; of them the engine has heard */
};

/* ---- kept.c: the containers that are kept ---- */

struct kept *kept_new(const struct keep_message *m); /* NULL without memory; in no table yet */
void kept_add(struct kept *k);                       /* it has a pid */
void kept_born(struct kept *k, pid_t pid);           /* its maker's number has been another */
void kept_free(struct kept *k);                      /* out of all tables */
void kept_hide(struct kept *k);                      /* wipes what was said of it, and by it */
struct kept *kept_find(const char *id);
struct kept *kept_of_pid(pid_t pid);
unsigned kept_count(void), kept_alive(void);
void kept_each(void (*fn)(struct kept *k));

/* ---- seal.c ---- */

/* Before all else. Does not return when it starts us anew from a sealed copy of our program; 0 when
 * that has been done, or need not be; or -errno. */
int seal_program(char **argv);

/* ---- start.c ---- */

/* Does what START says. A new one, for which CLONED or FAILED is told; NULL without memory. */
struct kept *start(struct keep_message *m);
int start_prepare(void); /* once: 0 or -errno */

/* ---- talk.c: the engine ---- */

void talk_tell(struct kept *k, unsigned what); /* a bit of enum tell; told when the engine reads */
void talk_forget(struct kept *k);              /* frees it */
void talk_adopt(int conn);                     /* the engine's connection */
void talk_event(uint32_t events);
void talk_listener(int listener);
bool talk_over(void); /* there is nothing left to be here for */

/* ---- main.c ---- */

enum watch { WATCH_ENGINE = 1, WATCH_LISTENER, WATCH_SIGNAL }; /* or a struct kept */

/* 0 or -errno. Watches are level-triggered and end when the descriptor is closed. */
int watch(int fd, void *what, uint32_t events);
void watch_change(int fd, void *what, uint32_t events);
