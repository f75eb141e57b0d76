/* SPDX-License-Identifier: MIT
 *
 * Where a device's directory lies in /sys.
 */
#include "dev/device.h"
#include "lib/errno.h"
#include "lib/format.h"

unsigned device_path_depth(const struct device *dev)
{
    unsigned n = 1; /* devices */

    for (; dev; dev = dev->parent)
        n += 1 + (dev->class != NULL) + (!dev->parent && dev->bus && dev->bus->dir);
    return n;
}

int device_path(const struct device *dev, char *buf, size_t size)
{
    const struct device *chain[DEVICE_DEPTH_MAX + 1];
    unsigned n = 0;
    int len;

    for (; dev && n < ARRAY_SIZE(chain); dev = dev->parent)
        chain[n++] = dev;
    len = scnprintf(buf, size, "devices");
    if (n && chain[n - 1]->bus && chain[n - 1]->bus->dir)
        len += scnprintf(buf + len, size - (size_t)len, "/%s", chain[n - 1]->bus->dir);
    while (n-- > 0) {
        if (chain[n]->class)
            len += scnprintf(buf + len, size - (size_t)len, "/%s", chain[n]->class);
        len += scnprintf(buf + len, size - (size_t)len, "/%s", chain[n]->name);
    }
    return (size_t)len + 1 < size ? len : -ENAMETOOLONG;
}
