// SPDX-License-Identifier: MIT
// bothy net: links, addresses, routes, leases and names at a glance. The first three are the
// kernel's (rtnetlink), the others what netd has written into /run/net.
#include "cli/cli.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/netlink.h"
#include "lib/str.h"

#define NET_DIR "/run/net"
#define NET_FILE_MAX (1 << 20)
#define NET_LINKS 256

struct net_link {
    int index;
    uint32_t flags, mtu;
    char name[IFNAMSIZ], mac[18];
    struct buf addresses;
};

static struct {
    struct net_link link[NET_LINKS];
    size_t links;
    struct table routes;
    struct json *state; /* netd's, or NULL */
} net;

static void net_read_link(const struct nl_part *p, void *arg)
{
    struct nl_span a[IFLA_OPERSTATE + 1];
    struct net_link *l = &net.link[net.links];
    struct ifinfomsg head;

    if (net.links == NET_LINKS || p->type != RTM_NEWLINK ||
        !nl_index(p->data, p->len, sizeof(head), a, IFLA_OPERSTATE + 1))
        return;
    memcpy(&head, p->data, sizeof(head));
    l->index = head.ifi_index;
    l->flags = head.ifi_flags;
    l->mtu = nl_u32(a[IFLA_MTU], 0);
    nl_text(a[IFLA_IFNAME], l->name, sizeof(l->name));
    strcpy(l->mac, "-");
    if (a[IFLA_ADDRESS].len == 6 && !(l->flags & IFF_LOOPBACK)) {
        const uint8_t *m = a[IFLA_ADDRESS].data;

        snprintf(l->mac, sizeof(l->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
                 m[4], m[5]);
    }
    net.links++;
}

static struct net_link *net_link_of(uint32_t index)
{
    for (size_t i = 0; i < net.links; i++)
        if ((uint32_t)net.link[i].index == index)
            return &net.link[i];
    return NULL;
}

/* Its text, "" when the attribute is none. */
static const char *net_address(int family, struct nl_span a, char out[INET6_ADDRSTRLEN])
{
    if (a.len != (family == AF_INET6 ? 16u : 4u) || !a.data ||
        !inet_ntop(family, a.data, out, INET6_ADDRSTRLEN))
        out[0] = 0;
    return out;
}

static void net_read_address(const struct nl_part *p, void *arg)
{
    struct nl_span a[IFA_FLAGS + 1];
    char text[INET6_ADDRSTRLEN];
    struct ifaddrmsg head;
    struct net_link *l;
    uint32_t flags;

    if (p->type != RTM_NEWADDR || !nl_index(p->data, p->len, sizeof(head), a, IFA_FLAGS + 1))
        return;
    memcpy(&head, p->data, sizeof(head));
    l = net_link_of(head.ifa_index);
    flags = nl_u32(a[IFA_FLAGS], head.ifa_flags);
    if (!l ||
        !*net_address(head.ifa_family, a[IFA_LOCAL].data ? a[IFA_LOCAL] : a[IFA_ADDRESS], text))
        return;
    buf_fmt(&l->addresses, "%s%s/%u%s", l->addresses.len ? " " : "", text, head.ifa_prefixlen,
            flags & IFA_F_DADFAILED   ? " (taken)"
            : flags & IFA_F_TENTATIVE ? " (tentative)"
                                      : "");
}

static const char *net_protocol(unsigned protocol)
{
    switch (protocol) {
    case RTPROT_KERNEL:
        return "kernel";
    case RTPROT_BOOT:
        return "boot";
    case RTPROT_STATIC:
        return "static";
    case RTPROT_RA:
        return "ra";
    case RTPROT_DHCP:
        return "dhcp";
    }
    return "-";
}

static void net_read_route(const struct nl_part *p, void *arg)
{
    struct nl_span a[RTA_TABLE + 1];
    char to[INET6_ADDRSTRLEN], via[INET6_ADDRSTRLEN];
    const struct net_link *l;
    struct rtmsg head;

    if (p->type != RTM_NEWROUTE || !nl_index(p->data, p->len, sizeof(head), a, RTA_TABLE + 1))
        return;
    memcpy(&head, p->data, sizeof(head));
    l = net_link_of(nl_u32(a[RTA_OIF], 0));
    if (nl_u32(a[RTA_TABLE], head.rtm_table) != RT_TABLE_MAIN || head.rtm_type != RTN_UNICAST || !l)
        return;
    net_address(head.rtm_family, a[RTA_DST], to);
    net_address(head.rtm_family, a[RTA_GATEWAY], via);
    table_cell(&net.routes, head.rtm_dst_len              ? str_fmt("%s/%u", to, head.rtm_dst_len)
                            : head.rtm_family == AF_INET6 ? str_dup("default (IPv6)")
                                                          : str_dup("default"));
    table_cell(&net.routes, str_dup(*via ? via : "-"));
    table_cell(&net.routes, str_dup(l->name));
    table_cell(&net.routes, str_fmt("%u", nl_u32(a[RTA_PRIORITY], 0)));
    table_cell(&net.routes, str_dup(net_protocol(head.rtm_protocol)));
}

static int net_dump(int fd, uint16_t type, const void *head, size_t size,
                    void (*fn)(const struct nl_part *p, void *arg))
{
    struct nl_msg m;

    nl_begin(&m, type, 0, head, size);
    return nl_dump(fd, &m, fn, NULL);
}

/* All of the kernel's; what of it cannot be had is missing. */
static int net_read_kernel(void)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    int fd = nl_open(0), err;

    if (fd < 0)
        return fd;
    err =
        net_dump(fd, RTM_GETLINK, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg), net_read_link);
    for (int i = 0; i < 2 && !err; i++) {
        struct ifaddrmsg address = {.ifa_family = families[i]};
        struct rtmsg route = {.rtm_family = families[i]};

        net_dump(fd, RTM_GETADDR, &address, sizeof(address), net_read_address);
        net_dump(fd, RTM_GETROUTE, &route, sizeof(route), net_read_route);
    }
    close(fd);
    return err;
}

