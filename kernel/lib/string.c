/* SPDX-License-Identifier: MIT
 *
 * Memory and string primitives.
 *
 * Up to 64 bytes are moved by plain loads and stores, overlapping at the end instead of looping
 * over bytes. Beyond that `rep movsq`/`rep stosq` do the work: fast on every CPU of interest, and
 * under an emulator that counts instructions one iteration of the widest form counts as one.
 *
 * A barrier in a loop keeps the compiler from turning it into a call to the function it is in.
 *
 * The end of a string is looked for in aligned words: such a word lies in one page, so one that
 * holds a byte of the string can be read whole (but the host's sanitizer knows no pages).
 */
#include "lib/string.h"

#ifdef __BOTHY_KERNEL__ /* these are what the compiler calls when it does not know better */
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#endif

/* Unaligned, aliasing views of memory. */
typedef u64 __attribute__((may_alias, aligned(1))) string_u64;
typedef u32 __attribute__((may_alias, aligned(1))) string_u32;
typedef u16 __attribute__((may_alias, aligned(1))) string_u16;

#define LD64(p, off) (*(const string_u64 *)((const u8 *)(p) + (off)))
#define ST64(p, off, v) (*(string_u64 *)((u8 *)(p) + (off)) = (v))
#define LD32(p, off) (*(const string_u32 *)((const u8 *)(p) + (off)))
#define ST32(p, off, v) (*(string_u32 *)((u8 *)(p) + (off)) = (v))
#define LD16(p, off) (*(const string_u16 *)((const u8 *)(p) + (off)))
#define ST16(p, off, v) (*(string_u16 *)((u8 *)(p) + (off)) = (v))

#define STRING_ONES 0x0101010101010101ull
#define STRING_WHOLE __attribute__((no_sanitize_address)) /* reads whole words */

/* 0x80 in the first byte of the word that is zero, and perhaps in later ones; 0: none is. */
static inline u64 string_zeros(u64 word)
{
    return (word - STRING_ONES) & ~word & (STRING_ONES << 7);
}

/* Ones in the bytes of the aligned word around s that lie before s. */
static inline u64 string_before(const char *s)
{
    return (1ull << ((uintptr_t)s % 8 * 8)) - 1;
}

static inline const char *string_word(const char *s)
{
    return (const char *)((uintptr_t)s & ~7ul);
}

/* n <= 16. All loads come before the stores, so overlap in either direction is fine. */
static inline void string_copy_tiny(u8 *dst, const u8 *src, size_t n)
{
    if (n >= 8) {
        u64 a = LD64(src, 0), b = LD64(src, n - 8);
        ST64(dst, 0, a);
        ST64(dst, n - 8, b);
    } else if (n >= 4) {
        u32 a = LD32(src, 0), b = LD32(src, n - 4);
        ST32(dst, 0, a);
        ST32(dst, n - 4, b);
    } else if (n >= 2) {
        u16 a = LD16(src, 0), b = LD16(src, n - 2);
        ST16(dst, 0, a);
        ST16(dst, n - 2, b);
    } else if (n) {
        *dst = *src;
    }
}

/* 17 <= n <= 32, overlap allowed. */
static inline void string_copy_small(u8 *dst, const u8 *src, size_t n)
{
    u64 a = LD64(src, 0), b = LD64(src, 8);
    u64 c = LD64(src, n - 16), d = LD64(src, n - 8);

    ST64(dst, 0, a);
    ST64(dst, 8, b);
    ST64(dst, n - 16, c);
    ST64(dst, n - 8, d);
}

/* n > 32, dst below src or disjoint. The tail is read first: the loop may overwrite its source. */
static void string_copy_up(u8 *dst, const u8 *src, size_t n)
{
    u64 tail = LD64(src, n - 8);
    u8 *last = dst + n - 8;

    if (n <= 64) {
        for (; dst < last; dst += 8, src += 8) {
            ST64(dst, 0, LD64(src, 0));
            barrier();
        }
    } else {
        size_t words = (n - 1) / 8;

        __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
    }
    ST64(last, 0, tail);
}

