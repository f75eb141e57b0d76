/* SPDX-License-Identifier: MIT
 *
 * /dev/net/tun, in a net namespace of the test's own: frames come out as they were sent and go in
 * as they are written; who may have which device; words that lie are refused.
 */
#include "tun.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <sys/stat.h>

static int tap(const char *name, int more)
{
    int err, fd = tun_open(name, IFF_TAP | more, &err);

    EXPECT(!err);
    return fd;
}

static int packet_open(const char *name)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(ETH_P_ALL),
                            .sll_ifindex = (int)if_nametoindex(name)};
    int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

    EXPECT(s >= 0 && !bind(s, (void *)&a, sizeof(a)));
    return s;
}

static void frame(unsigned char *f, size_t n)
{
    memset(f, 0, n);
    f[0] = f[6] = 2;
    f[12] = 0x88;
    f[13] = 0xb5;
    for (size_t i = 14; i < n; i++)
        f[i] = (unsigned char)i;
}

TEST(tap_frames_go_both_ways)
{
    int n = namespace_open(), t = tap("t0", IFF_NO_PI), s;
    unsigned char out[1514], in[2000];
    struct pollfd p = {.fd = t, .events = POLLIN};

    EXPECT_ERR(write(t, out, 60), EIO); /* it is down */
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    s = packet_open("t0");
    EXPECT_ERR(read(t, in, sizeof(in)), EAGAIN);
    EXPECT(poll(&p, 1, 0) == 0);
    for (size_t len = 60; len <= 1514; len += 727) {
        frame(out, len);
        EXPECT(send(s, out, len, 0) == (ssize_t)len);
        EXPECT(poll(&p, 1, -1) == 1 && read(t, in, sizeof(in)) == (ssize_t)len);
        EXPECT(!memcmp(in, out, len));
        EXPECT(write(t, out, len) == (ssize_t)len);
        EXPECT(recv(s, in, sizeof(in), 0) == (ssize_t)len && !memcmp(in, out, len));
    }
    frame(out, 100);
    EXPECT(send(s, out, 100, 0) == 100 && read(t, in, 40) == 40); /* the rest is lost */
    EXPECT_ERR(read(t, in, sizeof(in)), EAGAIN);
    EXPECT_ERR(write(t, out, 13), EINVAL);
    close(t);
    EXPECT(if_nametoindex("t0") == 0);
}

TEST(tap_has_a_head_that_says_the_protocol)
{
    int n = namespace_open(), t = tap("t0", 0), s;
    unsigned char out[104] = {0}, in[200];

    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    s = packet_open("t0");
    frame(out + 4, 100);
    EXPECT(send(s, out + 4, 100, 0) == 100 && read(t, in, sizeof(in)) == 104);
    EXPECT(in[2] == 0x88 && in[3] == 0xb5 && !memcmp(in + 4, out + 4, 100));
    EXPECT(write(t, out, 104) == 104 && recv(s, in, sizeof(in), 0) == 100);
    EXPECT_ERR(write(t, out, 3), EINVAL);
}

TEST(tun_device_is_had_by_one_file_and_may_stay)
{
    int n = namespace_open(), err, t = tap("t%d", IFF_NO_PI), u;
    struct ifreq r = {0};

    EXPECT(if_nametoindex("t0") && !ioctl(t, TUNGETIFF, &r) && !strcmp(r.ifr_name, "t0"));
    EXPECT((r.ifr_flags & (IFF_TAP | IFF_NO_PI)) == (IFF_TAP | IFF_NO_PI));
    EXPECT_ERR(ioctl(t, TUNSETIFF, &r), EEXIST); /* it has one */
    close(tun_open("t0", IFF_TAP | IFF_NO_PI, &err));
    EXPECT(err == EBUSY);
    close(tun_open("t0", IFF_TUN | IFF_NO_PI, &err));
    EXPECT(err == EINVAL);
    close(tun_open("lo", IFF_TAP, &err));
    EXPECT(err == EINVAL);
    close(tun_open("x", 0, &err));
    EXPECT(err == EINVAL);
    u = open("/dev/net/tun", O_RDWR);
    EXPECT_ERR(read(u, &r, sizeof(r)), EBADFD);
    EXPECT_ERR(ioctl(u, TUNGETIFF, &r), EBADFD);
    EXPECT(!ioctl(t, TUNSETPERSIST, 1));
    close(t);
    EXPECT(if_nametoindex("t0"));
    t = tap("t0", IFF_NO_PI);
    EXPECT(!ioctl(t, TUNSETPERSIST, 0));
    close(t);
    EXPECT(!if_nametoindex("t0"));
    t = tap("t0", IFF_NO_PI);
    EXPECT(!link_delete(n, "t0") && !if_nametoindex("t0"));
}

