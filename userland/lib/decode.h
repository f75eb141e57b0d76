// SPDX-License-Identifier: MIT
// Which compressed format some bytes are in, and the decoder for it.
#pragma once

#include "lib/source.h"

enum decode_kind { DECODE_PLAIN, DECODE_GZIP, DECODE_BZIP2, DECODE_XZ, DECODE_ZSTD };

#define DECODE_HEAD 6 /* bytes to tell by; fewer will do when there are no more */

enum decode_kind decode_detect(const uint8_t *head, size_t len);
/* NULL for plain bytes. Borrows `from`; source_free() frees it. */
struct source *decode_new(enum decode_kind kind, struct source *from);
