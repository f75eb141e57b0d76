// SPDX-License-Identifier: MIT
// DHCPv4 messages; see dhcp4_msg.h.
//
// A message: 236 bytes of BOOTP, the magic number, options of code, length, data. Options may go on
// in the fields `file` and `sname` (52), and one code may stand several times: its data is joined
// (RFC 3396), up to what is kept here.
#include "netd/dhcp4_msg.h"

#include <string.h>

#include "netd/address.h"
#include "netd/config.h"
#include "netd/wire.h"

#define BOOTP_SIZE 236
#define BOOTP_REPLY 2
#define DHCP4_MAGIC 0x63825363u
#define DHCP4_LEAST_LEASE_S 10 /* shorter ones are no use */
#define OPTION_MAX 512         /* bytes that are kept of one option */

enum bootp_field {
    BOOTP_OP = 0,
    BOOTP_HTYPE = 1,
    BOOTP_HLEN = 2,
    BOOTP_XID = 4,
    BOOTP_SECS = 8,
    BOOTP_CIADDR = 12,
    BOOTP_YIADDR = 16,
    BOOTP_CHADDR = 28,
    BOOTP_SNAME = 44,
    BOOTP_FILE = 108,
};

enum dhcp4_option {
    OPT_PAD = 0,
    OPT_MASK = 1,
    OPT_ROUTERS = 3,
    OPT_DNS = 6,
    OPT_HOSTNAME = 12,
    OPT_DOMAIN = 15,
    OPT_MTU = 26,
    OPT_NTP = 42,
    OPT_REQUESTED = 50,
    OPT_LEASE = 51,
    OPT_OVERLOAD = 52,
    OPT_TYPE = 53,
    OPT_SERVER = 54,
    OPT_LIST = 55,
    OPT_SIZE = 57,
    OPT_RENEW = 58,
    OPT_REBIND = 59,
    OPT_CLIENT = 61,
    OPT_SEARCH = 119,
    OPT_ROUTES = 121,
    OPT_END = 255,
};

/* ---- reading ---- */

struct options {
    const uint8_t *area[3];
    size_t size[3];
    unsigned areas;
    bool sound; /* no option reached beyond its area */
};

/* The next option of an area from *at on, its data in *data; false at the end, which is not sound
 * where an option reaches beyond it. */
static bool option_next(struct options *o, unsigned area, size_t *at, uint8_t *code,
                        const uint8_t **data, size_t *len)
{
    const uint8_t *p = o->area[area];
    size_t size = o->size[area];

    while (*at < size && p[*at] == OPT_PAD)
        ++*at;
    if (*at >= size || p[*at] == OPT_END)
        return false;
    if (size - *at < 2 || p[*at + 1] > size - *at - 2) {
        o->sound = false;
        return false;
    }
    *code = p[*at];
    *len = p[*at + 1];
    *data = p + *at + 2;
    *at += *len + 2;
    return true;
}

/* Joins all pieces of `code` into out[OPTION_MAX]: bytes, or -1 when there are none. */
static int option_join(struct options *o, uint8_t code, uint8_t *out)
{
    const uint8_t *data;
    int have = -1;
    uint8_t found;
    size_t len;

    for (unsigned i = 0; i < o->areas; i++)
        for (size_t at = 0; option_next(o, i, &at, &found, &data, &len);) {
            if (found != code)
                continue;
            have = have < 0 ? 0 : have;
            if (len > (size_t)(OPTION_MAX - have))
                continue;
            memcpy(out + have, data, len);
            have += (int)len;
        }
    return have;
}

static uint32_t option_u32(struct options *o, uint8_t code, uint32_t otherwise)
{
    uint8_t data[OPTION_MAX];

    return option_join(o, code, data) == 4 ? wire_u32(data) : otherwise;
}

static uint8_t option_u8(struct options *o, uint8_t code)
{
    uint8_t data[OPTION_MAX];

    return option_join(o, code, data) == 1 ? data[0] : 0;
}

