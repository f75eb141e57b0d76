/* SPDX-License-Identifier: MIT
 *
 * Messages of netlink for the tests: one is put together, sent, and what comes back is taken apart.
 */
#pragma once

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

struct message {
    struct nlmsghdr h;
    char rest[8192];
};

static inline void *message_body(struct message *m)
{
    return NLMSG_DATA(&m->h);
}

static inline void message_begin(struct message *m, int type, int flags, size_t body)
{
    memset(m, 0, sizeof(*m));
    m->h.nlmsg_len = NLMSG_LENGTH(body);
    m->h.nlmsg_type = (uint16_t)type;
    m->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    m->h.nlmsg_seq = 77;
}

static inline void *message_put(struct message *m, int type, const void *data, size_t n)
{
    struct rtattr *a = (void *)((char *)m + NLMSG_ALIGN(m->h.nlmsg_len));

    a->rta_type = (uint16_t)type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    if (n)
        memcpy(RTA_DATA(a), data, n);
    m->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->h.nlmsg_len) + RTA_LENGTH(n));
    return a;
}

static inline void message_nest_end(struct message *m, struct rtattr *a)
{
    a->rta_len = (uint16_t)((char *)m + m->h.nlmsg_len - (char *)a);
}

static inline int netlink_open(int protocol)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

    EXPECT(s >= 0 && !bind(s, (void *)&a, sizeof(a)));
    return s;
}

static inline void netlink_send(int s, const struct message *m)
{
    EXPECT(send(s, m, m->h.nlmsg_len, 0) == (ssize_t)m->h.nlmsg_len);
}

/* The error of the acknowledgment that comes next. */
static inline int netlink_error(int s)
{
    static struct message got;
    ssize_t n = recv(s, &got, sizeof(got), 0);

    EXPECT(n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && got.h.nlmsg_type == NLMSG_ERROR);
    return -((struct nlmsgerr *)NLMSG_DATA(&got.h))->error;
}

static inline int netlink_ask(int s, struct message *m)
{
    m->h.nlmsg_flags |= NLM_F_ACK;
    netlink_send(s, m);
    return netlink_error(s);
}

/* How many messages of a dump `counts` says yes to; NULL: all. Negative: the error that ended it.
 */
static inline int netlink_dump(int s, const struct message *m,
                               bool (*counts)(struct nlmsghdr *h, const void *arg), const void *arg)
{
    static struct message got;
    int n = 0;

    netlink_send(s, m);
    for (;;) {
        int left = (int)recv(s, &got, sizeof(got), 0);

        EXPECT(left > 0);
        for (struct nlmsghdr *h = &got.h; NLMSG_OK(h, (unsigned)left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return *(int *)NLMSG_DATA(h) ? *(int *)NLMSG_DATA(h) : n;
            EXPECT(h->nlmsg_type != NLMSG_ERROR);
            n += !counts || counts(h, arg);
        }
    }
}

static inline struct rtattr *attr_find(struct nlmsghdr *h, size_t body, int type)
{
    struct rtattr *a = (void *)((char *)h + NLMSG_LENGTH(NLMSG_ALIGN(body)));
    int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(body));

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}

static inline uint32_t attr_u32(struct nlmsghdr *h, size_t body, int type)
{
    struct rtattr *a = attr_find(h, body, type);
    uint32_t v;

    EXPECT(a && RTA_PAYLOAD(a) >= sizeof(v));
    memcpy(&v, RTA_DATA(a), sizeof(v));
    return v;
}

static inline int attr_is(struct nlmsghdr *h, size_t body, int type, const char *text)
{
    struct rtattr *a = attr_find(h, body, type);

    return a && RTA_PAYLOAD(a) == strlen(text) + 1 && !memcmp(RTA_DATA(a), text, strlen(text) + 1);
}

/* A device of that kind, up or not: the error. */
static inline int link_add(int s, const char *name, const char *kind, bool up)
{
    struct message m;
    struct ifinfomsg *i = message_body(&m);
    struct rtattr *info;

    message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*i));
    i->ifi_flags = i->ifi_change = up ? IFF_UP : 0;
    message_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
    info = message_put(&m, IFLA_LINKINFO, NULL, 0);
    message_put(&m, IFLA_INFO_KIND, kind, strlen(kind));
    message_nest_end(&m, info);
    return netlink_ask(s, &m);
}

static inline int link_flags(int s, const char *name, unsigned flags, unsigned change)
{
    struct message m;
    struct ifinfomsg *i = message_body(&m);

    message_begin(&m, RTM_SETLINK, 0, sizeof(*i));
    i->ifi_index = (int)if_nametoindex(name);
    i->ifi_flags = flags;
    i->ifi_change = change;
    return netlink_ask(s, &m);
}

static inline int link_delete(int s, const char *name)
{
    struct message m;

    message_begin(&m, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
    message_put(&m, IFLA_IFNAME, name, strlen(name) + 1);
    return netlink_ask(s, &m);
}

/* An address of either family for a device, of use at once. n: an rtnetlink socket. */
static inline void address_add(int n, const char *name, const char *text, int prefix)
{
    struct message m;
    struct ifaddrmsg *a = message_body(&m);
    unsigned char bytes[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    size_t size = family == AF_INET ? 4 : 16;

    message_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*a));
    a->ifa_family = (unsigned char)family;
    a->ifa_prefixlen = (unsigned char)prefix;
    a->ifa_index = if_nametoindex(name);
    a->ifa_flags = IFA_F_NODAD;
    EXPECT(inet_pton(family, text, bytes) == 1);
    message_put(&m, IFA_LOCAL, bytes, size);
    message_put(&m, IFA_ADDRESS, bytes, size);
    EXPECT(!netlink_ask(n, &m));
}
