/* SPDX-License-Identifier: MIT
 *
 * What a message of ethtool's family asks for (linux/ethtool_netlink.h): of which device, how the
 * answer is to look, and of STRSET_GET, which sets of names. A pure core.
 */
#pragma once

#include "net/netlink/message.h"

#define ETHTOOL_ASK_NAME 128 /* of a device, with the NUL */

enum { ETHTOOL_ASK_COMPACT = 1, ETHTOOL_ASK_FLAGS = 7 };

struct ethtool_ask {
    bool header;                 /* it is there */
    u32 index, index_at;         /* 0: not given; index_at, name_at: offsets of the attributes */
    char name[ETHTOOL_ASK_NAME]; /* "": not given */
    u32 name_at;
    u32 flags; /* ETHTOOL_ASK_* */
    u32 sets;  /* a bit for each set that is asked for; 0: none is named */
    bool counts_only;
};

/* The attributes in n bytes, which begin `base` bytes behind the message's header. with_sets:
 * STRSET_GET. 0; -EINVAL, -ERANGE, -EOPNOTSUPP (no such set); fault says why. */
int ethtool_ask_parse(const u8 *p, u32 n, u32 base, bool with_sets, struct ethtool_ask *out,
                      struct nl_fault *fault) __must_check;
