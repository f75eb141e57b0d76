// SPDX-License-Identifier: MIT
// Stateless DHCPv6; see dhcp6.h.
//
// A message: type, 24 bits of transaction, options of code (16), length (16), data.
#include "netd/dhcp6.h"

#include <string.h>

#include "netd/wire.h"

#define INFORMATION_REQUEST 11
#define REPLY 7
#define FIRST_DELAY_MS 1000 /* INF_MAX_DELAY */
#define FIRST_MS 1000       /* INF_TIMEOUT */
#define LONGEST_MS 3600000  /* INF_MAX_RT */
#define REFRESH_S 86400     /* IRT_DEFAULT */
#define REFRESH_LEAST_S 600 /* IRT_MINIMUM */
#define DUID_SIZE 10

enum dhcp6_option {
    OPT6_CLIENT = 1,
    OPT6_SERVER = 2,
    OPT6_WISHES = 6,
    OPT6_ELAPSED = 8,
    OPT6_STATUS = 13,
    OPT6_DNS = 23,
    OPT6_SEARCH = 24,
    OPT6_SNTP = 31,
    OPT6_REFRESH = 32,
    OPT6_NTP = 56,
    NTP_SUB_ADDRESS = 1,
    NTP_SUB_NAME = 3,
};

/* DUID-LL: the hardware address is all that this machine has of an identity. */
static void dhcp6_duid(const uint8_t mac[6], uint8_t out[DUID_SIZE])
{
    static const uint8_t head[4] = {0, 3, 0, 1};

    memcpy(out, head, 4);
    memcpy(out + 4, mac, 6);
}

/* ---- reading ---- */

static void dhcp6_addresses(const uint8_t *p, size_t len, uint8_t list[][16], unsigned *n)
{
    for (size_t at = 0; len - at >= 16 && *n < DHCP6_SERVERS; at += 16) {
        static const uint8_t none[16];

        if (p[at] != 0xff && memcmp(p + at, none, 16))
            memcpy(list[(*n)++], p + at, 16);
    }
}

static void dhcp6_domains(const uint8_t *p, size_t len, char list[256])
{
    char name[256];
    size_t at = 0;

    while (at < len && wire_domain(NULL, p, len, &at, name, sizeof(name)))
        domain_add(list, 256, name);
}

/* RFC 5908: suboptions; servers by address or name count. */
static void dhcp6_ntp(const uint8_t *p, size_t len, struct dhcp6_answer *a)
{
    for (size_t at = 0; len - at >= 4;) {
        size_t n = wire_u16(p + at + 2);

        if (n > len - at - 4)
            return;
        if (wire_u16(p + at) == NTP_SUB_ADDRESS && n == 16)
            dhcp6_addresses(p + at + 4, n, a->ntp, &a->ntp_n);
        else if (wire_u16(p + at) == NTP_SUB_NAME)
            dhcp6_domains(p + at + 4, n, a->ntp_names);
        at += n + 4;
    }
}

/* False when the answer is a refusal, or another client's. */
static bool dhcp6_option(const struct dhcp6 *d, uint16_t code, const uint8_t *p, size_t len,
                         struct dhcp6_answer *a)
{
    uint8_t duid[DUID_SIZE];

    switch (code) {
    case OPT6_CLIENT:
        dhcp6_duid(d->mac, duid);
        return len == DUID_SIZE && !memcmp(p, duid, len);
    case OPT6_STATUS:
        return len >= 2 && wire_u16(p) == 0;
    case OPT6_DNS:
        dhcp6_addresses(p, len, a->dns, &a->dns_n);
        break;
    case OPT6_SNTP:
        dhcp6_addresses(p, len, a->ntp, &a->ntp_n);
        break;
    case OPT6_NTP:
        dhcp6_ntp(p, len, a);
        break;
    case OPT6_SEARCH:
        dhcp6_domains(p, len, a->search);
        break;
    case OPT6_REFRESH:
        if (len == 4)
            a->refresh_s = wire_u32(p) < REFRESH_LEAST_S ? REFRESH_LEAST_S : wire_u32(p);
        break;
    default:
        break;
    }
    return true;
}

