/* SPDX-License-Identifier: MIT
 *
 * The table of neighbours: what may wait there, and who pays.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/ns.h"
#include "net/core/conf.h"
#include "net/ip/ip_priv.h"
#include "net/ip/neighbour_priv.h"

#define NEIGHBOUR_DEVICE 0x7ffffff0 /* an index that no device has */
#define NEIGHBOUR_OTHERS 8          /* accounts, not all of them in one share */

static u8 neighbour_sent_to[6]; /* the last frame */
static u32 neighbour_nr_sent;

static int neighbour_transmit_frame(struct netdev_queue *q, struct packet *p, bool more)
{
    memcpy(neighbour_sent_to, packet_data(p), sizeof(neighbour_sent_to));
    neighbour_nr_sent++;
    packet_free(p);
    return 0;
}

static const struct netdev_ops neighbour_ops = {.transmit = neighbour_transmit_frame};

/* I while a test runs */
static struct neighbour_bench {
    struct neighbour_table table;
    struct netdev dev;
    struct netdev_queue queue;
    struct account above, account;
    struct account others[NEIGHBOUR_OTHERS];
} bench;

static void neighbour_begin(s64 limit)
{
    memset(&bench, 0, sizeof(bench));
    account_init(&bench.above, NULL, NULL);
    account_init(&bench.account, &bench.above, NULL);
    bench.account.limit = limit;
    for (u32 i = 0; i < NEIGHBOUR_OTHERS; i++) {
        account_init(&bench.others[i], &bench.above, NULL);
        bench.others[i].limit = S64_MAX;
    }
    netdev_init(&bench.dev, &neighbour_ops, &bench.queue, 1);
    bench.dev.ns = net_ns_init;
    bench.dev.index = NEIGHBOUR_DEVICE;
    bench.dev.flags = NETDEV_UP;
    net_confs_begin(net_ns_init, &bench.dev);
    neighbour_table_init(&bench.table, &bench.account, false, false);
}

/* A packet that keeps a page, to neighbour number n. payer: NULL: the table's. */
static int neighbour_send_of(u32 n, struct account *payer)
{
    struct ip_addr to = ip_from_v4(0x0a000000 + n);
    struct packet *p = packet_alloc();
    struct page *page = page_alloc(0, 0);

    if (!p || !page || packet_add_page(p, page, 0, 100)) {
        packet_free(p);
        if (page)
            page_put(page);
        return -ENOMEM;
    }
    if (payer && packet_charge(p, payer)) {
        packet_free(p);
        return -ENOMEM;
    }
    return neighbour_output(&bench.table, &bench.dev, &to, p);
}

static int neighbour_send(u32 n)
{
    return neighbour_send_of(n, NULL);
}

/* One that has a share of its own, beside the table's account. */
static struct account *neighbour_other(void)
{
    struct packet own = {.account = &bench.account};

    for (u32 i = 0; i < NEIGHBOUR_OTHERS; i++) {
        struct packet p = {.account = &bench.others[i]};

        if (neighbour_share_of(&bench.table, &p) != neighbour_share_of(&bench.table, &own))
            return &bench.others[i];
    }
    return NULL;
}

static bool neighbour_is_there(u32 n)
{
    struct ip_addr at = ip_from_v4(0x0a000000 + n);
    bool there;

    spin_lock(&bench.table.lock);
    there = neighbour_find(&bench.table, NEIGHBOUR_DEVICE, &at);
    spin_unlock(&bench.table.lock);
    return there;
}

/* What is charged, in bytes. */
static s64 neighbour_charged(void)
{
    s64 pages = atomic_read(&bench.account.used);

    return (pages << PAGE_SHIFT) - atomic_read(&bench.account.stock);
}

SELFTEST(neighbour_packets_that_wait_are_bounded_and_charged)
{
    u32 refused = 0;
    u64 bytes;
    s64 charged;

    neighbour_begin(S64_MAX);
    for (u32 i = 0; i < 64 * NEIGHBOUR_PENDING; i++)
        refused += neighbour_send(i / NEIGHBOUR_PENDING) == -ENOBUFS;
    bytes = bench.table.bytes;
    charged = neighbour_charged();
    neighbour_table_fini(&bench.table);
    /* of one account: as much as it leaves for others */
    CHECK(bytes > NEIGHBOURS_BYTES / 4 && bytes <= NEIGHBOURS_BYTES / 2 && refused);
    CHECK(charged == (s64)bytes);
    CHECK(bench.table.bytes == 0 && neighbour_charged() == 0);
}

