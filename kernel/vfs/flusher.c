/* SPDX-License-Identifier: MIT
 *
 * Flushers: see cached_inode.h. A dirty inode is on one of its flusher's lists and has a reference
 * for that. The thread that has the turn takes inodes off the front of the dirty list, begins to
 * write them, and puts them on the list of those being written, or back: behind the others if they
 * got dirty meanwhile, aside till the next round if some of theirs could not be written.
 *
 * What is being written needs no thread: it is looked at by the next round, or by a sync, which
 * waits for it.
 */
#include "vfs/flusher.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "sched/timer.h"
#include "vfs/vfs_priv.h"
#include "vm/up.h"

#define FLUSH_PAGES 1024 /* of an inode in a round; then others have their turn */
#define KICK_AT_ONCE 64  /* flushers that are woken when memory is wanted */
#define SETTLE_EVERY (NSEC_PER_SEC)
#define RANK_ORDER_FLUSHER 25 /* within RANK_VM: a page of an object has become dirty */
#define RANK_ORDER_FLUSHERS 26

enum { ON_NONE, ON_DIRTY, ON_LATER, ON_WRITING };

static struct spinlock flushers_lock = SPINLOCK_INIT(RANK_VM, RANK_ORDER_FLUSHERS, "flushers");
static LIST_HEAD(flushers); /* flushers_lock; the front one is woken next */
static u32 nr_flushers;     /* flushers_lock */

COUNTER(flusher_inodes);

static bool flusher_idle(struct flusher *f)
{
    return list_empty(&f->dirty) && list_empty(&f->later) && list_empty(&f->writing);
}

/* ------------------------------------------------------------- the lists; f->lock held */

static void flusher_list_locked(struct flusher *f, struct cached_inode *ci, u8 on, bool front)
    REQUIRES(f->lock)
{
    struct list_node *list = on == ON_DIRTY ? &f->dirty : on == ON_LATER ? &f->later : &f->writing;

    ASSERT_HELD(&f->lock);
    f->nr_writing -= ci->on == ON_WRITING;
    list_del(&ci->dirty);
    ci->on = on;
    if (on == ON_NONE)
        return;
    f->nr_writing += on == ON_WRITING;
    if (front)
        list_add(list, &ci->dirty);
    else
        list_add_tail(list, &ci->dirty);
}

/* It is dirty from now on, if it was not. True: the thread has something to wait for now. */
static bool flusher_add_locked(struct flusher *f, struct cached_inode *ci) REQUIRES(f->lock)
{
    bool first = flusher_idle(f);

    ASSERT_HELD(&f->lock);
    if (ci->busy || ci->on == ON_DIRTY || ci->on == ON_LATER)
        return false;
    if (ci->on == ON_NONE)
        inode_get(&ci->inode);
    ci->since = time_ns();
    flusher_list_locked(f, ci, ON_DIRTY, false);
    return first;
}

static bool inode_pages_dirty(const struct inode *i)
{
    return i->object && mem_object_is_dirty(i->object);
}

static bool inode_pages_writing(const struct inode *i)
{
    return i->object && xa_any_marked(&i->object->pages, MARK_WRITING);
}

/* ------------------------------------------------------------- the thread */

static u64 flusher_deadline(struct flusher *f)
{
    if (!list_empty(&f->dirty) || !list_empty(&f->later))
        return time_ns() + FLUSH_EVERY;
    return list_empty(&f->writing) ? 0 : time_ns() + SETTLE_EVERY;
}

static void flusher_round(struct flusher *f, u64 limit);

static void flusher_main(void *arg)
{
    struct flusher *f = arg;

    reserves_begin();
    while (!READ_ONCE(f->stop)) {
        bool idle = flusher_idle(f), wanted;

        (void)wait_event_deadline(
            &f->wake, READ_ONCE(f->wanted) || READ_ONCE(f->stop) || (idle && !flusher_idle(f)),
            SLEEP_UNINTERRUPTIBLE, flusher_deadline(f));
        wanted = __atomic_exchange_n(&f->wanted, false, __ATOMIC_SEQ_CST);
        flusher_round(f, wanted ? time_ns() : time_ns() - MIN(time_ns(), FLUSH_AGE));
    }
    reserves_end();
    completion_signal(&f->ended);
}

/* A worker's: the caller that makes the first inode dirty may hold spinlocks. */
static void flusher_start(struct work *w)
{
    struct flusher *f = container_of(w, struct flusher, start);
    struct thread *t;

    if (f->running || READ_ONCE(f->stop))
        return;
    t = thread_create("flusher", flusher_main, f);
    if (!t) {
        log_limited(LOG_WARN, "flusher: no memory for a thread"); /* asked for again */
        return;
    }
    f->running = true;
    thread_start(t);
    thread_put(t);
}

static void flusher_kick(struct flusher *f)
{
    if (unlikely(!READ_ONCE(f->running)))
        (void)work_queue(workq_system, &f->start);
    else
        waitq_wake_all(&f->wake);
}

static void flusher_want(struct flusher *f)
{
    WRITE_ONCE(f->wanted, true);
    flusher_kick(f);
}

