/* SPDX-License-Identifier: MIT
 *
 * The virtio block device (virtio 1.2, 5.2): /dev/vda and so on. A queue of the device for each CPU
 * where it has as many. A command is one request on its ring: a header, the data, a byte of status.
 *
 * Configuration space, offsets in bytes: capacity in sectors 0 (64 bits), largest piece 8 (32),
 * most pieces 12 (32), block size 20 (32), physical block as a power of two of blocks 24 (8), least
 * write in blocks 26 (16), best write 28 (32), cache mode 32 (8), queues 34 (16), largest discard
 * in sectors 36 (32), alignment of discards 44 (32), largest zeroing 48 (32).
 *
 * All of it is the device's word: what makes no sense is refused or bounded here.
 */
#include "arch/x86/acpi.h"
#include "dev/block_driver.h"
#include "dev/virtio.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/timer.h"

#define F_SIZE_MAX (1ULL << 1)
#define F_SEG_MAX (1ULL << 2)
#define F_RO (1ULL << 5)
#define F_BLK_SIZE (1ULL << 6)
#define F_FLUSH (1ULL << 9)
#define F_TOPOLOGY (1ULL << 10)
#define F_CONFIG_WCE (1ULL << 11)
#define F_MQ (1ULL << 12)
#define F_DISCARD (1ULL << 13)
#define F_WRITE_ZEROES (1ULL << 14)

enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SIZE_MAX = 8,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_PHYSICAL_EXP = 24,
    CONFIG_IO_MIN = 26,
    CONFIG_IO_OPT = 28,
    CONFIG_WRITEBACK = 32,
    CONFIG_QUEUES = 34,
    CONFIG_DISCARD_MAX = 36,
    CONFIG_DISCARD_ALIGN = 44,
    CONFIG_ZERO_MAX = 48,
};

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_ID = 8, TYPE_DISCARD = 11, TYPE_ZERO = 13 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, STATUS_NONE = 0xff };

#define MAJOR_VIRTBLK 254
#define DEPTH 64
#define PIECES 34 /* of data in a command: a run of the page cache and a little */
#define QUEUES_MAX 64
#define SECTORS_MAX 2048
#define ZERO_UNMAP 1 /* flag: it may give the blocks up */
#define ID_SIZE 20
#define TIME_OUT (30 * NSEC_PER_SEC)

/* What the device reads before the data and writes behind it; in memory of the queue's, by tag. */
struct vblk_frame {
    u32 type, reserved;
    u64 sector;
    struct {
        u64 sector;
        u32 sectors, flags;
    } range; /* of a discard or zeroing: the data */
    u8 status;
    u8 pad[31];
};

/* Of each command: what it was mapped to. */
struct vblk_command {
    u32 n; /* data pieces mapped */
    struct virtq_piece pieces[PIECES + 2];
};

struct vblk_queue {
    struct vblk *v;
    struct virtio_queue *vq;
    struct block_queue *queue;
    struct vblk_frame *frames; /* DEPTH and one for the id */
    dma_addr_t frames_addr;
};

/* I immutable once the device runs */
struct vblk {
    struct virtio_device *vdev; /* I */
    struct block_disk *disk;    /* I */
    u32 nr_queues, depth;       /* I */
    struct vblk_queue *queues;  /* I */
    struct virtio_queue **vqs;  /* I */
    char *id;                   /* of the device's, ID_SIZE bytes that it writes */
    dma_addr_t id_addr;
};

/* ---- commands ---- */

static const u8 vblk_types[BLOCK_OPS] = {[BLOCK_READ] = TYPE_IN,
                                         [BLOCK_WRITE] = TYPE_OUT,
                                         [BLOCK_FLUSH] = TYPE_FLUSH,
                                         [BLOCK_DISCARD] = TYPE_DISCARD,
                                         [BLOCK_ZERO] = TYPE_ZERO};

static enum dma_dir vblk_dir(const struct block_command *cmd)
{
    return cmd->op == BLOCK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
}

