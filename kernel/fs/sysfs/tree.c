/* SPDX-License-Identifier: MIT
 *
 * What is in which directory of /sys. Each directory counts its children: fixed ones first, then
 * devices by their serial, which never comes twice; so a listing goes on where it was, though
 * devices have come or gone.
 */
#include "fs/sysfs/view.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"

#define FIXED 256 /* below: fixed children; from here on: FIXED + serial of the device before */

/* A position as a number of fixed children: programs choose positions, of 63 bits. */
static unsigned tree_index(const loff_t *cursor)
{
    return (unsigned)MIN(*cursor, (loff_t)U32_MAX);
}

/* ------------------------------------------------------------- children that are devices */

static bool tree_is_top(const struct device *dev, const struct view *dir)
{
    return !dev->parent && !(dev->bus && dev->bus->dir) && !dev->class;
}

static bool tree_in_bus_dir(const struct device *dev, const struct view *dir)
{
    return !dev->parent && dev->bus == dir->bus;
}

static bool tree_is_child(const struct device *dev, const struct view *dir)
{
    return dev->parent == dir->dev;
}

static bool tree_in_class_dir(const struct device *dev, const struct view *dir)
{
    return dev->parent == dir->dev && dev->class == dir->class;
}

static bool tree_on_bus(const struct device *dev, const struct view *dir)
{
    return dev->bus == dir->bus;
}

static bool tree_has_driver(const struct device *dev, const struct view *dir)
{
    return dev->bus == dir->bus && device_driver((struct device *)dev) == dir->driver;
}

static bool tree_has_class(const struct device *dev, const struct view *dir)
{
    return dev->class && (!dir->class || strcmp(dev->class, dir->class) == 0);
}

/* The first device at or behind *cursor that belongs there; a reference. */
static struct device *tree_next(const struct view *dir, loff_t *cursor,
                                bool (*belongs)(const struct device *dev, const struct view *dir))
{
    struct device *dev;

    *cursor = MAX(*cursor, (loff_t)FIXED);
    while ((dev = device_next((u64)(*cursor - FIXED))) != NULL) {
        *cursor = FIXED + (loff_t)dev->serial;
        if (belongs(dev, dir))
            return dev;
        device_put(dev);
        cond_yield();
    }
    return NULL;
}

/* One of dev's kind, with a smaller serial, is in dir already: classes are named once. */
static bool tree_class_was_shown(const struct device *dev, const struct view *dir,
                                 bool (*belongs)(const struct device *dev, const struct view *dir))
{
    struct device *other;
    bool shown = false;
    loff_t cursor = 0;

    while (!shown && (other = tree_next(dir, &cursor, belongs)) != NULL) {
        bool before = other->serial < dev->serial;

        shown = before && other->class && strcmp(other->class, dev->class) == 0;
        device_put(other);
        if (!before)
            break;
    }
    return shown;
}

static bool tree_device(struct device *dev, struct view *out)
{
    if (!dev)
        return false;
    *out = (struct view){.kind = VIEW_DEVICE, .dev = dev};
    strlcpy(out->name, dev->name, sizeof(out->name));
    return true;
}

static bool tree_link(struct device *dev, unsigned ups, struct view *out)
{
    if (!tree_device(dev, out))
        return false;
    out->kind = VIEW_LINK_DEVICE;
    out->ups = ups;
    return true;
}

/* ------------------------------------------------------------- fixed children */

static bool tree_fixed(struct view *out, enum view_kind kind, const struct view *dir,
                       const char *name)
{
    *out = *dir;
    out->kind = kind;
    if (out->dev)
        device_get(out->dev);
    strlcpy(out->name, name, sizeof(out->name));
    return true;
}

static bool tree_has_attr(const struct bus *bus, const char *name)
{
    for (unsigned i = 0; bus && i < bus->nr_attrs; i++)
        if (strcmp(bus->attrs[i].name, name) == 0)
            return true;
    return false;
}

/* What every device has, by number; false: this one has not. */
static bool tree_device_common(const struct view *dir, unsigned n, struct view *out)
{
    struct device *dev = dir->dev;
    const struct bus *bus = dev->bus;
    const char *kind;

    switch (n) {
    case 0:
        return !tree_has_attr(bus, "uevent") && tree_fixed(out, VIEW_UEVENT, dir, "uevent");
    case 1:
        return bus && bus->modalias && tree_fixed(out, VIEW_MODALIAS, dir, "modalias");
    case 2:
        if ((!bus && !dev->class) || !tree_fixed(out, VIEW_LINK_SUBSYSTEM, dir, "subsystem"))
            return false;
        out->ups = device_path_depth(dev);
        return true;
    case 3:
        if (!device_driver(dev) || !tree_fixed(out, VIEW_LINK_DRIVER, dir, "driver"))
            return false;
        out->driver = device_driver(dev);
        out->ups = device_path_depth(dev);
        return true;
    default:
        return bus && bus->irq_at && bus->irq_at(dev, 0, &kind) >= 0 &&
               tree_fixed(out, VIEW_MSI_DIR, dir, "msi_irqs");
    }
}
#define DEVICE_COMMON 5

