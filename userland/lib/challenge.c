// SPDX-License-Identifier: MIT
// Challenges; see challenge.h.
#include "lib/challenge.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lib/str.h"

static size_t challenge_token(const char *s)
{
    size_t n = 0;

    while (isalnum((unsigned char)s[n]) || (s[n] && strchr("!#$%&'*+-.^_`|~", s[n])))
        n++;
    return n;
}

static bool challenge_is(const char *s, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (tolower((unsigned char)s[i]) != name[i])
            return false;
    return !name[n];
}

/* A token or a quoted string: the bytes it takes, 0 when it is neither or too long. `out` may be
 * NULL. */
static size_t challenge_value(const char *s, char *out)
{
    size_t n = 0, at = 1;

    if (*s != '"') {
        n = challenge_token(s);
        if (n >= CHALLENGE_TEXT_MAX)
            return 0;
        if (out)
            memcpy(out, s, n), out[n] = 0;
        return n;
    }
    for (; s[at] != '"'; at++) {
        if (s[at] == '\\')
            at++;
        if (!s[at] || n == CHALLENGE_TEXT_MAX - 1)
            return 0;
        if (out)
            out[n] = s[at];
        n++;
    }
    if (out)
        out[n] = 0;
    return at + 1;
}

/* Where a parameter of the bearer's goes; NULL when it is of no use, or is there already. */
static char *challenge_place(struct challenge *c, const char *name, size_t n)
{
    char *out = challenge_is(name, n, "realm")     ? c->realm
                : challenge_is(name, n, "service") ? c->service
                : challenge_is(name, n, "scope")   ? c->scope
                                                   : NULL;

    return out && !*out ? out : NULL;
}

static const char *challenge_skip(const char *s, const char *what)
{
    return s + strspn(s, what);
}

/* A scheme begins here when what follows the word is no '='. */
static const char *challenge_scheme(struct challenge *c, const char *s, size_t n, bool *counts)
{
    *counts = challenge_is(s, n, "bearer") && !c->bearer;
    c->bearer = c->bearer || *counts;
    c->basic = c->basic || challenge_is(s, n, "basic");
    return challenge_skip(s + n, " \t");
}

int challenge_add(struct challenge *c, const char *value)
{
    const char *s = challenge_skip(value, " \t,");
    bool counts = false; /* the parameters are the bearer's */

    while (*s) {
        size_t n = challenge_token(s), taken;
        const char *equals = challenge_skip(s + n, " \t");
        char *place;

        if (!n)
            return -EINVAL;
        if (*equals != '=') {
            s = challenge_scheme(c, s, n, &counts);
        } else {
            equals = challenge_skip(equals + 1, " \t");
            place = counts ? challenge_place(c, s, n) : NULL;
            taken = challenge_value(equals, place);
            if (!taken && place)
                *place = 0;
            if (!taken)
                return -EINVAL;
            s = equals + taken;
        }
        s = challenge_skip(s, " \t,");
    }
    return 0;
}
