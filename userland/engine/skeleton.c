// SPDX-License-Identifier: MIT
// Skeletons of layers' tars; see skeleton.h.
#include "engine/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/inroot.h"
#include "lib/str.h"

#define SKELETON_PIECE 65536
#define SKELETON_ZEROS 24 /* fewer are not worth a record */
#define SKELETON_NAME_MAX 65536

enum { SKELETON_PLAIN, SKELETON_ZERO, SKELETON_FILE };

/* ---- making ---------------------------------------------------------------------------------- */

static void skeleton_number(struct buf *b, uint64_t n)
{
    for (; n >= 128; n >>= 7)
        buf_char(b, (char)(n | 128));
    buf_char(b, (char)n);
}

static void skeleton_flush(struct skeleton *s, size_t least)
{
    if (s->out.len < least || s->err || s->spoiled)
        return;
    if (s->take)
        s->take(s->out.len);
    s->err = write_all(s->fd, s->out.data, s->out.len);
    buf_clear(&s->out);
}

static void skeleton_put_plain(struct skeleton *s)
{
    if (!s->plain.len)
        return;
    buf_char(&s->out, SKELETON_PLAIN);
    skeleton_number(&s->out, s->plain.len);
    buf_add(&s->out, s->plain.data, s->plain.len);
    buf_clear(&s->plain);
}

/* The zeros that have come become a record, or part of what stands before them. */
static void skeleton_put_zeros(struct skeleton *s)
{
    if (s->zeros >= SKELETON_ZEROS) {
        skeleton_put_plain(s);
        buf_char(&s->out, SKELETON_ZERO);
        skeleton_number(&s->out, s->zeros);
        s->zeros = 0;
    }
    for (; s->zeros; s->zeros--)
        buf_char(&s->plain, 0);
}

static void skeleton_take(struct skeleton *s, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!data[i]) {
            s->zeros++;
            continue;
        }
        skeleton_put_zeros(s);
        buf_char(&s->plain, data[i]);
    }
    if (s->plain.len >= SKELETON_PIECE)
        skeleton_put_plain(s);
    skeleton_flush(s, SKELETON_PIECE);
}

static ssize_t skeleton_read(struct source *src, void *data, size_t len)
{
    struct skeleton *s = (struct skeleton *)src;
    ssize_t n = s->from->read(s->from, data, len);
    size_t content;

    src->why = s->from->why;
    if (n <= 0 || s->spoiled)
        return n;
    content = s->content < (uint64_t)n ? (size_t)s->content : (size_t)n;
    s->content -= content;
    skeleton_take(s, (const char *)data + content, (size_t)n - content);
    return n;
}

void skeleton_begin(struct skeleton *s, struct source *from, int fd)
{
    *s = (struct skeleton){.src.read = skeleton_read, .from = from, .fd = fd};
}

void skeleton_file(struct skeleton *s, const char *name, uint64_t size)
{
    if (!size)
        return;
    skeleton_put_zeros(s);
    skeleton_put_plain(s);
    buf_char(&s->out, SKELETON_FILE);
    skeleton_number(&s->out, strlen(name));
    buf_str(&s->out, name);
    skeleton_number(&s->out, size);
    s->content = size;
}

int skeleton_end(struct skeleton *s)
{
    skeleton_put_zeros(s);
    skeleton_put_plain(s);
    skeleton_flush(s, 1);
    buf_free(&s->plain);
    buf_free(&s->out);
    return s->spoiled ? -ENODATA : s->err;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool skeleton_read_number(struct skeleton_tar *t, uint64_t *n)
{
    *n = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        int c = source_byte(t->in, &t->src.why);

        if (c < 0)
            return false;
        *n |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return true;
    }
    return false;
}

