/* SPDX-License-Identifier: MIT
 *
 * What the program that started this one is told: see report.h.
 */
#include "vmm/report.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void report_init(struct report *r, int fd)
{
    pthread_mutex_init(&r->lock, NULL);
    r->fd = fd;
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* False when it cannot be told. */
static bool report_say(const struct report *r, const char *text, size_t len)
{
    return r->fd >= 0 && write(r->fd, text, len) == (ssize_t)len;
}

void report_started(struct report *r)
{
    pthread_mutex_lock(&r->lock);
    if (!r->runs)
        report_say(r, "\1", 1);
    r->runs = true;
    pthread_mutex_unlock(&r->lock);
}

void report_oom(struct report *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->runs && !r->dead)
        report_say(r, "\2", 1);
    r->dead = r->dead || r->runs;
    pthread_mutex_unlock(&r->lock);
}

bool report_error(struct report *r, const char *sentence)
{
    bool told;

    pthread_mutex_lock(&r->lock);
    told = !r->runs && report_say(r, sentence, strlen(sentence));
    r->runs = r->runs || told;
    pthread_mutex_unlock(&r->lock);
    return told;
}
