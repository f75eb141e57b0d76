/* SPDX-License-Identifier: MIT
 *
 * Network interfaces in /sys, and uevents of them: of the namespace that mounted it; what files say
 * and take; names that come and go.
 */
#include <dirent.h>
#include <grp.h>
#include <linux/if_ether.h>
#include <sys/mount.h>

#include "abi.h"
#include "netlink.h"
#include "own_net.h"

#define SYS "/tmp/abi-sys"

/* A namespace of its own, shown at SYS, where nobody else sees it. Its rtnetlink socket. */
static int own_sys(void)
{
    EXPECT(!unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    own_net();
    mkdir(SYS, 0755);
    EXPECT(!mount("sysfs", SYS, "sysfs", 0, NULL));
    return netlink_open(NETLINK_ROUTE);
}

/* What the file says, without its last newline; NULL: errno is why. */
static const char *says(const char *name)
{
    static char text[4096];
    char path[256];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), SYS "/class/net/%s", name);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n < 0)
        return NULL;
    text[n] = 0;
    if (n && text[n - 1] == '\n')
        text[n - 1] = 0;
    return text;
}

static bool is(const char *name, const char *text)
{
    const char *got = says(name);

    return got && !strcmp(got, text);
}

static int give(const char *name, const char *text)
{
    char path[256];
    int fd, err;

    snprintf(path, sizeof(path), SYS "/class/net/%s", name);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return errno;
    err = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;
    close(fd);
    return err;
}

static const char *link_of(const char *name)
{
    static char text[256];
    char path[256];
    ssize_t n;

    snprintf(path, sizeof(path), SYS "/class/net/%s", name);
    n = readlink(path, text, sizeof(text) - 1);
    EXPECT(n > 0);
    text[n] = 0;
    return text;
}

TEST(a_mount_shows_the_namespace_it_was_made_in)
{
    int s = own_sys();

    EXPECT(!strcmp(names_in(SYS "/class/net"), "lo "));
    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(!strcmp(names_in(SYS "/class/net"), "lo one "));
    EXPECT(!strcmp(names_in(SYS "/devices/virtual/net"), "lo one "));
    EXPECT(!strcmp(link_of("one"), "../../devices/virtual/net/one"));
    EXPECT(!unshare(CLONE_NEWNET));
    EXPECT(!strcmp(names_in(SYS "/class/net"), "lo one "));
}

TEST(a_device_s_files_say_what_it_is)
{
    int s = own_sys();
    char text[64];

    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(is("one/type", "1") && is("one/mtu", "1500") && is("one/addr_len", "6"));
    EXPECT(is("one/name_assign_type", "3") && is("one/addr_assign_type", "1"));
    EXPECT(is("one/broadcast", "ff:ff:ff:ff:ff:ff") && strlen(says("one/address")) == 17);
    snprintf(text, sizeof(text), "%u", if_nametoindex("one"));
    EXPECT(is("one/ifindex", text) && is("one/iflink", text));
    EXPECT(is("one/operstate", "down") && is("one/dev_id", "0x0") && is("one/dev_port", "0"));
    snprintf(text, sizeof(text), "INTERFACE=one\nIFINDEX=%u", if_nametoindex("one"));
    EXPECT(is("one/uevent", text));
    EXPECT(!strcmp(link_of("one/subsystem"), "../../../../class/net"));
    EXPECT(is("lo/type", "772") && is("lo/address", "00:00:00:00:00:00"));
    EXPECT(is("lo/operstate", "unknown") && is("lo/carrier", "1") && is("lo/flags", "0x9"));
    EXPECT(is("lo/ifindex", "1") && is("lo/mtu", "65536"));
    EXPECT(!strcmp(names_in(SYS "/class/net/one/queues"), "rx-0 tx-0 "));
}

