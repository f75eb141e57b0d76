/* SPDX-License-Identifier: MIT
 *
 * The system use area of a directory record: SUSP's entries and Rock Ridge's. See iso.h. An entry
 * is two letters, its length, a version, and data; the area may go on elsewhere (CE), a few times.
 */
#include "fs/iso9660/iso_priv.h"

#include "lib/errno.h"
#include "lib/string.h"

#define HEAD 4        /* letters, length, version */
#define AREA_MAX 2048 /* a continuation does not cross a sector */

/* What is gathered while the entries are gone through. */
struct rock {
    const struct iso_volume *v;
    struct iso_entry *e;
    u64 next_at;  /* where the area goes on */
    u32 next_len; /* 0: it does not */
    u64 moved;
    bool link_goes_on; /* the last component of the link is not whole */
    bool ends;
    int err;
};

static bool rock_is(const u8 *p, const char *letters)
{
    return p[0] == letters[0] && p[1] == letters[1];
}

static void rock_continues(struct rock *r, const u8 *p, u32 n)
{
    if (n < 28) {
        r->err = -EIO;
        return;
    }
    r->next_at = (u64)iso_u32(p + 4) * r->v->block_size + iso_u32(p + 12);
    r->next_len = iso_u32(p + 20);
    if (r->next_len > AREA_MAX)
        r->err = -EIO;
}

/* POSIX: mode, links, owner. */
static void rock_posix(struct rock *r, const u8 *p, u32 n)
{
    u32 type, was = r->e->mode & 0170000;

    if (n < 36)
        return;
    type = iso_u32(p + 4) & 0170000;
    /* What the record calls a directory is one, and nothing else is. */
    if ((type == 0040000) != (was == 0040000))
        type = was;
    r->e->mode = type | (iso_u32(p + 4) & 07777);
    r->e->nlink = iso_u32(p + 12);
    r->e->uid = iso_u32(p + 20);
    r->e->gid = iso_u32(p + 28);
}

static void rock_device(struct rock *r, const u8 *p, u32 n)
{
    u32 high, low;

    if (n < 20)
        return;
    high = iso_u32(p + 4);
    low = iso_u32(p + 12);
    /* Small numbers lie in the low half together, as old systems had them. */
    r->e->major = high ? high : low >> 8 & 0xff;
    r->e->minor = high ? low : low & 0xff;
}

static void rock_name(struct rock *r, const u8 *p, u32 n)
{
    struct iso_entry *e = r->e;
    u32 len = n > 5 ? n - 5 : 0;

    if (n < 5 || p[4] & 6) /* "." or ".." */
        return;
    len = MIN(len, (u32)(ISO_NAME_MAX - e->name_len));
    memcpy(e->name + e->name_len, p + 5, len);
    e->name_len = (u16)(e->name_len + len);
}

static void rock_link_add(struct rock *r, const void *text, u32 n)
{
    struct iso_entry *e = r->e;

    if (n > (u32)(ISO_LINK_MAX - e->link_len)) {
        r->err = -ENAMETOOLONG;
        return;
    }
    memcpy(e->link + e->link_len, text, n);
    e->link_len = (u16)(e->link_len + n);
}

/* One component of a link: flags, length, text. A slash comes before it, unless it goes on or
 * begins. */
static void rock_link_part(struct rock *r, u8 flags, const u8 *text, u32 n)
{
    struct iso_entry *e = r->e;
    bool root = e->link_len == 1 && e->link[0] == '/';

    if (flags & 8) {
        e->link_len = 0;
        rock_link_add(r, "/", 1);
        r->link_goes_on = false;
        return;
    }
    if (e->link_len && !root && !r->link_goes_on)
        rock_link_add(r, "/", 1);
    if (flags & 2)
        rock_link_add(r, ".", 1);
    else if (flags & 4)
        rock_link_add(r, "..", 2);
    else
        rock_link_add(r, text, n);
    r->link_goes_on = flags & 1;
}

