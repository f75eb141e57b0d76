/* SPDX-License-Identifier: MIT
 *
 * /dev/net/tun: a network device whose other end is a program: what is sent through it is read, and
 * what is written comes in by it; ethernet frames (tap) or packets of IP (tun).
 *
 * A file has no device until TUNSETIFF joins it to one, new or one that stayed (TUNSETPERSIST).
 * A device has one file at a time, or, with IFF_MULTI_QUEUE, up to TUN_QUEUES, each a queue of its
 * own: a flow's packets go to the file by which it came last, others by their hash (flow.h). A file
 * of several may be detached (TUNSETQUEUE): then nothing goes to it until it is attached again.
 * What waits to be read from a file is bounded (TUN_FRAMES) and charged to the file's opener; then
 * senders find that queue without space, and their packets wait in its backlog or are dropped, as
 * with a card.
 */
#pragma once

#include "dev/netdev.h"
#include "net/link/flow.h"

#define TUN_FRAMES 512
#define TUN_QUEUES FLOW_QUEUES

extern const struct netdev_ops tun_ops;
