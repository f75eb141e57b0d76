/* SPDX-License-Identifier: MIT
 *
 * sock_diag: what sockets a namespace has, told to those who ask, and ended for those who may.
 */
#include <linux/if_ether.h>
#include <linux/inet_diag.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "own_net.h"
#include "netlink.h"

#define ALL 0xfff
#define EXT(n) (1 << ((n)-1))

static int diag_open(void)
{
    own_net();
    return netlink_open(NETLINK_SOCK_DIAG);
}

static unsigned inode_of(int s)
{
    struct stat st;

    EXPECT(!fstat(s, &st));
    return (unsigned)st.st_ino;
}

static struct inet_diag_req_v2 *inet_ask(struct message *m, int flags, int family, int protocol)
{
    struct inet_diag_req_v2 *q = message_body(m);

    message_begin(m, SOCK_DIAG_BY_FAMILY, flags, sizeof(*q));
    q->sdiag_family = (uint8_t)family;
    q->sdiag_protocol = (uint8_t)protocol;
    q->idiag_states = ALL;
    q->id.idiag_cookie[0] = q->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return q;
}

/* Sends a dump's request and reads all of it: how many messages came, or -errno; the one whose
 * inode it is (0: the last) goes to *found. `at`: where the inode is in the body. */
static int dumped(int s, struct message *m, size_t at, unsigned inode, struct message *found)
{
    static struct message got;
    int n = 0;

    if (found)
        memset(found, 0, sizeof(*found));
    netlink_send(s, m);
    for (;;) {
        ssize_t len = recv(s, &got, sizeof(got), 0);

        EXPECT(len > 0);
        for (struct nlmsghdr *h = &got.h; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
            unsigned is;

            if (h->nlmsg_type == NLMSG_DONE) /* with the error that ended it */
                return *(int *)NLMSG_DATA(h) < 0 ? *(int *)NLMSG_DATA(h) : n;
            if (h->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
            EXPECT(h->nlmsg_type == SOCK_DIAG_BY_FAMILY && h->nlmsg_seq == 77);
            n++;
            memcpy(&is, (char *)NLMSG_DATA(h) + at, 4);
            if (found && (!inode || is == inode))
                memcpy(found, h, h->nlmsg_len);
        }
    }
}

static int inet_dumped(int s, struct message *m, unsigned inode, struct message *found)
{
    return dumped(s, m, offsetof(struct inet_diag_msg, idiag_inode), inode, found);
}

static int listener(int family, const char *ip)
{
    int s = socket(family, SOCK_STREAM, 0);

    EXPECT(s >= 0 && !bind_at(s, ip, 0) && !listen(s, 7));
    return s;
}

TEST(diag_dump_shows_listeners_and_connections_with_their_inodes)
{
    int s = diag_open(), l = listener(AF_INET, "127.0.0.1"), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM, 0), a, none = socket(AF_INET, SOCK_STREAM, 0);
    struct message m, got;
    struct inet_diag_msg *d = message_body(&got);
    struct inet_diag_req_v2 *q;

    EXPECT(!connect_at(c, "127.0.0.1", port));
    a = accept(l, NULL, NULL);
    EXPECT(a >= 0 && send(c, "hello", 5, 0) == 5 && none >= 0);
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_TCP);
    EXPECT(inet_dumped(s, &m, inode_of(l), &got) == 3); /* none: it has no name */
    EXPECT(d->idiag_inode == inode_of(l) && d->idiag_state == 10 && d->idiag_family == AF_INET);
    EXPECT(d->id.idiag_sport == htons((uint16_t)port) && d->id.idiag_dport == 0);
    EXPECT(d->id.idiag_src[0] == htonl(INADDR_LOOPBACK) && d->idiag_wqueue == 7);
    EXPECT(inet_dumped(s, &m, inode_of(a), &got) == 3 && d->idiag_state == 1);
    EXPECT(d->idiag_rqueue == 5 && d->id.idiag_dport == htons((uint16_t)port_of(c)));
    EXPECT(inet_dumped(s, &m, inode_of(c), &got) == 3 && d->idiag_inode == inode_of(c));
    EXPECT(d->id.idiag_cookie[0] || d->id.idiag_cookie[1]);
    q = inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_TCP);
    q->idiag_states = 1 << 10;
    EXPECT(inet_dumped(s, &m, 0, &got) == 1);
    q->idiag_states = ALL;
    q->id.idiag_sport = htons((uint16_t)port);
    EXPECT(inet_dumped(s, &m, 0, &got) == 2);
    inet_ask(&m, NLM_F_DUMP, AF_INET6, IPPROTO_TCP);
    EXPECT(inet_dumped(s, &m, 0, NULL) == 0);
}

