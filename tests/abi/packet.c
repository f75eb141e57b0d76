/* SPDX-License-Identifier: MIT
 *
 * Packet sockets over a dummy device and lo, in a net namespace of the test's own; filters; the
 * ring.
 */
#include "abi.h"
#include "netlink.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/epoll.h>

static const unsigned char somebody[6] = {2, 9, 9, 9, 9, 9};

/* d0 is up, in a namespace of its own. */
static int device(void)
{
    int s, fd;

    EXPECT(!unshare(CLONE_NEWNET));
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "1", 1) == 1); /* whose own packets would be seen */
    close(fd);
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(s, "d0", "dummy", true));
    close(s);
    return (int)if_nametoindex("d0");
}

static int packet_open(int type, int protocol, int index)
{
    struct sockaddr_ll a = {
        .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = index};
    int s = socket(AF_PACKET, type, htons((uint16_t)protocol));

    EXPECT(s >= 0 && !bind(s, (void *)&a, sizeof(a)));
    return s;
}

/* A frame of that ethertype and length, sent by s, a raw socket. */
static void frame_send(int s, int type, size_t n)
{
    unsigned char f[2000] = {0};

    memcpy(f, somebody, 6);
    f[6] = 2;
    f[12] = (unsigned char)(type >> 8);
    f[13] = (unsigned char)type;
    for (size_t i = 14; i < n; i++)
        f[i] = (unsigned char)i;
    EXPECT(send(s, f, n, 0) == (ssize_t)n);
}

TEST(packet_socket_takes_the_capability)
{
    EXPECT(!setresuid(1000, 1000, 1000));
    EXPECT_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
}

TEST(packet_socket_of_all_sees_what_is_sent)
{
    int index = device(), out = packet_open(SOCK_RAW, 0x88b5, index);
    int all = packet_open(SOCK_RAW, ETH_P_ALL, index), some = packet_open(SOCK_RAW, 0x88b5, index);
    int payload = packet_open(SOCK_DGRAM, ETH_P_ALL, index);
    struct sockaddr_ll from;
    socklen_t len = sizeof(from);
    unsigned char buf[2000];

    frame_send(out, 0x88b5, 100);
    EXPECT(recvfrom(all, buf, sizeof(buf), 0, (void *)&from, &len) == 100);
    EXPECT(!memcmp(buf, somebody, 6) && buf[12] == 0x88 && buf[99] == 99);
    EXPECT(from.sll_family == AF_PACKET && from.sll_ifindex == index &&
           from.sll_pkttype == PACKET_OUTGOING && from.sll_hatype == 1 && from.sll_halen == 6 &&
           from.sll_protocol == htons(0x88b5));
    EXPECT(recv(payload, buf, sizeof(buf), 0) == 86 && buf[0] == 14);
    EXPECT(recv(some, buf, sizeof(buf), MSG_DONTWAIT) == -1 && errno == EAGAIN);
    frame_send(all, 0x88b5, 61); /* which it does not see itself */
    frame_send(out, 0x88b5, 60);
    EXPECT(recv(all, buf, 20, MSG_TRUNC) == 60);
}

TEST(packet_socket_names_its_device)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index);
    struct sockaddr_ll a = {0};
    socklen_t len = sizeof(a);

    EXPECT(!getsockname(s, (void *)&a, &len) && len == 18 && a.sll_ifindex == index);
    EXPECT(a.sll_halen == 6 && a.sll_hatype == 1 && a.sll_protocol == htons(ETH_P_ALL));
    a.sll_ifindex = 99;
    EXPECT_ERR(bind(s, (void *)&a, sizeof(a)), ENODEV);
    EXPECT_ERR(bind(s, (void *)&a, 10), EINVAL);
}

