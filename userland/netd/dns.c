// SPDX-License-Identifier: MIT
// Addresses of names; see dns.h.
//
// A message (RFC 1035 4): number, flags, counts of questions, answers and two kinds of others;
// questions of name, type, class; answers of name, type, class, 32 bits of lifetime, length, data.
#include "netd/dns.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "netd/wire.h"

#define SILENCE_MS 2000
#define TRIES 2 /* of each server */
#define AGAIN_MS 16000u
#define LONGEST_MS 1024000u
#define HEAD 12
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define CLASS_IN 1
#define FLAG_ANSWER 0x8000
#define FLAG_WISHED 0x0100 /* recursion */
#define OPCODE 0x7800
#define RCODE 0x000f
#define RCODE_NONE 3 /* there is no such name */
#define CNAMES 8     /* in a chain */
#define V4_MOST 4

/* ---- messages ---- */

static size_t dns_make(const struct dns *d, uint8_t *out)
{
    const char *s = d->name[d->which].text;
    uint8_t *p = out + HEAD;

    memset(out, 0, HEAD);
    wire_put16(out, d->id);
    wire_put16(out + 2, FLAG_WISHED);
    wire_put16(out + 4, 1);
    while (*s) {
        size_t n = strcspn(s, ".");

        *p++ = (uint8_t)n;
        memcpy(p, s, n);
        p += n;
        s += n + (s[n] == '.');
    }
    *p++ = 0;
    wire_put16(p, d->type);
    wire_put16(p + 2, CLASS_IN);
    return (size_t)(p + 4 - out);
}

/* Over a name, whatever is in it; false when it reaches beyond the end. */
static bool dns_skip(const uint8_t *p, size_t len, size_t *at)
{
    while (*at < len) {
        uint8_t n = p[(*at)++];

        if (n >= 0xc0)
            return ++*at <= len;
        if (!n)
            return true;
        *at += n;
    }
    return false;
}

struct dns_record {
    size_t name, data, len; /* places in the message */
    uint16_t type;
};

/* The record at *at; one of another class is of no type. */
static bool dns_record(const uint8_t *p, size_t len, size_t *at, struct dns_record *r)
{
    r->name = *at;
    if (!dns_skip(p, len, at) || len - *at < 10)
        return false;
    r->type = wire_u16(p + *at + 2) == CLASS_IN ? wire_u16(p + *at) : 0;
    r->len = wire_u16(p + *at + 8);
    r->data = *at + 10;
    *at = r->data + r->len;
    return *at <= len;
}

static bool dns_is_name(const uint8_t *p, size_t len, size_t at, const char *name)
{
    char text[256];

    return wire_domain(p, p, len, &at, text, sizeof(text)) && !strcasecmp(text, name);
}

static bool dns_v6_usable(const uint8_t a[16])
{
    static const uint8_t none[15];

    return a[0] != 0xff && !(a[0] == 0xfe && a[1] >> 6 == 2) && memcmp(a, none, 10);
}

static void dns_take(struct dns *d, const uint8_t *p, const struct dns_record *r)
{
    struct dns_name *got = &d->got;
    struct address a;

    if (r->type == TYPE_A && r->len == 4 && address_v4_usable(wire_u32(p)) && got->n < V4_MOST)
        a = address_v4(wire_u32(p), 32);
    else if (r->type == TYPE_AAAA && r->len == 16 && dns_v6_usable(p) && got->n < DNS_ADDRESSES)
        a = address_v6(p, 128);
    else
        return;
    for (unsigned i = 0; i < got->n; i++)
        if (address_same(&got->item[i], &a))
            return;
    got->item[got->n++] = a;
}

/* The addresses of `name` in so many records from `at` on, and what else it is called. */
static bool dns_records(struct dns *d, const uint8_t *p, size_t len, size_t at, char name[256])
{
    unsigned count = wire_u16(p + 6);
    char other[256] = "";
    struct dns_record r;

    for (; count && dns_record(p, len, &at, &r); count--) {
        size_t data = r.data;

        if (!dns_is_name(p, len, r.name, name))
            continue;
        if (r.type == d->type)
            dns_take(d, p + r.data, &r);
        else if (r.type == TYPE_CNAME &&
                 !wire_domain(p, p, r.data + r.len, &data, other, sizeof(other)))
            other[0] = 0;
    }
    strcpy(name, other);
    return other[0];
}

/* Whether it answers the question, whose end is *at then. */
static bool dns_is_answer(const struct dns *d, const uint8_t *p, size_t len, size_t *at)
{
    uint16_t flags;

    if (!d->asking || len < HEAD || wire_u16(p) != d->id)
        return false;
    flags = wire_u16(p + 2);
    *at = HEAD;
    if (!(flags & FLAG_ANSWER) || flags & OPCODE || wire_u16(p + 4) != 1 ||
        !dns_is_name(p, len, HEAD, d->name[d->which].text) || !dns_skip(p, len, at) ||
        len - *at < 4)
        return false;
    *at += 4;
    return wire_u16(p + *at - 4) == d->type && wire_u16(p + *at - 2) == CLASS_IN;
}

/* ---- passes ---- */

static void dns_ask(struct dns *d, uint64_t now, struct dns_out *out)
{
    d->asking = true;
    d->id = (uint16_t)wire_random(&d->seed);
    d->wake = now + SILENCE_MS;
    out->len = dns_make(d, out->message);
}

static bool dns_known(const struct dns *d)
{
    for (unsigned i = 0; i < d->names; i++)
        if (!d->name[i].n)
            return false;
    return true;
}

