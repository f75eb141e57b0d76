/* SPDX-License-Identifier: MIT
 *
 * The core of iso9660 over images that xorriso has made (tests/unit/make-iso), whole and damaged.
 */
#include "fs/iso9660/iso.h"
#include "harness.h"
#include "lib/errno.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGES "build/unit/iso/"
#define WALK_ENTRIES 4000 /* of a damaged image, that are looked at */
#define READS_MAX 400000  /* for them all: an entry costs a bounded number */

struct image {
    struct iso_source src;
    u8 *bytes;
    u64 reads;
};

static int image_read(struct iso_source *src, u64 at, void *buf, u32 n)
{
    struct image *im = container_of(src, struct image, src);

    im->reads++;
    if (at > src->size || n > src->size - at)
        abort(); /* the core asks for what is there only */
    memcpy(buf, im->bytes + at, n);
    return 0;
}

static bool image_load(struct image *im, const char *name)
{
    char path[64];
    bool whole;
    FILE *f;

    snprintf(path, sizeof(path), IMAGES "%s", name);
    f = fopen(path, "rb");
    if (!f)
        return false;
    fseek(f, 0, SEEK_END);
    *im = (struct image){.src = {.read = image_read, .size = (u64)ftell(f)}};
    rewind(f);
    im->bytes = malloc(im->src.size);
    whole = fread(im->bytes, 1, im->src.size, f) == im->src.size;
    fclose(f);
    return whole;
}

/* Down a path; the entry's inode and first extent. -ENOENT. */
static int image_find(const struct iso_volume *v, const char *path, struct iso_entry *e,
                      struct iso_extent *x)
{
    int err = iso_inode(v, v->root, e, x, 1), more;

    while (!err && *path) {
        size_t len = strcspn(path, "/");
        struct iso_extent dir = *x;

        for (u64 at = 0; (more = iso_next(v, &dir, at, e)) > 0; at = e->next)
            if (!e->damaged && !e->special && !e->hidden && e->name_len == len &&
                !memcmp(e->name, path, len))
                break;
        if (more <= 0)
            return more ? more : -ENOENT;
        err = iso_inode(v, e->number, e, x, 1);
        path += len + (path[len] == '/');
    }
    return err;
}

static bool image_holds(struct image *im, const struct iso_volume *v, const char *path,
                        const char *text)
{
    struct iso_entry e;
    struct iso_extent x;
    int err = image_find(v, path, &e, &x);

    return !err && e.size == strlen(text) && !memcmp(im->bytes + x.at, text, e.size);
}

TEST(iso9660_rock_ridge_names_modes_links_and_times)
{
    struct image im;
    struct iso_volume v;
    struct iso_entry e;
    struct iso_extent x;
    char name[300], link[900];

    EXPECT(image_load(&im, "rock.iso") && !iso_open(&im.src, &v));
    EXPECT(v.names == ISO_ROCK && v.block_size == 2048 && !strcmp(v.label, "TESTISO"));
    EXPECT(image_holds(&im, &v, "hello.txt", "Hello\n"));
    EXPECT(!image_find(&v, "run", &e, &x) && e.mode == 0100755 && e.mtime == 1614834367);
    EXPECT(image_holds(&im, &v, "nothing", ""));
    EXPECT(image_holds(&im, &v, "sub/a rather long name for file number 77 in this directory",
                       "77\n"));
    snprintf(name, sizeof(name), "sub/%0*d", 200, 0);
    memset(name + 4, 'n', 200);
    EXPECT(image_holds(&im, &v, name, "long"));
    EXPECT(!image_find(&v, "link", &e, &x) && e.mode >> 12 == 10 && !strcmp(e.link, "hello.txt"));
    EXPECT(!image_find(&v, "sub/deeper/up", &e, &x) && !strcmp(e.link, "../../hello.txt"));
    snprintf(link, sizeof(link), "/%s/%s/../x", name + 4, name + 4);
    EXPECT(!image_find(&v, "far", &e, &x) && !strcmp(e.link, link));
    EXPECT(image_holds(&im, &v, "a/b/c/d/e/f/g/h/i/j/file", "deep")); /* moved directories */
    EXPECT(!image_find(&v, "big", &e, &x) && e.size == 100000 && im.bytes[x.at + 99999] == 'z');
    EXPECT(image_find(&v, "HELLO.TXT", &e, &x) == -ENOENT);
    free(im.bytes);
}

