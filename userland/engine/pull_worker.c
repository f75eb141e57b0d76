// SPDX-License-Identifier: MIT
// The worker that pulls: `pull DIR`.
//
// It asks the registry which image it is and what it is made of; then layers that are not there
// come each by a process of its own, a few at a time, into files without names, and another process
// unpacks them in their order while the next ones come. Each says by lines in a pipe how far it is.
// A further one asks for texts (pull_ask.c). Those that talk to the registry have a user of their
// own, no capability and no descriptor but their own (registry_rights.c). When this one ends,
// whatever the reason, so do all.
//
// The input is what the engine has, "L<id>" a layer and "I<id>" an image a line, an empty line, and
// the order. The report's lines are {"id","status","current","total"}, what a client is to see; for
// each image {"image":{...}} as a load reports it, with "There" when the engine has it already.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/pull.h"
#include "lib/map.h"
#include "lib/str.h"

#define PULL_CONFIG_MAX (8u * 1024 * 1024)
#define PULL_LINE_MAX (1u * 1024 * 1024)
#define PULL_TELL_MS 100
#define SHORT_ID 12

enum pull_state { PULL_THERE, PULL_WAITS, PULL_COMES, PULL_HERE };

struct pull_layer {
    enum pull_state state;
    struct manifest_blob *b;
    size_t same; /* the first with this blob: itself, or the one that is fetched for both */
    int fd;
    struct member m;
    char diff_id[SHA256_HEX], chain[SHA256_HEX];
};

/* A process of ours, and what it says. */
struct pull_child {
    pid_t pid;
    int fd; /* -1: none */
    size_t layer;
    bool done; /* a fetcher: its layer is there */
    struct buf in;
};

static struct {
    struct pull_from from;
    struct pull_manifest manifest;
    struct map images; /* that the engine has */
    struct pull_layer layers[LAYERS_MAX];
    size_t nlayers;
    struct pull_child fetchers[PULL_AT_ONCE], unpacker;
    int ready;    /* the unpacker waits there for a byte per layer */
    size_t given; /* bytes that it got */
    struct load_image image;
    struct buf report; /* of the unpacker */
} pull;

/* ---- what the client sees -------------------------------------------------------------------- */

static void pull_say(const char *id, const char *status, uint64_t current, uint64_t total)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    if (id)
        jw_str(&w, "id", id);
    jw_str(&w, "status", status);
    if (total) {
        jw_int(&w, "current", (int64_t)current);
        jw_int(&w, "total", (int64_t)total);
    }
    jw_object_end(&w);
    registry_say(&b);
}

static void pull_say_layer(size_t i, const char *status, uint64_t current)
{
    char id[SHORT_ID + 1];

    memcpy(id, pull.layers[i].b->digest, SHORT_ID);
    id[SHORT_ID] = 0;
    pull_say(id, status, current, current ? pull.layers[i].b->size : 0);
}

/* ---- processes ------------------------------------------------------------------------------- */

/* 0 in the child, whose standard output is the parent's c->fd. */
static pid_t pull_fork(struct pull_child *c, size_t layer)
{
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        registry_fail(500, "cannot make a pipe: %s", str_error(errno));
    *c = (struct pull_child){.pid = fork(), .fd = ends[0], .layer = layer};
    if (c->pid < 0)
        registry_fail(500, "cannot make a process: %s", str_error(errno));
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent || dup2(ends[1], 1) < 0)
            _exit(1);
    }
    close(ends[1]);
    return c->pid;
}

static void pull_child_end(struct pull_child *c)
{
    int status;

    close(c->fd);
    c->fd = -1;
    buf_free(&c->in);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        registry_fail(500, "a process of the pull has died: it may have needed more memory");
}

static void pull_fetch(size_t i)
{
    struct pull_child *c = pull.fetchers;
    struct pull_layer *l = &pull.layers[i];
    int keep[3];

    while (c->fd >= 0)
        c++;
    l->state = PULL_COMES;
    if (pull_fork(c, i))
        return;
    load_budget_files(keep);
    keep[2] = l->fd;
    registry_forgo(keep, 3);
    pull_blob(&pull.from, l->b, l->fd);
}

