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

/* ---- several queues ---- */

static int queue(const char *name)
{
    return tap(name, IFF_NO_PI | IFF_MULTI_QUEUE);
}

static int queue_set(int fd, int flags)
{
    struct ifreq r = {.ifr_flags = (short)flags};

    return ioctl(fd, TUNSETQUEUE, &r);
}

static int queue_flags(int fd)
{
    struct ifreq r = {0};

    EXPECT(!ioctl(fd, TUNGETIFF, &r));
    return (unsigned short)r.ifr_flags;
}

/* A datagram's frame of one of many flows, or its answer's. */
static size_t flow_frame(unsigned char *f, unsigned flow, bool answer)
{
    unsigned char udp[12] = {0x10, (unsigned char)flow, 0x20, 0, 0, 12}, from[4];

    if (answer) {
        memcpy(from, udp, 2);
        memcpy(udp, udp + 2, 2);
        memcpy(udp + 2, from, 2);
    }
    frame(f, 14);
    f[12] = 8;
    f[13] = 0;
    packet_put(f + 14, "10.9.0.2", 17, udp, sizeof(udp));
    if (answer) {
        memcpy(from, f + 26, 4);
        memcpy(f + 26, f + 30, 4);
        memcpy(f + 30, from, 4);
    }
    return 14 + 20 + sizeof(udp);
}

/* The one of n queues that a frame has come to, which is taken. */
static unsigned queue_of_answer(const int *fds, unsigned n, int s, unsigned flow)
{
    unsigned char out[100], in[100];
    size_t len = flow_frame(out, flow, true);
    struct pollfd p[4];
    unsigned found = n;

    for (unsigned i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    EXPECT(send(s, out, len, 0) == (ssize_t)len && poll(p, n, -1) == 1);
    for (unsigned i = 0; i < n; i++)
        found = p[i].revents ? i : found;
    EXPECT(found < n && read(fds[found], in, sizeof(in)) == (ssize_t)len && !memcmp(in, out, len));
    return found;
}

static void flow_came(int fd, unsigned flow)
{
    unsigned char out[100];
    size_t len = flow_frame(out, flow, false);

    EXPECT(write(fd, out, len) == (ssize_t)len);
}

TEST(tap_answers_a_flow_by_the_queue_that_it_came_by_last)
{
    int n = namespace_open(), fds[3] = {queue("t0"), queue("t0"), queue("t0")}, s;
    unsigned used = 0;

    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    s = packet_open("t0");
    for (unsigned flow = 0; flow < 64; flow++)
        used |= 1U << queue_of_answer(fds, 3, s, flow);
    EXPECT(used & (used - 1)); /* what never came is spread */
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned flow = 0; flow < 30; flow++)
            flow_came(fds[(flow + round) % 3], flow);
        for (unsigned flow = 0; flow < 30; flow++)
            EXPECT(queue_of_answer(fds, 3, s, flow) == (flow + round) % 3);
    }
}

TEST(tap_file_without_a_queue_writes_and_hears_nothing_until_it_has_one_again)
{
    int n = namespace_open(), fds[3] = {queue("t0"), queue("t0"), queue("t0")}, s, x;
    unsigned char in[100];

    EXPECT(queue_flags(fds[1]) == (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE));
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    s = packet_open("t0");
    EXPECT_ERR(queue_set(fds[1], 0), EINVAL);
    EXPECT_ERR(queue_set(fds[1], IFF_ATTACH_QUEUE), EINVAL);
    EXPECT(!queue_set(fds[1], IFF_DETACH_QUEUE));
    EXPECT_ERR(queue_set(fds[1], IFF_DETACH_QUEUE), EINVAL);
    EXPECT(queue_flags(fds[1]) == (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_DETACH_QUEUE));
    flow_came(fds[1], 1);
    EXPECT(recv(s, in, sizeof(in), 0) == 46);
    for (unsigned flow = 0; flow < 64; flow++)
        EXPECT(queue_of_answer(fds, 3, s, flow) != 1);
    EXPECT_ERR(read(fds[1], in, sizeof(in)), EAGAIN);
    EXPECT(!queue_set(fds[1], IFF_ATTACH_QUEUE));
    EXPECT(queue_flags(fds[1]) == (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE));
    for (unsigned i = 0; i < 3; i++) {
        flow_came(fds[i], 7);
        EXPECT(queue_of_answer(fds, 3, s, 7) == i);
    }
    x = open("/dev/net/tun", O_RDWR);
    EXPECT_ERR(queue_set(x, IFF_ATTACH_QUEUE), EINVAL);
    EXPECT_ERR(queue_set(x, IFF_DETACH_QUEUE), EINVAL);
    EXPECT_ERR(queue_set(tap("t1", IFF_NO_PI), IFF_DETACH_QUEUE), EINVAL);
}