TEST(packet_send_refuses_what_the_device_cannot)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index);
    int d = socket(AF_PACKET, SOCK_DGRAM, 0), n = netlink_open(NETLINK_ROUTE);
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(0x88b5),
                            .sll_ifindex = index,
                            .sll_halen = 6};
    char buf[2000] = {0};

    memcpy(a.sll_addr, somebody, 6);
    EXPECT_ERR(send(s, buf, sizeof(buf), 0), EMSGSIZE);
    EXPECT_ERR(send(s, buf, 5, 0), EINVAL);
    EXPECT(sendto(d, buf, 100, 0, (void *)&a, sizeof(a)) == 100);
    EXPECT(recv(s, buf, sizeof(buf), 0) == 114 && !memcmp(buf, somebody, 6) && buf[12] == -120);
    a.sll_ifindex = 99;
    EXPECT_ERR(sendto(d, buf, 100, 0, (void *)&a, sizeof(a)), ENXIO);
    EXPECT(!link_flags(n, "d0", 0, IFF_UP));
    a.sll_ifindex = index;
    EXPECT_ERR(sendto(d, buf, 100, 0, (void *)&a, sizeof(a)), ENETDOWN);
}

TEST(packet_filter_says_what_is_received)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index),
        out = packet_open(SOCK_RAW, 0x88b5, index);
    struct sock_filter code[] = {
        {0x28, 0, 0, 12}, {0x15, 0, 1, 0x88b6}, {6, 0, 0, 30}, {6, 0, 0, 0}};
    struct sock_fprog prog = {4, code};
    struct sock_filter bad[] = {{0x28, 0, 0, 12}};
    struct sock_fprog none = {1, bad};
    unsigned char buf[200];
    int on = 1;

    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof(none)), EINVAL);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)), ENOENT);
    EXPECT(!setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
    frame_send(out, 0x88b5, 60);
    frame_send(out, 0x88b6, 70);
    EXPECT(recv(s, buf, sizeof(buf), 0) == 30 && buf[13] == 0xb6);
    EXPECT(recv(s, buf, sizeof(buf), MSG_DONTWAIT) == -1 && errno == EAGAIN);
    EXPECT(!setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)));
    frame_send(out, 0x88b5, 60);
    EXPECT(recv(s, buf, sizeof(buf), 0) == 60);
    EXPECT(!setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
    EXPECT(!setsockopt(s, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)));
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)), EPERM);
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)), EPERM);
    on = 0;
    EXPECT_ERR(setsockopt(s, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)), EPERM);
}

/* SKF_NET_OFF: from the header behind the link's, of what is sent as of what came. */
TEST(packet_filter_loads_from_the_network_header)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index),
        out = packet_open(SOCK_RAW, 0x88b5, index);
    struct sock_filter code[] = {{0x30, 0, 0, (uint32_t)SKF_NET_OFF + 1}, /* as frame_send has it */
                                 {0x15, 0, 1, 15},
                                 {0x30, 0, 0, (uint32_t)SKF_LL_OFF + 13},
                                 {0x15, 1, 0, 0xb6},
                                 {6, 0, 0, 0},
                                 {6, 0, 0, 40}};
    struct sock_fprog prog = {6, code};
    unsigned char buf[200];

    EXPECT(!setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
    frame_send(out, 0x88b5, 60);
    frame_send(out, 0x88b6, 70);
    EXPECT(recv(s, buf, sizeof(buf), 0) == 40 && buf[13] == 0xb6);
}

TEST(packet_statistics_and_auxdata_tell_more)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index),
        out = packet_open(SOCK_RAW, 0x88b5, index), on = 1;
    struct tpacket_stats stats;
    socklen_t len = sizeof(stats);
    char buf[200], control[200];
    struct iovec v = {buf, 40};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct tpacket_auxdata aux;

    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)));
    frame_send(out, 0x88b5, 60);
    EXPECT(recvmsg(s, &m, 0) == 40 && (m.msg_flags & MSG_TRUNC));
    EXPECT(CMSG_FIRSTHDR(&m) && CMSG_FIRSTHDR(&m)->cmsg_level == SOL_PACKET &&
           CMSG_FIRSTHDR(&m)->cmsg_type == PACKET_AUXDATA);
    memcpy(&aux, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(aux));
    EXPECT(aux.tp_len == 60 && aux.tp_snaplen == 60 && (aux.tp_status & TP_STATUS_USER));
    EXPECT(!getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &stats, &len) && stats.tp_packets == 1);
    EXPECT(!getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &stats, &len) && stats.tp_packets == 0);
}

TEST(packet_memberships_are_counted)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index);
    struct packet_mreq q = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};

    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &q, sizeof(q)));
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &q, sizeof(q)));
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &q, sizeof(q)));
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &q, sizeof(q)));
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &q, sizeof(q)));
    q.mr_ifindex = 99;
    EXPECT_ERR(setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &q, sizeof(q)), ENODEV);
}

