// SPDX-License-Identifier: MIT
// Base64 (RFC 4648): of headers with credentials. Pure.
#pragma once

#include "lib/buf.h"

void base64_encode(struct buf *b, const void *data, size_t len); /* the usual letters, padded */
/* Either alphabet, padded or not, and nothing else: 0 or -EINVAL, with what came before it. */
int base64_decode(struct buf *b, const char *text);
