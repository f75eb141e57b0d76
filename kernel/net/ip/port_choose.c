/* SPDX-License-Identifier: MIT
 *
 * Which port a socket gets whose program names none (RFC 6056): one that nobody has, found from a
 * random place on; or for a connection one that only other connections have, found from a place
 * that depends on both ends and a secret, so that who connects elsewhere learns nothing of it, and
 * a port is not used again soon towards the same peer. All is under the port table's lock, which is
 * held for PORT_TRIES looks at the most.
 */
#include "lib/errno.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/random.h"
#include "mm/slab.h"
#include "net/ip/addr.h"
#include "net/ip/ip_priv.h"
#include "net/ip/port_priv.h"

#define PORTS 65536U
#define PORT_CHUNK 2048U /* ports whose bits are allocated together */
#define PORT_WORDS (PORT_CHUNK / 64)
#define PORT_SLOTS 256U /* counters of how far connections have moved */
#define PORT_CHANCES 32U

struct port_bits {
    u64 *used[PORTS / PORT_CHUNK]; /* NULL: none of them */
    struct hash_key secret;
    u16 moved[PORT_SLOTS];
    u16 chance[PORT_CHANCES]; /* random numbers, those from nr_chances on are used */
    u32 nr_chances;
};

/* 64 ports from there on, a bit for each that is used. */
static u64 *port_word(const struct port_bits *p, u32 port)
{
    u64 *chunk = p->used[port / PORT_CHUNK];

    return chunk ? &chunk[port % PORT_CHUNK / 64] : NULL;
}

static bool port_is_used(const struct port_bits *p, u32 port)
{
    const u64 *word = port_word(p, port);

    return word && (*word >> port % 64 & 1);
}

bool port_bits_ready(struct port_bits *p, u32 port)
{
    u64 **chunk = &p->used[port / PORT_CHUNK];

    if (!*chunk)
        *chunk = kcalloc(PORT_WORDS, sizeof(u64));
    return *chunk;
}

void port_mark(struct port_table *t, u16 port, bool used)
{
    u64 *word = port_word(t->bits, port), bit = 1ULL << port % 64;

    *word = used ? *word | bit : *word & ~bit;
}

int port_bits_make(struct port_table *t)
{
    if (likely(t->bits))
        return 0;
    t->bits = kzalloc(sizeof(*t->bits));
    if (!t->bits)
        return -ENOMEM;
    random_bytes(&t->bits->secret, sizeof(t->bits->secret));
    random_bytes(t->bits->moved, sizeof(t->bits->moved));
    return 0;
}

void port_bits_free(struct port_bits *p)
{
    for (u32 i = 0; p && i < PORTS / PORT_CHUNK; i++)
        kfree(p->used[i]);
    kfree(p);
}

struct port_range port_range_of(struct net_ns *ns)
{
    const struct ip_values *v = ip_values_of(ns);
    u32 first = (u32)READ_ONCE(v->ports[0]), last = (u32)READ_ONCE(v->ports[1]);

    return (struct port_range){first, last >= first ? last - first + 1 : 1,
                               load_acquire(&v->reserved)};
}

bool port_is_reserved(const struct port_range *r, u32 port)
{
    return r->reserved && (READ_ONCE(r->reserved[port / 64]) >> port % 64 & 1);
}

static u16 port_chance(struct port_bits *p)
{
    if (!p->nr_chances) {
        random_bytes(p->chance, sizeof(p->chance));
        p->nr_chances = PORT_CHANCES;
    }
    return p->chance[--p->nr_chances];
}

/* The first free one of [from, to), 64 at a look; 0: none. */
static u16 port_first_free(const struct port_bits *p, const struct port_range *r, u32 from, u32 to)
{
    while (from < to) {
        const u64 *word = port_word(p, from);
        u64 taken = word ? *word : 0, free;

        if (r->reserved)
            taken |= READ_ONCE(r->reserved[from / 64]);
        free = ~taken >> from % 64;
        if (free) {
            from += (u32)__builtin_ctzll(free);
            return from < to ? (u16)from : 0;
        }
        from = (from | 63) + 1;
    }
    return 0;
}

u16 port_choose_free(struct port_bits *p, const struct port_range *r)
{
    u32 start = r->first + port_chance(p) % r->nr;
    u16 port = port_first_free(p, r, start, r->first + r->nr);

    return port ? port : port_first_free(p, r, r->first, start);
}

/* RFC 6056 3.3.4: the start and whose counter moves it, each by a part of one hash. */
static void port_search_begin(struct port_bits *p, const struct ip_addr *local,
                              struct port_search *search)
{
    struct {
        struct ip_addr local, peer;
        u64 port;
    } ends = {*local, search->peer.addr, search->peer.port};
    u64 hash = hash_sip(&p->secret, &ends, sizeof(ends));

    search->slot = (u16)(hash >> 32) % PORT_SLOTS;
    search->start = (u32)hash / 2 + p->moved[search->slot];
    search->looked = 0;
    search->begun = true;
}

/* No socket has the port but connections for which it was chosen. */
static bool port_is_shared(struct port_table *t, const struct ip_addr *local, u16 port)
{
    const struct port_group *g = port_group_all(t, ip_is_v4(local) ? PORT_ALL4 : PORT_ALL6, port);

    return !g || g->nr == g->nr_chosen;
}

/* The ports of one parity first: the others are left to those who need one for themselves. */
static u32 port_search_place(const struct port_search *search, u32 nr)
{
    u32 half = (nr + 1) / 2, n = search->looked;

    return (search->start * 2U + (n < half ? 2 * n : 2 * (n - half) + 1)) % nr;
}

int port_choose_towards(struct port_table *t, struct net_ns *ns, const struct ip_addr *local,
                        struct port_search *search, u16 *out)
{
    struct port_range r = port_range_of(ns);

    if (!search->begun)
        port_search_begin(t->bits, local, search);
    for (u32 tries = 0; tries < PORT_TRIES; tries++) {
        u16 port = (u16)(r.first + port_search_place(search, r.nr));

        if (search->looked >= r.nr)
            return -EADDRINUSE;
        search->looked++;
        if (port_is_reserved(&r, port) ||
            (port_is_used(t->bits, port) && !port_is_shared(t, local, port)) ||
            !search->may(search, port))
            continue;
        t->bits->moved[search->slot] = (u16)(t->bits->moved[search->slot] + search->looked);
        *out = port;
        return 0;
    }
    return -EAGAIN;
}
