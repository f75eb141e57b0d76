/* SPDX-License-Identifier: MIT
 *
 * What a connection does unless it is told otherwise: Linux's values. An orphan's life is our own:
 * Linux lets one live as long as its peer acknowledges a byte now and then.
 */
#include "net/tcp/conn_priv.h"

const struct tcp_config tcp_config_default = {
    .rto_first = TCP_SECOND,
    .rto_least = 200 * TCP_MS,
    .rto_most = 120 * TCP_SECOND,
    .delayed_ack = 40 * TCP_MS,
    .keep_idle = 7200 * TCP_SECOND,
    .keep_interval = 75 * TCP_SECOND,
    .keep_count = 9,
    .fin_wait2 = 60 * TCP_SECOND,
    .orphan_life = 600 * TCP_SECOND,
    .orphan_byte = TCP_SECOND / 1024,
    .orphan_more = 1800 * TCP_SECOND,
    .syn_retries = 6,
    .retries = 15,
    .orphan_retries = 8,
    .scale = true,
    .times = true,
    .sack = true,
    .ecn_take = true,
    .pacing = true,
};
