/* SPDX-License-Identifier: MIT
 *
 * The two kinds of object that no file system makes: unnamed shared memory, and device frames.
 */
#include "mm/slab.h"
#include "vm/object.h"
#include "vm/vm_priv.h"

static void object_kinds_destroy(struct mem_object *obj)
{
    kfree(obj);
}

static const struct mem_object_ops object_shared_ops = {.destroy = object_kinds_destroy};

struct mem_object *mem_object_create_shared(u64 size)
{
    struct mem_object *obj = kmalloc(sizeof(*obj));

    if (!obj)
        return NULL;
    mem_object_init(obj, &object_shared_ops, NULL);
    obj->size = size;
    return obj;
}

struct device_object {
    struct mem_object obj;
    hpa_t pa;
    unsigned prot;
};

static int object_device_frame(struct mem_object *obj, u64 index, hpa_t *out, unsigned *prot)
{
    struct device_object *dev = container_of(obj, struct device_object, obj);

    if (index >= obj->size >> PAGE_SHIFT)
        return -EIO;
    *out = HPA(dev->pa.v + (index << PAGE_SHIFT));
    *prot = dev->prot & (PT_UNCACHED | PT_WRITECOMBINE);
    return 0;
}

static void object_device_destroy(struct mem_object *obj)
{
    kfree(container_of(obj, struct device_object, obj));
}

static const struct mem_object_ops object_device_ops = {
    .frame = object_device_frame,
    .destroy = object_device_destroy,
};

struct mem_object *mem_object_create_device(hpa_t pa, u64 size, unsigned prot)
{
    struct device_object *dev = kmalloc(sizeof(*dev));

    if (!dev)
        return NULL;
    mem_object_init(&dev->obj, &object_device_ops, NULL);
    dev->obj.size = size;
    dev->pa = pa;
    dev->prot = prot;
    return &dev->obj;
}
