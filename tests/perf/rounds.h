/* SPDX-License-Identifier: MIT
 *
 * How much more several workers do than one, each on a processor of its own (the last ones), on a
 * host that is busy with other things. A round is half a millisecond or so in which workers that
 * begin together do the same work; it lasts until the last one is done. Rounds of one and of all
 * take turns, and of each kind the shortest counts: the host leaves some alone even if it disturbs
 * most.
 */
#pragma once

#include <stdbool.h>

#define WORKERS_MAX 8

/* A worker is told its number, from 0. Only work is timed. */
struct rounds {
    const char *name;
    bool threads;                         /* of one process; else each is a process */
    void (*begin)(unsigned w);            /* once, by the worker; may be NULL */
    void (*reset)(unsigned w);            /* before a round that it takes part in; may be NULL */
    void (*work)(unsigned w, unsigned n); /* n times */
    unsigned most;                        /* n at most; 0: any */
};

/* Prints "NAME GAIN ONE ALL": how many times the work of one the workers do in the same time, and
 * the nanoseconds that one of n takes where one works, and where all do. ms: for all rounds. */
void rounds_run(const struct rounds *r, unsigned workers, unsigned ms);
