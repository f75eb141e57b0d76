/* SPDX-License-Identifier: MIT
 *
 * What the families of system calls share: fetching arguments, walking from directory descriptors,
 * converting times. Every handler decodes into a checked copy, makes one call, encodes the result.
 */
#pragma once

#include "arch/x86/uaccess.h"
#include "lib/err.h"
#include "lib/format.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/fdtable.h"
#include "proc/fs_context.h"
#include "proc/nsset.h"
#include "proc/proc.h"
#include "sched/timer.h"
#include "syscall_table.h"
#include "vfs/vfs.h"
#include "vm/aspace.h"
#include "vm/iov.h"

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_EACCESS 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define AT_NO_AUTOMOUNT 0x800
#define AT_EMPTY_PATH 0x1000
#define AT_STATX_SYNC 0x6000

/* What uname(2) and /proc/version say beside UTS_RELEASE. */
#define UTS_VERSION "#1 SMP Bothy"

struct trap_frame;
/* The frame of the call under way. */
struct trap_frame *syscall_frame(void);

/* A path argument in kernel memory: freed by name_free. ERR_PTR: -EFAULT, -ENAMETOOLONG,
 * -ENOMEM. */
char *name_in(u64 uptr);
void name_free(char *name);

/* A name and where it starts. begin: dirfd AT_FDCWD or absolute names need no descriptor. */
struct walk_at {
    struct walk_hold walk;
    struct fd_hold dir;
    struct path at; /* the directory's; references only where it is a file without a name */
    const struct path *from; /* for vfs calls */
    char *name;              /* brief, or what name_in() has made */
    char brief[128];
};
int walk_at_begin(struct walk_at *w, s64 dirfd, u64 uname) __must_check;
/* For openat2: in a scope (WALK_SCOPED) absolute names start at dirfd, too. */
int walk_at_begin_flags(struct walk_at *w, s64 dirfd, u64 uname, unsigned walk_flags) __must_check;
void walk_at_end(struct walk_at *w);
/* begin, look up, end. at_flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
int walk_at_lookup(s64 dirfd, u64 uname, u64 at_flags, struct path *out) __must_check;
int walk_at_stat(s64 dirfd, u64 uname, u64 at_flags, struct kstat *out) __must_check;

/* A user's iovec array, checked: segs is on the stack for small ones. */
#define IOV_FAST 8
struct iov_in {
    struct iovec_k fast[IOV_FAST], *segs;
    u64 nr, total;
};
int iov_in_begin(struct iov_in *v, u64 uvec, u64 nr) __must_check;
void iov_in_end(struct iov_in *v);

#define MAX_RW_COUNT 0x7ffff000UL
/* file_write and file_truncate within RLIMIT_FSIZE: SIGXFSZ and -EFBIG at it. */
s64 file_write_limited(struct file *f, struct iov_iter *from, s64 *pos);
s64 file_resize_limited(struct file *f, u64 size);
s64 file_limit_reached(void); /* SIGXFSZ; -EFBIG */
/* F_SETOWN, F_GETOWN and the same with struct f_owner_ex. */
s64 file_set_owner(struct file *f, s32 nr);
s64 file_get_owner(struct file *f);
s64 file_set_owner_ex(struct file *f, u64 uptr);
s64 file_get_owner_ex(struct file *f, u64 uptr);
s64 file_set_lease(struct file *f, s32 fd, s32 type);
/* sys_signal.c: send() sends the group's members a signal with signal_send_shared, or answers why
 * not; it has proc_lock, and `shared` is signal_shared_number's. 0: one has it; else -errno. */
typedef int signal_member_fn(struct process *p, u64 shared, const void *arg);
s64 signal_group_members(struct pid *pgrp, u64 shared, signal_member_fn *send, const void *arg);

/* struct timespec of the user to ns: -EFAULT, -EINVAL. */
int timespec_in(u64 uptr, u64 *ns) __must_check;
int timespec_out(u64 uptr, u64 ns) __must_check;
/* now + ns, saturated; never 0. */
static inline u64 deadline_after(u64 ns)
{
    u64 now = time_ns(), sum;

    return add_overflows(now, ns, &sum) ? U64_MAX - 1 : sum;
}
static inline u64 wall_ns(void)
{
    return time_ns() + time_wall_offset();
}
/* A structure whose later versions are longer: what the caller's lacks is zero in dst, what it has
 * beyond ours must be zero. -EFAULT, -E2BIG. */
int struct_in(void *dst, size_t size, u64 uptr, u64 usize) __must_check;
#define IN(dst, uptr) copy_in(&(dst), (const void __user *)(uptr), sizeof(dst))
#define OUT(uptr, src) copy_out((void __user *)(uptr), &(src), sizeof(src))
