/* SPDX-License-Identifier: MIT
 *
 * Sockets of AF_NETLINK (netlink(7)): a program's requests to the kernel, answers, dumps that are
 * made as the program reads them, and what is told to groups. Protocols register themselves.
 *
 * Requests are performed in the sender's call, one after the other, without a lock of netlink's.
 * Answers go into the asking socket's queue, which its rcvbuf bounds: one that does not fit is
 * dropped, and the next receive is ENOBUFS. A dump's pieces are made when the one before is read.
 *
 * Programs send to each other, within a namespace and protocol: to one port, waiting for space
 * there, and to groups, where what finds no space is lost and told as ENOBUFS. The sender's port
 * and credentials go with the message.
 *
 * Memory: what lies in a queue is charged to the account of the socket's maker.
 *
 * Locks: the namespace's listeners (mutex, RANK_DRIVER 18) over membership of groups and over
 * telling them, so that a device's config may be held; its ports (spinlock, RANK_NET 10); s->lock.
 */
#pragma once

#include "lib/rbtree.h"
#include "net/core/queue.h"
#include "net/netlink/message.h"

#define NETLINK_ROUTE 0
#define NETLINK_USERSOCK 2
#define NETLINK_SOCK_DIAG 4
#define NETLINK_KOBJECT_UEVENT 15
#define NETLINK_GENERIC 16
#define NL_GROUPS 63        /* numbers are 1..63 */
#define NL_PIECE 3776U      /* bytes of a message, or of a dump's piece for a small reader */
#define NL_PIECE_MAX 16384U /* of a dump's piece for a reader with space for it */

struct nl_dump;
struct nl_protocol;

/* I immutable · l sock.lock · m the namespace's listeners · p its ports · a atomic */
struct nl_sock {
    struct socket sock;                              /* first */
    const struct nl_protocol *protocol;              /* I */
    const struct cred *cred;                         /* I  its maker's; a reference */
    u32 port;                                        /* p to write, atomic to read; 0: not bound */
    struct rb_node by_port;                          /* p  while port is not 0 */
    u32 peer_port, peer_group;                       /* a  of connect; a group's number */
    bool connected;                                  /* a  hears peer_port alone */
    u64 groups;                                      /* m to write, atomic to read */
    struct list_node listening;                      /* m  while groups is not 0 */
    u32 largest;                                     /* a  bytes that a reader had space for */
    bool told, no_enobufs, cap_ack, ext_ack, strict; /* a  options; told: NETLINK_PKTINFO */
    bool broadcast_error;                            /* a */
    bool dumping;         /* l  a thread makes a piece, or a dump is being begun */
    struct nl_dump *dump; /* l */
};
static inline struct nl_sock *nl_of(struct socket *s)
{
    return (struct nl_sock *)s;
}

/* One message of a program; all borrowed. */
struct nl_request {
    struct nl_sock *s;
    struct net_ns *ns;
    struct nl_header h;
    const u8 *body; /* behind the header */
    u32 len;        /* bytes of it */
    struct nl_fault fault;
    bool later; /* a dump was begun: it ends with NLMSG_DONE instead of an acknowledgment */
    struct thread *thread;
    struct rb_node node; /* among those that are performed, by thread */
};

/* NETLINK_PROTOCOL(id) = {...}. */
struct nl_protocol {
    u8 protocol;
    u8 groups;         /* the largest number of one */
    u64 reserved;      /* a bit for each group that CAP_NET_ADMIN alone may join (bit 0: group 1) */
    bool anyone_sends; /* to other programs; otherwise that takes CAP_NET_ADMIN */
    /* 0 or -errno, which is told; fault says why. Context: may sleep. NULL: the kernel hears
     * nothing. */
    int (*request)(struct nl_request *r);
};
#define NETLINK_PROTOCOL(id) TABLE_ENTRY(struct nl_protocol, nl_protocols, #id)

/* The socket's maker and the sender have it in the namespace's user namespace. */
bool nl_capable(const struct nl_request *r, int cap);
/* The same over another namespace. */
bool nl_capable_in(const struct nl_request *r, const struct net_ns *ns, int cap);

