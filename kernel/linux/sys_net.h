/* SPDX-License-Identifier: MIT
 *
 * Addresses, shared by the two files of socket calls.
 */
#pragma once

#include "lib/types.h"
#include "net/socket.h"

int net_addr_in(struct sock_addr *a, u64 uaddr, u64 len) __must_check;
int net_addr_out(const struct sock_addr *a, u32 len, u64 uaddr, u64 ulen) __must_check;
/* The address is a path: the call needs current's root and directory. */
bool net_addr_walks(const struct sock_addr *a, u32 len);
