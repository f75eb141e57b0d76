// SPDX-License-Identifier: MIT
// The tar reader; see tar.h. POSIX.1-2017 pax, "pax Interchange Format" and "ustar"; GNU tar's
// 'L' and 'K' members and base-256 numbers.
#include "lib/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

#define TAR_META_MAX 65536 /* one pax or long-name member */
#define TAR_NAME_MAX 4095
#define TAR_SIZE_MAX (1ull << 40)

struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char sum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char uname[32];
    char gname[32];
    char major[8];
    char minor[8];
    char prefix[155];
    char pad[12];
};

_Static_assert(sizeof(struct tar_header) == 512, "one block");

static int tar_fail(struct tar *t, const char *why)
{
    snprintf(t->why, sizeof(t->why), "%s", why);
    return -EINVAL;
}

static void tar_entry_free(struct tar_entry *e)
{
    free(e->name);
    free(e->link);
    for (int i = 0; i < e->xattrs; i++) {
        free(e->xattr[i].name);
        free(e->xattr[i].value);
    }
    *e = (struct tar_entry){0};
}

void tar_init(struct tar *t, struct source *from)
{
    *t = (struct tar){.from = from};
}

void tar_free(struct tar *t)
{
    tar_entry_free(&t->entry);
}

static ssize_t tar_pull(struct tar *t, void *data, size_t len)
{
    ssize_t n = source_full(t->from, data, len);

    if (n < 0) {
        tar_fail(t, t->from->why ? t->from->why : "read error");
        return n;
    }
    t->at += (uint64_t)n;
    return n;
}

static int tar_skip(struct tar *t, uint64_t bytes)
{
    char waste[4096];

    while (bytes) {
        size_t want = bytes < sizeof(waste) ? bytes : sizeof(waste);
        ssize_t n = tar_pull(t, waste, want);

        if (n < 0)
            return (int)n;
        if (n < (ssize_t)want)
            return tar_fail(t, "archive is truncated");
        bytes -= want;
    }
    return 0;
}

