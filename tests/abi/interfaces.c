/* SPDX-License-Identifier: MIT
 *
 * Interfaces as programs ask for them beside rtnetlink's links: ethtool's ioctl, further names,
 * netconf; in a net namespace of the test's own.
 */
#include <linux/ethtool.h>
#include <linux/netconf.h>
#include <linux/sockios.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "abi.h"
#include "netlink.h"
#include "own_net.h"

/* ---- ethtool ---- */

static int tool(const char *name, void *what)
{
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0), err;

    strcpy(r.ifr_name, name);
    r.ifr_data = what;
    err = ioctl(s, SIOCETHTOOL, &r);
    err = err < 0 ? -errno : err;
    close(s);
    return err;
}

static int tool_get(const char *name, uint32_t cmd)
{
    struct ethtool_value v = {.cmd = cmd};
    int err = tool(name, &v);

    return err ? err : (int)v.data;
}

static int tool_set(const char *name, uint32_t cmd, uint32_t value)
{
    struct ethtool_value v = {.cmd = cmd, .data = value};

    return tool(name, &v);
}

/* A namespace with a device that no hardware is behind. */
static void dummy_net(void)
{
    own_net();
    EXPECT(!link_add(netlink_open(NETLINK_ROUTE), "d0", "dummy", true));
}

TEST(ethtool_says_what_a_software_device_is)
{
    struct ethtool_drvinfo d = {.cmd = ETHTOOL_GDRVINFO};
    struct utsname u;

    dummy_net();
    uname(&u);
    EXPECT(!tool("d0", &d) && !strcmp(d.driver, "dummy") && !strcmp(d.version, u.release));
    EXPECT(!d.bus_info[0] && !d.n_stats);
    EXPECT(tool("lo", &d) == -EOPNOTSUPP && tool_get("lo", ETHTOOL_GLINK) == 1);
    EXPECT(tool("none", &d) == -ENODEV);
}

TEST(ethtool_refuses_what_a_device_has_not)
{
    static const uint32_t none[] = {ETHTOOL_GSET,        ETHTOOL_GRINGPARAM,    ETHTOOL_GCHANNELS,
                                    ETHTOOL_GSTATS,      ETHTOOL_GLINKSETTINGS, ETHTOOL_GCOALESCE,
                                    ETHTOOL_GPAUSEPARAM, ETHTOOL_GMSGLVL,       ETHTOOL_SSET,
                                    ETHTOOL_SRINGPARAM,  ETHTOOL_SCHANNELS,     ETHTOOL_PHYS_ID,
                                    ETHTOOL_GEEPROM,     ETHTOOL_NWAY_RST,      ETHTOOL_GWOL};
    char space[512];

    dummy_net();
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        memset(space, 0, sizeof(space));
        memcpy(space, &none[i], sizeof(none[i]));
        EXPECT(tool("d0", space) == -EOPNOTSUPP);
    }
    EXPECT(tool("d0", NULL) == -EFAULT);
}

/* The place of a name among features, -1: it is not there; and how many names there are. */
static int feature(const char *device, const char *name, uint32_t *count)
{
    static struct {
        struct ethtool_gstrings head;
        char names[256][ETH_GSTRING_LEN];
    } all;
    struct {
        struct ethtool_sset_info head;
        uint32_t count[2];
    } q = {{.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1 << ETH_SS_FEATURES | 1ULL << 60}, {0}};

    EXPECT(!tool(device, &q) && q.head.sset_mask == 1 << ETH_SS_FEATURES);
    EXPECT(q.count[0] > 0 && q.count[0] <= 256);
    *count = q.count[0];
    all.head = (struct ethtool_gstrings){.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES};
    EXPECT(!tool(device, &all) && all.head.len == *count);
    for (uint32_t i = 0; i < *count; i++)
        if (!strcmp(all.names[i], name))
            return (int)i;
    return -1;
}

