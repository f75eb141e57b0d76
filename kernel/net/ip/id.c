/* SPDX-License-Identifier: MIT
 *
 * Numbers of IPv4 packets that may be cut into fragments. A number comes again after 65536 others,
 * less those that CPUs have taken in advance, so that they share no word for each packet. Which one
 * is next is hidden by a permutation under a secret: what one peer gets says nothing of what others
 * got.
 */
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/random.h"
#include "net/ip/ip_priv.h"

#define ID_BLOCK 64U
#define ID_ROUNDS 4

static u8 id_secret[ID_ROUNDS][256];
static u32 id_blocks; /* a  that CPUs have taken */
static DEFINE_PER_CPU(u32, id_next);

static void id_init(void)
{
    random_bytes(id_secret, sizeof(id_secret));
}
INIT_HOOK(id_init, INIT_CORE);

u16 ip_id(void)
{
    u32 *next = this_cpu_ptr(id_next);
    u8 a, b;

    if (*next % ID_BLOCK == 0)
        *next = __atomic_fetch_add(&id_blocks, 1, __ATOMIC_RELAXED) * ID_BLOCK;
    a = (u8)(*next >> 8);
    b = (u8)*next;
    ++*next;
    for (u32 i = 0; i < ID_ROUNDS; i++) { /* Feistel's: any function of one half will do */
        u8 mixed = a ^ id_secret[i][b];

        a = b;
        b = mixed;
    }
    return (u16)(a << 8 | b);
}
