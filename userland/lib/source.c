// SPDX-License-Identifier: MIT
// Byte sources; see source.h.
#include "lib/source.h"

#include <errno.h>
#include <unistd.h>

ssize_t source_full(struct source *s, void *data, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = s->read(s, (char *)data + got, len - got);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static ssize_t source_file_read(struct source *src, void *data, size_t len)
{
    struct source_file *s = (struct source_file *)src;
    ssize_t n;

    if (len > s->end - s->at)
        len = s->end - s->at;
    if (len == 0)
        return 0;
    n = pread(s->fd, data, len, (off_t)s->at);
    if (n < 0) {
        src->why = "read error";
        return -errno;
    }
    if (n == 0) {
        src->why = "file is truncated";
        return -EIO;
    }
    s->at += (uint64_t)n;
    return n;
}

void source_file_init(struct source_file *s, int fd, uint64_t offset, uint64_t size)
{
    *s = (struct source_file){
        .src.read = source_file_read, .fd = fd, .at = offset, .end = offset + size};
}
