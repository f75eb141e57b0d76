// SPDX-License-Identifier: MIT
// What the parts of the load worker ask of each other: load.c (the archive, the report),
// load_formats.c (its manifests), load_layer.c and unpack.c (its layers), lower.c (what lies
// below).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/skeleton.h"
#include "lib/budget.h"
#include "lib/json.h"
#include "lib/source.h"

/* A member of the archive, or a blob of a registry. */
struct member {
    int fd; /* where its bytes are */
    char *name;
    char *link; /* of a link inside the archive, cleaned; or NULL */
    uint64_t offset, size;
    size_t uses; /* how often images name it that are not loaded yet; 0: that is not known */
};

/* Reports one line to the engine and ends the worker; what was unpacked is the engine's to remove.
 */
_Noreturn void load_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Before bytes are written: fails when there is no space for them. */
void load_take(uint64_t bytes, const char *what);
void load_give(uint64_t bytes);       /* bytes of the archive are free again */
void load_return(uint64_t bytes);     /* what was taken is free again */
void load_budget_files(int files[2]); /* the descriptors that it looks at; -1: none */

/* ---- load.c ---- */

/* A member by the name a manifest uses, through links; without one the worker ends: `what` says
 * what names it. */
struct member *load_need(const char *name, const char *what);
/* Its JSON. `digest` is what its own must be, or NULL; its own goes to out_digest unless NULL. */
struct json *load_json(const struct member *m, const char *digest, char *out_digest);
/* Hex digits of "sha256:..." */
const char *load_digest(const char *text, const char *what);

/* The digest of a chain of layers and one more, as OCI has it, in its place; "" is none yet. */
void load_chain(char *chain, const char *diff_id);

/* One image of either format: its configuration, its layers in order and their names. */
struct load_image {
    struct member *config;
    const char *config_digest;
    struct member *layers[LAYERS_MAX];
    const char *digests[LAYERS_MAX];
    size_t nlayers;
    /* Called before and after each of its layers is looked at; or NULL. */
    void (*begun)(size_t layer), (*done)(size_t layer);
};
void load_image(const struct load_image *in, char **tags, size_t ntags);

/* From here on `dir` is the root of a mount namespace that has only it and, below LOAD_STORE, the
 * engine's layers to read: nothing else of the machine has a name, no descriptor leads out, no
 * device can be opened, and what unpacking needs is all that may be done. */
void load_enter(const char *dir, int out_fd, uint64_t more);
#define LOAD_STORE "/store"
/* A process that only unpacks gives up the rights that were load_enter's `more`. */
void load_alone(void);
/* One image alone: its report, or why there is none, goes to out_fd as one line. */
_Noreturn void load_one(int out_fd, const struct load_image *in, char **tags, size_t ntags);

/* ---- load_formats.c ---- */

/* Each image that they name goes to `image`, in order. */
typedef void load_image_fn(const struct load_image *in, char **tags, size_t ntags);
void load_docker(const struct member *manifest, load_image_fn *image);
void load_oci(const struct member *index, load_image_fn *image);

/* ---- load_layer.c ---- */

/* Opens the store's layers, which load_enter() has mounted, for the names in them. */
void load_store_open(void);
/* A decoder for the bytes of `m` over `from`, or NULL when they are plain. */
struct source *load_decoder(const struct member *m, struct source *from);
/* Told how many bytes of a layer, as it is stored, have been unpacked; or NULL. */
extern void (*load_layer_progress)(uint64_t bytes);
/* A layer of an image: what is asked for, and what came of it. */
struct load_layer {
    struct member *m;
    const char *diff_id;
    const char *digest; /* of the blob, or NULL */
    const char *chain;  /* the digest of all layers up to it */
    const char *id;     /* one of the two: struct layer's */
    uint64_t size;
};
/* Unpacks and verifies it, unless it is there already. The layers below it have been given before,
 * bottom first. */
void load_layer(struct load_layer *l);

/* ---- unpack.c ---- */

/* Unpacks a layer tar into the new directory `dir`, whiteouts in overlay form; fails by
 * load_fail(), naming the layer `name` and the entry. True when content of the layers below has got
 * into it. */
bool unpack_layer(struct skeleton *from, const char *dir, const char *name);

/* ---- lower.c ---- */

void lower_clear(void);
void lower_add(int dir); /* a layer's directory, on top of those before; it is taken */
/* What the image has at `path` below the layer at hand: a descriptor to read a file by, O_PATH for
 * all else but directories, and in *where its path without links, to be freed; or -errno. */
int lower_open(const char *path, char **where);