/* The first question for the next name of the pass, or the end of it. */
static void dns_next_name(struct dns *d, uint64_t now, struct dns_out *out)
{
    while (d->which < d->names && !d->all && d->name[d->which].n)
        d->which++;
    d->tries = 0;
    d->type = TYPE_A;
    d->unheard = false;
    d->got.n = 0;
    if (d->which < d->names) {
        dns_ask(d, now, out);
        return;
    }
    d->busy = d->all = false;
    d->wake = 0;
    if (dns_known(d)) {
        d->rounds = 0;
        return;
    }
    d->wake = now + (d->rounds >= 6 ? LONGEST_MS : AGAIN_MS << d->rounds);
    d->rounds++;
}

static void dns_end_name(struct dns *d, uint64_t now, struct dns_out *out)
{
    struct dns_name *name = &d->name[d->which];

    if ((d->got.n || !d->unheard) &&
        (d->got.n != name->n || memcmp(d->got.item, name->item, name->n * sizeof(name->item[0])))) {
        memcpy(name->item, d->got.item, sizeof(name->item));
        name->n = d->got.n;
        out->changed = true;
    }
    d->which++;
    dns_next_name(d, now, out);
}

static void dns_next_question(struct dns *d, uint64_t now, struct dns_out *out)
{
    d->tries = 0;
    if (d->type == TYPE_AAAA) {
        dns_end_name(d, now, out);
        return;
    }
    d->type = TYPE_AAAA;
    dns_ask(d, now, out);
}

/* The asked server said nothing, or that it cannot tell. */
static void dns_silence(struct dns *d, uint64_t now, struct dns_out *out)
{
    d->asking = false;
    d->at = (d->at + 1) % d->servers;
    if (++d->tries < TRIES * d->servers) {
        dns_ask(d, now, out);
        return;
    }
    d->unheard = true;
    dns_next_question(d, now, out);
}

static void dns_pass(struct dns *d, uint64_t now, bool all)
{
    d->asking = false;
    d->busy = d->names && d->servers;
    d->all = all;
    d->which = 0;
    d->wake = d->busy ? now + 1 : 0;
}

/* ---- what the owner calls ---- */

void dns_init(struct dns *d, uint64_t seed)
{
    memset(d, 0, sizeof(*d));
    d->seed = seed;
    d->agains = (struct limit){.burst = 4, .every_ms = 256000};
}

static bool dns_servers_same(const struct dns *d, const struct dns_server *s, unsigned n)
{
    for (unsigned i = 0; i < n && i < d->servers; i++)
        if (d->server[i].link != s[i].link || !address_same(&d->server[i].address, &s[i].address))
            return false;
    return n == d->servers;
}

/* One with that text; its addresses are those that it has in `was`. */
static void dns_name_set(struct dns_name *name, const char *text, size_t len,
                         const struct dns_name *was, unsigned had)
{
    memset(name, 0, sizeof(*name));
    memcpy(name->text, text, len);
    for (unsigned i = 0; i < had; i++)
        if (!strcmp(was[i].text, name->text))
            *name = was[i];
}

/* Whether the list is another one. */
static bool dns_names_set(struct dns *d, const char *names)
{
    struct dns_name was[DNS_NAMES];
    unsigned n = 0, had = d->names;
    bool changed = false;
    size_t len;

    memcpy(was, d->name, sizeof(was));
    for (; *names && n < DNS_NAMES; names += len, names += strspn(names, " ")) {
        len = strcspn(names, " ");
        if (len >= DNS_NAME)
            continue;
        dns_name_set(&d->name[n], names, len, was, had);
        changed |= n >= had || strcmp(was[n].text, d->name[n].text);
        n++;
    }
    d->names = n;
    return changed || n != had;
}

void dns_want(struct dns *d, const char *names, const struct dns_server *s, unsigned n,
              uint64_t now)
{
    bool changed;

    n = n > DNS_SERVERS ? DNS_SERVERS : n;
    changed = !dns_servers_same(d, s, n);
    if (n)
        memcpy(d->server, s, n * sizeof(*s));
    d->servers = n;
    d->at = changed ? 0 : d->at;
    changed |= dns_names_set(d, names);
    if (!changed)
        return;
    d->rounds = 0;
    if (d->busy || !dns_known(d))
        dns_pass(d, now, d->busy && d->all);
}

void dns_again(struct dns *d, uint64_t now)
{
    if (d->names && !d->busy && limit_take(&d->agains, now))
        dns_pass(d, now, true);
}

void dns_wake(struct dns *d, uint64_t now, struct dns_out *out)
{
    out->len = 0;
    out->changed = false;
    if (!d->wake || now < d->wake)
        return;
    if (d->asking)
        dns_silence(d, now, out);
    else if (d->busy)
        dns_next_name(d, now, out);
    else
        dns_pass(d, now, false);
}

void dns_message(struct dns *d, const uint8_t *p, size_t len, uint64_t now, struct dns_out *out)
{
    char name[256];
    uint16_t rcode;
    size_t at;

    out->len = 0;
    out->changed = false;
    if (!dns_is_answer(d, p, len, &at))
        return;
    rcode = wire_u16(p + 2) & RCODE;
    if (rcode && rcode != RCODE_NONE) {
        dns_silence(d, now, out);
        return;
    }
    d->asking = false;
    strcpy(name, d->name[d->which].text);
    for (int i = 0; !rcode && i < CNAMES && dns_records(d, p, len, at, name); i++)
        ;
    dns_next_question(d, now, out);
}
