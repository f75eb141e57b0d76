/* SPDX-License-Identifier: MIT
 *
 * What requests and cookies share.
 */
#pragma once

#include "lib/types.h"

struct tcp_listen;

/* The scale that a listener offers: the same for each of its requests. */
u8 tcp_listen_scale(const struct tcp_listen *l);
