/* SPDX-License-Identifier: MIT */
#include "vfs/dentry.h"

#include "lib/err.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sync/seqlock.h"
#include "vfs/vfs_priv.h"

#define DENTRY_BUCKETS 16384

struct dentry_bucket {
    struct dentry *first;
    struct spinlock lock;
};

static struct dentry_bucket *dentry_table;
static struct slab_cache *dentry_cache;
static struct spinlock dentry_lru_lock = SPINLOCK_INIT(RANK_VFS, 1, "dentry lru");
static LIST_HEAD(dentry_lru);
static struct spinlock dentry_rename_lock = SPINLOCK_INIT(RANK_VFS, 8, "rename");
struct seqcount dentry_rename_seq;

COUNTER(dentry_lookups);
COUNTER(dentry_misses);

void dentry_init(void)
{
    dentry_cache = slab_cache_create("dentry", sizeof(struct dentry), 64);
    dentry_table = vmap_alloc(DENTRY_BUCKETS * sizeof(*dentry_table));
    if (!dentry_table)
        panic("no memory for the dentry table");
    for (unsigned i = 0; i < DENTRY_BUCKETS; i++) {
        dentry_table[i].first = NULL;
        spinlock_init(&dentry_table[i].lock, RANK_VFS, 2, "dentry bucket");
    }
}