static void rock_link(struct rock *r, const u8 *p, u32 n)
{
    for (u32 at = 5; at + 2 <= n && !r->err;) {
        u32 len = p[at + 1];

        if (len > n - at - 2) {
            r->err = -EIO;
            return;
        }
        rock_link_part(r, p[at], p + at + 2, len);
        at += 2 + len;
    }
}

/* Which times there are, in this order: creation, modification, access, attributes, and others. */
static void rock_times(struct rock *r, const u8 *p, u32 n)
{
    u32 flags = n > 4 ? p[4] : 0, size = flags & 0x80 ? 17 : 7, at = 5;

    for (unsigned bit = 0; bit < 4; bit++) {
        s64 t;

        if (!(flags & 1U << bit))
            continue;
        if (at + size > n)
            return;
        t = size == 17 ? iso_time17(p + at) : iso_time7(p + at);
        at += size;
        if (bit == 1)
            r->e->mtime = t;
        else if (bit == 2)
            r->e->atime = t;
        else if (bit == 3)
            r->e->ctime = t;
    }
}

static void rock_entry(struct rock *r, const u8 *p, u32 n)
{
    if (rock_is(p, "CE"))
        rock_continues(r, p, n);
    else if (rock_is(p, "PX"))
        rock_posix(r, p, n);
    else if (rock_is(p, "PN"))
        rock_device(r, p, n);
    else if (rock_is(p, "NM"))
        rock_name(r, p, n);
    else if (rock_is(p, "SL"))
        rock_link(r, p, n);
    else if (rock_is(p, "TF"))
        rock_times(r, p, n);
    else if (rock_is(p, "CL") && n >= 12)
        r->moved = (u64)iso_u32(p + 4) * r->v->block_size;
    else if (rock_is(p, "RE"))
        r->e->hidden = true;
    else if (rock_is(p, "ST"))
        r->ends = true;
}

/* The entries of one area. */
static void rock_area(struct rock *r, const u8 *p, u32 n)
{
    for (u32 at = 0; at + HEAD <= n && !r->err && !r->ends;) {
        u32 len = p[at + 2];

        if (p[at] == 0)
            return; /* a byte to fill up with */
        if (len < HEAD || len > n - at) {
            r->err = -EIO;
            return;
        }
        rock_entry(r, p + at, len);
        at += len;
    }
}

int iso_rock(const struct iso_volume *v, const u8 *area, u32 n, struct iso_entry *e, u64 *moved)
{
    struct rock r = {.v = v, .e = e};
    u8 part[256];

    if (n > v->skip)
        rock_area(&r, area + v->skip, n - v->skip);
    for (unsigned i = 0; r.next_len && !r.err && !r.ends; i++) {
        u64 at = r.next_at;
        u32 left = r.next_len;

        if (i == ISO_CONTINUATIONS)
            return -EIO; /* it leads in a circle, most likely */
        r.next_len = 0;
        while (left && !r.err && !r.ends) {
            /* By whole entries, so that the buffer may be small. */
            u32 len = MIN(left, (u32)sizeof(part)), whole = 0;

            r.err = iso_read(v, at, part, len);
            if (r.err)
                break;
            while (whole + HEAD <= len && part[whole] && part[whole + 2] >= HEAD &&
                   part[whole + 2] <= len - whole)
                whole += part[whole + 2];
            rock_area(&r, part, whole ? whole : len);
            if (!whole)
                break; /* the rest is empty, or was an error */
            at += whole;
            left -= whole;
        }
    }
    e->link[e->link_len] = '\0';
    *moved = r.moved;
    return r.err;
}

bool iso_rock_begins(const u8 *area, u32 n, u8 *skip)
{
    /* CD-ROM XA has fourteen bytes of its own before. */
    for (u32 at = 0; at <= 14; at += 14)
        if (n >= at + 7 && rock_is(area + at, "SP") && area[at + 2] >= 7 && area[at + 4] == 0xbe &&
            area[at + 5] == 0xef) {
            *skip = area[at + 6];
            return true;
        }
    return false;
}