TEST(diag_extensions_come_as_they_are_asked_for)
{
    int s = diag_open(), l = listener(AF_INET6, "::"), mark = 7, tos = 16;
    struct message m, got;
    size_t body = sizeof(struct inet_diag_msg);
    struct inet_diag_req_v2 *q;

    EXPECT(!setsockopt(l, SOL_SOCKET, SO_MARK, &mark, 4));
    EXPECT(!setsockopt(l, IPPROTO_IPV6, IPV6_TCLASS, &tos, 4));
    q = inet_ask(&m, NLM_F_DUMP, AF_INET6, IPPROTO_TCP);
    EXPECT(inet_dumped(s, &m, 0, &got) == 1);
    EXPECT(!attr_find(&got.h, body, INET_DIAG_INFO) && !attr_find(&got.h, body, INET_DIAG_CONG));
    EXPECT(attr_find(&got.h, body, INET_DIAG_SHUTDOWN));
    EXPECT(attr_u32(&got.h, body, INET_DIAG_MARK) == 7);
    EXPECT(*(uint8_t *)RTA_DATA(attr_find(&got.h, body, INET_DIAG_SKV6ONLY)) == 0);
    q->idiag_ext = EXT(INET_DIAG_INFO) | EXT(INET_DIAG_MEMINFO) | EXT(INET_DIAG_SKMEMINFO) |
                   EXT(INET_DIAG_TCLASS) | EXT(INET_DIAG_CONG) | EXT(INET_DIAG_TOS);
    EXPECT(inet_dumped(s, &m, 0, &got) == 1);
    EXPECT(RTA_PAYLOAD(attr_find(&got.h, body, INET_DIAG_MEMINFO)) == 16);
    EXPECT(RTA_PAYLOAD(attr_find(&got.h, body, INET_DIAG_SKMEMINFO)) == 36);
    EXPECT(RTA_PAYLOAD(attr_find(&got.h, body, INET_DIAG_INFO)) >= 104);
    EXPECT(((struct tcp_info *)RTA_DATA(attr_find(&got.h, body, INET_DIAG_INFO)))->tcpi_state ==
           10);
    EXPECT(*(uint8_t *)RTA_DATA(attr_find(&got.h, body, INET_DIAG_TCLASS)) == 16);
    EXPECT(attr_is(&got.h, body, INET_DIAG_CONG, "cubic"));
}

TEST(diag_mark_is_for_those_who_administrate)
{
    int l, s, mark = 7, err;
    struct message m, got;
    size_t body = sizeof(struct inet_diag_msg);
    struct inet_diag_req_v2 *q;

    own_net();
    l = listener(AF_INET, "127.0.0.1");
    EXPECT(!setsockopt(l, SOL_SOCKET, SO_MARK, &mark, 4));
    EXPECT(!setresuid(1000, 1000, 1000));
    s = netlink_open(NETLINK_SOCK_DIAG);
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_TCP);
    EXPECT(inet_dumped(s, &m, 0, &got) == 1 && !attr_find(&got.h, body, INET_DIAG_MARK));
    q = inet_ask(&m, 0, AF_INET, IPPROTO_TCP);
    q->id.idiag_sport = htons((uint16_t)port_of(l));
    q->id.idiag_src[0] = htonl(INADDR_LOOPBACK);
    m.h.nlmsg_type = SOCK_DESTROY;
    err = netlink_ask(s, &m);
    EXPECT(err == EPERM || err == EOPNOTSUPP); /* where it is not built in */
}

