// SPDX-License-Identifier: MIT
// containers/<id>/container.json: what a container is and was, for the engine after this one.
//
// Written after each change; the keeper knows what of it an engine's death could lose: that it
// runs, or how it ended. Read once, with judgement: a file that does not describe a container as
// this engine would have made it is set aside, with all that lies beside it, and why is said. One
// that cannot be read, or whose image cannot, is left out: nothing of it is touched, nor listed.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "engine/create_priv.h"
#include "engine/process.h"
#include "engine/volume.h"
#include "lib/map.h"
#include "lib/str.h"

#define CONTAINER_FORMAT 1
#define CONTAINER_TEXT 2040 /* most are shorter */

/* ---- writing --------------------------------------------------------------------------------- */

/* Nanoseconds since 1970. */
static void write_stamp(struct jw *w, const char *key, const struct timespec *ts)
{
    if (ts->tv_sec)
        jw_int(w, key, (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec);
}

/* As asked for, with what a client may have changed since. */
static void write_host(struct jw *w, const struct container *c)
{
    jw_object(w, "HostConfig");
    for (struct json *j = c->host->child; j; j = j->next)
        if (!limits_name(j->key) && strcmp(j->key, "RestartPolicy"))
            jw_json(w, j->key, j);
    limits_write_set(w, &c->limits);
    jw_object(w, "RestartPolicy");
    jw_str(w, "Name", restart_name(c->restart.kind));
    jw_int(w, "MaximumRetryCount", c->restart.max);
    jw_object_end(w);
    jw_object_end(w);
}

static void write_mount(struct jw *w, const struct mount_spec *m)
{
    jw_object(w, NULL);
    jw_str(w, "Target", m->target);
    if (m->source)
        jw_str(w, "Source", m->source);
    if (m->options)
        jw_str(w, "Options", m->options);
    if (m->mode)
        jw_str(w, "Mode", m->mode);
    if (m->volume)
        jw_str(w, "Volume", m->volume);
    jw_int(w, "Flags", (int64_t)m->flags);
    jw_bool(w, "Make", m->make);
    jw_bool(w, "Flat", m->flat);
    jw_bool(w, "Fill", m->fill);
    jw_object_end(w);
}

static void write_state(struct jw *w, const struct container *c)
{
    jw_object(w, "State");
    jw_bool(w, "Running", container_running(c) && c->state != C_RESTARTING);
    jw_bool(w, "Restarting", c->state == C_RESTARTING);
    jw_int(w, "ExitCode", c->exit_code);
    jw_bool(w, "OOMKilled", c->oom_killed);
    if (c->error)
        jw_str(w, "Error", c->error);
    write_stamp(w, "StartedAt", &c->started);
    write_stamp(w, "FinishedAt", &c->finished);
    jw_int(w, "RestartCount", c->restart.count);
    jw_bool(w, "Stopped", c->restart.stopped);
    jw_object_end(w);
}

static void container_text(struct store_file *f, struct buf *out, char **path)
{
    struct container *c = (struct container *)((char *)f - offsetof(struct container, file));
    struct jw w = {.out = out};

    *path = container_path(c, "container.json");
    buf_reserve(out, CONTAINER_TEXT);
    jw_object(&w, NULL);
    jw_int(&w, "Format", CONTAINER_FORMAT);
    jw_str(&w, "Id", c->id);
    jw_int(&w, "Number", (int64_t)c->number);
    jw_str(&w, "Name", c->name);
    jw_str(&w, "Image", c->image->id);
    jw_str(&w, "ImageName", c->image_name);
    write_stamp(&w, "Created", &c->created);
    jw_int(&w, "Group", c->group);
    write_state(&w, c);
    jw_json(&w, "Config", c->config);
    write_host(&w, c);
    jw_array(&w, "Mounts");
    for (int i = 0; i < c->shared.nmounts; i++)
        write_mount(&w, &c->shared.mounts[i]);
    jw_array_end(&w);
    jw_object_end(&w);
}

static void container_file_idle(struct store_file *f)
{
    container_put((struct container *)((char *)f - offsetof(struct container, file)));
}

void container_file_init(struct container *c)
{
    c->file.text = container_text;
    c->file.idle = container_file_idle;
}

void container_save(struct container *c, store_fn done, void *arg)
{
    container_get(c); /* until its file is idle; that may be at once */
    if (!store_save(&c->file, done, arg))
        container_put(c);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_stamp(const struct json *j, const char *key, struct timespec *ts)
{
    int64_t ns = json_int(j, key, 0);

    *ts = (struct timespec){ns / 1000000000, ns % 1000000000};
    return ns >= 0;
}

static char *read_text(const struct json *j, const char *key)
{
    const char *text = json_str(j, key);

    return text ? str_dup(text) : NULL;
}

/* A volume that is not there any more is made anew, as Docker does. */
static bool read_mount(struct container *c, const struct json *j)
{
    struct mount_spec m = {.source = read_text(j, "Source"),
                           .target = read_text(j, "Target"),
                           .options = read_text(j, "Options"),
                           .mode = read_text(j, "Mode"),
                           .volume = read_text(j, "Volume"),
                           .flags = (unsigned long)json_int(j, "Flags", 0),
                           .make = json_bool(j, "Make"),
                           .flat = json_bool(j, "Flat"),
                           .fill = json_bool(j, "Fill")};
    char *why = m.target && *m.target == '/' ? NULL : str_dup("no target");
    bool ok;

    if (!why && m.volume)
        why = volume_refuse_name(m.volume);
    ok = !why;
    free(why);
    why = mount_add(c, m, ok ? NULL : str_dup("bad"));
    free(why);
    return ok && !why;
}

static bool read_state(struct container *c, const struct json *j)
{
    int64_t code = json_int(j, "ExitCode", 0), count = json_int(j, "RestartCount", 0);

    c->exit_code = (int)code;
    c->oom_killed = json_bool(j, "OOMKilled");
    c->error = read_text(j, "Error");
    c->restart.count = count;
    c->restart.stopped = json_bool(j, "Stopped");
    c->ran = json_bool(j, "Running");
    c->waits = json_bool(j, "Restarting");
    return code >= 0 && code < 65536 && count >= 0 && read_stamp(j, "StartedAt", &c->started) &&
           read_stamp(j, "FinishedAt", &c->finished);
}

/* NULL, or what is wrong with it. One that another has is settled later. */
static char *container_read_name(const char *name)
{
    int status;
    char *why = container_name(name, &status);

    if (!why || status != 409)
        return why;
    free(why);
    return NULL;
}

/* The object, or NULL with *why; *out when that may be no fault of the file's. */
static struct container *container_read(const char *id, const struct json *j, char **why, bool *out)
{
    const char *image = json_str(j, "Image"), *name = json_str(j, "Name");
    struct image *img = image && str_is_hex(image, ID_LEN) ? image_of_id(image) : NULL;
    const struct json *config = json_get(j, "Config"), *host = json_get(j, "HostConfig");
    struct container *c;
    bool ok = true;

    if (json_int(j, "Format", 0) != CONTAINER_FORMAT || !json_str(j, "Id") ||
        strcmp(json_str(j, "Id"), id) || !name || !config || config->type != JSON_OBJECT || !host ||
        host->type != JSON_OBJECT)
        *why = str_dup("it is no container's");
    else if (!img)
        *why = str_fmt("its image %.12s is not there", image ? image : "");
    else
        *why = container_read_name(name);
    *out = *why && image && !img && !image_store_whole();
    if (*why)
        return NULL;
    c = container_new(id, img, json_str(j, "ImageName") ? json_str(j, "ImageName") : "");
    c->name = str_dup(name);
    c->number = (uint64_t)json_int(j, "Number", 0);
    c->group = (unsigned)json_int(j, "Group", 0);
    c->config = json_copy(config);
    c->host = json_copy(host);
    for (struct json *m = json_list(j, "Mounts"); m && ok; m = m->next)
        ok = read_mount(c, m);
    ok = ok && read_state(c, json_get(j, "State")) && read_stamp(j, "Created", &c->created);
    *why = ok ? spec_from_stored(c) : str_dup("a mount or its state is not sound");
    if (!*why)
        return c;
    container_put(c);
    return NULL;
}

static struct container *container_load(const char *id, char **why, bool *out)
{
    char *path = str_fmt("%s/containers/%s/container.json", engine.root, id);
    struct container *c = NULL;
    struct buf text = {0};
    const char *bad = "";
    struct json *j = NULL;
    int err = file_read(path, STORE_TEXT_MAX, &text);

    *why = NULL;
    *out = !engine_check_file(path, err);
    if (!err && !text.len && store_is_memory())
        err = -ENOENT;
    if (!err)
        j = json_parse(text.data, text.len, &bad);
    if (err)
        *why = err == -ENOENT ? NULL : str_dup(strerror(-err));
    else if (!j)
        *why = str_dup(bad);
    else
        c = container_read(id, j, why, out);
    json_free(j);
    buf_free(&text);
    free(path);
    return c;
}

/* Out of the way, for people to look at: what it has written may be dear. */
static void container_set_aside(const char *id, const char *why)
{
    char *path = str_fmt("%s/containers/%s", engine.root, id);
    char *aside = str_fmt("%s/aside/%s", engine.root, id), *note = str_fmt("%s/why", aside);
    char *dir = str_fmt("%s/aside", engine.root);

    engine_log("the container %.12s is set aside as %s: %s", id, aside, why);
    if (dir_make(dir, 0700) || rename(path, aside) < 0 || file_write(note, why, strlen(why), 0600))
        engine_log("%s: %s", aside, strerror(errno));
    free(path);
    free(aside);
    free(note);
    free(dir);
}

/* ---- left out -------------------------------------------------------------------------------- */

static struct map left_out; /* ids */

bool containers_left_out(void)
{
    return left_out.count;
}

bool container_left_out(const char *id)
{
    char *own = str_dupn(id, strnlen(id, ID_LEN));
    bool is = map_find(&left_out, own);

    free(own);
    return is;
}

/* It stays where it is and as it is, for an engine that can read all that it is made of. */
static void container_leave_out(const char *id, const char *why)
{
    char *own = str_dup(id);

    engine_log("the container %.12s is left out, and what of it runs is left alone: %s", id, why);
    map_put(&left_out, own, own);
}

/* One directory: an object; or what an engine died over before it was one, which goes. */
static void container_dir_read(const char *id)
{
    bool out;
    char *why, *path;
    struct container *c = container_load(id, &why, &out);

    if (c) {
        container_name_settle(c);
        container_list_sorted(c);
        volumes_use(c);
    } else if (why && out) {
        container_leave_out(id, why);
    } else if (why) {
        container_set_aside(id, why);
    } else {
        path = str_fmt("%s/containers/%s", engine.root, id);
        tree_discard(path, NULL, NULL);
        free(path);
    }
    free(why);
}

void containers_open(void)
{
    char *path = str_fmt("%s/containers", engine.root);
    DIR *d = opendir(path);
    struct dirent *e;
    int err;

    containers_dir();
    while ((e = dir_next(d, &err)))
        if (*e->d_name != '.') {
            if (str_is_hex(e->d_name, ID_LEN))
                container_dir_read(e->d_name);
            else
                container_set_aside(e->d_name, "it is no container's name");
        }
    engine_check_read(path, err);
    if (d)
        closedir(d);
    free(path);
}