/* Octal with blanks around, or GNU base-256; false when neither or beyond 63 bits. */
static bool tar_number(const char *s, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;

    if (s[0] & 0x80) {
        v = s[0] & 0x3f;
        if (s[0] & 0x40)
            return false;
        for (i = 1; i < len; i++) {
            if (v >> 55)
                return false;
            v = v << 8 | (uint8_t)s[i];
        }
        *out = v;
        return true;
    }
    while (i < len && s[i] == ' ')
        i++;
    for (; i < len && s[i] >= '0' && s[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(s[i] - '0');
    for (; i < len; i++)
        if (s[i] && s[i] != ' ')
            return false;
    *out = v;
    return true;
}

static bool tar_sum_ok(const struct tar_header *h)
{
    const uint8_t *p = (const uint8_t *)h;
    uint64_t sum = 0, want;

    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : p[i];
    return tar_number(h->sum, sizeof(h->sum), &want) && sum == want;
}

static bool tar_blank(const struct tar_header *h)
{
    const char *p = (const char *)h;

    for (size_t i = 0; i < 512; i++)
        if (p[i])
            return false;
    return true;
}

/* The content of a metadata member of `size` bytes, with its padding. */
static int tar_meta(struct tar *t, uint64_t size, struct buf *out)
{
    ssize_t n;

    if (size > TAR_META_MAX)
        return tar_fail(t, "header member is too large");
    buf_reserve(out, size);
    n = tar_pull(t, out->data, size);
    if (n < 0)
        return (int)n;
    if (n < (ssize_t)size)
        return tar_fail(t, "archive is truncated");
    out->len = size;
    out->data[size] = 0;
    return tar_skip(t, -size & 511);
}

static void tar_set(char **field, const char *value, size_t len)
{
    free(*field);
    *field = str_dupn(value, len);
}

static int tar_pax_xattr(struct tar *t, const char *name, const char *value, size_t len)
{
    struct tar_entry *e = &t->entry;

    if (e->xattrs == TAR_XATTR_MAX)
        return tar_fail(t, "too many extended attributes");
    e->xattr[e->xattrs].name = str_dup(name);
    e->xattr[e->xattrs].value = str_dupn(value, len);
    e->xattr[e->xattrs++].len = len;
    return 0;
}

static int tar_pax_number(struct tar *t, const char *value, uint64_t max, uint64_t *out)
{
    if (!str_u64(value, out) || *out > max)
        return tar_fail(t, "bad number in a pax header");
    return 0;
}

static int tar_pax_record(struct tar *t, const char *key, char *value, size_t len, uint64_t *size)
{
    struct tar_entry *e = &t->entry;
    uint64_t v;
    int err = 0;

    if (str_starts(key, "SCHILY.xattr."))
        return tar_pax_xattr(t, key + 13, value, len);
    if (strlen(value) != len)
        return tar_fail(t, "zero byte in a pax header");
    if (!strcmp(key, "path")) {
        tar_set(&e->name, value, len);
    } else if (!strcmp(key, "linkpath")) {
        tar_set(&e->link, value, len);
    } else if (!strcmp(key, "size")) {
        err = tar_pax_number(t, value, TAR_SIZE_MAX, size);
    } else if (!strcmp(key, "uid")) {
        err = tar_pax_number(t, value, UINT32_MAX - 1, &v);
        e->uid = err ? 0 : (uint32_t)v;
    } else if (!strcmp(key, "gid")) {
        err = tar_pax_number(t, value, UINT32_MAX - 1, &v);
        e->gid = err ? 0 : (uint32_t)v;
    } else if (!strcmp(key, "mtime")) {
        if (!time_parse(value, &e->mtime))
            e->mtime = (struct timespec){0};
    } else if (str_starts(key, "GNU.sparse.")) {
        return tar_fail(t, "sparse files are not supported");
    }
    return err;
}

/* "LENGTH KEY=VALUE\n" records. */
static int tar_pax(struct tar *t, struct buf *text, uint64_t *size)
{
    char *p = text->data, *end = text->data + text->len;

    while (p < end) {
        char *space = memchr(p, ' ', (size_t)(end - p)), *equals;
        uint64_t len;
        int err;

        if (!space)
            return tar_fail(t, "bad pax header");
        *space = 0;
        if (!str_u64(p, &len) || len > (uint64_t)(end - p) || p + len < space + 4 ||
            p[len - 1] != '\n')
            return tar_fail(t, "bad pax header");
        equals = memchr(space + 1, '=', len - (size_t)(space + 1 - p));
        if (!equals)
            return tar_fail(t, "bad pax header");
        *equals = 0;
        p[len - 1] = 0;
        err = tar_pax_record(t, space + 1, equals + 1, (size_t)(p + len - 1 - (equals + 1)), size);
        if (err)
            return err;
        p += len;
    }
    return 0;
}

/* Fills what no pax record or long name has set. */
static int tar_fields(struct tar *t, const struct tar_header *h, uint64_t *size)
{
    struct tar_entry *e = &t->entry;
    uint64_t v[4];
    char name[260];
    size_t n;

    if (!tar_number(h->mode, 8, &v[0]) || !tar_number(h->uid, 8, &v[1]) ||
        !tar_number(h->gid, 8, &v[2]) || !tar_number(h->mtime, 12, &v[3]))
        return tar_fail(t, "bad number in a header");
    e->mode = v[0] & 07777;
    if (e->uid == UINT32_MAX)
        e->uid = (uint32_t)v[1];
    if (e->gid == UINT32_MAX)
        e->gid = (uint32_t)v[2];
    if (!e->mtime.tv_sec)
        e->mtime.tv_sec = (time_t)v[3];
    if (*size == UINT64_MAX && (!tar_number(h->size, 12, size) || *size > TAR_SIZE_MAX))
        return tar_fail(t, "bad size in a header");
    if (!e->name) {
        n = 0;
        if (!memcmp(h->magic, "ustar\0", 6) && h->prefix[0])
            n = (size_t)snprintf(name, sizeof(name), "%.155s/", h->prefix);
        snprintf(name + n, sizeof(name) - n, "%.100s", h->name);
        e->name = str_dup(name);
    }
    if (!e->link)
        e->link = str_dupn(h->link, strnlen(h->link, sizeof(h->link)));
    if (!e->name[0] || strlen(e->name) > TAR_NAME_MAX || strlen(e->link) > TAR_NAME_MAX)
        return tar_fail(t, "bad name in a header");
    return 0;
}

static int tar_member(struct tar *t, const struct tar_header *h, uint64_t size)
{
    struct tar_entry *e = &t->entry;
    int err = tar_fields(t, h, &size);

    if (err)
        return err;
    e->type = h->type == 0 || h->type == '7' ? TAR_FILE : (enum tar_type)h->type;
    if (e->type == TAR_FILE && str_ends(e->name, "/"))
        e->type = TAR_DIR;
    if (e->type < TAR_FILE || e->type > TAR_FIFO) {
        snprintf(t->why, sizeof(t->why), "entry type '%c' is not supported",
                 h->type > 32 && h->type < 127 ? h->type : '?');
        return -EINVAL;
    }
    e->size = e->type == TAR_FILE ? size : 0;
    e->offset = t->at;
    t->left = e->size;
    t->pad = -e->size & 511;
    return 1;
}

int tar_next(struct tar *t)
{
    struct tar_header h;
    uint64_t size = UINT64_MAX, meta;
    bool pax = false, blank = false;
    int err = tar_skip(t, t->left + t->pad);

    tar_entry_free(&t->entry);
    t->entry.uid = t->entry.gid = UINT32_MAX;
    t->left = t->pad = 0;
    while (!err) {
        struct buf text = {0};
        ssize_t n = tar_pull(t, &h, sizeof(h));

        if (n < 0)
            return (int)n;
        if (n == 0)
            return pax ? tar_fail(t, "archive is truncated") : 0;
        if (n < (ssize_t)sizeof(h))
            return tar_fail(t, "archive is truncated");
        if (tar_blank(&h)) { /* two of them end an archive; the rest is padding */
            if (blank)
                return 0;
            blank = true;
            continue;
        }
        if (blank || !tar_sum_ok(&h))
            return tar_fail(t, "not a tar archive: bad header checksum");
        if (!strchr("xgLK", h.type) || !h.type)
            return tar_member(t, &h, size);
        if (!tar_number(h.size, 12, &meta))
            return tar_fail(t, "bad size in a header");
        err = tar_meta(t, meta, &text);
        if (!err && h.type == 'x') {
            pax = true;
            err = tar_pax(t, &text, &size);
        } else if (!err && h.type == 'L') {
            tar_set(&t->entry.name, text.data, strlen(text.data));
        } else if (!err && h.type == 'K') {
            tar_set(&t->entry.link, text.data, strlen(text.data));
        }
        buf_free(&text);
    }
    return err;
}

ssize_t tar_read(struct tar *t, void *data, size_t len)
{
    ssize_t n;

    if (len > t->left)
        len = t->left;
    if (!len)
        return 0;
    n = tar_pull(t, data, len);
    if (n < 0)
        return n;
    if (n < (ssize_t)len)
        return tar_fail(t, "archive is truncated");
    t->left -= len;
    return n;
}

const char *tar_name_check(char *name)
{
    char *out = name, *p = name;

    if (*name == '/')
        return "absolute name";
    while (*p) {
        size_t n = strcspn(p, "/");

        if (n == 2 && p[0] == '.' && p[1] == '.')
            return "name with '..'";
        if (n && !(n == 1 && p[0] == '.')) {
            if (out != name)
                *out++ = '/';
            memmove(out, p, n);
            out += n;
        }
        p += n;
        while (*p == '/')
            p++;
    }
    *out = 0;
    return NULL;
}
