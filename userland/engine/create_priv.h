// SPDX-License-Identifier: MIT
// What the parts of judging a create request share: create.c (the process), create_mounts.c,
// create_judge.c (what must not be dropped in silence).
#pragma once

#include "engine/engine.h"

/* What is written of a container is to be read again (container_store.c), its mounts too. */
#define CREATE_VALUES_MAX (JSON_NODES_MAX - 16 * LIST_MAX)
#define LIST_MAX 4096 /* arguments, variables, mounts ... of one container */

/* Each gives NULL, or why the request is refused, to be freed. */

/* ---- create_mounts.c ---- */

char *parse_bind(struct container *c, const struct json *j);
char *parse_mount(struct container *c, const struct json *j);
char *parse_tmpfs(struct container *c, const struct json *j);
char *parse_volumes_from(struct container *c);
char *parse_volumes(struct container *c); /* last: those that nothing above is mounted at */
/* m goes to the container, unless `why` tells what was wrong with it, or something is now: why. */
char *mount_add(struct container *c, struct mount_spec m, char *why);

/* ---- create_judge.c ---- */

/* Fields that this engine cannot honour, by name; fields it does not know, unless they are empty.
 */
char *judge_request(const struct container *c, const struct json *req);
/* Fields with a meaning of their own: names and addresses, lists of paths, modes. */
char *parse_names(struct container *c);
