/* SPDX-License-Identifier: MIT
 *
 * 802.1Q devices on a tap, in a net namespace of the test's own: tags on the wire, what follows the
 * device below, what is refused; both IP families through them.
 */
#include "abi.h"
#include "netlink.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#ifndef IFLA_VLAN_MAX
#error "headers of links"
#endif

static int namespace_open(void)
{
    int fd;

    EXPECT(!unshare(CLONE_NEWNET));
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "1", 1) == 1);
    close(fd);
    return netlink_open(NETLINK_ROUTE);
}

static int tap(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

    strcpy(r.ifr_name, name);
    EXPECT(fd >= 0 && !ioctl(fd, TUNSETIFF, &r));
    return fd;
}

/* The request of a VLAN on the device `below`; its nests are open. */
struct vlan_request {
    struct message m;
    struct rtattr *info, *data;
};

static void vlan_begin(struct vlan_request *q, const char *below, const char *name)
{
    uint32_t index = if_nametoindex(below);

    message_begin(&q->m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    message_put(&q->m, IFLA_IFNAME, name, strlen(name) + 1);
    if (below[0])
        message_put(&q->m, IFLA_LINK, &index, sizeof(index));
    q->info = message_put(&q->m, IFLA_LINKINFO, NULL, 0);
    message_put(&q->m, IFLA_INFO_KIND, "vlan", 4);
    q->data = message_put(&q->m, IFLA_INFO_DATA, NULL, 0);
}

static int vlan_ask(int n, struct vlan_request *q)
{
    message_nest_end(&q->m, q->data);
    message_nest_end(&q->m, q->info);
    return netlink_ask(n, &q->m);
}

static int vlan_add(int n, const char *below, const char *name, unsigned id)
{
    struct vlan_request q;
    uint16_t v = (uint16_t)id;

    vlan_begin(&q, below, name);
    message_put(&q.m, IFLA_VLAN_ID, &v, sizeof(v));
    return vlan_ask(n, &q);
}

static unsigned flags_of(const char *name)
{
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    strcpy(r.ifr_name, name);
    EXPECT(s >= 0 && !ioctl(s, SIOCGIFFLAGS, &r));
    close(s);
    return (unsigned short)r.ifr_flags;
}

/* SIOCGIFMTU, or SIOCSIFMTU's error. */
static int mtu_of(const char *name)
{
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    strcpy(r.ifr_name, name);
    EXPECT(s >= 0 && !ioctl(s, SIOCGIFMTU, &r));
    close(s);
    return r.ifr_mtu;
}

static int mtu_set(const char *name, int mtu)
{
    struct ifreq r = {.ifr_mtu = mtu};
    int s = socket(AF_INET, SOCK_DGRAM, 0), err;

    strcpy(r.ifr_name, name);
    err = ioctl(s, SIOCSIFMTU, &r) ? errno : 0;
    close(s);
    return err;
}

static void mac_of(const char *name, unsigned char out[6])
{
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    strcpy(r.ifr_name, name);
    EXPECT(s >= 0 && !ioctl(s, SIOCGIFHWADDR, &r));
    memcpy(out, r.ifr_hwaddr.sa_data, 6);
    close(s);
}

static int packet_open(const char *name)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(ETH_P_ALL),
                            .sll_ifindex = (int)if_nametoindex(name)};
    int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), one = 1;

    EXPECT(s >= 0 && !bind(s, (void *)&a, sizeof(a)));
    EXPECT(!setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)));
    return s;
}

/* A frame to `to` with nr tags, then n bytes of the ethertype 0x88b5. */
static size_t frame(unsigned char *f, const unsigned char *to, const unsigned *tags, unsigned nr,
                    size_t n)
{
    size_t at = 12;

    memcpy(f, to, 6);
    memcpy(f + 6, "\2\0\0\0\0\7", 6);
    for (unsigned i = 0; i < nr; i++, at += 4) {
        f[at] = 0x81;
        f[at + 1] = 0;
        f[at + 2] = (unsigned char)(tags[i] >> 8);
        f[at + 3] = (unsigned char)tags[i];
    }
    f[at] = 0x88;
    f[at + 1] = 0xb5;
    for (size_t i = 0; i < n; i++)
        f[at + 2 + i] = (unsigned char)i;
    return at + 2 + n;
}

