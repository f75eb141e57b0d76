// SPDX-License-Identifier: MIT
// Addresses; see address.h.
#include "netd/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct address address_v4(uint32_t host_order, unsigned prefix)
{
    struct address a = {.family = AF_INET, .prefix = (uint8_t)prefix};

    for (int i = 0; i < 4; i++)
        a.bytes[i] = (uint8_t)(host_order >> (24 - 8 * i));
    return a;
}

struct address address_v6(const uint8_t bytes[16], unsigned prefix)
{
    struct address a = {.family = AF_INET6, .prefix = (uint8_t)prefix};

    memcpy(a.bytes, bytes, 16);
    return a;
}

size_t address_size(const struct address *a)
{
    return a->family == AF_INET6 ? 16 : 4;
}

uint32_t address_u32(const struct address *a)
{
    return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 |
           a->bytes[3];
}

bool address_same(const struct address *a, const struct address *b)
{
    return a->family == b->family && a->prefix == b->prefix && !memcmp(a->bytes, b->bytes, 16);
}

bool address_host_same(const struct address *a, const struct address *b)
{
    return a->family == b->family && !memcmp(a->bytes, b->bytes, address_size(a));
}

bool address_within(const struct address *a, const struct address *network)
{
    unsigned bytes = network->prefix / 8, bits = network->prefix % 8;

    if (a->family != network->family || a->prefix < network->prefix ||
        memcmp(a->bytes, network->bytes, bytes))
        return false;
    return !bits || !((a->bytes[bytes] ^ network->bytes[bytes]) >> (8 - bits));
}

/* One to three digits. */
static bool address_prefix(const char *s, unsigned most, uint8_t *out)
{
    unsigned n = 0;
    size_t i;

    for (i = 0; s[i] >= '0' && s[i] <= '9' && i < 3; i++)
        n = n * 10 + (unsigned)(s[i] - '0');
    if (!i || s[i] || n > most)
        return false;
    *out = (uint8_t)n;
    return true;
}

bool address_parse(const char *s, size_t len, bool with_prefix, struct address *out)
{
    char text[ADDRESS_TEXT], *slash, *start = text, *end;
    struct address a = {0};

    if (!len || len >= sizeof(text))
        return false;
    memcpy(text, s, len);
    text[len] = 0;
    slash = with_prefix ? strchr(text, '/') : NULL;
    if (slash)
        *slash = 0;
    end = text + strlen(text);
    if (*text == '[') {
        if (end[-1] != ']')
            return false;
        end[-1] = 0;
        start++;
    }
    if (inet_pton(AF_INET6, start, a.bytes) == 1)
        a.family = AF_INET6;
    else if (start == text && inet_pton(AF_INET, start, a.bytes) == 1)
        a.family = AF_INET;
    else
        return false;
    a.prefix = (uint8_t)(8 * address_size(&a));
    if (slash && !address_prefix(slash + 1, a.prefix, &a.prefix))
        return false;
    *out = a;
    return true;
}

char *address_text(const struct address *a, bool with_prefix, char *out)
{
    if (!a->family || !inet_ntop(a->family, a->bytes, out, ADDRESS_TEXT))
        strcpy(out, "-");
    else if (with_prefix)
        snprintf(out + strlen(out), ADDRESS_TEXT - strlen(out), "/%u", a->prefix);
    return out;
}

bool address_v4_usable(uint32_t a)
{
    return a >> 24 && a >> 24 != 127 && a >> 28 < 14;
}

int address_mask_prefix(uint32_t mask)
{
    uint32_t rest = ~mask;

    return rest & (rest + 1) ? -1 : 32 - __builtin_popcount(rest);
}
