/* SPDX-License-Identifier: MIT
 *
 * The virtio bus, over a device that stands in fake_virtio.c.
 */
#include "tests/kernel/fake_virtio.h"

#include "lib/errno.h"
#include "lib/string.h"

FAKE_TEST(virtio_device_is_brought_up_in_the_steps_of_the_standard, FAKE_ID)
{
    static const u8 steps[] = {0, 3, 3 | 8, 3 | 8 | 4};

    fake_driver.wanted = 1 << 3;
    f->features |= 1 << 3 | 1 << 4 | VIRTIO_F_EVENT_IDX;
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    EXPECT(f->accepted == (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | 1 << 3));
    EXPECT(f->nr_history == 4 && memcmp(f->history, steps, 4) == 0);
    EXPECT(fake_driver.queues[0]->ring.num == 64 && fake_driver.queues[0]->ring.event_idx);
    return NULL;
}

FAKE_TEST(virtio_legacy_device_is_refused, FAKE_ID)
{
    f->features = 1;
    EXPECT(fake_start(f) && fake_driver.probe_error == -ENODEV && (f->status & STATUS_FAILED));
    return NULL;
}

FAKE_TEST(virtio_device_that_refuses_the_features_is_refused, FAKE_ID)
{
    f->refuses = true;
    EXPECT(fake_start(f) && fake_driver.probe_error == -EIO && !(f->status & STATUS_DRIVER_OK));
    return NULL;
}

FAKE_TEST(virtio_queue_that_is_not_there_is_refused, FAKE_ID)
{
    f->queue_max = 0;
    EXPECT(fake_start(f) && fake_driver.probe_error == -ENOENT);
    return NULL;
}

FAKE_TEST(virtio_configuration_is_read_as_it_was_at_one_time, FAKE_ID)
{
    u8 bytes[16];

    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    memset(f->config, 0x11, sizeof(f->config));
    f->change_at = 4;
    virtio_config_read(&f->vdev, 0, bytes, sizeof(bytes));
    for (u32 i = 0; i < sizeof(bytes); i++)
        EXPECT(bytes[i] == 0x55);
    /* What lies behind its end is zero. */
    virtio_config_read(&f->vdev, CONFIG_SIZE - 3, bytes, 8);
    EXPECT(bytes[2] == 0x11 && bytes[3] == 0 && bytes[7] == 0);
    virtio_config_read(&f->vdev, 100 * CONFIG_SIZE, bytes, 8);
    EXPECT(bytes[0] == 0 && bytes[7] == 0);
    return NULL;
}

FAKE_TEST(virtio_requests_go_through_tables_and_come_back, FAKE_ID)
{
    struct virtq_piece pieces[5] = {{1000, 1}, {2000, 2}, {3000, 3}, {4000, 4}, {5000, 5}};
    struct virtq_desc seen[8];
    char tokens[3];
    u16 heads[3];

    fake_driver.tables = 6;
    f->features |= VIRTIO_F_INDIRECT_DESC;
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    for (u32 i = 0; i < 3; i++)
        EXPECT(virtq_add(&fake_driver.queues[0]->ring, pieces, 3, 2, &tokens[i]) == 0);
    EXPECT(f->notified == 0);
    virtio_kick(fake_driver.queues[0]);
    EXPECT(f->notified == 1 && fake_waiting(f, 0) == 3);
    for (u32 i = 0; i < 3; i++)
        heads[i] = fake_next(f, 0);
    EXPECT(fake_pieces(f, 0, heads[1], seen, 8) == 5);
    for (u32 i = 0; i < 5; i++)
        EXPECT(seen[i].addr == pieces[i].addr && seen[i].len == pieces[i].len &&
               !!(seen[i].flags & 2) == (i >= 3));
    fake_return(f, 0, heads[1], 9);
    fake_interrupt(f, 1);
    EXPECT(fake_driver.taken == 1 && fake_driver.last == &tokens[1] && fake_driver.works[0] == 1);
    fake_interrupt(f, 1);
    EXPECT(fake_driver.works[0] == 1); /* nothing came */
    return NULL;
}

FAKE_TEST(virtio_device_that_is_hasty_is_not_heard_before_the_start, FAKE_ID)
{
    f->hasty = true;
    EXPECT(fake_start(f) && fake_driver.probe_error == 0 && fake_driver.calls == 0);
    fake_interrupt(f, 1); /* now it is, and has used what it never got */
    EXPECT(fake_driver.calls == 1 && fake_wait(&fake_driver.broken, 1));
    return NULL;
}

FAKE_TEST(virtio_device_that_goes_on_for_ever_can_be_stopped, FAKE_ID)
{
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    fake_driver.endless = true;
    virtio_again(fake_driver.queues[0]);
    fake_interrupt(f, 1);
    EXPECT(fake_driver.calls == 3);
    return NULL;
}

FAKE_TEST(virtio_queues_share_interrupts_where_there_are_few, FAKE_ID)
{
    struct virtq_piece piece = {1000, 16};
    char token;

    fake_driver.nr_queues = 3;
    f->vectors = 2;
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    EXPECT(f->handlers[0] && f->handlers[1] && !f->handlers[2]);
    EXPECT(virtq_add(&fake_driver.queues[2]->ring, &piece, 0, 1, &token) == 0);
    virtio_kick(fake_driver.queues[2]);
    fake_return(f, 2, fake_next(f, 2), 16);
    fake_interrupt(f, 1);
    EXPECT(fake_driver.taken == 1 && fake_driver.works[2] == 1 && fake_driver.works[0] == 0);
    EXPECT(fake_driver.configs == 0);
    return NULL;
}

FAKE_TEST(virtio_change_of_the_configuration_is_told, FAKE_ID)
{
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    fake_interrupt(f, 0);
    EXPECT(fake_wait(&fake_driver.configs, 1) && fake_driver.broken == 0);
    return NULL;
}

FAKE_TEST(virtio_device_that_breaks_the_rules_is_reset_and_told_once, FAKE_ID)
{
    struct virtq_piece piece = {1000, 16};
    char tokens[4];

    fake_driver.nr_queues = 2;
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    for (u32 i = 0; i < 4; i++)
        EXPECT(virtq_add(&fake_driver.queues[i % 2]->ring, &piece, 0, 1, &tokens[i]) == 0);
    virtio_kick(fake_driver.queues[0]);
    virtio_kick(fake_driver.queues[1]);
    fake_return(f, 0, 63, 16); /* which was never added */
    fake_interrupt(f, 1);
    virtio_break(&f->vdev, "again");
    EXPECT(fake_wait(&fake_driver.broken, 1) && fake_driver.taken == 0);
    EXPECT(fake_driver.status_when_broken == 0 && f->status == 0);
    EXPECT(virtq_add(&fake_driver.queues[0]->ring, &piece, 0, 1, tokens) == -EIO);
    EXPECT(!f->handlers[0] && !f->handlers[1] && fake_driver.broken == 1);
    device_unregister(&f->vdev.dev);
    EXPECT(fake_driver.taken == 4); /* all came back */
    return NULL;
}

FAKE_TEST(virtio_device_that_needs_a_reset_is_given_up, FAKE_ID)
{
    EXPECT(fake_start(f) && fake_driver.probe_error == 0);
    f->status |= STATUS_NEEDS_RESET;
    fake_interrupt(f, 0);
    EXPECT(fake_wait(&fake_driver.broken, 1) && fake_driver.configs == 0 && f->status == 0);
    return NULL;
}
