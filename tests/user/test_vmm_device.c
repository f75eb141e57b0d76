/* SPDX-License-Identifier: MIT
 *
 * The VMM's devices where the host fails them, or keeps them waiting.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uapi/virtio_pci.h"
#include "vmm_machine.h"

/* ---- a reader of the console that stalls ---- */

#define CONSOLE_OUT 7 /* the queue for stdout */
#define OUTPUT 6000u

static bool host_lies;     /* poll says that stdout takes what it does not */
static sem_t host_lied_to; /* it has said so */

int __real_poll(struct pollfd *p, nfds_t n, int time);
int __wrap_poll(struct pollfd *p, nfds_t n, int time);

int __wrap_poll(struct pollfd *p, nfds_t n, int time)
{
    if (!host_lies || p->fd != STDOUT_FILENO)
        return __real_poll(p, n, time);
    sem_post(&host_lied_to);
    return 1;
}

/* Stdout is a pipe that is full: how many bytes are in it. */
static size_t output_take(int ends[2], int *saved)
{
    static const char byte = '-';
    size_t n = 0;

    fflush(stdout);
    *saved = dup(STDOUT_FILENO);
    if (*saved < 0 || pipe2(ends, O_NONBLOCK))
        abort();
    while (write(ends[1], &byte, 1) == 1)
        n++;
    fcntl(ends[1], F_SETFL, 0);
    fcntl(ends[0], F_SETFL, 0);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    return n;
}

static void output_give_back(int end, int saved)
{
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(end);
}

static void *guest_writes(void *arg)
{
    struct vm *vm = arg;

    machine_descriptor(vm, CONSOLE_OUT, 0, 0x80000, OUTPUT, 0, 0);
    machine_offer(vm, CONSOLE_OUT, 0);
    return NULL;
}

/* Goes on until `wanted` bytes have come. */
static size_t output_read(struct vm *vm, int end, size_t wanted)
{
    uint8_t bytes[4096];
    size_t got = 0;

    while (got < wanted) {
        ssize_t n = read(end, bytes, sizeof bytes);

        if (n <= 0)
            break;
        got += n;
        console_continue(vm->console, 0);
    }
    return got;
}

TEST(a_reader_of_the_console_that_stalls_holds_no_lock)
{
    const struct vm_options opt = {.container = true};
    struct vm *vm = machine_make(false);
    int ends[2], saved;
    pthread_t vcpu;
    size_t before = output_take(ends, &saved), got;

    sem_init(&host_lied_to, 0, 0);
    console_create(vm, &opt);
    machine_start(vm, 2 /* ports */, 10);
    host_lies = true;
    pthread_create(&vcpu, NULL, guest_writes, vm);
    sem_wait(&host_lied_to); /* now it waits in its write, until we read */
    console_control(vm->console, "signal 15\n");
    console_room(vm->console);
    EXPECT(console_waiting_fd(vm->console, 0) < 0);
    host_lies = false;
    got = output_read(vm, ends[0], before + OUTPUT);
    pthread_join(vcpu, NULL);
    output_give_back(ends[0], saved);
    EXPECT(got == before + OUTPUT && machine_used(vm, CONSOLE_OUT) == 1);
    machine_free(vm);
}

/* ---- a file that fails its disk ---- */

static int host_error; /* what the host's file says to data; 0: what it is */
static unsigned host_syncs;

ssize_t __real_preadv(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t at);
int __real_fdatasync(int fd);
ssize_t __wrap_preadv(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at);
int __wrap_fdatasync(int fd);

ssize_t __wrap_preadv(int fd, const struct iovec *iov, int n, off_t at)
{
    errno = host_error;
    return host_error ? -1 : __real_preadv(fd, iov, n, at);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    errno = host_error;
    return host_error ? -1 : __real_pwritev(fd, iov, n, at);
}

int __wrap_fdatasync(int fd)
{
    host_syncs++;
    errno = host_error;
    return host_error ? -1 : __real_fdatasync(fd);
}

enum { DISK_READ = 0, DISK_WRITE = 1, DISK_FLUSH = 4 };
#define DISK_SECTORS 64u
#define NO_STATUS 0xee

/* The status that a request for one sector gets. */
static uint8_t disk_asks(struct vm *vm, uint32_t type, uint64_t sector)
{
    uint8_t *header = mem_at(&vm->ram, 0x80000, 16), *status = mem_at(&vm->ram, 0x81000, 1);
    uint16_t before = machine_used(vm, 0);

    memset(header, 0, 16);
    memcpy(header, &type, sizeof type);
    memcpy(header + 8, &sector, sizeof sector);
    *status = NO_STATUS;
    machine_descriptor(vm, 0, 0, 0x80000, 16, 1, type == DISK_FLUSH ? 2 : 1);
    machine_descriptor(vm, 0, 1, 0x82000, 512, type == DISK_READ ? 3 : 1, 2);
    machine_descriptor(vm, 0, 2, 0x81000, 1, 2, 0);
    machine_offer(vm, 0, 0);
    return machine_used(vm, 0) == before + 1 ? *status : NO_STATUS;
}

static struct vm *disk_machine(char *path)
{
    const struct vm_disk disk = {.path = path};
    struct vm *vm = machine_make(false);
    int fd = mkstemp(path);

    if (fd < 0 || ftruncate(fd, DISK_SECTORS * 512))
        abort();
    close(fd);
    blk_create(vm, &disk, 0);
    machine_start(vm, 1 << 9 /* flush */, 1);
    return vm;
}