TEST(iso9660_a_directory_has_one_number_however_it_is_come_by)
{
    struct image im;
    struct iso_volume v;
    struct iso_entry e;
    struct iso_extent x;
    u64 number;

    EXPECT(image_load(&im, "rock.iso") && !iso_open(&im.src, &v));
    EXPECT(!image_find(&v, "sub/deeper", &e, &x));
    number = e.number;
    EXPECT(iso_next(&v, &x, 0, &e) == 1 && e.special && e.number == number);
    EXPECT(!image_find(&v, "sub", &e, &x));
    number = e.number;
    EXPECT(!image_find(&v, "sub/deeper", &e, &x) && iso_next(&v, &x, 0, &e) == 1);
    EXPECT(iso_next(&v, &x, e.next, &e) == 1 && e.special && e.number == number);
    free(im.bytes);
}

TEST(iso9660_joliet_and_plain_names)
{
    struct image im;
    struct iso_volume v;

    EXPECT(image_load(&im, "joliet.iso") && !iso_open(&im.src, &v));
    EXPECT(v.names == ISO_JOLIET && image_holds(&im, &v, "hello.txt", "Hello\n"));
    EXPECT(
        image_holds(&im, &v, "sub/a rather long name for file number 9 in this directory", "9\n"));
    free(im.bytes);
    EXPECT(image_load(&im, "plain.iso") && !iso_open(&im.src, &v));
    EXPECT(v.names == ISO_PLAIN && image_holds(&im, &v, "hello.txt", "Hello\n"));
    EXPECT(image_holds(&im, &v, "run", "#!/bin/sh\n"));
    free(im.bytes);
}

/* The record of a name in the root; NULL: there is none. */
static u8 *image_record(struct image *im, const struct iso_volume *v, const char *name)
{
    struct iso_entry e;
    struct iso_extent x;

    return image_find(v, name, &e, &x) ? NULL : im->bytes + e.number;
}

static void put_u32(u8 *p, u32 n)
{
    memcpy(p, &n, 4);
}

TEST(iso9660_a_file_of_many_extents_is_one)
{
    struct image im;
    struct iso_volume v;
    struct iso_entry e;
    struct iso_extent x[3];
    u64 number;
    u8 *first;

    EXPECT(image_load(&im, "plain.iso") && !iso_open(&im.src, &v));
    first = image_record(&im, &v, "hello.txt");
    EXPECT(first);
    number = (u64)(first - im.bytes);
    /* What follows in the directory becomes its second extent. */
    EXPECT(first[first[0]]);
    first[25] |= 0x80;
    put_u32(first + 10, 2048);
    EXPECT(!iso_inode(&v, number, &e, x, 3));
    EXPECT(e.nr_extents == 2 && x[0].len == 2048 && e.size == x[0].len + x[1].len);
    EXPECT(!iso_inode(&v, number, &e, x, 1) && e.nr_extents == 2);
    free(im.bytes);
}

TEST(iso9660_what_leads_out_of_the_image_is_refused)
{
    struct image im;
    struct iso_volume v;
    struct iso_entry e;
    struct iso_extent x;
    u8 *rec;

    EXPECT(image_load(&im, "plain.iso") && !iso_open(&im.src, &v));
    rec = image_record(&im, &v, "hello.txt");
    EXPECT(rec);
    put_u32(rec + 2, 0xfffffff0); /* the extent, behind the end */
    EXPECT(iso_inode(&v, (u64)(rec - im.bytes), &e, &x, 1) == -EIO);
    put_u32(rec + 2, 20);
    put_u32(rec + 10, 0xffffffff); /* longer than the volume */
    EXPECT(iso_inode(&v, (u64)(rec - im.bytes), &e, &x, 1) == -EIO);
    rec[0] = 255; /* the record, over its sector's end or its neighbours */
    rec[32] = 250;
    EXPECT(iso_inode(&v, (u64)(rec - im.bytes), &e, &x, 1) == -EIO);
    free(im.bytes);
    EXPECT(image_load(&im, "rock.iso"));
    im.src.size = 40 * 2048; /* an end is missing */
    EXPECT(!iso_open(&im.src, &v) && v.size == im.src.size);
    im.src.size = 16 * 2048;
    EXPECT(iso_open(&im.src, &v) == -EINVAL);
    free(im.bytes);
}

