/* SPDX-License-Identifier: MIT
 *
 * /proc/sys/net: values are of a namespace, judged, and do what they say; the directories of
 * devices follow the devices; who may write.
 */
#include <grp.h>
#include <sys/un.h>

#include "abi.h"
#include "netlink.h"
#include "peer.h"

#define NET "/proc/sys/net/"

static const char *value(const char *name)
{
    static char text[4096];
    char path[128];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), NET "%s", name);
    fd = open(path, O_RDONLY);
    EXPECT(fd >= 0);
    n = read(fd, text, sizeof(text) - 1);
    EXPECT(n > 0 && text[n - 1] == '\n');
    text[n - 1] = 0;
    close(fd);
    return text;
}

static bool is(const char *name, const char *text)
{
    return !strcmp(value(name), text);
}

/* 0 or what write(2) says. */
static int give(const char *name, const char *text)
{
    char path[128];
    int fd, err;

    snprintf(path, sizeof(path), NET "%s", name);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return errno;
    err = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;
    close(fd);
    return err;
}

static bool is_there(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), NET "%s", name);
    return !access(path, F_OK);
}

static int dgram(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT(s >= 0);
    return s;
}

TEST(what_one_namespace_sets_another_does_not_see)
{
    EXPECT(is("ipv4/ip_local_port_range", "32768\t60999"));
    own_net();
    EXPECT(!give("ipv4/ip_local_port_range", "40000 40003\n"));
    EXPECT(is("ipv4/ip_local_port_range", "40000\t40003"));
    EXPECT(!unshare(CLONE_NEWNET));
    EXPECT(is("ipv4/ip_local_port_range", "32768\t60999"));
}

TEST(an_open_file_stays_with_its_namespace)
{
    char text[16] = "";
    int fd;

    own_net();
    EXPECT(!give("ipv4/ip_default_ttl", "77"));
    fd = open(NET "ipv4/ip_default_ttl", O_RDWR);
    EXPECT(fd >= 0 && !unshare(CLONE_NEWNET));
    EXPECT(is("ipv4/ip_default_ttl", "64"));
    EXPECT(pread(fd, text, sizeof(text), 0) == 3 && !strcmp(text, "77\n"));
}

TEST(numbers_are_judged)
{
    own_net();
    EXPECT(give("ipv4/ip_default_ttl", "0") == EINVAL);
    EXPECT(give("ipv4/ip_default_ttl", "256") == EINVAL);
    EXPECT(give("ipv4/ip_default_ttl", "x") == EINVAL);
    EXPECT(give("ipv4/ip_default_ttl", "99999999999999999999") == EINVAL);
    EXPECT(is("ipv4/ip_default_ttl", "64"));
    EXPECT(!give("ipv4/ip_default_ttl", " 0x20 \n") && is("ipv4/ip_default_ttl", "32"));
    EXPECT(give("ipv4/ip_local_port_range", "50000 40000") == EINVAL);
    EXPECT(give("ipv4/ip_local_port_range", "1 70000") == EINVAL);
    EXPECT(is("ipv4/ip_local_port_range", "32768\t60999"));
    EXPECT(give("ipv4/icmp_echo_ignore_all", "2") == EINVAL);
    EXPECT(give("ipv6/conf/lo/hop_limit", "256") == EINVAL);
}

TEST(ports_come_from_the_range_that_is_set)
{
    int seen = 0;

    own_net();
    EXPECT(!give("ipv4/ip_local_port_range", "40000 40003"));
    EXPECT(!give("ipv4/ip_local_reserved_ports", "40001,50000-50002"));
    EXPECT(is("ipv4/ip_local_reserved_ports", "40001,50000-50002"));
    for (int i = 0; i < 3; i++) {
        int s = dgram();

        EXPECT(!bind_at(s, "127.0.0.1", 0));
        seen |= 1 << (port_of(s) - 40000);
    }
    EXPECT(seen == 0xd);
    EXPECT_ERR(bind_at(dgram(), "127.0.0.1", 0), EADDRINUSE);
    EXPECT(!bind_at(dgram(), "127.0.0.1", 40001)); /* who asks for it gets it */
    EXPECT(give("ipv4/ip_local_reserved_ports", "70000") == EINVAL);
    EXPECT(give("ipv4/ip_local_reserved_ports", "5-4") == EINVAL);
    EXPECT(is("ipv4/ip_local_reserved_ports", "40001,50000-50002"));
}

