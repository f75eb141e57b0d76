/* SPDX-License-Identifier: MIT
 *
 * Addresses, routes, rules and neighbours of a namespace that a test makes, with a device that
 * sends nowhere.
 */
#include "dev/up.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/ip/addr.h"
#include "net/ip/fib.h"
#include "net/core/worker.h"
#include "net/ip/ip.h"
#include "net/link/loopback.h"
#include "obj/cred.h"
#include "sched/thread.h"
#include "sched/timer.h"

#define V4 2
#define V6 10

struct fake {
    struct netdev dev;
    struct netdev_queue queue;
};

static int fake_transmit(struct netdev_queue *q, struct packet *p, bool more)
{
    packet_free(p);
    return 0;
}

/* a  What a namespace's end did with its devices. */
static struct {
    struct net_ns *ns;
    u32 down, down_at_first, gone, destroyed;
} ends;

static void fake_destroy(struct netdev *dev)
{
    if (dev->ns == READ_ONCE(ends.ns))
        __atomic_fetch_add(&ends.destroyed, 1, __ATOMIC_RELEASE);
    kfree(container_of(dev, struct fake, dev));
}

static const struct netdev_ops fake_ops = {.transmit = fake_transmit, .destroy = fake_destroy};

/* Borrowed: it goes with ns. */
static struct netdev *fake_add(struct net_ns *ns)
{
    struct fake *f = kzalloc(sizeof(*f));

    if (!f)
        return NULL;
    netdev_init(&f->dev, &fake_ops, &f->queue, 1);
    f->dev.type = 1;
    f->dev.header = 14;
    f->dev.min_mtu = 68;
    f->dev.mtu = f->dev.max_mtu = 1500;
    f->dev.flags = NETDEV_CARRIER;
    f->dev.addr[0] = 2;
    if (net_device_add(ns, &f->dev, "fake%d") || net_device_up(&f->dev))
        return NULL;
    netdev_put(&f->dev);
    return &f->dev;
}

static struct net_ns *route_ns(struct netdev **dev)
{
    struct net_ns *ns = net_ns_create(&user_ns_init);

    *dev = ns && !net_device_up(loopback_of(ns)) ? fake_add(ns) : NULL;
    return ns;
}

static int route_address(struct net_ns *ns, u32 device, u32 v4, u8 prefix)
{
    struct ip_addr_view v = {.family = V4, .prefix = prefix, .device = device};

    v.addr = ip_from_v4(v4);
    v.broadcast = ip_from_v4(v4 | ~0U >> prefix);
    return ip_address_add(ns, &v, IP_CREATE | IP_EXCL);
}

static struct ip_route_view route_view(u32 to, u8 prefix, u32 device, u32 gateway)
{
    struct ip_route_view v = {
        .family = V4, .prefix = prefix, .type = 1, .protocol = 4, .nr_hops = 1};

    v.to = ip_from_v4(to);
    v.hops[0].device = device;
    if (gateway)
        v.hops[0].gateway = ip_from_v4(gateway);
    return v;
}

/* Whereto a packet to v4 goes: the neighbour, or 0 with *err. */
static u32 route_way(struct net_ns *ns, u32 v4, u32 device, u32 *source, int *err)
{
    struct ip_flow f = {.to = ip_from_v4(v4), .device = device};
    struct ip_path path;
    u32 next = 0;

    *err = ip_path_find(ns, &f, &path);
    if (*err)
        return 0;
    next = ip_v4(&path.next);
    *source = ip_v4(&path.source);
    ip_path_put(&path);
    return next;
}

