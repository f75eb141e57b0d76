/* SPDX-License-Identifier: MIT
 *
 * Shared between the dentry cache, its renames, the lists of its unused names and the climbs.
 */
#pragma once

#include "sync/seqlock.h"
#include "vfs/dentry.h"

/* d->lock held, ref 0: takes it out of everything. Returns the parent, whose reference is the
 * caller's to drop. Unlocks. */
struct dentry *dentry_kill(struct dentry *d) RELEASES(d->lock);
/* d->lock held: on to, and off, the lists of unused names. */
void dentry_lru_add(struct dentry *d);
void dentry_lru_remove(struct dentry *d);
/* What name and parent say of its place in the table; and into the table with one that is not. */
u32 dentry_hash(const struct dentry *parent, const char *name, size_t len);
void dentry_insert(struct dentry *d);
/* Renames, one at a time, and what those see that look without the lock. */
extern struct spinlock dentry_rename_lock;
extern struct seqcount dentry_rename_seq;
#define LOOKS_SPOILED 4 /* by renames: then they wait */
