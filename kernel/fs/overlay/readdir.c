/* SPDX-License-Identifier: MIT
 *
 * Listing merged directories. At the first read, and again after a rewind, all layers are read into
 * one list: the topmost entry of a name counts, whiteouts hide. An open directory so shows what was
 * there when it was read, including what is removed meanwhile.
 *
 * Positions: 0 and 1 are the dots, entry k of the list is at k + 2.
 */
#include "fs/overlay/overlay.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define DT_CHR 2
#define DT_DIR 4
#define LIST_MAX (1U << 22)  /* entries: an attacker's directory must not eat the kernel */
#define LIST_PART 192        /* entries read under one hold of a layer's directory */
#define LIST_PART_LONG 32    /* the same, once the table's chains grow */
#define TABLE_MAX (1U << 16) /* buckets: what one piece of memory holds; chains grow then */
#define CHUNK_FIRST 2048U
#define CHUNK_MORE 65536U

struct list_entry {
    u64 ino;
    struct list_entry *next; /* in its bucket; only while filling */
    u8 type;
    u8 len;
    bool whiteout;
    char name[];
};

struct list_chunk {
    struct list_chunk *next;
    u32 used, size;
    char data[] __aligned(8);
};

/* A reading of a directory: f->priv of an open one. */
struct overlay_list {
    struct list_chunk *first, *last;
    u64 count; /* entries, whiteouts included */
    bool filled;
    struct list_entry **table; /* by name; only while filling */
    u32 table_size;
    /* Where the last read stopped. */
    struct list_chunk *at;
    u32 at_offset;
    u64 at_index;
};

static u32 list_entry_size(size_t len)
{
    return ALIGN_UP((u32)(sizeof(struct list_entry) + len), 8U);
}

static void list_clear(struct overlay_list *l)
{
    for (struct list_chunk *c = l->first, *next; c; c = next) {
        next = c->next;
        kfree(c);
        cond_yield();
    }
    kfree(l->table);
    *l = (struct overlay_list){0};
}

/* ------------------------------------------------------------- filling */

static struct hash_key list_key; /* I  random: names are users' */

void overlay_list_init(void)
{
    random_bytes(&list_key, sizeof(list_key));
}

static u32 list_hash(const char *name, size_t len)
{
    return (u32)hash_sip(&list_key, name, len);
}

static void list_table_put(struct overlay_list *l, struct list_entry *e)
{
    struct list_entry **bucket = &l->table[list_hash(e->name, e->len) & (l->table_size - 1)];

    e->next = *bucket;
    *bucket = e;
}

static bool list_has(const struct overlay_list *l, const char *name, size_t len)
{
    const struct list_entry *e;

    if (!l->table)
        return false;
    for (e = l->table[list_hash(name, len) & (l->table_size - 1)]; e; e = e->next)
        if (e->len == len && memcmp(e->name, name, len) == 0)
            return true;
    return false;
}

/* About as many buckets as entries, while there may be: looked at between the parts. */
static int list_table_grow(struct overlay_list *l)
{
    struct list_entry **old = l->table, *e, *next;
    u32 old_size = l->table_size;

    if (l->count < old_size || old_size == TABLE_MAX)
        return 0;
    l->table = kcalloc(MAX(old_size * 2, 64U), sizeof(*l->table));
    if (!l->table) {
        l->table = old;
        return old ? 0 : -ENOMEM;
    }
    l->table_size = MAX(old_size * 2, 64U);
    for (u32 i = 0; i < old_size; i++) {
        for (e = old[i]; e; e = next) {
            next = e->next;
            list_table_put(l, e);
        }
        if (i % 64 == 0)
            cond_yield();
    }
    kfree(old);
    return 0;
}

static struct list_entry *list_alloc(struct overlay_list *l, size_t len)
{
    u32 need = list_entry_size(len), size = l->first ? CHUNK_MORE : CHUNK_FIRST;
    struct list_chunk *c = l->last;

    if (!c || c->size - c->used < need) {
        c = kmalloc(size);
        if (!c)
            return NULL;
        *c = (struct list_chunk){.size = size - (u32)sizeof(*c)};
        if (l->last)
            l->last->next = c;
        else
            l->first = c;
        l->last = c;
    }
    c->used += need;
    return (struct list_entry *)(c->data + c->used - need);
}

