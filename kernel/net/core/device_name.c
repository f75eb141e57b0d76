/* SPDX-License-Identifier: MIT
 *
 * What a device is called: its name, others by which it is found as well, and a text.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device_priv.h"
#include "net/core/event.h"

int net_device_set_name(struct netdev *dev, const char *name)
{
    struct net_devices *d = net_devices_of(dev->ns);
    struct netdev *other;
    int err = 0;

    spin_lock(&d->lock);
    other = net_devices_named_locked(d, name);
    if (other && (other != dev || net_altname_find(dev, name)))
        err = -EEXIST;
    else
        strlcpy(dev->name, name, NETDEV_NAME);
    spin_unlock(&d->lock);
    return err;
}

void net_device_name(struct netdev *dev, char out[NETDEV_NAME])
{
    struct net_devices *d = net_devices_of(dev->ns);

    spin_lock(&d->lock);
    memcpy(out, dev->name, NETDEV_NAME);
    spin_unlock(&d->lock);
    out[NETDEV_NAME - 1] = '\0';
}

int net_device_set_alias(struct netdev *dev, const char *text, u32 n)
{
    struct net_devices *d = net_devices_of(dev->ns);
    char *fresh, *old;
    bool there;

    if (n >= NET_ALIAS)
        return -EINVAL;
    fresh = n ? kzalloc(n + 1) : NULL;
    if (n && !fresh)
        return -ENOMEM;
    if (n)
        memcpy(fresh, text, n);
    spin_lock(&d->lock);
    there = !(READ_ONCE(dev->flags) & NETDEV_GONE);
    old = there ? dev->alias : fresh;
    if (there)
        dev->alias = fresh;
    spin_unlock(&d->lock);
    kfree(old);
    return there ? 0 : -ENODEV;
}

void net_device_alias(struct netdev *dev, char out[NET_ALIAS])
{
    struct net_devices *d = net_devices_of(dev->ns);

    spin_lock(&d->lock);
    strlcpy(out, dev->alias ? dev->alias : "", NET_ALIAS);
    spin_unlock(&d->lock);
}

/* ---- further names ---- */

struct net_altname *net_altname_find(const struct netdev *dev, const char *name)
{
    struct net_altname *a = dev->altnames;

    while (a && strcmp(a->name, name))
        a = a->next;
    return a;
}

void net_altnames_free(struct net_altname *first)
{
    while (first) {
        struct net_altname *next = first->next;

        kfree(first);
        first = next;
    }
}

/* made is put in if it is the device's now. */
static int net_altname_add_locked(struct net_devices *d, struct netdev *dev,
                                  struct net_altname *made) REQUIRES(d->lock)
{
    struct net_altname **end = &dev->altnames;
    u32 n = 0;

    ASSERT_HELD(&d->lock);
    if (READ_ONCE(dev->flags) & NETDEV_GONE)
        return -ENODEV;
    if (net_devices_named_locked(d, made->name))
        return -EEXIST;
    for (; *end; end = &(*end)->next)
        n++;
    if (n == NET_ALTNAMES)
        return -ENOBUFS;
    *end = made;
    return 0;
}

int net_device_altname_add(struct netdev *dev, const char *name)
{
    struct net_devices *d = net_devices_of(dev->ns);
    size_t n = strlen(name);
    struct net_altname *made;
    int err;

    if (!net_device_altname_ok(name))
        return -EINVAL;
    made = kzalloc(sizeof(*made) + n + 1);
    if (!made)
        return -ENOMEM;
    memcpy(made->name, name, n + 1);
    spin_lock(&d->lock);
    err = net_altname_add_locked(d, dev, made);
    spin_unlock(&d->lock);
    if (err)
        kfree(made);
    return err;
}

int net_device_altname_remove(struct netdev *dev, const char *name)
{
    struct net_devices *d = net_devices_of(dev->ns);
    struct net_altname **at, *gone = NULL;
    int err = -ENOENT;

    spin_lock(&d->lock);
    if (net_devices_named_locked(d, name)) {
        err = -EINVAL; /* its own one, or another device's */
        at = &dev->altnames;
        while (*at && strcmp((*at)->name, name))
            at = &(*at)->next;
        gone = *at;
        if (gone) {
            *at = gone->next;
            err = 0;
        }
    }
    spin_unlock(&d->lock);
    kfree(gone);
    return err;
}

bool net_device_altname(struct netdev *dev, u32 i, char out[NET_ALTNAME])
{
    struct net_devices *d = net_devices_of(dev->ns);
    const struct net_altname *a;

    spin_lock(&d->lock);
    a = dev->altnames;
    while (a && i--)
        a = a->next;
    if (a)
        strlcpy(out, a->name, NET_ALTNAME);
    spin_unlock(&d->lock);
    return a;
}
