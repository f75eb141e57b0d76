/* SPDX-License-Identifier: MIT
 *
 * What an operation costs does not grow with how many others there are: each row makes, uses and
 * drops N things and 16 N things. Were one of them found by a walk over all, the larger number
 * would cost 16 times as much each. Run where time counts instructions (tools/test).
 */
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "abi.h"

#define DIR_TOP "/tmp/scale"
#define TIMES 16
#define BOUND 2

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double each_us(void (*row)(int n), int n)
{
    double start = now_us();

    row(n);
    return (now_us() - start) / n;
}

static void scale(void (*row)(int n), int n)
{
    struct rlimit r = {1 << 17, 1 << 17};
    double few, many;

    setrlimit(RLIMIT_NOFILE, &r);
    mkdir("/tmp", 0777);
    mkdir(DIR_TOP, 0700);
    EXPECT(mount("none", DIR_TOP, "tmpfs", 0, NULL) == 0);
    few = each_us(row, n);
    many = each_us(row, n * TIMES);
    EXPECT(umount2(DIR_TOP, MNT_DETACH) == 0);
    if (many > few * BOUND || getenv("VERBOSE"))
        printf("# %d: %.1f us each; %d: %.1f us each\n", n, few, n * TIMES, many);
    EXPECT(many <= few * BOUND);
}

static void list_dir(const char *path, int at_least)
{
    DIR *d = opendir(path);
    int n = 0;

    EXPECT(d);
    while (readdir(d))
        n++;
    closedir(d);
    EXPECT(n >= at_least);
}

static const char *cgroup_top(void)
{
    static const char *top;

    if (top)
        return top;
    top = "/sys/fs/cgroup";
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK)) {
        top = "/tmp/cgroup";
        mkdir(top, 0755);
        mount("none", top, "cgroup2", 0, NULL);
    }
    return top;
}

static void row_cgroups(int n)
{
    char name[64];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s/scale-%d", cgroup_top(), i);
        EXPECT(mkdir(name, 0755) == 0);
    }
    list_dir(cgroup_top(), n);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s/scale-%d", cgroup_top(), i);
        EXPECT(rmdir(name) == 0);
    }
}
TEST(control_groups_do_not_walk_their_siblings)
{
    scale(row_cgroups, 60);
}

static void row_files(int n)
{
    struct stat st;
    char name[64];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), DIR_TOP "/file-%d", i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
    }
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), DIR_TOP "/none-%d", i);
        EXPECT(stat(name, &st) < 0);
        snprintf(name, sizeof(name), DIR_TOP "/file-%d", i);
        EXPECT(stat(name, &st) == 0);
    }
    list_dir(DIR_TOP, n);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), DIR_TOP "/file-%d", i);
        EXPECT(unlink(name) == 0);
    }
}
TEST(names_do_not_walk_the_cache)
{
    scale(row_files, 700);
}

/* Made, copied with their namespace, whose end takes the first ones, and unmounted. */
static void row_mounts(int n)
{
    char name[64];

    EXPECT(unshare(CLONE_NEWNS) == 0);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), DIR_TOP "/m-%d", i);
        EXPECT(mkdir(name, 0700) == 0);
        EXPECT(mount(DIR_TOP, name, NULL, MS_BIND, NULL) == 0);
    }
    EXPECT(unshare(CLONE_NEWNS) == 0);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), DIR_TOP "/m-%d", i);
        EXPECT(umount2(name, MNT_DETACH) == 0);
        EXPECT(rmdir(name) == 0);
    }
}
TEST(mounts_do_not_walk_each_other)
{
    scale(row_mounts, 60);
}

static void row_events(int n)
{
    int ep = epoll_create1(0), *fd = calloc((size_t)n, sizeof(int));
    struct epoll_event ev = {.events = EPOLLIN};

    for (int i = 0; i < n; i++) {
        fd[i] = eventfd(1, EFD_NONBLOCK);
        EXPECT(fd[i] >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &ev) == 0);
    }
    for (int i = 0; i < n; i++) {
        eventfd_t v;

        EXPECT(epoll_wait(ep, &ev, 1, 0) == 1);
        EXPECT(eventfd_read(fd[i], &v) == 0);
    }
    for (int i = 0; i < n; i++)
        EXPECT(close(fd[i]) == 0);
    close(ep);
    free(fd);
}
TEST(events_do_not_walk_each_other)
{
    scale(row_events, 500);
}