static struct json *net_read_state(const char *dir)
{
    struct buf text = {0};
    char *path = str_fmt("%s/state.json", dir);
    struct json *j = NULL;

    if (file_read(path, NET_FILE_MAX, &text) == 0)
        j = json_parse(text.data, text.len, NULL);
    buf_free(&text);
    free(path);
    return j;
}

static const struct json *net_state_of(const char *name)
{
    for (const struct json *d = json_list(net.state, "devices"); d; d = d->next)
        if (json_str(d, "name") && !strcmp(json_str(d, "name"), name))
            return d;
    return NULL;
}

/* "dhcp from 10.0.2.2, 23 hours left", "dhcp selecting", "static", "ra from fe80::2"; "-" when netd
 * leaves it alone. */
static char *net_how(const char *name)
{
    const struct json *d = net_state_of(name), *lease = json_get(d, "dhcp4"),
                      *ra = json_get(d, "ra");
    int64_t ends = json_int(lease, "ends", 0);
    struct buf b = {0};
    char span[64] = "";

    if (json_bool(d, "static"))
        buf_str(&b, "static");
    if (lease && json_str(lease, "server")) {
        time_span(span, sizeof(span), (ends - (int64_t)time_now_ms()) / 1000);
        buf_fmt(&b, "%sdhcp from %s, %s", b.len ? "; " : "", json_str(lease, "server"),
                ends ? span : "for ever");
        if (ends)
            buf_str(&b, " left");
    } else if (lease) {
        buf_fmt(&b, "%sdhcp %s", b.len ? "; " : "", json_str(lease, "state"));
    }
    if (ra && json_str(ra, "router"))
        buf_fmt(&b, "%sra from %s", b.len ? "; " : "", json_str(ra, "router"));
    if (!b.len)
        buf_char(&b, '-');
    return buf_take(&b);
}

