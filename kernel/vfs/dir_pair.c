/* SPDX-License-Identifier: MIT
 *
 * Two directories locked for a move between them, with the rename mutex of their file system, which
 * all who move something there share: containers, whose upper layers lie in one, and the host. So
 * it is not held over a yield or a sleep: the thread that comes back late from it may be one of
 * thousands of its program's. What may take long comes before it or after it:
 *
 * - of the two locks one is waited for before the mutex is taken, the other is had at once or not:
 *   then all is released, and that other one is waited for first. The holder of the mutex waits for
 * no directory's lock; so waiting for it with one in hand is safe. After some failures the one let
 *   go is claimed first: readers that come and go could keep it taken for ever.
 * - how the directories lie to each other is looked up under the mutex where that is short; in a
 *   deep tree before, and counts if nothing has been moved meanwhile. Where others' moves keep
 *   spoiling that, more is looked up under the mutex in the end.
 *
 * Where moves take long (an overlay copies files up), a mutex of their own comes before all that:
 * with a directory locked none waits for them.
 */
#include "arch/x86/percpu.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/vfs.h"

#define DIR_TRIES 4 /* before readers are held off */

/* How the next try goes. */
struct dir_order {
    struct inode *first, *second; /* waited for; had at once or not */
    unsigned failed;              /* second was not free */
    unsigned spoiled;             /* by others' moves: a look before the locks */
    bool claimed;                 /* second is */
    bool deep;
    u32 seq; /* deep: where the super's moves stood before the look */
};

/* Of the two at most one lies below the other. */
static bool dir_pair_look_locked(struct dir_pair *p, unsigned spoiled)
    REQUIRES(p->a->super->renames)
{
    ASSERT_HELD(&p->a->super->renames);
    ASSERT_HELD(&p->b->super->renames); /* the same lock, as the callee names it */
    p->under_b = NULL;
    return dentry_child_above_locked(p->a, p->b, spoiled, &p->under_a) &&
           (p->under_a || dentry_child_above_locked(p->b, p->a, spoiled, &p->under_b));
}

static void dir_pair_look(struct dir_pair *p, struct dir_order *o)
{
    o->seq = seqcount_read_begin(&p->a->super->moved);
    p->under_a = dentry_child_above(p->a, p->b);
    p->under_b = p->under_a ? NULL : dentry_child_above(p->b, p->a);
}

static bool dir_pair_known(struct dir_pair *p, struct dir_order *o)
{
    ASSERT_HELD(&p->a->super->renames);
    if (o->deep && !seqcount_read_retry(&p->a->super->moved, o->seq))
        return true;
    o->spoiled += o->deep;
    o->deep = true;
    return dir_pair_look_locked(p, o->spoiled);
}

static void dir_pair_unclaim(struct dir_order *o)
{
    if (o->claimed)
        rwlock_write_unclaim(&o->second->lock);
    o->claimed = false;
}

/* The first one is released: the second, which was not free, is waited for next. */
static void
dir_pair_turn(struct dir_order *o) NO_THREAD_SAFETY /* which is first and second changes */
{
    struct inode *held = o->first;

    dir_pair_unclaim(o);
    o->first = o->second;
    o->second = held;
    o->claimed = ++o->failed >= DIR_TRIES;
    if (o->claimed)
        rwlock_write_claim(&held->lock);
    rwlock_write_unlock(&held->lock);
}

/* 0: all is locked. -EAGAIN, -EINTR: nothing is. */
static int dir_pair_try(struct dir_pair *p,
                        struct dir_order *o) NO_THREAD_SAFETY /* takes all or none */
{
    struct super *s = p->a->super;
    int err = rwlock_write_lock_killable(&o->first->lock);

    if (err)
        return err;
    err = mutex_lock_killable(&s->renames);
    if (err) {
        rwlock_write_unlock(&o->first->lock);
        return err;
    }
    if (!rwlock_write_trylock(&o->second->lock)) {
        mutex_unlock(&s->renames);
        dir_pair_turn(o);
        return -EAGAIN;
    }
    if (dir_pair_known(p, o))
        return 0;
    mutex_unlock(&s->renames);
    rwlock_write_unlock(&o->second->lock);
    rwlock_write_unlock(&o->first->lock);
    return -EAGAIN;
}

static int dir_pair_lock_all(struct dir_pair *p)
{
    struct dir_order o = {.first = dentry_inode(p->a), .second = dentry_inode(p->b)};
    int err;

    while ((err = dir_pair_try(p, &o)) == -EAGAIN) {
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE)) {
            err = -EINTR;
            break;
        }
        cond_yield();
        if (!o.deep)
            continue;
        dir_pair_unclaim(&o); /* no reader waits for a climb */
        dir_pair_look(p, &o);
    }
    dir_pair_unclaim(&o);
    return err;
}

int dir_pair_lock(struct dir_pair *p) NO_THREAD_SAFETY /* takes all or none */
{
    struct super *s = p->a->super;
    int err = s->moves_long ? mutex_lock_killable(&s->movers) : 0;

    if (err)
        return err;
    err = dir_pair_lock_all(p);
    p->moves = !err;
    if (err && s->moves_long)
        mutex_unlock(&s->movers);
    return err;
}

void dir_pair_end_moves(struct dir_pair *p) NO_THREAD_SAFETY /* if not yet done */
{
    struct super *s;

    if (!p->moves)
        return;
    p->moves = false;
    s = p->a->super;
    mutex_unlock(&s->renames);
    if (s->moves_long)
        mutex_unlock(&s->movers);
}

void dir_pair_unlock(struct dir_pair *p) NO_THREAD_SAFETY /* what dir_pair_lock took */
{
    dir_pair_end_moves(p);
    rwlock_write_unlock(&dentry_inode(p->a)->lock);
    rwlock_write_unlock(&dentry_inode(p->b)->lock);
}

bool dir_pair_lock_replaced(struct dir_pair *p,
                            struct inode *dir) NO_THREAD_SAFETY /* waits for it or not */
{
    if (p->moves)
        return rwlock_write_trylock(&dir->lock);
    rwlock_write_lock_nested(&dir->lock); /* below the one that is locked */
    return true;
}

int dir_claim(struct inode **claimed, struct inode *dir)
{
    int err = rwlock_write_lock_killable(&dir->lock);

    if (err)
        return err;
    inode_get(dir);
    *claimed = dir;
    rwlock_write_claim(&dir->lock);
    rwlock_write_unlock(&dir->lock);
    cond_yield();
    return thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE) ? -EINTR : 0;
}

void dir_unclaim(struct inode **claimed)
{
    if (!*claimed)
        return;
    rwlock_write_unclaim(&(*claimed)->lock);
    inode_put(*claimed);
    *claimed = NULL;
}
