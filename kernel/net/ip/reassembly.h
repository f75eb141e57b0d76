/* SPDX-License-Identifier: MIT
 *
 * Datagrams that come in fragments, in a namespace: bounded in number and bytes, for the namespace
 * and for each source; for a fragment that finds no space the oldest datagram goes: its source's
 * own, if that has its share. What is not whole in time is dropped. All is charged: to the account
 * that the packet has, else to the namespace's.
 *
 * Lock: the table's (spinlock, RANK_NET 6).
 */
#pragma once

#include "net/ip/ip.h"

#define REASSEMBLY_MOST 64
#define REASSEMBLY_EACH 16             /* of one source */
#define REASSEMBLY_BYTES (4U << 20)    /* that all keep alive */
#define REASSEMBLY_SHARE (1U << 20)    /* of one source */
#define REASSEMBLY_TIME 30000000000ULL /* ns */

struct reassembly {
    struct spinlock lock;
    struct list_node datagrams; /* lock  the oldest first */
    u32 nr;                     /* lock */
    u64 bytes;                  /* lock */
    struct account *account;    /* I  or NULL */
};
void reassembly_init(struct reassembly *r, struct account *account);
/* A fragment: p begins with its payload, `offset` bytes into the datagram. Takes p. The datagram,
 * if it is whole: at its network header, whose `header` bytes (one number for each family) are the
 * first fragment's, IPv6's with the next header that its info names; else NULL. *due: when
 * reassembly_time is to be called. */
struct packet *reassembly_add(struct reassembly *r, struct packet *p, const struct ip_info *h,
                              u32 id, u32 offset, bool more, u32 header, u64 *due);
/* What is too old goes, and its senders are told. The next time, or 0. */
u64 reassembly_time(struct reassembly *r, u64 now);
void reassembly_forget(struct reassembly *r, const struct netdev *dev); /* NULL: all */