/* The next frame of a packet socket, with the tag that stood beside it; -1: none. */
static ssize_t seen(int s, unsigned char *out, size_t size, int *tag)
{
    struct iovec v = {out, size};
    char control[200];
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(s, &m, MSG_DONTWAIT);
    struct cmsghdr *c;

    *tag = -1;
    for (c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        struct tpacket_auxdata a;

        memcpy(&a, CMSG_DATA(c), sizeof(a));
        if (c->cmsg_type == PACKET_AUXDATA && (a.tp_status & TP_STATUS_VLAN_VALID)) {
            EXPECT(a.tp_vlan_tpid == ETH_P_8021Q && (a.tp_status & TP_STATUS_VLAN_TPID_VALID));
            *tag = a.tp_vlan_tci;
        }
    }
    return n;
}

TEST(vlan_frames_have_a_tag_on_the_wire_and_none_above)
{
    int n = namespace_open(), t = tap("t0"), v, low, tag;
    unsigned char mac[6], out[1600], in[2000];
    unsigned five = 5, high = 7 << 13 | 5, six = 6;
    size_t len;

    EXPECT(!vlan_add(n, "t0", "t0.5", 5));
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP) && !link_flags(n, "t0.5", IFF_UP, IFF_UP));
    mac_of("t0.5", mac);
    mac_of("t0", in);
    EXPECT(!memcmp(mac, in, 6));
    EXPECT(!getsockopt(n, SOL_SOCKET, SO_BPF_EXTENSIONS, &tag, &(socklen_t){sizeof(tag)}) &&
           tag == 64);
    v = packet_open("t0.5");
    low = packet_open("t0");
    len = frame(out, mac, &five, 1, 1500);
    EXPECT(write(t, out, len) == (ssize_t)len);
    EXPECT(seen(v, in, sizeof(in), &tag) == (ssize_t)len - 4 && tag == -1);
    EXPECT(!memcmp(in, out, 12) && !memcmp(in + 12, out + 16, len - 16));
    EXPECT(seen(low, in, sizeof(in), &tag) == (ssize_t)len - 4 && tag == 5);
    len = frame(out, mac, &high, 1, 46);
    EXPECT(write(t, out, len) == (ssize_t)len); /* with a priority */
    EXPECT(seen(v, in, sizeof(in), &tag) == (ssize_t)len - 4 && tag == -1);
    EXPECT(seen(low, in, sizeof(in), &tag) > 0 && tag == (7 << 13 | 5));
    len = frame(out, mac, &six, 1, 46);
    EXPECT(write(t, out, len) == (ssize_t)len); /* another's */
    len = frame(out, mac, NULL, 0, 46);
    EXPECT(write(t, out, len) == (ssize_t)len);
    EXPECT(seen(v, in, sizeof(in), &tag) == -1);
    EXPECT(seen(low, in, sizeof(in), &tag) > 0 && tag == 6);
    EXPECT(seen(low, in, sizeof(in), &tag) == 60 && tag == -1);
    EXPECT(send(v, out, len, 0) == (ssize_t)len);
    EXPECT(read(t, in, sizeof(in)) == (ssize_t)len + 4);
    EXPECT(!memcmp(in, out, 12) && !memcmp(in + 12, "\x81\0\0\5", 4));
    EXPECT(!memcmp(in + 16, out + 12, len - 12));
    EXPECT(seen(low, in, sizeof(in), &tag) > 0 && tag == 5);
    out[12] = 0x81; /* cut behind the tag's first half */
    out[13] = 0;
    EXPECT(write(t, out, 15) == 15 || errno == EINVAL);
    close(t);
}

TEST(vlan_on_a_vlan_has_two_tags)
{
    int n = namespace_open(), t = tap("t0"), v, tag;
    unsigned char mac[6], out[200], in[200];
    unsigned tags[2] = {5, 9};
    size_t len;

    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    EXPECT(!vlan_add(n, "t0", "a", 5) && !vlan_add(n, "a", "b", 9));
    EXPECT(!link_flags(n, "a", IFF_UP, IFF_UP) && !link_flags(n, "b", IFF_UP, IFF_UP));
    mac_of("b", mac);
    v = packet_open("b");
    len = frame(out, mac, tags, 2, 46);
    EXPECT(write(t, out, len) == (ssize_t)len);
    EXPECT(seen(v, in, sizeof(in), &tag) == (ssize_t)len - 8 && tag == -1);
    EXPECT(send(v, in, len - 8, 0) == (ssize_t)len - 8);
    EXPECT(read(t, in, sizeof(in)) == (ssize_t)len && !memcmp(in, out, len));
}

