/* SPDX-License-Identifier: MIT
 *
 * The list of virtio devices, and the driver's side of a split vringueue (virtio 1.1, 2.6).
 *
 * One page holds a ring: 16-byte descriptors at 0, the available ring behind them, the used ring at
 * USED_AT. With VRING_MAX requests that is 1024 + 134 and 518 bytes.
 */
#include "dev/virtio.h"

#include "arch/x86/regs.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/page.h"

#define USED_AT 2048
#define DESC_WRITE 2
#define DEVICES_MAX 8

struct vring_desc {
    u64 addr;
    u32 len;
    u16 flags;
    u16 next;
};

struct vring_used {
    u32 id, len;
};

static struct virtio_device *virtio_devices[DEVICES_MAX];
static unsigned virtio_count;

int virtio_register(struct virtio_device *dev)
{
    if (virtio_count == DEVICES_MAX)
        return -ENOSPC;
    virtio_devices[virtio_count++] = dev;
    return 0;
}

struct virtio_device *virtio_find(u32 id, unsigned nth)
{
    for (unsigned i = 0; i < virtio_count; i++)
        if (virtio_devices[i]->id == id && nth-- == 0)
            return virtio_devices[i];
    return NULL;
}

int vring_create(struct virtio_device *dev, struct vring *q, unsigned index, unsigned num)
{
    char *ring;
    int err;

    ASSERT(num > 0 && num <= VRING_MAX && (num & (num - 1)) == 0);
    ring = page_alloc_virt(0, PA_ZERO);
    if (!ring)
        return -ENOMEM;
    *q = (struct vring){.index = index, .num = num, .nr_free = (u16)num};
    q->desc = (struct vring_desc *)ring;
    q->avail = (volatile u16 *)(ring + num * sizeof(struct vring_desc));
    q->used = (volatile u16 *)(ring + USED_AT);
    for (unsigned i = 0; i < num; i++)
        q->next[i] = (u16)(i + 1);
    err = dev->ops->queue_set(dev, q);
    if (err)
        page_free_virt(ring, 0);
    return err;
}

int vring_add(struct vring *q, void *buf, u32 len, bool device_writes, void *token)
{
    u16 at = q->free_head;
    struct vring_desc *desc = &q->desc[at];

    if (q->broken)
        return -EIO;
    if (q->nr_free == 0)
        return -ENOSPC;
    q->free_head = q->next[at];
    q->nr_free--;
    desc->addr = virt_hpa(buf).v;
    desc->len = len;
    desc->flags = device_writes ? DESC_WRITE : 0;
    q->lens[at] = len;
    q->tokens[at] = token;
    q->avail[2 + q->next_avail % q->num] = at;
    /* The entry before the index: pairs with the device's read of the index. */
    __atomic_store_n((u16 *)&q->avail[1], ++q->next_avail, __ATOMIC_RELEASE);
    /* The index before the device is notified. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return 0;
}

void *vring_take(struct vring *q, u32 *written)
{
    const volatile struct vring_used *ring = (const volatile struct vring_used *)(q->used + 2);
    u16 index = __atomic_load_n((u16 *)&q->used[1], __ATOMIC_ACQUIRE);
    u32 id;
    void *token;

    if (q->broken || index == q->last_used)
        return NULL;
    id = ring[q->last_used % q->num].id;
    *written = ring[q->last_used % q->num].len;
    if (id >= q->num || !q->tokens[id] || *written > q->lens[id]) {
        log_err("virtio: queue %u: the device returned request %u with %u bytes", q->index, id,
                *written);
        q->broken = true;
        return NULL;
    }
    q->last_used++;
    token = q->tokens[id];
    q->tokens[id] = NULL;
    q->next[id] = q->free_head;
    q->free_head = (u16)id;
    q->nr_free++;
    return token;
}
