// SPDX-License-Identifier: MIT
// Byte sources; see source.h.
#include "lib/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/str.h"

#define SOURCE_PAGE 4096u
#define SOURCE_SPEND (1u << 20) /* bytes that are given back at a time */

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

void source_file_spend(struct source_file *s, void (*spent)(uint64_t bytes))
{
    s->kept = s->at;
    s->spent = spent;
}

void source_file_spent(struct source_file *s)
{
    uint64_t end = s->at == s->end ? s->end : s->at & ~(uint64_t)(SOURCE_PAGE - 1);

    if (!s->spent || end <= s->kept)
        return;
    if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->kept,
                  (off_t)(end - s->kept)) == 0)
        s->spent(end - s->kept);
    s->kept = end;
}

static ssize_t source_file_read(struct source *src, void *data, size_t len)
{
    struct source_file *s = (struct source_file *)src;
    ssize_t n;

    if (len > s->end - s->at)
        len = s->end - s->at;
    if (len == 0)
        return 0;
    n = read_at(s->fd, data, len, s->at);
    if (n < 0) {
        src->why = "read error";
        return n;
    }
    if (n == 0) {
        src->why = "file is truncated";
        return -EIO;
    }
    s->at += (uint64_t)n;
    if (s->at - s->kept >= SOURCE_SPEND)
        source_file_spent(s);
    return n;
}

void source_file_init(struct source_file *s, int fd, uint64_t offset, uint64_t size)
{
    *s = (struct source_file){
        .src.read = source_file_read, .fd = fd, .at = offset, .end = offset + size};
}

void source_free(struct source *s)
{
    if (s && s->free)
        s->free(s);
}

/* Makes at least one byte ready: 0, -1 at the end, or another -errno. */
static int source_refill(struct source_bytes *b, const char **why)
{
    ssize_t n;

    if (b->at < b->len)
        return 0;
    n = b->from->read(b->from, b->data, sizeof(b->data));
    if (n < 0) {
        *why = b->from->why ? b->from->why : "read error";
        return -EIO;
    }
    b->at = 0;
    b->len = (size_t)n;
    return n ? 0 : -1;
}

int source_byte(struct source_bytes *b, const char **why)
{
    int err = source_refill(b, why);

    return err ? err : b->data[b->at++];
}

int source_exact(struct source_bytes *b, void *data, size_t len, const char *cut, const char **why)
{
    uint8_t *out = data;

    while (len) {
        int err = source_refill(b, why);
        size_t n = b->len - b->at < len ? b->len - b->at : len;

        if (err == -1)
            *why = cut;
        if (err)
            return err == -1 ? -EINVAL : err;
        memcpy(out, b->data + b->at, n);
        b->at += n;
        out += n;
        len -= n;
    }
    return 0;
}
