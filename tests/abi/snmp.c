/* SPDX-License-Identifier: MIT
 *
 * /proc/net/snmp, snmp6 and netstat: a namespace's own counts, which grow with what is done; and
 * who has sockets, listens to frames, and does not want to hear whom there.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "abi.h"
#include "own_net.h"

static char text[65536];

static const char *read_net(const char *file)
{
    char path[64];
    ssize_t n, at = 0;
    int fd;

    snprintf(path, sizeof(path), "/proc/thread-self/net/%s", file);
    fd = open(path, O_RDONLY);
    EXPECT(fd >= 0);
    while ((n = read(fd, text + at, sizeof(text) - 1 - (size_t)at)) > 0)
        at += n;
    text[at] = 0;
    close(fd);
    return text;
}

/* The number under that name in the two lines of that head. */
static unsigned long number(const char *file, const char *head, const char *name)
{
    char *names, *numbers, *n, *v, *n_at = NULL, *v_at = NULL;

    names = strstr((char *)(uintptr_t)read_net(file), head);
    EXPECT(names && (numbers = strstr(names + strlen(head), head)));
    names[strcspn(names, "\n")] = numbers[strcspn(numbers, "\n")] = 0;
    n = strtok_r(names, " ", &n_at);
    v = strtok_r(numbers, " ", &v_at);
    while (n && v && strcmp(n, name)) {
        n = strtok_r(NULL, " ", &n_at);
        v = strtok_r(NULL, " ", &v_at);
    }
    EXPECT(n && v);
    return strtoul(v, NULL, 10);
}

/* snmp6 has a line for each. */
static unsigned long number6(const char *name)
{
    const char *at = strstr(read_net("snmp6"), name);

    EXPECT(at);
    return strtoul(at + strcspn(at, " \t"), NULL, 10);
}

TEST(datagrams_are_counted)
{
    int to, from;

    own_net();
    to = socket(AF_INET, SOCK_DGRAM, 0);
    from = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(number("snmp", "Udp:", "OutDatagrams") == 0);
    EXPECT(!bind_at(to, "127.0.0.1", 0) && !connect_at(from, "127.0.0.1", port_of(to)));
    for (int i = 0; i < 3; i++) {
        EXPECT(send(from, "x", 1, 0) == 1);
        EXPECT(recv(to, text, 1, 0) == 1);
    }
    EXPECT(number("snmp", "Udp:", "OutDatagrams") == 3);
    EXPECT(number("snmp", "Udp:", "InDatagrams") == 3 && number6("Udp6InDatagrams") == 0);
    EXPECT(number("snmp", "Udp:", "NoPorts") == 0);
    close(to);
    EXPECT(send(from, "x", 1, 0) == 1);
    EXPECT(number("snmp", "Udp:", "NoPorts") == 1);
}

TEST(datagrams_of_ipv6_are_counted_apart)
{
    int to, from;

    own_net();
    to = socket(AF_INET6, SOCK_DGRAM, 0);
    from = socket(AF_INET6, SOCK_DGRAM, 0);
    EXPECT(!bind_at(to, "::1", 0) && !connect_at(from, "::1", port_of(to)));
    EXPECT(send(from, "x", 1, 0) == 1 && recv(to, text, 1, 0) == 1);
    EXPECT(number6("Udp6OutDatagrams") == 1 && number6("Udp6InDatagrams") == 1);
    EXPECT(number("snmp", "Udp:", "InDatagrams") == 0);
}

TEST(what_has_no_place_is_counted)
{
    int to, from, lost = 0;

    own_net();
    to = socket(AF_INET, SOCK_DGRAM, 0);
    from = socket(AF_INET, SOCK_DGRAM, 0);
    set(to, SOL_SOCKET, SO_RCVBUF, 4096);
    EXPECT(!bind_at(to, "127.0.0.1", 0) && !connect_at(from, "127.0.0.1", port_of(to)));
    for (int i = 0; i < 100; i++)
        EXPECT(send(from, text, 1000, 0) == 1000);
    lost = (int)number("snmp", "Udp:", "RcvbufErrors");
    EXPECT(lost > 50 && lost < 100 && number("snmp", "Udp:", "InErrors") == (unsigned long)lost);
}

