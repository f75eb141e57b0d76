/* SPDX-License-Identifier: MIT
 *
 * Memory calls: decode into a map_request, let vm perform.
 */
#include "linux/sys.h"

#define MS_NOEXEC 8
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_SHARED_VALIDATE 3
#define MAP_TYPE 0xf
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_32BIT 0x40
#define MAP_GROWSDOWN 0x100
#define MAP_LOCKED 0x2000
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000
#define MAP_HUGETLB 0x40000
#define MAP_FIXED_NOREPLACE 0x100000
#define MAP_LEGACY                                                                 \
    0xfc07f973UL /* the flags from before MAP_SHARED_VALIDATE, some without effect \
                  */
#define PROT_KNOWN 7UL
#define PROT_GROWSDOWN 0x1000000UL
#define PROT_GROWSUP 0x2000000UL /* no area does */
#define PROT_GROWS (PROT_GROWSDOWN | PROT_GROWSUP)

static u8 mem_prot(u64 prot)
{
    return (prot & 1 ? PT_READ : 0) | (prot & 2 ? PT_WRITE : 0) | (prot & 4 ? PT_EXEC : 0);
}

static u32 mem_area_flags(u64 flags)
{
    return (flags & MAP_GROWSDOWN ? AREA_GROWSDOWN : 0) | (flags & MAP_LOCKED ? AREA_LOCKED : 0) |
           (flags & MAP_NORESERVE ? AREA_NORESERVE : 0);
}

/* The object behind a descriptor, with the rights its open mode gives. */
static int mem_map_file(struct map_request *req, u64 fd, bool shared, struct fd_hold *hold)
{
    *hold = fd_hold((int)fd);
    struct file *f = hold->file;
    if (!f)
        return -EBADF;
    if (!file_readable(f) || (shared && req->prot & PT_WRITE && !file_writable(f)))
        return -EACCES;
    if (!f->ops->mmap)
        return -ENODEV;
    if (req->flags & AREA_GROWSDOWN)
        return -EINVAL;
    if (f->dentry && path_mount_flags(&(struct path){f->mount, f->dentry}) & MS_NOEXEC) {
        if (req->prot & PT_EXEC)
            return -EPERM;
        req->max_prot &= (u8)~PT_EXEC;
    }
    if (shared && !file_writable(f))
        req->max_prot &= (u8)~PT_WRITE;
    req->file = f;
    u8 max = req->max_prot;
    int err = f->ops->mmap(f, req);
    req->max_prot = shared ? req->max_prot & max : max;
    return err;
}

s64 sys_mmap(u64 addr, u64 len, u64 prot, u64 flags, s32 fd, u64 off)
{
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    struct fd_hold hold = {NULL, false};
    u64 end, out;

    if (!len || !IS_ALIGNED(off, PAGE_SIZE) || !(flags & 3) || (flags & MAP_TYPE) > 3)
        return -EINVAL;
    if (prot & ~(PROT_KNOWN | 8)) /* PROT_SEM */
        return -EINVAL;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && !IS_ALIGNED(addr, PAGE_SIZE))
        return -EINVAL;
    if (len > USER_MAX || add_overflows(off, len, &end))
        return len > USER_MAX ? -ENOMEM : -EOVERFLOW;
    if (flags & MAP_ANONYMOUS && shared && flags & MAP_GROWSDOWN)
        return -EINVAL;
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE) {
        if (flags & MAP_ANONYMOUS)
            return -EINVAL;
        if (flags & ~MAP_LEGACY)
            return -EOPNOTSUPP;
    }
    if (flags &
        MAP_HUGETLB) /* there is no pool of them; 2 MiB pages come without being asked for */
        return flags & MAP_ANONYMOUS ? -ENOMEM : -EINVAL;
    struct map_request req = {
        .addr = addr,
        .len = PAGE_ALIGN(len),
        .prot = mem_prot(prot),
        .max_prot = PT_READ | PT_WRITE | PT_EXEC,
        .flags = mem_area_flags(flags) | (shared ? AREA_SHARED : 0),
        .fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE),
        .fixed_noreplace = flags & MAP_FIXED_NOREPLACE,
        .low = flags & MAP_32BIT,
        .populate = flags & (MAP_POPULATE | MAP_LOCKED),
        .offset = off,
    };
    int err = 0;
    if (!(flags & MAP_ANONYMOUS)) {
        err = mem_map_file(&req, fd, shared, &hold);
    } else if (shared) {
        req.object = mem_object_create_shared(req.len);
        req.offset = 0;
        err = req.object ? 0 : -ENOMEM;
    }
    if (!err)
        err = aspace_map(aspace_current(), &req, &out);
    if (req.object)
        mem_object_put(req.object);
    fd_release(hold);
    return err ? err : (s64)out;
}

