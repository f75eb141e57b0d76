// SPDX-License-Identifier: MIT
// Reading an image archive: a docker-archive (manifest.json) or an OCI layout (index.json), plain
// or compressed.
//
// This runs in a worker process of its own, without privileges that it does not need and with a
// root of its own, so that hostile bytes meet no engine state; whatever happens, the engine sees
// one JSON report or none. The archive is a seekable spool; one pass indexes its members, then they
// are read in place. Layers unpack below /layers, verified by digest, before the report is written.
#include "engine/load.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/caps.h"
#include "runtime/child.h"
#include "runtime/rootfs.h"
#include "lib/decode.h"
#include "lib/map.h"
#include "lib/sha256.h"
#include "lib/str.h"
#include "lib/tar.h"

#define LOAD_MEMBERS_MAX 20000
#define LOAD_JSON_MAX (8u * 1024 * 1024)
#define LOAD_JSON_ALL (64u * 1024 * 1024)
/* Of all configurations in an archive, which the engine keeps in memory. */
#define LOAD_CONFIG_ALL (16u * 1024 * 1024)
#define LOAD_CONFIG_VALUES JSON_NODES_MAX
#define LOAD_REPORT_MAX (4u * 1024 * 1024) /* what the engine reads */
#define LOAD_HOPS_MAX 8                    /* links to links */

static struct {
    int fd;
    int out;
    uint64_t size;           /* of the archive */
    uint64_t json;           /* bytes of JSON read */
    uint64_t config, values; /* of configurations */
    struct budget budget;
    struct member *members;
    size_t nmembers;
    struct map named; /* the last one of each name: its place in `members`, from 1 on */
    struct buf report;
    struct jw w;
} load;

void load_fail(const char *fmt, ...)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++) /* one line, whatever names it quotes */
        if ((unsigned char)*p < 32)
            *p = '?';
    jw_object(&w, NULL);
    jw_str(&w, "error", text);
    jw_object_end(&w);
    buf_char(&b, '\n');
    _exit(write_all(load.out, b.data, b.len) ? 2 : 1);
}

void load_budget_files(int files[2])
{
    files[0] = load.budget.dir;
    files[1] = load.budget.meminfo;
}

void load_take(uint64_t bytes, const char *what)
{
    if (!budget_take(&load.budget, bytes))
        load_fail("%s: no space for it: more than the %llu MB that are free", what,
                  (unsigned long long)(load.budget.first >> 20));
}

void load_return(uint64_t bytes)
{
    budget_return(&load.budget, bytes);
}

void load_give(uint64_t bytes)
{
    budget_give(&load.budget, bytes);
}

/* ---- the archive ----------------------------------------------------------------------------- */

