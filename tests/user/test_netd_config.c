// SPDX-License-Identifier: MIT
// netd's configuration, and the messages of netlink.
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/netlink.h"
#include "netd/config.h"

static const uint8_t config_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static void config_of(struct config *c, const char *cmdline, const char *file)
{
    config_init(c);
    config_cmdline(c, cmdline, strlen(cmdline));
    config_file(c, file, strlen(file));
    config_finish(c);
}

static bool is_address(const struct address *a, const char *text)
{
    char out[ADDRESS_TEXT];

    return !strcmp(address_text(a, strchr(text, '/') != NULL, out), text);
}

TEST(without_configuration_every_device_gets_dhcp_and_advertisements)
{
    struct config c;
    const struct config_rule *r;

    config_of(&c, "console=ttyS0 bothy.demo=1", "\n# nothing\n");
    r = config_for(&c, "eth7", config_mac);
    EXPECT(!c.wrong && r && r->dhcp && r->ra && !r->off);
}

TEST(rules_say_what_a_device_gets)
{
    struct config c;
    const struct config_rule *r;

    config_of(&c,
              "quiet bothy.net=eth0,10.0.0.2/24,fd00::2/64,gw=10.0.0.1,gw=fd00::1,dns=1.1.1.1,"
              "search=a.example,search=b.example,mtu=1400,metric=7,ntp=10.0.0.9,hostname=box "
              "bothy.net=52:54:*,off",
              "eth1 dhcp vlan=5 # the lab\ndns=9.9.9.9\n* dhcp nora\n");
    EXPECT(!c.wrong && c.rules == 5);
    r = config_for(&c, "eth0", config_mac);
    EXPECT(r == &c.rule[0] && !r->dhcp && !r->ra && r->addresses.n == 2);
    EXPECT(is_address(&r->addresses.item[0], "10.0.0.2/24"));
    EXPECT(is_address(&r->addresses.item[1], "fd00::2/64"));
    EXPECT(r->gateways.n == 2 && is_address(&r->gateways.item[1], "fd00::1"));
    EXPECT(is_address(&r->dns.item[0], "1.1.1.1") && !strcmp(r->search, "a.example b.example"));
    EXPECT(r->mtu == 1400 && r->metric == 7 && !strcmp(r->hostname, "box"));
    EXPECT(config_for(&c, "eth9", config_mac)->off);
    EXPECT(config_for(&c, "eth9", NULL) == &c.rule[4]); /* not by its MAC address */
    r = config_for(&c, "eth1", (uint8_t[6]){0});
    EXPECT(r == &c.rule[4] && r->dhcp && !r->ra); /* VLAN 5's rule is not eth1's */
    EXPECT(c.rule[2].vlan == 5 && c.rule[2].dhcp && config_fits(&c.rule[2], "eth1", config_mac));
    EXPECT(!c.rule[3].device[0] && c.rule[3].dns.n == 1);
}

TEST(a_rule_for_the_whole_machine_alone_leaves_dhcp_to_all)
{
    struct config c;

    config_of(&c, "bothy.net=hostname=box,dns=1.1.1.1", "");
    EXPECT(c.rules == 2 && config_for(&c, "eth0", config_mac)->dhcp);
}

TEST(a_rule_that_leaves_the_device_out_is_for_cards_when_its_words_are)
{
    static const struct {
        const char *word;
        bool dhcp, off, single;
    } rules[] = {{"bothy.net=dhcp", true, false, false},
                 {"bothy.net=off", false, true, false},
                 {"bothy.net=10.0.0.2/24,gw=10.0.0.1", false, false, true},
                 {"bothy.net=fd00::2/64", false, false, true},
                 {"bothy.net=mtu=1400,hostname=box", true, false, false},
                 {"bothy.net=hostname=box,dhcp,nora", true, false, false}};
    struct config c;

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct config_rule *r;

        config_of(&c, rules[i].word, "");
        r = config_for(&c, "eth3", config_mac);
        EXPECT(!c.wrong && c.rules == 1 && r && !strcmp(r->device, "*"));
        EXPECT((r->dhcp && !r->off) == rules[i].dhcp && r->off == rules[i].off);
        EXPECT(r->single == rules[i].single);
    }
}

