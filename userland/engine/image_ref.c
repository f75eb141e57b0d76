// SPDX-License-Identifier: MIT
// Names of images, as clients and archives give them: one form for all that Docker takes for one.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

static bool image_ref_alnum(char c)
{
    return islower((unsigned char)c) || isdigit((unsigned char)c);
}

/* Words of small letters and digits, between them ".", "_", "__" or any number of "-". */
static bool image_ref_component(const char *p, size_t n)
{
    const char *end = p + n;

    for (;;) {
        const char *word = p, *mark;

        while (p < end && image_ref_alnum(*p))
            p++;
        if (p == word)
            return false;
        if (p == end)
            return true;
        mark = p;
        while (p < end && *p == *mark)
            p++;
        if (!strchr("._-", *mark) || (*mark == '.' && p - mark > 1) ||
            (*mark == '_' && p - mark > 2))
            return false;
    }
}

/* Of a registry, whose port its first component may end in. */
static bool image_ref_port(const char *colon, const char *end)
{
    return colon + 1 < end && strspn(colon + 1, "0123456789") == (size_t)(end - colon - 1);
}

/* "[address]" or "[address]:port" of a registry, up to `end`. */
static bool image_ref_address(const char *p, const char *end)
{
    size_t n = 1 + strspn(p + 1, "0123456789abcdefABCDEF:");

    if (n < 3 || p[n] != ']')
        return false;
    p += n + 1;
    return p == end || (*p == ':' && image_ref_port(p, end));
}

/* Components between slashes. */
static bool image_ref_name(const char *ref, size_t n)
{
    const char *end = ref + n;

    for (const char *p = ref, *next;; p = next + 1) {
        const char *colon;

        next = memchr(p, '/', (size_t)(end - p));
        if (p == ref && next && *p == '[') {
            if (!image_ref_address(p, next))
                return false;
            continue;
        }
        colon = p == ref && next ? memchr(p, ':', (size_t)(next - p)) : NULL;
        if (colon && !image_ref_port(colon, next))
            return false;
        if (!image_ref_component(p, (size_t)((colon ? colon : next ? next : end) - p)))
            return false;
        if (!next)
            return true;
    }
}

bool image_ref_tag(const char *tag)
{
    if (!isalnum((unsigned char)*tag) && *tag != '_')
        return false;
    for (const char *p = tag; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return strlen(tag) <= IMAGE_TAG_MAX;
}

/* 64 hex digits are an image's id: as another's name they would hide that image. */
static bool image_ref_is_id(const char *ref)
{
    return strspn(ref, "0123456789abcdef") == ID_LEN && (!ref[ID_LEN] || ref[ID_LEN] == ':');
}

/* Without what Docker leaves out of a name: its own registry, and of that the library. */
static const char *image_ref_short(const char *ref)
{
    static const char library[] = "library/";
    size_t n = str_starts(ref, "docker.io/") ? 10 : str_starts(ref, "index.docker.io/") ? 16 : 0;

    ref += n;
    if (str_starts(ref, library) && !strchr(ref + sizeof(library) - 1, '/'))
        ref += sizeof(library) - 1;
    return ref;
}

/* "NAME[:TAG]@sha256:..." of n bytes before the '@': without the tag, which says nothing then. */
static char *image_ref_of_digest(const char *ref, const char *at)
{
    char *name = str_dupn(ref, (size_t)(at - ref)), *whole = image_ref_normalize(name);
    char *tag = whole ? strrchr(whole, ':') : NULL, *out = NULL;

    if (tag && str_starts(at, "@sha256:") && str_is_hex(at + 8, ID_LEN))
        out = str_fmt("%.*s%s", (int)(tag - whole), whole, at);
    free(whole);
    free(name);
    return out;
}

bool image_ref_is_digest(const char *ref)
{
    return strchr(ref, '@');
}

char *image_ref_normalize(const char *given)
{
    const char *ref = image_ref_short(given), *tag = strrchr(ref, ':');
    size_t n;

    if (strchr(ref, '@'))
        return image_ref_of_digest(ref, strchr(ref, '@'));
    if (tag && strchr(tag, '/'))
        tag = NULL; /* a registry's port */
    n = tag ? (size_t)(tag - ref) : strlen(ref);
    /* what has something to leave out once more would be another name the next time */
    if (n > IMAGE_NAME_MAX || image_ref_is_id(ref) || image_ref_short(ref) != ref ||
        !image_ref_name(ref, n) || (tag && !image_ref_tag(tag + 1)))
        return NULL;
    return tag ? str_dup(ref) : str_fmt("%s:latest", ref);
}
