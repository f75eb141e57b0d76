// SPDX-License-Identifier: MIT
// Base64; see base64.h.
#include "lib/base64.h"

#include <errno.h>
#include <string.h>

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *b, const void *data, size_t len)
{
    const uint8_t *p = data;

    buf_add(b, "", 0);
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                        (have > 2 ? p[i + 2] : 0);

        for (size_t c = 0; c < 4; c++)
            buf_char(b, c <= have ? base64_letters[bits >> (18 - 6 * c) & 63] : '=');
    }
}

static int base64_value(char c)
{
    const char *at = c ? strchr(base64_letters, c) : NULL;

    if (c == '-')
        return 62;
    if (c == '_')
        return 63;
    return at ? (int)(at - base64_letters) : -1;
}

int base64_decode(struct buf *b, const char *text)
{
    uint32_t held = 0;
    unsigned bits = 0;
    size_t n = 0;

    for (; *text && *text != '='; text++, n++) {
        int value = base64_value(*text);

        if (value < 0)
            return -EINVAL;
        held = held << 6 | (uint32_t)value;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        buf_char(b, (char)(held >> bits));
        held &= (1u << bits) - 1;
    }
    return n % 4 != 1 && strspn(text, "=") == strlen(text) && strlen(text) < 3 ? 0 : -EINVAL;
}
