/* SPDX-License-Identifier: MIT
 *
 * Filters of inet_diag: programs that could run past their end, go back or ask for what is not
 * there are refused; those that pass say what they should, and end, whatever their bytes.
 */
#include "harness.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "net/diag/filter.h"

#include <stdlib.h>

#define OP(code, yes, no) (u8)(code), (u8)(yes), (u8)((no)&255), (u8)((no) >> 8)
#define PORT(code, yes, no, port) OP(code, yes, no), OP(0, 0, port)

static struct diag_entry entry4(u32 local, u16 port, u32 peer, u16 peer_port)
{
    return (struct diag_entry){.family = 2,
                               .local = ip_from_v4(local),
                               .peer = ip_from_v4(peer),
                               .local_port = port,
                               .peer_port = peer_port,
                               .device = 3,
                               .mark = 0x12};
}

TEST(diag_filter_compares_ports)
{
    /* sport >= 80 and sport <= 90 */
    static const u8 range[] = {PORT(2, 8, 20, 80), PORT(3, 8, 12, 90)};
    static const u8 is80[] = {PORT(11, 8, 12, 80)}, peer443[] = {PORT(12, 8, 12, 443)};
    struct diag_entry e = entry4(0x7f000001, 80, 0x0a000001, 443);

    EXPECT(!diag_filter_check(range, sizeof(range), false));
    EXPECT(!diag_filter_check(is80, sizeof(is80), false));
    EXPECT(!diag_filter_check(peer443, sizeof(peer443), false));
    EXPECT(diag_filter_run(range, sizeof(range), &e) && diag_filter_run(is80, sizeof(is80), &e));
    EXPECT(diag_filter_run(peer443, sizeof(peer443), &e));
    e.local_port = 91;
    e.peer_port = 442;
    EXPECT(!diag_filter_run(range, sizeof(range), &e) && !diag_filter_run(is80, sizeof(is80), &e));
    EXPECT(!diag_filter_run(peer443, sizeof(peer443), &e));
}

TEST(diag_filter_compares_addresses_devices_and_marks)
{
    static const u8 net10[] = {OP(8, 16, 20), 2, 8, 0, 0, 0xff, 0xff, 0xff, 0xff, 10, 9, 9, 9};
    static const u8 odd[] = {OP(7, 16, 20), 2, 9, 0, 0, 0xff, 0xff, 0xff, 0xff, 127, 0x7f, 0, 0};
    static const u8 v6[28] = {OP(7, 28, 32), 10, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    static const u8 device[] = {OP(9, 8, 12), 3, 0, 0, 0};
    static const u8 mark[] = {OP(10, 12, 16), 2, 0, 0, 0, 0x0f, 0, 0, 0};
    struct diag_entry e = entry4(0x7f000001, 80, 0x0a010203, 1);

    EXPECT(!diag_filter_check(net10, sizeof(net10), false));
    EXPECT(!diag_filter_check(odd, sizeof(odd), false));
    EXPECT(!diag_filter_check(v6, sizeof(v6), false));
    EXPECT(!diag_filter_check(device, sizeof(device), false));
    EXPECT(diag_filter_check(mark, sizeof(mark), false) == -EPERM);
    EXPECT(!diag_filter_check(mark, sizeof(mark), true));
    EXPECT(diag_filter_run(net10, sizeof(net10), &e) && diag_filter_run(odd, sizeof(odd), &e));
    EXPECT(!diag_filter_run(v6, sizeof(v6), &e) && diag_filter_run(device, sizeof(device), &e));
    EXPECT(diag_filter_run(mark, sizeof(mark), &e));
    e.local = ip_from_v4(0x7f800001); /* differs in the ninth bit */
    e.peer = ip_from_v4(0x0b010203);
    e.device = 4;
    e.mark = 3;
    EXPECT(!diag_filter_run(net10, sizeof(net10), &e) && !diag_filter_run(odd, sizeof(odd), &e));
    EXPECT(!diag_filter_run(device, sizeof(device), &e) &&
           !diag_filter_run(mark, sizeof(mark), &e));
    e.family = 10; /* mapped */
    e.peer = ip_from_v4(0x0a010203);
    EXPECT(diag_filter_run(net10, sizeof(net10), &e) && diag_filter_run(v6, sizeof(v6), &e));
}

TEST(diag_filter_that_jumps_wrongly_is_refused)
{
    static const struct {
        u8 code[20];
        u32 n;
    } wrong[] = {
        {{OP(0, 4, 0)}, 3},                             /* not whole */
        {{OP(0, 0, 0)}, 4},                             /* goes nowhere */
        {{OP(0, 2, 0)}, 4},                             /* into the middle of an operation */
        {{OP(0, 12, 0)}, 4},                            /* past the end */
        {{OP(1, 4, 0)}, 4},                             /* a jump that stays */
        {{OP(1, 4, 12)}, 4},                            /* a jump past the end */
        {{PORT(2, 4, 8, 80)}, 8},                       /* over half of its operand */
        {{PORT(2, 8, 12, 80)}, 4},                      /* without an operand */
        {{OP(1, 4, 8), PORT(2, 8, 12, 80)}, 12},        /* into an operand */
        {{OP(7, 16, 20), 3, 0, 0, 0, 0, 0, 0, 0}, 16},  /* a family that there is not */
        {{OP(7, 16, 20), 2, 33, 0, 0, 0, 0, 0, 0}, 16}, /* more bits than there are */
        {{OP(7, 12, 16), 2, 8, 0, 0, 0, 0, 0, 0}, 12},  /* without its address */
        {{OP(13, 12, 16), 0, 0, 0, 0, 0, 0, 0, 0}, 12}, /* control groups */
        {{OP(200, 4, 8)}, 4},
    };

    EXPECT(diag_filter_check(wrong[0].code, 0, true) == -EINVAL);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        EXPECT(diag_filter_check(wrong[i].code, wrong[i].n, true) == -EINVAL);
}

/* Bytes that look like programs: each in memory of its own size, so that a read past it is seen. */
TEST(diag_filter_of_random_bytes_is_refused_or_ends)
{
    struct diag_entry e = entry4(0x7f000001, 80, 0x0a000001, 443);
    unsigned passed = 0;

    srand(7);
    for (unsigned round = 0; round < 200000; round++) {
        u32 n = 4 * (1 + (u32)rand() % 16);
        u8 *code = malloc(n);

        for (u32 i = 0; i < n; i++)
            code[i] = (u8)(rand() % 3 ? rand() % 14 * (i % 4 ? 4 : 1) : rand());
        for (u32 i = 3; i < n; i += 4)
            code[i] = 0;
        if (!diag_filter_check(code, n, true)) {
            passed++;
            (void)diag_filter_run(code, n, &e);
        }
        free(code);
    }
    EXPECT(passed > 100);
}
