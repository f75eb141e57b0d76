// SPDX-License-Identifier: MIT
// What a load or a pull holds; see held.h.
#include "engine/held.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

void held_begin(struct held *h, const char *what)
{
    static unsigned count;

    *h = (struct held){.dir = str_fmt("%s/tmp/%s-%u", engine.root, what, count++)};
    dir_make(h->dir, 0700); /* the worker says what is wrong with it */
}

void held_layers(struct held *h, struct job *j, const char *prefix)
{
    size_t n = 0;

    for (struct layer *y = layer_first(); y; y = y->next)
        n++;
    h->layers = mem_alloc((n + 1) * sizeof(struct layer *));
    for (struct layer *y = layer_first(); y; y = y->next) {
        h->layers[h->nlayers++] = layer_get(y);
        if (!j)
            continue;
        job_feed(j, prefix, strlen(prefix));
        job_feed(j, y->id, ID_LEN);
        job_feed(j, "\n", 1);
    }
}

static void held_dir_gone(void *answer)
{
    if (answer)
        answer_done(answer, NULL);
}

/* What went well leaves empty directories. */
void held_end(struct held *h, struct answer *a)
{
    static const char *const dirs[] = {"layers", "images", "tars", "store", ""};

    for (size_t i = 0; i < h->nlayers; i++)
        layer_put(h->layers[i], a);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char *path = str_fmt("%s/%s", h->dir, dirs[i]);

        rmdir(path);
        free(path);
    }
    if (access(h->dir, F_OK) == 0) {
        if (a)
            answer_hold(a);
        tree_discard(h->dir, held_dir_gone, a);
    }
    free(h->layers);
    free(h->dir);
}
