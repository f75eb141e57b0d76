// SPDX-License-Identifier: MIT
// Volumes; see volume.h.
#include "engine/volume.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "engine/engine.h"
#include "lib/map.h"
#include "lib/str.h"

#define VOLUME_FORMAT 1

static struct volume *volume_list, **volume_tail = &volume_list; /* the oldest first */
static struct map volumes_by_name;

struct volume *volume_first(void)
{
    return volume_list;
}

struct volume *volume_find(const char *name)
{
    return map_find(&volumes_by_name, name);
}

char *volume_refuse_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && (p == name || !strchr("_.-", *p)))
            return str_fmt(
                "create %s: \"%s\" includes invalid characters for a local volume name, "
                "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass "
                "a host directory, use absolute path",
                name, name);
    if (strlen(name) < 2 || strlen(name) > VOLUME_NAME_MAX)
        return str_fmt(
            "create %s: volume name is too %s, names should be at least two alphanumeric "
            "characters",
            name, strlen(name) < 2 ? "short" : "long");
    return NULL;
}

char *volume_path(const char *name)
{
    return str_fmt("%s/volumes/%s/_data", engine.root, name);
}

const char *volume_label(const struct volume *v, const char *key)
{
    return json_str(v->labels, key);
}

bool volume_is_anonymous(const struct volume *v)
{
    return volume_label(v, VOLUME_ANONYMOUS) != NULL;
}

static void volume_raise(struct volume *v, enum volume_event e)
{
    int next = volume_next(v->state, e);

    if (next == LIFE_NO)
        engine_bug("volume %s: event %d in state %d", v->name, e, v->state);
    else
        v->state = (enum volume_state)next;
}

/* ---- its file -------------------------------------------------------------------------------- */

static struct volume *volume_of(struct store_file *f)
{
    return (struct volume *)((char *)f - offsetof(struct volume, file));
}

static void volume_text(struct store_file *f, struct buf *out, char **path)
{
    struct volume *v = volume_of(f);
    struct jw w = {.out = out};
    char when[48];

    time_rfc3339(when, &v->created);
    *path = str_fmt("%s/volumes/%s/volume.json", engine.root, v->name);
    jw_object(&w, NULL);
    jw_int(&w, "Format", VOLUME_FORMAT);
    jw_str(&w, "Name", v->name);
    jw_str(&w, "CreatedAt", when);
    jw_json(&w, "Labels", v->labels);
    jw_object_end(&w);
}

static void volume_free(struct volume *v)
{
    json_free(v->labels);
    free(v->name);
    free(v);
}

static void volume_idle(struct store_file *f)
{
    struct volume *v = volume_of(f);

    if (v->dying)
        volume_free(v);
}

void volume_save(struct volume *v, store_fn done, void *arg)
{
    store_save(&v->file, done, arg);
}

/* ---- creation and end ----------------------------------------------------------------------- */

static struct volume *volume_new(const char *name, const struct json *labels)
{
    struct volume *v = mem_alloc(sizeof(*v));

    v->name = str_dup(name);
    v->state = V_LISTED;
    v->labels = labels && labels->type == JSON_OBJECT ? json_copy(labels) : json_new(JSON_OBJECT);
    engine_now(&v->created);
    v->file.text = volume_text;
    v->file.idle = volume_idle;
    *volume_tail = v;
    volume_tail = &v->next;
    map_put(&volumes_by_name, v->name, v);
    return v;
}

struct volume *volume_create(const char *name, const struct json *labels, char **why)
{
    char *path = volume_path(name), *old = str_fmt("%s/volumes/%s", engine.root, name);
    int err;

    *why = volume_refuse_name(name);
    err = *why ? 0 : tree_leave(old);
    if (err)
        *why = str_fmt("create %s: a removed volume of this name is still there: %s", name,
                       str_error(-err));
    err = *why ? 0 : dir_make(path, 0755);
    if (err)
        *why = str_fmt("create %s: cannot make its directory: %s", name, str_error(-err));
    free(old);
    free(path);
    return *why ? NULL : volume_new(name, labels);
}

static void volume_unlist(struct volume *v)
{
    for (struct volume **at = &volume_list; *at; at = &(*at)->next) {
        if (*at != v)
            continue;
        *at = v->next;
        volume_tail = v->next ? volume_tail : at;
        break;
    }
    map_remove(&volumes_by_name, v->name);
}

static void volume_gone(void *answer)
{
    if (answer)
        answer_done(answer, NULL);
}

void volume_remove(struct volume *v, struct answer *a)
{
    char *path = str_fmt("%s/volumes/%s", engine.root, v->name);

    volume_raise(v, VE_REMOVE);
    event_plain("volume", v->name, "destroy", EVENT_MORE("driver", "local"));
    volume_unlist(v);
    if (a)
        answer_hold(a);
    tree_discard(path, volume_gone, a);
    free(path);
    v->dying = true;
    if (!v->file.writing)
        volume_free(v);
}

