/* SPDX-License-Identifier: MIT
 *
 * epoll: what it refuses and in which order, who is woken, epolls in epolls, many events.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "abi.h"

static int watch(int ep, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static void many_descriptors(rlim_t n)
{
    struct rlimit r = {n, n};

    EXPECT(setrlimit(RLIMIT_NOFILE, &r) == 0);
}

TEST(epoll_ctl_judges_in_the_order_of_linux)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int ep = epoll_create1(0), e = eventfd(0, 0), file = open("/proc/self/exe", O_RDONLY);

    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, -1, NULL), EFAULT);
    EXPECT_ERR(epoll_ctl(-1, EPOLL_CTL_ADD, e, &ev), EBADF);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, -1, &ev), EBADF);
    EXPECT_ERR(epoll_ctl(e, EPOLL_CTL_ADD, file, &ev), EPERM); /* before: e is no epoll */
    EXPECT_ERR(epoll_ctl(ep, 99, file, &ev), EPERM);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), EINVAL);
    EXPECT_ERR(epoll_ctl(e, EPOLL_CTL_ADD, ep, &ev), EINVAL);
    EXPECT_ERR(epoll_ctl(ep, 99, e, &ev), EINVAL);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, e, &ev), ENOENT);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, e, NULL), ENOENT);
    EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, e, &ev) == 0);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, e, &ev), EEXIST);
    EXPECT_ERR(epoll_wait(ep, &ev, 0, 0), EINVAL);
    EXPECT_ERR(epoll_wait(-1, &ev, 0, 0), EINVAL);
    EXPECT_ERR(syscall(SYS_epoll_wait, ep, &ev, 0x7fffffff, 0), EINVAL);
    EXPECT_ERR(epoll_wait(-1, (void *)-4096L, 1, 0), EFAULT);
    EXPECT_ERR(epoll_wait(e, &ev, 1, 0), EINVAL);
}

TEST(exclusive_watches_take_few_flags)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    int ep = epoll_create1(0), inner = epoll_create1(0), e = eventfd(0, 0);

    EXPECT_ERR(watch(ep, inner, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    EXPECT_ERR(watch(ep, e, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
    EXPECT_ERR(watch(ep, e, EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP), EINVAL);
    EXPECT(watch(ep, e, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE | EPOLLET) == 0);
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, e, &ev), EINVAL);
    ev.events = EPOLLIN;
    EXPECT_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, e, &ev), EINVAL);
}

/* ------------------------------------------------------------- who is woken */

struct sleeper {
    pthread_t thread;
    int ep, got;
    pid_t tid; /* of the sleeper, once it is there */
};

