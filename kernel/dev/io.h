/* SPDX-License-Identifier: MIT
 *
 * Device registers in memory, and the order of accesses between CPU, memory and device.
 *
 * A region is mapped by its bus (pci_map_bar) or by io_map; each access is one instruction of that
 * width, at a natural alignment, neither repeated nor merged. The debug build checks the bounds.
 *
 * Order (SDM 3A 8.2, 11.3), for uncached regions:
 * - accesses to regions stay in program order;
 * - a store to memory before io_write* is seen by the device's DMA that the write causes: no fence;
 * - a read of memory after io_read* sees what the device wrote before it answered;
 * - a write is posted: it has reached the device once a read of that device returns (io_flush).
 * Rings in memory that the device looks at by itself take dma_wmb between the entry and the index
 * that publishes it, dma_rmb between the index and the entry, and dma_mb where a store must be seen
 * before a later load is made (publish the index, then read whether the device wants to be told).
 * Write-combining regions are unordered: io_wc_flush before what tells the device of them.
 */
#pragma once

#include "lib/log.h"
#include "lib/types.h"

struct io_region {
    volatile u8 *base; /* NULL: not mapped */
    u64 size;          /* bytes that may be accessed */
    u64 phys;
};

enum io_cache { IO_UNCACHED, IO_WRITE_COMBINE };
/* Maps size bytes at phys. -ENOMEM; -EINVAL: it wraps, or is memory. Context: irq-safe. */
int io_map(u64 phys, u64 size, enum io_cache cache, struct io_region *out) __must_check;
void io_unmap(struct io_region *r);

#define IO_ACCESSORS(bits)                                                              \
    static inline u##bits io_read##bits(const struct io_region *r, u64 offset)          \
    {                                                                                   \
        u##bits v;                                                                      \
                                                                                        \
        DEBUG_ASSERT(offset % sizeof(v) == 0 && offset + sizeof(v) <= r->size);         \
        v = *(const volatile u##bits *)(r->base + offset);                              \
        barrier();                                                                      \
        return v;                                                                       \
    }                                                                                   \
    static inline void io_write##bits(const struct io_region *r, u64 offset, u##bits v) \
    {                                                                                   \
        DEBUG_ASSERT(offset % sizeof(v) == 0 && offset + sizeof(v) <= r->size);         \
        barrier();                                                                      \
        *(volatile u##bits *)(r->base + offset) = v;                                    \
    }
IO_ACCESSORS(8)
IO_ACCESSORS(16)
IO_ACCESSORS(32)
IO_ACCESSORS(64)
#undef IO_ACCESSORS

static inline void io_flush(const struct io_region *r, u64 offset)
{
    (void)io_read32(r, offset);
}
static inline void io_wc_flush(void)
{
    __asm__ volatile("sfence" ::: "memory");
}
/* x86 keeps stores in order among themselves, and loads: the compiler has to. */
static inline void dma_wmb(void)
{
    barrier();
}
static inline void dma_rmb(void)
{
    barrier();
}
static inline void dma_mb(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
