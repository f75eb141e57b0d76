/* SPDX-License-Identifier: MIT
 *
 * What userland reads off a network, under ASan and UBSan on the host: DHCP, advertisements, time
 * servers, HTTP of clients and of registries, URLs, challenges, JSON, manifests, names. The real
 * sources; each kind is a function of any bytes.
 *
 * With clang's libFuzzer (make fuzz-wire): FUZZ_KIND=dhcp4 build/fuzz/fuzz_wire_guided FOLDER.
 * Without (the suite): fuzz_wire CORPUS [ROUNDS [SEED]] reads CORPUS/KIND/FILE, each as it is and
 * ROUNDS times with damage. Prints "ok KIND" for each; a finding aborts with its report.
 *
 * A conversation's messages are pieces behind a byte that says what the time does and two of
 * length; what a client checks first (transaction, hardware address, nonce) is put in, as nothing
 * would come further otherwise. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/listen.h"
#include "engine/registry.h"
#include "lib/base64.h"
#include "lib/challenge.h"
#include "lib/http.h"
#include "lib/json.h"
#include "lib/netlink.h"
#include "lib/str.h"
#include "lib/url.h"
#include "netd/config.h"
#include "netd/dhcp4.h"
#include "netd/dhcp6.h"
#include "netd/dns.h"
#include "netd/ra.h"
#include "netd/sntp.h"
#include "netd/wire.h"

#define EXPECT(x) ((x) ? (void)0 : abort())
#define PIECES 64
#define INPUT_MAX 8192

static const uint8_t wire_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

/* The next message of a conversation: a block of its own, so that its end is seen; NULL at the end.
 * *now goes on. */
static uint8_t *piece_next(const uint8_t **at, const uint8_t *end, size_t *len, uint64_t *now)
{
    uint8_t *copy;

    if (end - *at < 3)
        return NULL;
    *now += (uint64_t)1 << ((*at)[0] % 32);
    *len = wire_u16(*at + 1);
    *at += 3;
    if (*len > (size_t)(end - *at))
        *len = (size_t)(end - *at);
    copy = malloc(*len ? *len : 1);
    EXPECT(copy);
    memcpy(copy, *at, *len);
    *at += *len;
    return copy;
}

static void fuzz_dhcp4(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    struct dhcp4_out out;
    struct dhcp4 d;
    uint64_t now = 1000;
    uint8_t *m;
    size_t len;

    dhcp4_init(&d, wire_mac, "box", 5);
    dhcp4_start(&d, now, &out);
    for (int i = 0; i < PIECES && (m = piece_next(&p, end, &len, &now)); i++) {
        if (d.state == DHCP4_PROBING)
            dhcp4_arp(&d, m, len, now, &out);
        if (len >= 34) {
            wire_put32(m + 4, d.xid);
            memcpy(m + 28, wire_mac, 6);
        }
        dhcp4_message(&d, m, len, now, &out);
        EXPECT(!out.bind || (d.has_lease && address_v4_usable(d.lease.address) &&
                             d.lease.prefix >= 1 && d.lease.prefix <= 32));
        EXPECT(d.lease.routes <= DHCP4_ROUTES && out.len <= DHCP4_MSG_MAX);
        free(m);
        if (d.wake && d.wake <= now)
            dhcp4_wake(&d, now, &out);
        EXPECT(d.state == DHCP4_STOPPED || d.wake || d.has_lease);
    }
}

static void fuzz_frame(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    const uint8_t *message;
    size_t len;

    memcpy(copy, p, n);
    for (int summed = 0; summed < 2; summed++) {
        message = dhcp4_unframe(copy, n, summed, &len);
        EXPECT(!message || (message >= copy && len <= n && message + len <= copy + n));
    }
    free(copy);
}

