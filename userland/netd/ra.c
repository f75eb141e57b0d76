// SPDX-License-Identifier: MIT
// Router discovery; see ra.h.
#include "netd/ra.h"

#include <string.h>

#include "lib/sha256.h"
#include "netd/wire.h"

#define RA_TYPE 134
#define RS_TYPE 133
#define FIRST_DELAY_MS 100 /* RFC 4861 6.3.7 has a second, against crowds that boot together */
#define SOLICIT_MS 4000    /* between the first two; then longer (RFC 7559) */
#define SOLICIT_MAX_MS 3600000
#define TWO_HOURS_MS 7200000
#define MTU_LEAST 1280
#define HOPS_LEAST 32 /* a lower limit would cut the machine off: CVE-2015-2922 */

enum ra_option { RA_PREFIX = 3, RA_MTU = 5, RA_RDNSS = 25, RA_DNSSL = 31 };

/* ---- entries ---- */

/* f(entry) for the entries of all tables. */
#define RA_EACH(r, f)                            \
    do {                                         \
        for (int i_ = 0; i_ < RA_ROUTERS; i_++)  \
            f(&(r)->router[i_].e);               \
        for (int i_ = 0; i_ < RA_PREFIXES; i_++) \
            f(&(r)->prefix[i_].e);               \
        for (int i_ = 0; i_ < RA_PREFIXES; i_++) \
            f(&(r)->on_link[i_].e);              \
        for (int i_ = 0; i_ < RA_SERVERS; i_++)  \
            f(&(r)->server[i_].e);               \
        for (int i_ = 0; i_ < RA_DOMAINS; i_++)  \
            f(&(r)->domain[i_].e);               \
    } while (0)

static void ra_settle(struct ra_entry *e)
{
    if (e->gone)
        e->used = false;
    e->changed = e->gone = false;
}

static void ra_begin(struct ra *r, struct ra_out *out)
{
    memset(out, 0, sizeof(*out));
    RA_EACH(r, ra_settle);
}

static uint64_t ra_until(uint64_t now, uint32_t seconds)
{
    return seconds == UINT32_MAX ? RA_FOREVER : now + (uint64_t)seconds * 1000;
}

/* Makes way for others from the next advertisement on. */
static void ra_give_way(struct ra_entry *e, uint64_t now, bool *changed)
{
    if (!e->used || e->gone || now - e->heard < RA_STALE_MS)
        return;
    e->changed = e->gone = true;
    *changed = true;
}

/* An entry's end becomes `ends`; without any time left it is gone. */
static void ra_entry_set(struct ra_entry *e, uint64_t ends, uint64_t now, bool *changed)
{
    e->changed = true;
    e->ends = ends;
    e->heard = now;
    e->gone = ends <= now;
    *changed = true;
}

static bool ra_entry_ended(struct ra_entry *e, uint64_t now)
{
    if (!e->used || e->gone || e->ends > now)
        return false;
    e->changed = e->gone = true;
    return true;
}

uint32_t ra_left(uint64_t ends, uint64_t now)
{
    uint64_t s;

    if (ends == RA_FOREVER)
        return UINT32_MAX;
    s = ends > now ? (ends - now + 999) / 1000 : 0;
    return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX - 1;
}

static void ra_soonest(struct ra *r, const struct ra_entry *e)
{
    if (e->used && !e->gone && e->ends != RA_FOREVER && (!r->wake || e->ends < r->wake))
        r->wake = e->ends;
}

static void ra_wake_set(struct ra *r)
{
    r->wake = r->running ? r->solicit_at : 0;
    for (int i = 0; i < RA_ROUTERS; i++)
        ra_soonest(r, &r->router[i].e);
    for (int i = 0; i < RA_PREFIXES; i++) {
        ra_soonest(r, &r->prefix[i].e);
        ra_soonest(r, &r->on_link[i].e);
    }
    for (int i = 0; i < RA_SERVERS; i++)
        ra_soonest(r, &r->server[i].e);
    for (int i = 0; i < RA_DOMAINS; i++)
        ra_soonest(r, &r->domain[i].e);
}

/* ---- what an advertisement says ---- */

static void ra_router(struct ra *r, const uint8_t address[16], uint32_t seconds, uint64_t now,
                      struct ra_out *out)
{
    struct ra_router *at = NULL, *unused = NULL;

