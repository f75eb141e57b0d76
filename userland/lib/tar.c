// SPDX-License-Identifier: MIT
// The tar reader; see tar.h. POSIX.1-2017 pax, "pax Interchange Format" and "ustar"; GNU tar's
// 'L' and 'K' members and base-256 numbers. Sparse files are tar_sparse.c's.
#include "lib/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "lib/tar_priv.h"

#define TAR_META_MAX (1024 * 1024) /* one pax or long-name member */
#define TAR_NAME_MAX 4095
#define TAR_METAS_MAX 16 /* such members of one entry */

int tar_fail(struct tar *t, const char *why)
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
    tar_sparse_drop(t);
}

ssize_t tar_pull(struct tar *t, void *data, size_t len)
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

/* Base-256, two's complement; false beyond 64 bits. */
static bool tar_binary(const char *s, size_t len, int64_t *out)
{
    int64_t v = (s[0] & 0x3f) - (s[0] & 0x40); /* the sign is the first byte's second bit */

    for (size_t i = 1; i < len; i++) {
        if (v > INT64_MAX >> 8 || v < INT64_MIN >> 8)
            return false;
        v = (int64_t)((uint64_t)v << 8 | (uint8_t)s[i]);
    }
    *out = v;
    return true;
}

bool tar_number(const char *s, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;

    if (s[0] & 0x80) {
        int64_t binary;

        if (!tar_binary(s, len, &binary) || binary < 0)
            return false;
        *out = (uint64_t)binary;
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
    uint64_t sum = 0, high = 0, want;

    for (size_t i = 0; i < 512; i++) {
        uint8_t c = i >= 148 && i < 156 ? ' ' : p[i];

        sum += c;
        high += c >> 7;
    }
    /* some old writers take bytes for signed */
    return tar_number(h->sum, sizeof(h->sum), &want) && (sum == want || sum - 256 * high == want);
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

static int tar_pax_record(struct tar *t, struct tar_pax *pax, const char *key, char *value,
                          size_t len)
{
    struct tar_entry *e = &t->entry;
    uint64_t v;
    int err = 0;

    if (str_starts(key, "SCHILY.xattr."))
        return tar_pax_xattr(t, key + 13, value, len);
    if (!len)
        return 0; /* takes a value back: the header's own is used */
    if (strlen(value) != len)
        return tar_fail(t, "zero byte in a pax header");
    if (str_starts(key, "GNU.sparse."))
        return tar_sparse_record(t, pax, key + 11, value);
    if (!strcmp(key, "path")) {
        tar_set(&e->name, value, len);
    } else if (!strcmp(key, "linkpath")) {
        tar_set(&e->link, value, len);
    } else if (!strcmp(key, "size")) {
        err = tar_pax_number(t, value, TAR_SIZE_MAX, &pax->size);
    } else if (!strcmp(key, "uid")) {
        err = tar_pax_number(t, value, UINT32_MAX - 1, &v);
        e->uid = err ? 0 : (uint32_t)v;
    } else if (!strcmp(key, "gid")) {
        err = tar_pax_number(t, value, UINT32_MAX - 1, &v);
        e->gid = err ? 0 : (uint32_t)v;
    } else if (!strcmp(key, "mtime")) {
        if (*value == '-' || !time_parse(value, &e->mtime))
            e->mtime = (struct timespec){0};
        pax->timed = true;
    }
    return err;
}

/* "LENGTH KEY=VALUE\n" records. */
static int tar_pax(struct tar *t, struct tar_pax *pax, struct buf *text)
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
        err = tar_pax_record(t, pax, space + 1, equals + 1, (size_t)(p + len - 1 - (equals + 1)));
        if (err)
            return err;
        p += len;
    }
    return 0;
}

