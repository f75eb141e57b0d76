/* SPDX-License-Identifier: MIT
 *
 * What the files of a network interface in /sys say, and what may be written to them.
 */
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/event.h"
#include "net/core/netsys.h"
#include "vfs/pseudo.h"

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define UEVENT_MORE 1024 /* bytes of what a program adds to a uevent that it asks for */
#define NOTHING_COUNTS (~0U)

#define NETSYS_SHOW(id, format, value)                                                            \
    static int netsys_show_##id(struct netdev *dev, const struct netsys_attr *a, struct seq *out) \
    {                                                                                             \
        seq_printf(out, format "\n", value);                                                      \
        return 0;                                                                                 \
    }

static bool netsys_has_address(const struct netdev *dev)
{
    return dev->type == ARPHRD_ETHER || dev->type == ARPHRD_LOOPBACK;
}

static bool netsys_is_up(const struct netdev *dev)
{
    return READ_ONCE(dev->flags) & NETDEV_UP;
}

static const char *netsys_state(const struct netdev *dev)
{
    u8 state = net_device_state(dev);

    return state == IF_OPER_UP               ? "up"
           : state == IF_OPER_UNKNOWN        ? "unknown"
           : state == IF_OPER_LOWERLAYERDOWN ? "lowerlayerdown"
                                             : "down";
}

NETSYS_SHOW(zero, "%d", 0)
NETSYS_SHOW(hex_zero, "0x%x", 0U)
NETSYS_SHOW(addr_is, "%u", (unsigned)READ_ONCE(dev->addr_is))
NETSYS_SHOW(name_is, "%u", (unsigned)READ_ONCE(dev->name_is))
NETSYS_SHOW(addr_len, "%d", netsys_has_address(dev) ? NETDEV_ADDR : 0)
NETSYS_SHOW(carrier_changes, "%u", READ_ONCE(dev->nr_carrier))
NETSYS_SHOW(carrier_up, "%u", (READ_ONCE(dev->nr_carrier) + 1) / 2)
NETSYS_SHOW(carrier_down, "%u", READ_ONCE(dev->nr_carrier) / 2)
NETSYS_SHOW(flags, "0x%x", net_device_flags(dev) & 0xffbf) /* as set: without IFF_RUNNING */
NETSYS_SHOW(index, "%u", dev->index)
NETSYS_SHOW(link, "%u", dev->below ? dev->below : dev->index)
NETSYS_SHOW(mtu, "%u", READ_ONCE(dev->mtu))
NETSYS_SHOW(group, "%u", READ_ONCE(dev->group))
NETSYS_SHOW(state, "%s", netsys_state(dev))
NETSYS_SHOW(queue_len, "%u", READ_ONCE(dev->tx_queue_len))
NETSYS_SHOW(type, "%u", (unsigned)dev->type)