static void become(unsigned id)
{
    EXPECT(!setgroups(0, NULL) && !setresgid(id, id, id) && !setresuid(id, id, id));
}

TEST(low_ports_begin_where_it_is_set)
{
    own_net();
    EXPECT(is("ipv4/ip_unprivileged_port_start", "1024"));
    EXPECT(!give("ipv4/ip_unprivileged_port_start", "80"));
    become(1000);
    EXPECT(!bind_at(dgram(), "127.0.0.1", 80));
    EXPECT_ERR(bind_at(dgram(), "127.0.0.1", 79), EACCES);
}

TEST(an_address_of_nowhere_is_bound_where_that_is_allowed)
{
    own_net();
    EXPECT_ERR(bind_at(dgram(), "192.0.2.1", 5000), EADDRNOTAVAIL);
    EXPECT(!give("ipv4/ip_nonlocal_bind", "1"));
    EXPECT(!bind_at(dgram(), "192.0.2.1", 5000));
    EXPECT_ERR(bind_at(socket(AF_INET6, SOCK_DGRAM, 0), "2001:db8::1", 5000), EADDRNOTAVAIL);
    EXPECT(!give("ipv6/ip_nonlocal_bind", "1"));
    EXPECT(!bind_at(socket(AF_INET6, SOCK_DGRAM, 0), "2001:db8::1", 5000));
}