TEST(vlan_follows_the_device_below)
{
    int n = namespace_open(), t = tap("t0");
    unsigned char mac[6];
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT(!vlan_add(n, "t0", "v", 5) && !vlan_add(n, "t0", "w", 6));
    EXPECT(link_flags(n, "v", IFF_UP, IFF_UP) == ENETDOWN);
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP));
    EXPECT((flags_of("v") & IFF_UP) && (flags_of("w") & IFF_UP));
    EXPECT(!link_flags(n, "t0", 0, IFF_UP));
    EXPECT(!(flags_of("v") & IFF_UP) && !(flags_of("w") & IFF_UP));
    EXPECT(mtu_of("v") == 1500 && !mtu_set("v", 1400) && mtu_set("v", 1501) == ERANGE);
    EXPECT(!mtu_set("t0", 1450) && mtu_of("v") == 1400 && mtu_of("w") == 1450);
    EXPECT(!mtu_set("t0", 1300) && mtu_of("v") == 1300 && mtu_of("w") == 1300);
    strcpy(r.ifr_name, "t0");
    r.ifr_hwaddr.sa_family = 1;
    memcpy(r.ifr_hwaddr.sa_data, "\2\1\1\1\1\1", 6);
    EXPECT(!link_flags(n, "t0", IFF_UP, IFF_UP) && !ioctl(s, SIOCSIFHWADDR, &r));
    mac_of("v", mac);
    EXPECT(!memcmp(mac, "\2\1\1\1\1\1", 6));
    close(t);
    EXPECT(!if_nametoindex("t0") && !if_nametoindex("v") && !if_nametoindex("w"));
}

