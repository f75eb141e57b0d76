/* SPDX-License-Identifier: MIT
 *
 * Who receives what comes for a port. port.h has the rules.
 */
#include "lib/hash.h"
#include "lib/log.h"
#include "net/ip/addr.h"
#include "net/ip/port_priv.h"

static bool port_device_ok(const struct inet_sock *s, u32 device)
{
    u32 bound = READ_ONCE(s->sock.bound_device);

    return !bound || bound == device;
}

/* Of sockets that share a name each receives from some of the senders, always the same. */
static __noinline struct inet_sock *port_choose_among(const struct port_group *g,
                                                      const struct ip_end *from, u32 device)
{
    u64 hash = hash_u64(from->addr.q[0] ^ from->addr.q[1] ^ (u64)from->port << 16 ^ g->key.port);
    u32 at = (u32)(hash >> 32) % g->nr_members;

    for (u32 looks = MIN(g->nr_members, PORT_LOOKS); looks; looks--) {
        struct inet_sock *s = xa_load(&g->members, at);

        if (likely(port_device_ok(s, device)))
            return s;
        at = at + 1 == g->nr_members ? 0 : at + 1;
    }
    return NULL;
}

static inline struct inet_sock *port_choose(const struct port_group *g, const struct ip_end *from,
                                            u32 device)
{
    if (!g || !g->nr_members)
        return NULL;
    if (likely(g->nr_members == 1))
        return likely(port_device_ok(g->first, device)) ? g->first : NULL;
    return port_choose_among(g, from, device);
}

/* The groups whose members may receive it, the most particular first. */
static void port_groups(struct port_table *t, const struct ip_end *to, const struct ip_end *from,
                        struct port_group *out[4])
{
    const struct ip_addr *any = ip_is_v4(&to->addr) ? &port_any4 : &port_any6;
    struct port_key key = {.addr = to->addr,
                           .peer_addr = from->addr,
                           .scope = to->scope,
                           .port = to->port,
                           .peer_port = from->port};

    out[0] = t->connected ? port_group_find(t, &key) : NULL;
    out[1] = port_group_at(t, &to->addr, to->scope, to->port);
    out[2] = port_group_at(t, any, 0, to->port);
    out[3] = port_group_all(t, PORT_DUAL, to->port);
}

struct inet_sock *port_find(struct port_table *t, const struct ip_end *to,
                            const struct ip_end *from, u32 device)
{
    bool v4 = ip_is_v4(&to->addr);
    struct port_key key = {.addr = to->addr,
                           .peer_addr = from->addr,
                           .scope = to->scope,
                           .port = to->port,
                           .peer_port = from->port};
    struct inet_sock *s;

    spin_lock(&t->lock);
    s = t->connected ? port_choose(port_group_find(t, &key), from, device) : NULL;
    if (!s)
        s = port_choose(port_group_at(t, &to->addr, to->scope, to->port), from, device);
    if (!s)
        s = port_choose(port_group_at(t, v4 ? &port_any4 : &port_any6, 0, to->port), from, device);
    if (!s)
        s = port_choose(port_group_all(t, PORT_DUAL, to->port), from, device);
    if (s)
        socket_get(&s->sock);
    spin_unlock(&t->lock);
    return s;
}

u32 port_find_all(struct port_table *t, const struct ip_end *to, const struct ip_info *h,
                  const struct ip_end *from, struct inet_sock **out, u32 n)
{
    u32 found = 0, looks = PORT_LOOKS;
    struct port_group *groups[4];

    spin_lock(&t->lock);
    port_groups(t, to, from, groups);
    for (u32 i = 0; i < ARRAY_SIZE(groups); i++) {
        const struct port_group *g = groups[i];

        for (u32 k = 0; g && k < g->nr_members && found < n && looks; k++, looks--) {
            struct inet_sock *s = xa_load(&g->members, k);

            if (!port_device_ok(s, h->device) ||
                (ip_is_multicast(&to->addr) && !inet_group_hears(s, h)))
                continue;
            socket_get(&s->sock);
            out[found++] = s;
        }
    }
    spin_unlock(&t->lock);
    return found;
}
