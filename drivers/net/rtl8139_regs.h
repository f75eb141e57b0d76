/* SPDX-License-Identifier: MIT
 *
 * Registers and descriptors of Realtek's RTL8139C+ (its Datasheet, 5 and 6). All little-endian, of
 * the width that their comment names.
 */
#pragma once

#include "lib/types.h"

enum rtl_register {
    IDR = 0x00,    /* 6 bytes: the address; written by 32 bits */
    MAR = 0x08,    /* 8 bytes: a bit for each hash of a group's address */
    TNPDS = 0x20,  /* 64: transmit ring */
    CR = 0x37,     /* 8 */
    IMR = 0x3c,    /* 16: causes that interrupt */
    ISR = 0x3e,    /* 16: causes; ones written clear them */
    TCR = 0x40,    /* 32 */
    RCR = 0x44,    /* 32 */
    MPC = 0x4c,    /* 32: frames without a buffer; a write clears it */
    CR9346 = 0x50, /* 8: whether configuration may be written */
    MSR = 0x58,    /* 8: the medium */
    BMCR = 0x62,   /* 16: what the transceiver does */
    TPPOLL = 0xd9, /* 8: there is something to send */
    CPCR = 0xe0,   /* 16: the C+ mode */
    RDSAR = 0xe4,  /* 64: receive ring */
    RTL_BYTES = 0x100
};

#define CR_RST (1U << 4)
#define CR_RE (1U << 3)
#define CR_TE (1U << 2)

enum rtl_cause {
    CAUSE_ROK = 1 << 0,
    CAUSE_RER = 1 << 1,
    CAUSE_TOK = 1 << 2,
    CAUSE_TER = 1 << 3,
    CAUSE_RXOVW = 1 << 4,
    CAUSE_LINK = 1 << 5,
    CAUSE_FOVW = 1 << 6,
};

#define TCR_DMA_MOST (7U << 8)
#define TCR_GAP (3U << 24)
#define RCR_ALL (1U << 0)
#define RCR_OWN (1U << 1)
#define RCR_GROUPS (1U << 2)
#define RCR_BROADCAST (1U << 3)
#define RCR_DMA_MOST (7U << 8)
#define RCR_WHOLE (7U << 13) /* a frame is stored as soon as it is whole */

#define CR9346_UNLOCK 0xc0U
#define CR9346_LOCK 0U
#define MSR_NO_LINK (1U << 2)
#define MSR_10 (1U << 3) /* 10 Mbit/s */
#define BMCR_FULL (1U << 8)
#define TPPOLL_NORMAL (1U << 6)
#define CPCR_TX (1U << 0)
#define CPCR_RX (1U << 1)
#define CPCR_MULTIPLE_READ (1U << 3)
#define CPCR_DAC (1U << 4) /* addresses of 64 bits */
#define CPCR_RX_SUM (1U << 5)

struct rtl_desc {
    u32 command; /* or status */
    u32 vlan;
    u64 addr;
};
static_assert(sizeof(struct rtl_desc) == 16, "rtl8139");
#define DESC_OWN (1U << 31) /* the device's */
#define DESC_END (1U << 30) /* the ring's last */
#define DESC_FIRST (1U << 29)
#define DESC_LAST (1U << 28)
#define RX_LENGTH 0x1fffU
#define RX_BAD_TCP (1U << 13)
#define RX_BAD_UDP (1U << 14)
#define RX_BAD_IP (1U << 15)
#define RX_KIND_SHIFT 16 /* two bits: TCP, UDP, IP alone */
#define RX_KIND_TCP 1U
#define RX_KIND_UDP 2U
#define RX_CRC (1U << 18)
#define RX_RUNT (1U << 19)
#define RX_ERROR (1U << 20)
