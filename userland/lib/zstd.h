// SPDX-License-Identifier: MIT
// The Zstandard format (RFC 8878) as a byte source over another one.
//
// Frames may follow one another, skippable ones among them; content checksums and sizes are
// verified. Memory for hostile input is bounded: a window of at most 128 MiB, as zstd itself has
// it; what is not written of it is never touched. Dictionaries are refused by name.
#pragma once

#include "lib/source.h"

struct source *zstd_new(struct source *from); /* borrows `from` */
