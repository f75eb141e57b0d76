/* SPDX-License-Identifier: MIT
 *
 * The virtio block device (virtio 1.2, 5.2) over a raw file or a block device. A request is a
 * header {type 4, reserved 4, sector 8} that the device reads, data, and a byte of status, the last
 * that it writes, in however many pieces. One is served after the other in the device's thread, its
 * data straight between file and guest memory; without FLUSH agreed upon a write is durable when it
 * is answered (5.2.6.2).
 *
 * The guest's numbers are checked against the disk: a sector beyond its end, data that are no whole
 * sectors, and what the host's file refuses are an error of that request (IOERR), never of the
 * device.
 *
 * A disk is one VM's: the file is locked (flock), shared where it is read-only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uapi/blkio.h"
#include "vmm/virtio.h"
#include "vmm/vmm.h"

#define BLK_ID 2
#define BLK_PCI_CLASS 0x018000
#define BLK_QUEUE 128
#define BLK_PIECES 128
#define SECTOR 512u
#define ID_SIZE 20
#define RANGE_MAX 0x400000u /* sectors of one discard or zeroing: 2 GiB */

#define F_SEG_MAX (1ull << 2)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_ID = 8, TYPE_DISCARD = 11, TYPE_ZERO = 13 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

struct blk_header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct blk_range {
    uint64_t sector;
    uint32_t sectors, flags;
};
#define ZERO_UNMAP 1u
#define FALLOC_FL_ZERO_RANGE 0x10 /* musl does not name it */

/* As the driver reads it (5.2.4), up to what is offered. */
struct blk_config {
    uint64_t capacity; /* sectors */
    uint32_t size_max, seg_max;
    uint8_t geometry[4];
    uint32_t blk_size;
    uint8_t topology[8];
    uint8_t writeback, unused;
    uint16_t queues;
    uint32_t discard_max, discard_segs, discard_align;
    uint32_t zero_max, zero_segs;
    uint8_t zero_may_unmap, pad[3];
} __attribute__((packed));

/* I immutable once the guest runs · t the device's thread only */
struct blk {
    struct virtio virtio;
    int fd;                       /* I */
    bool readonly;                /* I */
    char id[ID_SIZE];             /* I */
    struct blk_config config;     /* I */
    struct iovec iov[BLK_PIECES]; /* t */
};

static struct blk *blk_of(struct virtio *v)
{
    return container_of(v, struct blk, virtio);
}

/* ---- data ---- */

/* Whether [sector, sector + bytes) are whole sectors of the disk. */
static bool blk_holds(const struct blk *b, uint64_t sector, uint64_t bytes)
{
    return bytes % SECTOR == 0 && sector <= b->config.capacity &&
           bytes / SECTOR <= b->config.capacity - sector;
}

/* All of the pieces, from or to the file. The end of the file before that is an error too: it has
 * become shorter. */
static bool blk_move(int fd, struct iovec *iov, unsigned n, uint64_t offset, bool write)
{
    while (n) {
        ssize_t done = write ? pwritev(fd, iov, n, offset) : preadv(fd, iov, n, offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        offset += done;
        while (n && (size_t)done >= iov->iov_len) {
            done -= iov->iov_len;
            iov++;
            n--;
        }
        if (n) {
            iov->iov_base = (uint8_t *)iov->iov_base + done;
            iov->iov_len -= done;
        }
    }
    return true;
}

static uint8_t blk_read(struct blk *b, const struct virtq_chain *c, uint64_t sector)
{
    uint64_t bytes = c->in_len - 1;
    unsigned n;

    if (!blk_holds(b, sector, bytes))
        return STATUS_IOERR;
    n = virtq_cut(c->iov + c->out, c->in, 0, bytes);
    return blk_move(b->fd, c->iov + c->out, n, sector * SECTOR, false) ? STATUS_OK : STATUS_IOERR;
}

static uint8_t blk_write(struct blk *b, const struct virtq_chain *c, uint64_t sector)
{
    uint64_t bytes = c->out_len - sizeof(struct blk_header);
    unsigned n;

    if (b->readonly || !blk_holds(b, sector, bytes))
        return STATUS_IOERR;
    n = virtq_cut(c->iov, c->out, sizeof(struct blk_header), bytes);
    if (!blk_move(b->fd, c->iov, n, sector * SECTOR, true))
        return STATUS_IOERR;
    if (!(b->virtio.accepted & F_FLUSH) && fdatasync(b->fd) < 0)
        return STATUS_IOERR;
    return STATUS_OK;
}

static uint8_t blk_get_id(const struct blk *b, const struct virtq_chain *c)
{
    size_t room = c->in_len - 1 < ID_SIZE ? c->in_len - 1 : ID_SIZE;

    virtq_write(c, 0, b->id, room);
    return STATUS_OK;
}

/* ---- ranges ---- */

static uint8_t blk_allocate(int fd, int mode, const struct blk_range *r)
{
    if (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, r->sector * SECTOR, r->sectors * (off_t)SECTOR) ==
        0)
        return STATUS_OK;
    return errno == EOPNOTSUPP || errno == ENOSYS ? STATUS_UNSUPP : STATUS_IOERR;
}

