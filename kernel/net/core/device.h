/* SPDX-License-Identifier: MIT
 *
 * The devices of a namespace (dev/netdev.h has what a device is): names and indices, bringing up
 * and down, and who is told of it; which link layer and which protocol a frame goes to. All three
 * kinds of receivers register themselves.
 *
 * Devices of one namespace are listed in the order of their indices, which are not used again.
 * Locks: a namespace's config (mutex, RANK_DRIVER 25) over up, down and removal, so that hooks hear
 * them in order; its device lock (spinlock, RANK_NET 9) over list and names. dev->ns stays while
 * the device is referenced.
 */
#pragma once

#include "dev/netdev.h"
#include "net/core/ns.h"

/* References, or NULL. */
struct netdev *net_device_by_index(struct net_ns *ns, u32 index) __must_check;
struct netdev *net_device_by_name(struct net_ns *ns, const char *name) __must_check;
/* The first with an index above `after`. */
struct netdev *net_device_next(struct net_ns *ns, u32 after) __must_check;
bool net_device_exists(struct net_ns *ns, u32 index);

/* A device of ns, which ns's teardown takes away again. 0, -EEXIST, -ENFILE. May sleep; _held: the
 * namespace's config is held. */
int net_device_add(struct net_ns *ns, struct netdev *dev, const char *name) __must_check;
int net_device_add_held(struct net_ns *ns, struct netdev *dev, const char *name) __must_check;
/* The same for a device of a name that is in use or not. -EEXIST. */
int net_device_set_name(struct netdev *dev, const char *name) __must_check;
/* The name at this moment, with a NUL behind it. */
void net_device_name(struct netdev *dev, char out[NETDEV_NAME]);
/* A namespace's config, which hooks are called under. May sleep. */
void net_config_lock(struct net_ns *ns);
void net_config_unlock(struct net_ns *ns);
/* For workers that all namespaces share. False: it is held. */
bool net_config_trylock(struct net_ns *ns) __must_check;
/* Up: the device is opened, then hooks are called; down: the other way round. Context: may sleep.
 */
int net_device_up(struct netdev *dev) __must_check;
void net_device_down(struct netdev *dev);
/* The same for hooks of a device that another stands on: the namespace's config is held. */
int net_device_up_held(struct netdev *dev) __must_check;
void net_device_down_held(struct netdev *dev);

/* device_config.c: changes that programs ask for; who listens is told. May sleep, no lock held.
 * Rename: -EBUSY (it is up), -EEXIST, -EINVAL. */
int net_device_rename(struct netdev *dev, const char *name) __must_check;
int net_device_set_mtu(struct netdev *dev, u32 mtu) __must_check;
int net_device_set_address(struct netdev *dev, const u8 *addr) __must_check;
/* Takes a software device off its namespace, once. -ENODEV: it is going already. */
int net_device_delete(struct netdev *dev) __must_check;
/* A name that a device may have. */
bool net_device_name_ok(const char *name);
bool net_device_altname_ok(const char *name); /* a further one of it */
/* IFF_* as programs see them (netdevice(7)). */
u32 net_device_flags(const struct netdev *dev);
/* Those of `change` become as in `flags`, where a program may set them. */
int net_device_set_flags(struct netdev *dev, u32 flags, u32 change) __must_check;
/* RFC 2863's ifOperStatus, as linux/if.h numbers it. */
enum { IF_OPER_UNKNOWN = 0, IF_OPER_DOWN = 2, IF_OPER_LOWERLAYERDOWN = 3, IF_OPER_UP = 6 };
u8 net_device_state(const struct netdev *dev);
/* A text that an administrator gives it; none: "". -EINVAL: too long; -ENODEV, -ENOMEM. Context:
 * alias: any but an interrupt. */
#define NET_ALIAS 256 /* with the NUL */
int net_device_set_alias(struct netdev *dev, const char *text, u32 n) __must_check;
void net_device_alias(struct netdev *dev, char out[NET_ALIAS]);
/* Further names by which a device is found in its namespace, at most NET_ALTNAMES of it. add:
 * -EEXIST: some device has it; -ENOBUFS, -EINVAL, -ENODEV (it goes), -ENOMEM; remove: -ENOENT,
 * -EINVAL: it is no further name of this device. The i-th; false: there are fewer. */
#define NET_ALTNAME 128 /* with the NUL */
#define NET_ALTNAMES 12U
int net_device_altname_add(struct netdev *dev, const char *name) __must_check;
int net_device_altname_remove(struct netdev *dev, const char *name) __must_check;
bool net_device_altname(struct netdev *dev, u32 i, char out[NET_ALTNAME]);
/* Tells that dev has changed, unless it is going. May sleep, no lock held. */
void net_device_told(struct netdev *dev);

/* The device receives frames for that group's link address, or no longer: counted. May sleep. */
void net_device_group(struct netdev *dev, const u8 *link, bool join);

enum net_device_event {
    NET_DEVICE_UP,
    NET_DEVICE_DOWN,
    NET_DEVICE_GONE,
    NET_DEVICE_CHANGED,
    NET_DEVICE_LEAVING,
};
/* A listener that keeps something for a device: called after it is up, before it goes down, and
 * when it goes away, down by then: nothing may refer to it after that, but readers within RCU, for
 * whom a grace period follows (the hook itself waits for none). -errno: it cannot be up;
 * then it goes down again, and all listeners are called for that. CHANGED: its link came or went,
 * its MTU or its address changed, up or not. LEAVING: it is about to go away, and what stands on it
 * goes first; not told at a namespace's end, when all go in that order. Context: may sleep; config
 * is held, but for LEAVING. */
struct net_device_hook {
    int (*event)(struct netdev *dev, enum net_device_event event);
};
/* Tells hooks CHANGED, and who listens to events: for hooks that change another device. config
 * held. */
void net_device_changed(struct netdev *dev);
#define NET_DEVICE_HOOK(id) TABLE_ENTRY(struct net_device_hook, net_device_hooks, #id)

/* A link layer, by the type of its devices. */
struct net_link {
    u16 type; /* ARPHRD_* */
    /* A frame, which begins with the link's header. Takes p. */
    void (*receive)(struct packet *p);
    /* Puts the header before p: for `to`, a link address, or NULL where the link has none.
     * -ENOBUFS: no space. */
    int (*header)(struct packet *p, struct netdev *dev, u16 protocol, const u8 *to);
};
#define NET_LINK(id) TABLE_ENTRY(struct net_link, net_links, #id)
const struct net_link *net_link_of(const struct netdev *dev);

/* A protocol over links, by its ethertype. Takes p, which begins behind the link's header. */
struct net_protocol {
    u16 type;
    void (*receive)(struct packet *p);
    /* What /proc/net/ptype calls it, in words that its readers look for; never NULL. */
    const char *shown;
};
#define NET_PROTOCOL(id) TABLE_ENTRY(struct net_protocol, net_protocols, #id)
/* For link layers: p->protocol says to which. Frees p when there is none. */
void net_protocol_receive(struct packet *p);