static u32 dentry_hash(const struct dentry *parent, const char *name, size_t len)
{
    u64 h = (u64)parent >> 6;

    for (; len >= 8; name += 8, len -= 8) {
        u64 word;

        __builtin_memcpy(&word, name, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
        h ^= h >> 29;
    }
    for (; len; len--)
        h = (h ^ (u8)*name++) * 0x9e3779b97f4a7c15ULL;
    return (u32)(h >> 32);
}

static struct dentry_bucket *dentry_bucket(u32 hash)
{
    return &dentry_table[hash % DENTRY_BUCKETS];
}

struct dentry *dentry_alloc(struct dentry *parent, const char *name, size_t len)
{
    struct dentry *d = slab_zalloc(dentry_cache);
    char *copy;

    if (!d)
        return NULL;
    copy = d->inline_name;
    if (len >= DENTRY_INLINE) {
        copy = kmalloc(len + 1);
        if (!copy) {
            slab_free(dentry_cache, d);
            return NULL;
        }
    }
    memcpy(copy, name, len);
    copy[len] = '\0';
    spinlock_init(&d->lock, RANK_VFS, 4, "dentry");
    list_init(&d->lru);
    d->name = copy;
    d->len = (u32)len;
    d->ref = 1;
    d->parent = d;
    if (parent) {
        dentry_get(parent);
        d->parent = parent;
        d->super = parent->super;
        d->hash = dentry_hash(parent, name, len);
    }
    return d;
}

struct dentry *dentry_create_root(struct inode *root)
{
    struct dentry *d = dentry_alloc(NULL, "/", 1);

    if (!d)
        return NULL;
    d->super = root->super;
    d->inode = root;
    return d;
}

void dentry_get(struct dentry *d)
{
    spin_lock(&d->lock);
    d->ref++;
    spin_unlock(&d->lock);
}

static void dentry_free_rcu(struct rcu_head *head)
{
    struct dentry *d = container_of(head, struct dentry, rcu);

    if (d->name != d->inline_name)
        kfree(d->name);
    slab_free(dentry_cache, d);
}

static void dentry_bucket_remove(struct dentry *d)
{
    struct dentry_bucket *b = dentry_bucket(d->hash);
    struct dentry **p;

    spin_lock(&b->lock);
    for (p = &b->first; *p != d; p = &(*p)->hash_next)
        ;
    WRITE_ONCE(*p, d->hash_next);
    spin_unlock(&b->lock);
}

static void dentry_unhash_locked(struct dentry *d)
{
    if (!(d->flags & DENTRY_HASHED))
        return;
    d->flags &= ~(u32)DENTRY_HASHED;
    dentry_bucket_remove(d);
}

void dentry_unhash(struct dentry *d)
{
    spin_lock(&d->lock);
    dentry_unhash_locked(d);
    spin_unlock(&d->lock);
}

static void dentry_lru_remove(struct dentry *d)
{
    spin_lock(&dentry_lru_lock);
    list_del(&d->lru);
    spin_unlock(&dentry_lru_lock);
}

/* d->lock held, ref 0: takes it out of everything. Returns the parent, whose reference is the
 * caller's to drop. Unlocks. */
static struct dentry *dentry_kill(struct dentry *d)
{
    struct inode *inode = d->inode;
    struct dentry *parent = d->parent == d ? NULL : d->parent;

    d->flags |= DENTRY_DEAD;
    d->inode = NULL;
    dentry_unhash_locked(d);
    if (d->flags & DENTRY_LRU)
        dentry_lru_remove(d);
    spin_unlock(&d->lock);
    if (inode)
        inode_put(inode);
    rcu_call(&d->rcu, dentry_free_rcu);
    return parent;
}

void dentry_put(struct dentry *d)
{
    while (d) {
        spin_lock(&d->lock);
        ASSERT(d->ref > 0);
        if (--d->ref > 0) {
            spin_unlock(&d->lock);
            return;
        }
        if ((d->flags & DENTRY_HASHED) && !(d->flags & DENTRY_NOCACHE)) {
            if (!(d->flags & DENTRY_LRU)) {
                d->flags |= DENTRY_LRU;
                spin_lock(&dentry_lru_lock);
                list_add_tail(&dentry_lru, &d->lru);
                spin_unlock(&dentry_lru_lock);
            }
            spin_unlock(&d->lock);
            return;
        }
        d = dentry_kill(d);
    }
}

/* A cached name gains its first reference, unless it is on its way out. */
static bool dentry_get_live(struct dentry *d)
{
    bool live;

    spin_lock(&d->lock);
    live = (d->flags & DENTRY_HASHED) && !(d->flags & DENTRY_DEAD);
    if (live)
        d->ref++;
    spin_unlock(&d->lock);
    return live;
}

static bool dentry_matches(const struct dentry *d, const struct dentry *parent, const char *name,
                           size_t len, u32 hash)
{
    return d->hash == hash && d->parent == parent && d->len == len &&
           memcmp(d->name, name, len) == 0;
}

struct dentry *dentry_lookup(struct dentry *parent, const char *name, size_t len)
{
    u32 hash = dentry_hash(parent, name, len), seq;
    struct dentry *d;

    COUNT(dentry_lookups);
    do {
        seq = seqcount_read_begin(&dentry_rename_seq);
        rcu_read_lock();
        for (d = rcu_dereference(dentry_bucket(hash)->first); d; d = rcu_dereference(d->hash_next))
            if (dentry_matches(d, parent, name, len, hash) && dentry_get_live(d))
                break;
        rcu_read_unlock();
        if (d)
            return d;
    } while (seqcount_read_retry(&dentry_rename_seq, seq));
    COUNT(dentry_misses);
    return NULL;
}

/* Two that miss at once both ask the file system (the directory is locked for reading): the first
 * to publish wins. */
struct dentry *dentry_hash_add(struct dentry *d)
{
    struct dentry_bucket *b = dentry_bucket(d->hash);
    struct dentry *other;

    for (;;) {
        spin_lock(&d->lock);
        spin_lock(&b->lock);
        for (other = b->first; other; other = other->hash_next)
            if (dentry_matches(other, d->parent, d->name, d->len, d->hash))
                break;
        if (!other) {
            d->hash_next = b->first;
            store_release(&b->first, d);
            d->flags |= DENTRY_HASHED;
        }
        spin_unlock(&b->lock);
        spin_unlock(&d->lock);
        if (!other)
            return d;
        rcu_read_lock();
        other = dentry_lookup(d->parent, d->name, d->len);
        rcu_read_unlock();
        if (other) {
            dentry_put(d);
            return other;
        }
    }
}

void dentry_instantiate(struct dentry *d, struct inode *i)
{
    spin_lock(&d->lock);
    d->inode = i;
    spin_unlock(&d->lock);
}

void dentry_delete(struct dentry *d)
{
    spin_lock(&d->lock);
    d->flags |= DENTRY_UNLINKED;
    dentry_unhash_locked(d);
    spin_unlock(&d->lock);
}

/* ------------------------------------------------------------- rename */

static void dentry_insert(struct dentry *d)
{
    struct dentry_bucket *b = dentry_bucket(d->hash);

    spin_lock(&b->lock);
    d->hash_next = b->first;
    store_release(&b->first, d);
    spin_unlock(&b->lock);
    d->flags |= DENTRY_HASHED;
}

/* Names are swapped as blocks; inline ones by their bytes. */
static void dentry_swap_names(struct dentry *a, struct dentry *b)
{
    char tmp[DENTRY_INLINE];
    const char *an = a->name == a->inline_name ? NULL : a->name;
    const char *bn = b->name == b->inline_name ? NULL : b->name;
    u32 len = a->len;

    memcpy(tmp, a->inline_name, DENTRY_INLINE);
    memcpy(a->inline_name, b->inline_name, DENTRY_INLINE);
    memcpy(b->inline_name, tmp, DENTRY_INLINE);
    a->name = bn ? bn : a->inline_name;
    b->name = an ? an : b->inline_name;
    a->len = b->len;
    b->len = len;
}

static void dentry_swap_places(struct dentry *a, struct dentry *b)
{
    struct dentry *parent = a->parent;

    dentry_swap_names(a, b);
    a->parent = b->parent;
    b->parent = parent;
    a->hash = dentry_hash(a->parent, a->name, a->len);
    b->hash = dentry_hash(b->parent, b->name, b->len);
}

static void dentry_rename(struct dentry *d, struct dentry *target, bool exchange)
{
    u32 was_hashed = d->flags & DENTRY_HASHED;

    spin_lock(&dentry_rename_lock);
    seqcount_write_begin(&dentry_rename_seq);
    dentry_unhash(d);
    dentry_unhash(target);
    dentry_swap_places(d, target);
    if (was_hashed)
        dentry_insert(d);
    if (exchange)
        dentry_insert(target);
    else
        target->flags |= DENTRY_UNLINKED;
    seqcount_write_end(&dentry_rename_seq);
    spin_unlock(&dentry_rename_lock);
}

void dentry_move(struct dentry *d, struct dentry *target)
{
    dentry_rename(d, target, false);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    dentry_rename(a, b, true);
}

bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *d)
{
    for (;; d = d->parent) {
        if (d == ancestor)
            return true;
        if (d->parent == d)
            return false;
    }
}

