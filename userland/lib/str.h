// SPDX-License-Identifier: MIT
// Text helpers: numbers, escapes, times, small files. Only str_error keeps state.
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/buf.h"

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_case_eq(const char *a, const char *b);
void str_forget(char *s);       /* frees what nobody is to find there later; or NULL */
const char *str_error(int err); /* strerror as Go writes it: "permission denied"; static */

/* How many of the bytes are one well-formed character of UTF-8; 0 when none begins here. */
size_t utf8_char(const char *s, size_t len);

/* Whole-string conversions: false when anything but one number in range is there. */
bool str_u64(const char *s, uint64_t *out);
bool str_i64(const char *s, int64_t *out);
/* "64", "512k", "2g", "1.5GiB": bytes, as Docker's size flags read them. */
bool str_size(const char *s, uint64_t *out);

void hex_encode(char *out, const void *data, size_t len); /* 2 * len + 1 bytes */
bool str_is_hex(const char *s, size_t len);               /* len lower-case hex digits, no more */
void random_hex(char *out, size_t digits);                /* digits + 1 bytes */
void url_decode(char *s);                                 /* in place; '+' stays */
void url_encode(struct buf *b, const char *s);

/* What RFC 3339 has space for: from TIME_YEAR_1 to before TIME_YEAR_10000, in seconds. */
#define TIME_YEAR_1 (-62135596800ll)
#define TIME_YEAR_10000 253402300800ll
/* RFC 3339 with nanoseconds, UTC, as Go prints it; its zero time for what is out of that range.
 * `out` holds at least 40 bytes. */
void time_rfc3339(char *out, const struct timespec *ts);
/* RFC 3339 or EPOCH[.nanos], within that range. */
bool time_parse(const char *s, struct timespec *out);
/* Go's "About a minute", "2 hours": Docker's words for a span in seconds. */
void time_span(char *out, size_t size, int64_t seconds);
uint64_t time_now_ms(void); /* monotonic */

/* Whole small files. -errno; -EFBIG when the file holds more than `max` bytes, -EINVAL when it is
 * not a regular file. */
int file_read(const char *path, size_t max, struct buf *out);
int file_write(const char *path, const void *data, size_t len, int mode); /* creates or replaces */
/* The old content or the new one, at any moment and after a crash. May wait for the disk. */
int file_replace(const char *path, const void *data, size_t len, int mode);
/* The same, without waiting: after a crash of the machine it may be neither. */
int file_renew(const char *path, const void *data, size_t len, int mode);
/* One write, no create. Waits for no lease that a container has on it (F_SETLEASE): -EAGAIN. */
int file_put(const char *path, const char *text);
int write_all(int fd, const void *data, size_t len);
/* Bytes from `offset` on: all that are asked for, or what there is up to the end; -errno. */
ssize_t read_at(int fd, void *data, size_t len, uint64_t offset);
/* The next line of a stream, without its newline; what follows it stays to be read. 1, 0 at the
 * end, -errno; -EPROTO when the end comes within a line, -E2BIG when it does not fit. */
int fd_line(int fd, char *out, size_t size);
int dir_make(const char *path, int mode); /* with parents; existing is fine */
/* The next entry of a directory, but for . and ..; NULL: the end, *err 0, or no more can be read,
 * *err -errno. d NULL: as opendir() has just left errno. */
struct dirent *dir_next(DIR *d, int *err);
/* A whole tree, of any depth; never follows a link. What cannot be removed stays, and gives its
 * -errno when the rest is gone. */
int tree_remove(int dirfd, const char *name);
