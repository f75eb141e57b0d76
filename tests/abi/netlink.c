/* SPDX-License-Identifier: MIT
 *
 * Netlink and rtnetlink's links, in a net namespace of the test's own.
 */
#include "abi.h"
#include "netlink.h"
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/genetlink.h>
#include <sched.h>
#include <sys/ioctl.h>

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

static int namespace_open(void)
{
    EXPECT(!unshare(CLONE_NEWNET));
    return netlink_open(NETLINK_ROUTE);
}

static uint32_t port_of(int s)
{
    struct sockaddr_nl a;
    socklen_t n = sizeof(a);

    EXPECT(!getsockname(s, (void *)&a, &n) && n == sizeof(a) && a.nl_family == AF_NETLINK);
    return a.nl_pid;
}

TEST(netlink_kinds_that_are_not_there_are_refused)
{
    EXPECT_ERR(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
    EXPECT_ERR(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
    EXPECT_ERR(socket(AF_NETLINK, SOCK_RAW, -1), EPROTONOSUPPORT);
}

TEST(netlink_port_is_the_process_for_the_first_and_another_for_the_next)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = 4711};
    int one = netlink_open(NETLINK_ROUTE), two = netlink_open(NETLINK_ROUTE);
    int three = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    int four = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);

    EXPECT(port_of(one) == (uint32_t)getpid());
    EXPECT(port_of(two) != port_of(one) && port_of(two) > 0x80000000U);
    EXPECT(port_of(three) == 0);
    EXPECT(!bind(three, (void *)&a, sizeof(a)) && port_of(three) == 4711);
    EXPECT_ERR(bind(four, (void *)&a, sizeof(a)), EADDRINUSE);
    EXPECT(!bind(three, (void *)&a, sizeof(a)));
    a.nl_pid = 4712;
    EXPECT_ERR(bind(three, (void *)&a, sizeof(a)), EINVAL);
    EXPECT_ERR(bind(four, (void *)&a, 8), EINVAL);
    a.nl_family = AF_INET;
    EXPECT_ERR(bind(four, (void *)&a, sizeof(a)), EINVAL);
    close(three);
    a = (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = 4711};
    EXPECT(!bind(four, (void *)&a, sizeof(a)));
}

