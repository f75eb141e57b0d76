// SPDX-License-Identifier: MIT
// The DHCPv4 client; see dhcp4.h.
//
// Times. Retransmissions come after 1, 2, 4 ... 64 s, each up to a second more or less (RFC 2131
// 4.1 begins with 4 s; most of the waiting at a boot would be that). A conflict is sought with
// three probes 100 ms apart, a tenth of RFC 5227's times: the server has looked as well.
#include "netd/dhcp4.h"

#include <string.h>

#include "netd/wire.h"

#define FIRST_MS 1000
#define LONGEST_MS 64000
#define REQUESTS 4 /* before looking for another server */
#define REBOOTS 3  /* before the old lease's server is given up */
#define PROBES 3
#define PROBE_MS 100
#define NAK_MS 1000
#define LATER_MS 1000
#define DECLINE_MS 10000 /* RFC 2131 3.1.5 */
#define LEAST_RENEW_MS 1000
#define FOREVER UINT32_MAX

const char *dhcp4_state_name(enum dhcp4_state s)
{
    static const char *const names[] = {"stopped", "paused", "selecting", "requesting", "rebooting",
                                        "probing", "bound",  "renewing",  "rebinding"};

    return names[s];
}

void dhcp4_init(struct dhcp4 *d, const uint8_t mac[6], const char *hostname, uint64_t seed)
{
    memset(d, 0, sizeof(*d));
    memcpy(d->mac, mac, 6);
    strncpy(d->hostname, hostname, sizeof(d->hostname) - 1);
    d->seed = seed;
}

/* ---- sending ---- */

static void dhcp4_send(struct dhcp4 *d, struct dhcp4_order o, enum dhcp4_path path, uint64_t now,
                       struct dhcp4_out *out)
{
    uint64_t secs = (now - d->asked) / 1000;

    o.xid = d->xid;
    o.mac = d->mac;
    o.hostname = d->hostname;
    o.secs = secs > UINT16_MAX ? UINT16_MAX : (uint16_t)secs;
    out->path = path;
    out->len = dhcp4_make(&o, out->message);
}

/* When to try again, the next time later. */
static void dhcp4_again(struct dhcp4 *d, uint64_t now)
{
    uint32_t ms = d->tries >= 6 ? LONGEST_MS : FIRST_MS << d->tries;
    uint32_t jitter = ms / 4 < 1000 ? ms / 4 : 1000;

    d->tries++;
    d->wake = now + wire_between(&d->seed, ms - jitter, ms + jitter);
    if (d->has_lease && d->lease_ends && d->wake > d->lease_ends)
        d->wake = d->lease_ends;
}

static void dhcp4_send_discover(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    dhcp4_send(d, (struct dhcp4_order){.type = DHCP4_DISCOVER}, DHCP4_ALL, now, out);
    dhcp4_again(d, now);
}

static void dhcp4_send_request(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    bool reboot = d->state == DHCP4_REBOOTING; /* RFC 2131 4.3.2: names no server */

    dhcp4_send(d,
               (struct dhcp4_order){.type = DHCP4_REQUEST,
                                    .requested = d->offer.address,
                                    .server = reboot ? 0 : d->offer.server},
               DHCP4_ALL, now, out);
    dhcp4_again(d, now);
}

/* ---- states ---- */

static void dhcp4_exchange(struct dhcp4 *d, enum dhcp4_state state, uint64_t now)
{
    d->state = state;
    d->xid = wire_random(&d->seed);
    d->asked = now;
    d->tries = 0;
}

static void dhcp4_select(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    dhcp4_exchange(d, DHCP4_SELECTING, now);
    dhcp4_send_discover(d, now, out);
}

static void dhcp4_lose(struct dhcp4 *d, struct dhcp4_out *out)
{
    out->unbind |= d->has_lease;
    d->has_lease = false;
    d->lease_ends = 0;
}

void dhcp4_start(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    memset(out, 0, sizeof(*out));
    if (d->has_lease && d->lease_ends && d->lease_ends <= now)
        dhcp4_lose(d, out);
    if (!d->has_lease) {
        dhcp4_select(d, now, out);
        return;
    }
    dhcp4_exchange(d, DHCP4_REBOOTING, now);
    d->offer = d->lease;
    d->offer_since = now;
    dhcp4_send_request(d, now, out);
}

