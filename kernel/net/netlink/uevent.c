/* SPDX-License-Identifier: MIT
 *
 * NETLINK_KOBJECT_UEVENT: what happens to network devices of a namespace, as udev and its like hear
 * it there (group 1). A message is text: "add@/devices/virtual/net/eth0", then KEY=VALUE lines,
 * each with a NUL behind it. What programs send to the kernel here is ignored; privileged ones send
 * to each other.
 */
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/event.h"
#include "net/core/netsys.h"
#include "net/netlink/netlink.h"
#include "vfs/pseudo.h"

#define UEVENT_GROUP 1
#define UEVENT_BYTES 2048
#define UEVENT_PATH 256

static u64 uevent_last; /* a  the number of the last one, of the whole machine */

static int uevent_request(struct nl_request *r)
{
    return 0;
}

/* In group 2 udev tells its own programs. */
NETLINK_PROTOCOL(uevent) = {
    .protocol = NETLINK_KOBJECT_UEVENT, .groups = 32, .request = uevent_request};

/* A message that is built; too much does not go in, and is told by `full`. */
struct uevent {
    char *buf;
    u32 len;
    bool full;
};

/* One line, with its NUL. */
static void uevent_line(struct uevent *u, const char *key, const char *value)
{
    u32 space = UEVENT_BYTES - u->len;
    int n = snprintf(u->buf + u->len, space, "%s%s", key, value);

    if ((u32)n + 1 > space)
        u->full = true;
    else
        u->len += (u32)n + 1;
}

static void uevent_number(struct uevent *u, const char *key, u64 value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", value);
    uevent_line(u, key, text);
}

static void uevent_bytes(struct uevent *u, const char *bytes, u32 n)
{
    if (n > UEVENT_BYTES - u->len) {
        u->full = true;
        return;
    }
    memcpy(u->buf + u->len, bytes, n);
    u->len += n;
}

/* "/devices/..." of the device under that name. */
static bool uevent_path(struct netdev *dev, const char *name, char out[UEVENT_PATH + 1])
{
    out[0] = '/';
    return net_device_sys_path(dev, name, out + 1, UEVENT_PATH) >= 0;
}

/* from: a name that it had before, or NULL; more: n bytes of lines. */
static void uevent_send(struct netdev *dev, const char *action, const char *from, const char *more,
                        u32 n)
{
    char path[UEVENT_PATH + 1], old[UEVENT_PATH + 1], name[NETDEV_NAME], head[16];
    struct uevent u = {kmalloc(UEVENT_BYTES), 0, false};
    struct nl_builder b = {0};

    net_device_name(dev, name);
    if (!u.buf || !uevent_path(dev, name, path) || (from && !uevent_path(dev, from, old))) {
        kfree(u.buf);
        return;
    }
    snprintf(head, sizeof(head), "%s@", action);
    uevent_line(&u, head, path);
    uevent_line(&u, "ACTION=", action);
    uevent_line(&u, "DEVPATH=", path);
    uevent_line(&u, "SUBSYSTEM=", "net");
    uevent_bytes(&u, more, n);
    if (from)
        uevent_line(&u, "DEVPATH_OLD=", old);
    uevent_line(&u, "INTERFACE=", name);
    uevent_number(&u, "IFINDEX=", dev->index);
    uevent_number(&u, "SEQNUM=", __atomic_add_fetch(&uevent_last, 1, __ATOMIC_RELAXED));
    b.buf = (u8 *)u.buf;
    b.len = u.len;
    if (!u.full)
        nl_tell(dev->ns, NETLINK_KOBJECT_UEVENT, UEVENT_GROUP, &b);
    kfree(u.buf);
}

static void uevent_heard(struct net_ns *ns, enum net_event_kind kind, const void *what, u32 change)
{
    const struct net_rename *renamed = what;
    const struct net_uevent *asked = what;

    if (kind < NET_EVENT_OBJECTS || !nl_listened(ns, NETLINK_KOBJECT_UEVENT, UEVENT_GROUP))
        return;
    switch (kind) {
    case NET_EVENT_ADDED:
        uevent_send((struct netdev *)(uintptr_t)what, "add", NULL, NULL, 0);
        break;
    case NET_EVENT_REMOVED:
        uevent_send((struct netdev *)(uintptr_t)what, "remove", NULL, NULL, 0);
        break;
    case NET_EVENT_RENAMED:
        uevent_send(renamed->dev, "move", renamed->from, NULL, 0);
        break;
    case NET_EVENT_ASKED:
        uevent_send(asked->dev, asked->action, NULL, asked->more, asked->n);
        break;
    default:
        break;
    }
}
NET_EVENT_LISTENER(uevent) = {uevent_heard};

static int uevent_seqnum(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "%lu\n", __atomic_load_n(&uevent_last, __ATOMIC_RELAXED));
    return 0;
}

static const struct pseudo_ops uevent_seqnum_ops = {.show = uevent_seqnum};
PSEUDO_FILE(uevent_seqnum) = {"sysfs", "kernel/uevent_seqnum", 0444, &uevent_seqnum_ops, NULL};
