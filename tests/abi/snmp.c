/* SPDX-License-Identifier: MIT
 *
 * /proc/net/snmp, snmp6 and netstat: a namespace's own counts, which grow with what is done.
 */
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
