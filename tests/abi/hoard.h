/* SPDX-License-Identifier: MIT
 *
 * For tests of what one program hoards: its neighbour, on the same processor, sleeps a millisecond
 * again and again meanwhile, and no sleep may last longer than LATE_MS.
 */
#pragma once

#include "abi.h"

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void on_one_processor(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* The longest that a sleep of 1 ms took while pid lived; its wait status. */
static int watch(pid_t pid, double *worst)
{
    struct timespec ms = {0, 1000000};
    int status;

    for (*worst = 0; waitpid(pid, &status, WNOHANG) == 0;) {
        double t = now_us();

        nanosleep(&ms, NULL);
        t = now_us() - t;
        if (t > *worst)
            *worst = t;
    }
    return status;
}

/* Runs it in a child; begin, if any, comes before the neighbour looks at the clock. */
static inline void hoard_after(void (*begin)(void), void (*run)(void))
{
    double worst, late = 1e3 * (getenv("LATE_MS") ? atof(getenv("LATE_MS")) : 5);
    int status, ready[2];
    pid_t pid;
    char c;

    on_one_processor();
    EXPECT(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        if (begin)
            begin();
        close(ready[1]);
        run();
        _exit(0);
    }
    close(ready[1]);
    read(ready[0], &c, 1);
    status = watch(pid, &worst);
    if (worst > late || getenv("VERBOSE"))
        printf("# 1 ms of sleep took up to %.1f ms\n", worst / 1e3);
    EXPECT(status == 0 && worst <= late);
}

static inline void hoard(void (*run)(void))
{
    hoard_after(NULL, run);
}