struct features {
    struct ethtool_gfeatures head;
    struct ethtool_get_features_block block[8];
};
struct wishes {
    struct ethtool_sfeatures head;
    struct ethtool_set_features_block block[8];
};

/* Available, requested, active: bits 0, 1, 2. */
static int feature_is(const char *device, const char *name)
{
    struct features f = {{.cmd = ETHTOOL_GFEATURES, .size = 8}, {{0}}};
    uint32_t count;
    int at = feature(device, name, &count);
    const struct ethtool_get_features_block *b = &f.block[at / 32];

    EXPECT(at >= 0 && !tool(device, &f) && f.head.size == (count + 31) / 32);
    return (int)(b->available >> at % 32 & 1) | (int)(b->requested >> at % 32 & 1) << 1 |
           (int)(b->active >> at % 32 & 1) << 2;
}

static int feature_switch(const char *device, const char *name, int on)
{
    struct wishes w = {{.cmd = ETHTOOL_SFEATURES}, {{0}}};
    uint32_t count;
    int at = feature(device, name, &count);

    EXPECT(at >= 0);
    w.head.size = (count + 31) / 32;
    w.block[at / 32].valid = 1U << at % 32;
    w.block[at / 32].requested = (uint32_t)on << at % 32;
    return tool(device, &w);
}

TEST(ethtool_switches_features_off_and_on)
{
    dummy_net();
    EXPECT(feature_is("d0", "tx-tcp-segmentation") == 7);
    EXPECT(!feature_switch("d0", "tx-tcp-segmentation", 0));
    EXPECT(feature_is("d0", "tx-tcp-segmentation") == 1);
    EXPECT(feature_is("d0", "tx-tcp6-segmentation") == 7);
    EXPECT(!feature_switch("d0", "tx-tcp-segmentation", 1));
    EXPECT(feature_is("d0", "tx-tcp-segmentation") == 7);
}

TEST(ethtool_features_that_need_one_another_go_and_come_together)
{
    dummy_net();
    EXPECT(tool_get("d0", ETHTOOL_GTXCSUM) == 1 && tool_get("d0", ETHTOOL_GTSO) == 1);
    EXPECT(!tool_set("d0", ETHTOOL_STXCSUM, 0));
    EXPECT(tool_get("d0", ETHTOOL_GTXCSUM) == 0 && tool_get("d0", ETHTOOL_GTSO) == 0);
    EXPECT(feature_is("d0", "tx-tcp-segmentation") == 3); /* asked for, and not done */
    EXPECT(!tool_set("d0", ETHTOOL_STXCSUM, 1));
    EXPECT(tool_get("d0", ETHTOOL_GTXCSUM) == 1 && tool_get("d0", ETHTOOL_GTSO) == 1);
    EXPECT(!tool_set("d0", ETHTOOL_SSG, 0) && tool_get("d0", ETHTOOL_GTSO) == 0);
    EXPECT(feature_switch("d0", "tx-tcp-segmentation", 1) == ETHTOOL_F_WISH);
    EXPECT(!tool_set("d0", ETHTOOL_SSG, 1) && tool_get("d0", ETHTOOL_GTSO) == 1);
}

TEST(ethtool_says_which_features_it_cannot_switch)
{
    struct wishes w = {{.cmd = ETHTOOL_SFEATURES, .size = 7}, {{0}}};

    dummy_net();
    EXPECT(feature_switch("d0", "rx-checksum", 0) == ETHTOOL_F_UNSUPPORTED);
    EXPECT(tool_set("d0", ETHTOOL_SRXCSUM, 1) == -EOPNOTSUPP);
    EXPECT(tool("d0", &w) == -EINVAL);
    EXPECT(tool_get("d0", ETHTOOL_GFLAGS) == 0 && tool_get("lo", ETHTOOL_GRXCSUM) == 1);
}