/* ------------------------------------------------------------- getting dirty */

static void flusher_inode_dirty(struct flusher *f, struct cached_inode *ci, u8 what)
{
    bool first;

    spin_lock(&f->lock);
    ci->what |= what;
    first = flusher_add_locked(f, ci);
    spin_unlock(&f->lock);
    if (first)
        flusher_kick(f);
}

void inode_set_dirty(struct inode *i, unsigned what)
{
    if (i->cached && i->super->flusher)
        flusher_inode_dirty(i->super->flusher, cached_inode_of(i), (u8)what);
}

void inode_object_dirtied(struct mem_object *obj)
{
    inode_set_dirty(obj->owner, 0);
}

void inode_object_write_wanted(struct mem_object *obj)
{
    struct inode *i = obj->owner;

    flusher_want(i->super->flusher);
}

bool up_write_back(struct account *account)
{
    bool any = false;

    spin_lock(&flushers_lock);
    for (u32 i = 0; i < MIN(nr_flushers, KICK_AT_ONCE); i++) {
        struct flusher *f = list_first(&flushers, struct flusher, node);

        list_del(&f->node);
        list_add_tail(&flushers, &f->node);
        if (flusher_idle(f))
            continue;
        any = true;
        flusher_want(f);
    }
    spin_unlock(&flushers_lock);
    return any;
}

/* ------------------------------------------------------------- writing; f->turn held */

/* The oldest that has been dirty since `limit` or longer: it stays busy until flusher_done. */
static struct cached_inode *flusher_take(struct flusher *f, u64 limit)
{
    struct cached_inode *ci;

    spin_lock(&f->lock);
    ci = list_first(&f->dirty, struct cached_inode, dirty);
    if (ci && ci->since <= limit) {
        flusher_list_locked(f, ci, ON_WRITING, false);
        ci->busy = true;
    } else {
        ci = NULL;
    }
    spin_unlock(&f->lock);
    return ci;
}

/* What of the inode is to be written; others that want the same written wait for us. 0: nothing. */
static u8 inode_write_begin(struct flusher *f, struct cached_inode *ci, u8 what)
{
    u8 todo = 0;

    for (;;) {
        spin_lock(&f->lock);
        if (!ci->writing) {
            todo = ci->what & what ? ci->what : 0;
            ci->what &= (u8)~todo;
            ci->writing = todo != 0;
            spin_unlock(&f->lock);
            return todo;
        }
        spin_unlock(&f->lock);
        wait_event(&f->written, !READ_ONCE(ci->writing));
    }
}

static int inode_write(struct flusher *f, struct cached_inode *ci, enum write_why why, u8 what)
{
    struct inode *i = &ci->inode;
    int err = 0;

    if (!inode_write_begin(f, ci, what))
        return 0;
    if (i->super->ops->write_inode)
        err = i->super->ops->write_inode(i, why);
    spin_lock(&f->lock);
    ci->writing = false;
    spin_unlock(&f->lock);
    waitq_wake_all(&f->written);
    if (err) {
        errseq_set(&f->error, err);
        if (i->object)
            errseq_set(&i->object->error, err);
    }
    return err;
}

/* It goes where it belongs now. Drops the flusher's reference if it is on no list any more. */
static void flusher_done(struct flusher *f, struct cached_inode *ci, bool more)
{
    bool clean = false;

    spin_lock(&f->lock);
    ci->busy = false;
    if (inode_pages_dirty(&ci->inode) || ci->what) {
        if (more) {
            flusher_list_locked(f, ci, ON_LATER, false);
        } else {
            ci->since = time_ns();
            flusher_list_locked(f, ci, ON_DIRTY, false);
        }
    } else if (!inode_pages_writing(&ci->inode)) {
        flusher_list_locked(f, ci, ON_NONE, false);
        clean = true;
    }
    spin_unlock(&f->lock);
    if (clean)
        inode_put(&ci->inode);
}

static int flusher_write(struct flusher *f, struct cached_inode *ci, enum write_why why)
{
    struct write_control wc = {.why = why, .from = 0, .to = U64_MAX, .budget = FLUSH_PAGES};
    int err;

    COUNT(flusher_inodes);
    if (ci->inode.object)
        mem_object_write_back(ci->inode.object, &wc);
    err = inode_write(f, ci, why, INODE_DIRTY_TIMES | INODE_DIRTY_DATA);
    flusher_done(f, ci, wc.left_out || (why != WRITE_SYNC && wc.written >= FLUSH_PAGES));
    return err;
}

/* Those put aside come first again. */
static void flusher_resume(struct flusher *f)
{
    spin_lock(&f->lock);
    while (!list_empty(&f->later))
        flusher_list_locked(f, list_last(&f->later, struct cached_inode, dirty), ON_DIRTY, true);
    spin_unlock(&f->lock);
}

/* The first of those being written, if it is not any more, leaves. */
static bool flusher_settle(struct flusher *f)
{
    struct cached_inode *ci;

    spin_lock(&f->lock);
    ci = list_first(&f->writing, struct cached_inode, dirty);
    if (ci && !ci->busy && !inode_pages_writing(&ci->inode))
        flusher_list_locked(f, ci, ON_NONE, false);
    else
        ci = NULL;
    spin_unlock(&f->lock);
    if (ci)
        inode_put(&ci->inode);
    return ci;
}

