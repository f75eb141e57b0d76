// SPDX-License-Identifier: MIT
// Containers: the list, names, references, creation. What happens to them later is in run.c.
#include "engine/engine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/volume.h"
#include "lib/str.h"

#define AUTO_NAME_TRIES 8
#define NAME_MAX_LEN 255

static struct container *container_list; /* newest first */
static uint64_t container_count;         /* that there have been */

struct container *container_first(void)
{
    return container_list;
}

char *container_path(const struct container *c, const char *file)
{
    return str_fmt("%s/containers/%s%s%s", engine.root, c->id, *file ? "/" : "", file);
}

struct container *container_find(const char *name, bool *ambiguous)
{
    struct container *found = NULL;
    size_t n;

    *ambiguous = false;
    if (*name == '/')
        name++;
    n = strlen(name);
    for (struct container *c = container_list; c; c = c->next)
        if (!strcmp(c->id, name)) /* first: a name may be another's id */
            return c;
    for (struct container *c = container_list; c; c = c->next)
        if (!strcmp(c->name, name))
            return c;
    if (!n || n > ID_LEN || !str_is_hex(name, n))
        return NULL;
    for (struct container *c = container_list; c; c = c->next) {
        if (strncmp(c->id, name, n))
            continue;
        if (found) {
            *ambiguous = true;
            return NULL;
        }
        found = c;
    }
    return found;
}

bool container_running(const struct container *c)
{
    return container_has_process(c->state);
}

bool container_has_group(const struct container *c)
{
    return container_running(c) && c->state != C_PREPARING && c->state != C_RESTARTING;
}

bool container_restarting(const struct container *c)
{
    return c->restart.again && c->state != C_STOPPED && c->state < C_REMOVING;
}

const char *container_state_name(const struct container *c)
{
    switch (c->state) {
    case C_RUNNING:
        return "running";
    case C_PAUSED:
        return "paused";
    case C_REMOVING:
    case C_GONE:
        return "removing";
    default: /* a container that is being started is what it was */
        if (container_restarting(c))
            return "restarting";
        return c->started.tv_sec ? "exited" : "created";
    }
}

void container_status_text(const struct container *c, char *out, size_t size)
{
    struct timespec now;
    char span[64];

    engine_now(&now);
    if (c->state == C_RUNNING || c->state == C_PAUSED) {
        time_span(span, sizeof(span), now.tv_sec - c->started.tv_sec);
        snprintf(out, size, "Up %s%s", span, c->state == C_PAUSED ? " (Paused)" : "");
    } else if (container_restarting(c)) {
        time_span(span, sizeof(span), now.tv_sec - c->finished.tv_sec);
        snprintf(out, size, "Restarting (%d) %s ago", c->exit_code, span);
    } else if (c->state >= C_REMOVING) {
        snprintf(out, size, "Removal In Progress");
    } else if (c->started.tv_sec) {
        time_span(span, sizeof(span), now.tv_sec - c->finished.tv_sec);
        snprintf(out, size, "Exited (%d) %s ago", c->exit_code, span);
    } else {
        snprintf(out, size, "Created");
    }
}

/* `hex`: eight random digits for the first try. */
static char *container_auto_name(const char *hex)
{
    static const char *const left[] = {"amber", "brave",  "calm",  "deft", "eager", "fond",
                                       "glad",  "humble", "jolly", "keen", "lucid", "merry",
                                       "noble", "quick",  "sunny", "witty"};
    static const char *const right[] = {"alder", "badger", "cedar", "dipper",  "ermine", "finch",
                                        "gorse", "heron",  "ibex",  "juniper", "larch",  "marten",
                                        "otter", "pika",   "rowan", "wren"};
    struct container *clash;
    char again[9], *name;
    bool ambiguous;

    for (int tries = 0;; tries++, random_hex(again, 8), hex = again) {
        unsigned n = (unsigned)strtoul(hex, NULL, 16), number = n >> 8;

        if (tries < AUTO_NAME_TRIES) /* short ones, while there are some */
            number &= 0xff;
        name = str_fmt("%s_%s%u", left[n & 15], right[n >> 4 & 15], number);
        clash = container_find(name, &ambiguous);
        if (!clash)
            return name;
        free(name);
    }
}

