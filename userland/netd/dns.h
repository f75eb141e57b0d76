// SPDX-License-Identifier: MIT
// Finds the addresses of names (RFC 1035, RFC 3596) by asking resolving servers. Pure: told the
// time in milliseconds, answers with what is to be done.
//
// The owner says with dns_want() which names are to be known and who is to be asked, calls
// dns_wake() at `wake`, dns_message() for what the asked server says, and does what `out` says. A
// name is the whole one: no domain is put behind it.
//
// Policy. One question at a time: a name's IPv4 addresses, then its IPv6 ones. A server that is
// silent for 2 s, or fails, is followed by the next; all are asked twice. A name whose addresses
// could not be found keeps those that it had, and is asked for again after 16 s and twice as long
// each time, to 1024 s; one of which a server says that it has none has none. What is known is
// asked for anew only when dns_again() says that it is of no use any more.
//
// An answer counts when it has the number of the question, and repeats it; addresses count when
// they are of the name, or of the one that it stands for (CNAME), and a host may have them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netd/address.h"
#include "netd/limit.h"

#define DNS_PORT 53
#define DNS_QUERY_MAX 272
#define DNS_READ_MAX 2048
#define DNS_NAMES 8
#define DNS_NAME 128
#define DNS_ADDRESSES 6 /* of a name; four of IPv4 at most */
#define DNS_SERVERS 3

struct dns_server {
    struct address address;
    int link; /* a device's index, for a link-local address; else 0 */
};

struct dns_name {
    char text[DNS_NAME];
    struct address item[DNS_ADDRESSES];
    unsigned n;
};

struct dns_out {
    size_t len; /* `message` to server[at], from a port of its own; 0: nothing to send */
    uint8_t message[DNS_QUERY_MAX];
    bool changed; /* a name has other addresses than before */
};

struct dns {
    uint64_t wake; /* 0: never */
    struct dns_name name[DNS_NAMES];
    struct dns_server server[DNS_SERVERS];
    unsigned names, servers, at;
    bool asking; /* server[at] */

    /* private */
    bool busy, all;    /* a pass over the names that are unknown, or over all, is under way */
    unsigned which;    /* name that is asked for */
    uint16_t type, id; /* of the question */
    unsigned tries;    /* servers asked for it so far */
    unsigned rounds;   /* passes that left a name unknown */
    struct limit agains;
    struct dns_name got; /* of this name, in this pass */
    bool unheard;        /* nobody answered one of the questions */
    uint64_t seed;
};

void dns_init(struct dns *d, uint64_t seed);
/* `names`: with blanks between; those that were there before keep their addresses. */
void dns_want(struct dns *d, const char *names, const struct dns_server *s, unsigned n,
              uint64_t now);
/* Asks for all names anew, unless it is being done: four times at once, then once in 256 s. */
void dns_again(struct dns *d, uint64_t now);
void dns_wake(struct dns *d, uint64_t now, struct dns_out *out);
void dns_message(struct dns *d, const uint8_t *p, size_t len, uint64_t now, struct dns_out *out);
