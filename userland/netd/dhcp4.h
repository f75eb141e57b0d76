// SPDX-License-Identifier: MIT
// The DHCPv4 client of one device (RFC 2131) as a state machine. Pure: it is told the time
// (milliseconds of any clock that does not jump) and answers with actions.
//
// The owner calls dhcp4_start() when there is a carrier, dhcp4_message() for each message to our
// port, dhcp4_arp() for each ARP packet while in DHCP4_PROBING, dhcp4_wake() at `wake`; and after
// each of them does what `out` says, in the order of its fields. Messages of someone else, late
// ones and nonsense change nothing.
//
//   selecting ── offer ──> requesting ── ack ──> probing ── silence ──> bound ──> renewing ──>
//   rebinding
//       ^                      │ nak, silence        │ conflict            ^── ack ──┴──── ack ───┘
//       │ └──────────────────────┴── decline, a pause ─┴─────────────────── nak, the lease's end
//       ─────┘
//   rebooting: after the carrier was lost, as requesting, for the lease that is still ours.
#pragma once

#include "netd/dhcp4_msg.h"

enum dhcp4_state {
    DHCP4_STOPPED,
    DHCP4_PAUSED, /* after a decline or a refusal */
    DHCP4_SELECTING,
    DHCP4_REQUESTING,
    DHCP4_REBOOTING,
    DHCP4_PROBING,
    DHCP4_BOUND,
    DHCP4_RENEWING,
    DHCP4_REBINDING,
};

enum dhcp4_path {
    DHCP4_SILENT,    /* there is no message */
    DHCP4_ALL,       /* to all, from no address */
    DHCP4_TO_SERVER, /* from the lease's address to the server's */
    DHCP4_ALL_BOUND, /* to all, from the lease's address */
};

struct dhcp4_out {
    bool unbind; /* the lease's address is ours no longer */
    enum dhcp4_path path;
    size_t len;
    uint8_t message[DHCP4_MSG_MAX];
    bool probe;    /* an ARP probe for `offer.address` */
    bool bind;     /* `lease` is new, or what it says is */
    bool announce; /* an ARP announcement for it */
};

struct dhcp4 {
    enum dhcp4_state state;
    uint64_t wake;            /* when dhcp4_wake() is due; 0: never */
    struct dhcp4_lease lease; /* while has_lease */
    bool has_lease;
    uint64_t lease_ends; /* 0: never */

    /* private */
    uint8_t mac[6];
    char hostname[64];
    uint64_t seed;
    uint32_t xid;
    uint64_t asked; /* when the running exchange began */
    unsigned tries;
    struct dhcp4_lease offer; /* asked for, or being probed */
    uint64_t offer_since;     /* when it was asked for: its time runs from then */
    uint64_t renew_at, rebind_at;
};

/* `hostname` is told to servers; "" for none. */
void dhcp4_init(struct dhcp4 *d, const uint8_t mac[6], const char *hostname, uint64_t seed);
void dhcp4_start(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out);
/* The carrier has gone: nothing is sent; a lease is kept until it ends. */
void dhcp4_stop(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out);
void dhcp4_message(struct dhcp4 *d, const uint8_t *p, size_t len, uint64_t now,
                   struct dhcp4_out *out);
void dhcp4_arp(struct dhcp4 *d, const uint8_t *p, size_t len, uint64_t now, struct dhcp4_out *out);
/* Of an `out` that asks for a probe, instead of sending it: the caller knows that the address is
 * taken, and it is declined; or cannot tell yet, and is asked for the probe again in a second. */
void dhcp4_taken(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out);
void dhcp4_later(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out);
void dhcp4_wake(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out);
const char *dhcp4_state_name(enum dhcp4_state s);