/* The content of a file record: a descriptor, or -errno. */
static int skeleton_open_file(struct skeleton_tar *t, uint64_t len)
{
    char *name, *last;
    int dir, fd;

    if (!len || len > SKELETON_NAME_MAX)
        return -EPROTO;
    name = mem_alloc((size_t)len + 1);
    fd = source_exact(t->in, name, (size_t)len, "it is cut off", &t->src.why);
    dir = fd ? fd : inroot_open(t->dir, name, INROOT_PARENT, &last);
    free(name);
    if (dir < 0)
        return dir;
    fd = openat(dir, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    fd = fd < 0 ? -errno : fd;
    close(dir);
    free(last);
    return fd;
}

/* The next record: 1, 0 at the end, -errno. */
static int skeleton_next(struct skeleton_tar *t)
{
    int kind = source_byte(t->in, &t->src.why);

    if (t->content >= 0)
        close(t->content);
    t->content = -1;
    if (kind < 0)
        return kind == -1 ? 0 : kind;
    t->kind = kind;
    if (kind > SKELETON_FILE || !skeleton_read_number(t, &t->left))
        return -EPROTO;
    if (kind != SKELETON_FILE)
        return 1;
    t->content = skeleton_open_file(t, t->left);
    if (t->content < 0)
        return t->content;
    return skeleton_read_number(t, &t->left) ? 1 : -EPROTO;
}

static ssize_t skeleton_tar_read(struct source *src, void *data, size_t len)
{
    struct skeleton_tar *t = (struct skeleton_tar *)src;
    ssize_t n = 1;

    while (!t->left && n > 0)
        n = skeleton_next(t);
    if (n > 0) {
        len = len < t->left ? len : (size_t)t->left;
        n = (ssize_t)len;
        if (t->kind == SKELETON_ZERO)
            memset(data, 0, len);
        else if (t->kind == SKELETON_FILE)
            n = read(t->content, data, len);
        else if (source_exact(t->in, data, len, "it is cut off", &src->why))
            n = -EPROTO;
        n = n < 0 && t->kind == SKELETON_FILE ? -errno : n ? n : -ENODATA;
        t->left -= n > 0 ? (uint64_t)n : 0;
    }
    if (n < 0)
        src->why = "the layer's archive cannot be made again";
    return n;
}

int skeleton_tar_open(struct skeleton_tar *t, int fd, int dir)
{
    struct stat st;

    *t = (struct skeleton_tar){.src.read = skeleton_tar_read, .dir = dir, .content = -1};
    if (fstat(fd, &st) < 0)
        return -errno;
    source_file_init(&t->file, fd, 0, (uint64_t)st.st_size);
    t->in = mem_alloc(sizeof(*t->in));
    t->in->from = &t->file.src;
    return 0;
}

void skeleton_tar_close(struct skeleton_tar *t)
{
    if (t->content >= 0)
        close(t->content);
    free(t->in);
}

/* As the tar is read, without a look at any file. */
static bool skeleton_skip(struct skeleton_tar *t, int kind, uint64_t *size)
{
    char waste[512];
    uint64_t n, size_of = 0;

    if (kind > SKELETON_FILE || !skeleton_read_number(t, &n))
        return false;
    size_of = n;
    while (kind != SKELETON_ZERO && n) {
        size_t piece = n < sizeof(waste) ? (size_t)n : sizeof(waste);

        if (source_exact(t->in, waste, piece, "it is cut off", &t->src.why))
            return false;
        n -= piece;
    }
    if (kind == SKELETON_FILE && !skeleton_read_number(t, &size_of))
        return false;
    return !__builtin_add_overflow(*size, size_of, size);
}

bool skeleton_tar_size(int fd, uint64_t *size)
{
    struct skeleton_tar t;
    bool whole = skeleton_tar_open(&t, fd, -1) == 0;
    int kind = -1;

    *size = 0;
    while (whole && (kind = source_byte(t.in, &t.src.why)) >= 0)
        whole = skeleton_skip(&t, kind, size);
    free(t.in);
    return whole && kind == -1;
}