SELFTEST(route_of_the_longest_prefix_and_lowest_priority_is_taken)
{
    struct ip_route_view v;
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u32 source;
    int err;

    CHECK(dev && !route_address(ns, dev->index, 0x0a000002, 24));
    CHECK(route_way(ns, 0x0a000009, 0, &source, &err) == 0x0a000009 && source == 0x0a000002);
    CHECK(!route_way(ns, 0x08080808, 0, &source, &err) && err == -ENETUNREACH);
    v = route_view(0, 0, 0, 0x0a0000fe);
    CHECK(!ip_route_add(ns, &v, IP_CREATE | IP_EXCL));
    CHECK(ip_route_add(ns, &v, IP_CREATE | IP_EXCL) == -EEXIST);
    CHECK(route_way(ns, 0x08080808, 0, &source, &err) == 0x0a0000fe && source == 0x0a000002);
    v = route_view(0x08080000, 16, 0, 0x0a0000fd);
    v.priority = 10;
    CHECK(!ip_route_add(ns, &v, IP_CREATE | IP_EXCL));
    v = route_view(0x08080000, 16, 0, 0x0a0000fc);
    v.priority = 5;
    CHECK(!ip_route_add(ns, &v, IP_CREATE | IP_EXCL));
    CHECK(route_way(ns, 0x08080808, 0, &source, &err) == 0x0a0000fc);
    CHECK(!ip_route_remove(ns, &v) && ip_route_remove(ns, &v) == -ESRCH);
    CHECK(route_way(ns, 0x08080808, 0, &source, &err) == 0x0a0000fd);
    v = route_view(0x08080800, 24, 0, 0);
    v.type = 8; /* prohibit */
    v.nr_hops = 0;
    CHECK(!ip_route_add(ns, &v, IP_CREATE));
    CHECK(!route_way(ns, 0x08080808, 0, &source, &err) && err == -EACCES);
    v = route_view(0x09000000, 8, 0, 0x0b000001);
    CHECK(ip_route_add(ns, &v, IP_CREATE) == -ENETUNREACH); /* its gateway is on no link */
    net_device_down(dev);
    CHECK(!route_way(ns, 0x0a000009, 0, &source, &err) && err == -ENETUNREACH);
    CHECK(!net_device_up(dev));
    CHECK(route_way(ns, 0x0a000009, 0, &source, &err) == 0x0a000009);
    net_ns_put(ns);
}

SELFTEST(address_brings_its_routes_and_takes_them_along)
{
    struct ip_addr_view a = {.family = V4, .prefix = 24};
    struct ip_addr_view at = {.family = 0};
    struct ip_addr own = ip_from_v4(0x0a000002), second = ip_from_v4(0x0a000003);
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u32 n = 0, secondary = 0, source;
    int err;

    CHECK(dev && !route_address(ns, dev->index, 0x0a000002, 24));
    CHECK(!route_address(ns, dev->index, 0x0a000003, 24));
    CHECK(route_address(ns, dev->index, 0x0a000003, 24) == -EEXIST);
    CHECK(ip_local_device(ns, &own) == dev->index && ip_local_device(ns, &second) == dev->index);
    while (ip_address_next(ns, &at)) {
        n++;
        secondary += at.flags & 1;
    }
    CHECK(n == 5 && secondary == 1); /* and two of lo, and a link-local one */
    a.device = dev->index;
    a.addr = own;
    CHECK(!ip_address_remove(ns, &a) && ip_address_remove(ns, &a) == -EADDRNOTAVAIL);
    CHECK(!ip_local_device(ns, &own) && !ip_local_device(ns, &second));
    CHECK(!route_way(ns, 0x0a000009, 0, &source, &err) && err == -ENETUNREACH);
    CHECK(route_way(ns, 0x0a000009, dev->index, &source, &err) == 0x0a000009 && !source);
    net_ns_put(ns);
}

SELFTEST(rules_choose_the_table)
{
    struct ip_rule_view r = {.family = V4, .action = 1, .priority = 100, .table = 7, .mark = 5};
    struct ip_rule_view at = {.family = 0};
    struct ip_flow f = {.to = ip_from_v4(0x08080808), .mark = 5};
    struct ip_route_view v = route_view(0, 0, 0, 0x0a0000fe), seen;
    struct ip_path path;
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u32 n = 0, source;
    int err;

    r.mark_mask = ~0U;
    r.suppress_prefix = r.suppress_group = -1;
    r.uid_last = ~0U;
    CHECK(dev && !route_address(ns, dev->index, 0x0a000002, 24));
    v.table = 7;
    CHECK(!ip_route_add(ns, &v, IP_CREATE | IP_EXCL) && !ip_rule_add(ns, &r, IP_CREATE | IP_EXCL));
    CHECK(ip_rule_add(ns, &r, IP_CREATE | IP_EXCL) == -EEXIST);
    CHECK(!route_way(ns, 0x08080808, 0, &source, &err) && err == -ENETUNREACH);
    CHECK(!ip_path_find(ns, &f, &path));
    ip_path_put(&path);
    CHECK(!ip_route_ask(ns, &f, &seen) && seen.table == 7 && seen.nr_hops == 1);
    while (ip_rule_next(ns, &at))
        n++;
    CHECK(n == 6); /* four of IPv4, two of IPv6 */
    CHECK(!ip_rule_remove(ns, &r) && ip_rule_remove(ns, &r) == -ENOENT);
    CHECK(ip_path_find(ns, &f, &path) == -ENETUNREACH);
    net_ns_put(ns);
}

