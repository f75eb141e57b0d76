// SPDX-License-Identifier: MIT
// netd's client of name servers, against servers of this file's: right, wrong and silent.
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netd/dns.h"
#include "netd/wire.h"

#define A 1
#define AAAA 28
#define CNAME 5

static const struct dns_server dns_servers[2] = {
    {{.family = AF_INET, .prefix = 32, .bytes = {10, 0, 0, 1}}, 0},
    {{.family = AF_INET, .prefix = 32, .bytes = {10, 0, 0, 2}}, 0}};

struct reply {
    uint8_t bytes[600];
    size_t len;
};

/* The question of `out`, as an answer of that code without records. */
static void reply_begin(struct reply *r, const struct dns_out *out, unsigned rcode)
{
    memcpy(r->bytes, out->message, out->len);
    r->len = out->len;
    wire_put16(r->bytes + 2, (uint16_t)(0x8180 | rcode));
}

static void reply_name(struct reply *r, const char *name)
{
    for (; *name; name += strcspn(name, "."), name += *name == '.') {
        size_t n = strcspn(name, ".");

        r->bytes[r->len++] = (uint8_t)n;
        memcpy(r->bytes + r->len, name, n);
        r->len += n;
    }
    r->bytes[r->len++] = 0;
}

/* `name` NULL: a pointer to that of the question. */
static void reply_add(struct reply *r, const char *name, uint16_t type, const void *data, size_t n)
{
    uint8_t head[10] = {0};

    if (name)
        reply_name(r, name);
    else
        memcpy(r->bytes + r->len, "\xc0\x0c", 2), r->len += 2;
    wire_put16(head, type);
    wire_put16(head + 2, 1);
    wire_put16(head + 8, (uint16_t)n);
    memcpy(r->bytes + r->len, head, 10);
    memcpy(r->bytes + r->len + 10, data, n);
    r->len += 10 + n;
    wire_put16(r->bytes + 6, wire_u16(r->bytes + 6) + 1);
}

static void reply_cname(struct reply *r, const char *name, const char *other)
{
    struct reply data = {.len = 0};

    reply_name(&data, other);
    reply_add(r, name, CNAME, data.bytes, data.len);
}

static void reply_a(struct reply *r, const char *name, uint32_t address)
{
    uint8_t data[4];

    wire_put32(data, address);
    reply_add(r, name, A, data, 4);
}

static uint16_t asked_type(const struct dns_out *out)
{
    return out->len > 16 ? wire_u16(out->message + out->len - 4) : 0;
}

/* One that wants these names; *out is its first question. */
static void dns_begin(struct dns *d, const char *names, struct dns_out *out)
{
    dns_init(d, 5);
    dns_want(d, names, dns_servers, 2, 1000);
    dns_wake(d, d->wake, out);
}

static void dns_reply(struct dns *d, const struct reply *r, struct dns_out *out)
{
    dns_message(d, r->bytes, r->len, d->wake, out);
}

/* Answers the one question with that address (0: none), the other with nothing. */
static void dns_give(struct dns *d, uint32_t address, struct dns_out *out)
{
    struct reply r;

    for (int i = 0; i < 2; i++) {
        reply_begin(&r, out, 0);
        if (address && asked_type(out) == A)
            reply_a(&r, NULL, address);
        dns_reply(d, &r, out);
    }
}

static bool dns_is(const struct dns_name *n, unsigned i, uint32_t address)
{
    return i < n->n && n->item[i].family == AF_INET && address_u32(&n->item[i]) == address;
}

TEST(dns_finds_addresses_of_both_families_of_each_name)
{
    static const uint8_t six[16] = {0xfd, 0, [15] = 5};
    struct dns d;
    struct dns_out out;
    struct reply r;

    dns_begin(&d, "a.example b.example", &out);
    EXPECT(asked_type(&out) == A && !memcmp(out.message + 12, "\1a\7example", 10));
    reply_begin(&r, &out, 0);
    for (uint32_t i = 0; i < 9; i++)
        reply_a(&r, NULL, 0x0a000005 + i / 2);
    dns_reply(&d, &r, &out);
    EXPECT(asked_type(&out) == AAAA && !out.changed);
    reply_begin(&r, &out, 0);
    reply_add(&r, "A.EXAMPLE", AAAA, six, 16);
    dns_reply(&d, &r, &out);
    EXPECT(out.changed && out.len && !memcmp(out.message + 12, "\1b\7example", 10));
    EXPECT(d.name[0].n == 5 && dns_is(&d.name[0], 0, 0x0a000005) &&
           dns_is(&d.name[0], 3, 0x0a000008));
    EXPECT(d.name[0].item[4].family == AF_INET6 && !memcmp(d.name[0].item[4].bytes, six, 16));
    dns_give(&d, 0x0a000063, &out);
    EXPECT(dns_is(&d.name[1], 0, 0x0a000063) && !d.wake && !d.asking);
}

