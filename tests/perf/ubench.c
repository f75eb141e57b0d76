/* SPDX-License-Identifier: MIT
 *
 * ubench [NAME...]: what the common system calls cost, one line "name ns" each. The same static
 * program runs on Linux and on Bothy; files live in /tmp (a tmpfs on both). Each figure is the
 * best of PASSES passes; where time counts instructions, it is the same on every run.
 *
 * ubench --time COMMAND [ARG...]: runs it and prints "time ns"; its exit status is passed on.
 */
#include "bench.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PASSES 3
#define FILE_PATH "/tmp/ubench.file"
#define TEMP_PATH "/tmp/ubench.temp"
#define FILE_SIZE (4u << 20)
#define PAGE 4096u
#define CHUNK 65536u

static char bench_buffer[CHUNK];
static int bench_fd = -1;
static const char *bench_self;

/* ---- calls: each function does the work `n` times ---- */

static void do_getppid(unsigned n)
{
    while (n--)
        syscall(SYS_getppid);
}

static void do_clock(unsigned n)
{
    struct timespec t;

    while (n--)
        bench_need(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
}

static void do_read_1(unsigned n)
{
    while (n--)
        bench_need(pread(bench_fd, bench_buffer, 1, 0) == 1, "pread");
}

static void do_read(unsigned n)
{
    while (n--)
        bench_need(pread(bench_fd, bench_buffer, PAGE, 0) == PAGE, "pread");
}

static void do_write_1(unsigned n)
{
    while (n--)
        bench_need(pwrite(bench_fd, bench_buffer, 1, 0) == 1, "pwrite");
}

static void do_write(unsigned n)
{
    while (n--)
        bench_need(pwrite(bench_fd, bench_buffer, PAGE, 0) == PAGE, "pwrite");
}

static void do_stat(unsigned n)
{
    struct stat st;
    while (n--)
        bench_need(stat(FILE_PATH, &st) == 0, "stat");
}

static void do_open_close(unsigned n)
{
    while (n--) {
        int fd = open(FILE_PATH, O_RDONLY);
        bench_need(fd >= 0, "open");
        close(fd);
    }
}

static void do_create_unlink(unsigned n)
{
    while (n--) {
        int fd = open(TEMP_PATH, O_CREAT | O_EXCL | O_WRONLY, 0600);
        bench_need(fd >= 0, "create");
        close(fd);
        bench_need(unlink(TEMP_PATH) == 0, "unlink");
    }
}

/* ---- memory ---- */

static void touch(unsigned n, int flags, int fd)
{
    while (n) {
        unsigned pages = n < FILE_SIZE / PAGE ? n : FILE_SIZE / PAGE;
        volatile char *p = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
        bench_need(p != MAP_FAILED, "mmap");
        for (unsigned i = 0; i < pages; i++) {
            if (fd < 0)
                p[(size_t)i * PAGE] = 1;
            else
                (void)p[(size_t)i * PAGE];
        }
        munmap((void *)p, (size_t)pages * PAGE);
        n -= pages;
    }
}

static void do_fault_anon(unsigned n)
{
    touch(n, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void do_fault_file(unsigned n)
{
    touch(n, MAP_SHARED, bench_fd);
}

static void do_mmap_munmap(unsigned n)
{
    while (n--) {
        void *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bench_need(p != MAP_FAILED, "mmap");
        munmap(p, 16 * PAGE);
    }
}

/* ---- processes ---- */

static void on_signal(int sig)
{
}

static void do_signal(unsigned n)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &sa, NULL);
    pid_t self = getpid();
    while (n--)
        kill(self, SIGUSR1);
}

static void do_fork_exit(unsigned n)
{
    while (n--) {
        pid_t pid = fork();
        bench_need(pid >= 0, "fork");
        if (pid == 0)
            _exit(0);
        bench_reap(pid);
    }
}

static void do_fork_exec(unsigned n)
{
    while (n--) {
        pid_t pid = fork();
        bench_need(pid >= 0, "fork");
        if (pid == 0) {
            execl(bench_self, "ubench", "--exit", (char *)NULL);
            perror(bench_self);
            _exit(127);
        }
        bench_reap(pid);
    }
}

static void *thread_body(void *arg)
{
    return arg;
}

static void do_thread(unsigned n)
{
    while (n--) {
        pthread_t t;
        bench_need(pthread_create(&t, NULL, thread_body, NULL) == 0, "pthread_create");
        pthread_join(t, NULL);
    }
}

/* ---- between processes ---- */

static void pipe_round_trips(unsigned n, bool polled)
{
    int out, in;
    pid_t pid = echo_pipes(polled, &out, &in);

    echo_ping(n, out, in);
    close(out);
    close(in);
    bench_reap(pid);
}

static void do_pipe(unsigned n)
{
    pipe_round_trips(n, false);
}

static void do_epoll(unsigned n)
{
    pipe_round_trips(n, true);
}

static void do_unix(unsigned n)
{
    int fd;
    pid_t pid = echo_unix(&fd);

    echo_ping(n, fd, fd);
    close(fd);
    bench_reap(pid);
}

static void loopback_round_trips(unsigned n, int type)
{
    int fd;
    pid_t pid = echo_loopback(type, &fd);

    echo_ping(n, fd, fd);
    bench_need(type == SOCK_STREAM || send(fd, "", 0, 0) == 0,
               "end"); /* an empty one, for the echo */
    close(fd);
    bench_reap(pid);
}

static void do_tcp(unsigned n)
{
    loopback_round_trips(n, SOCK_STREAM);
}

static void do_udp(unsigned n)
{
    loopback_round_trips(n, SOCK_DGRAM);
}

static void do_tcp_connect(unsigned n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0);

    bench_need(bind(l, (void *)&a, len) == 0 && listen(l, 8) == 0, "listen");
    bench_need(getsockname(l, (void *)&a, &len) == 0, "getsockname");
    for (; n; n--) {
        int c = socket(AF_INET, SOCK_STREAM, 0), s;
        bench_need(connect(c, (void *)&a, len) == 0, "connect");
        s = accept(l, NULL, NULL);
        bench_need(s >= 0, "accept");
        close(c);
        close(s);
    }
    close(l);
}

