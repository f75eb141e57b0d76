/* SPDX-License-Identifier: MIT
 *
 * The dentry cache. Its hash table grows by one bucket for each name beyond one a bucket (linear
 * hashing: bucket n takes over half of bucket n - 2^k), so no operation waits for the whole to be
 * rebuilt. Buckets live in segments that are never given back.
 */
#include "vfs/dentry_priv.h"

#include "arch/x86/percpu.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/thread.h"
#include "vfs/inotify.h"
#include "vfs/vfs_priv.h"

#define SEGMENT_ORDER 4 /* pages, as a power of two */
#define SEGMENT_BUCKETS ((PAGE_SIZE << SEGMENT_ORDER) / sizeof(struct dentry_bucket))
#define SEGMENTS_MAX 1024

struct dentry_bucket {
    struct dentry *first;
    struct spinlock lock;
};

static struct dentry_bucket *dentry_segments[SEGMENTS_MAX];
static u32 dentry_buckets;       /* the rename lock and the split bucket's; RCU to read */
static atomic64_t dentry_hashed; /* names in the table, but for what CPUs have not told yet */
static DEFINE_PER_CPU(s32, dentry_untold); /* names added here, less those removed */
#define UNTOLD_MOST 32
static u64 dentry_hash_key, dentry_hash_factor __ro_after_init;
static struct slab_cache *dentry_cache;
struct spinlock dentry_rename_lock = SPINLOCK_INIT(RANK_VFS, 5, "rename");
struct seqcount dentry_rename_seq;

COUNTER(dentry_lookups);
COUNTER(dentry_misses);

static bool dentry_segment_make(u32 i)
{
    struct dentry_bucket *segment = page_alloc_virt(SEGMENT_ORDER, PA_ZERO);

    if (!segment)
        return false;
    for (unsigned k = 0; k < SEGMENT_BUCKETS; k++)
        spinlock_init(&segment[k].lock, RANK_VFS, 2, "dentry bucket");
    dentry_segments[i] = segment;
    return true;
}

void dentry_init(void)
{
    dentry_cache = slab_cache_create("dentry", sizeof(struct dentry), 64);
    dentry_hash_key = random_u64();
    dentry_hash_factor = random_u64() | 1;
    if (!dentry_segment_make(0))
        panic("no memory for the dentry table");
    dentry_buckets = SEGMENT_BUCKETS;
}

/* Programs choose names: without the key and the factor they cannot find two that collide. */
static inline u64 dentry_hash_mix(u64 h, u64 word)
{
    unsigned __int128 product = (unsigned __int128)(h ^ word) * dentry_hash_factor;

    return (u64)product ^ (u64)(product >> 64);
}

/* The last bytes of a name, less than 8, and how many they are. */
static inline u64 dentry_hash_tail(const char *name, size_t len)
{
    u64 word = len;
    u32 four;
    u16 two;

    if (len & 4) {
        __builtin_memcpy(&four, name, 4);
        word = word << 32 | four;
        name += 4;
    }
    if (len & 2) {
        __builtin_memcpy(&two, name, 2);
        word = word << 16 | two;
        name += 2;
    }
    return len & 1 ? word << 8 | (u8)*name : word;
}

u32 dentry_hash(const struct dentry *parent, const char *name, size_t len)
{
    u64 h = dentry_hash_mix(dentry_hash_key, (u64)parent), word;

    for (; len >= 8; name += 8, len -= 8) {
        __builtin_memcpy(&word, name, 8);
        h = dentry_hash_mix(h, word);
    }
    h = dentry_hash_mix(h, dentry_hash_tail(name, len));
    return (u32)(h >> 32 ^ h);
}

static struct dentry_bucket *dentry_bucket_at(u32 i)
{
    return &dentry_segments[i / SEGMENT_BUCKETS][i % SEGMENT_BUCKETS];
}

/* The largest power of two in n. */
static inline u32 dentry_round(u32 n)
{
    return 1U << (31 - (unsigned)__builtin_clz(n));
}

static struct dentry_bucket *dentry_bucket(u32 hash)
{
    u32 n = load_acquire(&dentry_buckets), round = dentry_round(n);
    u32 i = hash & (2 * round - 1);

    return dentry_bucket_at(i < n ? i : i & (round - 1));
}

/* The bucket of a hash, locked: it may be split until then. */
static struct dentry_bucket *dentry_bucket_lock(u32 hash) NO_THREAD_SAFETY /* returns it locked */
{
    for (;;) {
        struct dentry_bucket *b = dentry_bucket(hash);

        spin_lock(&b->lock);
        if (likely(b == dentry_bucket(hash)))
            return b;
        spin_unlock(&b->lock);
    }
}

/* Moves to bucket n what belongs there. Readers who miss something meanwhile look again: see
 * dentry_lookup. */