/* As many as may be. */
static void pull_fetch_more(void)
{
    size_t running = 0;

    for (size_t i = 0; i < PULL_AT_ONCE; i++)
        running += pull.fetchers[i].fd >= 0;
    for (size_t i = 0; i < pull.nlayers && running < PULL_AT_ONCE; i++) {
        if (pull.layers[i].state != PULL_WAITS || pull.layers[i].same != i)
            continue;
        pull_fetch(i);
        running++;
    }
}

/* ---- unpacking ------------------------------------------------------------------------------- */

static size_t unpack_at; /* in the unpacker: the layer at hand */

static void unpack_say(char what, uint64_t n)
{
    char line[48];

    snprintf(line, sizeof(line), "%c %zu %llu\n", what, unpack_at, (unsigned long long)n);
    if (write_all(1, line, strlen(line)))
        _exit(2);
}

static void unpack_progress(uint64_t bytes)
{
    static uint64_t told;
    uint64_t now = time_now_ms();

    if (now < told + PULL_TELL_MS)
        return;
    told = now;
    unpack_say('E', bytes);
}

/* Its bytes are there. */
static void unpack_begun(size_t layer)
{
    char byte;

    unpack_at = layer;
    while (read(pull.ready, &byte, 1) != 1)
        if (errno != EINTR)
            _exit(1);
}

static void unpack_done(size_t layer)
{
    unpack_say('P', 0);
}

/* What the worker has beside the layers, the configuration and what load_enter() has opened is not
 * the unpacker's: it has `ready` and its report, and no credentials. No fetcher runs yet. */
static void unpack_forgo(int ready)
{
    if (dup2(ready, 0) < 0)
        _exit(1);
    close(ready);
    close(pull.unpacker.fd);
    close(pull.from.asker);
    registry_secret_forget();
    registry_close(&pull.from.r);
    if (registry_dialer >= 0)
        close(registry_dialer);
    pull.ready = 0;
}

static void pull_start_unpacker(char **tags, size_t ntags)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        registry_fail(500, "cannot make a pipe: %s", str_error(errno));
    if (!pull_fork(&pull.unpacker, 0)) {
        close(ends[1]);
        unpack_forgo(ends[0]);
        load_alone();
        pull.image.begun = unpack_begun;
        pull.image.done = unpack_done;
        load_layer_progress = unpack_progress;
        load_one(1, &pull.image, tags, ntags);
    }
    close(ends[0]);
    pull.ready = ends[1];
    pull.given = 0;
}