/* ------------------------------------------------------------- shrinking */

/* The oldest unused dentry, dead and out of everything but its parent; NULL: none. */
static struct dentry *dentry_evict_one(struct super *only, struct dentry **parent)
{
    struct dentry *d, *found = NULL;

    spin_lock(&dentry_lru_lock);
    list_for_each (d, &dentry_lru, lru) {
        if (only && d->super != only)
            continue;
        found = d;
        break;
    }
    if (found)
        list_del(&found->lru);
    spin_unlock(&dentry_lru_lock);
    if (!found)
        return NULL;
    spin_lock(&found->lock);
    found->flags &= ~(u32)DENTRY_LRU;
    if (found->ref > 0 || (found->flags & DENTRY_DEAD)) {
        spin_unlock(&found->lock);
        *parent = NULL;
        return found;
    }
    *parent = dentry_kill(found);
    return found;
}

static u64 dentry_shrink_matching(struct super *only, u64 n)
{
    struct dentry *parent;
    u64 done = 0;

    while (done < n && dentry_evict_one(only, &parent)) {
        if (!parent)
            continue;
        dentry_put(parent);
        done++;
        cond_yield();
    }
    return done;
}

u64 dentry_shrink(u64 n)
{
    return dentry_shrink_matching(NULL, n);
}

void dentry_shrink_super(struct super *s)
{
    dentry_shrink_matching(s, U64_MAX);
}

const char *dentry_name(const struct dentry *d, size_t *len)
{
    *len = d->len;
    return d->name;
}

struct inode *dentry_inode(const struct dentry *d)
{
    return READ_ONCE(d->inode);
}

struct dentry *dentry_parent(const struct dentry *d)
{
    return READ_ONCE(d->parent);
}
