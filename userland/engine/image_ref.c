// SPDX-License-Identifier: MIT
// Names of images, as clients and archives give them: one form for all that Docker takes for one.
#include <ctype.h>
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

static bool image_ref_char(char c)
{
    return islower((unsigned char)c) || isdigit((unsigned char)c) || strchr("._-/:", c);
}

/* Of a registry: it stands in the first part, and digits alone follow it there. */
static bool image_ref_port(const char *ref, const char *colon)
{
    size_t digits = strspn(colon + 1, "0123456789");

    return digits && colon[1 + digits] == '/' && !memchr(ref, '/', (size_t)(colon - ref));
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

char *image_ref_normalize(const char *ref)
{
    const char *tag, *p;

    ref = image_ref_short(ref);
    if (!isalnum((unsigned char)*ref) || strlen(ref) > IMAGE_REF_MAX || image_ref_is_id(ref))
        return NULL;
    tag = strrchr(ref, ':');
    if (tag && strchr(tag, '/'))
        tag = NULL; /* a registry's port */
    for (p = ref; *p && p != tag; p++)
        if (!image_ref_char(*p) || (p[0] == '/' && (p[1] == '/' || !p[1])) ||
            (p[0] == ':' && !image_ref_port(ref, p)))
            return NULL;
    if (!tag)
        return str_fmt("%s:latest", ref);
    if (!isalnum((unsigned char)tag[1]) && tag[1] != '_')
        return NULL;
    for (p = tag + 1; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return NULL;
    return strlen(tag + 1) > 128 ? NULL : str_dup(ref);
}
