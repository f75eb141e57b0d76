/* SPDX-License-Identifier: MIT
 *
 * fuzz_net [--seconds N] [--rounds N] [--seed S] [--grow FILE] [--only ENTRY] CORPUS: the kernel's
 * readers of what comes from a wire or a program, under ASan and UBSan on the host. The corpus'
 * lines ("ENTRY HEX") are run first; then each entry gets inputs made of them, and keeps those that
 * reach code which none before has reached (--grow appends these to a file). An input lies in
 * memory of exactly its size. Prints "ok ENTRY" for each; a finding ends with the report and the
 * input's line, to be put into the corpus. The same seed gives the same run, unless it is for a
 * time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dev/join.h"
#include "dev/packet_words.h"
#include "dev/segment.h"
#include "lib/checksum.h"
#include "lib/wire.h"
#include "net/ip/fragment.h"
#include "net/ip/icmp.h"
#include "net/ip/ipv4.h"
#include "net/ip/ipv6.h"
#include "net/link/arp.h"
#include "net/link/vnet_header.h"
#include "net/netlink/ethtool_ask.h"
#include "net/netlink/ethtool_sets.h"
#include "net/netlink/message.h"
#include "net/tcp/segment.h"

#define INPUT_MOST 1600U
#define KEPT_MOST 2000U
#define ROUNDS 20000U
#define COVER_SIZE (1U << 16)

void __sanitizer_set_death_callback(void (*fn)(void));
void __sanitizer_cov_trace_pc(void);

struct input {
    u32 n;
    u8 bytes[INPUT_MOST];
};
struct entry {
    const char *name;
    void (*run)(const u8 *p, u32 n);
    struct input *kept;
    u32 nr_kept;
    u8 cover[COVER_SIZE];
};

static u64 state = 1;
static struct entry *now_entry;
static struct input now_input;
static bool now_new;

/* ---- what was reached ---- */

/* Called by the code under test at each of its edges. */
void __sanitizer_cov_trace_pc(void)
{
    u64 at = (u64)__builtin_return_address(0) * 0x9e3779b97f4a7c15ULL >> 48;

    if (!now_entry || now_entry->cover[at])
        return;
    now_entry->cover[at] = 1;
    now_new = true;
}

static void input_print(FILE *f, const char *name, const struct input *in)
{
    fprintf(f, "%s ", name);
    for (u32 i = 0; i < in->n; i++)
        fprintf(f, "%02x", in->bytes[i]);
    fprintf(f, "%s\n", in->n ? "" : "-");
}

static void finding(void)
{
    if (!now_entry)
        return;
    printf("FAIL fuzz_net_%s: this line shows it:\n", now_entry->name);
    input_print(stdout, now_entry->name, &now_input);
    fflush(stdout);
}

#define HOLDS(cond)                                                                  \
    do {                                                                             \
        if (!(cond)) {                                                               \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond); \
            finding();                                                               \
            _Exit(1);                                                                \
        }                                                                            \
    } while (0)

void panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    finding();
    _Exit(1);
}

static u32 draw(u32 below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return below ? (u32)(state >> 33) % below : 0;
}

/* n bytes in memory of that size: freed by the caller. */
static u8 *exactly(const u8 *p, u32 n)
{
    u8 *q = malloc(n ? n : 1);

    if (!q)
        abort();
    memcpy(q, p, n);
    return q;
}

/* ---- entries ---- */

static void run_ipv4(const u8 *p, u32 n)
{
    u8 *q = exactly(p, n), built[IPV4_HEADER];
    u32 header = n ? (q[0] & 15U) * 4 : 0;
    struct ipv4 h, again;
    u16 sum;

    if (header >= IPV4_HEADER && header <= n) { /* else no other line of it would be reached */
        memset(q + 10, 0, 2);
        sum = checksum_of(q, header);
        memcpy(q + 10, &sum, sizeof(sum));
    }
    if (!ipv4_parse(q, n, n, &h)) {
        HOLDS(h.header >= IPV4_HEADER && h.header <= h.total && h.total <= n);
        (void)ipv4_source_ok(h.from);
        h.header = IPV4_HEADER;
        ipv4_build(built, &h);
        HOLDS(!ipv4_parse(built, IPV4_HEADER, h.total, &again));
        HOLDS(again.total == h.total && again.fragment == h.fragment && again.more == h.more &&
              again.whole_only == h.whole_only && again.from == h.from && again.to == h.to);
    }
    free(q);
}

