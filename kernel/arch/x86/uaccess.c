/* SPDX-License-Identifier: MIT
 *
 * User copies and MSR accesses that may fault: the C side of uaccess.S, the table of the places
 * where a fault is an error and not a bug, and the patching of STAC and CLAC.
 */
#include "arch/x86/uaccess.h"

#include "arch/x86/cpufeature.h"
#include "arch/x86/regs.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/log.h"

struct extable_entry {
    u64 from, to;
};
extern struct extable_entry __extable_start[], __extable_end[];
extern u8 *__smap_start[], *__smap_end[];

/* uaccess.S */
u64 uaccess_copy(void *dst, const void *src, u64 n);
u64 uaccess_clear(void *dst, u64 n);
s64 uaccess_string(char *dst, const char *src, u64 max);
int uaccess_load32(u32 *out, const u32 *src);
int uaccess_load64(u64 *out, const u64 *src);
int uaccess_store32(u32 *dst, u32 v);
int uaccess_cas8(void *dst, void *old, u8 new);
int uaccess_cas16(void *dst, void *old, u16 new);
int uaccess_cas32(void *dst, void *old, u32 new);
int uaccess_cas64(void *dst, void *old, u64 new);
int msr_read(u32 msr, u64 *out);
int msr_write(u32 msr, u64 v);

#define CALLER ((u64)__builtin_return_address(0))

/* A few dozen entries in the order of the code: a linear look is fine on a path that ends in a
 * fault. */
static const struct extable_entry *extable_find(u64 rip)
{
    for (const struct extable_entry *e = __extable_start; e < __extable_end; e++)
        if (e->from == rip)
            return e;
    return NULL;
}

bool extable_has(u64 rip)
{
    return extable_find(rip);
}

bool extable_fixup(struct trap_frame *frame)
{
    const struct extable_entry *e = extable_find(frame->rip);

    if (!e)
        return false;
    frame->rip = e->to;
    return true;
}

/* Without SMAP, STAC and CLAC do not exist: they become three-byte NOPs (0f 1f 00). Boot only,
 * while the image is writable. */
void uaccess_patch(void)
{
    if (cpu_has(X86_SMAP))
        return;
    for (u8 **p = __smap_start; p < __smap_end; p++) {
        (*p)[0] = 0x0f;
        (*p)[1] = 0x1f;
        (*p)[2] = 0x00;
    }
}

u64 user_copy_in(void *dst, const void __user *src, u64 n)
{
    up_user_copy(CALLER);
    if (!user_range_ok((u64)src, n) || FAILPOINT_APART(user_copy))
        return n;
    return uaccess_copy(dst, (const void *)(u64)src, n);
}

u64 user_copy_out(void __user *dst, const void *src, u64 n)
{
    up_user_copy(CALLER);
    if (!user_range_ok((u64)dst, n) || FAILPOINT_APART(user_copy))
        return n;
    return uaccess_copy((void *)(u64)dst, src, n);
}

u64 user_clear(void __user *dst, u64 n)
{
    up_user_copy(CALLER);
    return user_range_ok((u64)dst, n) ? uaccess_clear((void *)(u64)dst, n) : n;
}

ssize_t copy_string_in(char *dst, const char __user *src, size_t max)
{
    u64 space;
    s64 n;

    up_user_copy(CALLER);
    if ((u64)src >= USER_TOP)
        return -EFAULT;
    space = USER_TOP - (u64)src;
    n = uaccess_string(dst, (const char *)(u64)src, MIN(max, space));
    if (n == -2)
        return space < max ? -EFAULT : -ENAMETOOLONG;
    return n < 0 ? -EFAULT : n;
}

int user_load32(u32 *out, const u32 __user *src)
{
    up_user_copy(CALLER);
    return user_range_ok((u64)src, 4) && !uaccess_load32(out, (const u32 *)(u64)src) ? 0 : -EFAULT;
}

int user_load64(u64 *out, const u64 __user *src)
{
    up_user_copy(CALLER);
    return user_range_ok((u64)src, 8) && !uaccess_load64(out, (const u64 *)(u64)src) ? 0 : -EFAULT;
}

int user_store32(u32 __user *dst, u32 v)
{
    up_user_copy(CALLER);
    return user_range_ok((u64)dst, 4) && !uaccess_store32((u32 *)(u64)dst, v) ? 0 : -EFAULT;
}

int user_cas32(u32 __user *dst, u32 *old, u32 new)
{
    up_user_copy(CALLER);
    return user_range_ok((u64)dst, 4) && !uaccess_cas32((u32 *)(u64)dst, old, new) ? 0 : -EFAULT;
}

int user_cas(void __user *dst, void *old, u64 new, u32 len)
{
    void *at = (void *)(u64)dst;

    up_user_copy(CALLER);
    if (!user_range_ok((u64)dst, len))
        return -EFAULT;
    switch (len) {
    case 1:
        return uaccess_cas8(at, old, (u8) new) ? -EFAULT : 0;
    case 2:
        return uaccess_cas16(at, old, (u16) new) ? -EFAULT : 0;
    case 4:
        return uaccess_cas32(at, old, (u32) new) ? -EFAULT : 0;
    case 8:
        return uaccess_cas64(at, old, new) ? -EFAULT : 0;
    default:
        return -EINVAL;
    }
}

int rdmsr_safe(u32 msr, u64 *out)
{
    return msr_read(msr, out) ? -EFAULT : 0;
}

int wrmsr_safe(u32 msr, u64 v)
{
    return msr_write(msr, v) ? -EFAULT : 0;
}