TEST(a_device_that_is_down_knows_no_link)
{
    int s = own_sys();

    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(!says("one/carrier") && errno == EINVAL);
    EXPECT(!says("one/dormant") && errno == EINVAL);
    EXPECT(!says("one/speed") && errno == EINVAL);
    EXPECT(!says("one/duplex") && errno == EINVAL);
    EXPECT(!link_flags(s, "one", IFF_UP, IFF_UP));
    EXPECT(is("one/carrier", "1") && is("one/dormant", "0"));
}

TEST(what_is_written_to_a_device_is_judged_and_done)
{
    int s = own_sys();

    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(!give("one/mtu", "1400\n") && is("one/mtu", "1400"));
    EXPECT(give("one/mtu", "x") == EINVAL && is("one/mtu", "1400"));
    EXPECT(!give("one/tx_queue_len", "77") && is("one/tx_queue_len", "77"));
    EXPECT(!give("one/ifalias", "the first\n") && is("one/ifalias", "the first"));
    EXPECT(!give("one/ifalias", "\n") && is("one/ifalias", ""));
    EXPECT(!give("one/flags", "0x1003") && is("one/carrier", "1"));
    EXPECT(!give("one/flags", "0x1002") && !says("one/carrier"));
    EXPECT(!give("one/netdev_group", "9") && is("one/netdev_group", "9"));
    EXPECT(give("one/address", "02:00:00:00:00:01") == EACCES || give("one/address", "x") == EIO);
}

TEST(who_may_not_write_may_read)
{
    int s = own_sys();

    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(!setgroups(0, NULL) && !setresgid(1000, 1000, 1000) && !setresuid(1000, 1000, 1000));
    EXPECT(give("one/mtu", "1400") == EACCES && is("one/mtu", "1500"));
}

