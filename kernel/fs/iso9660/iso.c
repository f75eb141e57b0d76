/* SPDX-License-Identifier: MIT
 *
 * Volume descriptors, directory records, names. See iso.h. Numbers behind "ECMA" are ECMA-119's.
 */
#include "fs/iso9660/iso_priv.h"

#include "lib/errno.h"
#include "lib/string.h"

#define DESCRIPTORS_AT 16  /* sector, ECMA 6.7.1 */
#define DESCRIPTORS_MAX 64 /* that are looked at */
#define RECORD_MIN 34      /* ECMA 9.1, with a name of one byte */
#define FLAG_DIR 2         /* ECMA 9.1.6 */
#define FLAG_ASSOCIATED 4
#define FLAG_MORE 0x80

enum { DESC_PRIMARY = 1, DESC_SUPPLEMENTARY = 2, DESC_END = 255 };
enum { TYPE_DIR = 0040000, TYPE_FILE = 0100000, TYPE_LINK = 0120000, TYPE_MASK = 0170000 };

int iso_read(const struct iso_volume *v, u64 at, void *buf, u32 n)
{
    if (at > v->size || n > v->size - at)
        return -EIO;
    return v->src->read(v->src, at, buf, n);
}

/* ------------------------------------------------------------- times */

static bool iso_leap(s64 year)
{
    return (year % 4 == 0 && year % 100) || year % 400 == 0;
}

/* Days from 1970 to the first of January; years from 1900 to 9999. */
static s64 iso_days_to(s64 year)
{
    s64 before = year - 1;

    return (year - 1970) * 365 + before / 4 - before / 100 + before / 400 - 477;
}

/* quarters: east of Greenwich. */
static s64 iso_time(s64 year, u32 month, u32 day, u32 hour, u32 minute, u32 second, s64 quarters)
{
    static const u16 before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    s64 days;

    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 ||
        quarters < -48 || quarters > 52 || year < 1900 || year > 9999)
        return 0;
    days = iso_days_to(year) + before[month - 1] + (month > 2 && iso_leap(year)) + day - 1;
    return ((days * 24 + hour) * 60 + minute - quarters * 15) * 60 + second;
}

s64 iso_time7(const u8 *p)
{
    return iso_time(1900 + (s64)p[0], p[1], p[2], p[3], p[4], p[5], (s8)p[6]);
}

static u32 iso_digits(const u8 *p, unsigned n)
{
    u32 value = 0;

    for (unsigned i = 0; i < n; i++)
        value = value * 10 + (p[i] >= '0' && p[i] <= '9' ? p[i] - '0' : 0);
    return value;
}

s64 iso_time17(const u8 *p)
{
    return iso_time(iso_digits(p, 4), iso_digits(p + 4, 2), iso_digits(p + 6, 2),
                    iso_digits(p + 8, 2), iso_digits(p + 10, 2), iso_digits(p + 12, 2), (s8)p[16]);
}

/* ------------------------------------------------------------- names */

static void iso_add_char(struct iso_entry *e, char c)
{
    if (e->name_len < ISO_NAME_MAX)
        e->name[e->name_len++] = c;
}

/* As Linux shows them: small letters, no version, no dot at the end. */
static void iso_plain_name(struct iso_entry *e, const u8 *p, u32 n)
{
    for (u32 i = 0; i < n && p[i] != ';'; i++)
        iso_add_char(e, p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : (char)p[i]);
    if (e->name_len && e->name[e->name_len - 1] == '.')
        e->name_len--;
}

/* UTF-8 of a UCS-2 character, if there is space for all of it. */
static void iso_add_wide(struct iso_entry *e, u32 c)
{
    unsigned more = c < 0x80 ? 0 : c < 0x800 ? 1 : 2;

    if (e->name_len + more >= ISO_NAME_MAX)
        return;
    if (more == 0)
        iso_add_char(e, (char)c);
    else if (more == 1)
        iso_add_char(e, (char)(0xc0 | c >> 6));
    else
        iso_add_char(e, (char)(0xe0 | c >> 12));
    for (; more; more--)
        iso_add_char(e, (char)(0x80 | (c >> 6 * (more - 1) & 0x3f)));
}

static void iso_wide_name(struct iso_entry *e, const u8 *p, u32 n)
{
    for (u32 i = 0; i + 1 < n; i += 2) {
        u32 c = (u32)p[i] << 8 | p[i + 1];

        if (c == ';' && i + 4 >= n)
            break; /* a version of one digit */
        iso_add_wide(e, c);
    }
}

/* No name gets out that is none: an empty one is hidden, a slash or NUL is an underscore. */
static void iso_judge_name(struct iso_entry *e)
{
    for (unsigned i = 0; i < e->name_len; i++)
        if (e->name[i] == '/' || e->name[i] == '\0')
            e->name[i] = '_';
    e->name[e->name_len] = '\0';
    if (!e->special && (!e->name_len || strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0))
        e->hidden = true;
}

