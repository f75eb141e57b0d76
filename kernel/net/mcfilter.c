/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/mcfilter and mcfilter6: of each group that sockets of the namespace have joined
 * at a device, the sources that they want to hear alone, or not to hear, and how many sockets do.
 *
 * What sockets say is gathered in a tree in the reader's memory, then shown in its order; no lock
 * is held between two sockets.
 */
#include "lib/format.h"
#include "mm/slab.h"
#include "net/core/device.h"
#include "net/ip/inet.h"
#include "net/raw/raw.h"
#include "net/udp/udp.h"
#include "vfs/pseudo.h"

#define MCFILTER_LINES 100000U /* of a file; one that has more is not shown: -EFBIG */

struct mcfilter_line {
    struct rb_node node;
    struct inet_source key; /* include: of the first socket */
    u64 includes, excludes;
};
struct mcfilter {
    struct rb_root lines; /* by device, group, source */
    u32 nr_lines;
    bool v4;
    struct inet_source some[INET_SOURCES_MOST];
};

static int mcfilter_compare(const struct inet_source *a, const struct inet_source *b)
{
    int by;

    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    by = memcmp(&a->group, &b->group, sizeof(a->group));
    return by ? by : memcmp(&a->source, &b->source, sizeof(a->source));
}

static bool mcfilter_before(const struct rb_node *a, const struct rb_node *b)
{
    return mcfilter_compare(&rb_entry(a, struct mcfilter_line, node)->key,
                            &rb_entry(b, struct mcfilter_line, node)->key) < 0;
}

static struct mcfilter_line *mcfilter_find(struct mcfilter *m, const struct inet_source *key)
{
    for (struct rb_node *n = m->lines.node; n;) {
        struct mcfilter_line *l = rb_entry(n, struct mcfilter_line, node);
        int by = mcfilter_compare(key, &l->key);

        if (!by)
            return l;
        n = by < 0 ? n->left : n->right;
    }
    return NULL;
}

static int mcfilter_add(struct mcfilter *m, const struct inet_source *key)
{
    struct mcfilter_line *l = mcfilter_find(m, key);

    if (!l) {
        if (m->nr_lines == MCFILTER_LINES)
            return -EFBIG;
        l = kzalloc(sizeof(*l));
        if (!l)
            return -ENOMEM;
        l->key = *key;
        rb_insert(&m->lines, &l->node, mcfilter_before);
        m->nr_lines++;
    }
    l->includes += key->include;
    l->excludes += !key->include;
    return 0;
}

static int mcfilter_gather(struct mcfilter *m, struct socket_list *list)
{
    struct socket *s = NULL;
    int err = 0;

    while (!err && (s = socket_list_next(list, s))) {
        u32 n = inet_group_sources(inet_of(s), m->some);

        for (u32 i = 0; i < n && !err; i++)
            if (ip_is_v4(&m->some[i].group) == m->v4)
                err = mcfilter_add(m, &m->some[i]);
        cond_yield();
    }
    if (s)
        socket_put(s);
    return err;
}

static void mcfilter_put_addr(struct seq *out, const struct ip_addr *a, bool v4)
{
    if (v4) {
        seq_printf(out, "0x%08x ", ip_v4(a));
        return;
    }
    ip_show_hex(out, a);
    seq_printf(out, " ");
}

/* A device's name is cut to six bytes, as on Linux. */
static void mcfilter_put(struct net_ns *ns, struct seq *out, const struct mcfilter_line *l, bool v4)
{
    struct netdev *dev = net_device_by_index(ns, l->key.device);
    char name[NETDEV_NAME];

    if (!dev)
        return;
    net_device_name(dev, name);
    netdev_put(dev);
    seq_printf(out, "%3u %6.6s ", l->key.device, name);
    mcfilter_put_addr(out, &l->key.group, v4);
    mcfilter_put_addr(out, &l->key.source, v4);
    seq_printf(out, "%6lu %6lu\n", l->includes, l->excludes);
}

static void mcfilter_free(struct mcfilter *m)
{
    struct rb_node *n;

    while ((n = rb_first(&m->lines))) {
        rb_erase(&m->lines, n);
        kfree(rb_entry(n, struct mcfilter_line, node));
        cond_yield();
    }
    kfree(m);
}

static int mcfilter_show_of(struct net_ns *ns, struct seq *out, bool v4)
{
    struct mcfilter *m = kzalloc(sizeof(*m));
    struct rb_node *n;
    int err;

    if (!m)
        return -ENOMEM;
    m->v4 = v4;
    err = mcfilter_gather(m, &udp_ns_of(ns, false)->list);
    if (!err)
        err = mcfilter_gather(m, &udp_ns_of(ns, true)->list);
    if (!err)
        err = mcfilter_gather(m, &raw_ns_of(ns)->list);
    if (!err)
        err = mcfilter_gather(m, &raw_ns_of(ns)->ping_list);
    rb_for_each (n, &m->lines) {
        if (!err)
            mcfilter_put(ns, out, rb_entry(n, struct mcfilter_line, node), v4);
        cond_yield();
    }
    mcfilter_free(m);
    return err;
}

static int mcfilter_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "Idx Device        MCA        SRC    INC    EXC\n");
    return mcfilter_show_of(ns, out, true);
}
NET_FILE(mcfilter) = {"mcfilter", mcfilter_show};

static int mcfilter6_show(struct net_ns *ns, struct seq *out)
{
    seq_printf(out, "Idx Device                Multicast Address                   Source Address"
                    "    INC    EXC\n");
    return mcfilter_show_of(ns, out, false);
}
NET_FILE(mcfilter6) = {"mcfilter6", mcfilter6_show};
