/* SPDX-License-Identifier: MIT
 *
 * IP between two ends of one namespace, over lo: what comes, when, and in which order. The tests'
 * protocol is one of those for experiments (RFC 3692).
 */
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/core/filter.h"
#include "net/core/worker.h"
#include "net/ip/ip_priv.h"
#include "net/link/loopback.h"
#include "net/socket.h"
#include "obj/file.h"
#include "obj/cred.h"
#include "sched/thread.h"

#define TEST_PROTOCOL 253
#define TEST_BYTES 8

/* One test runs at a time. */
static struct {
    u32 received, good, depth, deepest, answers, invalid;
    u32 own; /* received by the sender itself */
    struct thread *sender;
    struct ip_info last;
    u8 first[TEST_BYTES];
} seen;

static int test_send(struct net_ns *ns, const struct ip_addr *to, u8 letter, bool answer)
{
    struct ip_info h = {.from = *to, .to = *to, .protocol = TEST_PROTOCOL, .tos = 4};
    struct ip_flow f = {.to = *to};
    struct packet *p = packet_alloc();
    u8 *at = p ? packet_append(p, TEST_BYTES) : NULL;
    struct ip_path path;
    int err;

    if (!at)
        return -ENOMEM;
    memset(at, letter, TEST_BYTES);
    if (answer)
        return ip_answer(ns, p, &h, 0);
    err = ip_path_find(ns, &f, &path);
    if (err) {
        packet_free(p);
        return err;
    }
    h.from = path.source;
    seen.invalid += !ip_path_is_valid(ns, &path);
    ip_sum_later(p, &h, 6);
    ip_path_confirm(ns, &path);
    err = ip_output(ns, p, &path, &h);
    ip_path_put(&path);
    return err;
}

/* Answers as often as the test says, while it receives. */
static void test_receive(struct packet *p, const struct ip_info *h)
{
    u8 *at = packet_need(p, TEST_BYTES);
    struct net_ns *ns = p->dev->ns;

    seen.depth++;
    seen.deepest = MAX(seen.deepest, seen.depth);
    seen.received++;
    seen.own += current_thread() == seen.sender;
    seen.good += at && ip_sum_is_ok(p, h) && ip_pseudo_sum(h, p->len);
    seen.last = *h;
    if (at)
        memcpy(seen.first, at, TEST_BYTES);
    packet_free(p);
    if (seen.answers) {
        seen.answers--;
        (void)test_send(ns, &h->from, 'b', true);
    }
    seen.depth--;
}

IP_PROTOCOL(test) = {.protocol = TEST_PROTOCOL, .receive = test_receive};

SELFTEST(ip_packets_over_lo_are_received_before_the_send_returns)
{
    struct ip_addr one = ip_from_v4(IP_LOOPBACK4);

    memset(&seen, 0, sizeof(seen));
    CHECK(!test_send(net_ns_init, &one, 'a', false));
    CHECK(seen.received == 1 && seen.good == 1 && !seen.invalid && seen.first[0] == 'a');
    CHECK(ip_equal(&seen.last.from, &one) && ip_equal(&seen.last.to, &one));
    CHECK(seen.last.device == LOOPBACK_INDEX && seen.last.hops == 64 && seen.last.tos == 4);
}

SELFTEST(ip_answers_over_lo_do_not_nest)
{
    struct ip_addr one = ip_from_v4(IP_LOOPBACK4);

    memset(&seen, 0, sizeof(seen));
    seen.answers = 10;
    CHECK(!test_send(net_ns_init, &one, 'a', false));
    CHECK(seen.received == 11 && seen.deepest == 1);
}

static void test_nothing(struct work *w)
{
}

SELFTEST(ip_a_chain_of_answers_over_lo_is_a_workers_beyond_the_budget)
{
    struct ip_addr one = ip_from_v4(IP_LOOPBACK4);
    struct work behind;

    memset(&seen, 0, sizeof(seen));
    seen.answers = 3 * NETDEV_BUDGET;
    seen.sender = current_thread();
    CHECK(!test_send(net_ns_init, &one, 'a', false));
    CHECK(seen.own && seen.own < 2 * NETDEV_BUDGET);
    work_init(&behind, test_nothing);
    while (READ_ONCE(seen.received) < 3 * NETDEV_BUDGET + 1) { /* it queues itself again */
        net_worker_queue(&behind);
        net_worker_flush(&behind);
    }
    CHECK(!seen.answers && seen.deepest == 1);
}

SELFTEST(ip_nothing_goes_over_lo_that_is_down_or_to_where_no_route_leads)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);
    struct ip_addr one = ip_from_v4(IP_LOOPBACK4), far = ip_from_v4(0xc0000201);

    CHECK(ns);
    if (!ns)
        return;
    memset(&seen, 0, sizeof(seen));
    CHECK(test_send(ns, &one, 'a', false) == -ENETUNREACH);
    CHECK(!net_device_up(loopback_of(ns)));
    CHECK(!test_send(ns, &one, 'a', false));
    CHECK(test_send(ns, &far, 'a', false) == -ENETUNREACH);
    CHECK(seen.received == 1);
    net_ns_put(ns);
}

