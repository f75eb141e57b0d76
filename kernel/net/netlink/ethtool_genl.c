/* SPDX-License-Identifier: MIT
 *
 * ethtool's family of generic netlink (linux/ethtool_netlink.h): what may be asked of a device, or,
 * by a dump, of all of the namespace, and what is told when features change. These alone can be
 * set, by the ioctl: the family has no command for it, which makes ethtool(8) take that way.
 *
 * Of a device that has not what is asked for the answer is EOPNOTSUPP; a dump leaves it out.
 */
#include "net/netlink/ethtool.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/netlink/ethtool_ask.h"
#include "net/netlink/generic.h"

#define ETHNL_VERSION 1

/* Commands of programs, and of the kernel's answers. */
enum {
    ETHNL_STRSET_GET = 1,
    ETHNL_LINKINFO_GET = 2,
    ETHNL_LINKINFO_SET = 3,
    ETHNL_LINKMODES_GET = 4,
    ETHNL_LINKMODES_SET = 5,
    ETHNL_LINKSTATE_GET = 6,
    ETHNL_DEBUG_GET = 7,
    ETHNL_DEBUG_SET = 8,
    ETHNL_WOL_GET = 9,
    ETHNL_WOL_SET = 10,
    ETHNL_FEATURES_GET = 11,
    ETHNL_PRIVFLAGS_GET = 13,
    ETHNL_PRIVFLAGS_SET = 14,
    ETHNL_RINGS_GET = 15,
    ETHNL_RINGS_SET = 16,
    ETHNL_CHANNELS_GET = 17,
    ETHNL_CHANNELS_SET = 18,
    ETHNL_COALESCE_GET = 19,
    ETHNL_COALESCE_SET = 20,
    ETHNL_PAUSE_GET = 21,
    ETHNL_PAUSE_SET = 22,
    ETHNL_EEE_GET = 23,
    ETHNL_EEE_SET = 24,
    ETHNL_TSINFO_GET = 25,
    ETHNL_FEC_GET = 29,
    ETHNL_FEC_SET = 30,
};
enum {
    ETHNL_STRSET = 1,
    ETHNL_LINKINFO = 2,
    ETHNL_LINKMODES = 4,
    ETHNL_LINKSTATE = 6,
    ETHNL_DEBUG = 7,
    ETHNL_WOL = 9,
    ETHNL_FEATURES = 11,
    ETHNL_FEATURES_TOLD = 13,
    ETHNL_PRIVFLAGS = 14,
    ETHNL_RINGS = 16,
    ETHNL_CHANNELS = 18,
    ETHNL_COALESCE = 20,
    ETHNL_PAUSE = 22,
    ETHNL_EEE = 24,
    ETHNL_TSINFO = 26,
    ETHNL_FEC = 30,
};
/* Attributes: the header is the first of each message. */
enum { ETHNL_HEADER = 1, HEADER_INDEX = 1, HEADER_NAME = 2 };
enum { STRSET_SETS = 2, SETS_SET = 1, SET_ID = 1, SET_COUNT = 2, SET_STRINGS = 3 };
enum { STRINGS_STRING = 1, STRING_INDEX = 1, STRING_VALUE = 2 };
enum { BITS_NOMASK = 1, BITS_SIZE = 2, BITS_BITS = 3, BITS_VALUE = 4, BITS_MASK = 5 };
enum { BIT_BIT = 1, BIT_INDEX = 1, BIT_NAME = 2, BIT_VALUE = 3 };
enum { LINKINFO_PORT = 2, LINKINFO_PHY, LINKINFO_MDIX, LINKINFO_MDIX_CTRL, LINKINFO_TRANSCEIVER };
enum { LINKMODES_AUTONEG = 2, LINKMODES_OURS = 3, LINKMODES_SPEED = 5, LINKMODES_DUPLEX = 6 };
enum { LINKSTATE_LINK = 2 };
enum { FEATURES_HW = 2, FEATURES_WANTED, FEATURES_ACTIVE, FEATURES_NOCHANGE };
enum { RINGS_RX_MAX = 2, RINGS_TX_MAX = 5, RINGS_RX = 6, RINGS_TX = 9, RINGS_TX_PUSH = 13 };
enum { CHANNELS_COMBINED_MAX = 5, CHANNELS_COMBINED = 9 };
enum { TSINFO_TIMESTAMPING = 2 };

