// SPDX-License-Identifier: MIT
// The spool; see spool.h.
#include "engine/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/str.h"

#define SPOOL_MAX (64u * 1024) /* then it begins anew, when nothing is under way */
#define SPOOL_PIECE_MAX (1u << 20)
#define SPOOL_BOOT 36 /* characters of a boot's id */

/* Two marks, of which `now` counts: a new one is written beside it first. The engine may be killed
 * between any two instructions, but none of it is seen in another order. */
struct spool_map {
    struct spool_mark mark[2];
    _Atomic uint32_t now;
    char boot[SPOOL_BOOT]; /* the kernel's life in which the marks are true: they are not synced */
};

static struct spool_map *spool_map;
static int spool_fd = -1;
static uint64_t spool_size;

static int spool_file(const char *name, int flags)
{
    char *path = str_fmt("%s/%s", engine.root, name);
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);

    free(path);
    return fd < 0 ? -errno : fd;
}

/* NULL where the kernel does not say: marks are believed then. To be freed. */
static char *spool_boot(void)
{
    struct buf text = {0};
    int err = file_read("/proc/sys/kernel/random/boot_id", SPOOL_BOOT * 2, &text);

    if (!err && text.len >= SPOOL_BOOT)
        return buf_take(&text);
    buf_free(&text);
    return NULL;
}

/* After a crash of the machine the disk may have a mark that is older than the log beside it. */
static bool spool_of_this_boot(void)
{
    char *now = spool_boot();
    bool same = !now || !memcmp(spool_map->boot, now, SPOOL_BOOT);

    free(now);
    return same;
}

static int spool_begin(int flags)
{
    static const struct spool_map none;
    int fd = spool_file("spool.mark", flags);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* a hole would be a SIGBUS when the disk is full */
    if (st.st_size < (off_t)sizeof(none) &&
        pwrite(fd, &none, sizeof(none), 0) != (ssize_t)sizeof(none))
        return errno ? -errno : -ENOSPC;
    spool_map = mmap(NULL, sizeof(*spool_map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (spool_map == MAP_FAILED)
        return -errno;
    spool_fd = spool_file("spool", O_CREAT);
    if (spool_fd < 0)
        return spool_fd;
    if (fstat(spool_fd, &st) < 0)
        return -errno;
    spool_size = (uint64_t)st.st_size;
    return 0;
}

int spool_open(void)
{
    int err = spool_begin(0);

    return err == -ENOENT ? 0 : err;
}

int spool_opened(void)
{
    int err = spool_map ? 0 : spool_begin(O_CREAT);
    char *now = err ? NULL : spool_boot();

    if (now)
        memcpy(spool_map->boot, now, SPOOL_BOOT);
    free(now);
    return err;
}

static struct spool_mark *spool_now(void)
{
    return &spool_map->mark[atomic_load(&spool_map->now) & 1];
}

bool spool_left(struct spool_mark *m, char **data, size_t *len)
{
    uint64_t there;
    ssize_t n;

    *data = NULL;
    *len = 0;
    if (!spool_map)
        return false;
    *m = *spool_now();
    if (!m->busy || !spool_of_this_boot() || m->from > spool_size ||
        spool_size - m->from > SPOOL_PIECE_MAX || (m->stream != 1 && m->stream != 2))
        return false;
    there = spool_size - m->from;
    *len = m->done < there ? there - m->done : 0; /* a full disk: spool_copy() */
    *data = mem_alloc(*len + 1);
    n = read_at(spool_fd, *data, *len, m->from + m->done);
    *len = n > 0 ? (size_t)n : 0;
    return true;
}

void spool_set(const struct spool_mark *m)
{
    uint32_t next = (atomic_load(&spool_map->now) & 1) ^ 1;

    spool_map->mark[next] = *m;
    spool_map->mark[next].busy = true;
    atomic_store(&spool_map->now, next);
}

void spool_over(void)
{
    if (!spool_map)
        return;
    spool_now()->busy = false;
    if (spool_size < SPOOL_MAX)
        return;
    if (ftruncate(spool_fd, 0) == 0)
        spool_size = 0;
}

uint64_t spool_end(void)
{
    return spool_size;
}

/* Where it cannot be moved, or the spool cannot take it, as the disk is full: then it is lost if
 * the engine dies before the log has it. */
static ssize_t spool_copy(int fd, void *data, size_t size)
{
    ssize_t n = read(fd, data, size);

    if (n > 0 && pwrite(spool_fd, data, (size_t)n, (off_t)spool_size) == n)
        spool_size += (uint64_t)n;
    return n < 0 ? -errno : n;
}

ssize_t spool_read(int fd, void *data, size_t size)
{
    off_t to = (off_t)spool_size;
    ssize_t n = splice(fd, NULL, spool_fd, &to, size, SPLICE_F_NONBLOCK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -errno;
    if (n < 0)
        return spool_copy(fd, data, size);
    spool_size += (uint64_t)n;
    return n ? read_at(spool_fd, data, (size_t)n, spool_size - (uint64_t)n) : 0;
}
