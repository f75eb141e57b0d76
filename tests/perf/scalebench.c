/* SPDX-License-Identifier: MIT
 *
 * scalebench [WORKERS [MS [NAME...]]]: what WORKERS (2) do in the time of one, each on a processor
 * of its own with its own files, pipes and memory: lines as rounds.h has them. MS (1500): for each.
 * "user" is computing alone, and so the most that this host allows. The same static program runs on
 * Linux and on Bothy; files live below /tmp.
 */
#include "bench.h"
#include "rounds.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u
#define AREA_PAGES 1024u
#define MAP_PAGES 16u
#define DIRECTORY "/tmp/scalebench"
#define COMMON DIRECTORY "/common"

static const char *scale_self;

/* Each its worker's; workers that are threads share none of their lines. */
static struct worker {
    char path[64], temp[64];
    int fd, in, out;
    volatile char *area;
    uint32_t word[2]; /* futexes: whose turn it is; the echo's number of rounds */
    char data[PAGE];
} __attribute__((aligned(64))) workers[WORKERS_MAX];

/* ---- memory ---- */

static void area_begin(unsigned w)
{
    size_t size = AREA_PAGES * PAGE;

    workers[w].area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bench_need(workers[w].area != MAP_FAILED, "mmap");
    bench_need(madvise((void *)workers[w].area, size, MADV_NOHUGEPAGE) == 0, "madvise");
}

static void area_reset(unsigned w)
{
    bench_need(madvise((void *)workers[w].area, AREA_PAGES * PAGE, MADV_DONTNEED) == 0, "madvise");
}

static void do_fault(unsigned w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        workers[w].area[(size_t)i * PAGE] = 1;
}

static void do_map(unsigned w, unsigned n)
{
    while (n--) {
        volatile char *p = mmap(NULL, MAP_PAGES * PAGE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        bench_need(p != MAP_FAILED, "mmap");
        for (unsigned i = 0; i < MAP_PAGES; i++)
            p[i * PAGE] = 1;
        munmap((void *)p, MAP_PAGES * PAGE);
    }
}

/* ---- files ---- */

static void files_begin(unsigned w)
{
    struct worker *me = &workers[w];
    char dir[32];

    snprintf(dir, sizeof dir, DIRECTORY "/%u", w);
    mkdir(dir, 0700);
    snprintf(me->path, sizeof me->path, "%s/file", dir);
    snprintf(me->temp, sizeof me->temp, "%s/temp", dir);
    me->fd = open(me->path, O_RDWR | O_CREAT, 0600);
    bench_need(me->fd >= 0 && write(me->fd, me->data, PAGE) == PAGE, me->path);
}

static void common_begin(unsigned w)
{
    int fd = open(COMMON, O_RDWR | O_CREAT, 0600);

    bench_need(fd >= 0, COMMON);
    close(fd);
    strcpy(workers[w].path, COMMON);
}

static void do_stat(unsigned w, unsigned n)
{
    struct stat st;

    while (n--)
        bench_need(stat(workers[w].path, &st) == 0, "stat");
}

static void do_open(unsigned w, unsigned n)
{
    while (n--) {
        int fd = open(workers[w].path, O_RDONLY);

        bench_need(fd >= 0, "open");
        close(fd);
    }
}

static void do_pread(unsigned w, unsigned n)
{
    while (n--)
        bench_need(pread(workers[w].fd, workers[w].data, PAGE, 0) == PAGE, "pread");
}

static void do_pwrite(unsigned w, unsigned n)
{
    while (n--)
        bench_need(pwrite(workers[w].fd, workers[w].data, PAGE, 0) == PAGE, "pwrite");
}

static void do_create(unsigned w, unsigned n)
{
    while (n--) {
        int fd = open(workers[w].temp, O_CREAT | O_EXCL | O_WRONLY, 0600);

        bench_need(fd >= 0, "create");
        close(fd);
        bench_need(unlink(workers[w].temp) == 0, "unlink");
    }
}

/* ---- processes ---- */

static void do_getppid(unsigned w, unsigned n)
{
    while (n--)
        syscall(SYS_getppid);
}

static void do_fork(unsigned w, unsigned n)
{
    while (n--) {
        pid_t pid = fork();

        bench_need(pid >= 0, "fork");
        if (pid == 0)
            _exit(0);
        bench_reap(pid);
    }
}

static void do_exec(unsigned w, unsigned n)
{
    while (n--) {
        pid_t pid = fork();

        bench_need(pid >= 0, "fork");
        if (pid == 0) {
            execl(scale_self, "scalebench", "--exit", (char *)NULL);
            _exit(127);
        }
        bench_reap(pid);
    }
}

static void do_compute(unsigned w, unsigned n)
{
    uint64_t x = n + 1;

    for (uint64_t i = 0; i < n * 64ul; i++)
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    workers[w].word[0] = (uint32_t)x;
}

/* ---- futexes ---- */

static void do_futex_wake(unsigned w, unsigned n)
{
    while (n--)
        bench_futex(&workers[w].word[0], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

static void turn_wait(uint32_t *word, uint32_t mine)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != mine)
        bench_futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, !mine);
}