    for (int i = 0; i < RA_ROUTERS; i++) {
        struct ra_router *x = &r->router[i];

        if (x->e.used && !memcmp(x->address, address, 16))
            at = x;
        else if (!x->e.used && !unused)
            unused = x;
    }
    for (int i = 0; i < RA_ROUTERS && !at && seconds && !unused; i++)
        ra_give_way(&r->router[i].e, now, &out->routers);
    if (!at && (!seconds || !unused))
        return;
    if (at && seconds) {
        bool *told = at->e.gone ? &out->routers : &out->renewed;

        ra_entry_set(&at->e, ra_until(now, seconds), now, told);
        return;
    }
    if (!at) {
        at = unused;
        at->e.used = true;
        memcpy(at->address, address, 16);
    }
    ra_entry_set(&at->e, ra_until(now, seconds), now, &out->routers);
}

/* RFC 4862 5.5.3 e: no one can take an address away within two hours by saying so. */
static uint64_t ra_valid(uint64_t old, uint64_t ends, uint64_t now)
{
    uint64_t floor = now + TWO_HOURS_MS;

    if (ends > floor || ends >= old)
        return ends;
    return old <= floor ? old : floor;
}

/* `make`: for one that is not there yet, when there is a place. */
static struct ra_prefix *ra_prefix_find(struct ra_prefix *table, const uint8_t *bytes, uint8_t bits,
                                        bool make, uint64_t now, struct ra_out *out)
{
    struct ra_prefix *unused = NULL;

    for (int i = 0; i < RA_PREFIXES; i++) {
        struct ra_prefix *x = &table[i];

        if (x->e.used && x->bits == bits && !memcmp(x->bytes, bytes, 16))
            return x;
        if (!x->e.used && !unused)
            unused = x;
    }
    for (int i = 0; i < RA_PREFIXES && make && !unused; i++)
        ra_give_way(&table[i].e, now, &out->prefixes);
    if (!make || !unused)
        return NULL;
    memset(unused, 0, sizeof(*unused));
    unused->e.used = true;
    memcpy(unused->bytes, bytes, 16);
    unused->bits = bits;
    return unused;
}

/* What one of its flags says, of the table that the flag is for. */
static void ra_prefix_set(struct ra_prefix *x, uint64_t ends, uint64_t preferred, uint64_t now,
                          struct ra_out *out)
{
    ra_entry_set(&x->e, ends, now, &out->prefixes);
    x->preferred = preferred < ends ? preferred : ends;
}

static void ra_prefix(struct ra *r, const uint8_t *o, uint64_t now, struct ra_out *out)
{
    uint32_t valid = wire_u32(o + 4), preferred = wire_u32(o + 8);
    uint64_t ends = ra_until(now, valid), until = ra_until(now, preferred);
    uint8_t bytes[16] = {0}, bits = o[2];
    struct ra_prefix *x;

    if (bits > 128 || preferred > valid)
        return;
    memcpy(bytes, o + 16, bits / 8);
    if (bits % 8)
        bytes[bits / 8] = o[16 + bits / 8] & (uint8_t)(0xff << (8 - bits % 8));
    if (bytes[0] == 0xff || (bytes[0] == 0xfe && bytes[1] >> 6 == 2) || !bits)
        return;
    x = o[3] & 0x80 ? ra_prefix_find(r->on_link, bytes, bits, valid > 0, now, out) : NULL;
    if (x)
        ra_prefix_set(x, ends, ends, now, out);
    x = o[3] & 0x40 && bits == 64 ? ra_prefix_find(r->prefix, bytes, bits, valid > 0, now, out)
                                  : NULL;
    if (x)
        ra_prefix_set(x, ra_valid(x->e.ends, ends, now), until, now, out);
}

static void ra_server(struct ra *r, const uint8_t *address, uint32_t seconds, uint64_t now,
                      struct ra_out *out)
{
    struct ra_server *at = NULL, *unused = NULL;

    for (int i = 0; i < RA_SERVERS; i++) {
        struct ra_server *x = &r->server[i];

        if (x->e.used && !memcmp(x->address, address, 16))
            at = x;
        else if (!x->e.used && !unused)
            unused = x;
    }
    for (int i = 0; i < RA_SERVERS && !at && seconds && !unused; i++)
        ra_give_way(&r->server[i].e, now, &out->names);
    if (!at && (!seconds || !unused || address[0] == 0xff))
        return;
    if (!at) {
        at = unused;
        at->e.used = true;
        memcpy(at->address, address, 16);
    }
    ra_entry_set(&at->e, ra_until(now, seconds), now, &out->names);
}

