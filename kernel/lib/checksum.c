/* SPDX-License-Identifier: MIT
 *
 * The Internet checksum (RFC 1071): see checksum.h.
 */
#include "lib/checksum.h"
#include "lib/compiler.h"

typedef u32 __attribute__((may_alias, aligned(1))) checksum_u32;
typedef u16 __attribute__((may_alias, aligned(1))) checksum_u16;

/* Words of 32 bits into 64: no carry is lost before 2^32 of them. */
u64 checksum_add(u64 sum, const void *data, size_t n)
{
    const u8 *p = data;

    sum = (sum & 0xffffffff) + (sum >> 32);
    for (; n >= 16; p += 16, n -= 16) {
        const checksum_u32 *w = (const checksum_u32 *)p;

        sum += (u64)w[0] + w[1] + w[2] + w[3];
    }
    if (n & 8) {
        const checksum_u32 *w = (const checksum_u32 *)p;

        sum += (u64)w[0] + w[1];
        p += 8;
    }
    if (n & 4) {
        sum += *(const checksum_u32 *)p;
        p += 4;
    }
    if (n & 2) {
        sum += *(const checksum_u16 *)p;
        p += 2;
    }
    if (n & 1)
        sum += *p;
    return sum;
}