static void dentry_split_locked(u32 n) REQUIRES(dentry_rename_lock)
{
    u32 round = dentry_round(n);
    struct dentry_bucket *from = dentry_bucket_at(n - round), *to = dentry_bucket_at(n);
    struct dentry **keep = &from->first, **move = &to->first, *d, *next;

    ASSERT_HELD(&dentry_rename_lock);
    seqcount_write_begin(&dentry_rename_seq);
    spin_lock(&from->lock);
    for (d = from->first; d; d = next) {
        struct dentry ***end = (d->hash & (2 * round - 1)) == n ? &move : &keep;

        next = d->hash_next;
        WRITE_ONCE(**end, d);
        *end = &d->hash_next;
    }
    WRITE_ONCE(*keep, NULL);
    WRITE_ONCE(*move, NULL);
    store_release(&dentry_buckets, n + 1);
    spin_unlock(&from->lock);
    seqcount_write_end(&dentry_rename_seq);
}

/* One bucket more, if there are more names than buckets. Without memory chains just get longer. */
static void dentry_table_grow(void)
{
    u32 n;

    spin_lock(&dentry_rename_lock);
    n = dentry_buckets;
    if (atomic_read(&dentry_hashed) > (s64)n && n / SEGMENT_BUCKETS < SEGMENTS_MAX &&
        (dentry_segments[n / SEGMENT_BUCKETS] || dentry_segment_make(n / SEGMENT_BUCKETS)))
        dentry_split_locked(n);
    spin_unlock(&dentry_rename_lock);
}

/* One name more or less. True: the table is too small. */
static bool dentry_count(s32 n)
{
    s32 untold = this_cpu_read(dentry_untold) + n;

    if (likely(untold < UNTOLD_MOST && untold > -UNTOLD_MOST)) {
        this_cpu_write(dentry_untold, untold);
        return atomic_read(&dentry_hashed) > (s64)READ_ONCE(dentry_buckets);
    }
    this_cpu_write(dentry_untold, 0);
    return atomic_add(&dentry_hashed, untold) > (s64)READ_ONCE(dentry_buckets);
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
    list_init(&d->by_super);
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
    struct super *s = root->super;
    bool short_moves;

    if (!d)
        return NULL;
    list_init(&s->cached);
    list_init(&s->watches);
    /* An overlay's is held over copy-ups; where nothing can be moved no climb waits for it. */
    short_moves = !s->moves_long && root->ops->rename;
    mutex_init(&s->renames, RANK_OPS,
               super_lock_order(s, ORDER_RENAMES) | (short_moves ? LOCK_BRIEF : 0), "renames");
    mutex_init(&s->movers, RANK_OPS, super_lock_order(s, ORDER_MOVERS), "movers");
    d->super = s;
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
    struct dentry_bucket *b = dentry_bucket_lock(d->hash);
    struct dentry **p;

    ASSERT_HELD(&b->lock);
    for (p = &b->first; *p != d; p = &(*p)->hash_next)
        ;
    WRITE_ONCE(*p, d->hash_next);
    spin_unlock(&b->lock);
    (void)dentry_count(-1);
}

