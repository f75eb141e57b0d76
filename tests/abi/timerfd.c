/* SPDX-License-Identifier: MIT
 *
 * timerfd and the wall clock that is set under it; eventfd with many readers. These set the clock.
 */
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "abi.h"

static struct timespec wall(long later)
{
    struct timespec t;

    EXPECT(clock_gettime(CLOCK_REALTIME, &t) == 0);
    t.tv_sec += later;
    return t;
}

static void set_wall(long later)
{
    struct timespec t = wall(later);

    EXPECT(clock_settime(CLOCK_REALTIME, &t) == 0);
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

/* As programs ask to be told of each setting of the clock: never in time. */
TEST(a_timer_tells_that_the_clock_was_set)
{
    struct itimerspec never = {.it_value = {.tv_sec = INT64_MAX}};
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK), flags;
    uint64_t n;

    flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    EXPECT(timerfd_settime(fd, flags, &never, NULL) == 0);
    EXPECT_ERR(read(fd, &n, 8), EAGAIN);
    EXPECT(!readable(fd));
    set_wall(100);
    EXPECT(readable(fd));
    EXPECT_ERR(read(fd, &n, 8), ECANCELED);
    EXPECT(!readable(fd));
    EXPECT_ERR(read(fd, &n, 8), EAGAIN);
    set_wall(-100);
    EXPECT_ERR(timerfd_settime(fd, flags, &never, NULL), ECANCELED); /* and is set */
    EXPECT(!readable(fd) && timerfd_settime(fd, flags, &never, NULL) == 0);
    EXPECT_ERR(timerfd_settime(fd, 4, &never, NULL), EINVAL);
}

TEST(only_times_of_the_wall_clock_are_cancelled)
{
    struct itimerspec later = {.it_value = {.tv_sec = 1000}};
    int mono = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int relative = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct itimerspec left;

    EXPECT(!timerfd_settime(mono, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &later, NULL));
    EXPECT(!timerfd_settime(relative, TFD_TIMER_CANCEL_ON_SET, &later, NULL));
    set_wall(2000);
    EXPECT(!readable(mono) && !readable(relative));
    EXPECT(timerfd_gettime(relative, &left) == 0 && left.it_value.tv_sec > 900);
    set_wall(-2000);
}

TEST(an_absolute_timer_follows_the_clock)
{
    struct itimerspec t = {.it_value = wall(1000)}, left;
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    uint64_t n;

    EXPECT(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL) == 0 && !readable(fd));
    set_wall(-500);
    EXPECT(timerfd_gettime(fd, &left) == 0 && left.it_value.tv_sec > 1400);
    set_wall(2000);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    EXPECT(poll(&p, 1, -1) == 1 && read(fd, &n, 8) == 8 && n == 1);
    set_wall(-1500);
}

#define READERS 6
static int the_fd, served;

static void *read_one(void *arg)
{
    uint64_t n;

    EXPECT(read(the_fd, &n, 8) == 8 && n == 1);
    __atomic_fetch_add(&served, 1, __ATOMIC_RELAXED);
    return NULL;
}

TEST(each_count_ends_the_wait_of_one_reader)
{
    pthread_t t[READERS];

    the_fd = eventfd(0, EFD_SEMAPHORE);
    for (int i = 0; i < READERS; i++)
        EXPECT(pthread_create(&t[i], NULL, read_one, NULL) == 0);
    EXPECT(eventfd_write(the_fd, 2) == 0);
    while (__atomic_load_n(&served, __ATOMIC_RELAXED) != 2)
        sched_yield();
    EXPECT(eventfd_write(the_fd, READERS - 2) == 0);
    for (int i = 0; i < READERS; i++)
        pthread_join(t[i], NULL);
}
