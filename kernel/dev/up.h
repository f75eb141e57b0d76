/* SPDX-License-Identifier: MIT
 *
 * What dev asks of the layers above.
 */
#pragma once

#include "lib/types.h"

struct dev_node;
struct netdev;
struct netdev_teller;
struct packet;

/* kernel/fs/devfs: the name is to be shown, or no longer. Before the first mount there is nothing
 * to do. up_dev_node_added: 0 or -ENOMEM. Context: one thread, no lock held; may sleep. */
int up_dev_node_added(const struct dev_node *n) __must_check;
void up_dev_node_removed(const struct dev_node *n);

/* kernel/net/core. The device gets its name and index, and belongs to the first namespace: 0, or as
 * netdev_register. Its protocols forget it. Context: may sleep. */
int up_netdev_add(struct netdev *dev, const char *name) __must_check;
void up_netdev_remove(struct netdev *dev);
/* The link of a registered device came or went. False: its namespace is being changed, and is not
 * waited for. Context: a worker; may sleep. */
bool up_netdev_changed(struct netdev *dev) __must_check;
/* Of the namespace that dev is registered in; it stays while dev is referenced. Any context. */
struct netdev_teller *up_netdev_teller(const struct netdev *dev);
/* p is about to leave by p->dev, which has taps. Never sleeps; borrows p. */
void up_netdev_sent(struct packet *p);
/* A frame of p->dev. Takes p. Context: a thread; never sleeps. */
void up_netdev_receive(struct packet *p);