/* A compressed archive becomes a plain one, beside what is left of it. */
static void load_expand(void)
{
    static char data[65536];
    struct source_file file;
    struct member all = {.fd = load.fd, .name = (char *)"image archive", .size = load.size};
    struct source *decoder;
    ssize_t n;
    int fd;

    source_file_init(&file, load.fd, 0, load.size);
    source_file_spend(&file, load_give);
    decoder = load_decoder(&all, &file.src);
    if (!decoder)
        return;
    fd = open("/plain", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        load_fail("cannot store the archive: %s", strerror(errno));
    unlink("/plain");
    load.size = 0;
    while ((n = decoder->read(decoder, data, sizeof(data))) > 0) {
        load_take((uint64_t)n, "image archive");
        if (write_all(fd, data, (size_t)n))
            load_fail("cannot store the archive: %s", strerror(errno));
        load.size += (uint64_t)n;
    }
    if (n < 0)
        load_fail("image archive: %s", decoder->why ? decoder->why : "read error");
    source_free(decoder);
    if (ftruncate(load.fd, 0) < 0) /* its pages may be memory */
        load_fail("cannot drop the compressed archive: %s", strerror(errno));
    load.fd = fd;
}

/* The name that a link of the archive means, from the archive's root: a symbolic one is relative to
 * its own place, a hard one never is. */
static char *load_link_target(const struct tar_entry *e)
{
    const char *slash = strrchr(e->name, '/');
    char *name;

    if (e->type == TAR_SYMLINK && slash && *e->link != '/')
        name = str_fmt("%.*s/%s", (int)(slash - e->name), e->name, e->link);
    else
        name = str_dup(e->link);
    tar_name_clean(name);
    return name;
}

static void load_index_entry(struct tar *tar)
{
    struct tar_entry *e = &tar->entry;
    struct member *m;

    tar_name_clean(e->name);
    if (e->type != TAR_FILE && e->type != TAR_SYMLINK && e->type != TAR_HARDLINK)
        return; /* nothing that a manifest could name */
    if (load.nmembers == LOAD_MEMBERS_MAX)
        load_fail("image archive: more than %d entries", LOAD_MEMBERS_MAX);
    if (e->sparse)
        load_fail("image archive: entry \"%s\": is stored with holes (tar --sparse)", e->name);
    if (load.nmembers % 64 == 0)
        load.members = mem_resize(load.members, sizeof(*m) * (load.nmembers + 64));
    m = &load.members[load.nmembers++];
    *m = (struct member){
        .fd = load.fd, .name = str_dup(e->name), .offset = e->offset, .size = e->size};
    if (e->type != TAR_FILE)
        m->link = load_link_target(e);
    map_put(&load.named, m->name, (void *)load.nmembers);
}

/* What is no tar at all is shown by its first bytes. */
_Noreturn static void load_index_fail(const struct tar *tar)
{
    uint8_t head[8];
    char hex[2 * sizeof(head) + 1];

    if (tar->at != 512 || read_at(load.fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
        load_fail("image archive: %s (at byte %llu)", tar->why, (unsigned long long)tar->at);
    hex_encode(hex, head, sizeof(head));
    load_fail("image archive: %s (at byte %llu; it begins with %s)", tar->why,
              (unsigned long long)tar->at, hex);
}

static void load_index(void)
{
    struct source_file file;
    struct tar tar;
    int n;

    source_file_init(&file, load.fd, 0, load.size);
    tar_init(&tar, &file.src);
    while ((n = tar_next(&tar)) > 0) {
        load_index_entry(&tar);
        tar.at += tar.left + tar.pad; /* jump over the content */
        if (tar.at > load.size)
            load_fail("image archive: entry \"%s\": archive is truncated", tar.entry.name);
        file.at = tar.at;
        tar.left = tar.pad = 0;
    }
    if (n < 0)
        load_index_fail(&tar);
    tar_free(&tar);
}

static struct member *load_lookup(const char *name)
{
    size_t place = (size_t)map_find(&load.named, name);

    return place ? &load.members[place - 1] : NULL;
}

/* A member by the name a manifest uses, through links; NULL when there is none. */
static struct member *load_member(const char *name)
{
    char *copy = str_dup(name);
    struct member *m;

    tar_name_clean(copy);
    m = load_lookup(copy);
    for (int hops = 0; m && m->link; hops++)
        m = hops < LOAD_HOPS_MAX ? load_lookup(m->link) : NULL;
    free(copy);
    return m;
}

struct member *load_need(const char *name, const char *what)
{
    struct member *m = name ? load_member(name) : NULL;

    if (!m)
        load_fail("%s names \"%s\", which is not in the archive", what, name ? name : "");
    return m;
}

const char *load_digest(const char *text, const char *what)
{
    if (!text || !str_starts(text, "sha256:") || strlen(text) != 7 + ID_LEN ||
        !str_is_hex(text + 7, ID_LEN))
        load_fail("%s: not a sha256 digest: \"%.80s\"", what, text ? text : "");
    return text + 7;
}

struct json *load_json(const struct member *m, const char *digest, char *out_digest)
{
    struct buf b = {0};
    struct sha256 sum;
    char hex[SHA256_HEX];
    const char *why;
    struct json *j;

    if (m->size > LOAD_JSON_MAX)
        load_fail("%s: larger than %u bytes", m->name, LOAD_JSON_MAX);
    load.json += m->size;
    if (load.json > LOAD_JSON_ALL)
        load_fail("%s: more than %u MB of JSON in all", m->name, LOAD_JSON_ALL >> 20);
    buf_reserve(&b, m->size);
    if (read_at(m->fd, b.data, m->size, m->offset) != (ssize_t)m->size)
        load_fail("%s: read error", m->name);
    b.len = m->size;
    b.data[b.len] = 0;
    sha256_init(&sum);
    sha256_add(&sum, b.data, b.len);
    sha256_end(&sum, hex);
    if (digest && strcmp(hex, digest))
        load_fail("%s: digest does not match: is sha256:%s", m->name, hex);
    if (out_digest)
        memcpy(out_digest, hex, sizeof(hex));
    j = json_parse(b.data, b.len, &why);
    if (!j)
        load_fail("%s: not JSON: %s", m->name, why);
    buf_free(&b);
    return j;
}

/* ---- images ---------------------------------------------------------------------------------- */

/* A member's content as a file of its own. */
static void load_copy(const struct member *m, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err = fd < 0 ? -errno : 0;
    char data[16384];
    uint64_t at = 0;

    load_take(m->size + 1024, m->name);
    while (!err && at < m->size) {
        size_t want = m->size - at < sizeof(data) ? m->size - at : sizeof(data);
        ssize_t n = read_at(m->fd, data, want, m->offset + at);

        if (n != (ssize_t)want)
            load_fail("%s: read error", m->name);
        err = write_all(fd, data, want);
        if (err)
            break;
        at += want;
    }
    if (err)
        load_fail("cannot store %s: %s", path, strerror(-err));
    close(fd);
}

void load_chain(char *chain, const char *diff_id)
{
    struct sha256 sum;

    if (!*chain) {
        memcpy(chain, diff_id, ID_LEN + 1);
        return;
    }
    sha256_init(&sum);
    sha256_add(&sum, "sha256:", 7);
    sha256_add(&sum, chain, ID_LEN);
    sha256_add(&sum, " sha256:", 8);
    sha256_add(&sum, diff_id, ID_LEN);
    sha256_end(&sum, chain);
}

static void load_layers(const struct load_image *in, const struct json *ids)
{
    const struct json *d = ids ? ids->child : NULL;
    char chain[SHA256_HEX] = "";

    lower_clear();
    jw_array(&load.w, "Layers");
    for (size_t i = 0; i < in->nlayers; i++, d = d->next) {
        struct load_layer l = {.m = in->layers[i], .digest = in->digests[i], .chain = chain};

        l.diff_id = load_digest(d->type == JSON_STRING ? d->str : NULL, "rootfs.diff_ids");
        load_chain(chain, l.diff_id);
        if (in->begun)
            in->begun(i);
        load_layer(&l);
        if (in->done)
            in->done(i);
        jw_object(&load.w, NULL);
        jw_str(&load.w, "DiffId", l.diff_id);
        if (strcmp(l.id, l.diff_id))
            jw_str(&load.w, "Id", l.id);
        jw_int(&load.w, "Size", (int64_t)l.size);
        jw_object_end(&load.w);
    }
    jw_array_end(&load.w);
}

/* Few bytes of text are many of memory, and an archive may have a thousand configurations. */
static void load_config_take(const struct member *m, const struct json *config)
{
    load.config += m->size;
    load.values += json_values(config);
    if (load.config > LOAD_CONFIG_ALL || load.values > LOAD_CONFIG_VALUES)
        load_fail("%s: more configuration than one load may have", m->name);
}

void load_image(const struct load_image *in, char **tags, size_t ntags)
{
    char id[SHA256_HEX], *path;
    struct json *config = load_json(in->config, in->config_digest, id);
    const char *os = json_str(config, "os"), *arch = json_str(config, "architecture");
    struct json *ids = json_get(json_get(config, "rootfs"), "diff_ids");

    if ((os && *os && strcmp(os, "linux")) || (arch && *arch && strcmp(arch, "amd64")))
        load_fail("image is for %s/%s, not linux/amd64", os ? os : "?", arch ? arch : "?");
    load_config_take(in->config, config);
    if (json_count(ids) != in->nlayers)
        load_fail("%s: has %zu diff_ids for %zu layers", in->config->name, json_count(ids),
                  in->nlayers);
    jw_object(&load.w, NULL);
    jw_str(&load.w, "Id", id);
    jw_array(&load.w, "Tags");
    for (size_t i = 0; i < ntags; i++)
        jw_str(&load.w, NULL, tags[i]);
    jw_array_end(&load.w);
    load_layers(in, ids);
    jw_object_end(&load.w);
    if (load.report.len > LOAD_REPORT_MAX)
        load_fail("image archive: more images and layers than one load may have");
    path = str_fmt("/images/%s.json", id);
    load_copy(in->config, path);
    free(path);
    json_free(config);
}

/* The archive is spent as it is read, for it may be memory, like what becomes of it. A layer is
 * read again when another image has it on top of others, a configuration after the layers. */
static void load_image_note(const struct load_image *in, char **tags, size_t ntags)
{
    in->config->uses += 2; /* it is never spent */
    for (size_t i = 0; i < in->nlayers; i++)
        in->layers[i]->uses++;
}

/* ---- the worker ------------------------------------------------------------------------------ */

/* What unpacking takes: owners, modes, devices, trusted.* and security.* attributes. The filter is
 * for none of them: no call that only CAP_SYS_ADMIN may make is let through. */
#define LOAD_CAPS                                                                             \
    (1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_FSETID | \
     1ull << CAP_MKNOD | 1ull << CAP_SYS_ADMIN | 1ull << CAP_SETFCAP)

static void load_confine(uint64_t more)
{
    struct child ch = {.sync = load.out};

    child_limit(&ch, LOAD_CAPS | more, 0);
}

void load_alone(void)
{
    int err = child_keep(LOAD_CAPS);

    if (err)
        load_fail("cannot give up rights: %s", strerror(-err));
}

#define LOAD_MOUNT (MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC)

static void load_mount(const char *from, const char *to, unsigned long flags, unsigned long more)
{
    if (mount(from, to, NULL, MS_BIND | flags, NULL) < 0 ||
        mount(NULL, to, NULL, LOAD_MOUNT | more, NULL) < 0)
        load_fail("cannot mount %s: %s", to, strerror(errno));
}

/* `dir` and the store alone, with what is mounted in `dir`. Devices are made there, for others. */
static void load_leave(const char *dir)
{
    char *store = str_fmt("%s" LOAD_STORE, dir), *layers = str_fmt("%s/../../layers", dir);
    struct child ch = {.sync = load.out};

    if (mkdir(store, 0700) < 0)
        load_fail("cannot create %s: %s", store, strerror(errno));
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        load_fail("cannot have mounts of its own: %s", strerror(errno));
    load_mount(dir, dir, MS_REC, 0);
    load_mount(layers, store, 0, MS_RDONLY);
    root_enter(&ch, dir);
    free(layers);
    free(store);
}

void load_enter(const char *dir, int out_fd, uint64_t more)
{
    static const char *const dirs[] = {"/layers", "/images", "/tars"};
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    load.out = out_fd;
    load.w.out = &load.report;
    if (top < 0)
        load_fail("cannot open %s: %s", dir, strerror(errno));
    budget_open(&load.budget, top);
    close(top); /* it would lead out */
    load_leave(dir);
    load.budget.dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (load.budget.dir < 0)
        load_fail("cannot open %s: %s", dir, strerror(errno));
    load_store_open();
    for (int i = 0; i < 3; i++)
        if (mkdir(dirs[i], 0755) < 0)
            load_fail("cannot create %s: %s", dirs[i], strerror(errno));
    load_confine(more);
}

static void load_open(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        load_fail("cannot read the archive: %s", strerror(errno));
    load.fd = fd;
    load.size = (uint64_t)st.st_size;
}

_Noreturn void load_one(int out_fd, const struct load_image *in, char **tags, size_t ntags)
{
    load.out = out_fd;
    load_image(in, tags, ntags);
    buf_char(&load.report, '\n');
    _exit(write_all(out_fd, load.report.data, load.report.len) ? 2 : 0);
}

/* What the archive's manifest names, one image after the other. */
static void load_manifest(load_image_fn *image)
{
    const struct member *manifest = load_member("manifest.json"),
                        *index = load_member("index.json");

    load.json = 0;
    if (manifest)
        load_docker(manifest, image);
    else if (index)
        load_oci(index, image);
    else
        load_fail("not an image archive: it has neither manifest.json nor index.json");
}

void load_worker(int fd, const char *dir, int out_fd)
{
    load_enter(dir, out_fd, 0);
    load_open(fd);
    load_expand();
    load_index();
    load_manifest(load_image_note);
    jw_object(&load.w, NULL);
    jw_array(&load.w, "Images");
    load_manifest(load_image);
    jw_array_end(&load.w);
    jw_object_end(&load.w);
    _exit(write_all(out_fd, load.report.data, load.report.len) ? 2 : 0);
}
