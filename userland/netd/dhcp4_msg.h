// SPDX-License-Identifier: MIT
// DHCPv4 messages (RFC 2131, 2132), parsed and made; their IPv4 and UDP frames, and ARP's probes
// (RFC 5227). Pure. Addresses are in the machine's byte order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP4_SERVER_PORT 67
#define DHCP4_CLIENT_PORT 68
#define DHCP4_MSG_MAX 576 /* what we make; RFC 2131: all take that much */
#define DHCP4_READ_MAX 1500
#define DHCP4_FRAME_HEAD 28 /* IPv4 and UDP */
#define DHCP4_ADDRESSES 4   /* of each kind that are kept */
#define DHCP4_ROUTES 16
#define ARP_SIZE 28

enum dhcp4_type {
    DHCP4_DISCOVER = 1,
    DHCP4_OFFER = 2,
    DHCP4_REQUEST = 3,
    DHCP4_DECLINE = 4,
    DHCP4_ACK = 5,
    DHCP4_NAK = 6,
};

struct dhcp4_route {
    uint32_t to, via; /* via 0: on the link */
    uint8_t prefix;
};

struct dhcp4_addresses {
    uint32_t item[DHCP4_ADDRESSES];
    unsigned n;
};

/* What a server grants. */
struct dhcp4_lease {
    uint32_t address, server; /* server 0: it has not said */
    uint8_t prefix;
    struct dhcp4_addresses routers, dns, ntp;
    struct dhcp4_route route[DHCP4_ROUTES]; /* RFC 3442: instead of routers */
    unsigned routes;
    bool has_routes;
    uint16_t mtu; /* 0 none */
    char hostname[64];
    char search[256];                    /* domains, blanks between; the own one first */
    uint32_t lease_s, renew_s, rebind_s; /* UINT32_MAX: for ever; renew, rebind 0: not said */
};

struct dhcp4_message {
    enum dhcp4_type type;
    struct dhcp4_lease lease;
};

/* A server's message for that transaction and hardware address; false, for whatever reason, when it
 * is none. Options that make no sense are left out; a lease's own words that make none (address,
 * mask, times) make the message none. */
bool dhcp4_parse(const uint8_t *p, size_t len, uint32_t xid, const uint8_t mac[6],
                 struct dhcp4_message *out);

struct dhcp4_order {
    enum dhcp4_type type;
    uint32_t xid;
    uint16_t secs;
    const uint8_t *mac;
    uint32_t ciaddr, requested, server; /* 0: not in it */
    const char *hostname;               /* "" none */
};

/* Into DHCP4_MSG_MAX bytes: its length. */
size_t dhcp4_make(const struct dhcp4_order *o, uint8_t *out);

/* The headers before a message that is broadcast from no address; in `frame` the message stands
 * behind DHCP4_FRAME_HEAD bytes. */
void dhcp4_frame(uint8_t *frame, size_t message_len);
/* The message within an IPv4 packet to our port, or NULL. `summed`: its UDP checksum is there (a
 * packet of this machine may have none yet). */
const uint8_t *dhcp4_unframe(const uint8_t *frame, size_t len, bool summed, size_t *message_len);

/* An ARP request for `address`: a probe when `announce` is false. */
void arp_make(uint8_t out[ARP_SIZE], const uint8_t mac[6], uint32_t address, bool announce);
/* Whether what was heard means that someone else has `address`, or probes for it. */
bool arp_conflicts(const uint8_t *p, size_t len, const uint8_t mac[6], uint32_t address);
