/* SPDX-License-Identifier: MIT
 *
 * POSIX timers: what may be asked for, and clocks of CPU time; the slack of those that sleep.
 */
#include <ctype.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "abi.h"

static long create(clockid_t clock, struct sigevent *ev, int *id)
{
    return syscall(SYS_timer_create, clock, ev, id);
}

static long settime(int id, int flags, const struct itimerspec *t)
{
    return syscall(SYS_timer_settime, id, flags, t, NULL);
}

static volatile sig_atomic_t count;

static void hear(int sig)
{
    count++;
}

/* One that is only looked at takes any number for its signal, and sends none. */
TEST(a_timer_that_notifies_in_no_way_has_no_signal)
{
    const struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    struct sigevent ev = {.sigev_notify = SIGEV_NONE};
    const int signals[] = {0, -1, 65, 0x40000000 + SIGUSR1, SIGUSR1};
    struct timespec pause = {0, 3000000};
    struct itimerspec now;
    int id;

    signal(SIGUSR1, hear);
    for (unsigned i = 0; i < 5; i++) {
        ev.sigev_signo = signals[i];
        EXPECT(create(CLOCK_MONOTONIC, &ev, &id) == 0);
        EXPECT(settime(id, 0, &often) == 0);
    }
    for (int i = 0; i < 10; i++) {
        nanosleep(&pause, NULL);
        kill(getpid(), SIGUSR1);
    }
    EXPECT(count == 10);
    EXPECT(syscall(SYS_timer_gettime, id, &now) == 0);
    EXPECT(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 1000000);
}

TEST(a_timers_notification_is_judged)
{
    static const int bad[][2] = {{-1, SIGUSR1},      {3, SIGUSR1},
                                 {5, SIGUSR1},       {SIGEV_SIGNAL, 0},
                                 {SIGEV_SIGNAL, 65}, {SIGEV_SIGNAL, -1},
                                 {SIGEV_THREAD, 0},  {SIGEV_THREAD_ID, 65},
                                 {0x10004, SIGUSR1}, {-2147483647 - 1, SIGUSR1}};
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_signo = SIGUSR1};
    int id;

    EXPECT(create(CLOCK_MONOTONIC, &ev, &id) == 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ev.sigev_notify = bad[i][0];
        ev.sigev_signo = bad[i][1];
        ev._sigev_un._tid = gettid();
        EXPECT_ERR(create(CLOCK_MONOTONIC, &ev, &id), EINVAL);
    }
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_signo = SIGUSR1;
    EXPECT(create(CLOCK_MONOTONIC, &ev, &id) == 0);
    ev._sigev_un._tid = getppid();
    EXPECT_ERR(create(CLOCK_MONOTONIC, &ev, &id), EINVAL);
    EXPECT_ERR(create(CLOCK_MONOTONIC, (struct sigevent *)8, &id), EFAULT);
    EXPECT_ERR(create(CLOCK_MONOTONIC, NULL, (int *)8), EFAULT);
}

TEST(clocks_that_have_timers)
{
    int id;

    EXPECT(create(CLOCK_REALTIME, NULL, &id) == 0);
    EXPECT(create(CLOCK_BOOTTIME, NULL, &id) == 0);
    EXPECT(create(CLOCK_TAI, NULL, &id) == 0);
    EXPECT(create(CLOCK_PROCESS_CPUTIME_ID, NULL, &id) == 0);
    EXPECT(create(CLOCK_THREAD_CPUTIME_ID, NULL, &id) == 0);
    EXPECT_ERR(create(CLOCK_MONOTONIC_RAW, NULL, &id), EOPNOTSUPP);
    EXPECT_ERR(create(CLOCK_REALTIME_COARSE, NULL, &id), EOPNOTSUPP);
    EXPECT_ERR(create(CLOCK_MONOTONIC_COARSE, NULL, &id), EOPNOTSUPP);
    EXPECT_ERR(create(10, NULL, &id), EINVAL);
    EXPECT_ERR(create(99, NULL, &id), EINVAL);
}

