/* SPDX-License-Identifier: MIT
 *
 * The virtio entropy device (virtio 1.2, 5.4). What it gives at its probe is stirred into the
 * kernel's generator and credited; nothing waits for it. /dev/hwrng (of the first device) reads it
 * raw, a buffer at a time.
 *
 * One buffer is with the device, or full, or empty. The lock guards that state and the ring, and is
 * taken by threads only.
 */
#include "dev/chrdev.h"
#include "dev/node.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "sync/spinlock.h"

#define BUFFER_SIZE 64
#define CREDIT_PER_BYTE 8
#define MAJOR_MISC 10
#define MINOR_HWRNG 183

enum rng_state { RNG_EMPTY, RNG_ASKED, RNG_FULL };

/* l lock · I immutable while there is a device */
static struct {
    struct spinlock lock;
    struct mutex read_lock; /* one reader at a time */
    struct waitq waitq;
    struct virtio_device *vdev; /* l  NULL: none, or it is gone */
    struct virtio_queue *vq;    /* l */
    u8 *buffer;                 /* l  device memory */
    dma_addr_t buffer_addr;     /* l */
    enum rng_state state;       /* l */
    u32 len, done;              /* l  bytes in the buffer, and given out */
    bool fed;                   /* l  the generator has had its share */
    struct dev_node *node;
} rng;

static void rng_init(void)
{
    spinlock_init(&rng.lock, RANK_DEV, 2, "virtio rng");
    mutex_init(&rng.read_lock, RANK_DRIVER, 1, "hwrng");
    waitq_init(&rng.waitq);
}
INIT_HOOK(rng_init, INIT_CORE);

static void rng_ask_locked(void) REQUIRES(rng.lock)
{
    struct virtq_piece piece = {rng.buffer_addr.v, BUFFER_SIZE};

    ASSERT_HELD(&rng.lock);
    if (rng.state != RNG_EMPTY || virtq_add(&rng.vq->ring, &piece, 0, 1, &rng))
        return;
    rng.state = RNG_ASKED;
    virtio_kick(rng.vq);
}

static void rng_filled_locked(u32 n) REQUIRES(rng.lock)
{
    ASSERT_HELD(&rng.lock);
    rng.state = n ? RNG_FULL : RNG_EMPTY;
    rng.len = n;
    rng.done = 0;
    if (rng.fed || !n)
        return;
    rng.fed = true;
    random_mix(rng.buffer, n);
    random_credit(n * CREDIT_PER_BYTE);
    memzero(rng.buffer, BUFFER_SIZE);
    rng.state = RNG_EMPTY;
}

static void rng_work(struct virtio_queue *vq)
{
    u32 n;

    spin_lock(&rng.lock);
    do {
        while (virtq_take(&vq->ring, &n))
            rng_filled_locked(n);
    } while (!virtq_arm(&vq->ring, 1));
    spin_unlock(&rng.lock);
    waitq_wake_all(&rng.waitq);
    if (vq->ring.broken)
        virtio_break(vq->dev, vq->ring.why);
}

/* ---- /dev/hwrng ---- */

/* Up to n bytes that are there: how many; 0: it has been asked; -ENODEV: there is no device. */
static int rng_get(u8 *out, u32 n)
{
    int got = 0;

    spin_lock(&rng.lock);
    if (!rng.vdev || rng.vq->ring.broken) {
        got = -ENODEV;
    } else if (rng.state == RNG_FULL) {
        got = (int)MIN(n, rng.len - rng.done);
        memcpy(out, rng.buffer + rng.done, (size_t)got);
        memzero(rng.buffer + rng.done, (size_t)got);
        rng.done += (u32)got;
        if (rng.done == rng.len)
            rng.state = RNG_EMPTY;
    } else {
        rng_ask_locked();
    }
    spin_unlock(&rng.lock);
    return got;
}

static bool rng_answers(void)
{
    return READ_ONCE(rng.state) != RNG_ASKED || !READ_ONCE(rng.vdev);
}

static int rng_wait(struct file *f, u8 *out, u32 n)
{
    int got;

    while ((got = rng_get(out, n)) == 0) {
        int err;

        if (READ_ONCE(f->flags) & O_NONBLOCK)
            return -EAGAIN;
        err = wait_event_interruptible(&rng.waitq, rng_answers());
        if (err)
            return err;
    }
    return got;
}

