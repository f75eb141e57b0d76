/* SPDX-License-Identifier: MIT
 *
 * Shared memory segments. A segment is a memory object; its areas hold it, and so does the table
 * until IPC_RMID: a removed segment lives, by its number alone, until the last area goes. Its pages
 * are charged to the one that touches them first, as those of tmpfs are.
 */
#include "lib/errno.h"
#include "lib/log.h"
#include "mm/slab.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "proc/sysv/sysv_priv.h"
#include "vm/aspace.h"

#define SHM_DEST 01000 /* in the mode: to go with the last area */
#define SHM_LOCKED 02000
#define SHM_HUGETLB 04000
#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_REMAP 040000
#define SHM_EXEC 0100000

/* I immutable · l base.lock */
struct shm {
    struct sysv_object base; /* its ref: the memory object, and each call that looks at it */
    struct mem_object memory;
    struct ipc_ns *ns;       /* I  a reference to the structure */
    u64 size;                /* I  bytes as asked for */
    s64 atime, dtime;        /* l */
    struct pid *cpid, *lpid; /* l  references, lpid or NULL */
};

static struct shm *shm_of(struct sysv_object *o)
{
    return container_of(o, struct shm, base);
}

static u64 shm_pages(u64 size)
{
    return PAGE_ALIGN(size) >> PAGE_SHIFT;
}

void shm_destroy(struct sysv_object *o)
{
    struct shm *s = shm_of(o);

    ipc_ns_put_memory(s->ns);
    pid_put(s->cpid);
    if (s->lpid)
        pid_put(s->lpid);
    kfree(s);
}

/* The last area and the table have let go. */
static void shm_memory_destroy(struct mem_object *obj)
{
    struct shm *s = container_of(obj, struct shm, memory);
    struct sysv_table *t = &s->ns->table[SYSV_SHM];

    mutex_lock(&t->lock);
    if (!s->base.removed) {
        sysv_unlink(s->ns, &s->base);
        s->base.removed = true;
    }
    s->ns->shm_pages -= shm_pages(s->size);
    mutex_unlock(&t->lock);
    sysv_put(&s->base);
}

static void shm_unmapped(struct mem_object *obj)
{
    struct shm *s = container_of(obj, struct shm, memory);

    mutex_lock(&s->base.lock);
    s->dtime = sysv_seconds();
    sysv_note_pid(&s->lpid);
    mutex_unlock(&s->base.lock);
}

static const struct mem_object_ops shm_memory_ops = {
    .destroy = shm_memory_destroy,
    .unmapped = shm_unmapped,
};

bool shm_get_unless_gone(struct sysv_object *o)
{
    if (!refcount_get_unless_zero(&shm_of(o)->memory.ref))
        return false;
    refcount_get(&o->ref);
    return true;
}

static void shm_put(struct shm *s)
{
    mem_object_put(&s->memory);
    sysv_put(&s->base);
}

/* ------------------------------------------------------------- shmget */

static struct sysv_object *shm_create(struct ipc_ns *ns, u64 size, u32 flags)
{
    struct shm *s;

    if (!size || size > READ_ONCE(ns->shm_max))
        return ERR_PTR(-EINVAL);
    if (PAGE_ALIGN(size) < size) /* the limit may be as high */
        return ERR_PTR(-ENOSPC);
    if (shm_pages(size) > READ_ONCE(ns->shm_all) - MIN(ns->shm_pages, READ_ONCE(ns->shm_all)))
        return ERR_PTR(-ENOSPC);
    if (flags & SHM_HUGETLB)
        return ERR_PTR(-ENOMEM); /* there is no pool of huge pages */
    s = kzalloc(sizeof(*s));
    if (!s)
        return ERR_PTR(-ENOMEM);
    mem_object_init(&s->memory, &shm_memory_ops, NULL);
    s->memory.size = PAGE_ALIGN(size);
    s->size = size;
    s->ns = ns;
    refcount_get(&ns->memory);
    s->cpid = current_process()->pid;
    pid_get(s->cpid);
    ns->shm_pages += shm_pages(size);
    return &s->base;
}

static void shm_discard(struct sysv_object *o)
{
    shm_of(o)->ns->shm_pages -= shm_pages(shm_of(o)->size);
    shm_destroy(o);
}

