/* SPDX-License-Identifier: MIT
 *
 * Slab caches and kmalloc. Per-CPU magazines make the common path a pop without a lock. In debug
 * builds freed objects are poisoned and checked, and redzones guard both ends.
 *
 * An object is charged to the account of the thread that makes it (mm/account.h) until it is freed.
 *
 * Context: irq-safe, never sleeps. Failure is NULL; a caller that can do without passes it up as
 * -ENOMEM.
 */
#pragma once

#include "lib/types.h"

struct slab_cache;

/* name: static string; align: a power of two, 0 for 16. Panics only when called during boot. */
struct slab_cache *slab_cache_create(const char *name, size_t size, size_t align);
void *slab_alloc(struct slab_cache *cache) __must_check;
void *slab_zalloc(struct slab_cache *cache) __must_check;
void slab_free(struct slab_cache *cache, void *obj);
/* The account that an object, or a block of kmalloc's, is charged to; NULL: uncharged. */
struct account;
struct account *slab_account(const void *obj);
/* Gives every empty slab of every cache and CPU back. Context: may sleep. */
void slab_shrink_all(void);

/* Any size up to 4 MiB; zeroed by kzalloc; kfree(NULL) does nothing. */
void *kmalloc(size_t size) __must_check;
void *kzalloc(size_t size) __must_check;
/* n * size with an overflow check. */
void *kcalloc(size_t n, size_t size) __must_check;
/* Contents kept up to the smaller size; on NULL the old block stays. */
void *krealloc(void *p, size_t size) __must_check;
void kfree(const void *p);
size_t ksize(const void *p);
char *kstrdup(const char *s) __must_check;
void *kmemdup(const void *p, size_t n) __must_check;

/* Virtually contiguous memory with guard pages: thread stacks, big tables. What was freed is memory
 * again after a flush of all TLBs, once enough has gathered. irq-safe. */
void *vmap_alloc(size_t size) __must_check;
void vmap_free(void *p);
/* Flushes and gives back some of that; true: much is left. Context: a thread, interrupts on, no
 * lock held. */
bool vmap_purge_some(void);
/* Device registers: uncached, or stores to them combined. */
void *mmio_map(hpa_t pa, size_t size) __must_check;
void *mmio_map_combining(hpa_t pa, size_t size) __must_check;
void mmio_unmap(void *va, size_t size);
/* A second mapping of memory, to be written through; mmio_unmap takes it. */
void *vmap_alias(hpa_t pa, size_t size) __must_check;
