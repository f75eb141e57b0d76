// SPDX-License-Identifier: MIT
// A client of NTP servers; see sntp.h.
//
// The packet: leap, version and mode; stratum; poll; precision; root delay, root dispersion,
// reference; four timestamps of 32.32 bits since 1900: reference, origin, receive, transmit.
#include "netd/sntp.h"

#include <string.h>

#include "netd/wire.h"

#define SILENCE_MS 2000
#define FIRST_S 64u
#define LONGEST_S 1024u
#define AGAIN_S 16u /* the least between two questions to one server */
#define STEP_NS 128000000ll
#define DELAY_MAX_NS 4000000000ll /* of a way there and back: more says nothing */
#define ROOT_MAX (3u << 16)       /* RFC 5905 has 1.5 s, chrony 3 s */
#define PANIC_NS (1000 * SECOND_NS)
#define PANIC_DOUBTS 3
#define EARLIEST_NS (1767225600 * SECOND_NS) /* 2026: this program was not there before */
#define LATEST_NS (4102444800 * SECOND_NS)   /* 2100 */
#define UNIX_EPOCH 2208988800u               /* 1970 in seconds since 1900 */
#define SECOND_NS 1000000000ll

enum sntp_field { SNTP_STRATUM = 1, SNTP_DELAY = 4, SNTP_DISPERSION = 8, SNTP_REFERENCE = 12 };
enum sntp_stamp { SNTP_ORIGIN = 24, SNTP_RECEIVE = 32, SNTP_TRANSMIT = 40 };

void sntp_init(struct sntp *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    s->interval = FIRST_S;
}

void sntp_servers(struct sntp *s, const struct address *list, unsigned n, uint64_t now)
{
    n = n > SNTP_SERVERS ? SNTP_SERVERS : n;
    if (n == s->servers && !memcmp(list, s->server, n * sizeof(*list)))
        return;
    memset(s->refused, 0, sizeof(s->refused));
    memcpy(s->server, list, n * sizeof(*list));
    s->servers = n;
    s->at = s->rounds = s->silent = s->doubts = 0;
    s->asking = false;
    s->wake = n ? now + 1 : 0;
}

/* The next server that may be asked; false when there is none. */
static bool sntp_next(struct sntp *s)
{
    for (unsigned i = 0; i < s->servers; i++) {
        s->at = (s->at + 1) % s->servers;
        if (!s->refused[s->at])
            return true;
    }
    s->wake = 0;
    return false;
}

static void sntp_wait(struct sntp *s, uint64_t now, uint32_t seconds)
{
    uint32_t ms = seconds * 1000;

    s->asking = false;
    s->wake = now + wire_between(&s->seed, ms, ms + ms / 8);
}

static void sntp_ask(struct sntp *s, uint64_t now, int64_t day, struct sntp_out *out)
{
    s->asking = true;
    s->sent = day;
    wire_put32(s->nonce, wire_random(&s->seed));
    wire_put32(s->nonce + 4, wire_random(&s->seed) | 1);
    out->ask = true;
    out->message[0] = 4 << 3 | 3; /* version 4, client */
    /* no time of ours: the server only gives it back, and who does not see it cannot answer */
    memcpy(out->message + SNTP_TRANSMIT, s->nonce, 8);
    s->wake = now + SILENCE_MS;
}

/* The asked server said nothing, or nothing of use. */
static void sntp_silence(struct sntp *s, uint64_t now, int64_t day, struct sntp_out *out)
{
    uint32_t seconds = s->rounds >= 6 ? LONGEST_S : AGAIN_S << s->rounds;

    s->asking = false;
    if (!sntp_next(s))
        return;
    if (++s->silent < s->servers) {
        sntp_ask(s, now, day, out);
        return;
    }
    s->silent = 0;
    s->rounds++;
    sntp_wait(s, now, seconds);
}

void sntp_wake(struct sntp *s, uint64_t now, int64_t day, struct sntp_out *out)
{
    memset(out, 0, sizeof(*out));
    if (!s->wake || now < s->wake)
        return;
    if (s->asking)
        sntp_silence(s, now, day, out);
    else if (!s->refused[s->at] || sntp_next(s))
        sntp_ask(s, now, day, out);
}

