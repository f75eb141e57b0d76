/* SPDX-License-Identifier: MIT
 *
 * The devices of a namespace, between device.c (the list) and device_name.c (what they are called).
 */
#pragma once

#include "net/core/device.h"

struct net_devices {
    struct mutex config;
    struct spinlock lock;
    struct rb_root devs;  /* lock  by index, each with a reference */
    struct rb_root going; /* lock  those that are forgotten, for a grace period more */
    u32 last_index, nr;   /* lock  nr: of devs */
    struct netdev_teller teller;
};
struct net_devices *net_devices_of(struct net_ns *ns);
/* Takes away all devices but lo of namespaces without users, a list by `ending`, in
 * the same two grace periods. May sleep. */
void net_devices_end(struct net_ns *first);
/* By its name or another one of its. */
struct netdev *net_devices_named_locked(struct net_devices *d, const char *name) REQUIRES(d->lock);

/* A further name of a device; under the namespace's device lock. */
struct net_altname {
    struct net_altname *next;
    char name[];
};
struct net_altname *net_altname_find(const struct netdev *dev, const char *name);
void net_altnames_free(struct net_altname *first);
