/* SPDX-License-Identifier: MIT
 *
 * The pseudo-file tree (pseudo.h): its nodes, and the text they are shown as. The file system over
 * it is pseudo_fs.c.
 *
 * Lock order: the tree lock (mutex) is a leaf under a directory's inode lock.
 */
#include "vfs/pseudo_priv.h"

#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vfs/vfs_priv.h"

#define SEQ_MAX (16UL << 20)

struct mutex pseudo_lock;
static struct pseudo_node *pseudo_proc, *pseudo_sysfs;
static u64 pseudo_last_ino = 1;
TABLE_DECLARE(struct pseudo_file, pseudo_files);

static const struct pseudo_ops pseudo_no_ops;

/* ------------------------------------------------------------- text */

static bool seq_reserve(struct seq *s, size_t n)
{
    size_t want = s->len + n, cap = MAX(s->cap, PAGE_SIZE);
    char *grown;

    if (s->failed)
        return false;
    if (want <= s->cap)
        return true;
    while (cap < want)
        cap *= 2;
    grown = cap <= SEQ_MAX ? krealloc(s->buf, cap) : NULL;
    if (!grown) {
        s->failed = true;
        return false;
    }
    s->buf = grown;
    s->cap = cap;
    return true;
}

void seq_write(struct seq *s, const void *data, size_t n)
{
    if (!seq_reserve(s, n))
        return;
    memcpy(s->buf + s->len, data, n);
    s->len += n;
}

