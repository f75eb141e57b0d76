// SPDX-License-Identifier: MIT
// What the operator wants of the network: rules for devices, from the kernel's command line or a
// file. Pure; any text is taken, and what is not understood is told, in a sentence each.
//
// `bothy.net=RULE` on the command line, repeatable, or a file with a RULE on each line, # for
// comments. A rule is words between commas (in a file also blanks):
//
//   DEVICE          first, a name or MAC address, * and ? as in a shell: eth0, eth*, 52:54:00:*
//                   left out, with hostname=, dns=, search=, ntp= alone: for the whole machine;
//                   with other words: for all cards, with an address: for the first card
//   dhcp            DHCPv4, router advertisements and stateless DHCPv6; so it is without any
//   ADDRESS/PREFIX  a static address, IPv4 or IPv6; several. Then there is no DHCPv4, unless
//                   `dhcp` stands there as well, and no router advertisements, unless `ra` does
//   off             the device stays as it is
//   ra, nora        router advertisements, whatever the rest says
//   gw=ADDRESS      default router, one of each family
//   dns=ADDRESS     name servers, several; search=DOMAIN, several
//   ntp=ADDRESS     time servers, several; also by their whole names
//   mtu=N  metric=N hostname=NAME
//   vlan=N          the rule is for VLAN N on the device, DEVICE.N, which is made
//   stable=SECRET   IPv6 interface identifiers of RFC 7217 from that secret; else EUI-64
//
// `ip=` is Linux's: dhcp|on|any, off|none, or
// CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1:NTP0, IPv6 in brackets, NETMASK
// also as a number of bits; DEVICE:dhcp, DEVICE:off too. An address without a DEVICE is the first
// card's. Several count each: the last one does not take the place of the others.
//
// The first rule that fits a device counts; without any rule there is one for all: dhcp.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netd/address.h"

#define CONFIG_RULES 32
#define CONFIG_LIST 8
#define CONFIG_TOLD 8
#define CONFIG_NAME 64    /* of a device's pattern, a host, a secret */
#define CONFIG_DOMAIN 256 /* all domains to search, with blanks between */

struct address_list {
    struct address item[CONFIG_LIST];
    unsigned n;
};

struct config_rule {
    char device[CONFIG_NAME]; /* "" for the whole machine */
    bool off, dhcp, ra;
    bool single;     /* for the first card that it fits alone */
    uint16_t vlan;   /* 0 none */
    uint32_t mtu;    /* 0: the device's */
    uint32_t metric; /* of its default routes; 0: by the order of devices */
    struct address_list addresses, gateways, dns, ntp;
    char search[CONFIG_DOMAIN];
    char ntp_names[CONFIG_DOMAIN]; /* blanks between */
    char hostname[CONFIG_NAME];
    char stable[CONFIG_NAME];
};

struct config {
    struct config_rule rule[CONFIG_RULES];
    unsigned rules;
    unsigned wrong;             /* things that were not understood */
    char why[CONFIG_TOLD][160]; /* the first of them */
    unsigned line;              /* of the file, while it is read; else 0 */
};

/* Starts empty; then the command line or a file, or both; then config_finish(). */
void config_init(struct config *c);
void config_cmdline(struct config *c, const char *text, size_t len);
void config_file(struct config *c, const char *text, size_t len);
void config_finish(struct config *c);
/* The rule for a device, not for a VLAN on it; NULL when it is to be left alone. */
const struct config_rule *config_for(const struct config *c, const char *name,
                                     const uint8_t mac[6]);
/* Whether a rule's pattern fits a device; mac NULL: by its name alone. */
bool config_fits(const struct config_rule *r, const char *name, const uint8_t mac[6]);

/* Whether a name may be a host's: letters, digits, hyphens and dots, up to 63. */
bool hostname_ok(const char *s);
bool address_list_add(struct address_list *l, const struct address *a); /* no duplicates */
