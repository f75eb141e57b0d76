// SPDX-License-Identifier: MIT
// A host's side of router discovery (RFC 4861 6.3, RFC 4862 5.5, RFC 8106) on one link. Pure: told
// the time in milliseconds, answers with what has changed.
//
// The owner calls ra_start() when a link-local address can be used, ra_input() for each ICMPv6
// router advertisement, ra_wake() at `wake`, ra_stop() when the carrier has gone; and after each of
// them looks at `out` and at the entries marked `changed`, which stay marked until the next call.
// An entry that is `gone` is not in use any more and is forgotten at the next call.
//
// A prefix with the flag L and one with the flag A are two things with a time each: an option that
// lacks a flag says nothing of what that flag is for (RFC 4861 6.3.4, RFC 4862 5.5.3).
//
// ra_start() marks all routers and prefixes that it knows: the kernel forgets routes and addresses
// of a link that goes down. The link's MTU and hop limit go with the last router, and with the
// carrier.
//
// Bounds: so many routers, prefixes, name servers; what comes when a table is full is left out, so
// that a flood takes nothing away from what there is. A router, a prefix, a server or a domain of
// which nothing was heard for half an hour, which is the longest time between two advertisements,
// makes way then: who was first holds a place only as long as it goes on advertising.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RA_ROUTERS 8
#define RA_PREFIXES 8
#define RA_SERVERS 4
#define RA_DOMAINS 4
#define RA_DOMAIN_SIZE 128
#define RA_FOREVER UINT64_MAX
#define RA_STALE_MS 1800000
#define RA_TAKEN_MAX 3 /* identifiers that are tried (RFC 7217 6) */
#define RA_SOLICIT_SIZE 16

struct ra_entry {
    bool used, changed, gone;
    uint64_t ends;  /* RA_FOREVER: never */
    uint64_t heard; /* of it last */
};

struct ra_router {
    struct ra_entry e;
    uint8_t address[16];
};

struct ra_prefix {
    struct ra_entry e;
    uint8_t bytes[16];
    uint8_t bits;
    uint64_t preferred; /* until when addresses of it are to be used for what is new */
    unsigned taken;     /* the owner's: addresses of it that other hosts had, up to RA_TAKEN_MAX */
};

struct ra_server {
    struct ra_entry e;
    uint8_t address[16];
};

struct ra_domain {
    struct ra_entry e;
    char name[RA_DOMAIN_SIZE];
};

struct ra_out {
    bool solicit;  /* a solicitation is to be sent */
    bool routers;  /* some of the routers have changed */
    bool renewed;  /* some that were there have another end */
    bool prefixes; /* likewise, of either kind; and so on */
    bool names;
    bool link; /* mtu or hop_limit */
    bool ask;  /* for the first time a router says that DHCPv6 knows more */
};

struct ra {
    uint64_t wake; /* when ra_wake() is due; 0: never */
    struct ra_router router[RA_ROUTERS];
    struct ra_prefix prefix[RA_PREFIXES];  /* addresses are made of them */
    struct ra_prefix on_link[RA_PREFIXES]; /* all hosts of them are on this link */
    struct ra_server server[RA_SERVERS];
    struct ra_domain domain[RA_DOMAINS];
    uint32_t mtu;      /* 0: not said */
    uint8_t hop_limit; /* 0: not said */
    bool other;        /* DHCPv6 knows more */

    /* private */
    bool running, heard;
    unsigned tries;
    uint64_t solicit_at;
    uint64_t seed;
};

struct ra_packet {
    const uint8_t *bytes; /* ICMPv6, its checksum verified */
    size_t len;
    uint8_t source[16];
    int hop_limit;
};

void ra_init(struct ra *r, uint64_t seed);
void ra_start(struct ra *r, uint64_t now, struct ra_out *out);
void ra_stop(struct ra *r);
void ra_input(struct ra *r, const struct ra_packet *p, uint64_t now, struct ra_out *out);
void ra_wake(struct ra *r, uint64_t now, struct ra_out *out);
/* Its message with the sender's hardware address, without the checksum. */
void ra_solicitation(const uint8_t mac[6], uint8_t out[RA_SOLICIT_SIZE]);
/* What is left of a time, in seconds, rounded up: UINT32_MAX for ever. */
uint32_t ra_left(uint64_t ends, uint64_t now);

/* The lower half of an address: EUI-64 (RFC 4291 A), or of RFC 7217 from a secret, the prefix, the
 * device and the count of addresses that were taken. */
void ra_id_eui64(const uint8_t mac[6], uint8_t id[8]);
void ra_id_stable(const char *secret, const uint8_t prefix[8], const char *device, unsigned taken,
                  uint8_t id[8]);