/* ---- bits ---- */

struct ethnl_bits {
    u16 type; /* of the attribute */
    u32 set;  /* whose names they have */
    u32 value, mask;
    bool no_mask; /* a list: those that are set */
};

static void ethnl_put_named(struct nl_builder *b, const struct ethnl_bits *v)
{
    u32 list = nl_nest(b, BITS_BITS), nr = ethtool_count(NULL, v->set);
    u32 which = v->no_mask ? v->value : v->mask;
    char name[ETHTOOL_NAME];

    for (u32 i = 0; i < nr; i++) {
        u32 one;

        if (!(which >> i & 1))
            continue;
        one = nl_nest(b, BIT_BIT);
        nl_put_u32(b, BIT_INDEX, i);
        ethtool_name(NULL, v->set, i, name);
        nl_put_text(b, BIT_NAME, name);
        if (!v->no_mask && (v->value >> i & 1))
            nl_put(b, BIT_VALUE, NULL, 0);
        nl_nest_end(b, one);
    }
    nl_nest_end(b, list);
}

static void ethnl_put_bits(struct nl_builder *b, const struct ethtool_ask *ask,
                           const struct ethnl_bits *v)
{
    u32 at = nl_nest(b, v->type), nr = ethtool_count(NULL, v->set);

    ASSERT(nr && nr <= 32);
    if (v->no_mask)
        nl_put(b, BITS_NOMASK, NULL, 0);
    nl_put_u32(b, BITS_SIZE, nr);
    if (ask->flags & ETHTOOL_ASK_COMPACT) {
        nl_put_u32(b, BITS_VALUE, v->value);
        if (!v->no_mask)
            nl_put_u32(b, BITS_MASK, v->mask);
    } else {
        ethnl_put_named(b, v);
    }
    nl_nest_end(b, at);
}

/* ---- answers ---- */

static int ethnl_none(struct nl_builder *b, struct netdev *dev, const void *how)
{
    return -EOPNOTSUPP;
}

static int ethnl_linkinfo(struct nl_builder *b, struct netdev *dev, const void *how)
{
    struct ethtool_link l;
    int err = ethtool_link_of(dev, &l);

    if (err)
        return err;
    nl_put_u8(b, LINKINFO_PORT, l.port);
    nl_put_u8(b, LINKINFO_PHY, 0);
    nl_put_u8(b, LINKINFO_MDIX, 0);
    nl_put_u8(b, LINKINFO_MDIX_CTRL, 0);
    nl_put_u8(b, LINKINFO_TRANSCEIVER, 0);
    return 0;
}

static int ethnl_linkmodes(struct nl_builder *b, struct netdev *dev, const void *how)
{
    struct ethtool_link l;
    int err = ethtool_link_of(dev, &l);

    if (err)
        return err;
    nl_put_u8(b, LINKMODES_AUTONEG, l.negotiates);
    ethnl_put_bits(
        b, how,
        &(struct ethnl_bits){LINKMODES_OURS, ETHTOOL_SET_LINK_MODES, l.modes, l.modes, false});
    nl_put_u32(b, LINKMODES_SPEED, l.speed);
    nl_put_u8(b, LINKMODES_DUPLEX, l.duplex);
    return 0;
}

static int ethnl_linkstate(struct nl_builder *b, struct netdev *dev, const void *how)
{
    nl_put_u8(b, LINKSTATE_LINK, ethtool_link_is_up(dev));
    return 0;
}