/* What no socket sends is the root's of the namespace, not the kernel's. */
SELFTEST(rules_by_user_see_the_kernel_s_packets_as_the_root_s)
{
    struct ip_rule_view r = {.family = V4,
                             .action = 7, /* unreachable */
                             .priority = 100,
                             .suppress_prefix = -1,
                             .suppress_group = -1,
                             .uid_first = 1000,
                             .uid_last = 1000};
    struct ip_info h = {
        .from = ip_from_v4(0x0a000002), .to = ip_from_v4(0x0a000009), .protocol = 1};
    const struct id_map map = {1, {{0, 1000, 1}}};
    struct user_ns *users = user_ns_create(&cred_init);
    struct net_ns *ns;
    struct netdev *dev;

    CHECK(!IS_ERR(users) && !user_ns_set_map(users, false, &map));
    ns = net_ns_create(users);
    user_ns_put(users);
    CHECK(ns && !net_device_up(loopback_of(ns)) && (dev = fake_add(ns)));
    CHECK(!route_address(ns, dev->index, 0x0a000002, 24));
    CHECK(!ip_rule_add(ns, &r, IP_CREATE | IP_EXCL));
    CHECK(ip_answer(ns, packet_alloc(), &h, 0) == -ENETUNREACH);
    CHECK(!ip_rule_remove(ns, &r));
    r.uid_first = r.uid_last = 0;
    CHECK(!ip_rule_add(ns, &r, IP_CREATE | IP_EXCL));
    CHECK(ip_answer(ns, packet_alloc(), &h, 0) != -ENETUNREACH);
    net_ns_put(ns);
}

SELFTEST(neighbours_that_are_set_stay_as_they_are)
{
    struct ip_neighbour_view v = {.family = V4, .state = 0x80, .has_link = true, .link = {2, 1}};
    struct ip_neighbour_view at = {.family = 0};
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);

    CHECK(dev && !route_address(ns, dev->index, 0x0a000002, 24));
    v.device = dev->index;
    v.addr = ip_from_v4(0x0a000009);
    CHECK(ip_neighbour_add(ns, &v, IP_REPLACE) == -ENOENT);
    CHECK(!ip_neighbour_add(ns, &v, IP_CREATE | IP_EXCL));
    CHECK(ip_neighbour_add(ns, &v, IP_CREATE | IP_EXCL) == -EEXIST);
    CHECK(ip_neighbour_next(ns, &at) && at.state == 0x80 && at.link[1] == 1 && at.has_link);
    CHECK(!ip_neighbour_next(ns, &at));
    CHECK(!ip_neighbour_remove(ns, &v) && ip_neighbour_remove(ns, &v) == -ENOENT);
    net_ns_put(ns);
}

/* Rules times routes of one prefix: a flow that would look at all of them finds nothing instead. */
SELFTEST(rules_and_routes_that_are_many_bound_a_look_up)
{
    struct ip_rule_view r = {.family = V4, .action = 1, .table = 7, .suppress_prefix = -1};
    struct ip_flow f = {.to = ip_from_v4(0x08080808)};
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    struct ip_route_view v = route_view(0, 0, 0, 0);
    struct ip_path path;
    u32 routes = 0;
    u64 start;

    r.uid_last = ~0U;
    r.suppress_group = -1;
    CHECK(dev && !route_address(ns, dev->index, 0x0a000002, 24));
    v.table = 7;
    v.hops[0].device = dev->index;
    v.tos = 4; /* which the flow has not */
    while (routes < IP_ROUTES_PREFIX && !ip_route_add(ns, &v, IP_CREATE | IP_APPEND)) {
        v.priority = ++routes;
        cond_yield();
    }
    CHECK(routes == IP_ROUTES_PREFIX && ip_route_add(ns, &v, IP_CREATE) == -ENOBUFS);
    for (r.priority = 1; r.priority < 1000; r.priority++) {
        CHECK(!ip_rule_add(ns, &r, IP_CREATE));
        cond_yield();
    }
    start = time_ns();
    for (u32 i = 0; i < 100; i++) {
        CHECK(ip_path_find(ns, &f, &path) == -ENETUNREACH);
        cond_yield();
    }
    CHECK(time_ns() - start < 5 * NSEC_PER_SEC); /* a million steps each would be minutes */
    f.tos = 4;
    CHECK(!ip_path_find(ns, &f, &path));
    ip_path_put(&path);
    net_ns_put(ns);
}

static u32 changes_heard;

static int change_hear(struct netdev *dev, enum net_device_event event)
{
    if (event == NET_DEVICE_CHANGED && dev->ops == &fake_ops)
        __atomic_fetch_add(&changes_heard, 1, __ATOMIC_RELAXED);
    if (dev->ns != READ_ONCE(ends.ns) || dev->ops != &fake_ops)
        return 0;
    ends.down += event == NET_DEVICE_DOWN;
    if (event == NET_DEVICE_GONE && !ends.gone++)
        ends.down_at_first = ends.down;
    return 0;
}
NET_DEVICE_HOOK(route_test) = {change_hear};

