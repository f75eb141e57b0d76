// SPDX-License-Identifier: MIT
// How much space volumes and containers take: a job walks their trees (usage.c).
#pragma once

#include <stdint.h>

struct usage;

/* `done` is called from the event loop; `u` lives as long as the call. It knows nothing when the
 * job has failed. */
void usage_ask(void (*done)(void *arg, const struct usage *u), void *arg);
/* Bytes of a "volume" or "container" of that name; -1 not known. */
int64_t usage_of(const struct usage *u, const char *kind, const char *name);
int worker_usage(char **argv); /* in the worker */
