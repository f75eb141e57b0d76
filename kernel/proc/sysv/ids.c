/* SPDX-License-Identifier: MIT
 *
 * Numbers, keys, owners and rights of System V objects, and the namespaces they live in.
 *
 * An object is in its table by index, and by key if it has one; the table holds a reference. An
 * index is given again, after all others, with the next sequence number: an old number finds
 * nothing.
 */
#include "lib/bitmap.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "proc/sysv/sysv_priv.h"
#include "sched/timer.h"

#define TABLE_ORDER 12
#define OBJECT_ORDER 11
#define INUM_IPC 4026531839UL

struct ipc_ns ipc_ns_init;

static void sysv_free_node(struct xa_node *node)
{
    kfree(node);
}

static void *sysv_alloc_node(size_t size, void *ctx)
{
    return kmalloc(size);
}

static void ipc_ns_setup(struct ipc_ns *ns, struct user_ns *user_ns, u64 inum)
{
    *ns = (struct ipc_ns){
        .inum = inum,
        .user_ns = user_ns,
        .shm_max = U64_MAX - (1UL << 24),
        .shm_all = U64_MAX - (1UL << 24),
        .shm_mni = 4096,
        .sem_msl = 32000,
        .sem_mns = 1024000000,
        .sem_opm = 500,
        .sem_mni = 32000,
        .msg_max = 8192,
        .msg_mnb = 16384,
        .msg_mni = 32000,
    };
    refcount_init(&ns->ref, 1);
    refcount_init(&ns->memory, 1);
    for (unsigned i = 0; i < SYSV_KINDS; i++) {
        mutex_init(&ns->table[i].lock, RANK_PROC, TABLE_ORDER, "sysv_table");
        xa_init(&ns->table[i].by_index, sysv_free_node);
        xa_init(&ns->table[i].by_key, sysv_free_node);
    }
}

static void ipc_ns_boot(void)
{
    ipc_ns_setup(&ipc_ns_init, &user_ns_init, INUM_IPC);
}
INIT_HOOK(ipc_ns_boot, INIT_CORE);

struct ipc_ns *ipc_ns_create(struct user_ns *user_ns)
{
    struct ipc_ns *ns = kmalloc(sizeof(*ns));

    if (!ns)
        return NULL;
    ipc_ns_setup(ns, user_ns, inum_alloc());
    user_ns_get(user_ns);
    return ns;
}

void ipc_ns_get(struct ipc_ns *ns)
{
    refcount_get(&ns->ref);
}

static void (*const sysv_drop[SYSV_KINDS])(struct ipc_ns *ns, struct sysv_object *o) = {
    [SYSV_SHM] = shm_drop, [SYSV_SEM] = sem_drop, [SYSV_MSG] = msg_drop};

static void ipc_ns_empty(struct ipc_ns *ns, struct sysv_table *t, enum sysv_kind kind)
{
    struct sysv_object *o;
    u64 index = 0;

    mutex_lock(&t->lock);
    while ((o = xa_next(&t->by_index, &index))) {
        sysv_drop[kind](ns, o);
        index++;
        cond_yield();
    }
    mutex_unlock(&t->lock);
}

/* The structure: segments that are still mapped somewhere hold it longer than its users. */
void ipc_ns_put_memory(struct ipc_ns *ns)
{
    if (!refcount_put(&ns->memory))
        return;
    for (unsigned i = 0; i < SYSV_KINDS; i++)
        kfree(ns->table[i].taken);
    user_ns_put(ns->user_ns);
    kfree(ns);
}

void ipc_ns_put(struct ipc_ns *ns)
{
    if (!refcount_put(&ns->ref))
        return;
    for (unsigned i = 0; i < SYSV_KINDS; i++)
        ipc_ns_empty(ns, &ns->table[i], i);
    ipc_ns_put_memory(ns);
}

struct ipc_ns *sysv_ns(void)
{
    return current_task()->ns->ipc;
}

s64 sysv_seconds(void)
{
    return (s64)((time_ns() + time_wall_offset()) / NSEC_PER_SEC);
}

s32 sysv_pid_nr(const struct pid *pid)
{
    return pid ? (s32)pid_nr(pid, current_pid_ns()) : 0;
}

void sysv_note_pid(struct pid **slot)
{
    struct pid *mine = current_process()->pid, *old = *slot;

    if (mine == old)
        return;
    pid_get(mine);
    *slot = mine;
    if (old)
        pid_put(old);
}

/* ------------------------------------------------------------- rights */

/* want: the bits of all three classes; sysvipc(7), "Access permissions". REQUIRES(table lock) */
static bool sysv_may(const struct ipc_ns *ns, const struct sysv_object *o, u32 want)
{
    const struct cred *c = current_cred();
    u32 granted = o->mode;

    ASSERT_HELD(&ns->table[o->kind].lock);
    want |= want >> 3 | want >> 6;
    if (c->euid == o->cuid || c->euid == o->uid)
        granted >>= 6;
    else if (cred_in_group(c, o->cgid) || cred_in_group(c, o->gid))
        granted >>= 3;
    return !(want & ~granted & 07) || cred_capable(c, ns->user_ns, CAP_IPC_OWNER);
}