/* The worker has found the namespace's config held, and comes again. */
static void change_waits(struct netdev *dev)
{
    while (!timer_is_armed(&up_netdev_teller(dev)->again))
        if (sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_KILLABLE))
            return;
}

/* One who holds a namespace's config keeps nobody but those who change it. */
SELFTEST(net_config_that_is_held_holds_up_no_worker_of_all)
{
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u32 before = READ_ONCE(changes_heard);

    CHECK(dev);
    net_config_lock(ns);
    netdev_set_carrier(dev, false);
    change_waits(dev);
    netdev_set_carrier(dev, true);
    change_waits(dev);
    CHECK(READ_ONCE(changes_heard) == before);
    net_config_unlock(ns);
    while (READ_ONCE(changes_heard) == before)
        CHECK(!sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_KILLABLE));
    net_config_lock(ns);
    netdev_set_carrier(dev, false); /* and now it goes, while that is not told yet */
    change_waits(dev);
    net_config_unlock(ns);
    CHECK(!net_device_delete(dev));
    net_ns_put(ns);
}

/* So they share the grace periods behind each step, however many they are. */
SELFTEST(net_namespace_takes_its_devices_away_together)
{
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);

    CHECK(dev && fake_add(ns) && fake_add(ns));
    memset(&ends, 0, sizeof(ends));
    WRITE_ONCE(ends.ns, ns);
    net_ns_put(ns);
    while (load_acquire(&ends.destroyed) < 3)
        CHECK(!sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_KILLABLE));
    WRITE_ONCE(ends.ns, NULL);
    CHECK(ends.gone == 3 && ends.down == 3 && ends.down_at_first == 3);
}

static u32 addresses_left(struct ip_config *c)
{
    u32 n = 0;

    for (struct rb_node *at = rb_first(&c->addrs); at; at = rb_next(at))
        n += rb_entry(at, struct ip_ifaddr, node)->valid_until != 0;
    return n;
}

/* At most a part of those whose time is over goes in one turn of the worker that all namespaces
 * share, also if they go with another one. */
SELFTEST(addresses_whose_time_is_over_go_in_turns)
{
    enum { N = 80 };
    struct ip_addr_view v = {.family = V4, .prefix = 24, .valid = 3600, .preferred = 60};
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u64 far = time_ns() + 7200 * NSEC_PER_SEC, next = 1;
    u32 left = N, turns = 0;

    CHECK(dev);
    v.device = dev->index;
    for (u32 i = 0; i < N; i++) { /* the first one's net has half of them */
        v.addr = ip_from_v4(0x0a000001 + (i < N / 2 ? i : i << 8));
        CHECK(!ip_address_add(ns, &v, IP_CREATE | IP_EXCL));
    }
    net_config_lock(ns);
    CHECK(address_time(ip_config_of(ns), time_ns()) && addresses_left(ip_config_of(ns)) == N);
    for (; next && next <= far && turns < N; turns++) {
        u32 before = left;

        next = address_time(ip_config_of(ns), far);
        left = addresses_left(ip_config_of(ns));
        CHECK(before - left < N / 2);
    }
    net_config_unlock(ns);
    CHECK(!left && turns > 2);
    net_ns_put(ns);
}

/* The first that is due is told first, not the one with the least address. */
SELFTEST(group_that_is_due_first_is_told_first)
{
    struct ip_addr one = ip_from_v4(0xef010201), two = ip_from_v4(0xef010202);
    struct membership_batch b;
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);

    CHECK(dev);
    WRITE_ONCE(ip_ns_of(ns)->membership.closed, true); /* the worker leaves them to this test */
    net_worker_flush(&ip_ns_of(ns)->membership.work);
    CHECK(!ip_group_join(ns, dev->index, &two) && !ip_group_join(ns, dev->index, &one));
    do {
        (void)ip_groups_collect(ns, &b);
    } while (b.nr && !b.v4);
    CHECK(b.nr == 2 && ip_equal(&b.groups[0], &two) && ip_equal(&b.groups[1], &one));
    (void)ip_groups_collect(ns, &b);
    CHECK(!b.nr);
    net_ns_put(ns);
}

