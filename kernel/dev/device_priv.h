/* SPDX-License-Identifier: MIT
 *
 * Between device.c (the registry) and probe.c (drivers come and go).
 */
#pragma once

#include "dev/device.h"
#include "sync/spinlock.h"

#define GATE_CLOSED (1U << 31)

extern struct spinlock devices_lock;

/* dev has just been registered: it is probed now (an early driver), or soon, in a thread. */
void probe_new(struct device *dev);
/* devices_lock held: no probe of dev begins from here on. */
void probe_cancel_locked(struct device *dev) REQUIRES(devices_lock);
/* dev->lock held: its driver, if any, is removed. */
void probe_remove_driver(struct device *dev) REQUIRES(dev->lock);
/* Lets no more in. */
void device_gate_shut(struct device *dev);
