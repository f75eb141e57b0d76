// SPDX-License-Identifier: MIT
// A client of NTP servers (RFC 4330, RFC 5905's packet) as a state machine. Pure: told the time of
// a clock that does not jump (milliseconds) and the time of day (nanoseconds since 1970).
//
// The owner gives servers with sntp_servers(), calls sntp_wake() at `wake`, sntp_message() for what
// the asked server says, and does what `out` says.
//
// Policy. An answer that says a time before 2026 or after 2099, comes from a server more than 3 s
// away from its reference (half of its root delay, and its dispersion) or was not asked for (the
// origin has a number that only the asked server saw) says nothing. The first answer sets the
// clock where it is up to 1000 s off (RFC 5905's panic threshold) or says a time before 2026
// itself; later ones slew it where it is up to 128 ms off. What is further off is set when the next
// answer, 16 s later and from the next server where there are several, says about the same; above
// 1000 s when three such answers do. One server alone that lies long enough is believed: who has
// but one has to trust it. Asked: 64 s after the
// first answer, then twice as long each time, to 1024 s; after silence of 2 s the next server, and
// after all of them 16 s and twice as long each round, to 1024 s. A server that refuses (a kiss of
// death: DENY, RSTR) is not asked again; one that says RATE makes the times longer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netd/address.h"

#define SNTP_PORT 123
#define SNTP_SIZE 48
#define SNTP_SERVERS 8

enum sntp_change { SNTP_KEEP, SNTP_STEP, SNTP_SLEW };

struct sntp_out {
    bool ask; /* `message` to server[at] */
    uint8_t message[SNTP_SIZE];
    enum sntp_change change; /* of the time of day, by offset */
    int64_t offset;          /* nanoseconds that are to be added */
    bool told;               /* an answer counted, whatever was done about it */
};

struct sntp {
    uint64_t wake; /* 0: never */
    struct address server[SNTP_SERVERS];
    bool refused[SNTP_SERVERS];
    unsigned servers, at;
    bool synced; /* the clock has been set once */

    /* private */
    bool asking;
    uint8_t nonce[8];
    int64_t sent; /* time of day */
    uint64_t seed;
    unsigned rounds;   /* of all servers, without an answer */
    unsigned silent;   /* servers, in this round */
    uint32_t interval; /* seconds */
    unsigned doubts;   /* answers in a row that say about `doubt`, and wait for more to say so */
    int64_t doubt;
};

void sntp_init(struct sntp *s, uint64_t seed);
/* The servers now; asks soon when they are others than before. */
void sntp_servers(struct sntp *s, const struct address *list, unsigned n, uint64_t now);
/* `day`: the time of day now. */
void sntp_wake(struct sntp *s, uint64_t now, int64_t day, struct sntp_out *out);
void sntp_message(struct sntp *s, const uint8_t *p, size_t len, uint64_t now, int64_t day,
                  struct sntp_out *out);