static void chain_follow(const u8 *p, u32 n, u32 len)
{
    u8 *q = exactly(p, n);
    struct ipv6_chain c;
    struct ipv6_fragment f;
    enum ipv6_verdict v = ipv6_chain(q, n, len, &c);

    HOLDS(v != IPV6_DELIVER || (c.at >= IPV6_HEADER && c.at <= n));
    if (v == IPV6_FRAGMENT) {
        HOLDS(c.at + IPV6_FRAGMENT_HEADER <= n);
        ipv6_fragment_parse(q + c.at, &f);
        HOLDS(f.offset <= 65528 && f.offset % 8 == 0);
    }
    HOLDS(v != IPV6_PROBLEM || c.at <= len);
    free(q);
}

static void run_ipv6(const u8 *p, u32 n)
{
    struct ipv6 h, again;
    u8 built[IPV6_HEADER];
    u32 len, first;

    if (ipv6_parse(p, MIN(n, (u32)IPV6_HEADER), n, &h))
        return;
    len = h.payload + (u32)IPV6_HEADER;
    first = MIN(len, 160U); /* as much as is linear */
    HOLDS(len <= n);
    (void)ipv6_ends_ok(&h);
    chain_follow(p, len, len);
    chain_follow(p, first, len);
    ipv6_build(built, &h);
    HOLDS(!ipv6_parse(built, IPV6_HEADER, n, &again) && again.payload == h.payload &&
          again.flow == h.flow && again.next == h.next && again.tos == h.tos);
}

static void icmp_check(const u8 *p, u32 n, bool v4)
{
    struct icmp_message m;
    volatile u8 read;

    if (icmp_error_parse(p, n, v4, &m))
        return;
    HOLDS(m.at + 8 <= n && m.error.err > 0 && m.error.mtu <= 65535);
    for (u32 i = 0; i < 8; i++)
        read = p[m.at + i];
    (void)read;
    HOLDS(ip_is_v4(&m.sent.to) == v4 || !v4);
}

static void run_icmp4(const u8 *p, u32 n)
{
    icmp_check(p, n, true);
}

static void run_icmp6(const u8 *p, u32 n)
{
    icmp_check(p, n, false);
}

/* Both addresses, the hop limit, the message. */
static void run_nd(const u8 *p, u32 n)
{
    struct ip_addr from, to;
    u8 *q, out[ND_LENGTH];
    struct nd m;

    if (n < 33)
        return;
    memcpy(&from, p, sizeof(from));
    memcpy(&to, p + 16, sizeof(to));
    q = exactly(p + 33, n - 33);
    if (!nd_parse(q, n - 33, &from, &to, p[32], &m))
        HOLDS(nd_build(out, &m) <= ND_LENGTH);
    free(q);
}

/* Fragments: each four bytes are one, offset and length in eights, and the end. */
static void run_reassembly(const u8 *p, u32 n)
{
    static u8 map[8192 + 1];
    struct fragments f = {0};
    u32 at, have = 0, end = 0;

    memset(map, 0, sizeof(map));
    for (u32 i = 0; i + 4 <= n; i += 4) {
        u32 from = wire_u16(p + i) & 0x1fff, len = wire_u16(p + i + 2) & 0x7fff;
        bool more = p[i] & 0x80;
        enum fragment_verdict v = fragments_add(&f, from * 8, len, more, 65515, &at);

        if (v == FRAGMENT_SPOILT)
            return;
        if (v == FRAGMENT_DROP)
            continue;
        HOLDS(f.nr <= FRAGMENT_PIECES && at < f.nr && from * 8 + len <= 65515);
        for (u32 k = from; k < from + (len + 7) / 8; k++, have++)
            HOLDS(!map[k]++);
        end = more ? end : from + (len + 7) / 8;
        HOLDS((v == FRAGMENT_WHOLE) == (end && have == end));
        if (v == FRAGMENT_WHOLE)
            return;
    }
}