static void netsys_put_address(struct seq *out, const u8 *b)
{
    seq_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

static int netsys_show_address(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    if (netsys_has_address(dev))
        netsys_put_address(out, dev->addr);
    seq_printf(out, "\n");
    return 0;
}

static int netsys_show_broadcast(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    u8 all[NETDEV_ADDR];

    memset(all, dev->type == ARPHRD_ETHER ? 0xff : 0, sizeof(all));
    if (netsys_has_address(dev))
        netsys_put_address(out, all);
    seq_printf(out, "\n");
    return 0;
}

/* A device that is down knows nothing of its link. */
static int netsys_show_carrier(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    if (!netsys_is_up(dev))
        return -EINVAL;
    seq_printf(out, "%d\n", (READ_ONCE(dev->flags) & NETDEV_CARRIER) != 0);
    return 0;
}

static int netsys_show_dormant(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    return netsys_is_up(dev) ? netsys_show_zero(dev, a, out) : -EINVAL;
}

static int netsys_show_speed(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    struct netdev_link l;

    if (!dev->parent || !netsys_is_up(dev))
        return -EINVAL;
    netdev_link(dev, &l);
    seq_printf(out, "%d\n", l.speed ? (s32)l.speed : -1);
    return 0;
}

static int netsys_show_duplex(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    static const char *const names[] = {
        [NETDEV_DUPLEX_UNKNOWN] = "unknown", [NETDEV_HALF] = "half", [NETDEV_FULL] = "full"};
    struct netdev_link l;

    if (!dev->parent || !netsys_is_up(dev))
        return -EINVAL;
    netdev_link(dev, &l);
    seq_printf(out, "%s\n", names[l.duplex]);
    return 0;
}

static int netsys_show_alias(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    char alias[NET_ALIAS];

    net_device_alias(dev, alias);
    if (alias[0])
        seq_printf(out, "%s\n", alias);
    return 0;
}

static int netsys_show_uevent(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    char name[NETDEV_NAME];

    net_device_name(dev, name);
    seq_printf(out, "INTERFACE=%s\nIFINDEX=%u\n", name, dev->index);
    return 0;
}

static int netsys_show_counter(struct netdev *dev, const struct netsys_attr *a, struct seq *out)
{
    struct netdev_stats s;

    netdev_stats(dev, &s);
    seq_printf(out, "%lu\n",
               a->offset == NOTHING_COUNTS ? 0 : *(const u64 *)(void *)((char *)&s + a->offset));
    return 0;
}

/* ---- what is written ---- */

static int netsys_number(const char *text, u32 *out)
{
    u64 v;
    int err = parse_u64(text, 0, &v);

    if (err || v > U32_MAX)
        return err ? err : -ERANGE;
    *out = (u32)v;
    return 0;
}

static int netsys_store_mtu(struct netdev *dev, char *text)
{
    u32 mtu;
    int err = netsys_number(text, &mtu);

    return err ? err : net_device_set_mtu(dev, mtu);
}

static int netsys_store_flags(struct netdev *dev, char *text)
{
    u32 flags;
    int err = netsys_number(text, &flags);

    return err ? err : net_device_set_flags(dev, flags, ~0U);
}

static int netsys_store_queue_len(struct netdev *dev, char *text)
{
    u32 n;
    int err = netsys_number(text, &n);

    if (!err && n > NETDEV_BACKLOG_MOST)
        err = -ERANGE;
    if (!err)
        WRITE_ONCE(dev->tx_queue_len, n);
    return err;
}

static int netsys_store_group(struct netdev *dev, char *text)
{
    u32 group;
    int err = netsys_number(text, &group);

    if (!err)
        WRITE_ONCE(dev->group, group);
    return err;
}

static int netsys_store_alias(struct netdev *dev, char *text)
{
    u32 n = (u32)strlen(text);

    if (n && text[n - 1] == '\n')
        n--;
    return net_device_set_alias(dev, text, n);
}

/* ---- a uevent that a program asks for: "ACTION [UUID [KEY=VALUE]...]" ---- */

static const char *const netsys_actions[] = {"add",    "remove",  "change", "move",
                                             "online", "offline", "bind",   "unbind"};

static const char *netsys_action(const char *text, u32 len)
{
    for (u32 i = 0; i < ARRAY_SIZE(netsys_actions); i++)
        if (str_is(netsys_actions[i], text, len))
            return netsys_actions[i];
    return NULL;
}

static bool netsys_uuid_ok(const char *text, u32 len)
{
    for (u32 i = 0; i < len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = text[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

        if (dash ? c != '-' : !hex)
            return false;
    }
    return len == 36;
}

/* Letters and digits on both sides of one "=". */
static bool netsys_pair_ok(const char *text, u32 len)
{
    u32 equals = 0;

    for (u32 i = 0; i < len; i++) {
        char c = text[i];

        if (c == '=' && i && i + 1 < len)
            equals++;
        else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return false;
    }
    return equals == 1;
}

/* One word behind the action, into the lines of the message. */
static int netsys_ask_word(const char *text, u32 len, u32 number, char *more, u32 *n)
{
    const char *head = number ? "SYNTH_ARG_" : "SYNTH_UUID=";

    if (number ? !netsys_pair_ok(text, len) : !netsys_uuid_ok(text, len))
        return -EINVAL;
    if (*n + strlen(head) + len + 1 > UEVENT_MORE)
        return -EINVAL;
    memcpy(more + *n, head, strlen(head));
    memcpy(more + *n + strlen(head), text, len);
    *n += (u32)strlen(head) + len;
    more[(*n)++] = '\0';
    return 0;
}

static u32 netsys_word(const char *text)
{
    u32 n = 0;

    while (text[n] && text[n] != ' ' && text[n] != '\n')
        n++;
    return n;
}

static int netsys_store_uevent(struct netdev *dev, char *text)
{
    static const char none[] = "SYNTH_UUID=0";
    char more[UEVENT_MORE];
    u32 len = netsys_word(text), words = 0;
    struct net_uevent u = {dev, netsys_action(text, len), more, 0};
    int err = u.action ? 0 : -EINVAL;

    for (text += len; !err && *text == ' '; text += len, words++) {
        text++;
        len = netsys_word(text);
        err = netsys_ask_word(text, len, words, more, &u.n);
    }
    if (!err && *text && strcmp(text, "\n"))
        err = -EINVAL;
    if (!err && !words) {
        memcpy(more, none, sizeof(none));
        u.n = sizeof(none);
    }
    if (err)
        return err;
    net_config_lock(dev->ns);
    if (READ_ONCE(dev->flags) & NETDEV_GONE)
        err = -ENODEV;
    else
        net_event(dev->ns, NET_EVENT_ASKED, &u, 0);
    net_config_unlock(dev->ns);
    return err;
}

/* ---- the tables ---- */

const struct netsys_attr netsys_attrs[] = {
    {"addr_assign_type", netsys_show_addr_is, NULL, 0},
    {"addr_len", netsys_show_addr_len, NULL, 0},
    {"address", netsys_show_address, NULL, 0},
    {"broadcast", netsys_show_broadcast, NULL, 0},
    {"carrier", netsys_show_carrier, NULL, 0},
    {"carrier_changes", netsys_show_carrier_changes, NULL, 0},
    {"carrier_down_count", netsys_show_carrier_down, NULL, 0},
    {"carrier_up_count", netsys_show_carrier_up, NULL, 0},
    {"dev_id", netsys_show_hex_zero, NULL, 0},
    {"dev_port", netsys_show_zero, NULL, 0},
    {"dormant", netsys_show_dormant, NULL, 0},
    {"duplex", netsys_show_duplex, NULL, 0},
    {"flags", netsys_show_flags, netsys_store_flags, 0},
    {"ifalias", netsys_show_alias, netsys_store_alias, 0},
    {"ifindex", netsys_show_index, NULL, 0},
    {"iflink", netsys_show_link, NULL, 0},
    {"link_mode", netsys_show_zero, NULL, 0},
    {"mtu", netsys_show_mtu, netsys_store_mtu, 0},
    {"name_assign_type", netsys_show_name_is, NULL, 0},
    {"netdev_group", netsys_show_group, netsys_store_group, 0},
    {"operstate", netsys_show_state, NULL, 0},
    {"speed", netsys_show_speed, NULL, 0},
    {"tx_queue_len", netsys_show_queue_len, netsys_store_queue_len, 0},
    {"type", netsys_show_type, NULL, 0},
    {"uevent", netsys_show_uevent, netsys_store_uevent, 0},
    {NULL, NULL, NULL, 0},
};

#define NETSYS_COUNTER(name, field)                                           \
    {                                                                         \
        name, netsys_show_counter, NULL, offsetof(struct netdev_stats, field) \
    }
#define NETSYS_NONE(name)                               \
    {                                                   \
        name, netsys_show_counter, NULL, NOTHING_COUNTS \
    }

const struct netsys_attr netsys_statistics[] = {
    NETSYS_COUNTER("collisions", collisions),
    NETSYS_COUNTER("multicast", rx_multicast),
    NETSYS_COUNTER("rx_bytes", rx_bytes),
    NETSYS_NONE("rx_compressed"),
    NETSYS_COUNTER("rx_crc_errors", rx_crc),
    NETSYS_COUNTER("rx_dropped", rx_dropped),
    NETSYS_COUNTER("rx_errors", rx_errors),
    NETSYS_NONE("rx_fifo_errors"),
    NETSYS_NONE("rx_frame_errors"),
    NETSYS_COUNTER("rx_length_errors", rx_length),
    NETSYS_COUNTER("rx_missed_errors", rx_missed),
    NETSYS_NONE("rx_nohandler"),
    NETSYS_NONE("rx_over_errors"),
    NETSYS_COUNTER("rx_packets", rx_packets),
    NETSYS_NONE("tx_aborted_errors"),
    NETSYS_COUNTER("tx_bytes", tx_bytes),
    NETSYS_NONE("tx_carrier_errors"),
    NETSYS_NONE("tx_compressed"),
    NETSYS_COUNTER("tx_dropped", tx_dropped),
    NETSYS_COUNTER("tx_errors", tx_errors),
    NETSYS_NONE("tx_fifo_errors"),
    NETSYS_NONE("tx_heartbeat_errors"),
    NETSYS_COUNTER("tx_packets", tx_packets),
    NETSYS_NONE("tx_window_errors"),
    {NULL, NULL, NULL, 0},
};
