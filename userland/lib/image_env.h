// SPDX-License-Identifier: MIT
// What a process needs to know of the image it runs in: its users, and where its program is.
// Called inside the image's root. Sentences about failures are runc's, and the caller's to free.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct user_ids {
    uint32_t uid, gid;
    uint32_t groups[64];
    int ngroups;
    char home[256];
};

/* "user[:group]", names or numbers; "" is root. NULL or a sentence. */
char *user_lookup(const char *text, struct user_ids *out);
const char *env_get(char **env, const char *name); /* of "NAME=VALUE" strings */
/* The program's path, by PATH in env unless it holds a slash; NULL with *why. */
char *program_find(const char *name, char **env, char **why);
/* What to say when execve of `program`, asked for as `name`, gave `err`. */
char *program_failed(const char *name, const char *program, int err);
