/* SPDX-License-Identifier: MIT
 *
 * Registers and descriptors of Intel's 8254x (its PCI/PCI-X Family Software Developer's Manual) and
 * 82574 (its Datasheet, 10). All are 32 bits wide and little-endian.
 */
#pragma once

#include "lib/types.h"

enum e1000_register {
    CTRL = 0x0000,
    STATUS = 0x0008,
    EERD = 0x0014,
    CTRL_EXT = 0x0018,
    ICR = 0x00c0,  /* causes: a read clears them, and so does writing ones */
    ITR = 0x00c4,  /* least time between interrupts, in 256 ns */
    IMS = 0x00d0,  /* ones are let through */
    IMC = 0x00d8,  /* ones are masked */
    EIAC = 0x00dc, /* 82574: causes that a message clears */
    IVAR = 0x00e4, /* 82574: which cause has which message */
    RCTL = 0x0100,
    TCTL = 0x0400,
    TIPG = 0x0410,
    RDBAL = 0x2800,
    RDBAH = 0x2804,
    RDLEN = 0x2808,
    RDH = 0x2810,
    RDT = 0x2818,
    TDBAL = 0x3800,
    TDBAH = 0x3804,
    TDLEN = 0x3808,
    TDH = 0x3810,
    TDT = 0x3818,
    TIDV = 0x3820,
    TXDCTL = 0x3828,
    TADV = 0x382c,
    CRCERRS = 0x4000, /* statistics: a read clears them */
    RXERRC = 0x400c,
    MPC = 0x4010, /* frames without a buffer */
    ECOL = 0x4018,
    LATECOL = 0x4020,
    RLEC = 0x4040,
    RUC = 0x40a4,
    ROC = 0x40ac,
    RXCSUM = 0x5000,
    MTA = 0x5200, /* 128 words: a bit for each hash of a group's address */
    RAL0 = 0x5400,
    RAH0 = 0x5404,
    E1000_REGISTERS = 0x6000 /* bytes of them that are used */
};

#define CTRL_FD (1U << 0)
#define CTRL_MASTER_OFF (1U << 2) /* 82574 */
#define CTRL_SLU (1U << 6)        /* set link up */
#define CTRL_FRCSPD (1U << 11)
#define CTRL_FRCDPX (1U << 12)
#define CTRL_RST (1U << 26)
#define CTRL_VME (1U << 30)
#define STATUS_FD (1U << 0) /* full duplex */
#define STATUS_LU (1U << 1)
#define STATUS_SPEED_SHIFT 6 /* two bits */

#define EERD_START (1U << 0)
#define EERD_DONE (1U << 4)
#define EERD_ADDR_SHIFT 8
#define EERD_DONE_82574 (1U << 1)
#define EERD_ADDR_SHIFT_82574 2
#define EERD_DATA_SHIFT 16

#define CTRL_EXT_DRIVER (1U << 28)    /* 82574: a driver has it */
#define CTRL_EXT_PBA_CLEAR (1U << 31) /* 82574 */

enum e1000_cause {
    CAUSE_TXDW = 1 << 0,
    CAUSE_LSC = 1 << 2,
    CAUSE_RXDMT0 = 1 << 4, /* few buffers are left */
    CAUSE_RXO = 1 << 6,    /* none was */
    CAUSE_RXT0 = 1 << 7,
    CAUSE_RXQ0 = 1 << 20, /* 82574, with MSI-X */
    CAUSE_TXQ0 = 1 << 22,
    CAUSE_OTHER = 1 << 24,
};
/* Both: the number of a message, and VALID. */
#define IVAR_VALID 8U
#define IVAR_RXQ0_SHIFT 0
#define IVAR_TXQ0_SHIFT 8
#define IVAR_OTHER_SHIFT 16
#define IVAR_EACH_WRITE (1U << 31)

#define RCTL_EN (1U << 1)
#define RCTL_UPE (1U << 3) /* all unicast */
#define RCTL_MPE (1U << 4) /* all multicast */
#define RCTL_LPE (1U << 5) /* long frames */
#define RCTL_BAM (1U << 15)
#define RCTL_SECRC (1U << 26) /* strips the CRC; buffers of 2048 bytes: zeros in BSIZE */

#define TCTL_EN (1U << 1)
#define TCTL_PSP (1U << 3)
#define TCTL_CT (0x0fU << 4)
#define TCTL_COLD (0x40U << 12)
#define TIPG_COPPER (10U | 8U << 10 | 6U << 20)
#define TXDCTL_EACH (1U << 24 | 1U << 16) /* in descriptors; written back one by one */
#define TXDCTL_82574 (1U << 22)           /* to be kept set */

#define RXCSUM_IP (1U << 8)
#define RXCSUM_TCP_UDP (1U << 9)
#define RAH_VALID (1U << 31)

/* A receive descriptor as all of them have it ("legacy"). */
struct e1000_rx_desc {
    u64 addr;
    u16 length, sum;
    u8 status, errors;
    u16 special;
};
#define RX_DD (1U << 0)
#define RX_EOP (1U << 1)
#define RX_NO_SUM (1U << 2)
#define RX_TCP_SUM (1U << 5) /* the transport's sum was looked at */
#define RX_ERR_TCP (1U << 5)
#define RX_ERR_IP (1U << 6)
#define RX_ERR_FRAME (1U << 0 | 1U << 1 | 1U << 2 | 1U << 4 | 1U << 7)

/* A transmit descriptor: of data, or with the offsets for those behind it ("context"). */
union e1000_tx_desc {
    struct {
        u64 addr;
        u32 command; /* and length */
        u8 status, options;
        u16 special;
    } data;
    struct {
        u8 ip_start, ip_sum;
        u16 ip_end;
        u8 start, sum;
        u16 end;     /* 0: the packet's */
        u32 command; /* and bytes of payload */
        u8 status, header;
        u16 mss;
    } context;
    u64 words[2];
};
static_assert(sizeof(union e1000_tx_desc) == 16 && sizeof(struct e1000_rx_desc) == 16, "e1000");
#define TX_DD (1U << 0)
#define TX_DATA (1U << 20)
#define TX_EOP (1U << 24)
#define TX_IFCS (1U << 25)
#define TX_TSE (1U << 26)
#define TX_RS (1U << 27)
#define TX_DEXT (1U << 29)
#define TX_IDE (1U << 31)
#define TX_CONTEXT_TCP (1U << 24)
#define TX_CONTEXT_IP (1U << 25)
#define TX_SUM_IP (1U << 0)
#define TX_SUM (1U << 1)