static int ethnl_features(struct nl_builder *b, struct netdev *dev, const void *how)
{
    u32 all = (u32)((1ULL << ethtool_features_count()) - 1);
    struct ethtool_word w;

    ethtool_features_of(dev, &w);
    const struct ethnl_bits words[] = {
        {FEATURES_HW, ETHTOOL_SET_FEATURES, w.available, all, false},
        {FEATURES_WANTED, ETHTOOL_SET_FEATURES, w.requested, 0, true},
        {FEATURES_ACTIVE, ETHTOOL_SET_FEATURES, w.active, 0, true},
        {FEATURES_NOCHANGE, ETHTOOL_SET_FEATURES, w.never, 0, true},
    };
    for (u32 i = 0; i < ARRAY_SIZE(words); i++)
        ethnl_put_bits(b, how, &words[i]);
    return 0;
}

static int ethnl_rings(struct nl_builder *b, struct netdev *dev, const void *how)
{
    if (!dev->rx_ring)
        return -EOPNOTSUPP;
    nl_put_u32(b, RINGS_RX_MAX, dev->rx_ring);
    nl_put_u32(b, RINGS_RX, dev->rx_ring);
    nl_put_u32(b, RINGS_TX_MAX, dev->tx_ring);
    nl_put_u32(b, RINGS_TX, dev->tx_ring);
    nl_put_u8(b, RINGS_TX_PUSH, false);
    return 0;
}

static int ethnl_channels(struct nl_builder *b, struct netdev *dev, const void *how)
{
    if (!dev->rx_ring)
        return -EOPNOTSUPP;
    nl_put_u32(b, CHANNELS_COMBINED_MAX, dev->nr_queues);
    nl_put_u32(b, CHANNELS_COMBINED, dev->nr_queues);
    return 0;
}

static int ethnl_tsinfo(struct nl_builder *b, struct netdev *dev, const void *how)
{
    ethnl_put_bits(b, how,
                   &(struct ethnl_bits){TSINFO_TIMESTAMPING, ETHTOOL_SET_STAMPS,
                                        ETHTOOL_STAMPS_BY_SOFTWARE, 0, true});
    return 0;
}

/* ---- sets of names ---- */

static void ethnl_put_names(struct nl_builder *b, const struct netdev *dev, u32 set, u32 nr)
{
    u32 list = nl_nest(b, SET_STRINGS);
    char name[ETHTOOL_NAME];

    for (u32 i = 0; i < nr; i++) {
        u32 one = nl_nest(b, STRINGS_STRING);

        nl_put_u32(b, STRING_INDEX, i);
        ethtool_name(dev, set, i, name);
        nl_put_text(b, STRING_VALUE, name);
        nl_nest_end(b, one);
    }
    nl_nest_end(b, list);
}

static void ethnl_put_set(struct nl_builder *b, const struct netdev *dev, u32 set, bool names)
{
    u32 nr = ethtool_count(dev, set), one;

    if (!nr)
        return;
    one = nl_nest(b, SETS_SET);
    nl_put_u32(b, SET_ID, set);
    nl_put_u32(b, SET_COUNT, nr);
    if (names)
        ethnl_put_names(b, dev, set, nr);
    nl_nest_end(b, one);
}

/* Those that are asked for; else all that are the device's, or without one, no device's. */
static int ethnl_strset(struct nl_builder *b, struct netdev *dev, const void *how)
{
    const struct ethtool_ask *ask = how;
    u32 list;

    for (u32 set = 0; set < ETHTOOL_SETS; set++)
        if (!dev && (ask->sets >> set & 1) && ethtool_set_is_device_s(set))
            return -EINVAL;
    list = nl_nest(b, STRSET_SETS);
    for (u32 set = 0; set < ETHTOOL_SETS; set++)
        if (ask->sets ? ask->sets >> set & 1 : ethtool_set_is_device_s(set) == (dev != NULL))
            ethnl_put_set(b, dev, set, !ask->counts_only);
    nl_nest_end(b, list);
    return 0;
}

