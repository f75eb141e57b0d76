// SPDX-License-Identifier: MIT
// Which of a terminal's keys are its program's.
#include <string.h>

#include "engine/detach.h"
#include "harness.h"

/* Whether the client leaves after two pieces of input, 1 or 0; -1 when the program's part of them
 * is another. */
static int detach_says(const char *keys, const char *one, const char *two, const char *program)
{
    struct detach_keys k;
    struct buf out = {0};
    bool leaves, same = detach_keys_parse(&k, keys);

    leaves = detach_keys_feed(&k, one, strlen(one), &out) ||
             detach_keys_feed(&k, two, strlen(two), &out);
    same = same && out.len == strlen(program) && !memcmp(out.len ? out.data : "", program, out.len);
    buf_free(&out);
    return same ? leaves : -1;
}

TEST(detach_keys_are_no_input)
{
    EXPECT(detach_says(NULL, "ab\x10", "\x11more", "ab") == 1);
    EXPECT(detach_says("", "\x10\x10\x11", "", "\x10") == 1);
    EXPECT(!detach_says(NULL, "a\x10", "b\x11",
                        "a\x10"
                        "b\x11"));
    EXPECT(detach_says(NULL, "a\x10", "", "a") == 0);
    EXPECT(detach_says("ctrl-@,x", "x", "", "x") == 0);
    EXPECT(detach_says("a", "bba", "", "bb") == 1);
    EXPECT(detach_says("ctrl-],ctrl-_,DEL", "\x1d\x1f", "\x7f", "") == 1);
}

TEST(detach_keys_that_are_none_are_refused)
{
    static const char *const bad[] = {",",
                                      "ctrl-",
                                      "ctrl-1",
                                      "ctrl-pp",
                                      "ab",
                                      "ctrl-p,,ctrl-q",
                                      "ctrl-p,",
                                      ",ctrl-p",
                                      "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                                      "a,a,a"};
    struct detach_keys k;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(!detach_keys_parse(&k, bad[i]));
    EXPECT(detach_keys_parse(&k, "ctrl-\\,ctrl-^,q") && k.n == 3 && k.key[0] == 28 &&
           k.key[1] == 30);
}
