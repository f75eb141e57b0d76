/* SPDX-License-Identifier: MIT
 *
 * Where a control group lies, as seen from another one, and the namespaces that set from which.
 */
#include "container/cgroup.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/cred.h"

/* Writes "/a/b" of cg below `top` before *end; false: no space. */
static bool cgroup_prepend(struct cgroup *cg, struct cgroup *top, char *buf, char **end)
{
    for (; cg != top && cg->parent; cg = cg->parent) {
        size_t len = strlen(cg->name);

        if ((size_t)(*end - buf) < len + 1)
            return false;
        *end -= len;
        memcpy(*end, cg->name, len);
        *--*end = '/';
    }
    return true;
}

static struct cgroup *cgroup_common_ancestor(struct cgroup *a, struct cgroup *b)
{
    while (a != b) {
        if (a->depth >= b->depth)
            a = a->parent;
        else
            b = b->parent;
    }
    return a;
}

/* Parents are immutable, so no lock is needed. */
int cgroup_path(struct cgroup *cg, struct cgroup *ns_root, char *buf, size_t n)
{
    struct cgroup *top;
    char *end;
    size_t len;

    if (n == 0)
        return -ENAMETOOLONG;
    if (!ns_root)
        ns_root = &cgroup_root;
    top = cgroup_common_ancestor(cg, ns_root);
    end = buf + n;
    *--end = '\0';
    if (!cgroup_prepend(cg, top, buf, &end))
        return -ENAMETOOLONG;
    for (struct cgroup *up = ns_root; up != top; up = up->parent) {
        if (end - buf < 3)
            return -ENAMETOOLONG;
        end -= 3;
        memcpy(end, "/..", 3);
    }
    if (*end == '\0') {
        if (end == buf)
            return -ENAMETOOLONG;
        *--end = '/';
    }
    len = (size_t)(buf + n - end);
    memmove(buf, end, len);
    return 0;
}

struct cgroup_ns *cgroup_ns_create(struct cgroup *root, struct user_ns *user_ns)
{
    struct cgroup_ns *ns = kzalloc(sizeof(*ns));

    if (!ns)
        return NULL;
    refcount_init(&ns->ref, 1);
    cgroup_get(root);
    ns->root = root;
    user_ns_get(user_ns);
    ns->user_ns = user_ns;
    ns->inum = inum_alloc();
    return ns;
}

void cgroup_ns_get(struct cgroup_ns *ns)
{
    refcount_get(&ns->ref);
}

void cgroup_ns_put(struct cgroup_ns *ns)
{
    if (ns == &cgroup_ns_init || !refcount_put(&ns->ref))
        return;
    cgroup_put(ns->root);
    user_ns_put(ns->user_ns);
    kfree(ns);
}
