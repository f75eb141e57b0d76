/* SPDX-License-Identifier: MIT
 *
 * /proc/bothy/console: the kernel's console as a file, for root with CAP_SYS_ADMIN. A write runs
 * one line; reads give its answer. When the command failed, the read behind the last byte is EIO
 * instead of 0. Each open file has an answer of its own; commands run one at a time.
 *
 * Lock order: console_lock (RANK_LINUX) is outside everything that a command takes.
 */
#include "debug/debug.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"
#include "sched/mutex.h"
#include "vfs/pseudo.h"

#define CONSOLE_LINE_MAX 512
#define ANSWER_MAX (4UL << 20)

struct console_answer {
    char *text;
    size_t len, cap, read;
    bool cut;
    int status;
};

static struct mutex console_lock;
static struct console_answer *console_out; /* console_lock: the running command's */

static bool answer_grow(struct console_answer *a, size_t need)
{
    size_t cap = MAX(a->cap * 2, (size_t)4096);
    char *text;

    while (cap < need)
        cap *= 2;
    text = cap <= ANSWER_MAX ? krealloc(a->text, cap) : NULL;
    if (!text)
        return false;
    a->text = text;
    a->cap = cap;
    return true;
}

static void console_emit(const char *fmt, ...)
{
    struct console_answer *a = console_out;
    char line[512];
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    n = (size_t)vscnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (a->len + n > a->cap && !answer_grow(a, a->len + n)) {
        a->cut = true;
        return;
    }
    memcpy(a->text + a->len, line, n);
    a->len += n;
}

/* The file's answer, made at the first write; two at once keep one. */
static struct console_answer *answer_of(struct file *f)
{
    struct console_answer *a = load_acquire(&f->priv), *none = NULL;

    if (a)
        return a;
    a = kzalloc(sizeof(*a));
    if (!a)
        return NULL;
    if (__atomic_compare_exchange_n(&f->priv, (void **)&none, a, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_ACQUIRE))
        return a;
    kfree(a);
    return none;
}

static ssize_t console_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    char line[CONSOLE_LINE_MAX];
    struct console_answer *a;
    size_t n = from->count;

    if (n >= sizeof(line))
        return -E2BIG;
    if (iov_copy_from(from, line, n) != n)
        return -EFAULT;
    line[n] = '\0';
    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = '\0';
    a = answer_of(f);
    if (!a)
        return -ENOMEM;
    mutex_lock(&console_lock);
    a->len = a->read = 0;
    a->cut = false;
    console_out = a;
    a->status = console_run(line, console_emit);
    if (a->cut)
        a->status = -ENOMEM;
    console_out = NULL;
    mutex_unlock(&console_lock);
    return (ssize_t)n;
}

static ssize_t console_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct console_answer *a = load_acquire(&f->priv);
    ssize_t n;

    if (!a)
        return 0;
    mutex_lock(&console_lock);
    if (a->read == a->len) {
        n = a->status ? -EIO : 0;
        a->status = 0;
    } else {
        n = (ssize_t)iov_copy_to(to, a->text + a->read, MIN(to->count, a->len - a->read));
        a->read += (size_t)n;
        n = n ? n : -EFAULT;
    }
    mutex_unlock(&console_lock);
    return n;
}

static void console_release(struct file *f)
{
    struct console_answer *a = f->priv;

    if (a)
        kfree(a->text);
    kfree(a);
}

static const struct file_ops console_fops = {
    .name = "console",
    .read = console_read,
    .write = console_write,
    .release = console_release,
};
/* A command here may stop the machine: a container's root may not, whatever of /proc
 * it is shown. */
static int console_permission(struct pseudo_node *node, const struct cred *cred, int mask)
{
    return cred_capable(cred, &user_ns_init, CAP_SYS_ADMIN) ? pseudo_may(node, cred, mask)
                                                            : -EACCES;
}

static const struct pseudo_ops console_ops = {.fops = &console_fops,
                                              .permission = console_permission};
PSEUDO_FILE(bothy_console) = {"proc", "bothy/console", 0600, &console_ops, NULL};

static void console_file_init(void)
{
    /* Over copies of whatever a command does: only another command waits. */
    mutex_init(&console_lock, RANK_OPS, ORDER_CONSOLE | LOCK_OVER_COPY, "console");
}
INIT_HOOK(console_file_init, INIT_CORE);