/* The TTL of a datagram over lo. */
static int ttl_heard(int from)
{
    char data[8], control[64];
    struct iovec v = {data, sizeof(data)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    int to = dgram();

    EXPECT(!bind_at(to, "127.0.0.1", 0));
    set(to, IPPROTO_IP, IP_RECVTTL, 1);
    EXPECT(!connect_at(from, "127.0.0.1", port_of(to)) && send(from, "x", 1, 0) == 1);
    EXPECT(recvmsg(to, &m, 0) == 1 && CMSG_FIRSTHDR(&m));
    close(to);
    return *(int *)CMSG_DATA(CMSG_FIRSTHDR(&m));
}

TEST(packets_have_the_hops_that_are_set)
{
    int plain = dgram(), other, six;

    own_net();
    close(plain);
    plain = dgram();
    other = dgram();
    six = socket(AF_INET6, SOCK_DGRAM, 0);
    set(other, IPPROTO_IP, IP_TOS, 16);
    EXPECT(!give("ipv4/ip_default_ttl", "33") && !give("ipv6/conf/all/hop_limit", "34"));
    EXPECT(get(plain, IPPROTO_IP, IP_TTL) == 33 && get(other, IPPROTO_IP, IP_TTL) == 33);
    EXPECT(ttl_heard(plain) == 33 && ttl_heard(other) == 33);
    set(other, IPPROTO_IP, IP_TTL, 44);
    EXPECT(ttl_heard(other) == 44);
    set(other, IPPROTO_IP, IP_TTL, -1);
    EXPECT(ttl_heard(other) == 33);
    EXPECT(get(six, IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 34);
}

TEST(echoes_are_ignored_while_that_is_set)
{
    char ask[8] = {8, 0, 0, 0, 0, 0, 0, 1}, got[64];
    int s;

    own_net();
    EXPECT(!give("ipv4/ping_group_range", "0 2147483647"));
    s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    EXPECT(s >= 0 && !connect_at(s, "127.0.0.1", 0));
    EXPECT(!give("ipv4/icmp_echo_ignore_all", "1") && send(s, ask, 8, 0) == 8);
    ask[7] = 2;
    EXPECT(!give("ipv4/icmp_echo_ignore_all", "0") && send(s, ask, 8, 0) == 8);
    EXPECT(recv(s, got, sizeof(got), 0) == 8 && got[7] == 2);
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

TEST(directories_follow_devices)
{
    char text[16];
    int s, fd;

    own_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!strcmp(names_in(NET "ipv4/conf"), "all default lo "));
    EXPECT(!give("ipv6/conf/default/hop_limit", "12"));
    EXPECT(!link_add(s, "one", "dummy", false));
    EXPECT(!strcmp(names_in(NET "ipv6/conf"), "all default lo one "));
    EXPECT(is("ipv6/conf/one/hop_limit", "12") && is("ipv6/conf/lo/hop_limit", "64"));
    fd = open(NET "ipv6/conf/one/hop_limit", O_RDWR);
    EXPECT(fd >= 0 && !link_rename(s, "one", "two"));
    EXPECT(!strcmp(names_in(NET "ipv4/conf"), "all default lo two "));
    EXPECT(!is_there("ipv6/conf/one") && is("ipv6/conf/two/hop_limit", "12"));
    EXPECT(!link_delete(s, "two") && !is_there("ipv6/conf/two/hop_limit"));
    EXPECT_ERR(pread(fd, text, sizeof(text), 0), ENOENT);
    EXPECT_ERR(pwrite(fd, "3", 1, 0), ENOENT);
    EXPECT(!strcmp(names_in(NET "ipv4/conf"), "all default lo "));
}

TEST(no_device_takes_a_directory_s_name)
{
    int s;

    own_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(link_add(s, "all", "dummy", false) == EINVAL);
    EXPECT(link_add(s, "default", "dummy", false) == EINVAL);
    EXPECT(link_add(s, "..", "dummy", false) == EINVAL);
    EXPECT(!strcmp(names_in(NET "ipv4/conf"), "all default lo "));
}

/* How many addresses of IPv6 the device has. */
static int addresses6(const char *dev)
{
    char line[256], name[64];
    FILE *f = fopen("/proc/self/net/if_inet6", "r");
    int n = 0;

    EXPECT(f);
    while (fgets(line, sizeof(line), f))
        n += sscanf(line, "%*s %*s %*s %*s %*s %63s", name) == 1 && !strcmp(name, dev);
    fclose(f);
    return n;
}

TEST(ipv6_of_a_device_goes_and_comes)
{
    struct message m;
    struct ifaddrmsg *a = message_body(&m);
    struct in6_addr addr;
    int s;

    own_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!link_add(s, "one", "dummy", true) && addresses6("one") == 1);
    EXPECT(!give("ipv6/conf/one/disable_ipv6", "1") && addresses6("one") == 0);
    EXPECT(addresses6("lo") == 1);
    message_begin(&m, RTM_NEWADDR, NLM_F_CREATE, sizeof(*a));
    *a = (struct ifaddrmsg){
        .ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = if_nametoindex("one")};
    inet_pton(AF_INET6, "2001:db8::1", &addr);
    message_put(&m, IFA_LOCAL, &addr, sizeof(addr));
    EXPECT(netlink_ask(s, &m) == EACCES);
    EXPECT(!give("ipv6/conf/one/disable_ipv6", "0") && addresses6("one") == 1);
    EXPECT(!give("ipv6/conf/all/disable_ipv6", "1"));
    EXPECT(addresses6("one") == 0 && addresses6("lo") == 0);
    EXPECT(is("ipv6/conf/default/disable_ipv6", "1") && is("ipv6/conf/one/disable_ipv6", "1"));
    EXPECT(!give("ipv6/conf/all/disable_ipv6", "0") && addresses6("lo") == 1);
}

TEST(an_address_is_not_made_where_none_is_wanted)
{
    int s;

    own_net();
    s = netlink_open(NETLINK_ROUTE);
    EXPECT(!give("ipv6/conf/default/addr_gen_mode", "1"));
    EXPECT(!link_add(s, "one", "dummy", true) && addresses6("one") == 0);
}

TEST(who_may_write)
{
    own_net();
    EXPECT(!give("ipv4/ip_default_ttl", "70"));
    become(1000);
    EXPECT(give("ipv4/ip_default_ttl", "71") == EACCES && is("ipv4/ip_default_ttl", "70"));
    EXPECT(!unshare(CLONE_NEWUSER | CLONE_NEWNET));
    EXPECT(is("ipv4/ip_default_ttl", "64"));
    EXPECT(!give("ipv4/ip_default_ttl", "72") && is("ipv4/ip_default_ttl", "72"));
}

TEST(files_that_belong_to_all_are_seen_on_the_host_alone)
{
    EXPECT(is_there("core/rmem_max") && is_there("core/wmem_default"));
    own_net();
    EXPECT(!is_there("core/rmem_max") && !is_there("core/wmem_default"));
    EXPECT(is_there("core/somaxconn"));
}

TEST(a_listener_s_queue_is_bounded_by_somaxconn)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0somax"};
    int l, refused = 0;

    own_net();
    EXPECT(!give("core/somaxconn", "3") && is("core/somaxconn", "3"));
    l = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(!bind(l, (void *)&a, sizeof(a)) && !listen(l, 1000));
    for (int i = 0; i < 8; i++) {
        int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

        EXPECT(c >= 0);
        refused += connect(c, (void *)&a, sizeof(a)) && errno == EAGAIN;
    }
    EXPECT(refused == 4);
}

