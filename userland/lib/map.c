// SPDX-License-Identifier: MIT
// Objects by name; see map.h.
#include "lib/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/checksum.h"
#include "lib/str.h"

#define MAP_PLACES_MIN 64

struct map_entry {
    struct map_entry *next;
    const char *name;
    void *object;
};

static uint64_t map_sum(const char *name)
{
    static char secret[33]; /* a whole block of the sum */
    struct xxh64 sum;

    if (!*secret)
        random_hex(secret, 32);
    xxh64_init(&sum);
    xxh64_add(&sum, secret, 32);
    xxh64_add(&sum, name, strlen(name));
    return xxh64_end(&sum);
}

/* What leads to the name's entry, or to NULL where it would be. */
static struct map_entry **map_at(const struct map *m, const char *name)
{
    struct map_entry **at = &m->place[map_sum(name) & (m->places - 1)];

    while (*at && strcmp((*at)->name, name))
        at = &(*at)->next;
    return at;
}

static void map_grow(struct map *m)
{
    struct map old = *m;

    m->places = old.places ? 2 * old.places : MAP_PLACES_MIN;
    m->place = mem_alloc(m->places * sizeof(struct map_entry *));
    for (size_t i = 0; i < old.places; i++) {
        for (struct map_entry *e = old.place[i], *next; e; e = next) {
            struct map_entry **at = map_at(m, e->name);

            next = e->next;
            e->next = NULL;
            *at = e;
        }
    }
    free(old.place);
}

void *map_find(const struct map *m, const char *name)
{
    struct map_entry *e = m->count ? *map_at(m, name) : NULL;

    return e ? e->object : NULL;
}

void map_put(struct map *m, const char *name, void *object)
{
    struct map_entry **at;

    if (m->count >= m->places)
        map_grow(m);
    at = map_at(m, name);
    if (!*at) {
        *at = mem_alloc(sizeof(**at));
        m->count++;
    }
    (*at)->name = name;
    (*at)->object = object;
}

void map_remove(struct map *m, const char *name)
{
    struct map_entry **at = m->count ? map_at(m, name) : NULL, *e = at ? *at : NULL;

    if (!e)
        return;
    *at = e->next;
    m->count--;
    free(e);
}

void map_free(struct map *m)
{
    for (size_t i = 0; i < m->places; i++)
        for (struct map_entry *e = m->place[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    free(m->place);
    *m = (struct map){0};
}
