/* SPDX-License-Identifier: MIT
 *
 * Crowds that wait for one event, and threads that seldom run while others wait for what they hold:
 * neither keeps a neighbour from its processor, nor from a call (hoard.h). Run where time counts
 * instructions (tools/test).
 */
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>

#include "hoard_beside.h"

#define INNER 2000
#define OUTER 4

static void many_descriptors(rlim_t n)
{
    struct rlimit r = {n, n};

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
}

/* Epolls that watch all of fd[], each watched by others: as many as there may be. */
static void crowd(const int *fd, int n)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int outer[OUTER];

    many_descriptors(20000);
    for (int i = 0; i < OUTER; i++)
        outer[i] = epoll_create1(0);
    for (int i = 0; i < INNER; i++) {
        int ep = epoll_create1(0);

        for (int k = 0; k < n; k++)
            if (epoll_ctl(ep, EPOLL_CTL_ADD, fd[k], &ev))
                return;
        for (int k = 0; k < OUTER; k++)
            epoll_ctl(outer[k], EPOLL_CTL_ADD, ep, &ev);
    }
}

static void drain(int fd)
{
    static char buf[1 << 14];

    while (read(fd, buf, sizeof(buf)) > 0)
        ;
}

/* ------------------------------------------------------------- terminals */

static int own_pair(int *slave)
{
    int master, unlock = 0, index = -1;
    char name[32];

    mkdir("/tmp", 0777);
    mkdir("/tmp/pts", 0755);
    EXPECT(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    EXPECT(mount("none", "/tmp/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0);
    master = open("/tmp/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    EXPECT(master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0);
    EXPECT(ioctl(master, TIOCGPTN, &index) == 0);
    snprintf(name, sizeof(name), "/tmp/pts/%d", index);
    *slave = open(name, O_RDWR | O_NOCTTY);
    EXPECT(*slave >= 0);
    return master;
}

/* A long line of what is shown as two characters, shown anew at once, while a crowd listens. */
static void echo_to_many(void)
{
    static char line[4000];
    int slave, master = own_pair(&slave);

    memset(line, 1, sizeof(line));
    crowd(&master, 1);
    EXPECT(write(master, line, sizeof(line)) == sizeof(line));
    drain(master);
    EXPECT(write(master, "\022", 1) == 1); /* VREPRINT */
    drain(master);
    for (size_t i = 0; i < sizeof(line); i++)
        line[i] = i % 2 ? 17 : 19; /* VSTART, VSTOP */
    EXPECT(write(master, line, 512) == 512);
}
TEST(an_echo_that_many_listen_to_lets_others_run)
{
    hoard(echo_to_many);
}

/* ------------------------------------------------------------- queues and timers */

/* Few epolls watch the file, and many each of them: about as many as there may be. */
static void fans_of_epolls(void)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int fd[2], outer[120];

    many_descriptors(20000);
    EXPECT(pipe(fd) == 0);
    for (int i = 0; i < 120; i++)
        outer[i] = epoll_create1(0);
    for (int i = 0; i < 30; i++) {
        int ep = epoll_create1(0);

        EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev) == 0);
        for (int k = 0; k < 120; k++)
            EXPECT(epoll_ctl(outer[k], EPOLL_CTL_ADD, ep, &ev) == 0);
    }
    EXPECT(write(fd[1], "", 1) == 1);
    for (int k = 0; k < 120; k++)
        EXPECT(epoll_wait(outer[k], &ev, 1, -1) == 1);
}
TEST(an_event_that_goes_through_fans_of_epolls_lets_others_run)
{
    hoard(fans_of_epolls);
}

/* Each a file of its own; all of them wait in their process's one queue. */
static void many_signalfds(void)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int fd[300], full = 0;
    sigset_t set;

    many_descriptors(20000);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    EXPECT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    for (int i = 0; i < 300; i++)
        fd[i] = signalfd(-1, &set, 0);
    for (int i = 0; i < 300 && !full; i++) {
        int ep = epoll_create1(0);

        for (int k = 0; k < 300 && !full; k++)
            full = epoll_ctl(ep, EPOLL_CTL_ADD, fd[k], &ev);
    }
    for (int i = 0; i < 20; i++)
        EXPECT(kill(getpid(), SIGUSR1) == 0);
}
TEST(a_signal_that_many_descriptors_hear_lets_others_run)
{
    hoard(many_signalfds);
}

