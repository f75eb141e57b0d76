/* SPDX-License-Identifier: MIT
 *
 * KVM_GET_STATS_FD: what a VM or a vCPU has counted, as a file of binary statistics (KVM's
 * documentation of KVM_GET_STATS_FD): a header, a name, descriptors of one size, then one u64 for
 * each. The descriptors never change; the numbers are those of the moment of the read.
 *
 * Such a file holds the VM, or the vCPU's own file, until it is closed.
 */
#include "hv/file/file.h"
#include "hv/up.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"

#define STATS_NAME 48
#define STATS_MAX 8

/* struct kvm_stats_desc with its name. flags 0: a count that only grows, of no unit. */
struct stats_desc {
    u32 flags;
    s16 exponent;
    u16 size;
    u32 offset, bucket_size;
    char name[STATS_NAME];
};
static_assert(offsetof(struct stats_desc, name) == sizeof(struct kvm_stats_desc), "statistics");

struct stats_page {
    struct kvm_stats_header head;
    char id[STATS_NAME];
    struct stats_desc desc[STATS_MAX];
    u64 data[STATS_MAX];
};

struct stats_name {
    const char *name;
    u32 offset;
};

static const struct stats_name stats_of_vm[] = {
    {"remote_tlb_flush", offsetof(struct vm, flushes)},
};

static const struct stats_name stats_of_vcpu[] = {
    {"exits", offsetof(struct vcpu, stats.exits)},
    {"io_exits", offsetof(struct vcpu, stats.io)},
    {"mmio_exits", offsetof(struct vcpu, stats.mmio)},
    {"halt_exits", offsetof(struct vcpu, stats.halts)},
    {"irq_injections", offsetof(struct vcpu, stats.irqs)},
    {"nmi_injections", offsetof(struct vcpu, stats.nmis)},
    {"insn_emulation", offsetof(struct vcpu, stats.emulated)},
};
static_assert(ARRAY_SIZE(stats_of_vm) <= STATS_MAX && ARRAY_SIZE(stats_of_vcpu) <= STATS_MAX,
              "statistics");

/* I, all of it. */
struct stats {
    struct vm *vm;     /* a reference, where there is no vcpu */
    struct vcpu *vcpu; /* kept by `held` */
    struct file *held;
    u32 pid; /* of the process that asked, for the name */
};

static void stats_fill(const struct stats *s, struct stats_page *page)
{
    const struct stats_name *names = s->vcpu ? stats_of_vcpu : stats_of_vm;
    const u8 *from = s->vcpu ? (const u8 *)s->vcpu : (const u8 *)s->vm;
    u32 n = s->vcpu ? ARRAY_SIZE(stats_of_vcpu) : ARRAY_SIZE(stats_of_vm);

    page->head = (struct kvm_stats_header){
        .name_size = STATS_NAME,
        .num_desc = n,
        .id_offset = offsetof(struct stats_page, id),
        .desc_offset = offsetof(struct stats_page, desc),
        .data_offset = offsetof(struct stats_page, data),
    };
    if (s->vcpu)
        snprintf(page->id, STATS_NAME, "kvm-%u/vcpu-%u", s->pid, s->vcpu->id);
    else
        snprintf(page->id, STATS_NAME, "kvm-%u", s->pid);
    for (u32 i = 0; i < n; i++) {
        page->desc[i] = (struct stats_desc){.size = 1, .offset = i * (u32)sizeof(u64)};
        snprintf(page->desc[i].name, STATS_NAME, "%s", names[i].name);
        page->data[i] = READ_ONCE(*(const u64 *)(from + names[i].offset));
    }
}

static ssize_t stats_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    const struct stats *s = f->priv;
    struct stats_page *page;
    u64 end, n, got;

    page = kzalloc(sizeof(*page));
    if (!page)
        return -ENOMEM;
    stats_fill(s, page);
    end = page->head.data_offset + page->head.num_desc * sizeof(u64);
    n = (u64)*pos < end ? MIN(to->count, end - (u64)*pos) : 0;
    got = n ? iov_copy_to(to, (const u8 *)page + *pos, n) : 0;
    kfree(page);
    *pos += (loff_t)got;
    return n && !got ? -EFAULT : (ssize_t)got;
}

/* Its position moves by reading only, as on Linux. */
static loff_t stats_seek(struct file *f, loff_t off, int whence)
{
    return f->pos;
}

static void stats_release(struct file *f)
{
    struct stats *s = f->priv;

    if (s->held)
        file_put(s->held);
    else
        vm_put(s->vm);
    kfree(s);
}

static const struct file_ops stats_ops = {
    .name = "anon_inode:kvm-stats",
    .read = stats_read,
    .seek = stats_seek,
    .release = stats_release,
};

s64 hv_stats_fd(struct vm *vm, struct vcpu *v, struct file *held)
{
    struct stats *s = kzalloc(sizeof(*s));
    struct file *f = s ? file_create(&stats_ops, O_RDONLY, s) : NULL;

    if (!f) {
        kfree(s);
        return -ENOMEM;
    }
    *s = (struct stats){.vm = vm, .vcpu = v, .held = held, .pid = up_process_id()};
    if (held)
        file_get(held);
    else
        vm_get(vm);
    return up_fd_publish(f);
}
