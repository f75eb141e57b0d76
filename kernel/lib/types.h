/* SPDX-License-Identifier: MIT
 *
 * The kernel's basic types. Address kinds are wrapped in structs, so that passing a guest-physical
 * address where a host-physical one belongs does not compile.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
#ifdef __BOTHY_KERNEL__
typedef s64 ssize_t;
typedef s64 loff_t;
#else
#include <sys/types.h>
#endif

typedef struct {
    u64 v;
} hpa_t; /* host-physical address, bytes */
typedef struct {
    u64 v;
} gpa_t; /* guest-physical address, bytes */
typedef struct {
    u64 v;
} gva_t; /* guest-virtual address, bytes */

#define HPA(x) ((hpa_t){(u64)(x)})
#define GPA(x) ((gpa_t){(u64)(x)})

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x) ALIGN_UP((u64)(x), PAGE_SIZE)
#define HUGE_SHIFT 21
#define HUGE_SIZE (1UL << HUGE_SHIFT)
#define HUGE_ORDER (HUGE_SHIFT - PAGE_SHIFT)

#define U64_MAX (~0ULL)
#define S64_MAX ((s64)(U64_MAX >> 1))
#define U32_MAX (~0U)

/* True when a+b or a*b does not fit; *out then is undefined. */
#define add_overflows(a, b, out) __builtin_add_overflow(a, b, out)
#define mul_overflows(a, b, out) __builtin_mul_overflow(a, b, out)
