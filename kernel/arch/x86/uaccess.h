/* SPDX-License-Identifier: MIT
 *
 * Copies between the kernel and the user half of the current address space: the only code that
 * touches user memory. An address outside the user half fails without being tried.
 *
 * Context: may fault pages in, so may sleep, unless the current thread has `nofault` set (then a
 * page that is not there is -EFAULT).
 */
#pragma once

#include "lib/errno.h"
#include "lib/types.h"

#define USER_TOP 0x7ffffffff000UL /* first address beyond the user half */

static inline bool user_range_ok(u64 addr, u64 n)
{
    return n <= USER_TOP && addr <= USER_TOP - n;
}

/* Bytes NOT copied, from the first fault on. */
u64 user_copy_in(void *dst, const void __user *src, u64 n);
u64 user_copy_out(void __user *dst, const void *src, u64 n);
u64 user_clear(void __user *dst, u64 n);

/* 0 or -EFAULT. */
static inline __must_check int copy_in(void *dst, const void __user *src, u64 n)
{
    return user_copy_in(dst, src, n) ? -EFAULT : 0;
}
static inline __must_check int copy_out(void __user *dst, const void *src, u64 n)
{
    return user_copy_out(dst, src, n) ? -EFAULT : 0;
}
static inline __must_check int user_zero(void __user *dst, u64 n)
{
    return user_clear(dst, n) ? -EFAULT : 0;
}

/* Copies a string with its NUL. Its length, -EFAULT, or -ENAMETOOLONG when max bytes hold no NUL.
 */
ssize_t copy_string_in(char *dst, const char __user *src, size_t max) __must_check;

/* Naturally aligned words, for futexes and the like: one access. 0 or -EFAULT. */
int user_load32(u32 *out, const u32 __user *src) __must_check;
int user_store32(u32 __user *dst, u32 v) __must_check;
int user_load64(u64 *out, const u64 __user *src) __must_check;
/* Compare and exchange; *old is updated to what was found. 0 also when it was not equal. */
int user_cas32(u32 __user *dst, u32 *old, u32 new) __must_check;
/* The same of 1, 2, 4 or 8 bytes at any alignment; *old is of that size. */
int user_cas(void __user *dst, void *old, u64 new, u32 len) __must_check;

/* For exceptions in the kernel: moves frame->rip to the fix-up of that instruction; false: it has
 * none. */
struct trap_frame;
bool extable_fixup(struct trap_frame *frame);
bool extable_has(u64 rip);
void uaccess_patch(void); /* boot, after cpu_features_read */
