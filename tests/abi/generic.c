/* SPDX-License-Identifier: MIT
 *
 * Generic netlink: its controller, and ethtool's family of what devices are, in a net namespace of
 * the test's own.
 */
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>

#include "abi.h"
#include "netlink.h"
#include "own_net.h"

#define BODY sizeof(struct genlmsghdr)

static void generic_begin(struct message *m, int type, int flags, int command)
{
    struct genlmsghdr *g = message_body(m);

    message_begin(m, type, flags, sizeof(*g));
    g->cmd = (uint8_t)command;
    g->version = 1;
}

/* The next message. Its error, if it is one. */
static int generic_get(int s, struct message *got)
{
    ssize_t n = recv(s, got, sizeof(*got), 0);

    EXPECT(n >= (ssize_t)NLMSG_LENGTH(BODY));
    return got->h.nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(&got->h))->error : 0;
}

static int generic_ask(int s, const struct message *m, struct message *got)
{
    netlink_send(s, m);
    return generic_get(s, got);
}

static int generic_command(struct message *m)
{
    return ((struct genlmsghdr *)NLMSG_DATA(&m->h))->cmd;
}

/* In an attribute that is a list. */
static struct rtattr *inner_find(struct rtattr *list, int type)
{
    struct rtattr *a = RTA_DATA(list);
    int left = (int)RTA_PAYLOAD(list);

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}

static uint32_t inner_u32(struct rtattr *list, int type)
{
    struct rtattr *a = list ? inner_find(list, type) : NULL;

    EXPECT(a && RTA_PAYLOAD(a) >= 4);
    return *(uint32_t *)RTA_DATA(a);
}

/* ---- the controller ---- */