/* ---- TCP ---- */

TEST(tcp_s_values_are_judged_and_told_to_sockets)
{
    char name[16] = "";
    socklen_t n = sizeof(name);
    int s;

    own_net();
    EXPECT(is("ipv4/tcp_sack", "1") && is("ipv4/tcp_ecn", "2") && is("ipv4/tcp_fin_timeout", "60"));
    EXPECT(is("ipv4/tcp_keepalive_time", "7200") && is("ipv4/tcp_keepalive_probes", "9"));
    EXPECT(is("ipv4/tcp_syn_retries", "6") && is("ipv4/tcp_retries2", "15"));
    EXPECT(!give("ipv4/tcp_keepalive_time", "100") && !give("ipv4/tcp_keepalive_intvl", "10"));
    EXPECT(!give("ipv4/tcp_keepalive_probes", "3") && !give("ipv4/tcp_syn_retries", "2"));
    EXPECT(!give("ipv4/tcp_fin_timeout", "30") && !give("ipv4/tcp_congestion_control", "reno"));
    EXPECT(give("ipv4/tcp_congestion_control", "nonsense") == ENOENT);
    EXPECT(give("ipv4/tcp_ecn", "9") == EINVAL && give("ipv4/tcp_syn_retries", "0") == EINVAL);
    s = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(get(s, IPPROTO_TCP, 4 /* TCP_KEEPIDLE */) == 100);
    EXPECT(get(s, IPPROTO_TCP, 5 /* TCP_KEEPINTVL */) == 10);
    EXPECT(get(s, IPPROTO_TCP, 6 /* TCP_KEEPCNT */) == 3);
    EXPECT(get(s, IPPROTO_TCP, 7 /* TCP_SYNCNT */) == 2);
    EXPECT(get(s, IPPROTO_TCP, 8 /* TCP_LINGER2 */) == 30);
    EXPECT(!getsockopt(s, IPPROTO_TCP, 13 /* TCP_CONGESTION */, name, &n) && !strcmp(name, "reno"));
    set(s, IPPROTO_TCP, 4, 50);
    EXPECT(get(s, IPPROTO_TCP, 4) == 50 && get(s, IPPROTO_TCP, 5) == 10);
}

TEST(tcp_s_buffers_begin_as_they_are_set)
{
    int s;

    own_net();
    EXPECT(!give("ipv4/tcp_rmem", "4096 100000 200000"));
    EXPECT(is("ipv4/tcp_rmem", "4096\t100000\t200000"));
    EXPECT(!give("ipv4/tcp_wmem", "4608 50000 60000"));
    s = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(get(s, SOL_SOCKET, SO_RCVBUF) == 100000 && get(s, SOL_SOCKET, SO_SNDBUF) == 50000);
    EXPECT(get(dgram(), SOL_SOCKET, SO_RCVBUF) == atoi("212992"));
}

/* The next frame of the device is a question for a neighbour. */
static bool asks(struct peer *p, int ms)
{
    struct pollfd fd = {.fd = p->tap, .events = POLLIN};
    unsigned char f[2048];

    while (poll(&fd, 1, ms) == 1)
        if (read(p->tap, f, sizeof(f)) >= 42 && get16(f + 12) == ETH_P_ARP)
            return true;
    return false;
}

TEST(neighbours_are_asked_for_as_often_as_is_said)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct peer p;
    int s;

    peer_open(&p);
    EXPECT(!give("ipv4/neigh/t0/retrans_time_ms", "100"));
    EXPECT(!give("ipv4/neigh/t0/mcast_solicit", "4"));
    s = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(inet_pton(AF_INET, THERE, &a.sin_addr) == 1);
    EXPECT(sendto(s, "x", 1, 0, (void *)&a, sizeof(a)) == 1);
    for (int i = 0; i < 4; i++)
        EXPECT(asks(&p, -1));
    EXPECT(!asks(&p, 200));
}

