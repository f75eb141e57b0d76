// SPDX-License-Identifier: MIT
// --mount type=TYPE,source=S,target=T,...: Docker's keys.
#include "cli/run.h"

#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

struct mount_keys {
    const char *type, *source, *target, *propagation, *consistency, *subpath, *driver, *size, *mode;
    bool readonly, nonrecursive, nocopy, create;
    const char *text; /* the whole option, for complaints */
};

static const struct {
    const char *name;
    size_t at;
    bool truth; /* a bool, alone or with a value */
} keys[] = {
#define KEY(name, field, truth)                         \
    {                                                   \
        name, offsetof(struct mount_keys, field), truth \
    }
    KEY("type", type, false),
    KEY("source", source, false),
    KEY("src", source, false),
    KEY("target", target, false),
    KEY("dst", target, false),
    KEY("destination", target, false),
    KEY("readonly", readonly, true),
    KEY("ro", readonly, true),
    KEY("consistency", consistency, false),
    KEY("bind-propagation", propagation, false),
    KEY("bind-nonrecursive", nonrecursive, true),
    KEY("bind-create-src", create, true),
    KEY("volume-nocopy", nocopy, true),
    KEY("volume-subpath", subpath, false),
    KEY("volume-driver", driver, false),
    KEY("tmpfs-size", size, false),
    KEY("tmpfs-mode", mode, false),
#undef KEY
};

_Noreturn static void mount_bad(const struct mount_keys *m, const char *why, const char *what)
{
    cli_usage("invalid argument \"%s\" for \"--mount\" flag: %s%s%s%s", m->text, why,
              what ? " '" : "", what ? what : "", what ? "'" : "");
}

static void mount_key(struct mount_keys *m, char *field)
{
    char *value = strchr(field, '=');

    if (value)
        *value++ = 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        void *at = (char *)m + keys[i].at;

        if (strcmp(keys[i].name, field))
            continue;
        if (!keys[i].truth && !value)
            mount_bad(m, "invalid field, must be a key=value pair:", field);
        if (!keys[i].truth)
            *(const char **)at = value;
        else if (!value || !strcmp(value, "true") || !strcmp(value, "1"))
            *(bool *)at = true;
        else if (strcmp(value, "false") && strcmp(value, "0"))
            mount_bad(m, "invalid value for a boolean:", value);
        return;
    }
    mount_bad(m, "unexpected key", field);
}

static void mount_tmpfs(struct jw *w, const struct mount_keys *m)
{
    uint64_t size = 0;
    char *end = NULL;
    long mode = m->mode ? strtol(m->mode, &end, 8) : 0;

    if (m->size && !str_size(m->size, &size))
        mount_bad(m, "invalid value for tmpfs-size:", m->size);
    if (m->mode && (end == m->mode || *end || mode < 0 || mode > 07777))
        mount_bad(m, "invalid value for tmpfs-mode:", m->mode);
    jw_object(w, "TmpfsOptions");
    jw_int(w, "SizeBytes", (int64_t)size);
    jw_int(w, "Mode", mode);
    jw_object_end(w);
}

static void mount_volume(struct jw *w, const struct mount_keys *m)
{
    jw_object(w, "VolumeOptions");
    jw_bool(w, "NoCopy", m->nocopy);
    if (m->subpath)
        jw_str(w, "Subpath", m->subpath);
    if (m->driver) {
        jw_object(w, "DriverConfig");
        jw_str(w, "Name", m->driver);
        jw_object_end(w);
    }
    jw_object_end(w);
}

static void mount_bind(struct jw *w, const struct mount_keys *m)
{
    jw_object(w, "BindOptions");
    if (m->propagation)
        jw_str(w, "Propagation", m->propagation);
    jw_bool(w, "NonRecursive", m->nonrecursive);
    jw_bool(w, "CreateMountpoint", m->create);
    jw_object_end(w);
}

static void create_mount(struct jw *w, const char *text)
{
    char *copy = str_dup(text), *next = copy, *field;
    struct mount_keys m = {.text = text, .type = "volume"};

    while ((field = strsep(&next, ",")))
        mount_key(&m, field);
    if (!m.target)
        mount_bad(&m, "target is required", NULL);
    jw_object(w, NULL);
    jw_str(w, "Type", m.type);
    if (m.source)
        jw_str(w, "Source", m.source);
    jw_str(w, "Target", m.target);
    jw_bool(w, "ReadOnly", m.readonly);
    if (m.consistency)
        jw_str(w, "Consistency", m.consistency);
    if (m.size || m.mode)
        mount_tmpfs(w, &m);
    if (m.nocopy || m.subpath || m.driver)
        mount_volume(w, &m);
    if (m.propagation || m.nonrecursive || m.create)
        mount_bind(w, &m);
    jw_object_end(w);
    free(copy);
}

void create_mounts(struct jw *w, const struct opt_list *l)
{
    jw_array(w, "Mounts");
    for (int i = 0; i < l->n; i++)
        create_mount(w, l->item[i]);
    jw_array_end(w);
}