static void timers_for_many(void)
{
    struct itimerspec at = {.it_value = {0, 1}};
    struct timespec later;
    int fd[20];

    for (int i = 0; i < 20; i++)
        fd[i] = timerfd_create(CLOCK_MONOTONIC, 0);
    crowd(fd, 20);
    EXPECT(clock_gettime(CLOCK_MONOTONIC, &later) == 0);
    at.it_value = (struct timespec){later.tv_sec + 1, later.tv_nsec};
    for (int i = 0; i < 20; i++)
        EXPECT(timerfd_settime(fd[i], TFD_TIMER_ABSTIME, &at, NULL) == 0);
    sleep(2);
}
TEST(timers_that_wake_many_let_others_run)
{
    hoard(timers_for_many);
}

static void events_for_many(void)
{
    int fd[20];

    mkdir("/tmp", 0777);
    for (int i = 0; i < 20; i++) {
        fd[i] = inotify_init1(IN_NONBLOCK);
        EXPECT(fd[i] >= 0 && inotify_add_watch(fd[i], "/tmp", IN_CREATE) == 1);
    }
    crowd(fd, 20);
    EXPECT(mkdir("/tmp/event", 0700) == 0);
    for (int i = 0; i < 20; i++)
        EXPECT(inotify_add_watch(fd[i], "/tmp/event", IN_DELETE_SELF) == 2);
    EXPECT(rmdir("/tmp/event") == 0);
}
TEST(watches_that_wake_many_let_others_run)
{
    hoard(events_for_many);
}

/* ------------------------------------------------------------- who seldom runs */

static void barrier_call(void)
{
    EXPECT(syscall(SYS_membarrier, 1, 0, 0) == 0); /* MEMBARRIER_CMD_GLOBAL */
}

static void spin_then_barrier(void)
{
    spin_us(500);
    barrier_call();
}

TEST(a_grace_period_does_not_wait_for_one_that_seldom_runs)
{
    EXPECT(beside_one_that_seldom_runs(spin_then_barrier, barrier_call) < bound_us());
}

static int nested[3]; /* a large one, one to watch it, and a small one */

static void watch_once(int outer, int inner)
{
    struct epoll_event ev = {.events = EPOLLIN};

    EXPECT(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &ev) == 0);
    EXPECT(epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL) == 0);
}

static void watch_large(void)
{
    watch_once(nested[1], nested[0]);
}

static void watch_small(void)
{
    int outer = epoll_create1(0);

    watch_once(outer, nested[2]);
    close(outer);
}

TEST(an_epoll_of_an_epoll_does_not_wait_for_one_that_seldom_runs)
{
    struct epoll_event ev = {.events = EPOLLIN};

    for (int i = 0; i < 3; i++)
        nested[i] = epoll_create1(0);
    for (int i = 0; i < 500; i++)
        EXPECT(epoll_ctl(nested[0], EPOLL_CTL_ADD, epoll_create1(0), &ev) == 0);
    EXPECT(beside_one_that_seldom_runs(watch_large, watch_small) < bound_us());
}

static int sockets[2], heavy[2];

static ssize_t send_sockets(int to, int fd, int n)
{
    static union {
        char space[CMSG_SPACE(250 * sizeof(int))];
        struct cmsghdr align;
    } u;
    struct iovec byte = {"x", 1};
    struct msghdr m = {.msg_iov = &byte,
                       .msg_iovlen = 1,
                       .msg_control = &u,
                       .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN((size_t)n * sizeof(int)),
                          .cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS};
    for (int i = 0; i < n; i++)
        memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(int));
    return sendmsg(to, &m, MSG_DONTWAIT);
}

/* A socket whose queue holds many is sent, and lost: there is no space for its descriptor. */
static void send_heavy(void)
{
    char c;

    EXPECT(send_sockets(sockets[0], heavy[1], 1) == 1);
    EXPECT(recv(sockets[1], &c, 1, 0) == 1);
}

static struct sockaddr_un listener = {.sun_family = AF_UNIX, .sun_path = "\0crowds"};
#define LISTENER_LEN (offsetof(struct sockaddr_un, sun_path) + 7)

static void connect_call(void)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT(s >= 0 && connect(s, (void *)&listener, LISTENER_LEN) == 0);
    close(s);
}

TEST(a_connect_does_not_wait_for_one_that_sends_sockets)
{
    int l = socket(AF_UNIX, SOCK_STREAM, 0), light[2];

    EXPECT(bind(l, (void *)&listener, LISTENER_LEN) == 0 && listen(l, 1000) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, heavy) == 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, light) == 0);
    for (int i = 0; i < 25; i++)
        EXPECT(send_sockets(heavy[0], light[0], 250) == 1);
    EXPECT(beside_one_that_seldom_runs(send_heavy, connect_call) < bound_us());
}
