// SPDX-License-Identifier: MIT
// The mounts of a create request: Binds (-v), Mounts (--mount), Tmpfs (--tmpfs), and the volumes
// that the request or its image wants without naming them.
#include "engine/create_priv.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "runtime/mount_words.h"
#include "engine/volume.h"
#include "lib/map.h"
#include "lib/str.h"
#include "lib/tar.h"

#define FROM_MOUNTS_MAX (16 * LIST_MAX) /* of other containers, that one request has looked at */

/* A target as it is used, to be freed; NULL with *why. */
static char *mount_target(const char *text, char **why)
{
    char *clean = str_dup(text), *target;

    tar_name_clean(clean);
    if (*text != '/')
        *why = str_fmt("invalid mount path: '%s' mount path must be absolute", text);
    else if (!*clean)
        *why = str_dup("invalid specification: destination can't be '/'");
    else if (strlen(clean) >= PATH_MAX - 1)
        *why = str_dup("invalid mount path: target path is too long");
    target = *why ? NULL : str_fmt("/%s", clean);
    free(clean);
    return target;
}

/* Of a bind; or why not. */
static char *mount_source(struct mount_spec *m, const char *source)
{
    if (strlen(source) >= PATH_MAX)
        return str_dup("invalid mount config for type \"bind\": source path is too long");
    m->source = str_dup(source);
    return NULL;
}

static struct mount_spec *mount_find(struct container *c, const char *target)
{
    for (int i = 0; i < c->shared.nmounts; i++)
        if (!strcmp(c->shared.mounts[i].target, target))
            return &c->shared.mounts[i];
    return NULL;
}

/* One more mount, which takes all that is in `m`; or why not. */
void mount_spec_drop(struct mount_spec *m)
{
    free(m->source);
    free(m->target);
    free(m->options);
    free(m->mode);
    free(m->volume);
}

char *mount_add(struct container *c, struct mount_spec m, char *why)
{
    struct shared_spec *r = &c->shared;

    if (!why && r->nmounts == LIST_MAX)
        why = str_dup("too many mounts");
    if (!why && mount_find(c, m.target))
        why = str_fmt("Duplicate mount point: %s", m.target);
    if (why) {
        mount_spec_drop(&m);
        return why;
    }
    r->mounts = mem_resize(r->mounts, sizeof(m) * (size_t)(r->nmounts + 1));
    r->mounts[r->nmounts++] = m;
    return NULL;
}

/* ---- sources --------------------------------------------------------------------------------- */

static void volume_source(struct mount_spec *m, char *name)
{
    m->volume = name;
    m->source = volume_path(name);
    m->fill = m->make = true;
}

/* A named volume becomes m's source. */
static char *volume_named(struct mount_spec *m, const char *name)
{
    char *why = volume_refuse_name(name);

    if (!why)
        volume_source(m, str_dup(name));
    return why;
}

/* One that is made for this container. */
static void volume_anonymous(struct mount_spec *m)
{
    char name[ID_LEN + 1];

    random_hex(name, ID_LEN);
    volume_source(m, str_dup(name));
    m->anonymous = true;
}

/* ---- -v -------------------------------------------------------------------------------------- */

static char *bind_mode(struct mount_spec *m, const char *mode)
{
    struct mount_words w = {0};
    char *bad = mode ? mount_words_parse(mode, WORDS_BIND, &w) : NULL;

    free(bad);
    if (bad)
        return str_fmt("invalid mode: %s", mode);
    m->flags = w.flags;
    m->fill = m->fill && !w.no_copy;
    m->mode = mode ? str_dup(mode) : NULL;
    return NULL;
}

/* Whether the words could be the mode of a bind. */
static bool bind_is_mode(const char *text)
{
    struct mount_words w = {0};
    char *bad = mount_words_parse(text, WORDS_BIND, &w);

    free(bad);
    return !bad && *text;
}

/* SOURCE:TARGET[:MODE], or TARGET alone. */
char *parse_bind(struct container *c, const struct json *j)
{
    const char *text = j->type == JSON_STRING ? j->str : "";
    char *copy = str_dup(text), *next = copy, *part[4] = {NULL}, *why = NULL;
    struct mount_spec m = {0};
    int n = 0;

    while (n < 4 && (part[n] = strsep(&next, ":")))
        n++;
    if (n == 4 || !*text || (n > 1 && (!*part[0] || !*part[1])) ||
        (n == 2 && *part[1] != '/' && bind_is_mode(part[1])))
        why = str_fmt("invalid volume specification: '%s'", text);
    else
        m.target = mount_target(part[n > 1], &why);
    if (!why && n == 1) {
        volume_anonymous(&m);
    } else if (!why && *part[0] == '/') {
        why = mount_source(&m, part[0]);
        m.make = true;
    } else if (!why) {
        why = volume_named(&m, part[0]);
    }
    why = why ? why : bind_mode(&m, part[2]);
    why = mount_add(c, m, why);
    free(copy);
    return why;
}