static int shm_check(const struct sysv_object *o, u64 size)
{
    return size > container_of(o, const struct shm, base)->size ? -EINVAL : 0;
}

s64 shm_get(s32 key, u64 size, u32 flags)
{
    const struct sysv_get g = {.kind = SYSV_SHM,
                               .max = READ_ONCE(sysv_ns()->shm_mni),
                               .size = size,
                               .create = shm_create,
                               .discard = shm_discard,
                               .check = shm_check};

    return sysv_get(&g, key, flags);
}

/* ------------------------------------------------------------- shmat, shmdt */

static int shm_place(struct map_request *req, u64 addr, u64 len, u32 flags)
{
    if (flags & SHM_RND)
        addr = ALIGN_DOWN(addr, PAGE_SIZE);
    if (addr & (PAGE_SIZE - 1) || (!addr && flags & SHM_REMAP) || !user_range_ok(addr, len))
        return -EINVAL;
    req->addr = addr;
    req->fixed = addr;
    req->fixed_noreplace = addr && !(flags & SHM_REMAP);
    return 0;
}

static s64 shm_map(struct shm *s, u64 addr, u32 flags)
{
    u8 prot = PT_READ | (flags & SHM_RDONLY ? 0 : PT_WRITE) | (flags & SHM_EXEC ? PT_EXEC : 0);
    struct map_request req = {.len = s->memory.size,
                              .prot = prot,
                              .max_prot = PT_READ | PT_EXEC | (prot & PT_WRITE),
                              .flags = AREA_SHARED,
                              .object = &s->memory};
    u64 at;
    int err = shm_place(&req, addr, req.len, flags);

    if (!err)
        err = aspace_map(aspace_current(), &req, &at);
    if (err)
        return err == -EEXIST ? -EINVAL : err;
    mutex_lock(&s->base.lock);
    s->atime = sysv_seconds();
    sysv_note_pid(&s->lpid);
    mutex_unlock(&s->base.lock);
    return (s64)at;
}

s64 shm_at(s32 id, u64 addr, u32 flags)
{
    u32 want = MAY_READ | (flags & SHM_RDONLY ? 0 : MAY_WRITE) | (flags & SHM_EXEC ? 0111 : 0);
    struct sysv_object *o = sysv_find(SYSV_SHM, id, want);
    s64 r;

    if (IS_ERR(o))
        return PTR_ERR(o);
    r = shm_map(shm_of(o), addr, flags);
    shm_put(shm_of(o));
    return r;
}

struct shm_piece {
    u64 base, start, end;      /* base: where the whole segment would begin */
    struct mem_object *object; /* a reference, once the first piece is found */
};

/* The next area that shows a piece of the segment at its own distance from base. Once the first
 * piece told which segment it is, the search ends with it. */
static int shm_find_piece(struct area *a, void *arg)
{
    struct shm_piece *p = arg;

    if (p->object && a->start - p->base >= p->object->size)
        return 1;
    if (!a->object || a->object->ops != &shm_memory_ops || a->start < p->base ||
        a->start - p->base != a->offset || (p->object && a->object != p->object))
        return 0;
    if (!p->object)
        mem_object_get(a->object);
    p->object = a->object;
    p->start = a->start;
    p->end = a->end;
    return 1;
}

s64 shm_detach(u64 addr)
{
    struct aspace *as = aspace_current();
    struct shm_piece p = {.base = addr};
    int err = addr & (PAGE_SIZE - 1) ? -EINVAL : 0;

    for (u64 from = addr; !err; from = p.end) {
        p.end = 0;
        (void)aspace_for_each(as, from, shm_find_piece, &p);
        if (!p.end)
            break;
        err = aspace_unmap(as, p.start, p.end - p.start);
    }
    if (!p.object)
        return -EINVAL;
    mem_object_put(p.object);
    return err;
}

/* ------------------------------------------------------------- shmctl */

static void shm_fill(struct shm *s, struct shmid_k *out)
{
    out->size = s->size;
    out->ctime = s->base.ctime;
    out->attached = READ_ONCE(s->memory.nr_areas);
    mutex_lock(&s->base.lock);
    out->atime = s->atime;
    out->dtime = s->dtime;
    out->cpid = sysv_pid_nr(s->cpid);
    out->lpid = sysv_pid_nr(s->lpid);
    mutex_unlock(&s->base.lock);
}

