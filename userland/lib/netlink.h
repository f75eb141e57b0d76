// SPDX-License-Identifier: MIT
// Netlink: messages made and taken apart (netlink_msg.c, pure), and a socket to talk over
// (netlink.c).
//
// A message is built in one struct, without allocation: nl_begin(), then nl_attr_...() in order,
// nests by nl_nest() and nl_nest_end(). What does not fit any more marks it `full`, and it is not
// sent. What is read may be any bytes: lengths are checked against what is there, an attribute that
// reaches beyond ends the walk.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/rtnetlink.h"

#define NL_MSG_MAX 1024
#define NL_READ_MAX 65536 /* what one read may bring */

/* ---- making ---- */

struct nl_msg {
    union {
        struct nlmsghdr head;
        uint8_t data[NL_MSG_MAX];
    };
    size_t len;
    bool full;
};

/* `fixed` is the family's own header (struct rtmsg, say), copied behind the common one. */
void nl_begin(struct nl_msg *m, uint16_t type, uint16_t flags, const void *fixed, size_t size);
void nl_attr(struct nl_msg *m, uint16_t type, const void *data, size_t len);
void nl_attr_u16(struct nl_msg *m, uint16_t type, uint16_t value);
void nl_attr_u32(struct nl_msg *m, uint16_t type, uint32_t value);
void nl_attr_str(struct nl_msg *m, uint16_t type, const char *s);
size_t nl_nest(struct nl_msg *m, uint16_t type); /* what nl_nest_end() wants to know */
void nl_nest_end(struct nl_msg *m, size_t nest);

/* ---- taking apart ---- */

struct nl_part {
    uint16_t type, flags;
    uint32_t seq;
    const uint8_t *data; /* behind the common header */
    size_t len;
};

/* The next message of what was read, from *at on; false at the end or at what is none. */
bool nl_next(const uint8_t *bytes, size_t len, size_t *at, struct nl_part *out);

struct nl_span {
    const uint8_t *data; /* NULL: not there */
    size_t len;
};

/* The attributes behind the first `skip` bytes by type, below n; the last of a type counts. False
 * when even those bytes are not there. */
bool nl_index(const uint8_t *data, size_t len, size_t skip, struct nl_span *table, size_t n);
uint32_t nl_u32(struct nl_span a, uint32_t otherwise); /* when it is not there, or too short */
/* Its text, cut to what fits; "" when it is not there. */
void nl_text(struct nl_span a, char *out, size_t size);

/* ---- talking ---- */

/* A socket to rtnetlink that hears `groups`: a descriptor or -errno. */
int nl_open(uint32_t groups);
/* Sends a request and awaits its acknowledgement: 0 or the kernel's -errno. `fd` hears no group. */
int nl_call(int fd, struct nl_msg *m);
/* Sends a request for a dump and gives each message to fn: 0 or -errno. A dump that was torn by a
 * change is given as it came. */
int nl_dump(int fd, struct nl_msg *m, void (*fn)(const struct nl_part *p, void *arg), void *arg);
/* One read from a socket that hears groups, without waiting, into NL_READ_MAX bytes: how many, or
 * -errno; -ENOBUFS: something was missed. What is not from the kernel is dropped (0). */
long nl_read(int fd, uint8_t *bytes);