TEST(connections_are_counted)
{
    int l, c, a;

    own_net();
    l = socket(AF_INET, SOCK_STREAM, 0);
    c = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(!bind_at(l, "127.0.0.1", 0) && !listen(l, 4));
    EXPECT(!connect_at(c, "127.0.0.1", port_of(l)) && (a = accept(l, NULL, NULL)) >= 0);
    EXPECT(number("snmp", "Tcp:", "ActiveOpens") == 1);
    EXPECT(number("snmp", "Tcp:", "PassiveOpens") == 1);
    EXPECT(number("snmp", "Tcp:", "CurrEstab") == 2);
    EXPECT(number("netstat", "TcpExt:", "ListenOverflows") == 0);
    EXPECT(number("netstat", "TcpExt:", "SyncookiesSent") == 0);
}

TEST(echoes_are_counted)
{
    char ask[8] = {8, 0, 0, 0, 0, 0, 0, 1};
    int s;

    own_net();
    put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    EXPECT(s >= 0 && !connect_at(s, "127.0.0.1", 0));
    EXPECT(send(s, ask, 8, 0) == 8 && recv(s, ask, 8, 0) == 8);
    EXPECT(number("snmp", "Icmp:", "InMsgs") == 2 && number("snmp", "Icmp:", "OutMsgs") == 2);
    EXPECT(number("snmp", "Icmp:", "InEchos") == 1 && number("snmp", "Icmp:", "InEchoReps") == 1);
    EXPECT(number("snmp", "Icmp:", "OutEchos") == 1);
    EXPECT(number("snmp", "IcmpMsg:", "InType8") == 1);
    EXPECT(number("snmp", "IcmpMsg:", "OutType0") == 1);
    EXPECT(number("snmp", "Ip:", "InReceives") == 2 && number("snmp", "Ip:", "InDelivers") == 2);
    EXPECT(number("snmp", "Ip:", "OutRequests") == 2);
    EXPECT(number("netstat", "IpExt:", "InOctets") == 56);
    EXPECT(number("snmp", "Ip:", "DefaultTTL") == 64);
}

TEST(a_namespace_has_counts_of_its_own)
{
    own_net();
    EXPECT(number("snmp", "Ip:", "InReceives") == 0 && number("snmp", "Udp:", "InDatagrams") == 0);
    EXPECT(number("snmp", "Tcp:", "ActiveOpens") == 0 && number6("Ip6InReceives") == 0);
}

/* ---- protocols, ptype, mcfilter, softnet_stat ---- */

/* Of a line that begins with `name` and a blank: its column, from 0 on. */
static long column(const char *file, const char *name, int nth)
{
    char *line, *at = NULL, *word;

    for (line = strtok_r((char *)(uintptr_t)read_net(file), "\n", &at); line;
         line = strtok_r(NULL, "\n", &at)) {
        if (strncmp(line, name, strlen(name)) || line[strlen(name)] != ' ')
            continue;
        word = strtok(line, " ");
        while (word && nth--)
            word = strtok(NULL, " ");
        EXPECT(word);
        return strtol(word, NULL, 0);
    }
    return -1;
}

TEST(protocols_say_how_many_sockets_there_are)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int s, s6;

    own_net();
    EXPECT(
        !strncmp(read_net("protocols"), "protocol  size sockets  memory press maxhdr  slab", 49));
    EXPECT(column("protocols", "TCP", 2) == 0 && column("protocols", "UDPv6", 2) == 0);
    EXPECT(column("protocols", "PACKET", 2) == 0 && column("protocols", "RAW", 2) == 0);
    EXPECT(column("protocols", "TCP", 1) > 500 && column("protocols", "UNIX", 2) == 0);
    s = socket(AF_INET, SOCK_STREAM, 0);
    s6 = socket(AF_INET6, SOCK_DGRAM, 0);
    EXPECT(!bind_at(s, "127.0.0.1", 0) && !listen(s, 1) && !bind(s6, (void *)&a, sizeof(a)));
    EXPECT(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0);
    EXPECT(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)) >= 0 &&
           socket(AF_PACKET, SOCK_RAW, 0) >= 0);
    EXPECT(socket(AF_UNIX, SOCK_STREAM, 0) >= 0 && socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 &&
           socket(AF_UNIX, SOCK_SEQPACKET, 0) >= 0);
    EXPECT(column("protocols", "TCP", 2) == 1 && column("protocols", "TCPv6", 2) == 0);
    EXPECT(column("protocols", "UDPv6", 2) == 1 && column("protocols", "UDP", 2) == 0);
    EXPECT(column("protocols", "PACKET", 2) == 2 && column("protocols", "RAW", 2) == 1);
    EXPECT(column("protocols", "UNIX-STREAM", 2) == 1 && column("protocols", "UNIX", 2) == 2);
    close(s);
    EXPECT(unshare(CLONE_NEWNET) == 0 && column("protocols", "RAW", 2) == 0);
}