s64 sys_munmap(u64 addr, u64 len)
{
    return aspace_unmap(aspace_current(), addr, len);
}

s64 sys_mprotect(u64 addr, u64 len, u64 prot)
{
    bool stack = prot & PROT_GROWSDOWN;

    if (prot & ~(PROT_KNOWN | 8 | PROT_GROWS) || (stack && prot & PROT_GROWSUP))
        return -EINVAL;
    if (prot & PROT_GROWSUP && len)
        return -EINVAL;
    if (stack)
        return aspace_protect_stack(aspace_current(), addr, len, mem_prot(prot));
    return aspace_protect(aspace_current(), addr, len, mem_prot(prot));
}

s64 sys_mremap(u64 old, u64 old_len, u64 new_len, u64 flags, u64 new_addr)
{
    u64 out;

    int err;

    if (flags & ~7UL)
        return -EINVAL;
    err = aspace_remap(aspace_current(), old, old_len, new_len, (unsigned)flags, new_addr, &out);
    return err ? err : (s64)out;
}

s64 sys_madvise(u64 addr, u64 len, s32 advice)
{
    return aspace_advise(aspace_current(), addr, len, (int)advice);
}

s64 sys_msync(u64 addr, u64 len, u32 flags)
{
    return aspace_sync(aspace_current(), addr, len, (int)flags);
}

s64 sys_mincore(u64 addr, u64 len, u64 uvec)
{
    u8 chunk[256];

    if (!IS_ALIGNED(addr, PAGE_SIZE))
        return -EINVAL;
    if (!user_range_ok(addr, len))
        return -ENOMEM;
    u64 pages = PAGE_ALIGN(len) >> PAGE_SHIFT;
    while (pages) {
        u64 n = MIN(pages, sizeof(chunk));
        int err = aspace_mincore(aspace_current(), addr, n << PAGE_SHIFT, chunk);
        if (err)
            return err;
        if (copy_out((void __user *)uvec, chunk, n))
            return -EFAULT;
        addr += n << PAGE_SHIFT;
        uvec += n;
        pages -= n;
        if (READ_ONCE(current_thread()->work) & WORK_KILL) /* the range may be terabytes */
            return -EINTR;
        cond_yield();
    }
    return 0;
}

s64 sys_brk(u64 brk)
{
    u64 out = 0;
    u64 limit = rlimit_current(RLIMIT_DATA);
    /* brk(2) of the kernel answers with the break, moved or not. */
    int err = aspace_brk(aspace_current(), brk, limit, &out);

    return err ? (s64)aspace_current()->brk : (s64)out;
}

s64 sys_mlock(u64 addr, u64 len)
{
    return aspace_lock_range(aspace_current(), addr, len, true);
}

s64 sys_munlock(u64 addr, u64 len)
{
    return aspace_lock_range(aspace_current(), addr, len, false);
}

enum { MCL_CURRENT = 1, MCL_FUTURE = 2 };

s64 sys_mlockall(u32 flags)
{
    if (!flags || flags & ~(u64)(MCL_CURRENT | MCL_FUTURE)) /* nor MCL_ONFAULT */
        return -EINVAL;
    return aspace_lock_all(aspace_current(), flags & MCL_CURRENT, flags & MCL_FUTURE);
}

s64 sys_munlockall(void)
{
    return aspace_lock_all(aspace_current(), false, false);
}

