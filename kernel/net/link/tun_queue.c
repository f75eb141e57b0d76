/* SPDX-License-Identifier: MIT
 *
 * Which files a device of /dev/net/tun has, and what waits in them. tun_priv.h has the rules.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "net/link/tun_priv.h"
#include "obj/poll.h"
#include "sched/thread.h"

struct mutex tun_join_lock;

static void tun_init(void)
{
    mutex_init(&tun_join_lock, RANK_DRIVER, 27, "tun files");
}
INIT_HOOK(tun_init, INIT_CORE);

void tun_file_init(struct tun_file *tf)
{
    mutex_init(&tf->joining, RANK_DRIVER, 28, "tun file's join");
    spinlock_init(&tf->lock, RANK_NET, 3, "tun frames");
    list_init(&tf->frames);
    waitq_init(&tf->wait);
}

/* ---- which queue is whose ---- */

static void tun_frames_take(struct tun_file *tf, struct list_node *out)
{
    spin_lock(&tf->lock);
    list_splice_tail(out, &tf->frames);
    WRITE_ONCE(tf->nr_frames, 0);
    spin_unlock(&tf->lock);
}

static void tun_set_driver(struct netdev_queue *q, struct tun_file *tf)
{
    spin_lock(&q->lock);
    q->driver = tf;
    if (tf)
        WRITE_ONCE(tf->index, q->index);
    spin_unlock(&q->lock);
}

/* What waits in the queue goes to tf. */
static void tun_set_queue(struct tun *t, u32 i, struct tun_file *tf)
{
    tun_set_driver(&t->dev.queues[i], tf);
    netdev_wake(&t->dev.queues[i]);
}

/* What waits in the queue is lost: there can be many, so the caller frees them without locks. */
static void tun_unset_queue(struct tun *t, u32 i, struct list_node *lost)
{
    tun_set_driver(&t->dev.queues[i], NULL);
    netdev_take_backlog(&t->dev.queues[i], lost);
}

void tun_attach(struct tun *t, struct tun_file *tf)
{
    ASSERT(!tf->attached && t->nr_attached < t->dev.nr_queues);
    WRITE_ONCE(tf->attached, true);
    tun_set_queue(t, t->nr_attached, tf);
    WRITE_ONCE(t->nr_attached, t->nr_attached + 1);
}

void tun_detach(struct tun *t, struct tun_file *tf, struct list_node *lost)
{
    u32 last = t->nr_attached - 1, index = tf->index;

    ASSERT(tf->attached && index <= last);
    WRITE_ONCE(t->nr_attached, last);
    if (index != last)
        tun_set_queue(t, index, t->dev.queues[last].driver);
    tun_unset_queue(t, last, lost);
    if (t->flows)
        flow_move(t->flows, last, index);
    WRITE_ONCE(tf->attached, false);
    tun_frames_take(tf, lost);
}

int tun_add_file(struct tun *t, struct tun_file *tf)
{
    if (t->nr_files == t->dev.nr_queues)
        return t->dev.nr_queues == 1 ? -EBUSY : -E2BIG;
    t->nr_files++;
    spin_lock(&t->lock);
    list_add_tail(&t->files, &tf->node);
    spin_unlock(&t->lock);
    tun_attach(t, tf);
    return 0;
}

bool tun_remove_file(struct tun *t, struct tun_file *tf, struct list_node *lost)
{
    if (tf->attached)
        tun_detach(t, tf, lost);
    spin_lock(&t->lock);
    list_del(&tf->node);
    spin_unlock(&t->lock);
    return --t->nr_files == 0;
}

/* ---- what waits to be read ---- */

void tun_give(struct tun_file *tf, struct packet *p)
{
    spin_lock(&tf->lock);
    list_add_tail(&tf->frames, &p->node);
    WRITE_ONCE(tf->nr_frames, tf->nr_frames + 1);
    spin_unlock(&tf->lock);
    waitq_wake_inline(&tf->wait, POLLIN | POLLRDNORM, 1);
}

/* There is space again: the file's queue goes on, which may be another one meanwhile. */
static void tun_go_on(struct tun *t, struct tun_file *tf)
{
    u32 index;

    do {
        index = READ_ONCE(tf->index);
        netdev_wake(&t->dev.queues[index]);
    } while (READ_ONCE(tf->index) != index);
}

struct packet *tun_take(struct tun *t, struct tun_file *tf)
{
    struct packet *p;
    bool was_full;

    spin_lock(&tf->lock);
    was_full = tf->nr_frames >= TUN_FRAMES;
    p = list_first(&tf->frames, struct packet, node);
    if (p) {
        list_del(&p->node);
        WRITE_ONCE(tf->nr_frames, tf->nr_frames - 1);
    }
    spin_unlock(&tf->lock);
    if (was_full)
        tun_go_on(t, tf);
    return p;
}

void tun_purge_all(struct tun *t)
{
    struct list_node frames;
    struct tun_file *tf;

    list_init(&frames);
    spin_lock(&t->lock);
    list_for_each (tf, &t->files, node)
        tun_frames_take(tf, &frames);
    spin_unlock(&t->lock);
    packets_free(&frames);
    tun_wake_all(t);
}

void tun_wake_all(struct tun *t)
{
    struct tun_file *tf;

    spin_lock(&t->lock);
    list_for_each (tf, &t->files, node)
        waitq_wake_all(&tf->wait);
    spin_unlock(&t->lock);
}
