/* SPDX-License-Identifier: MIT
 *
 * Between netdev.c (life, sending, receiving), netdev_config.c (what is set and changes),
 * netdev_prepare.c (what a device cannot do by itself) and netdev_join.c (segments that came).
 */
#pragma once

#include "dev/netdev.h"

void netdev_config_init(struct netdev *dev);
void netdev_flag(struct netdev *dev, u32 flag, bool on);

#define NETDEV_CUT 64 /* segments at a time */

/* Makes p what the device can send. 0; -EXDEV: it is to be cut; -EINVAL, -EMSGSIZE, -ENOMEM: it
 * cannot be sent. p stays the caller's. */
int netdev_prepare(struct netdev *dev, struct packet *p) __must_check;
/* Appends segments of p from *next on, at most NETDEV_CUT, ready to be sent, to list. 1: there are
 * more; 0: those were the last; -errno: no more will come. p stays the caller's. */
int netdev_cut(struct netdev *dev, struct packet *p, u32 *next,
               struct list_node *list) __must_check;
/* A frame goes up, now, joined with others, or at the round's end (netdev_receive_done). Takes p.
 * The queue's thread. */
void netdev_join_receive(struct netdev_queue *q, struct packet *p);