SELFTEST(neighbour_packet_that_its_account_cannot_pay_is_dropped)
{
    u64 bytes;

    neighbour_begin(0);
    CHECK(neighbour_send(1) == -ENOBUFS);
    bytes = bench.table.bytes;
    neighbour_table_fini(&bench.table);
    CHECK(bytes == 0 && neighbour_charged() == 0);
}

SELFTEST(neighbour_keeps_the_youngest_packets)
{
    u64 bytes, one;

    neighbour_begin(S64_MAX);
    CHECK(neighbour_send(1) == 0);
    one = bench.table.bytes;
    for (u32 i = 0; i < 2 * NEIGHBOUR_PENDING; i++)
        CHECK(neighbour_send(1) == 0);
    bytes = bench.table.bytes;
    neighbour_forget(&bench.table, &bench.dev);
    CHECK(bench.table.nr == 0 && bench.table.bytes == 0);
    neighbour_table_fini(&bench.table);
    CHECK(bytes == NEIGHBOUR_PENDING * one);
}

/* One account that sends to many silent addresses, at once and without end, keeps no other one's
 * packet from waiting, nor from being sent in the end: not to a neighbour of its own, nor to one
 * that both send to. */
SELFTEST(neighbour_that_one_waits_for_is_not_lost_to_anothers_flood)
{
    static const u8 link[6] = {2, 0, 0, 0, 0, 1};
    struct ip_addr mine = ip_from_v4(0x0a000001);
    struct account *other;
    struct packet p = {.account = NULL};
    u64 one;

    neighbour_begin(S64_MAX);
    bench.table.closed = true; /* its timer is not started: this test takes as long as it takes */
    bench.dev.type = 1;
    bench.dev.header = 14;
    bench.dev.mtu = 1500;
    neighbour_nr_sent = 0;
    p.account = other = neighbour_other();
    CHECK(other && !neighbour_send_of(2, other));
    one = bench.table.bytes;
    for (u32 i = 0; i < 3 * NEIGHBOUR_PENDING; i++)
        (void)neighbour_send(2);
    for (u32 i = 0; i < 64 * NEIGHBOUR_PENDING; i++)
        (void)neighbour_send(3 + i / NEIGHBOUR_PENDING);
    CHECK(!neighbour_send_of(1, other));
    for (u32 i = 0; i < 2 * NEIGHBOURS_MOST; i++)
        (void)neighbour_send(100 + i);
    CHECK(neighbour_is_there(1) && neighbour_is_there(2));
    CHECK(neighbour_share_of(&bench.table, &p)->bytes == 2 * one);
    neighbour_input(&bench.table, &bench.dev, &mine, link, NEIGHBOUR_ANSWERS, false);
    CHECK(neighbour_nr_sent == 1);
    neighbour_table_fini(&bench.table);
    CHECK(!bench.table.nr_asked && !bench.table.bytes);
}

/* A packet that is not to be asked for yet takes no other's place. */
SELFTEST(neighbour_that_failed_evicts_none_while_it_waits)
{
    struct ip_addr first = ip_from_v4(0x0a000001);
    struct neighbour_entry *e;

    neighbour_begin(S64_MAX);
    bench.table.closed = true;
    (void)neighbour_send(1);
    spin_lock(&bench.table.lock);
    e = neighbour_find(&bench.table, NEIGHBOUR_DEVICE, &first);
    if (e) {
        e->n.state = NEIGHBOUR_FAILED;
        e->n.deadline = U64_MAX;
        neighbour_refile(&bench.table, e);
    }
    spin_unlock(&bench.table.lock);
    for (u32 i = 0; i < NEIGHBOURS_ASKED; i++)
        (void)neighbour_send(2 + i);
    CHECK(e && bench.table.nr_asked == NEIGHBOURS_ASKED);
    CHECK(neighbour_send(1) == -EHOSTUNREACH);
    CHECK(neighbour_is_there(2) && bench.table.nr_asked == NEIGHBOURS_ASKED);
    neighbour_table_fini(&bench.table);
}

/* Those that were asked for more than once. */
static u32 neighbour_asked_again(void)
{
    struct neighbour_view at = {.device = 0};
    u32 n = 0;

    while (neighbour_next(&bench.table, &at))
        n += at.n.asked > 1;
    return n;
}