/* Another process's memory, after the checks that ptrace would make. */
static int mem_of_process(u64 pid, struct aspace **out)
{
    struct process *p = process_find(current_pid_ns(), (u32)pid);

    if (!p)
        return -ESRCH;
    struct aspace *as = process_inspect_aspace(p);
    process_put(p);
    if (IS_ERR(as))
        return PTR_ERR(as);
    *out = as;
    return as ? 0 : -ESRCH;
}

/* A transfer under way: between the caller's memory and another process's, through a page. */
struct mem_transfer {
    struct aspace *as; /* the other's */
    bool write;        /* to it */
    char *page;
    struct iov_iter it; /* the caller's memory */
    s64 done;
};

/* At most a page between *it and the other's memory at `at`; *taken: what was to go. Bytes, or
 * -errno. */
static s64 mem_transfer_part(struct mem_transfer *m, u64 at, u64 *taken)
{
    s64 r;

    if (m->write) {
        *taken = iov_copy_from(&m->it, m->page, *taken);
        return *taken ? aspace_write(m->as, at, m->page, *taken, false) : -EFAULT;
    }
    r = aspace_read(m->as, at, m->page, *taken, false);
    if (r > 0 && iov_copy_to(&m->it, m->page, (u64)r) != (u64)r)
        r = -EFAULT;
    return r;
}

/* One segment of the other's memory. 0: all of it, or as much as the caller has; 1: the transfer
 * ends here; -errno. */
static s64 mem_transfer_segment(struct mem_transfer *m, struct iovec_k seg)
{
    while (seg.len && m->it.count) {
        u64 n = MIN(MIN(seg.len, m->it.count), PAGE_SIZE);
        s64 r;

        if (thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE))
            return -EINTR;
        cond_yield();
        r = mem_transfer_part(m, seg.base, &n);
        if (r <= 0)
            return r ? r : 1;
        m->done += r;
        seg.base += (u64)r;
        seg.len -= (u64)r;
        if ((u64)r < n) /* what was taken and not written is not to go elsewhere */
            return 1;
    }
    return seg.len ? 1 : 0;
}

static s64 mem_transfer(struct aspace *as, struct iov_in *local, struct iov_in *remote, bool write)
{
    struct mem_transfer m = {.as = as, .write = write, .page = page_alloc_virt(0, 0)};
    s64 r = 0;

    if (!m.page)
        return -ENOMEM;
    iov_init_segs(&m.it, local->segs, local->nr, local->total);
    for (u64 i = 0; i < remote->nr && m.it.count && !r; i++)
        r = mem_transfer_segment(&m, remote->segs[i]);
    page_free_virt(m.page, 0);
    return m.done ? m.done : MIN(r, 0);
}

static s64 mem_process_vm(u64 pid, u64 ulocal, u64 nlocal, u64 uremote, u64 nremote, bool write)
{
    struct iov_in local, remote;
    struct aspace *as = NULL;
    s64 r = iov_in_begin(&local, ulocal, nlocal);

    if (r)
        return r;
    r = iov_in_begin(&remote, uremote, nremote);
    if (!r) {
        r = mem_of_process(pid, &as);
        if (!r) {
            r = mem_transfer(as, &local, &remote, write);
            aspace_put(as);
        }
        iov_in_end(&remote);
    }
    iov_in_end(&local);
    return r;
}

s64 sys_process_vm_readv(s32 pid, u64 ulocal, u64 nlocal, u64 uremote, u64 nremote, u64 flags)
{
    return flags ? -EINVAL : mem_process_vm(pid, ulocal, nlocal, uremote, nremote, false);
}

s64 sys_process_vm_writev(s32 pid, u64 ulocal, u64 nlocal, u64 uremote, u64 nremote, u64 flags)
{
    return flags ? -EINVAL : mem_process_vm(pid, ulocal, nlocal, uremote, nremote, true);
}

s64 sys_memfd_create(u64 uname, u32 flags)
{
    char *name;

    if (flags & ~3UL) /* MFD_CLOEXEC, MFD_ALLOW_SEALING */
        return -EINVAL;
    name = name_in(uname);
    if (IS_ERR(name))
        return PTR_ERR(name);
    struct file *f =
        strlen(name) > 249 ? ERR_PTR(-EINVAL) : tmpfs_create_unlinked(name, 0, O_RDWR, flags & 2);
    name_free(name);
    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, flags & 1);
}