static void option_addresses(struct options *o, uint8_t code, struct dhcp4_addresses *out)
{
    uint8_t data[OPTION_MAX];
    int n = option_join(o, code, data);

    for (int i = 0; i + 4 <= n && out->n < DHCP4_ADDRESSES; i += 4)
        if (address_v4_usable(wire_u32(data + i)))
            out->item[out->n++] = wire_u32(data + i);
}

static bool option_text(struct options *o, uint8_t code, char *out, size_t size)
{
    uint8_t data[OPTION_MAX];
    int n = option_join(o, code, data);

    while (n > 0 && data[n - 1] == 0)
        n--;
    if (n <= 0 || (size_t)n >= size || memchr(data, 0, (size_t)n))
        return false;
    memcpy(out, data, (size_t)n);
    out[n] = 0;
    if (hostname_ok(out))
        return true;
    out[0] = 0;
    return false;
}

/* RFC 3442: a length in bits, as many bytes of the network as that needs, a router. */
static void option_routes(struct options *o, struct dhcp4_lease *l)
{
    uint8_t data[OPTION_MAX];
    int n = option_join(o, OPT_ROUTES, data), at = 0;

    l->has_routes = n >= 5;
    while (at < n && l->routes < DHCP4_ROUTES) {
        struct dhcp4_route r = {.prefix = data[at]};
        int bytes = (r.prefix + 7) / 8;

        if (r.prefix > 32 || n - at < 1 + bytes + 4)
            break;
        for (int i = 0; i < bytes; i++)
            r.to |= (uint32_t)data[at + 1 + i] << (24 - 8 * i);
        r.to &= r.prefix ? UINT32_MAX << (32 - r.prefix) : 0;
        r.via = wire_u32(data + at + 1 + bytes);
        at += 1 + bytes + 4;
        if (r.prefix && (r.to >> 24 == 127 || r.to >> 28 >= 14))
            continue; /* to this machine itself, or to groups */
        if ((!r.via && r.prefix) || address_v4_usable(r.via))
            l->route[l->routes++] = r;
    }
}

static void option_search(struct options *o, struct dhcp4_lease *l)
{
    uint8_t data[OPTION_MAX];
    char domain[256];
    size_t at = 0;
    int n;

    if (option_text(o, OPT_DOMAIN, domain, sizeof(domain)))
        domain_add(l->search, sizeof(l->search), domain);
    n = option_join(o, OPT_SEARCH, data);
    while (n > 0 && at < (size_t)n &&
           wire_domain(data, data, (size_t)n, &at, domain, sizeof(domain)))
        domain_add(l->search, sizeof(l->search), domain);
}

static unsigned class_prefix(uint32_t a)
{
    return a >> 31 == 0 ? 8 : a >> 30 == 2 ? 16 : 24;
}

/* The lease's own words: false when there is no living with them. */
static bool lease_words(struct options *o, struct dhcp4_lease *l)
{
    int prefix = address_mask_prefix(option_u32(o, OPT_MASK, 0));

    if (prefix == 0)
        prefix = (int)class_prefix(l->address);
    if (prefix < 1 || !address_v4_usable(l->address))
        return false;
    l->prefix = (uint8_t)prefix;
    if (prefix < 31 && (l->address << prefix == 0 || (uint32_t)~l->address << prefix == 0))
        return false; /* the network itself, or its broadcast address */
    l->lease_s = option_u32(o, OPT_LEASE, 0);
    if (l->lease_s && l->lease_s < DHCP4_LEAST_LEASE_S)
        return false;
    l->renew_s = option_u32(o, OPT_RENEW, 0);
    l->rebind_s = option_u32(o, OPT_REBIND, 0);
    if (l->rebind_s >= l->lease_s || l->renew_s >= l->rebind_s)
        l->renew_s = l->rebind_s = 0;
    return true;
}