/* Numbers 1 to n, which are there. */
static void neighbour_make_due(u32 n)
{
    spin_lock(&bench.table.lock);
    for (u32 i = 0; i < n; i++) {
        struct ip_addr at = ip_from_v4(0x0a000001 + i);
        struct neighbour_entry *e = neighbour_find(&bench.table, NEIGHBOUR_DEVICE, &at);

        e->n.deadline = 1;
        ip_due_set(&bench.table.due, &e->due, 1);
    }
    spin_unlock(&bench.table.lock);
}

/* While the worker of IP is busy, the kernel's own is not. */
static struct completion busy_begun, busy_end;

static void busy_run(struct work *w)
{
    completion_signal(&busy_begun);
    completion_wait(&busy_end);
}

static void other_run(struct work *w)
{
}

SELFTEST(neighbours_that_are_due_leave_the_kernel_s_worker_alone)
{
    static struct work busy, other;

    completion_init(&busy_begun);
    completion_init(&busy_end);
    neighbour_begin(S64_MAX);
    work_init(&busy, busy_run);
    work_init(&other, other_run);
    work_queue(ip_worker, &busy);
    completion_wait(&busy_begun);
    (void)neighbour_send(1);
    bench.table.timer.fire(&bench.table.timer); /* its time has come */
    (void)work_queue(workq_system, &other);
    work_flush(workq_system, &other);
    CHECK(bench.table.work.pending);
    completion_signal(&busy_end);
    work_flush(ip_worker, &busy);
    neighbour_table_fini(&bench.table);
}

/* The worker is all namespaces': many that are due at once are asked for in turns. */
SELFTEST(neighbours_that_are_due_leave_the_worker_to_others)
{
    u32 first;

    neighbour_begin(S64_MAX);
    bench.table.closed = true; /* neither timer nor job goes on by itself */
    for (u32 i = 0; i < 100; i++)
        (void)neighbour_send(1 + i);
    neighbour_make_due(100);
    CHECK(!neighbour_asked_again());
    bench.table.work.run(&bench.table.work);
    first = neighbour_asked_again();
    bench.table.closed = false;
    work_queue(ip_worker, &bench.table.work);
    work_flush(ip_worker, &bench.table.work);
    CHECK(neighbour_asked_again() == 100);
    neighbour_table_fini(&bench.table);
    CHECK(first == 32);
}

/* Numbers 1 to n are known, but were not confirmed. */
static bool neighbour_learn(u32 n)
{
    static const u8 link[6] = {2, 0, 0, 0, 0, 1};
    bool all = true;

    for (u32 i = 1; i <= n; i++) {
        struct ip_addr to = ip_from_v4(0x0a000000 + i);

        all &= !neighbour_set(&bench.table, &bench.dev, &to, link, false, true, false);
    }
    return all;
}

/* The first n of the table's were not used of late, all others are at this moment. */
static void neighbour_make_old(u32 n)
{
    struct neighbour_entry *e;

    spin_lock(&bench.table.lock);
    list_for_each (e, &bench.table.used, used)
        e->used_at = n && n-- ? 1 : U64_MAX;
    bench.table.age_at = 1;
    spin_unlock(&bench.table.lock);
}

/* Those that were not used for gc_stale_time go where there are gc_thresh1 or more: some in a turn,
 * the oldest first. */
SELFTEST(neighbours_that_are_old_go_where_there_are_many)
{
    u32 few = (u32)neighbour_bounds_of(false, false).few, first, last;

    neighbour_begin(S64_MAX);
    bench.table.closed = true; /* neither timer nor job goes on by itself */
    bench.dev.conf[CONF4_NEIGH_STALE] = 0;
    CHECK(few == 128 && neighbour_learn(few - 1) && !bench.table.age_at);
    neighbour_make_old(few);
    bench.table.work.run(&bench.table.work);
    CHECK(bench.table.nr == few - 1 && !bench.table.age_at); /* they are few */
    CHECK(neighbour_learn(2 * few) && bench.table.age_at);
    neighbour_make_old(few + 40);
    bench.table.work.run(&bench.table.work);
    first = bench.table.nr;
    for (u32 i = 0; i < 8; i++)
        bench.table.work.run(&bench.table.work);
    last = bench.table.nr;
    CHECK(neighbour_is_there(2 * few) && !neighbour_is_there(1) && !neighbour_is_there(100));
    neighbour_table_fini(&bench.table);
    CHECK(first == 2 * few - 32 && last == few - 1);
}

