// SPDX-License-Identifier: MIT
// The .xz format, version 1.1.0, with its LZMA2 filter, as a byte source over another one.
//
// Streams may follow one another. Every size, checksum and index record is verified. The memory
// for hostile input is bounded: a dictionary of at most 64 MiB; what is not written of it is never
// touched. Other filters (BCJ, delta) are refused by name.
#pragma once

#include "lib/source.h"

struct source *xz_new(struct source *from); /* borrows `from` */