static void fuzz_dhcp6(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    struct dhcp6_out out;
    struct dhcp6 d;
    uint64_t now = 1000;
    uint8_t *m;
    size_t len;

    dhcp6_init(&d, wire_mac, 5);
    dhcp6_start(&d, now, &out);
    for (int i = 0; i < PIECES && (m = piece_next(&p, end, &len, &now)); i++) {
        if (len >= 4)
            wire_put32(m, (uint32_t)m[0] << 24 | d.xid);
        dhcp6_message(&d, m, len, now, &out);
        free(m);
        EXPECT(d.answer.dns_n <= DHCP6_SERVERS && d.answer.ntp_n <= DHCP6_SERVERS);
        if (d.wake && d.wake <= now)
            dhcp6_wake(&d, now, &out);
    }
}

static void fuzz_ra(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    struct ra_out out;
    struct ra r;
    uint64_t now = 1000;
    uint8_t *m;
    size_t len;

    ra_init(&r, 5);
    ra_start(&r, now, &out);
    for (int i = 0; i < PIECES && (m = piece_next(&p, end, &len, &now)); i++) {
        struct ra_packet packet = {
            .bytes = m, .len = len, .source = {0xfe, 0x80}, .hop_limit = 255};

        packet.source[15] = len ? m[len - 1] & 15 : 0;
        ra_input(&r, &packet, now, &out);
        free(m);
        for (int k = 0; k < RA_PREFIXES; k++)
            EXPECT(!r.prefix[k].e.used || (r.prefix[k].bits == 64 && r.prefix[k].bytes[0] != 0xff));
        EXPECT(!r.mtu || (r.mtu >= 1280 && r.mtu <= 65535));
        if (r.wake && r.wake <= now)
            ra_wake(&r, now, &out);
    }
}

static void fuzz_sntp(const uint8_t *p, size_t n)
{
    struct address servers[2] = {address_v4(0x0a000001, 32), address_v4(0x0a000002, 32)};
    int64_t day = 1800000000000000000ll;
    const uint8_t *end = p + n;
    struct sntp_out out;
    struct sntp s;
    uint64_t now = 1000;
    uint8_t *m;
    size_t len;

    sntp_init(&s, 5);
    sntp_servers(&s, servers, 2, now);
    for (int i = 0; i < PIECES && (m = piece_next(&p, end, &len, &now)); i++) {
        if (s.wake && s.wake > now)
            now = s.wake;
        sntp_wake(&s, now, day, &out);
        if (len >= SNTP_SIZE)
            memcpy(m + 24, s.nonce, 8);
        sntp_message(&s, m, len, now, day, &out);
        EXPECT(out.change == SNTP_KEEP || out.told);
        free(m);
    }
}

/* Each piece answers the question that is open: its number and the question are made right. */
static void fuzz_dns(const uint8_t *p, size_t n)
{
    struct dns_server servers[2] = {{address_v4(0x0a000001, 32), 0},
                                    {address_v4(0x0a000002, 32), 0}};
    const uint8_t *end = p + n;
    struct dns_out out = {0};
    uint64_t now = 1000;
    struct dns d;
    uint8_t *m;
    size_t len;

    dns_init(&d, 5);
    dns_want(&d, "a.example b.example", servers, 2, now);
    for (int i = 0; i < PIECES && (m = piece_next(&p, end, &len, &now)); i++) {
        if (d.wake > now)
            now = d.wake;
        if (!out.len)
            dns_wake(&d, now, &out);
        if (out.len && len >= out.len && m[2] & 0x80) {
            memcpy(m, out.message, 2);
            memcpy(m + 12, out.message + 12, out.len - 12);
        }
        dns_message(&d, m, len, now, &out);
        free(m);
        for (unsigned k = 0; k < d.names; k++)
            EXPECT(d.name[k].n <= DNS_ADDRESSES);
    }
}

static void fuzz_config(const uint8_t *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    struct config c;

    memcpy(copy, p, n);
    config_init(&c);
    config_cmdline(&c, copy, n);
    config_file(&c, copy, n);
    config_finish(&c);
    config_for(&c, "eth0", wire_mac);
    EXPECT(c.rules <= CONFIG_RULES);
    free(copy);
}