TEST(diag_udp_and_raw_sockets_are_shown_where_they_receive)
{
    int s = diag_open(), u = socket(AF_INET, SOCK_DGRAM, 0), none = socket(AF_INET, SOCK_DGRAM, 0);
    int u6 = socket(AF_INET6, SOCK_DGRAM, 0), r = socket(AF_INET, SOCK_RAW, 99);
    struct message m, got;
    struct inet_diag_msg *d = message_body(&got);

    EXPECT(!bind_at(u, "127.0.0.1", 0) && !bind_at(u6, "::1", 0) && none >= 0 && r >= 0);
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_UDP);
    EXPECT(inet_dumped(s, &m, 0, &got) == 1 && d->idiag_inode == inode_of(u));
    EXPECT(d->idiag_state == 7);
    EXPECT(!connect_at(u, "127.0.0.1", 9));
    EXPECT(inet_dumped(s, &m, 0, &got) == 1 && d->idiag_state == 1);
    EXPECT(d->id.idiag_dport == htons(9) && d->id.idiag_dst[0] == htonl(INADDR_LOOPBACK));
    inet_ask(&m, NLM_F_DUMP, AF_INET6, IPPROTO_UDP);
    EXPECT(inet_dumped(s, &m, 0, &got) == 1 && d->idiag_inode == inode_of(u6));
    EXPECT(d->id.idiag_src[3] == htonl(1) && d->idiag_family == AF_INET6);
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_RAW);
    EXPECT(inet_dumped(s, &m, 0, &got) == 1 && d->idiag_inode == inode_of(r));
    EXPECT(d->id.idiag_sport == htons(99));
}

TEST(diag_one_socket_is_found_by_its_ends_and_cookie)
{
    int s = diag_open(), l = listener(AF_INET, "127.0.0.1"), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct message m, got;
    struct inet_diag_msg *d = message_body(&got);
    struct inet_diag_req_v2 *q;

    EXPECT(!connect_at(c, "127.0.0.1", port));
    q = inet_ask(&m, 0, AF_INET, IPPROTO_TCP);
    q->id.idiag_sport = htons((uint16_t)port_of(c));
    q->id.idiag_dport = htons((uint16_t)port);
    q->id.idiag_src[0] = q->id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == SOCK_DIAG_BY_FAMILY);
    EXPECT(d->idiag_inode == inode_of(c) && !(got.h.nlmsg_flags & NLM_F_MULTI));
    memcpy(q->id.idiag_cookie, d->id.idiag_cookie, 8);
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && got.h.nlmsg_type == SOCK_DIAG_BY_FAMILY);
    q->id.idiag_cookie[0] += 12345;
    EXPECT(netlink_ask(s, &m) == ENOENT);
    q = inet_ask(&m, 0, AF_INET, IPPROTO_TCP); /* no socket listens there */
    q->id.idiag_sport = htons(1);
    EXPECT(netlink_ask(s, &m) == ENOENT);
}

TEST(diag_filters_are_judged_and_choose)
{
    static const struct inet_diag_bc_op wrong = {INET_DIAG_BC_JMP, 4, 100};
    int s = diag_open(), one = listener(AF_INET, "127.0.0.1"), two = listener(AF_INET, "0.0.0.0");
    struct inet_diag_bc_op port[2] = {{INET_DIAG_BC_S_EQ, 8, 12}, {0, 0, (uint16_t)port_of(two)}};
    struct message m, got;
    struct inet_diag_msg *d = message_body(&got);

    EXPECT(one >= 0);
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_TCP);
    message_put(&m, INET_DIAG_REQ_BYTECODE, port, sizeof(port));
    EXPECT(inet_dumped(s, &m, 0, &got) == 1 && d->idiag_inode == inode_of(two));
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_TCP);
    message_put(&m, INET_DIAG_REQ_BYTECODE, &wrong, sizeof(wrong));
    EXPECT(inet_dumped(s, &m, 0, NULL) == -EINVAL);
}

TEST(diag_dump_of_many_goes_on_as_it_is_read)
{
    int s = diag_open(), left = 0;
    struct message m;

    for (int i = 0; i < 300; i++)
        EXPECT(!bind_at(socket(AF_INET, SOCK_DGRAM, 0), "127.0.0.1", 0));
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_UDP);
    EXPECT(inet_dumped(s, &m, 0, NULL) == 300);
    netlink_send(s, &m); /* and is given up with its socket */
    close(s);
    s = netlink_open(NETLINK_SOCK_DIAG);
    for (int i = 3; i < 303; i += 2)
        left += i != s && !close(i);
    EXPECT(inet_dumped(s, &m, 0, NULL) >= 300 - left - 1);
}

TEST(diag_families_and_protocols_that_are_not_there_are_refused)
{
    int s = diag_open();
    struct message m;

    inet_ask(&m, NLM_F_DUMP, AF_INET, 253);
    EXPECT(inet_dumped(s, &m, 0, NULL) == -ENOENT);
    inet_ask(&m, NLM_F_DUMP, 200, IPPROTO_TCP);
    EXPECT(inet_dumped(s, &m, 0, NULL) < 0);
    message_begin(&m, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, 1);
    EXPECT(inet_dumped(s, &m, 0, NULL) == -EINVAL);
}

