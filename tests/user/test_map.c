// SPDX-License-Identifier: MIT
// Objects by name, beside an array that says the same.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/map.h"

#define NAMES 5000

TEST(map_agrees_with_an_array_under_random_churn)
{
    static char name[NAMES][16];
    static void *want[NAMES];
    struct map m = {0};
    size_t count = 0;

    srand(1);
    for (int i = 0; i < NAMES; i++)
        snprintf(name[i], sizeof(name[i]), "name%d", i);
    EXPECT(!map_find(&m, "none"));
    map_remove(&m, "none");
    for (int turn = 0; turn < 20 * NAMES; turn++) {
        int i = rand() % NAMES;

        if (rand() % 3) {
            count += !want[i];
            want[i] = &want[rand() % NAMES];
            map_put(&m, name[i], want[i]);
        } else {
            count -= !!want[i];
            want[i] = NULL;
            map_remove(&m, name[i]);
        }
    }
    EXPECT(m.count == count);
    for (int i = 0; i < NAMES; i++)
        EXPECT(map_find(&m, name[i]) == want[i]);
    for (int i = 0; i < NAMES; i++)
        map_remove(&m, name[i]);
    EXPECT(!m.count && !map_find(&m, name[0]));
    free(m.place);
}
