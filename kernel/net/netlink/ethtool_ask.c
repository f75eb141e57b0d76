/* SPDX-License-Identifier: MIT
 *
 * Requests of ethtool's family: the pure core. ethtool_ask.h has the rules.
 */
#include "net/netlink/ethtool_ask.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/netlink/ethtool_sets.h"

enum { ASK_HEADER = 1, ASK_SETS = 2, ASK_COUNTS_ONLY = 3, ASK_RULES };
enum { HEADER_INDEX = 1, HEADER_NAME = 2, HEADER_FLAGS = 3, HEADER_RULES };
enum { SETS_SET = 1, SET_ID = 1, SET_RULES };

static int ask_refuse(struct nl_fault *fault, const struct nl_attr *a, const char *why, int err)
{
    if (fault) {
        fault->text = why;
        fault->offset = a ? a->offset : 0;
    }
    return err;
}

static int ask_header(const struct nl_attr *a, struct ethtool_ask *out, struct nl_fault *fault)
{
    static const struct nl_rule rules[HEADER_RULES] = {
        [HEADER_INDEX] = {NL_U32, 0, 0},
        [HEADER_NAME] = {NL_TEXT, 0, ETHTOOL_ASK_NAME - 1},
        [HEADER_FLAGS] = {NL_U32, 0, 0},
    };
    struct nl_attr h[HEADER_RULES];
    int err = nl_parse(a->data, a->len, a->offset + NL_ATTR, rules, HEADER_RULES, h, fault);

    if (err)
        return err;
    out->header = true;
    if (nl_has(&h[HEADER_INDEX]))
        out->index = nl_u32(&h[HEADER_INDEX]);
    out->index_at = h[HEADER_INDEX].offset;
    out->name_at = h[HEADER_NAME].offset;
    if (nl_has(&h[HEADER_NAME]))
        nl_text(&h[HEADER_NAME], out->name, sizeof(out->name));
    if (nl_has(&h[HEADER_FLAGS]))
        out->flags = nl_u32(&h[HEADER_FLAGS]);
    if (out->flags & ~(u32)ETHTOOL_ASK_FLAGS)
        return ask_refuse(fault, &h[HEADER_FLAGS], "reserved bit set", -EINVAL);
    return 0;
}

static int ask_set(const struct nl_attr *a, struct ethtool_ask *out, struct nl_fault *fault)
{
    static const struct nl_rule rules[SET_RULES] = {[SET_ID] = {NL_U32, 0, 0}};
    struct nl_attr s[SET_RULES];
    int err = nl_parse(a->data, a->len, a->offset + NL_ATTR, rules, SET_RULES, s, fault);

    if (err)
        return err;
    if (!nl_has(&s[SET_ID]))
        return ask_refuse(fault, a, "a set has a number", -EINVAL);
    if (nl_u32(&s[SET_ID]) >= ETHTOOL_SETS)
        return ask_refuse(fault, &s[SET_ID], "unknown string set id", -EOPNOTSUPP);
    out->sets |= 1U << nl_u32(&s[SET_ID]);
    return 0;
}

static int ask_sets(const struct nl_attr *a, struct ethtool_ask *out, struct nl_fault *fault)
{
    struct nl_attr one;
    u32 at = 0;
    u16 type;
    int err = 0;

    while (!err && nl_attr_next(a->data, a->len, &at, &type, &one)) {
        one.offset += a->offset + NL_ATTR;
        if (type == SETS_SET)
            err = ask_set(&one, out, fault);
    }
    return err;
}

int ethtool_ask_parse(const u8 *p, u32 n, u32 base, bool with_sets, struct ethtool_ask *out,
                      struct nl_fault *fault)
{
    static const struct nl_rule rules[ASK_RULES] = {
        [ASK_HEADER] = {NL_NEST, 0, 0},
        [ASK_SETS] = {NL_NEST, 0, 0},
        [ASK_COUNTS_ONLY] = {NL_BYTES, 0, 0},
    };
    struct nl_attr a[ASK_RULES];
    int err = nl_parse(p, n, base, rules, ASK_RULES, a, fault);

    memset(out, 0, sizeof(*out));
    if (!err && nl_has(&a[ASK_HEADER]))
        err = ask_header(&a[ASK_HEADER], out, fault);
    if (!err && with_sets && nl_has(&a[ASK_SETS]))
        err = ask_sets(&a[ASK_SETS], out, fault);
    out->counts_only = with_sets && nl_has(&a[ASK_COUNTS_ONLY]);
    return err;
}
