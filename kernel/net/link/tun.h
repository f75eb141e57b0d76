/* SPDX-License-Identifier: MIT
 *
 * /dev/net/tun: a network device whose other end is a program: what is sent through it is read, and
 * what is written comes in by it; ethernet frames (tap) or packets of IP (tun).
 *
 * A file has no device until TUNSETIFF joins it to one, new or one that stayed (TUNSETPERSIST).
 * A device has one file at a time. What waits to be read is bounded (TUN_FRAMES) and charged to
 * the device's maker; then senders find the device without space, and their packets wait in its
 * backlog or are dropped, as with a card.
 */
#pragma once

#include "dev/netdev.h"

#define TUN_FRAMES 512

extern const struct netdev_ops tun_ops;