/* ---- messages ---- */

static void ethnl_put_header(struct nl_builder *b, struct netdev *dev)
{
    u32 at = nl_nest(b, ETHNL_HEADER);
    char name[NETDEV_NAME];

    net_device_name(dev, name);
    nl_put_u32(b, HEADER_INDEX, dev->index);
    nl_put_text(b, HEADER_NAME, name);
    nl_nest_end(b, at);
}

/* The message that has just begun. 0; or -errno: it is taken back (-EMSGSIZE: no space). */
static int ethnl_message(struct nl_builder *b, struct genl_header *g, struct netdev *dev,
                         const struct genl_command *c, const struct ethtool_ask *ask)
{
    int err;

    if (g)
        *g = (struct genl_header){c->answer, ETHNL_VERSION, 0};
    if (dev)
        ethnl_put_header(b, dev);
    err = c->fill(b, dev, ask);
    if (err)
        nl_cancel(b);
    else if (!nl_end(b))
        err = -EMSGSIZE;
    return err;
}

static int ethnl_answer(struct nl_request *r, struct netdev *dev, const struct genl_command *c,
                        const struct ethtool_ask *ask)
{
    struct nl_builder b;
    int err = nl_answer_begin_large(&b), end;

    if (err)
        return err;
    err = ethnl_message(&b, nl_answer(r, &b, GENL_ID_ETHTOOL, sizeof(struct genl_header)), dev, c,
                        ask);
    end = nl_answer_end(r, &b);
    return err ? err : end;
}

static int ethnl_refuse(struct nl_request *r, u32 offset, const char *why, int err)
{
    r->fault.offset = offset;
    r->fault.text = why;
    return err;
}

/* *out: a reference. A name may be a further one. */
static int ethnl_device(struct nl_request *r, const struct ethtool_ask *ask, struct netdev **out)
{
    struct netdev *dev, *named = NULL;

    if (!ask->index && !ask->name[0])
        return ethnl_refuse(r, 0, "neither ifindex nor name specified", -EINVAL);
    if (ask->name[0]) {
        named = net_device_by_name(r->ns, ask->name);
        if (!named)
            return ethnl_refuse(r, ask->name_at, "no device matches name", -ENODEV);
    }
    dev = ask->index ? net_device_by_index(r->ns, ask->index) : named;
    if (ask->index && named)
        netdev_put(named);
    if (!dev)
        return ethnl_refuse(r, ask->index_at, "no device matches ifindex", -ENODEV);
    if (named && named != dev) {
        netdev_put(dev);
        return ethnl_refuse(r, ask->name_at, "ifindex and name do not match", -ENODEV);
    }
    *out = dev;
    return 0;
}

static int ethnl_parse(struct nl_request *r, const struct genl_command *c, struct ethtool_ask *ask)
{
    const u32 head = sizeof(struct genl_header);

    return ethtool_ask_parse(r->body + head, r->len - head, NL_HEADER + head,
                             c->command == ETHNL_STRSET_GET, ask, &r->fault);
}

static int ethnl_request(struct nl_request *r, const struct genl_command *c)
{
    struct netdev *dev = NULL;
    struct ethtool_ask ask;
    int err = ethnl_parse(r, c, &ask);

    if (err)
        return err;
    if (!ask.header)
        return ethnl_refuse(r, 0, "request header missing", -EINVAL);
    if (c->command != ETHNL_STRSET_GET || ask.index || ask.name[0])
        err = ethnl_device(r, &ask, &dev);
    if (!err && dev && (READ_ONCE(dev->flags) & NETDEV_GONE))
        err = -ENODEV;
    if (!err)
        err = ethnl_answer(r, dev, c, &ask);
    if (dev)
        netdev_put(dev);
    return err;
}

/* ---- of all devices ---- */

struct ethnl_walk {
    u32 last; /* index of the device that was told of last */
    const struct genl_command *command;
    struct ethtool_ask ask;
};

