/* SPDX-License-Identifier: MIT
 *
 * What dev asks of the layers above.
 */
#pragma once

struct dev_node;

/* kernel/fs/devfs: the name is to be shown, or no longer. Before the first mount there is nothing
 * to do. up_dev_node_added: 0 or -ENOMEM. Context: one thread, no lock held; may sleep. */
int up_dev_node_added(const struct dev_node *n) __must_check;
void up_dev_node_removed(const struct dev_node *n);
