/* SPDX-License-Identifier: MIT
 *
 * struct virtio_net_hdr: the pure core.
 */
#include "net/link/vnet_header.h"
#include "lib/errno.h"
#include "lib/wire.h"

enum { NEEDS_CSUM = 1, DATA_VALID = 2 };
enum { GSO_NONE = 0, GSO_TCP4 = 1, GSO_TCP6 = 4, GSO_UDP_L4 = 5, GSO_ECN = 0x80 };

static bool vnet_gso_ok(const struct vnet_header *h, u32 n)
{
    u8 kind = h->gso & (u8)~GSO_ECN;

    if (kind == GSO_NONE)
        return !h->gso;
    if (kind != GSO_TCP4 && kind != GSO_TCP6 && kind != GSO_UDP_L4)
        return false;
    return h->partial && h->segment && h->header <= n && h->csum_start < n;
}

int vnet_header_parse(const u8 p[VNET_HEADER], u32 n, struct vnet_header *out)
{
    out->partial = p[0] & NEEDS_CSUM;
    out->valid = p[0] & DATA_VALID;
    out->gso = p[1];
    out->header = wire_le16(p + 2);
    out->segment = wire_le16(p + 4);
    out->csum_start = wire_le16(p + 6);
    out->csum_offset = wire_le16(p + 8);
    if (out->partial && (u32)out->csum_start + out->csum_offset + 2 > n)
        return -EINVAL;
    return vnet_gso_ok(out, n) ? 0 : -EINVAL;
}

void vnet_header_build(u8 out[VNET_HEADER], const struct vnet_header *h)
{
    out[0] = (u8)((h->partial ? NEEDS_CSUM : 0) | (h->valid ? DATA_VALID : 0));
    out[1] = h->gso;
    wire_put_le16(out + 2, h->header);
    wire_put_le16(out + 4, h->segment);
    wire_put_le16(out + 6, h->csum_start);
    wire_put_le16(out + 8, h->csum_offset);
}