static void iso_record_name(const struct iso_volume *v, const u8 *rec, struct iso_entry *e)
{
    u32 n = rec[32];

    e->special = n == 1 && rec[33] <= 1;
    if (e->special || e->name_len) /* it has one by Rock Ridge */
        return;
    if (v->names == ISO_JOLIET)
        iso_wide_name(e, rec + 33, n);
    else
        iso_plain_name(e, rec + 33, n);
}

/* ------------------------------------------------------------- records */

/* The record at `at`, whole and within its sector, into rec. 0; -ENOENT: the rest of the sector is
 * empty; -EIO. */
static int iso_record(const struct iso_volume *v, u64 at, u8 rec[256])
{
    u32 left = ISO_SECTOR - at % ISO_SECTOR;
    int err = iso_read(v, at, rec, 1);
    u8 n = rec[0];

    if (err)
        return err;
    if (n == 0)
        return -ENOENT;
    if (n < RECORD_MIN || n > left)
        return -EIO;
    err = iso_read(v, at, rec, n);
    if (err)
        return err;
    return rec[0] != n || 33U + rec[32] > n ? -EIO : 0; /* the disk may have changed its mind */
}

/* The extent that a record tells of: it lies on the volume. */
static int iso_record_extent(const struct iso_volume *v, const u8 *rec, struct iso_extent *x)
{
    u64 block = (u64)iso_u32(rec + 2) + rec[1]; /* behind an extended attribute record */

    *x = (struct iso_extent){.at = block * v->block_size, .len = iso_u32(rec + 10)};
    if (x->len && (x->at > v->size || x->len > v->size - x->at))
        return -EIO;
    return rec[26] || rec[27] ? -EOPNOTSUPP : 0; /* interleaved */
}

/* The system use area follows the name, on an even byte (ECMA 9.1.12). */
static const u8 *iso_record_area(const u8 *rec, u32 *n)
{
    u32 at = 33U + rec[32] + !(rec[32] & 1);

    *n = at < rec[0] ? rec[0] - at : 0;
    return rec + MIN(at, rec[0]);
}

/* Further extents of a file follow as records of their own. *at: behind the first; moves on. */
static int iso_more_extents(const struct iso_volume *v, u64 *at, struct iso_entry *e,
                            struct iso_extent *extents, u32 capacity)
{
    struct iso_extent x;
    u32 skipped = 0;
    u8 rec[256];
    int err;

    do {
        err = iso_record(v, *at, rec);
        if (err == -ENOENT && !skipped++) { /* it goes on in the next sector */
            *at = ALIGN_DOWN(*at, (u64)ISO_SECTOR) + ISO_SECTOR;
            rec[25] = FLAG_MORE;
            continue;
        }
        if (err)
            return err == -ENOENT ? -EIO : err;
        skipped = 0;
        err = iso_record_extent(v, rec, &x);
        if (err)
            return err;
        if (e->nr_extents == ISO_EXTENTS_MAX)
            return -EFBIG;
        if (e->nr_extents < capacity)
            extents[e->nr_extents] = x;
        e->nr_extents++;
        e->size += x.len;
        *at += rec[0];
    } while (rec[25] & FLAG_MORE);
    return 0;
}

/* What the record says without Rock Ridge. */
static void iso_record_plain(const u8 *rec, const struct iso_extent *x, struct iso_entry *e)
{
    bool dir = rec[25] & FLAG_DIR;

    e->mode = dir ? TYPE_DIR | 0555 : TYPE_FILE | 0444;
    e->nlink = dir ? 2 : 1;
    e->atime = e->mtime = e->ctime = iso_time7(rec + 18);
    e->size = x->len;
    e->nr_extents = 1;
}

/* A directory that was moved is where it points; the number of one is that of its own record. */
static int iso_entry_place(const struct iso_volume *v, u64 at, u64 moved, struct iso_extent *x,
                           struct iso_entry *e)
{
    u8 rec[256];
    int err;

    e->number = at;
    if (moved) {
        err = iso_record(v, moved, rec) ?: iso_record_extent(v, rec, x);
        if (err || !(rec[25] & FLAG_DIR))
            return err == -ENOENT || !err ? -EIO : err;
        e->mode = (e->mode & ~(u32)TYPE_MASK) | TYPE_DIR;
        e->size = x->len;
    }
    if ((e->mode & TYPE_MASK) == TYPE_DIR)
        e->number = x->at;
    return 0;
}

/* The entry whose (first) record lies at `at`; *end: behind its last. */
static int iso_entry_at(const struct iso_volume *v, u64 at, struct iso_entry *e,
                        struct iso_extent *extents, u32 capacity, u64 *end)
{
    struct iso_extent x;
    u64 moved = 0;
    u32 n;
    u8 rec[256];
    int err = iso_record(v, at, rec);
    const u8 *area;

