/* SPDX-License-Identifier: MIT
 *
 * Memory and string primitives, with the C library's names and meanings.
 *
 * Context: any; they take no lock and touch nothing but their operands. The compiler may emit
 * calls to memcpy, memmove, memset and memcmp by itself.
 */
#pragma once

#include "lib/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);

#ifdef __BOTHY_KERNEL__ /* a host's compiler knows these functions */
/* A freestanding compiler takes them for functions like any other. By these names it knows what
 * they do, and makes a few moves of one of small and constant size. */
#define memcpy(...) __builtin_memcpy(__VA_ARGS__)
#define memmove(...) __builtin_memmove(__VA_ARGS__)
#define memset(...) __builtin_memset(__VA_ARGS__)
#define memcmp(...) __builtin_memcmp(__VA_ARGS__)
#endif

size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *hay, const char *needle);

/*
 * Copies at most `size` - 1 bytes of `src` and always terminates `dst` if `size` is not 0.
 * Returns strlen(src): a result >= size means that the copy was cut short.
 */
size_t strlcpy(char *dst, const char *src, size_t size);

/* Clears memory in a way the compiler may not remove: for keys. */
void memzero(void *dst, size_t n);

/* Whether s is the n bytes at name, none of which is NUL. */
static inline bool str_is(const char *s, const char *name, size_t n)
{
    while (n--) {
        if (*s++ != *name++)
            return false;
    }
    return !*s;
}

static inline bool str_starts(const char *s, const char *prefix)
{
    while (*prefix) {
        if (*s++ != *prefix++)
            return false;
    }
    return true;
}