SELFTEST(ip_groups_are_joined_as_often_as_they_are_left)
{
    struct ip_addr group = ip_from_v4(0xef010203), host = ip_from_v4(IP_LOOPBACK4);
    u32 lo = LOOPBACK_INDEX;

    CHECK(ip_group_join(net_ns_init, lo, &host) == -EINVAL);
    CHECK(ip_group_join(net_ns_init, 0x7fffffff, &group) == -ENODEV);
    CHECK(!ip_group_join(net_ns_init, lo, &group));
    CHECK(!ip_group_join(net_ns_init, lo, &group));
    ip_group_leave(net_ns_init, lo, &group);
    ip_group_leave(net_ns_init, lo, &group);
    ip_group_leave(net_ns_init, lo, &group);
    CHECK(!ip_group_join(net_ns_init, lo, &group));
    ip_group_leave(net_ns_init, lo, &group);
}

#define CROWD 6
#define CROWD_PORT 47001
#define CROWD_GROUP 0xef01020a

/* Each has the longest of filters, which takes all. */
static bool crowd_filter(struct socket *s)
{
    struct socket_filter *f = kzalloc(sizeof(*f) + BPF_MAXINSNS * sizeof(f->insns[0]));

    if (!f)
        return false;
    f->len = BPF_MAXINSNS;
    for (u32 i = 0; i < BPF_MAXINSNS; i++)
        f->insns[i] = (struct bpf_insn){.code = i + 1 < BPF_MAXINSNS ? OP_LD_LEN : OP_RET_A};
    rcu_assign(s->filter, f);
    return true;
}

/* How many got the packet: those whose filters fit in a packet's budget, and all without one. */
static bool crowd_is_served(struct file **crowd)
{
    u32 got = 0, lost = 0;

    for (u32 i = 0; i < CROWD; i++) {
        got += READ_ONCE(socket_of_file(crowd[i])->queued) > 0;
        lost += READ_ONCE(socket_of_file(crowd[i])->lost);
    }
    return got == FILTER_BUDGET / BPF_MAXINSNS && lost == CROWD - got &&
           READ_ONCE(socket_of_file(crowd[CROWD])->queued);
}

SELFTEST(ip_filters_of_raw_sockets_share_a_packets_budget)
{
    struct ip_addr one = ip_from_v4(IP_LOOPBACK4);
    struct file *crowd[CROWD + 1];
    bool whole = true;

    for (u32 i = 0; i <= CROWD; i++) {
        crowd[i] = socket_create(net_ns_init, AF_INET, SOCK_RAW, TEST_PROTOCOL);
        CHECK(!IS_ERR(crowd[i]));
        whole &= i == CROWD || crowd_filter(socket_of_file(crowd[i]));
    }
    CHECK(whole && !test_send(net_ns_init, &one, 'a', false));
    CHECK(crowd_is_served(crowd));
    for (u32 i = 0; i <= CROWD; i++)
        file_put(crowd[i]);
}

/* Joined at lo, with others of its port. */
static struct file *crowd_member(void)
{
    struct sock_addr at = {.family = AF_INET, .data = {CROWD_PORT >> 8, CROWD_PORT & 255}};
    const u8 joined[12] = {CROWD_GROUP >> 24, CROWD_GROUP >> 16 & 255, CROWD_GROUP >> 8 & 255,
                           CROWD_GROUP & 255, [8] = LOOPBACK_INDEX};
    struct file *f = socket_create(net_ns_init, AF_INET, SOCK_DGRAM, 0);
    s32 on = 1;

    if (IS_ERR(f) || socket_set_option(f, SOL_SOCKET, 2 /* SO_REUSEADDR */, &on, sizeof(on)) ||
        socket_bind(f, &at, 16, NULL) ||
        socket_set_option(f, 0, 35 /* IP_ADD_MEMBERSHIP */, joined, sizeof(joined)))
        return NULL;
    return f;
}

/* A datagram without a checksum. */
static int crowd_send(void)
{
    struct ip_flow f = {.to = ip_from_v4(CROWD_GROUP), .device = LOOPBACK_INDEX};
    struct ip_info h = {.to = f.to, .protocol = 17};
    struct packet *p = packet_alloc();
    u8 *at = p ? packet_append(p, TEST_BYTES) : NULL;
    struct ip_path path;
    int err;

    if (!at)
        return -ENOMEM;
    memset(at, 0, TEST_BYTES);
    at[1] = 1;
    at[2] = CROWD_PORT >> 8;
    at[3] = CROWD_PORT & 255;
    at[5] = TEST_BYTES;
    err = ip_path_find(net_ns_init, &f, &path);
    if (err) {
        packet_free(p);
        return err;
    }
    h.from = path.source;
    err = ip_output(net_ns_init, p, &path, &h);
    ip_path_put(&path);
    return err;
}

SELFTEST(ip_filters_of_a_group_share_a_packets_budget)
{
    struct file *crowd[CROWD + 1];
    bool whole = true;

    for (u32 i = 0; i <= CROWD; i++) {
        crowd[i] = crowd_member();
        CHECK(crowd[i]);
        whole &= i == CROWD || crowd_filter(socket_of_file(crowd[i]));
    }
    CHECK(whole && !crowd_send() && crowd_is_served(crowd));
    for (u32 i = 0; i <= CROWD; i++)
        file_put(crowd[i]);
}

SELFTEST(ip_numbers_of_packets_do_not_come_again_soon_nor_in_order)
{
    enum { N = 32768 };
    u64 *taken = kzalloc(65536 / 8);
    u32 again = 0, steps = 0;
    u16 last = ip_id();

    CHECK(taken);
    for (u32 i = 0; i < N; i++) {
        u16 id = ip_id();

        again += taken[id / 64] >> id % 64 & 1;
        steps += id == (u16)(last + 1);
        taken[id / 64] |= 1ULL << id % 64;
        last = id;
    }
    kfree(taken);
    CHECK(!again && steps < N / 64);
}
