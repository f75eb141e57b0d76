/* SPDX-License-Identifier: MIT
 *
 * What all families share: the head of every socket, its operations, one message of a call, and the
 * tables in which families and protocols register themselves.
 *
 * Lifetime: a socket is counted. Its file holds one reference, which release drops; a peer, a
 * listener's queue, a look-up hold others. The last one calls ops->destroy.
 *
 * Locks: s->reading (one reader at a time; it may sleep under it, but faults nothing in), then
 * s->lock (leaf: queue and state; never two sockets' at once).
 */
#pragma once

#include "lib/errno.h"
#include "net/core/addr.h"
#include "net/core/ns.h"
#include "obj/cred.h"
#include "obj/file.h"
#include "obj/poll.h"
#include "sched/mutex.h"
#include "sched/wait.h"
#include "sched/work.h"

struct cred;
struct iov_iter;
struct map_request;
struct pid;
struct socket_filter;
struct sock_flight;
struct sock_msg;
struct walk_ctx;

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100
#define MSG_ERRQUEUE 0x2000
#define MSG_NOSIGNAL 0x4000
#define MSG_MORE 0x8000
#define MSG_FASTOPEN 0x20000000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define SOL_SOCKET 1
#define SOCK_ADDR_MAX 128
#define SCM_MAX_FD 253
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2

#define SOCK_BUF_DEFAULT 212992U
#define SOCK_SNDBUF_MIN 4608
#define SOCK_RCVBUF_MIN 2304
#define SOCK_BUF_MAX (64U << 20)      /* by privilege */
#define SOCK_BUF_ASKED_MOST (1 << 29) /* that SO_RCVBUF may be allowed to ask for */

/* How large a socket's buffers are at first, and what may be asked for. a */
extern struct sock_buffers {
    s32 send_first, send_most, receive_first, receive_most;
} sock_buffers;

struct sock_addr { /* sockaddr_storage */
    u16 family;
    u8 data[SOCK_ADDR_MAX - 2];
};

/* Control messages that a receiver asked for by options, as recvmsg(2) tells them. */
#define SOCKET_NOTES 12
struct socket_notes {
    u32 nr;
    struct socket_note {
        s32 level, type;
        u32 len;
        u64 data[6]; /* len bytes of it */
    } note[SOCKET_NOTES];
};

/* What a sender's control messages say of the headers of one datagram; -1: nothing. */
struct socket_header {
    s16 hops, tos;
    s16 whole;   /* it is not to be cut into fragments */
    u16 segment; /* bytes of each datagram that is to be made of it; 0: as the socket says */
};

/* One message. Sending: files and creds are borrowed. Receiving: references come to the caller,
 * also on a later error of its own; call socket_message_drop for what it does not use. */
struct socket_message {
    struct iov_iter *data;
    u32 addr_len;
    u32 flags; /* receive, out: MSG_TRUNC, MSG_CTRUNC */
    u32 nr_files;
    struct file **files; /* send: nr_files of them. receive: an array of kmalloc, or NULL */
    /* receive: the sender, when the socket asks for SCM_CREDENTIALS; send: given explicitly, or
     * NULL */
    struct pid *pid;
    u32 uid, gid; /* as sent, kernel ids */
    bool has_cred;
    bool urgent; /* send: the last byte is urgent */
    /* send, IP datagrams: the address and interface they are to come from; ::, 0: any */
    struct ip_addr source;
    s32 source_interface;
    struct socket_header header; /* send, IP datagrams */
    struct socket_notes *notes;  /* receive: filled; NULL: not wanted */
    struct sock_addr addr; /* the last: send: the destination if addr_len; receive: the sender */
};
/* Nothing but data; addr is left as it is, since addr_len says that there is none. */
static inline void socket_message_init(struct socket_message *m, struct iov_iter *data)
{
    m->data = data;
    m->addr_len = m->flags = m->nr_files = 0;
    m->files = NULL;
    m->pid = NULL;
    m->uid = m->gid = 0;
    m->has_cred = m->urgent = false;
    m->source = (struct ip_addr){0};
    m->source_interface = 0;
    m->header = (struct socket_header){-1, -1, -1, 0};
    m->notes = NULL;
}
void socket_message_drop(struct socket_message *m);
/* Adds a note of n <= 48 bytes, if they are wanted. */
void socket_note(struct socket_message *m, s32 level, s32 type, const void *data, u32 n);