s64 shm_stat(s32 id, enum sysv_stat how, struct shmid_k *out, u64 *resident)
{
    struct sysv_object *o;
    s64 number;

    *out = (struct shmid_k){0};
    o = sysv_find_stat(SYSV_SHM, id, how, &out->perm);
    if (IS_ERR(o))
        return PTR_ERR(o);
    shm_fill(shm_of(o), out);
    if (resident)
        *resident = READ_ONCE(shm_of(o)->memory.nr_pages);
    number = how == SYSV_STAT_ID ? 0 : sysv_number(o);
    shm_put(shm_of(o));
    return number;
}

s64 shm_set(s32 id, const struct ipc_perm_k *perm)
{
    struct sysv_object *o = sysv_find_owned(SYSV_SHM, id);
    s64 err;

    if (IS_ERR(o))
        return PTR_ERR(o);
    err = sysv_change(o, perm);
    shm_put(shm_of(o));
    return err;
}

/* The table's hold on the memory goes; true: it was there. REQUIRES(table lock) */
static bool shm_unhold(struct ipc_ns *ns, struct sysv_object *o)
{
    ASSERT_HELD(&ns->table[o->kind].lock);
    if (o->mode & SHM_DEST)
        return false;
    o->mode |= SHM_DEST;
    sysv_unlink_key(ns, o);
    return true;
}

s64 shm_remove(s32 id)
{
    struct sysv_object *o = sysv_find_owned(SYSV_SHM, id);
    struct ipc_ns *ns = sysv_ns();
    bool held;

    if (IS_ERR(o))
        return PTR_ERR(o);
    mutex_lock(&ns->table[SYSV_SHM].lock);
    held = shm_unhold(ns, o);
    mutex_unlock(&ns->table[SYSV_SHM].lock);
    if (held)
        mem_object_put(&shm_of(o)->memory);
    shm_put(shm_of(o));
    return 0;
}

/* The namespace ends. Called with the table's lock, which is released for the segment's end. */
void shm_drop(struct ipc_ns *ns, struct sysv_object *o) REQUIRES(ns->table[SYSV_SHM].lock)
{
    bool held = shm_unhold(ns, o);

    ASSERT_HELD(&ns->table[SYSV_SHM].lock);
    if (!held)
        return; /* its areas end it */
    mutex_unlock(&ns->table[SYSV_SHM].lock);
    mem_object_put(&shm_of(o)->memory);
    mutex_lock(&ns->table[SYSV_SHM].lock);
}

/* Nothing is ever swapped out: the mark is all there is to set. */
s64 shm_lock(s32 id, bool lock)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_object *o;

    if (cred_capable(current_cred(), ns->user_ns, CAP_IPC_LOCK)) {
        o = sysv_find(SYSV_SHM, id, 0);
    } else {
        o = sysv_find_owned(SYSV_SHM, id);
        if (!IS_ERR(o) && lock && !rlimit_current(RLIMIT_MEMLOCK)) {
            shm_put(shm_of(o));
            return -EPERM;
        }
    }
    if (IS_ERR(o))
        return PTR_ERR(o);
    mutex_lock(&ns->table[SYSV_SHM].lock);
    o->mode = (o->mode & ~(u32)SHM_LOCKED) | (lock ? SHM_LOCKED : 0);
    mutex_unlock(&ns->table[SYSV_SHM].lock);
    shm_put(shm_of(o));
    return 0;
}

s64 shm_info(struct shm_usage *out)
{
    struct ipc_ns *ns = sysv_ns();
    struct sysv_table *t = &ns->table[SYSV_SHM];
    s64 highest = sysv_highest(SYSV_SHM, &out->count);
    struct sysv_object *o;
    u64 index;

    out->resident = 0;
    mutex_lock(&t->lock);
    out->pages = ns->shm_pages;
    xa_for_each (&t->by_index, index, o) {
        out->resident += READ_ONCE(shm_of(o)->memory.nr_pages);
        cond_yield();
    }
    mutex_unlock(&t->lock);
    return highest;
}
