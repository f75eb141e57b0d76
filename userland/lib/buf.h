// SPDX-License-Identifier: MIT
// A growable byte buffer, and the program's only allocator wrappers.
//
// Memory that cannot be had ends the program with one line: callers bound every size that comes
// from outside before they ask. A buffer is always followed by a NUL that `len` does not count.
// What buf_drop() forgets at the front is only skipped (`head`): to take a buffer apart costs time
// in proportion to its size, for pieces of any size.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;  /* behind `data` */
    size_t head; /* bytes skipped in front of `data`, in the same block */
    bool fixed;  /* `data` is no block of the heap yet; private */
};

void *mem_alloc(size_t size); /* zeroed */
void *mem_resize(void *old, size_t size);
char *str_dup(const char *s);
char *str_dupn(const char *s, size_t n);
char *str_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Lists of strings that end with a NULL; a NULL is an empty one. */
size_t strv_count(char *const *v);
void strv_free(char **v);

void buf_free(struct buf *b);
void buf_clear(struct buf *b);
void buf_reserve(struct buf *b, size_t more); /* space for `more` bytes and the NUL */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_int(struct buf *b, long long n); /* in decimal */
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vfmt(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_drop(struct buf *b, size_t n); /* forgets the first n bytes */
char *buf_take(struct buf *b);          /* returns the bytes; the caller frees them */
