/* SPDX-License-Identifier: MIT
 *
 * Forwarding (RFC 1812, RFC 8200), for input.c and input6.c: a packet that is another host's goes
 * on, in the thread that brought it up, without a lock of its own.
 *
 * What is set (core/conf.h): CONF4_FORWARDING of the device that a packet came through;
 * CONF6_FORWARDING of all; CONF4_SEND_REDIRECTS of all or that device; CONF4_RP_FILTER (0 off, 1
 * strict: the way back is by that device, 2 loose: there is one), the larger of all's and the
 * device's; CONF4_ACCEPT_LOCAL, CONF4_LOG_MARTIANS of all or the device. Their files are in
 * forward_sysctl.c.
 *
 * The ways of a packet, for those who will judge and rewrite it (a filter): it has come (behind
 * ipv4_from_ok and ipv6_ends_are_ok, before it is known whose it is), goes to this host
 * (ip_deliver), goes on (forward.c, behind forward_find), leaves (output_send of output.c and
 * forward_send).
 *
 * Context of all: a packet's; never sleep.
 */
#pragma once

#include "net/ip/ip_priv.h"
#include "net/ip/ipv6.h"

/* p begins behind its header (v4) or with it (v6); info->device, from and to are those of h. Both
 * take p, forwarded or not. */
void forward_v4(struct packet *p, const struct ipv4 *h, const struct ip_info *info);
void forward_v6(struct packet *p, const struct ipv6 *h, struct ip_info *info);
/* Whether the way back to a packet's source allows that it came through its device. */
bool forward_source_ok(const struct packet *p, const struct ip_info *info);
/* A packet that cannot be from where it says, or to where: told, if that is asked for. */
void forward_log_martian(const struct packet *p, const struct ip_info *info);
