/* SPDX-License-Identifier: MIT
 *
 * User namespaces: a tree, each with two maps from its numbers to kernel ids. A map is written
 * once; readers see nr (released last) and then the extents.
 */
#include "lib/atomic.h"
#include "lib/err.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "obj/cred.h"
#include "sync/spinlock.h"

#define ID_OVERFLOW 65534

struct user_ns user_ns_init = {
    .ref = {REFCOUNT_SATURATED},
    .inum = 0xEFFFFFFD, /* Linux's PROC_USER_INIT_INO */
    .uid_map = {1, {{0, 0, U32_MAX}}},
    .gid_map = {1, {{0, 0, U32_MAX}}},
};
static struct spinlock user_ns_lock = SPINLOCK_INIT(RANK_OBJ, 20, "user_ns maps");

/* The kernel ids of `count` numbers from id on, which lie in one extent; ID_INVALID: they do not.
 */
static u32 user_ns_down(const struct id_map *map, u32 id, u32 count)
{
    u32 nr = load_acquire(&map->nr);

    for (u32 i = 0; i < nr; i++) {
        u32 skip = id - map->extent[i].first;

        if (id >= map->extent[i].first && skip < map->extent[i].count &&
            count <= map->extent[i].count - skip)
            return map->extent[i].lower + skip;
    }
    return ID_INVALID;
}

/* ID_INVALID: the kernel id has no number there. */
static u32 user_ns_up(const struct id_map *map, u32 id)
{
    u32 nr = load_acquire(&map->nr);

    for (u32 i = 0; i < nr; i++)
        if (id >= map->extent[i].lower && id - map->extent[i].lower < map->extent[i].count)
            return map->extent[i].first + (id - map->extent[i].lower);
    return ID_INVALID;
}

kuid_t user_ns_map_uid(const struct user_ns *ns, u32 uid)
{
    return user_ns_down(&ns->uid_map, uid, 1);
}

kgid_t user_ns_map_gid(const struct user_ns *ns, u32 gid)
{
    return user_ns_down(&ns->gid_map, gid, 1);
}

static u32 user_ns_shown(const struct id_map *map, u32 id)
{
    u32 nr = user_ns_up(map, id);

    return nr == ID_INVALID ? ID_OVERFLOW : nr;
}

u32 user_ns_uid(const struct user_ns *ns, kuid_t uid)
{
    return user_ns_shown(&ns->uid_map, uid);
}

u32 user_ns_gid(const struct user_ns *ns, kgid_t gid)
{
    return user_ns_shown(&ns->gid_map, gid);
}

u32 user_ns_id(const struct user_ns *ns, bool gids, u32 id)
{
    return user_ns_up(gids ? &ns->gid_map : &ns->uid_map, id);
}

bool user_ns_has_uid(const struct user_ns *ns, kuid_t uid)
{
    return user_ns_up(&ns->uid_map, uid) != ID_INVALID;
}

bool user_ns_has_gid(const struct user_ns *ns, kgid_t gid)
{
    return user_ns_up(&ns->gid_map, gid) != ID_INVALID;
}

struct user_ns *user_ns_create(const struct cred *creator)
{
    struct user_ns *parent = creator->user_ns, *ns;

    if (parent->level + 1 >= USER_NS_LEVELS)
        return ERR_PTR(-ENOSPC);
    if (!user_ns_has_uid(parent, creator->euid) || !user_ns_has_gid(parent, creator->egid))
        return ERR_PTR(-EPERM);
    ns = kzalloc(sizeof(*ns));
    if (!ns)
        return ERR_PTR(-ENOMEM);
    refcount_init(&ns->ref, 1);
    user_ns_get(parent);
    ns->parent = parent;
    ns->level = parent->level + 1;
    ns->owner = creator->euid;
    ns->group = creator->egid;
    ns->setgroups_denied = READ_ONCE(parent->setgroups_denied);
    ns->maker_had_setfcap = creator->cap_effective >> CAP_SETFCAP & 1;
    ns->inum = inum_alloc();
    return ns;
}

static bool user_ns_overlap(u32 a, u32 b, u32 a_count, u32 b_count)
{
    return a < b ? b - a < a_count : a - b < b_count;
}

static bool user_ns_map_ok(const struct id_map *map)
{
    if (!map->nr || map->nr > USER_NS_EXTENTS)
        return false;
    for (u32 i = 0; i < map->nr; i++) {
        u32 count = map->extent[i].count;

        if (!count || map->extent[i].first > U32_MAX - count ||
            map->extent[i].lower > U32_MAX - count)
            return false;
        for (u32 j = 0; j < i; j++)
            if (user_ns_overlap(map->extent[i].first, map->extent[j].first, count,
                                map->extent[j].count) ||
                user_ns_overlap(map->extent[i].lower, map->extent[j].lower, count,
                                map->extent[j].count))
                return false;
    }
    return true;
}

int user_ns_set_map(struct user_ns *ns, bool gids, const struct id_map *map)
{
    struct id_map *mine = gids ? &ns->gid_map : &ns->uid_map, kernel = *map;
    const struct id_map *outer = gids ? &ns->parent->gid_map : &ns->parent->uid_map;
    int err = 0;

    if (!user_ns_map_ok(map))
        return -EINVAL;
    for (u32 i = 0; i < map->nr; i++) {
        u32 lower = user_ns_down(outer, map->extent[i].lower, map->extent[i].count);

        if (lower == ID_INVALID)
            return -EPERM;
        kernel.extent[i].lower = lower;
    }
    spin_lock(&user_ns_lock);
    if (mine->nr) {
        err = -EPERM;
    } else {
        for (u32 i = 0; i < map->nr; i++)
            mine->extent[i] = kernel.extent[i];
        store_release(&mine->nr, map->nr); /* pairs with the acquire in user_ns_down and _up */
    }
    spin_unlock(&user_ns_lock);
    return err;
}

int user_ns_deny_setgroups(struct user_ns *ns)
{
    int err = 0;

    spin_lock(&user_ns_lock);
    if (ns->gid_map.nr)
        err = -EPERM;
    else
        WRITE_ONCE(ns->setgroups_denied, true);
    spin_unlock(&user_ns_lock);
    return err;
}

bool user_ns_may_setgroups(const struct user_ns *ns)
{
    return load_acquire(&ns->gid_map.nr) && !READ_ONCE(ns->setgroups_denied);
}

void user_ns_enter(struct user_ns *ns, struct cred *c)
{
    user_ns_put(c->user_ns);
    c->user_ns = ns;
    c->cap_permitted = c->cap_effective = c->cap_bounding = CAP_FULL;
    c->cap_inheritable = c->cap_ambient = 0;
    c->securebits = 0;
}

void user_ns_get(struct user_ns *ns)
{
    refcount_get(&ns->ref);
}

void user_ns_put(struct user_ns *ns)
{
    while (ns && refcount_put(&ns->ref)) {
        struct user_ns *parent = ns->parent;

        kfree(ns);
        ns = parent;
    }
}
