// SPDX-License-Identifier: MIT
// Detach keys; see detach.h.
#include "engine/detach.h"

#include <string.h>

/* One key of `len` characters; -1 when it is none. */
static int detach_key(const char *text, size_t len)
{
    static const char control[] = "@abcdefghijklmnopqrstuvwxyz[\\]^_"; /* in the order of ASCII */
    const char *at = len == 6 && !memcmp(text, "ctrl-", 5) ? strchr(control, text[5]) : NULL;

    if (len == 3 && !memcmp(text, "DEL", 3))
        return 127;
    return len == 1 ? (unsigned char)*text : at ? (int)(at - control) : -1;
}

bool detach_keys_parse(struct detach_keys *k, const char *text)
{
    bool more = true;

    *k = (struct detach_keys){0};
    for (text = text && *text ? text : "ctrl-p,ctrl-q"; more; text++) {
        size_t len = strcspn(text, ",");
        int key = detach_key(text, len);

        if (key < 0 || k->n == DETACH_KEYS_MAX)
            return false;
        k->key[k->n++] = (uint8_t)key;
        text += len;
        more = *text == ',';
    }
    return true;
}

bool detach_keys_feed(struct detach_keys *k, const char *data, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)data[i];

        if (k->at && c != k->key[k->at]) { /* they were the program's after all */
            buf_add(out, k->key, k->at);
            k->at = 0;
        }
        if (c != k->key[k->at])
            buf_add(out, &c, 1);
        else if (++k->at == k->n)
            return true;
    }
    return false;
}
