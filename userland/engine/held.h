// SPDX-License-Identifier: MIT
// What a load or a pull has while it lasts: a directory below tmp/, and references to the layers
// that were in the store when it began, so that a removal meanwhile deletes none of them.
#pragma once

#include "engine/engine.h"
#include "engine/job.h"

struct held {
    char *dir;
    struct layer **layers;
    size_t nlayers;
};

void held_begin(struct held *h, const char *what); /* the directory's name begins so */
/* Takes the references, and tells the worker, unless NULL: a line for each, with that prefix. */
void held_layers(struct held *h, struct job *j, const char *prefix);
/* Nothing works in the directory any more. `a`, which may be NULL, waits for what is removed. */
void held_end(struct held *h, struct answer *a);
