/* SPDX-License-Identifier: MIT
 *
 * Generic netlink's controller: which families there are, their commands and groups. generic.h has
 * the contract of a family, of which the controller is one.
 */
#include "net/netlink/generic.h"
#include "lib/log.h"
#include "lib/string.h"

TABLE_DECLARE(struct genl_family, genl_families);

#define CTRL_VERSION 2
#define CTRL_NAME_MOST 15

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
enum {
    CTRL_ATTR_OP_ID = 1,
    CTRL_ATTR_OP_FLAGS = 2,
    CTRL_CAN_DO = 1 << 1,
    CTRL_CAN_DUMP = 1 << 2,
    CTRL_TAKES_ADMIN_HERE = 1 << 4, /* GENL_UNS_ADMIN_PERM: in the namespace's user namespace */
};
enum { CTRL_ATTR_MCAST_NAME = 1, CTRL_ATTR_MCAST_ID = 2 };

static u32 genl_number(void)
{
    return (u32)(__table_genl_families_end - __table_genl_families);
}

static bool genl_dumps(const struct genl_family *f, const struct genl_command *c)
{
    return f->dump && !c->no_dump;
}

static void genl_put_commands(struct nl_builder *b, const struct genl_family *f)
{
    u32 list = nl_nest(b, CTRL_ATTR_OPS);

    for (u32 i = 0; i < f->nr_commands; i++) {
        u32 one = nl_nest(b, (u16)(i + 1));

        nl_put_u32(b, CTRL_ATTR_OP_ID, f->commands[i].command);
        nl_put_u32(b, CTRL_ATTR_OP_FLAGS,
                   CTRL_CAN_DO | (genl_dumps(f, &f->commands[i]) ? CTRL_CAN_DUMP : 0) |
                       (f->commands[i].admin ? CTRL_TAKES_ADMIN_HERE : 0));
        nl_nest_end(b, one);
    }
    nl_nest_end(b, list);
}

static void genl_put_group(struct nl_builder *b, const struct genl_family *f)
{
    u32 list, one;

    if (!f->group_name)
        return;
    list = nl_nest(b, CTRL_ATTR_MCAST_GROUPS);
    one = nl_nest(b, 1);
    nl_put_u32(b, CTRL_ATTR_MCAST_ID, f->group);
    nl_put_text(b, CTRL_ATTR_MCAST_NAME, f->group_name);
    nl_nest_end(b, one);
    nl_nest_end(b, list);
}

/* What a family is. g: the message's body, or NULL: it had no space. */
static bool genl_fill(struct nl_builder *b, struct genl_header *g, const struct genl_family *f)
{
    if (g)
        *g = (struct genl_header){CTRL_CMD_NEWFAMILY, CTRL_VERSION, 0};
    nl_put_text(b, CTRL_ATTR_FAMILY_NAME, f->name);
    nl_put(b, CTRL_ATTR_FAMILY_ID, &f->id, sizeof(f->id));
    nl_put_u32(b, CTRL_ATTR_VERSION, f->version);
    nl_put_u32(b, CTRL_ATTR_HDRSIZE, 0);
    nl_put_u32(b, CTRL_ATTR_MAXATTR, f->most);
    genl_put_commands(b, f);
    genl_put_group(b, f);
    return nl_end(b);
}

static bool genl_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    u64 *told = d->state;

    while (*told < genl_number()) {
        void *g = nl_dumped(d, b, GENL_ID_CTRL, sizeof(struct genl_header));

        if (!genl_fill(b, g, &__table_genl_families[*told]))
            return false;
        ++*told;
    }
    return true;
}

static int genl_dump_families(struct nl_request *r, const struct genl_command *c)
{
    u64 told = 0;

    return nl_dump_begin(r, NL_SOCKETS, genl_dump_step, &told, sizeof(told), false);
}

static int genl_answer(struct nl_request *r, const struct genl_family *f)
{
    struct nl_builder b;
    int err = nl_answer_begin(&b);
    bool fits;

    if (err)
        return err;
    fits = genl_fill(&b, nl_answer(r, &b, GENL_ID_CTRL, sizeof(struct genl_header)), f);
    err = nl_answer_end(r, &b);
    return fits ? err : -EMSGSIZE;
}

static const struct genl_family *genl_named(const char *name)
{
    const struct genl_family *f;

    TABLE_FOR_EACH(f, genl_families)
    {
        if (!strcmp(f->name, name))
            return f;
    }
    return NULL;
}

static const struct genl_family *genl_numbered(u16 id)
{
    const struct genl_family *f;

    TABLE_FOR_EACH(f, genl_families)
    {
        if (f->id == id)
            return f;
    }
    return NULL;
}

/* The family of a name or number; of both the name's. */
static int genl_get(struct nl_request *r, const struct genl_command *c)
{
    static const struct nl_rule rules[CTRL_RULES] = {
        [CTRL_ATTR_FAMILY_ID] = {NL_U16, 0, 0},
        [CTRL_ATTR_FAMILY_NAME] = {NL_TEXT, 0, CTRL_NAME_MOST},
    };
    const u32 head = sizeof(struct genl_header);
    const struct genl_family *f;
    struct nl_attr a[CTRL_RULES];
    char name[CTRL_NAME_MOST + 1];
    int err =
        nl_parse(r->body + head, r->len - head, NL_HEADER + head, rules, CTRL_RULES, a, &r->fault);

    if (err)
        return err;
    if (nl_has(&a[CTRL_ATTR_FAMILY_NAME])) {
        nl_text(&a[CTRL_ATTR_FAMILY_NAME], name, sizeof(name));
        f = genl_named(name);
    } else if (nl_has(&a[CTRL_ATTR_FAMILY_ID])) {
        f = genl_numbered(nl_u16(&a[CTRL_ATTR_FAMILY_ID]));
    } else {
        return -EINVAL;
    }
    return f ? genl_answer(r, f) : -ENOENT;
}

static const struct genl_command genl_commands[] = {{.command = CTRL_CMD_GETFAMILY}};
GENL_FAMILY(0_controller) = {
    .id = GENL_ID_CTRL,
    .version = CTRL_VERSION,
    .name = "nlctrl",
    .group_name = "notify",
    .group = GENL_GROUP_CTRL,
    .most = CTRL_ATTR_MCAST_GROUPS,
    .commands = genl_commands,
    .nr_commands = ARRAY_SIZE(genl_commands),
    .request = genl_get,
    .dump = genl_dump_families,
};

static const struct genl_command *genl_command(const struct genl_family *f, u8 command)
{
    for (u32 i = 0; i < f->nr_commands; i++)
        if (f->commands[i].command == command)
            return &f->commands[i];
    return NULL;
}

static int genl_request(struct nl_request *r)
{
    const struct genl_family *f = genl_numbered(r->h.type);
    const struct genl_command *c;

    if (!f)
        return -ENOENT;
    if (r->len < sizeof(struct genl_header))
        return -EINVAL;
    c = genl_command(f, ((const struct genl_header *)(const void *)r->body)->command);
    if (!c)
        return -EOPNOTSUPP;
    if (c->admin && !nl_capable(r, CAP_NET_ADMIN))
        return -EPERM;
    if ((r->h.flags & NLM_F_DUMP) == NLM_F_DUMP)
        return genl_dumps(f, c) ? f->dump(r, c) : -EOPNOTSUPP;
    return f->request(r, c);
}

NETLINK_PROTOCOL(generic) = {
    .protocol = NETLINK_GENERIC, .groups = GENL_GROUPS, .request = genl_request};
