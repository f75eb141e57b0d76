/* SPDX-License-Identifier: MIT
 *
 * Network devices: what a driver (hardware, or a software device such as a bridge's port) fills,
 * and what it calls. kernel/net/core sees to names, namespaces and protocols.
 *
 * Life. The driver embeds a struct netdev, calls netdev_init, fills in what is marked I, and
 * registers it: from then on it has a name and an index in the first namespace and its operations
 * are called. It is opened when its interface is brought up. netdev_unregister stops it, takes it
 * off its namespace and returns when no operation is running and none will be called: remove calls
 * it before it resets the hardware. The struct is counted; `destroy` frees it with the last
 * reference, which may be later.
 *
 * Receiving. A queue has an interrupt thread on its CPU (dev/irq.h: urgent for a bounded time, then
 * fair); that is the queue's net worker. The hard handler quiets the queue; the thread takes frames
 * off the ring and gives each to netdev_receive, NETDEV_BUDGET at most before others have their
 * turn (virtio_again, or by returning with its interrupt thread woken), and lets the queue
 * interrupt again when it is empty; it calls netdev_receive_done after each round, so that TCP
 * segments may be joined (dev/join.h). netdev_receive demultiplexes and runs the protocols in that
 * thread; it never sleeps, nor takes longer than one frame is worth. The driver holds no lock that
 * transmit takes, for an answer may go out before it returns.
 *
 * Sending. netdev_transmit takes a packet whose link header is there, chooses the queue of this
 * CPU, or the one that the device chooses for the packet's flow (`select`), and calls the driver's
 * transmit under that queue's lock, in the sender's own context. Queues without space keep up to
 * tx_queue_len packets, all queues of a device together; more are dropped and counted, and the
 * sender is told (-ENOBUFS). When the driver's ring has space again it calls netdev_wake. What a
 * device cannot do by itself is done before (netdev_prepare.c): a packet is cut into segments that
 * share its pages, its sums are made, its fragments gathered. A driver may use its queue's lock for
 * its ring as well; it is taken for a short time only, by threads.
 *
 * Stacked devices. A device that stands on another (a VLAN) is told by netdev_stack, and has `pass`
 * in place of transmit: a packet goes on to the device below in its sender's context, without a
 * lock or a queue of its own. At most NETDEV_DEPTH stand one on another.
 *
 * Tags. A packet's outermost 802.1Q tag is in p->vlan while it is on its way, so that taps see it
 * beside the frame; the last step before the driver puts it into the frame (netdev_tag), and what
 * receives takes it off (netdev_untag). Hardware that takes tags off sets p->vlan.
 *
 * Features. What a device can do (`can`) it does (`features`) unless an administrator has switched
 * it off; a feature that needs another one goes and comes with that (netdev_features_switch).
 *
 * Buffers. A receive ring is filled with pages that become fragments of packets; a frame that fits
 * in PACKET_LINEAR bytes is copied there and its page used again. Transmission maps fragments where
 * they are.
 *
 * Locks: config (mutex, RANK_DRIVER 20, and one more for each device below, which it is taken over)
 * over open, stop and set_*; a queue's lock (spinlock, RANK_NET 4) over transmit and, where the
 * driver likes, its ring: below it come a driver's own spinlocks of RANK_DEV.
 */
#pragma once

#include "dev/join.h"
#include "dev/packet.h"
#include "lib/rbtree.h"
#include "sched/mutex.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "sched/work.h"
#include "sync/refcount.h"

struct device;
struct net_altname;
struct net_ns;
struct netdev_queue;
struct segment_plan;

#define NETDEV_NAME 16
#define NETDEV_ADDR 6 /* bytes of a link address; loopback and tunnels have none */
#define NETDEV_BUDGET 64
#define NETDEV_MTU_LEAST 68 /* RFC 791 3.2: what every link of IPv4 takes */
#define NETDEV_BACKLOG 1000
#define NETDEV_BACKLOG_MOST 10000U /* that may be asked for */
#define NETDEV_QUEUES 16
#define NETDEV_JOINS 8      /* flows whose segments are joined at a time, of one queue */
#define NETDEV_CONF 48      /* numbers that net/core keeps for a device */
#define NETDEV_MULTICAST 64 /* group addresses that a device filters; with more it receives all */
#define NETDEV_DEPTH 4      /* devices that may be below one */
#define NETDEV_CONFIG_ORDER 20
#define VLAN_TAG 4 /* bytes in a frame */