void dhcp4_stop(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    memset(out, 0, sizeof(*out));
    d->state = DHCP4_STOPPED;
    d->wake = d->has_lease ? d->lease_ends : 0;
}

/* The offer's times begin when it was asked for (RFC 2131 4.4.1). */
static void dhcp4_bind(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    struct dhcp4_lease *l = &d->lease;
    uint64_t from = d->offer_since;

    if (d->has_lease && (l->address != d->offer.address || l->prefix != d->offer.prefix))
        out->unbind = true;
    *l = d->offer;
    d->has_lease = true;
    d->state = DHCP4_BOUND;
    out->bind = true;
    if (l->lease_s == FOREVER) {
        d->lease_ends = d->wake = 0;
        return;
    }
    if (!l->renew_s) {
        l->renew_s = l->lease_s / 2;
        l->rebind_s = (uint32_t)((uint64_t)l->lease_s * 7 / 8);
    }
    d->renew_at = from + (uint64_t)l->renew_s * 1000;
    d->rebind_at = from + (uint64_t)l->rebind_s * 1000;
    d->lease_ends = from + (uint64_t)l->lease_s * 1000;
    d->wake = d->renew_at > now ? d->renew_at : now;
}

static void dhcp4_probe(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    if (d->tries == PROBES) {
        dhcp4_bind(d, now, out);
        out->announce = true;
        return;
    }
    d->tries++;
    out->probe = true;
    d->wake = now + PROBE_MS;
}

static void dhcp4_decline(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    dhcp4_send(d,
               (struct dhcp4_order){
                   .type = DHCP4_DECLINE, .requested = d->offer.address, .server = d->offer.server},
               DHCP4_ALL, now, out);
    dhcp4_lose(d, out);
    d->state = DHCP4_PAUSED;
    d->wake = now + DECLINE_MS;
}

/* ---- what is heard ---- */

static void dhcp4_offer(struct dhcp4 *d, const struct dhcp4_lease *l, uint64_t now,
                        struct dhcp4_out *out)
{
    if (d->state != DHCP4_SELECTING || !l->server)
        return;
    d->offer = *l;
    d->offer_since = now;
    d->state = DHCP4_REQUESTING;
    d->tries = 0;
    dhcp4_send_request(d, now, out); /* with the transaction's number, RFC 2131 4.4.1 */
}

/* Whether a server's answer is the one that was asked for. */
static bool dhcp4_answers(const struct dhcp4 *d, const struct dhcp4_lease *l)
{
    if (d->state == DHCP4_REQUESTING)
        return l->server == d->offer.server;
    if (d->state == DHCP4_RENEWING)
        return !l->server || l->server == d->lease.server;
    return d->state == DHCP4_REBOOTING || d->state == DHCP4_REBINDING;
}

static void dhcp4_ack(struct dhcp4 *d, const struct dhcp4_lease *l, uint64_t now,
                      struct dhcp4_out *out)
{
    bool fresh = d->state == DHCP4_REQUESTING, same = l->address == d->offer.address;
    uint32_t server = d->offer.server;

    if (!same) /* not what was asked for: RFC 2131 knows no such answer */
        return;
    d->offer = *l;
    if (!d->offer.server)
        d->offer.server = server;
    if (!fresh) {
        dhcp4_bind(d, now, out);
        return;
    }
    d->state = DHCP4_PROBING;
    d->tries = 0;
    dhcp4_probe(d, now, out);
}

/* One that refuses what it has just offered is not asked again at once. */
static void dhcp4_nak(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    if (d->state == DHCP4_REQUESTING) {
        d->state = DHCP4_PAUSED;
        d->wake = now + wire_between(&d->seed, NAK_MS, 2 * NAK_MS);
        return;
    }
    dhcp4_lose(d, out);
    dhcp4_select(d, now, out);
}

void dhcp4_message(struct dhcp4 *d, const uint8_t *p, size_t len, uint64_t now,
                   struct dhcp4_out *out)
{
    struct dhcp4_message m;

