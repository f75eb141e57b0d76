/* SPDX-License-Identifier: MIT
 *
 * /dev/net/tun inside: tun.c is the device, tun_file.c the file.
 *
 * Locks: t->lock (spinlock, RANK_NET 3: below the queue's) over what waits to be read;
 * tun_join_lock (mutex, RANK_DRIVER 27: over a namespace's config) over which file has which
 * device. A file and the device's list hold references.
 */
#pragma once

#include "net/link/tun.h"
#include "sched/wait.h"

enum {
    IFF_TUN = 1,
    IFF_TAP = 2,
    IFF_NO_PI = 0x1000,
    IFF_ONE_QUEUE = 0x2000, /* of no effect, as ever */
    IFF_VNET_HDR = 0x4000,
    IFF_TUN_EXCL = 0x8000,
};
#define TUN_FEATURES (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR)
#define TUN_ANYBODY (~0U) /* no owner */

/* I immutable · j tun_join_lock · l lock · a atomic */
struct tun {
    struct netdev dev; /* first */
    struct netdev_queue queue;
    u32 flags;                            /* I  IFF_* */
    bool persist;                         /* j */
    u32 owner, group;                     /* j  kernel ids, or TUN_ANYBODY */
    struct tun_file *file;                /* j to write, a */
    struct account *account;              /* I  the maker's; the struct is charged to it */
    u32 vnet_size;                        /* a  bytes before each packet */
    u64 rx_packets, rx_bytes, rx_dropped; /* a */
    struct spinlock lock;
    struct list_node frames; /* l */
    u32 nr_frames;           /* l */
    struct waitq wait;       /*    frames came, the device goes */
};

/* name: with %d or as asked for; file: whose device it is. The caller has a reference of it. 0,
 * -EINVAL, -EEXIST, -ENOMEM. */
struct net_ns;
int tun_create(struct net_ns *ns, const char *name, u32 flags, struct tun_file *file,
               struct tun **out) __must_check;
/* The next frame to be read, which is the caller's, or NULL. */
struct packet *tun_take(struct tun *t);
static inline bool tun_has_frames(const struct tun *t)
{
    return READ_ONCE(t->nr_frames);
}
/* A packet that the program wrote comes in. Takes p. */
void tun_receive(struct tun *t, struct packet *p);
/* What waits is dropped. */
void tun_purge(struct tun *t);
