/* SPDX-License-Identifier: MIT
 *
 * The configuration space of PCI (Local Bus Specification 3.0, chapter 6; PCI-to-PCI Bridge
 * Architecture 1.2; PCI Express Base 3.0, chapter 7). Offsets in bytes.
 */
#pragma once

enum {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08, /* one byte; the class's three follow */
    PCI_CLASS = 0x08,    /* as 32 bits: class << 8 | revision */
    PCI_CACHE_LINE = 0x0c,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUB_VENDOR = 0x2c,
    PCI_SUB_DEVICE = 0x2e,
    PCI_ROM = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INT_LINE = 0x3c,
    PCI_INT_PIN = 0x3d,
    /* of a bridge */
    PCI_PRIMARY_BUS = 0x18,
    PCI_SECONDARY_BUS = 0x19,
    PCI_SUBORDINATE_BUS = 0x1a,
    PCI_IO_BASE = 0x1c,
    PCI_IO_LIMIT = 0x1d,
    PCI_MEM_BASE = 0x20,
    PCI_MEM_LIMIT = 0x22,
    PCI_PREFETCH_BASE = 0x24,
    PCI_PREFETCH_LIMIT = 0x26,
    PCI_PREFETCH_BASE_HIGH = 0x28,
    PCI_PREFETCH_LIMIT_HIGH = 0x2c,
    PCI_IO_BASE_HIGH = 0x30,
    PCI_IO_LIMIT_HIGH = 0x32,
    PCI_BRIDGE_ROM = 0x38,
    PCI_BRIDGE_CONTROL = 0x3e,
};

#define PCI_CONFIG_SIZE 256
#define PCI_CONFIG_SIZE_EXTENDED 4096

#define PCI_COMMAND_IO 0x0001
#define PCI_COMMAND_MEM 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_INTX_OFF 0x0400
#define PCI_STATUS_CAPABILITIES 0x0010

#define PCI_HEADER_MULTI 0x80
#define PCI_HEADER_MASK 0x7f
enum { PCI_HEADER_NORMAL = 0, PCI_HEADER_BRIDGE = 1, PCI_HEADER_CARDBUS = 2 };

#define PCI_BAR_IO 0x1
#define PCI_BAR_TYPE 0x6
#define PCI_BAR_TYPE_64 0x4
#define PCI_BAR_PREFETCH 0x8
#define PCI_BAR_IO_MASK 0xfffffffcU
#define PCI_BAR_MEM_MASK 0xfffffff0U
#define PCI_ROM_ENABLE 0x1
#define PCI_ROM_MASK 0xfffff800U
#define PCI_IO_TYPE_32 0x01
#define PCI_PREFETCH_TYPE_64 0x01

enum pci_cap_id {
    PCI_CAP_PM = 0x01,
    PCI_CAP_MSI = 0x05,
    PCI_CAP_VENDOR = 0x09,
    PCI_CAP_EXPRESS = 0x10,
    PCI_CAP_MSIX = 0x11,
    PCI_CAP_AF = 0x13,
};

/* Power management: control at +4. */
#define PCI_PM_CONTROL 4
#define PCI_PM_STATE 0x3

/* Message signalled interrupts: control at +2, address at +4. */
#define PCI_MSI_CONTROL 2
#define PCI_MSI_ENABLE 0x0001
#define PCI_MSI_MULTIPLE_ENABLE 0x0070
#define PCI_MSI_64 0x0080
#define PCI_MSI_MASKABLE 0x0100
#define PCI_MSI_ADDRESS 4

/* MSI-X: control at +2, table at +4, pending bits at +8. */
#define PCI_MSIX_CONTROL 2
#define PCI_MSIX_SIZE 0x07ff /* entries less one */
#define PCI_MSIX_MASK_ALL 0x4000
#define PCI_MSIX_ENABLE 0x8000
#define PCI_MSIX_TABLE 4
#define PCI_MSIX_BIR 0x7
#define PCI_MSIX_ENTRY 16
#define PCI_MSIX_ENTRY_ADDRESS 0
#define PCI_MSIX_ENTRY_ADDRESS_HIGH 4
#define PCI_MSIX_ENTRY_DATA 8
#define PCI_MSIX_ENTRY_CONTROL 12
#define PCI_MSIX_ENTRY_MASKED 1

/* PCI Express: device capabilities at +4, control at +8, status at +10. */
#define PCI_EXP_DEVICE_CAPS 4
#define PCI_EXP_FLR 0x10000000U
#define PCI_EXP_DEVICE_CONTROL 8
#define PCI_EXP_FLR_START 0x8000
#define PCI_EXP_DEVICE_STATUS 10
#define PCI_EXP_PENDING 0x20

/* Advanced features: capabilities at +3, control at +4, status at +5. */
#define PCI_AF_CAPS 3
#define PCI_AF_FLR 0x2
#define PCI_AF_TP 0x1
#define PCI_AF_CONTROL 4
#define PCI_AF_FLR_START 0x1
#define PCI_AF_STATUS 5
#define PCI_AF_PENDING 0x1

#define PCI_CLASS_BRIDGE_HOST 0x060000
#define PCI_CLASS_BRIDGE_ISA 0x060100
#define PCI_CLASS_BRIDGE_PCI 0x060400