static void row_watches(int n)
{
    int in = inotify_init1(IN_NONBLOCK);
    char name[64];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), DIR_TOP "/w-%d", i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
        EXPECT(inotify_add_watch(in, name, IN_MODIFY) == i + 1);
    }
    for (int i = n; i-- > 0;) {
        EXPECT(inotify_rm_watch(in, i + 1) == 0);
        snprintf(name, sizeof(name), DIR_TOP "/w-%d", i);
        EXPECT(unlink(name) == 0);
    }
    close(in);
}
TEST(watches_do_not_walk_each_other)
{
    scale(row_watches, 300);
}

static void row_names(int n)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int *fd = calloc((size_t)n, sizeof(int));

    for (int i = 0; i < n; i++) {
        int len = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "scale-%d", i);

        fd[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
        EXPECT(fd[i] >= 0);
        EXPECT(bind(fd[i], (struct sockaddr *)&a, (socklen_t)(sizeof(sa_family_t) + 1 + len)) == 0);
    }
    for (int i = 0; i < n; i++)
        EXPECT(close(fd[i]) == 0);
    free(fd);
}
TEST(socket_names_do_not_walk_each_other)
{
    scale(row_names, 500);
}

static void *thread_wait(void *arg)
{
    struct rusage own;

    pthread_barrier_wait(arg);
    for (int i = 0; i < 4; i++)
        EXPECT(getrusage(RUSAGE_THREAD, &own) == 0);
    pthread_barrier_wait(arg);
    return NULL;
}

/* Each thread sleeps on a futex of its own at the end. */
static void row_threads(int n)
{
    pthread_t *t = calloc((size_t)n, sizeof(*t));
    pthread_barrier_t both;
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16384);
    pthread_barrier_init(&both, NULL, (unsigned)n + 1);
    for (int i = 0; i < n; i++)
        EXPECT(pthread_create(&t[i], &attr, thread_wait, &both) == 0);
    pthread_barrier_wait(&both);
    list_dir("/proc/self/task", n);
    pthread_barrier_wait(&both);
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    free(t);
}
TEST(threads_do_not_walk_each_other)
{
    scale(row_threads, 60);
}

/* A parent with many children asks for each by its number. */
static void row_children(int n)
{
    pid_t *pid = calloc((size_t)n, sizeof(*pid));

    for (int i = 0; i < n; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            for (;;)
                pause();
    }
    for (int i = n; i-- > 0;) {
        kill(pid[i], SIGKILL);
        EXPECT(waitpid(pid[i], NULL, 0) == pid[i]);
    }
    free(pid);
}
TEST(children_are_found_by_number)
{
    scale(row_children, 50);
}

/* ------------------------------------------------------------- timers */

static double busy_us(void)
{
    double start = now_us();

    for (volatile int i = 0; i < 5000000; i++)
        ;
    return now_us() - start;
}

/* Signals that are ignored, that wait to be taken, and that are not sent at all. */
static void start_many_timers(void)
{
    struct itimerspec often = {{0, 20000}, {0, 20000000}};
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerval alarms = {{0, 20}, {0, 20000}};
    sigset_t set;
    timer_t id;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGALRM, SIG_IGN);
    EXPECT(setitimer(ITIMER_REAL, &alarms, NULL) == 0);
    for (int i = 0; i < 1000; i++) {
        ev.sigev_notify = i % 2 ? SIGEV_SIGNAL : SIGEV_NONE;
        if (timer_create(CLOCK_MONOTONIC, &ev, &id))
            break; /* RLIMIT_SIGPENDING */
        EXPECT(timer_settime(id, 0, &often, NULL) == 0);
    }
    for (;;)
        pause();
}

/* Timers that nobody hears of leave the processor to others, however many they are. */
TEST(timers_that_nobody_hears_of)
{
    double alone = busy_us();
    pid_t pid = fork();

    if (pid == 0)
        start_many_timers();
    usleep(200000);
    EXPECT(busy_us() < alone * BOUND);
    kill(pid, SIGKILL);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}