/* What the device does by itself to packets that are given to it. */
enum netdev_features {
    NETDEV_CSUM = 1 << 0, /* transmits PACKET_CSUM_PARTIAL */
    NETDEV_TSO4 = 1 << 1, /* transmits PACKET_GSO_TCP4, and so on */
    NETDEV_TSO6 = 1 << 2,
    NETDEV_USO = 1 << 3,
    NETDEV_FRAGS = 1 << 4,   /* transmits fragments; else there is at most one */
    NETDEV_LRO = 1 << 5,     /* may receive packets with gso set */
    NETDEV_JOIN = 1 << 7,    /* the driver calls netdev_receive_done */
    NETDEV_TSO_ECN = 1 << 6, /* cuts PACKET_GSO_ECN rightly: CWR on the first segment alone */
    NETDEV_RX_SUMS = 1 << 8, /* says of what it receives whether sums are right */
};
#define NETDEV_CUTS (NETDEV_TSO4 | NETDEV_TSO6 | NETDEV_TSO_ECN | NETDEV_USO)
/* That may be switched off. */
#define NETDEV_SWITCHES (NETDEV_CUTS | NETDEV_CSUM | NETDEV_FRAGS | NETDEV_JOIN)
enum { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772, ARPHRD_NONE = 0xfffe }; /* linux/if_arp.h */
enum netdev_flags {
    NETDEV_UP = 1 << 0,       /* opened */
    NETDEV_CARRIER = 1 << 1,  /* the link is there */
    NETDEV_LOOPBACK = 1 << 2, /* I */
    NETDEV_PROMISC = 1 << 3,
    NETDEV_ALLMULTI = 1 << 4,
    NETDEV_GONE = 1 << 5, /* unregistered */
};

/* What a link's two ends have agreed on. Zeroes: nothing is known. */
struct netdev_link {
    u32 speed;    /* Mbit/s */
    u8 duplex;    /* enum netdev_duplex */
    bool twisted; /* a pair of copper that negotiates, else a port of no kind */
    u32 modes;    /* bits of enum netdev_mode that the device can */
};
enum netdev_duplex { NETDEV_DUPLEX_UNKNOWN, NETDEV_HALF, NETDEV_FULL };
enum netdev_mode { /* bits as linux/ethtool.h numbers them */
                   NETDEV_10_HALF = 1 << 0,
                   NETDEV_10_FULL = 1 << 1,
                   NETDEV_100_HALF = 1 << 2,
                   NETDEV_100_FULL = 1 << 3,
                   NETDEV_1000_FULL = 1 << 5,
};

struct netdev_stats {
    u64 rx_packets, rx_bytes, rx_dropped, rx_multicast;
    u64 rx_errors, rx_crc, rx_length; /* errors: these two kinds and all others */
    u64 rx_missed;                    /* the device had no buffer */
    u64 tx_packets, tx_bytes, tx_dropped, tx_errors, collisions;
};