static int destroy(int s, int family, int protocol, int sport, int dport)
{
    struct message m;
    struct inet_diag_req_v2 *q = inet_ask(&m, 0, family, protocol);

    m.h.nlmsg_type = SOCK_DESTROY;
    q->id.idiag_sport = htons((uint16_t)sport);
    q->id.idiag_dport = htons((uint16_t)dport);
    q->id.idiag_src[0] = htonl(INADDR_LOOPBACK);
    if (dport)
        q->id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
    return netlink_ask(s, &m);
}

TEST(diag_destroy_ends_a_connection_and_tells_both_ends)
{
    int s = diag_open(), l = listener(AF_INET, "127.0.0.1"), port = port_of(l), a, err;
    int c = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
    char buf[4];

    signal(SIGPIPE, SIG_IGN);
    EXPECT(!connect_at(c, "127.0.0.1", port) && (a = accept(l, NULL, NULL)) >= 0);
    err = destroy(s, AF_INET, IPPROTO_TCP, port_of(c), port);
    if (err == EOPNOTSUPP)
        return; /* CONFIG_INET_DIAG_DESTROY is not set */
    EXPECT(!err);
    EXPECT_ERR(recv(c, buf, 4, 0), ECONNABORTED);
    EXPECT_ERR(recv(a, buf, 4, 0), ECONNRESET);
    EXPECT(destroy(s, AF_INET, IPPROTO_TCP, port_of(c), port) == ENOENT ||
           !destroy(s, AF_INET, IPPROTO_TCP, port_of(c), port));
    EXPECT(!bind_at(u, "127.0.0.1", 0) && !destroy(s, AF_INET, IPPROTO_UDP, port_of(u), 0));
    EXPECT_ERR(recv(u, buf, 4, 0), ECONNABORTED);
}

TEST(diag_destroy_ends_a_listener)
{
    int s = diag_open(), l = listener(AF_INET, "127.0.0.1"), port = port_of(l), err;
    int c = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_STREAM, 0);
    char buf[4];

    EXPECT(!connect_at(c, "127.0.0.1", port));
    err = destroy(s, AF_INET, IPPROTO_TCP, port, 0);
    if (err == EOPNOTSUPP)
        return; /* CONFIG_INET_DIAG_DESTROY is not set */
    EXPECT(!err);
    EXPECT(accept(l, NULL, NULL) == -1);
    EXPECT_ERR(recv(c, buf, 4, 0), ECONNRESET);
    EXPECT_ERR(connect_at(d, "127.0.0.1", port), ECONNREFUSED);
}

static int unix_dumped(int s, unsigned states, unsigned inode, struct message *got)
{
    struct message m;
    struct unix_diag_req *q = message_body(&m);

    message_begin(&m, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*q));
    q->sdiag_family = AF_UNIX;
    q->udiag_states = states;
    q->udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_MEMINFO;
    return dumped(s, &m, offsetof(struct unix_diag_msg, udiag_ino), inode, got);
}

TEST(diag_unix_sockets_have_names_and_peers)
{
    struct sockaddr_un name = {AF_UNIX, "\0diag test"};
    int s = diag_open(), pair[2], l = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    struct message got, m;
    struct unix_diag_msg *d = message_body(&got);
    struct unix_diag_req *q = message_body(&m);
    size_t body = sizeof(*d);
    struct rtattr *a;

    EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && send(pair[1], "abc", 3, 0) == 3);
    EXPECT(!bind(l, (void *)&name, 2 + 10) && !listen(l, 5));
    EXPECT(unix_dumped(s, ALL, inode_of(pair[0]), &got) == 3);
    EXPECT(d->udiag_type == SOCK_STREAM && d->udiag_state == 1);
    EXPECT(attr_u32(&got.h, body, UNIX_DIAG_PEER) == inode_of(pair[1]));
    EXPECT(RTA_PAYLOAD(attr_find(&got.h, body, UNIX_DIAG_MEMINFO)) == 36);
    a = attr_find(&got.h, body, UNIX_DIAG_RQLEN);
    EXPECT(a && ((struct unix_diag_rqlen *)RTA_DATA(a))->udiag_rqueue == 3);
    EXPECT(unix_dumped(s, 1 << 10, 0, &got) == 1 && d->udiag_ino == inode_of(l));
    a = attr_find(&got.h, body, UNIX_DIAG_NAME);
    EXPECT(a && RTA_PAYLOAD(a) == 10 && !memcmp(RTA_DATA(a), "\0diag test", 10));
    a = attr_find(&got.h, body, UNIX_DIAG_RQLEN);
    EXPECT(a && ((struct unix_diag_rqlen *)RTA_DATA(a))->udiag_wqueue == 5);

    message_begin(&m, SOCK_DIAG_BY_FAMILY, 0, sizeof(*q));
    q->sdiag_family = AF_UNIX;
    q->udiag_ino = inode_of(l);
    q->udiag_cookie[0] = q->udiag_cookie[1] = ~0U;
    netlink_send(s, &m);
    EXPECT(recv(s, &got, sizeof(got), 0) > 0 && d->udiag_ino == inode_of(l));
    q->udiag_ino = 1;
    EXPECT(netlink_ask(s, &m) == ENOENT);
    q->udiag_ino = 0;
    EXPECT(netlink_ask(s, &m) == EINVAL);
}

