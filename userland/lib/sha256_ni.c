// SPDX-License-Identifier: MIT
// SHA-256 by the processor's SHA extensions (SDM 2, SHA256RNDS2: two rounds over the state as the
// words {a,b,e,f} and {c,d,g,h}, SHA256MSG1 and SHA256MSG2: four words of the schedule).
#include <cpuid.h>
#include <immintrin.h>

#include "lib/sha256_priv.h"

#define NI __attribute__((target("sha,sse4.1,ssse3")))

bool sha256_ni_there(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSSE3) && (c & bit_SSE4_1) &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

/* Sixty-four rounds over one block's words, which are in w. */
NI static inline void sha256_ni_rounds(__m128i *abef, __m128i *cdgh, __m128i w[4])
{
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i now = w[i % 4];
        __m128i m = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)&sha256_k[4 * i]));

        *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, m);
        *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(m, 0x0e));
        if (i < 12) { /* in the place of these words those of four groups later */
            __m128i last = w[(i + 3) % 4];
            __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(now, w[(i + 1) % 4]),
                                        _mm_alignr_epi8(last, w[(i + 2) % 4], 4));

            w[i % 4] = _mm_sha256msg2_epu32(sum, last);
        }
    }
}

NI void sha256_blocks_ni(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)&state[0]), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)&state[4]), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    __m128i feba, dchg;

    for (; blocks; blocks--, p += 64) {
        __m128i a = abef, c = cdgh, w[4];

        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), order);
        sha256_ni_rounds(&abef, &cdgh, w);
        abef = _mm_add_epi32(abef, a);
        cdgh = _mm_add_epi32(cdgh, c);
    }
    feba = _mm_shuffle_epi32(abef, 0x1b);
    dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}