struct netdev_ops {
    /* Begins and ends to send and receive. open: 0 or -errno, then nothing runs. stop waits until
     * the queues' threads are out. Context: may sleep; config held. NULL: nothing to do. */
    int (*open)(struct netdev *dev);
    void (*stop)(struct netdev *dev);
    /* Puts p on the queue's ring; more: another one follows at once, so that the device need not be
     * told yet. 0: p is the driver's. -EBUSY: no space: p stays the caller's, and the driver will
     * call netdev_wake. Other -errno: p stays the caller's, which drops it. Context: q->lock held,
     * never sleeps. */
    int (*transmit)(struct netdev_queue *q, struct packet *p, bool more);
    /* The queue, below nr_queues, that p goes to. NULL: that of this CPU. Context: no lock held;
     * never sleeps; several at once. */
    u32 (*select)(struct netdev *dev, const struct packet *p);
    /* In place of transmit, of a device that stands on another: p goes on. Takes p. The same
     * errors as netdev_transmit. Context: no lock held; never sleeps; several at once. */
    int (*pass)(struct netdev *dev, struct packet *p);
    /* Each may be NULL: -EOPNOTSUPP. 0 or -errno; may sleep; config held. The value is checked for
     * what every device requires (a unicast address; min_mtu..max_mtu). */
    int (*set_address)(struct netdev *dev, const u8 *addr);
    int (*set_mtu)(struct netdev *dev, u32 mtu);
    /* netdev_wants_all, netdev_wants_groups or the groups have changed. */
    void (*set_filter)(struct netdev *dev);
    /* Of a link that is there; may sleep; config held. May be NULL. */
    void (*link)(struct netdev *dev, struct netdev_link *out);
    /* Adds what the hardware counts by itself. May be NULL. */
    void (*stats)(struct netdev *dev, struct netdev_stats *out);
    /* The last reference is gone: frees the struct around dev. */
    void (*destroy)(struct netdev *dev);
};

/* Segments that are being joined. */
struct netdev_join {
    struct packet *p; /* the first; NULL: none */
    struct join join;
};

/* I immutable once registered · l lock · w the queue's thread only: ASSERT_QUEUE_THREAD */
struct netdev_queue {
    struct netdev *dev; /* I */
    u16 index;          /* I */
    void *driver;       /* the driver's */
    struct spinlock lock;
    struct list_node backlog;                        /* l  packets that wait for space */
    u32 nr_backlog;                                  /* l */
    bool stopped;                                    /* l  the ring had no space */
    u64 tx_packets, tx_bytes, tx_dropped, tx_errors; /* l */
    u64 rx_packets, rx_bytes, rx_dropped, rx_errors, rx_multicast; /* w to change; a */
    struct netdev_join joins[NETDEV_JOINS]; /* w  the first nr_joins are in use */
    u32 nr_joins, next_join;                /* w */
    struct packet *lone;                    /* w  came while no join was under way, not looked at */
#ifdef DEBUG
    struct thread *receiver; /* the queue's thread, known from its first frame while up */
#endif
};

/* Where a device's name and address are from: what /sys calls name_assign_type and
 * addr_assign_type. A card's name follows from the order of the buses, which is always the same. */
enum netdev_name_is {
    NETDEV_NAME_COUNTED = 1,
    NETDEV_NAME_PREDICTED = 2,
    NETDEV_NAME_GIVEN = 3,
    NETDEV_NAME_CHANGED = 4
};
enum netdev_addr_is {
    NETDEV_ADDR_OWN,
    NETDEV_ADDR_RANDOM,
    NETDEV_ADDR_BELOW, /* of the device below */
    NETDEV_ADDR_SET
};

/* Tells net/core of a namespace's devices whose link has changed: one in each turn of the worker
 * that all namespaces share, so that one's many changes do not delay another's. */
struct netdev_teller {
    struct spinlock lock;
    struct list_node devs; /* lock  by `changed` */
    struct netdev *dev;    /* lock to write, a  of which is told now; NULL: none */
    struct work work;
    struct timer again; /* queues it later: the namespace was being changed */
    struct waitq told;  /* dev has changed */
};

