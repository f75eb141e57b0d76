/* SPDX-License-Identifier: MIT
 *
 * The names of guests in a CPU's TLB: never two vCPUs under one, and none twice without a flush.
 */
#include "harness.h"
#include "hv/emul/tlb_tag.h"
#include "lib/compiler.h"

enum { CPUS = 3, VCPUS = 40, TAGS = 16, ROUNDS = 200000 };

/* What a CPU's TLB holds under each tag: the vCPU whose translations they are, and which version of
 * its tables they were made from. */
struct tlb {
    struct tlb_tags pool;
    u32 owner[TAGS], version[TAGS];
};

TEST(tlb_tags_are_shared_by_no_two_vcpus)
{
    static struct tlb cpus[CPUS];
    static struct tlb_tag tags[VCPUS + 1];
    static u32 versions[VCPUS + 1];
    u64 seed = 7;

    for (u32 c = 0; c < CPUS; c++)
        tlb_tags_init(&cpus[c].pool, TAGS);
    for (u32 i = 0; i < ROUNDS; i++) {
        u32 c = unit_rand(&seed) % CPUS, v = 1 + unit_rand(&seed) % VCPUS;
        bool fresh = unit_rand(&seed) % 4 == 0;
        struct tlb *tlb = &cpus[c];

        versions[v] += fresh;
        if (tlb_tag_take(&tlb->pool, c, &tags[v], fresh))
            for (u32 t = 0; t < TAGS; t++)
                tlb->owner[t] = 0;
        u32 tag = tags[v].tag;

        EXPECT(tag > 0 && tag < TAGS);
        EXPECT(!tlb->owner[tag] || (tlb->owner[tag] == v && tlb->version[tag] == versions[v]));
        tlb->owner[tag] = v;
        tlb->version[tag] = versions[v];
        /* A tag of another CPU is given up on moving, as is this one later. */
    }
}

TEST(tlb_tag_is_kept_while_its_vcpu_stays)
{
    struct tlb_tags pool;
    struct tlb_tag a = {0}, b = {0};

    tlb_tags_init(&pool, TAGS);
    EXPECT(tlb_tag_take(&pool, 1, &a, false)); /* what was there before us */
    EXPECT(!tlb_tag_take(&pool, 1, &b, false) && a.tag != b.tag);
    u32 tag = a.tag;

    EXPECT(!tlb_tag_take(&pool, 1, &a, false) && a.tag == tag);
    EXPECT(!tlb_tag_take(&pool, 1, &a, true) && a.tag != tag && a.tag != b.tag);
    tlb_tags_restart(&pool); /* a flush that did not happen is made up for */
    EXPECT(tlb_tag_take(&pool, 1, &b, true));
}
