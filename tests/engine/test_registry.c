// SPDX-License-Identifier: MIT
// What names mean, what manifests say, and tars made again from their skeletons.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/registry.h"
#include "engine/skeleton.h"
#include "harness.h"
#include "lib/str.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool name_is(const char *given, const char *host, const char *path, const char *repo,
                    const char *tag, const char *digest)
{
    char *ref = image_ref_normalize(given);
    struct registry_name n;
    bool same;

    if (!ref)
        return !host;
    registry_name_parse(&n, ref);
    same = host && !strcmp(n.host, host) && !strcmp(n.path, path) && !strcmp(n.repo, repo) &&
           !n.tag == !tag && (!tag || !strcmp(n.tag, tag)) && !n.digest == !digest &&
           (!digest || !strcmp(n.digest, digest));
    registry_name_free(&n);
    free(ref);
    return same;
}

TEST(a_name_means_one_repository)
{
    EXPECT(name_is("busybox", "docker.io", "library/busybox", "busybox", "latest", NULL));
    EXPECT(name_is("docker.io/library/busybox:1", "docker.io", "library/busybox", "busybox", "1",
                   NULL));
    EXPECT(name_is("me/it:2", "docker.io", "me/it", "me/it", "2", NULL));
    EXPECT(name_is("quay.io/a/b/c", "quay.io", "a/b/c", "quay.io/a/b/c", "latest", NULL));
    EXPECT(name_is("localhost/a:1", "localhost", "a", "localhost/a", "1", NULL));
    EXPECT(name_is("h:5000/a", "h:5000", "a", "h:5000/a", "latest", NULL));
    EXPECT(name_is("[::1]:5000/a:1", "[::1]:5000", "a", "[::1]:5000/a", "1", NULL));
    EXPECT(name_is("[2001:db8::f]/a", "[2001:db8::f]", "a", "[2001:db8::f]/a", "latest", NULL));
    EXPECT(name_is("[::1]", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("[]:5000/a", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("[::1/a", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("[::1]x/a", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("[::1]:/a", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("[::x]:5/a", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("a/[::1]:5/a", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("h:5000/a:1@sha256:" HEX, "h:5000", "a", "h:5000/a", NULL, "sha256:" HEX));
    EXPECT(name_is("busybox@sha256:" HEX, "docker.io", "library/busybox", "busybox", NULL,
                   "sha256:" HEX));
    EXPECT(name_is("a@sha256:0123", NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("a@md5:" HEX, NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("a@sha256:" HEX "@sha256:" HEX, NULL, NULL, NULL, NULL, NULL));
    EXPECT(name_is("@sha256:" HEX, NULL, NULL, NULL, NULL, NULL));
}

TEST(a_tag_alone_is_no_other_part_of_a_name)
{
    EXPECT(image_ref_tag("latest"));
    EXPECT(image_ref_tag("_1.2-RC"));
    EXPECT(!image_ref_tag(""));
    EXPECT(!image_ref_tag(".1"));
    EXPECT(!image_ref_tag("a@sha256:" HEX));
    EXPECT(!image_ref_tag("5000/a:latest"));
}

/* The scheme by which an order has a host reached. */
static bool goes_plain(const char *host)
{
    struct registry_name n = {.host = (char *)host, .path = (char *)"p", .repo = (char *)"r"};
    struct buf b = {0};
    struct jw w = {.out = &b};
    bool plain;

    jw_object(&w, NULL);
    registry_order(&w, &n);
    jw_object_end(&w);
    plain = strstr(b.data, "\"http://");
    buf_free(&b);
    return plain;
}

/* What the engine would say of the options. */
static char options_said[1024];

static void option_is_bad(const char *word, const char *value)
{
    size_t n = strlen(options_said);

    snprintf(options_said + n, sizeof(options_said) - n, "%s=%s\n", word, value);
}

TEST(an_option_that_makes_no_sense_is_told_from_another_s)
{
    static const char line[] = "bothy.mirror=ftp://x bothy.registry-idle=7 bothy.net=eth0 "
                               "bothy.https=\n";
    char path[] = "/tmp/engine-unit-XXXXXX";
    int fd = mkstemp(path);

    EXPECT(registry_option("net", "eth0:dhcp") == -ENOENT);
    EXPECT(registry_option("mirror", "") == -EINVAL && registry_option("mirror", "x") == -EINVAL);
    EXPECT(registry_option("https", "here") == -EINVAL && registry_option("https", "/x") == 0);
    EXPECT(registry_option("registry-idle", "0") == -EINVAL);
    EXPECT(write(fd, line, sizeof(line) - 1) == sizeof(line) - 1);
    registry_options_of_boot(path, option_is_bad);
    EXPECT(strstr(options_said, "bothy.mirror=ftp://x") && strstr(options_said, "bothy.https="));
    EXPECT(!strstr(options_said, "idle") && !strstr(options_said, "bothy.net"));
    close(fd);
    unlink(path);
}

TEST(only_loopback_and_named_registries_are_plain)
{
    EXPECT(goes_plain("localhost") && goes_plain("localhost:5000") && goes_plain("127.0.0.1:5") &&
           goes_plain("127.8.9.1") && goes_plain("[::1]:5000") && goes_plain("a.localhost:5000"));
    EXPECT(!goes_plain("docker.io") && !goes_plain("128.0.0.1") && !goes_plain("127.0.0.1.x") &&
           !goes_plain("localhost.x") && !goes_plain("xlocalhost") && !goes_plain(".localhost") &&
           !goes_plain("10.1.2.3:5000"));
    EXPECT(!registry_option("insecure-registry", "10.1.0.0/16") &&
           !registry_option("insecure-registry", "Reg.example:5000"));
    EXPECT(goes_plain("10.1.2.3:5000") && goes_plain("10.1.2.3") && !goes_plain("10.2.2.3"));
    EXPECT(goes_plain("reg.example:5000") && !goes_plain("reg.example") &&
           !goes_plain("reg.example:5001"));
}

static const char manifest_text[] =
    "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":7,\"mediaType\":"
    "\"application/vnd.oci.image.config.v1+json\"},\"layers\":[{\"digest\":\"sha256:" HEX
    "\",\"size\":1099511627776}]}";
static const char list_text[] =
    "{\"manifests\":[{\"digest\":\"sha256:" HEX "\",\"size\":1,\"platform\":{\"os\":\"linux\","
    "\"architecture\":\"arm64\"}},{\"digest\":\"sha256:" HEX "\",\"size\":2,\"platform\":{\"os\":"
    "\"linux\",\"architecture\":\"amd64\",\"variant\":\"v3\"}},{\"digest\":\"sha256:" HEX
    "\",\"size\":3,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v2\"}},"
    "{\"digest\":\"bad\",\"size\":4,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}";

static int64_t chosen(const char *text, size_t len, int cpu)
{
    struct json *j = json_parse(text, len, NULL);
    static struct manifest m;
    const char *why = j ? manifest_read(&m, j) : "";
    int64_t size = why ? -1 : m.list ? json_int(manifest_choose(j, cpu), "size", 0) : 0;

    json_free(j);
    return size;
}

TEST(a_list_has_the_plainest_image_that_runs_here)
{
    EXPECT(chosen(manifest_text, strlen(manifest_text), 1) == 0);
    EXPECT(chosen(list_text, strlen(list_text), 1) == 0);
    EXPECT(chosen(list_text, strlen(list_text), 2) == 3);
    EXPECT(chosen(list_text, strlen(list_text), 4) == 3);
}

TEST(manifests_survive_damage)
{
    u64 seed = 5;

    for (u64 round = 0; round < 5000 * unit_times(); round++) {
        const char *from = unit_rand(&seed) % 2 ? manifest_text : list_text;
        size_t len = strlen(from);
        char *text = malloc(len);

        EXPECT(text);
        memcpy(text, from, len);
        for (u64 n = 1 + unit_rand(&seed) % 4; n; n--)
            text[unit_rand(&seed) % len] = "\"{}[],:09ntf"[unit_rand(&seed) % 12];
        chosen(text, len, 3);
        free(text);
    }
}

/* ---- skeletons ---- */

struct bytes {
    struct source src;
    const char *data;
    size_t len;
};

static ssize_t bytes_read(struct source *s, void *data, size_t len)
{
    struct bytes *b = (struct bytes *)s;

    len = len < b->len ? len : b->len;
    memcpy(data, b->data, len);
    b->data += len;
    b->len -= len;
    return (ssize_t)len;
}

/* A "tar" of `head` bytes, `size` of a file, `tail` bytes; zeros among them. */
static bool skeleton_round(int dir, size_t head, size_t size, size_t tail, u64 *seed)
{
    size_t len = head + size + tail, piece = 1 + unit_rand(seed) % 700;
    char *data = mem_alloc(len + 1), *back = mem_alloc(len + 1);
    int fd = memfd_create("skeleton", 0),
        file = openat(dir, "f", O_CREAT | O_TRUNC | O_WRONLY, 0600);
    struct bytes in = {.src.read = bytes_read, .data = data, .len = len};
    struct skeleton s;
    struct skeleton_tar t;
    uint64_t told;
    bool same;

    for (size_t i = 0; i < len; i++)
        data[i] = unit_rand(seed) % 64 ? 0 : (char)unit_rand(seed);
    same = write_all(file, data + head, size) == 0;
    skeleton_begin(&s, &in.src, fd);
    for (size_t at = 0, n; at < head; at += n)
        n = (size_t)s.src.read(&s.src, back, piece < head - at ? piece : head - at);
    skeleton_file(&s, "f", size);
    while (s.src.read(&s.src, back, piece) > 0)
        ;
    same = same && skeleton_end(&s) == 0;
    same = same && skeleton_tar_size(fd, &told) && told == len && !skeleton_tar_open(&t, fd, dir);
    same = same && source_full(&t.src, back, len + 1) == (ssize_t)len && !memcmp(data, back, len);
    skeleton_tar_close(&t);
    close(fd);
    close(file);
    free(data);
    free(back);
    return same;
}

static uint64_t skeleton_taken;

static void skeleton_count(uint64_t bytes)
{
    skeleton_taken += bytes;
}

/* The disk's budget hears of each piece before it is written, not of the whole afterwards. */
TEST(a_skeleton_is_paid_for_before_it_is_written)
{
    size_t len = 1 << 20;
    char *data = mem_alloc(len), back[4096];
    struct bytes in = {.src.read = bytes_read, .data = data, .len = len};
    int fd = memfd_create("skeleton", 0);
    struct skeleton s;
    struct stat st;

    memset(data, 'x', len);
    skeleton_begin(&s, &in.src, fd);
    s.take = skeleton_count;
    skeleton_taken = 0;
    while (s.src.read(&s.src, back, sizeof(back)) > 0)
        EXPECT(fstat(fd, &st) == 0 && (uint64_t)st.st_size <= skeleton_taken);
    EXPECT(skeleton_taken > len / 2); /* most of it, before the end */
    EXPECT(skeleton_end(&s) == 0 && fstat(fd, &st) == 0);
    EXPECT((uint64_t)st.st_size == skeleton_taken);
    close(fd);
    free(data);
}

TEST(a_skeleton_gives_the_tar_again)
{
    char path[] = "/dev/shm/skeleton-XXXXXX";
    u64 seed = 6;
    int dir;

    EXPECT(mkdtemp(path));
    dir = open(path, O_RDONLY | O_DIRECTORY);
    for (int round = 0; round < 300; round++)
        EXPECT(skeleton_round(dir, unit_rand(&seed) % 2000, unit_rand(&seed) % 3000,
                              unit_rand(&seed) % 2000, &seed));
    close(dir);
    EXPECT(tree_remove(AT_FDCWD, path) == 0);
}

TEST(a_damaged_skeleton_is_an_error)
{
    static const char good[] = "\0\003abc\1\200\1\2\001f\005\0\001z";
    u64 seed = 7;

    for (u64 round = 0; round < 3000 * unit_times(); round++) {
        int fd = memfd_create("skeleton", 0);
        char data[sizeof(good)], waste[512];
        struct skeleton_tar t;
        uint64_t size;

        memcpy(data, good, sizeof(good));
        for (u64 n = unit_rand(&seed) % 4; n; n--)
            data[unit_rand(&seed) % sizeof(good)] = (char)unit_rand(&seed);
        EXPECT(write(fd, data, unit_rand(&seed) % sizeof(good)) >= 0);
        skeleton_tar_size(fd, &size);
        EXPECT(skeleton_tar_open(&t, fd, AT_FDCWD) == 0);
        for (int i = 0; i < 8 && t.src.read(&t.src, waste, sizeof(waste)) > 0; i++)
            ;
        skeleton_tar_close(&t);
        close(fd);
    }
}
