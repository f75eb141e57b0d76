/* SPDX-License-Identifier: MIT
 *
 * Messages of netlink: the pure core. message.h has the rules.
 */
#include "net/netlink/message.h"
#include "lib/errno.h"
#include "lib/string.h"

#define ATTR_TYPE 0x3fff /* the two high bits: nested; in network byte order */

bool nl_next(const u8 *bytes, u32 n, u32 *at, struct nl_header *h, const u8 **body)
{
    u32 left = n - *at;

    if (*at >= n || left < NL_HEADER)
        return false;
    memcpy(h, bytes + *at, NL_HEADER);
    if (h->len < NL_HEADER || h->len > left)
        return false;
    *body = bytes + *at + NL_HEADER;
    *at = NL_ALIGN(h->len) > left ? n : *at + NL_ALIGN(h->len);
    return true;
}

bool nl_attr_next(const u8 *p, u32 n, u32 *at, u16 *type, struct nl_attr *out)
{
    u32 left = n - *at;
    u16 head[2];

    if (*at >= n || left < NL_ATTR)
        return false;
    memcpy(head, p + *at, NL_ATTR);
    if (head[0] < NL_ATTR || head[0] > left)
        return false;
    *type = head[1] & ATTR_TYPE;
    out->data = p + *at + NL_ATTR;
    out->len = head[0] - NL_ATTR;
    out->offset = *at;
    *at = NL_ALIGN(head[0]) > left ? n : *at + NL_ALIGN(head[0]);
    return true;
}

static int nl_judge_text(const struct nl_rule *r, const struct nl_attr *a)
{
    const u8 *end = memchr(a->data, 0, a->len);
    u32 n = end ? (u32)(end - a->data) : a->len;

    return !a->len || n < r->least || (r->most && n > r->most) ? -ERANGE : 0;
}

static int nl_judge(const struct nl_rule *r, const struct nl_attr *a)
{
    static const u8 sizes[] = {[NL_U8] = 1, [NL_U16] = 2, [NL_U32] = 4, [NL_U64] = 8};

    switch (r->kind) {
    case NL_U8:
    case NL_U16:
    case NL_U32:
    case NL_U64: /* more is passed over, as ever */
        return a->len < sizes[r->kind] ? -ERANGE : 0;
    case NL_BYTES:
        return a->len < r->least || (r->most && a->len > r->most) ? -ERANGE : 0;
    case NL_TEXT:
        return nl_judge_text(r, a);
    case NL_REFUSED:
        return -EOPNOTSUPP;
    default:
        return 0;
    }
}

int nl_parse(const u8 *p, u32 n, u32 base, const struct nl_rule *rules, u32 nr, struct nl_attr *out,
             struct nl_fault *fault)
{
    struct nl_attr a;
    u32 at = 0;
    u16 type;

    memset(out, 0, nr * sizeof(*out));
    while (nl_attr_next(p, n, &at, &type, &a)) {
        int err;

        if (type >= nr || rules[type].kind == NL_IGNORED)
            continue;
        a.offset += base;
        err = nl_judge(&rules[type], &a);
        if (err && fault) {
            fault->offset = a.offset;
            fault->text = err == -EOPNOTSUPP ? "Attribute is not supported"
                                             : "Attribute failed policy validation";
        }
        if (err)
            return err;
        out[type] = a;
    }
    return 0;
}

u8 nl_u8(const struct nl_attr *a)
{
    return a->data[0];
}

u16 nl_u16(const struct nl_attr *a)
{
    u16 v;

    memcpy(&v, a->data, sizeof(v));
    return v;
}

u32 nl_u32(const struct nl_attr *a)
{
    u32 v;

    memcpy(&v, a->data, sizeof(v));
    return v;
}

u32 nl_text(const struct nl_attr *a, char *out, u32 size)
{
    u32 n = 0;

    while (n < a->len && n + 1 < size && a->data[n]) {
        out[n] = (char)a->data[n];
        n++;
    }
    memset(out + n, 0, size - n);
    return n;
}

void nl_builder_init(struct nl_builder *b, void *buf, u32 size)
{
    b->buf = buf;
    b->size = size & ~3U;
    b->len = b->message = 0;
    b->full = false;
}

/* n bytes and what fills them up, zeroed. */
static void *nl_space(struct nl_builder *b, u32 n)
{
    u8 *at = b->buf + b->len;

    if (b->full || n > b->size - b->len || NL_ALIGN(n) > b->size - b->len) {
        b->full = true;
        return NULL;
    }
    memset(at, 0, NL_ALIGN(n));
    b->len += NL_ALIGN(n);
    return at;
}

void *nl_begin(struct nl_builder *b, u16 type, u16 flags, u32 seq, u32 port, u32 body)
{
    struct nl_header h = {0, type, flags, seq, port};
    u8 *at;

    b->message = b->len;
    b->full = false;
    at = nl_space(b, NL_HEADER + body);
    if (!at)
        return NULL;
    memcpy(at, &h, NL_HEADER);
    return at + NL_HEADER;
}

/* n zeroed bytes; NULL: no space. */
static void *nl_put_space(struct nl_builder *b, u16 type, u32 n)
{
    u16 head[2] = {(u16)(NL_ATTR + n), type};
    u8 *at;

    if (n > 0xffff - NL_ATTR) {
        b->full = true;
        return NULL;
    }
    at = nl_space(b, NL_ATTR + n);
    if (!at)
        return NULL;
    memcpy(at, head, NL_ATTR);
    return at + NL_ATTR;
}

void nl_put(struct nl_builder *b, u16 type, const void *data, u32 n)
{
    u8 *at = nl_put_space(b, type, n);

    if (at && n)
        memcpy(at, data, n);
}

void nl_put_raw(struct nl_builder *b, const void *data, u32 n)
{
    u8 *at = nl_space(b, n);

    if (at)
        memcpy(at, data, n);
}

void nl_put_u8(struct nl_builder *b, u16 type, u8 v)
{
    nl_put(b, type, &v, sizeof(v));
}

void nl_put_u32(struct nl_builder *b, u16 type, u32 v)
{
    nl_put(b, type, &v, sizeof(v));
}

void nl_put_text(struct nl_builder *b, u16 type, const char *s)
{
    nl_put(b, type, s, (u32)strlen(s) + 1);
}

u32 nl_nest(struct nl_builder *b, u16 type)
{
    u32 at = b->len;

    (void)nl_put_space(b, type, 0);
    return at;
}

void nl_nest_end(struct nl_builder *b, u32 at)
{
    u32 len = b->len - at;
    u16 n = (u16)len;

    if (b->full)
        return;
    if (len > 0xffff)
        b->full = true;
    else
        memcpy(b->buf + at, &n, sizeof(n));
}

void nl_cancel(struct nl_builder *b)
{
    b->len = b->message;
    b->full = false;
}

bool nl_end(struct nl_builder *b)
{
    u32 len = b->len - b->message;

    if (b->full) {
        nl_cancel(b);
        return false;
    }
    memcpy(b->buf + b->message, &len, sizeof(len));
    return true;
}
