/* SPDX-License-Identifier: MIT
 *
 * Bitmaps, hashes, checksums, sorting, the byte ring and the random generator.
 */
#include "harness.h"
#include "lib/bitmap.h"
#include "lib/compiler.h"
#include "lib/crc.h"
#include "lib/hash.h"
#include "lib/random.h"
#include "lib/ring.h"
#include "lib/sort.h"

enum { BITS = 300 };

TEST(bitmap_ranges_and_searches_agree_with_single_bits)
{
    u64 seed = 3;

    for (int round = 0; round < 500; round++) {
        BITMAP_DECLARE(map, BITS) = {0};
        bool want[BITS] = {0};

        for (int k = 0; k < 6; k++) {
            size_t start = unit_rand(&seed) % BITS, n = unit_rand(&seed) % (BITS - start + 1);
            bool set = unit_rand(&seed) % 2;

            (set ? bitmap_set_range : bitmap_clear_range)(map, start, n);
            for (size_t i = start; i < start + n; i++)
                want[i] = set;
        }
        size_t weight = 0, size = 200 + unit_rand(&seed) % (BITS - 199);

        for (size_t i = 0; i < size; i++) {
            EXPECT(bitmap_test(map, i) == want[i]);
            weight += want[i];
        }
        EXPECT(bitmap_weight(map, size) == weight);
        size_t from = unit_rand(&seed) % BITS, set = from, zero = from;

        while (set < size && !want[set])
            set++;
        while (zero < size && want[zero])
            zero++;
        EXPECT(bitmap_next_set(map, size, from) == MIN(set, size));
        EXPECT(bitmap_next_zero(map, size, from) == MIN(zero, size));
    }
}

TEST(bitmap_finds_aligned_runs)
{
    BITMAP_DECLARE(map, BITS) = {0};

    bitmap_set_range(map, 0, 10);
    bitmap_set(map, 100);
    EXPECT(bitmap_find_zero_run(map, BITS, 0, 16, 1) == 10);
    EXPECT(bitmap_find_zero_run(map, BITS, 0, 16, 16) == 16);
    EXPECT(bitmap_find_zero_run(map, BITS, 0, 90, 1) == 10);
    EXPECT(bitmap_find_zero_run(map, BITS, 0, 91, 1) == 101);
    EXPECT(bitmap_find_zero_run(map, BITS, 0, 200, 1) == BITS);
    EXPECT(bitmap_find_zero_run(map, BITS, 290, 64, 64) == BITS);
    EXPECT(bitmap_find_zero_run(map, 0, 0, 1, 1) == 0);
}

TEST(checksums_give_the_published_check_values)
{
    EXPECT(crc32(0, "123456789", 9) == 0xcbf43926);
    EXPECT(crc32c(0, "123456789", 9) == 0xe3069283);
    EXPECT(crc32(crc32(0, "1234", 4), "56789", 5) == 0xcbf43926);
}

TEST(hashes_give_the_published_values)
{
    u8 msg[15];
    struct hash_key key = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};

    for (u8 i = 0; i < 15; i++)
        msg[i] = i;
    EXPECT(hash_sip(&key, msg, 15) == 0xa129ca6149be45e5ull);
    EXPECT(hash_sip(&key, msg, 0) == 0x726fdb47dd0e0e31ull);
    EXPECT(hash_fnv1a(HASH_FNV1A_INIT, "a", 1) == 0xaf63dc4c8601ec8cull);
    EXPECT(hash_u64(1) != hash_u64(2));
}

static int small_cmp(const void *a, const void *b, void *ctx)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;

    ++*(int *)ctx;
    return x < y ? -1 : x > y;
}

TEST(sort_orders_any_array)
{
    u64 seed = 1;
    int calls = 0;

    for (size_t n = 0; n < 200; n++) {
        u32 a[200], sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += a[i] = (u32)unit_rand(&seed) % 50;
        sort(a, n, sizeof(a[0]), small_cmp, &calls);
        for (size_t i = 0; i < n; i++) {
            EXPECT(!i || a[i - 1] <= a[i]);
            sum -= a[i];
        }
        EXPECT(!sum);
    }
    EXPECT(calls > 0);
}

TEST(ring_is_a_fifo_of_bytes)
{
    u8 buf[16], in = 0, out = 0;
    struct ring ring;
    u64 seed = 2;

    ring_init(&ring, buf, sizeof(buf));
    ring.head = ring.tail = 0xfffffff0; /* the counters wrap */
    for (int i = 0; i < 2000; i++) {
        u8 data[20];
        u32 n = (u32)(unit_rand(&seed) % 20);

        for (u32 k = 0; k < n; k++)
            data[k] = (u8)(in + k);
        u32 space = ring_space(&ring);
        u32 done = ring_write(&ring, data, n);

        EXPECT(done == MIN(n, space));
        in = (u8)(in + done);
        n = ring_read(&ring, data, (u32)(unit_rand(&seed) % 20));
        for (u32 k = 0; k < n; k++)
            EXPECT(data[k] == out++);
        EXPECT(ring_used(&ring) == (u8)(in - out));
    }
}

TEST(chacha20_gives_the_block_of_rfc_8439)
{
    u32 key[8];
    const u32 nonce[3] = {0x09000000, 0x4a000000, 0};
    static const u8 want[16] = {0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15,
                                0x50, 0x0f, 0xdd, 0x1f, 0xa3, 0x20, 0x71, 0xc4};
    u8 out[64];

    for (u32 i = 0; i < 32; i++)
        ((u8 *)key)[i] = (u8)i;
    random_chacha20_block(key, 1, nonce, out);
    EXPECT(!memcmp(out, want, 16) && out[63] == 0x4e);
}

TEST(random_requests_differ_and_fill_their_buffer)
{
    u8 a[200], b[200];
    size_t same = 0;

    EXPECT(random_ready());
    random_bytes(a, sizeof(a));
    random_mix("x", 1);
    random_bytes(b, sizeof(b));
    for (size_t i = 0; i < sizeof(a); i++)
        same += a[i] == b[i];
    EXPECT(same < 20);
    EXPECT(random_u64() != random_u64());
}

static int small_calls;
static int small_next(void)
{
    return ++small_calls;
}

TEST(the_smaller_and_the_larger_of_two_are_evaluated_once)
{
    small_calls = 0;
    EXPECT(MIN(small_next(), 10) == 1 && MIN(10, small_next()) == 2);
    EXPECT(MAX(small_next(), 0) == 3 && MAX(0, small_next()) == 4);
    EXPECT(MAX(MIN(small_next(), 10), small_next()) == 6 && small_calls == 6);
}