void volume_write(struct jw *w, const struct volume *v, int64_t size)
{
    char *path = volume_path(v->name), when[48];

    time_rfc3339(when, &(struct timespec){.tv_sec = v->created.tv_sec});
    jw_object(w, NULL);
    jw_str(w, "CreatedAt", when);
    jw_str(w, "Driver", "local");
    jw_json(w, "Labels", v->labels);
    jw_str(w, "Mountpoint", path);
    jw_str(w, "Name", v->name);
    jw_null(w, "Options");
    jw_str(w, "Scope", "local");
    if (size >= 0) {
        jw_object(w, "UsageData");
        jw_int(w, "RefCount", v->refs);
        jw_int(w, "Size", size);
        jw_object_end(w);
    }
    jw_object_end(w);
    free(path);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool labels_sound(const struct json *labels)
{
    if (!labels || labels->type != JSON_OBJECT)
        return false;
    for (struct json *j = labels->child; j; j = j->next)
        if (j->type != JSON_STRING)
            return false;
    return true;
}

static char *volume_read(const char *name, const struct json *j)
{
    struct timespec created;
    const char *when = json_str(j, "CreatedAt"), *own = json_str(j, "Name");

    if (json_int(j, "Format", 0) != VOLUME_FORMAT || !own || strcmp(own, name) || !when ||
        !time_parse(when, &created) || !labels_sound(json_get(j, "Labels")))
        return str_dup("it is no volume's");
    volume_new(name, json_get(j, "Labels"))->created = created;
    return NULL;
}

/* A directory with data and no sound object keeps its data: it is a volume without labels. */
static void volume_dir_read(const char *name)
{
    char *path = str_fmt("%s/volumes/%s/volume.json", engine.root, name), *why;
    struct buf text = {0};
    const char *bad = "";
    struct json *j = NULL;
    struct volume *v;
    int err = file_read(path, STORE_TEXT_MAX, &text);
    bool known;

    known = engine_check_file(path, err);
    if (!err)
        j = json_parse(text.data, text.len, &bad);
    why = j ? volume_read(name, j) : str_dup(err ? strerror(-err) : bad);
    if (why) {
        engine_log("%s: %s: the volume is kept without its labels", path, why);
        v = volume_new(name, NULL);
        if (known) /* else a later engine may read them */
            volume_save(v, NULL, NULL);
    }
    free(why);
    json_free(j);
    buf_free(&text);
    free(path);
}

void volumes_open(void)
{
    char *path = str_fmt("%s/volumes", engine.root), *why;
    DIR *d = opendir(path);
    struct dirent *e;
    int err;

    while ((e = dir_next(d, &err))) {
        if (*e->d_name == '.')
            continue;
        why = volume_refuse_name(e->d_name);
        if (!why)
            volume_dir_read(e->d_name);
        free(why);
    }
    engine_check_read(path, err);
    if (d)
        closedir(d);
    free(path);
}

/* ---- of a container's mounts ----------------------------------------------------------------- */

static struct json *anonymous_labels(void)
{
    struct json *labels = json_new(JSON_OBJECT), **tail = &labels->child;

    json_append_constant(&tail, VOLUME_ANONYMOUS, json_new_str(""));
    return labels;
}

char *volumes_make(struct container *c)
{
    char *why = NULL;

    if (c->runtime == RUNTIME_VM)
        return NULL; /* a guest's volumes are its own */
    for (int i = 0; i < c->shared.nmounts && !why; i++) {
        const struct mount_spec *m = &c->shared.mounts[i];
        struct json *labels = NULL;
        struct volume *v;

        if (!m->volume || volume_find(m->volume))
            continue;
        labels = m->anonymous ? anonymous_labels() : NULL;
        v = volume_create(m->volume, labels, &why);
        json_free(labels);
        if (v) {
            event_plain("volume", v->name, "create", EVENT_MORE("driver", "local"));
            volume_save(v, NULL, NULL); /* before the container's own file */
        }
    }
    return why;
}

/* One container may mount a volume at several places: it has a reference for each. */
void volumes_use(struct container *c)
{
    char *why = volumes_make(c); /* one whose object was lost is there anew */

    free(why);
    c->uses_volumes = true;
    for (int i = 0; i < c->shared.nmounts; i++) {
        struct volume *v =
            c->shared.mounts[i].volume ? volume_find(c->shared.mounts[i].volume) : NULL;

        if (v)
            v->refs++;
    }
}

void volumes_event(const struct container *c, const char *action)
{
    bool mounts = !strcmp(action, "mount");

    for (int i = 0; i < c->shared.nmounts; i++) {
        const struct mount_spec *m = &c->shared.mounts[i];

        if (m->volume && mounts)
            event_plain("volume", m->volume, action,
                        EVENT_MORE("container", c->id, "destination", m->target, "driver", "local",
                                   "propagation", "", "read/write",
                                   m->flags & MS_RDONLY ? "false" : "true"));
        else if (m->volume)
            event_plain("volume", m->volume, action,
                        EVENT_MORE("container", c->id, "driver", "local"));
    }
}

void volumes_leave(struct container *c)
{
    if (!c->uses_volumes)
        return;
    c->uses_volumes = false;
    for (int i = 0; i < c->shared.nmounts; i++) {
        struct volume *v =
            c->shared.mounts[i].volume ? volume_find(c->shared.mounts[i].volume) : NULL;

        if (v)
            v->refs--;
    }
}

bool volumes_may_go(void)
{
    char *path = str_fmt("%s/aside", engine.root);
    DIR *d = opendir(path);
    int err;
    bool none = !dir_next(d, &err) && (!err || err == -ENOENT);

    if (d)
        closedir(d);
    free(path);
    return none && !containers_left_out();
}

void volumes_remove_anonymous(struct container *c)
{
    for (int i = 0; i < c->shared.nmounts; i++) {
        struct volume *v =
            c->shared.mounts[i].volume ? volume_find(c->shared.mounts[i].volume) : NULL;

        if (v && !v->refs && volume_is_anonymous(v) && volumes_may_go())
            volume_remove(v, NULL);
    }
}