static void netlink_values(const struct nl_rule *rules, const struct nl_attr *a, u32 nr,
                           const u8 *body, u32 len)
{
    char text[64];

    for (u32 i = 0; i < nr; i++) {
        u32 at = 0;
        u16 type;
        struct nl_attr inner;

        if (!nl_has(&a[i]))
            continue;
        HOLDS(a[i].data >= body && a[i].data + a[i].len <= body + len);
        if (rules[i].kind == NL_TEXT)
            HOLDS(nl_text(&a[i], text, sizeof(text)) < sizeof(text));
        if (rules[i].kind == NL_U32)
            (void)nl_u32(&a[i]);
        if (rules[i].kind == NL_U16)
            (void)nl_u16(&a[i]);
        if (rules[i].kind == NL_U8)
            (void)nl_u8(&a[i]);
        while (rules[i].kind == NL_NEST && nl_attr_next(a[i].data, a[i].len, &at, &type, &inner))
            HOLDS(inner.data >= a[i].data && inner.data + inner.len <= a[i].data + a[i].len);
    }
}

static void run_netlink(const u8 *p, u32 n)
{
    static const struct nl_rule rules[] = {
        [1] = {NL_BYTES, 4, 16}, [2] = {NL_U32, 0, 0},   [3] = {NL_TEXT, 1, 15},
        [4] = {NL_U16, 0, 0},    [5] = {NL_NEST, 0, 0},  [6] = {NL_U8, 0, 0},
        [7] = {NL_U64, 0, 0},    [8] = {NL_BYTES, 8, 0}, [9] = {NL_REFUSED, 0, 0},
    };
    struct nl_attr a[ARRAY_SIZE(rules)];
    struct nl_header h;
    struct nl_fault fault;
    const u8 *body;
    u32 at = 0, skip;

    while (nl_next(p, n, &at, &h, &body)) {
        u32 len = h.len - NL_HEADER;

        HOLDS(at <= NL_ALIGN(n) && body + len <= p + n);
        skip = MIN(len, 12U);
        if (!nl_parse(body + skip, len - skip, NL_HEADER + skip, rules, ARRAY_SIZE(rules), a,
                      &fault))
            netlink_values(rules, a, ARRAY_SIZE(rules), body, len);
    }
}

static void run_ethtool(const u8 *p, u32 n)
{
    struct nl_fault fault = {0};
    struct ethtool_ask ask;

    for (u32 sets = 0; sets < 2; sets++) {
        if (ethtool_ask_parse(p, n, 0, sets, &ask, &fault)) {
            HOLDS(!fault.text || fault.offset < MAX(n, 1U));
            continue;
        }
        HOLDS(memchr(ask.name, 0, sizeof(ask.name)));
        HOLDS(!(ask.sets >> ETHTOOL_SETS) && !(ask.flags & ~(u32)ETHTOOL_ASK_FLAGS));
        HOLDS((sets || (!ask.sets && !ask.counts_only)) && ask.name_at <= n && ask.index_at <= n);
    }
}

static void run_ethernet(const u8 *p, u32 n)
{
    struct ethernet e;
    struct arp a, again;
    u8 built[ARP_LENGTH];

    if (!ethernet_parse(p, MIN(n, 18U), &e))
        HOLDS(e.header <= n && e.type >= ETHERNET_MIN_TYPE);
    if (arp_parse(p, n, &a))
        return;
    arp_build(built, &a);
    HOLDS(!arp_parse(built, sizeof(built), &again) && again.from == a.from && again.to == a.to);
}

static void run_tcp(const u8 *p, u32 n)
{
    struct tcp_segment s, again;
    u8 built[TCP_HEADER_MAX];
    u32 header;

    if (tcp_segment_parse(p, MIN(n, (u32)TCP_HEADER_MAX), n, &s))
        return;
    HOLDS(s.header >= 20 && s.header <= n);
    header = tcp_segment_build(built, &s);
    HOLDS(header <= TCP_HEADER_MAX && !tcp_segment_parse(built, header, header, &again));
    HOLDS(again.seq == s.seq && again.ack == s.ack && again.flags == s.flags);
    if (tcp_segment_refuse(&s, &again))
        (void)tcp_segment_build(built, &again);
}