static void do_tcp_64k(unsigned n)
{
    int sv[2];
    loopback_pair(SOCK_STREAM, sv);
    pid_t pid = fork();
    bench_need(pid >= 0, "fork");
    if (pid == 0) {
        close(sv[1]);
        while (read(sv[0], bench_buffer, CHUNK) > 0)
            ;
        _exit(0);
    }
    close(sv[0]);
    for (; n; n--)
        bench_need(write(sv[1], bench_buffer, CHUNK) == CHUNK, "write");
    close(sv[1]);
    bench_reap(pid);
}

static void do_pipe_64k(unsigned n)
{
    int p[2];
    bench_need(pipe(p) == 0, "pipe");
    pid_t pid = fork();
    bench_need(pid >= 0, "fork");
    if (pid == 0) {
        close(p[1]);
        while (read(p[0], bench_buffer, CHUNK) > 0)
            ;
        _exit(0);
    }
    close(p[0]);
    for (; n; n--)
        for (size_t done = 0; done < CHUNK;) {
            ssize_t k = write(p[1], bench_buffer + done, CHUNK - done);
            bench_need(k > 0, "write");
            done += k;
        }
    close(p[1]);
    bench_reap(pid);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    unsigned count;
    void (*work)(unsigned n);
} benches[] = {
    {"getppid", 20000, do_getppid},
    {"clock_gettime", 20000, do_clock},
    {"read_1", 10000, do_read_1},
    {"read_4k", 5000, do_read},
    {"write_1", 10000, do_write_1},
    {"write_4k", 5000, do_write},
    {"stat", 5000, do_stat},
    {"open_close", 5000, do_open_close},
    {"create_unlink", 2000, do_create_unlink},
    {"fault_anon", 2048, do_fault_anon},
    {"fault_file", 2048, do_fault_file},
    {"mmap_munmap", 5000, do_mmap_munmap},
    {"signal", 5000, do_signal},
    {"fork_exit", 200, do_fork_exit},
    {"fork_exec", 100, do_fork_exec},
    {"thread_create", 500, do_thread},
    {"pipe_trip", 2000, do_pipe},
    {"unix_trip", 2000, do_unix},
    {"epoll_trip", 2000, do_epoll},
    {"pipe_64k", 100, do_pipe_64k},
    {"tcp_trip", 2000, do_tcp},
    {"udp_trip", 2000, do_udp},
    {"tcp_connect", 1000, do_tcp_connect},
    {"tcp_64k", 100, do_tcp_64k},
};

static void bench(const char *name, unsigned count, void (*work)(unsigned))
{
    uint64_t best = UINT64_MAX;
    work(count / 10 + 1); /* warm */
    for (int i = 0; i < PASSES; i++) {
        uint64_t start = bench_now();
        work(count);
        uint64_t ns = bench_now() - start;
        best = ns < best ? ns : best;
    }
    printf("%s %.1f\n", name, (double)best / count);
    fflush(stdout);
}

static int time_command(char **argv)
{
    uint64_t start = bench_now();
    pid_t pid = fork();
    bench_need(pid >= 0, "fork");
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    int status;
    bench_need(waitpid(pid, &status, 0) == pid, "waitpid");
    printf("time %llu\n", (unsigned long long)(bench_now() - start));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--exit") == 0)
        return 0;
    if (argc > 2 && strcmp(argv[1], "--time") == 0)
        return time_command(argv + 2);
    bench_self = access("/proc/self/exe", X_OK) == 0 ? "/proc/self/exe" : argv[0];
    bench_fd = open(FILE_PATH, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bench_need(bench_fd >= 0, FILE_PATH);
    for (unsigned i = 0; i < FILE_SIZE / CHUNK; i++)
        bench_need(write(bench_fd, bench_buffer, CHUNK) == CHUNK, FILE_PATH);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (bench_wanted(benches[i].name, argv + 1))
            bench(benches[i].name, benches[i].count, benches[i].work);
    unlink(FILE_PATH);
    return 0;
}
