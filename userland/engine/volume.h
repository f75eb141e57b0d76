// SPDX-License-Identifier: MIT
// Volumes: directories that outlive containers, by name.
//
// A volume has one owner, the list in volume.c; containers that mount it have a reference each,
// from their creation to their removal, whether they run or not. States: life.h. On disk:
//   volumes/<name>/volume.json   the object; without it there is none
//   volumes/<name>/_data/        what containers see
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "engine/life.h"
#include "engine/store.h"

#define VOLUME_NAME_MAX 255
/* On one that was made for a container that did not name it, as Docker does. */
#define VOLUME_ANONYMOUS "com.docker.volume.anonymous"

struct answer;
struct container;
struct json;
struct jw;

struct volume {
    struct volume *next;
    char *name;
    enum volume_state state;
    int refs;            /* containers */
    struct json *labels; /* an object of strings */
    struct timespec created;
    struct store_file file;
    bool dying; /* gone from the list; freed when its file is not being written */
};

/* NULL, or what is wrong with a name, in Docker's words; to be freed. */
char *volume_refuse_name(const char *name);
struct volume *volume_first(void);
struct volume *volume_find(const char *name);
/* A new one, or NULL with *why. `labels` is copied. */
struct volume *volume_create(const char *name, const struct json *labels, char **why);
void volume_save(struct volume *v, store_fn done, void *arg);
/* Unused and on the list: off it at once, from the disk soon; `a` waits for that. */
void volume_remove(struct volume *v, struct answer *a);
bool volume_is_anonymous(const struct volume *v);
const char *volume_label(const struct volume *v, const char *key);
char *volume_path(const char *name); /* of what containers see; to be freed */
void volume_write(struct jw *w, const struct volume *v, int64_t size); /* size -1: not known */
void volumes_open(void);

/* ---- of a container's mounts ---- */

char *volumes_make(struct container *c); /* those that are not there; NULL or why not */
void volumes_use(struct container *c);   /* takes its references */
void volumes_leave(struct container *c); /* drops them */
/* "mount", "unmount": an event of each. */
void volumes_event(const struct container *c, const char *action);
/* Nothing is known of what containers mount that were set aside or left out: while there are such,
 * no volume goes but one that a client names. */
bool volumes_may_go(void);
/* It is gone: those that were made for it alone go with it. */
void volumes_remove_anonymous(struct container *c);
