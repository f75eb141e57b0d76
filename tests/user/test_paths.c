// SPDX-License-Identifier: MIT
// Paths below a root, names in tars, mount words, tars: hostile ones too.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/inroot.h"
#include "runtime/mount_words.h"
#include "lib/str.h"
#include "lib/tar.h"

TEST(names_in_tars_are_clamped_to_the_root)
{
    static const char *const cases[][2] = {{"a", "a"},
                                           {"/a", "a"},
                                           {"./a//b/", "a/b"},
                                           {"../a", "a"},
                                           {"a/../b", "b"},
                                           {"a/../../b", "b"},
                                           {"a/b/..", "a"},
                                           {"..", ""},
                                           {"/", ""},
                                           {"", ""},
                                           {".", ""},
                                           {"a/./../../..", ""},
                                           {"...", "..."},
                                           {"a/...b", "a/...b"},
                                           {"ab/../c", "c"},
                                           {"a/bc/../../d/", "d"},
                                           {"/../../etc", "etc"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *name = str_dup(cases[i][0]);

        tar_name_clean(name);
        EXPECT(!strcmp(name, cases[i][1]));
        free(name);
    }
}

/* A root with links that lead everywhere, and its descriptor. */
static int paths_root(char *dir)
{
    int root;

    strcpy(dir, "/tmp/bothy-paths-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    root = open(dir, O_RDONLY | O_DIRECTORY);
    mkdirat(root, "d", 0755);
    mkdirat(root, "d/e", 0755);
    close(openat(root, "d/f", O_WRONLY | O_CREAT, 0644));
    symlinkat("/d", root, "abs");
    symlinkat("../../../d/e", root, "d/up");
    symlinkat("loop", root, "loop");
    symlinkat("/d/new/deep", root, "dangling");
    symlinkat("/proc/self/root", root, "magic");
    return root;
}

/* Which of the root's names the descriptor is, by inode. */
static bool paths_same(int root, const char *name, int fd)
{
    struct stat a, b;

    return fd >= 0 && fstat(fd, &a) == 0 && fstatat(root, name, &b, 0) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static bool paths_find(int root, const char *path, const char *is)
{
    int fd = inroot_open(root, path, INROOT_FIND, NULL);
    bool same = paths_same(root, is, fd);

    if (fd >= 0)
        close(fd);
    return same;
}

static int paths_error(int root, const char *path, enum inroot_want want)
{
    int fd = inroot_open(root, path, want, NULL);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

TEST(paths_lead_nowhere_but_below_the_root)
{
    char dir[32], *last = NULL;
    int root = paths_root(dir), fd;

    EXPECT(root >= 0);
    EXPECT(paths_find(root, "/", "."));
    EXPECT(paths_find(root, "../../..", "."));
    EXPECT(paths_find(root, "abs/e", "d/e"));
    EXPECT(paths_find(root, "d/up/../f", "d/f"));
    EXPECT(paths_find(root, "abs/../abs/./up/", "d/e"));
    EXPECT(paths_error(root, "loop", INROOT_FIND) == -ELOOP);
    EXPECT(paths_error(root, "d/f/x", INROOT_FIND) == -ENOTDIR);
    EXPECT(paths_error(root, "dangling", INROOT_FIND) == -ENOENT);
    EXPECT(paths_error(root, "etc", INROOT_FIND) == -ENOENT); /* the host's is not seen */
    EXPECT(paths_error(root, "magic/etc", INROOT_FIND) == -ENOENT);
    EXPECT(paths_error(root, "dangling", INROOT_MAKE_DIR) == 0);
    EXPECT(paths_find(root, "dangling", "d/new/deep"));
    EXPECT(paths_error(root, "x/../../y/file", INROOT_MAKE_FILE) == 0);
    EXPECT(paths_find(root, "y/file", "y/file"));
    fd = inroot_open(root, "abs/up/none", INROOT_PARENT, &last);
    EXPECT(paths_same(root, "d/e", fd) && !strcmp(last, "none"));
    close(fd);
    free(last);
    EXPECT(paths_error(root, "d/..", INROOT_PARENT) == -EINVAL);
    EXPECT(paths_error(root, "/", INROOT_PARENT) == -EINVAL);
    close(root);
    EXPECT(tree_remove(AT_FDCWD, dir) == 0);
}

TEST(paths_that_are_magic_links_are_refused)
{
    int root = open("/", O_RDONLY | O_DIRECTORY);

    EXPECT(paths_error(root, "/proc/self/status", INROOT_FIND) == 0);
    EXPECT(paths_error(root, "/proc/mounts", INROOT_FIND) == 0);
    EXPECT(paths_error(root, "/proc/self/fd/0", INROOT_FIND) == -ELOOP);
    EXPECT(paths_error(root, "/proc/self/root/etc", INROOT_FIND) == -ELOOP);
    close(root);
}

TEST(mount_words_set_and_clear)
{
    static const struct {
        const char *text;
        enum mount_words_for what;
        unsigned long flags;
        const char *data, *bad;
    } cases[] = {{"", WORDS_TMPFS, MS_NOEXEC, "", NULL},
                 {"exec,ro", WORDS_TMPFS, MS_RDONLY, "", NULL},
                 {"ro,rw,size=1k,mode=700,", WORDS_TMPFS, MS_NOEXEC, "size=1k,mode=700", NULL},
                 {"noatime,strictatime", WORDS_TMPFS, MS_NOEXEC | MS_STRICTATIME, "", NULL},
                 {"size=", WORDS_TMPFS, 0, NULL, "size="},
                 {"lowerdir=/x", WORDS_TMPFS, 0, NULL, "lowerdir=/x"},
                 {"z", WORDS_TMPFS, 0, NULL, "z"},
                 {"z,ro", WORDS_BIND, MS_NOEXEC | MS_RDONLY, "", NULL},
                 {"ro,ro", WORDS_BIND, 0, NULL, "ro"},
                 {"noexec", WORDS_BIND, 0, NULL, "noexec"},
                 {"ro,", WORDS_BIND, 0, NULL, ""}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mount_words w = {.flags = MS_NOEXEC};
        char *bad = mount_words_parse(cases[i].text, cases[i].what, &w);

        EXPECT(!bad == !cases[i].bad && (!bad || !strcmp(bad, cases[i].bad)));
        EXPECT(bad || w.flags == cases[i].flags);
        EXPECT(bad || !strcmp(w.data.data ? w.data.data : "", cases[i].data));
        free(bad);
        buf_free(&w.data);
    }
}

struct memory {
    struct source src;
    const uint8_t *data;
    size_t len, at;
};

static ssize_t memory_read(struct source *s, void *data, size_t len)
{
    struct memory *m = (struct memory *)s;
    size_t n = m->len - m->at < len ? m->len - m->at : len;

    memcpy(data, m->data + m->at, n);
    m->at += n;
    return (ssize_t)n;
}

static void tar_octal(char *field, int digits, unsigned value)
{
    char text[16];

    snprintf(text, sizeof(text), "%0*o", digits, value);
    memcpy(field, text, (size_t)digits);
}

/* A member with a right checksum; its content follows. */
static size_t tar_put(uint8_t *out, const char *name, char type, const char *content)
{
    size_t len = strlen(content), sum = 0;

    memset(out, 0, 512 + ((len + 511) & ~511ul));
    strcpy((char *)out, name);
    memcpy(out + 100, "0000644", 7);
    memcpy(out + 108, "0000000", 7);
    memcpy(out + 116, "0000000", 7);
    tar_octal((char *)out + 124, 11, (unsigned)len);
    memcpy(out + 136, "00000000000", 11);
    memset(out + 148, ' ', 8);
    out[156] = (uint8_t)type;
    memcpy(out + 257,
           "ustar\0"
           "00",
           8);
    for (int i = 0; i < 512; i++)
        sum += out[i];
    tar_octal((char *)out + 148, 6, (unsigned)sum);
    out[154] = 0;
    memcpy(out + 512, content, len);
    return 512 + ((len + 511) & ~511ul);
}

/* Reads all of it; no more is asked than that it ends, and in order. */
static int tar_walk(const uint8_t *data, size_t len)
{
    struct memory m = {{.read = memory_read}, data, len, 0};
    struct tar t;
    char block[700];
    int n, count = 0;

    tar_init(&t, &m.src);
    while ((n = tar_next(&t)) > 0 && count < 100) {
        uint64_t offset, last = 0;
        ssize_t got;

        tar_name_clean(t.entry.name);
        while ((got = tar_read(&t, block, sizeof(block), &offset)) > 0) {
            if (offset < last || offset + (uint64_t)got > t.entry.size)
                abort();
            last = offset + (uint64_t)got;
        }
        if (got < 0)
            break;
        count++;
    }
    tar_free(&t);
    return n < 0 ? n : count;
}

TEST(tar_entry_has_a_bounded_number_of_header_members)
{
    static uint8_t tar[32 * 1024];

    for (int members = 16; members <= 17; members++) {
        size_t len = 0;

        for (int i = 0; i < members; i++)
            len += tar_put(tar + len, "L", "LKgx"[i % 4], i % 4 < 2 ? "name" : "8 a=bcd\n");
        len += tar_put(tar + len, "f", '0', "text");
        EXPECT((tar_walk(tar, len) == 1) == (members == 16));
    }
}

TEST(tars_survive_damage_anywhere)
{
    static uint8_t good[8192], bad[8192];
    uint64_t seed = 3;
    size_t len = 0;

    len += tar_put(good + len, "x", 'x',
                   "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.name=a/holes\n"
                   "27 GNU.sparse.realsize=99\n20 mtime=1234567.25\n");
    len += tar_put(good + len, "holes", '0', "1\n9\n3\n");
    len += tar_put(good + len, "L", 'L', "a/very/long/name/that/is/not/in/the/header");
    len += tar_put(good + len, "short", '5', "");
    len += tar_put(good + len, "x", 'x', "20 path=dir/../file\n21 SCHILY.xattr.a.b=c\n");
    len += tar_put(good + len, "f", '0', "content of a file");
    EXPECT(len + 1024 <= sizeof(good));
    len += 1024;
    for (unsigned round = 0; round < 3000 * unit_times(); round++) {
        size_t header;

        memcpy(bad, good, len);
        for (uint64_t k = unit_rand(&seed) % 6; k; k--)
            bad[unit_rand(&seed) % len] = (uint8_t)unit_rand(&seed);
        /* half of the time, checksums that are right again */
        for (header = 0; round & 1 && header + 512 <= len; header += 512) {
            unsigned sum = 0;

            if (memcmp(bad + header + 257, "ustar", 5))
                continue;
            memset(bad + header + 148, ' ', 8);
            for (int i = 0; i < 512; i++)
                sum += bad[header + (size_t)i];
            tar_octal((char *)bad + header + 148, 6, sum);
            bad[header + 154] = 0;
        }
        tar_walk(bad, unit_rand(&seed) % 8 ? len : unit_rand(&seed) % len);
    }
    EXPECT(tar_walk(good, len) != 0);
}