TEST(time_servers_are_addresses_or_names)
{
    struct config c;

    config_of(&c, "bothy.net=ntp=10.0.0.9,ntp=2.debian.pool.ntp.org,ntp=[fd00::9],ntp=clock", "");
    EXPECT(!c.wrong && c.rule[0].ntp.n == 2);
    EXPECT(!strcmp(c.rule[0].ntp_names, "2.debian.pool.ntp.org clock"));
}

TEST(each_thing_that_is_wrong_is_told_with_its_line)
{
    struct config c;

    config_of(&c, "",
              "\xef\xbb\xbf"
              "eth0 off\n");
    EXPECT(c.wrong == 1 && !strcmp(c.why[0], "line 1 of the file: no device: ???eth0"));
    EXPECT(config_for(&c, "eth0", config_mac)->dhcp);
    config_of(&c, "bothy.net=eth0,a=1,b=2", "# fine\neth0 \xc3\xa4\neth1 dhcp c\n");
    EXPECT(c.wrong == 4 && !strcmp(c.why[0], "not understood: a=1"));
    EXPECT(!strcmp(c.why[1], "not understood: b=2"));
    EXPECT(!strcmp(c.why[2], "line 2 of the file: not understood: ??"));
    EXPECT(!strcmp(c.why[3], "line 3 of the file: not understood: c"));
}

TEST(a_device_without_a_rule_is_left_alone_when_others_have_one)
{
    struct config c;

    config_of(&c, "bothy.net=eth0,dhcp", "");
    EXPECT(!config_for(&c, "eth1", config_mac));
}

TEST(the_ip_word_is_linuxs)
{
    struct config c;
    struct config_rule *r = c.rule;

    config_of(&c, "ip=dhcp", "");
    EXPECT(c.rules == 1 && r->dhcp && !r->off && !strcmp(r->device, "*"));
    config_of(&c, "ip=none", "");
    EXPECT(c.rules == 1 && r->off);
    config_of(&c, "ip=192.168.0.5::192.168.0.1:255.255.255.0:box:eth0:off:8.8.8.8:8.8.4.4:10.0.0.1",
              "");
    EXPECT(!c.wrong && !r->dhcp && !r->off && !strcmp(r->device, "eth0"));
    EXPECT(is_address(&r->addresses.item[0], "192.168.0.5/24") && !strcmp(r->hostname, "box"));
    EXPECT(is_address(&r->gateways.item[0], "192.168.0.1") && r->dns.n == 2 && r->ntp.n == 1);
    EXPECT(!r->single);
    config_of(&c, "ip=192.168.0.5:::24", "");
    EXPECT(!c.wrong && r->single && is_address(&r->addresses.item[0], "192.168.0.5/24"));
    config_of(&c, "ip=[fd00::5]::[fd00::1]:64::eth0:none", "");
    EXPECT(!c.wrong && is_address(&r->addresses.item[0], "fd00::5/64"));
    config_of(&c, "ip=10.0.0.5:::::eth1", "");
    EXPECT(!c.wrong && is_address(&r->addresses.item[0], "10.0.0.5/8") && !r->dhcp);
    config_of(&c, "ip=:::::eth0:dhcp ip=eth1:dhcp", "");
    EXPECT(!c.wrong && c.rules == 2 && r[0].dhcp && r[1].dhcp && !strcmp(r[1].device, "eth1"));
}