static long cpu_us(clockid_t clock)
{
    struct timespec t;

    EXPECT(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Fires after CPU time, not while the process sleeps, and again for each interval. */
static void timer_of(clockid_t clock)
{
    const struct itimerspec each = {{0, 20000000}, {0, 20000000}};
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct timespec while_asleep = {0, 60000000};
    struct itimerspec left;
    long begin;
    int id;

    count = 0;
    signal(SIGUSR1, hear);
    EXPECT(create(clock, &ev, &id) == 0);
    begin = cpu_us(clock);
    EXPECT(settime(id, 0, &each) == 0);
    (void)nanosleep(&while_asleep, NULL);
    /* An emulator's pause counts while we run. */
    EXPECT(count == 0 || cpu_us(clock) - begin >= 19999);
    EXPECT(syscall(SYS_timer_gettime, id, &left) == 0);
    EXPECT(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 20000000);
    EXPECT(left.it_interval.tv_nsec == 20000000);
    while (count < 3)
        ;
    EXPECT(cpu_us(clock) - begin >= 59999);
    EXPECT(syscall(SYS_timer_delete, id) == 0);
}
TEST(timers_of_the_processs_cpu_time)
{
    timer_of(CLOCK_PROCESS_CPUTIME_ID);
}
TEST(timers_of_a_threads_cpu_time)
{
    clockid_t clock;

    timer_of(CLOCK_THREAD_CPUTIME_ID);
    EXPECT(pthread_getcpuclockid(pthread_self(), &clock) == 0);
    timer_of(clock);
}

/* ------------------------------------------------------------- CPU clocks */

static volatile bool stop;

static void *spin(void *arg)
{
    while (!stop)
        ;
    return NULL;
}

static void reads_never_go_back(clockid_t clock)
{
    long last = 0, begin = cpu_us(CLOCK_MONOTONIC);

    do {
        for (int i = 0; i < 1000; i++) {
            struct timespec t;
            long now;

            clock_gettime(clock, &t);
            now = t.tv_sec * 1000000000 + t.tv_nsec;
            if (now < last)
                printf("# clock %d went back %ld ns\n", clock, last - now);
            EXPECT(now >= last);
            last = now;
        }
    } while (cpu_us(CLOCK_MONOTONIC) - begin < 300000);
}

TEST(cpu_clocks_never_go_back)
{
    pthread_t t[2];

    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, spin, NULL);
    reads_never_go_back(CLOCK_THREAD_CPUTIME_ID);
    reads_never_go_back(CLOCK_PROCESS_CPUTIME_ID);
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
}

/* User and system time each. */
TEST(cpu_times_never_go_back)
{
    struct rusage last = {0}, now;
    long begin = cpu_us(CLOCK_MONOTONIC);

    do {
        for (int i = 0; i < 100; i++) {
            EXPECT(getrusage(RUSAGE_SELF, &now) == 0);
            EXPECT(!timercmp(&now.ru_utime, &last.ru_utime, <));
            EXPECT(!timercmp(&now.ru_stime, &last.ru_stime, <));
            last = now;
        }
        for (volatile int i = 0; i < 20000; i++)
            ;
    } while (cpu_us(CLOCK_MONOTONIC) - begin < 500000);
}

/* ------------------------------------------------------------- the sum of the threads' time */

static void on_one_processor(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    EXPECT(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static long long ns_of(clockid_t clock)
{
    struct timespec t;

    EXPECT(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void burn(void)
{
    for (long long begin = ns_of(CLOCK_THREAD_CPUTIME_ID);
         ns_of(CLOCK_THREAD_CPUTIME_ID) - begin < 3000000;)
        ;
}

/* What getrusage(2) tells, in whole microseconds twice, lies between two looks at the clock: on one
 * processor, where no other thread runs meanwhile. */
static void expect_the_clock_has_what_all_had(void)
{
    long long before = ns_of(CLOCK_PROCESS_CPUTIME_ID), us;
    struct rusage r;

    EXPECT(getrusage(RUSAGE_SELF, &r) == 0);
    us = (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000LL + r.ru_utime.tv_usec +
         r.ru_stime.tv_usec;
    EXPECT((us + 2) * 1000 >= before && us * 1000 <= ns_of(CLOCK_PROCESS_CPUTIME_ID));
}

static sem_t go, done;

/* Twice, the second time when it is told to. */
static void *burn_again(void *arg)
{
    burn();
    sem_post(&done);
    sem_wait(&go);
    burn();
    return NULL;
}

static void *burn_once(void *arg)
{
    burn();
    return NULL;
}

static void threads_come_run_and_go(void (*count)(void))
{
    pthread_t t[3];

    on_one_processor();
    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
    pthread_create(&t[0], NULL, burn_once, NULL);
    pthread_create(&t[1], NULL, burn_again, NULL);
    pthread_join(t[0], NULL);
    sem_wait(&done);
    count();
    expect_the_clock_has_what_all_had();
    EXPECT(ns_of(CLOCK_PROCESS_CPUTIME_ID) >= 6000000);
    pthread_create(&t[2], NULL, burn_once, NULL);
    sem_post(&go);
    burn();
    expect_the_clock_has_what_all_had();
    pthread_join(t[1], NULL);
    pthread_join(t[2], NULL);
    expect_the_clock_has_what_all_had();
    EXPECT(ns_of(CLOCK_PROCESS_CPUTIME_ID) >= 15000000);
}

static void count_by_a_timer(void)
{
    const struct itimerspec late = {{0, 0}, {1000, 0}};
    struct itimerspec left;
    long long before = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    int id;

    EXPECT(create(CLOCK_PROCESS_CPUTIME_ID, NULL, &id) == 0 && settime(id, 1, &late) == 0);
    EXPECT(syscall(SYS_timer_gettime, id, &left) == 0);
    EXPECT(left.it_value.tv_sec * 1000000000LL + left.it_value.tv_nsec <= 1000000000000 - before);
}
TEST(a_timer_of_the_processs_time_counts_threads_that_come_and_go)
{
    threads_come_run_and_go(count_by_a_timer);
}

static void count_nothing(void)
{
}
TEST(a_child_that_inherits_a_limit_of_cpu_time_counts_its_own)
{
    struct rlimit cpu = {1000, 1000};
    long long before;
    int status;

    while (ns_of(CLOCK_PROCESS_CPUTIME_ID) < 200000000)
        burn();
    EXPECT(setrlimit(RLIMIT_CPU, &cpu) == 0);
    before = ns_of(CLOCK_MONOTONIC);
    pid_t pid = fork();
    if (pid == 0) {
        long long own = ns_of(CLOCK_PROCESS_CPUTIME_ID);

        EXPECT(own <= ns_of(CLOCK_MONOTONIC) - before); /* not what its parent had */
        threads_come_run_and_go(count_nothing);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    expect_the_clock_has_what_all_had();
}

static void *end_when_told(void *arg)
{
    sem_wait(&go);
    return NULL;
}

/* More than are looked at at once, on all processors. */
TEST(a_timer_set_while_threads_end_counts_each_once)
{
    pthread_t t[100];
    pid_t pid;
    int status;

    for (int i = 0; i < 5; i++) {
        pid = fork();
        if (pid == 0) {
            sem_init(&go, 0, 0);
            sem_init(&done, 0, 0);
            for (int n = 0; n < 100; n++)
                EXPECT(pthread_create(&t[n], NULL, end_when_told, NULL) == 0);
            for (int n = 0; n < 100; n++)
                sem_post(&go);
            count_by_a_timer();
            for (int n = 0; n < 100; n++)
                pthread_join(t[n], NULL);
            on_one_processor();
            expect_the_clock_has_what_all_had();
            _exit(0);
        }
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

/* ------------------------------------------------------------- slack */

static void wait_by_nanosleep(struct timespec t)
{
    EXPECT(nanosleep(&t, NULL) == 0);
}

static void wait_by_a_time(struct timespec t)
{
    struct timespec until;

    EXPECT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += t.tv_nsec;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
}

static void wait_by_poll(struct timespec t)
{
    EXPECT(ppoll(NULL, 0, &t, NULL) == 0);
}

static void wait_by_select(struct timespec t)
{
    EXPECT(pselect(0, NULL, NULL, NULL, &t, NULL) == 0);
}

static void wait_by_epoll(struct timespec t)
{
    struct epoll_event ev;
    int ep = epoll_create1(0);

    EXPECT(ep >= 0 && epoll_wait(ep, &ev, 1, (int)(t.tv_nsec / 1000000)) == 0);
    close(ep);
}

static void wait_by_futex(struct timespec t)
{
    int word = 0;

    EXPECT_ERR(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0), ETIMEDOUT);
}

static void wait_by_signal(struct timespec t)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    EXPECT_ERR(sigtimedwait(&set, NULL, &t), EAGAIN);
}

/* prctl(2), PR_SET_TIMERSLACK: these calls may end that much later, none of them ever sooner. */
TEST(waits_are_never_short_whatever_the_slack)
{
    static void (*const waits[])(struct timespec) = {
        wait_by_nanosleep, wait_by_a_time, wait_by_poll,   wait_by_select,
        wait_by_epoll,     wait_by_futex,  wait_by_signal,
    };
    static const long slacks[] = {1, 50000, 3000000, 40000000};
    static const long times[] = {1000000, 7000000}; /* whole ms, for epoll */

    for (unsigned s = 0; s < sizeof(slacks) / sizeof(*slacks); s++) {
        EXPECT(prctl(PR_SET_TIMERSLACK, slacks[s]) == 0);
        for (unsigned w = 0; w < sizeof(waits) / sizeof(*waits); w++) {
            for (unsigned i = 0; i < 2; i++) {
                int64_t start = ns_of(CLOCK_MONOTONIC), took;
                waits[w]((struct timespec){0, times[i]});
                took = ns_of(CLOCK_MONOTONIC) - start;
                EXPECT(took >= times[i] && took < 60000000000);
            }
        }
    }
}

static long long timer_interrupts(void)
{
    static char text[1 << 16];
    int fd = open("/proc/interrupts", O_RDONLY), n = 0, more;
    long long sum = 0;
    char *at;

    while ((more = (int)read(fd, text + n, sizeof(text) - 1 - (size_t)n)) > 0)
        n += more;
    close(fd);
    text[n] = '\0';
    at = strstr(text, "LOC:");
    EXPECT(at != NULL);
    for (at += 4; isdigit(*(at += strspn(at, " "))); at += strspn(at, "0123456789"))
        sum += atoll(at);
    return sum;
}

TEST(a_sleep_takes_a_timer_interrupt)
{
    long long before = timer_interrupts();

    usleep(10000);
    EXPECT(timer_interrupts() > before);
}

/* The slack of those that sleep does not hold for timers. */
TEST(timers_have_no_slack)
{
    struct itimerval once = {.it_value = {0, 3000}};
    struct itimerspec at = {.it_value = {0, 3000000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    int64_t start = ns_of(CLOCK_MONOTONIC);
    uint64_t n;

    EXPECT(prctl(PR_SET_TIMERSLACK, 400000000000L) == 0);
    EXPECT(fd >= 0 && timerfd_settime(fd, 0, &at, NULL) == 0 && read(fd, &n, sizeof(n)) == 8);
    EXPECT(n == 1 && ns_of(CLOCK_MONOTONIC) - start < 100000000000);
    signal(SIGALRM, hear);
    count = 0;
    EXPECT(setitimer(ITIMER_REAL, &once, NULL) == 0);
    EXPECT(prctl(PR_SET_TIMERSLACK, 1) == 0); /* for the sleeps below */
    while (!count)
        usleep(1000);
    EXPECT(ns_of(CLOCK_MONOTONIC) - start < 100000000000);
}

/* A blocked signal of a periodic timer is one signal, and the rest are overruns; then it goes on.
 */
TEST(timers_go_on_when_their_signal_is_taken)
{
    struct itimerspec often = {{0, 10000000}, {0, 10000000}}, left;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct timespec patience = {60, 0};
    siginfo_t info;
    sigset_t set;
    timer_t id;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    EXPECT(timer_create(CLOCK_MONOTONIC, &ev, &id) == 0);
    EXPECT(timer_settime(id, 0, &often, NULL) == 0);
    usleep(105000);
    EXPECT(timer_gettime(id, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0);
    EXPECT(left.it_value.tv_nsec <= 10000000);
    EXPECT(sigtimedwait(&set, &info, &patience) == SIGRTMIN && info.si_code == SI_TIMER);
    EXPECT(info.si_overrun >= 8 && info.si_overrun == timer_getoverrun(id));
    usleep(25000); /* the next is sent, and not taken: the overrun stays that of the last one */
    EXPECT(info.si_overrun == timer_getoverrun(id));
    for (int i = 0; i < 3; i++)
        EXPECT(sigtimedwait(&set, &info, &patience) == SIGRTMIN);
    EXPECT(timer_delete(id) == 0);
}