static bool tree_device_fixed(const struct view *dir, loff_t *cursor, struct view *out)
{
    const struct bus *bus = dir->dev->bus;
    unsigned attrs = bus ? bus->nr_attrs : 0;

    while (*cursor < (loff_t)(DEVICE_COMMON + attrs)) {
        unsigned n = (unsigned)(*cursor)++;
        const struct device_attr *attr = n < DEVICE_COMMON ? NULL : &bus->attrs[n - DEVICE_COMMON];

        if (!attr && tree_device_common(dir, n, out))
            return true;
        if (!attr)
            continue;
        (void)tree_fixed(out, attr->read || attr->write ? VIEW_BINARY : VIEW_ATTR, dir, attr->name);
        out->attr = attr;
        return true;
    }
    return false;
}

static bool tree_device_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    struct device *dev;

    if (*cursor < FIXED && tree_device_fixed(dir, cursor, out))
        return true;
    while ((dev = tree_next(dir, cursor, tree_is_child)) != NULL) {
        if (!dev->class)
            return tree_device(dev, out);
        if (!tree_class_was_shown(dev, dir, tree_is_child)) {
            (void)tree_fixed(out, VIEW_CLASS_DIR, dir, dev->class);
            out->class = dev->class;
            device_put(dev);
            return true;
        }
        device_put(dev);
    }
    return false;
}

static bool tree_msi_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    const char *kind;
    int irq = dir->dev->bus->irq_at(dir->dev, tree_index(cursor), &kind);

    if (irq < 0)
        return false;
    ++*cursor;
    (void)tree_fixed(out, VIEW_MSI, dir, "");
    out->text = kind;
    snprintf(out->name, sizeof(out->name), "%d", irq);
    return true;
}

/* Directories of buses whose devices have one, then the other devices. */
static bool tree_devices_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    const struct bus *bus;

    while (*cursor < FIXED && (bus = bus_at(tree_index(cursor))) != NULL) {
        ++*cursor;
        if (!bus->dir)
            continue;
        *out = (struct view){.kind = VIEW_BUS_DIR, .bus = bus};
        strlcpy(out->name, bus->dir, sizeof(out->name));
        return true;
    }
    return tree_device(tree_next(dir, cursor, tree_is_top), out);
}

static bool tree_buses_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    const struct bus *bus = bus_at(tree_index(cursor));

    if (!bus)
        return false;
    ++*cursor;
    *out = (struct view){.kind = VIEW_BUS, .bus = bus};
    strlcpy(out->name, bus->name, sizeof(out->name));
    return true;
}

static bool tree_bus_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    if (*cursor > 1)
        return false;
    return (*cursor)++ == 0 ? tree_fixed(out, VIEW_BUS_DEVICES, dir, "devices")
                            : tree_fixed(out, VIEW_BUS_DRIVERS, dir, "drivers");
}

static bool tree_drivers_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    const struct driver *drv = driver_at(dir->bus, tree_index(cursor));

    if (!drv)
        return false;
    ++*cursor;
    (void)tree_fixed(out, VIEW_DRIVER, dir, drv->name);
    out->driver = drv;
    return true;
}

static bool tree_driver_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    if (*cursor < 2)
        return (*cursor)++ == 0 ? tree_fixed(out, VIEW_BIND, dir, "bind")
                                : tree_fixed(out, VIEW_UNBIND, dir, "unbind");
    return tree_link(tree_next(dir, cursor, tree_has_driver), 4, out); /* bus/X/drivers/Y */
}

static bool tree_classes_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    struct device *dev;

    while ((dev = tree_next(dir, cursor, tree_has_class)) != NULL) {
        bool shown = tree_class_was_shown(dev, dir, tree_has_class);

        *out = (struct view){.kind = VIEW_CLASS, .class = dev->class};
        strlcpy(out->name, dev->class, sizeof(out->name));
        device_put(dev);
        if (!shown)
            return true;
    }
    return false;
}

bool view_child(const struct view *dir, loff_t *cursor, struct view *out)
{
    switch (dir->kind) {
    case VIEW_DEVICES:
        return tree_devices_child(dir, cursor, out);
    case VIEW_BUS_DIR:
        return tree_device(tree_next(dir, cursor, tree_in_bus_dir), out);
    case VIEW_DEVICE:
        return tree_device_child(dir, cursor, out);
    case VIEW_CLASS_DIR:
        return tree_device(tree_next(dir, cursor, tree_in_class_dir), out);
    case VIEW_MSI_DIR:
        return tree_msi_child(dir, cursor, out);
    case VIEW_BUSES:
        return tree_buses_child(dir, cursor, out);
    case VIEW_BUS:
        return tree_bus_child(dir, cursor, out);
    case VIEW_BUS_DEVICES:
        return tree_link(tree_next(dir, cursor, tree_on_bus), 3, out); /* bus/X/devices */
    case VIEW_BUS_DRIVERS:
        return tree_drivers_child(dir, cursor, out);
    case VIEW_DRIVER:
        return tree_driver_child(dir, cursor, out);
    case VIEW_CLASSES:
        return tree_classes_child(dir, cursor, out);
    case VIEW_CLASS:
        return tree_link(tree_next(dir, cursor, tree_has_class), 2, out); /* class/X */
    default:
        return false;
    }
}