/* The unpacker may take each layer whose bytes are there and those below it. */
static void pull_give(void)
{
    while (pull.given < pull.nlayers) {
        const struct pull_layer *l = &pull.layers[pull.given];
        enum pull_state s = pull.layers[l->same].state;

        if (l->state != PULL_THERE && s != PULL_HERE)
            return;
        if (write_all(pull.ready, "+", 1)) /* it has failed: it says why */
            return;
        pull.given++;
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* What load_fail() has said. */
_Noreturn static void pull_failed(const char *line)
{
    struct json *j = json_parse(line, strlen(line), NULL);
    const char *why = json_str(j, "error");

    registry_fail(500, "%s", why ? why : "a process of the pull has lost its way");
}

static void pull_fetcher_line(struct pull_child *c, const char *line)
{
    char text[48], *why;
    int code;

    switch (line[0]) {
    case 'D':
        pull_say_layer(c->layer, "Downloading", strtoull(line + 1, NULL, 10));
        break;
    case 'R':
        snprintf(text, sizeof(text), "Retrying in %.10s seconds", line + 2);
        pull_say_layer(c->layer, text, 0);
        break;
    case 'V':
        pull_say_layer(c->layer, "Verifying Checksum", 0);
        break;
    case 'C':
        pull.layers[c->layer].state = PULL_HERE;
        c->done = true;
        pull_say_layer(c->layer, "Download complete", 0);
        pull_give();
        break;
    case '{':
        pull_failed(line);
    default:
        code = (int)strtol(line + 1, &why, 10);
        registry_fail(code, "%s", why + strspn(why, " "));
    }
}

/* Layer i is unpacked: its blob, which may be memory, goes with the last layer that is made of it.
 */
static void pull_drop_blob(size_t i)
{
    size_t same = pull.layers[i].same;

    for (size_t k = i + 1; k < pull.nlayers; k++)
        if (pull.layers[k].same == same && pull.layers[k].state != PULL_THERE)
            return;
    if (pull.layers[same].fd >= 0 && ftruncate(pull.layers[same].fd, 0) < 0)
        engine_log("cannot drop a layer's blob: %s", strerror(errno));
}

/* The report, or why there is none, is a line of JSON. */
static void pull_unpacker_line(struct pull_child *c, const char *line)
{
    char *end;
    size_t i = line[0] && line[0] != '{' ? strtoul(line + 1, &end, 10) : 0;
    struct pull_layer *l = &pull.layers[i < LAYERS_MAX ? i : 0];

    if (line[0] != '{' && (!line[0] || i >= pull.nlayers))
        registry_fail(500, "the process that unpacks has lost its way");
    if (line[0] == '{') {
        buf_clear(&pull.report);
        buf_str(&pull.report, line);
    } else if (l->state == PULL_THERE) {
        return;
    } else if (line[0] == 'E') {
        pull_say_layer(i, "Extracting", strtoull(end, NULL, 10));
    } else {
        pull_say_layer(i, "Pull complete", 0);
        pull_drop_blob(i);
    }
}

static void pull_hear(struct pull_child *c, void (*line)(struct pull_child *, const char *))
{
    char *end;
    ssize_t n;

    buf_reserve(&c->in, 4096);
    n = read(c->fd, c->in.data + c->in.len, 4096);
    if (n < 0 && errno == EINTR)
        return;
    if (n > 0)
        c->in.len += (size_t)n;
    c->in.data[c->in.len] = 0;
    while (c->in.len && (end = memchr(c->in.data, '\n', c->in.len))) {
        size_t used = (size_t)(end + 1 - c->in.data);

        *end = 0;
        line(c, c->in.data);
        buf_drop(&c->in, used);
    }
    if (c->in.len > PULL_LINE_MAX)
        registry_fail(500, "the image's description is too long");
    if (n <= 0 && c != &pull.unpacker && !c->done)
        registry_fail(500, "a process of the pull has ended before its layer was there");
    if (n <= 0 && !(c == &pull.unpacker && pull.report.len))
        pull_child_end(c);
    else if (n <= 0)
        close(c->fd), c->fd = -1, waitpid(c->pid, NULL, 0);
}

static void pull_run(void)
{
    while (pull.unpacker.fd >= 0) {
        struct pollfd p[PULL_AT_ONCE + 1] = {{pull.unpacker.fd, POLLIN, 0}};

        for (size_t i = 0; i < PULL_AT_ONCE; i++)
            p[i + 1] = (struct pollfd){pull.fetchers[i].fd, POLLIN, 0};
        if (poll(p, PULL_AT_ONCE + 1, -1) < 0)
            continue;
        for (size_t i = 0; i < PULL_AT_ONCE; i++)
            if (p[i + 1].revents)
                pull_hear(&pull.fetchers[i], pull_fetcher_line);
        if (p[0].revents)
            pull_hear(&pull.unpacker, pull_unpacker_line);
        pull_fetch_more();
    }
}

/* ---- an image -------------------------------------------------------------------------------- */

static void pull_report_image(struct json *image)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char *digest = str_fmt("Digest: sha256:%s", pull.manifest.digest);

    pull_say(NULL, digest, 0, 0);
    jw_object(&w, NULL);
    jw_json(&w, "image", image);
    jw_object_end(&w);
    registry_say(&b);
    free(digest);
}

/* The manifest, for a push that is to have its digest. */
static void pull_keep_manifest(const char *id)
{
    char *path = str_fmt("/images/%s.manifest", id);
    int err;

    load_take(pull.manifest.text.len, "manifest");
    err = file_write(path, pull.manifest.text.data, pull.manifest.text.len, 0644);

    if (err)
        registry_fail(500, "cannot store the image's manifest: %s", str_error(-err));
    free(path);
}

/* A layer is named by what the configuration says of it, and by nothing else. */
static bool pull_layer_is(const struct json *l, const struct pull_layer *want)
{
    const char *diff_id = json_str(l, "DiffId"), *id = json_str(l, "Id");

    return diff_id && !strcmp(diff_id, want->diff_id) &&
           (!id || !strcmp(id, want->diff_id) || !strcmp(id, want->chain));
}

/* The unpacker has read hostile bytes: its report is of this image, its layers and its names. */
static bool pull_report_ok(const struct json *j, char **tags, size_t ntags)
{
    const struct json *l = json_list(j, "Layers"), *t = json_list(j, "Tags");
    const char *id = json_str(j, "Id");

    if (!id || strcmp(id, pull.manifest.m.config.digest))
        return false;
    for (size_t i = 0; i < pull.nlayers; i++, l = l->next)
        if (!l || !pull_layer_is(l, &pull.layers[i]))
            return false;
    for (size_t i = 0; i < ntags; i++, t = t->next)
        if (!t || t->type != JSON_STRING || strcmp(t->str, tags[i]))
            return false;
    return !l && !t;
}

/* What the unpacker says at last: what it made is there for the next image. */
static void pull_report(char **tags, size_t ntags)
{
    struct json *j = pull.report.len ? json_parse(pull.report.data, pull.report.len, NULL) : NULL;

    if (!j)
        registry_fail(500, "the process that unpacks has died: it may have needed more memory");
    if (json_str(j, "error"))
        registry_fail(500, "failed to register layer: %s", json_str(j, "error"));
    if (!pull_report_ok(j, tags, ntags))
        registry_fail(500, "the process that unpacks tells of another image");
    for (const struct json *l = json_list(j, "Layers"); l; l = l->next)
        layer_note(json_str(l, "Id") ? json_str(l, "Id") : json_str(l, "DiffId"));
    map_put(&pull.images, str_dup(json_str(j, "Id")), &pull);
    pull_keep_manifest(json_str(j, "Id"));
    pull_report_image(j);
    json_free(j);
}

static void pull_report_there(char **tags, size_t ntags)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct json *j;

    jw_object(&w, NULL);
    jw_str(&w, "Id", pull.manifest.m.config.digest);
    jw_bool(&w, "There", true);
    jw_strings(&w, "Tags", (const char *const *)tags, ntags);
    jw_object_end(&w);
    j = json_parse(b.data, b.len, NULL);
    buf_free(&b);
    pull_report_image(j);
    json_free(j);
}

