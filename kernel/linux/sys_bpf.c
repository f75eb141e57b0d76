/* SPDX-License-Identifier: MIT
 *
 * bpf(2), as far as container runtimes use it: device filters, loaded, attached to a control group,
 * and taken away. Every other command and kind of program is EINVAL.
 */
#include "container/device_filter.h"

#include "container/cgroup.h"
#include "linux/sys.h"
#include "proc/up.h"

static void bpf_prog_release(struct file *f)
{
    device_filter_put(f->priv);
}

static const struct file_ops bpf_prog_ops = {.name = "[bpf-prog]", .release = bpf_prog_release};

static s64 bpf_load(u64 uattr, u64 size)
{
    struct bpf_load_attr a;
    struct device_filter *filter;
    struct ebpf_insn *insns;
    struct file *f;
    int err = struct_in(&a, sizeof(a), uattr, size);

    if (err)
        return err;
    if (a.prog_type != BPF_PROG_TYPE_CGROUP_DEVICE || a.prog_flags || a.prog_ifindex ||
        (a.expected_attach_type && a.expected_attach_type != BPF_CGROUP_DEVICE))
        return -EINVAL;
    if (!a.insn_cnt || a.insn_cnt > EBPF_MAXINSNS)
        return -E2BIG;
    insns = kmalloc(a.insn_cnt * sizeof(*insns));
    if (!insns)
        return -ENOMEM;
    err = copy_in(insns, (const void __user *)a.insns, a.insn_cnt * sizeof(*insns))
              ? -EFAULT
              : device_filter_create(insns, a.insn_cnt, &filter);
    kfree(insns);
    if (err)
        return err;
    f = file_create(&bpf_prog_ops, O_RDWR, filter);
    if (!f) {
        device_filter_put(filter);
        return -ENFILE;
    }
    return fd_publish(f, true);
}

/* The filter behind a descriptor, which f keeps; NULL: it is none. */
static struct device_filter *bpf_filter_of(const struct file *f)
{
    return f && f->ops == &bpf_prog_ops ? f->priv : NULL;
}

static s64 bpf_attach(u64 uattr, u64 size, bool attach)
{
    struct bpf_attach_attr a;
    struct device_filter *filter;
    struct cgroup *cg;
    struct fd_hold h;
    s64 err = struct_in(&a, sizeof(a), uattr, size);

    if (err)
        return err;
    if (a.attach_type != BPF_CGROUP_DEVICE || a.replace_bpf_fd ||
        (a.attach_flags & ~(u32)(BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI)) ||
        a.attach_flags == (BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI))
        return -EINVAL;
    cg = up_cgroup_of_fd((int)a.target_fd);
    if (IS_ERR(cg))
        return PTR_ERR(cg);
    h = fd_hold((int)a.attach_bpf_fd);
    filter = bpf_filter_of(h.file);
    if (attach)
        err = filter ? cgroup_attach_device_filter(cg, filter, !(a.attach_flags & 2)) : -EBADF;
    else
        err = cgroup_detach_device_filter(cg, filter);
    if (h.file)
        fd_release(h);
    cgroup_put(cg);
    return err;
}

/* Programs have no numbers here: prog_ids must not be asked for where there are any. */
static s64 bpf_query(u64 uattr, u64 size)
{
    struct bpf_query_attr a;
    struct cgroup *cg;
    u32 count;
    s64 err = struct_in(&a, sizeof(a), uattr, size);

    if (err)
        return err;
    if (a.attach_type != BPF_CGROUP_DEVICE || a.query_flags)
        return -EINVAL;
    cg = up_cgroup_of_fd((int)a.target_fd);
    if (IS_ERR(cg))
        return PTR_ERR(cg);
    count = cgroup_count_device_filters(cg);
    cgroup_put(cg);
    if (count && a.prog_ids)
        return -EOPNOTSUPP;
    a.attach_flags = count ? BPF_F_ALLOW_MULTI : 0;
    a.prog_cnt = count;
    return copy_out((void __user *)uattr, &a, MIN(size, sizeof(a)));
}

s64 sys_bpf(s32 cmd, u64 uattr, u32 size)
{
    if (!capable(CAP_SYS_ADMIN) && !(capable(CAP_BPF) && capable(CAP_NET_ADMIN)))
        return -EPERM;
    if (size > PAGE_SIZE)
        return -E2BIG;
    switch (cmd) {
    case BPF_PROG_LOAD:
        return bpf_load(uattr, size);
    case BPF_PROG_ATTACH:
    case BPF_PROG_DETACH:
        return bpf_attach(uattr, size, cmd == BPF_PROG_ATTACH);
    case BPF_PROG_QUERY:
        return bpf_query(uattr, size);
    default:
        return -EINVAL;
    }
}
