/* SPDX-License-Identifier: MIT
 *
 * Text formatting and number parsing.
 *
 * Conversions: %d %i %u %x %X %o %c %s %p %%, flags `-`, `0`, `+`, space, `#`, width and precision
 * (also `*`), lengths hh h l ll z t j. There is no floating point. An unknown conversion is copied
 * as it stands and consumes no argument. A NULL string prints as "(null)"; %p prints 0x and hex.
 *
 * Context: any; no lock, no allocation, little stack.
 */
#pragma once

#include "lib/types.h"

/*
 * Write at most `size` bytes including the terminator (nothing if `size` is 0). Return the length
 * the whole text would have, saturated at INT_MAX.
 */
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap) __printf(3, 0);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/* The same, but return the number of bytes really in `buf`, the terminator not counted. */
int vscnprintf(char *buf, size_t size, const char *fmt, va_list ap) __printf(3, 0);
int scnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/*
 * Reads the whole of `s` as an unsigned number in `base` (2 to 36), or with base 0 by its prefix:
 * 0x hexadecimal, 0 octal, else decimal. No sign, no blanks; one newline may end it, as it does
 * when a user echoes into a control file.
 * Returns 0, -EINVAL if it is no number, -ERANGE if it does not fit.
 */
int parse_u64(const char *s, unsigned base, u64 *out);

/* The same for a signed number with an optional leading `-` or `+`. */
int parse_s64(const char *s, unsigned base, s64 *out);

/* Reads digits from the start of `s` only; *end is the first byte not used. Same errors. */
int parse_u64_prefix(const char *s, unsigned base, u64 *out, const char **end);
