// SPDX-License-Identifier: MIT
// The time of day: what sntp.c decides is done here. Small differences are slewed by the kernel
// (adjtime), where it can; where it cannot, those above 10 ms are set.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "netd/netd.h"
#include "lib/str.h"

#define SECOND_NS 1000000000ll
#define SET_NS 10000000ll
#define REFUSED_MS 1024000 /* after which names are asked for anew, when all have refused */

static struct {
    struct sntp sntp;
    struct ev_timer timer;
    bool named;              /* servers have names */
    unsigned rounds;         /* of silence, at the last look */
    struct ev_source socket; /* to the server that is asked; fd -1 in between */
    bool told;
    uint64_t told_at; /* when an answer last counted */
    int64_t offset;   /* what it said */
    struct address by;
} net_clock = {.socket.fd = -1};

static int64_t clock_day(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void clock_step(int64_t offset)
{
    int64_t day = clock_day() + offset;
    struct timespec t = {.tv_sec = day / SECOND_NS, .tv_nsec = day % SECOND_NS};

    if (day < 0 || clock_settime(CLOCK_REALTIME, &t) < 0)
        net_log("the clock cannot be set: %s", strerror(errno));
    else
        net_log("the clock was %lld ms off and is set", (long long)(offset / 1000000));
}

static void clock_slew(int64_t offset)
{
    struct timeval by = {.tv_sec = offset / SECOND_NS, .tv_usec = offset % SECOND_NS / 1000};

    if (adjtime(&by, NULL) < 0 && llabs(offset) > SET_NS)
        clock_step(offset);
}

static void clock_close(void)
{
    if (net_clock.socket.fd < 0)
        return;
    ev_del(&net_clock.socket);
    close(net_clock.socket.fd);
    net_clock.socket.fd = -1;
}

static void clock_apply(const struct sntp_out *out);

static void clock_hear(struct ev_source *s, uint32_t events)
{
    uint8_t bytes[256];
    int64_t day = clock_day();
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
    struct sntp_out out;

    if (n <= 0)
        return; /* it says that nobody listens: time tells the rest */
    sntp_message(&net_clock.sntp, bytes, (size_t)n, time_now_ms(), day, &out);
    clock_apply(&out);
}

/* From a new port for each question: that is a part of what an answer has to know. */
static void clock_ask(const struct sntp_out *out)
{
    int fd;

    clock_close();
    fd = udp_connect(&net_clock.sntp.server[net_clock.sntp.at], 0, SNTP_PORT);
    if (fd < 0)
        return;
    net_clock.socket = (struct ev_source){.fd = fd, .fn = clock_hear};
    ev_set(&net_clock.socket, EPOLLIN);
    if (send(fd, out->message, sizeof(out->message), 0) < 0)
        clock_close();
}

static void clock_told(const struct sntp_out *out)
{
    net_clock.told = true;
    net_clock.told_at = time_now_ms();
    net_clock.offset = out->offset;
    net_clock.by = net_clock.sntp.server[net_clock.sntp.at];
    if (out->change == SNTP_STEP)
        clock_step(out->offset);
    else if (out->change == SNTP_SLEW)
        clock_slew(out->offset);
    names_changed();
}

/* When no server answers, or all refuse, their names may stand for others by now. */
static void clock_names(void)
{
    unsigned rounds = net_clock.sntp.rounds;

    if (net_clock.named && (rounds > net_clock.rounds || !net_clock.sntp.wake))
        resolve_again();
    net_clock.rounds = rounds;
}

static void clock_apply(const struct sntp_out *out)
{
    uint64_t now = time_now_ms(), wake = net_clock.sntp.wake;

    if (out->ask)
        clock_ask(out);
    else if (!net_clock.sntp.asking)
        clock_close();
    if (out->told)
        clock_told(out);
    if (wake)
        ev_timer_set(&net_clock.timer, wake > now ? wake - now : 0);
    else if (net_clock.named && net_clock.sntp.servers)
        ev_timer_set(&net_clock.timer, REFUSED_MS);
    else
        ev_timer_del(&net_clock.timer);
}

static void clock_due(struct ev_timer *t)
{
    struct sntp_out out;

    sntp_wake(&net_clock.sntp, time_now_ms(), clock_day(), &out);
    clock_apply(&out);
    clock_names();
}

void clock_start(void)
{
    net_clock.timer.fn = clock_due;
    sntp_init(&net_clock.sntp, net_seed());
}

void clock_servers(const struct address_list *l, bool named)
{
    net_clock.named = named;
    sntp_servers(&net_clock.sntp, l->item, l->n, time_now_ms());
    clock_apply(&(struct sntp_out){0});
}

void clock_report(struct jw *w)
{
    const struct address *a = net_clock.told ? &net_clock.by : net_clock.sntp.server;
    char text[ADDRESS_TEXT];

    if (!net_clock.sntp.servers && !net_clock.told && !net_clock.named)
        return;
    jw_object(w, "clock");
    if (net_clock.sntp.servers || net_clock.told) {
        jw_str(w, "server", address_text(a, false, text));
        if (resolve_name_of(a))
            jw_str(w, "name", resolve_name_of(a));
    }
    jw_int(w, "servers", net_clock.sntp.servers);
    resolve_report(w);
    if (net_clock.told) {
        jw_int(w, "at", (int64_t)net_clock.told_at);
        jw_int(w, "offset_us", net_clock.offset / 1000);
    }
    jw_object_end(w);
}