static bool sysv_owned(const struct ipc_ns *ns, const struct sysv_object *o)
{
    const struct cred *c = current_cred();

    return c->euid == o->cuid || c->euid == o->uid || cred_capable(c, ns->user_ns, CAP_SYS_ADMIN);
}

int sysv_change(struct sysv_object *o, const struct ipc_perm_k *perm)
{
    struct ipc_ns *ns = sysv_ns();
    kuid_t uid = user_ns_map_uid(current_cred()->user_ns, perm->uid);
    kgid_t gid = user_ns_map_gid(current_cred()->user_ns, perm->gid);

    if (uid == ID_INVALID || gid == ID_INVALID)
        return -EINVAL;
    mutex_lock(&ns->table[o->kind].lock);
    o->uid = uid;
    o->gid = gid;
    o->mode = (o->mode & ~MODE_BITS) | (perm->mode & MODE_BITS);
    o->ctime = sysv_seconds();
    mutex_unlock(&ns->table[o->kind].lock);
    return 0;
}

/* ------------------------------------------------------------- finding */

static struct sysv_object *sysv_by_number(const struct sysv_table *t, s32 id)
{
    struct sysv_object *o = id < 0 ? NULL : xa_load(&t->by_index, (u32)id % SYSV_INDEX_MAX);

    return o && sysv_number(o) == id ? o : NULL;
}

/* A segment is kept by what maps it, not by the table: it may be on its way out. */
static bool sysv_take(struct sysv_object *o)
{
    if (o->kind == SYSV_SHM)
        return shm_get_unless_gone(o);
    refcount_get(&o->ref);
    return true;
}

struct sysv_object *sysv_find(enum sysv_kind kind, s32 id, u32 want)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_table *t = &ns->table[kind];
    struct sysv_object *o;

    mutex_lock(&t->lock);
    o = sysv_by_number(t, id);
    if (!o)
        o = ERR_PTR(-EINVAL);
    else if (!sysv_may(ns, o, want))
        o = ERR_PTR(-EACCES);
    else if (!sysv_take(o))
        o = ERR_PTR(-EIDRM);
    mutex_unlock(&t->lock);
    return o;
}

struct sysv_object *sysv_find_locked(enum sysv_kind kind, s32 id,
                                     u32 want) NO_THREAD_SAFETY /* returns it locked */
{
    struct sysv_object *o = sysv_find(kind, id, want);

    if (IS_ERR(o))
        return o;
    mutex_lock(&o->lock);
    if (!o->removed)
        return o;
    mutex_unlock(&o->lock);
    sysv_put(o);
    return ERR_PTR(-EIDRM);
}

static void sysv_fill_perm(const struct sysv_object *o, struct ipc_perm_k *perm)
{
    struct user_ns *u = current_cred()->user_ns;

    *perm = (struct ipc_perm_k){
        .key = o->key,
        .uid = user_ns_uid(u, o->uid),
        .gid = user_ns_gid(u, o->gid),
        .cuid = user_ns_uid(u, o->cuid),
        .cgid = user_ns_gid(u, o->cgid),
        .mode = o->mode,
        .seq = (u16)o->seq,
    };
}

struct sysv_object *sysv_find_stat(enum sysv_kind kind, s32 id, enum sysv_stat how,
                                   struct ipc_perm_k *perm)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_table *t = &ns->table[kind];
    struct sysv_object *o;

    mutex_lock(&t->lock);
    if (how == SYSV_STAT_ID)
        o = sysv_by_number(t, id);
    else
        o = (u32)id < SYSV_INDEX_MAX ? xa_load(&t->by_index, (u32)id) : NULL;
    if (!o)
        o = ERR_PTR(-EINVAL);
    else if (how != SYSV_STAT_ANY && !sysv_may(ns, o, MAY_READ))
        o = ERR_PTR(-EACCES);
    else if (!sysv_take(o))
        o = ERR_PTR(-EIDRM);
    else
        sysv_fill_perm(o, perm);
    mutex_unlock(&t->lock);
    return o;
}

struct sysv_object *sysv_find_owned(enum sysv_kind kind, s32 id)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_table *t = &ns->table[kind];
    struct sysv_object *o;

    mutex_lock(&t->lock);
    o = sysv_by_number(t, id);
    if (!o)
        o = ERR_PTR(-EINVAL);
    else if (!sysv_owned(ns, o))
        o = ERR_PTR(-EPERM);
    else if (!sysv_take(o))
        o = ERR_PTR(-EIDRM);
    mutex_unlock(&t->lock);
    return o;
}

