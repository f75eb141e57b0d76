/* SPDX-License-Identifier: MIT
 *
 * The classes of locks that were taken since the start, for the console command `locks` of the
 * debug build. A lock is noted once, by the first that takes it.
 */
#include "sync/lockdep.h"

#ifdef DEBUG
#include "arch/x86/regs.h"
#include "lib/atomic.h"
#include "lib/log.h"
#include "lib/string.h"

#define CLASSES_MAX 256

static struct lock_tag lock_classes[CLASSES_MAX]; /* entries below count do not change */
static unsigned lock_classes_n;                   /* lock_classes_busy to write, a */
static u8 lock_classes_busy;                      /* a */

static bool lock_class_is(const struct lock_tag *a, const struct lock_tag *b)
{
    return a->rank == b->rank && a->order == b->order && a->kind == b->kind &&
           a->flags == b->flags && (a->name == b->name || strcmp(a->name, b->name) == 0);
}

static bool lock_class_find(const struct lock_tag *tag)
{
    unsigned n = __atomic_load_n(&lock_classes_n, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < n; i++)
        if (lock_class_is(&lock_classes[i], tag))
            return true;
    return false;
}

static void lock_class_add(const struct lock_tag *tag)
{
    u64 flags = irq_save();

    while (__atomic_exchange_n(&lock_classes_busy, 1, __ATOMIC_ACQUIRE))
        cpu_relax();
    if (lock_classes_n < CLASSES_MAX && !lock_class_find(tag)) {
        lock_classes[lock_classes_n] = *tag;
        __atomic_store_n(&lock_classes_n, lock_classes_n + 1, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&lock_classes_busy, 0, __ATOMIC_RELEASE);
    irq_restore(flags);
}

void lock_class_note(struct lock_tag *tag)
{
    if (likely(tag->noted))
        return;
    if (!lock_class_find(tag))
        lock_class_add(tag);
    tag->noted = true;
}

/* The highest below `below`, of (rank, order, place in the list); NULL: none. */
static const struct lock_tag *lock_class_next(u64 *below)
{
    unsigned n = __atomic_load_n(&lock_classes_n, __ATOMIC_ACQUIRE);
    const struct lock_tag *best = NULL;
    u64 best_key = 0;

    for (unsigned i = 0; i < n; i++) {
        u64 key = (u64)lock_classes[i].rank << 24 | (u64)lock_classes[i].order << 16 | (i + 1);

        if (key < *below && key > best_key) {
            best = &lock_classes[i];
            best_key = key;
        }
    }
    *below = best_key;
    return best;
}

static int lock_classes_show(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    static const char *const kinds[] = {"spin", "mutex", "rwlock", "bit"};
    const struct lock_tag *tag;
    u64 below = U64_MAX;

    emit("rank order kind    name\n");
    while ((tag = lock_class_next(&below)))
        emit("%4u %5u %-7s %s%s%s\n", tag->rank, tag->order, kinds[tag->kind], tag->name,
             tag->flags & LOCK_OVER_COPY >> 8 ? ", over user copies" : "",
             tag->flags & LOCK_BRIEF >> 8 ? ", brief" : "");
    return 0;
}
CONSOLE_CMD(locks)
= {"locks", "the classes of locks seen, the outermost first", lock_classes_show, true};
#endif
