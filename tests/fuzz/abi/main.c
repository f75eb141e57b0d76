/* SPDX-License-Identifier: MIT
 *
 * fuzz-abi [SEED [SECONDS [THREADS [NAME]]]]: processes with threads that make system calls with
 * random arguments, until the time is over. NAME: this call alone. A process lives a second at
 * most; how it ends is of no interest: what counts is that the kernel goes on. Prints what it did.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define PROCESSES 4
#define CLEAR_EVERY 10 /* seconds */

static const char *only;
static unsigned threads = 3;
static volatile uint64_t *made; /* calls in all, shared */
static uint64_t seed;

struct worker {
    struct chance chance;
    pid_t pid;
};

static void make_call(struct chance *c, pid_t pid)
{
    const struct call *call = &calls[chance_below(c, call_count)];
    long args[6];

    if ((only && strcmp(call->name, only) != 0) || !call_prepare(call, c, args))
        return;
    syscall((long)call->nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (syscall(SYS_getpid) != pid)
        syscall(SYS_exit_group, 0); /* a child that the call has made */
    __atomic_fetch_add(made, 1, __ATOMIC_RELAXED);
}

static void *work(void *arg)
{
    struct worker *w = arg;

    for (;;)
        make_call(&w->chance, w->pid);
    return NULL;
}

static void nothing(int sig)
{
    (void)sig;
}

/* A call that waits is interrupted, mostly: its thread goes on to the next. */
static _Noreturn void interrupt(pthread_t *thread, unsigned n)
{
    for (unsigned i = 0;; i = (i + 1) % n) {
        usleep(5000);
        pthread_kill(thread[i], SIGUSR2);
    }
}

static void limit(int which, rlim_t n)
{
    struct rlimit r = {n, n};

    setrlimit(which, &r);
}

/* One process: its files in a folder of its own, its threads, and an alarm. */
static void process(uint64_t number)
{
    static struct worker workers[16];
    struct chance c = {seed * 1000003 + number};
    struct sigaction wake = {.sa_handler = nothing};
    pthread_t thread[16];
    char folder[64];
    unsigned n = 0;

    setpgid(0, 0);
    prctl(PR_SET_DUMPABLE, 1);
    snprintf(folder, sizeof(folder), "/tmp/fuzz%d", (int)(number % 8));
    mkdir(folder, 0777);
    if (chdir(folder) == 0) {
        mkdir("d", 0777);
        mkfifo("fifo", 0666);
        (void)!symlink("a", "link");
        (void)!symlink("loop", "loop");
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NPROC, 200);
    values_init();
    objects_open(&c);
    sigaction(SIGUSR2, &wake, NULL);
    alarm(1);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){{chance_u64(&c)}, getpid()};
        n += pthread_create(&thread[n], NULL, work, &workers[i]) == 0;
    }
    if (n)
        interrupt(thread, n);
    _exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What runs: some calls wait for ever, with the alarm blocked, so each has its time. */
static struct {
    pid_t pid; /* 0: none */
    double end;
} running[PROCESSES];

static void start(unsigned slot, uint64_t number)
{
    pid_t pid = fork();

    if (pid == 0)
        process(number);
    if (pid < 0)
        return;
    setpgid(pid, pid);
    running[slot].pid = pid;
    running[slot].end = now() + 2;
}

/* Ends what is over its time, and takes what has ended; true when it went by a signal. */
static bool look_after(unsigned slot)
{
    pid_t pid = running[slot].pid;
    int status = 0;

    if (!pid)
        return false;
    if (now() > running[slot].end) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL); /* it may have left its group */
    }
    if (waitpid(pid, &status, WNOHANG) == 0)
        return false;
    kill(-pid, SIGKILL); /* what it has left behind */
    running[slot].pid = 0;
    return WIFSIGNALED(status);
}

/* Ends all: also those that left their group, and would take all numbers in the end. Of the
 * container's first process these are its children by now. How many went by a signal. */
static uint64_t clear(void)
{
    uint64_t lost = 0;
    int status;
    pid_t pid;

    for (unsigned i = 0; i < PROCESSES; i++)
        if (running[i].pid)
            kill(running[i].pid, SIGKILL);
    if (getpid() == 1)
        kill(-1, SIGKILL);
    while ((pid = waitpid(-1, &status, 0)) > 0 || errno == EINTR)
        lost += pid > 0 && WIFSIGNALED(status);
    memset(running, 0, sizeof(running));
    return lost;
}

int main(int argc, char **argv)
{
    double end = now() + (argc > 2 ? atof(argv[2]) : 10);
    uint64_t number = 0, lost = 0;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    threads = argc > 3 ? (unsigned)atoi(argv[3]) % 16 : 3; /* beside one that wakes them */
    only = argc > 4 ? argv[4] : NULL;
    made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    prctl(PR_SET_DUMPABLE, 0); /* the children write into each other's memory, not into ours */
    for (double cleared = now(); now() < end; usleep(5000)) {
        if (now() > cleared + CLEAR_EVERY) {
            lost += clear();
            cleared = now();
        }
        for (unsigned i = 0; i < PROCESSES; i++) {
            lost += look_after(i);
            if (!running[i].pid)
                start(i, number++);
        }
    }
    lost += clear();
    printf("ok %lu calls in %lu processes, %lu ended by a signal\n", (unsigned long)*made,
           (unsigned long)number, (unsigned long)lost);
    return *made == 0;
}