/* Two frames, the first as long as the first byte says. */
static void run_join(const u8 *p, u32 n)
{
    u32 k = n ? MIN((u32)p[0], n - 1) : 0;
    struct join_view v, w;
    struct join j;
    u8 *a, *b;

    if (k < 14 || n - 1 - k < 14)
        return;
    a = exactly(p + 1, k);
    b = exactly(p + 1 + k, n - 1 - k);
    join_look(a, MIN(k, (u32)JOIN_HEAD), k, 14, wire_u16(a + 12), &v);
    join_look(b, MIN(n - 1 - k, (u32)JOIN_HEAD), n - 1 - k, 14, wire_u16(b + 12), &w);
    HOLDS(v.kind != JOIN_SEGMENT || v.header + v.payload <= k);
    if (v.kind == JOIN_SEGMENT && w.kind == JOIN_SEGMENT && join_same_flow(a, &v, b, &w)) {
        join_begin(&j, a, &v);
        if (join_continues(&j, a, b, &w))
            join_add(&j, a, b, &w);
        join_finish(&j, a);
    }
    free(a);
    free(b);
}

/* What is to be cut: kind, size, both offsets, more bytes behind; the headers. */
static void run_cut(const u8 *p, u32 n)
{
    struct segment_plan s;
    u8 *head, *out;
    u32 len;

    if (n < 8)
        return;
    len = n - 8 + wire_u16(p + 5);
    head = exactly(p + 8, n - 8);
    if (!segment_plan(head, n - 8, len, p[0], wire_u16(p + 1), p[3], p[4], &s)) {
        HOLDS(s.header <= n - 8 && s.header <= SEGMENT_HEADER_MAX && s.count >= 1 &&
              s.count <= SEGMENT_COUNT_MAX && s.header + s.payload == len);
        out = malloc(s.header);
        for (u32 i = 0; i < s.count; i++) {
            segment_headers(&s, head, i, out);
            HOLDS(segment_bytes(&s, i) <= s.size && segment_bytes(&s, i));
        }
        free(out);
        segment_for_device(&s, head);
    }
    free(head);
}

static void run_vnet(const u8 *p, u32 n)
{
    struct vnet_header h;

    if (n < VNET_HEADER || vnet_header_parse(p, n, &h))
        return;
    HOLDS(!h.partial || (u32)h.csum_start + h.csum_offset + 2 <= n);
    HOLDS(!h.gso || (h.partial && h.segment && h.header <= n));
}

static struct entry entries[] = {
    {.name = "ipv4", .run = run_ipv4},       {.name = "ipv6", .run = run_ipv6},
    {.name = "icmp4", .run = run_icmp4},     {.name = "icmp6", .run = run_icmp6},
    {.name = "nd", .run = run_nd},           {.name = "reassembly", .run = run_reassembly},
    {.name = "netlink", .run = run_netlink}, {.name = "ethernet", .run = run_ethernet},
    {.name = "tcp", .run = run_tcp},         {.name = "join", .run = run_join},
    {.name = "cut", .run = run_cut},         {.name = "vnet", .run = run_vnet},
    {.name = "ethtool", .run = run_ethtool},
};

/* ---- inputs ---- */

static void insert(struct input *in, u32 at, const u8 *bytes, u32 n)
{
    n = MIN(n, INPUT_MOST - in->n);
    memmove(in->bytes + at + n, in->bytes + at, in->n - at);
    memmove(in->bytes + at, bytes, n);
    in->n += n;
}

static void erase(struct input *in, u32 at, u32 n)
{
    n = MIN(n, in->n - at);
    memmove(in->bytes + at, in->bytes + at + n, in->n - at - n);
    in->n -= n;
}

static void change_word(struct input *in, u32 at)
{
    static const u16 words[] = {0,      1,      4,      7,      8,      14,    20,   40,
                                44,     60,     127,    128,    255,    256,   1280, 1500,
                                0x1fff, 0x2000, 0x7fff, 0x8000, 0xfff8, 0xffff};
    u16 v = words[draw(ARRAY_SIZE(words))];

    if (at + 2 > in->n)
        return;
    if (draw(2))
        wire_put_u16(in->bytes + at, v);
    else
        wire_put_le16(in->bytes + at, v);
}

