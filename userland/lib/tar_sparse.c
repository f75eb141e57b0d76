// SPDX-License-Identifier: MIT
// Sparse files in tars (GNU tar manual, "Storing Sparse Files"): a map of the parts that are no
// holes, and those parts one after the other.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "lib/tar_priv.h"

#define SPARSE_PARTS_MAX 65536

#define SPARSE_BAD "bad map of a sparse file"

void tar_sparse_drop(struct tar *t)
{
    free(t->parts);
    t->parts = NULL;
    t->nparts = t->part = 0;
}

static int sparse_add(struct tar *t, uint64_t offset, uint64_t len)
{
    if (t->nparts == SPARSE_PARTS_MAX)
        return tar_fail(t, "too many parts in a sparse file");
    if (t->nparts % 64 == 0)
        t->parts = mem_resize(t->parts, (t->nparts + 64) * sizeof(*t->parts));
    t->parts[t->nparts++] = (struct tar_part){offset, len};
    return 0;
}

/* "OFFSET,LENGTH,OFFSET,LENGTH..." of format 0.1. */
static int sparse_list(struct tar *t, const char *text)
{
    char *copy = str_dup(text), *save, *word = strtok_r(copy, ",", &save);
    uint64_t offset, len;
    int err = 0;

    while (word && !err) {
        char *second = strtok_r(NULL, ",", &save);

        err = second && str_u64(word, &offset) && str_u64(second, &len) ? sparse_add(t, offset, len)
                                                                        : tar_fail(t, SPARSE_BAD);
        word = strtok_r(NULL, ",", &save);
    }
    free(copy);
    return err;
}

int tar_sparse_record(struct tar *t, struct tar_pax *pax, const char *key, const char *value)
{
    uint64_t v = 0;

    pax->sparse = true;
    if (!strcmp(key, "map"))
        return sparse_list(t, value);
    if (!strcmp(key, "name")) { /* the header's is made up */
        free(t->entry.name);
        t->entry.name = str_dup(value);
        return 0;
    }
    if (!str_u64(value, &v) || v > TAR_SIZE_MAX)
        return tar_fail(t, SPARSE_BAD);
    if (!strcmp(key, "major"))
        pax->major = v;
    else if (!strcmp(key, "minor"))
        pax->minor = v;
    else if (!strcmp(key, "size") || !strcmp(key, "realsize"))
        pax->real = v;
    else if (!strcmp(key, "offset"))
        return sparse_add(t, v, 0);
    else if (!strcmp(key, "numbytes") && t->nparts)
        t->parts[t->nparts - 1].len = v;
    return 0;
}

/* Parts must be in order, within the file, and as long as what is stored. */
static int sparse_judge(struct tar *t, uint64_t size)
{
    uint64_t end = 0, sum = 0;

    for (size_t i = 0; i < t->nparts; i++) {
        const struct tar_part *p = &t->parts[i];

        if (p->offset < end || p->offset > size || p->len > size - p->offset)
            return tar_fail(t, SPARSE_BAD);
        end = p->offset + p->len;
        sum += p->len;
    }
    if (size > TAR_SIZE_MAX || sum != t->left)
        return tar_fail(t, SPARSE_BAD);
    t->entry.sparse = true;
    t->entry.size = size;
    t->entry.packed = t->left;
    return 0;
}

/* `n` pairs of 12-byte numbers; an empty one ends them. */
static int sparse_pairs(struct tar *t, const char *p, int n)
{
    for (; n-- && *p; p += 24) {
        uint64_t offset, len;
        int err;

        if (!tar_number(p, 12, &offset) || !tar_number(p + 12, 12, &len))
            return tar_fail(t, SPARSE_BAD);
        err = sparse_add(t, offset, len);
        if (err)
            return err;
    }
    return 0;
}

/* A block of 512 bytes before the content. */
static int sparse_block(struct tar *t, char block[512])
{
    ssize_t n = tar_pull(t, block, 512);

    if (n < 0)
        return (int)n;
    return n < 512 ? tar_fail(t, "archive is truncated") : 0;
}

int tar_sparse_gnu(struct tar *t, const struct tar_header *h)
{
    const char *map = h->prefix + 41; /* byte 386 of the header */
    char block[512];
    uint64_t size;
    bool more = map[96]; /* byte 482 */
    int err = sparse_pairs(t, map, 4);

    if (!err && !tar_number(map + 97, 12, &size))
        err = tar_fail(t, SPARSE_BAD);
    while (!err && more) {
        err = sparse_block(t, block);
        err = err ? err : sparse_pairs(t, block, 21);
        more = block[504];
    }
    return err ? err : sparse_judge(t, size);
}

/* A decimal line of the map that begins the content of format 1.0. */
static int sparse_line(struct tar *t, char block[512], size_t *at, uint64_t *out)
{
    char text[24];
    size_t n = 0;

    for (;;) {
        if (*at == 512) {
            int err = t->left < 512 ? tar_fail(t, SPARSE_BAD) : sparse_block(t, block);

            if (err)
                return err;
            t->left -= 512;
            *at = 0;
        }
        text[n] = block[(*at)++];
        if (text[n] == '\n')
            break;
        if (++n == sizeof(text))
            return tar_fail(t, SPARSE_BAD);
    }
    text[n] = 0;
    return str_u64(text, out) && *out <= TAR_SIZE_MAX ? 0 : tar_fail(t, SPARSE_BAD);
}

int tar_sparse_pax(struct tar *t, const struct tar_pax *pax)
{
    char block[512];
    size_t at = 512;
    uint64_t count, offset, len;
    int err = 0;

    if (!pax->sparse)
        return 0;
    if (pax->major == 1 && pax->minor == 0) {
        tar_sparse_drop(t);
        err = sparse_line(t, block, &at, &count);
        while (!err && count--) {
            err = sparse_line(t, block, &at, &offset);
            err = err ? err : sparse_line(t, block, &at, &len);
            err = err ? err : sparse_add(t, offset, len);
        }
    } else if (pax->major) {
        err = tar_fail(t, "sparse files of this format are not supported");
    }
    if (!err && pax->real == UINT64_MAX)
        err = tar_fail(t, SPARSE_BAD);
    return err ? err : sparse_judge(t, pax->real);
}