/* Queries for all groups that come fast cost no walk of them each, and none of another device. */
SELFTEST(general_queries_are_answered_at_a_limited_rate)
{
    struct report_query q = {.version = 3, .wait = NSEC_PER_SEC};
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    struct netdev *other = NULL;
    u64 *limit, until;

    CHECK(dev);
    for (u32 i = 0; i < 8; i++) /* however far its index is from the first one's */
        CHECK((other = fake_add(ns)) && !net_device_up(other));
    limit = ip_device_of(dev)->queries;
    until = *limit = time_ns() + 3600 * NSEC_PER_SEC; /* as after many of them */
    ip_groups_ask(dev, true, &q);
    CHECK(*limit == until);
    ip_groups_ask(other, true, &q);
    ip_groups_ask(dev, false, &q);
    CHECK(ip_device_of(other)->queries[0] && ip_device_of(dev)->queries[1]);
    net_ns_put(ns);
}

static struct ip_addr route_group(u8 last)
{
    return (struct ip_addr){.b = {0xff, 2, [11] = 1, [12] = 0xff, [15] = last}};
}

/* An address's group finds room whatever programs have joined, and goes with it, but for those. */
SELFTEST(address_has_its_group_whatever_programs_have_joined)
{
    struct ip_addr_view v = {.family = V6, .prefix = 64, .addr = {.b = {0xfd, [15] = 7}}};
    struct ip_addr group = route_group(7), other = {.b = {0xff, 5}};
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u32 n = 0;

    CHECK(dev);
    v.device = dev->index;
    for (; !ip_group_join(ns, dev->index, &other); n++) {
        other.b[14] = (u8)((n + 1) >> 8);
        other.b[15] = (u8)(n + 1);
    }
    CHECK(n > 200 && !ip_address_add(ns, &v, IP_CREATE | IP_EXCL));
    CHECK(ip_group_is_joined(ns, dev->index, &group));
    CHECK(ip_group_join(ns, dev->index, &group) == -ENOBUFS); /* that is the programs' */
    CHECK(!ip_address_remove(ns, &v) && !ip_group_is_joined(ns, dev->index, &group));
    other.b[14] = other.b[15] = 0;
    ip_group_leave(ns, dev->index, &other);
    CHECK(!ip_address_add(ns, &v, IP_CREATE | IP_EXCL));
    CHECK(!ip_group_join(ns, dev->index, &group));
    CHECK(!ip_address_remove(ns, &v) && ip_group_is_joined(ns, dev->index, &group));
    ip_group_leave(ns, dev->index, &group);
    CHECK(!ip_group_is_joined(ns, dev->index, &group));
    net_ns_put(ns);
}

SELFTEST(net_device_is_not_named_as_another_ones_further_name)
{
    struct netdev *dev, *other;
    struct net_ns *ns = route_ns(&dev);

    CHECK(dev && !net_device_altname_add(dev, "fake1"));
    CHECK(!net_device_altname_add(dev, "a")); /* it ends before the number's place */
    other = fake_add(ns);
    CHECK(other && !strcmp(other->name, "fake2"));
    net_ns_put(ns);
}

SELFTEST(net_devices_of_a_namespace_are_bounded)
{
    struct netdev *dev;
    struct net_ns *ns = route_ns(&dev);
    u32 n = 2;
    int err = 0;

    CHECK(dev);
    for (; n < 2000 && !err; n++) {
        struct fake *f = kzalloc(sizeof(*f));

        if (!f)
            break;
        netdev_init(&f->dev, &fake_ops, &f->queue, 1);
        f->dev.type = ARPHRD_ETHER;
        err = net_device_add(ns, &f->dev, "f%d");
        netdev_put(&f->dev);
        cond_yield();
    }
    CHECK(err == -ENFILE && n == 513);
    net_ns_put(ns);
}

/* Two namespaces that differ in one address, which comes and goes: what is remembered of it is
 * never another's, nor of before. */
SELFTEST(route_whose_an_address_is_is_known_at_once)
{
    struct ip_addr a = ip_from_v4(0x0a000002);
    struct ip_addr_view v = {.family = V4, .prefix = 24, .addr = a};
    struct netdev *dev, *other_dev;
    struct net_ns *ns = route_ns(&dev), *other = route_ns(&other_dev);

    CHECK(dev && other_dev);
    v.device = dev->index;
    for (u32 i = 0; i < 3; i++) {
        CHECK(!ip_local_device(ns, &a) && !ip_local_device(other, &a));
        CHECK(!route_address(ns, dev->index, 0x0a000002, 24));
        CHECK(ip_local_device(ns, &a) == dev->index && !ip_local_device(other, &a));
        CHECK(ip_local_device(ns, &a) == dev->index);
        CHECK(!ip_address_remove(ns, &v));
    }
    net_ns_put(ns);
    net_ns_put(other);
}