static void vblk_unmap(struct vblk *v, struct block_command *cmd)
{
    struct vblk_command *c = cmd->priv;

    for (u32 i = 0; i < c->n; i++)
        dma_unmap(virtio_dma(v->vdev), (dma_addr_t){c->pieces[1 + i].addr}, c->pieces[1 + i].len,
                  vblk_dir(cmd));
    c->n = 0;
}

/* The data's pieces behind the header's. -ENOMEM: there is no memory for copies now. */
static int vblk_map(struct vblk *v, struct block_command *cmd)
{
    const struct block_limits *limits = &block_disk_device(v->disk)->limits;
    struct vblk_command *c = cmd->priv;
    struct block_cursor cursor;
    struct block_piece piece;

    c->n = 0;
    block_cursor_init(&cursor, cmd);
    while (c->n < PIECES && block_cursor_next(&cursor, limits, &piece)) {
        dma_addr_t addr =
            dma_map(virtio_dma(v->vdev), hpa_virt(piece.addr), piece.len, vblk_dir(cmd));

        if (!dma_ok(addr)) {
            vblk_unmap(v, cmd);
            return -ENOMEM;
        }
        c->pieces[1 + c->n++] = (struct virtq_piece){addr.v, piece.len};
    }
    return 0;
}

static u64 vblk_frame_addr(const struct vblk_queue *vq, u32 tag, size_t offset)
{
    return vq->frames_addr.v + tag * sizeof(struct vblk_frame) + offset;
}

static void vblk_frame_fill(struct vblk_frame *f, const struct block_command *cmd)
{
    f->type = vblk_types[cmd->op];
    f->sector = cmd->op == BLOCK_FLUSH || cmd->op > BLOCK_FLUSH ? 0 : cmd->sector;
    f->range.sector = cmd->sector;
    f->range.sectors = (u32)cmd->sectors;
    f->range.flags = cmd->op == BLOCK_ZERO ? ZERO_UNMAP : 0;
    f->status = STATUS_NONE;
}

static int vblk_start(struct block_queue *q, struct block_command *cmd)
{
    struct vblk_queue *vq = q->driver;
    struct vblk *v = vq->v;
    struct vblk_command *c = cmd->priv;
    bool range = cmd->op == BLOCK_DISCARD || cmd->op == BLOCK_ZERO;
    u32 n, in;

    if (!virtq_fits(&vq->vq->ring, 2 + cmd->pieces + range))
        return -EAGAIN;
    if (vblk_map(v, cmd))
        return -EAGAIN;
    vblk_frame_fill(&vq->frames[cmd->tag], cmd);
    c->pieces[0] = (struct virtq_piece){vblk_frame_addr(vq, cmd->tag, 0), 16};
    n = 1 + c->n;
    if (range)
        c->pieces[n++] = (struct virtq_piece){
            vblk_frame_addr(vq, cmd->tag, offsetof(struct vblk_frame, range)), 16};
    c->pieces[n++] =
        (struct virtq_piece){vblk_frame_addr(vq, cmd->tag, offsetof(struct vblk_frame, status)), 1};
    in = cmd->op == BLOCK_READ ? n - 1 : 1;
    if (virtq_add(&vq->vq->ring, c->pieces, n - in, in, cmd) == 0)
        return 0;
    vblk_unmap(v, cmd);
    return -EIO; /* broken: there was space */
}

static void vblk_kick(struct block_queue *q)
{
    struct vblk_queue *vq = q->driver;

    virtio_kick(vq->vq);
}

static int vblk_error(u8 status)
{
    if (status == STATUS_OK)
        return 0;
    return status == STATUS_UNSUPP ? -EOPNOTSUPP : -EIO;
}

/* A device that says it has read what it did not write shows what was in the memory before. */
static int vblk_result(const struct block_command *cmd, u8 status, u32 written)
{
    if (status == STATUS_OK && cmd->op == BLOCK_READ && written <= cmd->sectors << SECTOR_SHIFT)
        return -EIO;
    return vblk_error(status);
}

