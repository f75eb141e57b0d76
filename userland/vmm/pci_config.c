/* SPDX-License-Identifier: MIT
 *
 * A PCI function's configuration space, pure: what a guest may write, capabilities, BARs. See
 * pci.h.
 */
#include <string.h>

#include "vmm/pci.h"

#define CAPS_START 0x40
#define COMMAND_WRITABLE (PCI_COMMAND_MEM | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF)

void pci_config_set(struct pci_config *c, unsigned reg, uint32_t value, unsigned len)
{
    memcpy(c->bytes + reg, &value, len);
}

void pci_config_init(struct pci_config *c, const struct pci_id *id)
{
    uint16_t command = COMMAND_WRITABLE;

    memset(c, 0, sizeof *c);
    pci_config_set(c, PCI_VENDOR, id->vendor, 2);
    pci_config_set(c, PCI_DEVICE, id->device, 2);
    pci_config_set(c, PCI_CLASS, id->class << 8 | id->revision, 4);
    pci_config_set(c, PCI_SUB_VENDOR, id->sub_vendor, 2);
    pci_config_set(c, PCI_SUB_DEVICE, id->sub_device, 2);
    memcpy(c->writable + PCI_COMMAND, &command, sizeof command);
    c->writable[PCI_CACHE_LINE] = 0xff;
    c->writable[PCI_INT_LINE] = 0xff;
    c->end = CAPS_START;
    c->last = PCI_CAPABILITIES;
}

void pci_config_add_bar(struct pci_config *c, unsigned bar, uint32_t size, uint32_t address)
{
    uint32_t bits = ~(size - 1);

    c->bar_size[bar] = size;
    pci_config_set(c, PCI_BAR0 + 4 * bar, address, 4);
    memcpy(c->writable + PCI_BAR0 + 4 * bar, &bits, sizeof bits);
}

unsigned pci_config_add_cap(struct pci_config *c, uint8_t id, unsigned len)
{
    unsigned at = c->end;

    c->bytes[c->last] = at;
    c->bytes[at] = id;
    c->last = at + 1;
    c->end = (at + len + 3) & ~3u;
    c->bytes[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    return at;
}

static bool pci_config_holds(unsigned reg, unsigned len)
{
    return (len == 1 || len == 2 || len == 4) && reg < PCI_CONFIG_SIZE &&
           len <= PCI_CONFIG_SIZE - reg;
}

uint32_t pci_config_read(const struct pci_config *c, unsigned reg, unsigned len)
{
    uint32_t value = 0;

    if (!pci_config_holds(reg, len))
        return ~0u;
    memcpy(&value, c->bytes + reg, len);
    return value;
}

void pci_config_write(struct pci_config *c, unsigned reg, uint32_t value, unsigned len)
{
    if (!pci_config_holds(reg, len))
        return;
    for (unsigned i = 0; i < len; i++, value >>= 8) {
        uint8_t may = c->writable[reg + i];

        c->bytes[reg + i] = (c->bytes[reg + i] & ~may) | (value & may);
    }
}

uint32_t pci_config_bar(const struct pci_config *c, unsigned bar)
{
    return pci_config_read(c, PCI_BAR0 + 4 * bar, 4) & PCI_BAR_MEM_MASK;
}