/* ---- --tmpfs --------------------------------------------------------------------------------- */

static char *tmpfs_words(struct mount_spec *m, const char *text)
{
    struct mount_words w = {.flags = MS_NOSUID | MS_NODEV | MS_NOEXEC};
    char *bad = mount_words_parse(text, WORDS_TMPFS, &w), *why = NULL;

    if (bad)
        why = str_fmt("invalid tmpfs option [\"%s\"]", bad);
    free(bad);
    m->flags = w.flags;
    m->options = w.data.data ? buf_take(&w.data) : str_dup("");
    m->mode = str_dup(text);
    return why;
}

char *parse_tmpfs(struct container *c, const struct json *j)
{
    struct mount_spec m = {0};
    char *why = NULL;

    if (j->type != JSON_STRING)
        return str_fmt("invalid tmpfs options for '%s'", j->key);
    m.target = mount_target(j->key, &why);
    why = why ? why : tmpfs_words(&m, j->str);
    return mount_add(c, m, why);
}

/* ---- --mount --------------------------------------------------------------------------------- */

/* A field that this kind of mount has no use for, or that is not to be had. */
static char *mount_refuse(const struct json *j, const char *type)
{
    static const struct {
        const char *type, *key;
    } keys[] = {{"bind", "BindOptions"}, {"volume", "VolumeOptions"}, {"tmpfs", "TmpfsOptions"}};
    const char *propagation = json_str(json_get(j, "BindOptions"), "Propagation");
    const struct json *v = json_get(j, "VolumeOptions");

    for (int i = 0; i < 3; i++)
        if (strcmp(type, keys[i].type) && json_list(j, keys[i].key))
            return str_fmt("invalid mount config for type \"%s\": field %s must not be specified",
                           type, keys[i].key);
    if (propagation && *propagation && strcmp(propagation, "rprivate") &&
        strcmp(propagation, "private"))
        return str_fmt("mount propagation \"%s\" is not supported", propagation);
    if (json_list(v, "Labels"))
        return str_dup("labels of a volume in a mount are not supported: create it first");
    if (json_list(json_get(v, "DriverConfig"), "Options") ||
        (json_str(json_get(v, "DriverConfig"), "Name") &&
         strcmp(json_str(json_get(v, "DriverConfig"), "Name"), "local") &&
         *json_str(json_get(v, "DriverConfig"), "Name")))
        return str_dup("volume drivers and their options are not supported");
    if (json_str(v, "Subpath") && *json_str(v, "Subpath"))
        return str_dup("volume subpaths are not supported");
    return NULL;
}

static char *mount_of_bind(struct mount_spec *m, const struct json *j, const char *source)
{
    const struct json *o = json_get(j, "BindOptions");
    struct stat st;

    if (*source != '/')
        return str_fmt(
            "invalid mount config for type \"bind\": invalid mount path: '%s' mount path "
            "must be absolute",
            source);
    m->make = json_bool(o, "CreateMountpoint");
    m->flat = json_bool(o, "NonRecursive");
    if (!m->make && stat(source, &st) < 0)
        return str_fmt(
            "invalid mount config for type \"bind\": bind source path does not exist: %s", source);
    return mount_source(m, source);
}

static char *mount_of_tmpfs(struct mount_spec *m, const struct json *j)
{
    const struct json *o = json_get(j, "TmpfsOptions");
    int64_t size = json_int(o, "SizeBytes", 0), mode = json_int(o, "Mode", 0);
    struct buf words = {0};
    char *why;

    if (json_str(j, "Source") && *json_str(j, "Source"))
        return str_dup(
            "invalid mount config for type \"tmpfs\": field Source must not be specified");
    if (size < 0 || mode < 0 || mode > 07777)
        return str_dup("invalid mount config for type \"tmpfs\": bad SizeBytes or Mode");
    buf_str(&words, json_bool(j, "ReadOnly") ? "ro" : "rw");
    if (mode)
        buf_fmt(&words, ",mode=%o", (unsigned)mode);
    if (size)
        buf_fmt(&words, ",size=%lld", (long long)size);
    for (struct json *one = json_list(o, "Options"); one; one = one->next) {
        const struct json *name = one->child, *value = name ? name->next : NULL;

        if (!name || name->type != JSON_STRING || (value && value->type != JSON_STRING))
            return str_dup("invalid mount config for type \"tmpfs\": bad Options");
        buf_fmt(&words, ",%s%s%s", name->str, value ? "=" : "", value ? value->str : "");
    }
    why = tmpfs_words(m, words.data);
    buf_free(&words);
    return why;
}

