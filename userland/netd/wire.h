// SPDX-License-Identifier: MIT
// Bytes in the wire's order: bounded reading and writing, and the Internet checksum. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t wire_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t wire_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void wire_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void wire_put32(uint8_t *p, uint32_t v)
{
    wire_put16(p, (uint16_t)(v >> 16));
    wire_put16(p + 2, (uint16_t)v);
}

/* The sum of RFC 1071 without its complement; `sum` is that of what stands before, of even length.
 */
uint32_t wire_sum(uint32_t sum, const uint8_t *p, size_t len);
uint16_t wire_sum_end(uint32_t sum); /* folded and complemented */

/* The random numbers of the pure cores: splitmix64 from a seed that the shell draws. */
uint32_t wire_random(uint64_t *state);
/* A number of [from, to]. */
uint32_t wire_between(uint64_t *state, uint32_t from, uint32_t to);

/* A domain of labels (RFC 1035 3.1, without compression unless `start` is given: then a pointer
 * reaches back into it) from *at on, as text into out[0..size): "" is the root. False when it is
 * none, or none of a host's characters; *at is behind it. */
bool wire_domain(const uint8_t *start, const uint8_t *p, size_t len, size_t *at, char *out,
                 size_t size);
/* Adds a domain to a list of them with blanks between, unless it is there or does not fit. */
void domain_add(char *list, size_t size, const char *domain);