static bool dhcp6_parse(const struct dhcp6 *d, const uint8_t *p, size_t len, struct dhcp6_answer *a)
{
    bool server = false;
    size_t at = 4;

    memset(a, 0, sizeof(*a));
    a->refresh_s = REFRESH_S;
    if (len < 4 || p[0] != REPLY || (wire_u32(p) & 0xffffff) != d->xid)
        return false;
    while (at < len) {
        size_t n;

        if (len - at < 4 || wire_u16(p + at + 2) > len - at - 4)
            return false;
        n = wire_u16(p + at + 2);
        server |= wire_u16(p + at) == OPT6_SERVER && n > 0;
        if (!dhcp6_option(d, wire_u16(p + at), p + at + 4, n, a))
            return false;
        at += n + 4;
    }
    return server;
}

void dhcp6_message(struct dhcp6 *d, const uint8_t *p, size_t len, uint64_t now,
                   struct dhcp6_out *out)
{
    struct dhcp6_answer a;

    out->len = 0;
    out->changed = false;
    if (!d->asking || !dhcp6_parse(d, p, len, &a))
        return;
    out->changed = !d->has_answer || memcmp(&a, &d->answer, sizeof(a));
    d->answer = a;
    d->has_answer = true;
    d->asking = false;
    d->wake = a.refresh_s == UINT32_MAX ? 0 : now + (uint64_t)a.refresh_s * 1000;
}

/* ---- asking ---- */

static uint8_t *dhcp6_put(uint8_t *p, uint16_t code, const void *data, uint16_t len)
{
    wire_put16(p, code);
    wire_put16(p + 2, len);
    memcpy(p + 4, data, len);
    return p + 4 + len;
}

static size_t dhcp6_make(const struct dhcp6 *d, uint64_t now, uint8_t *out)
{
    static const uint8_t wishes[] = {0, OPT6_DNS,     0, OPT6_SEARCH, 0, OPT6_SNTP,
                                     0, OPT6_REFRESH, 0, OPT6_NTP};
    uint64_t elapsed = (now - d->asked) / 10;
    uint8_t duid[DUID_SIZE], time[2], *p = out + 4;

    wire_put32(out, (uint32_t)INFORMATION_REQUEST << 24 | d->xid);
    dhcp6_duid(d->mac, duid);
    wire_put16(time, elapsed > UINT16_MAX ? UINT16_MAX : (uint16_t)elapsed);
    p = dhcp6_put(p, OPT6_CLIENT, duid, sizeof(duid));
    p = dhcp6_put(p, OPT6_ELAPSED, time, sizeof(time));
    p = dhcp6_put(p, OPT6_WISHES, wishes, sizeof(wishes));
    return (size_t)(p - out);
}

void dhcp6_init(struct dhcp6 *d, const uint8_t mac[6], uint64_t seed)
{
    memset(d, 0, sizeof(*d));
    memcpy(d->mac, mac, 6);
    d->seed = seed;
}

static void dhcp6_exchange(struct dhcp6 *d, uint64_t now)
{
    d->asking = true;
    d->tries = 0;
    d->xid = wire_random(&d->seed) & 0xffffff;
    d->asked = now;
}

void dhcp6_start(struct dhcp6 *d, uint64_t now, struct dhcp6_out *out)
{
    out->len = 0;
    out->changed = false;
    dhcp6_exchange(d, now);
    d->wake = now + wire_between(&d->seed, 1, FIRST_DELAY_MS);
}

void dhcp6_stop(struct dhcp6 *d)
{
    d->asking = false;
    d->wake = 0;
}

void dhcp6_wake(struct dhcp6 *d, uint64_t now, struct dhcp6_out *out)
{
    uint32_t ms;

    out->len = 0;
    out->changed = false;
    if (!d->wake || now < d->wake)
        return;
    if (!d->asking) /* it is time to ask again */
        dhcp6_exchange(d, now);
    if (!d->tries)
        d->asked = now;
    ms = d->tries >= 12 ? LONGEST_MS : FIRST_MS << d->tries;
    ms = ms > LONGEST_MS ? LONGEST_MS : ms;
    d->tries++;
    d->wake = now + wire_between(&d->seed, ms - ms / 10, ms + ms / 10);
    out->len = dhcp6_make(d, now, out->message);
}
