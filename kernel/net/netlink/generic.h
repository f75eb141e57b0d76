/* SPDX-License-Identifier: MIT
 *
 * Generic netlink: families of commands by name. A family registers itself; the controller
 * (generic.c) tells programs its number, and hands its requests to its commands.
 */
#pragma once

#include "net/netlink/netlink.h"

struct netdev;

/* Numbers of families and of their groups: a family's is never used again for another. */
#define GENL_ID_CTRL 16
#define GENL_ID_ETHTOOL 20
#define GENL_GROUP_CTRL 16 /* of families that come and go, which none does */
#define GENL_GROUP_MONITOR 17
#define GENL_GROUPS 17

struct genl_header {
    u8 command, version;
    u16 reserved;
};

struct genl_command {
    u8 command;
    bool admin;   /* takes CAP_NET_ADMIN */
    bool no_dump; /* it is of one thing */
    /* For a family whose commands are alike: the command of the answer, and what puts its
     * attributes, of a device or of none, as `ask` has it: 0 or -errno. */
    u8 answer;
    int (*fill)(struct nl_builder *b, struct netdev *dev, const void *ask);
};
/* GENL_FAMILY(id) = {...}. */
struct genl_family {
    u16 id;
    u8 version;
    const char *name, *group_name; /* NULL: it has no group */
    u32 group, most;               /* most: the largest attribute that its commands share, or 0 */
    const struct genl_command *commands;
    u32 nr_commands;
    /* Performs a request or begins a dump; r->body begins with a genl_header. */
    int (*request)(struct nl_request *r, const struct genl_command *c);
    int (*dump)(struct nl_request *r, const struct genl_command *c);
};
#define GENL_FAMILY(id) TABLE_ENTRY(struct genl_family, genl_families, #id)
