/* SPDX-License-Identifier: MIT
 *
 * Compiler attributes, included before every kernel source by the command line, so that no file
 * asks for it. It also names the linker tables: an array gathered from all files (linker.ld keeps
 * and sorts `.table.NAME.*`), read with TABLE_FOR_EACH.
 */
#pragma once
#ifndef __ASSEMBLER__

#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __printf(fmt, args) __attribute__((format(printf, fmt, args)))
#define __noreturn __attribute__((noreturn))
#define __noinline __attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))
#define __must_check __attribute__((warn_unused_result))
#define __maybe_unused __attribute__((unused))
#define __used __attribute__((used))
#define __weak __attribute__((weak))
#define __section(s) __attribute__((section(s)))
#define __cold __attribute__((cold))

/* Written during boot only; mapped read-only afterwards. */
#define __ro_after_init __section(".data.ro_after_init")

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ volatile("" ::: "memory")
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#define container_of(ptr, type, member) \
    ((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - __builtin_offsetof(type, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define static_assert _Static_assert
/* Each operand is evaluated once: it may be a call, or a word that others write. */
#define MIN(a, b) CHOOSE_ONCE(a, <, b, UNIQUE(first_), UNIQUE(second_))
#define MAX(a, b) CHOOSE_ONCE(a, >, b, UNIQUE(first_), UNIQUE(second_))
#define CHOOSE_ONCE(a, than, b, x, y) CHOOSE_NAMED(a, than, b, x, y)
#define CHOOSE_NAMED(a, than, b, x, y)                       \
    ({                                                       \
        __typeof__((a)than(b) ? (a) : (b)) x = (a), y = (b); \
        x than y ? x : y;                                    \
    })
#define UNIQUE(name) UNIQUE_NUMBERED(name, __COUNTER__)
#define UNIQUE_NUMBERED(name, n) UNIQUE_PASTED(name, n)
#define UNIQUE_PASTED(name, n) name##n
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a) ALIGN_DOWN((x) + ((a)-1), a)
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a)-1)) == 0)
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))

#if defined(__clang__) && defined(__BOTHY_KERNEL__)
#define __user __attribute__((noderef, address_space(1)))
#else
#define __user
#endif

/* What a function has to do with locks: stands behind its parameters, which it may name, as in
 * REQUIRES(vm->lock). clang checks that (-Wthread-safety), in `make check`; what it cannot follow
 * says NO_THREAD_SAFETY in its definition, with the reason. tools/check-locks lists those. */
#if defined(__clang__) && defined(__BOTHY_KERNEL__)
#define LOCK_TYPE(name) __attribute__((capability(name))) /* of a struct */
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define REQUIRES_SHARED(...) __attribute__((requires_shared_capability(__VA_ARGS__)))
/* The caller has it afterwards, and not before. */
#define ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define ACQUIRES_SHARED(...) __attribute__((acquire_shared_capability(__VA_ARGS__)))
/* Only if it returns that: true, or 0. */
#define TRY_ACQUIRES(result, ...) __attribute__((try_acquire_capability(result, __VA_ARGS__)))
#define TRY_ACQUIRES_SHARED(result, ...) \
    __attribute__((try_acquire_shared_capability(result, __VA_ARGS__)))
#define RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define RELEASES_SHARED(...) __attribute__((release_shared_capability(__VA_ARGS__)))
/* It takes it itself: the caller has it not. */
#define EXCLUDES(...) __attribute__((locks_excluded(__VA_ARGS__)))
#define ASSERTS_HELD(...) __attribute__((assert_capability(__VA_ARGS__)))
#define ASSERTS_HELD_SHARED(...) __attribute__((assert_shared_capability(__VA_ARGS__)))
#define NO_THREAD_SAFETY __attribute__((no_thread_safety_analysis))
#else
#define LOCK_TYPE(name)
#define REQUIRES(...)
#define REQUIRES_SHARED(...)
#define ACQUIRES(...)
#define ACQUIRES_SHARED(...)
#define TRY_ACQUIRES(result, ...)
#define TRY_ACQUIRES_SHARED(result, ...)
#define RELEASES(...)
#define RELEASES_SHARED(...)
#define EXCLUDES(...)
#define ASSERTS_HELD(...)
#define ASSERTS_HELD_SHARED(...)
#define NO_THREAD_SAFETY
#endif

#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)

/* TABLE_ENTRY(struct driver, drivers, "20") struct driver x = {...}: one element of table
 * `drivers`, placed in the order of the third argument, a string. Elements of a table all have one
 * type. */
#define TABLE_ENTRY(type, table, order)                   \
    static const type CONCAT(table##_entry_, __COUNTER__) \
    __used __attribute__((section(".table." #table "." order), aligned(__alignof__(type))))
#define TABLE_DECLARE(type, table) extern const type __table_##table[], __table_##table##_end[]
#define TABLE_FOR_EACH(ptr, table) \
    for ((ptr) = __table_##table; (ptr) < __table_##table##_end; (ptr)++)

#endif