static void fuzz_netlink(const uint8_t *p, size_t n)
{
    uint8_t *copy = aligned_alloc(8, (n + 8) & ~(size_t)7);
    struct nl_span a[8];
    struct nl_part part;
    size_t at = 0;

    memcpy(copy, p, n);
    while (nl_next(copy, n, &at, &part))
        if (nl_index(part.data, part.len, 8, a, 8))
            for (int i = 0; i < 8; i++) {
                char name[16];

                nl_u32(a[i], 0);
                nl_text(a[i], name, sizeof(name));
            }
    free(copy);
}

/* A message in pieces, whose size is the first byte's: head, framing, content. */
static void fuzz_http(const uint8_t *p, size_t n, bool response)
{
    size_t step = n ? p[0] % 64 + 1u : 1, scanned = 0, got;
    struct http_head h = {0};
    struct http_body body;
    struct buf in = {0};
    const char *data;
    ssize_t used = 1;
    int len = 0;

    for (size_t at = 1; at < n && !len; at += step) {
        buf_add(&in, p + at, step < n - at ? step : n - at);
        len = http_head_parse(&h, &in, &scanned, response);
    }
    EXPECT(len <= (int)in.len);
    if (len > 0) {
        http_query_bool(&h, "all", false);
        if (!response) {
            http_query(&h, "name");
            url_decode(h.path);
        }
        buf_drop(&in, (size_t)len);
        if (http_body_init(&body, &h, response) == 0)
            while (used > 0 && !body.done) {
                used = http_body_next(&body, in.data, in.len, &data, &got);
                EXPECT(used <= (ssize_t)in.len && (used < 0 || got <= in.len));
                if (used > 0)
                    buf_drop(&in, (size_t)used);
            }
        http_head_free(&h);
    }
    buf_free(&in);
}

static void fuzz_request(const uint8_t *p, size_t n)
{
    fuzz_http(p, n, false);
}

static void fuzz_answer(const uint8_t *p, size_t n)
{
    fuzz_http(p, n, true);
}

static char *text_of(const uint8_t *p, size_t n)
{
    char *text = malloc(n + 1);

    memcpy(text, p, n);
    text[n] = 0;
    return text;
}

static void fuzz_url(const uint8_t *p, size_t n)
{
    static struct url u, base;
    struct challenge c = {0};
    struct listen_place place;
    char *text = text_of(p, n), authority[URL_AUTHORITY_MAX];
    uint64_t first, last, total;
    struct buf b = {0};

    if (!url_parse(&base, "http://h:5000/v2/x/y?z") && !url_resolve(&u, &base, text)) {
        EXPECT(u.target[0] == '/' && u.port && *u.host);
        url_authority(&u, authority);
        url_write(&b, &u);
        EXPECT(!strpbrk(b.data, "\r\n "));
        EXPECT(!url_parse(&base, b.data) && url_same_origin(&base, &u));
        url_host_is_localhost(u.host);
    }
    challenge_add(&c, text);
    EXPECT(memchr(c.realm, 0, sizeof(c.realm)) && memchr(c.scope, 0, sizeof(c.scope)));
    http_content_range(text, &first, &last, &total);
    listen_parse(text, &place);
    buf_clear(&b);
    base64_decode(&b, text);
    buf_free(&b);
    free(text);
}

static void fuzz_name(const uint8_t *p, size_t n)
{
    char *text = text_of(p, n), *ref = image_ref_normalize(text);
    struct registry_name name;

    if (ref) {
        registry_name_parse(&name, ref);
        EXPECT(name.host && name.path && name.repo && (!name.tag || !name.digest));
        registry_name_free(&name);
    }
    free(ref);
    free(text);
}

