/* SPDX-License-Identifier: MIT
 *
 * Credentials: copied, edited in private, published, never changed again. A copy has its own group
 * list, allocated with kmalloc: code that replaces `groups` in a private copy frees the old one.
 *
 * All processes of a container may share one struct, and each file that one opens has a reference.
 * So a thread takes many at once and has some to spare, of one struct, for its next files: it
 * neither waits for the count's cache line, nor takes it from other CPUs, at each open and close.
 */
#include "obj/cred.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

struct cred cred_init = {
    .ref = {REFCOUNT_SATURATED},
    .cap_permitted = CAP_FULL,
    .cap_effective = CAP_FULL,
    .cap_bounding = CAP_FULL,
    .user_ns = &user_ns_init,
};

static struct slab_cache *cred_cache;
static u64 inum_last =
    0xEFFFFFFF; /* below it lie the numbers of the first namespaces, as on Linux */

static void cred_boot(void)
{
    cred_cache = slab_cache_create("cred", sizeof(struct cred), 0);
}
INIT_HOOK(cred_boot, INIT_CORE);

u64 inum_alloc(void)
{
    return __atomic_add_fetch(&inum_last, 1, __ATOMIC_RELAXED);
}

struct cred *cred_copy(const struct cred *from)
{
    struct cred *c = slab_alloc(cred_cache);

    if (!c)
        return NULL;
    *c = *from;
    refcount_init(&c->ref, 1);
    if (from->nr_groups) {
        c->groups = kmemdup(from->groups, from->nr_groups * sizeof(*c->groups));
        if (!c->groups) {
            slab_free(cred_cache, c);
            return NULL;
        }
    }
    user_ns_get(c->user_ns);
    return c;
}

#define CREDS_SPARE 32 /* taken at once */
#define CREDS_SPARE_MOST (2 * CREDS_SPARE)

static void cred_free(struct cred *c)
{
    user_ns_put(c->user_ns);
    if (c->nr_groups)
        kfree(c->groups);
    slab_free(cred_cache, c);
}

void cred_spares_put(void)
{
    struct thread *me = current_thread();
    struct cred *c = (struct cred *)me->spare_cred;
    s32 n = (s32)me->spare_creds;

    me->spare_cred = NULL;
    me->spare_creds = 0;
    if (n && refcount_put_many(&c->ref, n))
        cred_free(c);
}

/* A kernel thread serves many and has none to spare. */
static __noinline void cred_get_many(struct thread *me, struct cred *c)
{
    ASSERT_CURRENT(me);
    refcount_get(&c->ref);
    if (!me->task || c != up_current_cred()) /* another's would stay for as long as it sleeps */
        return;
    cred_spares_put();
    refcount_get_many(&c->ref, CREDS_SPARE);
    me->spare_cred = c;
    me->spare_creds = CREDS_SPARE;
}

void cred_get(const struct cred *c)
{
    struct thread *me = current_thread();

    if (likely(me->spare_cred == c && me->spare_creds > 0))
        me->spare_creds--;
    else
        cred_get_many(me, (struct cred *)c);
}

void cred_put(const struct cred *c)
{
    struct cred *mine = (struct cred *)c;
    struct thread *me = current_thread();

    if (likely(me->spare_cred == c && me->spare_creds < CREDS_SPARE_MOST))
        me->spare_creds++;
    else if (refcount_put(&mine->ref))
        cred_free(mine);
}

bool cred_in_group(const struct cred *c, kgid_t gid)
{
    u32 lo = 0, hi = c->nr_groups;

    if (gid == c->fsgid)
        return true;
    while (lo < hi) {
        u32 mid = lo + (hi - lo) / 2;

        if (c->groups[mid] == gid)
            return true;
        if (c->groups[mid] < gid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

bool cred_capable(const struct cred *c, const struct user_ns *ns, int cap)
{
    for (;; ns = ns->parent) {
        if (ns == c->user_ns)
            return c->cap_effective >> cap & 1;
        if (ns->level <= c->user_ns->level)
            return false;
        /* The owner of a child namespace has every capability over it. */
        if (ns->parent == c->user_ns && ns->owner == c->euid)
            return true;
    }
}
