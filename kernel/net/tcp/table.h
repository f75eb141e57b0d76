/* SPDX-License-Identifier: MIT
 *
 * The connections of all namespaces by their two ends: what a segment is looked up in. An entry
 * lies in what it names: a connection, a half-open request, a connection's rest in TIME_WAIT.
 *
 * The table is one for the host, made with the first connection to another one; its first size goes
 * by the memory there is, and it grows where the namespaces together have more entries than twice
 * its buckets. Its hash is keyed by a secret, so that no peer can choose a bucket.
 *
 * Readers take no lock: look-ups are RCU readers, so what has an entry is freed a grace period
 * after tcp_table_remove. Writers take the lock of a stripe of hashes (spinlock, RANK_NET 3), which
 * all sizes of the table share. Context: never sleeps, but for tcp_table_ready.
 */
#pragma once

#include "net/core/addr.h"
#include "net/core/ns.h"

enum tcp_entry_kind { TCP_ENTRY_CONN, TCP_ENTRY_REQUEST, TCP_ENTRY_TIMEWAIT };

/* The ends, as seen from this host. device: of link-local addresses, else 0. */
struct tcp_key {
    struct ip_addr local, peer;
    struct net_ns *ns;
    u32 device;
    u16 local_port, peer_port;
};

/* I immutable while in the table · s its stripe's lock */
struct tcp_entry {
    struct tcp_entry *next[2]; /* s to change; RCU: in a table, and in the one that replaces it */
    struct tcp_key key;        /* I */
    u32 hash;                  /* I */
    u8 kind;                   /* I  enum tcp_entry_kind */
    bool listed;               /* s */
};

/* Makes the table, which takes a while, where it is not there. False: no memory. */
bool tcp_table_ready(void) __must_check;
/* 0, -EADDRNOTAVAIL: those ends have an entry; -ENOMEM: no table. */
int tcp_table_add(struct tcp_entry *e) __must_check;
/* False: it was not there any more, another was faster. */
bool tcp_table_remove(struct tcp_entry *e);
/* e takes the place of old, of the same ends, at one moment. False: old is not there any more. */
bool tcp_table_replace(struct tcp_entry *old, struct tcp_entry *e) __must_check;
/* In an RCU reader: the entry is good until that ends. NULL: none. */
struct tcp_entry *tcp_table_find(const struct tcp_key *key);
/* How many buckets there are now; 0: no table yet. For tests. */
u32 tcp_table_size(void);
/* The first behind *at (0: the first) of a namespace, for dumps: *at counts places, and an entry
 * that comes or goes meanwhile may be missed. In an RCU reader. NULL: no more; looks at a bounded
 * number of buckets: *at has moved on then, and *more says that there are others. */
struct tcp_entry *tcp_table_next(struct net_ns *ns, u64 *at, bool *more);
