/* SPDX-License-Identifier: MIT
 *
 * A vCPU as a file: its ioctls, its run area, its life. It holds a reference of its VM, and is
 * found by others through vm->vcpus until its descriptor is closed.
 */
#include "hv/file/file.h"
#include "hv/irq/irqchip.h"
#include "hv/regs/regs.h"
#include "hv/run/run.h"
#include "hv/up.h"
#include "lib/err.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"

/* What a guest runs is its thread's own time: put off, all of it would be owed at the first exit to
 * the program. */
static s64 vcpu_file_run(struct vcpu *v)
{
    s64 ret;

    mutex_keep_begin();
    ret = vcpu_run_ioctl(v);
    mutex_keep_end();
    return ret;
}

static s64 vcpu_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct vcpu *v = f->priv;
    s64 ret;

    if (aspace_current() != v->vm->aspace)
        return -EIO;
    if (cmd == KVM_GET_STATS_FD)
        return hv_stats_fd(v->vm, v, f);
    if (mutex_lock_killable(&v->lock))
        return -EINTR;
    if (cmd == KVM_RUN)
        ret = arg ? -EINVAL : vcpu_file_run(v);
    else
        ret = vcpu_ioctl_state(v, cmd, arg);
    if (ret == -ENOTTY && v->vm->irqchip)
        ret = irqchip_vcpu_ioctl(v, cmd, arg);
    mutex_unlock(&v->lock);
    return ret;
}

static int vcpu_mmap(struct file *f, struct map_request *req)
{
    struct vcpu *v = f->priv;
    const u64 own = VCPU_OWN_PAGES * PAGE_SIZE;

    if (req->offset + req->len > VCPU_RUN_PAGES * PAGE_SIZE || req->offset + req->len < req->len)
        return -EINVAL;
    req->object = v->run_object;
    if (req->offset >= own) {
        req->object = v->vm->ring_object;
        req->offset -= own;
    } else if (req->offset + req->len > own) {
        req->tail = v->vm->ring_object;
        req->tail_at = own - req->offset;
    }
    mem_object_get(req->object);
    return 0;
}

static void vcpu_free(struct vcpu *v)
{
    if (v->arch)
        hv_ops->vcpu_destroy(v);
    for (unsigned i = 0; i < VCPU_OWN_PAGES; i++)
        if (v->run_pages[i])
            page_put(v->run_pages[i]);
    if (v->run_object)
        mem_object_put(v->run_object);
    kfree(v->mce.banks);
    kfree(v->cpuid);
    kfree(v->fpu);
    kfree(v);
}

static void vcpu_release(struct file *f)
{
    struct vcpu *v = f->priv;
    struct vm *vm = v->vm;

    mutex_lock(&vm->lock);
    if (vm->irqchip)
        irqchip_remove_vcpu(v);
    spin_lock(&vm->nested_lock); /* vm_flush_locked walks the list */
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        if (vm->vcpus[i] == v)
            WRITE_ONCE(vm->vcpus[i], NULL);
    spin_unlock(&vm->nested_lock);
    mutex_unlock(&vm->lock);
    vcpu_free(v);
    vm_put(vm);
}

static const struct file_ops vcpu_file_ops = {
    .name = "anon_inode:kvm-vcpu",
    .ioctl = vcpu_file_ioctl,
    .mmap = vcpu_mmap,
    .release = vcpu_release,
};

static int vcpu_alloc_run(struct vcpu *v)
{
    v->run_object = mem_object_create_shared(VCPU_OWN_PAGES * PAGE_SIZE);
    if (!v->run_object)
        return -ENOMEM;
    for (unsigned i = 0; i < VCPU_OWN_PAGES; i++) {
        int err = mem_object_page(v->run_object, i, true, &v->run_pages[i]);

        if (err)
            return err;
    }
    v->run = page_virt(v->run_pages[0]);
    return 0;
}

static int vcpu_alloc(struct vm *vm, u32 id, struct vcpu **out)
{
    struct vcpu *v = kzalloc(sizeof(*v));
    int err;

    if (!v)
        return -ENOMEM;
    v->vm = vm;
    v->id = id;
    v->cpu = CPU_NONE;
    v->fetch.page = U64_MAX;
    v->hidden_pv = U64_MAX;
    v->tsc_offset = READ_ONCE(vm->tsc_offset);
    /* Over copies of ioctls, and of what a guest does: the thread that has it runs the vCPU. */
    mutex_init(&v->lock, RANK_OPS, ORDER_VCPU | LOCK_OVER_COPY, "vcpu");
    waitq_init(&v->halt_wait);
    v->fpu = kzalloc(hv_xsave_size());
    err = v->fpu ? vcpu_alloc_run(v) : -ENOMEM;
    if (!err)
        err = hv_ops->vcpu_init(v);
    if (err) {
        vcpu_free(v);
        return err;
    }
    mutex_lock(&v->lock);
    vcpu_reset(v, false);
    mutex_unlock(&v->lock);
    *out = v;
    return 0;
}

/* vm->lock held. */
static int vcpu_add(struct vm *vm, struct vcpu *v) REQUIRES(vm->lock)
{
    int err;

    ASSERT_HELD(&vm->lock);
    if (vm->nr_vcpus == VM_VCPUS_MAX)
        return -EINVAL;
    for (u32 i = 0; i < vm->nr_vcpus; i++)
        if (vm->vcpus[i] && vm->vcpus[i]->id == v->id)
            return -EEXIST;
    err = vm->irqchip ? irqchip_add_vcpu(v) : 0;
    if (err)
        return err;
    v->mp_state =
        vm->irqchip && v->id != vm->boot_vcpu ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
    vcpu_set_tsc_offset(v, READ_ONCE(vm->tsc_offset)); /* which may have changed meanwhile */
    v->vp_index = vm->nr_vcpus;
    store_release(&vm->vcpus[vm->nr_vcpus], v);
    store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
    vcpu_request(v, VCPU_REQ_FILTER); /* one may have been set since it was made */
    return 0;
}

int vcpu_create(struct vm *vm, u32 id, int *fd)
{
    struct vcpu *v;
    struct file *f;
    int err;

    if (id >= VM_VCPUS_MAX)
        return -EINVAL;
    err = vcpu_alloc(vm, id, &v);
    if (err)
        return err;
    mutex_lock(&v->lock);
    mutex_lock(&vm->lock);
    err = vcpu_add(vm, v);
    mutex_unlock(&vm->lock);
    mutex_unlock(&v->lock);
    if (err) {
        vcpu_free(v);
        return err;
    }
    vm_get(vm);
    f = file_create(&vcpu_file_ops, O_RDWR, v);
    if (!f) {
        struct file gone = {.priv = v};

        vcpu_release(&gone);
        return -ENOMEM;
    }
    *fd = up_fd_publish(f);
    return *fd < 0 ? *fd : 0;
}