static int link_rename(int s, const char *from, const char *to)
{
    struct message m;
    struct ifinfomsg *i = message_body(&m);

    message_begin(&m, RTM_SETLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex(from);
    message_put(&m, IFLA_IFNAME, to, strlen(to) + 1);
    return netlink_ask(s, &m);
}

TEST(names_follow_devices)
{
    int s = own_sys(), fd, dir;
    char text[16];

    EXPECT(!link_add(s, "one", "dummy", false));
    fd = open(SYS "/class/net/one/mtu", O_RDWR);
    dir = open(SYS "/class/net/one", O_RDONLY | O_DIRECTORY);
    EXPECT(fd >= 0 && dir >= 0 && !link_rename(s, "one", "two"));
    EXPECT(!strcmp(names_in(SYS "/class/net"), "lo two ") && is("two/mtu", "1500"));
    EXPECT(is("two/name_assign_type", "4"));
    EXPECT(!link_delete(s, "two") && !strcmp(names_in(SYS "/class/net"), "lo "));
    EXPECT_ERR(pread(fd, text, sizeof(text), 0), ENODEV);
    EXPECT_ERR(pwrite(fd, "1400", 4, 0), ENODEV);
    EXPECT(!says("two/mtu") && errno == ENOENT);
}

static unsigned long counter(const char *name)
{
    const char *text = says(name);

    EXPECT(text);
    return strtoul(text, NULL, 10);
}

TEST(statistics_count)
{
    int s = own_sys(), a = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll {
        unsigned short family, protocol;
        int index;
        unsigned char rest[12];
    } to = {AF_PACKET, htons(ETH_P_IP), 0, {0}};
    char frame[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
    unsigned long before;

    EXPECT(a >= 0 && !link_add(s, "one", "dummy", true));
    to.index = (int)if_nametoindex("one");
    before = counter("one/statistics/tx_bytes");
    EXPECT(sendto(a, frame, sizeof(frame), 0, (void *)&to, sizeof(to)) == sizeof(frame));
    EXPECT(counter("one/statistics/tx_bytes") >= before + sizeof(frame));
    EXPECT(counter("one/statistics/rx_errors") == 0);
    EXPECT(strstr(names_in(SYS "/class/net/one/statistics"), "rx_packets "));
}

TEST(five_hundred_devices_are_listed_and_found)
{
    int s = own_sys(), seen = 0;
    DIR *d;

    for (int i = 0; i < 300; i++) {
        char name[16];

        snprintf(name, sizeof(name), "d%d", i);
        EXPECT(!link_add(s, name, "dummy", false));
    }
    d = opendir(SYS "/class/net");
    EXPECT(d);
    while (readdir(d))
        seen++;
    EXPECT(seen == 303 && is("d299/mtu", "1500"));
}

/* ---- uevents ---- */

static int uevents(void)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

    EXPECT(s >= 0 && !bind(s, (void *)&a, sizeof(a)));
    return s;
}

static char event[4096];
static ssize_t event_len;

/* The next uevent of a device itself: its first line. */
static const char *event_next(int s)
{
    struct sockaddr_nl from;
    socklen_t n = sizeof(from);

    do {
        event_len = recvfrom(s, event, sizeof(event) - 1, 0, (void *)&from, &n);
        EXPECT(event_len > 0 && from.nl_pid == 0 && from.nl_groups == 1);
        event[event_len] = 0;
    } while (strstr(event, "/queues/"));
    return event;
}

static bool event_has(const char *line)
{
    for (const char *at = event; at < event + event_len; at += strlen(at) + 1)
        if (!strcmp(at, line))
            return true;
    return false;
}

TEST(uevents_tell_of_devices)
{
    int s = own_sys(), u = uevents();
    char index[32];

    EXPECT(!link_add(s, "one", "dummy", false));
    snprintf(index, sizeof(index), "IFINDEX=%u", if_nametoindex("one"));
    EXPECT(!strcmp(event_next(u), "add@/devices/virtual/net/one"));
    EXPECT(event_has("ACTION=add") && event_has("DEVPATH=/devices/virtual/net/one"));
    EXPECT(event_has("SUBSYSTEM=net") && event_has("INTERFACE=one") && event_has(index));
    EXPECT(!link_rename(s, "one", "two"));
    EXPECT(!strcmp(event_next(u), "move@/devices/virtual/net/two"));
    EXPECT(event_has("DEVPATH_OLD=/devices/virtual/net/one") && event_has("INTERFACE=two"));
    EXPECT(!give("two/uevent", "change\n"));
    EXPECT(!strcmp(event_next(u), "change@/devices/virtual/net/two"));
    EXPECT(event_has("SYNTH_UUID=0") && event_has(index));
    EXPECT(!give("two/uevent", "add 3f2504e0-4f89-41d3-9a0c-0305e82c3301 A=b"));
    EXPECT(!strcmp(event_next(u), "add@/devices/virtual/net/two"));
    EXPECT(event_has("SYNTH_UUID=3f2504e0-4f89-41d3-9a0c-0305e82c3301"));
    EXPECT(event_has("SYNTH_ARG_A=b"));
    EXPECT(give("two/uevent", "dance") == EINVAL);
    EXPECT(!link_delete(s, "two"));
    EXPECT(!strcmp(event_next(u), "remove@/devices/virtual/net/two"));
}

TEST(uevents_are_not_of_numbers)
{
    int s = own_sys(), u = uevents();

    put("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
    put("/proc/sys/net/ipv4/conf/default/rp_filter", "1");
    put("/proc/sys/net/ipv4/conf/lo/rp_filter", "1");
    put("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    put("/proc/sys/net/ipv4/ip_forward", "1");
    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(!strcmp(event_next(u), "add@/devices/virtual/net/one"));
}

TEST(uevents_stay_in_their_namespace)
{
    int s = own_sys(), u = uevents(), other;

    EXPECT(!unshare(CLONE_NEWNET));
    other = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(other, "far", "dummy", false));
    EXPECT(!link_add(s, "near", "dummy", false));
    EXPECT(!strcmp(event_next(u), "add@/devices/virtual/net/near"));
}
