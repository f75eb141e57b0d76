/* SPDX-License-Identifier: MIT
 *
 * Device filters: what is a program, what it says, and who is asked.
 */
#include "container/cgroup.h"
#include "container/device_filter.h"
#include "lib/log.h"

#define LOAD(dst, at)               \
    {                               \
        0x61, (dst) | 1 << 4, at, 0 \
    }
#define MOV(dst, n)     \
    {                   \
        0xb7, dst, 0, n \
    }
#define JNE(dst, n, by)  \
    {                    \
        0x55, dst, by, n \
    }
#define EXIT          \
    {                 \
        0x95, 0, 0, 0 \
    }

static int creates(const struct ebpf_insn *insns, u32 len)
{
    struct device_filter *f;
    int err = device_filter_create(insns, len, &f);

    if (!err)
        device_filter_put(f);
    return err;
}
#define REFUSED(...)                                                                             \
    CHECK(creates((const struct ebpf_insn[]){__VA_ARGS__},                                       \
                  sizeof((const struct ebpf_insn[]){__VA_ARGS__}) / sizeof(struct ebpf_insn)) == \
          -EINVAL)

SELFTEST(container_device_filter_refuses_what_is_not_sure_to_end_well)
{
    REFUSED(MOV(0, 1));                        /* falls off its end */
    REFUSED(EXIT);                             /* answers with nothing */
    REFUSED(MOV(0, 1), {0x05, 0, -2, 0});      /* a loop */
    REFUSED(MOV(0, 1), {0x05, 0, 1, 0}, EXIT); /* out of the program */
    REFUSED(MOV(0, 1), EXIT, EXIT);            /* what nothing leads to */
    REFUSED(LOAD(0, 12), EXIT);                /* behind the context */
    REFUSED(LOAD(0, -4), EXIT);
    REFUSED(LOAD(0, 2), EXIT);
    REFUSED({0x61, 0 | 2 << 4, 0, 0}, EXIT);     /* through no pointer */
    REFUSED({0xbf, 0 | 1 << 4, 0, 0}, EXIT);     /* the context is no answer */
    REFUSED({0x07, 1, 0, 4}, MOV(0, 1), EXIT);   /* nor a number */
    REFUSED({0xbf, 0 | 3 << 4, 0, 0}, EXIT);     /* reads what was not written */
    REFUSED({0x63, 10, -4, 0}, MOV(0, 1), EXIT); /* the stack */
    REFUSED(MOV(10, 1), MOV(0, 1), EXIT);
    REFUSED({0x85, 0, 0, 1}, EXIT); /* a helper */
    REFUSED({0x67, 0, 0, 64}, EXIT);
    /* r2 is written on one of the two ways only */
    REFUSED(LOAD(0, 0), JNE(0, 1, 1), MOV(2, 1), {0xbf, 0 | 2 << 4, 0, 0}, EXIT);
    CHECK(creates(NULL, 0) == -EINVAL);
}

SELFTEST(container_device_filters_of_all_ancestors_must_agree)
{
    /* char 1:3 only */
    static const struct ebpf_insn null_only[] = {LOAD(2, 4),   LOAD(3, 8), MOV(0, 0), JNE(2, 1, 2),
                                                 JNE(3, 3, 1), MOV(0, 1),  EXIT};
    static const struct ebpf_insn no_writing[] = {
        LOAD(0, 0),
        {0x74, 0, 0, 16},           /* what is asked for */
        {0x54, 0, 0, DEVICE_WRITE}, /* writing alone is left */
        {0xa4, 0, 0, DEVICE_WRITE}, /* and turned round */
        EXIT};
    struct device_access read = {DEVICE_READ << 16 | DEVICE_CHAR, 1, 3};
    struct device_access write = {DEVICE_WRITE << 16 | DEVICE_CHAR, 1, 3};
    struct device_access other = {DEVICE_READ << 16 | DEVICE_CHAR, 1, 5};
    struct device_filter *a, *b;
    struct cgroup *top, *below;

    CHECK(!cgroup_create(&cgroup_root, "devices-test", &top));
    CHECK(!cgroup_create(top, "below", &below));
    CHECK(!device_filter_create(null_only, ARRAY_SIZE(null_only), &a));
    CHECK(!device_filter_create(no_writing, ARRAY_SIZE(no_writing), &b));
    CHECK(cgroup_device_allowed(below, &write) && cgroup_device_allowed(below, &other));
    CHECK(!cgroup_attach_device_filter(top, a, false));
    CHECK(cgroup_attach_device_filter(top, a, false) == -EEXIST);
    CHECK(cgroup_device_allowed(below, &write) && !cgroup_device_allowed(below, &other));
    CHECK(!cgroup_attach_device_filter(below, b, false));
    CHECK(cgroup_device_allowed(below, &read) && !cgroup_device_allowed(below, &write));
    CHECK(cgroup_device_allowed(top, &write));
    CHECK(cgroup_attach_device_filter(top, b, true) == -EPERM);
    CHECK(cgroup_detach_device_filter(top, NULL) == -EINVAL);
    CHECK(!cgroup_detach_device_filter(top, a) && cgroup_device_allowed(below, &other));
    CHECK(cgroup_detach_device_filter(top, NULL) == -ENOENT);
    CHECK(cgroup_detach_device_filter(top, a) == -ENOENT);
    CHECK(!cgroup_attach_device_filter(top, a, true));
    CHECK(!cgroup_attach_device_filter(top, b, true)); /* in its place */
    CHECK(!cgroup_detach_device_filter(top, a));       /* whichever is named */
    CHECK(cgroup_detach_device_filter(top, NULL) == -ENOENT);
    device_filter_put(a);
    device_filter_put(b);
    CHECK(!cgroup_remove(below) && !cgroup_remove(top));
    cgroup_put(below);
    cgroup_put(top);
}