/* Fills what no pax record or long name has set. */
static int tar_fields(struct tar *t, const struct tar_header *h, struct tar_pax *pax)
{
    struct tar_entry *e = &t->entry;
    uint64_t v[4] = {0};
    bool past = h->mtime[0] & 0x80 && h->mtime[0] & 0x40; /* before 1970 */
    char name[260];
    size_t n;

    if (!tar_number(h->mode, 8, &v[0]) || !tar_number(h->uid, 8, &v[1]) ||
        !tar_number(h->gid, 8, &v[2]) || (!past && !tar_number(h->mtime, 12, &v[3])))
        return tar_fail(t, "bad number in a header");
    e->mode = v[0] & 07777;
    if (e->uid == UINT32_MAX)
        e->uid = (uint32_t)v[1];
    if (e->gid == UINT32_MAX)
        e->gid = (uint32_t)v[2];
    if (!pax->timed)
        e->mtime.tv_sec = (time_t)v[3];
    if (pax->size == UINT64_MAX &&
        (!tar_number(h->size, 12, &pax->size) || pax->size > TAR_SIZE_MAX))
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

static int tar_device(struct tar *t, const struct tar_header *h)
{
    uint64_t major, minor;

    if (!tar_number(h->major, 8, &major) || !tar_number(h->minor, 8, &minor) || major > 0xfff ||
        minor > 0xfffff)
        return tar_fail(t, "bad device number in a header");
    t->entry.major = (uint32_t)major;
    t->entry.minor = (uint32_t)minor;
    return 0;
}

static int tar_member(struct tar *t, const struct tar_header *h, struct tar_pax *pax)
{
    struct tar_entry *e = &t->entry;
    bool gnu_sparse = h->type == 'S';
    int err = tar_fields(t, h, pax);

    if (err)
        return err;
    e->type = h->type == 0 || h->type == '7' || gnu_sparse ? TAR_FILE : (enum tar_type)h->type;
    if (e->type == TAR_FILE && str_ends(e->name, "/"))
        e->type = TAR_DIR;
    if (e->type < TAR_FILE || e->type > TAR_FIFO) {
        snprintf(t->why, sizeof(t->why), "entry type '%c' is not supported",
                 h->type > 32 && h->type < 127 ? h->type : '?');
        return -EINVAL;
    }
    if (e->type == TAR_CHAR || e->type == TAR_BLOCK)
        err = tar_device(t, h);
    e->size = e->packed = e->type == TAR_FILE ? pax->size : 0;
    t->left = e->packed;
    t->pad = -e->packed & 511;
    if (!err && e->type == TAR_FILE)
        err = gnu_sparse ? tar_sparse_gnu(t, h) : tar_sparse_pax(t, pax);
    e->offset = t->at;
    return err ? err : 1;
}

int tar_next(struct tar *t)
{
    struct tar_header h;
    struct tar_pax pax = {.size = UINT64_MAX, .real = UINT64_MAX};
    uint64_t meta;
    bool begun = false, blank = false;
    unsigned metas = 0;
    int err = tar_skip(t, t->left + t->pad);

    tar_entry_free(&t->entry);
    tar_sparse_drop(t);
    t->entry.uid = t->entry.gid = UINT32_MAX;
    t->left = t->pad = t->done = 0;
    while (!err) {
        struct buf text = {0};
        ssize_t n = tar_pull(t, &h, sizeof(h));

        if (n < 0)
            return (int)n;
        if (n == 0)
            return begun ? tar_fail(t, "archive is truncated") : 0;
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
            return tar_member(t, &h, &pax);
        if (++metas > TAR_METAS_MAX)
            return tar_fail(t, "too many header members");
        if (!tar_number(h.size, 12, &meta))
            return tar_fail(t, "bad size in a header");
        err = tar_meta(t, meta, &text);
        if (!err && h.type == 'x') {
            begun = true;
            err = tar_pax(t, &pax, &text);
        } else if (!err && h.type == 'L') {
            tar_set(&t->entry.name, text.data, strlen(text.data));
        } else if (!err && h.type == 'K') {
            tar_set(&t->entry.link, text.data, strlen(text.data));
        }
        buf_free(&text);
    }
    return err;
}

ssize_t tar_read(struct tar *t, void *data, size_t len, uint64_t *offset)
{
    ssize_t n;

    while (t->entry.sparse && t->part < t->nparts && t->done == t->parts[t->part].len) {
        t->part++;
        t->done = 0;
    }
    *offset = t->done;
    if (len > t->left)
        len = t->left;
    if (t->entry.sparse && t->part < t->nparts) {
        const struct tar_part *p = &t->parts[t->part];

        len = len < p->len - t->done ? len : p->len - t->done;
        *offset += p->offset;
    }
    if (!len)
        return 0;
    n = tar_pull(t, data, len);
    if (n < 0)
        return n;
    if (n < (ssize_t)len)
        return tar_fail(t, "archive is truncated");
    t->left -= len;
    t->done += len;
    return n;
}

void tar_name_clean(char *name)
{
    char *out = name, *p = name;

    while (*p) {
        size_t n = strcspn(p, "/");

        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (out > name && *--out != '/')
                ;
        } else if (n && !(n == 1 && p[0] == '.')) {
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
}
