/* SPDX-License-Identifier: MIT
 *
 * The platform bus: devices that no bus can find, matched by name.
 */
#include "dev/device.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

#define PLATFORM_NAME_MAX 20

struct platform_device {
    struct device dev;
    char kind[PLATFORM_NAME_MAX]; /* what drivers match */
    int id;
    struct resource resources[];
};

static struct platform_device *platform_of(const struct device *dev)
{
    return container_of((struct device *)dev, struct platform_device, dev);
}

static bool platform_match(const struct device *dev, const struct device_id *id)
{
    return id->name && strcmp(platform_of(dev)->kind, id->name) == 0;
}

static ssize_t platform_modalias(const struct device *dev, char *buf, size_t size)
{
    return snprintf(buf, size, "platform:%s", platform_of(dev)->kind);
}

const struct bus platform_bus = {
    .name = "platform",
    .dir = "platform",
    .match = platform_match,
    .modalias = platform_modalias,
};
BUS(platform) = {&platform_bus};

static void platform_release(struct device *dev)
{
    kfree(platform_of(dev));
}

int platform_add(const char *name, int id, const struct resource *resources, unsigned nr_resources)
{
    struct platform_device *p = kzalloc(sizeof(*p) + nr_resources * sizeof(*resources));
    int err;

    if (!p)
        return -ENOMEM;
    device_init(&p->dev, &platform_bus, NULL, platform_release);
    strlcpy(p->kind, name, sizeof(p->kind));
    p->id = id;
    if (id < 0)
        strlcpy(p->dev.name, name, sizeof(p->dev.name));
    else
        snprintf(p->dev.name, sizeof(p->dev.name), "%s.%d", name, id);
    if (nr_resources)
        memcpy(p->resources, resources, nr_resources * sizeof(*resources));
    p->dev.resources = p->resources;
    p->dev.nr_resources = nr_resources;
    err = device_register(&p->dev);
    if (err)
        device_put(&p->dev);
    return err;
}

int platform_id(const struct device *dev)
{
    return platform_of(dev)->id;
}