static void ra_domain(struct ra *r, const char *name, uint32_t seconds, uint64_t now,
                      struct ra_out *out)
{
    struct ra_domain *at = NULL, *unused = NULL;

    for (int i = 0; i < RA_DOMAINS; i++) {
        struct ra_domain *x = &r->domain[i];

        if (x->e.used && !strcmp(x->name, name))
            at = x;
        else if (!x->e.used && !unused)
            unused = x;
    }
    for (int i = 0; i < RA_DOMAINS && !at && seconds && !unused; i++)
        ra_give_way(&r->domain[i].e, now, &out->names);
    if (!at && (!seconds || !unused || strlen(name) >= RA_DOMAIN_SIZE))
        return;
    if (!at) {
        at = unused;
        at->e.used = true;
        strcpy(at->name, name);
    }
    ra_entry_set(&at->e, ra_until(now, seconds), now, &out->names);
}

static void ra_domains(struct ra *r, const uint8_t *o, size_t len, uint64_t now, struct ra_out *out)
{
    char name[256];
    size_t at = 8;

    /* the rest of the option is zeros */
    while (at < len && wire_domain(NULL, o, len, &at, name, sizeof(name)) && name[0])
        ra_domain(r, name, wire_u32(o + 4), now, out);
}

static void ra_option(struct ra *r, const uint8_t *o, size_t len, uint64_t now, struct ra_out *out)
{
    if (o[0] == RA_PREFIX && len == 32) {
        ra_prefix(r, o, now, out);
    } else if (o[0] == RA_MTU && len == 8) {
        uint32_t mtu = wire_u32(o + 4);

        if (mtu >= MTU_LEAST && mtu <= 65535 && mtu != r->mtu) {
            r->mtu = mtu;
            out->link = true;
        }
    } else if (o[0] == RA_RDNSS && len >= 24 && len % 16 == 8) {
        for (size_t at = 8; at < len; at += 16)
            ra_server(r, o + at, wire_u32(o + 4), now, out);
    } else if (o[0] == RA_DNSSL && len >= 16) {
        ra_domains(r, o, len, now, out);
    }
}

/* RFC 4861 6.1.2: from this link alone, options that fill the packet. */
static bool ra_is_sound(const struct ra_packet *p)
{
    size_t at = 16;

    if (p->hop_limit != 255 || p->source[0] != 0xfe || p->source[1] >> 6 != 2 || p->len < 16 ||
        p->bytes[0] != RA_TYPE || p->bytes[1] != 0)
        return false;
    while (at < p->len) {
        size_t n = p->len - at >= 2 ? (size_t)p->bytes[at + 1] * 8 : 0;

        if (!n || n > p->len - at)
            return false;
        at += n;
    }
    return true;
}

void ra_input(struct ra *r, const struct ra_packet *p, uint64_t now, struct ra_out *out)
{
    uint16_t seconds;

    ra_begin(r, out);
    if (!r->running || !ra_is_sound(p))
        return;
    seconds = wire_u16(p->bytes + 6);
    ra_router(r, p->source, seconds, now, out);
    if (p->bytes[4] >= HOPS_LEAST && p->bytes[4] != r->hop_limit) {
        r->hop_limit = p->bytes[4];
        out->link = true;
    }
    if (p->bytes[5] & 0xc0 && !r->other) /* managed or other: addresses of DHCPv6 are not for us */
        r->other = out->ask = true;
    for (size_t at = 16; at < p->len; at += (size_t)p->bytes[at + 1] * 8)
        ra_option(r, p->bytes + at, (size_t)p->bytes[at + 1] * 8, now, out);
    if (seconds) { /* RFC 7559: only a default router ends the asking */
        r->heard = true;
        r->solicit_at = 0;
    }
    ra_wake_set(r);
}

/* ---- asking, and what time does ---- */

void ra_init(struct ra *r, uint64_t seed)
{
    memset(r, 0, sizeof(*r));
    r->seed = seed;
}

/* What the owner had made of it may have gone with the link. */
static void ra_tell_again(struct ra_entry *e, bool *changed)
{
    e->changed = e->used;
    *changed |= e->used;
}