/* I immutable once registered · c config to write, atomic to read · n net/core's namespace lock */
struct netdev {
    const struct netdev_ops *ops;             /* I */
    struct device *parent;                    /* I  the device that it is; or NULL */
    void *driver;                             /* the driver's */
    u16 type;                                 /* I  ARPHRD_* */
    u16 header;                               /* I  bytes of the link header */
    u8 depth;                                 /* I  devices below it */
    u32 below;                                /* I  index of the next one; 0: none */
    u32 features;                             /* a  enum netdev_features: what it does now */
    u32 can, off;                             /* c  what it could do; what is switched off */
    u32 min_mtu, max_mtu;                     /* I */
    u32 mtu;                                  /* c */
    u32 flags;                                /* a  enum netdev_flags */
    u8 addr[NETDEV_ADDR];                     /* c */
    u8 own_addr[NETDEV_ADDR];                 /* I  that it came with */
    u16 rx_ring, tx_ring;                     /* I  slots of each queue; 0: it has no rings */
    u16 nr_queues;                            /* I  1 at least; hardware: NETDEV_QUEUES at most */
    struct netdev_queue *queues;              /* I  the driver's array; netdev_init fills it in */
    u8 groups[NETDEV_MULTICAST][NETDEV_ADDR]; /* c */
    u16 group_users[NETDEV_MULTICAST];        /* c */
    u32 nr_groups;                            /* c */
    u32 more_groups;                          /* c  joins that found no place */
    u32 promisc, allmulti;                    /* c  holders of these flags */
    u8 name_is, addr_is;                      /* a  enum netdev_name_is, netdev_addr_is */
    u32 tx_queue_len;                         /* a  packets that its queues keep: NETDEV_BACKLOG */
    struct mutex config;
    struct list_node changed; /* the teller's lock  in its list, with a reference */
    refcount_t ref;           /* a */
    char name[NETDEV_NAME];   /* n */
    u32 index;                /* n */
    struct net_ns *ns;        /* n  NULL: not registered */
    struct rb_node node;      /* n  of its namespace, by index */
    /* What net/core and net/netlink keep: c unless said otherwise. */
    u32 group;
    char *alias;                        /* n  or NULL */
    struct net_altname *altnames;       /* n  or NULL */
    bool asked_promisc, asked_allmulti; /* by the interface's flags: one of those */
    u32 nr_carrier;                     /* a  changes of NETDEV_CARRIER */
    u32 taps;                           /* a  who sees what is received and sent: net/core/tap.h */
    void *ip;                           /* net/ip's part; NULL: none */
    void *vlans;                        /* net/link/vlan.c's: those that stand on it, or NULL */
    s32 conf[NETDEV_CONF];              /* a  net/core/conf.h */
};

/* Clears dev, but not the array; one reference of the caller's. */
void netdev_init(struct netdev *dev, const struct netdev_ops *ops, struct netdev_queue *queues,
                 unsigned nr_queues);
/* Before it is registered: dev stands on lower. -EMLINK: too many would stand one on another. */
int netdev_stack(struct netdev *dev, const struct netdev *lower) __must_check;
/* A card: it is called `eth` and its rank among the machine's cards where that is free, else the
 * first number that is: probes end in any order, names do not depend on it. The caller keeps its
 * reference. 0, -EEXIST (no number is free), -ENFILE (too many), -ENOMEM. Context: may sleep. */
int netdev_register(struct netdev *dev, u32 rank) __must_check;
void netdev_unregister(struct netdev *dev);
static inline void netdev_get(struct netdev *dev)
{
    refcount_get(&dev->ref);
}
void netdev_put(struct netdev *dev);
/* What goes through it needs a neighbour's link address. */
static inline bool netdev_has_neighbours(const struct netdev *dev)
{
    return dev->type == ARPHRD_ETHER;
}

#ifdef DEBUG
void netdev_assert_thread(struct netdev_queue *q);
#define ASSERT_QUEUE_THREAD(q) netdev_assert_thread(q)
#else
#define ASSERT_QUEUE_THREAD(q) ((void)0)
#endif

/* A frame has come: p begins with its link header. Takes p. Context: the queue's thread. */
void netdev_receive(struct netdev_queue *q, struct packet *p);
/* The driver has no more frames now, or gives others their turn: what was joined goes up, and a
 * frame that has come alone. With NETDEV_JOIN at the end of each round. The queue's thread. */
void netdev_receive_done(struct netdev_queue *q);
/* The stack is told of nothing any more; NETDEV_GONE is set. May sleep. */
void netdev_tell_stop(struct netdev *dev);
/* A frame was lost: no memory for it, or the device gave nonsense. The queue's thread. */
static inline void netdev_rx_dropped(struct netdev_queue *q)
{
    ASSERT_QUEUE_THREAD(q);
    q->rx_dropped++;
}
/* The same of a frame that came broken. */
static inline void netdev_rx_error(struct netdev_queue *q)
{
    ASSERT_QUEUE_THREAD(q);
    q->rx_errors++;
}
/* The ring has space again: what waits goes to the driver, while others send as well. Context: a
 * thread, without a spinlock. */