s64 sysv_highest(enum sysv_kind kind, u32 *count)
{
    struct sysv_table *t = &sysv_ns()->table[kind];
    s64 highest = 0;

    mutex_lock(&t->lock);
    *count = t->count;
    if (t->taken)
        for (u32 word = SYSV_INDEX_MAX / 64; word-- && !highest;)
            if (t->taken[word])
                highest = word * 64 + 63 - __builtin_clzl(t->taken[word]);
    mutex_unlock(&t->lock);
    return highest;
}

void sysv_put(struct sysv_object *o)
{
    static void (*const destroy[SYSV_KINDS])(struct sysv_object * o) = {
        [SYSV_SHM] = shm_destroy, [SYSV_SEM] = sem_destroy, [SYSV_MSG] = msg_destroy};

    if (refcount_put(&o->ref))
        destroy[o->kind](o);
}

/* ------------------------------------------------------------- making and removing */

static int sysv_store(struct xarray *xa, u64 index, struct sysv_object *o)
{
    struct xa_pool pool = {NULL, 0};
    int err = xa_pool_fill(&pool, XA_POOL_MAX, sysv_alloc_node, NULL);

    if (!err)
        err = xa_store(xa, index, o, &pool);
    xa_pool_drain(&pool, sysv_free_node);
    return err;
}

static int sysv_link(struct sysv_table *t, struct sysv_object *o)
{
    int err;

    if (!t->taken)
        t->taken = kcalloc(BITMAP_WORDS(SYSV_INDEX_MAX), sizeof(u64));
    if (!t->taken)
        return -ENOMEM;
    o->index = (u32)bitmap_next_zero(t->taken, SYSV_INDEX_MAX, t->next);
    if (o->index == SYSV_INDEX_MAX) { /* round again: old numbers end */
        o->index = (u32)bitmap_first_zero(t->taken, SYSV_INDEX_MAX);
        if (o->index == SYSV_INDEX_MAX)
            return -ENOSPC;
        t->seq = (t->seq + 1) & 0xffff;
    }
    t->next = o->index + 1;
    o->seq = t->seq;
    err = sysv_store(&t->by_index, o->index, o);
    if (!err && o->key != SYSV_PRIVATE && (err = sysv_store(&t->by_key, (u32)o->key, o)))
        xa_erase(&t->by_index, o->index);
    if (err)
        return err;
    bitmap_set(t->taken, o->index);
    t->count++;
    return 0;
}

void sysv_unlink_key(struct ipc_ns *ns, struct sysv_object *o)
{
    ASSERT_HELD(&ns->table[o->kind].lock);
    if (o->key != SYSV_PRIVATE)
        xa_erase(&ns->table[o->kind].by_key, (u32)o->key);
    o->key = SYSV_PRIVATE;
}

void sysv_unlink(struct ipc_ns *ns, struct sysv_object *o)
{
    struct sysv_table *t = &ns->table[o->kind];

    ASSERT_HELD(&ns->table[o->kind].lock);
    sysv_unlink_key(ns, o);
    xa_erase(&t->by_index, o->index);
    bitmap_clear(t->taken, o->index);
    t->count--;
}

static s64 sysv_create(struct ipc_ns *ns, const struct sysv_get *g, s32 key, u32 flags)
{
    struct sysv_table *t = &ns->table[g->kind];
    const struct cred *c = current_cred();
    struct sysv_object *o;
    int err;

    if (t->count >= g->max)
        return -ENOSPC;
    o = g->create(ns, g->size, flags);
    if (IS_ERR(o))
        return PTR_ERR(o);
    refcount_init(&o->ref, 1);
    mutex_init(&o->lock, RANK_PROC, OBJECT_ORDER, "sysv_object");
    o->kind = g->kind;
    o->key = key;
    o->uid = o->cuid = c->euid;
    o->gid = o->cgid = c->egid;
    o->mode |= flags & MODE_BITS;
    o->ctime = sysv_seconds();
    err = sysv_link(t, o);
    if (err) {
        g->discard(o);
        return err;
    }
    return sysv_number(o);
}

s64 sysv_get(const struct sysv_get *g, s32 key, u32 flags)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_table *t = &ns->table[g->kind];
    struct sysv_object *o;
    s64 r;

    mutex_lock(&t->lock);
    o = key == SYSV_PRIVATE ? NULL : xa_load(&t->by_key, (u32)key);
    if (!o)
        r = key == SYSV_PRIVATE || flags & IPC_CREAT ? sysv_create(ns, g, key, flags) : -ENOENT;
    else if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
        r = -EEXIST;
    else if (!(r = g->check(o, g->size)))
        r = sysv_may(ns, o, flags & MODE_BITS) ? sysv_number(o) : -EACCES;
    mutex_unlock(&t->lock);
    return r;
}