static bool name_ok(const char *name)
{
    if (!isalnum((unsigned char)*name) || !name[1] || strlen(name) > NAME_MAX_LEN)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
            return false;
    return true;
}

static struct container *container_named(const char *name)
{
    struct container *c = container_list;

    while (c && strcmp(c->name, name))
        c = c->next;
    return c;
}

char *container_name(const char *name, int *status)
{
    struct container *clash;

    if (*name == '/')
        name++;
    *status = 400;
    if (!name_ok(name))
        return str_fmt("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                       name);
    clash = container_named(name);
    if (!clash)
        return NULL;
    *status = 409;
    return str_fmt("Conflict. The container name \"/%s\" is already in use by container \"%s\". "
                   "You have to remove (or rename) that container to be able to reuse that name.",
                   name, clash->id);
}

static bool container_older(const struct container *a, const struct container *b)
{
    if (a->created.tv_sec != b->created.tv_sec)
        return a->created.tv_sec < b->created.tv_sec;
    return a->created.tv_nsec < b->created.tv_nsec;
}

void container_name_settle(struct container *c)
{
    struct container *other = container_named(c->name), *older = other;
    char *name, random[9];

    if (!other)
        return;
    if (container_older(c, other))
        older = c;
    name = str_fmt("%.*s-%.12s", NAME_MAX_LEN - 13, c->name, older->id);
    if (container_named(name)) {
        random_hex(random, 8);
        free(name);
        name = container_auto_name(random);
    }
    engine_log("the container %.12s is named %s now: the name %s is another's", older->id, name,
               older->name);
    free(older->name);
    older->name = name;
    older->renamed = true;
}

static void shared_lists_free(struct shared_spec *r)
{
    char **lists[] = {r->sysctls,     r->extra_hosts, r->dns,           r->dns_search,
                      r->dns_options, r->masked,      r->readonly_paths};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        strv_free(lists[i]);
}

static void container_free(struct container *c)
{
    log_close(c);
    volumes_leave(c);
    for (int i = 0; i < c->shared.nmounts; i++) {
        mount_spec_drop(&c->shared.mounts[i]);
    }
    for (int i = 0; i < c->ndevices; i++) {
        free(c->devices[i].host);
        free(c->devices[i].target);
    }
    free(c->shared.mounts);
    free(c->devices);
    free(c->shared.rlimits);
    shared_lists_free(&c->shared);
    spec_free(&c->spec);
    json_free(c->config);
    json_free(c->host);
    free(c->shared.hostname);
    free(c->shared.domainname);
    free(c->error);
    free(c->name);
    free(c->image_name);
    if (c->image)
        image_put(c->image);
    free(c);
}

struct container *container_get(struct container *c)
{
    c->refs++;
    return c;
}

void container_put(struct container *c)
{
    if (--c->refs == 0)
        container_free(c);
}

const char *container_label(const struct container *c, const char *key)
{
    const char *own = json_str(json_get(c->config, "Labels"), key);

    return own ? own : json_str(json_get(json_get(c->image->config, "config"), "Labels"), key);
}

/* Those of `from` that `but` has not. An image's may be anything: only strings are labels. One that
 * alone is too long is left out; the first that has no space ends them. */
static void labels_write(struct jw *w, const struct json *from, const struct json *but,
                         size_t whole, size_t *left)
{
    struct json *j = from && from->type == JSON_OBJECT ? from->child : NULL;

    for (; j; j = j->next) {
        size_t before = w->out->len, size;

        if (j->type != JSON_STRING || json_get(but, j->key))
            continue;
        size = strlen(j->key) + strlen(j->str);
        if (size > whole)
            continue;
        if (size > *left)
            break;
        jw_str(w, j->key, j->str);
        size = w->out->len - before; /* with its escapes */
        *left -= size < *left ? size : *left;
    }
}

void container_labels(const struct container *c, struct jw *w, size_t max)
{
    const struct json *own = json_get(c->config, "Labels");
    size_t left = max;

    labels_write(w, own, NULL, max, &left);
    labels_write(w, json_get(json_get(c->image->config, "config"), "Labels"), own, max, &left);
}

int containers_dir(void)
{
    static int fd = -1;
    char *path;

    if (fd < 0) {
        path = str_fmt("%s/containers", engine.root);
        fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        free(path);
    }
    return fd;
}

int container_dir(const struct container *c)
{
    int all = containers_dir();
    int fd = all < 0 ? all : openat(all, c->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The upper layer, from which the overlay takes the root's own attributes. */
static int container_upper(struct container *c, int dir)
{
    int fd = -1, err;

    if (mkdirat(dir, "upper", 0755) < 0 ||
        (fd = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -errno;
    err = image_root_apply(c->image, fd);
    close(fd);
    return err;
}

static char *container_files(struct container *c)
{
    int all = containers_dir(), err = all < 0 || mkdirat(all, c->id, 0755) < 0 ? -errno : 0;
    int fd = err ? err : container_dir(c);

    err = fd < 0 ? fd : container_upper(c, fd);
    if (!err && (mkdirat(fd, "work", 0700) < 0 || mkdirat(fd, "merged", 0700) < 0))
        err = -errno;
    if (fd >= 0)
        close(fd);
    return err ? str_fmt("cannot create the container's directory: %s", str_error(-err)) : NULL;
}

/* Performed when the request has been judged: volumes that are not there yet, and sources of mounts
 * that are to be made. */
static char *container_sources(struct container *c)
{
    char *why = volumes_make(c);

    if (why)
        return why;
    for (int i = 0; i < c->shared.nmounts; i++) {
        struct mount_spec *m = &c->shared.mounts[i];
        int err = m->make && !m->volume ? dir_make(m->source, 0755) : 0;

        if (err)
            return str_fmt("error while creating mount source path '%s': %s", m->source,
                           str_error(-err));
    }
    return NULL;
}

struct container *container_new(const char *id, struct image *image, const char *image_name)
{
    struct container *c = mem_alloc(sizeof(*c));

    c->refs = 1;
    c->state = C_STOPPED;
    c->log.fd = -1;
    memcpy(c->id, id, ID_LEN);
    c->image = image_get(image);
    c->image_name = str_dup(image_name);
    container_file_init(c);
    return c;
}

void container_list_sorted(struct container *c)
{
    struct container **at = &container_list;

    while (*at && (*at)->number > c->number)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
    if (container_count < c->number)
        container_count = c->number;
}

struct container *container_create(const char *name, struct json *body, int *status, char **why)
{
    const char *image_name = json_str(body, "Image");
    struct image *image = image_name ? image_find(image_name) : NULL;
    const struct json *host = json_get(body, "HostConfig");
    char random[ID_LEN + 9]; /* of the id and of a name, in one call */
    struct container *c;

    *why = name && *name ? container_name(name, status) : NULL;
    if (*why)
        return NULL;
    if (!image) {
        *status = image_name && *image_name ? 404 : 400;
        *why = image_name && *image_name ? str_fmt("No such image: %s%s", image_name,
                                                   strchr(image_name, ':') ? "" : ":latest")
                                         : str_dup("no image specified");
        return NULL;
    }
    random_hex(random, ID_LEN + 8);
    c = container_new(random, image, image_name);
    c->file.fresh = true;
    c->host = host_from_request(host);
    engine_now(&c->created);
    if (!spec_from_request(c, body, status, why)) {
        container_put(c);
        return NULL;
    }
    *status = 500;
    *why = container_files(c);
    if (!*why)
        *why = container_sources(c); /* a volume without a name is among the files */
    if (!*why)
        volumes_use(c);
    if (*why) {
        char *path = container_path(c, "");

        tree_remove(AT_FDCWD, path); /* nothing but empty directories */
        free(path);
        container_put(c);
        return NULL;
    }
    c->name = name && *name ? str_dup(name + (*name == '/')) : container_auto_name(random + ID_LEN);
    c->number = ++container_count;
    container_list_sorted(c);
    event_container(c, "create", NULL);
    return c;
}

void container_unlist(struct container *c)
{
    for (struct container **at = &container_list; *at; at = &(*at)->next) {
        if (*at != c)
            continue;
        *at = c->next;
        break;
    }
    c->next = NULL;
    while (c->execs) {
        struct exec *x = c->execs;

        c->execs = x->next;
        exec_put(x);
    }
    container_put(c);
}
