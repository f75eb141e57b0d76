/* SPDX-License-Identifier: MIT
 *
 * Runs and lies by the million, by several processes: each takes a hundred seeds at a time from a
 * counter that they share, so that all end together. Their parent says how far they are.
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOAK_SHARE 100U   /* seeds that a process takes at once */
#define SOAK_FAILURES 20U /* then it is enough */
#define SOAK_EVERY 10     /* seconds between two lines */
#define SOAK_JOBS_MOST 256U

/* Shared. I immutable · a atomic */
struct soak {
    u64 from, n;        /* I  n runs, then n lies */
    _Atomic u64 next;   /* a  the first that no process has taken */
    _Atomic u64 done;   /* a */
    _Atomic u32 failed; /* a */
};

static bool soak_one(const struct soak *k, u64 i)
{
    return i < k->n ? sim_run(k->from + i, false) : sim_lie(k->from + i - k->n);
}

static void soak_work(struct soak *k)
{
    u64 at;

    while (k->failed < SOAK_FAILURES && (at = k->next += SOAK_SHARE) - SOAK_SHARE < 2 * k->n) {
        for (u64 i = at - SOAK_SHARE; i < MIN(at, 2 * k->n); i++) {
            k->failed += !soak_one(k, i);
            k->done++;
        }
    }
}

static u64 soak_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec;
}

static void soak_say(const struct soak *k, u64 seconds)
{
    u64 all = 2 * k->n, done = k->done, rate = seconds ? done / seconds : 0;
    u64 left = rate ? (all - done) / rate : 0;

    printf("%llu of %llu runs and lies, %llu a second, %u failed, %llu:%02llu left\n",
           (unsigned long long)done, (unsigned long long)all, (unsigned long long)rate, k->failed,
           (unsigned long long)left / 60, (unsigned long long)left % 60);
}

/* Until all have left, or one has died, as a sanitizer's finding ends it. */
static void soak_watch(struct soak *k, u32 jobs)
{
    u64 began = soak_seconds(), said = began;
    u32 ended = 0;
    int status;

    while (ended < jobs) {
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid > 0) {
            ended++;
            k->failed += !WIFEXITED(status) || WEXITSTATUS(status);
        } else if (pid < 0 && errno != EINTR) {
            break;
        } else {
            usleep(100000);
        }
        if (soak_seconds() - said >= SOAK_EVERY) {
            said = soak_seconds();
            soak_say(k, said - began);
        }
    }
    soak_say(k, soak_seconds() - began);
}

int sim_soak(u64 from, u64 n, u32 jobs)
{
    struct soak *k =
        mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    u32 begun = 0;

    if (k == MAP_FAILED)
        return 1;
    k->from = from;
    k->n = n;
    jobs = MIN(jobs ? jobs : (u32)MAX(cpus, 1L), SOAK_JOBS_MOST);
    fflush(stdout);
    for (; begun < jobs; begun++) {
        pid_t pid = fork();

        if (pid < 0)
            break;
        if (!pid) {
            soak_work(k);
            exit(0);
        }
    }
    soak_watch(k, begun);
    return !begun || k->failed || k->done < 2 * n;
}