/* One layer being read. */
struct list_fill {
    struct dir_context ctx;
    struct overlay_list *list;
    struct dentry *dir; /* the layer's */
    bool dedup, more;
    unsigned part;
    int err;
};

/* Only character devices may be whiteouts. The layer's directory is locked by the reading. */
static bool list_is_whiteout(struct dentry *dir, const char *name, size_t len, unsigned type)
{
    struct dentry *d;
    bool is;

    if (type != DT_CHR)
        return false;
    d = walk_child(dir, name, len, true);
    if (IS_ERR(d))
        return false;
    is = overlay_is_whiteout(d);
    dentry_put(d);
    return is;
}

static bool list_emit(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned type)
{
    struct list_fill *fill = container_of(ctx, struct list_fill, ctx);
    struct overlay_list *l = fill->list;
    struct list_entry *e;

    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
        return true;
    fill->more = true;
    if (fill->part++ >= (l->table_size == TABLE_MAX ? LIST_PART_LONG : LIST_PART))
        return false; /* the rest in the next part */
    if (list_has(l, name, len))
        return true;
    e = l->count < LIST_MAX && len <= NAME_MAX ? list_alloc(l, len) : NULL;
    if (!e) {
        fill->err = -ENOMEM;
        return false;
    }
    *e = (struct list_entry){.ino = ino, .type = (u8)type, .len = (u8)len};
    e->whiteout = list_is_whiteout(fill->dir, name, len, type);
    memcpy(e->name, name, len);
    l->count++;
    if (fill->dedup)
        list_table_put(l, e);
    return true;
}

static int list_fill_layer(struct overlay_list *l, const struct path *dir, bool dedup)
{
    struct list_fill fill = {.ctx.emit = list_emit, .list = l, .dir = dir->dentry, .dedup = dedup};
    struct file *f;
    int err = open_dentry(dir, O_RDONLY | O_DIRECTORY, &cred_init, &f);

    if (err)
        return err;
    do {
        fill.more = false;
        fill.part = 0;
        err = dedup ? list_table_grow(l) : 0;
        if (!err)
            err = file_readdir(f, &fill.ctx);
        cond_yield();
        if (!err && thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            err = -EINTR;
    } while (!err && !fill.err && fill.more);
    file_put(f);
    return err ? err : fill.err;
}

static int list_fill(struct overlay_list *l, const struct inode *dir)
{
    struct overlay *o = overlay_of(dir);
    struct overlay_node *node = overlay_node(dir);
    struct dentry *upper = overlay_upper(dir);
    u32 n = overlay_nr_shown(node);
    bool dedup = (upper != NULL) + n > 1;
    int err = 0;

    list_clear(l);
    if (upper)
        err = list_fill_layer(l, &(struct path){o->layer[0].mount, upper}, dedup);
    for (u32 i = 0; i < n && !err; i++) {
        struct path p = {o->layer[node->lower[i].layer].mount, node->lower[i].d};

        err = list_fill_layer(l, &p, dedup);
        cond_yield();
    }
    kfree(l->table);
    l->table = NULL;
    l->table_size = 0;
    if (err) {
        list_clear(l);
        return err;
    }
    l->filled = true;
    l->at = l->first;
    return 0;
}

/* ------------------------------------------------------------- reading */

/* The entry under the cursor, NULL at the end. */
static struct list_entry *list_at(struct overlay_list *l)
{
    while (l->at && l->at_offset >= l->at->used) {
        l->at = l->at->next;
        l->at_offset = 0;
    }
    return l->at ? (struct list_entry *)(l->at->data + l->at_offset) : NULL;
}

/* Callers pass by as many entries as users please. */
static void list_next(struct overlay_list *l)
{
    l->at_offset += list_entry_size(list_at(l)->len);
    if (++l->at_index % 1024 == 0)
        cond_yield();
}

static void list_seek(struct overlay_list *l, u64 index)
{
    if (index < l->at_index) {
        l->at = l->first;
        l->at_offset = 0;
        l->at_index = 0;
    }
    while (l->at_index < index && list_at(l))
        list_next(l);
}

static int overlay_readdir(struct file *f, struct dir_context *ctx)
{
    struct overlay_list *l = f->priv;
    struct list_entry *e;

    if (ctx->pos == 0 || !l->filled) {
        int err = list_fill(l, f->inode);

        if (err)
            return err;
    }
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, f->inode->ino, DT_DIR))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, dentry_parent_ino(f->dentry), DT_DIR))
            return 0;
        ctx->pos = 2;
    }
    for (list_seek(l, (u64)ctx->pos - 2); (e = list_at(l)); list_next(l)) {
        if (!e->whiteout && !ctx->emit(ctx, e->name, e->len, e->ino, e->type))
            return 0;
        ctx->pos = (loff_t)l->at_index + 3;
    }
    return 0;
}

