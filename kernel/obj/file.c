/* SPDX-License-Identifier: MIT
 *
 * struct file: creation, end, and the entries that system calls use. A file's memory goes after an
 * RCU grace period, so that a descriptor look-up may try for a reference without a lock.
 */
#include "obj/file.h"
#include "arch/x86/percpu.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/cred.h"
#include "obj/obj_priv.h"
#include "obj/pid.h"
#include "obj/up.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "vm/up.h"

static struct slab_cache *file_cache;
static DEFINE_PER_CPU(s64, file_balance); /* made here, less those that ended here */

static void file_init(void)
{
    file_cache = slab_cache_create("file", sizeof(struct file), 0);
}
INIT_HOOK(file_init, INIT_CORE);

struct file *file_create(const struct file_ops *ops, u32 flags, void *priv)
{
    struct file *f = FAILPOINT(file_create) ? NULL : slab_zalloc(file_cache);

    if (!f)
        return NULL;
    f->ops = ops;
    f->flags = flags;
    f->priv = priv;
    refcount_init(&f->ref, 1);
    /* Over copies of reads and writes: only users of the same open file wait. */
    mutex_init(&f->pos_lock, RANK_OPS, ORDER_FILE_POS | LOCK_OVER_COPY, "file->pos_lock");
    spinlock_init(&f->watch_lock, RANK_OBJ, 10, "file->watch_lock");
    list_init(&f->watchers);
    this_cpu_inc(file_balance);
    return f;
}

void file_born(struct file *f)
{
    const struct cred *cred = up_current_cred();

    f->anon_born = time_ns();
    f->anon_uid = cred->fsuid;
    f->anon_gid = cred->fsgid;
}

static void file_free_rcu(struct rcu_head *head)
{
    slab_free(file_cache, container_of(head, struct file, rcu));
}

static __noinline void file_destroy(struct file *f)
{
    if (unlikely(!list_empty(&f->watchers)))
        epoll_file_gone(f);
    if (f->ops->release)
        f->ops->release(f);
    up_file_release_path(f);
    if (f->cred)
        cred_put(f->cred);
    if (f->owner)
        pid_put(f->owner);
    this_cpu_dec(file_balance);
    rcu_call(&f->rcu, file_free_rcu);
}

/* The end of one file may be that of others, as a socket's of those that lie in its queue. Users
 * can nest them deeper than any stack, so those wait until the first is done with. */
static void file_destroy_in_turn(struct file *f)
{
    struct thread *me = current_thread();

    if (me->closing) {
        f->closing_next = me->closing_next;
        me->closing_next = f;
        return;
    }
    me->closing = true;
    for (;;) {
        file_destroy(f);
        f = me->closing_next;
        if (!f)
            break;
        me->closing_next = f->closing_next;
        cond_yield();
    }
    me->closing = false;
}

void file_put(struct file *f)
{
    if (refcount_put(&f->ref))
        file_destroy_in_turn(f);
}

bool file_owner_hold(struct file *f, struct file_owner_ref *out)
{
    spin_lock(&f->watch_lock);
    *out = (struct file_owner_ref){f->owner, f->owner_type, f->owner_uid, f->owner_euid};
    if (out->pid)
        pid_get(out->pid);
    spin_unlock(&f->watch_lock);
    return out->pid;
}

u64 file_open_count(void)
{
    unsigned cpu;
    s64 n = 0;

    cpu_for_each (cpu) {
        n += *per_cpu_ptr(file_balance, cpu);
    }
    return (u64)MAX(n, 0); /* they change as we count */
}

/* vm's references from areas. */
int up_file_punch(struct file *f, u64 off, u64 len)
{
    enum { KEEP_SIZE = 1, PUNCH_HOLE = 2 };

    return f->ops->fallocate ? f->ops->fallocate(f, KEEP_SIZE | PUNCH_HOLE, off, len) : -EOPNOTSUPP;
}

int up_file_sync(struct file *f)
{
    return f->ops->fsync ? f->ops->fsync(f, true) : 0;
}

void up_file_get(struct file *f)
{
    file_get(f);
}
void up_file_put(struct file *f)
{
    file_put(f);
}

/* Two users of one file position take turns. A sole user needs no lock, though another process may
 * take the file out of its table meanwhile (pidfd_getfd(2)): an operation works on a position of
 * its own, which does not move between its checks and its use. */
static bool file_pos_begin(struct file *f) NO_THREAD_SAFETY /* if there is another user */
{
    if (!f->ops->seek || refcount_read(&f->ref) == 1)
        return false;
    mutex_lock(&f->pos_lock);
    return true;
}

static void file_pos_end(struct file *f,
                         bool locked) NO_THREAD_SAFETY /* what file_pos_begin took */
{
    if (locked)
        mutex_unlock(&f->pos_lock);
}

/* A place is asked for in a file that has none. */
static bool file_pos_refused(const struct file *f, const loff_t *pos)
{
    return pos && pos != &f->pos && !f->ops->seek;
}

/* What the current thread has read and written, for /proc/<pid>/io. */
static inline ssize_t file_count_read(ssize_t n)
{
    struct thread *t = current_thread();

    t->reads++;
    if (n > 0)
        t->bytes_read += (u64)n;
    return n;
}

static inline ssize_t file_count_written(ssize_t n)
{
    struct thread *t = current_thread();

    t->writes++;
    if (n > 0)
        t->bytes_written += (u64)n;
    return n;
}

ssize_t file_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    bool locked;
    loff_t at;
    ssize_t n;

    if (file_pos_refused(f, pos))
        return -ESPIPE;
    if (!file_readable(f))
        return -EBADF;
    if (!f->ops->read)
        return f->ops->readdir ? -EISDIR : -EINVAL;
    if (pos && pos != &f->pos)
        return *pos < 0 ? -EINVAL : file_count_read(f->ops->read(f, to, pos));
    locked = file_pos_begin(f);
    at = READ_ONCE(f->pos);
    n = f->ops->read(f, to, &at);
    WRITE_ONCE(f->pos, at);
    file_pos_end(f, locked);
    return file_count_read(n);
}

ssize_t file_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    bool locked;
    loff_t at;
    ssize_t n;

    if (file_pos_refused(f, pos))
        return -ESPIPE;
    if (!file_writable(f))
        return -EBADF;
    if (!f->ops->write)
        return -EINVAL;
    if (pos && pos != &f->pos)
        return *pos < 0 ? -EINVAL : file_count_written(f->ops->write(f, from, pos));
    locked = file_pos_begin(f);
    at = READ_ONCE(f->pos);
    n = f->ops->write(f, from, &at);
    WRITE_ONCE(f->pos, at);
    file_pos_end(f, locked);
    return file_count_written(n);
}

ssize_t file_read_kernel(struct file *f, void *buf, size_t n, loff_t pos)
{
    struct iov_iter it;

    if (!f->ops->read)
        return -EINVAL;
    iov_init_kernel(&it, buf, n);
    return f->ops->read(f, &it, &pos);
}

ssize_t file_write_kernel(struct file *f, const void *buf, size_t n, loff_t pos)
{
    struct iov_iter it;

    if (!f->ops->write)
        return -EINVAL;
    iov_init_kernel(&it, (void *)buf, n);
    return f->ops->write(f, &it, &pos);
}
