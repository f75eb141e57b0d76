// SPDX-License-Identifier: MIT
// Users and programs of an image; see image_env.h.
//
// The files are the image's, so untrusted: lines are split by hand, sizes bounded, and a file that
// cannot be read is an empty one.
#include "runtime/image_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/str.h"

#define USERS_FILE_MAX (1024 * 1024)

/* Calls fn for each line, split at colons into 7 fields, until it returns true. */
struct lines {
    struct buf text;
    char *at;
};

static void lines_open(struct lines *l, const char *path)
{
    *l = (struct lines){0};
    if (file_read(path, USERS_FILE_MAX, &l->text))
        buf_clear(&l->text);
    l->at = l->text.data;
}

static bool lines_next(struct lines *l, char *field[7])
{
    char *line = l->at, *end;

    if (!line || !*line)
        return false;
    end = strchr(line, '\n');
    if (end)
        *end = 0;
    l->at = end ? end + 1 : line + strlen(line);
    for (int i = 0; i < 7; i++) {
        char *colon = line ? strchr(line, ':') : NULL;

        field[i] = line ? line : (char *)"";
        if (colon)
            *colon = 0;
        line = colon ? colon + 1 : NULL;
    }
    return true;
}

#define ID_MAX 0x7fffffff

static bool id_parse(const char *text, uint32_t *out)
{
    uint64_t v;

    if (!str_u64(text, &v) || v > ID_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* Digits, with a sign or without: never a name. */
static bool id_numeric(const char *text)
{
    text += *text == '-' || *text == '+';
    return *text && !text[strspn(text, "0123456789")];
}

static char *id_out_of_range(void)
{
    return str_fmt("uids and gids must be in range 0-%d", ID_MAX);
}

/* The passwd line of a name, or of a number. */
static bool passwd_find(const char *user, struct user_ids *out, char *name, size_t size)
{
    struct lines l;
    char *f[7];
    uint32_t want = 0, uid;
    bool number = id_parse(user, &want), found = false;

    lines_open(&l, "/etc/passwd");
    while (!found && lines_next(&l, f)) {
        if (!id_parse(f[2], &uid) || (number ? uid != want : strcmp(f[0], user) != 0))
            continue;
        found = true;
        out->uid = uid;
        if (!id_parse(f[3], &out->gid))
            out->gid = 0;
        snprintf(out->home, sizeof(out->home), "%s", *f[5] ? f[5] : "/");
        snprintf(name, size, "%s", f[0]);
    }
    buf_free(&l.text);
    if (!found && number)
        out->uid = want;
    return found;
}

/* NULL or a sentence. */
static char *group_find(const char *group, uint32_t *out)
{
    struct lines l;
    char *f[7];
    bool found = false;

    if (id_parse(group, out))
        return NULL;
    if (id_numeric(group))
        return id_out_of_range();
    lines_open(&l, "/etc/group");
    while (!found && lines_next(&l, f))
        found = !strcmp(f[0], group) && id_parse(f[2], out);
    buf_free(&l.text);
    return found ? NULL
                 : str_fmt("unable to find group %s: no matching entries in group file", group);
}

static bool list_has(const char *list, const char *name)
{
    size_t n = strlen(name);

    while (*list) {
        size_t m = strcspn(list, ",");

        if (m == n && !memcmp(list, name, n))
            return true;
        list += m + (list[m] == ',');
    }
    return false;
}

static char *group_add(struct user_ids *out, uint32_t gid)
{
    for (int i = 0; i < out->ngroups; i++)
        if (out->groups[i] == gid)
            return NULL;
    if (out->ngroups == USER_GROUPS_MAX)
        return str_fmt("more than %d groups", USER_GROUPS_MAX);
    out->groups[out->ngroups++] = gid;
    return NULL;
}

static char *groups_of(const char *name, struct user_ids *out)
{
    struct lines l;
    char *f[7], *why = NULL;
    uint32_t gid;

    lines_open(&l, "/etc/group");
    while (!why && lines_next(&l, f))
        if (list_has(f[3], name) && id_parse(f[2], &gid))
            why = group_add(out, gid);
    buf_free(&l.text);
    return why;
}

static char *user_find(const char *user, struct user_ids *out, char *name, size_t size)
{
    uint32_t uid;

    if (id_numeric(user) && !id_parse(user, &uid))
        return id_out_of_range();
    if (!passwd_find(user, out, name, size) && !id_numeric(user))
        return str_fmt("unable to find user %s: no matching entries in passwd file", user);
    if (!*name && out->uid == 0)
        snprintf(out->home, sizeof(out->home), "/root");
    return NULL;
}

char *user_lookup(const char *text, char *const *groups, struct user_ids *out)
{
    char *user = str_dup(text ? text : ""), *group = strchr(user, ':'), name[256] = "", *why;
    uint32_t gid;

    if (group)
        *group++ = 0;
    *out = (struct user_ids){.home = "/"};
    why = user_find(*user ? user : "0", out, name, sizeof(name));
    if (!why && group && *group)
        why = group_find(group, &out->gid);
    /* the primary group is a supplementary one too, so that dropping it gains nothing */
    if (!why)
        why = group_add(out, out->gid);
    if (!why && *name && !(group && *group))
        why = groups_of(name, out);
    for (; groups && *groups && !why; groups++) {
        why = group_find(*groups, &gid);
        why = why ? why : group_add(out, gid);
    }
    free(user);
    return why;
}

const char *env_get(char **env, const char *name)
{
    size_t n = strlen(name);

    for (; env && *env; env++)
        if (!strncmp(*env, name, n) && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

char *program_find(const char *name, char **env, char **why)
{
    const char *path = env_get(env, "PATH");
    bool denied = false;

    if (*name && strchr(name, '/'))
        return str_dup(name);
    while (*name && path && *path) {
        size_t n = strcspn(path, ":");
        char *full = str_fmt("%.*s/%s", (int)n, path, name);
        struct stat st;

        /* an empty element is the working directory, where runc runs nothing from either */
        if (n && stat(full, &st) == 0 && S_ISREG(st.st_mode)) {
            if (st.st_mode & 0111)
                return full;
            denied = true;
        }
        free(full);
        path += n + (path[n] == ':');
    }
    *why = str_fmt("exec: \"%s\": %s: unknown", name,
                   denied ? "permission denied" : "executable file not found in $PATH");
    return NULL;
}

char *program_failed(const char *name, const char *program, int err)
{
    struct stat st;

    if (err == EACCES && stat(program, &st) == 0 && S_ISDIR(st.st_mode))
        return str_fmt("exec: \"%s\": is a directory: permission denied: unknown", name);
    if (err == ENOENT)
        return str_fmt("exec: \"%s\": stat %s: no such file or directory: unknown", name, program);
    return str_fmt("exec %s: %s: unknown", program,
                   err == EACCES    ? "permission denied"
                   : err == ENOEXEC ? "exec format error"
                                    : str_error(err));
}