static loff_t overlay_dir_seek(struct file *f, loff_t off, int whence)
{
    loff_t to = whence == 0 ? off : whence == 1 ? f->pos + off : -1;

    if (to < 0)
        return -EINVAL;
    f->pos = to;
    return to;
}

static void overlay_dir_release(struct file *f)
{
    struct overlay_list *l = f->priv;

    if (!l)
        return;
    list_clear(l);
    kfree(l);
}

static int overlay_dir_fsync(struct file *f, bool data_only)
{
    struct path real = overlay_real(f->inode);
    struct file *dir;
    int err = open_dentry(&real, O_RDONLY | O_DIRECTORY, &cred_init, &dir);

    if (err)
        return err;
    err = dir->ops->fsync ? dir->ops->fsync(dir, data_only) : -EINVAL;
    file_put(dir);
    return err;
}

int overlay_dir_open(struct inode *i, struct file *f)
{
    f->priv = kzalloc(sizeof(struct overlay_list));
    return f->priv ? 0 : -ENOMEM;
}

const struct file_ops overlay_dir_fops = {
    .read = vfs_read_dir,
    .readdir = overlay_readdir,
    .seek = overlay_dir_seek,
    .fsync = overlay_dir_fsync,
    .release = overlay_dir_release,
};

/* ------------------------------------------------------------- emptiness */

int overlay_check_empty(struct inode *dir)
{
    struct overlay_list l = {0};
    struct list_entry *e;
    int err = list_fill(&l, dir);

    for (; !err && (e = list_at(&l)); list_next(&l))
        if (!e->whiteout)
            err = -ENOTEMPTY;
    list_clear(&l);
    return err;
}

struct bare_look {
    struct dir_context ctx;
    bool bare;
};

static bool bare_emit(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned type)
{
    struct bare_look *look = container_of(ctx, struct bare_look, ctx);

    look->bare = name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
    return look->bare;
}

int overlay_is_bare(struct dentry *upper_dir)
{
    struct bare_look look = {.ctx.emit = bare_emit, .bare = true};
    struct file *f;
    int err = open_dentry(&(struct path){NULL, upper_dir}, O_RDONLY | O_DIRECTORY, &cred_init, &f);

    if (err)
        return err;
    err = file_readdir(f, &look.ctx);
    file_put(f);
    return err ? err : look.bare;
}

static int list_clear_whiteout(struct dentry *upper_dir, const struct list_entry *e)
{
    struct inode *dir = dentry_inode(upper_dir);
    struct dentry *d;
    bool gone = false;
    int err = 0;

    rwlock_write_lock(&dir->lock);
    d = walk_child(upper_dir, e->name, e->len, true);
    if (IS_ERR(d)) {
        rwlock_write_unlock(&dir->lock);
        return PTR_ERR(d);
    }
    if (overlay_is_whiteout(d)) {
        err = dir->ops->unlink(dir, d);
        gone = !err;
    }
    if (gone)
        dentry_delete(d);
    rwlock_write_unlock(&dir->lock);
    if (gone)
        mount_drop_on(d);
    dentry_put(d);
    return err;
}

int overlay_clear_whiteouts(struct dentry *upper_dir)
{
    struct overlay_list l = {0};
    struct list_entry *e;
    int err = list_fill_layer(&l, &(struct path){NULL, upper_dir}, false);

    for (l.at = l.first; !err && (e = list_at(&l)); list_next(&l)) {
        err = list_clear_whiteout(upper_dir, e);
        cond_yield();
    }
    list_clear(&l);
    return err;
}
