// SPDX-License-Identifier: MIT
// The keys by which a terminal's client leaves it: control-p and control-q, or what it has asked
// for. They are no input of the program.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define DETACH_KEYS_MAX 32

struct detach_keys {
    uint8_t key[DETACH_KEYS_MAX];
    size_t n, at; /* how many there are, and have come one after the other */
};

/* "ctrl-a,x" and the like; NULL or "" are the usual ones. False when it is no such list. */
bool detach_keys_parse(struct detach_keys *k, const char *text);
/* Appends to *out what of the input is the program's. True when the keys have come: what follows
 * them is dropped. The first keys are held back until it is clear what they are. */
bool detach_keys_feed(struct detach_keys *k, const char *data, size_t len, struct buf *out);