static void fuzz_manifest(const uint8_t *p, size_t n)
{
    static struct manifest m;
    char *copy = malloc(n ? n : 1);
    const char *why = NULL;
    struct json *j;
    struct buf b = {0};

    memcpy(copy, p, n);
    j = json_parse(copy, n, &why);
    EXPECT(j || why);
    if (j && !manifest_read(&m, j) && m.list)
        manifest_choose(j, 2);
    if (j)
        json_write(&b, j);
    if (j) {
        struct json *again = json_parse(b.data, b.len, &why);

        EXPECT(again); /* what is written can be read */
        json_free(again);
    }
    buf_free(&b);
    json_free(j);
    free(copy);
}

static const struct {
    const char *name;
    void (*fn)(const uint8_t *p, size_t n);
} fuzz_kinds[] = {
    {"dhcp4", fuzz_dhcp4},     {"dhcp6", fuzz_dhcp6},     {"frame", fuzz_frame},
    {"ra", fuzz_ra},           {"sntp", fuzz_sntp},       {"config", fuzz_config},
    {"netlink", fuzz_netlink}, {"request", fuzz_request}, {"answer", fuzz_answer},
    {"url", fuzz_url},         {"name", fuzz_name},       {"manifest", fuzz_manifest},
    {"dns", fuzz_dns},
};
#define KINDS (sizeof(fuzz_kinds) / sizeof(fuzz_kinds[0]))

#ifdef FUZZ_GUIDED

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static size_t kind = KINDS;

    for (size_t i = 0; kind == KINDS && i < KINDS; i++)
        if (getenv("FUZZ_KIND") && !strcmp(getenv("FUZZ_KIND"), fuzz_kinds[i].name))
            kind = i;
    EXPECT(kind < KINDS);
    fuzz_kinds[kind].fn(p, n);
    return 0;
}

#else

static uint64_t fuzz_state;

static size_t fuzz_rand(size_t below)
{
    fuzz_state = fuzz_state * 6364136223846793005ull + 1442695040888963407ull;
    return (size_t)(fuzz_state >> 33) % below;
}

/* Some bytes are others, the end is cut off or said twice. */
static size_t damage(uint8_t *data, size_t len)
{
    for (size_t n = fuzz_rand(6); n && len; n--)
        data[fuzz_rand(len)] = (uint8_t)(fuzz_rand(3) ? fuzz_rand(256) : fuzz_rand(2) ? 0 : 255);
    if (len && fuzz_rand(4) == 0)
        len = fuzz_rand(len + 1);
    if (len && 2 * len <= INPUT_MAX && fuzz_rand(8) == 0) {
        memcpy(data + len, data, len);
        len *= 2;
    }
    return len;
}

static void fuzz_file(size_t kind, const char *path, unsigned rounds)
{
    static uint8_t whole[INPUT_MAX], data[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    size_t len;

    EXPECT(f);
    len = fread(whole, 1, sizeof(whole), f);
    fclose(f);
    fuzz_kinds[kind].fn(whole, len);
    for (unsigned i = 0; i < rounds; i++) {
        memcpy(data, whole, len);
        fuzz_kinds[kind].fn(data, damage(data, len));
    }
}

/* How many files there were. */
static unsigned fuzz_folder(size_t kind, const char *corpus, unsigned rounds)
{
    char folder[512], path[1024];
    struct dirent **list;
    int n;

    snprintf(folder, sizeof(folder), "%s/%s", corpus, fuzz_kinds[kind].name);
    n = scandir(folder, &list, NULL, alphasort);
    EXPECT(n > 2);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
        if (list[i]->d_name[0] != '.')
            fuzz_file(kind, path, rounds);
        free(list[i]);
    }
    free(list);
    return (unsigned)n - 2;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100;

    if (argc < 2)
        return 2;
    for (size_t kind = 0; kind < KINDS; kind++) {
        fuzz_state = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
        fuzz_folder(kind, argv[1], rounds);
        printf("ok wire_%s_of_any_bytes\n", fuzz_kinds[kind].name);
        fflush(stdout);
    }
    printf("%zu passed, 0 failed\n", KINDS);
    return 0;
}

#endif
