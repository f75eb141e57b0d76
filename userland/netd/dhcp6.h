// SPDX-License-Identifier: MIT
// Stateless DHCPv6 (RFC 8415 6.1, 18.2.6): asks for names and time servers, holds no address. Pure,
// as dhcp4.h: dhcp6_start(), then dhcp6_message() for each answer, dhcp6_wake() at `wake`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP6_CLIENT_PORT 546
#define DHCP6_SERVER_PORT 547
#define DHCP6_MSG_MAX 128 /* what we make */
#define DHCP6_SERVERS 4

struct dhcp6_answer {
    uint8_t dns[DHCP6_SERVERS][16], ntp[DHCP6_SERVERS][16];
    unsigned dns_n, ntp_n;
    char search[256];    /* domains, blanks between */
    char ntp_names[256]; /* likewise */
    uint32_t refresh_s;  /* when to ask again; UINT32_MAX never */
};

struct dhcp6_out {
    size_t len; /* 0: nothing to send */
    uint8_t message[DHCP6_MSG_MAX];
    bool changed; /* `answer` is another one */
};

struct dhcp6 {
    uint64_t wake; /* 0: never */
    bool has_answer;
    struct dhcp6_answer answer;

    /* private */
    bool asking;
    uint8_t mac[6];
    uint64_t seed, asked;
    uint32_t xid;
    unsigned tries;
};

void dhcp6_init(struct dhcp6 *d, const uint8_t mac[6], uint64_t seed);
void dhcp6_start(struct dhcp6 *d, uint64_t now, struct dhcp6_out *out);
void dhcp6_stop(struct dhcp6 *d);
void dhcp6_message(struct dhcp6 *d, const uint8_t *p, size_t len, uint64_t now,
                   struct dhcp6_out *out);
void dhcp6_wake(struct dhcp6 *d, uint64_t now, struct dhcp6_out *out);
