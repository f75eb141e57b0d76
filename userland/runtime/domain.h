// SPDX-License-Identifier: MIT
// The child of a start on the host, as its order says: namespaces, the container's root, or a
// VMM's. What is the same in a VM's guest stands in child.h.
#pragma once

#include "runtime/order.h"

#define DOMAIN_NS 5
/* Of an exec: the container's namespaces, in the order in which they are entered. */
extern const char *const domain_ns_names[DOMAIN_NS];

struct domain {
    struct child child; /* sync and the streams; the rest comes from the order */
    struct order order;
    int ns[DOMAIN_NS]; /* of an exec; else -1 */
    bool wait_go;      /* it does not stand in its control group yet: waits for one byte */
    /* the order's text, or, when it is long, a file with it */
    char *text;
    size_t len;
    int file; /* or -1 */
};

_Noreturn void domain_child(struct domain *d);
/* vm_domain.c: the root of a VMM, and the VMM. */
_Noreturn void domain_vm(struct domain *d);
