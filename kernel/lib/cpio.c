/* SPDX-License-Identifier: MIT
 *
 * The newc iterator: see cpio.h.
 */
#include "lib/cpio.h"
#include "lib/compiler.h"
#include "lib/errno.h"
#include "lib/string.h"

#define CPIO_HEADER_SIZE 110
#define CPIO_FIELDS 13
#define CPIO_NAME_MAX 4096

enum cpio_field {
    CPIO_INO,
    CPIO_MODE,
    CPIO_UID,
    CPIO_GID,
    CPIO_NLINK,
    CPIO_MTIME,
    CPIO_FILESIZE,
    CPIO_DEV_MAJOR,
    CPIO_DEV_MINOR,
    CPIO_RDEV_MAJOR,
    CPIO_RDEV_MINOR,
    CPIO_NAMESIZE,
    CPIO_CHECK,
};

static int cpio_hex(const u8 *p, u32 *out)
{
    u32 v = 0;

    for (int i = 0; i < 8; i++) {
        u8 c = p[i];

        if (c >= '0' && c <= '9')
            c = (u8)(c - '0');
        else if (c >= 'a' && c <= 'f')
            c = (u8)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            c = (u8)(c - 'A' + 10);
        else
            return -EINVAL;
        v = v << 4 | c;
    }
    *out = v;
    return 0;
}

static int cpio_header(const u8 *p, u32 field[CPIO_FIELDS])
{
    if (memcmp(p, "070701", 6) && memcmp(p, "070702", 6))
        return -EINVAL;
    for (int i = 0; i < CPIO_FIELDS; i++) {
        int err = cpio_hex(p + 6 + 8 * i, &field[i]);

        if (err)
            return err;
    }
    return 0;
}

/* Between archives are zero bytes: eight at a time, as there may be a page of them. */
static void cpio_skip_zeros(struct cpio_iter *iter)
{
    while (iter->size - iter->at >= 8) {
        u64 word;

        __builtin_memcpy(&word, iter->base + iter->at, sizeof(word));
        if (word)
            break;
        iter->at += sizeof(word);
    }
    while (iter->at < iter->size && !iter->base[iter->at])
        iter->at++;
}

/* Reads the entry at iter->at; *end is where the next one starts. */
static int cpio_parse(const struct cpio_iter *iter, struct cpio_entry *entry, size_t *end)
{
    u32 field[CPIO_FIELDS];
    size_t left = iter->size - iter->at;
    const u8 *p = iter->base + iter->at;

    if (left < CPIO_HEADER_SIZE || cpio_header(p, field))
        return -EINVAL;

    size_t name_size = field[CPIO_NAMESIZE];
    size_t data_at = ALIGN_UP(CPIO_HEADER_SIZE + name_size, 4);

    if (!name_size || name_size > CPIO_NAME_MAX || name_size > left - CPIO_HEADER_SIZE)
        return -EINVAL;
    const char *name = (const char *)p + CPIO_HEADER_SIZE;

    if (strnlen(name, name_size) != name_size - 1)
        return -EINVAL;
    /* The padding after the last name or data may be missing. */
    data_at = MIN(data_at, left);
    if (field[CPIO_FILESIZE] > left - data_at)
        return -EINVAL;
    *entry = (struct cpio_entry){
        .name = name,
        .data = p + data_at,
        .size = field[CPIO_FILESIZE],
        .ino = field[CPIO_INO],
        .mode = field[CPIO_MODE],
        .uid = field[CPIO_UID],
        .gid = field[CPIO_GID],
        .nlink = field[CPIO_NLINK],
        .mtime = field[CPIO_MTIME],
        .dev_major = field[CPIO_DEV_MAJOR],
        .dev_minor = field[CPIO_DEV_MINOR],
        .rdev_major = field[CPIO_RDEV_MAJOR],
        .rdev_minor = field[CPIO_RDEV_MINOR],
    };
    *end = iter->at + MIN(ALIGN_UP(data_at + entry->size, 4), left);
    return 0;
}

int cpio_next(struct cpio_iter *iter, struct cpio_entry *entry)
{
    for (;;) {
        struct cpio_entry e;
        size_t end;

        cpio_skip_zeros(iter);
        if (iter->at >= iter->size)
            return 0;
        int err = cpio_parse(iter, &e, &end);

        if (err)
            return err;
        iter->at = end;
        if (strcmp(e.name, "TRAILER!!!")) {
            *entry = e;
            return 1;
        }
    }
}