/* An answer: nl_answer_begin makes a buffer of NL_PIECE bytes (-ENOMEM), nl_answer_begin_large one
 * of NL_PIECE_MAX, nl_answer_end queues what was built and frees it. 0 or -errno. */
int nl_answer_begin(struct nl_builder *b) __must_check;
int nl_answer_begin_large(struct nl_builder *b) __must_check;
int nl_answer_end(struct nl_request *r, struct nl_builder *b);
/* A message of an answer to r. */
void *nl_answer(struct nl_request *r, struct nl_builder *b, u16 type, u32 body);

/* ---- dumps ---- */

/* What changes are counted apart, so that a dump knows that it saw several states. */
enum nl_matter {
    NL_LINKS,
    NL_ADDRESSES,
    NL_ROUTES,
    NL_RULES,
    NL_NEIGHBOURS,
    NL_SOCKETS,
    NL_MATTERS
};

struct nl_dump;
struct nl_dump_ops {
    enum nl_matter matter;
    /* Puts messages until one does not fit: true: all are there; false: it is called again with
     * more space, and goes on from `state`; if even NL_PIECE_MAX has none for one, the dump ends
     * with -EMSGSIZE. May sleep. */
    bool (*step)(struct nl_dump *d, struct nl_builder *b);
    void (*end)(struct nl_dump *d); /* or NULL: gives up what its state refers to. May sleep. */
};

struct nl_dump {
    struct nl_sock *s; /* borrowed: it owns the dump */
    struct net_ns *ns;
    struct nl_header h; /* of the request */
    bool filtered;      /* NLM_F_DUMP_FILTERED */
    enum nl_matter matter;
    u32 generation;
    /* Puts messages until one does not fit: true: all are there; false: it is called again with
     * more space, and goes on from `state`. May sleep. */
    bool (*step)(struct nl_dump *d, struct nl_builder *b);
    void (*end)(struct nl_dump *d); /* or NULL */
    u64 state[];                    /* of the step */
};
/* Begins one with `size` bytes of state, copied. 0; -EBUSY: one runs; -ENOMEM: then `end` is not
 * called. */
int nl_dump_start(struct nl_request *r, const struct nl_dump_ops *ops, const void *state, u32 size,
                  bool filtered) __must_check;
/* The same of one whose state refers to nothing. */
int nl_dump_begin(struct nl_request *r, enum nl_matter matter,
                  bool (*step)(struct nl_dump *d, struct nl_builder *b), const void *state,
                  u32 size, bool filtered) __must_check;
/* A message of a dump. */
void *nl_dumped(struct nl_dump *d, struct nl_builder *b, u16 type, u32 body);

/* ---- groups ---- */

/* Does anybody listen? Cheap. */
bool nl_listened(struct net_ns *ns, u8 protocol, u32 group);
/* Sends the message to the group's members. Context: may sleep. */
void nl_tell(struct net_ns *ns, u8 protocol, u32 group, const struct nl_builder *b);
void nl_changed(struct net_ns *ns, enum nl_matter matter);
/* The request that this thread performs, or NULL: whose port and number a change has. */
const struct nl_request *nl_asking(struct net_ns *ns);

/* ---- socket.c's use of reply.c ---- */

void nl_requests(struct nl_sock *s, const u8 *bytes, u32 n);
/* Makes the next piece, if there is a dump and space. */
void nl_dump_go_on(struct nl_sock *s);
void nl_dump_free(struct nl_dump *d);
/* Queues n bytes at s. False: there was no space (ENOBUFS), or no memory. */
bool nl_queue(struct nl_sock *s, const void *bytes, u32 n, u32 group);

struct nl_ns {
    struct socket_list list;
    struct spinlock ports_lock;
    struct rb_root ports; /* ports_lock  by (protocol, port) */
    struct mutex listeners_lock;
    struct list_node listeners; /* listeners_lock */
    u32 nr_listeners[2];        /* listeners_lock, atomic to read: of NETLINK_ROUTE, others */
    struct spinlock requests_lock;
    struct rb_root requests;    /* requests_lock  by thread */
    u32 generation[NL_MATTERS]; /* a */
};
struct nl_ns *nl_ns_of(struct net_ns *ns);
