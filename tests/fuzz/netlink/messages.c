/* SPDX-License-Identifier: MIT
 *
 * A message by its form, and what spoils one.
 */
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

#define NEST_MOST 4
#define RARE 1 /* a likelihood: most messages have none of those */

static void *space(struct message *m, unsigned n)
{
    void *at = m->bytes + m->n;

    if (m->n + n > MESSAGE_MOST)
        return NULL;
    memset(at, 0, n);
    m->n += n;
    return at;
}

static void put(struct message *m, const void *data, unsigned n)
{
    void *at = space(m, n);

    if (at)
        memcpy(at, data, n);
}

static void put_u32(struct message *m, uint32_t v)
{
    put(m, &v, sizeof(v));
}

static void align(struct message *m)
{
    space(m, -m->n & 3);
}

const char *net_name(struct chance *c)
{
    static const char *const names[] = {"d0", "d1", "d2", "d3", "d4", "lo", "d%d", "t0"};

    return chance_of(c, 12) ? value_name(c) : names[chance_below(c, 8)];
}

static uint32_t index_of(struct chance *c)
{
    return chance_of(c, 16) ? value_int(c) : (uint32_t)chance_below(c, 6);
}

unsigned net_address(struct chance *c, int family, uint8_t *out)
{
    uint32_t low = (uint32_t)chance_below(c, 4);

    memset(out, 0, 16);
    if (chance_of(c, 16)) {
        for (unsigned i = 0; i < 16; i++)
            out[i] = (uint8_t)chance_u64(c);
    } else if (family == AF_INET6) {
        out[0] = chance_of(c, 3) ? 0xfe : chance_of(c, 8) ? 0xff : 0xfd;
        out[1] = out[0] == 0xfe ? 0x80 : 2;
        out[7] = (uint8_t)chance_below(c, 2);
        out[15] = (uint8_t)low;
    } else {
        uint8_t v4[4] = {chance_of(c, 6)    ? 127
                         : chance_of(c, 12) ? 224
                                            : 10,
                         0, (uint8_t)chance_below(c, 2), (uint8_t)low};

        memcpy(out, v4, 4);
    }
    return family == AF_INET6 ? 16 : 4;
}

static int family_of(const struct message *m)
{
    return m->n > NLMSG_HDRLEN && m->bytes[NLMSG_HDRLEN] == AF_INET6 ? AF_INET6 : AF_INET;
}

/* A value that fits the place, mostly small. */
static uint32_t word_of(struct chance *c)
{
    static const uint32_t plausible[] = {0,   1,    2,    68,   253,   254,
                                         255, 1280, 1400, 1500, 65535, 65536};

    return chance_of(c, 4) ? value_int(c) : plausible[chance_below(c, 12)];
}

/* ---- attributes ---- */

static void put_attrs(struct chance *c, struct message *m, const struct attr_form *f,
                      unsigned depth);

static void put_bytes(struct chance *c, struct message *m)
{
    unsigned n = (unsigned)chance_below(c, chance_of(c, 8) ? 2000 : 40);
    uint8_t *at = space(m, n);

    for (unsigned i = 0; at && i < n; i++)
        at[i] = (uint8_t)chance_u64(c);
}

static void put_hops(struct chance *c, struct message *m, const struct attr_form *f, unsigned depth)
{
    for (unsigned n = (unsigned)chance_below(c, 4); n; n--) {
        uint32_t begin = m->n;
        struct rtnexthop h = {.rtnh_hops = (uint8_t)chance_below(c, 5),
                              .rtnh_ifindex = (int)index_of(c),
                              .rtnh_flags = chance_of(c, 6) ? (uint8_t)chance_u64(c) : 0};

        put(m, &h, sizeof(h));
        put_attrs(c, m, f, depth + 1);
        h.rtnh_len = (uint16_t)(chance_of(c, 10) ? value_int(c) : m->n - begin);
        if (begin + sizeof(h) <= m->n)
            memcpy(m->bytes + begin, &h, sizeof(h));
    }
}

