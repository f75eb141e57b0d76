/* SPDX-License-Identifier: MIT
 *
 * The virtio entropy device (virtio 1.2, 5.4): a request is filled from the host's generator, up to
 * RNG_STEP bytes; the driver asks again for more.
 */
#include <sys/random.h>

#include "vmm/virtio.h"
#include "vmm/vmm.h"

#define RNG_ID 4
#define RNG_PCI_CLASS 0x00ff00
#define RNG_QUEUE 16
#define RNG_PIECES 16
#define RNG_STEP 4096u

/* Fills the first pieces; how many bytes. */
static uint32_t rng_fill(const struct virtq_chain *c)
{
    uint32_t done = 0;

    for (unsigned i = c->out; i < c->out + c->in && done < RNG_STEP; i++) {
        const struct iovec *v = &c->iov[i];
        size_t want = v->iov_len < RNG_STEP - done ? v->iov_len : RNG_STEP - done;
        ssize_t n = getrandom(v->iov_base, want, 0);

        done += n > 0 ? n : 0;
        if (n < (ssize_t)v->iov_len)
            break;
    }
    return done;
}

static void rng_kick(struct virtio *v, unsigned queue)
{
    struct iovec iov[RNG_PIECES];
    struct virtq_chain c = {.iov = iov, .iov_max = RNG_PIECES};

    while (virtio_pop(v, queue, &c)) {
        uint32_t n;

        virtio_wait_begin(v);
        n = rng_fill(&c);
        virtio_wait_end(v);
        virtio_push(v, queue, c.head, n);
    }
}

static const struct virtio_model rng_model = {
    .name = "the virtio entropy device",
    .id = RNG_ID,
    .pci_class = RNG_PCI_CLASS,
    .queue_num = RNG_QUEUE,
    .waits = true,
    .kick = rng_kick,
};

void rng_create(struct vm *vm)
{
    struct virtio *v = vm_alloc(vm, sizeof *v);

    virtio_create(v, vm, &rng_model, 0, 1);
}