TEST(packet_ring_is_filled_and_given_back)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index), v = TPACKET_V2;
    int out = packet_open(SOCK_RAW, 0x88b5, index);
    struct tpacket_req q = {
        .tp_block_size = 8192, .tp_block_nr = 2, .tp_frame_size = 2048, .tp_frame_nr = 8};
    struct pollfd p = {.fd = s, .events = POLLIN};
    struct tpacket2_hdr *h;
    struct tpacket_stats stats;
    socklen_t len = sizeof(v);
    char *ring;

    EXPECT(!getsockopt(s, SOL_PACKET, PACKET_HDRLEN, &v, &len) && v == sizeof(*h));
    v = TPACKET_V2;
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)));
    q.tp_frame_nr = 7;
    EXPECT_ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)), EINVAL);
    q.tp_frame_nr = 8;
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)));
    EXPECT_ERR(setsockopt(s, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)), EBUSY);
    ring = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    EXPECT(ring != MAP_FAILED);
    EXPECT(poll(&p, 1, 0) == 0);
    for (int i = 0; i < 10; i++) /* two more than there are slots */
        frame_send(out, 0x88b5, (size_t)60 + (size_t)i);
    EXPECT(poll(&p, 1, 0) == 1);
    for (int i = 0; i < 8; i++) {
        struct sockaddr_ll *a;

        h = (void *)(ring + i * 2048);
        a = (void *)((char *)h + TPACKET_ALIGN(sizeof(*h)));
        EXPECT((h->tp_status & TP_STATUS_USER) && h->tp_len == 60U + (unsigned)i);
        EXPECT(h->tp_snaplen == h->tp_len && h->tp_net == h->tp_mac + 14 && h->tp_net % 16 == 0);
        EXPECT(!memcmp((char *)h + h->tp_mac, somebody, 6) && ((char *)h + h->tp_mac)[59] == 59);
        EXPECT(a->sll_ifindex == index && a->sll_pkttype == PACKET_OUTGOING);
        h->tp_status = TP_STATUS_KERNEL;
    }
    EXPECT(poll(&p, 1, 0) == 0);
    len = sizeof(stats);
    EXPECT(!getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &stats, &len));
    EXPECT(stats.tp_packets == 10 && stats.tp_drops == 2);
    frame_send(out, 0x88b5, 60);
    h = (void *)ring;
    EXPECT(h->tp_status & TP_STATUS_USER);
    close(s); /* the memory is the mapping's */
    EXPECT(h->tp_len == 60 && !munmap(ring, 16384));
}

/* The packets of a block, each of n bytes and whole: how many. */
static unsigned block_packets(char *block, unsigned n)
{
    struct tpacket_hdr_v1 *b = &((struct tpacket_block_desc *)(void *)block)->hdr.bh1;
    char *at = block + b->offset_to_first_pkt;

    for (unsigned i = 0; i < b->num_pkts; i++) {
        struct tpacket3_hdr *h = (void *)at;
        struct sockaddr_ll *a = (void *)(at + TPACKET_ALIGN(sizeof(*h)));

        EXPECT(h->tp_len == n && h->tp_snaplen == n && h->tp_net == h->tp_mac + 14);
        EXPECT(!memcmp(at + h->tp_mac, somebody, 6) && (at + h->tp_mac)[59] == 59);
        EXPECT(a->sll_pkttype == PACKET_OUTGOING && (h->tp_next_offset || i + 1 == b->num_pkts));
        at += h->tp_next_offset;
    }
    return b->num_pkts;
}

/* One that is not full is given after so many ms. */
static struct tpacket_req3 two_blocks(unsigned ms)
{
    return (struct tpacket_req3){.tp_block_size = 8192,
                                 .tp_block_nr = 2,
                                 .tp_frame_size = 2048,
                                 .tp_frame_nr = 8,
                                 .tp_retire_blk_tov = ms};
}

