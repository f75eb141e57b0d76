/* SPDX-License-Identifier: MIT
 *
 * Two directories locked for a move between them, with the rename mutex of their file system, which
 * all who move something there share: containers, whose upper layers lie in one, and the host. So
 * it is not held over a yield or a sleep: the thread that comes back late from it may be one of
 * thousands of its program's. What may take long comes before it or after it:
 *
 * - of the two locks one is waited for before the mutex is taken, the other is had at once or not:
 *   then all is let go, and that other one is waited for first. Who holds the mutex waits for no
 *   directory's lock; so waiting for it with one in hand is safe.
 * - how the directories lie to each other is looked up under the mutex where that is short; in a
 *   deep tree before, and counts if nothing has been moved meanwhile.
 */
#include "arch/x86/percpu.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/vfs.h"

static bool dir_pair_look_locked(struct dir_pair *p)
{
    return dentry_child_above_locked(p->a, p->b, &p->under_a) &&
           dentry_child_above_locked(p->b, p->a, &p->under_b);
}

/* Returns where the super's moves stood when it began. */
static u32 dir_pair_look(struct dir_pair *p)
{
    u32 seq = seqcount_read_begin(&p->a->super->moved);

    p->under_a = dentry_child_above(p->a, p->b);
    p->under_b = dentry_child_above(p->b, p->a);
    return seq;
}

int dir_pair_lock(struct dir_pair *p)
{
    struct inode *first = dentry_inode(p->a), *second = dentry_inode(p->b), *other;
    struct super *s = p->a->super;
    bool deep = false, known;
    u32 seq = 0;

    for (;;) {
        if (deep)
            seq = dir_pair_look(p);
        rwlock_write_lock(&first->lock);
        mutex_lock(&s->renames);
        p->moves = true;
        known = deep ? !seqcount_read_retry(&s->moved, seq) : dir_pair_look_locked(p);
        if (known && rwlock_write_trylock(&second->lock))
            return 0;
        dir_pair_end_moves(p);
        rwlock_write_unlock(&first->lock);
        if (!known) {
            deep = true;
        } else {
            other = first;
            first = second;
            second = other;
        }
        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            return -EINTR;
        cond_yield();
    }
}

void dir_pair_end_moves(struct dir_pair *p)
{
    if (p->moves)
        mutex_unlock(&p->a->super->renames);
    p->moves = false;
}

void dir_pair_unlock(struct dir_pair *p)
{
    dir_pair_end_moves(p);
    rwlock_write_unlock(&dentry_inode(p->a)->lock);
    rwlock_write_unlock(&dentry_inode(p->b)->lock);
}

bool dir_pair_lock_replaced(struct dir_pair *p, struct inode *dir)
{
    if (p->moves)
        return rwlock_write_trylock(&dir->lock);
    rwlock_write_lock(&dir->lock);
    return true;
}

void dir_wait_unlocked(struct inode *dir)
{
    rwlock_write_lock(&dir->lock);
    rwlock_write_unlock(&dir->lock);
    cond_yield();
}
