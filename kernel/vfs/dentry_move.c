/* SPDX-License-Identifier: MIT
 *
 * Names that change: two dentries trade name and place while they are in no chain. One rename at a
 * time; a look-up without its lock sees by dentry_rename_seq that one came in between.
 */
#include "vfs/dentry_priv.h"

#include "lib/string.h"
#include "sync/spinlock.h"

static void dentry_flag_unlinked(struct dentry *d)
{
    spin_lock(&d->lock);
    d->flags |= DENTRY_UNLINKED;
    spin_unlock(&d->lock);
}

/* Names are swapped as blocks; inline ones by their bytes. */
static void dentry_swap_names(struct dentry *a, struct dentry *b)
{
    char tmp[DENTRY_INLINE];
    const char *an = a->name == a->inline_name ? NULL : a->name;
    const char *bn = b->name == b->inline_name ? NULL : b->name;
    u32 len = a->len;

    memcpy(tmp, a->inline_name, DENTRY_INLINE);
    memcpy(a->inline_name, b->inline_name, DENTRY_INLINE);
    memcpy(b->inline_name, tmp, DENTRY_INLINE);
    a->name = bn ? bn : a->inline_name;
    b->name = an ? an : b->inline_name;
    a->len = b->len;
    b->len = len;
}

static void dentry_swap_places(struct dentry *a, struct dentry *b)
{
    struct dentry *parent = a->parent;

    dentry_swap_names(a, b);
    a->parent = b->parent;
    b->parent = parent;
    a->hash = dentry_hash(a->parent, a->name, a->len);
    b->hash = dentry_hash(b->parent, b->name, b->len);
}

static void dentry_rename(struct dentry *d, struct dentry *target, bool exchange)
{
    u32 was_hashed = READ_ONCE(d->flags) & DENTRY_HASHED;
    bool moves = d->parent != target->parent; /* both parents are locked */

    spin_lock(&dentry_rename_lock);
    seqcount_write_begin(&dentry_rename_seq);
    if (moves)
        seqcount_write_begin(&d->super->moved);
    dentry_unhash(d);
    dentry_unhash(target);
    dentry_swap_places(d, target);
    if (was_hashed)
        dentry_insert(d);
    if (exchange)
        dentry_insert(target);
    else
        dentry_flag_unlinked(target);
    if (moves)
        seqcount_write_end(&d->super->moved);
    seqcount_write_end(&dentry_rename_seq);
    spin_unlock(&dentry_rename_lock);
}

void dentry_move(struct dentry *d, struct dentry *target)
{
    dentry_rename(d, target, false);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    dentry_rename(a, b, true);
}
