// SPDX-License-Identifier: MIT
// hello: says which kernel it found itself on, as whom, with how much memory, and how long its
// start took.
//
// The start time is what the kernel itself can vouch for: from the birth of this process
// (/proc/self/stat, field 22, in clock ticks since boot) until now; with HELLO_T0, nanoseconds on
// CLOCK_REALTIME at which the start was asked for, it is exact and counts everything: a
// guest's kernel has that clock from its host.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static uint64_t hello_now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Birth of this process in ns since boot, to a clock tick; false when /proc does not say. */
static bool hello_birth_ns(uint64_t *out)
{
    char text[1024], *p;
    FILE *f = fopen("/proc/self/stat", "r");
    size_t n;

    if (!f)
        return false;
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    p = strrchr(text, ')'); /* the name may hold spaces; after it comes field 3 */
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p, ' ');
        if (p)
            p++;
    }
    if (p)
        *out = strtoull(p, NULL, 10) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    return p != NULL;
}

static void hello_start(uint64_t now, uint64_t wall)
{
    const char *asked = getenv("HELLO_T0");
    uint64_t from = asked ? strtoull(asked, NULL, 10) : 0;

    if (from && from <= wall) {
        printf("start:    %.3f ms after it was asked for\n", (double)(wall - from) / 1e6);
        return;
    }
    if (hello_birth_ns(&from) && from <= now)
        printf("start:    within %.0f ms of the process's birth, %.3f ms after this kernel's\n",
               (double)(now - from) / 1e6 + 1000.0 / (double)sysconf(_SC_CLK_TCK),
               (double)now / 1e6);
    else
        printf("start:    unknown (no /proc)\n");
}

static void hello_memory(void)
{
    char line[256];
    unsigned long long kib = 0, limit = 0;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");

    if (f) {
        if (fgets(line, sizeof(line), f))
            limit = strtoull(line, NULL, 10); /* "max" reads as 0 */
        fclose(f);
    }
    f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemTotal: %llu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    printf("memory:   %llu MiB", kib / 1024);
    if (limit)
        printf(", of which %llu MiB may be used", limit >> 20);
    printf("\n");
}

int main(void)
{
    uint64_t wall = hello_now_ns(CLOCK_REALTIME), now = hello_now_ns(CLOCK_BOOTTIME);
    struct utsname u;

    if (uname(&u) < 0) {
        perror("hello: uname");
        return 1;
    }
    printf("Hello from Bothy!\n");
    printf("kernel:   %s %s %s %s\n", u.sysname, u.release, u.version, u.machine);
    printf("pid:      %d\n", (int)getpid());
    printf("hostname: %s\n", u.nodename);
    hello_memory();
    hello_start(now, wall);
    return 0;
}
