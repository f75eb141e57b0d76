// SPDX-License-Identifier: MIT
// What the two halves of the load worker (load.c, unpack.c) ask of each other.
#pragma once

#include "lib/source.h"

/* Reports one line to the engine, removes what was unpacked, ends the worker. */
_Noreturn void load_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Unpacks a layer tar into the new directory `dir`, whiteouts in overlay form; fails by
 * load_fail(), naming the layer `name` and the entry. */
void unpack_layer(struct source *from, const char *dir, const char *name);
