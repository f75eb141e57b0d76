/* SPDX-License-Identifier: MIT
 *
 * ubench [NAME...]: what the common system calls cost, one line "name ns" each. The same static
 * program runs on Linux and on Bothy; files live in /tmp (a tmpfs on both). Each figure is the
 * best of PASSES passes; where time counts instructions, it is the same on every run.
 *
 * ubench --time COMMAND [ARG...]: runs it and prints "time ns"; its exit status is passed on.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "ubench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void need(bool ok, const char *what)
{
    if (!ok)
        die(what);
}

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
        need(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
}

static void do_read_1(unsigned n)
{
    while (n--)
        need(pread(bench_fd, bench_buffer, 1, 0) == 1, "pread");
}

static void do_read(unsigned n)
{
    while (n--)
        need(pread(bench_fd, bench_buffer, PAGE, 0) == PAGE, "pread");
}

static void do_write_1(unsigned n)
{
    while (n--)
        need(pwrite(bench_fd, bench_buffer, 1, 0) == 1, "pwrite");
}

static void do_write(unsigned n)
{
    while (n--)
        need(pwrite(bench_fd, bench_buffer, PAGE, 0) == PAGE, "pwrite");
}

static void do_stat(unsigned n)
{
    struct stat st;
    while (n--)
        need(stat(FILE_PATH, &st) == 0, "stat");
}

static void do_open_close(unsigned n)
{
    while (n--) {
        int fd = open(FILE_PATH, O_RDONLY);
        need(fd >= 0, "open");
        close(fd);
    }
}

static void do_create_unlink(unsigned n)
{
    while (n--) {
        int fd = open(TEMP_PATH, O_CREAT | O_EXCL | O_WRONLY, 0600);
        need(fd >= 0, "create");
        close(fd);
        need(unlink(TEMP_PATH) == 0, "unlink");
    }
}

/* ---- memory ---- */

static void touch(unsigned n, int flags, int fd)
{
    while (n) {
        unsigned pages = n < FILE_SIZE / PAGE ? n : FILE_SIZE / PAGE;
        volatile char *p = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
        need(p != MAP_FAILED, "mmap");
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
        need(p != MAP_FAILED, "mmap");
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

static void reap(pid_t pid)
{
    int status;
    need(waitpid(pid, &status, 0) == pid && status == 0, "child");
}

static void do_fork_exit(unsigned n)
{
    while (n--) {
        pid_t pid = fork();
        need(pid >= 0, "fork");
        if (pid == 0)
            _exit(0);
        reap(pid);
    }
}

static void do_fork_exec(unsigned n)
{
    while (n--) {
        pid_t pid = fork();
        need(pid >= 0, "fork");
        if (pid == 0) {
            execl(bench_self, "ubench", "--exit", (char *)NULL);
            perror(bench_self);
            _exit(127);
        }
        reap(pid);
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
        need(pthread_create(&t, NULL, thread_body, NULL) == 0, "pthread_create");
        pthread_join(t, NULL);
    }
}

/* ---- between processes ---- */

/* A child that sends each byte back, waiting by epoll or in read. */
static pid_t echo_start(int in, int out, bool polled, int close_a, int close_b)
{
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid)
        return pid;
    close(close_a);
    close(close_b);
    char c;
    struct epoll_event ev = {.events = EPOLLIN};
    int ep = epoll_create1(0);
    if (polled && (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev) < 0))
        _exit(1);
    for (;;) {
        if (polled && epoll_wait(ep, &ev, 1, -1) != 1)
            _exit(1);
        if (read(in, &c, 1) != 1)
            _exit(0);
        if (write(out, &c, 1) != 1)
            _exit(1);
    }
}

static void ping(unsigned n, int out, int in)
{
    char c = 'x';
    while (n--)
        need(write(out, &c, 1) == 1 && read(in, &c, 1) == 1, "round trip");
}