char *parse_mount(struct container *c, const struct json *j)
{
    const char *type = json_str(j, "Type"), *source = json_str(j, "Source");
    const char *target = json_str(j, "Target");
    struct mount_spec m = {0};
    char *why = NULL;

    type = type ? type : "";
    source = source ? source : "";
    if (strcmp(type, "tmpfs") && strcmp(type, "bind") && strcmp(type, "volume"))
        return str_fmt("mount type \"%s\" is not supported", type);
    if (!target || !*target)
        return str_fmt("invalid mount config for type \"%s\": field Target must not be empty",
                       type);
    why = mount_refuse(j, type);
    if (why)
        return why;
    m.target = mount_target(target, &why);
    if (why)
        return why;
    if (!strcmp(type, "tmpfs")) {
        why = mount_of_tmpfs(&m, j);
    } else {
        m.flags = json_bool(j, "ReadOnly") ? MS_RDONLY : 0;
        if (!strcmp(type, "bind"))
            why = mount_of_bind(&m, j, source);
        else if (*source)
            why = volume_named(&m, source);
        else
            volume_anonymous(&m);
        m.fill = m.fill && !json_bool(json_get(j, "VolumeOptions"), "NoCopy");
    }
    return mount_add(c, m, why);
}

/* ---- those of another container -------------------------------------------------------------- */

static struct mount_spec mount_copy(const struct mount_spec *from)
{
    struct mount_spec m = *from;

    m.source = from->source ? str_dup(from->source) : NULL;
    m.target = str_dup(from->target);
    m.options = from->options ? str_dup(from->options) : NULL;
    m.mode = from->mode ? str_dup(from->mode) : NULL;
    m.volume = from->volume ? str_dup(from->volume) : NULL;
    m.anonymous = false; /* the other container's */
    return m;
}

/* What `from` mounts of volumes and of the host; a target of our own wins. */
static char *volumes_of_container(struct container *c, struct map *targets,
                                  const struct container *from, unsigned long flags)
{
    char *why = NULL;

    for (int i = 0; !why && i < from->shared.nmounts; i++) {
        const struct mount_spec *one = &from->shared.mounts[i];
        struct mount_spec m;

        if (!one->source || map_find(targets, one->target))
            continue;
        m = mount_copy(one);
        m.flags |= flags;
        map_put(targets, one->target, c);
        why = mount_add(c, m, NULL);
    }
    return why;
}

/* NAME[:ro|:rw|...]. *left is how many mounts may still be looked at: the event loop waits. */
static char *volumes_from(struct container *c, struct map *targets, const char *text, int *left)
{
    char *name = str_dupn(text, strcspn(text, ":"));
    const char *mode = text[strlen(name)] ? text + strlen(name) + 1 : NULL;
    struct mount_words w = {0};
    char *bad = mode ? mount_words_parse(mode, WORDS_BIND, &w) : NULL, *why = NULL;
    bool ambiguous;
    struct container *from = container_find(name, &ambiguous);

    if (bad || (mode && !*mode) || w.no_copy)
        why = str_fmt("invalid mode: %s", mode);
    else if (!from)
        why = str_fmt("No such container: %s", name);
    if (!why && (*left -= from->shared.nmounts) < 0)
        why = str_dup("too many mounts in VolumesFrom");
    why = why ? why : volumes_of_container(c, targets, from, w.flags);
    free(bad);
    free(name);
    return why;
}

char *parse_volumes_from(struct container *c)
{
    struct map targets = {0};
    int n = 0, left = FROM_MOUNTS_MAX;
    char *why = NULL;

    for (int i = 0; i < c->shared.nmounts; i++)
        map_put(&targets, c->shared.mounts[i].target, c);
    for (struct json *j = json_list(c->host, "VolumesFrom"); j && !why; j = j->next)
        why = ++n > LIST_MAX                      ? str_dup("too many VolumesFrom")
              : j->type == JSON_STRING && *j->str ? volumes_from(c, &targets, j->str, &left)
                                                  : str_dup("invalid volumes-from specification");
    map_free(&targets);
    return why;
}

/* ---- volumes without a name ------------------------------------------------------------------ */

static char *volumes_of(struct container *c, const struct json *volumes)
{
    char *why = volumes && json_count(volumes) > LIST_MAX ? str_dup("too many Volumes") : NULL;

    for (struct json *j = volumes && volumes->type == JSON_OBJECT ? volumes->child : NULL;
         j && !why; j = j->next) {
        struct mount_spec m = {.target = mount_target(j->key, &why)};

        if (why)
            break;
        if (mount_find(c, m.target)) {
            free(m.target);
            continue;
        }
        volume_anonymous(&m);
        why = mount_add(c, m, NULL);
    }
    return why;
}

char *parse_volumes(struct container *c)
{
    char *why = volumes_of(c, json_get(c->config, "Volumes"));

    return why ? why : volumes_of(c, json_get(json_get(c->image->config, "config"), "Volumes"));
}