TEST(netlink_dump_lists_lo_and_ends)
{
    struct message m, got;
    struct nlmsghdr *h = &got.h;
    struct sockaddr_nl from = {0};
    socklen_t len = sizeof(from);
    int s = namespace_open(), found = 0, done = 0;

    message_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
    netlink_send(s, &m);
    while (!done) {
        ssize_t n = recvfrom(s, &got, sizeof(got), 0, (void *)&from, &len);

        EXPECT(n > 0 && len == sizeof(from) && from.nl_pid == 0 && from.nl_groups == 0);
        for (h = &got.h; NLMSG_OK(h, n) && !done; h = NLMSG_NEXT(h, n)) {
            struct ifinfomsg *i = NLMSG_DATA(h);

            EXPECT(h->nlmsg_seq == 77 && h->nlmsg_pid == port_of(s));
            EXPECT(h->nlmsg_flags & NLM_F_MULTI);
            done = h->nlmsg_type == NLMSG_DONE;
            if (h->nlmsg_type == RTM_NEWLINK && i->ifi_index == 1) {
                found++;
                EXPECT(i->ifi_type == 772 && (i->ifi_flags & IFF_LOOPBACK));
                EXPECT(attr_is(h, sizeof(*i), IFLA_IFNAME, "lo"));
                EXPECT(attr_u32(h, sizeof(*i), IFLA_MTU) == 65536);
                EXPECT(RTA_PAYLOAD(attr_find(h, sizeof(*i), IFLA_ADDRESS)) == 6);
                EXPECT(RTA_PAYLOAD(attr_find(h, sizeof(*i), IFLA_STATS64)) >= 23 * 8);
            }
        }
    }
    EXPECT(found == 1);
    EXPECT(recv(s, &got, sizeof(got), MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

TEST(netlink_one_link_is_answered_by_index_or_name)
{
    struct message m, got;
    struct ifinfomsg *i = message_body(&m);
    int s = namespace_open();

    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    i->ifi_index = 1;
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
    EXPECT(!(got.h.nlmsg_flags & NLM_F_MULTI));
    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    message_put(&m, IFLA_IFNAME, "lo", 3);
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    i->ifi_index = 99;
    EXPECT(netlink_ask(s, &m) == ENODEV);
    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    message_put(&m, IFLA_IFNAME, "none", 5);
    EXPECT(netlink_ask(s, &m) == ENODEV);
    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    EXPECT(netlink_ask(s, &m) == EINVAL);
    message_begin(&m, 1000, 0, sizeof(*i));
    EXPECT(netlink_ask(s, &m) == EOPNOTSUPP);
}

TEST(netlink_message_is_told_whole_by_a_peek_and_cut_by_a_short_read)
{
    struct message m, got;
    struct ifinfomsg *i = message_body(&m);
    struct iovec v = {&got, 20};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
    int s = namespace_open();
    ssize_t n;

    message_begin(&m, RTM_GETLINK, 0, sizeof(*i));
    i->ifi_index = 1;
    netlink_send(s, &m);
    n = recv(s, NULL, 0, MSG_PEEK | MSG_TRUNC);
    EXPECT(n > 100);
    EXPECT(recv(s, &got, sizeof(got), MSG_PEEK) == n && got.h.nlmsg_len == n);
    EXPECT(recvmsg(s, &h, 0) == 20 && (h.msg_flags & MSG_TRUNC));
    EXPECT(recv(s, &got, sizeof(got), MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

TEST(netlink_acknowledgment_says_as_much_as_is_asked_for)
{
    struct message m, got;
    struct nlmsgerr *e = message_body(&got);
    struct ifinfomsg *i = message_body(&m);
    int s = namespace_open(), on = 1;
    struct rtattr *a;
    uint32_t v;
    int left;

    message_begin(&m, RTM_SETLINK, NLM_F_ACK, sizeof(*i));
    i->ifi_index = 1;
    message_put(&m, IFLA_MTU, "ab", 2); /* too short */
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) == (ssize_t)(NLMSG_LENGTH(sizeof(int)) + m.h.nlmsg_len +
                                                      NLMSG_ALIGN(m.h.nlmsg_len) - m.h.nlmsg_len));
    EXPECT(e->error == -ERANGE && !memcmp(&e->msg, &m, m.h.nlmsg_len));

    EXPECT(!setsockopt(s, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)));
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) == (ssize_t)NLMSG_LENGTH(sizeof(*e)));
    EXPECT(got.h.nlmsg_flags & NLM_F_CAPPED);

    EXPECT(!setsockopt(s, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)));
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > (ssize_t)NLMSG_LENGTH(sizeof(*e)));
    EXPECT(got.h.nlmsg_flags & NLM_F_ACK_TLVS);
    a = (void *)((char *)&got + NLMSG_LENGTH(sizeof(*e)));
    left = (int)(got.h.nlmsg_len - NLMSG_LENGTH(sizeof(*e)));
    for (v = 0; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == NLMSGERR_ATTR_OFFS)
            memcpy(&v, RTA_DATA(a), sizeof(v));
    EXPECT(v == NLMSG_LENGTH(sizeof(*i)));
}

TEST(netlink_several_requests_of_one_send_are_answered_in_order)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } two[2] = {0};
    struct message got;
    int s = namespace_open();

    for (int k = 0; k < 2; k++) {
        two[k].h.nlmsg_len = sizeof(two[k]);
        two[k].h.nlmsg_type = RTM_GETLINK;
        two[k].h.nlmsg_flags = NLM_F_REQUEST;
        two[k].h.nlmsg_seq = (uint32_t)k + 1;
        two[k].i.ifi_index = 99 - 98 * k;
    }
    EXPECT(send(s, two, sizeof(two), 0) == sizeof(two));
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_seq == 1);
    EXPECT(got.h.nlmsg_type == NLMSG_ERROR);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_seq == 2);
    EXPECT(got.h.nlmsg_type == RTM_NEWLINK);
}