/* A new one takes the place of one that was not used of late beyond gc_thresh2, of any beyond
 * gc_thresh3; a table that has too many follows. */
SELFTEST(neighbours_are_as_many_as_the_host_says)
{
    struct neighbour_bounds was = neighbour_bounds[0];
    struct neighbour_entry idle = {.used_at = NSEC_PER_SEC};
    bool young, old, room, none;
    u32 most;

    neighbour_begin(S64_MAX);
    bench.table.closed = true;
    WRITE_ONCE(neighbour_bounds[0].many, 40);
    (void)neighbour_learn(60);
    young = neighbour_gives_way(&bench.table, &idle, 5 * NSEC_PER_SEC);
    old = neighbour_gives_way(&bench.table, &idle, 6 * NSEC_PER_SEC);
    WRITE_ONCE(neighbour_bounds[0].many, 61);
    room = !neighbour_gives_way(&bench.table, &idle, 6 * NSEC_PER_SEC);
    WRITE_ONCE(neighbour_bounds[0].most, 50);
    neighbour_table_bounded(&bench.table);
    for (u32 i = 0; i < 4; i++)
        bench.table.work.run(&bench.table.work);
    (void)neighbour_learn(100);
    most = bench.table.nr;
    WRITE_ONCE(neighbour_bounds[0].most, 0);
    none = neighbour_send(200) == -ENOBUFS;
    neighbour_bounds[0] = was;
    neighbour_table_fini(&bench.table);
    CHECK(!young && old && room && most == 50 && none);
}

/* Packets to addresses without a host, as a scan of a net sends them, push out none that is known,
 * nor do those that say themselves where they are. */
SELFTEST(neighbour_that_is_known_outlives_a_scan)
{
    static const u8 link[6] = {2, 0, 0, 0, 0, 1};
    struct neighbour_view at = {.device = 0};
    u32 known = 0;

    neighbour_begin(S64_MAX);
    for (u32 i = 1; i <= NEIGHBOURS_MOST / 4; i++) {
        struct ip_addr to = ip_from_v4(0x0a000000 + i);

        CHECK(!neighbour_set(&bench.table, &bench.dev, &to, link, false, true, false));
    }
    for (u32 i = 0; i < 3 * NEIGHBOURS_MOST; i++) {
        struct ip_addr from = ip_from_v4(0x0b000000 + i);

        (void)neighbour_send(NEIGHBOURS_MOST + i); /* that many packets cannot wait */
        neighbour_input(&bench.table, &bench.dev, &from, link, NEIGHBOUR_ASKS, true);
        CHECK(bench.table.nr <= NEIGHBOURS_MOST && bench.table.nr_asked <= NEIGHBOURS_ASKED);
    }
    while (neighbour_next(&bench.table, &at))
        known += ip_v4(&at.addr) <= 0x0a000000 + NEIGHBOURS_MOST / 4;
    CHECK(known == NEIGHBOURS_MOST / 4);
    neighbour_table_fini(&bench.table);
    CHECK(!bench.table.nr && !bench.table.nr_asked && !bench.table.bytes);
}

/* Its link address and all that follows are seen at once, also where packets take no lock. */
SELFTEST(neighbour_that_changes_is_sent_to_as_it_is_now)
{
    static const u8 before[6] = {2, 0, 0, 0, 0, 1}, after[6] = {2, 0, 0, 0, 0, 2};
    struct ip_addr to = ip_from_v4(0x0a000001);

    neighbour_begin(S64_MAX);
    bench.dev.type = 1;
    bench.dev.header = 14;
    bench.dev.mtu = 1500;
    neighbour_nr_sent = 0;
    CHECK(!neighbour_set(&bench.table, &bench.dev, &to, before, false, true, false));
    for (u32 i = 1; i <= 3; i++) {
        CHECK(!neighbour_send(1) && neighbour_nr_sent == i);
        CHECK(!memcmp(neighbour_sent_to, before, sizeof(before)));
    }
    CHECK(!neighbour_set(&bench.table, &bench.dev, &to, after, false, false, false));
    for (u32 i = 4; i <= 6; i++) {
        CHECK(!neighbour_send(1) && neighbour_nr_sent == i);
        CHECK(!memcmp(neighbour_sent_to, after, sizeof(after)));
    }
    CHECK(!neighbour_unset(&bench.table, &bench.dev, &to));
    CHECK(!neighbour_send(1) && neighbour_nr_sent == 6 && bench.table.bytes); /* it waits */
    neighbour_table_fini(&bench.table);
}