/* Documentation/admin-guide/nfs/nfsroot.rst: each field of ip=, each word of its autoconf. */
TEST(every_form_of_linux_s_ip_word_is_taken_or_told)
{
    static const struct {
        const char *word;
        bool dhcp, off;
        const char *device, *address;
    } forms[] = {
        {"ip=dhcp", true, false, "*", NULL},
        {"ip=on", true, false, "*", NULL},
        {"ip=any", true, false, "*", NULL},
        {"ip=both", true, false, "*", NULL},
        {"ip=off", false, true, "*", NULL},
        {"ip=none", false, true, "*", NULL},
        {"ip=::::::dhcp", true, false, "*", NULL},
        {"ip=:::::eth1:any", true, false, "eth1", NULL},
        {"ip=:::::eth1:off", false, true, "eth1", NULL},
        {"ip=eth1:off", false, true, "eth1", NULL},
        {"ip=::::box:eth1", true, false, "eth1", NULL},
        {"ip=10.1.2.3:10.0.0.9:::::off", false, false, "*", "10.1.2.3/8"},
        {"ip=172.16.2.3:::::eth0:none", false, false, "eth0", "172.16.2.3/16"},
        {"ip=192.168.2.3::192.168.2.1:255.255.255.128:box:eth0:off", false, false, "eth0",
         "192.168.2.3/25"},
        {"ip=10.1.2.3::10.1.2.1:255.255.255.0:box.lab.example:eth0:dhcp", true, false, "eth0",
         "10.1.2.3/24"},
    };
    static const char *const refused[] = {"ip=bootp", "ip=rarp", "ip=:::::eth0:bootp",
                                          "ip=:::::eth0:rarp", "ip=10.0.0.1::x:24::eth0:off"};
    struct config c;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const struct config_rule *r = c.rule;

        config_of(&c, forms[i].word, "");
        EXPECT(!c.wrong && c.rules == 1 && r->dhcp == forms[i].dhcp && r->off == forms[i].off);
        EXPECT(!strcmp(r->device, forms[i].device));
        EXPECT(forms[i].address ? is_address(&r->addresses.item[0], forms[i].address)
                                : !r->addresses.n);
    }
    config_of(&c, "ip=10.1.2.3:10.0.0.9:10.1.2.1:24:box:eth0:off:8.8.8.8:8.8.4.4:10.0.0.1", "");
    EXPECT(c.rule[0].dns.n == 2 && c.rule[0].ntp.n == 1 && c.rule[0].gateways.n == 1);
    EXPECT(!strcmp(c.rule[0].hostname, "box"));
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        config_of(&c, refused[i], "");
        EXPECT(c.wrong);
    }
}

TEST(what_is_not_understood_is_told_and_the_rest_holds)
{
    static const char *const bad[] = {
        "bothy.net=eth0,vlan=0",           "bothy.net=eth0,mtu=9",
        "bothy.net=eth0,10.0.0.1/33",      "bothy.net=eth0,nonsense",
        "bothy.net=eth0,hostname=a_b",     "bothy.net=vlan=5",
        "ip=10.0.0.1:::255.0.255.0::eth0", "ip=1:2:3",
        "bothy.net=eth0,gw=[fd00::1",      "bothy.net=eth0,search=a..b",
        "bothy.net=eth0,10.0.0.1/0",       "bothy.net=eth0,dns=10.0.0.1,10.0.0.2",
        "bothy.net=eth0,224.0.0.1/24",     "bothy.net=eth0,::1/64",
        "bothy.net=eth0,ff02::5/64",       "bothy.net=eth0,::ffff:10.0.0.1/96",
        "ip=10.0.0.5:::0.0.0.0::eth0",     "ip=127.0.0.1:::::eth0:off",
        "bothy.net=eth0,ntp=10.0.0.300",   "bothy.net=eth0,ntp=a_b"};
    struct config c;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        config_of(&c, bad[i], "eth5 dhcp\n");
        EXPECT(c.wrong);
        EXPECT(config_for(&c, "eth5", config_mac));
    }
    config_init(&c);
    for (int i = 0; i < 40; i++)
        config_cmdline(&c, "ip=dhcp", 7);
    EXPECT(c.rules == CONFIG_RULES && c.wrong);
}

