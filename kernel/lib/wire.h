/* SPDX-License-Identifier: MIT
 *
 * Numbers of 16 and 32 bits in the bytes of a message, wherever they lie: in the network's order,
 * and, for virtio's headers, with the lowest byte first (le).
 */
#pragma once

#include "lib/types.h"

static inline u16 wire_u16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}
static inline u32 wire_u32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}
/* Return what is behind. */
static inline u8 *wire_put_u16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
    return p + 2;
}
static inline u8 *wire_put_u32(u8 *p, u32 v)
{
    return wire_put_u16(wire_put_u16(p, v >> 16), v);
}
static inline u16 wire_le16(const u8 *p)
{
    return (u16)(p[0] | p[1] << 8);
}
static inline void wire_put_le16(u8 *p, u32 v)
{
    p[0] = (u8)v;
    p[1] = (u8)(v >> 8);
}
