/* SPDX-License-Identifier: MIT
 *
 * /sys as a view on kernel/dev: nothing is stored, every directory is computed from the registry
 * when it is looked at. A view is what a name stands for; its place is known from its kind and what
 * it points to. Between sysfs.c (nodes and the mount), tree.c (what is in which directory) and
 * file.c (what files and links say).
 */
#pragma once

#include "dev/device.h"
#include "vfs/pseudo.h"

enum view_kind {
    /* directories */
    VIEW_DEVICES,   /* /sys/devices */
    VIEW_BUS_DIR,   /* /sys/devices/platform: devices of `bus` without a parent */
    VIEW_DEVICE,    /* dev's own */
    VIEW_CLASS_DIR, /* dev/net: children of dev of a class */
    VIEW_MSI_DIR,   /* dev/msi_irqs */
    VIEW_BUSES,     /* /sys/bus */
    VIEW_BUS,
    VIEW_BUS_DEVICES,
    VIEW_BUS_DRIVERS,
    VIEW_DRIVER,
    VIEW_CLASSES, /* /sys/class */
    VIEW_CLASS,
    VIEW_DIRECTORIES,
    /* files */
    VIEW_ATTR = VIEW_DIRECTORIES,
    VIEW_BINARY, /* an attribute that is read in pieces */
    VIEW_UEVENT,
    VIEW_MODALIAS,
    VIEW_MSI,
    VIEW_BIND,
    VIEW_UNBIND,
    /* links: to a device, to dev's bus or class, to its driver */
    VIEW_LINK_DEVICE,
    VIEW_LINK_SUBSYSTEM,
    VIEW_LINK_DRIVER,
};

#define VIEW_NAME_MAX 48

struct view {
    enum view_kind kind;
    unsigned ups;       /* of a link: directories up to /sys */
    struct device *dev; /* a reference, or NULL */
    const struct bus *bus;
    const struct driver *driver;
    const struct device_attr *attr;
    const char *class; /* static */
    const char *text;  /* of VIEW_MSI; static */
    char name[VIEW_NAME_MAX];
};

/* tree.c: the child of dir at *cursor or behind it (0: the first), *cursor then behind that one.
 * out holds a reference where it names a device. False: no more. */
bool view_child(const struct view *dir, loff_t *cursor, struct view *out);

/* file.c */
void view_destroy(struct pseudo_node *node);
extern const struct pseudo_ops view_text_ops, view_link_ops, view_binary_ops;
