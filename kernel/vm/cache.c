/* SPDX-License-Identifier: MIT
 *
 * The console command that drops all that is kept only while there is memory for it. What that is,
 * each layer says in a table (mm/cache.h).
 */
#include "mm/cache.h"

#include "lib/log.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sync/rcu.h"

/* A slab that goes frees its table of payers, which may have been the last in another. */
static void cache_shrink_slabs(void)
{
    struct mem_info info;
    u64 before;

    do {
        mem_info_get(&info);
        before = info.free;
        slab_shrink_all();
        mem_info_get(&info);
    } while (info.free > before);
}

/* Names hold inodes, inodes hold pages, pages hold groups; and each may go a grace period late. */
static int cache_cmd_drop(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    const struct cache_kind *k;
    TABLE_DECLARE(struct cache_kind, cache_kinds);
    u64 total = 0, found;

    do {
        found = 0;
        TABLE_FOR_EACH(k, cache_kinds)
        {
            found += k->drop();
            rcu_synchronize();
        }
        total += found;
    } while (found);
    cache_shrink_slabs();
    emit("dropped %lu\n", total);
    return 0;
}
CONSOLE_CMD(drop_caches)
= {"drop-caches", "cached names and file pages, free slabs, areas and stacks", cache_cmd_drop,
   false};