/* Nanoseconds since 1970; the era that begins in 2036 is that of seconds below 2^31. */
static int64_t sntp_time(const uint8_t *p)
{
    uint32_t seconds = wire_u32(p);
    int64_t era = seconds >> 31 ? 0 : 1ll << 32;

    return (era + seconds - UNIX_EPOCH) * SECOND_NS +
           (int64_t)((uint64_t)wire_u32(p + 4) * (uint64_t)SECOND_NS >> 32);
}

static bool sntp_is_answer(const struct sntp *s, const uint8_t *p, size_t len)
{
    unsigned version, mode;

    if (!s->asking || len < SNTP_SIZE)
        return false;
    version = p[0] >> 3 & 7;
    mode = p[0] & 7;
    return mode == 4 && (version == 3 || version == 4) && !memcmp(p + SNTP_ORIGIN, s->nonce, 8);
}

/* Of an answer: whether its server knows the time. */
static bool sntp_is_of_use(const uint8_t *p)
{
    return p[0] >> 6 != 3 && p[SNTP_STRATUM] >= 1 && p[SNTP_STRATUM] <= 15 &&
           (uint64_t)wire_u32(p + SNTP_DELAY) / 2 + wire_u32(p + SNTP_DISPERSION) < ROOT_MAX &&
           wire_u32(p + SNTP_TRANSMIT) && wire_u32(p + SNTP_RECEIVE);
}

/* RFC 5905 7.4; s->asking ends whatever it says. */
static void sntp_kiss(struct sntp *s, const uint8_t *p, uint64_t now, int64_t day,
                      struct sntp_out *out)
{
    const uint8_t *code = p + SNTP_REFERENCE;

    if (!memcmp(code, "DENY", 4) || !memcmp(code, "RSTR", 4)) {
        s->refused[s->at] = true;
        sntp_silence(s, now, day, out);
        return;
    }
    if (s->interval < LONGEST_S)
        s->interval *= 2;
    sntp_wait(s, now, s->interval);
}

static int64_t magnitude(int64_t v)
{
    return v < 0 ? -v : v;
}

/* How many answers must say so before the clock is changed by that much. */
static unsigned sntp_doubts(const struct sntp *s, int64_t offset, int64_t day)
{
    if (magnitude(offset) <= STEP_NS || (!s->synced && day < EARLIEST_NS))
        return 0;
    if (magnitude(offset) <= PANIC_NS)
        return s->synced;
    return PANIC_DOUBTS - 1;
}

/* It waits for another answer: the next server's. */
static void sntp_doubt(struct sntp *s, int64_t offset, uint64_t now)
{
    s->doubts++;
    s->doubt = offset;
    sntp_wait(s, now, AGAIN_S);
    sntp_next(s);
}

static void sntp_judge(struct sntp *s, int64_t offset, uint64_t now, int64_t day,
                       struct sntp_out *out)
{
    bool near = magnitude(offset) <= STEP_NS;

    out->told = true;
    out->offset = offset;
    if (s->doubts && magnitude(offset - s->doubt) > STEP_NS)
        s->doubts = 0;
    if (s->doubts < sntp_doubts(s, offset, day)) {
        sntp_doubt(s, offset, now);
        return;
    }
    s->doubts = 0;
    out->change = s->synced && near ? SNTP_SLEW : SNTP_STEP;
    s->interval = !s->synced || !near ? FIRST_S : s->interval;
    s->synced = true;
    sntp_wait(s, now, s->interval);
    s->interval = s->interval * 2 > LONGEST_S ? LONGEST_S : s->interval * 2;
}

void sntp_message(struct sntp *s, const uint8_t *p, size_t len, uint64_t now, int64_t day,
                  struct sntp_out *out)
{
    int64_t there, back, delay;

    memset(out, 0, sizeof(*out));
    if (!sntp_is_answer(s, p, len))
        return;
    if (p[SNTP_STRATUM] == 0) {
        sntp_kiss(s, p, now, day, out);
        return;
    }
    there = sntp_time(p + SNTP_RECEIVE);
    back = sntp_time(p + SNTP_TRANSMIT);
    delay = (day - s->sent) - (back - there);
    if (!sntp_is_of_use(p) || back < there || delay < -SECOND_NS || delay > DELAY_MAX_NS ||
        there < EARLIEST_NS || back > LATEST_NS) {
        sntp_silence(s, now, day, out);
        return;
    }
    s->rounds = s->silent = 0;
    sntp_judge(s, (there - s->sent) / 2 + (back - day) / 2, now, day, out);
}
