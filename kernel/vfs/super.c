/* SPDX-License-Identifier: MIT
 *
 * File systems as they are mounted: the table of types, the end of a super, bringing all of one to
 * its store.
 *
 * The order of an end: its watches go; `unmount` drops what pins names; the names go, and with them
 * all uses of inodes; what is dirty is written; the inodes go; the flusher ends; `destroy`.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vfs/flusher.h"
#include "vfs/inotify.h"
#include "vfs/vfs_priv.h"

static struct waitq super_unpinned;
TABLE_DECLARE(struct fs_type, fs_types);

void super_init(void)
{
    waitq_init(&super_unpinned);
}

const struct fs_type *fs_type_find(const char *name)
{
    const struct fs_type *t;

    TABLE_FOR_EACH(t, fs_types)
    if (strcmp(t->name, name) == 0)
        return t;
    return NULL;
}

int fs_no_options(const char *options)
{
    while (options && *options == ',')
        options++;
    return options && *options ? -EINVAL : 0;
}

void super_pin(struct super *s)
{
    atomic_inc(&s->pins);
}

/* The last access to s, unless the caller has it by other means. */
void super_unpin(struct super *s)
{
    DELAYPOINT(super_unpin);
    if (atomic_dec(&s->pins) == 0)
        waitq_wake_all(&super_unpinned);
}

/* What was put under a pin may have come back to the list of unused names. */
static void super_drop_names(struct super *s)
{
    do {
        dentry_shrink_super(s);
        wait_event(&super_unpinned, atomic_read(&s->pins) == 0);
    } while (!list_empty(&s->cached));
}

static void super_drop_inodes(struct super *s)
{
    int err = s->flusher ? flusher_sync(s->flusher) : 0;

    if (err)
        log_limited(LOG_ERR, "%s: unmounted with error %d of its last writes", s->type->name, err);
    super_cache_end(s);
    wait_event(&super_unpinned, atomic_read(&s->pins) == 0);
}

void super_put(struct super *s)
{
    if (!refcount_put(&s->ref))
        return;
    inotify_super_gone(s);
    if (s->ops->unmount)
        s->ops->unmount(s);
    dentry_put(s->root);
    super_drop_names(s);
    if (s->ops->alloc_inode)
        super_drop_inodes(s);
    rcu_synchronize(); /* callbacks may still look at the super */
    if (s->ops->destroy)
        s->ops->destroy(s);
}

int super_sync(struct super *s)
{
    if (s->flusher)
        return flusher_sync(s->flusher);
    return s->ops->sync ? s->ops->sync(s) : 0;
}

int file_sync_super(struct file *f)
{
    struct super *s = f->inode ? f->inode->super : NULL;
    int err = s && s->ops ? super_sync(s) : 0, told = 0;

    if (!s || !s->flusher)
        return err;
    spin_lock(&f->watch_lock);
    told = errseq_check(&s->flusher->error, &f->super_error);
    spin_unlock(&f->watch_lock);
    return told ? told : err;
}