static bool ethnl_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    struct ethnl_walk *w = (void *)d->state;
    struct netdev *dev;

    while ((dev = net_device_next(d->ns, w->last))) {
        void *g = nl_dumped(d, b, GENL_ID_ETHTOOL, sizeof(struct genl_header));
        bool fits = ethnl_message(b, g, dev, w->command, &w->ask) != -EMSGSIZE;

        if (fits)
            w->last = dev->index;
        netdev_put(dev);
        if (!fits)
            return false;
        cond_yield();
    }
    return true;
}

/* A device that the header names is no matter. */
static int ethnl_dump(struct nl_request *r, const struct genl_command *c)
{
    struct ethnl_walk w = {.command = c};
    int err = ethnl_parse(r, c, &w.ask);

    return err ? err : nl_dump_begin(r, NL_LINKS, ethnl_dump_step, &w, sizeof(w), false);
}

/* ---- what there is ---- */

#define ETHNL_GET(id, name)                                                     \
    {                                                                           \
        .command = ETHNL_##id##_GET, .answer = ETHNL_##id, .fill = ethnl_##name \
    }
/* Nothing here can set it: it is refused. */
#define ETHNL_SET(id)                                                                   \
    {                                                                                   \
        .command = ETHNL_##id##_SET, .admin = true, .no_dump = true, .fill = ethnl_none \
    }
static const struct genl_command ethnl_commands[] = {
    ETHNL_GET(STRSET, strset),
    ETHNL_GET(LINKINFO, linkinfo),
    ETHNL_SET(LINKINFO),
    ETHNL_GET(LINKMODES, linkmodes),
    ETHNL_SET(LINKMODES),
    ETHNL_GET(LINKSTATE, linkstate),
    ETHNL_GET(DEBUG, none),
    ETHNL_SET(DEBUG),
    {.command = ETHNL_WOL_GET, .admin = true, .answer = ETHNL_WOL, .fill = ethnl_none},
    ETHNL_SET(WOL),
    ETHNL_GET(FEATURES, features),
    ETHNL_GET(PRIVFLAGS, none),
    ETHNL_SET(PRIVFLAGS),
    ETHNL_GET(RINGS, rings),
    ETHNL_SET(RINGS),
    ETHNL_GET(CHANNELS, channels),
    ETHNL_SET(CHANNELS),
    ETHNL_GET(COALESCE, none),
    ETHNL_SET(COALESCE),
    ETHNL_GET(PAUSE, none),
    ETHNL_SET(PAUSE),
    ETHNL_GET(EEE, none),
    ETHNL_SET(EEE),
    ETHNL_GET(TSINFO, tsinfo),
    ETHNL_GET(FEC, none),
    ETHNL_SET(FEC),
};
GENL_FAMILY(ethtool) = {
    .id = GENL_ID_ETHTOOL,
    .version = ETHNL_VERSION,
    .name = "ethtool",
    .group_name = "monitor",
    .group = GENL_GROUP_MONITOR,
    .commands = ethnl_commands,
    .nr_commands = ARRAY_SIZE(ethnl_commands),
    .request = ethnl_request,
    .dump = ethnl_dump,
};

void ethtool_features_tell(struct netdev *dev)
{
    static const struct genl_command told = {.answer = ETHNL_FEATURES_TOLD, .fill = ethnl_features};
    struct ethtool_ask compact = {.flags = ETHTOOL_ASK_COMPACT};
    struct nl_builder b;

    if (!nl_listened(dev->ns, NETLINK_GENERIC, GENL_GROUP_MONITOR) || nl_answer_begin(&b))
        return;
    if (!ethnl_message(&b, nl_begin(&b, GENL_ID_ETHTOOL, 0, 0, 0, sizeof(struct genl_header)), dev,
                       &told, &compact))
        nl_tell(dev->ns, NETLINK_GENERIC, GENL_GROUP_MONITOR, &b);
    kfree(b.buf);
}