static ssize_t rng_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    u8 block[BUFFER_SIZE];
    ssize_t total = 0;
    int got = 0;

    while (to->count) {
        u64 n;

        got = mutex_lock_interruptible(&rng.read_lock);
        if (got)
            break;
        got = rng_wait(f, block, (u32)MIN(to->count, sizeof(block)));
        mutex_unlock(&rng.read_lock);
        if (got <= 0)
            break;
        n = iov_copy_to(to, block, (u64)got);
        total += (ssize_t)n;
        if (n < (u64)got) {
            got = -EFAULT;
            break;
        }
    }
    memzero(block, sizeof(block));
    return total ? total : got == -EINTR ? -ERESTARTSYS : got;
}

static int rng_open(struct file *f, u32 minor)
{
    return READ_ONCE(rng.vdev) ? 0 : -ENODEV;
}

static const struct file_ops rng_fops = {.name = "hwrng", .read = rng_read};
CHRDEV(hwrng) = {"hwrng", MAJOR_MISC, MINOR_HWRNG, 0600, &rng_fops, rng_open, 0, true};

/* ---- the device ---- */

/* The device touches nothing any more. */
static void rng_give_up(void)
{
    spin_lock(&rng.lock);
    while (virtq_detach(&rng.vq->ring))
        rng.state = RNG_EMPTY;
    spin_unlock(&rng.lock);
    waitq_wake_all(&rng.waitq);
}

static void rng_broken(struct virtio_device *vdev)
{
    rng_give_up();
}

static const struct virtio_events rng_events = {.broken = rng_broken};

static void rng_remove(struct device *dev)
{
    struct virtio_device *vdev = virtio_device_of(dev);

    dev_node_remove(rng.node);
    virtio_stop(vdev);
    rng_give_up();
    spin_lock(&rng.lock);
    rng.vdev = NULL;
    spin_unlock(&rng.lock);
    waitq_wake_all(&rng.waitq);
    if (!vdev->stuck)
        dma_free_coherent(virtio_dma(vdev), rng.buffer, BUFFER_SIZE, rng.buffer_addr);
    virtio_queues_destroy(vdev);
}

static int rng_start(struct virtio_device *vdev)
{
    struct virtio_queue_config config = {
        .name = "virtio rng", .index = 0, .size = 8, .work = rng_work};
    dma_addr_t addr;
    u8 *buffer;
    int err = virtio_negotiate(vdev, &rng_events, 0, 0);

    if (err)
        return err;
    buffer = dma_alloc_coherent(virtio_dma(vdev), BUFFER_SIZE, &addr);
    if (!buffer)
        return -ENOMEM;
    err = virtio_queues_create(vdev, &config, 1, &rng.vq);
    if (err) {
        dma_free_coherent(virtio_dma(vdev), buffer, BUFFER_SIZE, addr);
        return err;
    }
    rng.buffer = buffer;
    rng.buffer_addr = addr;
    rng.state = RNG_EMPTY;
    rng.fed = false;
    return 0;
}

static bool rng_claimed; /* a  some device is the one */

static const struct dev_node rng_node = {
    .name = "hwrng", .mode = NODE_CHAR | 0600, .major = MAJOR_MISC, .minor = MINOR_HWRNG};

static int rng_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    int err;

    if (__atomic_exchange_n(&rng_claimed, true, __ATOMIC_ACQUIRE))
        return -ENODEV; /* one is enough */
    err = rng_start(vdev);
    if (err) {
        __atomic_store_n(&rng_claimed, false, __ATOMIC_RELEASE);
        return err;
    }
    virtio_start(vdev);
    spin_lock(&rng.lock);
    rng.vdev = vdev;
    rng_ask_locked();
    spin_unlock(&rng.lock);
    rng.node = dev_node_add(&rng_node);
    if (!rng.node)
        log_warn("hwrng: no memory for its name in /dev");
    return 0;
}

static void rng_unbind(struct device *dev)
{
    rng_remove(dev);
    __atomic_store_n(&rng_claimed, false, __ATOMIC_RELEASE);
}

static const struct device_id rng_ids[] = {VIRTIO_ID(VIRTIO_ENTROPY)};
DRIVER(virtio_rng)
= {.name = "virtio_rng",
   .bus = &virtio_bus,
   DRIVER_IDS(rng_ids),
   .probe = rng_probe,
   .remove = rng_unbind};
