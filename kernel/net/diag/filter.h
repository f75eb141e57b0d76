/* SPDX-License-Identifier: MIT
 *
 * Filters of inet_diag (linux/inet_diag.h: INET_DIAG_REQ_BYTECODE): a program that says of a socket
 * whether a dump is to show it. A pure core: bytes and values, no memory of its own, builds on the
 * host. A program is judged once; then it runs without further checks: every jump goes forward, to
 * the beginning of an operation or to the end.
 *
 * Layout: operations of four bytes {u8 code, u8 yes, u16 no}, some with operands behind. `yes` and
 * `no` say how many bytes further it goes on; behind the last one the socket is shown, four bytes
 * further it is not.
 */
#pragma once

#include "net/core/addr.h"

#define DIAG_FILTER_MOST 8192U /* bytes */

/* What a filter sees of a socket. */
struct diag_entry {
    u16 family; /* 2 or 10 */
    u16 local_port, peer_port;
    struct ip_addr local, peer;
    u32 device, mark;
    bool chosen; /* the port was, for it */
};

/* May it run? admin: marks may be asked for. 0, -EINVAL, -EPERM. */
int diag_filter_check(const u8 *code, u32 n, bool admin) __must_check;
/* Of a program that passed. */
bool diag_filter_run(const u8 *code, u32 n, const struct diag_entry *e);