TEST(ptype_says_who_gets_frames)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int s;

    own_net();
    EXPECT(strstr(read_net("ptype"), "Type Device      Function\n") == text);
    EXPECT(strstr(text, "0800          ip_rcv\n") && strstr(text, "86dd          ipv6_rcv\n"));
    EXPECT(strstr(text, "0806          arp_rcv\n") && !strstr(text, "lo"));
    s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    EXPECT(s >= 0 && strstr(read_net("ptype"), "ALL           packet_rcv\n"));
    a.sll_ifindex = (int)if_nametoindex("lo");
    EXPECT(!bind(s, (void *)&a, sizeof(a)));
    EXPECT(strstr(read_net("ptype"), "ALL  lo       packet_rcv\n"));
    EXPECT(unshare(CLONE_NEWNET) == 0 && !strstr(read_net("ptype"), "packet_rcv"));
}

/* A socket that blocks a source of 239.1.1.1 at lo, or wants to hear it alone. */
static int choosy(int option)
{
    struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.1.1.1"),
                             .imr_address.s_addr = inet_addr("127.0.0.1")};
    struct ip_mreq_source m = {.imr_multiaddr = group.imr_multiaddr,
                               .imr_interface = group.imr_address,
                               .imr_sourceaddr.s_addr = inet_addr("10.0.0.9")};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    if (option == IP_BLOCK_SOURCE)
        EXPECT(!setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
    EXPECT(!setsockopt(s, IPPROTO_IP, option, &m, sizeof(m)));
    return s;
}

TEST(mcfilter_says_whom_sockets_do_not_want_to_hear)
{
    const char *head = "Idx Device        MCA        SRC    INC    EXC\n";
    int s;

    own_net();
    EXPECT(!strcmp(read_net("mcfilter"), head));
    EXPECT(!strcmp(read_net("mcfilter6"), "Idx Device                Multicast Address"
                                          "                   Source Address    INC    EXC\n"));
    s = choosy(IP_BLOCK_SOURCE);
    EXPECT(strstr(read_net("mcfilter"), "  1     lo 0xef010101 0x0a000009      0      1\n"));
    choosy(IP_BLOCK_SOURCE);
    choosy(IP_ADD_SOURCE_MEMBERSHIP);
    EXPECT(strstr(read_net("mcfilter"), "  1     lo 0xef010101 0x0a000009      1      2\n"));
    close(s);
    EXPECT(strstr(read_net("mcfilter"), "  1     lo 0xef010101 0x0a000009      1      1\n"));
    EXPECT(unshare(CLONE_NEWNET) == 0 && !strcmp(read_net("mcfilter"), head));
}

TEST(mcfilter6_says_the_same_of_ipv6)
{
    struct group_source_req r = {.gsr_interface = 1};
    struct sockaddr_in6 *group = (void *)&r.gsr_group, *source = (void *)&r.gsr_source;
    int s;

    own_net();
    s = socket(AF_INET6, SOCK_DGRAM, 0);
    group->sin6_family = source->sin6_family = AF_INET6;
    EXPECT(inet_pton(AF_INET6, "ff15::7", &group->sin6_addr) == 1);
    EXPECT(inet_pton(AF_INET6, "2001:db8::9", &source->sin6_addr) == 1);
    EXPECT(!setsockopt(s, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, &r, sizeof(r)));
    EXPECT(strstr(read_net("mcfilter6"), "  1     lo ff150000000000000000000000000007 "
                                         "20010db8000000000000000000000009      1      0\n"));
}

/* Frames that all processors have received. */
static unsigned long frames(void)
{
    char *line, *at = NULL;
    unsigned long sum = 0;

    for (line = strtok_r((char *)(uintptr_t)read_net("softnet_stat"), "\n", &at); line;
         line = strtok_r(NULL, "\n", &at)) {
        EXPECT(strlen(line) >= 13 * 9 - 1 && line[8] == ' ' && line[12 * 9 - 1] == ' ');
        sum += strtoul(line, NULL, 16);
    }
    return sum;
}

TEST(softnet_stat_counts_frames)
{
    char ask[8] = {8, 0, 0, 0, 0, 0, 0, 1};
    unsigned long before;
    int s;

    own_net();
    put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    EXPECT(s >= 0 && !connect_at(s, "127.0.0.1", 0));
    before = frames();
    EXPECT(send(s, ask, 8, 0) == 8 && recv(s, ask, 8, 0) == 8);
    EXPECT(frames() >= before + 2);
}