TEST(a_disk_whose_file_fails_answers_with_errors_and_lives)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EFBIG};
    char path[] = "/tmp/vmm-disk-XXXXXX";
    struct vm *vm = disk_machine(path);

    EXPECT(disk_asks(vm, DISK_WRITE, 5) == 0 && disk_asks(vm, DISK_READ, 5) == 0);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        host_error = errors[i];
        EXPECT(disk_asks(vm, DISK_READ, 5) == 1);
        EXPECT(disk_asks(vm, DISK_WRITE, 5) == 1);
        EXPECT(disk_asks(vm, DISK_FLUSH, 0) == 1);
        host_error = 0;
        EXPECT(disk_asks(vm, DISK_READ, 5) == 0 && disk_asks(vm, DISK_FLUSH, 0) == 0);
    }
    unlink(path);
    machine_free(vm);
}

TEST(a_disk_whose_file_became_shorter_fails_what_is_not_there)
{
    char path[] = "/tmp/vmm-disk-XXXXXX";
    struct vm *vm = disk_machine(path);

    EXPECT(truncate(path, 10 * 512 + 100) == 0);
    EXPECT(disk_asks(vm, DISK_READ, 9) == 0);
    EXPECT(disk_asks(vm, DISK_READ, 10) == 1);
    EXPECT(disk_asks(vm, DISK_READ, DISK_SECTORS - 1) == 1);
    EXPECT(disk_asks(vm, DISK_READ, DISK_SECTORS) == 1);
    EXPECT(disk_asks(vm, DISK_WRITE, 10) == 0 && disk_asks(vm, DISK_READ, 10) == 0);
    unlink(path);
    machine_free(vm);
}

/* What was agreed decides how its thread writes, without the lock: it stays, whatever status says.
 */
TEST(a_disk_that_runs_keeps_the_features_it_began_with)
{
    char path[] = "/tmp/vmm-disk-XXXXXX";
    struct vm *vm = disk_machine(path);
    struct bus *bus = &vm->buses[BUS_MEMORY];
    unsigned before = host_syncs;

    bus_write(bus, DEVICE_MEMORY + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER, 4);
    bus_write(bus, DEVICE_MEMORY + REG_DRIVER_SEL, 0, 4);
    bus_write(bus, DEVICE_MEMORY + REG_DRIVER, 0, 4); /* no flushes: each write would be one */
    EXPECT(disk_asks(vm, DISK_WRITE, 5) == 0 && host_syncs == before);
    unlink(path);
    machine_free(vm);
}

/* ---- access through configuration space ---- */

#define FUNCTION (PCI_ECAM + (1 << 15))

static uint32_t config_get(struct vm *vm, unsigned reg, unsigned len)
{
    return bus_read(&vm->buses[BUS_MEMORY], FUNCTION + reg, len);
}

static void config_put(struct vm *vm, unsigned reg, uint32_t value, unsigned len)
{
    bus_write(&vm->buses[BUS_MEMORY], FUNCTION + reg, value, len);
}

/* Where the vendor capability of that type is, or 0. */
static unsigned config_find(struct vm *vm, unsigned type)
{
    unsigned at = config_get(vm, PCI_CAPABILITIES, 1);

    while (at &&
           (config_get(vm, at, 1) != PCI_CAP_VENDOR || config_get(vm, at + CAP_TYPE, 1) != type))
        at = config_get(vm, at + 1, 1);
    return at;
}

static void access_choose(struct vm *vm, unsigned cap, uint32_t offset, uint32_t len)
{
    config_put(vm, cap + CAP_BAR, 0, 1);
    config_put(vm, cap + CAP_OFFSET, offset, 4);
    config_put(vm, cap + CAP_LENGTH, len, 4);
}

/* As firmware does that cannot reach the BAR: memory accesses are off. */
TEST(a_bar_is_reached_through_configuration_space)
{
    const struct vm_options opt = {.container = true};
    struct vm *vm = machine_make(true);
    unsigned cap, data;

    console_create(vm, &opt);
    cap = config_find(vm, TYPE_ACCESS);
    data = cap + CAP_ACCESS_DATA;
    EXPECT(cap);
    access_choose(vm, cap, COMMON_STATUS, 1);
    config_put(vm, data, STATUS_ACKNOWLEDGE, 1);
    EXPECT(config_get(vm, data, 1) == STATUS_ACKNOWLEDGE);
    access_choose(vm, cap, COMMON_QUEUES, 2);
    EXPECT(config_get(vm, data, 2) == 10);
    access_choose(vm, cap, COMMON_DESC, 4);
    config_put(vm, data, 0x12345678, 4);
    config_put(vm, data, 0, 4);
    access_choose(vm, cap, COMMON_STATUS, 1);
    EXPECT(config_get(vm, data, 4) == STATUS_ACKNOWLEDGE);
    /* What leads nowhere changes nothing. */
    access_choose(vm, cap, COMMON_STATUS, 3);
    config_put(vm, data, 0, 1);
    access_choose(vm, cap, 0xfffffffe, 4);
    config_put(vm, data, ~0u, 4);
    access_choose(vm, cap, 0x8000, 1);
    config_put(vm, data, 0, 1);
    access_choose(vm, cap, COMMON_STATUS, 1);
    config_put(vm, cap + CAP_BAR, 1, 1);
    config_put(vm, data, 0, 1);
    config_put(vm, cap + CAP_BAR, 0, 1);
    EXPECT(config_get(vm, data, 1) == STATUS_ACKNOWLEDGE);
    machine_free(vm);
}