TEST(packet_ring_of_blocks_is_filled_and_given_back)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index), v = TPACKET_V3;
    int out = packet_open(SOCK_RAW, 0x88b5, index);
    struct tpacket_req3 q = two_blocks(60000);
    struct pollfd p = {.fd = s, .events = POLLIN};
    struct tpacket_stats_v3 stats;
    socklen_t len = sizeof(v);
    struct tpacket_block_desc *one, *two;
    unsigned n, m;

    EXPECT(!getsockopt(s, SOL_PACKET, PACKET_HDRLEN, &v, &len) && v == 48);
    v = TPACKET_V3;
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)));
    q.tp_sizeof_priv = 8192;
    EXPECT_ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)), EINVAL);
    q.tp_sizeof_priv = 0;
    EXPECT_ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, 16), EINVAL);
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)));
    one = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    two = (void *)((char *)one + 8192);
    EXPECT(one != MAP_FAILED && poll(&p, 1, 0) == 0);
    for (int i = 0; i < 100; i++) /* more than there is space for */
        frame_send(out, 0x88b5, 200);
    EXPECT(poll(&p, 1, 0) == 1 && one->hdr.bh1.block_status == TP_STATUS_USER);
    EXPECT(two->hdr.bh1.block_status == TP_STATUS_USER &&
           two->hdr.bh1.seq_num == one->hdr.bh1.seq_num + 1);
    n = block_packets((void *)one, 200);
    m = block_packets((void *)two, 200);
    EXPECT(n >= 20 && n == m);
    len = sizeof(stats);
    EXPECT(!getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &stats, &len) && len == sizeof(stats));
    EXPECT(stats.tp_packets == 100 && stats.tp_drops == 100 - n - m);
    one->hdr.bh1.block_status = two->hdr.bh1.block_status = TP_STATUS_KERNEL;
    EXPECT(poll(&p, 1, 0) == 0);
    close(s);
}

TEST(packet_ring_gives_a_block_that_is_not_full_after_a_while)
{
    int index = device(), s = packet_open(SOCK_RAW, ETH_P_ALL, index), v = TPACKET_V3;
    int out = packet_open(SOCK_RAW, 0x88b5, index);
    struct tpacket_req3 q = two_blocks(5);
    struct pollfd p = {.fd = s, .events = POLLIN};
    struct tpacket_block_desc *one;

    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)));
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)));
    one = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    EXPECT(one != MAP_FAILED);
    frame_send(out, 0x88b5, 100);
    EXPECT(poll(&p, 1, -1) == 1 &&
           one->hdr.bh1.block_status == (TP_STATUS_USER | TP_STATUS_BLK_TMO));
    EXPECT(block_packets((void *)one, 100) == 1);
}

/* Two ends of a connection over lo, where a packet socket watches, so that it is packets. */
static void watched_pair(int ends[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int l = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof(a);

    packet_open(SOCK_RAW, ETH_P_ALL, (int)if_nametoindex("lo"));
    EXPECT(!bind(l, (void *)&a, len) && !listen(l, 1) && !getsockname(l, (void *)&a, &len));
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(!connect(ends[0], (void *)&a, len));
    ends[1] = accept(l, NULL, NULL);
    EXPECT(ends[1] >= 0);
    for (int i = 0; i < 2; i++)
        EXPECT(!fcntl(ends[i], F_SETFL, O_NONBLOCK));
    close(l);
}

/* Reads until there is an event of the writer's. */
static unsigned writers_event(int ep, int reader)
{
    static char bytes[1 << 16];
    struct epoll_event e;

    for (;;) {
        EXPECT(epoll_wait(ep, &e, 1, -1) == 1);
        if (e.data.fd != reader)
            return e.events;
        EXPECT(read(reader, bytes, sizeof(bytes)) > 0);
    }
}

/* A call that writes less than it was asked to is the last word: no EAGAIN, no poll follows. */
TEST(writer_of_a_full_connection_is_told_of_space_by_an_edge)
{
    static char bytes[1 << 20];
    int ends[2], ep = epoll_create1(0);
    struct epoll_event writer = {.events = EPOLLOUT | EPOLLET}, reader = {.events = EPOLLIN};

    watched_pair(ends);
    writer.data.fd = ends[0];
    reader.data.fd = ends[1];
    EXPECT(!epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &writer));
    EXPECT(!epoll_ctl(ep, EPOLL_CTL_ADD, ends[1], &reader));
    for (int round = 0; round < 4; round++) {
        EXPECT(writers_event(ep, ends[1]) & EPOLLOUT);
        while (write(ends[0], bytes, sizeof(bytes)) == sizeof(bytes))
            ;
    }
}