    if (err)
        return err;
    memset(e, 0, __builtin_offsetof(struct iso_entry, name));
    *end = at + rec[0];
    err = iso_record_extent(v, rec, &x);
    if (err)
        return err;
    iso_record_plain(rec, &x, e);
    area = iso_record_area(rec, &n);
    if (v->names == ISO_ROCK)
        err = iso_rock(v, area, n, e, &moved);
    iso_record_name(v, rec, e);
    iso_judge_name(e);
    e->hidden |= (rec[25] & FLAG_ASSOCIATED) != 0;
    err = err ?: iso_entry_place(v, at, moved, &x, e);
    if (!err && capacity)
        extents[0] = x;
    if (!err && (rec[25] & FLAG_MORE) && (e->mode & TYPE_MASK) == TYPE_FILE)
        err = iso_more_extents(v, end, e, extents, capacity);
    return err;
}

int iso_inode(const struct iso_volume *v, u64 number, struct iso_entry *e,
              struct iso_extent *extents, u32 capacity)
{
    u64 end;
    int err = iso_entry_at(v, number, e, extents, capacity, &end);

    return err == -ENOENT ? -EIO : err;
}

int iso_next(const struct iso_volume *v, const struct iso_extent *dir, u64 at, struct iso_entry *e)
{
    u64 end = 0;
    int err;

    while (at < dir->len) {
        err = iso_entry_at(v, dir->at + at, e, NULL, 0, &end);
        if (err == -ENOENT) { /* the next sector */
            at = ALIGN_DOWN(dir->at + at, (u64)ISO_SECTOR) + ISO_SECTOR - dir->at;
            continue;
        }
        if (end <= dir->at + at)
            return err; /* not even its length is known */
        e->next = end - dir->at;
        e->damaged = err;
        return 1;
    }
    return 0;
}

/* ------------------------------------------------------------- the volume */

/* "%/@", "%/C", "%/E": UCS-2 of level 1, 2 or 3. */
static bool iso_is_joliet(const u8 *desc)
{
    return desc[88] == '%' && desc[89] == '/' &&
           (desc[90] == '@' || desc[90] == 'C' || desc[90] == 'E');
}

static void iso_label(struct iso_volume *v, const u8 *desc)
{
    unsigned n = 32;

    memcpy(v->label, desc + 40, n);
    while (n && (v->label[n - 1] == ' ' || v->label[n - 1] == '\0'))
        n--;
    v->label[n] = '\0';
}

/* What a primary or supplementary descriptor says; ECMA 8.4. */
static int iso_take_descriptor(struct iso_volume *v, const u8 *desc)
{
    struct iso_extent x;
    u64 size;

    v->block_size = iso_u16(desc + 128);
    if (v->block_size != 512 && v->block_size != 1024 && v->block_size != 2048)
        return v->block_size > 2048 ? -EOPNOTSUPP : -EIO;
    size = (u64)iso_u32(desc + 80) * v->block_size;
    v->size = MIN(size, v->src->size);
    if (desc[156] < RECORD_MIN || iso_record_extent(v, desc + 156, &x) || !x.len)
        return -EIO;
    v->root = x.at;
    return 0;
}

/* Whether there is Rock Ridge: the root's own record says so. */
static int iso_look_for_rock(struct iso_volume *v)
{
    u8 rec[256];
    u32 n;
    int err = iso_record(v, v->root, rec);
    const u8 *area;

    if (err)
        return err == -ENOENT ? -EIO : err;
    area = iso_record_area(rec, &n);
    v->names = iso_rock_begins(area, n, &v->skip) ? ISO_ROCK : ISO_PLAIN;
    return 0;
}

int iso_open(struct iso_source *src, struct iso_volume *v)
{
    struct iso_volume joliet = {.src = NULL};
    u8 desc[256]; /* what matters of a sector lies there */
    bool primary = false;
    int err = 0;

    *v = (struct iso_volume){.src = src, .size = src->size};
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
        err = iso_read(v, (u64)(DESCRIPTORS_AT + i) * ISO_SECTOR, desc, sizeof(desc));
        if (err || memcmp(desc + 1, "CD001", 5) != 0 || desc[0] == DESC_END)
            break;
        if (desc[0] == DESC_PRIMARY && !primary) {
            err = iso_take_descriptor(v, desc);
            iso_label(v, desc);
            primary = true;
        } else if (desc[0] == DESC_SUPPLEMENTARY && iso_is_joliet(desc) && !joliet.src) {
            joliet = (struct iso_volume){.src = src, .names = ISO_JOLIET};
            if (iso_take_descriptor(&joliet, desc))
                joliet.src = NULL; /* the primary one will do */
        }
        if (err)
            return err;
    }
    if (!primary)
        return err && err != -EIO ? err : -EINVAL;
    err = iso_look_for_rock(v);
    if (!err && v->names == ISO_PLAIN && joliet.src) {
        memcpy(joliet.label, v->label, sizeof(joliet.label));
        *v = joliet;
    }
    return err;
}
