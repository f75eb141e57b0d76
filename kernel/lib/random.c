/* SPDX-License-Identifier: MIT
 *
 * The generator of random.h.
 *
 * The state is one 256-bit key. A step runs one block under the lock: its first half becomes the
 * next key, its second half is the answer. Small requests share the answer of one step, each byte
 * of which is given out once and wiped; one of more than 32 bytes takes a whole answer as the key
 * of a private stream produced without the lock. Mixing XORs 32 bytes into the key, runs a block
 * of it, and wipes what is left of the last answer.
 */
#include "lib/random.h"
#include "lib/atomic.h"
#include "lib/compiler.h"
#include "lib/string.h"
#include "lib/up.h"

#define RANDOM_RESEED_EVERY 256 /* steps between two looks at the CPU's generator */
#define RANDOM_READY_BITS 128
#define RANDOM_KEY_SIZE 32

/* First nonce word: keeps the uses of one key apart. */
enum random_use { RANDOM_USE_NEXT, RANDOM_USE_MIX, RANDOM_USE_STREAM };

static struct {
    u32 key[8];               /* l */
    u8 rest[RANDOM_KEY_SIZE]; /* l of the last answer: its last `left` bytes, before them zeros */
    u32 left;                 /* l */
    u32 steps;                /* l */
    u32 bits;                 /* l credited so far, saturated */
    atomic_t lock;            /* interrupts off while held */
} random_state;

static u64 random_lock(void)
{
    u64 flags = up_irq_save();

    while (atomic_xchg(&random_state.lock, 1)) {
        while (atomic_read(&random_state.lock))
            cpu_relax();
    }
    return flags;
}

static void random_unlock(u64 flags)
{
    atomic_store_release(&random_state.lock, 0);
    up_irq_restore(flags);
}

static inline u32 random_rotl(u32 x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static inline void random_quarter(u32 *a, u32 *b, u32 *c, u32 *d)
{
    *a += *b;
    *d = random_rotl(*d ^ *a, 16);
    *c += *d;
    *b = random_rotl(*b ^ *c, 12);
    *a += *b;
    *d = random_rotl(*d ^ *a, 8);
    *c += *d;
    *b = random_rotl(*b ^ *c, 7);
}

void random_chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64])
{
    u32 in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    u32 x[16];

    memcpy(in + 4, key, RANDOM_KEY_SIZE);
    in[12] = counter;
    memcpy(in + 13, nonce, 12);
    memcpy(x, in, sizeof(x));
    for (int i = 0; i < 10; i++) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++)
            random_quarter(&x[c], &x[4 + c], &x[8 + c], &x[12 + c]);
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++)
            random_quarter(&x[c], &x[4 + (c + 1) % 4], &x[8 + (c + 2) % 4], &x[12 + (c + 3) % 4]);
    }
    for (int i = 0; i < 16; i++)
        x[i] += in[i];
    memcpy(out, x, sizeof(x));
    memzero(x, sizeof(x));
    memzero(in, sizeof(in));
}

static void random_block(const u32 key[8], u32 counter, enum random_use use, u8 out[64])
{
    const u32 nonce[3] = {use, 0, 0};

    random_chacha20_block(key, counter, nonce, out);
}

static void random_mix_locked(const void *data, size_t size)
{
    const u8 *p = data;
    u8 block[64];

    while (size) {
        size_t n = MIN(size, (size_t)RANDOM_KEY_SIZE);
        u8 *key = (u8 *)random_state.key;

        for (size_t i = 0; i < n; i++)
            key[i] ^= p[i];
        random_block(random_state.key, (u32)n, RANDOM_USE_MIX, block);
        memcpy(random_state.key, block, RANDOM_KEY_SIZE);
        p += n;
        size -= n;
    }
    memzero(block, sizeof(block));
    memzero(random_state.rest, sizeof(random_state.rest));
    random_state.left = 0;
}

static void random_credit_locked(unsigned bits)
{
    random_state.bits = MIN(random_state.bits + MIN(bits, 4096u), 4096u);
}

/* Takes what the CPU has to give; called with the lock held. */
static void random_reseed_locked(void)
{
    u64 words[5] = {up_cycles()};
    unsigned n = 1;

    while (n < ARRAY_SIZE(words) && up_entropy(&words[n]))
        n++;
    random_mix_locked(words, n * sizeof(u64));
    /* A word of such an instruction is credited with half its bits. */
    random_credit_locked((n - 1) * 32);
    memzero(words, sizeof(words));
}

void random_mix(const void *data, size_t size)
{
    u64 flags = random_lock();

    random_mix_locked(data, size);
    random_unlock(flags);
}

void random_credit(unsigned bits)
{
    u64 flags = random_lock();

    random_credit_locked(bits);
    random_unlock(flags);
}

bool random_ready(void)
{
    u64 flags = random_lock();

    if (random_state.bits < RANDOM_READY_BITS)
        random_reseed_locked();
    bool ready = random_state.bits >= RANDOM_READY_BITS;

    random_unlock(flags);
    return ready;
}

/* Steps the key: 32 fresh bytes, which nothing else is given. */
static void random_step_locked(u8 out[RANDOM_KEY_SIZE])
{
    u8 block[64];

    if (random_state.steps++ % RANDOM_RESEED_EVERY == 0)
        random_reseed_locked();
    random_block(random_state.key, 0, RANDOM_USE_NEXT, block);
    memcpy(random_state.key, block, RANDOM_KEY_SIZE);
    memcpy(out, block + RANDOM_KEY_SIZE, RANDOM_KEY_SIZE);
    memzero(block, sizeof(block));
}

static void random_next(u8 out[RANDOM_KEY_SIZE])
{
    u64 flags = random_lock();

    random_step_locked(out);
    random_unlock(flags);
}

/* At most 32 bytes, from what is left of the last answer or a new one. */
static void random_few(u8 *out, u32 size)
{
    u64 flags = random_lock();
    u8 *from;

    if (random_state.left < size) {
        random_step_locked(random_state.rest);
        random_state.left = RANDOM_KEY_SIZE;
    }
    from = random_state.rest + RANDOM_KEY_SIZE - random_state.left;
    memcpy(out, from, size);
    memzero(from, size);
    random_state.left -= size;
    random_unlock(flags);
}

void random_bytes(void *out, size_t size)
{
    u32 key[8];
    u8 block[64];
    u8 *p = out;

    if (size <= RANDOM_KEY_SIZE) {
        random_few(p, (u32)size);
        return;
    }
    random_next((u8 *)key);
    for (u64 i = 0; size; i++) {
        size_t n = MIN(size, sizeof(block));

        /* 2^32 blocks are 256 GiB: then a new key. */
        if (i && !(u32)i)
            random_next((u8 *)key);
        random_block(key, (u32)i, RANDOM_USE_STREAM, block);
        memcpy(p, block, n);
        p += n;
        size -= n;
    }
    memzero(block, sizeof(block));
    memzero(key, sizeof(key));
}
