// SPDX-License-Identifier: MIT
// Variables by their names, however many a client or an image has: by sorting, not in pairs.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

struct env_place {
    const char *text;
    size_t name; /* its length */
    size_t order;
};

static int env_compare(const void *a, const void *b)
{
    const struct env_place *x = a, *y = b;
    int names = memcmp(x->text, y->text, x->name < y->name ? x->name : y->name);

    if (!names && x->name != y->name)
        return x->name < y->name ? -1 : 1;
    return names ? names : x->order < y->order ? -1 : 1;
}

bool env_same(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return n == strcspn(b, "=") && !memcmp(a, b, n);
}

size_t *env_firsts(const char *const *list, size_t n)
{
    struct env_place *place = mem_alloc(n * sizeof(*place));
    size_t *first = mem_alloc(n * sizeof(*first));

    for (size_t i = 0; i < n; i++)
        place[i] = (struct env_place){list[i], strcspn(list[i], "="), i};
    qsort(place, n, sizeof(*place), env_compare);
    for (size_t i = 0; i < n; i++) {
        bool same = i && place[i].name == place[i - 1].name &&
                    !memcmp(place[i].text, place[i - 1].text, place[i].name);

        first[place[i].order] = same ? first[place[i - 1].order] : place[i].order;
    }
    free(place);
    return first;
}