TEST(neighbours_times_are_a_device_s)
{
    struct peer p;

    peer_open(&p);
    EXPECT(is_there("ipv6/neigh/lo") && !is_there("ipv4/neigh/all"));
    EXPECT(is("ipv4/neigh/t0/base_reachable_time_ms", "30000"));
    EXPECT(is("ipv4/neigh/t0/delay_first_probe_time", "5"));
    EXPECT(!give("ipv4/neigh/t0/retrans_time_ms", "2000"));
    EXPECT(is("ipv4/neigh/t0/retrans_time_ms", "2000"));
    EXPECT(is("ipv4/neigh/lo/retrans_time_ms", "1000"));
    EXPECT(is("ipv6/neigh/lo/ucast_solicit", "3"));
    EXPECT(give("ipv4/neigh/t0/ucast_solicit", "x") == EINVAL);
}

/* Questions cost the host's time: the first namespace alone may put them more often. */
TEST(neighbours_of_a_further_namespace_are_asked_for_in_bounds)
{
    EXPECT(!give("ipv6/neigh/lo/retrans_time_ms", "20"));
    EXPECT(!give("ipv6/neigh/lo/retrans_time_ms", "1000"));
    own_net();
    EXPECT(!give("ipv4/neigh/lo/retrans_time_ms", "100"));
    EXPECT(!give("ipv4/neigh/lo/mcast_solicit", "10") &&
           !give("ipv6/neigh/lo/ucast_solicit", "10"));
    EXPECT(!give("ipv4/neigh/lo/delay_first_probe_time", "1"));
    EXPECT(!give("ipv6/neigh/lo/base_reachable_time_ms", "1000"));
    if (access("/proc/bothy", F_OK)) /* Linux does not bound it */
        return;
    EXPECT(give("ipv4/neigh/lo/retrans_time_ms", "99") == EINVAL);
    EXPECT(give("ipv6/neigh/default/retrans_time_ms", "20") == EINVAL);
    EXPECT(is("ipv4/neigh/lo/retrans_time_ms", "100"));
    EXPECT(give("ipv4/neigh/lo/mcast_solicit", "11") == EINVAL);
    EXPECT(give("ipv6/neigh/lo/ucast_solicit", "11") == EINVAL);
    EXPECT(give("ipv4/neigh/lo/delay_first_probe_time", "0") == EINVAL);
    EXPECT(give("ipv6/neigh/lo/base_reachable_time_ms", "999") == EINVAL);
    EXPECT(is("ipv4/neigh/lo/mcast_solicit", "10") && is("ipv6/neigh/lo/ucast_solicit", "10"));
}

/* The host's alone, of tables and not of devices. */
TEST(neighbours_are_as_many_as_is_said)
{
    static const char *const names[] = {"gc_thresh1", "gc_thresh2", "gc_thresh3", "gc_interval"};
    static const char *const values[] = {"128", "512", "1024", "30"};
    char path[64];

    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof(path), "ipv%c/neigh/default/%s", i < 4 ? '4' : '6', names[i % 4]);
        EXPECT(is(path, values[i % 4]) && give(path, "x") == EINVAL && !give(path, "300"));
        EXPECT(is(path, "300") && !give(path, values[i % 4]));
    }
    EXPECT(is("ipv6/neigh/lo/gc_stale_time", "60") && !is_there("ipv4/neigh/lo/gc_thresh1"));
    EXPECT(give("ipv4/neigh/default/gc_thresh3", "-1") == EINVAL);
    own_net();
    EXPECT(!is_there("ipv4/neigh/default/gc_thresh1") && !is_there("ipv6/neigh/lo/gc_interval"));
    EXPECT(!give("ipv4/neigh/lo/gc_stale_time", "5") && is("ipv4/neigh/lo/gc_stale_time", "5"));
}

/* In the first namespace, where Linux has it too. */
TEST(neighbours_times_of_a_new_device_are_those_of_default)
{
    int s = netlink_open(NETLINK_ROUTE);

    EXPECT(!give("ipv4/neigh/default/ucast_solicit", "7"));
    EXPECT(!link_add(s, "n0", "dummy", false));
    EXPECT(is("ipv4/neigh/n0/ucast_solicit", "7") && is("ipv6/neigh/n0/ucast_solicit", "3"));
    EXPECT(!give("ipv4/neigh/default/ucast_solicit", "3") && !link_delete(s, "n0"));
}