static void vblk_take(struct vblk *v, struct vblk_queue *vq, void *token, u32 written)
{
    struct block_command *cmd = token;

    if (token == v) { /* the id has come */
        if (READ_ONCE(vq->frames[v->depth].status) == STATUS_OK)
            block_disk_set_serial(v->disk, v->id, ID_SIZE);
        return;
    }
    vblk_unmap(v, cmd);
    block_command_done(cmd, vblk_result(cmd, READ_ONCE(vq->frames[cmd->tag].status), written));
}

static void vblk_work(struct virtio_queue *vq)
{
    struct vblk_queue *q = vq->driver;
    void *token;
    u32 written;

    block_queue_lock(q->queue);
    do {
        virtq_disarm(&vq->ring);
        while ((token = virtq_take(&vq->ring, &written)))
            vblk_take(q->v, q, token, written);
    } while (!virtq_arm(&vq->ring, 1));
    block_queue_unlock(q->queue);
    if (vq->ring.broken)
        virtio_break(vq->dev, vq->ring.why);
}

/* The device touches nothing any more: what it had is over. */
static void vblk_give_up(struct vblk *v)
{
    for (u32 i = 0; i < v->nr_queues; i++) {
        struct vblk_queue *q = &v->queues[i];
        void *token;

        block_queue_lock(q->queue);
        while ((token = virtq_detach(&q->vq->ring))) {
            if (token == v)
                continue;
            vblk_unmap(v, token);
            block_command_done(token, -EIO);
        }
        block_queue_unlock(q->queue);
    }
}

static const struct block_ops vblk_ops = {.start = vblk_start, .kick = vblk_kick};

/* ---- events ---- */

static void vblk_config(struct virtio_device *vdev)
{
    struct vblk *v = vdev->dev.driver_data;
    u64 sectors = virtio_config64(vdev, CONFIG_CAPACITY);

    if (v && sectors <= S64_MAX >> SECTOR_SHIFT)
        block_disk_resize(v->disk, sectors);
}

static void vblk_broken(struct virtio_device *vdev)
{
    struct vblk *v = vdev->dev.driver_data;

    block_disk_stop(v->disk);
    vblk_give_up(v);
}

static const struct virtio_events vblk_events = {.config = vblk_config, .broken = vblk_broken};

/* ---- probe ---- */

static u32 vblk_field(struct virtio_device *vdev, u64 feature, u32 offset, u32 otherwise)
{
    return virtio_has(vdev, feature) ? virtio_config32(vdev, offset) : otherwise;
}

static void vblk_hints(struct virtio_device *vdev, struct block_limits *l)
{
    if (!virtio_has(vdev, F_TOPOLOGY))
        return;
    l->physical_size = l->logical_size << MIN(virtio_config8(vdev, CONFIG_PHYSICAL_EXP), 8);
    l->io_min = virtio_config16(vdev, CONFIG_IO_MIN) * l->logical_size;
    l->io_opt = MIN(virtio_config32(vdev, CONFIG_IO_OPT), 65536U) * l->logical_size;
}

