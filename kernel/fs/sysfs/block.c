/* SPDX-License-Identifier: MIT
 *
 * Block devices in /sys and /proc (Linux Documentation/ABI/stable/sysfs-block, proc(5)): the
 * directory /sys/block, computed, since disks come and go; /proc/partitions and /proc/diskstats.
 * /sys/class/block lists partitions beside disks.
 */
#include "dev/block_driver.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "fs/sysfs/view.h"
#include "vfs/pseudo.h"

#define DT_DIR 4
#define DT_REG 8
#define DT_LNK 10

enum sysblock_kind {
    SYSBLOCK_TOP,
    SYSBLOCK_CLASS,
    SYSBLOCK_DEVICE,
    SYSBLOCK_QUEUE,
    SYSBLOCK_FILE,
    SYSBLOCK_LINK, /* "device" */
};

struct sysblock_attr {
    const char *name;
    void (*show)(struct block_device *dev, struct seq *out);
    bool parts; /* partitions have it, too */
};

/* priv of a node: owns a reference to dev. */
struct sysblock_node {
    enum sysblock_kind kind;
    struct block_device *dev;         /* NULL: of the top */
    const struct sysblock_attr *attr; /* SYSBLOCK_FILE */
};

/* ---- files of a device ---- */

static void show_dev(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "%u:%u\n", dev->major, dev->minor);
}

static void show_size(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "%lu\n", READ_ONCE(dev->sectors));
}

static void show_ro(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "%u\n", READ_ONCE(dev->read_only));
}

static void show_zero(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "0\n");
}

static void show_start(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "%lu\n", dev->start);
}

static void show_partition(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "%u\n", dev->minor - dev->whole->minor);
}

static void show_serial(struct block_device *dev, struct seq *out)
{
    seq_printf(out, "%s\n", block_disk_serial(dev->disk));
}

/* Linux Documentation/admin-guide/iostats.rst; times in ms. */
static void show_figures(struct block_device *dev, struct seq *out)
{
    struct block_figures f;
    u64 ns = 0;

    block_figures(dev, &f);
    for (unsigned k = 0; k < 4; k++)
        ns += f.ns[k];
    for (unsigned k = 0; k < 2; k++)
        seq_printf(out, " %lu %lu %lu %lu", f.done[k], f.merged[k], f.sectors[k],
                   (u64)(f.ns[k] / NSEC_PER_MSEC));
    seq_printf(out, " %lu %lu %lu", f.in_flight, (u64)(f.busy_ns / NSEC_PER_MSEC),
               (u64)(ns / NSEC_PER_MSEC));
    seq_printf(out, " %lu %lu %lu %lu %lu %lu\n", f.done[2], f.merged[2], f.sectors[2],
               (u64)(f.ns[2] / NSEC_PER_MSEC), f.done[3], (u64)(f.ns[3] / NSEC_PER_MSEC));
}

static const struct sysblock_attr sysblock_attrs[] = {
    {"dev", show_dev, true},
    {"size", show_size, true},
    {"ro", show_ro, true},
    {"stat", show_figures, true},
    {"alignment_offset", show_zero, true},
    {"removable", show_zero, false},
    {"serial", show_serial, false},
};
/* What only partitions have. */
static const struct sysblock_attr sysblock_part_attrs[] = {
    {"partition", show_partition, true},
    {"start", show_start, true},
};

/* ---- files of a queue ---- */

#define QUEUE_FILE(id, format, value)                                      \
    static void show_queue_##id(struct block_device *dev, struct seq *out) \
    {                                                                      \
        const struct block_limits *l = &dev->limits;                       \
                                                                           \
        seq_printf(out, format "\n", value);                               \
    }
QUEUE_FILE(logical, "%u", l->logical_size)
QUEUE_FILE(physical, "%u", l->physical_size)
QUEUE_FILE(io_min, "%u", MAX(l->io_min, l->physical_size))
QUEUE_FILE(io_opt, "%u", l->io_opt)
QUEUE_FILE(sectors_kb, "%u", l->max_sectors / 2)
QUEUE_FILE(pieces, "%u", l->max_pieces)
QUEUE_FILE(piece, "%u", l->max_piece)
QUEUE_FILE(discard_max, "%lu", (u64)l->max_discard << SECTOR_SHIFT)
QUEUE_FILE(discard_granularity, "%u", l->discard_granularity)
QUEUE_FILE(zero_max, "%lu", (u64)l->max_zero << SECTOR_SHIFT)
QUEUE_FILE(cache, "%s", l->write_cache ? "write back" : "write through")
QUEUE_FILE(fua, "%u", l->fua)
QUEUE_FILE(rotational, "%u", l->rotational)

