/* SPDX-License-Identifier: MIT
 *
 * Character devices: a table from (major, minor) to file operations. A driver or layer registers
 * with CHRDEV(id) = {"null", 1, 3, 0666, &ops}; devfs shows each under its name, and any device
 * node with that number opens it.
 */
#pragma once

#include "lib/types.h"
#include "obj/file.h"

struct chrdev {
    const char *name; /* under /dev; may contain '/' */
    u32 major, minor;
    u32 mode;
    const struct file_ops *ops;
    int (*open)(struct file *f, u32 minor); /* may be NULL; may replace f->priv */
    u32 count;                              /* minors served from minor on; 0 means 1 */
    bool hidden;                            /* devfs shows no node */
};
#define CHRDEV(id) TABLE_ENTRY(struct chrdev, chrdevs, #id)
/* NULL: no driver has that number. */
const struct chrdev *chrdev_find(u32 major, u32 minor);
bool chrdev_major_served(u32 major);
/* Every one that devfs shows. */
void chrdev_for_each(void (*fn)(const struct chrdev *c, void *arg), void *arg);

static inline u64 dev_make(u32 major, u32 minor)
{
    return ((u64)(major & 0xfffff000) << 32) | ((u64)(major & 0xfff) << 8) |
           ((u64)(minor & 0xffffff00) << 12) | (minor & 0xff);
}
static inline u32 dev_major(u64 dev)
{
    return (u32)((dev >> 32) & 0xfffff000) | (u32)((dev >> 8) & 0xfff);
}
static inline u32 dev_minor(u64 dev)
{
    return (u32)((dev >> 12) & 0xffffff00) | (u32)(dev & 0xff);
}