TEST(tap_queues_go_in_any_order_and_the_device_with_the_last)
{
    static const unsigned orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    int n = namespace_open(), err;

    for (unsigned i = 0; i < 4; i++) {
        int fds[4], left[4], s;

        for (unsigned q = 0; q < 4; q++)
            fds[q] = queue("t0");
        EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
        s = packet_open("t0");
        EXPECT(!queue_set(fds[orders[i][3]], IFF_DETACH_QUEUE));
        for (unsigned gone = 0; gone < 3; gone++) {
            unsigned nr = 0;

            for (unsigned k = gone; k < 3; k++)
                left[nr++] = fds[orders[i][k]];
            for (unsigned q = 0; q < nr; q++) {
                flow_came(left[q], q);
                EXPECT(queue_of_answer(left, nr, s, q) == q);
            }
            close(left[0]);
        }
        EXPECT(if_nametoindex("t0")); /* one is left that is detached */
        EXPECT(!queue_set(fds[orders[i][3]], IFF_ATTACH_QUEUE));
        EXPECT(queue_of_answer(&fds[orders[i][3]], 1, s, 9) == 0);
        close(fds[orders[i][3]]);
        EXPECT(!if_nametoindex("t0"));
        close(s);
    }
    close(tap("t0", IFF_NO_PI));
    (void)queue("t0");
    close(tun_open("t0", IFF_TAP | IFF_NO_PI, &err));
    EXPECT(err == EINVAL);
    close(tun_open("t0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_TUN_EXCL, &err));
    EXPECT(err == EBUSY);
    (void)tap("t1", IFF_NO_PI);
    close(tun_open("t1", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, &err));
    EXPECT(err == EINVAL);
}

TEST(tap_has_256_queues_at_most)
{
    int fds[256], err, x;

    namespace_open();
    for (unsigned i = 0; i < 256; i++)
        fds[i] = queue("t0");
    close(tun_open("t0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, &err));
    EXPECT(err == E2BIG);
    EXPECT(!queue_set(fds[7], IFF_DETACH_QUEUE));
    close(tun_open("t0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, &err));
    EXPECT(err == E2BIG); /* it may come back */
    EXPECT(!queue_set(fds[7], IFF_ATTACH_QUEUE));
    close(fds[9]);
    x = queue("t0");
    EXPECT(queue_flags(x) == (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE));
}

TEST(tun_of_several_queues_has_virtio_headers_and_stays)
{
    int n = namespace_open(), err, fds[2], s;
    struct {
        struct virtio_net_hdr h;
        unsigned char ip[32];
    } out = {0}, in;
    const int flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;

    for (unsigned i = 0; i < 2; i++)
        EXPECT((fds[i] = tun_open("u0", flags, &err)) >= 0 && !err);
    EXPECT(!ioctl(fds[0], TUNSETPERSIST, 1) && queue_flags(fds[1]) == (flags | IFF_PERSIST));
    close(fds[0]);
    close(fds[1]);
    for (unsigned i = 0; i < 2; i++)
        EXPECT((fds[i] = tun_open("u0", flags, &err)) >= 0 && !err);
    EXPECT(!ioctl(fds[1], TUNSETPERSIST, 0) && queue_flags(fds[0]) == flags);
    EXPECT(!link_flags(n, "u0", IFF_UP, IFF_UP));
    s = packet_open("u0");
    for (unsigned i = 0; i < 4; i++) {
        unsigned char frame[100];
        size_t len = flow_frame(frame, 5, false) - 14;

        memcpy(out.ip, frame + 14, len);
        EXPECT(write(fds[i % 2], &out, sizeof(out)) == sizeof(out));
        EXPECT(recv(s, &in, sizeof(in), 0) == (ssize_t)len && !memcmp(&in, out.ip, len));
        (void)flow_frame(frame, 5, true);
        EXPECT(send(s, frame + 14, len, 0) == (ssize_t)len);
        EXPECT(read(fds[i % 2], &in, sizeof(in)) == sizeof(in) && !memcmp(in.ip, frame + 14, len));
    }
}

/* Of 200 bytes, which do not lie beside their headers. */
TEST(tun_queues_share_datagrams_of_a_socket)
{
    int n = namespace_open(), err, fds[2], s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET};
    char bytes[200] = {0};
    unsigned used = 0;

    for (unsigned i = 0; i < 2; i++)
        fds[i] = tun_open("u0", IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE, &err);
    EXPECT(!err && !link_flags(n, "u0", IFF_UP, IFF_UP));
    address_set("u0", "10.9.0.1", "255.255.255.0");
    inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
    for (unsigned i = 0; i < 64; i++) {
        struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
        char in[300];

        to.sin_port = htons((uint16_t)(4000 + i));
        EXPECT(sendto(s, bytes, sizeof(bytes), 0, (void *)&to, sizeof(to)) == sizeof(bytes));
        EXPECT(poll(p, 2, -1) == 1);
        for (unsigned q = 0; q < 2; q++)
            if (p[q].revents) {
                used |= 1U << q;
                EXPECT(read(fds[q], in, sizeof(in)) == 228);
            }
    }
    EXPECT(used == 3);
}

static void *closes(void *fd)
{
    close(*(int *)fd);
    return NULL;
}

/* A device that goes with its last file is had by none again; the next has one of its own. */
TEST(tun_device_that_goes_is_not_joined)
{
    namespace_open();
    delay_at("tun_leave", true);
    for (unsigned i = 0; i < 20; i++) {
        int t = tap("t0", IFF_NO_PI | (i % 2 ? IFF_MULTI_QUEUE : 0)), next, err;
        pthread_t thread;

        EXPECT(!pthread_create(&thread, NULL, closes, &t));
        do {
            next = tun_open("t0", IFF_TAP | IFF_NO_PI, &err);
            if (err)
                close(next);
            EXPECT(!err || err == EBUSY || err == EINVAL);
        } while (err);
        EXPECT(!pthread_join(thread, NULL));
        EXPECT(if_nametoindex("t0") && fcntl(next, F_GETFL) >= 0);
        close(next);
        EXPECT(!if_nametoindex("t0"));
    }
    delay_at("tun_leave", false);
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