TEST(dns_follows_a_name_that_stands_for_another_in_any_order_and_not_in_a_circle)
{
    struct dns d;
    struct dns_out out;
    struct reply r;

    dns_begin(&d, "a.example", &out);
    reply_begin(&r, &out, 0);
    reply_a(&r, "c.example", 0x0a000007);
    reply_a(&r, "x.example", 0x0a000008);
    reply_cname(&r, "b.example", "c.example");
    reply_cname(&r, NULL, "b.example");
    dns_reply(&d, &r, &out);
    reply_begin(&r, &out, 0);
    reply_cname(&r, NULL, "b.example");
    reply_cname(&r, "b.example", "a.example");
    dns_reply(&d, &r, &out);
    EXPECT(out.changed && d.name[0].n == 1 && dns_is(&d.name[0], 0, 0x0a000007));
}

TEST(dns_takes_no_answer_but_that_to_its_question_and_no_address_that_no_host_has)
{
    struct dns d;
    struct dns_out out, none;
    struct reply r;

    dns_begin(&d, "a.example", &out);
    for (int bad = 0; bad < 6; bad++) {
        reply_begin(&r, &out, 0);
        reply_a(&r, NULL, 0x0a000005);
        if (bad == 0)
            r.bytes[1] ^= 1; /* the number */
        else if (bad == 1)
            r.bytes[2] = 1; /* a question */
        else if (bad == 2)
            r.bytes[13] = 'b'; /* another name */
        else if (bad == 3)
            r.bytes[out.len - 3] = AAAA;
        else if (bad == 4)
            r.bytes[5] = 0; /* no question */
        else
            r.len = 20;
        dns_message(&d, r.bytes, r.len, 2000, &none);
        EXPECT(d.asking && !none.len && !none.changed);
    }
    reply_begin(&r, &out, 0);
    reply_a(&r, NULL, 0);
    reply_a(&r, NULL, 0x7f000001);
    reply_a(&r, NULL, 0xe0000001);
    reply_a(&r, NULL, UINT32_MAX);
    reply_a(&r, "b.example", 0x0a000005);
    dns_reply(&d, &r, &out);
    reply_begin(&r, &out, 0);
    reply_add(&r, NULL, AAAA, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    reply_add(&r, NULL, AAAA, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    reply_add(&r, NULL, AAAA, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
    reply_add(&r, NULL, AAAA, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    dns_reply(&d, &r, &out);
    EXPECT(!out.changed && !d.name[0].n && d.wake >= 16000);
}

TEST(dns_goes_on_to_the_next_server_and_asks_again_later_and_later)
{
    struct dns d;
    struct dns_out out;
    struct reply r;
    uint64_t gap = 0;
    unsigned at[2] = {0};

    dns_begin(&d, "a.example", &out);
    reply_begin(&r, &out, 2); /* it fails */
    dns_reply(&d, &r, &out);
    EXPECT(out.len && d.at == 1);
    for (int i = 0; i < 100; i++) {
        uint64_t was = d.wake;

        dns_wake(&d, d.wake, &out);
        at[d.at] += out.len > 0;
        gap = d.wake - was > gap ? d.wake - was : gap;
    }
    EXPECT(at[0] > 20 && at[1] > 20 && gap == 1024000);
    while (!d.asking)
        dns_wake(&d, d.wake, &out);
    if (asked_type(&out) == AAAA) /* of a pass that knows no address */
        while (asked_type(&out) != A)
            dns_wake(&d, d.wake, &out);
    dns_give(&d, 0x0a000005, &out);
    EXPECT(d.name[0].n == 1 && !d.wake);
}

TEST(dns_asks_anew_when_told_so_and_keeps_what_it_has_while_nobody_answers)
{
    struct dns d;
    struct dns_out out;

    dns_begin(&d, "a.example b.example", &out);
    dns_give(&d, 0x0a000005, &out);
    dns_give(&d, 0x0a000006, &out);
    dns_again(&d, 10000);
    dns_wake(&d, d.wake, &out);
    dns_give(&d, 0x0a000007, &out);
    EXPECT(out.changed && dns_is(&d.name[0], 0, 0x0a000007) && out.len);
    while (d.busy) { /* nobody knows the other one */
        dns_wake(&d, d.wake, &out);
        EXPECT(!out.changed);
    }
    EXPECT(dns_is(&d.name[1], 0, 0x0a000006) && !d.wake);
    dns_again(&d, 30000);
    dns_wake(&d, d.wake, &out);
    dns_give(&d, 0, &out); /* it has none any more */
    EXPECT(out.changed && !d.name[0].n);
}

TEST(dns_asks_anew_no_more_than_now_and_then)
{
    struct dns d;
    struct dns_out out;
    unsigned passes = 0;

    dns_begin(&d, "a.example", &out);
    dns_give(&d, 0x0a000005, &out);
    for (uint64_t now = 10000; now < 10000 + 1024000; now += 10000) {
        dns_again(&d, now);
        passes += d.busy;
        for (; d.busy; dns_give(&d, 0x0a000005, &out))
            dns_wake(&d, d.wake, &out);
    }
    EXPECT(passes == 4 + 3);
}

TEST(dns_begins_when_there_is_a_server_and_keeps_names_that_stay)
{
    struct dns d;
    struct dns_out out;

    dns_init(&d, 5);
    dns_want(&d, "a.example", NULL, 0, 1000);
    EXPECT(!d.wake && d.names == 1);
    dns_want(&d, "a.example", dns_servers, 1, 2000);
    dns_wake(&d, d.wake, &out);
    EXPECT(out.len);
    dns_give(&d, 0x0a000005, &out);
    dns_want(&d, "b.example a.example", dns_servers, 1, 3000);
    EXPECT(d.names == 2 && dns_is(&d.name[1], 0, 0x0a000005) && !d.name[0].n);
    dns_wake(&d, d.wake, &out);
    EXPECT(!memcmp(out.message + 12, "\1b\7example", 10));
    dns_want(&d, "b.example a.example", NULL, 0, 4000); /* the lease has gone */
    EXPECT(!d.wake && !d.asking);
    dns_want(&d, "", dns_servers, 2, 5000);
    EXPECT(!d.wake && !d.names);
}

TEST(names_servers_of_any_bytes_survive)
{
    u64 seed = 8;

    for (u64 round = 0; round < 3000 * unit_times(); round++) {
        struct dns d;
        struct dns_out out;

        dns_begin(&d, "a.example b.example", &out);
        for (int step = 0; step < 20 && d.wake; step++) {
            struct reply r = {.len = 12};
            uint8_t *copy;

            if (out.len)
                reply_begin(&r, &out, unit_rand(&seed) % 4 ? 0 : unit_rand(&seed) % 6);
            reply_cname(&r, NULL, "b.example");
            reply_a(&r, unit_rand(&seed) % 2 ? NULL : "b.example", 0x0a000001);
            for (u64 n = unit_rand(&seed) % 6; n; n--)
                r.bytes[unit_rand(&seed) % 4 ? 12 + unit_rand(&seed) % (r.len - 12)
                                             : unit_rand(&seed) % r.len] =
                    (uint8_t)unit_rand(&seed);
            r.len -= unit_rand(&seed) % 3 ? 0 : unit_rand(&seed) % r.len;
            copy = malloc(r.len ? r.len : 1);
            memcpy(copy, r.bytes, r.len);
            dns_message(&d, copy, r.len, d.wake, &out);
            free(copy);
            EXPECT(d.name[0].n <= DNS_ADDRESSES && d.name[1].n <= DNS_ADDRESSES);
            if (!out.len && d.wake)
                dns_wake(&d, d.wake, &out);
        }
    }
}
