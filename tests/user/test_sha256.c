// SPDX-License-Identifier: MIT
// SHA-256 by the processor's instructions is what it is in C.
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sha256.h"
#include "lib/sha256_priv.h"

TEST(sha256_of_blocks_is_the_same_either_way)
{
    uint8_t data[64 * 5];
    u64 seed = 3;

    for (int round = 0; round < 200 && sha256_ni_there(); round++) {
        uint32_t one[8], other[8];
        size_t blocks = unit_rand(&seed) % 6;

        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (uint8_t)unit_rand(&seed);
        for (int i = 0; i < 8; i++)
            one[i] = other[i] = (uint32_t)unit_rand(&seed);
        sha256_blocks_plain(one, data, blocks);
        sha256_blocks_ni(other, data, blocks);
        EXPECT(!memcmp(one, other, sizeof(one)));
    }
}

TEST(sha256_of_pieces_is_that_of_the_whole)
{
    char text[1000], want[SHA256_HEX], hex[SHA256_HEX];
    struct sha256 s;
    u64 seed = 4;

    memset(text, 'a', sizeof(text));
    sha256_init(&s);
    sha256_add(&s, "abc", 3);
    sha256_end(&s, hex);
    EXPECT(!strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    sha256_init(&s);
    sha256_add(&s, text, sizeof(text));
    sha256_end(&s, want);
    EXPECT(!strcmp(want, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"));
    for (int round = 0; round < 100; round++) {
        sha256_init(&s);
        for (size_t at = 0, n; at < sizeof(text); at += n) {
            n = 1 + unit_rand(&seed) % 150;
            n = n < sizeof(text) - at ? n : sizeof(text) - at;
            sha256_add(&s, text + at, n);
        }
        sha256_end(&s, hex);
        EXPECT(!strcmp(hex, want));
    }
}
