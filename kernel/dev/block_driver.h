/* SPDX-License-Identifier: MIT
 *
 * Block devices as their drivers see them. dev makes commands of the requests that users submit
 * (dev/block.h): one operation on one run of sectors, within the limits that the driver gave. Each
 * queue has a fixed number of commands, made when the device is, each with memory of the driver's;
 * so nothing is allocated on the way and a command's tag is the driver's index.
 *
 * A queue's lock guards dev's part of it and, since ops->start and block_command_done are called
 * under it, the driver's ring as well: a driver needs no lock of its own.
 *
 * Life of a device: block_disk_create (queues stand, nothing is visible) · the driver makes its
 * rings · block_disk_add (it has a name, may be opened, and commands start) · block_disk_stop (no
 * command starts any more) · the driver stops the device, so that it cannot touch memory, and gives
 * its commands back with -EIO · block_disk_remove (waits for the last `done`; the names go) · when
 * the last reference is put: ops->release. A device that breaks while it stays is stopped the same
 * way; it keeps its name, and everything on it fails with -EIO.
 */
#pragma once

#include "dev/block.h"

struct device;
struct block_queue;

/* One command. I set by dev before start · o dev's own */
struct block_command {
    u8 op;                     /* I  enum block_op */
    bool fua;                  /* I  only where limits.fua */
    u16 tag;                   /* I  0 .. depth - 1 */
    u32 pieces;                /* I  of memory */
    u64 sector, sectors;       /* I */
    struct block_queue *queue; /* I */
    void *priv;                /* I  the driver's, command_size bytes, kept between commands */

    struct block_request *first; /* o  and those after it, by next */
    u32 nr_requests;             /* o  more than 1: whole requests, merged */
    u32 segment, into;           /* o  where in the first */
    u64 started;                 /* o  ns; 0: the command is free */
    struct block_command *free;  /* o */
};

enum block_late {
    BLOCK_LATE_WAIT, /* it may still come */
    BLOCK_LATE_LOST, /* the driver sees to it that all its commands come back */
};

struct block_ops {
    /* Hands the command to the device, or makes it ready for kick. 0; -EAGAIN: no space now (it is
     * started again after a command of this queue came back; never with none under way); other
     * errors are the command's end. Context: queue's lock; must not sleep. */
    int (*start)(struct block_queue *q, struct block_command *cmd);
    /* Tells the device of what was started. NULL: start did. Context: queue's lock. */
    void (*kick)(struct block_queue *q);
    /* The command has been under way for longer than time_out. NULL: it is waited for. Context: a
     * worker thread, no lock: the command may come back meanwhile. */
    enum block_late (*late)(struct block_queue *q, struct block_command *cmd);
    /* The last reference is gone. Context: may sleep. */
    void (*release)(struct block_disk *disk);
};

/* q lock · I immutable */
struct block_queue {
    struct spinlock lock;
    struct block_disk *disk;                      /* I */
    u32 index;                                    /* I */
    void *driver;                                 /*    the driver's */
    struct block_command *commands;               /* I  depth of them */
    struct block_command *free;                   /* q */
    struct block_command *stalled;                /* q  ops->start said -EAGAIN */
    u32 under_way;                                /* q */
    bool kick;                                    /* q  something was started since the last kick */
    struct block_request *waiting, **waiting_end; /* q  no command for them yet */
    struct block_request *finished, **finished_end; /* q  `done` is to be called */
    struct block_figures figures;                   /* q */
    u64 busy_since;                                 /* q  0: idle */
};

struct block_disk_config {
    const char *stem;   /* of the name: "vd", to which a letter comes */
    u32 rank;           /* which of its kind it is, by place: its letter, if that is free */
    const char *family; /* as /proc/devices names the major: "virtblk" */
    u32 major;          /* whole devices have each 16th minor */
    const struct block_ops *ops;
    struct block_limits limits;
    u64 sectors;
    bool read_only;
    bool unscanned;       /* its partition table is not looked at */
    u32 nr_queues, depth; /* at least 1 each; depth at most 1024 */
    u32 command_size;
    u64 time_out;          /* ns; 0: none */
    struct device *parent; /* borrowed until block_disk_remove */
    void *driver;
};

struct block_disk; /* whole device and its queues; block_priv.h */

/* -ENOMEM, -ENOSPC (no name left). Context: may sleep. */
int block_disk_create(const struct block_disk_config *config, struct block_disk **out) __must_check;
void *block_disk_driver(const struct block_disk *disk);
/* The device's own name, of which at most 31 bytes are kept; what is not printable becomes '_'.
 * Context: any. "" at first. */
void block_disk_set_serial(struct block_disk *disk, const char *serial, size_t len);
const char *block_disk_serial(const struct block_disk *disk);
struct block_device *block_disk_device(struct block_disk *disk);
struct block_queue *block_disk_queue(struct block_disk *disk, u32 index);
/* Which CPU's requests come to the queue first, for its interrupt's affinity. */
unsigned block_queue_cpu(const struct block_queue *q);
void block_disk_add(struct block_disk *disk);
void block_disk_stop(struct block_disk *disk);
void block_disk_remove(struct block_disk *disk);
/* The device says that it has another size now: whole blocks of it are used. A smaller one holds at
 * once, a larger one soon; what the cache has behind the end goes when the device lets go of it. */
void block_disk_resize(struct block_disk *disk, u64 sectors);

/* A driver's look at its ring: between them it takes what came back. unlock starts what waited,
 * kicks, and calls `done` of what has finished, without the lock. Context: a thread. */
void block_queue_lock(struct block_queue *q) ACQUIRES(q->lock);
void block_queue_unlock(struct block_queue *q) RELEASES(q->lock);
/* The command is over, error 0 or -errno; the queue's lock is held by block_queue_lock. */
void block_command_done(struct block_command *cmd, int error);

/* The memory of a command, piece by piece, within the limits: cmd->pieces of them. */
struct block_cursor {
    const struct block_request *request;
    u32 segment, into;
    u64 left; /* bytes of the command */
};
struct block_piece {
    hpa_t addr;
    u32 len;
};
void block_cursor_init(struct block_cursor *c, const struct block_command *cmd);
bool block_cursor_next(struct block_cursor *c, const struct block_limits *limits,
                       struct block_piece *out);

/* A partition: sectors [start, start + sectors) of the disk, numbered from 1 to 15. 0, -EEXIST,
 * -EINVAL (not inside), -ENOMEM. Removed with the disk, or by itself: 0, -EBUSY (in use), -ENOENT.
 * A disk's own table is looked at when it is added. */
int block_partition_add(struct block_disk *disk, u32 number, u64 start, u64 sectors) __must_check;
int block_partition_remove(struct block_disk *disk, u32 number) __must_check;