/* A program of inet_diag's: comparisons of ports one after the other, some with jumps of any
 * length. */
static void put_filter(struct chance *c, struct message *m)
{
    unsigned n = 1 + (unsigned)chance_below(c, chance_of(c, 8) ? 200 : 4);

    for (unsigned i = 0; i < n; i++) {
        struct inet_diag_bc_op op[2] = {
            {(uint8_t)chance_below(c, 14), 8, (uint16_t)(chance_of(c, 3) ? value_int(c) : 12)},
            {0, 0, (uint16_t)chance_below(c, 65536)}};

        if (i + 1 < n && !chance_of(c, 3))
            op[0].no = 8;
        put(m, op, sizeof(op));
    }
}

static const char *kind_of(struct chance *c)
{
    static const char *const kinds[] = {"dummy",  "dummy", "dummy", "vlan",    "veth",
                                        "bridge", "tun",   "ifb",   "macvlan", "nonsense"};

    return kinds[chance_below(c, 10)];
}

static void put_text(struct message *m, const char *text)
{
    put(m, text, (unsigned)strnlen(text, 200) + 1);
}

static void put_value(struct chance *c, struct message *m, const struct attr_form *f,
                      unsigned depth)
{
    uint64_t word = chance_of(c, 4) ? value_word(c) : word_of(c);
    uint8_t addr[16];

    switch (f->kind) {
    case V_U8:
        put(m, &word, 1);
        break;
    case V_U16:
        put(m, &word, 2);
        break;
    case V_U32:
        put(m, &word, 4);
        break;
    case V_U64:
        put(m, &word, 8);
        break;
    case V_INDEX:
        put_u32(m, index_of(c));
        break;
    case V_NAME:
        put_text(m, net_name(c));
        break;
    case V_TEXT:
        put_text(m, chance_of(c, 3) ? value_name(c) : chance_of(c, 2) ? "nlctrl" : "arp_cache");
        break;
    case V_KIND:
        put_text(m, kind_of(c));
        break;
    case V_ADDR:
        put(m, addr, net_address(c, family_of(m), addr));
        break;
    case V_LINK:
        word = 0x0302 | chance_below(c, 4) << 40 | (chance_of(c, 10) ? 1 : 0);
        put(m, &word, 6);
        break;
    case V_NS:
        put_u32(m, (uint32_t)(chance_of(c, 8) ? object_any(c)
                                              : shared.ns[chance_below(c, NAMESPACES)]));
        break;
    case V_PID:
        put_u32(m, (uint32_t)(chance_of(c, 2) ? getpid() : getppid()));
        break;
    case V_BYTES:
        put_bytes(c, m);
        break;
    case V_NEST:
        put_attrs(c, m, f->in, depth + 1);
        break;
    case V_HOPS:
        put_hops(c, m, f->in, depth + 1);
        break;
    case V_FILTER:
        put_filter(c, m);
        break;
    default: /* V_FLAG */
        break;
    }
}

static void put_attrs(struct chance *c, struct message *m, const struct attr_form *f,
                      unsigned depth)
{
    for (; f->likely && depth < NEST_MOST; f++) {
        struct rtattr a = {0, f->type};
        uint32_t begin;

        if (f->likely == RARE ? !chance_of(c, 30) : chance_below(c, 8) >= f->likely)
            continue;
        align(m);
        begin = m->n;
        put(m, &a, sizeof(a));
        put_value(c, m, f, depth);
        if (begin + sizeof(a) > m->n)
            return;
        a.rta_len = (uint16_t)(m->n - begin);
        memcpy(m->bytes + begin, &a, sizeof(a));
    }
    align(m);
}

/* ---- the message ---- */

static uint32_t link_flags(struct chance *c)
{
    return chance_of(c, 6) ? value_flags(c) : chance_of(c, 2) ? IFF_UP : 0;
}