static void net_title(struct table *t, const char *const *titles, size_t n)
{
    t->columns = n;
    for (size_t i = 0; i < n; i++)
        table_cell(t, str_dup(titles[i]));
}

static void net_show_links(void)
{
    static const char *const titles[] = {"LINK", "STATE", "MAC", "MTU", "HOW", "ADDRESSES"};
    struct table t = {0};

    net_title(&t, titles, 6);
    for (size_t i = 0; i < net.links; i++) {
        struct net_link *l = &net.link[i];

        table_cell(&t, str_dup(l->name));
        table_cell(&t, str_dup(!(l->flags & IFF_UP)     ? "off"
                               : l->flags & IFF_RUNNING ? "up"
                                                        : "no carrier"));
        table_cell(&t, str_dup(l->mac));
        table_cell(&t, str_fmt("%u", l->mtu));
        table_cell(&t, net_how(l->name));
        table_cell(&t, l->addresses.len ? buf_take(&l->addresses) : str_dup("-"));
    }
    table_print(&t);
}

/* The host's name, then the lines of resolv.conf that are no comments. */
static void net_show_names(const char *dir)
{
    char host[256] = "", *path = str_fmt("%s/resolv.conf", dir), *save, *line;
    struct buf text = {0};

    gethostname(host, sizeof(host) - 1);
    printf("\nhost %s\n", host);
    if (file_read(path, NET_FILE_MAX, &text) == 0)
        for (line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            if (*line != '#')
                puts(line);
    buf_free(&text);
    free(path);
}

static void net_show_clock(void)
{
    const struct json *clock = json_get(net.state, "clock");
    int64_t at = json_int(clock, "at", 0), off = json_int(clock, "offset_us", 0);
    const char *server = json_str(clock, "server"), *name = json_str(clock, "name");
    char span[64];

    for (const struct json *j = json_list(clock, "unknown"); j; j = j->next)
        printf("clock: no address of %s is known\n", j->str);
    if (!server)
        return;
    printf("clock %s %s%s%s%s", at ? "by" : "asks", server, name ? " (" : "", name ? name : "",
           name ? ")" : "");
    if (at) {
        time_span(span, sizeof(span), ((int64_t)time_now_ms() - at) / 1000);
        printf(", was %s%lld.%03lld ms off, %s ago", off < 0 ? "-" : "", llabs(off) / 1000,
               llabs(off) % 1000, span);
    }
    putchar('\n');
}

/* What of the configuration netd has not understood: last, so that it is seen. */
static void net_show_wrong(void)
{
    int64_t more = json_int(net.state, "more_wrong", 0);

    for (const struct json *j = json_list(net.state, "absent"); j; j = j->next)
        printf("configuration: no device for the rule of %s\n", j->str);
    for (const struct json *j = json_list(net.state, "wrong"); j; j = j->next)
        printf("configuration: %s\n", j->str);
    if (more)
        printf("configuration: and %lld more\n", (long long)more);
}

int verb_net(int argc, char **argv)
{
    static const char *const titles[] = {"ROUTE", "VIA", "LINK", "METRIC", "BY"};
    const char *dir = NET_DIR;
    const struct opt opts[] = {{0, "dir", OPT_STR, &dir}};
    int err;

    opt_operands("net", argc - opt_parse("net", opts, 1, argc, argv, true), 0, 0);
    net_title(&net.routes, titles, 5);
    net.state = net_read_state(dir);
    err = net_read_kernel();
    if (err) {
        fprintf(stderr, "bothy: the kernel's network: %s\n", strerror(-err));
        return 1;
    }
    net_show_links();
    putchar('\n');
    table_print(&net.routes);
    net_show_names(dir);
    net_show_clock();
    net_show_wrong();
    json_free(net.state);
    return 0;
}
