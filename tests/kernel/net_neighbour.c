/* SPDX-License-Identifier: MIT
 *
 * The table of neighbours: what may wait there, and who pays.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/ns.h"
#include "net/core/conf.h"
#include "net/ip/neighbour_table.h"

#define NEIGHBOUR_DEVICE 0x7ffffff0 /* an index that no device has */

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
} bench;

static void neighbour_begin(s64 limit)
{
    memset(&bench, 0, sizeof(bench));
    account_init(&bench.above, NULL, NULL);
    account_init(&bench.account, &bench.above, NULL);
    bench.account.limit = limit;
    netdev_init(&bench.dev, &neighbour_ops, &bench.queue, 1);
    bench.dev.ns = net_ns_init;
    bench.dev.index = NEIGHBOUR_DEVICE;
    bench.dev.flags = NETDEV_UP;
    net_confs_begin(net_ns_init, &bench.dev);
    neighbour_table_init(&bench.table, &bench.account);
}

/* A packet that keeps a page, to neighbour number n. */
static int neighbour_send(u32 n)
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
    return neighbour_output(&bench.table, &bench.dev, &to, p);
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
    CHECK(bytes > NEIGHBOURS_BYTES / 2 && bytes <= NEIGHBOURS_BYTES && refused);
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