void netdev_wake(struct netdev_queue *q);
/* What waits in a queue that nothing takes any more goes to the end of a list, and counts as
 * dropped. For packets_free, without locks. */
void netdev_take_backlog(struct netdev_queue *q, struct list_node *lost);
/* The link came or went: kernel/net is told from a worker. Context: a thread; config may be held.
 */
void netdev_set_carrier(struct netdev *dev, bool on);
/* What the device is to let through beside its own address, broadcasts and `groups`: all; all
 * groups. config held. */
static inline bool netdev_wants_all(const struct netdev *dev)
{
    return dev->promisc;
}
static inline bool netdev_wants_groups(const struct netdev *dev)
{
    return dev->promisc || dev->allmulti || dev->more_groups;
}
/* p->vlan goes into the frame, behind its addresses. False: no space, or no such frame. */
bool netdev_tag(struct packet *p) __must_check;
/* A frame that begins with an 802.1Q tag behind its addresses: it goes to p->vlan, which was 0.
 * False: it is cut short. */
bool netdev_untag(struct packet *p) __must_check;
/* Whether the frame at head, of 14 bytes at least, has a tag. */
static inline bool netdev_is_tagged(const u8 *head)
{
    return head[12] == 0x81 && head[13] == 0;
}
/* How a packet with gso, whose link header is there, is to be cut. 0 or -EINVAL. For drivers of
 * devices that must be told where the headers are. */
int netdev_segments(struct packet *p, struct segment_plan *out) __must_check;

/* ---- for kernel/net ---- */

/* fini: netdev_tell_stop was called of all its devices. May sleep. */
void netdev_teller_init(struct netdev_teller *t);
void netdev_teller_fini(struct netdev_teller *t);

/* Takes p, with its link header. 0; -ENETDOWN, -ENOBUFS (no space: dropped), -EMSGSIZE or -EINVAL
 * (the device cannot send such). Context: any thread; never sleeps. */
int netdev_transmit(struct netdev *dev, struct packet *p);
/* Under config: up or down. 0 or open's -errno. May sleep. */
int netdev_up(struct netdev *dev) __must_check;
void netdev_down(struct netdev *dev);
int netdev_set_address(struct netdev *dev, const u8 *addr) __must_check;
int netdev_set_mtu(struct netdev *dev, u32 mtu) __must_check;
/* Before dev is seen by others: what it does so far is what it can. */
void netdev_features_begin(struct netdev *dev);
/* What it can is this from now on; what was switched off stays so. May sleep. */
void netdev_features_offer(struct netdev *dev, u32 can);
/* Those of `which` (NETDEV_SWITCHES) are on from now on as far as it can, or off. 0 or -ENODEV. May
 * sleep. */
int netdev_features_switch(struct netdev *dev, u32 which, bool on) __must_check;
/* What its link is now. May sleep. */
void netdev_link(struct netdev *dev, struct netdev_link *out);
/* NETDEV_PROMISC or NETDEV_ALLMULTI is set as long as someone holds it. 0; -ENODEV: it is going;
 * -EOVERFLOW. release: once for each successful hold. May sleep. */
int netdev_hold_flag(struct netdev *dev, u32 flag) __must_check;
void netdev_release_flag(struct netdev *dev, u32 flag);
/* A group's link address that is to be received, as often left as joined. 0; -EINVAL: no group;
 * -ENODEV, -EOVERFLOW. With more than NETDEV_MULTICAST groups all are received. May sleep. */
int netdev_group_join(struct netdev *dev, const u8 *group) __must_check;
void netdev_group_leave(struct netdev *dev, const u8 *group);
/* Of the queue that received p: it was sent to a group. For link layers; the queue's thread. */
static inline void netdev_rx_multicast(const struct packet *p)
{
    p->dev->queues[p->queue].rx_multicast++;
}
void netdev_stats(struct netdev *dev, struct netdev_stats *out);