static void lease_rest(struct options *o, struct dhcp4_lease *l)
{
    uint8_t data[OPTION_MAX];

    option_addresses(o, OPT_ROUTERS, &l->routers);
    option_addresses(o, OPT_DNS, &l->dns);
    option_addresses(o, OPT_NTP, &l->ntp);
    option_routes(o, l);
    option_text(o, OPT_HOSTNAME, l->hostname, sizeof(l->hostname));
    option_search(o, l);
    if (option_join(o, OPT_MTU, data) == 2 && wire_u16(data) >= 576)
        l->mtu = wire_u16(data);
}

static bool is_reply(const uint8_t *p, size_t len, uint32_t xid, const uint8_t mac[6])
{
    return len >= BOOTP_SIZE + 4 && p[BOOTP_OP] == BOOTP_REPLY && p[BOOTP_HTYPE] == 1 &&
           p[BOOTP_HLEN] == 6 && wire_u32(p + BOOTP_XID) == xid &&
           !memcmp(p + BOOTP_CHADDR, mac, 6) && wire_u32(p + BOOTP_SIZE) == DHCP4_MAGIC;
}

bool dhcp4_parse(const uint8_t *p, size_t len, uint32_t xid, const uint8_t mac[6],
                 struct dhcp4_message *out)
{
    struct options o = {.areas = 1, .sound = true};
    uint8_t overload;

    if (!is_reply(p, len, xid, mac))
        return false;
    o.area[0] = p + BOOTP_SIZE + 4;
    o.size[0] = len - BOOTP_SIZE - 4;
    memset(out, 0, sizeof(*out));
    overload = option_u8(&o, OPT_OVERLOAD);
    if (overload & 1) {
        o.area[o.areas] = p + BOOTP_FILE;
        o.size[o.areas++] = 128;
    }
    if (overload & 2) {
        o.area[o.areas] = p + BOOTP_SNAME;
        o.size[o.areas++] = 64;
    }
    out->type = option_u8(&o, OPT_TYPE);
    out->lease.server = option_u32(&o, OPT_SERVER, 0);
    out->lease.address = wire_u32(p + BOOTP_YIADDR);
    if (!o.sound || (out->lease.server && !address_v4_usable(out->lease.server)))
        return false;
    if (out->type == DHCP4_NAK)
        return true;
    if ((out->type != DHCP4_OFFER && out->type != DHCP4_ACK) || !lease_words(&o, &out->lease))
        return false;
    if (out->type == DHCP4_ACK && !out->lease.lease_s)
        return false;
    lease_rest(&o, &out->lease);
    return true;
}

/* ---- making ---- */

static uint8_t *put_option(uint8_t *p, uint8_t code, const void *data, size_t len)
{
    *p++ = code;
    *p++ = (uint8_t)len;
    memcpy(p, data, len);
    return p + len;
}

static uint8_t *put_u32(uint8_t *p, uint8_t code, uint32_t v)
{
    uint8_t data[4];

    wire_put32(data, v);
    return put_option(p, code, data, 4);
}

/* What a client says of itself and asks for. */
static uint8_t *put_wishes(uint8_t *p, const struct dhcp4_order *o)
{
    static const uint8_t list[] = {OPT_MASK,     OPT_ROUTES, OPT_ROUTERS, OPT_DNS,
                                   OPT_HOSTNAME, OPT_DOMAIN, OPT_MTU,     OPT_NTP,
                                   OPT_SEARCH,   OPT_LEASE,  OPT_RENEW,   OPT_REBIND};
    uint8_t size[2];
    size_t name = strlen(o->hostname);

    wire_put16(size, DHCP4_READ_MAX - DHCP4_FRAME_HEAD);
    p = put_option(p, OPT_SIZE, size, 2);
    p = put_option(p, OPT_LIST, list, sizeof(list));
    return name && name < 64 ? put_option(p, OPT_HOSTNAME, o->hostname, name) : p;
}

