/* SPDX-License-Identifier: MIT
 *
 * ICMP's errors of both families: read (the pure core, which builds on the host), sent, received.
 */
#pragma once

#include "net/ip/ip.h"

enum { ICMP_UNREACHABLE = 3, ICMP_TIME = 11, ICMP_PROBLEM = 12 };

/* An error message, taken apart. */
struct icmp_message {
    struct ip_error error; /* without its reporter */
    struct ip_info sent;   /* of the packet that it is about */
    u32 at;                /* bytes from ICMP's header to the transport's of that packet */
    bool first;            /* it was no fragment behind the first */
};
/* The first n bytes of a message, from ICMP's header, of that family. 0, -EINVAL: no error message,
 * or one that quotes too little. */
int icmp_error_parse(const u8 *p, u32 n, bool v4, struct icmp_message *out) __must_check;

/* A message has come whose checksum is right. Borrows p, which begins with ICMP's header. */
void icmp_error_receive(struct packet *p, const struct ip_info *h);
/* Sends an error about p, which was received and is h; rest: the four bytes behind the checksum.
 * Borrows p. */
void icmp_error_send(struct packet *p, const struct ip_info *h, u8 type, u8 code, u32 rest);