static void turn_give(uint32_t *word, uint32_t to)
{
    __atomic_store_n(word, to, __ATOMIC_SEQ_CST);
    bench_futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

static _Noreturn void *futex_echo(void *arg)
{
    struct worker *me = arg;

    for (;;) {
        turn_wait(&me->word[0], 1);
        turn_give(&me->word[0], 0);
    }
}

/* The echo is a thread, on the worker's processor as well. */
static void futex_begin(unsigned w)
{
    pthread_t t;

    bench_need(pthread_create(&t, NULL, futex_echo, &workers[w]) == 0, "pthread_create");
}

static void do_futex_trip(unsigned w, unsigned n)
{
    while (n--) {
        turn_give(&workers[w].word[0], 1);
        turn_wait(&workers[w].word[0], 0);
    }
}

/* ---- round trips: the echo is a process, on the worker's processor as well ---- */

static void pipe_begin(unsigned w)
{
    echo_pipes(false, &workers[w].out, &workers[w].in);
}

static void one_fd(unsigned w, int fd)
{
    workers[w].in = workers[w].out = fd;
}

static void unix_begin(unsigned w)
{
    int fd;

    echo_unix(&fd);
    one_fd(w, fd);
}

static void tcp_begin(unsigned w)
{
    int fd;

    echo_loopback(SOCK_STREAM, &fd);
    one_fd(w, fd);
}

static void udp_begin(unsigned w)
{
    int fd;

    echo_loopback(SOCK_DGRAM, &fd);
    one_fd(w, fd);
}

static void do_trip(unsigned w, unsigned n)
{
    echo_ping(n, workers[w].out, workers[w].in);
}

/* ---- the table ---- */

static const struct rounds benches[] = {
    {"user", true, NULL, NULL, do_compute, 0},
    {"getppid", false, NULL, NULL, do_getppid, 0},
    {"fault_threads", true, area_begin, area_reset, do_fault, AREA_PAGES},
    {"fault_processes", false, area_begin, area_reset, do_fault, AREA_PAGES},
    {"map_threads", true, NULL, NULL, do_map, 0},
    {"map_processes", false, NULL, NULL, do_map, 0},
    {"stat", false, files_begin, NULL, do_stat, 0},
    {"stat_same", false, common_begin, NULL, do_stat, 0},
    {"open_close", false, files_begin, NULL, do_open, 0},
    {"open_close_same", false, common_begin, NULL, do_open, 0},
    {"pread_4k", false, files_begin, NULL, do_pread, 0},
    {"pwrite_4k", false, files_begin, NULL, do_pwrite, 0},
    {"create_unlink", false, files_begin, NULL, do_create, 0},
    {"fork_exit", false, NULL, NULL, do_fork, 0},
    {"fork_exec", false, NULL, NULL, do_exec, 0},
    {"futex_wake", true, NULL, NULL, do_futex_wake, 0},
    {"futex_trip", true, futex_begin, NULL, do_futex_trip, 0},
    {"pipe_trip", false, pipe_begin, NULL, do_trip, 0},
    {"unix_trip", false, unix_begin, NULL, do_trip, 0},
    {"tcp_trip", false, tcp_begin, NULL, do_trip, 0},
    {"udp_trip", false, udp_begin, NULL, do_trip, 0},
};

/* Each in a process of its own: its threads, echoes and affinity end with it. */
static void bench(const struct rounds *r, unsigned n, unsigned ms)
{
    pid_t pid = fork();

    bench_need(pid >= 0, "fork");
    if (pid == 0) {
        setpgid(0, 0);
        rounds_run(r, n, ms);
        exit(0);
    }
    bench_reap(pid);
    kill(-pid, SIGKILL);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    unsigned ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1500;

    if (argc > 1 && strcmp(argv[1], "--exit") == 0)
        return 0;
    if (n < 2 || n > WORKERS_MAX) {
        fprintf(stderr, "usage: scalebench [WORKERS [MS [NAME...]]], 2 to %d workers\n",
                WORKERS_MAX);
        return 2;
    }
    scale_self = access("/proc/self/exe", X_OK) == 0 ? "/proc/self/exe" : argv[0];
    mkdir("/tmp", 01777);
    mkdir(DIRECTORY, 0700);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (bench_wanted(benches[i].name, argv + (argc < 3 ? argc : 3)))
            bench(&benches[i], n, ms);
    return 0;
}
