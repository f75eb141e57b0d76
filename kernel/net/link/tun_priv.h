/* SPDX-License-Identifier: MIT
 *
 * /dev/net/tun inside: tun.c is the device, tun_queue.c which files have it, tun_file.c the file.
 *
 * A device's files are its queues: the first nr_attached of its netdev queues have one each
 * (`driver`); when a file goes, the last one takes its place. Detached files are in the list alone.
 *
 * Locks: tun_join_lock (mutex, RANK_DRIVER 27: over a namespace's config) over which files have
 * which device; a file's `joining` (mutex, RANK_DRIVER 28) over its TUNSETIFF; a queue's lock over
 * whose it is: what is sent, and wakes that file, is under it; t->lock (spinlock, RANK_NET 4; none
 * is held over it) over the list for those that cannot wait; a file's lock (spinlock, RANK_NET 3)
 * over what waits to be read. A file and the namespace's list of devices hold references of the
 * device.
 */
#pragma once

#include "net/link/tun.h"
#include "sched/mutex.h"
#include "sched/wait.h"

enum {
    IFF_TUN = 1,
    IFF_TAP = 2,
    IFF_MULTI_QUEUE = 0x100,
    IFF_ATTACH_QUEUE = 0x200,
    IFF_DETACH_QUEUE = 0x400,
    IFF_PERSIST = 0x800,
    IFF_NO_PI = 0x1000,
    IFF_ONE_QUEUE = 0x2000, /* of no effect, as ever */
    IFF_VNET_HDR = 0x4000,
    IFF_TUN_EXCL = 0x8000,
};
#define TUN_FEATURES \
    (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR | IFF_MULTI_QUEUE)
#define TUN_ANYBODY (~0U) /* no owner */

/* I immutable · j tun_join_lock · l lock · a atomic */
struct tun {
    struct netdev dev;                    /* first */
    u32 flags;                            /* j to write, a  IFF_* */
    bool persist;                         /* j */
    bool dies;                            /* j  its last file has gone */
    u32 owner, group;                     /* j  kernel ids, or TUN_ANYBODY */
    u32 nr_attached;                      /* j to write, a */
    u32 nr_files;                         /* j  detached ones too */
    struct list_node files;               /* j and l to write */
    struct flow_table *flows;             /* I  NULL: it has one queue */
    u32 vnet_size;                        /* a  bytes before each packet */
    u64 rx_packets, rx_bytes, rx_dropped; /* a */
    struct spinlock lock;
    struct netdev_queue queues[]; /* I  dev.nr_queues */
};

/* I immutable · j tun_join_lock · l lock · a atomic */
struct tun_file {
    struct net_ns *ns;       /* I  its opener's: a reference */
    struct account *account; /* I  its opener's, or NULL; the struct is charged to it */
    struct mutex joining;
    struct tun *tun;       /* j to write, once; a */
    struct list_node node; /* j and tun->lock: of its files */
    bool attached;         /* j to write, a */
    u32 index;             /* j to write, a  its queue, or its last one */
    struct spinlock lock;
    struct list_node frames; /* l */
    u32 nr_frames;           /* l to write, a */
    struct waitq wait;       /*    frames came, the device goes */
};

/* ---- tun.c ---- */

/* A device for tf, which is its file from the start. name: with %d or as asked for. The caller has
 * a reference of it, and tf's `joining`. 0, -EINVAL, -EEXIST, -ENOMEM. */
int tun_create(struct tun_file *tf, const char *name, u32 flags, struct tun **out) __must_check;
/* A packet that the program wrote comes in. Takes p. */
void tun_receive(struct tun *t, struct tun_file *tf, struct packet *p);
static inline bool tun_gone(const struct tun *t)
{
    return READ_ONCE(t->dev.flags) & NETDEV_GONE;
}

/* ---- tun_queue.c ---- */

extern struct mutex tun_join_lock;

void tun_file_init(struct tun_file *tf);
/* tf, which has no device, becomes a file of t. -EBUSY: t has its only one; -E2BIG: it has
 * TUN_QUEUES. Context, of the next three too: under tun_join_lock, or while no other thread knows
 * t.
 */
int tun_add_file(struct tun *t, struct tun_file *tf) __must_check;
/* tf is no file of t's any more. True: it was the last. lost: as of tun_detach. */
bool tun_remove_file(struct tun *t, struct tun_file *tf, struct list_node *lost);
/* It has a queue from here on, or none. lost: what waited for it goes to the end of that list, for
 * packets_free, without locks and while tf is there. */
void tun_attach(struct tun *t, struct tun_file *tf);
void tun_detach(struct tun *t, struct tun_file *tf, struct list_node *lost);
/* Puts p where tf's reader finds it. Context: transmit of its queue. */
void tun_give(struct tun_file *tf, struct packet *p);
/* The next frame to be read, which is the caller's, or NULL. */
struct packet *tun_take(struct tun *t, struct tun_file *tf);
static inline bool tun_has_frames(const struct tun_file *tf)
{
    return READ_ONCE(tf->nr_frames);
}
/* What waits in all files of a device that is down is dropped. May sleep. */
void tun_purge_all(struct tun *t);
/* Who waits for frames looks again. */
void tun_wake_all(struct tun *t);
