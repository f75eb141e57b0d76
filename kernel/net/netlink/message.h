/* SPDX-License-Identifier: MIT
 *
 * Messages of netlink (netlink(7), RFC 3549 2.3): headers, attributes, and building them. The pure
 * core: it knows bytes alone, allocates nothing, and builds on the host. Every length of a message
 * is a program's word and is checked against what is there; what a nest contains is parsed by
 * whoever knows what it means, so the depth is that of the callers.
 *
 * Layout: a header of 16 bytes, the body of the message's kind, attributes. All of them begin at
 * multiples of four.
 */
#pragma once

#include "lib/types.h"

#define NL_HEADER 16U
#define NL_ALIGN(n) (((u32)(n) + 3) & ~3U)
#define NL_ATTR 4U       /* bytes of an attribute's header */
#define NL_NESTED 0x8000 /* of an attribute's type: it is a list, as newer programs expect */

enum {
    NLM_F_REQUEST = 1,
    NLM_F_MULTI = 2,
    NLM_F_ACK = 4,
    NLM_F_ECHO = 8,
    NLM_F_DUMP_INTR = 0x10,
    NLM_F_DUMP_FILTERED = 0x20,
    NLM_F_ROOT = 0x100,
    NLM_F_MATCH = 0x200,
    NLM_F_DUMP = 0x300,
    NLM_F_REPLACE = 0x100,
    NLM_F_EXCL = 0x200,
    NLM_F_CREATE = 0x400,
    NLM_F_APPEND = 0x800,
    NLM_F_CAPPED = 0x100, /* of an acknowledgment */
    NLM_F_ACK_TLVS = 0x200,
};
enum { NLMSG_NOOP = 1, NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_MIN_TYPE = 16 };

struct nl_header {
    u32 len; /* with the header */
    u16 type, flags;
    u32 seq, port;
};

/* Takes the next message off bytes[*at..n): its header, and where its body begins; *at is moved
 * behind it. False: none is left, or its length is nonsense. */
bool nl_next(const u8 *bytes, u32 n, u32 *at, struct nl_header *h, const u8 **body);

/* ---- attributes ---- */

enum nl_kind {
    NL_IGNORED, /* any; not looked at */
    NL_BYTES,   /* at least `least` bytes, at most `most` if that is not 0 */
    NL_U8,
    NL_U16,
    NL_U32,
    NL_U64,
    NL_TEXT, /* ends with its NUL or with the attribute; at most `most` bytes, the NUL apart */
    NL_NEST,
    NL_REFUSED, /* -EOPNOTSUPP: known, and not there */
};
struct nl_rule {
    u8 kind;
    u16 least, most;
};
struct nl_attr {
    const u8 *data; /* NULL: not there */
    u32 len;
    u32 offset; /* of its header, from where the parse began */
};
/* Why a message was refused, for NETLINK_EXT_ACK. */
struct nl_fault {
    const char *text; /* static; or NULL */
    u32 offset;       /* of the attribute, from the message's header; 0: none */
};

/* The attributes in n bytes, which begin `base` bytes behind the message's header, into out[0..nr),
 * by type; of one that is there twice the last. Types without a rule are passed over. 0; -ERANGE: a
 * length is wrong; -EOPNOTSUPP; fault says which (NULL: not wanted). */
int nl_parse(const u8 *p, u32 n, u32 base, const struct nl_rule *rules, u32 nr, struct nl_attr *out,
             struct nl_fault *fault) __must_check;
/* A list of nested attributes one by one: the next behind *at; false: no more. */
bool nl_attr_next(const u8 *p, u32 n, u32 *at, u16 *type, struct nl_attr *out);

static inline bool nl_has(const struct nl_attr *a)
{
    return a->data;
}
/* Of an attribute that is there and passed its rule. */
u8 nl_u8(const struct nl_attr *a);
u16 nl_u16(const struct nl_attr *a);
u32 nl_u32(const struct nl_attr *a);
/* Into size bytes, ended with NUL; bytes of it. */
u32 nl_text(const struct nl_attr *a, char *out, u32 size);

/* ---- building ---- */

/* Messages one after the other in a buffer. What does not fit sets `full`: nl_end then takes the
 * whole message back. */
struct nl_builder {
    u8 *buf;
    u32 size, len; /* len: of what is complete, and of the message that is being built */
    u32 message;   /* where that begins */
    bool full;
};
void nl_builder_init(struct nl_builder *b, void *buf, u32 size);
/* A message with `body` zeroed bytes, to which it points; NULL: no space (nl_end says so, too). */
void *nl_begin(struct nl_builder *b, u16 type, u16 flags, u32 seq, u32 port, u32 body);
void nl_put(struct nl_builder *b, u16 type, const void *data, u32 n);
/* n bytes as they are, without a header: a list in an attribute that is no list of attributes. */
void nl_put_raw(struct nl_builder *b, const void *data, u32 n);
void nl_put_u8(struct nl_builder *b, u16 type, u8 v);
void nl_put_u32(struct nl_builder *b, u16 type, u32 v);
void nl_put_text(struct nl_builder *b, u16 type, const char *s);
/* A nest: from nl_nest, which says where, to nl_nest_end; all that is put between lies in it. */
u32 nl_nest(struct nl_builder *b, u16 type);
void nl_nest_end(struct nl_builder *b, u32 at);
/* Takes the message that is being built back. */
void nl_cancel(struct nl_builder *b);
/* Ends the message. False: it did not fit, and is taken back. */
bool nl_end(struct nl_builder *b) __must_check;
