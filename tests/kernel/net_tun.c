/* SPDX-License-Identifier: MIT
 *
 * Devices of /dev/net/tun: who is charged for what waits to be read.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/account.h"
#include "net/core/device.h"
#include "net/link/tun_priv.h"
#include "obj/cred.h"
#include "sync/rcu.h"

#define READERS 2

static struct account payers[READERS];
static struct tun_file readers[READERS];

/* A device that is up with two files that have openers of their own; NULL: it could not be made. */
static struct tun *readers_make(struct net_ns *ns)
{
    struct tun *t;
    int err;

    for (u32 i = 0; i < READERS; i++) {
        account_init(&payers[i], NULL, NULL);
        memset(&readers[i], 0, sizeof(readers[i]));
        tun_file_init(&readers[i]);
        readers[i].ns = ns;
        readers[i].account = &payers[i];
    }
    if (tun_create(&readers[0], "t0", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE, &t))
        return NULL;
    mutex_lock(&tun_join_lock);
    err = tun_add_file(t, &readers[1]);
    mutex_unlock(&tun_join_lock);
    return err || netdev_up(&t->dev) ? NULL : t;
}

static void readers_end(struct tun *t)
{
    struct list_node lost;

    list_init(&lost);
    mutex_lock(&tun_join_lock);
    for (u32 i = 0; i < READERS; i++)
        (void)tun_remove_file(t, &readers[i], &lost);
    mutex_unlock(&tun_join_lock);
    packets_free(&lost);
    CHECK(!net_device_delete(&t->dev));
    netdev_put(&t->dev);
}

static u32 frames_freed;

static void frame_gone(struct packet_sender *sender, u32 n)
{
    frames_freed += n;
}
static struct packet_sender frame_sender = {frame_gone};

static int reader_send(struct tun *t)
{
    struct packet *p = packet_alloc();

    if (!p)
        return -1;
    memset(packet_append(p, 60), 0, 60);
    p->sender = &frame_sender;
    p->sent = 1;
    return netdev_transmit(&t->dev, p);
}

/* What was for that reader. */
static void reader_detach(struct tun *t, u32 i, struct list_node *lost)
{
    mutex_lock(&tun_join_lock);
    tun_detach(t, &readers[i], lost);
    mutex_unlock(&tun_join_lock);
}

SELFTEST(tun_frames_are_charged_to_the_opener_of_the_file_that_reads_them)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct tun *t = ns ? readers_make(ns) : NULL;

    CHECK(t);
    for (u32 i = 0; i < READERS; i++) {
        struct list_node lost;

        list_init(&lost);
        reader_detach(t, !i, &lost);
        packets_free(&lost);
        CHECK(!reader_send(t) && readers[i].nr_frames == 1);
        CHECK(atomic_read(&payers[i].used) && (i || !atomic_read(&payers[1].used)));
        mutex_lock(&tun_join_lock);
        tun_attach(t, &readers[!i]);
        mutex_unlock(&tun_join_lock);
    }
    readers_end(t);
    for (u32 i = 0; i < READERS; i++)
        CHECK(atomic_read(&payers[i].stock) == atomic_read(&payers[i].used) << PAGE_SHIFT);
    net_ns_put(ns);
}

/* What waits for a file that has no queue any more can be much: it is given to the one who takes
 * the queue away, whole, and freed by nobody while locks are held. */
SELFTEST(tun_frames_of_a_file_that_is_detached_are_freed_without_locks)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct tun *t = ns ? readers_make(ns) : NULL;
    struct list_node lost;
    u32 n = 0;

    CHECK(t);
    list_init(&lost);
    reader_detach(t, 1, &lost);
    while (n < TUN_FRAMES + 100 && !reader_send(t))
        n++;
    CHECK(n == TUN_FRAMES + 100 && t->dev.queues[0].nr_backlog == 100);
    frames_freed = 0;
    reader_detach(t, 0, &lost);
    CHECK(!readers[0].nr_frames && !t->dev.queues[0].nr_backlog && !frames_freed);
    CHECK(t->dev.queues[0].tx_dropped == 100);
    packets_free(&lost);
    CHECK(frames_freed == 100); /* a reader's had arrived */
    readers_end(t);
    net_ns_put(ns);
}

/* Those who take devices away wait for writers once, for all of them. */
SELFTEST(tun_that_goes_has_no_grace_period_of_its_own)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct tun *t = ns ? readers_make(ns) : NULL;

    CHECK(t);
    __atomic_fetch_or(&t->dev.flags, NETDEV_GONE, __ATOMIC_SEQ_CST);
    rcu_read_lock(); /* nothing sleeps here, as the debug build sees */
    tun_ops.stop(&t->dev);
    rcu_read_unlock();
    __atomic_fetch_and(&t->dev.flags, ~(u32)NETDEV_GONE, __ATOMIC_SEQ_CST);
    readers_end(t);
    net_ns_put(ns);
}
