/* SPDX-License-Identifier: MIT
 *
 * Which devices a control group may use: eBPF programs of type BPF_PROG_TYPE_CGROUP_DEVICE (bpf(2),
 * Linux Documentation/admin-guide/cgroup-v2, "Device controller"), as every container runtime makes
 * them. A program is asked at each open and mknod of a device node and answers non-zero for yes;
 * all programs of a group and of the groups above it must say yes.
 *
 * Of eBPF there is what such programs are made of: loads from the context, arithmetic, forward
 * jumps, exit. Maps, helpers, the stack, calls and loops are refused when a program is loaded.
 */
#pragma once

#include "lib/types.h"
#include "sync/rcu.h"
#include "sync/refcount.h"
#include "uapi/bpf.h"

struct cgroup;

#define EBPF_MAXINSNS 4096

struct device_filter {
    refcount_t ref;
    u32 len;
    struct ebpf_insn insns[];
};

/* Checks and copies a program: one reference. -EINVAL: not one of the kind above, -ENOMEM. */
int device_filter_create(const struct ebpf_insn *insns, u32 len,
                         struct device_filter **out) __must_check;
void device_filter_put(struct device_filter *f);

#define CGROUP_FILTERS_MAX 64
/* What a group has attached; immutable, replaced whole. */
struct device_filters {
    struct rcu_head rcu;
    bool only; /* how they were attached: one alone, which another may replace */
    u32 count;
    struct device_filter *filters[]; /* references */
};

/* Adds f (a reference of its own). only: in place of the one attached so. -EPERM: what is attached
 * is of the other kind, -EEXIST: it is there already, -E2BIG: too many, -ENOMEM. May sleep. */
int cgroup_attach_device_filter(struct cgroup *cg, struct device_filter *f, bool only) __must_check;
/* Takes f away, or one attached as the only one, for any f. -EINVAL: there may be several, and
 * none is named (NULL); -ENOENT. May sleep. */
int cgroup_detach_device_filter(struct cgroup *cg, struct device_filter *f) __must_check;
/* How many are attached. */
u32 cgroup_count_device_filters(struct cgroup *cg);
/* What cg and all groups above it allow. Never sleeps. */
bool cgroup_device_allowed(const struct cgroup *cg, const struct device_access *a);
/* cg is being freed. */
void cgroup_drop_device_filters(struct cgroup *cg);
