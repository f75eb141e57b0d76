/* SPDX-License-Identifier: MIT
 *
 * What files and links of /sys say. Attributes of a bus answer for themselves; `privileged` for
 * them is CAP_SYS_ADMIN outside of any user namespace.
 */
#include "fs/sysfs/view.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/cred.h"

#define TEXT_MAX 4096
#define PIECE_MAX 4096

static bool view_privileged(const struct cred *cred)
{
    return cred_capable(cred, &user_ns_init, CAP_SYS_ADMIN);
}

/* ------------------------------------------------------------- text */

static int view_show_attr(const struct view *v, struct seq *out)
{
    char *buf;
    ssize_t n;

    if (!v->attr->show)
        return -EIO;
    buf = kmalloc(TEXT_MAX);
    if (!buf)
        return -ENOMEM;
    n = v->attr->show(v->dev, buf, TEXT_MAX);
    if (n > 0)
        seq_write(out, buf, (size_t)n);
    kfree(buf);
    return n < 0 ? (int)n : 0;
}

static int view_show_modalias(const struct view *v, struct seq *out)
{
    char text[96];
    ssize_t n = v->dev->bus->modalias(v->dev, text, sizeof(text));

    if (n < 0)
        return (int)n;
    seq_printf(out, "%s\n", text);
    return 0;
}

static int view_show_uevent(const struct view *v, struct seq *out)
{
    const struct driver *drv = device_driver(v->dev);
    char text[96];

    if (drv)
        seq_printf(out, "DRIVER=%s\n", drv->name);
    if (v->dev->bus && v->dev->bus->modalias &&
        v->dev->bus->modalias(v->dev, text, sizeof(text)) >= 0)
        seq_printf(out, "MODALIAS=%s\n", text);
    return 0;
}

static int view_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    const struct view *v = node->priv;

    switch (v->kind) {
    case VIEW_ATTR:
        return view_show_attr(v, out);
    case VIEW_MODALIAS:
        return view_show_modalias(v, out);
    case VIEW_UEVENT:
        return view_show_uevent(v, out);
    case VIEW_MSI:
        seq_printf(out, "%s\n", v->text);
        return 0;
    default:
        return -EIO;
    }
}

/* The name of a device of v's bus; a reference, or NULL. */
static struct device *view_named(const struct view *v, char *text, size_t n)
{
    if (n && text[n - 1] == '\n')
        text[n - 1] = '\0';
    return device_find(v->bus, text);
}

static ssize_t view_store_driver(const struct view *v, char *text, size_t n,
                                 const struct cred *cred)
{
    struct device *dev;
    int err = -ENODEV;

    if (!view_privileged(cred))
        return -EPERM;
    dev = view_named(v, text, n);
    if (!dev)
        return -ENODEV;
    if (v->kind == VIEW_BIND && !device_driver(dev))
        err = device_bind(dev);
    else if (v->kind == VIEW_UNBIND && device_driver(dev) == v->driver)
        err = device_unbind(dev);
    if (!err && v->kind == VIEW_BIND && device_driver(dev) != v->driver)
        err = -ENODEV; /* another one took it */
    device_put(dev);
    return err ? err : (ssize_t)n;
}

static ssize_t view_store(struct pseudo_node *node, char *text, size_t n, const struct cred *cred)
{
    const struct view *v = node->priv;

    if (v->kind == VIEW_BIND || v->kind == VIEW_UNBIND)
        return view_store_driver(v, text, n, cred);
    if (v->kind != VIEW_ATTR || !v->attr->store)
        return -EIO;
    return v->attr->store(v->dev, text, n, view_privileged(cred));
}

void view_destroy(struct pseudo_node *node)
{
    struct view *v = node->priv;

    if (v->dev)
        device_put(v->dev);
    kfree(v);
}

const struct pseudo_ops view_text_ops = {
    .show = view_show, .store = view_store, .destroy = view_destroy};

/* ------------------------------------------------------------- links */

static ssize_t view_readlink(struct pseudo_node *node, char *buf, size_t n)
{
    const struct view *v = node->priv;
    char target[512];
    int err = 0;

    if (v->kind == VIEW_LINK_DEVICE)
        err = device_path(v->dev, target, sizeof(target));
    else if (v->kind == VIEW_LINK_DRIVER)
        snprintf(target, sizeof(target), "bus/%s/drivers/%s", v->dev->bus->name, v->driver->name);
    else if (v->dev->class)
        snprintf(target, sizeof(target), "class/%s", v->dev->class);
    else
        snprintf(target, sizeof(target), "bus/%s", v->dev->bus->name);
    if (err < 0)
        return err;
    if (n < 3 * v->ups + strlen(target))
        return -ENAMETOOLONG;
    for (unsigned i = 0; i < v->ups; i++)
        memcpy(buf + 3 * i, "../", 3);
    memcpy(buf + 3 * v->ups, target, strlen(target));
    return (ssize_t)(3 * v->ups + strlen(target));
}

const struct pseudo_ops view_link_ops = {.readlink = view_readlink, .destroy = view_destroy};

/* ------------------------------------------------------------- binary attributes */

static ssize_t view_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    const struct view *v = pseudo_of_file(f)->priv;
    bool privileged = view_privileged(f->cred);
    ssize_t n = -ENOMEM;
    u64 total = 0;
    u8 *buf = v->attr->read ? kmalloc(PIECE_MAX) : NULL;

    if (!v->attr->read)
        return -EIO;
    while (buf && to->count) {
        u64 copied;

        n = v->attr->read(v->dev, buf, (size_t)MIN(to->count, (u64)PIECE_MAX), (u64)*pos,
                          privileged);
        if (n <= 0)
            break;
        copied = iov_copy_to(to, buf, (u64)n);
        *pos += (loff_t)copied;
        total += copied;
        if (copied < (u64)n) {
            n = -EFAULT;
            break;
        }
    }
    kfree(buf);
    return total ? (ssize_t)total : MIN(n, 0);
}

static ssize_t view_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    const struct view *v = pseudo_of_file(f)->priv;
    size_t n = (size_t)MIN(from->count, (u64)PIECE_MAX);
    ssize_t done;
    u8 *buf;

    if (!v->attr->write)
        return -EIO;
    buf = kmalloc(PIECE_MAX);
    if (!buf)
        return -ENOMEM;
    if (iov_copy_from(from, buf, n) != n)
        done = -EFAULT;
    else
        done = v->attr->write(v->dev, buf, n, (u64)*pos, view_privileged(f->cred));
    kfree(buf);
    if (done > 0)
        *pos += done;
    return done;
}

static loff_t view_seek(struct file *f, loff_t off, int whence)
{
    loff_t to = whence == 0 ? off : whence == 1 ? f->pos + off : -EINVAL;

    if (to < 0)
        return -EINVAL;
    f->pos = to;
    return to;
}

static const struct file_ops view_binary_fops = {
    .read = view_read, .write = view_write, .seek = view_seek};

const struct pseudo_ops view_binary_ops = {.fops = &view_binary_fops, .destroy = view_destroy};
