// SPDX-License-Identifier: MIT
// What the parts of the image store share: image.c (images and layers), image_publish.c (new
// ones), image_store.c (what is written of them).
#pragma once

#include "engine/engine.h"

extern bool store_opening; /* what is not used may be used by the next entry */

char *store_path(const char *dir, const char *name); /* below the engine's root; to be freed */
/* No image may be added: the configurations of those that there are take too much memory. */
bool image_configs_full(void);
bool layer_is_used(const char *dir);  /* an image is made of the layer in that directory */
void image_unlist(struct image *img); /* it has been removed, and containers may keep it */
/* A reference goes, of an image that was removed: `a` waits for what goes with it. */
void image_drop(struct image *img, struct answer *a);
/* Layers of images that were left out: a load brings them anew. Their directories stay. */
void layers_forget(void);
bool layer_there(const char *dir);  /* on the disk */
bool image_id_ok(const char *text); /* 64 hex digits */
/* The id of a layer of an entry in a report or in images.json. */
const char *layer_entry_id(const struct json *l);
/* An image whose parts are in place, from its entry in a report or in images.json. NULL with *why.
 */
struct image *image_adopt(const struct json *j, const char **why);
/* All tags of an entry in a report are names in their normal form. */
bool image_tags_ok(const struct json *image);
/* Its tags, from the same. With `out`, progress lines for the client that loads it. */
void image_adopt_tags(struct image *img, const struct json *j, struct buf *out);