static void pipe_round_trips(unsigned n, bool polled)
{
    int to[2], from[2];
    need(pipe(to) == 0 && pipe(from) == 0, "pipe");
    pid_t pid = echo_start(to[0], from[1], polled, to[1], from[0]);
    close(to[0]);
    close(from[1]);
    ping(n, to[1], from[0]);
    close(to[1]);
    close(from[0]);
    reap(pid);
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
    int sv[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0, "socketpair");
    pid_t pid = echo_start(sv[1], sv[1], false, sv[0], -1);
    close(sv[1]);
    ping(n, sv[0], sv[0]);
    close(sv[0]);
    reap(pid);
}

/* Both ends of a connection over the loopback, or of two datagram sockets that are connected with
 * each other. */
static void loopback_pair(int type, int sv[2])
{
    struct sockaddr_in a[2] = {{.sin_family = AF_INET}, {.sin_family = AF_INET}};
    socklen_t len = sizeof(a[0]);
    int fd[2];

    for (int i = 0; i < 2; i++) {
        a[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd[i] = socket(AF_INET, type, 0);
        need(fd[i] >= 0 && bind(fd[i], (void *)&a[i], len) == 0, "bind");
        need(getsockname(fd[i], (void *)&a[i], &len) == 0, "getsockname");
    }
    need(type == SOCK_DGRAM || listen(fd[0], 1) == 0, "listen");
    need(connect(fd[1], (void *)&a[0], len) == 0, "connect");
    sv[1] = fd[1];
    if (type == SOCK_DGRAM) {
        need(connect(fd[0], (void *)&a[1], len) == 0, "connect back");
        sv[0] = fd[0];
        return;
    }
    sv[0] = accept(fd[0], NULL, NULL);
    need(sv[0] >= 0, "accept");
    close(fd[0]);
}

static void loopback_round_trips(unsigned n, int type)
{
    int sv[2];
    loopback_pair(type, sv);
    pid_t pid = echo_start(sv[1], sv[1], false, sv[0], -1);
    close(sv[1]);
    ping(n, sv[0], sv[0]);
    need(type == SOCK_STREAM || send(sv[0], "", 0, 0) == 0, "end"); /* an empty one, for the echo */
    close(sv[0]);
    reap(pid);
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

    need(bind(l, (void *)&a, len) == 0 && listen(l, 8) == 0, "listen");
    need(getsockname(l, (void *)&a, &len) == 0, "getsockname");
    for (; n; n--) {
        int c = socket(AF_INET, SOCK_STREAM, 0), s;
        need(connect(c, (void *)&a, len) == 0, "connect");
        s = accept(l, NULL, NULL);
        need(s >= 0, "accept");
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
    need(pid >= 0, "fork");
    if (pid == 0) {
        close(sv[1]);
        while (read(sv[0], bench_buffer, CHUNK) > 0)
            ;
        _exit(0);
    }
    close(sv[0]);
    for (; n; n--)
        need(write(sv[1], bench_buffer, CHUNK) == CHUNK, "write");
    close(sv[1]);
    reap(pid);
}

static void do_pipe_64k(unsigned n)
{
    int p[2];
    need(pipe(p) == 0, "pipe");
    pid_t pid = fork();
    need(pid >= 0, "fork");
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
            need(k > 0, "write");
            done += k;
        }
    close(p[1]);
    reap(pid);
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
        uint64_t start = now_ns();
        work(count);
        uint64_t ns = now_ns() - start;
        best = ns < best ? ns : best;
    }
    printf("%s %.1f\n", name, (double)best / count);
    fflush(stdout);
}

static bool wanted(const char *name, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static int time_command(char **argv)
{
    uint64_t start = now_ns();
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    int status;
    need(waitpid(pid, &status, 0) == pid, "waitpid");
    printf("time %llu\n", (unsigned long long)(now_ns() - start));
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
    need(bench_fd >= 0, FILE_PATH);
    for (unsigned i = 0; i < FILE_SIZE / CHUNK; i++)
        need(write(bench_fd, bench_buffer, CHUNK) == CHUNK, FILE_PATH);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (wanted(benches[i].name, argv + 1))
            bench(benches[i].name, benches[i].count, benches[i].work);
    unlink(FILE_PATH);
    return 0;
}