/* The configuration, in a file of its own for the unpacker. */
static struct json *pull_config(struct member *m)
{
    const struct manifest_blob *b = &pull.manifest.m.config;
    struct buf text = {0};
    const char *why;
    struct json *j;

    if (b->size > PULL_CONFIG_MAX)
        registry_fail(500, "the image's configuration is too long");
    while (pull_text_of(&pull.from, b, PULL_CONFIG_MAX, &text))
        if (!pull_next(&pull.from))
            pull_refused(&pull.from, registry_order_read.repo);
    *m = (struct member){.name = str_fmt("configuration %.12s", b->digest), .size = text.len};
    m->fd = open("/config", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (m->fd < 0 || unlink("/config") < 0 || write_all(m->fd, text.data, text.len))
        registry_fail(500, "cannot store the image's configuration: %s", str_error(errno));
    j = json_parse(text.data, text.len, &why);
    if (!j)
        registry_fail(500, "the image's configuration is not JSON: %s", why);
    buf_free(&text);
    return j;
}

/* The first layer whose blob is fetched for i as well, or i itself. What is there already may be
 * of the same blob, as another layer: on top of others. */
static size_t pull_first_of(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (pull.layers[k].state != PULL_THERE &&
            !strcmp(pull.layers[k].b->digest, pull.layers[i].b->digest))
            return k;
    return i;
}

/* Which layers are there: by their own digest or, where they hold content of lower ones, by the
 * chain's. */
static void pull_plan_layer(size_t i, const char *diff_id, char *chain)
{
    struct pull_layer *l = &pull.layers[i];

    load_chain(chain, diff_id);
    *l = (struct pull_layer){.b = &pull.manifest.m.layers[i], .fd = -1, .state = PULL_WAITS};
    snprintf(l->diff_id, sizeof(l->diff_id), "%s", diff_id);
    snprintf(l->chain, sizeof(l->chain), "%s", chain);
    l->same = pull_first_of(i);
    if (layer_find(diff_id) || layer_find(chain))
        l->state = PULL_THERE;
    l->m = (struct member){.fd = -1, .name = str_dupn(l->b->digest, SHORT_ID), .size = l->b->size};
    pull.image.layers[i] = &l->m;
    pull_say_layer(i, l->state == PULL_THERE ? "Already exists" : "Pulling fs layer", 0);
}

static void pull_plan(const struct json *config)
{
    const struct json *ids = json_get(json_get(config, "rootfs"), "diff_ids"), *d;
    const char *os = json_str(config, "os"), *arch = json_str(config, "architecture");
    char chain[SHA256_HEX] = "";

    if ((os && *os && strcmp(os, "linux")) || (arch && *arch && strcmp(arch, "amd64")))
        registry_fail(404, "image is for %.40s/%.40s, not linux/amd64", os ? os : "?",
                      arch ? arch : "?");
    if (json_count(ids) != pull.manifest.m.nlayers)
        registry_fail(500, "the image's configuration does not fit its manifest");
    pull.nlayers = pull.image.nlayers = pull.manifest.m.nlayers;
    d = ids ? ids->child : NULL;
    for (size_t i = 0; i < pull.nlayers; i++, d = d->next)
        pull_plan_layer(i, load_digest(d->type == JSON_STRING ? d->str : NULL, "rootfs.diff_ids"),
                        chain);
}

/* The files of blobs are open before the unpacker is made, which has them then. */
static void pull_open_blobs(void)
{
    size_t waiting = 0;

    for (size_t i = 0; i < pull.nlayers; i++) {
        struct pull_layer *l = &pull.layers[i];

        if (l->state == PULL_THERE)
            continue;
        if (l->same == i && waiting++ >= PULL_AT_ONCE)
            pull_say_layer(i, "Waiting", 0);
        if (l->same != i) {
            l->m.fd = pull.layers[l->same].m.fd;
            continue;
        }
        l->m.fd = l->fd = open("/blob", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (l->fd < 0 || unlink("/blob") < 0)
            registry_fail(500, "cannot store a layer: %s", str_error(errno));
    }
}

static void pull_forget(struct json *config)
{
    for (size_t i = 0; i < pull.nlayers; i++) {
        if (pull.layers[i].fd >= 0)
            close(pull.layers[i].fd);
        free(pull.layers[i].m.name);
    }
    pull.nlayers = 0;
    close(pull.ready);
    json_free(config);
    json_free(pull.manifest.json);
}

static void pull_say_from(const char *reference)
{
    char *status = str_fmt("Pulling from %s", registry_order_read.path);

    pull_say(reference, status, 0, 0);
    free(status);
}

static void pull_image(const char *reference)
{
    bool digest = manifest_digest(reference);
    char *tags[2];
    size_t ntags = 0;
    struct member config;
    struct json *j;

    pull_find_manifest(&pull.from, reference, &pull.manifest);
    if (!digest)
        tags[ntags++] = str_fmt("%s:%s", registry_order_read.repo, reference);
    tags[ntags++] = str_fmt("%s@sha256:%s", registry_order_read.repo, pull.manifest.digest);
    pull_say_from(reference);
    if (map_find(&pull.images, pull.manifest.m.config.digest)) {
        pull_report_there(tags, ntags);
        json_free(pull.manifest.json);
    } else {
        j = pull_config(&config);
        pull.image =
            (struct load_image){.config = &config, .config_digest = pull.manifest.m.config.digest};
        pull_plan(j);
        pull_open_blobs();
        buf_clear(&pull.report);
        pull_start_unpacker(tags, ntags);
        pull_give();
        pull_fetch_more();
        pull_run();
        pull_report(tags, ntags);
        pull_forget(j);
        close(config.fd);
        free(config.name);
    }
    while (ntags)
        free(tags[--ntags]);
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void pull_read_known(void)
{
    char line[ID_LEN + 8];
    int n;

    while ((n = fd_line(0, line, sizeof(line))) > 0 && *line) {
        if (!str_is_hex(line + 1, ID_LEN))
            break;
        if (*line == 'L')
            layer_note(line + 1);
        else
            map_put(&pull.images, str_dup(line + 1), &pull);
    }
    if (n <= 0 || *line)
        registry_fail(500, "the worker's order is bad");
}

int worker_pull(char **argv)
{
    const struct registry_order *o = &registry_order_read;
    char **tags;

    signal(SIGPIPE, SIG_IGN);
    pull_read_known();
    registry_begin(argv[0], REGISTRY_UNPACKS);
    for (size_t i = 0; i < PULL_AT_ONCE; i++)
        pull.fetchers[i].fd = -1;
    pull.from.endpoint = o->endpoints;
    pull_open(&pull.from);
    pull_ask_start(&pull.from);
    if (o->digest || o->tag) {
        pull_image(o->digest ? o->digest : o->tag);
        return 0;
    }
    tags = pull_find_tags(&pull.from);
    for (size_t i = 0; tags[i]; i++)
        pull_image(tags[i]);
    return 0;
}
