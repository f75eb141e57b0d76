// SPDX-License-Identifier: MIT
// The event loop: one thread, epoll, level-triggered descriptors and one-shot timers.
//
// Callbacks may add, change and delete any source or timer, their own included: a source deleted
// while events for it are pending is not called again. The owner frees it after ev_del().
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct ev_source {
    int fd;
    uint32_t events; /* 0 while not in the loop's set */
    void (*fn)(struct ev_source *s, uint32_t events);
};

struct ev_timer {
    uint64_t at; /* monotonic milliseconds; 0 while idle */
    void (*fn)(struct ev_timer *t);
    struct ev_timer *next;
    unsigned round; /* of the loop, in which it was set */
};

int ev_init(void);
/* Adds or changes; events 0 takes the source out of the set but keeps it usable. */
void ev_set(struct ev_source *s, uint32_t events);
void ev_del(struct ev_source *s); /* out of the set and out of the pending batch; fd stays open */
/* Set from a callback it is never due before the next round: others come in between. */
void ev_timer_set(struct ev_timer *t, uint64_t in_ms);
void ev_timer_del(struct ev_timer *t);
/* Waits for and delivers one batch. */
void ev_run_once(void);
int fd_nonblock(int fd);
