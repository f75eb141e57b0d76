/* SPDX-License-Identifier: MIT
 *
 * Virtio over PCI, the modern interface (virtio 1.2, 4.1): what its driver (drivers/bus) and its
 * device (userland/vmm) agree on. Structures in BARs are located by vendor capabilities.
 *
 * Registers of the common configuration, at the offsets below, are of the width that each has there
 * and are accessed so (4.1.3.1).
 */
#pragma once

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_DEVICE_FIRST 0x1000
#define VIRTIO_DEVICE_MODERN 0x1040 /* and the device id */
#define VIRTIO_DEVICE_LAST 0x107f
#define NO_VECTOR 0xffff

/* A vendor capability (4.1.4): offsets in bytes, and what it locates. */
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_MULTIPLIER = 16 };
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_ISR = 3, TYPE_DEVICE = 4, TYPE_ACCESS = 5 };
/* TYPE_ACCESS (4.1.4.9): the driver names a BAR, an offset and a length, and then reads or writes
 * those bytes here. */
enum { CAP_ACCESS_DATA = 16, CAP_ACCESS_SIZE = 20 };

enum {
    COMMON_FEATURES_SEL = 0,
    COMMON_FEATURES = 4,
    COMMON_DRIVER_SEL = 8,
    COMMON_DRIVER = 12,
    COMMON_CONFIG_VECTOR = 16, /* 16 bits */
    COMMON_QUEUES = 18,        /* 16 */
    COMMON_STATUS = 20,        /* 8 */
    COMMON_GENERATION = 21,    /* 8 */
    COMMON_QUEUE_SEL = 22,     /* 16, as all up to NOTIFY_OFF */
    COMMON_QUEUE_SIZE = 24,
    COMMON_QUEUE_VECTOR = 26,
    COMMON_QUEUE_ENABLE = 28,
    COMMON_QUEUE_NOTIFY_OFF = 30,
    COMMON_DESC = 32, /* 64 bits each, as two halves */
    COMMON_AVAIL = 40,
    COMMON_USED = 48,
    COMMON_SIZE = 56,
};