/* core/urgent.h. l the socket's lock */
struct sock_urgent {
    u32 before;   /* l  bytes to read before the mark */
    u8 state;     /* l */
    u8 byte;      /* l  the one behind it */
    bool there;   /* l  a mark that no reader has passed */
    bool telling; /* l  tell is queued, with a reference */
    struct work tell;
};

struct socket;
struct socket_ops {
    /* mode: of the name, where that is a file's */
    int (*bind)(struct socket *s, const struct sock_addr *addr, u32 len, const struct walk_ctx *ctx,
                u32 mode);
    int (*listen)(struct socket *s, int backlog);
    /* nonblock: O_NONBLOCK of the file. */
    int (*connect)(struct socket *s, const struct sock_addr *addr, u32 len,
                   const struct walk_ctx *ctx, bool nonblock);
    /* A connected socket of its own without a file. */
    int (*accept)(struct socket *s, bool nonblock, struct socket **out);
    int (*name)(struct socket *s, bool peer, struct sock_addr *out, u32 *len);
    ssize_t (*send)(struct socket *s, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx);
    /* Bytes of pages as they are: the parts' references are the caller's. Bytes or -errno;
     * -EOPNOTSUPP, as without it: only copies are sent now. Of no part: nothing follows for now
     * what MSG_MORE has held back. */
    ssize_t (*send_pages)(struct socket *s, const struct page_part *parts, unsigned nr,
                          unsigned flags);
    ssize_t (*recv)(struct socket *s, struct socket_message *m, unsigned flags);
    /* MSG_ERRQUEUE: never waits. NULL: there are none, -EAGAIN. */
    ssize_t (*recv_error)(struct socket *s, struct socket_message *m);
    /* One control message of a send, into m; unix sockets' are decoded by the caller. */
    int (*control)(struct socket *s, struct socket_message *m, s32 level, s32 type,
                   const void *data, u64 n);
    int (*shutdown)(struct socket *s, int how);
    u32 (*poll)(struct socket *s, struct poll_table *pt);
    /* -ENOPROTOOPT: not this family's either. */
    int (*set_option)(struct socket *s, int level, int name, const void *val, u32 n);
    int (*get_option)(struct socket *s, int level, int name, void *val, u32 *n);
    s64 (*ioctl)(struct socket *s, unsigned cmd, u64 arg);
    /* A flag or number of SOL_SOCKET that packets depend on has changed: keepalive, buffers, mark.
     * NULL: no matter. */
    void (*settled)(struct socket *s);
    int (*mmap)(struct socket *s, struct map_request *req); /* NULL: -ENODEV */
    void (*release)(struct socket *s); /* the file is gone: takes its reference */
    void (*destroy)(struct socket *s); /* the last reference is gone: frees it */

    /* MSG_OOB, and send takes that flag. NULL: there is no urgent data. */
    ssize_t (*recv_urgent)(struct socket *s, struct socket_message *m, unsigned flags);
    bool ignores_oob; /* recv(2) with MSG_OOB is as without */

    /* What core/queue.h asks. u32 refuses: SOCK_SHUT_* that together mean: takes nothing more. */
    u32 refuses;
    /* The message with the next n bytes of m from s to `to`; NULL with *err. */
    struct sock_msg *(*msg_make)(struct socket *s, struct socket *to, struct socket_message *m,
                                 u64 n, int *err);
    /* 0, -EAGAIN (no space), or why it is refused. The message goes to the queue on 0 alone. */
    int (*msg_queue)(struct socket *s, struct socket *to, struct sock_msg *msg);
    /* A reader takes or (MSG_PEEK) sees msg: moves what else it carries to m. *last: no further
     * message in this call. NULL: nothing. Under s->reading. 0 or -ENOMEM. */
    int (*msg_give)(struct socket *s, struct sock_msg *msg, struct socket_message *m,
                    unsigned flags, bool *last);
    /* May msg be received together with what m has already? NULL: yes. */
    bool (*msg_joins)(struct socket *s, const struct sock_msg *msg, const struct socket_message *m);
    void (*msg_free)(struct sock_msg *msg); /* what it, no packet, refers to; NULL: nothing */
    /* A reader has taken n bytes of a packet, and the queue has space for them again. Under
     * s->reading; may send. NULL: no matter. */
    void (*packet_consumed)(struct socket *s, u32 n);
};

