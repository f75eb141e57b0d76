/* SPDX-License-Identifier: MIT
 *
 * A map from u64 to pointers: a radix tree of 64-way nodes that is only as high as its largest
 * index asks for. Each entry carries three marks, and the next marked entry is found without
 * visiting the unmarked ones. An entry is a pointer aligned to 4 bytes or a small number wrapped by
 * xa_value(); NULL is no entry. A lone entry at index 0 costs no node.
 *
 * Locking: the owner's lock serialises everything that changes the map (store, erase, marks).
 * xa_load, xa_next, xa_next_marked and xa_get_mark may run beside it inside an RCU read-side
 * section and then see, for each index, a state that it had during the call.
 *
 * Memory: a change never allocates. xa_pool_fill() gathers nodes before the lock is taken; xa_store
 * takes from the pool and returns -ENOMEM when it runs dry: unlock, fill, try again. Nodes no
 * longer needed go to the map's `free_node`, which is called under the owner's lock and must put
 * off the real free until readers are gone if there are lockless readers.
 */
#pragma once

#include "lib/types.h"

#define XA_BITS 6u
#define XA_SLOTS (1u << XA_BITS)
#define XA_MARKS 3
/* More nodes than one store can need: eleven levels down, ten levels up. */
#define XA_POOL_MAX 21

struct xarray;

struct xa_node {
    u8 shift; /* how far an index is shifted right to give the slot */
    u8 slot;  /* place in the parent */
    u16 used; /* slots that are not NULL */
    struct xa_node *parent;
    u64 marks[XA_MARKS];
    uintptr_t reclaim[2]; /* for free_node: space for a deferred-call header */
    void *slots[XA_SLOTS];
};

typedef void (*xa_free_fn)(struct xa_node *node);

struct xarray {
    void *head; /* an entry of index 0, or a tagged node, or NULL */
    xa_free_fn free_node;
    u8 head_marks; /* marks of a head that is an entry */
};

struct xa_pool {
    struct xa_node *free; /* chained through parent */
    unsigned count;
};

static inline void xa_init(struct xarray *xa, xa_free_fn free_node)
{
    *xa = (struct xarray){.free_node = free_node};
}

static inline bool xa_empty(const struct xarray *xa)
{
    return !xa->head;
}

/* A number of up to 62 bits as an entry. */
static inline void *xa_value(u64 v)
{
    return (void *)(v << 2 | 1);
}

/*
 * Fills the pool up to `count` nodes (at most XA_POOL_MAX; 2 suits a dense map) through `alloc`,
 * which gets sizeof(struct xa_node) and `ctx` and may sleep if the caller may. Returns 0 or
 * -ENOMEM.
 */
int xa_pool_fill(struct xa_pool *pool, unsigned count, void *(*alloc)(size_t size, void *ctx),
                 void *ctx);

/* Gives all that is left to `free_node`. */
void xa_pool_drain(struct xa_pool *pool, xa_free_fn free_node);

/* The entry at `index`, or NULL. Safe beside a writer, see above. */
void *xa_load(const struct xarray *xa, u64 index);

/*
 * Puts `entry` (not NULL) at `index`, replacing what is there; a replaced entry's marks stay.
 * `pool` may be NULL if an entry is known to be there. Returns 0 or -ENOMEM.
 */
int xa_store(struct xarray *xa, u64 index, void *entry, struct xa_pool *pool);

/* The same, but -EEXIST if an entry is there. */
int xa_insert(struct xarray *xa, u64 index, void *entry, struct xa_pool *pool);

/* Takes the entry and its marks out; returns it, or NULL. */
void *xa_erase(struct xarray *xa, u64 index);

/* First entry at or after *index, whose index is stored there; NULL: none, *index untouched. */
void *xa_next(const struct xarray *xa, u64 *index);

/* The same among those that carry `mark`. */
void *xa_next_marked(const struct xarray *xa, u64 *index, unsigned mark);

/* No effect if there is no entry. */
void xa_set_mark(struct xarray *xa, u64 index, unsigned mark);
void xa_clear_mark(struct xarray *xa, u64 index, unsigned mark);
bool xa_get_mark(const struct xarray *xa, u64 index, unsigned mark);
bool xa_any_marked(const struct xarray *xa, unsigned mark);

/* Takes all entries out, calling `drop` (may be NULL) for each. No reader may be about. */
void xa_destroy(struct xarray *xa, void (*drop)(void *entry, void *ctx), void *ctx);

/* Visits every entry in order; the body may erase the one at hand. */
#define xa_for_each(xa, index, entry)                           \
    for ((index) = 0, (entry) = xa_next(xa, &(index)); (entry); \
         (entry) = (index) == U64_MAX ? NULL : ((index)++, xa_next(xa, &(index))))
