/* SPDX-License-Identifier: MIT */
#include "vmm/report.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;
static int report_fd = -1;
static bool report_runs; /* the application was started, or the failure has been told */
static bool report_dead; /* ... and some of it killed: said once, however often the guest says it */

void report_init(int fd)
{
    report_fd = fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* False when there is nobody to hear it. */
static bool report_say(const char *text, size_t len)
{
    return report_fd >= 0 && write(report_fd, text, len) == (ssize_t)len;
}

void report_started(void)
{
    pthread_mutex_lock(&report_lock);
    if (!report_runs)
        report_say("\1", 1);
    report_runs = true;
    pthread_mutex_unlock(&report_lock);
}

void report_oom(void)
{
    pthread_mutex_lock(&report_lock);
    if (report_runs && !report_dead)
        report_say("\2", 1);
    report_dead = report_dead || report_runs;
    pthread_mutex_unlock(&report_lock);
}

bool report_error(const char *sentence)
{
    bool told;

    pthread_mutex_lock(&report_lock);
    told = !report_runs && report_say(sentence, strlen(sentence));
    report_runs = report_runs || told;
    pthread_mutex_unlock(&report_lock);
    return told;
}
