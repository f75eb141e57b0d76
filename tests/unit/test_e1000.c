/* SPDX-License-Identifier: MIT
 *
 * The e1000's registers, for which memory stands in: a device that has vanished, one that does not
 * end its reset, addresses, filters.
 */
#include "drivers/net/e1000.h"

#include <string.h>

#include "harness.h"
#include "lib/errno.h"

static const struct e1000_model models[2] = {{"e1000", false}, {"e1000e", true}};
static u32 memory[E1000_REGISTERS / 4];
static const struct io_region regs = {(volatile u8 *)memory, sizeof(memory), 0};

TEST(an_e1000_that_reads_as_ones_is_gone_and_has_neither_address_nor_counts)
{
    struct netdev_stats stats = {.rx_errors = 5};
    u8 addr[NETDEV_ADDR];

    for (u32 i = 0; i < 2; i++) {
        memset(memory, 0xff, sizeof(memory));
        e1000_hw_reset(&regs, &models[i]);
        memset(memory, 0xff, sizeof(memory));
        EXPECT(e1000_hw_is_reset(&regs) == -ENXIO);
        EXPECT(e1000_hw_address(&regs, &models[i], addr) == -EIO);
        memset(memory, 0xff, sizeof(memory));
        e1000_hw_stats(&regs, &stats);
        EXPECT(stats.rx_errors == 5 && stats.tx_errors == 0 && stats.rx_missed == 0);
    }
}

TEST(an_e1000s_reset_is_awaited)
{
    memset(memory, 0, sizeof(memory));
    e1000_hw_reset(&regs, &models[1]);
    EXPECT(memory[IMC / 4] == ~0U);
    EXPECT(e1000_hw_is_reset(&regs) == -EBUSY);
    memory[CTRL / 4] &= ~CTRL_RST;
    EXPECT(e1000_hw_is_reset(&regs) == 0);
    EXPECT(memory[CTRL / 4] == CTRL_SLU);
}

TEST(an_e1000_has_the_address_that_its_registers_hold_if_it_is_one)
{
    static const u8 own[NETDEV_ADDR] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
    u8 addr[NETDEV_ADDR];

    memset(memory, 0, sizeof(memory));
    e1000_hw_set_address(&regs, own);
    EXPECT(e1000_hw_address(&regs, &models[0], addr) == 0 && !memcmp(addr, own, sizeof(own)));
    memory[RAL0 / 4] |= 1; /* a group's; and its EEPROM does not answer */
    EXPECT(e1000_hw_address(&regs, &models[0], addr) == -EIO);
}

TEST(an_e1000_lets_groups_through_by_their_hash)
{
    static const u8 groups[2][NETDEV_ADDR] = {{0x01, 0, 0x5e, 0, 0, 0x01},
                                              {0x33, 0x33, 0xff, 0x12, 0x34, 0x56}};
    u32 bits = 0;

    memset(memory, 0, sizeof(memory));
    e1000_hw_filter(&regs, RCTL_EN, false, false, groups, 2);
    EXPECT(memory[MTA / 4 + (0x010 >> 5)] == 1U << 0x10);
    EXPECT(memory[MTA / 4 + (0x563 >> 5)] == 1U << 3);
    for (u32 i = 0; i < 128; i++)
        bits += (u32)__builtin_popcount(memory[MTA / 4 + i]);
    EXPECT(bits == 2 && memory[RCTL / 4] == RCTL_EN);
    e1000_hw_filter(&regs, RCTL_EN, true, false, groups, 0);
    EXPECT(memory[RCTL / 4] == (RCTL_EN | RCTL_UPE | RCTL_MPE) && !memory[MTA / 4]);
}