TEST(tun_is_made_by_the_capability_and_had_by_its_owner)
{
    int err, t;

    namespace_open();
    t = tap("t0", IFF_NO_PI);
    EXPECT(!ioctl(t, TUNSETOWNER, 1000) && !ioctl(t, TUNSETPERSIST, 1));
    close(t);
    close(tap("t1", IFF_NO_PI));
    chmod("/dev/net/tun", 0666); /* as udev has it */
    EXPECT(!setresgid(1000, 1000, 1000) && !setresuid(1000, 1000, 1000));
    close(tun_open("t0", IFF_TAP | IFF_NO_PI, &err));
    EXPECT(!err);
    close(tun_open("t2", IFF_TAP | IFF_NO_PI, &err));
    EXPECT(err == EPERM);
}

TEST(tun_name_is_no_format)
{
    static const char *const bad[] = {"%s", "a%sb", "%d%d", "%d%s", "%x", "%"};
    int err, t;

    namespace_open();
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        close(tun_open(bad[i], IFF_TAP | IFF_NO_PI, &err));
        EXPECT(err == EINVAL);
    }
    t = tun_open("n%dx", IFF_TAP | IFF_NO_PI, &err);
    EXPECT(t >= 0 && !err && if_nametoindex("n0x"));
}

TEST(tap_virtio_header_is_checked)
{
    static const struct virtio_net_hdr bad[] = {
        {.flags = 1, .csum_start = 99, .csum_offset = 0},
        {.flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff},
        {.flags = 1, .gso_type = 77, .gso_size = 10, .csum_start = 34, .csum_offset = 16},
        {.flags = 1,
         .gso_type = 1,
         .gso_size = 0,
         .hdr_len = 54,
         .csum_start = 34,
         .csum_offset = 16},
    };
    int n = namespace_open(), t = tap("t0", IFF_NO_PI | IFF_VNET_HDR), s, size = 0;
    struct {
        struct virtio_net_hdr h;
        unsigned char bytes[100];
    } out = {0}, in;

    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    s = packet_open("t0");
    EXPECT(!ioctl(t, TUNGETVNETHDRSZ, &size) && size == 10);
    size = 9;
    EXPECT_ERR(ioctl(t, TUNSETVNETHDRSZ, &size), EINVAL);
    EXPECT(!ioctl(t, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4));
    EXPECT_ERR(ioctl(t, TUNSETOFFLOAD, 0x80000000), EINVAL);
    frame(out.bytes, 100);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        out.h = bad[i];
        EXPECT_ERR(write(t, &out, sizeof(out)), EINVAL);
    }
    EXPECT_ERR(write(t, &out, 9), EINVAL);
    out.h = (struct virtio_net_hdr){0};
    EXPECT(write(t, &out, sizeof(out)) == sizeof(out));
    EXPECT(recv(s, &in, sizeof(in), 0) == 100 && !memcmp(&in, out.bytes, 100));
    EXPECT(send(s, out.bytes, 100, 0) == 100 && read(t, &in, sizeof(in)) == sizeof(in));
    EXPECT(!memcmp(&in, &out, sizeof(in)));
}

TEST(tun_packets_have_no_link_header)
{
    int n = namespace_open(), err, t = tun_open("u0", IFF_TUN | IFF_NO_PI, &err), s;
    unsigned char ip[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253}, in[100];

    EXPECT(!err && !link_flags(n, "u0", IFF_UP, IFF_UP));
    s = packet_open("u0");
    EXPECT(write(t, ip, sizeof(ip)) == sizeof(ip));
    EXPECT(recv(s, in, sizeof(in), 0) == sizeof(ip) && !memcmp(in, ip, sizeof(ip)));
}

TEST(tun_reader_that_waits_is_told_of_the_end)
{
    int n = namespace_open(), err, t = tun_open("u0", IFF_TUN | IFF_NO_PI, &err);
    unsigned char in[100];
    pid_t reader;

    EXPECT(!err && fcntl(t, F_SETFL, 0) == 0); /* and down, as it was made */
    reader = fork();
    if (!reader)
        _exit(read(t, in, sizeof(in)) < 0 ? 7 : 1);
    until_process_asleep(reader);
    EXPECT(!link_delete(n, "u0"));
    EXPECT(status_of(reader) == 7 << 8);
}

/* A socket of packets that listens hears neither more nor less when the link comes and goes. */
TEST(packet_socket_is_not_told_that_the_carrier_went)
{
    struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int n = namespace_open(), t = tap("t0", IFF_NO_PI), s, l, error = 0;
    socklen_t len = sizeof(error);
    char buf[4096];

    EXPECT(!ioctl(t, TUNSETPERSIST, 1));
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    s = packet_open("t0");
    l = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    EXPECT(!bind(l, (void *)&links, sizeof(links)));
    close(t);
    do { /* until the change was told */
        struct nlmsghdr *h = (void *)buf;
        struct ifinfomsg *i = NLMSG_DATA(h);

        EXPECT(recv(l, buf, sizeof(buf), 0) > 0);
        error = h->nlmsg_type == RTM_NEWLINK && !(i->ifi_flags & IFF_RUNNING);
    } while (!error);
    EXPECT(!getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len) && !error);
    EXPECT(!link_flags(n, "t0", 0, IFF_UP));
    EXPECT(!getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len) && error == ENETDOWN);
}