/* Sockets of one protocol in one namespace, in the order they were made. */
struct socket_list {
    struct spinlock lock;
    struct list_node sockets; /* lock */
    u64 nr, nr6;              /* lock  all; those of AF_INET6 among them */
};
void socket_list_init(struct socket_list *list);

enum socket_timestamp { SOCKET_TIME_NONE, SOCKET_TIME_US, SOCKET_TIME_NS };
/* SO_TIMESTAMPING's flags (linux/net_tstamp.h), as far as software does them. */
enum {
    SOCKET_STAMP_SENT = 1 << 1,   /* TX_SOFTWARE: the queue of errors tells when a datagram went */
    SOCKET_STAMP_CAME = 1 << 3,   /* RX_SOFTWARE */
    SOCKET_STAMP_TELL = 1 << 4,   /* SOFTWARE: stamps are told */
    SOCKET_STAMP_NUMBER = 1 << 7, /* OPT_ID: those of sent datagrams are numbered from 0 on */
    SOCKET_STAMP_ALONE = 1 << 11, /* OPT_TSONLY: without the datagram, which is not kept */
};
enum { SOCK_SHUT_RD = 1, SOCK_SHUT_WR = 2, SOCK_SHUT_BOTH = 3 };

/* I immutable · a atomic · l lock · r reading · n list->lock */
struct socket {
    const struct socket_ops *ops;                                         /* I */
    struct net_ns *ns;                                                    /* I  a reference */
    refcount_t ref;                                                       /* a */
    u16 family;                                                           /* I */
    u8 type, protocol;                                                    /* I */
    bool passcred, passsec, reuse_addr, reuse_port, keepalive, broadcast; /* a */
    bool dont_route, oob_inline, no_check, count_lost, debug;             /* a */
    bool listening;                                                       /* a  SO_ACCEPTCONN */
    bool sndbuf_set, rcvbuf_set;   /* a  a program has said what they are to be */
    bool dead;                     /* l  released */
    u8 timestamp;                  /* a  enum socket_timestamp */
    u32 stamping, stamped;         /* a  SOCKET_STAMP_*; the number of the next stamp */
    s32 priority, mark, low_water; /* a */
    u32 bound_device;              /* a  index of the one that it sends and receives by; 0: any */
    struct {
        s32 on, seconds;
    } linger;                       /* a */
    u32 sndbuf, rcvbuf;             /* a */
    u64 send_timeout, recv_timeout; /* a  ns; 0: none */
    int error;                      /* a  positive errno for SO_ERROR */
    kuid_t uid;                     /* I  its maker */
    struct account *account;        /* I  the maker's; lasts, since s is charged to it; or NULL */
    struct spinlock lock;
    struct mutex reading;
    struct list_node queue;       /* l  messages to read */
    u32 queued;                   /* l  what they cost: bytes and overheads */
    u32 unread;                   /* l  bytes in them */
    u32 shut;                     /* l  SOCK_SHUT_* */
    struct sock_urgent urgent;    /* l */
    struct file *file;            /* l  while it is open: borrowed */
    u32 lost;                     /* a  datagrams that found no space */
    struct sock_flight *flight;   /* a  packets under way (sending.h); NULL: there was none yet */
    struct socket *peer;          /* l  the other end on this host, or NULL; a reference */
    struct waitq wait;            /*    state, queue or error changed */
    struct waitq senders_wait;    /*    who waits to send a datagram here, or to connect */
    struct list_node accept_node; /*    the listener's lock: in its queue */
    struct socket_filter *filter; /* l to write, RCU to read; core/filter.h */
    bool filter_locked;           /* l */
    struct socket_list *list;     /* I */
    struct list_node node;        /* n */
    u64 ino;                      /* I */
};

/* s is zeroed, but for protocol. From here on it is in list, so this comes last; one reference. */
void socket_init(struct socket *s, const struct socket_ops *ops, struct net_ns *ns,
                 struct socket_list *list, int family, int type);
static inline void socket_get(struct socket *s)
{
    refcount_get(&s->ref);
}
void socket_put(struct socket *s);
/* What comes for s is to have the time at which it did. */
static inline bool socket_stamps(const struct socket *s)
{
    return s->timestamp || (READ_ONCE(s->stamping) & SOCKET_STAMP_CAME);
}
/* A reference to s's peer, or NULL. */
static inline struct socket *socket_peer(struct socket *s)
{
    struct socket *peer;

    spin_lock(&s->lock);
    peer = s->peer;
    if (peer)
        socket_get(peer);
    spin_unlock(&s->lock);
    return peer;
}
/* For destroy: takes s out of the list, where socket_fini comes later: else walks of the list would
 * meet the dead. */
