// SPDX-License-Identifier: MIT
// Netlink messages: made and taken apart; see netlink.h. Knows no socket.
#include "lib/netlink.h"

#include <string.h>

static size_t nl_align(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* Space for `len` bytes at the aligned end; NULL, and full, when there is none. */
static void *nl_space(struct nl_msg *m, size_t len)
{
    size_t at = nl_align(m->len);

    if (m->full || len > sizeof(m->data) - at) {
        m->full = true;
        return NULL;
    }
    memset(m->data + m->len, 0, at - m->len);
    m->len = at + len;
    m->head.nlmsg_len = (uint32_t)m->len;
    return m->data + at;
}

void nl_begin(struct nl_msg *m, uint16_t type, uint16_t flags, const void *fixed, size_t size)
{
    void *p;

    m->len = sizeof(m->head);
    m->full = false;
    m->head = (struct nlmsghdr){
        .nlmsg_len = sizeof(m->head), .nlmsg_type = type, .nlmsg_flags = flags | NLM_F_REQUEST};
    p = nl_space(m, size);
    if (p)
        memcpy(p, fixed, size);
}

void nl_attr(struct nl_msg *m, uint16_t type, const void *data, size_t len)
{
    struct nlattr head = {(uint16_t)(sizeof(head) + len), type};
    uint8_t *p = len <= NL_MSG_MAX ? nl_space(m, sizeof(head) + len) : NULL;

    if (!p) {
        m->full = true;
        return;
    }
    memcpy(p, &head, sizeof(head));
    if (len)
        memcpy(p + sizeof(head), data, len);
}

void nl_attr_u16(struct nl_msg *m, uint16_t type, uint16_t value)
{
    nl_attr(m, type, &value, sizeof(value));
}

void nl_attr_u32(struct nl_msg *m, uint16_t type, uint32_t value)
{
    nl_attr(m, type, &value, sizeof(value));
}

void nl_attr_str(struct nl_msg *m, uint16_t type, const char *s)
{
    nl_attr(m, type, s, strlen(s) + 1);
}

size_t nl_nest(struct nl_msg *m, uint16_t type)
{
    size_t at = nl_align(m->len);

    nl_attr(m, type, NULL, 0);
    return at;
}

void nl_nest_end(struct nl_msg *m, size_t nest)
{
    uint16_t len = (uint16_t)(m->len - nest);

    if (!m->full)
        memcpy(m->data + nest, &len, sizeof(len));
}

bool nl_next(const uint8_t *bytes, size_t len, size_t *at, struct nl_part *out)
{
    struct nlmsghdr head;

    if (*at > len || len - *at < sizeof(head))
        return false;
    memcpy(&head, bytes + *at, sizeof(head));
    if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > len - *at)
        return false;
    *out = (struct nl_part){head.nlmsg_type, head.nlmsg_flags, head.nlmsg_seq,
                            bytes + *at + sizeof(head), head.nlmsg_len - sizeof(head)};
    *at += nl_align(head.nlmsg_len);
    return true;
}

bool nl_index(const uint8_t *data, size_t len, size_t skip, struct nl_span *table, size_t n)
{
    size_t at = nl_align(skip);

    memset(table, 0, n * sizeof(*table));
    if (len < skip)
        return false;
    while (at <= len && len - at >= sizeof(struct nlattr)) {
        struct nlattr head;
        unsigned type;

        memcpy(&head, data + at, sizeof(head));
        if (head.nla_len < sizeof(head) || head.nla_len > len - at)
            break;
        type = head.nla_type & (unsigned)~(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
        if (type < n)
            table[type] = (struct nl_span){data + at + sizeof(head), head.nla_len - sizeof(head)};
        at += nl_align(head.nla_len);
    }
    return true;
}

uint32_t nl_u32(struct nl_span a, uint32_t otherwise)
{
    uint32_t v;

    if (!a.data || a.len < sizeof(v))
        return otherwise;
    memcpy(&v, a.data, sizeof(v));
    return v;
}

void nl_text(struct nl_span a, char *out, size_t size)
{
    size_t n = a.data ? strnlen((const char *)a.data, a.len) : 0;

    n = n < size ? n : size - 1;
    if (n)
        memcpy(out, a.data, n);
    out[n] = 0;
}