static u8 *image_letters(struct image *im, const char *letters, unsigned len)
{
    for (u64 i = 16 * 2048; i + 64 < im->src.size; i++)
        if (!memcmp(im->bytes + i, letters, 2) && im->bytes[i + 2] == len && im->bytes[i + 3] == 1)
            return im->bytes + i;
    return NULL;
}

TEST(iso9660_areas_that_lead_in_a_circle_end)
{
    struct image im;
    struct iso_volume v;
    struct iso_entry e;
    struct iso_extent x;
    u8 *ce;
    u64 at;
    int err = 0;

    EXPECT(image_load(&im, "rock.iso") && !iso_open(&im.src, &v));
    ce = image_letters(&im, "CE", 28);
    EXPECT(ce);
    at = (u64)(ce - im.bytes); /* to itself */
    put_u32(ce + 4, (u32)(at / 2048));
    put_u32(ce + 12, at % 2048);
    put_u32(ce + 20, 28);
    for (u64 n = 0; n < im.src.size / 2048; n++)
        err |= iso_inode(&v, n * 2048, &e, &x, 1);
    EXPECT(err && im.reads < 100000);
    free(im.bytes);
}

/* All that can be reached, up to a number of entries. */
static void image_walk(struct image *im, const struct iso_volume *v)
{
    static u64 todo[WALK_ENTRIES];
    unsigned nr = 0, seen = 0;
    struct iso_entry e, of;
    struct iso_extent dir, x[4];

    todo[nr++] = v->root;
    while (nr && seen < WALK_ENTRIES) {
        if (iso_inode(v, todo[--nr], &e, &dir, 1) || e.mode >> 12 != 4)
            continue;
        for (u64 at = 0; seen < WALK_ENTRIES && iso_next(v, &dir, at, &e) > 0; at = e.next) {
            EXPECT(e.next > at && e.name_len <= ISO_NAME_MAX);
            seen++;
            if (e.damaged || e.special)
                continue;
            EXPECT(e.hidden || (e.name_len && !memchr(e.name, '/', e.name_len)));
            if (!iso_inode(v, e.number, &of, x, 4))
                EXPECT(of.nr_extents > 4 || x[0].len == 0 || x[0].at + x[0].len <= v->size);
            if (e.mode >> 12 == 4 && nr < WALK_ENTRIES)
                todo[nr++] = e.number;
        }
    }
}

static void image_damage(struct image *im, u64 *seed)
{
    unsigned n = 1 + (unsigned)(unit_rand(seed) % 24);

    while (n--) {
        /* Descriptors and directories lie in front. */
        u64 at = 16 * 2048 + unit_rand(seed) % (im->src.size / 4);
        u64 value = unit_rand(seed);

        im->bytes[at] = value & 1 ? (u8)(value >> 8) : value & 2 ? 0xff : 0;
    }
}

TEST(iso9660_survives_damage)
{
    static const char *const names[] = {"rock.iso", "joliet.iso", "plain.iso"};
    const char *times = getenv("UNIT_TIMES");
    unsigned rounds = 40 * (times ? (unsigned)atoi(times) : 1);
    u64 seed = 9660;

    for (unsigned k = 0; k < 3; k++) {
        struct image im;
        u8 *whole;

        EXPECT(image_load(&im, names[k]));
        whole = malloc(im.src.size);
        memcpy(whole, im.bytes, im.src.size);
        for (unsigned i = 0; i < rounds; i++) {
            struct iso_volume v;

            memcpy(im.bytes, whole, im.src.size);
            image_damage(&im, &seed);
            im.reads = 0;
            if (!iso_open(&im.src, &v))
                image_walk(&im, &v);
            EXPECT(im.reads < READS_MAX);
        }
        free(whole);
        free(im.bytes);
    }
}