TEST(netlink_changes_take_the_capability_and_reading_does_not)
{
    struct message m, got;
    int s = namespace_open();

    EXPECT(!setresuid(1000, 1000, 1000));
    EXPECT(link_add(s, "d0", "dummy", false) == EPERM);
    EXPECT(if_nametoindex("lo") == 1);
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(link_delete(s, "lo") == EPERM);
    message_begin(&m, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    message_put(&m, IFLA_IFNAME, "lo", 3);
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
}

TEST(netlink_dummy_comes_changes_and_goes)
{
    static const unsigned char addr[6] = {2, 1, 2, 3, 4, 5}, group[6] = {1, 1, 2, 3, 4, 5};
    int s = namespace_open(), q = socket(AF_INET, SOCK_DGRAM, 0);
    struct message m;
    struct ifinfomsg *i = message_body(&m);
    struct ifreq r = {.ifr_name = "d0"};
    uint32_t mtu = 1400;

    EXPECT(!link_add(s, "d0", "dummy", false) && link_add(s, "d0", "dummy", false) == EEXIST);
    EXPECT(link_add(s, "x0", "nonsense", false) == EOPNOTSUPP);
    EXPECT(!ioctl(q, SIOCGIFFLAGS, &r) && !(r.ifr_flags & IFF_UP));
    message_begin(&m, RTM_NEWLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex("d0");
    message_put(&m, IFLA_MTU, &mtu, 4);
    message_put(&m, IFLA_ADDRESS, addr, 6);
    EXPECT(!netlink_ask(s, &m));
    EXPECT(!ioctl(q, SIOCGIFMTU, &r) && r.ifr_mtu == 1400);
    EXPECT(!ioctl(q, SIOCGIFHWADDR, &r) && !memcmp(r.ifr_hwaddr.sa_data, addr, 6));
    message_begin(&m, RTM_NEWLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex("d0");
    message_put(&m, IFLA_ADDRESS, group, 6);
    EXPECT(netlink_ask(s, &m) == EADDRNOTAVAIL);
    message_begin(&m, RTM_NEWLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex("d0");
    message_put(&m, IFLA_IFNAME, "lo", 3);
    EXPECT(netlink_ask(s, &m) == EEXIST);
    message_begin(&m, RTM_NEWLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex("d0");
    message_put(&m, IFLA_IFNAME, "other", 6);
    EXPECT(!netlink_ask(s, &m) && if_nametoindex("other") == (unsigned)i->ifi_index);
    EXPECT(!link_flags(s, "other", IFF_UP, IFF_UP));
    strcpy(r.ifr_name, "other");
    EXPECT(!ioctl(q, SIOCGIFFLAGS, &r) &&
           (r.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING));
    EXPECT(!link_flags(s, "other", 0, IFF_UP));
    EXPECT(!ioctl(q, SIOCGIFFLAGS, &r) && !(r.ifr_flags & IFF_UP));
    EXPECT(!link_delete(s, "other") && link_delete(s, "other") == ENODEV);
    EXPECT(link_delete(s, "lo") == EOPNOTSUPP && if_nametoindex("lo") == 1);
}

TEST(netlink_members_of_a_group_hear_of_links)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK}, from;
    int s = namespace_open(), l = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), on = 1;
    socklen_t len = sizeof(from);
    struct message got;
    uint32_t groups[2] = {0};
    int group = RTNLGRP_NEIGH;

    EXPECT(!bind(l, (void *)&a, sizeof(a)));
    EXPECT(!link_add(s, "d0", "dummy", false));
    EXPECT(recvfrom(l, &got, sizeof(got), 0, (void *)&from, &len) > 0);
    EXPECT(got.h.nlmsg_type == RTM_NEWLINK && from.nl_groups == RTMGRP_LINK && from.nl_pid == 0);
    EXPECT(attr_is(&got.h, sizeof(struct ifinfomsg), IFLA_IFNAME, "d0"));
    EXPECT(!link_delete(s, "d0"));
    do
        EXPECT(recv(l, &got, sizeof(got), 0) > 0);
    while (got.h.nlmsg_type != RTM_DELLINK);

    EXPECT(!setsockopt(l, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
    len = sizeof(groups);
    EXPECT(!getsockopt(l, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len));
    EXPECT(groups[0] == (RTMGRP_LINK | RTMGRP_NEIGH));
    group = RTNLGRP_LINK;
    EXPECT(!setsockopt(l, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group)));
    EXPECT(!link_add(s, "d0", "dummy", false));
    EXPECT(recv(l, &got, sizeof(got), MSG_DONTWAIT) == -1 && errno == EAGAIN);
    group = 0;
    EXPECT_ERR(setsockopt(l, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), EINVAL);
    group = 1000;
    EXPECT_ERR(setsockopt(l, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), EINVAL);
    EXPECT(!setsockopt(l, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof(on)));
}

TEST(netlink_dump_goes_on_as_it_is_read_and_there_is_one_at_a_time)
{
    int s = namespace_open(), other = netlink_open(NETLINK_ROUTE), seen = 0, done = 0;
    struct message m, got;
    struct nlmsghdr *h;
    char name[16];

    for (int k = 0; k < 60; k++) {
        snprintf(name, sizeof(name), "d%d", k);
        EXPECT(!link_add(s, name, "dummy", false));
    }
    s = netlink_open(NETLINK_ROUTE); /* whose reader had little space so far */
    message_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
    netlink_send(s, &m);
    netlink_send(s, &m); /* not while the first one runs */
    EXPECT(!link_delete(other, "d59"));
    while (!done) {
        ssize_t n = recv(s, &got, 4096, 0);

        EXPECT(n > 0);
        for (h = &got.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            if (h->nlmsg_type == NLMSG_ERROR)
                EXPECT(((struct nlmsgerr *)NLMSG_DATA(h))->error == -EBUSY);
            seen += h->nlmsg_type == RTM_NEWLINK;
            done |= h->nlmsg_type == NLMSG_DONE;
        }
    }
    EXPECT(seen == 60);
    netlink_send(s, &m); /* but after it */
    EXPECT(recv(s, &got, 4096, 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
}

TEST(netlink_listener_that_does_not_read_is_told_that_it_lost_some)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    int s = namespace_open(), l = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    int deaf = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), small = 4096, on = 1;
    struct pollfd p = {.fd = l, .events = POLLIN};
    struct message got;

    EXPECT(!setsockopt(l, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
    EXPECT(!setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
    EXPECT(!setsockopt(deaf, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)));
    EXPECT(!bind(l, (void *)&a, sizeof(a)) && !bind(deaf, (void *)&a, sizeof(a)));
    EXPECT(!link_add(s, "d0", "dummy", false));
    for (int k = 0; k < 100; k++)
        EXPECT(!link_flags(s, "d0", k % 2 ? 0 : IFF_UP, IFF_UP));
    EXPECT(poll(&p, 1, 0) == 1 && (p.revents & POLLERR));
    EXPECT(recv(l, &got, sizeof(got), 0) == -1 && errno == ENOBUFS);
    EXPECT(recv(l, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
    EXPECT(recv(deaf, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == RTM_NEWLINK);
}

TEST(netlink_libraries_list_the_interfaces)
{
    struct if_nameindex *names;
    struct ifaddrs *list = NULL;
    int s = namespace_open(), found = 0;

    EXPECT(!link_add(s, "d0", "dummy", true) && !link_flags(s, "lo", IFF_UP, IFF_UP));
    names = if_nameindex();
    EXPECT(names);
    for (int k = 0; names[k].if_index; k++)
        found += !strcmp(names[k].if_name, "lo") || !strcmp(names[k].if_name, "d0");
    EXPECT(found == 2);
    EXPECT(!getifaddrs(&list));
    found = 0;
    for (struct ifaddrs *i = list; i; i = i->ifa_next)
        found += i->ifa_addr && i->ifa_addr->sa_family == AF_PACKET;
    EXPECT(found == 2);
    freeifaddrs(list);
}

TEST(netlink_nonsense_is_refused_and_harmless)
{
    struct message m, got;
    int s = namespace_open();
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = 123456};

    EXPECT_ERR(send(s, "", 0, 0), ENODATA);
    EXPECT(send(s, "0123456", 7, 0) == 7);
    message_begin(&m, RTM_GETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
    m.h.nlmsg_len = 4000; /* more than there is */
    EXPECT(send(s, &m, 32, 0) == 32);
    m.h.nlmsg_len = 3;
    EXPECT(send(s, &m, 32, 0) == 32);
    EXPECT(recv(s, &got, sizeof(got), MSG_DONTWAIT) == -1 && errno == EAGAIN);
    EXPECT_ERR(sendto(s, &m, 32, 0, (void *)&a, sizeof(a)), ECONNREFUSED);
    a.nl_family = AF_INET;
    EXPECT_ERR(sendto(s, &m, 32, 0, (void *)&a, sizeof(a)), EINVAL);
}

/* A file of the calling thread's net namespace. */
static int namespace_file(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    EXPECT(fd >= 0);
    return fd;
}

static int link_to(int s, const char *name, int type, int where, const char *new_name)
{
    struct message m;
    struct ifinfomsg *i = message_body(&m);

    message_begin(&m, RTM_NEWLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex(name);
    message_put(&m, type, &where, 4);
    if (new_name)
        message_put(&m, IFLA_IFNAME, new_name, strlen(new_name) + 1);
    return netlink_ask(s, &m);
}

TEST(netlink_device_goes_to_another_namespace_as_it_is)
{
    static const unsigned char addr[6] = {2, 1, 2, 3, 4, 5};
    int there, here, s, t, q;
    struct ifreq r = {.ifr_name = "d1"};
    struct message m;
    struct ifinfomsg *i = message_body(&m);
    uint32_t mtu = 1400;

    t = namespace_open();
    there = namespace_file();
    q = socket(AF_INET, SOCK_DGRAM, 0);
    s = namespace_open();
    here = namespace_file();
    EXPECT(!link_add(s, "d0", "dummy", true));
    message_begin(&m, RTM_NEWLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex("d0");
    message_put(&m, IFLA_MTU, &mtu, 4);
    message_put(&m, IFLA_ADDRESS, addr, 6);
    EXPECT(!netlink_ask(s, &m));
    EXPECT(link_to(s, "lo", IFLA_NET_NS_FD, there, NULL) != 0);
    EXPECT(link_to(s, "d0", IFLA_NET_NS_FD, s, NULL) == EINVAL);
    EXPECT(link_to(s, "d0", IFLA_NET_NS_FD, 999, NULL) == EBADF);
    EXPECT(link_to(s, "d0", IFLA_NET_NS_PID, 0x7ffffff0, NULL) == ESRCH);
    EXPECT(!link_to(s, "d0", IFLA_NET_NS_FD, here, NULL) && if_nametoindex("d0"));
    EXPECT(!link_add(t, "d0", "dummy", false));
    EXPECT(link_to(s, "d0", IFLA_NET_NS_FD, there, NULL) == EEXIST && if_nametoindex("d0"));
    EXPECT(!link_to(s, "d0", IFLA_NET_NS_FD, there, "d1") && !if_nametoindex("d0"));
    EXPECT(!ioctl(q, SIOCGIFMTU, &r) && r.ifr_mtu == 1400); /* q is of the other one */
    EXPECT(!ioctl(q, SIOCGIFHWADDR, &r) && !memcmp(r.ifr_hwaddr.sa_data, addr, 6));
    EXPECT(!ioctl(q, SIOCGIFFLAGS, &r) && !(r.ifr_flags & IFF_UP));
}

TEST(netlink_device_is_made_in_the_namespace_of_a_process)
{
    int t = namespace_open(), s, none[2];
    struct message m;
    struct rtattr *info;
    pid_t pid;

    EXPECT(t >= 0 && !pipe(none));
    pid = fork();
    if (!pid) {
        close(none[1]);
        read(none[0], &m, 1);
        _exit(0);
    }
    s = namespace_open();
    message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    message_put(&m, IFLA_IFNAME, "d0", 3);
    message_put(&m, IFLA_NET_NS_PID, &pid, 4);
    info = message_put(&m, IFLA_LINKINFO, NULL, 0);
    message_put(&m, IFLA_INFO_KIND, "dummy", 5);
    message_nest_end(&m, info);
    EXPECT(!netlink_ask(s, &m) && !if_nametoindex("d0"));
    EXPECT(link_delete(t, "d0") == 0);
    close(none[1]);
}

TEST(netlink_device_goes_only_where_its_owner_administrates)
{
    int s, outer;

    EXPECT(!unshare(CLONE_NEWNET));
    outer = namespace_file();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
        return; /* not for everyone */
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(s, "d0", "dummy", false));
    EXPECT(link_to(s, "d0", IFLA_NET_NS_FD, outer, NULL) == EPERM && if_nametoindex("d0"));
}

TEST(netlink_generic_has_its_controller_and_refuses_other_names)
{
    int s = netlink_open(NETLINK_GENERIC), dumped = 0, done = 0;
    struct message m, got;
    struct genlmsghdr *g = message_body(&m);
    struct nlmsghdr *h;
    ssize_t n;

    message_begin(&m, GENL_ID_CTRL, 0, sizeof(*g));
    g->cmd = CTRL_CMD_GETFAMILY;
    g->version = 1;
    message_put(&m, CTRL_ATTR_FAMILY_NAME, "nlctrl", 7);
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == GENL_ID_CTRL);
    EXPECT(*(uint16_t *)RTA_DATA(attr_find(&got.h, 4, CTRL_ATTR_FAMILY_ID)) == GENL_ID_CTRL);
    message_begin(&m, GENL_ID_CTRL, 0, sizeof(*g));
    g->cmd = CTRL_CMD_GETFAMILY;
    message_put(&m, CTRL_ATTR_FAMILY_NAME, "nonsense", 9);
    EXPECT(netlink_ask(s, &m) == ENOENT);
    message_begin(&m, GENL_ID_CTRL, 0, sizeof(*g));
    g->cmd = CTRL_CMD_GETFAMILY;
    EXPECT(netlink_ask(s, &m) == EINVAL);
    message_begin(&m, 999, 0, sizeof(*g));
    EXPECT(netlink_ask(s, &m) == ENOENT);
    message_begin(&m, GENL_ID_CTRL, NLM_F_DUMP, sizeof(*g));
    g->cmd = CTRL_CMD_GETFAMILY;
    netlink_send(s, &m);
    while (!done) {
        n = recv(s, &got, sizeof(got), 0);
        EXPECT(n > 0);
        for (h = &got.h; NLMSG_OK(h, n) && !done; h = NLMSG_NEXT(h, n)) {
            done = h->nlmsg_type == NLMSG_DONE;
            dumped += !done && attr_is(h, 4, CTRL_ATTR_FAMILY_NAME, "nlctrl");
        }
    }
    EXPECT(dumped == 1);
}

/* A list that finds no space says how much it wants, and writes not a byte more than there is. */
TEST(netlink_memberships_are_told_within_the_space)
{
    int s = netlink_open(NETLINK_ROUTE), group = RTNLGRP_LINK;
    uint32_t out[4] = {1, 2, 3, 4};
    socklen_t len = 4;

    EXPECT(!setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
    EXPECT(!getsockopt(s, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, out, &len));
    EXPECT(len >= 8 && out[0] == 1 && out[1] == 2 && out[2] == 3);
    len = 0;
    out[0] = 9;
    EXPECT(!getsockopt(s, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, out, &len));
    EXPECT(len >= 4 && out[0] == 9);
}

static int rule_add(int s, int flags, uint32_t priority)
{
    struct message m;
    struct {
        uint8_t family, dst, src, tos, table, res[2], action;
        uint32_t flags;
    } *r = message_body(&m);

    message_begin(&m, RTM_NEWRULE, flags, sizeof(*r));
    r->family = AF_INET;
    r->table = 254;
    r->action = 1;
    message_put(&m, 6, &priority, sizeof(priority)); /* FRA_PRIORITY */
    return netlink_ask(s, &m);
}

/* Two rules that are the same are two in the list, which ends, and go one by one. */
TEST(netlink_rules_may_be_the_same)
{
    static char buf[32768];
    int s, n = 0, del = 0;
    bool done = false;
    struct message m;

    EXPECT(!unshare(CLONE_NEWNET));
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(rule_add(s, NLM_F_CREATE | NLM_F_EXCL, 700) == 0);
    EXPECT(rule_add(s, NLM_F_CREATE | NLM_F_EXCL, 700) == EEXIST);
    EXPECT(rule_add(s, NLM_F_CREATE, 700) == 0);
    EXPECT(rule_add(s, NLM_F_CREATE | NLM_F_EXCL, 701) == 0);
    message_begin(&m, RTM_GETRULE, NLM_F_DUMP, 12);
    *(uint8_t *)message_body(&m) = AF_INET;
    netlink_send(s, &m);
    while (!done) {
        ssize_t len = recv(s, buf, sizeof(buf), 0);
        struct nlmsghdr *h = (void *)buf;

        EXPECT(len > 0 && n < 100);
        for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
            n += h->nlmsg_type == RTM_NEWRULE;
            done |= h->nlmsg_type == NLMSG_DONE;
        }
    }
    EXPECT(n == 6);
    do {
        uint32_t priority = 700;
        struct {
            uint8_t family, dst, src, tos, table, res[2], action;
            uint32_t flags;
        } *r = message_body(&m);

        message_begin(&m, RTM_DELRULE, 0, sizeof(*r));
        r->family = AF_INET;
        message_put(&m, 6, &priority, sizeof(priority));
        n = netlink_ask(s, &m);
        del += !n;
    } while (!n);
    EXPECT(n == ENOENT && del == 2);
}