TEST(vlan_is_shown_with_its_number_and_its_device)
{
    struct message m, got;
    struct ifinfomsg *i = message_body(&m);
    int n = namespace_open(), t = tap("t0");
    struct rtattr *info, *data = NULL, *a;
    int id = -1, protocol = -1;

    EXPECT(!vlan_add(n, "t0", "v", 4094));
    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex("v");
    netlink_send(n, &m);
    EXPECT(recv(n, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
    EXPECT(attr_u32(&got.h, sizeof(*i), IFLA_LINK) == if_nametoindex("t0"));
    info = attr_find(&got.h, sizeof(*i), IFLA_LINKINFO);
    EXPECT(info);
    int left = (int)RTA_PAYLOAD(info);
    for (a = RTA_DATA(info); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == IFLA_INFO_DATA)
            data = a;
    EXPECT(data);
    left = (int)RTA_PAYLOAD(data);
    for (a = RTA_DATA(data); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == IFLA_VLAN_ID)
            id = *(uint16_t *)RTA_DATA(a);
        if (a->rta_type == IFLA_VLAN_PROTOCOL)
            protocol = ntohs(*(uint16_t *)RTA_DATA(a));
    }
    EXPECT(id == 4094 && protocol == ETH_P_8021Q);
    EXPECT(!link_delete(n, "v") && !if_nametoindex("v") && if_nametoindex("t0"));
    EXPECT(!vlan_add(n, "t0", "v", 4094));
    close(t);
}

TEST(vlan_that_cannot_be_is_refused)
{
    int n = namespace_open();
    struct vlan_request q;
    uint16_t id = 5, protocol = htons(0x1234);

    close(0);
    EXPECT(tap("t0") >= 0 && !vlan_add(n, "t0", "v", 5));
    EXPECT(vlan_add(n, "t0", "w", 5) == EEXIST);
    EXPECT(vlan_add(n, "t0", "v", 6) == EEXIST);
    EXPECT(vlan_add(n, "t0", "w", 4095) == ERANGE && vlan_add(n, "t0", "w", 5000) == ERANGE);
    EXPECT(vlan_add(n, "lo", "w", 5) == EOPNOTSUPP);
    EXPECT(vlan_add(n, "", "w", 5) == EINVAL);
    vlan_begin(&q, "t0", "w");
    EXPECT(vlan_ask(n, &q) == EINVAL);
    vlan_begin(&q, "t0", "w");
    message_put(&q.m, IFLA_VLAN_ID, &id, sizeof(id));
    message_put(&q.m, IFLA_VLAN_PROTOCOL, &protocol, sizeof(protocol));
    EXPECT(vlan_ask(n, &q) == EPROTONOSUPPORT);
    vlan_begin(&q, "t0", "w");
    message_put(&q.m, IFLA_VLAN_ID, &id, 1);
    EXPECT(vlan_ask(n, &q) == ERANGE);
    EXPECT(!if_nametoindex("w"));
}

/* The frame that t sends next with that ethertype behind the tag 5. */
static ssize_t next_tagged(int t, int type, unsigned char *in, size_t size)
{
    struct pollfd p = {.fd = t, .events = POLLIN};
    ssize_t got;

    do {
        EXPECT(poll(&p, 1, -1) == 1);
        got = read(t, in, size);
        EXPECT(got >= 18);
    } while (memcmp(in + 12, "\x81\0\0\5", 4) || in[16] != type >> 8 || in[17] != (type & 255));
    return got;
}

TEST(vlan_carries_arp_and_ipv4)
{
    int n = namespace_open(), t = tap("t0"), u = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};
    unsigned char in[2000], data[2000] = {0};
    ssize_t got;

    EXPECT(!vlan_add(n, "t0", "v", 5) && !link_flags(n, "t0", IFF_UP, IFF_UP));
    address_add(n, "v", "10.5.0.1", 24);
    to.sin_addr.s_addr = inet_addr("10.5.0.2");
    EXPECT(sendto(u, data, 1472, 0, (void *)&to, sizeof(to)) == 1472);
    got = next_tagged(t, ETH_P_ARP, in, sizeof(in));
    EXPECT(got >= 46 && !memcmp(in + 42, "\12\5\0\2", 4)); /* who has 10.5.0.2 */
    memcpy(in, in + 6, 6);                                 /* its answer */
    memcpy(in + 6, "\2\0\0\0\0\7", 6);
    in[25] = 2;
    memcpy(in + 36, in + 26, 10);
    memcpy(in + 26, "\2\0\0\0\0\7\12\5\0\2", 10);
    EXPECT(write(t, in, 46) == 46);
    got = next_tagged(t, ETH_P_IP, in, sizeof(in));
    EXPECT(got == 18 + 1500 && in[18] == 0x45 && !memcmp(in + 34, "\12\5\0\2", 4));
    /* It is sent back to where it came from. */
    EXPECT(setsockopt(u, SOL_SOCKET, SO_BINDTODEVICE, "v", 2) == 0);
    memcpy(in, in + 6, 6);
    memcpy(in + 6, "\2\0\0\0\0\7", 6);
    memcpy(data, in + 30, 4);
    memcpy(in + 30, in + 34, 4);
    memcpy(in + 34, data, 4);
    memcpy(data, in + 38, 2);
    memcpy(in + 38, in + 40, 2);
    memcpy(in + 40, data, 2);
    EXPECT(write(t, in, (size_t)got) == got);
    EXPECT(recv(u, data, sizeof(data), 0) == 1472);
}

TEST(vlan_carries_ipv6_and_asks_below_for_its_groups)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    int n, t, u, fd;
    unsigned char in[2000], data[200] = {0};

    n = namespace_open();
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "0", 1) == 1);
    t = tap("t0");
    EXPECT(!vlan_add(n, "t0", "v", 5) && !link_flags(n, "t0", IFF_UP, IFF_UP));
    address_add(n, "v", "fd05::1", 64);
    u = socket(AF_INET6, SOCK_DGRAM, 0);
    inet_pton(AF_INET6, "fd05::2", &to.sin6_addr);
    EXPECT(sendto(u, data, 100, 0, (void *)&to, sizeof(to)) == 100);
    do /* a solicitation of fd05::2 from fd05::1 */
        EXPECT(next_tagged(t, ETH_P_IPV6, in, sizeof(in)) > 58);
    while (in[24] != 58 || in[58] != 135 || memcmp(in + 66, &to.sin6_addr, 16));
    EXPECT(!memcmp(in, "\x33\x33\xff\0\0\2", 6));
}
