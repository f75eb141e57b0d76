/* SPDX-License-Identifier: MIT
 *
 * Control groups: what outlives a removed one, and what does not.
 */
#include "container/cgroup.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "vm/aspace.h"

SELFTEST(cgroup_stays_while_an_address_space_may_charge_it)
{
    u64 dying = READ_ONCE(cgroup_root.nr_dying);
    struct aspace *as;
    struct cgroup *cg;

    CHECK(!cgroup_create(&cgroup_root, "charged-test", &cg));
    as = aspace_create(&cg->memory);
    CHECK(as && !cgroup_remove(cg));
    cgroup_put(cg);
    CHECK(refcount_read(&cg->ref) == 1 && !account_charge(&cg->memory, 3, NULL));
    aspace_put(as);
    /* without references, but not gone: three pages are charged to it, by a cached file, say */
    CHECK(refcount_read(&cg->ref) == 0 && atomic_read(&cg->memory.used) == 3);
    CHECK(READ_ONCE(cgroup_root.nr_dying) == dying + 1); /* cgroup.stat tells */
    account_uncharge(&cg->memory, 3);
    CHECK(!cgroup_create(&cgroup_root, "charged-test", &cg)); /* which frees it */
    CHECK(READ_ONCE(cgroup_root.nr_dying) == dying);
    CHECK(!cgroup_remove(cg));
    cgroup_put(cg);
}

SELFTEST(cgroup_with_controllers_below_has_no_members)
{
    struct cgroup_member m = {0};
    struct cgroup *top, *below;

    CHECK(!cgroup_create(&cgroup_root, "inner-test", &top));
    CHECK(!cgroup_create(top, "below", &below));
    CHECK(!cgroup_set_subtree_control(top, CG_MEMORY, 0));
    CHECK(cgroup_fork(NULL, &m, top) == -EBUSY && atomic_read(&top->pids.used) == 0);
    CHECK(!cgroup_fork(NULL, &m, below) && cgroup_move(&m, top) == -EBUSY);
    CHECK(m.group == below && !cgroup_set_subtree_control(top, 0, CG_MEMORY));
    CHECK(!cgroup_move(&m, top) && cgroup_set_subtree_control(top, CG_MEMORY, 0) == -EBUSY);
    cgroup_exit(&m);
    CHECK(!cgroup_remove(below) && !cgroup_remove(top) && atomic_read(&top->pids.used) == 0);
    cgroup_put(below);
    cgroup_put(top);
}

SELFTEST(cgroup_that_is_removed_holds_no_controller)
{
    struct cgroup *top, *below;

    CHECK(!cgroup_create(&cgroup_root, "control-test", &top));
    CHECK(!cgroup_create(top, "below", &below));
    CHECK(!cgroup_set_subtree_control(top, CG_MEMORY, 0));
    CHECK(!cgroup_set_subtree_control(below, CG_MEMORY, 0));
    CHECK(cgroup_set_subtree_control(top, 0, CG_MEMORY) == -EBUSY);
    CHECK(!cgroup_remove(below));
    CHECK(cgroup_set_subtree_control(below, CG_MEMORY, 0) == -ENODEV);
    CHECK(!cgroup_set_subtree_control(top, 0, CG_MEMORY));
    CHECK(!cgroup_remove(top));
    cgroup_put(below);
    cgroup_put(top);
}
