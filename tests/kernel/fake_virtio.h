/* SPDX-License-Identifier: MIT
 *
 * A virtio device for tests, whose transport is words of memory and whose queues the test serves by
 * hand, well or badly. Its kind FAKE_ID has a driver here; other kinds have the real ones.
 */
#pragma once

#include "dev/virtio.h"
#include "lib/log.h"
#include "uapi/virtio_mmio.h"

#define FAKE_ID 0x7ffe
#define QUEUES 4
#define CONFIG_SIZE 64

struct fake {
    struct virtio_device vdev;
    struct device parent;
    u64 features, accepted;
    u8 status, history[16];
    u32 nr_history;
    bool refuses; /* the features */
    bool hasty;   /* says that it used a buffer as soon as it has a queue */
    u8 config[CONFIG_SIZE];
    u32 generation;
    u32 change_at; /* a read of that offset changes the word behind it; 0: none */
    u32 vectors;
    struct irq_handler *handlers[QUEUES + 1];
    u32 queue_max;
    struct virtio_queue *queues[QUEUES];
    u16 seen[QUEUES];
    u32 notified, asked; /* asked: for its status */
};

/* What the driver of FAKE_ID was told, and what it is to do. */
struct fake_driver {
    struct fake *fake;
    u64 wanted, needed;
    u32 nr_queues, tables;
    struct virtio_queue *queues[QUEUES];
    int probe_error;
    u32 works[QUEUES], configs, broken, status_when_broken;
    u32 calls;    /* of a queue's work */
    bool endless; /* it always has more to do; the device is being stopped from the third call on */
    u32 taken;
    void *last;
};
extern struct fake_driver fake_driver;

/* ---- the device's side of a queue ---- */

/* Interrupt `index` comes: 0 the configuration's, those of queues follow. */
void fake_interrupt(struct fake *f, unsigned index);
/* Entries of the queue that the device has not seen yet; the next one. */
u16 fake_waiting(struct fake *f, u32 queue);
u16 fake_next(struct fake *f, u32 queue);
/* The pieces of a request, at most max; how many. */
u32 fake_pieces(struct fake *f, u32 queue, u16 head, struct virtq_desc *out, u32 max);
void fake_return(struct fake *f, u32 queue, u32 id, u32 len);

/* ---- its life ---- */

/* NULL: no memory. */
struct fake *fake_make(u32 id) __must_check;
/* Registered and probed. */
bool fake_start(struct fake *f) __must_check;
void fake_end(struct fake *f);
/* Waits, for ten seconds at most, until *what is n or more. */
bool fake_wait(u32 *what, u32 n) __must_check;

/* Each test's body returns what was wrong, or NULL; the frame around it frees all. */
#define FAKE_TEST(name, id)                                   \
    static const char *fake_test_##name(struct fake *f);      \
    SELFTEST(name)                                            \
    {                                                         \
        struct fake *f = fake_make(id);                       \
        const char *wrong = f ? fake_test_##name(f) : "made"; \
                                                              \
        if (f)                                                \
            fake_end(f);                                      \
        if (wrong)                                            \
            selftest_fail(__FILE__, __LINE__, wrong);         \
    }                                                         \
    static const char *fake_test_##name(struct fake *f)
#define EXPECT(cond)      \
    do {                  \
        if (!(cond))      \
            return #cond; \
    } while (0)