size_t dhcp4_make(const struct dhcp4_order *o, uint8_t *out)
{
    uint8_t client[7] = {1}, type = o->type, *p = out + BOOTP_SIZE;

    memset(out, 0, DHCP4_MSG_MAX);
    out[BOOTP_OP] = 1;
    out[BOOTP_HTYPE] = 1;
    out[BOOTP_HLEN] = 6;
    wire_put32(out + BOOTP_XID, o->xid);
    wire_put16(out + BOOTP_SECS, o->secs);
    wire_put32(out + BOOTP_CIADDR, o->ciaddr);
    memcpy(out + BOOTP_CHADDR, o->mac, 6);
    memcpy(client + 1, o->mac, 6);
    wire_put32(p, DHCP4_MAGIC);
    p = put_option(p + 4, OPT_TYPE, &type, 1);
    p = put_option(p, OPT_CLIENT, client, sizeof(client));
    if (o->requested)
        p = put_u32(p, OPT_REQUESTED, o->requested);
    if (o->server)
        p = put_u32(p, OPT_SERVER, o->server);
    if (o->type == DHCP4_DISCOVER || o->type == DHCP4_REQUEST)
        p = put_wishes(p, o);
    *p++ = OPT_END;
    return p - out < 300 ? 300 : (size_t)(p - out); /* some relays drop what BOOTP would not send */
}

/* ---- frames ---- */

static uint32_t udp_sum(const uint8_t *ip, const uint8_t *udp, size_t len)
{
    return wire_sum(wire_sum(17 + (uint32_t)len, ip + 12, 8), udp, len);
}

void dhcp4_frame(uint8_t *f, size_t message_len)
{
    uint8_t *udp = f + 20;
    size_t len = message_len + 8;
    uint16_t sum;

    memset(f, 0, DHCP4_FRAME_HEAD);
    f[0] = 0x45;
    wire_put16(f + 2, (uint16_t)(20 + len));
    f[8] = 64;
    f[9] = 17;
    wire_put32(f + 16, 0xffffffff);
    wire_put16(f + 10, wire_sum_end(wire_sum(0, f, 20)));
    wire_put16(udp, DHCP4_CLIENT_PORT);
    wire_put16(udp + 2, DHCP4_SERVER_PORT);
    wire_put16(udp + 4, (uint16_t)len);
    sum = wire_sum_end(udp_sum(f, udp, len));
    wire_put16(udp + 6, sum ? sum : 0xffff);
}

const uint8_t *dhcp4_unframe(const uint8_t *f, size_t len, bool summed, size_t *message_len)
{
    size_t head, total, size;
    const uint8_t *udp;

    if (len < 20 || f[0] >> 4 != 4)
        return NULL;
    head = (size_t)(f[0] & 15) * 4;
    total = wire_u16(f + 2);
    if (head < 20 || total > len || total < head + 8 || wire_sum_end(wire_sum(0, f, head)))
        return NULL;
    if (f[9] != 17 || wire_u16(f + 6) & 0x3fff) /* no fragments */
        return NULL;
    udp = f + head;
    size = wire_u16(udp + 4);
    if (wire_u16(udp) != DHCP4_SERVER_PORT || wire_u16(udp + 2) != DHCP4_CLIENT_PORT || size < 8 ||
        size > total - head)
        return NULL;
    if (summed && wire_u16(udp + 6) && wire_sum_end(udp_sum(f, udp, size)))
        return NULL;
    *message_len = size - 8;
    return udp + 8;
}

void arp_make(uint8_t out[ARP_SIZE], const uint8_t mac[6], uint32_t address, bool announce)
{
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 1};

    memset(out, 0, ARP_SIZE);
    memcpy(out, head, 8);
    memcpy(out + 8, mac, 6);
    if (announce)
        wire_put32(out + 14, address);
    wire_put32(out + 24, address);
}

bool arp_conflicts(const uint8_t *p, size_t len, const uint8_t mac[6], uint32_t address)
{
    if (len < ARP_SIZE || wire_u32(p) != 0x00010800 || wire_u16(p + 4) != 0x0604 ||
        !memcmp(p + 8, mac, 6))
        return false;
    if (wire_u32(p + 14) == address)
        return true;
    /* RFC 5227 2.1.1: a probe of someone else's for the same address */
    return wire_u16(p + 6) == 1 && !wire_u32(p + 14) && wire_u32(p + 24) == address;
}
