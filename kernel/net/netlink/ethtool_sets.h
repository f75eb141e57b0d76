/* SPDX-License-Identifier: MIT
 *
 * Sets of names that ethtool's numbers and bits have (linux/ethtool.h): those of a device, and
 * those that are the same for all.
 */
#pragma once

#include "lib/types.h"

struct netdev;

#define ETHTOOL_NAME 32 /* bytes of a name in a set, with the NUL */

enum ethtool_set {
    ETHTOOL_SET_TEST = 0,
    ETHTOOL_SET_STATS = 1,
    ETHTOOL_SET_PRIVATE_FLAGS = 2,
    ETHTOOL_SET_FEATURES = 4,
    ETHTOOL_SET_PHY_STATS = 7,
    ETHTOOL_SET_LINK_MODES = 9,
    ETHTOOL_SET_MESSAGES = 10,
    ETHTOOL_SET_WAKES = 11,
    ETHTOOL_SET_STAMPS = 12,
    ETHTOOL_SET_STAMPS_SENT = 13,
    ETHTOOL_SET_STAMPS_HEARD = 14,
    ETHTOOL_SETS = 21
};
/* Of a device, not of all. */
static inline bool ethtool_set_is_device_s(u32 set)
{
    return set == ETHTOOL_SET_TEST || set == ETHTOOL_SET_STATS ||
           set == ETHTOOL_SET_PRIVATE_FLAGS || set == ETHTOOL_SET_PHY_STATS;
}

/* Names in a set; 0: there is no such one. dev: NULL of a set that is no device's. */
u32 ethtool_count(const struct netdev *dev, u32 set);
/* The i-th of them, filled up with zeroes. */
void ethtool_name(const struct netdev *dev, u32 set, u32 i, char out[ETHTOOL_NAME]);
