/* SPDX-License-Identifier: MIT
 *
 * The device's state between transport and model: status, features, queues, resets. See virtio.h.
 */
#include "vmm/virtio.h"

#include "vmm/vmm.h"

void virtio_set_half(uint64_t *value, bool high, uint32_t half)
{
    *value = high ? (*value & 0xffffffff) | (uint64_t)half << 32 : (*value & ~0xffffffffull) | half;
}

static void virtio_break(struct virtio *v)
{
    v->status |= STATUS_NEEDS_RESET;
    v->transport->signal_config(v);
}

static bool virtio_runs(const struct virtio *v)
{
    return (v->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK &&
           !v->stopping && !v->cut;
}

/* ---- for models ---- */

bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *chain)
{
    int n = virtio_runs(v) ? virtq_pop(&v->queues[queue].ring, chain) : 0;

    if (n < 0)
        virtio_break(v);
    return n > 0;
}

void virtio_push(struct virtio *v, unsigned queue, uint16_t head, uint32_t written)
{
    struct virtio_queue *q = &v->queues[queue];

    virtq_push(&q->ring, head, written);
    if (virtq_signal_due(&q->ring))
        v->transport->signal(v, q);
}

void virtio_wait_begin(struct virtio *v)
{
    v->waiting++;
    pthread_mutex_unlock(&v->dev.lock);
}

void virtio_wait_end(struct virtio *v)
{
    pthread_mutex_lock(&v->dev.lock);
    v->waiting--;
    pthread_cond_broadcast(&v->idle);
}

/* Until no request waits; no further one is taken meanwhile. Several resets may wait at once. */
static void virtio_settle(struct virtio *v)
{
    v->stopping++;
    while (v->waiting)
        pthread_cond_wait(&v->idle, &v->dev.lock);
    v->stopping--;
}

/* ---- kicks ---- */

/* While it works the driver need not ring; it looks once more when it listens again. */
static void virtio_serve(struct virtio *v, unsigned queue)
{
    struct virtq *ring = &v->queues[queue].ring;

    do {
        virtq_quiet(ring);
        v->model->kick(v, queue);
    } while (virtio_runs(v) && virtq_listen(ring));
}

void virtio_work(struct device *d)
{
    struct virtio *v = container_of(d, struct virtio, dev);

    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < v->nqueues && virtio_runs(v); i++)
        if (virtq_is_on(&v->queues[i].ring))
            virtio_serve(v, i);
    pthread_mutex_unlock(&d->lock);
}

void virtio_ring(struct virtio *v, uint32_t queue)
{
    if (queue >= v->nqueues || !virtio_runs(v))
        return;
    if (v->model->waits)
        device_ring(&v->dev);
    else
        v->model->kick(v, queue);
}

void virtio_look(struct virtio *v)
{
    for (unsigned i = 0; i < v->nqueues; i++)
        if (virtq_is_on(&v->queues[i].ring))
            virtio_ring(v, i);
}

/* ---- status ---- */

static void virtio_reset(struct virtio *v)
{
    virtio_settle(v);
    if (v->model->waits && v->status & STATUS_DRIVER_OK)
        v->transport->doorbell(v, false);
    for (unsigned i = 0; i < v->nqueues; i++)
        v->queues[i] = (struct virtio_queue){.setup = {.num = v->model->queue_num}};
    v->features_sel = v->driver_sel = v->queue_sel = 0;
    v->accepted = 0;
    v->status = 0;
    v->transport->reset(v);
    if (v->model->reset)
        v->model->reset(v);
}

void virtio_set_status(struct virtio *v, uint8_t status)
{
    uint8_t risen = status & ~v->status;

    if (status == 0) {
        virtio_reset(v);
        return;
    }
    if (risen & STATUS_FEATURES_OK &&
        (v->accepted & ~v->features || !(v->accepted & VIRTIO_F_VERSION_1)))
        status &= ~STATUS_FEATURES_OK;
    v->status = status | (v->status & (STATUS_NEEDS_RESET | STATUS_DRIVER_OK));
    if (!(risen & STATUS_DRIVER_OK))
        return;
    if (v->model->waits)
        v->transport->doorbell(v, true);
    virtio_look(v);
}

uint32_t virtio_offered(const struct virtio *v)
{
    return v->features_sel < 2 ? v->features >> (32 * v->features_sel) : 0;
}

void virtio_accept(struct virtio *v, uint32_t half)
{
    if (v->driver_sel < 2 && !(v->status & (STATUS_FEATURES_OK | STATUS_DRIVER_OK)))
        virtio_set_half(&v->accepted, v->driver_sel, half);
}

/* ---- queues ---- */

struct virtio_queue *virtio_selected(struct virtio *v)
{
    return v->queue_sel < v->nqueues ? &v->queues[v->queue_sel] : NULL;
}

void virtio_queue_enable(struct virtio *v, struct virtio_queue *q, bool on)
{
    uint64_t agreed = v->accepted & v->features;
    unsigned flags = (agreed & VIRTIO_F_INDIRECT_DESC ? VIRTQ_INDIRECT : 0) |
                     (agreed & VIRTIO_F_EVENT_IDX ? VIRTQ_EVENT_IDX : 0);

    if (on == virtq_is_on(&q->ring))
        return;
    if (!on) {
        virtio_settle(v);
        virtq_stop(&q->ring);
        virtio_look(v); /* the others were passed over meanwhile */
        return;
    }
    if (q->setup.num > v->model->queue_num ||
        virtq_start(&q->ring, &v->dev.vm->ram, &q->setup, flags))
        virtio_break(v);
}

uint64_t virtio_config(struct virtio *v, uint64_t offset, unsigned len)
{
    uint64_t value = 0;

    for (unsigned i = 0; v->model->config && i < len; i++)
        value |= (uint64_t)v->model->config(v, offset + i) << (8 * i);
    return value;
}

/* ---- creation ---- */

void virtio_create(struct virtio *v, struct vm *vm, const struct virtio_model *model,
                   uint64_t features, unsigned nqueues)
{
    v->model = model;
    v->features = features | VIRTIO_F_VERSION_1;
    v->nqueues = nqueues;
    v->queues = vm_alloc(vm, nqueues * sizeof *v->queues);
    for (unsigned i = 0; i < nqueues; i++)
        v->queues[i].setup.num = model->queue_num;
    pthread_cond_init(&v->idle, NULL);
    if (vm->pci)
        virtio_pci_create(v, vm);
    else
        virtio_mmio_create(v, vm);
}