static void change(const struct entry *e, struct input *in)
{
    const struct input *other = &e->kept[draw(e->nr_kept)];
    u32 at = draw(in->n + 1), from = draw(other->n + 1);
    u8 junk[16];

    for (u32 i = 0; i < sizeof(junk); i++)
        junk[i] = (u8)draw(256);
    switch (draw(8)) {
    case 0:
        if (at < in->n)
            in->bytes[at] ^= (u8)(1 << draw(8));
        break;
    case 1:
        if (at < in->n)
            in->bytes[at] = (u8)draw(256);
        break;
    case 2:
        change_word(in, at);
        break;
    case 3:
        insert(in, at, junk, 1 + draw(sizeof(junk)));
        break;
    case 4:
        erase(in, at, 1 + draw(16));
        break;
    case 5: /* a part of another, or of itself once more */
        insert(in, at, other->bytes + from, MIN(other->n - from, 1 + draw(64)));
        break;
    case 6:
        in->n = at;
        break;
    default: /* longer, in lengths too */
        change_word(in, draw(8));
        insert(in, in->n, other->bytes, other->n);
        break;
    }
}

/* Keeps it if it reached anything new. */
static bool try(struct entry *e, const struct input *in)
{
    u8 *p = exactly(in->bytes, in->n);

    now_input = *in;
    now_new = false;
    now_entry = e;
    e->run(p, in->n);
    now_entry = NULL;
    free(p);
    if (!now_new || e->nr_kept == KEPT_MOST)
        return false;
    e->kept[e->nr_kept++] = *in;
    return true;
}

static void entry_begin(struct entry *e)
{
    static const struct input none = {.n = 0}, zeros = {.n = 64};

    e->kept = calloc(KEPT_MOST, sizeof(*e->kept));
    if (!e->kept)
        abort();
    e->kept[e->nr_kept++] = none;
    (void)try(e, &zeros);
}

static void entry_fuzz(struct entry *e, u32 rounds, time_t until, FILE *grow)
{
    struct input in;

    for (u64 i = 0; until ? (i % 1024 || time(NULL) < until) : i < rounds; i++) {
        in = e->kept[draw(e->nr_kept)];
        for (u32 k = 1 + draw(6); k--;)
            change(e, &in);
        if (try(e, &in) && grow)
            input_print(grow, e->name, &in);
    }
    printf("ok fuzz_net_%s\n", e->name);
}

/* ---- the corpus ---- */

static void corpus_line(char *line)
{
    char name[32], hex[2 * INPUT_MOST + 2];
    struct input in = {.n = 0};
    bool known = false;
    unsigned byte;

    if (line[0] == '#' || sscanf(line, "%31s %3200s", name, hex) != 2)
        return;
    for (const char *p = hex; in.n < INPUT_MOST && sscanf(p, "%2x", &byte) == 1; p += 2)
        in.bytes[in.n++] = (u8)byte;
    for (u32 i = 0; i < ARRAY_SIZE(entries); i++) {
        if (strcmp(entries[i].name, name))
            continue;
        known = true;
        (void)try(&entries[i], &in);
    }
    HOLDS(known);
}

static void corpus_read(const char *path)
{
    static char line[2 * INPUT_MOST + 64];
    FILE *f = fopen(path, "r");

    HOLDS(f);
    while (fgets(line, sizeof(line), f))
        corpus_line(line);
    fclose(f);
}

int main(int argc, char **argv)
{
    u32 rounds = ROUNDS, seconds = 0;
    const char *only = NULL;
    FILE *grow = NULL;
    int i = 1;

    for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
        if (!strcmp(argv[i], "--seconds"))
            seconds = (u32)atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--rounds"))
            rounds = (u32)atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seed"))
            state = (u64)atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--only"))
            only = argv[i + 1];
        else if (!strcmp(argv[i], "--grow"))
            grow = fopen(argv[i + 1], "a");
    }
    __sanitizer_set_death_callback(finding);
    for (u32 e = 0; e < ARRAY_SIZE(entries); e++)
        entry_begin(&entries[e]);
    if (i < argc)
        corpus_read(argv[i]);
    for (u32 e = 0; e < ARRAY_SIZE(entries); e++)
        if (!only || !strcmp(only, entries[e].name))
            entry_fuzz(&entries[e], rounds, seconds ? time(NULL) + seconds : 0, grow);
    if (grow)
        fclose(grow);
    return 0;
}
