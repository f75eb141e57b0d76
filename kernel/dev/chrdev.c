/* SPDX-License-Identifier: MIT
 *
 * The look-up of character devices. The table is constant, so it needs no lock; it has a few dozen
 * entries and is asked once per open of a device node.
 */
#include "dev/chrdev.h"

TABLE_DECLARE(struct chrdev, chrdevs);

const struct chrdev *chrdev_find(u32 major, u32 minor)
{
    const struct chrdev *dev;

    TABLE_FOR_EACH(dev, chrdevs)
    if (dev->major == major && minor >= dev->minor && minor - dev->minor < MAX(dev->count, 1))
        return dev;
    return NULL;
}

bool chrdev_major_served(u32 major)
{
    const struct chrdev *dev;

    TABLE_FOR_EACH(dev, chrdevs)
    if (dev->major == major)
        return true;
    return false;
}

void chrdev_for_each(void (*fn)(const struct chrdev *c, void *arg), void *arg)
{
    const struct chrdev *dev;

    TABLE_FOR_EACH(dev, chrdevs)
    if (!dev->hidden)
        fn(dev, arg);
}
