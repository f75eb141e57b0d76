/* SPDX-License-Identifier: MIT
 *
 * Buffers for what a device receives: one that says it has written more than it did shows nothing
 * of what lay in them before.
 */
#include "tests/kernel/fake_virtio.h"

#include "dev/chrdev.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"

#define MAJOR_VPORT 246
#define VPORTS 32
#define DIRTY_PAGES 256

/* The next pages that are allocated held something. */
static bool memory_is_dirtied(void)
{
    static struct page *pages[DIRTY_PAGES];
    u32 n = 0;

    while (n < DIRTY_PAGES && (pages[n] = page_alloc(0, 0)))
        memset(page_virt(pages[n++]), 0xa5, PAGE_SIZE);
    for (u32 i = 0; i < n; i++)
        page_put(pages[i]);
    return n == DIRTY_PAGES;
}

static bool piece_is_zero(const struct virtq_desc *d)
{
    const u8 *at = hpa_virt(HPA(d->addr));

    for (u32 i = 0; i < d->len; i++)
        if (at[i])
            return false;
    return true;
}

/* All that the queue was given to write to. */
static bool queue_is_zero(struct fake *f, u32 queue)
{
    struct virtq_desc seen[4];

    while (fake_waiting(f, queue)) {
        u32 n = fake_pieces(f, queue, fake_next(f, queue), seen, ARRAY_SIZE(seen));

        for (u32 i = 0; i < n; i++)
            if (!piece_is_zero(&seen[i]))
                return false;
    }
    return true;
}

/* Opens port 0 of each console until ours has got its buffers. */
static struct file *receive_open(struct fake *f)
{
    static const struct file_ops none = {.name = "none"};
    const struct chrdev *ports = chrdev_find(MAJOR_VPORT, 0);
    struct file *opened = NULL;

    for (u32 i = 0; i * VPORTS < ports->count && !opened; i++) {
        struct file *port = file_create(&none, 0, NULL);

        if (!port || ports->open(port, i * VPORTS)) {
            if (port)
                file_put(port);
            continue;
        }
        port->ops = ports->ops;
        if (fake_waiting(f, 0))
            opened = port;
        else
            file_put(port);
    }
    return opened;
}

FAKE_TEST(virtio_console_is_given_no_old_memory, VIRTIO_CONSOLE)
{
    struct file *port;
    bool zero;

    EXPECT(fake_start(f) && f->queues[0]);
    EXPECT(memory_is_dirtied());
    port = receive_open(f);
    EXPECT(port);
    zero = queue_is_zero(f, 0);
    file_put(port);
    EXPECT(zero);
    return NULL;
}
