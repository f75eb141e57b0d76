/* SPDX-License-Identifier: MIT
 *
 * The core of membership reports. report.h has the rules.
 */
#include "net/ip/report.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

#define NS_PER_MS 1000000ULL
#define OLDER_PRESENT (260000 * NS_PER_MS) /* RFC 3376 8.12 with defaults */
#define AGAIN_NEW (1000 * NS_PER_MS)       /* between two joins: RFC 3376 8.11, RFC 3810 9.11 */
#define AGAIN_OLD (10000 * NS_PER_MS)      /* RFC 2236 8.10, RFC 2710 7.10 */
#define IGMP3_REPORT 0x22
#define MLD2_REPORT 143
#define IGMP_BYTES 8
#define MLD_BYTES 24

static u8 report_newest(bool v4)
{
    return v4 ? 3 : 2;
}

/* RFC 3376 4.1.1, with 8 bits: above 127 a mantissa of 4 bits and an exponent of 3. */
static u64 report_code8(u32 code)
{
    return code < 128 ? code : ((code & 15) | 16ULL) << ((code >> 4 & 7) + 3);
}

/* RFC 3810 5.1.3: above 32767 12 bits and 3. */
static u64 report_code16(u32 code)
{
    return code < 32768 ? code : ((code & 0xfff) | 0x1000ULL) << ((code >> 12 & 7) + 3);
}

int report_parse_igmp(const u8 *p, u32 n, struct report_query *q)
{
    if (n < IGMP_BYTES || p[0] != IGMP_QUERY || (n > IGMP_BYTES && n < 12))
        return -EINVAL;
    q->version = n >= 12 ? 3 : p[1] ? 2 : 1;
    q->group = wire_u32(p + 4) ? ip_from_v4(wire_u32(p + 4)) : (struct ip_addr){0};
    if (q->version == 3 && 12 + wire_u16(p + 10) * 4U > n)
        return -EINVAL;
    q->wait = (q->version == 1   ? 100
               : q->version == 2 ? p[1]
                                 : report_code8(p[1])) *
              100 * NS_PER_MS;
    return 0;
}

int report_parse_mld(const u8 *p, u32 n, struct report_query *q)
{
    if (n < MLD_BYTES || p[0] != MLD_QUERY || (n > MLD_BYTES && n < 28))
        return -EINVAL;
    q->version = n >= 28 ? 2 : 1;
    memcpy(q->group.b, p + 8, sizeof(q->group.b));
    if (q->version == 2 && 28 + wire_u16(p + 26) * 16U > n)
        return -EINVAL;
    q->wait = (q->version == 1 ? wire_u16(p + 4) : report_code16(wire_u16(p + 4))) * NS_PER_MS;
    return 0;
}

u8 report_version(const struct report *r, bool v4, u64 now)
{
    return now < r->older_until ? r->version : report_newest(v4);
}

void report_join(struct report *r, u64 now)
{
    r->leaving = false;
    r->left = REPORT_ROBUST;
    r->due = now;
}

void report_leave(struct report *r, bool v4, u64 now)
{
    r->leaving = true;
    r->left = report_version(r, v4, now) == report_newest(v4) ? REPORT_ROBUST : 1;
    r->due = now;
}

void report_ask(struct report *r, const struct report_query *q, bool v4, u64 now, u64 random)
{
    u64 at = now + random % (q->wait + 1);

    if (q->version < report_newest(v4)) {
        r->version = now < r->older_until && r->version < q->version ? r->version : q->version;
        r->older_until = now + OLDER_PRESENT;
    }
    if (r->leaving)
        return;
    if (r->said && at < r->said + REPORT_GAP)
        at = r->said + REPORT_GAP;
    if (!r->due || at < r->due)
        r->due = at;
}

void report_heard(struct report *r, bool v4, u64 now)
{
    if (report_version(r, v4, now) == report_newest(v4) || r->leaving)
        return;
    r->left = 0;
    r->due = 0;
}

enum report_kind report_take(struct report *r, bool v4, u64 now, u64 random, bool *over)
{
    bool newest = report_version(r, v4, now) == report_newest(v4);
    enum report_kind kind = r->leaving ? REPORT_LEAVE : r->left ? REPORT_JOIN : REPORT_CURRENT;

    r->said = now;
    r->left -= r->left > 0;
    r->due = r->left ? now + 1 + random % (newest ? AGAIN_NEW : AGAIN_OLD) : 0;
    *over = r->leaving && !r->left;
    return kind;
}

static u32 report_put_igmp(u8 *out, const struct ip_addr *groups, const u8 *kinds, u32 nr)
{
    u8 *at = out + IGMP_BYTES;

    out[0] = IGMP3_REPORT;
    wire_put_u16(out + 6, nr);
    for (u32 i = 0; i < nr; i++) {
        at[0] = kinds[i];
        at = wire_put_u32(at + 4, ip_v4(&groups[i]));
    }
    return (u32)(at - out);
}

static u32 report_put_mld(u8 *out, const struct ip_addr *groups, const u8 *kinds, u32 nr)
{
    u8 *at = out + 8;

    out[0] = MLD2_REPORT;
    wire_put_u16(out + 6, nr);
    for (u32 i = 0; i < nr; i++, at += 20) {
        at[0] = kinds[i];
        memcpy(at + 4, groups[i].b, 16);
    }
    return (u32)(at - out);
}

/* Of an older version: one group. */
static u32 report_put_old(u8 *out, bool v4, u8 version, const struct ip_addr *group, bool leave)
{
    if (!v4) {
        out[0] = leave ? MLD_DONE : MLD_REPORT1;
        memcpy(out + 8, group->b, 16);
        return MLD_BYTES;
    }
    if (leave && version == 1)
        return 0;
    out[0] = leave ? IGMP_LEAVE : version == 1 ? IGMP_REPORT1 : IGMP_REPORT2;
    wire_put_u32(out + 4, ip_v4(group));
    return IGMP_BYTES;
}

u32 report_build(u8 out[REPORT_BYTES], bool v4, u8 version, const struct ip_addr *groups,
                 const u8 *kinds, u32 nr, struct ip_addr *to)
{
    bool leave = kinds[0] == REPORT_LEAVE;
    u32 n;
    u16 sum;

    memset(out, 0, REPORT_BYTES);
    if (version == report_newest(v4)) {
        n = v4 ? report_put_igmp(out, groups, kinds, nr) : report_put_mld(out, groups, kinds, nr);
        *to = v4 ? ip_from_v4(0xe0000016) : (struct ip_addr){.b = {0xff, 2, [15] = 0x16}};
    } else {
        n = report_put_old(out, v4, version, groups, leave);
        if (leave)
            *to = v4 ? ip_from_v4(0xe0000002) : (struct ip_addr){.b = {0xff, 2, [15] = 2}};
        else
            *to = groups[0];
    }
    if (v4 && n) {
        sum = checksum_of(out, n);
        memcpy(out + 2, &sum, sizeof(sum));
    }
    return n;
}