/* -EINVAL: sizes that make no sense, or too small for us. */
static int vblk_limits(struct virtio_device *vdev, struct block_limits *l)
{
    u32 piece = vblk_field(vdev, F_SIZE_MAX, CONFIG_SIZE_MAX, DMA_MAP_MAX);

    l->logical_size = vblk_field(vdev, F_BLK_SIZE, CONFIG_BLK_SIZE, SECTOR_SIZE);
    if (l->logical_size < SECTOR_SIZE || l->logical_size > PAGE_SIZE ||
        (l->logical_size & (l->logical_size - 1)) || piece < PAGE_SIZE) {
        log_warn("%s: blocks of %u bytes in pieces of up to %u: refused", vdev->dev.name,
                 l->logical_size, piece);
        return -EINVAL;
    }
    l->physical_size = l->logical_size;
    l->max_piece = ALIGN_DOWN(MIN(piece, (u32)DMA_MAP_MAX), (u32)PAGE_SIZE);
    l->max_pieces = MAX(MIN(vblk_field(vdev, F_SEG_MAX, CONFIG_SEG_MAX, 1), (u32)PIECES), 1U);
    l->max_sectors = SECTORS_MAX;
    l->max_discard = vblk_field(vdev, F_DISCARD, CONFIG_DISCARD_MAX, 0);
    l->discard_granularity =
        MIN(vblk_field(vdev, F_DISCARD, CONFIG_DISCARD_ALIGN, 0), 65536U) * (u32)SECTOR_SIZE;
    l->max_zero = vblk_field(vdev, F_WRITE_ZEROES, CONFIG_ZERO_MAX, 0);
    l->max_discard = ALIGN_DOWN(l->max_discard, (u32)(PAGE_SIZE / SECTOR_SIZE));
    l->max_zero = ALIGN_DOWN(l->max_zero, (u32)(PAGE_SIZE / SECTOR_SIZE));
    l->write_cache = virtio_has(vdev, F_FLUSH) &&
                     (!virtio_has(vdev, F_CONFIG_WCE) || virtio_config8(vdev, CONFIG_WRITEBACK));
    vblk_hints(vdev, l);
    return 0;
}

static int vblk_disk(struct vblk *v)
{
    struct virtio_device *vdev = v->vdev;
    struct block_disk_config config = {.stem = "vd",
                                       .family = "virtblk",
                                       .rank = vdev->rank,
                                       .major = MAJOR_VIRTBLK,
                                       .ops = &vblk_ops,
                                       .sectors = virtio_config64(vdev, CONFIG_CAPACITY),
                                       .read_only = virtio_has(vdev, F_RO),
                                       .nr_queues = v->nr_queues,
                                       .depth = v->depth,
                                       .command_size = sizeof(struct vblk_command),
                                       .time_out = TIME_OUT,
                                       .parent = &vdev->dev,
                                       .driver = v};
    int err = vblk_limits(vdev, &config.limits);

    if (err)
        return err;
    if (config.sectors > S64_MAX >> SECTOR_SHIFT)
        return -EINVAL;
    config.sectors = ALIGN_DOWN(config.sectors, (u64)config.limits.logical_size / SECTOR_SIZE);
    return block_disk_create(&config, &v->disk);
}

static void vblk_queue_join(struct vblk *v, u32 i)
{
    struct vblk_queue *q = &v->queues[i];

    q->v = v;
    q->vq = v->vqs[i];
    q->queue = block_disk_queue(v->disk, i);
    q->queue->driver = q;
}

static int vblk_queue_frames(struct vblk *v, u32 i)
{
    struct vblk_queue *q = &v->queues[i];

    q->frames = dma_alloc_coherent(virtio_dma(v->vdev), (v->depth + 1) * sizeof(*q->frames),
                                   &q->frames_addr);
    return q->frames ? 0 : -ENOMEM;
}

static int vblk_queues(struct vblk *v)
{
    struct virtio_queue_config *configs = kcalloc(v->nr_queues, sizeof(*configs));
    bool tables = virtio_has(v->vdev, VIRTIO_F_INDIRECT_DESC);
    int err;

    v->queues = kcalloc(v->nr_queues, sizeof(*v->queues));
    v->vqs = kcalloc(v->nr_queues, sizeof(struct virtio_queue *));
    err = configs && v->queues && v->vqs ? 0 : -ENOMEM;
    for (u32 i = 0; i < v->nr_queues && !err; i++)
        configs[i] =
            (struct virtio_queue_config){.name = block_disk_device(v->disk)->name,
                                         .index = i,
                                         .size = tables ? v->depth : 4 * DEPTH,
                                         .pieces = PIECES + 2,
                                         .cpu = block_queue_cpu(block_disk_queue(v->disk, i)),
                                         .work = vblk_work,
                                         .driver = &v->queues[i]};
    if (!err)
        err = virtio_queues_create(v->vdev, configs, v->nr_queues, v->vqs);
    for (u32 i = 0; i < v->nr_queues && !err; i++)
        vblk_queue_join(v, i);
    for (u32 i = 0; i < v->nr_queues && !err; i++)
        err = vblk_queue_frames(v, i);
    kfree(configs);
    return err;
}

