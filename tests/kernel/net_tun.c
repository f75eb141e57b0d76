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
    mutex_lock(&tun_join_lock);
    for (u32 i = 0; i < READERS; i++)
        (void)tun_remove_file(t, &readers[i]);
    mutex_unlock(&tun_join_lock);
    for (u32 i = 0; i < READERS; i++)
        tun_purge(&readers[i]);
    CHECK(!net_device_delete(&t->dev));
    netdev_put(&t->dev);
}

static int reader_send(struct tun *t)
{
    struct packet *p = packet_alloc();

    if (!p)
        return -1;
    memset(packet_append(p, 60), 0, 60);
    return netdev_transmit(&t->dev, p);
}

SELFTEST(tun_frames_are_charged_to_the_opener_of_the_file_that_reads_them)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct tun *t = ns ? readers_make(ns) : NULL;

    CHECK(t);
    for (u32 i = 0; i < READERS; i++) {
        mutex_lock(&tun_join_lock);
        tun_detach(t, &readers[!i]);
        mutex_unlock(&tun_join_lock);
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