static void dentry_unhash_locked(struct dentry *d) REQUIRES(d->lock)
{
    ASSERT_HELD(&d->lock);
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

struct dentry *dentry_kill(struct dentry *d)
{
    struct inode *inode = d->inode;
    struct dentry *parent = d->parent == d ? NULL : d->parent;

    ASSERT_HELD(&d->lock);
    d->flags |= DENTRY_DEAD;
    d->inode = NULL;
    dentry_unhash_locked(d);
    if (d->flags & DENTRY_LRU)
        dentry_lru_remove(d);
    spin_unlock(&d->lock);
    if (inode && unlikely(READ_ONCE(inode->unlinked)))
        inotify_tell_gone(inode);
    if (inode)
        inode_put(inode);
    rcu_call(&d->rcu, dentry_free_rcu);
    return parent;
}

/* The last reference has gone; locked. The end of one may be that of its parent, which was removed,
 * and so on up: a tree as deep as users make it. */
static __noinline void dentry_last_put(struct dentry *d)
    RELEASES(d->lock) NO_THREAD_SAFETY /* goes on to the parent */
{
    for (unsigned ended = 0;; ended++) {
        if ((d->flags & DENTRY_HASHED) && !(d->flags & DENTRY_NOCACHE)) {
            if (!(d->flags & DENTRY_LRU)) {
                d->flags |= DENTRY_LRU;
                dentry_lru_add(d);
            }
            break;
        }
        d = dentry_kill(d);
        if (!d)
            return;
        if (ended % 64 == 63)
            cond_yield();
        spin_lock(&d->lock);
        ASSERT(d->ref > 0);
        if (--d->ref > 0)
            break;
    }
    spin_unlock(&d->lock);
}

void dentry_put(struct dentry *d)
{
    if (!d)
        return;
    spin_lock(&d->lock);
    ASSERT(d->ref > 0);
    if (--d->ref > 0)
        spin_unlock(&d->lock);
    else
        dentry_last_put(d);
}

/* A reference, maybe its first, if its flags within `mask` are `wanted`. */
static bool dentry_get_if(struct dentry *d, u32 mask, u32 wanted)
{
    bool is;

    spin_lock(&d->lock);
    is = (d->flags & mask) == wanted;
    if (is)
        d->ref++;
    spin_unlock(&d->lock);
    return is;
}

bool dentry_get_unless_dead(struct dentry *d)
{
    return dentry_get_if(d, DENTRY_DEAD, 0);
}

/* A cached name, unless it is on its way out. */
static bool dentry_get_live(struct dentry *d)
{
    return dentry_get_if(d, DENTRY_HASHED | DENTRY_DEAD, DENTRY_HASHED);
}

static bool dentry_matches(const struct dentry *d, const struct dentry *parent, const char *name,
                           size_t len, u32 hash)
{
    return d->hash == hash && d->parent == parent && d->len == len &&
           memcmp(d->name, name, len) == 0;
}

static inline struct dentry *dentry_find(const struct dentry *parent, const char *name, size_t len,
                                         u32 hash)
{
    struct dentry *d;

    rcu_read_lock();
    for (d = rcu_dereference(dentry_bucket(hash)->first); d; d = rcu_dereference(d->hash_next))
        if (dentry_matches(d, parent, name, len, hash) && dentry_get_live(d))
            break;
    rcu_read_unlock();
    return d;
}

/* A rename beside us may hide any name for a moment: a miss counts that none has spoiled. */
static __noinline struct dentry *dentry_missed(const struct dentry *parent, const char *name,
                                               size_t len, u32 hash, u32 seq)
{
    struct dentry *d = NULL;

    for (unsigned spoiled = 0; seqcount_read_retry(&dentry_rename_seq, seq); spoiled++) {
        if (spoiled == LOOKS_SPOILED) {
            spin_lock(&dentry_rename_lock);
            d = dentry_find(parent, name, len, hash);
            spin_unlock(&dentry_rename_lock);
            break;
        }
        seq = seqcount_read_begin(&dentry_rename_seq);
        d = dentry_find(parent, name, len, hash);
        if (d)
            return d;
    }
    if (!d)
        COUNT(dentry_misses);
    return d;
}

struct dentry *dentry_lookup(struct dentry *parent, const char *name, size_t len)
{
    u32 hash = dentry_hash(parent, name, len), seq = seqcount_read_begin(&dentry_rename_seq);
    struct dentry *d = dentry_find(parent, name, len, hash);

    COUNT(dentry_lookups);
    return likely(d) ? d : dentry_missed(parent, name, len, hash, seq);
}

struct dentry *dentry_peek(const struct dentry *parent, const char *name, size_t len)
{
    u32 hash = dentry_hash(parent, name, len), seq = seqcount_read_begin(&dentry_rename_seq);
    struct dentry *d = rcu_dereference(dentry_bucket(hash)->first);

    while (d &&
           !(dentry_matches(d, parent, name, len, hash) && (READ_ONCE(d->flags) & DENTRY_HASHED)))
        d = rcu_dereference(d->hash_next);
    return seqcount_read_retry(&dentry_rename_seq, seq) ? NULL : d;
}

/* Two that miss at once both ask the file system (the directory is locked for reading): the first
 * to publish wins. */
struct dentry *dentry_hash_add(struct dentry *d)
{
    struct dentry *other;

    for (;;) {
        struct dentry_bucket *b;

        spin_lock(&d->lock);
        b = dentry_bucket_lock(d->hash);
        ASSERT_HELD(&b->lock);
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
        if (!other) {
            if (unlikely(dentry_count(1)))
                dentry_table_grow();
            return d;
        }
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
    ASSERT(!d->inode);
    spin_lock(&d->lock);
    d->inode = i;
    spin_unlock(&d->lock);
    DELAYPOINT(dentry_instantiate);
}

void dentry_delete(struct dentry *d)
{
    spin_lock(&d->lock);
    d->flags |= DENTRY_UNLINKED;
    dentry_unhash_locked(d);
    spin_unlock(&d->lock);
}

void dentry_insert(struct dentry *d)
{
    struct dentry_bucket *b;

    spin_lock(&d->lock);
    b = dentry_bucket_lock(d->hash);
    ASSERT_HELD(&b->lock);
    d->hash_next = b->first;
    store_release(&b->first, d);
    d->flags |= DENTRY_HASHED;
    spin_unlock(&b->lock);
    spin_unlock(&d->lock);
    (void)dentry_count(1);
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

/* A rename may give d another parent, and the last reference of the old one go, between reading the
 * pointer and taking the count. While parent->lock is held and d still points to it, d's own
 * reference keeps it. */
struct dentry *dentry_get_parent(struct dentry *d)
{
    struct dentry *parent;

    rcu_read_lock();
    for (;;) {
        parent = rcu_dereference(d->parent);
        DELAYPOINT(dentry_parent);
        spin_lock(&parent->lock);
        if (likely(parent == READ_ONCE(d->parent)))
            break;
        spin_unlock(&parent->lock);
    }
    ASSERT(parent->ref > 0 && !(parent->flags & DENTRY_DEAD));
    parent->ref++;
    spin_unlock(&parent->lock);
    rcu_read_unlock();
    return parent;
}

u64 dentry_parent_ino(struct dentry *d)
{
    struct dentry *parent = dentry_get_parent(d);
    u64 ino = dentry_inode(parent)->ino;

    dentry_put(parent);
    return ino;
}
