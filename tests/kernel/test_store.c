/* SPDX-License-Identifier: MIT
 *
 * A file system whose store fails, stalls and reorders as a test says: see test_store.h.
 */
#include "tests/kernel/test_store.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "sched/wait.h"
#include "vfs/dentry.h"
#include "vfs/mount_priv.h"

struct store_inode {
    struct cached_inode cached;
    struct mem_object object;
};

static struct test_store *store_of(const struct super *s)
{
    return container_of(s, struct test_store, super);
}

static struct store_file *store_file_of(const struct inode *i)
{
    return &store_of(i->super)->files[i->ino - 2];
}

static bool store_take(u32 *left)
{
    u32 n = READ_ONCE(*left);

    while (n)
        if (__atomic_compare_exchange_n(left, &n, n - 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    return false;
}

/* ------------------------------------------------------------- pages */

static int store_write_page(struct store_file *file, struct page *page)
{
    void **at = &file->pages[page->index];

    if (!*at)
        *at = kmalloc(PAGE_SIZE);
    if (!*at)
        return -EIO;
    memcpy(*at, page_virt(page), PAGE_SIZE);
    return 0;
}

static int store_read_page(struct store_file *file, struct page *page)
{
    if (page->index < STORE_PAGES && file->pages[page->index])
        memcpy(page_virt(page), file->pages[page->index], PAGE_SIZE);
    else
        memset(page_virt(page), 0, PAGE_SIZE);
    return 0;
}

static void store_end(struct test_store *s, struct store_file *file, struct page *page, bool write,
                      int err)
{
    if (!err && store_take(write ? &s->fail_writes : &s->fail_reads))
        err = -EIO;
    if (write && !err)
        err = store_write_page(file, page);
    else if (!err)
        err = store_read_page(file, page);
    if (write)
        page_write_end(page, err);
    else
        page_read_end(page, err);
}

static void store_hold(struct test_store *s, struct store_file *file, struct page *page, bool write)
{
    struct store_io *io = kmalloc(sizeof(*io));

    if (!io) {
        store_end(s, file, page, write, -EIO);
        return;
    }
    *io = (struct store_io){.page = page, .file = file, .write = write};
    list_init(&io->node);
    spin_lock(&s->lock);
    list_add_tail(&s->held, &io->node);
    s->nr_held++;
    spin_unlock(&s->lock);
    waitq_wake_all(&s->changed);
}

u64 store_finish(struct test_store *s, u64 n, bool youngest, int err)
{
    u64 done = 0;

    for (; done < n; done++) {
        struct store_io *io;

        spin_lock(&s->lock);
        io = youngest ? list_last(&s->held, struct store_io, node)
                      : list_first(&s->held, struct store_io, node);
        if (io) {
            list_del(&io->node);
            s->nr_held--;
        }
        spin_unlock(&s->lock);
        if (!io)
            break;
        store_end(s, io->file, io->page, io->write, err);
        kfree(io);
        cond_yield();
    }
    return done;
}

bool store_wait_held(struct test_store *s, u64 n)
{
    return wait_event_deadline(&s->changed, READ_ONCE(s->nr_held) >= n, SLEEP_UNINTERRUPTIBLE,
                               time_ns() + 60 * NSEC_PER_SEC) == 0;
}

static void store_read_run(struct mem_object *obj, const struct page_run *run)
{
    struct inode *i = obj->owner;
    struct test_store *s = store_of(i->super);

    atomic_inc(&s->read_runs);
    atomic_add(&s->pages_read, (s32)run->n);
    for (unsigned k = 0; k < run->n; k++) {
        if (READ_ONCE(s->hold_reads))
            store_hold(s, store_file_of(i), run->pages[k], false);
        else
            store_end(s, store_file_of(i), run->pages[k], false, 0);
    }
}

static int store_place_run(struct mem_object *obj, const struct page_run *run,
                           const struct write_control *wc)
{
    struct inode *i = obj->owner;

    for (unsigned k = 0; k < run->n; k++)
        ASSERT(page_flag_test(run->pages[k], PG_LOCKED) && page_flag_test(run->pages[k], PG_DIRTY));
    return READ_ONCE(store_of(i->super)->refuse_place) ? -EAGAIN : 0;
}

static void store_write_run(struct mem_object *obj, const struct page_run *run,
                            const struct write_control *wc)
{
    struct inode *i = obj->owner;
    struct test_store *s = store_of(i->super);

    atomic_inc(&s->write_runs);
    atomic_add(&s->pages_written, (s32)run->n);
    for (unsigned k = 0; k < run->n; k++) {
        struct page *page = run->pages[k];

        ASSERT(page->index == run->index + k && page_flag_test(page, PG_WRITEBACK));
        if (s->on_write)
            s->on_write(s, obj, page);
        if (READ_ONCE(s->refuse_write))
            page_write_again(page);
        else if (READ_ONCE(s->hold_writes))
            store_hold(s, store_file_of(i), page, true);
        else
            store_end(s, store_file_of(i), page, true, 0);
    }
}

static int store_make_writable(struct mem_object *obj, struct page *page)
{
    struct inode *i = obj->owner;

    ASSERT(page_flag_test(page, PG_LOCKED));
    return READ_ONCE(store_of(i->super)->refuse_writable);
}

static const struct mem_object_ops store_object_ops = {
    .read_run = store_read_run,
    .place_run = store_place_run,
    .write_run = store_write_run,
    .make_writable = store_make_writable,
    .dirtied = inode_object_dirtied,
    .write_wanted = inode_object_write_wanted,
    .destroy = inode_object_destroy,
};

/* ------------------------------------------------------------- files and the directory */

static ssize_t store_write_locked(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct inode *i = f->inode;
    ssize_t n;

    if (*pos < 0 || (u64)*pos + from->count > STORE_PAGES * PAGE_SIZE)
        return -EFBIG;
    n = mem_object_grow(i->object, (u64)*pos) ?: mem_object_write(i->object, from, (u64)*pos);
    if (n <= 0)
        return n;
    *pos += n;
    if ((u64)*pos > i->object->size)
        WRITE_ONCE(i->object->size, (u64)*pos);
    i->mtime = i->ctime = vfs_now();
    inode_set_dirty(i, INODE_DIRTY_TIMES | INODE_DIRTY_DATA);
    return n;
}

static ssize_t store_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    return file_write_parts(f, from, pos, NULL, true, store_write_locked);
}

static const struct file_ops store_file_fops = {
    .read = cached_file_read,
    .write = store_write,
    .seek = cached_file_seek,
    .mmap = cached_file_mmap,
    .advise = cached_file_advise,
    .fsync = cached_file_fsync,
    .sync_range = cached_file_sync_range,
};
static const struct file_ops store_dir_fops = {.read = vfs_read_dir};

static int store_setattr(struct inode *i, const struct attr_change *ch)
{
    int err = 0;

    if (!(ch->valid & ATTR_SIZE))
        return 0;
    if (ch->size < i->object->size)
        mem_object_shrink(i->object, ch->size);
    else
        err = mem_object_grow(i->object, ch->size);
    if (!err)
        WRITE_ONCE(i->object->size, ch->size);
    inode_set_dirty(i, INODE_DIRTY_DATA);
    return err;
}

static int store_lookup(struct inode *dir, struct dentry *d)
{
    size_t len;
    const char *name = dentry_name(d, &len);
    struct inode *i;
    u64 ino = store_number(store_of(dir->super), name);
    int err = ino ? inode_find(dir->super, ino, &i) : 0;

    if (ino && !err)
        dentry_instantiate(d, i);
    return err;
}

static int store_create(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred);
static int store_unlink(struct inode *dir, struct dentry *d)
{
    struct inode *i = dentry_inode(d);

    store_file_of(i)->name[0] = '\0';
    i->nlink = 0;
    dentry_delete(d);
    return 0;
}

static const struct inode_ops store_file_iops = {.setattr = store_setattr};
static const struct inode_ops store_dir_iops = {
    .lookup = store_lookup,
    .create = store_create,
    .unlink = store_unlink,
};

static void store_file_setup(struct inode *i, u64 size)
{
    struct store_inode *si = container_of(i, struct store_inode, cached.inode);

    i->ops = &store_file_iops;
    i->fops = &store_file_fops;
    i->mode = S_IFREG | 0644;
    mem_object_init(&si->object, &store_object_ops, i);
    si->object.size = size;
    inode_set_object(i, &si->object);
}

static int store_create(struct inode *dir, struct dentry *d, u32 mode, const struct cred *cred)
{
    struct test_store *s = store_of(dir->super);
    size_t len;
    const char *name = dentry_name(d, &len);
    struct inode *i;
    u64 k = 0;
    int err;

    while (k < STORE_FILES && s->files[k].there)
        k++;
    if (k == STORE_FILES)
        return -ENOSPC;
    err = inode_find_new(dir->super, k + 2, S_IFREG | mode, &i);
    if (err)
        return err;
    if (len > STORE_NAME) {
        inode_discard(i);
        return -ENAMETOOLONG;
    }
    store_file_setup(i, 0);
    s->files[k].there = true;
    strlcpy(s->files[k].name, name, sizeof(s->files[k].name));
    inode_publish(i);
    inode_set_dirty(i, INODE_DIRTY_DATA);
    dentry_instantiate(d, i);
    return 0;
}

/* ------------------------------------------------------------- inodes and the super */

static struct cached_inode *store_alloc_inode(struct super *s)
{
    struct store_inode *si = kzalloc(sizeof(*si));

    return si ? &si->cached : NULL;
}

static void store_free_inode(struct inode *i)
{
    kfree(container_of(i, struct store_inode, cached.inode));
}

static int store_read_inode(struct inode *i)
{
    struct test_store *s = store_of(i->super);

    atomic_inc(&s->inodes_filled);
    wait_event(&s->changed, !READ_ONCE(s->hold_inodes));
    if (i->ino == 1) {
        i->ops = &store_dir_iops;
        i->fops = &store_dir_fops;
        i->mode = S_IFDIR | 0755;
        return 0;
    }
    if (i->ino - 2 >= STORE_FILES || !store_file_of(i)->there)
        return -ESTALE;
    store_file_setup(i, store_file_of(i)->size);
    return 0;
}

static int store_write_inode(struct inode *i, enum write_why why)
{
    atomic_inc(&store_of(i->super)->inodes_written);
    if (i->object)
        store_file_of(i)->size = i->object->size;
    return 0;
}

static void store_file_forget(struct store_file *file)
{
    for (unsigned k = 0; k < STORE_PAGES; k++) {
        kfree(file->pages[k]);
        file->pages[k] = NULL;
    }
    file->there = false;
}

static void store_evict(struct inode *i)
{
    atomic_inc(&store_of(i->super)->inodes_evicted);
    if (i->nlink == 0)
        store_file_forget(store_file_of(i));
}

static int store_sync(struct super *s)
{
    atomic_inc(&store_of(s)->syncs);
    return 0;
}

static void store_destroy(struct super *s)
{
    *store_of(s)->destroyed = true;
}

static const struct super_ops store_super_ops = {
    .alloc_inode = store_alloc_inode,
    .free_inode = store_free_inode,
    .read_inode = store_read_inode,
    .write_inode = store_write_inode,
    .evict = store_evict,
    .sync = store_sync,
    .destroy = store_destroy,
};
static const struct fs_type store_type = {.name = "test store"};

/* Fills s->root. */
static int store_mount(struct test_store *s, bool *destroyed)
{
    struct inode *root;
    struct mount *m;

    s->super = (struct super){.type = &store_type,
                              .ops = &store_super_ops,
                              .user_ns = &user_ns_init,
                              .dev = super_dev_alloc()};
    refcount_init(&s->super.ref, 1);
    s->destroyed = destroyed;
    *destroyed = false;
    if (super_cache_begin(&s->super, true))
        return -ENOMEM;
    if (inode_find(&s->super, 1, &root)) {
        super_cache_end(&s->super);
        return -ENOMEM;
    }
    s->super.root = dentry_create_root(root);
    ASSERT(s->super.root);
    m = mount_alloc(&s->super, s->super.root, "store", 0);
    ASSERT(m);
    dentry_get(s->super.root);
    s->root = (struct path){m, s->super.root};
    return 0;
}

static void store_unmount(struct test_store *s)
{
    path_put(&s->root);
    ASSERT(*s->destroyed);
}

static bool store_gone; /* tests run one at a time */

struct test_store *test_store_open(void)
{
    struct test_store *s = vmap_alloc(sizeof(*s));

    if (!s)
        return NULL;
    memset(s, 0, sizeof(*s));
    spinlock_init(&s->lock, RANK_VFS, 1, "test store");
    list_init(&s->held);
    waitq_init(&s->changed);
    if (!store_mount(s, &store_gone))
        return s;
    vmap_free(s);
    return NULL;
}

int test_store_again(struct test_store *s)
{
    store_unmount(s);
    return store_mount(s, &store_gone);
}

void test_store_close(struct test_store *s)
{
    store_unmount(s);
    ASSERT(!s->nr_held);
    for (unsigned i = 0; i < STORE_FILES; i++)
        store_file_forget(&s->files[i]);
    vmap_free(s);
}

struct file *store_open_file(struct test_store *s, const char *name, unsigned o_flags)
{
    struct walk_ctx ctx = {
        .cred = &cred_init, .root = s->root, .cwd = s->root, .ns = mount_ns_init};
    struct file *f;
    int err = vfs_open(&ctx, NULL, name, o_flags, 0644, 0, &f);

    return err ? ERR_PTR(err) : f;
}

u64 store_number(struct test_store *s, const char *name)
{
    for (u64 i = 0; i < STORE_FILES; i++)
        if (s->files[i].there && strcmp(s->files[i].name, name) == 0)
            return i + 2;
    return 0;
}

u8 store_byte(struct test_store *s, const char *name, u64 at)
{
    u64 ino = store_number(s, name);
    const u8 *page = ino ? s->files[ino - 2].pages[at / PAGE_SIZE] : NULL;

    return page ? page[at % PAGE_SIZE] : 0;
}