/* A hole reads as zeros, so it may stand for them where the host knows no other way. */
static uint8_t blk_zero(int fd, const struct blk_range *r)
{
    uint8_t status = STATUS_UNSUPP;

    if (!(r->flags & ZERO_UNMAP))
        status = blk_allocate(fd, FALLOC_FL_ZERO_RANGE, r);
    return status == STATUS_UNSUPP ? blk_allocate(fd, FALLOC_FL_PUNCH_HOLE, r) : status;
}

static uint8_t blk_range(struct blk *b, const struct virtq_chain *c, uint32_t type)
{
    struct blk_range r;
    uint8_t status;

    if (b->readonly || c->out_len != sizeof(struct blk_header) + sizeof r)
        return STATUS_IOERR;
    virtq_read(c, sizeof(struct blk_header), &r, sizeof r);
    if (r.flags & ~(type == TYPE_ZERO ? ZERO_UNMAP : 0))
        return STATUS_UNSUPP;
    if (!r.sectors || r.sectors > RANGE_MAX ||
        !blk_holds(b, r.sector, (uint64_t)r.sectors * SECTOR))
        return STATUS_IOERR;
    status =
        type == TYPE_ZERO ? blk_zero(b->fd, &r) : blk_allocate(b->fd, FALLOC_FL_PUNCH_HOLE, &r);
    if (status == STATUS_OK && !(b->virtio.accepted & F_FLUSH) && fdatasync(b->fd) < 0)
        status = STATUS_IOERR;
    return status;
}

/* ---- requests ---- */

static uint8_t blk_perform(struct blk *b, const struct virtq_chain *c)
{
    struct blk_header h;

    if (virtq_read(c, 0, &h, sizeof h) != sizeof h)
        return STATUS_IOERR;
    switch (h.type) {
    case TYPE_IN:
        return blk_read(b, c, h.sector);
    case TYPE_OUT:
        return blk_write(b, c, h.sector);
    case TYPE_FLUSH:
        return fdatasync(b->fd) < 0 ? STATUS_IOERR : STATUS_OK;
    case TYPE_ID:
        return blk_get_id(b, c);
    case TYPE_DISCARD:
    case TYPE_ZERO:
        return blk_range(b, c, h.type);
    default:
        return STATUS_UNSUPP;
    }
}

/* The status is the chain's last byte, so it is found before the pieces are cut. */
static void blk_kick(struct virtio *v, unsigned queue)
{
    struct blk *b = blk_of(v);
    struct virtq_chain c = {.iov = b->iov, .iov_max = BLK_PIECES};

    while (virtio_pop(v, queue, &c)) {
        const struct iovec *last = &c.iov[c.out + c.in - 1];
        uint8_t *status = c.in ? (uint8_t *)last->iov_base + last->iov_len - 1 : NULL;

        if (status) {
            virtio_wait_begin(v);
            *status = blk_perform(b, &c);
            virtio_wait_end(v);
        }
        virtio_push(v, queue, c.head, c.in_len);
    }
}

static uint8_t blk_config_byte(struct virtio *v, unsigned offset)
{
    const uint8_t *bytes = (const uint8_t *)&blk_of(v)->config;

    return offset < sizeof(struct blk_config) ? bytes[offset] : 0;
}

static const struct virtio_model blk_model = {
    .name = "the virtio disk",
    .id = BLK_ID,
    .pci_class = BLK_PCI_CLASS,
    .queue_num = BLK_QUEUE,
    .waits = true,
    .kick = blk_kick,
    .config = blk_config_byte,
};

/* ---- creation ---- */

/* The file's size in bytes. */
static uint64_t blk_open(struct blk *b, const char *path)
{
    struct stat st;
    uint64_t size;

    b->fd = open(path, (b->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (b->fd < 0 || fstat(b->fd, &st) < 0)
        fatal(EXIT_BAD_FILE, "%s: %s", path, strerror(errno));
    size = st.st_size;
    if (S_ISBLK(st.st_mode) && ioctl(b->fd, BLKGETSIZE64, &size) < 0)
        fatal(EXIT_BAD_FILE, "%s: its size: %s", path, strerror(errno));
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
        fatal(EXIT_BAD_FILE, "%s: neither a regular file nor a block device", path);
    if (size % SECTOR)
        fatal(EXIT_BAD_FILE, "%s: %llu bytes are no whole number of sectors", path,
              (unsigned long long)size);
    if (flock(b->fd, (b->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
        fatal(EXIT_BAD_FILE, "%s: %s", path,
              errno == EWOULDBLOCK ? "another VM has it" : strerror(errno));
    return size;
}

void blk_create(struct vm *vm, const struct vm_disk *disk, unsigned index)
{
    struct blk *b = vm_alloc(vm, sizeof *b);

    b->readonly = disk->readonly;
    snprintf(b->id, sizeof b->id, "disk%u", index);
    b->config = (struct blk_config){
        .capacity = blk_open(b, disk->path) / SECTOR,
        .seg_max = BLK_PIECES - 2,
        .blk_size = SECTOR,
        .discard_max = RANGE_MAX,
        .discard_segs = 1,
        .discard_align = 1,
        .zero_max = RANGE_MAX,
        .zero_segs = 1,
        .zero_may_unmap = 1,
    };
    virtio_create(&b->virtio, vm, &blk_model,
                  F_SEG_MAX | F_BLK_SIZE | F_FLUSH | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
                      (b->readonly ? F_RO : F_DISCARD | F_WRITE_ZEROES),
                  1);
}
