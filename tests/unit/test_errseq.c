/* SPDX-License-Identifier: MIT
 *
 * Errors of write-back: each watcher is told of each once.
 */
#include "harness.h"
#include "lib/errno.h"
#include "lib/errseq.h"

TEST(errseq_tells_each_watcher_of_an_error_once)
{
    struct errseq e = {0};
    u32 a = errseq_sample(&e), b = errseq_sample(&e), late;

    EXPECT(errseq_check(&e, &a) == 0);
    errseq_set(&e, -EIO);
    EXPECT(errseq_check(&e, &a) == -EIO && errseq_check(&e, &a) == 0);
    late = errseq_sample(&e);
    EXPECT(errseq_check(&e, &late) == 0); /* it was told before this one came */
    EXPECT(errseq_check(&e, &b) == -EIO && errseq_check(&e, &b) == 0);
}

TEST(errseq_tells_of_the_same_error_again_when_it_happens_again)
{
    struct errseq e = {0};
    u32 a = errseq_sample(&e);

    for (int i = 0; i < 5000; i++) {
        errseq_set(&e, -EIO);
        errseq_set(&e, -ENOSPC);
        EXPECT(errseq_check(&e, &a) == -ENOSPC && errseq_check(&e, &a) == 0);
    }
}

TEST(errseq_that_no_watcher_has_seen_waits_for_one)
{
    struct errseq e = {0};
    u32 late;

    errseq_set(&e, -EIO);
    late = errseq_sample(&e);
    EXPECT(errseq_check(&e, &late) == -EIO && errseq_check(&e, &late) == 0);
    late = errseq_sample(&e);
    EXPECT(errseq_check(&e, &late) == 0);
}