void seq_printf(struct seq *s, const char *fmt, ...)
{
    va_list args, again;
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    if (n > 0 && seq_reserve(s, (size_t)n + 1)) {
        vsnprintf(s->buf + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* ------------------------------------------------------------- nodes */

void pseudo_get(struct pseudo_node *node)
{
    refcount_get(&node->ref);
}

void pseudo_put(struct pseudo_node *node)
{
    if (!refcount_put(&node->ref))
        return;
    if (node->ops->destroy)
        node->ops->destroy(node);
    kfree(node->name);
    kfree(node);
}

static struct pseudo_node *pseudo_alloc(const char *name, size_t len, u32 mode,
                                        const struct pseudo_ops *ops, void *priv)
{
    struct pseudo_node *node = kzalloc(sizeof(*node));
    char *copy = kmalloc(len + 1);

    if (!node || !copy) {
        kfree(node);
        kfree(copy);
        return NULL;
    }
    memcpy(copy, name, len);
    copy[len] = '\0';
    node->name = copy;
    node->ops = ops ? ops : &pseudo_no_ops;
    if (!(mode & S_IFMT))
        mode |= node->ops->lookup                          ? S_IFDIR
                : node->ops->readlink || node->ops->follow ? S_IFLNK
                                                           : S_IFREG;
    node->mode = mode;
    node->priv = priv;
    refcount_init(&node->ref, 1);
    node->ino = __atomic_add_fetch(&pseudo_last_ino, 1, __ATOMIC_RELAXED);
    list_init(&node->children);
    list_init(&node->sibling);
    return node;
}

static struct pseudo_node *pseudo_find_locked(struct pseudo_node *dir, const char *name, size_t len)
    REQUIRES(pseudo_lock)
{
    struct pseudo_node *node;

    ASSERT_HELD(&pseudo_lock);
    for (; dir; dir = dir->base)
        list_for_each (node, &dir->children, sibling)
            if (str_is(node->name, name, len))
                return node;
    return NULL;
}

struct pseudo_node *pseudo_create(struct pseudo_node *parent, const char *name, u32 mode,
                                  const struct pseudo_ops *ops, void *priv)
{
    struct pseudo_node *node = pseudo_alloc(name, strlen(name), mode, ops, priv);

    if (!node || !parent)
        return node;
    mutex_lock(&pseudo_lock);
    if (pseudo_find_locked(parent, name, strlen(name))) {
        mutex_unlock(&pseudo_lock);
        node->ops = &pseudo_no_ops; /* priv stays the caller's */
        pseudo_put(node);
        return NULL;
    }
    node->parent = parent;
    list_add_tail(&parent->children, &node->sibling);
    pseudo_get(node); /* the tree's */
    mutex_unlock(&pseudo_lock);
    return node;
}

static void pseudo_remove(struct pseudo_node *node);

void pseudo_clear(struct pseudo_node *node)
{
    struct pseudo_node *child;

    for (;;) {
        mutex_lock(&pseudo_lock);
        child = list_first(&node->children, struct pseudo_node, sibling);
        if (child)
            pseudo_get(child);
        mutex_unlock(&pseudo_lock);
        if (!child)
            break;
        pseudo_remove(child);
        pseudo_put(child);
    }
}

/* With all below it. */
static void pseudo_remove(struct pseudo_node *node)
{
    pseudo_clear(node);
    mutex_lock(&pseudo_lock);
    list_del(&node->sibling);
    node->parent = NULL;
    mutex_unlock(&pseudo_lock);
    pseudo_put(node);
}

struct pseudo_node *pseudo_root(const char *tree)
{
    return strcmp(tree, "proc") == 0    ? pseudo_proc
           : strcmp(tree, "sysfs") == 0 ? pseudo_sysfs
                                        : NULL;
}

/* A directory that was made on the way to another entry becomes f's own. */
static struct pseudo_node *pseudo_adopt(struct pseudo_node *dir, const char *name,
                                        const struct pseudo_file *f)
{
    struct pseudo_node *node;

    mutex_lock(&pseudo_lock);
    node = pseudo_find_locked(dir, name, strlen(name));
    if (node && node->ops == &pseudo_no_ops && S_ISDIR(node->mode) && S_ISDIR(f->mode) && f->ops) {
        node->ops = f->ops;
        node->priv = f->priv;
        node->mode = f->mode;
        pseudo_get(node);
    } else {
        node = NULL;
    }
    mutex_unlock(&pseudo_lock);
    return node;
}

/* Adds a table entry, making directories on the way. Boot only: no memory is a panic. */
static void pseudo_add_file(const struct pseudo_file *f)
{
    struct pseudo_node *dir = pseudo_root(f->tree), *next;
    const char *p = f->path, *slash;

    for (; dir && (slash = strchr(p, '/')); p = slash + 1) {
        char name[64];

        strlcpy(name, p, MIN(sizeof(name), (size_t)(slash - p) + 1));
        mutex_lock(&pseudo_lock);
        next = pseudo_find_locked(dir, name, strlen(name));
        mutex_unlock(&pseudo_lock);
        if (!next) {
            next = pseudo_create(dir, name, S_IFDIR | 0555, NULL, NULL);
            if (next)
                pseudo_put(next);
        }
        dir = next;
    }
    next = dir ? pseudo_adopt(dir, p, f) : NULL;
    if (!next && dir)
        next = pseudo_create(dir, p, f->mode, f->ops, f->priv);
    if (!next)
        panic("pseudo file %s: twice, or no memory", f->path);
    pseudo_put(next);
}

void pseudo_init(void)
{
    const struct pseudo_file *f;

    mutex_init(&pseudo_lock, RANK_VFS, 10, "pseudo tree");
    pseudo_proc = pseudo_alloc("proc", 4, S_IFDIR | 0555, NULL, NULL);
    pseudo_sysfs = pseudo_alloc("sysfs", 5, S_IFDIR | 0555, NULL, NULL);
    if (!pseudo_proc || !pseudo_sysfs)
        panic("no memory for the pseudo-file trees");
    TABLE_FOR_EACH(f, pseudo_files)
    pseudo_add_file(f);
}

struct pseudo_node *pseudo_find(const struct super *s, struct pseudo_node *dir, const char *name,
                                size_t len)
{
    struct pseudo_node *node;

    mutex_lock(&pseudo_lock);
    node = pseudo_find_locked(dir, name, len);
    if (node)
        pseudo_get(node);
    mutex_unlock(&pseudo_lock);
    if (!node && dir->ops->lookup_in)
        node = dir->ops->lookup_in(s, dir, name, len);
    else if (!node && dir->ops->lookup)
        node = dir->ops->lookup(dir, name, len);
    return node && IS_ERR(node) && PTR_ERR(node) == -ENOENT ? NULL : node;
}