/* Asks for the device's name (5.2.6), which nothing waits for. */
static void vblk_ask_id(struct vblk *v)
{
    struct vblk_queue *q = &v->queues[0];
    struct virtq_piece pieces[3] = {
        {vblk_frame_addr(q, v->depth, 0), 16},
        {v->id_addr.v, ID_SIZE},
        {vblk_frame_addr(q, v->depth, offsetof(struct vblk_frame, status)), 1}};

    q->frames[v->depth].type = TYPE_ID;
    q->frames[v->depth].status = STATUS_NONE;
    block_queue_lock(q->queue);
    if (virtq_add(&q->vq->ring, pieces, 1, 2, v) == 0)
        virtio_kick(q->vq);
    block_queue_unlock(q->queue);
}

/* A device that did not confirm its reset keeps what it may still write to. */
static void vblk_free(struct vblk *v)
{
    struct device *dma = virtio_dma(v->vdev);
    bool stuck = v->vdev->stuck;

    for (u32 i = 0; v->queues && i < v->nr_queues; i++)
        if (v->queues[i].frames && !stuck)
            dma_free_coherent(dma, v->queues[i].frames, (v->depth + 1) * sizeof(struct vblk_frame),
                              v->queues[i].frames_addr);
    if (v->id && !stuck)
        dma_free_coherent(dma, v->id, ID_SIZE, v->id_addr);
    kfree(v->queues);
    kfree(v->vqs);
    kfree(v);
}

static void vblk_remove(struct device *dev)
{
    struct vblk *v = dev->driver_data;

    block_disk_stop(v->disk);
    virtio_stop(v->vdev);
    if (v->vdev->queues)
        vblk_give_up(v);
    block_disk_remove(v->disk);
    virtio_queues_destroy(v->vdev);
    vblk_free(v);
}

static u32 vblk_nr_queues(struct virtio_device *vdev)
{
    u32 n = virtio_has(vdev, F_MQ) ? virtio_config16(vdev, CONFIG_QUEUES) : 1;

    return MAX(MIN(MIN(n, (u32)QUEUES_MAX), acpi_cpu_count()), 1U);
}

static int vblk_probe(struct device *dev, const struct device_id *id)
{
    struct virtio_device *vdev = virtio_device_of(dev);
    struct vblk *v = kzalloc(sizeof(*v));
    int err;

    if (!v)
        return -ENOMEM;
    v->vdev = vdev;
    err = virtio_negotiate(vdev, &vblk_events,
                           F_SIZE_MAX | F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY |
                               F_CONFIG_WCE | F_MQ | F_DISCARD | F_WRITE_ZEROES,
                           0);
    if (!err) {
        v->nr_queues = vblk_nr_queues(vdev);
        v->depth = DEPTH;
        v->id = dma_alloc_coherent(virtio_dma(vdev), ID_SIZE, &v->id_addr);
        err = v->id ? vblk_disk(v) : -ENOMEM;
    }
    if (err) {
        vblk_free(v);
        return err;
    }
    dev->driver_data = v;
    err = vblk_queues(v);
    if (!err) {
        virtio_start(vdev);
        vblk_ask_id(v);
        block_disk_add(v->disk);
    }
    if (err)
        vblk_remove(dev);
    return err;
}

static const struct device_id vblk_ids[] = {VIRTIO_ID(VIRTIO_BLOCK)};
DRIVER(virtio_blk)
= {.name = "virtio_blk",
   .bus = &virtio_bus,
   DRIVER_IDS(vblk_ids),
   .probe = vblk_probe,
   .remove = vblk_remove};
