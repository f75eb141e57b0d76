// SPDX-License-Identifier: MIT
// The guest agent's parts share one state: there is one application, and it is their life.
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/init.h"
#include "runtime/child.h"

struct agent {
    int control;
    int master;          /* of the application's terminal, or -1 */
    unsigned rows, cols; /* what it is to have */
    pid_t app;
    struct spec spec;
    struct shared_spec shared;
    int64_t pids, memory, weight; /* limits; 0 none */
    char *cpu;                    /* quota and period, as cpu.max has them; "" none */
};
extern struct agent agent;

/* ---- agent.c ---- */

/* A line to the VMM. */
void agent_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The end: the application could not be started. */
_Noreturn void agent_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int agent_port(int number, int flags);
void agent_resize(void);

/* ---- agent_app.c ---- */

void agent_config(void); /* reads what to run, or ends */
void agent_cgroup(void);
void agent_start(void); /* returns when the program runs, or ends */
bool agent_oom(void);   /* whether the guest killed some of it for want of memory */

/* ---- agent_image.c ---- */

void agent_image(void);            /* completes the image's tree, or ends */
void agent_root(struct child *ch); /* enters the root-to-be, which is made first */

/* ---- agent_copy.c ---- */

#define AGENT_STREAMS 3

void agent_pipes(struct child *ch); /* the application's ends, without a tty */
void agent_streams(void);           /* connects pipes, or the terminal, with the ports */
void agent_copy_poll(struct pollfd p[AGENT_STREAMS]);
void agent_copy(const struct pollfd p[AGENT_STREAMS]);
void agent_copy_rest(void); /* what the application left behind when it ended */
