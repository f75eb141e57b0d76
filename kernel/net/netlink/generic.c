/* SPDX-License-Identifier: MIT
 *
 * Generic netlink: families of messages by name. There is none but the controller itself, which
 * says so: a program that asks for a family by its name hears ENOENT and goes on without it.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/netlink/netlink.h"

#define GENL_ID_CTRL 16
#define CTRL_VERSION 2
#define CTRL_NAME "nlctrl"
#define CTRL_GROUP 16 /* "notify": of families that come and go, which none does */

enum { CTRL_CMD_NEWFAMILY = 1, CTRL_CMD_GETFAMILY = 3 };
enum {
    CTRL_ATTR_FAMILY_ID = 1,
    CTRL_ATTR_FAMILY_NAME = 2,
    CTRL_ATTR_VERSION = 3,
    CTRL_ATTR_HDRSIZE = 4,
    CTRL_ATTR_MAXATTR = 5,
    CTRL_ATTR_OPS = 6,
    CTRL_ATTR_MCAST_GROUPS = 7,
    CTRL_RULES
};
enum { CTRL_ATTR_OP_ID = 1, CTRL_ATTR_OP_FLAGS = 2, CTRL_CAN_DO = 2, CTRL_CAN_DUMP = 4 };
enum { CTRL_ATTR_MCAST_NAME = 1, CTRL_ATTR_MCAST_ID = 2 };

struct genl_header {
    u8 command, version;
    u16 reserved;
};

/* What the controller is. */
static bool genl_fill(struct nl_builder *b, struct genl_header *g)
{
    const u16 id = GENL_ID_CTRL;
    u32 list, one;

    if (g)
        *g = (struct genl_header){CTRL_CMD_NEWFAMILY, CTRL_VERSION, 0};
    nl_put_text(b, CTRL_ATTR_FAMILY_NAME, CTRL_NAME);
    nl_put(b, CTRL_ATTR_FAMILY_ID, &id, sizeof(id));
    nl_put_u32(b, CTRL_ATTR_VERSION, CTRL_VERSION);
    nl_put_u32(b, CTRL_ATTR_HDRSIZE, 0);
    nl_put_u32(b, CTRL_ATTR_MAXATTR, CTRL_ATTR_MCAST_GROUPS);
    list = nl_nest(b, CTRL_ATTR_OPS);
    one = nl_nest(b, 1);
    nl_put_u32(b, CTRL_ATTR_OP_ID, CTRL_CMD_GETFAMILY);
    nl_put_u32(b, CTRL_ATTR_OP_FLAGS, CTRL_CAN_DO | CTRL_CAN_DUMP);
    nl_nest_end(b, one);
    nl_nest_end(b, list);
    list = nl_nest(b, CTRL_ATTR_MCAST_GROUPS);
    one = nl_nest(b, 1);
    nl_put_u32(b, CTRL_ATTR_MCAST_ID, CTRL_GROUP);
    nl_put_text(b, CTRL_ATTR_MCAST_NAME, "notify");
    nl_nest_end(b, one);
    nl_nest_end(b, list);
    return nl_end(b);
}

static bool genl_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    bool *told = (void *)d->state;

    if (!*told)
        *told = genl_fill(b, nl_dumped(d, b, GENL_ID_CTRL, sizeof(struct genl_header)));
    return *told;
}

static int genl_answer(struct nl_request *r)
{
    struct nl_builder b;
    int err = nl_answer_begin(&b);

    if (err)
        return err;
    (void)genl_fill(&b, nl_answer(r, &b, GENL_ID_CTRL, sizeof(struct genl_header)));
    return nl_answer_end(r, &b);
}

/* The family of a name or number. */
static int genl_get(struct nl_request *r)
{
    static const struct nl_rule rules[CTRL_RULES] = {
        [CTRL_ATTR_FAMILY_ID] = {NL_U16, 0, 0},
        [CTRL_ATTR_FAMILY_NAME] = {NL_TEXT, 0, 15},
    };
    const u32 head = sizeof(struct genl_header);
    struct nl_attr a[CTRL_RULES];
    char name[16];
    int err =
        nl_parse(r->body + head, r->len - head, NL_HEADER + head, rules, CTRL_RULES, a, &r->fault);

    if (err)
        return err;
    if (!nl_has(&a[CTRL_ATTR_FAMILY_ID]) && !nl_has(&a[CTRL_ATTR_FAMILY_NAME]))
        return -EINVAL;
    if (nl_has(&a[CTRL_ATTR_FAMILY_ID]) && nl_u16(&a[CTRL_ATTR_FAMILY_ID]) != GENL_ID_CTRL)
        return -ENOENT;
    if (nl_has(&a[CTRL_ATTR_FAMILY_NAME])) {
        nl_text(&a[CTRL_ATTR_FAMILY_NAME], name, sizeof(name));
        if (strcmp(name, CTRL_NAME) != 0)
            return -ENOENT;
    }
    return genl_answer(r);
}

static int genl_request(struct nl_request *r)
{
    bool told = false;

    if (r->h.type != GENL_ID_CTRL)
        return -ENOENT;
    if (r->len < sizeof(struct genl_header))
        return -EINVAL;
    if (((const struct genl_header *)(const void *)r->body)->command != CTRL_CMD_GETFAMILY)
        return -EOPNOTSUPP;
    if ((r->h.flags & NLM_F_DUMP) == NLM_F_DUMP)
        return nl_dump_begin(r, NL_SOCKETS, genl_dump_step, &told, sizeof(told), false);
    return genl_get(r);
}

NETLINK_PROTOCOL(generic) = {
    .protocol = NETLINK_GENERIC, .groups = CTRL_GROUP, .request = genl_request};
