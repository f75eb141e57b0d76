/* SPDX-License-Identifier: MIT
 *
 * A fuzzer of what configures the network: messages, and the sockets that live with it. All that a
 * thread does follows from its seed.
 */
#pragma once

#include "fuzz.h"

#define MESSAGE_MOST 6000

struct message {
    uint32_t n;
    uint8_t bytes[MESSAGE_MOST];
};

/* What attributes have in them. */
enum value_kind {
    V_U8,
    V_U16,
    V_U32,
    V_U64,
    V_FLAG,   /* nothing */
    V_INDEX,  /* a device's */
    V_NAME,   /* a device's */
    V_TEXT,   /* some text */
    V_ADDR,   /* of the body's family */
    V_LINK,   /* six bytes */
    V_NS,     /* a descriptor of a namespace */
    V_PID,    /* of this process or its parent */
    V_BYTES,  /* some */
    V_NEST,   /* of `in` */
    V_HOPS,   /* struct rtnexthop, with `in` */
    V_FILTER, /* of inet_diag */
    V_KIND,   /* a kind of device */
};
struct attr_form {
    uint16_t type;
    uint8_t kind;
    uint8_t likely; /* in so many of 8 messages; 1: seldom */
    const struct attr_form *in;
};
/* Letters of the body: f family, b small byte, p bits of a prefix, t table, h 16 bits, i index,
 * w 32 bits, F flags of a device, 0 a byte of zero, S states, C cookie, o port; P protocol. */
struct form {
    int protocol; /* of netlink */
    uint16_t type;
    const char *body;
    const struct attr_form *attrs;
};
extern const struct form forms[];
extern const unsigned form_count;

/* What all threads of a process share. */
#define NAMESPACES 3
#define NETLINKS 8
struct shared {
    int ns[NAMESPACES];    /* descriptors of net namespaces */
    int netlink[NETLINKS]; /* sockets, of this and that protocol */
    int netlink_protocol[NETLINKS];
};
extern struct shared shared;

/* What has been done, in memory that all processes share. */
struct done {
    uint64_t deeds, accepted, refused, told; /* messages that came by what they say */
};
extern volatile struct done *done;

const char *net_name(struct chance *c);
/* 4 or 16 bytes; which. */
unsigned net_address(struct chance *c, int family, uint8_t *out);
void message_make(struct chance *c, const struct form *f, struct message *m);
void message_spoil(struct chance *c, struct message *m);

/* One deed of a thread's. */
void netlink_deed(struct chance *c);
void socket_deed(struct chance *c);
void netlink_open_all(struct chance *c);
/* Two devices that are up and have addresses. */
void netlink_begin(void);