static const struct sysblock_attr sysblock_queue_attrs[] = {
    {"logical_block_size", show_queue_logical, false},
    {"hw_sector_size", show_queue_logical, false},
    {"physical_block_size", show_queue_physical, false},
    {"minimum_io_size", show_queue_io_min, false},
    {"optimal_io_size", show_queue_io_opt, false},
    {"max_sectors_kb", show_queue_sectors_kb, false},
    {"max_hw_sectors_kb", show_queue_sectors_kb, false},
    {"max_segments", show_queue_pieces, false},
    {"max_segment_size", show_queue_piece, false},
    {"discard_max_bytes", show_queue_discard_max, false},
    {"discard_granularity", show_queue_discard_granularity, false},
    {"write_zeroes_max_bytes", show_queue_zero_max, false},
    {"write_cache", show_queue_cache, false},
    {"fua", show_queue_fua, false},
    {"rotational", show_queue_rotational, false},
};

/* ---- nodes ---- */

static int sysblock_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct sysblock_node *n = node->priv;

    n->attr->show(n->dev, out);
    return 0;
}

static void sysblock_destroy(struct pseudo_node *node)
{
    struct sysblock_node *n = node->priv;

    if (n->dev)
        block_put(n->dev);
    kfree(n);
}

/* "../../devices/...": from /sys/block/NAME. */
static ssize_t sysblock_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    static const char up[] = "../../";
    const struct sysblock_node *at = node->priv;
    struct device *parent = block_parent(at->dev);
    int len;

    if (!parent)
        return -ENOENT;
    strlcpy(buf, up, n);
    len = n > sizeof(up) ? device_path(parent, buf + sizeof(up) - 1, n - (sizeof(up) - 1))
                         : -ENAMETOOLONG;
    device_put(parent);
    return len < 0 ? len : len + (int)sizeof(up) - 1;
}

static struct pseudo_node *sysblock_lookup(struct pseudo_node *node, const char *name, size_t len);
static int sysblock_list(struct pseudo_node *node, struct dir_context *ctx);

static const struct pseudo_ops sysblock_file_ops = {.show = sysblock_show,
                                                    .destroy = sysblock_destroy};
static const struct pseudo_ops sysblock_link_ops = {.readlink = sysblock_readlink,
                                                    .destroy = sysblock_destroy};
static const struct pseudo_ops sysblock_dir_ops = {
    .lookup = sysblock_lookup, .list = sysblock_list, .destroy = sysblock_destroy};

/* dev: the caller's reference, taken also on failure. */
static struct pseudo_node *sysblock_make(const char *name, enum sysblock_kind kind,
                                         struct block_device *dev, const struct sysblock_attr *attr)
{
    struct sysblock_node *n = kmalloc(sizeof(*n));
    struct pseudo_node *node = NULL;

    if (n) {
        *n = (struct sysblock_node){kind, dev, attr};
        if (kind == SYSBLOCK_LINK)
            node = pseudo_create(NULL, name, S_IFLNK | 0777, &sysblock_link_ops, n);
        else
            node = attr ? pseudo_create(NULL, name, S_IFREG | 0444, &sysblock_file_ops, n)
                        : pseudo_create(NULL, name, S_IFDIR | 0755, &sysblock_dir_ops, n);
    }
    if (!node) {
        kfree(n);
        block_put(dev);
        return ERR_PTR(-ENOMEM);
    }
    node->revalidate = true; /* the device may go */
    return node;
}

/* What else a whole disk's directory has. */
static const struct {
    const char *name;
    enum sysblock_kind kind;
    unsigned type;
} sysblock_below[] = {{"queue", SYSBLOCK_QUEUE, DT_DIR}, {"device", SYSBLOCK_LINK, DT_LNK}};

struct sysblock_search {
    const char *name; /* or NULL: the nth */
    size_t len;
    u64 nth;
    const struct block_device *whole; /* partitions of it only; NULL: see below */
    bool parts;                       /* partitions as well */
    struct block_device *found;       /* a reference */
};

static bool sysblock_match(struct block_device *dev, void *arg)
{
    struct sysblock_search *s = arg;
    bool part = dev->whole != dev;

    if (s->whole ? !part || dev->whole != s->whole : part && !s->parts)
        return true;
    if (s->name ? !str_is(dev->name, s->name, s->len) : s->nth-- > 0)
        return true;
    block_get(dev);
    s->found = dev;
    return false;
}

static struct block_device *sysblock_find(struct sysblock_search s)
{
    block_for_each(sysblock_match, &s);
    return s.found;
}

/* The attributes of a directory, one table behind the other. */
static const struct sysblock_attr *sysblock_attr(const struct sysblock_node *n, u64 i)
{
    bool part = n->dev && n->dev->whole != n->dev;

    if (n->kind == SYSBLOCK_QUEUE)
        return i < ARRAY_SIZE(sysblock_queue_attrs) ? &sysblock_queue_attrs[i] : NULL;
    if (n->kind != SYSBLOCK_DEVICE)
        return NULL;
    if (!part)
        return i < ARRAY_SIZE(sysblock_attrs) ? &sysblock_attrs[i] : NULL;
    if (i < ARRAY_SIZE(sysblock_part_attrs))
        return &sysblock_part_attrs[i];
    i -= ARRAY_SIZE(sysblock_part_attrs);
    return i < ARRAY_SIZE(sysblock_attrs) && sysblock_attrs[i].parts ? &sysblock_attrs[i] : NULL;
}

