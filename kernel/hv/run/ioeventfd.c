/* SPDX-License-Identifier: MIT
 *
 * KVM_IOEVENTFD: a guest's write to a port or an address signals an eventfd, without a trip to the
 * VMM. Each entry holds a reference of its eventfd until it is taken off or the VM ends.
 *
 * Lock order: eventfd_lock (the list), then what eventfd_signal takes.
 */
#include "arch/x86/uaccess.h"
#include "hv/irq/irqchip.h"
#include "hv/run/run.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "obj/file.h"

struct ioeventfd {
    struct list_node node; /* eventfd_lock */
    struct file *file;
    u64 addr, data;
    u32 len; /* 0: any */
    bool port, match;
};

static bool ioeventfd_collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
    return a->port == b->port && a->addr == b->addr && (!a->len || !b->len || a->len == b->len) &&
           (!a->match || !b->match || a->data == b->data);
}

static bool ioeventfd_equal(const struct ioeventfd *a, const struct ioeventfd *b)
{
    return a->file == b->file && a->port == b->port && a->addr == b->addr && a->len == b->len &&
           a->match == b->match && (!a->match || a->data == b->data);
}

static int ioeventfd_add(struct vm *vm, const struct ioeventfd *wanted)
{
    struct ioeventfd *io = kmemdup(wanted, sizeof(*wanted)), *other;
    int err = 0;

    if (!io)
        return -ENOMEM;
    spin_lock(&vm->eventfd_lock);
    list_for_each (other, &vm->ioeventfds, node)
        if (ioeventfd_collides(other, io))
            err = -EEXIST;
    if (!err && list_len(&vm->ioeventfds) >= VM_EVENTFDS_MAX)
        err = -ENOSPC;
    if (!err) {
        file_get(io->file);
        list_add_tail(&vm->ioeventfds, &io->node);
    }
    spin_unlock(&vm->eventfd_lock);
    if (err)
        kfree(io);
    return err;
}

static int ioeventfd_remove(struct vm *vm, const struct ioeventfd *wanted)
{
    struct ioeventfd *io, *found = NULL;

    spin_lock(&vm->eventfd_lock);
    list_for_each (io, &vm->ioeventfds, node)
        if (ioeventfd_equal(io, wanted))
            found = io;
    if (found)
        list_del(&found->node);
    spin_unlock(&vm->eventfd_lock);
    if (!found)
        return -ENOENT;
    file_put(found->file);
    kfree(found);
    return 0;
}

int vm_ioeventfd_ioctl(struct vm *vm, u64 arg)
{
    struct kvm_ioeventfd r;
    struct ioeventfd wanted;
    int err;

    if (copy_in(&r, (const void __user *)arg, sizeof(r)))
        return -EFAULT;
    if (r.flags & ~7U || r.len > 8 || (r.len & (r.len - 1)) || r.addr + r.len < r.addr)
        return -EINVAL;
    if (!r.len && (r.flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
        return -EINVAL;
    wanted = (struct ioeventfd){.addr = r.addr,
                                .len = r.len,
                                .data = r.datamatch,
                                .port = r.flags & KVM_IOEVENTFD_FLAG_PIO,
                                .match = r.flags & KVM_IOEVENTFD_FLAG_DATAMATCH};
    err = hv_eventfd_of(r.fd, &wanted.file);
    if (err)
        return err;
    err = r.flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? ioeventfd_remove(vm, &wanted)
                                                : ioeventfd_add(vm, &wanted);
    file_put(wanted.file);
    return err;
}

int ioeventfd_write(struct vm *vm, bool port, u64 addr, const void *data, u32 len)
{
    struct ioeventfd *io;
    u64 value = 0;
    int err = -EOPNOTSUPP;

    if (len > sizeof(value))
        return -EOPNOTSUPP;
    memcpy(&value, data, len);
    spin_lock(&vm->eventfd_lock);
    list_for_each (io, &vm->ioeventfds, node) {
        if (io->port != port || io->addr != addr || (io->len && io->len != len))
            continue;
        if (io->match && io->data != value)
            continue;
        eventfd_signal(io->file, 1); /* a counter that is full has been signalled */
        err = 0;
        break;
    }
    spin_unlock(&vm->eventfd_lock);
    return err;
}

void vm_ioeventfds_destroy(struct vm *vm)
{
    while (!list_empty(&vm->ioeventfds)) {
        struct ioeventfd *io = container_of(vm->ioeventfds.next, struct ioeventfd, node);

        list_del(&io->node);
        file_put(io->file);
        kfree(io);
    }
}
