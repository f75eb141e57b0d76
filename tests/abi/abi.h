/* SPDX-License-Identifier: MIT
 *
 * The harness: each TEST runs in a child of its own, under an alarm, and is one line of output. One
 * that has taken the alarm for itself, and hangs, is killed a little later.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct test {
    const char *name;
    void (*run)(void);
};
/* Seconds that a test may take: for what hangs, a busy host is slow. */
#define LIMIT_S 240

#define TEST(id)                                                         \
    static void id(void);                                                \
    static const struct test test_##id                                   \
        __attribute__((used, section("tests"), aligned(8))) = {#id, id}; \
    static void id(void)

/* Leaves the test as failed, saying where and what errno was. */
#define EXPECT(cond)                                                                    \
    do {                                                                                \
        if (!(cond)) {                                                                  \
            printf("FAIL-AT %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno); \
            fflush(stdout);                                                             \
            _exit(1);                                                                   \
        }                                                                               \
    } while (0)
#define EXPECT_ERR(call, err)                   \
    do {                                        \
        errno = 0;                              \
        EXPECT((call) == -1 && errno == (err)); \
    } while (0)

/* Widens the window of a race: the kernel's debug build stays there for a while each time. Nothing
 * anywhere else. */
static inline void delay_at(const char *point, bool on)
{
    int fd = open("/proc/bothy/console", O_WRONLY);

    if (fd < 0)
        return;
    dprintf(fd, "fail %s every %d", point, on);
    close(fd);
}

/* Waits for a child: its status as waitpid(2) gives it. */
static inline int status_of(pid_t pid)
{
    int status;

    EXPECT(waitpid(pid, &status, 0) == pid);
    return status;
}

/* Returns when the process's first thread sleeps in the kernel. */
static inline void until_process_asleep(pid_t pid)
{
    char path[64], state = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    while (state != 'S') {
        FILE *f = fopen(path, "r");

        EXPECT(f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && fclose(f) == 0);
        sched_yield();
    }
}

/* Returns when the thread, which tells its number there, sleeps, or has ended. */
static inline void until_asleep(volatile pid_t *tid)
{
    char path[64], line[512], *state;
    ssize_t n;
    int fd;

    while (!*tid)
        sched_yield();
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *tid);
    for (;;) {
        fd = open(path, O_RDONLY);
        n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
        if (fd >= 0)
            close(fd);
        if (n <= 0)
            return;
        line[n] = 0;
        state = strrchr(line, ')');
        if (state && (state[2] == 'S' || state[2] == 'D'))
            return;
        sched_yield();
    }
}

extern const struct test __start_tests[], __stop_tests[];

static volatile pid_t test_pid;

static void test_late(int sig)
{
    if (test_pid > 0)
        kill(test_pid, SIGKILL);
}

int main(int argc, char **argv)
{
    struct sigaction late = {.sa_handler = test_late};
    unsigned seconds = LIMIT_S;
    int failed = 0, found = 0;

    if (argc > 1 && strcmp(argv[1], "none") == 0) /* what a test runs that only has to be run */
        return 0;
    if (argc > 2 && strcmp(argv[1], "-t") == 0) { /* how long a test may take */
        seconds = (unsigned)atoi(argv[2]);
        argc = 1;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    for (const struct test *t = __start_tests; t < __stop_tests; t++) {
        int status = -1;
        if (argc > 1 && strcmp(argv[1], t->name) != 0)
            continue;
        found = 1;
        test_pid = fork();
        if (test_pid == 0) {
            alarm(seconds);
            t->run();
            _exit(0);
        }
        sigaction(SIGALRM, &late, NULL);
        alarm(seconds + 2);
        while (waitpid(test_pid, &status, 0) < 0 && errno == EINTR)
            ;
        signal(SIGALRM, SIG_DFL);
        alarm(0);
        if (status == 0)
            printf("ok %s\n", t->name);
        else
            printf("FAIL %s: status 0x%x\n", t->name, status);
        failed |= status;
    }
    if (!found)
        printf("FAIL %s: there is no such test\n", argc > 1 ? argv[1] : "-");
    return failed != 0 || !found;
}
