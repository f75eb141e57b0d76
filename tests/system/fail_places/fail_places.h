/* SPDX-License-Identifier: MIT
 *
 * What the files of fail_places share (main.c says what it does).
 */
#pragma once

#include <stdbool.h>

/* program.c: in a process of its own */

int program_calls(void);
int program_disk(void);

/* The container's program: waits for its end. */
_Noreturn int program_inside(void);

/* machine.c */

#define ANSWER_MAX 65536
extern char answer[ANSWER_MAX]; /* the engine's last one, with its headers */

#define STATUS_NONE 0  /* no engine, or it closed the connection */
#define STATUS_LATE -1 /* no answer in time */

/* Asks the engine: the status. */
int ask(const char *method, const char *path, const char *body);

extern int console;             /* /proc/bothy/console */
extern char place[1024];        /* the last one that failed; "" none */
extern unsigned places, failed; /* how many have failed; how many complaints there were */
extern bool each; /* round counts objects, for someone who looks for what is lost where */

/* A command for the kernel's console, without and with its answer. */
__attribute__((format(printf, 1, 2))) void tell(const char *fmt, ...);
char *told(const char *command);

/* Prints a FAIL with the last place. */
__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...);

/* Has a place failed since fail points were armed? It is `place`. */
bool look_at_place(void);

struct state {
    unsigned groups, files, mounts, processes;
};

struct state state_now(void);

/* Complains if there is not as much as before. What ends in the background gets a while. */
void compare(const struct state *before);

void wait_a_little(void);
long free_kib(void);

/* Of each kind: the first time they are noted, later they are compared. */
void count_objects(bool first);

/* works.c */

struct work {
    const char *name, *point, *threads; /* as `debug fail` takes them */
    void (*run)(void);
    bool engine; /* lives after each round, or another does */
    void (*setup)(void), (*check)(void), (*end)(void);
};

extern const struct work works[]; /* the last has no name */
extern bool verbose;
extern bool strict; /* nothing is refused: all must succeed */

void await_engine(void);
