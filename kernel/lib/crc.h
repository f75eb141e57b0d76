/* SPDX-License-Identifier: MIT
 *
 * Cyclic redundancy checks, bit-reflected; they need no set-up.
 * `crc` is 0 for a new message, or the result so far to continue one.
 */
#pragma once

#include "lib/types.h"

/* IEEE 802.3 (gzip, zip, GPT): polynomial 0x04c11db7. */
u32 crc32(u32 crc, const void *data, size_t n);

/* Castagnoli (ext4, iSCSI): polynomial 0x1edc6f41. */
u32 crc32c(u32 crc, const void *data, size_t n);