static int family_get(int s, const char *name, struct message *got)
{
    struct message m;

    generic_begin(&m, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
    message_put(&m, CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
    return generic_ask(s, &m, got);
}

static int family(int s, const char *name)
{
    struct message got;
    struct rtattr *id;

    EXPECT(!family_get(s, name, &got) && got.h.nlmsg_type == GENL_ID_CTRL);
    EXPECT(generic_command(&got) == CTRL_CMD_NEWFAMILY &&
           attr_is(&got.h, BODY, CTRL_ATTR_FAMILY_NAME, name));
    id = attr_find(&got.h, BODY, CTRL_ATTR_FAMILY_ID);
    EXPECT(id && RTA_PAYLOAD(id) == 2);
    return *(uint16_t *)RTA_DATA(id);
}

/* The number of the family's only group. */
static uint32_t group(int s, const char *name, const char *group_name)
{
    struct message got;
    struct rtattr *list, *one, *a;

    EXPECT(!family_get(s, name, &got));
    list = attr_find(&got.h, BODY, CTRL_ATTR_MCAST_GROUPS);
    one = list ? inner_find(list, 1) : NULL;
    a = one ? inner_find(one, CTRL_ATTR_MCAST_GRP_NAME) : NULL;
    EXPECT(a && !strcmp(RTA_DATA(a), group_name));
    return inner_u32(one, CTRL_ATTR_MCAST_GRP_ID);
}

TEST(families_are_found_by_name_and_number)
{
    struct message m, got;
    uint16_t id = GENL_ID_CTRL;
    int s = netlink_open(NETLINK_GENERIC);

    EXPECT(family(s, "nlctrl") == GENL_ID_CTRL && family(s, "ethtool") > GENL_ID_CTRL);
    EXPECT(family_get(s, "nonsense", &got) == ENOENT);
    EXPECT(group(s, "nlctrl", "notify") == GENL_ID_CTRL);
    generic_begin(&m, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
    EXPECT(generic_ask(s, &m, &got) == EINVAL);
    message_put(&m, CTRL_ATTR_FAMILY_ID, &id, sizeof(id));
    EXPECT(!generic_ask(s, &m, &got) && attr_is(&got.h, BODY, CTRL_ATTR_FAMILY_NAME, "nlctrl"));
    generic_begin(&m, family(s, "ethtool"), 0, 200);
    EXPECT(generic_ask(s, &m, &got) == EOPNOTSUPP);
    generic_begin(&m, 1000, 0, 1);
    EXPECT(generic_ask(s, &m, &got) == ENOENT);
}

static bool is_family(struct nlmsghdr *h, const void *name)
{
    return attr_is(h, BODY, CTRL_ATTR_FAMILY_NAME, name);
}

static bool is_of_device(struct nlmsghdr *h, const void *index)
{
    return inner_u32(attr_find(h, BODY, 1), ETHTOOL_A_HEADER_DEV_INDEX) == *(const uint32_t *)index;
}

/* How many messages a dump has with that text, or that index in ethtool's header. */
static int dumped(int s, const struct message *m, const char *name, uint32_t index)
{
    return name ? netlink_dump(s, m, is_family, name) : netlink_dump(s, m, is_of_device, &index);
}

TEST(families_are_dumped)
{
    struct message m;
    int s = netlink_open(NETLINK_GENERIC);

    generic_begin(&m, GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETFAMILY);
    EXPECT(dumped(s, &m, "nlctrl", 0) == 1 && dumped(s, &m, "ethtool", 0) == 1);
    EXPECT(dumped(s, &m, "nonsense", 0) == 0);
}

/* ---- ethtool ---- */

static void dummy_net(void)
{
    own_net();
    EXPECT(!link_add(netlink_open(NETLINK_ROUTE), "d0", "dummy", true));
}

/* What a header says: the index unless it is 0, the name unless it is NULL. */
static void ethtool_begin(struct message *m, int s, int flags, int command, uint32_t index,
                          const char *name, uint32_t how)
{
    struct rtattr *h;

    generic_begin(m, family(s, "ethtool"), flags, command);
    h = message_put(m, 1 | NLA_F_NESTED, NULL, 0);
    if (index)
        message_put(m, ETHTOOL_A_HEADER_DEV_INDEX, &index, sizeof(index));
    if (name)
        message_put(m, ETHTOOL_A_HEADER_DEV_NAME, name, strlen(name) + 1);
    if (how)
        message_put(m, ETHTOOL_A_HEADER_FLAGS, &how, sizeof(how));
    message_nest_end(m, h);
}

static int ethtool_get(int s, int command, const char *name, struct message *got)
{
    struct message m;

    ethtool_begin(&m, s, 0, command, 0, name, ETHTOOL_FLAG_COMPACT_BITSETS);
    return generic_ask(s, &m, got);
}

TEST(ethtool_says_of_which_device_it_speaks)
{
    struct message m, got;
    struct rtattr *h;
    int s = netlink_open(NETLINK_GENERIC);
    uint32_t d0;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    d0 = if_nametoindex("d0");
    EXPECT(!ethtool_get(s, ETHTOOL_MSG_LINKSTATE_GET, "lo", &got));
    EXPECT(generic_command(&got) == ETHTOOL_MSG_LINKSTATE_GET_REPLY);
    h = attr_find(&got.h, BODY, ETHTOOL_A_LINKSTATE_HEADER);
    EXPECT(inner_u32(h, ETHTOOL_A_HEADER_DEV_INDEX) == 1);
    EXPECT(!strcmp(RTA_DATA(inner_find(h, ETHTOOL_A_HEADER_DEV_NAME)), "lo"));
    EXPECT(*(char *)RTA_DATA(attr_find(&got.h, BODY, ETHTOOL_A_LINKSTATE_LINK)) == 1);
    ethtool_begin(&m, s, 0, ETHTOOL_MSG_LINKSTATE_GET, 1, "lo", 0);
    EXPECT(!generic_ask(s, &m, &got));
    ethtool_begin(&m, s, 0, ETHTOOL_MSG_LINKSTATE_GET, d0, "lo", 0);
    EXPECT(generic_ask(s, &m, &got) == ENODEV);
    ethtool_begin(&m, s, 0, ETHTOOL_MSG_LINKSTATE_GET, 4711, NULL, 0);
    EXPECT(generic_ask(s, &m, &got) == ENODEV);
    EXPECT(ethtool_get(s, ETHTOOL_MSG_LINKSTATE_GET, "none", &got) == ENODEV);
    EXPECT(ethtool_get(s, ETHTOOL_MSG_LINKSTATE_GET, NULL, &got) == EINVAL);
    ethtool_begin(&m, s, 0, ETHTOOL_MSG_LINKSTATE_GET, 1, NULL, 1U << 20);
    EXPECT(generic_ask(s, &m, &got) == EINVAL);
    generic_begin(&m, family(s, "ethtool"), 0, ETHTOOL_MSG_LINKSTATE_GET);
    EXPECT(generic_ask(s, &m, &got) == EINVAL);
}

TEST(ethtool_s_family_refuses_what_a_device_has_not)
{
    static const int none[] = {
        ETHTOOL_MSG_LINKINFO_GET,  ETHTOOL_MSG_LINKMODES_GET, ETHTOOL_MSG_DEBUG_GET,
        ETHTOOL_MSG_WOL_GET,       ETHTOOL_MSG_PRIVFLAGS_GET, ETHTOOL_MSG_RINGS_GET,
        ETHTOOL_MSG_CHANNELS_GET,  ETHTOOL_MSG_COALESCE_GET,  ETHTOOL_MSG_PAUSE_GET,
        ETHTOOL_MSG_EEE_GET,       ETHTOOL_MSG_FEC_GET,       ETHTOOL_MSG_LINKINFO_SET,
        ETHTOOL_MSG_LINKMODES_SET, ETHTOOL_MSG_WOL_SET,       ETHTOOL_MSG_RINGS_SET,
        ETHTOOL_MSG_CHANNELS_SET};
    struct message got;
    int s;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        EXPECT(ethtool_get(s, none[i], "d0", &got) == EOPNOTSUPP);
    EXPECT(!setresuid(1000, 1000, 1000));
    EXPECT(ethtool_get(s, ETHTOOL_MSG_WOL_GET, "d0", &got) == EPERM);
    EXPECT(ethtool_get(s, ETHTOOL_MSG_LINKMODES_SET, "d0", &got) == EPERM);
    EXPECT(!ethtool_get(s, ETHTOOL_MSG_FEATURES_GET, "d0", &got));
}

/* Asks for a set's names. */
static int names_get(int s, const char *device, uint32_t set, int counts_only, struct message *got)
{
    struct rtattr *list, *one;
    struct message m;

    ethtool_begin(&m, s, 0, ETHTOOL_MSG_STRSET_GET, 0, device, 0);
    list = message_put(&m, ETHTOOL_A_STRSET_STRINGSETS | NLA_F_NESTED, NULL, 0);
    one = message_put(&m, ETHTOOL_A_STRINGSETS_STRINGSET | NLA_F_NESTED, NULL, 0);
    message_put(&m, ETHTOOL_A_STRINGSET_ID, &set, sizeof(set));
    message_nest_end(&m, one);
    message_nest_end(&m, list);
    if (counts_only)
        message_put(&m, ETHTOOL_A_STRSET_COUNTS_ONLY, NULL, 0);
    return generic_ask(s, &m, got);
}

/* The first set of an answer. */
static struct rtattr *names_set(struct message *got)
{
    struct rtattr *list = attr_find(&got->h, BODY, ETHTOOL_A_STRSET_STRINGSETS);

    return list ? inner_find(list, ETHTOOL_A_STRINGSETS_STRINGSET) : NULL;
}

/* The name's number in a set, -1: it is not there. */
static int name_number(int s, uint32_t set, const char *name)
{
    static struct message got;
    struct rtattr *list, *a;
    int left;

    EXPECT(!names_get(s, NULL, set, 0, &got) && names_set(&got));
    EXPECT(inner_u32(names_set(&got), ETHTOOL_A_STRINGSET_ID) == set);
    list = inner_find(names_set(&got), ETHTOOL_A_STRINGSET_STRINGS);
    EXPECT(list);
    left = (int)RTA_PAYLOAD(list);
    for (a = RTA_DATA(list); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (!strcmp(RTA_DATA(inner_find(a, ETHTOOL_A_STRING_VALUE)), name))
            return (int)inner_u32(a, ETHTOOL_A_STRING_INDEX);
    return -1;
}

TEST(ethtool_has_sets_of_names)
{
    struct message got;
    int s = netlink_open(NETLINK_GENERIC);

    EXPECT(name_number(s, ETH_SS_LINK_MODES, "1000baseT/Full") == 5);
    EXPECT(name_number(s, ETH_SS_MSG_CLASSES, "wol") == 14);
    EXPECT(name_number(s, ETH_SS_WOL_MODES, "magic") == 5);
    EXPECT(name_number(s, ETH_SS_SOF_TIMESTAMPING, "software-receive") == 3);
    EXPECT(name_number(s, ETH_SS_TS_TX_TYPES, "onestep-sync") == 2);
    EXPECT(name_number(s, ETH_SS_TS_RX_FILTERS, "ptpv2-event") == 12);
    EXPECT(name_number(s, ETH_SS_FEATURES, "tx-tcp6-segmentation") >= 0);
    EXPECT(name_number(s, ETH_SS_FEATURES, "nonsense") == -1);
    EXPECT(!names_get(s, NULL, ETH_SS_WOL_MODES, 1, &got));
    EXPECT(inner_u32(names_set(&got), ETHTOOL_A_STRINGSET_COUNT) == 8);
    EXPECT(!inner_find(names_set(&got), ETHTOOL_A_STRINGSET_STRINGS));
    EXPECT(names_get(s, NULL, 1000, 0, &got) == EOPNOTSUPP);
    EXPECT(names_get(s, NULL, ETH_SS_STATS, 0, &got) == EINVAL);
    EXPECT(names_get(s, "none", ETH_SS_FEATURES, 0, &got) == ENODEV);
}

/* A bit of a compact set. */
static int bit_of(struct message *m, int type, int part, int nth)
{
    struct rtattr *set = attr_find(&m->h, BODY, type), *a = set ? inner_find(set, part) : NULL;

    EXPECT(a && RTA_PAYLOAD(a) >= (size_t)nth / 32 * 4 + 4);
    return ((uint32_t *)RTA_DATA(a))[nth / 32] >> nth % 32 & 1;
}

static int feature_switch(const char *device, uint32_t command, uint32_t on)
{
    struct ethtool_value v = {.cmd = command, .data = on};
    struct ifreq r = {.ifr_data = (void *)&v};
    int s = socket(AF_INET, SOCK_DGRAM, 0), err;

    strcpy(r.ifr_name, device);
    err = ioctl(s, SIOCETHTOOL, &r);
    close(s);
    return err;
}

TEST(ethtool_s_family_says_what_a_device_does)
{
    struct message got;
    int s, tso;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    tso = name_number(s, ETH_SS_FEATURES, "tx-tcp-segmentation");
    EXPECT(!ethtool_get(s, ETHTOOL_MSG_FEATURES_GET, "d0", &got));
    EXPECT(generic_command(&got) == ETHTOOL_MSG_FEATURES_GET_REPLY);
    EXPECT(bit_of(&got, ETHTOOL_A_FEATURES_HW, ETHTOOL_A_BITSET_VALUE, tso) &&
           bit_of(&got, ETHTOOL_A_FEATURES_HW, ETHTOOL_A_BITSET_MASK, tso));
    EXPECT(bit_of(&got, ETHTOOL_A_FEATURES_WANTED, ETHTOOL_A_BITSET_VALUE, tso) &&
           bit_of(&got, ETHTOOL_A_FEATURES_ACTIVE, ETHTOOL_A_BITSET_VALUE, tso) &&
           !bit_of(&got, ETHTOOL_A_FEATURES_NOCHANGE, ETHTOOL_A_BITSET_VALUE, tso));
    EXPECT(!feature_switch("d0", ETHTOOL_STSO, 0));
    EXPECT(!ethtool_get(s, ETHTOOL_MSG_FEATURES_GET, "d0", &got));
    EXPECT(bit_of(&got, ETHTOOL_A_FEATURES_HW, ETHTOOL_A_BITSET_VALUE, tso) &&
           !bit_of(&got, ETHTOOL_A_FEATURES_ACTIVE, ETHTOOL_A_BITSET_VALUE, tso));
}

/* Of a set whose bits have names: whether that is among them. */
static int bit_named(struct message *m, int type, const char *name)
{
    struct rtattr *set = attr_find(&m->h, BODY, type), *list, *a;
    int left;

    list = set ? inner_find(set, ETHTOOL_A_BITSET_BITS) : NULL;
    EXPECT(list);
    left = (int)RTA_PAYLOAD(list);
    for (a = RTA_DATA(list); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (!strcmp(RTA_DATA(inner_find(a, ETHTOOL_A_BITSET_BIT_NAME)), name))
            return 1;
    return 0;
}

TEST(ethtool_says_who_stamps)
{
    struct message m, got;
    int s;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    ethtool_begin(&m, s, 0, ETHTOOL_MSG_TSINFO_GET, 0, "d0", 0);
    EXPECT(!generic_ask(s, &m, &got));
    EXPECT(bit_named(&got, ETHTOOL_A_TSINFO_TIMESTAMPING, "software-transmit") &&
           bit_named(&got, ETHTOOL_A_TSINFO_TIMESTAMPING, "software-receive") &&
           bit_named(&got, ETHTOOL_A_TSINFO_TIMESTAMPING, "software-system-clock") &&
           !bit_named(&got, ETHTOOL_A_TSINFO_TIMESTAMPING, "hardware-receive"));
    EXPECT(!attr_find(&got.h, BODY, ETHTOOL_A_TSINFO_PHC_INDEX));
}

TEST(ethtool_tells_of_all_devices_that_have_what_is_asked_for)
{
    struct message m;
    int s;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    ethtool_begin(&m, s, NLM_F_DUMP, ETHTOOL_MSG_TSINFO_GET, 0, NULL, 0);
    EXPECT(dumped(s, &m, NULL, 1) == 1 && dumped(s, &m, NULL, if_nametoindex("d0")) == 1);
    ethtool_begin(&m, s, NLM_F_DUMP, ETHTOOL_MSG_RINGS_GET, 0, NULL, 0);
    EXPECT(dumped(s, &m, NULL, 1) == 0 && dumped(s, &m, NULL, if_nametoindex("d0")) == 0);
}

/* A message that is larger than a new reader's space comes, or its size is the dump's error: none
 * is left out without a word. */
TEST(ethtool_dumps_no_device_less_than_there_is)
{
    const uint32_t sets[] = {4, 9, 10, 11, 12, 13, 14}; /* those that are all devices' */
    struct rtattr *list, *one;
    struct message m;
    int s, n;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    ethtool_begin(&m, s, NLM_F_DUMP, ETHTOOL_MSG_STRSET_GET, 0, NULL, 0);
    list = message_put(&m, ETHTOOL_A_STRSET_STRINGSETS | NLA_F_NESTED, NULL, 0);
    for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        one = message_put(&m, ETHTOOL_A_STRINGSETS_STRINGSET | NLA_F_NESTED, NULL, 0);
        message_put(&m, ETHTOOL_A_STRINGSET_ID, &sets[i], sizeof(sets[i]));
        message_nest_end(&m, one);
    }
    message_nest_end(&m, list);
    close(s);
    s = netlink_open(NETLINK_GENERIC); /* one that has read nothing yet */
    n = dumped(s, &m, NULL, if_nametoindex("d0"));
    EXPECT(n == 1 || n == -EMSGSIZE);
}

TEST(ethtool_tells_its_listeners_of_features)
{
    struct message got;
    uint32_t monitor;
    int s, tso;

    dummy_net();
    s = netlink_open(NETLINK_GENERIC);
    tso = name_number(s, ETH_SS_FEATURES, "tx-tcp-segmentation");
    monitor = group(s, "ethtool", "monitor");
    EXPECT(!setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &monitor, sizeof(monitor)));
    EXPECT(!feature_switch("d0", ETHTOOL_STSO, 0));
    EXPECT(!generic_get(s, &got) && generic_command(&got) == ETHTOOL_MSG_FEATURES_NTF);
    EXPECT(inner_u32(attr_find(&got.h, BODY, 1), ETHTOOL_A_HEADER_DEV_INDEX) ==
           if_nametoindex("d0"));
    EXPECT(!bit_of(&got, ETHTOOL_A_FEATURES_ACTIVE, ETHTOOL_A_BITSET_VALUE, tso));
    EXPECT(!feature_switch("d0", ETHTOOL_STSO, 0) && !feature_switch("d0", ETHTOOL_STSO, 1));
    EXPECT(!generic_get(s, &got) &&
           bit_of(&got, ETHTOOL_A_FEATURES_ACTIVE, ETHTOOL_A_BITSET_VALUE, tso));
}
