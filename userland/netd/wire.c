// SPDX-License-Identifier: MIT
// Bytes in the wire's order; see wire.h.
#include "netd/wire.h"

#include <ctype.h>
#include <string.h>

#define DOMAIN_LABELS 128 /* more than fit into 255 bytes; bounds pointers too */

uint32_t wire_sum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (; len > 1; p += 2, len -= 2)
        sum += wire_u16(p);
    if (len)
        sum += (uint32_t)*p << 8;
    return (sum & 0xffff) + (sum >> 16);
}

uint16_t wire_sum_end(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint32_t wire_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ z >> 31) >> 16);
}

uint32_t wire_between(uint64_t *state, uint32_t from, uint32_t to)
{
    return from + (uint32_t)((uint64_t)wire_random(state) * ((uint64_t)(to - from) + 1) >> 32);
}

static bool domain_char(uint8_t c)
{
    return isalnum(c) || c == '-' || c == '_';
}

/* One label behind what `out` has, with a dot between. */
static bool domain_label(const uint8_t *p, size_t n, char *out, size_t size)
{
    size_t have = strlen(out);

    if (have + 1 + n + 1 > size || p[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!domain_char(p[i]))
            return false;
    if (have)
        out[have++] = '.';
    memcpy(out + have, p, n);
    out[have + n] = 0;
    return true;
}

bool wire_domain(const uint8_t *start, const uint8_t *p, size_t len, size_t *at, char *out,
                 size_t size)
{
    size_t here = *at, n;
    bool jumped = false;

    out[0] = 0;
    for (int label = 0; label < DOMAIN_LABELS; label++) {
        if (here >= len)
            return false;
        n = p[here];
        if (n == 0) {
            *at = jumped ? *at : here + 1;
            return true;
        }
        if (n >= 0xc0 && start == p && here + 1 < len) { /* RFC 1035 4.1.4 */
            size_t to = (n & 0x3f) << 8 | p[here + 1];

            if (to >= here)
                return false;
            *at = jumped ? *at : here + 2;
            jumped = true;
            here = to;
            continue;
        }
        if (n > 63 || n > len - here - 1 || !domain_label(p + here + 1, n, out, size))
            return false;
        here += n + 1;
    }
    return false;
}

void domain_add(char *list, size_t size, const char *domain)
{
    size_t have = strlen(list), n = strlen(domain);

    if (!n || have + n + 2 > size)
        return;
    for (const char *s = list; *s; s += strcspn(s, " "), s += *s == ' ')
        if (strcspn(s, " ") == n && !memcmp(s, domain, n))
            return;
    if (have)
        list[have++] = ' ';
    memcpy(list + have, domain, n + 1);
}
