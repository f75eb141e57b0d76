/* SPDX-License-Identifier: MIT
 *
 * Virtio over memory-mapped registers (virtio 1.1, 4.2.2, version 2): what its driver (drivers/bus)
 * and its device (userland/vmm) agree on. Device status: 2.1.
 */
#pragma once

enum {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE = 0x008,
    REG_VENDOR = 0x00c,
    REG_FEATURES = 0x010,
    REG_FEATURES_SEL = 0x014,
    REG_DRIVER = 0x020,
    REG_DRIVER_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_NOTIFY = 0x050,
    REG_INT_STATUS = 0x060,
    REG_INT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_DESC = 0x080, /* 64 bits each, low half first */
    REG_AVAIL = 0x090,
    REG_USED = 0x0a0,
    REG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};
#define VIRTIO_MMIO_MAGIC 0x74726976 /* "virt" */

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 0x40u
#define STATUS_FAILED 0x80u