TEST(ethtool_is_for_all_to_read_and_for_root_to_set)
{
    dummy_net();
    EXPECT(!setresuid(1000, 1000, 1000));
    EXPECT(tool_get("d0", ETHTOOL_GTSO) == 1);
    EXPECT(tool_set("d0", ETHTOOL_STSO, 0) == -EPERM);
    EXPECT(tool_get("d0", 0x7777) == -EPERM);
}

TEST(ethtool_says_that_stamps_are_software_s)
{
    struct ethtool_ts_info t = {.cmd = ETHTOOL_GET_TS_INFO};

    dummy_net();
    EXPECT(!tool("d0", &t) && t.phc_index == -1 && !t.tx_types && !t.rx_filters);
    EXPECT(t.so_timestamping == 0x1a);
}

/* ---- further names ---- */

#define LONG_NAME "the-device-of-this-test-with-a-long-name"

static int prop(int s, int type, const char *device, const char *name)
{
    struct message m;
    struct ifinfomsg *i = message_body(&m);
    struct rtattr *list;

    message_begin(&m, type, type == RTM_NEWLINKPROP ? NLM_F_EXCL | NLM_F_CREATE : 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex(device);
    list = message_put(&m, IFLA_PROP_LIST | NLA_F_NESTED, NULL, 0);
    message_put(&m, IFLA_ALT_IFNAME, name, strlen(name) + 1);
    message_nest_end(&m, list);
    return netlink_ask(s, &m);
}

/* The link's message, by a further name; its error, or 0. */
static int link_by_altname(int s, const char *name, struct message *got)
{
    struct message m;
    ssize_t n;

    message_begin(&m, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    message_put(&m, IFLA_ALT_IFNAME, name, strlen(name) + 1);
    netlink_send(s, &m);
    n = recv(s, got, sizeof(*got), 0);
    EXPECT(n > 0);
    return got->h.nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(&got->h))->error : 0;
}

/* The i-th name of a message's list. */
static const char *altname(struct message *m, int i)
{
    struct rtattr *list = attr_find(&m->h, sizeof(struct ifinfomsg), IFLA_PROP_LIST), *a;
    int left;

    if (!list)
        return "";
    left = (int)RTA_PAYLOAD(list);
    for (a = RTA_DATA(list); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (!i--)
            return RTA_DATA(a);
    return "";
}

TEST(a_device_is_found_by_further_names)
{
    struct message got;
    int s;

    dummy_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(s, "d1", "dummy", false));
    EXPECT(!prop(s, RTM_NEWLINKPROP, "d0", LONG_NAME) && !prop(s, RTM_NEWLINKPROP, "d0", "short"));
    EXPECT(!link_by_altname(s, LONG_NAME, &got) &&
           attr_is(&got.h, sizeof(struct ifinfomsg), IFLA_IFNAME, "d0"));
    EXPECT(!strcmp(altname(&got, 0), LONG_NAME) && !strcmp(altname(&got, 1), "short"));
    EXPECT(!strcmp(altname(&got, 2), ""));
    EXPECT(if_nametoindex("short") == if_nametoindex("d0"));
    EXPECT(prop(s, RTM_NEWLINKPROP, "d1", "short") == EEXIST &&
           link_add(s, "short", "dummy", false) == EEXIST);
    EXPECT(prop(s, RTM_NEWLINKPROP, "d0", "short") == EEXIST &&
           prop(s, RTM_NEWLINKPROP, "d1", "d0") == EEXIST);
    EXPECT(prop(s, RTM_DELLINKPROP, "d0", "none") == ENOENT &&
           prop(s, RTM_DELLINKPROP, "d0", "d0") == EINVAL);
    EXPECT(prop(s, RTM_DELLINKPROP, "d1", "short") == EINVAL &&
           prop(s, RTM_NEWLINKPROP, "none", "x") == EINVAL);
    EXPECT(!prop(s, RTM_DELLINKPROP, "d0", LONG_NAME) &&
           link_by_altname(s, LONG_NAME, &got) == ENODEV);
    EXPECT(!link_delete(s, "d0") && !if_nametoindex("short") &&
           !link_add(s, "short", "dummy", false));
}

TEST(a_further_name_is_told)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int s, t = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct message got;

    dummy_net();
    s = netlink_open(NETLINK_ROUTE);
    close(t);
    t = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    EXPECT(!bind(t, (void *)&a, sizeof(a)) && !prop(s, RTM_NEWLINKPROP, "d0", LONG_NAME));
    EXPECT(recv(t, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
    EXPECT(!strcmp(altname(&got, 0), LONG_NAME));
}

/* ---- what a device forwards and believes ---- */

static int conf_get(int s, int family, int index, struct message *got)
{
    struct message m;
    struct netconfmsg *c = message_body(&m);

    message_begin(&m, RTM_GETNETCONF, 0, sizeof(*c));
    c->ncm_family = (unsigned char)family;
    message_put(&m, NETCONFA_IFINDEX, &index, sizeof(index));
    netlink_send(s, &m);
    EXPECT(recv(s, got, sizeof(*got), 0) > 0);
    return got->h.nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(&got->h))->error : 0;
}

static int conf_is(struct nlmsghdr *h, int type)
{
    return (int)attr_u32(h, sizeof(struct netconfmsg), type);
}

TEST(netconf_says_what_a_device_forwards)
{
    struct message got;
    int s, lo;

    dummy_net();
    s = netlink_open(NETLINK_ROUTE);
    lo = (int)if_nametoindex("d0");
    put("/proc/sys/net/ipv4/conf/d0/forwarding", "1");
    put("/proc/sys/net/ipv4/conf/all/rp_filter", "2");
    EXPECT(!conf_get(s, AF_INET, lo, &got) && got.h.nlmsg_type == RTM_NEWNETCONF);
    EXPECT(conf_is(&got.h, NETCONFA_IFINDEX) == lo && conf_is(&got.h, NETCONFA_FORWARDING) == 1);
    EXPECT(!conf_get(s, AF_INET, NETCONFA_IFINDEX_ALL, &got));
    EXPECT(conf_is(&got.h, NETCONFA_FORWARDING) == 0 && conf_is(&got.h, NETCONFA_RP_FILTER) == 2);
    EXPECT(conf_is(&got.h, NETCONFA_PROXY_NEIGH) == 0);
    EXPECT(!conf_get(s, AF_INET6, NETCONFA_IFINDEX_DEFAULT, &got));
    EXPECT(conf_is(&got.h, NETCONFA_IFINDEX) == -2 && conf_is(&got.h, NETCONFA_FORWARDING) == 0);
    EXPECT(!attr_find(&got.h, sizeof(struct netconfmsg), NETCONFA_RP_FILTER));
    EXPECT(conf_get(s, AF_INET, 4711, &got) == EINVAL && conf_get(s, AF_INET, 0, &got) == EINVAL);
    EXPECT(conf_get(s, AF_APPLETALK, lo, &got) == EOPNOTSUPP);
}

static bool conf_is_of(struct nlmsghdr *h, const void *index)
{
    EXPECT(h->nlmsg_type == RTM_NEWNETCONF);
    return conf_is(h, NETCONFA_IFINDEX) == *(const int *)index;
}

/* How many messages a dump has of that index. */
static int conf_dumped(int s, int family, int index)
{
    struct message m;
    struct netconfmsg *c = message_body(&m);

    message_begin(&m, RTM_GETNETCONF, NLM_F_DUMP, sizeof(*c));
    c->ncm_family = (unsigned char)family;
    return netlink_dump(s, &m, conf_is_of, &index);
}

TEST(netconf_dumps_devices_all_and_default)
{
    int s;

    dummy_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(conf_dumped(s, AF_INET, 1) == 1 &&
           conf_dumped(s, AF_INET, (int)if_nametoindex("d0")) == 1);
    EXPECT(conf_dumped(s, AF_INET6, NETCONFA_IFINDEX_ALL) == 1);
    EXPECT(conf_dumped(s, AF_UNSPEC, NETCONFA_IFINDEX_DEFAULT) == 2);
}

TEST(netconf_changes_are_told)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK};
    int t, group = RTNLGRP_IPV4_NETCONF;
    struct message got;

    dummy_net();
    t = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    EXPECT(!bind(t, (void *)&a, sizeof(a)));
    EXPECT(!setsockopt(t, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
    put("/proc/sys/net/ipv4/conf/d0/forwarding", "1");
    EXPECT(recv(t, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWNETCONF);
    EXPECT(conf_is(&got.h, NETCONFA_IFINDEX) == (int)if_nametoindex("d0"));
    EXPECT(conf_is(&got.h, NETCONFA_FORWARDING) == 1);
    EXPECT(!attr_find(&got.h, sizeof(struct netconfmsg), NETCONFA_RP_FILTER));
}

/* ---- what there is none of ---- */

TEST(a_device_without_a_chip_for_its_link_shows_no_registers_of_one)
{
    struct ifreq r = {.ifr_name = "d0"}, none = {.ifr_name = "none"};
    int s;

    dummy_net();
    s = socket(AF_INET, SOCK_DGRAM, 0);
    for (unsigned cmd = SIOCGMIIPHY; cmd <= SIOCSMIIREG; cmd++) {
        EXPECT(ioctl(s, cmd, &r) == -1 && errno == EOPNOTSUPP);
        EXPECT(ioctl(s, cmd, &none) == -1 && errno == ENODEV);
    }
    EXPECT(!setresuid(1000, 1000, 1000));
    EXPECT(ioctl(s, SIOCGMIIPHY, &r) == -1 && errno == EPERM);
}

/* Messages of a dump of that family. */
static int family_dumped(int s, int type, int family, size_t body)
{
    struct message m;

    message_begin(&m, type, NLM_F_DUMP, body);
    *(unsigned char *)message_body(&m) = (unsigned char)family;
    return netlink_dump(s, &m, NULL, NULL);
}

TEST(a_namespace_without_bridges_has_no_ports_of_them_nor_routes_of_groups)
{
    int s;

    dummy_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(family_dumped(s, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg)) == 2);
    EXPECT(family_dumped(s, RTM_GETLINK, AF_BRIDGE, sizeof(struct ifinfomsg)) == 0);
    EXPECT(family_dumped(s, RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg)) > 0);
    EXPECT(family_dumped(s, RTM_GETROUTE, RTNL_FAMILY_IPMR, sizeof(struct rtmsg)) == 0);
    EXPECT(family_dumped(s, RTM_GETROUTE, RTNL_FAMILY_IP6MR, sizeof(struct rtmsg)) == 0);
}

/* ---- listeners ---- */

static int listener(void)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    EXPECT(s >= 0);
    return bind(s, (void *)&a, sizeof(a)) ? -errno : s;
}

/* Each change tells all of them. Here a namespace has so many; Linux counts none. */
TEST(a_namespace_has_a_thousand_listeners_at_most)
{
    struct rlimit many = {4096, 4096};
    int n = 0, s = 0, last = -1;

    EXPECT(setrlimit(RLIMIT_NOFILE, &many) == 0);
    own_net();
    while (n < 1200 && (s = listener()) >= 0) {
        last = s;
        n++;
    }
    if (access("/proc/bothy/console", F_OK) == 0)
        EXPECT(n >= 512 && n <= 1024 && s == -ENOBUFS);
    else
        EXPECT(n == 1200);
    close(last);
    EXPECT(listener() >= 0);
    EXPECT(unshare(CLONE_NEWNET) == 0);
    EXPECT(listener() >= 0);
}