    memset(out, 0, sizeof(*out));
    if (d->state < DHCP4_SELECTING || !dhcp4_parse(p, len, d->xid, d->mac, &m))
        return;
    if (m.type == DHCP4_OFFER) {
        dhcp4_offer(d, &m.lease, now, out);
    } else if (!dhcp4_answers(d, &m.lease)) {
        return;
    } else if (m.type == DHCP4_ACK) {
        dhcp4_ack(d, &m.lease, now, out);
    } else {
        dhcp4_nak(d, now, out);
    }
}

void dhcp4_arp(struct dhcp4 *d, const uint8_t *p, size_t len, uint64_t now, struct dhcp4_out *out)
{
    memset(out, 0, sizeof(*out));
    if (d->state == DHCP4_PROBING && arp_conflicts(p, len, d->mac, d->offer.address))
        dhcp4_decline(d, now, out);
}

void dhcp4_taken(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    if (d->state != DHCP4_PROBING || !out->probe)
        return;
    out->probe = false;
    dhcp4_decline(d, now, out);
}

void dhcp4_later(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    if (d->state != DHCP4_PROBING || !out->probe)
        return;
    out->probe = false;
    d->tries--;
    d->wake = now + LATER_MS;
}

/* ---- what time does ---- */

/* RFC 2131 4.4.5: half of what is left until then. Its minute at least between two tries would
 * leave a short lease but one. */
static void dhcp4_extend(struct dhcp4 *d, uint64_t until, uint64_t now, struct dhcp4_out *out)
{
    uint64_t left = until > now ? until - now : 0;
    bool to_server = d->state == DHCP4_RENEWING;

    dhcp4_send(d, (struct dhcp4_order){.type = DHCP4_REQUEST, .ciaddr = d->lease.address},
               to_server ? DHCP4_TO_SERVER : DHCP4_ALL_BOUND, now, out);
    d->wake = now + (left / 2 < LEAST_RENEW_MS ? LEAST_RENEW_MS : left / 2);
    if (d->wake > until)
        d->wake = until;
}

static void dhcp4_aged(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    enum dhcp4_state state = now >= d->rebind_at ? DHCP4_REBINDING : DHCP4_RENEWING;

    if (d->state != state) {
        dhcp4_exchange(d, state, now);
        d->offer = d->lease;
    }
    d->offer_since = now;
    if (state == DHCP4_RENEWING && !d->lease.server)
        d->wake = d->rebind_at;
    else
        dhcp4_extend(d, state == DHCP4_RENEWING ? d->rebind_at : d->lease_ends, now, out);
}

static void dhcp4_due(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    switch (d->state) {
    case DHCP4_STOPPED:
        break;
    case DHCP4_PAUSED:
        dhcp4_select(d, now, out);
        break;
    case DHCP4_SELECTING:
        dhcp4_send_discover(d, now, out);
        break;
    case DHCP4_REQUESTING:
    case DHCP4_REBOOTING:
        if (d->tries < (d->state == DHCP4_REQUESTING ? REQUESTS : REBOOTS))
            dhcp4_send_request(d, now, out);
        else
            dhcp4_select(d, now, out); /* a lease is ours meanwhile */
        break;
    case DHCP4_PROBING:
        dhcp4_probe(d, now, out);
        break;
    case DHCP4_BOUND:
    case DHCP4_RENEWING:
    case DHCP4_REBINDING:
        dhcp4_aged(d, now, out);
        break;
    }
}

void dhcp4_wake(struct dhcp4 *d, uint64_t now, struct dhcp4_out *out)
{
    memset(out, 0, sizeof(*out));
    if (!d->wake || now < d->wake)
        return;
    d->wake = 0;
    if (d->has_lease && d->lease_ends && now >= d->lease_ends) {
        dhcp4_lose(d, out);
        if (d->state >= DHCP4_REBOOTING && d->state != DHCP4_PROBING)
            dhcp4_select(d, now, out);
        else
            dhcp4_due(d, now, out);
        return;
    }
    dhcp4_due(d, now, out);
}
