// SPDX-License-Identifier: MIT
// The child of a start on the host, as its order says: namespaces, the container's root, or a
// VMM's. What is the same in a VM's guest stands in child.h.
#pragma once

#include "runtime/order.h"

#define HOST_CHILD_NS 6
/* Of an exec: the container's namespaces, in the order in which they are entered. */
extern const char *const host_child_ns_names[HOST_CHILD_NS];

struct host_child {
    struct child child; /* sync and the streams; the rest comes from the order */
    struct order order;
    int ns[HOST_CHILD_NS]; /* of an exec; else -1 */
    int score;             /* oom_score_adj: up to 0 it is inherited, above 0 the child sets it */
    bool wait_go;          /* it does not stand in its control group yet: waits for one byte */
    /* the order's text, or, when it is long, a file with it */
    char *text;
    size_t len;
    int file; /* or -1 */
};

_Noreturn void host_child_run(struct host_child *h);
/* vm_child.c: the root of a VMM, and the VMM. */
_Noreturn void host_child_run_vm(struct host_child *h);
