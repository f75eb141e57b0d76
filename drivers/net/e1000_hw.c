/* SPDX-License-Identifier: MIT
 *
 * The e1000's registers, without locks, threads or time: this file also builds on the host, where
 * memory stands in for the device.
 */
#include "drivers/net/e1000.h"
#include "lib/errno.h"
#include "lib/string.h"

#define GONE 0xffffffffU
#define EERD_POLLS 10000
#define MTA_WORDS 128
#define TX_DELAY 32 /* in 1.024 us: how long a finished frame may wait for others */
#define TX_DELAY_MOST 64
#define ITR_INTERVAL 128 /* in 256 ns */

void e1000_hw_reset(const struct io_region *regs, const struct e1000_model *model)
{
    io_write32(regs, IMC, ~0U);
    io_write32(regs, RCTL, 0);
    io_write32(regs, TCTL, 0);
    if (model->is_82574) /* no transaction is to be cut: 82574, 3.1.3.10 */
        io_write32(regs, CTRL, io_read32(regs, CTRL) | CTRL_MASTER_OFF);
    io_write32(regs, CTRL, io_read32(regs, CTRL) | CTRL_RST);
}

int e1000_hw_is_reset(const struct io_region *regs)
{
    u32 ctrl = io_read32(regs, CTRL);

    if (ctrl == GONE)
        return -ENXIO;
    if (ctrl & CTRL_RST)
        return -EBUSY;
    io_write32(regs, IMC, ~0U);
    (void)io_read32(regs, ICR);
    io_write32(regs, CTRL,
               (ctrl & ~(CTRL_FRCSPD | CTRL_FRCDPX | CTRL_VME | CTRL_MASTER_OFF)) | CTRL_SLU);
    return 0;
}

static int e1000_hw_eeprom(const struct io_region *regs, const struct e1000_model *model, u32 word,
                           u16 *out)
{
    u32 shift = model->is_82574 ? EERD_ADDR_SHIFT_82574 : EERD_ADDR_SHIFT;
    u32 done = model->is_82574 ? EERD_DONE_82574 : EERD_DONE, v = 0;

    io_write32(regs, EERD, word << shift | EERD_START);
    for (u32 i = 0; i < EERD_POLLS && !(v & done); i++)
        v = io_read32(regs, EERD);
    if (!(v & done) || v == GONE)
        return -EIO;
    *out = (u16)(v >> EERD_DATA_SHIFT);
    return 0;
}

static bool e1000_hw_is_address(const u8 *addr)
{
    return !(addr[0] & 1) && memcmp(addr, "\0\0\0\0\0", NETDEV_ADDR) != 0;
}

int e1000_hw_address(const struct io_region *regs, const struct e1000_model *model, u8 *addr)
{
    u32 low = io_read32(regs, RAL0), high = io_read32(regs, RAH0);
    u16 words[3];

    memcpy(addr, &low, 4);
    memcpy(addr + 4, &high, 2);
    if ((high & RAH_VALID) && e1000_hw_is_address(addr))
        return 0;
    for (u32 i = 0; i < 3; i++)
        if (e1000_hw_eeprom(regs, model, i, &words[i]))
            return -EIO;
    memcpy(addr, words, NETDEV_ADDR);
    return e1000_hw_is_address(addr) ? 0 : -EIO;
}

void e1000_hw_set_address(const struct io_region *regs, const u8 *addr)
{
    u32 low;
    u16 high;

    memcpy(&low, addr, 4);
    memcpy(&high, addr + 4, 2);
    io_write32(regs, RAL0, low);
    io_write32(regs, RAH0, high | RAH_VALID);
}

/* 8254x, 13.5.1: with RCTL's offset 0 bits 47 to 36 of the address. */
static u32 e1000_hw_hash(const u8 *group)
{
    return (u32)(group[4] >> 4 | group[5] << 4) & 0xfff;
}

void e1000_hw_filter(const struct io_region *regs, u32 rctl, bool all, bool multicast,
                     const u8 (*groups)[NETDEV_ADDR], u32 nr_groups)
{
    u32 table[MTA_WORDS] = {0};

    for (u32 i = 0; i < nr_groups; i++) {
        u32 hash = e1000_hw_hash(groups[i]);

        table[hash >> 5] |= 1U << (hash & 31);
    }
    for (u32 i = 0; i < MTA_WORDS; i++)
        io_write32(regs, MTA + 4 * i, table[i]);
    io_write32(regs, RCTL, rctl | (all ? RCTL_UPE | RCTL_MPE : 0) | (multicast ? RCTL_MPE : 0));
}

/* Of a device that has vanished: nothing. */
static u32 e1000_hw_count(const struct io_region *regs, u32 reg)
{
    u32 v = io_read32(regs, reg);

    return v == GONE ? 0 : v;
}

void e1000_hw_stats(const struct io_region *regs, struct netdev_stats *out)
{
    u32 crc = e1000_hw_count(regs, CRCERRS), collisions = e1000_hw_count(regs, ECOL);
    u32 length = e1000_hw_count(regs, RLEC) + e1000_hw_count(regs, RUC) + e1000_hw_count(regs, ROC);

    collisions += e1000_hw_count(regs, LATECOL);
    out->rx_crc += crc;
    out->rx_length += length;
    out->rx_errors += crc + length + e1000_hw_count(regs, RXERRC);
    out->rx_missed += e1000_hw_count(regs, MPC);
    out->tx_errors += collisions;
    out->collisions += collisions;
}

void e1000_hw_start_tx(const struct io_region *regs, const struct e1000_model *model, u64 ring,
                       u32 bytes)
{
    io_write32(regs, TDBAL, (u32)ring);
    io_write32(regs, TDBAH, (u32)(ring >> 32));
    io_write32(regs, TDLEN, bytes);
    io_write32(regs, TDH, 0);
    io_write32(regs, TDT, 0);
    io_write32(regs, TIDV, TX_DELAY);
    io_write32(regs, TADV, TX_DELAY_MOST);
    io_write32(regs, TIPG, TIPG_COPPER);
    io_write32(regs, TXDCTL, TXDCTL_EACH | (model->is_82574 ? TXDCTL_82574 : 0));
    io_write32(regs, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
    io_write32(regs, ITR, ITR_INTERVAL);
}

void e1000_hw_start_rx(const struct io_region *regs, u64 ring, u32 bytes, u32 last)
{
    io_write32(regs, RDBAL, (u32)ring);
    io_write32(regs, RDBAH, (u32)(ring >> 32));
    io_write32(regs, RDLEN, bytes);
    io_write32(regs, RDH, 0);
    io_write32(regs, RDT, last);
    io_write32(regs, RXCSUM, RXCSUM_IP | RXCSUM_TCP_UDP);
}