static void *sleeper_run(void *arg)
{
    struct sleeper *s = arg;
    struct epoll_event ev;

    __atomic_store_n(&s->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    s->got = epoll_wait(s->ep, &ev, 1, -1);
    return NULL;
}

/* Returns when the thread sleeps in epoll_wait. */
static void sleeper_start(struct sleeper *s, int ep)
{
    char path[64], text[256], *state;
    int fd;

    *s = (struct sleeper){.ep = ep};
    EXPECT(pthread_create(&s->thread, NULL, sleeper_run, s) == 0);
    while (!__atomic_load_n(&s->tid, __ATOMIC_ACQUIRE))
        sched_yield();
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", s->tid);
    do {
        sched_yield();
        fd = open(path, O_RDONLY);
        EXPECT(fd >= 0 && read(fd, text, sizeof(text)) > 0);
        close(fd);
        state = strrchr(text, ')');
    } while (!state || state[2] != 'S');
}

/* The first epoll has nobody to take the event: the second, whose thread sleeps, hears of it. */
TEST(an_exclusive_event_goes_to_an_epoll_with_a_waiter)
{
    int e = eventfd(0, 0), ep[3];
    struct sleeper s;

    for (int i = 0; i < 3; i++) {
        ep[i] = epoll_create1(0);
        EXPECT(watch(ep[i], e, EPOLLIN | EPOLLEXCLUSIVE) == 0);
    }
    sleeper_start(&s, ep[2]);
    EXPECT(eventfd_write(e, 1) == 0);
    pthread_join(s.thread, NULL);
    EXPECT(s.got == 1);
}

/* A watch for space does not use up an event that is about bytes. */
TEST(an_exclusive_event_is_not_used_up_by_another_kind)
{
    int s[2], ep[2];
    struct sleeper t[2];
    char c;

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    for (int i = 0; i < 2; i++) {
        ep[i] = epoll_create1(0);
        EXPECT(watch(ep[i], s[0], EPOLLIN | EPOLLEXCLUSIVE) == 0);
        sleeper_start(&t[i], ep[i]);
    }
    EXPECT(write(s[1], "x", 1) == 1); /* one of them */
    for (int left = 2; left == 2;) {
        left = 2 - (__atomic_load_n(&t[0].got, __ATOMIC_RELAXED) == 1) -
               (__atomic_load_n(&t[1].got, __ATOMIC_RELAXED) == 1);
        sched_yield();
    }
    EXPECT(read(s[0], &c, 1) == 1);
    close(s[1]); /* an end is for all */
    pthread_join(t[0].thread, NULL);
    pthread_join(t[1].thread, NULL);
    EXPECT(t[0].got == 1 && t[1].got == 1);
}

/* What stays ready is told to every thread that waits. */
TEST(a_level_triggered_event_wakes_one_waiter_after_the_other)
{
    int ep = epoll_create1(0), e = eventfd(0, 0);
    struct sleeper s[4];

    EXPECT(watch(ep, e, EPOLLIN) == 0);
    for (int i = 0; i < 4; i++)
        sleeper_start(&s[i], ep);
    EXPECT(eventfd_write(e, 1) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(s[i].thread, NULL);
        EXPECT(s[i].got == 1);
    }
}

/* ------------------------------------------------------------- epolls in epolls */

TEST(epolls_nest_five_deep)
{
    int e = eventfd(0, 0), ep[7];
    struct epoll_event ev;

    for (int i = 0; i < 7; i++)
        ep[i] = epoll_create1(0);
    EXPECT(watch(ep[0], e, EPOLLIN) == 0);
    for (int i = 0; i < 4; i++)
        EXPECT(watch(ep[i + 1], ep[i], EPOLLIN) == 0);
    EXPECT(epoll_wait(ep[4], &ev, 1, 0) == 0);
    EXPECT(eventfd_write(e, 1) == 0);
    EXPECT(epoll_wait(ep[4], &ev, 1, 0) == 1 && ev.data.fd == ep[3]);
    EXPECT(watch(ep[5], ep[4], EPOLLIN) == -1 && (errno == ELOOP || errno == EINVAL));
    EXPECT_ERR(watch(ep[0], ep[4], EPOLLIN), ELOOP); /* a circle */
    EXPECT_ERR(watch(ep[3], ep[4], EPOLLIN), ELOOP);
    close(ep[2]); /* the chain is cut */
    EXPECT(epoll_wait(ep[4], &ev, 1, 0) == 0);
    EXPECT(epoll_wait(ep[1], &ev, 1, 0) == 1);
    EXPECT(watch(ep[0], ep[4], EPOLLIN) == 0);
}

TEST(an_epoll_in_an_epoll_tells_of_each_edge)
{
    int outer = epoll_create1(0), inner = epoll_create1(0), s[2];
    struct epoll_event ev;

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    EXPECT(watch(outer, inner, EPOLLIN | EPOLLET) == 0 && watch(inner, s[0], EPOLLIN) == 0);
    EXPECT(epoll_wait(outer, &ev, 1, 0) == 0);
    EXPECT(write(s[1], "w", 1) == 1);
    EXPECT(epoll_wait(outer, &ev, 1, 0) == 1 && epoll_wait(outer, &ev, 1, 0) == 0);
    EXPECT(write(s[1], "w", 1) == 1);
    EXPECT(epoll_wait(outer, &ev, 1, 0) == 1 && epoll_wait(inner, &ev, 1, 0) == 1);
}

/* ep watches those below it, or (NULL) eight files: how many of them it was refused. */
static int watch_eight(int ep, const int *below, int file)
{
    int refused = 0;

    for (int k = 0; k < 8; k++)
        if (watch(ep, below ? below[k] : dup(file), EPOLLIN)) {
            EXPECT(errno == EINVAL || errno == ELOOP);
            refused++;
        }
    return refused;
}

/* An event may not cause callbacks without bound: 256 paths for each of thousands of watches. */
TEST(paths_through_epolls_are_bounded)
{
    int e = eventfd(0, 0), ep[5][8], refused = 0;

    EXPECT(watch(epoll_create1(0), e, EPOLLIN) == 0);
    for (int level = 0; level < 5; level++) {
        for (int i = 0; i < 8; i++) {
            ep[level][i] = epoll_create1(0);
            refused += watch_eight(ep[level][i], level ? ep[level - 1] : NULL, e);
        }
    }
    EXPECT(refused > 0);
    EXPECT(eventfd_write(e, 1) == 0);
}

/* ------------------------------------------------------------- many */

#define MANY 6000
TEST(an_epoll_of_many_files_is_watched_by_many)
{
    int inner = epoll_create1(0);

    many_descriptors(2100);
    for (int i = 0; i < 2000; i++)
        EXPECT(watch(inner, eventfd(0, 0), EPOLLIN) == 0);
    for (int i = 0; i < 20; i++)
        EXPECT(watch(epoll_create1(0), inner, EPOLLIN) == 0);
}

TEST(epoll_wait_tells_more_than_4096_events)
{
    struct epoll_event *ev;
    static char seen[MANY];
    int ep = epoll_create1(0);

    many_descriptors(MANY + 64);
    ev = mmap(NULL, MANY * sizeof(*ev), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(ev != MAP_FAILED); /* pages that are not there yet */
    for (int i = 0; i < MANY; i++) {
        struct epoll_event one = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        int e = eventfd(1, 0);

        EXPECT(e >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, e, &one) == 0);
    }
    EXPECT(epoll_wait(ep, ev, MANY, 0) == MANY);
    for (int i = 0; i < MANY; i++) {
        EXPECT(ev[i].data.u32 < MANY && !seen[ev[i].data.u32]);
        seen[ev[i].data.u32] = 1;
    }
}

/* Memory that is not there: the event is not lost. */
TEST(an_event_that_cannot_be_told_stays)
{
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int ep = epoll_create1(0), e = eventfd(1, 0);
    struct epoll_event ev;

    EXPECT(watch(ep, e, EPOLLIN | EPOLLONESHOT | EPOLLET) == 0);
    EXPECT_ERR(epoll_wait(ep, (void *)page, 1, 0), EFAULT);
    EXPECT(munmap(page, 4096) == 0);
    EXPECT_ERR(epoll_wait(ep, (void *)page, 1, 0), EFAULT);
    EXPECT(epoll_wait(ep, &ev, 1, 0) == 1 && ev.data.fd == e);
    EXPECT(epoll_wait(ep, &ev, 1, 0) == 0);
}

/* The descriptor closes in its epoll while other epolls look at it and close. */
static void *close_epolls(void *arg)
{
    int *stop = arg;

    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        int outer = epoll_create1(0), ep = epoll_create1(0), e = eventfd(1, 0);

        EXPECT(watch(outer, ep, EPOLLIN) == 0 && watch(ep, e, EPOLLIN) == 0);
        close(e);
        close(ep);
        close(outer);
    }
    return NULL;
}