void socket_unlist(struct socket *s);
/* For destroy: takes s out of the list, if socket_unlist has not, and drops its references. */
void socket_fini(struct socket *s);

/* Wakes those who wait for events on s: of those who wait to read, one for bytes that came, all for
 * what concerns all. */
static inline void socket_wake(struct socket *s, u32 events)
{
    waitq_wake_inline(&s->wait, events, events == (POLLIN | POLLRDNORM) ? 1 : ~0U);
}
static inline u64 socket_deadline(u64 timeout, u64 now)
{
    return timeout ? now + timeout : 0;
}
/* Takes the pending error: -errno or 0. */
int socket_take_error(struct socket *s);
/* Cuts *n to size and copies: how getsockopt answers. 0. */
int socket_option_put(void *val, u32 *n, const void *from, u32 size);

/* core/file.c: NULL: it is no socket's. */
struct socket *socket_of_file(const struct file *f);
/* A file without its socket yet, which then becomes s's; NULL: no memory. type_flags:
 * SOCK_NONBLOCK. */
struct file *socket_file_alloc(unsigned type_flags);
void socket_file_settle(struct file *f, struct socket *s);
/* f must be a socket (else -ENOTSOCK). Bytes or -errno; flags MSG_*. -EPIPE of a stream raises
 * SIGPIPE unless MSG_NOSIGNAL. ctx finds path names, or NULL. */
ssize_t socket_send(struct file *f, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx);
/* socket_ops.send_pages of any file: -EOPNOTSUPP: it has none. */
ssize_t socket_send_pages(struct file *f, const struct page_part *parts, unsigned nr,
                          unsigned flags);
ssize_t socket_recv(struct file *f, struct socket_message *m, unsigned flags);

/* A family: SOCKET_FAMILY(id) = {...}. */
struct socket_family {
    u16 family;
    /* type without flags; protocol as given. A socket without a file, or ERR_PTR. */
    struct socket *(*create)(struct net_ns *ns, int type, int protocol);
    int (*pair)(struct socket *a, struct socket *b); /* socketpair(2); NULL: -EOPNOTSUPP */
};
#define SOCKET_FAMILY(id) TABLE_ENTRY(struct socket_family, socket_families, #id)

/* A protocol over IP, both families': SOCKET_PROTO(id) = {...}. */
struct socket_proto {
    u8 type, protocol; /* the first of its type is what protocol 0 means */
    struct socket *(*create)(struct net_ns *ns, int family);
    /* Instead: of any protocol but 0. */
    struct socket *(*create_any)(struct net_ns *ns, int family, int protocol);
    bool named_only; /* protocol 0 never means it */
};
#define SOCKET_PROTO(id) TABLE_ENTRY(struct socket_proto, socket_protos, #id)

/* Commands of interfaces (netdevice(7)), by any socket: SOCKET_IOCTL(id) = fn. -ENOTTY: not
 * mine. */
struct socket_ioctl {
    s64 (*fn)(struct socket *s, unsigned cmd, u64 arg);
};
#define SOCKET_IOCTL(id) TABLE_ENTRY(struct socket_ioctl, socket_ioctls, #id)

/* Calls fn for each socket of the list; which sleeps not. May yield: what comes meanwhile is seen
 * or not. */
void socket_list_each(struct socket_list *list, void (*fn)(struct socket *s, u32 arg), u32 arg);
/* The next of the list behind `after`, a reference, or from the start (NULL): at most n references
 * into out; how many, 0: there are no more. One hold of the lock. */
u32 socket_list_take(struct socket_list *list, const struct socket *after, struct socket **out,
                     u32 n);
/* How many there are, and how many of AF_INET6 among them. */
void socket_list_numbers(struct socket_list *list, u64 *nr, u64 *nr6);
/* The next behind `after`, whose reference it takes, or the first (NULL): a reference; NULL: there
 * are no more. */
struct socket *socket_list_next(struct socket_list *list, struct socket *after);
/* Calls show for each socket of the list, with its lock held for a few at a time. */
struct seq;
void socket_list_show(struct socket_list *list, struct seq *out,
                      void (*show)(struct seq *out, struct socket *s, unsigned line));
