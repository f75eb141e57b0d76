/* SPDX-License-Identifier: MIT
 *
 * Shared between the dentry cache and the lists of its unused names.
 */
#pragma once

#include "vfs/dentry.h"

/* d->lock held, ref 0: takes it out of everything. Returns the parent, whose reference is the
 * caller's to drop. Unlocks. */
struct dentry *dentry_kill(struct dentry *d);
/* d->lock held: on to, and off, the lists of unused names. */
void dentry_lru_add(struct dentry *d);
void dentry_lru_remove(struct dentry *d);