TEST(files_and_epolls_end_at_the_same_time)
{
    int stop = 0;
    pthread_t t;

    EXPECT(pthread_create(&t, NULL, close_epolls, &stop) == 0);
    for (int i = 0; i < 1000; i++) {
        int ep = epoll_create1(0), e = eventfd(1, 0);
        pid_t pid;

        EXPECT(watch(ep, e, EPOLLIN) == 0);
        if (i % 50 == 0) { /* two processes hold both */
            pid = fork();
            if (pid == 0)
                _exit(0);
            close(e);
            close(ep);
            EXPECT(waitpid(pid, NULL, 0) == pid);
            continue;
        }
        close(i % 2 ? e : ep);
        close(i % 2 ? ep : e);
    }
    stop = 1;
    pthread_join(t, NULL);
}

/* ------------------------------------------------------------- poll and select */

TEST(poll_takes_many_and_the_same_many_times)
{
    static struct pollfd p[5000];
    int e = eventfd(0, 0);
    pid_t pid;

    many_descriptors(6000);
    for (int i = 0; i < 5000; i++)
        p[i] = (struct pollfd){.fd = i % 7 ? e : -1, .events = POLLIN};
    EXPECT(poll(p, 5000, 0) == 0);
    pid = fork();
    if (pid == 0)
        _exit(poll(p, 5000, -1) == 4285 && p[4999].revents == POLLIN && !p[0].revents ? 0 : 1);
    EXPECT(eventfd_write(e, 1) == 0);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    p[4998].fd = 5999;
    EXPECT(poll(p, 5000, -1) > 1 && p[4998].revents == POLLNVAL);
    many_descriptors(4000);
    EXPECT_ERR(poll(p, 5000, 0), EINVAL);
}
