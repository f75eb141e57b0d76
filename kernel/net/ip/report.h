/* SPDX-License-Identifier: MIT
 *
 * What a host says of the groups that it listens to, and when: IGMPv3 (RFC 3376) with the older
 * versions of a querier that knows no better (RFC 2236, RFC 1112), MLDv2 (RFC 3810) with MLDv1 (RFC
 * 2710). The pure core: it knows bytes and the time it is given, and builds on the host.
 *
 * A host here listens to all sources of a group; what a socket does not want to hear is left out
 * above. So a record says "all but none" (a join, or an answer), or "only none" (a leave). Joins
 * and leaves are said twice. Answers wait a random part of the time that the querier allows, and a
 * group is answered for at most every REPORT_GAP, whatever is asked.
 */
#pragma once

#include "net/core/addr.h"

#define REPORT_ROBUST 2
#define REPORT_GAP 200000000ULL /* ns */
#define REPORT_IGMP_RECORDS 16  /* in one message */
#define REPORT_MLD_RECORDS 6
#define REPORT_BYTES 136 /* of a message, at most */
#define IGMP_PROTOCOL 2

enum { IGMP_QUERY = 0x11, IGMP_REPORT1 = 0x12, IGMP_REPORT2 = 0x16, IGMP_LEAVE = 0x17 };
enum { MLD_QUERY = 130, MLD_REPORT1 = 131, MLD_DONE = 132 };

/* As the newest versions number them. */
enum report_kind { REPORT_CURRENT = 2, REPORT_LEAVE = 3, REPORT_JOIN = 4 };

/* A group's state. Zeroed: nothing was said of it. */
struct report {
    u64 due;         /* when something is to be said; 0: never */
    u64 said;        /* when it was last */
    u64 older_until; /* the querier is of `version` until then */
    u8 version;      /* 1 or 2 of IGMP, 1 of MLD */
    u8 left;         /* times that a join or a leave is still to be said */
    bool leaving;
};
struct report_query {
    u8 version;           /* 1, 2, 3 of IGMP; 1, 2 of MLD */
    u64 wait;             /* ns: answers come within */
    struct ip_addr group; /* any: all are asked for */
};

/* A message of n bytes whose checksum is right, of which the first 28 are at p. 0, -EINVAL: no
 * query. */
int report_parse_igmp(const u8 *p, u32 n, struct report_query *q) __must_check;
int report_parse_mld(const u8 *p, u32 n, struct report_query *q) __must_check;

/* The newest version of its family, or an older querier's. */
u8 report_version(const struct report *r, bool v4, u64 now);
/* The group is joined (again), or left for good. */
void report_join(struct report *r, u64 now);
void report_leave(struct report *r, bool v4, u64 now);
/* A query for it has come. random: any number. */
void report_ask(struct report *r, const struct report_query *q, bool v4, u64 now, u64 random);
/* Another host has told an older querier that it listens, too. */
void report_heard(struct report *r, bool v4, u64 now);
/* What is said now, which is due. *over: of a group that was left nothing is left to say. */
enum report_kind report_take(struct report *r, bool v4, u64 now, u64 random, bool *over);

/* A message into out, and to whom it goes. v: of one record if it is not the newest. IGMP's has its
 * checksum; MLD's does without. Bytes; 0: that version says nothing (a leave of IGMPv1). */
u32 report_build(u8 out[REPORT_BYTES], bool v4, u8 version, const struct ip_addr *groups,
                 const u8 *kinds, u32 nr, struct ip_addr *to);