static void flusher_round(struct flusher *f, u64 limit)
{
    struct cached_inode *ci;

    mutex_lock(&f->turn);
    while (flusher_settle(f))
        cond_yield();
    flusher_resume(f);
    while ((ci = flusher_take(f, limit))) {
        (void)flusher_write(f, ci, WRITE_BACKGROUND);
        mutex_unlock(&f->turn); /* a sync may come in between */
        cond_yield();
        mutex_lock(&f->turn);
    }
    mutex_unlock(&f->turn);
}

/* ------------------------------------------------------------- sync */

/* Waits for the first of those being written, and moves it out of the way. */
static void flusher_wait_first(struct flusher *f)
{
    struct cached_inode *ci;

    spin_lock(&f->lock);
    ci = list_first(&f->writing, struct cached_inode, dirty);
    if (ci)
        inode_get(&ci->inode);
    spin_unlock(&f->lock);
    if (!ci)
        return;
    if (ci->inode.object)
        mem_object_wait(ci->inode.object, 0, U64_MAX);
    spin_lock(&f->lock);
    if (ci->on == ON_WRITING) /* it is behind those that were there when we began */
        flusher_list_locked(f, ci, ON_WRITING, false);
    spin_unlock(&f->lock);
    inode_put(&ci->inode);
}

int flusher_sync(struct flusher *f)
{
    struct cached_inode *ci;
    u64 limit, n;
    int err = 0;

    mutex_lock(&f->turn);
    limit = time_ns();
    flusher_resume(f);
    while ((ci = flusher_take(f, limit))) {
        err = flusher_write(f, ci, WRITE_SYNC) ?: err;
        cond_yield();
    }
    for (n = READ_ONCE(f->nr_writing); n; n--)
        flusher_wait_first(f);
    while (flusher_settle(f))
        cond_yield();
    mutex_unlock(&f->turn);
    return f->super->ops->sync ? f->super->ops->sync(f->super) ?: err : err;
}

int inode_sync(struct inode *i, bool data_only)
{
    struct flusher *f = i->super->flusher;
    u8 what = data_only ? INODE_DIRTY_DATA : INODE_DIRTY_DATA | INODE_DIRTY_TIMES;

    if (!f)
        return 0;
    if (i->object)
        mem_object_sync(i->object, 0, U64_MAX);
    return inode_write(f, cached_inode_of(i), WRITE_SYNC, what);
}

bool flusher_forget(struct cached_inode *ci)
{
    struct flusher *f = ci->inode.super->flusher;
    bool dropped = false;

    if (!f)
        return false;
    spin_lock(&f->lock);
    if (ci->on != ON_NONE && !ci->busy) {
        flusher_list_locked(f, ci, ON_NONE, false);
        ci->what = 0;
        (void)refcount_put_left(&ci->inode.ref); /* the cache has one */
        dropped = true;
    }
    spin_unlock(&f->lock);
    return dropped;
}

/* ------------------------------------------------------------- life, and all of them */

struct flusher *flusher_create(struct super *s)
{
    struct flusher *f = kzalloc(sizeof(*f));

    if (!f)
        return NULL;
    f->super = s;
    mutex_init(&f->turn, RANK_OPS, ORDER_FLUSH, "flusher turn");
    spinlock_init(&f->lock, RANK_VM, RANK_ORDER_FLUSHER, "flusher");
    list_init(&f->dirty);
    list_init(&f->later);
    list_init(&f->writing);
    waitq_init(&f->wake);
    waitq_init(&f->written);
    work_init(&f->start, flusher_start);
    completion_init(&f->ended);
    spin_lock(&flushers_lock);
    list_add_tail(&flushers, &f->node);
    nr_flushers++;
    spin_unlock(&flushers_lock);
    return f;
}

void flusher_destroy(struct flusher *f)
{
    ASSERT(flusher_idle(f));
    spin_lock(&flushers_lock);
    list_del(&f->node);
    nr_flushers--;
    spin_unlock(&flushers_lock);
    WRITE_ONCE(f->stop, true);
    work_flush(workq_system, &f->start);
    if (f->running) {
        waitq_wake_all(&f->wake);
        completion_wait(&f->ended);
    }
    kfree(f);
}

static struct super *flusher_next_super(void)
{
    struct super *s = NULL;
    struct flusher *f;

    spin_lock(&flushers_lock);
    f = list_first(&flushers, struct flusher, node);
    if (f) {
        list_del(&f->node);
        list_add_tail(&flushers, &f->node);
        if (refcount_get_unless_zero(&f->super->ref))
            s = f->super;
    }
    spin_unlock(&flushers_lock);
    return s;
}

void vfs_sync_all(void)
{
    for (u32 n = READ_ONCE(nr_flushers); n; n--) {
        struct super *s = flusher_next_super();

        if (s) {
            (void)super_sync(s);
            super_put(s);
        }
        cond_yield();
    }
}