TEST(diag_packet_and_netlink_sockets_are_shown)
{
    int s = diag_open(), p = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL));
    struct message m, got;
    struct packet_diag_req *q = message_body(&m);
    struct packet_diag_msg *d = message_body(&got);
    struct netlink_diag_req *nq = message_body(&m);
    struct netlink_diag_msg *nd = message_body(&got);

    EXPECT(p >= 0);
    message_begin(&m, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*q));
    q->sdiag_family = AF_PACKET;
    q->pdiag_show = PACKET_SHOW_INFO;
    EXPECT(dumped(s, &m, offsetof(struct packet_diag_msg, pdiag_ino), 0, &got) == 1);
    EXPECT(d->pdiag_ino == inode_of(p) && d->pdiag_num == ETH_P_ALL);
    EXPECT(RTA_PAYLOAD(attr_find(&got.h, sizeof(*d), PACKET_DIAG_INFO)) == 24);
    message_begin(&m, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*nq));
    nq->sdiag_family = AF_NETLINK;
    nq->sdiag_protocol = NETLINK_SOCK_DIAG;
    EXPECT(dumped(s, &m, offsetof(struct netlink_diag_msg, ndiag_ino), inode_of(s), &got) >= 1);
    EXPECT(nd->ndiag_ino == inode_of(s) && nd->ndiag_protocol == NETLINK_SOCK_DIAG);
    EXPECT(nd->ndiag_portid == (unsigned)getpid());
}

TEST(diag_other_namespaces_sockets_are_not_shown)
{
    int l = listener(AF_INET, "127.0.0.1"), s = diag_open();
    struct message m;

    EXPECT(l >= 0);
    inet_ask(&m, NLM_F_DUMP, AF_INET, IPPROTO_TCP);
    EXPECT(inet_dumped(s, &m, 0, NULL) == 0);
    EXPECT(unix_dumped(s, ALL, 0, NULL) == 0);
}

TEST(tcp_info_of_a_connection_that_could_not_begin_is_closed)
{
    int s, one, two, on = 1;
    struct message m;
    struct ifaddrmsg *i = message_body(&m);
    struct tcp_info info;
    socklen_t n = sizeof(info);
    uint32_t addr = htonl(0x0a010001);

    own_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(s, "d0", "dummy", true));
    message_begin(&m, RTM_NEWADDR, NLM_F_CREATE, sizeof(*i));
    i->ifa_family = AF_INET;
    i->ifa_prefixlen = 24;
    i->ifa_index = if_nametoindex("d0");
    message_put(&m, IFA_LOCAL, &addr, 4);
    EXPECT(!netlink_ask(s, &m));
    one = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    two = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, 4);
    setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, 4);
    EXPECT(!bind_at(one, "10.1.0.1", 5000) && !bind_at(two, "10.1.0.1", 5000));
    EXPECT_ERR(connect_at(one, "10.1.0.2", 80), EINPROGRESS);
    EXPECT_ERR(connect_at(two, "10.1.0.2", 80), EADDRNOTAVAIL);
    EXPECT(!getsockopt(two, IPPROTO_TCP, TCP_INFO, &info, &n) && info.tcpi_state == 7);
    EXPECT(!getsockopt(one, IPPROTO_TCP, TCP_INFO, &info, &n) && info.tcpi_state == 2);
}
