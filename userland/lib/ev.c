// SPDX-License-Identifier: MIT
// The event loop; see ev.h.
#include "lib/ev.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "lib/str.h"

#define EV_BATCH 64
#define WATCH_TRIES 1000 /* a millisecond each */

static int ev_fd = -1;
static struct epoll_event ev_batch[EV_BATCH];
static int ev_pending;
static struct ev_timer *ev_timers; /* by time */
static unsigned ev_round;

int ev_init(void)
{
    ev_fd = epoll_create1(EPOLL_CLOEXEC);
    return ev_fd < 0 ? -errno : 0;
}

/* The kernel may be short of memory for a moment. A descriptor that is not watched would wait for
 * ever: the program ends instead, as it does when it gets none itself. */
static void ev_watch(int op, int fd, struct epoll_event *e)
{
    for (int tries = 0; epoll_ctl(ev_fd, op, fd, e) < 0 && errno == ENOMEM; tries++) {
        if (tries == WATCH_TRIES)
            _exit(124);
        usleep(1000);
    }
}

void ev_set(struct ev_source *s, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = s};

    if (events == s->events)
        return;
    if (!events)
        epoll_ctl(ev_fd, EPOLL_CTL_DEL, s->fd, NULL);
    else
        ev_watch(s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &e);
    s->events = events;
}

void ev_del(struct ev_source *s)
{
    ev_set(s, 0);
    for (int i = 0; i < ev_pending; i++)
        if (ev_batch[i].data.ptr == s)
            ev_batch[i].data.ptr = NULL;
}

void ev_timer_set(struct ev_timer *t, uint64_t in_ms)
{
    struct ev_timer **at = &ev_timers;

    ev_timer_del(t);
    t->at = time_now_ms() + in_ms;
    t->round = ev_round;
    while (*at && (*at)->at <= t->at)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

void ev_timer_del(struct ev_timer *t)
{
    for (struct ev_timer **at = &ev_timers; *at; at = &(*at)->next) {
        if (*at != t)
            continue;
        *at = t->next;
        break;
    }
    t->at = 0;
    t->next = NULL;
}

static int ev_timeout(void)
{
    uint64_t now;

    if (!ev_timers)
        return -1;
    now = time_now_ms();
    if (ev_timers->at <= now)
        return 0;
    return ev_timers->at - now > 3600000 ? 3600000 : (int)(ev_timers->at - now);
}

void ev_run_once(void)
{
    ev_pending = epoll_wait(ev_fd, ev_batch, EV_BATCH, ev_timeout());
    ev_round++;
    for (int i = 0; i < ev_pending; i++) {
        struct ev_source *s = ev_batch[i].data.ptr;

        if (s && s->events)
            s->fn(s, ev_batch[i].events);
    }
    ev_pending = 0;
    /* those set in this round come after all that were due before it, and wait for the next */
    while (ev_timers && ev_timers->at <= time_now_ms() && ev_timers->round != ev_round) {
        struct ev_timer *t = ev_timers;

        ev_timer_del(t);
        t->fn(t);
    }
}

int fd_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}