static void put_letter(struct chance *c, struct message *m, char letter)
{
    static const uint8_t families[] = {AF_INET, AF_INET6, AF_INET, AF_INET6,
                                       AF_INET, AF_INET6, 0,       17};
    static const uint8_t protocols[] = {6, 17, 255, 6, 58, 0, 132, 16};
    static const uint8_t tables[] = {254, 255, 0, 100, 253};
    uint64_t word = 0;
    uint8_t addr[16];
    unsigned n = 1;

    switch (letter) {
    case 'f':
        word = families[chance_below(c, 8)];
        break;
    case 'b':
        word = chance_of(c, 6) ? chance_u64(c) : chance_below(c, 6);
        break;
    case 'p':
        word = chance_of(c, 6) ? chance_u64(c) : 8 * chance_below(c, 5);
        break;
    case 't':
        word = tables[chance_below(c, 5)];
        break;
    case 'P':
        word = chance_of(c, 8) ? 255 : protocols[chance_below(c, 8)];
        break;
    case 'U':
        word = AF_UNIX;
        break;
    case 'K':
        word = AF_PACKET;
        break;
    case 'N':
        word = AF_NETLINK;
        break;
    case 'h':
        n = 2;
        word = chance_of(c, 4) ? chance_u64(c) : 0;
        break;
    case 'o':
        n = 2;
        word = htons((uint16_t)(chance_of(c, 2) ? 0 : 5000 + chance_below(c, 4)));
        break;
    case 'i':
        n = 4;
        word = index_of(c);
        break;
    case 'w':
        n = 4;
        word = word_of(c);
        break;
    case 'F':
        n = 4;
        word = link_flags(c);
        break;
    case 'S':
        n = 4;
        word = chance_of(c, 3) ? chance_u64(c) : 0xfff;
        break;
    case 'C':
        n = 8;
        word = chance_of(c, 4) ? chance_u64(c) : ~0ULL;
        break;
    case 'a':
        (void)net_address(c, family_of(m), addr);
        put(m, addr, 16);
        return;
    default:
        break;
    }
    put(m, &word, n);
}

static uint16_t flags_of(struct chance *c, uint16_t type)
{
    uint16_t flags = NLM_F_REQUEST;

    if (chance_of(c, 20))
        return (uint16_t)chance_u64(c);
    if (chance_of(c, 3))
        flags |= NLM_F_ACK;
    if (chance_of(c, 16))
        flags |= NLM_F_ECHO;
    if ((type & 3) == 2 || type == 20)
        flags |= chance_of(c, 3) ? 0 : NLM_F_DUMP;
    else if (chance_of(c, 4))
        flags |= (uint16_t)(chance_u64(c) & 0xf00);
    else
        flags |= NLM_F_CREATE;
    return flags;
}

void message_make(struct chance *c, const struct form *f, struct message *m)
{
    struct nlmsghdr h = {.nlmsg_type = f->type, .nlmsg_seq = (uint32_t)chance_u64(c)};

    m->n = 0;
    h.nlmsg_flags = flags_of(c, f->type);
    put(m, &h, sizeof(h));
    for (const char *l = f->body; *l; l++)
        put_letter(c, m, *l);
    align(m);
    put_attrs(c, m, f->attrs, 0);
    h.nlmsg_len = m->n;
    memcpy(m->bytes, &h, sizeof(h));
}

/* ---- what each process begins with ---- */

static void plain_begin(struct message *m, uint16_t type, const void *body, unsigned n)
{
    struct nlmsghdr h = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE};

    m->n = 0;
    put(m, &h, sizeof(h));
    put(m, body, n);
}

static void plain_attr(struct message *m, uint16_t type, const void *data, unsigned n)
{
    struct rtattr a = {(uint16_t)(sizeof(a) + n), type};

    put(m, &a, sizeof(a));
    put(m, data, n);
    align(m);
}

static void plain_send(int s, struct message *m)
{
    memcpy(m->bytes, &m->n, sizeof(m->n));
    send(s, m->bytes, m->n, MSG_DONTWAIT);
}