/* n > 32, dst above src and overlapping it. */
static void string_copy_down(u8 *dst, const u8 *src, size_t n)
{
    u64 head = LD64(src, 0);
    u8 *first = dst;

    for (; n > 8; n -= 8) {
        u64 word = LD64(src, n - 8);

        ST64(dst, n - 8, word);
        barrier();
    }
    ST64(first, 0, head);
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    if (n <= 16)
        string_copy_tiny(dst, src, n);
    else if (n <= 32)
        string_copy_small(dst, src, n);
    else
        string_copy_up(dst, src, n);
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    if (n <= 16)
        string_copy_tiny(dst, src, n);
    else if (n <= 32)
        string_copy_small(dst, src, n);
    else if ((uintptr_t)dst - (uintptr_t)src >= n)
        string_copy_up(dst, src, n);
    else
        string_copy_down(dst, src, n);
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    u64 word = (u8)c * 0x0101010101010101ull;
    u8 *p = dst;

    if (n >= 8) {
        u8 *last = p + n - 8;

        if (n <= 64) {
            for (; p < last; p += 8) {
                ST64(p, 0, word);
                barrier();
            }
        } else {
            size_t words = (n - 1) / 8;

            __asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(word) : "memory");
        }
        ST64(last, 0, word);
    } else if (n >= 4) {
        ST32(p, 0, (u32)word);
        ST32(p, n - 4, (u32)word);
    } else if (n >= 2) {
        ST16(p, 0, (u16)word);
        ST16(p, n - 2, (u16)word);
    } else if (n) {
        *p = (u8)c;
    }
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n >= 8; n -= 8, x += 8, y += 8) {
        if (LD64(x, 0) != LD64(y, 0))
            break;
    }
    if (n >= 4 && LD32(x, 0) == LD32(y, 0))
        n -= 4, x += 4, y += 4;
    if (n >= 2 && LD16(x, 0) == LD16(y, 0))
        n -= 2, x += 2, y += 2;
    for (; n; n--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const u8 *p = s;

    for (; n; n--, p++) {
        if (*p == (u8)c)
            return (void *)p;
    }
    return NULL;
}

STRING_WHOLE size_t strlen(const char *s)
{
    const char *p = string_word(s);
    u64 zeros = string_zeros(LD64(p, 0) | string_before(s));

    while (!zeros) {
        p += 8;
        zeros = string_zeros(LD64(p, 0));
    }
    return (size_t)(p - s) + (size_t)__builtin_ctzll(zeros) / 8;
}

STRING_WHOLE size_t strnlen(const char *s, size_t max)
{
    const char *p = string_word(s);
    u64 before = string_before(s);
    size_t n;

    if (!max)
        return 0;
    for (;; p += 8, before = 0) {
        u64 zeros = string_zeros(LD64(p, 0) | before);

        if (zeros) {
            n = (size_t)(p - s) + (size_t)__builtin_ctzll(zeros) / 8;
            return n < max ? n : max;
        }
        if ((size_t)(p + 8 - s) >= max)
            return max;
    }
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++) {
        if (*a != *b)
            return (u8)*a - (u8)*b;
        if (!*a)
            break;
    }
    return 0;
}

STRING_WHOLE char *strchr(const char *s, int c)
{
    const char *p = string_word(s);
    u64 before = string_before(s), all = (u8)c * STRING_ONES;

    for (;; p += 8, before = 0) {
        u64 word = LD64(p, 0);
        u64 ends = string_zeros(word | before) | string_zeros((word ^ all) | before);

        if (!ends)
            continue;
        p += __builtin_ctzll(ends) / 8;
        return *p == (char)c ? (char *)p : NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;

    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)found;
    }
}

char *strstr(const char *hay, const char *needle)
{
    size_t n = strlen(needle);

    for (; *hay || !n; hay++) {
        if (!strncmp(hay, needle, n))
            return (char *)hay;
    }
    return NULL;
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src);

    if (size) {
        size_t n = len < size ? len : size - 1;

        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return len;
}

void memzero(void *dst, size_t n)
{
    memset(dst, 0, n);
    __asm__ volatile("" : : "r"(dst) : "memory");
}