TEST(configuration_of_any_bytes_survives)
{
    static const char *const pieces[] = {
        "bothy.net=", "ip=",    "eth0",      ",",    ":", "dhcp", "10.0.0.1/24",
        "[fd00::1]",  "vlan=5", "gw=",       " ",    "*", "#",    "\n",
        "search=x",   "mtu=",   "hostname=", "4095", "/", "=",    "?"};
    u64 seed = 5;

    for (u64 round = 0; round < 5000 * unit_times(); round++) {
        char text[400], *copy;
        struct config c;
        size_t len = 0;

        while (len < 300 && unit_rand(&seed) % 20) {
            const char *p = pieces[unit_rand(&seed) % (sizeof(pieces) / sizeof(pieces[0]))];

            memcpy(text + len, p, strlen(p));
            len += strlen(p);
            if (unit_rand(&seed) % 10 == 0)
                text[len++] = (char)unit_rand(&seed);
        }
        copy = malloc(len ? len : 1);
        memcpy(copy, text, len);
        config_init(&c);
        config_cmdline(&c, copy, len);
        config_file(&c, copy, len);
        config_finish(&c);
        config_for(&c, "eth0", config_mac);
        EXPECT(c.rules <= CONFIG_RULES);
        free(copy);
    }
}

TEST(netlink_messages_are_read_as_they_were_made)
{
    struct ifinfomsg head = {.ifi_index = 3};
    struct nl_span a[20], info[4], data[4];
    struct nl_part p;
    struct nl_msg m;
    size_t link, inner, at = 0;
    char name[16];

    nl_begin(&m, RTM_NEWLINK, NLM_F_CREATE, &head, sizeof(head));
    nl_attr_str(&m, IFLA_IFNAME, "eth0.5");
    link = nl_nest(&m, IFLA_LINKINFO);
    nl_attr(&m, IFLA_INFO_KIND, "vlan", 4);
    inner = nl_nest(&m, IFLA_INFO_DATA);
    nl_attr_u16(&m, IFLA_VLAN_ID, 5);
    nl_nest_end(&m, inner);
    nl_nest_end(&m, link);
    nl_attr_u32(&m, IFLA_MTU, 1400);
    EXPECT(!m.full && nl_next(m.data, m.len, &at, &p) && p.type == RTM_NEWLINK);
    EXPECT(nl_index(p.data, p.len, sizeof(head), a, 20) && nl_u32(a[IFLA_MTU], 0) == 1400);
    nl_text(a[IFLA_IFNAME], name, sizeof(name));
    EXPECT(!strcmp(name, "eth0.5"));
    EXPECT(nl_index(a[IFLA_LINKINFO].data, a[IFLA_LINKINFO].len, 0, info, 4));
    EXPECT(info[IFLA_INFO_KIND].len == 4 && !memcmp(info[IFLA_INFO_KIND].data, "vlan", 4));
    EXPECT(nl_index(info[IFLA_INFO_DATA].data, info[IFLA_INFO_DATA].len, 0, data, 4));
    EXPECT(data[IFLA_VLAN_ID].len == 2 && data[IFLA_VLAN_ID].data[0] == 5);
    EXPECT(!nl_next(m.data, m.len, &at, &p));
    for (int i = 0; i < 1000; i++)
        nl_attr_u32(&m, IFLA_MTU, 1);
    EXPECT(m.full && m.len <= NL_MSG_MAX);
}

TEST(netlink_of_any_bytes_survives)
{
    u64 seed = 6;

    for (u64 round = 0; round < 20000 * unit_times(); round++) {
        size_t len = unit_rand(&seed) % 120, at = 0;
        uint8_t *bytes = malloc(len ? len : 1);
        struct nl_span a[20];
        struct nl_part p;
        char text[8];

        for (size_t i = 0; i < len; i++)
            bytes[i] = unit_rand(&seed) % 3 ? (uint8_t)(unit_rand(&seed) % 40) : 0;
        while (nl_next(bytes, len, &at, &p))
            if (nl_index(p.data, p.len, 8, a, 20))
                for (int i = 0; i < 20; i++) {
                    nl_text(a[i], text, sizeof(text));
                    nl_u32(a[i], 0);
                }
        free(bytes);
    }
}
