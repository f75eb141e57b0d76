// SPDX-License-Identifier: MIT
// What a process needs to know of the image it runs in: its users, and where its program is.
// Called inside the image's root. Sentences about failures are runc's, and the caller's to free.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define USER_GROUPS_MAX 256

struct user_ids {
    uint32_t uid, gid;
    uint32_t groups[USER_GROUPS_MAX];
    int ngroups;
    char home[256];
};

/* "user[:group]" and further groups (or NULL), names or numbers; "" is root. What is a number is
 * one, for any names, and at most 2^31 - 1. NULL or a sentence. */
char *user_lookup(const char *text, char *const *groups, struct user_ids *out);
const char *env_get(char **env, const char *name); /* of "NAME=VALUE" strings */
/* The program's path, by PATH in env unless it holds a slash; NULL with *why. */
char *program_find(const char *name, char **env, char **why);
/* What to say when execve of `program`, asked for as `name`, gave `err`. */
char *program_failed(const char *name, const char *program, int err);
