/* SPDX-License-Identifier: MIT
 *
 * Time namespaces (time_namespaces(7)): clocks that count from boot, shifted. The shifts may be
 * written until the first process is in the namespace; from then on they stand.
 */
#pragma once

#include "lib/types.h"
#include "sync/refcount.h"

struct user_ns;
struct cred;

/* I immutable · t time_ns lock, until a process is in it; immutable from then on */
struct time_ns {
    refcount_t ref;
    u64 inum;                /* I */
    struct user_ns *user_ns; /* I */
    s64 monotonic, boottime; /* t  ns added to the clocks */
    bool entered;            /* t */
};

/* From now on the shifts stand. */
void time_ns_enter(struct time_ns *ns);
/* "monotonic SECONDS NANOSECONDS\nboottime ..." changed by text, as /proc/<pid>/timens_offsets has
 * it; -EINVAL as well. */
int time_ns_write(struct time_ns *ns, const char *text) __must_check;