void netlink_begin(void)
{
    static const char info[] = "\x0a\0\1\0dummy\0\0"; /* IFLA_INFO_KIND, which ends with zeroes */
    static const uint8_t six[16] = {0xfd, 2, [15] = 1};
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct ifinfomsg up = {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct message m;

    plain_begin(&m, RTM_SETLINK, &up, sizeof(up));
    plain_send(s, &m);
    up.ifi_index = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 2 + i};
        uint8_t four[4] = {10, 0, (uint8_t)i, 1};

        plain_begin(&m, RTM_NEWLINK, &up, sizeof(up));
        plain_attr(&m, 3, i ? "d1" : "d0", 3);
        plain_attr(&m, 18, info, 12);
        plain_send(s, &m);
        plain_begin(&m, RTM_NEWADDR, &a, sizeof(a));
        plain_attr(&m, 2, four, sizeof(four));
        plain_send(s, &m);
        a.ifa_family = AF_INET6;
        a.ifa_prefixlen = 64;
        plain_begin(&m, RTM_NEWADDR, &a, sizeof(a));
        plain_attr(&m, 2, six, i ? 0 : sizeof(six));
        plain_send(s, &m);
    }
    close(s);
}

/* ---- spoiling ---- */

/* Where an attribute begins, by the lengths that there are; at the top alone or, now and then, in a
 * nest. 0: none. */
static uint32_t attr_place(struct chance *c, const struct message *m)
{
    uint32_t at = NLMSG_HDRLEN + 4 * (uint32_t)chance_below(c, 5), found = 0;

    while (at + sizeof(struct rtattr) <= m->n) {
        uint16_t len;

        memcpy(&len, m->bytes + at, sizeof(len));
        if (!found || chance_of(c, 3))
            found = at;
        if (chance_of(c, 4))
            len = sizeof(struct rtattr);
        if (len < sizeof(struct rtattr))
            break;
        at += (len + 3U) & ~3U;
    }
    return found;
}

static void spoil_u16(struct chance *c, struct message *m, uint32_t at)
{
    uint16_t v = (uint16_t)value_int(c), was;

    if (at + sizeof(v) > m->n)
        return;
    memcpy(&was, m->bytes + at, sizeof(was));
    if (chance_of(c, 2))
        v = (uint16_t)(was + chance_below(c, 9) - 4);
    memcpy(m->bytes + at, &v, sizeof(v));
}

static void spoil_length(struct chance *c, struct message *m)
{
    uint32_t v = chance_of(c, 2) ? value_int(c) : m->n + (uint32_t)chance_below(c, 9) - 4;

    memcpy(m->bytes, &v, sizeof(v));
}

/* The rest of the message becomes a nest. */
static void spoil_nest(struct chance *c, struct message *m)
{
    uint32_t at = attr_place(c, m);
    struct rtattr a = {0, (uint16_t)chance_below(c, 64)};

    if (!at || m->n + sizeof(a) > MESSAGE_MOST)
        return;
    memmove(m->bytes + at + sizeof(a), m->bytes + at, m->n - at);
    m->n += sizeof(a);
    a.rta_len = (uint16_t)(m->n - at);
    memcpy(m->bytes + at, &a, sizeof(a));
}

void message_spoil(struct chance *c, struct message *m)
{
    for (unsigned times = 1 + (unsigned)chance_below(c, 3); times && m->n > NLMSG_HDRLEN; times--) {
        uint32_t at = attr_place(c, m);

        switch (chance_below(c, 8)) {
        case 0:
            m->bytes[NLMSG_HDRLEN + chance_below(c, m->n - NLMSG_HDRLEN)] = (uint8_t)chance_u64(c);
            break;
        case 1:
            spoil_u16(c, m, at);
            break;
        case 2:
            spoil_u16(c, m, at + 2);
            break;
        case 3:
            spoil_length(c, m);
            break;
        case 4:
            m->n = (uint32_t)chance_below(c, m->n + 1);
            break;
        case 5:
            spoil_nest(c, m);
            break;
        case 6:
            put_bytes(c, m);
            break;
        default:
            m->bytes[4 + chance_below(c, 4)] = (uint8_t)chance_u64(c); /* type, flags */
            break;
        }
    }
}
