// SPDX-License-Identifier: MIT
// Objects by name. The names may be an attacker's: where they stand depends on a secret of this
// process.
#pragma once

#include <stddef.h>

struct map {
    struct map_entry **place; /* a power of two of them */
    size_t places, count;
};

void *map_find(const struct map *m, const char *name); /* NULL when there is none */
/* In place of what the name stood for. The name is borrowed: it lives as long as it is in here. */
void map_put(struct map *m, const char *name, void *object);
void map_remove(struct map *m, const char *name); /* if it is there */
void map_free(struct map *m);                     /* not the objects */