/* The link's words were those of routers that are not heard any more. */
static void ra_forget_link(struct ra *r, struct ra_out *out)
{
    out->link |= r->mtu || r->hop_limit;
    r->mtu = 0;
    r->hop_limit = 0;
}

void ra_start(struct ra *r, uint64_t now, struct ra_out *out)
{
    ra_begin(r, out);
    for (int i = 0; i < RA_ROUTERS; i++)
        ra_tell_again(&r->router[i].e, &out->routers);
    for (int i = 0; i < RA_PREFIXES; i++) {
        ra_tell_again(&r->prefix[i].e, &out->prefixes);
        ra_tell_again(&r->on_link[i].e, &out->prefixes);
    }
    ra_forget_link(r, out); /* this may be another one */
    r->running = true;
    r->heard = r->other = false;
    r->tries = 0;
    for (int i = 0; i < RA_PREFIXES; i++) /* this may be another link */
        if (r->prefix[i].taken == RA_TAKEN_MAX)
            r->prefix[i].taken = 0;
    r->solicit_at = now + wire_between(&r->seed, 1, FIRST_DELAY_MS);
    ra_wake_set(r);
}

void ra_stop(struct ra *r)
{
    r->running = false;
    ra_wake_set(r);
}

static void ra_ask(struct ra *r, uint64_t now, struct ra_out *out)
{
    uint32_t ms = r->tries >= 10 ? SOLICIT_MAX_MS : SOLICIT_MS << r->tries;

    ms = ms > SOLICIT_MAX_MS ? SOLICIT_MAX_MS : ms;
    r->tries++;
    r->solicit_at = now + wire_between(&r->seed, ms - ms / 10, ms + ms / 10);
    out->solicit = true;
}

static bool ra_has_router(const struct ra *r)
{
    for (int i = 0; i < RA_ROUTERS; i++)
        if (r->router[i].e.used && !r->router[i].e.gone)
            return true;
    return false;
}

void ra_wake(struct ra *r, uint64_t now, struct ra_out *out)
{
    ra_begin(r, out);
    for (int i = 0; i < RA_ROUTERS; i++)
        out->routers |= ra_entry_ended(&r->router[i].e, now);
    for (int i = 0; i < RA_PREFIXES; i++) {
        out->prefixes |= ra_entry_ended(&r->prefix[i].e, now);
        out->prefixes |= ra_entry_ended(&r->on_link[i].e, now);
    }
    for (int i = 0; i < RA_SERVERS; i++)
        out->names |= ra_entry_ended(&r->server[i].e, now);
    for (int i = 0; i < RA_DOMAINS; i++)
        out->names |= ra_entry_ended(&r->domain[i].e, now);
    if (r->running && r->heard && !ra_has_router(r)) { /* the last one has fallen silent */
        r->heard = false;
        r->tries = 0;
        r->solicit_at = now;
        ra_forget_link(r, out);
    }
    if (r->running && r->solicit_at && r->solicit_at <= now)
        ra_ask(r, now, out);
    ra_wake_set(r);
}

void ra_solicitation(const uint8_t mac[6], uint8_t out[RA_SOLICIT_SIZE])
{
    memset(out, 0, RA_SOLICIT_SIZE);
    out[0] = RS_TYPE;
    out[8] = 1; /* source link-layer address */
    out[9] = 1;
    memcpy(out + 10, mac, 6);
}

/* ---- interface identifiers ---- */

void ra_id_eui64(const uint8_t mac[6], uint8_t id[8])
{
    memcpy(id, mac, 3);
    id[0] ^= 2;
    id[3] = 0xff;
    id[4] = 0xfe;
    memcpy(id + 5, mac + 3, 3);
}

static int ra_hex(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

void ra_id_stable(const char *secret, const uint8_t prefix[8], const char *device, unsigned taken,
                  uint8_t id[8])
{
    uint8_t count = (uint8_t)taken;
    char hex[SHA256_HEX];
    struct sha256 s;

    sha256_init(&s);
    sha256_add(&s, prefix, 8);
    sha256_add(&s, device, strlen(device) + 1);
    sha256_add(&s, &count, 1);
    sha256_add(&s, secret, strlen(secret));
    sha256_end(&s, hex);
    for (int i = 0; i < 8; i++)
        id[i] = (uint8_t)(ra_hex(hex[2 * i]) << 4 | ra_hex(hex[2 * i + 1]));
    id[0] &= 0xfd; /* not a universal address; RFC 7136 gives the bit no meaning */
}