static struct pseudo_node *sysblock_lookup(struct pseudo_node *node, const char *name, size_t len)
{
    const struct sysblock_node *n = node->priv;
    const struct sysblock_attr *attr;
    struct sysblock_search s = {.name = name, .len = len};
    struct block_device *dev;

    for (u64 i = 0; (attr = sysblock_attr(n, i)); i++)
        if (str_is(attr->name, name, len)) {
            block_get(n->dev);
            return sysblock_make(attr->name, SYSBLOCK_FILE, n->dev, attr);
        }
    if (n->kind == SYSBLOCK_QUEUE)
        return NULL;
    if (n->kind == SYSBLOCK_DEVICE && n->dev->whole == n->dev)
        for (u32 i = 0; i < ARRAY_SIZE(sysblock_below); i++)
            if (str_is(sysblock_below[i].name, name, len)) {
                block_get(n->dev);
                return sysblock_make(sysblock_below[i].name, sysblock_below[i].kind, n->dev, NULL);
            }
    s.whole = n->dev;
    s.parts = n->kind == SYSBLOCK_CLASS;
    dev = sysblock_find(s);
    return dev ? sysblock_make(dev->name, SYSBLOCK_DEVICE, dev, NULL) : NULL;
}

/* The i-th entry, attributes first, then what is below, then devices. Its name in buf, its type;
 * 0: there is none. */
static unsigned sysblock_entry(const struct sysblock_node *n, u64 i, char *buf, size_t size)
{
    bool whole = n->kind == SYSBLOCK_DEVICE && n->dev->whole == n->dev;
    const struct sysblock_attr *attr;
    struct block_device *dev;
    u64 fixed = 0;

    for (; (attr = sysblock_attr(n, fixed)); fixed++)
        if (fixed == i) {
            strlcpy(buf, attr->name, size);
            return DT_REG;
        }
    i -= fixed;
    if (whole && i < ARRAY_SIZE(sysblock_below)) {
        strlcpy(buf, sysblock_below[i].name, size);
        return sysblock_below[i].type;
    }
    if (n->kind == SYSBLOCK_QUEUE)
        return 0;
    i -= whole ? ARRAY_SIZE(sysblock_below) : 0;
    dev = sysblock_find(
        (struct sysblock_search){.nth = i, .whole = n->dev, .parts = n->kind == SYSBLOCK_CLASS});
    if (!dev)
        return 0;
    strlcpy(buf, dev->name, size);
    block_put(dev);
    return DT_DIR;
}

static int sysblock_list(struct pseudo_node *node, struct dir_context *ctx)
{
    char name[32];
    unsigned type;

    for (; (type = sysblock_entry(node->priv, (u64)ctx->pos, name, sizeof(name))); ctx->pos++)
        if (!ctx->emit(ctx, name, strlen(name), (u64)ctx->pos + 1, type))
            return 0;
    return 0;
}

static struct sysblock_node sysblock_top = {SYSBLOCK_TOP, NULL, NULL};
static struct sysblock_node sysblock_class = {SYSBLOCK_CLASS, NULL, NULL};
/* These two stay: their priv is not the heap's. */
static const struct pseudo_ops sysblock_top_ops = {.lookup = sysblock_lookup,
                                                   .list = sysblock_list};
PSEUDO_FILE(sys_block) = {"sysfs", "block", S_IFDIR | 0755, &sysblock_top_ops, &sysblock_top};
PSEUDO_FILE(sys_class_block) = {"sysfs", "class/block", S_IFDIR | 0755, &sysblock_top_ops,
                                &sysblock_class};

/* ---- /proc ---- */

static bool partitions_line(struct block_device *dev, void *arg)
{
    seq_printf(arg, "%4u  %7u %10lu %s\n", dev->major, dev->minor, READ_ONCE(dev->sectors) / 2,
               dev->name);
    return true;
}

static int partitions_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    seq_printf(out, "major minor  #blocks  name\n\n");
    block_for_each(partitions_line, out);
    return 0;
}

static bool diskstats_line(struct block_device *dev, void *arg)
{
    seq_printf(arg, "%4u %7u %s", dev->major, dev->minor, dev->name);
    show_figures(dev, arg);
    return true;
}

static int diskstats_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    block_for_each(diskstats_line, out);
    return 0;
}

static const struct pseudo_ops partitions_ops = {.show = partitions_show};
static const struct pseudo_ops diskstats_ops = {.show = diskstats_show};
PSEUDO_FILE(partitions) = {"proc", "partitions", 0444, &partitions_ops, NULL};
PSEUDO_FILE(diskstats) = {"proc", "diskstats", 0444, &diskstats_ops, NULL};
