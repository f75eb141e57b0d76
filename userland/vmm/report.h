/* SPDX-License-Identifier: MIT
 *
 * The conversation with the program that started a container's VM (`--report FD`): one sentence
 * when the application could not be started, or else the byte 1 when it runs, and then the byte 2
 * when the guest killed something of it for want of memory. Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* I immutable once the guest runs · r lock */
struct report {
    pthread_mutex_t lock;
    int fd;    /* I  -1: nothing is reported */
    bool runs; /* r  the application was started, or the failure has been told */
    bool dead; /* r  ... and some of it killed: said once, however often the guest says it */
};

void report_init(struct report *r, int fd);
void report_started(struct report *r);
void report_oom(struct report *r);
/* True when the sentence was taken: it can be told, and the application never ran. */
bool report_error(struct report *r, const char *sentence);
