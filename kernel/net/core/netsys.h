/* SPDX-License-Identifier: MIT
 *
 * Files of a network interface in /sys, between the tree (sysfs.c) and what they say
 * (netsys_attr.c).
 */
#pragma once

#include "net/core/device.h"
#include "obj/cred.h"

struct seq;

struct netsys_attr {
    const char *name; /* NULL: the end of a table */
    /* 0 or -errno, which reading is. */
    int (*show)(struct netdev *dev, const struct netsys_attr *a, struct seq *out);
    /* One write of an administrator of the namespace. 0 or -errno. NULL: read only. */
    int (*store)(struct netdev *dev, char *text);
    u32 offset; /* of statistics: of the counter; ~0: nothing counts such */
};
extern const struct netsys_attr netsys_attrs[], netsys_statistics[];

/* Below /sys, under the name: "devices/virtual/net/eth0". Its length or -ENAMETOOLONG. */
int net_device_sys_path(struct netdev *dev, const char *name, char *out, u32 n);
